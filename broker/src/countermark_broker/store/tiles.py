"""The tree in tiles: read for proofs, extended by every group.

Source: C2SP tlog-tiles; countermark_protocol.tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.tables import tiles
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.merkle import Frontier
from countermark_protocol.tiles import TILE_HEIGHT, TILE_WIDTH, tile_width, tiles_for_growth

#: (level, number) of a tile.
Place = tuple[int, int]


def edge_places(size: int) -> list[Place]:
    """The partial tiles at the right edge of a tree, one a level at most."""
    out: list[Place] = []
    level = 0
    while size >> TILE_HEIGHT * level:
        number = size >> TILE_HEIGHT * (level + 1)
        if tile_width(level, number, size):
            out.append((level, number))
        level += 1
    return out


def places_for(index: int, size: int) -> set[Place]:
    """The tiles from which the paths of the leaf at `index` in a tree of `size` leaves are made."""
    out = set(edge_places(size))
    level = 0
    while size >> TILE_HEIGHT * level:
        number = index >> TILE_HEIGHT * (level + 1)
        if tile_width(level, number, size):
            out.add((level, number))
        level += 1
    return out


def read_tiles(connection: Connection, places: Iterable[Place]) -> dict[Place, bytes]:
    """Tiles as stored: at least as wide as they were when any committed tree was."""
    out: dict[Place, bytes] = {}
    rows = backend_of(connection).select(
        connection, tiles, "level, number, data", ("level", "number"), list(places)
    )
    out.update({(level, number): data for level, number, data in rows})
    return out


def count_tiles(connection: Connection) -> int:
    """How many tiles are stored."""
    return int(connection.execute(select(func.count()).select_from(tiles)).scalar_one())


def grow(edge: Mapping[Place, bytes], old: int, leaf_hashes: Sequence[bytes]) -> dict[Place, bytes]:
    """What the tiles become when leaves are appended.

    Args:
        edge: the tiles of `edge_places(old)`.
        old: leaves before.
        leaf_hashes: of the new leaves, in order.

    Returns:
        Every tile that is new or wider, whole.
    """
    out: dict[Place, bytes] = {}
    new, level = old + len(leaf_hashes), 0
    fresh: list[bytes] = list(leaf_hashes)
    while fresh:
        first = old >> TILE_HEIGHT * level
        known = b"" if first % TILE_WIDTH == 0 else edge[level, first // TILE_WIDTH]
        data = known[: first % TILE_WIDTH * DIGEST_BYTES] + b"".join(fresh)
        number, above = first // TILE_WIDTH, []
        for at in range(0, len(data), TILE_WIDTH * DIGEST_BYTES):
            tile = data[at : at + TILE_WIDTH * DIGEST_BYTES]
            out[level, number] = tile
            if len(tile) == TILE_WIDTH * DIGEST_BYTES:
                above.append(_root(tile))
            number += 1
        fresh, level = above, level + 1
    # The arithmetic of the specification has the last word on which tiles there are.
    expected = {(t.level, t.index): t.width * DIGEST_BYTES for t in tiles_for_growth(old, new)}
    assert expected == {place: len(data) for place, data in out.items()}
    return out


def _root(tile: bytes) -> bytes:
    hashes = (tile[i : i + DIGEST_BYTES] for i in range(0, len(tile), DIGEST_BYTES))
    return Frontier().extend(hashes).root()


def write_tiles(connection: Connection, old: int, changed: Mapping[Place, bytes]) -> None:
    """Write what `grow` made; tiles that were partial at size `old` are replaced."""
    there = set(edge_places(old))
    fresh = [(*place, data) for place, data in changed.items() if place not in there]
    wider = [(*place, data) for place, data in changed.items() if place in there]
    if fresh:
        # Not `replace`: a tile that is there already would mean another history.
        backend_of(connection).insert(connection, tiles, fresh)
    if wider:
        backend_of(connection).replace(connection, tiles, wider)
