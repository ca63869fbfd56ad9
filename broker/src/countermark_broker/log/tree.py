"""Paths and roots from tiles, with a cache: full tiles never change, partial ones only grow.

Source: C2SP tlog-tiles; countermark_protocol.tiles.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from countermark_broker.errors import FatalError
from countermark_broker.store.engine import Connection
from countermark_broker.store.tiles import Place, edge_places, places_for, read_tiles
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.merkle import consistency_path, inclusion_paths
from countermark_protocol.tiles import Tile, TileHashes, tile_width

T = TypeVar("T")

_ROOTS_KEPT = 4096


class _MissingTileError(Exception):
    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Tree:
    """Reads the committed tree; may be used from any thread.

    Args:
        cache_tiles: how many tiles of 8 kB are kept.
    """

    def __init__(self, cache_tiles: int) -> None:
        self._cache_tiles = cache_tiles
        self._lock = threading.RLock()
        self._data: OrderedDict[Place, bytes] = OrderedDict()
        self._hashes = TileHashes(self._fetch, 0)
        self._roots: OrderedDict[int, bytes] = OrderedDict()

    def inclusion(
        self, connection: Connection, indexes: Iterable[int], size: int
    ) -> dict[int, tuple[bytes, ...]]:
        """Inclusion paths of some leaves in the tree of `size` leaves, by index."""
        wanted = list(indexes)
        places: set[Place] = set()
        for index in wanted:
            places |= places_for(index, size)
        return self._make(
            connection,
            size,
            places,
            lambda hashes: inclusion_paths(hashes.get, wanted, size),
        )

    def known_inclusions(self, indexes: Iterable[int], size: int) -> dict[int, tuple[bytes, ...]]:
        """The paths of some leaves if all their tiles are in memory, as right after a commit; else none."""
        try:
            with self._lock:
                return inclusion_paths(self._hashes.at(size).get, indexes, size)
        except _MissingTileError:
            return {}

    def consistency(self, connection: Connection, old: int, new: int) -> tuple[bytes, ...]:
        """The path that shows the tree of `old` leaves to be the beginning of that of `new`."""
        places = places_for(max(old - 1, 0), new) | set(edge_places(old))
        return self._make(
            connection, new, places, lambda hashes: tuple(consistency_path(hashes.get, old, new))
        )

    def root(self, connection: Connection, size: int) -> bytes:
        """Root of the first `size` leaves."""
        with self._lock:
            known = self._roots.get(size)
        if known is not None:
            return known
        root = self._make(connection, size, edge_places(size), lambda hashes: hashes.root_at(size))
        with self._lock:
            self._roots[size] = root
            if len(self._roots) > _ROOTS_KEPT:
                self._roots.popitem(last=False)
        return root

    def recompute_root(self, connection: Connection, size: int) -> bytes:
        """As `root`, but from the tiles as the database holds them now, never from memory."""
        return self.recompute_roots(connection, [size])[0]

    def recompute_roots(self, connection: Connection, sizes: Sequence[int]) -> list[bytes]:
        """As `recompute_root` for several sizes; each tile is read and hashed once."""
        data: dict[Place, bytes] = {}
        size = max(sizes)

        def fetch(level: int, number: int, width: int) -> bytes:
            return _cut(data, (level, number), width)

        absent = list({place for each in sizes for place in edge_places(each)})
        hashes = TileHashes(fetch, size)
        while True:
            data |= read_tiles(connection, absent)
            _demand_wide(data, absent, size)
            try:
                return [hashes.root_at(each) for each in sizes]
            except _MissingTileError as missing:
                absent = [missing.place]

    def edge(self, connection: Connection, size: int) -> dict[Place, bytes]:
        """The partial tiles at the right edge, to append to."""
        places = edge_places(size)
        while True:
            self._load(connection, places, size)
            with self._lock:
                found = {place: self._data[place] for place in places if place in self._data}
            # Unless another thread's request evicted one in between.
            if len(found) == len(places):
                return found

    def tile(self, connection: Connection, tile: Tile, size: int) -> bytes:
        """The hashes of a tile that a tree of `size` leaves has at least as wide, 32 bytes each.

        What is not in memory is not kept there either: whoever fetches the whole log, tile by tile, would drive out
        those that paths are made of.
        """
        place = (tile.level, tile.index)
        with self._lock, suppress(_MissingTileError):
            return _cut(self._data, place, tile.width)
        found = read_tiles(connection, [place])
        _demand_wide(found, [place], size)
        return _cut(found, place, tile.width)

    def absorb(self, changed: Mapping[Place, bytes]) -> None:
        """Take tiles that have just been committed."""
        for place, data in changed.items():
            self._keep(place, data)

    # --- cache ---

    def _make(
        self, connection: Connection, size: int, places: Iterable[Place], make: Callable[[TileHashes], T]
    ) -> T:
        self._load(connection, places, size)
        while True:
            try:
                with self._lock:
                    return make(self._hashes.at(size))
            except _MissingTileError as missing:
                # Evicted by another request between loading and making.
                self._load(connection, [missing.place], size)

    def _fetch(self, level: int, number: int, width: int) -> bytes:
        return _cut(self._data, (level, number), width)

    def _load(self, connection: Connection, places: Iterable[Place], size: int) -> None:
        with self._lock:
            absent = [p for p in places if len(self._data.get(p, b"")) < _bytes_of(p, size)]
        if not absent:
            return
        found = read_tiles(connection, absent)
        _demand_wide(found, absent, size)
        for place, data in found.items():
            self._keep(place, data)

    def _keep(self, place: Place, data: bytes) -> None:
        with self._lock:
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
