"""A log read by tiles: whatever comes out is under the root of one verified checkpoint.

The partial tiles at the right edge together give the root. Every full tile gives one hash of the level above, so
it is believed once that is; so is a full bundle of entries, without its level 0 tile. A reader can therefore begin
anywhere, stop anywhere, and needs one tile a level in memory, whatever the size of the log. Getting the bytes is its
users' part: auditors' mirrors, mirrors of witnesses, and a broker that asks for the leaves which it has lost.

Source: C2SP tlog-tiles; docs/spec/log.md §1.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.errors import InconsistentLogError, NotFoundError, ProofError
from countermark_protocol.merkle import Frontier, inclusion_path, leaf_hash, root_of
from countermark_protocol.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
    TileHashes,
    encode_tile,
    parse_bundle,
    parse_tile,
    tile_width,
)

#: ``fetch(path)``: what a log serves at a path below its prefix, unverified. Raises `NotFoundError` where that
#: is nothing, `TransportError` where it cannot be told.
Fetch = Callable[[str], bytes]


class VerifiedTiles:
    """The log below one verified checkpoint, from tiles that are each checked before anything is made of them.

    Every method raises, beside what it names: what `fetch` raises; `MalformedError`, where what was served is no
    tile or bundle of the width asked for; and ``tile_mismatch`` (`ProofError`), where it does not lead to the root.
    Nothing is kept of what was refused: the same object may be asked again, and another source be tried under the
    same checkpoint.

    Args:
        fetch: gets what the log serves, over HTTP or out of files; nothing of it is trusted.
        checkpoint: what everything is checked against.

    Does not prove: that others are shown the same log; compare the checkpoint with theirs.
    """

    def __init__(self, fetch: Fetch, checkpoint: Checkpoint) -> None:
        self._fetch = fetch
        self._checkpoint = checkpoint
        self._hashes = TileHashes(self._verified, checkpoint.size)
        #: Partial tiles by level, once they are verified.
        self._edge: dict[int, bytes] | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """What everything here is checked against."""
        return self._checkpoint

    def leaves(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Index and bytes of every entry from `start` on, each verified before it is given.

        Reading goes bundle by bundle. Whoever was interrupted begins at the next index anew; at a multiple of 256
        nothing is fetched twice.

        Raises:
            ValueError: `start` is negative or beyond the checkpoint's size.
        """
        size = self._checkpoint.size
        if not 0 <= start <= size:
            msg = f"expected a start from 0 to the size {size}, got {start}"
            raise ValueError(msg)
        # Of what is read already, nothing is fetched again.
        end = -(-size // TILE_WIDTH) if start < size else 0
        for index in range(start // TILE_WIDTH, end):
            first = index * TILE_WIDTH
            for number, entry in enumerate(self.bundle(index), first):
                if number >= start:
                    yield number, entry

    def bundle(self, index: int) -> tuple[bytes, ...]:
        """The entries from ``256 * index`` on, 256 or what there are, verified.

        Raises:
            ValueError: the log has no such bundle below this checkpoint.
        """
        width = tile_width(0, index, self._checkpoint.size) if index >= 0 else 0
        if not width:
            msg = f"a log of size {self._checkpoint.size} has no entry bundle {index}"
            raise ValueError(msg)
        bundle = Bundle(index, width)
        try:
            entries = parse_bundle(self._fetch(bundle.path()), width)
        except NotFoundError:
            # Of a log that has grown since: partial ones may be gone once the full one is there.
            if width == TILE_WIDTH:
                raise
            entries = parse_bundle(self._fetch(Bundle(index).path()), TILE_WIDTH)[:width]
        hashes = [leaf_hash(entry) for entry in entries]
        if width == TILE_WIDTH:
            good = root_of(hashes) == self._hashes.get(TILE_HEIGHT, index)
        else:
            good = encode_tile(hashes) == self._edge_tiles()[0]
        if not good:
            raise self._mismatch(bundle.path())
        return entries

    def frontier_at(self, size: int) -> Frontier:
        """The frontier of the first `size` leaves, to fold further ones into; needs a few tiles, no entries.

        Raises:
            ValueError: `size` is negative or beyond the checkpoint's.
        """
        return self._hashes.frontier_at(size)

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The path of the leaf at `index` to the checkpoint's root, as a tlog-proof holds it.

        Raises:
            ValueError: `index` is negative or not below the checkpoint's size.
        """
        return tuple(inclusion_path(self._hashes.get, index, self._checkpoint.size))

    def verify_continues(self, older: Checkpoint) -> None:
        """Check that the tree of an older verified checkpoint is the beginning of this one.

        Raises:
            InconsistentLogError: ``checkpoint_fork``, with both checkpoints: the log signed two histories.
            ValueError: it is not of this log, or not older.
        """
        newer = self._checkpoint
        if older.origin != newer.origin or older.size > newer.size:
            msg = f"expected a checkpoint of {newer.origin} up to size {newer.size}, got {older.origin}, {older.size}"
            raise ValueError(msg)
        if self.frontier_at(older.size).root() != older.root:
            raise InconsistentLogError(
                "checkpoint_fork",
                f"the log signed size {older.size} and size {newer.size}, and one does not continue the other",
                older.raw,
                newer.raw,
            )

    # --- tiles ---

    def _verified(self, level: int, index: int, width: int) -> bytes:
        """A tile that leads to the root. All partial ones of a tree are at its right edge."""
        if width < TILE_WIDTH:
            return self._edge_tiles()[level]
        tile = Tile(level, index)
        data = self._fetch(tile.path())
        # The level above is verified first, up to the edge.
        if root_of(parse_tile(data, width)) != self._hashes.get(TILE_HEIGHT * (level + 1), index):
            raise self._mismatch(tile.path())
        return data

    def _edge_tiles(self) -> dict[int, bytes]:
        if self._edge is None:
            found: dict[int, bytes] = {}

            def fetch(level: int, index: int, width: int) -> bytes:
                found[level] = self._fetch_partial(Tile(level, index, width))
                return found[level]

            # The root of any tree is made of its partial tiles alone, and of every hash in them.
            if (
                TileHashes(fetch, self._checkpoint.size).root_at(self._checkpoint.size)
                != self._checkpoint.root
            ):
                raise self._mismatch("the partial tiles at the right edge")
            self._edge = found
        return self._edge

    def _fetch_partial(self, tile: Tile) -> bytes:
        try:
            return self._fetch(tile.path())
        except NotFoundError:
            full = encode_tile(parse_tile(self._fetch(Tile(tile.level, tile.index).path()), TILE_WIDTH))
            return full[: len(full) // TILE_WIDTH * tile.width]

    def _mismatch(self, what: str) -> ProofError:
        return ProofError(
            "tile_mismatch",
            f"{what} does not lead to the root that the log signed for size {self._checkpoint.size}",
        )
