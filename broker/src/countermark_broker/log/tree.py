"""Paths and roots from tiles, with a cache: full tiles never change, partial ones only grow.

Source: C2SP tlog-tiles; countermark_protocol.tiles.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from countermark_broker.errors import FatalError
from countermark_broker.store.engine import Connection
from countermark_broker.store.tiles import Place, edge_places, places_for, read_tiles
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.merkle import consistency_path, inclusion_path
from countermark_protocol.tiles import TileHashes, tile_width

T = TypeVar("T")

_ROOTS_KEPT = 4096


class _MissingTileError(Exception):
    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Tree:
    """Reads the committed tree.

    Args:
        cache_tiles: how many tiles of 8 kB are kept.
    """

    def __init__(self, cache_tiles: int) -> None:
        self._cache_tiles = cache_tiles
        self._data: OrderedDict[Place, bytes] = OrderedDict()
        self._hashes = TileHashes(self._fetch, 0)
        self._roots: OrderedDict[int, bytes] = OrderedDict()

    async def inclusion(
        self, connection: Connection, indexes: Iterable[int], size: int
    ) -> dict[int, tuple[bytes, ...]]:
        """Inclusion paths of some leaves in the tree of `size` leaves, by index."""
        wanted = list(indexes)
        places: set[Place] = set()
        for index in wanted:
            places |= places_for(index, size)
        return await self._make(
            connection,
            size,
            places,
            lambda hashes: {i: tuple(inclusion_path(hashes.get, i, size)) for i in wanted},
        )

    def known_inclusion(self, index: int, size: int) -> tuple[bytes, ...] | None:
        """The path of one leaf if all its tiles are in memory: so it is right after a commit."""
        try:
            return tuple(inclusion_path(self._hashes.at(size).get, index, size))
        except _MissingTileError:
            return None

    async def consistency(self, connection: Connection, old: int, new: int) -> tuple[bytes, ...]:
        """The path that shows the tree of `old` leaves to be the beginning of that of `new`."""
        places = places_for(max(old - 1, 0), new) | set(edge_places(old))
        return await self._make(
            connection, new, places, lambda hashes: tuple(consistency_path(hashes.get, old, new))
        )

    async def root(self, connection: Connection, size: int) -> bytes:
        """Root of the first `size` leaves."""
        known = self._roots.get(size)
        if known is not None:
            return known
        root = await self._make(connection, size, edge_places(size), lambda hashes: hashes.root_at(size))
        self._roots[size] = root
        if len(self._roots) > _ROOTS_KEPT:
            self._roots.popitem(last=False)
        return root

    async def recompute_root(self, connection: Connection, size: int) -> bytes:
        """As `root`, but from the tiles as the database holds them now, never from memory."""
        data: dict[Place, bytes] = {}

        def fetch(level: int, number: int, width: int) -> bytes:
            return _cut(data, (level, number), width)

        absent = edge_places(size)
        while True:
            data |= await read_tiles(connection, absent)
            _demand_wide(data, absent, size)
            try:
                return TileHashes(fetch, size).root_at(size)
            except _MissingTileError as missing:
                absent = [missing.place]

    async def edge(self, connection: Connection, size: int) -> dict[Place, bytes]:
        """The partial tiles at the right edge, to append to."""
        places = edge_places(size)
        await self._load(connection, places, size)
        return {place: self._data[place] for place in places}

    def absorb(self, changed: Mapping[Place, bytes]) -> None:
        """Take tiles that have just been committed."""
        for place, data in changed.items():
            self._keep(place, data)

    # --- cache ---

    async def _make(
        self, connection: Connection, size: int, places: Iterable[Place], make: Callable[[TileHashes], T]
    ) -> T:
        await self._load(connection, places, size)
        while True:
            try:
                return make(self._hashes.at(size))
            except _MissingTileError as missing:
                # Evicted by another request between loading and making.
                await self._load(connection, [missing.place], size)

    def _fetch(self, level: int, number: int, width: int) -> bytes:
        return _cut(self._data, (level, number), width)

    async def _load(self, connection: Connection, places: Iterable[Place], size: int) -> None:
        absent = [place for place in places if len(self._data.get(place, b"")) < _bytes_of(place, size)]
        if not absent:
            return
        for place, data in (await read_tiles(connection, absent)).items():
            self._keep(place, data)
        _demand_wide(self._data, absent, size)

    def _keep(self, place: Place, data: bytes) -> None:
        if len(data) >= len(self._data.get(place, b"")):
            self._data[place] = data
        self._data.move_to_end(place)
        while len(self._data) > self._cache_tiles:
            self._data.popitem(last=False)


def _bytes_of(place: Place, size: int) -> int:
    return tile_width(*place, size) * DIGEST_BYTES


def _cut(data: Mapping[Place, bytes], place: Place, width: int) -> bytes:
    tile = data.get(place, b"")
    if len(tile) < width * DIGEST_BYTES:
        raise _MissingTileError(place)
    return tile[: width * DIGEST_BYTES]


def _demand_wide(data: Mapping[Place, bytes], places: Iterable[Place], size: int) -> None:
    for place in places:
        if len(data.get(place, b"")) < _bytes_of(place, size):
            raise FatalError(
                "tile_missing",
                f"tile {place[1]} of level {place[0]} is missing or too short for size {size}",
                "stop all nodes and run `countermark-broker rebuild`",
            )
