"""Tiles: the log's tree cut into pieces of 256 hashes, as C2SP tlog-tiles serves them.

The tile at (level, index) holds the hashes of complete subtrees of ``256**level`` leaves, from number
``256 * index`` on; the levels between are hashed anew by whoever reads it. All but the last tile of a
level are full, and full tiles never change. Here is only arithmetic, bytes and paths: fetching and keeping
tiles is their users' part.

Source: C2SP tlog-tiles; docs/spec/log.md.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.encoding import DIGEST_BYTES, Reader, Writer, malformed
from countermark_protocol.merkle import MAX_TREE_SIZE, Frontier, node_hash

#: A tile holds 2**8 hashes, so eight levels of the tree.
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
#: The last level that a path can name; a tree below 2**63 leaves has tiles on levels 0 to 7.
MAX_TILE_LEVEL: Final = 63
#: The last index that a path can name; keeps parsed indices in 64 bits.
MAX_TILE_INDEX: Final = 2**63 - 1
#: Entries carry a 16-bit length.
MAX_ENTRY_BYTES: Final = 65_535

_LEVEL = r"tile/(?P<level>0|[1-9][0-9]?)/"
_ENTRIES = r"tile/entries/"
_REST = r"(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?\Z"
_TILE_PATH = re.compile(_LEVEL + _REST)
_BUNDLE_PATH = re.compile(_ENTRIES + _REST)

#: ``fetch(level, index, width)``: the bytes of a tile, ``32 * width``. Who holds only a wider tile cuts it.
TileFetcher = Callable[[int, int, int], bytes]


def _check_range(value: int, low: int, high: int, what: str) -> None:
    if not low <= value <= high:
        msg = f"{what} must be from {low} to {high}, got {value}"
        raise ValueError(msg)


def _encode_index(index: int, width: int) -> str:
    text = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03}/{text}"
    return text if width == TILE_WIDTH else f"{text}.p/{width}"


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Which tile, and how much of it.

    Attributes:
        level: 0 to 63; level 0 holds leaf hashes.
        index: from 0 along the level, below 2**63.
        width: hashes in it, 1 to 256; below 256 the tile is partial.

    Raises:
        ValueError: a range above is broken.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_range(self.level, 0, MAX_TILE_LEVEL, "level of a tile")
        _check_range(self.index, 0, MAX_TILE_INDEX, "index of a tile")
        _check_range(self.width, 1, TILE_WIDTH, "width of a tile")

    def path(self) -> str:
        """Its path below the log's prefix, e.g. ``tile/0/x001/234.p/56``."""
        return f"tile/{self.level}/{_encode_index(self.index, self.width)}"


@dataclass(frozen=True, slots=True, order=True)
class Bundle:
    """Which bundle of entries, and how much of it: it goes with the level 0 tile of this index and width.

    Attributes:
        index: from 0, below 2**63.
        width: entries in it, 1 to 256; below 256 the bundle is partial.

    Raises:
        ValueError: a range above is broken.
    """

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_range(self.index, 0, MAX_TILE_INDEX, "index of a bundle")
        _check_range(self.width, 1, TILE_WIDTH, "width of a bundle")

    def path(self) -> str:
        """Its path below the log's prefix, e.g. ``tile/entries/x001/234.p/56``."""
        return f"tile/entries/{_encode_index(self.index, self.width)}"


def _parse_place(match: re.Match[str]) -> tuple[int, int]:
    groups = match["index"].replace("x", "").split("/")
    index = int("".join(groups))
    width = TILE_WIDTH if match["width"] is None else int(match["width"])
    if len(groups) > 1 and groups[0] == "000":
        malformed("bad_tile_path", "a tile path has one spelling: leading groups of zeros are not part of it")
    if index > MAX_TILE_INDEX:
        malformed("bad_tile_path", "the index in a tile path must be below 2^63")
    if match["width"] is not None and width >= TILE_WIDTH:
        malformed("bad_tile_path", f"the width of a partial tile is 1 to {TILE_WIDTH - 1}, got {width}")
    return index, width


def parse_tile_path(path: str) -> Tile:
    """Parse ``tile/<level>/<index>[.p/<width>]``, the inverse of `Tile.path`.

    Raises:
        MalformedError: ``bad_tile_path``: anything else; each tile has one path.
    """
    match = _TILE_PATH.match(path)
    if not match or int(match["level"]) > MAX_TILE_LEVEL:
        malformed("bad_tile_path", "expected a path such as tile/0/x001/234.p/56")
    return Tile(int(match["level"]), *_parse_place(match))


def parse_bundle_path(path: str) -> Bundle:
    """Parse ``tile/entries/<index>[.p/<width>]``, the inverse of `Bundle.path`.

    Raises:
        MalformedError: ``bad_tile_path``: anything else; each bundle has one path.
    """
    match = _BUNDLE_PATH.match(path)
    if not match:
        malformed("bad_tile_path", "expected a path such as tile/entries/x001/234.p/56")
    return Bundle(*_parse_place(match))


# --- which tiles there are ---------------------------------------------------------------------------


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes the tile at (level, index) has in a tree of `size` leaves, 0 to 256."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - TILE_WIDTH * index))


def tiles_for_growth(old: int, new: int) -> tuple[Tile, ...]:
    """The tiles that a tree of `new` leaves has and one of `old` leaves has not, or not as wide.

    Args:
        old: leaves before, 0 <= old <= new; from 0, these are all tiles of the new tree.
        new: leaves after, below 2**63. The answer has about (new - old) / 255 elements.

    Returns:
        Level by level, from left to right; the last of each level may be partial.

    Raises:
        ValueError: a range above is broken.

    Source: C2SP tlog-tiles, "Partial Tiles".
    """
    _check_range(new, 0, MAX_TREE_SIZE, "new tree size")
    _check_range(old, 0, new, "old tree size")
    tiles: list[Tile] = []
    level = 0
    while old != new:
        tiles.extend(Tile(level, i, tile_width(0, i, new)) for i in _touched(old, new))
        level += 1
        old, new = old // TILE_WIDTH, new // TILE_WIDTH
    return tuple(tiles)


def bundles_for_growth(old: int, new: int) -> tuple[Bundle, ...]:
    """The entry bundles that change when the tree grows; see `tiles_for_growth`."""
    _check_range(new, 0, MAX_TREE_SIZE, "new tree size")
    _check_range(old, 0, new, "old tree size")
    return tuple(Bundle(i, tile_width(0, i, new)) for i in _touched(old, new))


def _touched(old: int, new: int) -> range:
    """Indices of the tiles holding the hashes numbered `old` up to, not including, `new`."""
    return range(old // TILE_WIDTH, -(-new // TILE_WIDTH)) if old < new else range(0)


# --- what is in them ---------------------------------------------------------------------------------


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    """Join the hashes of a tile.

    Raises:
        ValueError: not 1 to 256 of them, or one is not 32 bytes long.
    """
    _check_range(len(hashes), 1, TILE_WIDTH, "width of a tile")
    out = Writer()
    for element in hashes:
        out.fixed(element, DIGEST_BYTES)
    return out.done()


def parse_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """Cut a tile into its hashes.

    Raises:
        MalformedError: ``bad_tile_size``: it is not exactly `width` hashes long.
    """
    if len(data) != width * DIGEST_BYTES:
        malformed(
            "bad_tile_size", f"a tile of width {width} has {width * DIGEST_BYTES} bytes, got {len(data)}"
        )
    return tuple(data[i : i + DIGEST_BYTES] for i in range(0, len(data), DIGEST_BYTES))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Encode a bundle of entries: (u16 length ‖ entry)*.

    Raises:
        ValueError: not 1 to 256 of them, or one is longer than 65,535 bytes.
    """
    _check_range(len(entries), 1, TILE_WIDTH, "width of a bundle")
    out = Writer()
    for entry in entries:
        _check_range(len(entry), 0, MAX_ENTRY_BYTES, "length of an entry")
        out.sized(entry, 2)
    return out.done()


def parse_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Cut a bundle into its entries.

    Args:
        data: as served.
        width: entries that the path asked for, 1 to 256.

    Raises:
        MalformedError: it ends within an entry, or goes on after the last one.

    Does not prove: that these are the log's entries; compare `merkle.leaf_hash` of each with a verified tile.
    """
    reader = Reader(data, "entry bundle")
    entries = tuple(reader.sized(2, MAX_ENTRY_BYTES, f"entry {i}") for i in range(width))
    reader.end()
    return entries


# --- hashes out of tiles -----------------------------------------------------------------------------


class TileHashes:
    """Hashes of complete subtrees, read from the tiles of a tree of `size` leaves.

    `get` is what `merkle.inclusion_path` and `merkle.consistency_path` take. Tiles are kept in a small
    cache (about 16 kB each) with the levels inside them, since one path needs all levels of a tile. Not
    for several threads at once. Nothing fetched is trusted: check `root_at` against a verified checkpoint,
    or verify what was made of it, and drop this object where that fails.

    Args:
        fetch: see `TileFetcher`; asked only for tiles that a tree of `size` leaves has.
        size: of the tree, 0 <= size < 2**63.
        cache_tiles: how many tiles are kept, at least 1.

    Raises:
        ValueError: a range above is broken.
    """

    def __init__(self, fetch: TileFetcher, size: int, *, cache_tiles: int = 64) -> None:
        _check_range(size, 0, MAX_TREE_SIZE, "tree size")
        if cache_tiles < 1:
            msg = f"expected room for at least 1 tile, got {cache_tiles}"
            raise ValueError(msg)
        self._fetch = fetch
        self._size = size
        self._cache_tiles = cache_tiles
        # A tile's key holds its width, so a tile that grew is another one and nothing here goes stale.
        self._cache: OrderedDict[tuple[int, int, int], tuple[tuple[bytes, ...], ...]] = OrderedDict()

    @property
    def size(self) -> int:
        """Leaves in the tree that the tiles are read for."""
        return self._size

    def at(self, size: int) -> TileHashes:
        """The same log at another size, with the same cache."""
        other = TileHashes(self._fetch, size, cache_tiles=self._cache_tiles)
        other._cache = self._cache
        return other

    def get(self, level: int, index: int) -> bytes:
        """Hash of the complete subtree of ``2**level`` leaves at `index`, 32 bytes.

        Raises:
            MalformedError: ``bad_tile_size``: what was fetched is not a tile of the width asked for.
            ValueError: there is no such complete subtree in this tree.
        """
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            msg = f"a tree of size {self._size} has no complete subtree at level {level}, index {index}"
            raise ValueError(msg)
        tile_level, inner = divmod(level, TILE_HEIGHT)
        tile_index, number = divmod(index, TILE_WIDTH >> inner)
        width = tile_width(tile_level, tile_index, self._size)
        return self._levels((tile_level, tile_index, width))[inner][number]

    def frontier_at(self, size: int) -> Frontier:
        """The frontier of the first `size` leaves, to append to or to take the root of.

        Raises:
            MalformedError: ``bad_tile_size``: see `get`.
            ValueError: `size` is negative or larger than this tree.
        """
        _check_range(size, 0, self._size, "size of the part of the tree asked for")
        hashes: list[bytes] = []
        begin = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                hashes.append(self.get(level, begin >> level))
                begin += 1 << level
        return Frontier(size, tuple(hashes))

    def root_at(self, size: int) -> bytes:
        """Root of the tree of the first `size` leaves, 32 bytes; raises as `frontier_at` does."""
        return self.frontier_at(size).root()

    def _levels(self, tile: tuple[int, int, int]) -> tuple[tuple[bytes, ...], ...]:
        """The hashes of a tile (level, index, width) and the complete subtrees over them, level by level."""
        known = self._cache.get(tile)
        if known is not None:
            self._cache.move_to_end(tile)
            return known
        levels = [parse_tile(self._fetch(*tile), tile[2])]
        while len(levels[-1]) > 1:
            below = levels[-1]
            levels.append(tuple(node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)))
        if len(self._cache) >= self._cache_tiles:
            self._cache.popitem(last=False)
        self._cache[tile] = tuple(levels)
        return self._cache[tile]
