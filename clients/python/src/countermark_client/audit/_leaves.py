"""Leaves: every one of the log, in the mirror, each following the one before and all giving the signed root.

Source: docs/spec/log.md §1, §3.4, §9.1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._fold import Fold, StoppedError
from countermark_client.audit._mirror import Mirror
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.errors import (
    CountermarkError,
    InconsistentLogError,
    MalformedError,
    UncheckableError,
)
from countermark_protocol.leaf import Leaf, parse_leaf, verify_succession
from countermark_protocol.merkle import Frontier, leaf_hash

#: A frontier is kept at every multiple of this size.
STEP: Final = 256
_WINDOWS: Final = 64


def stored_leaves(mirror: Mirror, start: int, end: int) -> list[bytes]:
    """The leaves that a mirror holds from one index up to another, without gap from the first on."""
    rows = mirror.database.execute(
        "SELECT idx, leaf FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end)
    ).fetchall()
    return [leaf for number, (idx, leaf) in enumerate(rows) if idx == start + number]


def count_leaves(mirror: Mirror) -> int:
    """How many leaves a mirror holds."""
    row = mirror.database.execute("SELECT max(idx) FROM leaves").fetchone()
    return 0 if row[0] is None else int(row[0]) + 1


class Tree:
    """The tree over a mirror's leaves: the root and frontier at any of its sizes.

    Args:
        leaves: the mirror that holds the leaves in full.
        frontiers: the mirror that holds frontiers; another one where the first is being verified.
    """

    def __init__(self, leaves: Mirror, frontiers: Mirror) -> None:
        self._leaves = leaves
        self._frontiers = frontiers
        self._windows: OrderedDict[int, list[bytes]] = OrderedDict()

    def leaf(self, index: int) -> bytes | None:
        """The leaf at an index, 115 bytes; None beyond those that are held."""
        found = stored_leaves(self._leaves, index, index + 1) if index >= 0 else []
        return found[0] if found else None

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaves from one index up to another, as far as they are held."""
        return stored_leaves(self._leaves, start, end)

    def frontier_at(self, size: int) -> Frontier:
        """The frontier of the first `size` leaves, as many as are held."""
        base = size // STEP * STEP
        row = self._frontiers.database.execute(
            "SELECT hashes FROM frontiers WHERE size = ?", (base,)
        ).fetchone()
        frontier = _read_frontier(base, row[0]) if row is not None else Frontier()
        return frontier.extend(map(leaf_hash, self.leaves(frontier.size, size)))

    def root(self, size: int) -> bytes | None:
        """Root of the first `size` leaves, 32 bytes; None where fewer are held. Those of sizes near by are kept."""
        window = size // STEP
        known = self._windows.get(window)
        if known is None or size % STEP >= len(known):
            known = self._windows[window] = self._make(window * STEP)
            if len(self._windows) > _WINDOWS:
                self._windows.popitem(last=False)
        return known[size % STEP] if size % STEP < len(known) else None

    def _make(self, base: int) -> list[bytes]:
        frontier = self.frontier_at(base)
        out = [frontier.root()] if frontier.size == base else []
        for leaf in self.leaves(base, base + STEP - 1) if out else ():
            frontier = frontier.append(leaf_hash(leaf))
            out.append(frontier.root())
        return out


def _read_frontier(size: int, data: bytes) -> Frontier:
    return Frontier(size, tuple(data[i : i + DIGEST_BYTES] for i in range(0, len(data), DIGEST_BYTES)))


class LeafKeeper:
    """Takes leaves into a mirror, in order.

    Args:
        mirror: into which.
        fold: the directory, folded as far as these leaves go.
        findings: where what is wrong is taken down.
        keeps_bytes: whether leaves are written in full; when a mirror is verified, only what is derived of them.
    """

    def __init__(self, mirror: Mirror, fold: Fold, findings: Findings, *, keeps_bytes: bool = True) -> None:
        self._mirror = mirror
        self._fold = fold
        self._findings = findings
        self._keeps = keeps_bytes
        size = count_leaves(mirror)
        tree = Tree(mirror, mirror)
        self.frontier = tree.frontier_at(size)
        #: The last leaf, and the last one that followed the one before it.
        last = tree.leaf(size - 1)
        self._before = self._good = parse_leaf(last) if last is not None else None
        # A difference from the fold is told where it begins, not at every leaf that carries it on.
        self._apart = self._before is not None and self._differs(size - 1, self._before)

    def write(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves, and the directory statements among them, in a transaction.

        Raises:
            StoppedError: one is not in the one form, so nothing after it can be read; it is taken down.
        """
        start = self.frontier.size
        try:
            with self._mirror.transaction():
                self.take(leaves)
                self._fold.write(self._mirror, start, leaves, keeps_bytes=self._keeps)
        except (MalformedError, UncheckableError) as error:
            self._findings.add(
                Check.LEAF_FORM, f"leaves from {start}", "leaves in their one form", str(error), None
            )
            raise StoppedError from error

    def take(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves, in the caller's transaction.

        Raises:
            CountermarkError: one is not in the one form.
        """
        start = self.frontier.size
        rows: list[tuple[int, int, int, bytes]] = []
        frontiers: list[tuple[int, bytes]] = []
        pending: list[bytes] = []
        for index, data in enumerate(leaves, start):
            leaf = parse_leaf(data)
            self._check(index, leaf)
            rows.append((index, leaf.kind, leaf.time, data if self._keeps else b""))
            pending.append(leaf_hash(data))
            if (index + 1) % STEP == 0:
                self.frontier = self.frontier.extend(pending)
                pending = []
                frontiers.append((index + 1, b"".join(self.frontier.hashes)))
        self.frontier = self.frontier.extend(pending)
        database = self._mirror.database
        database.executemany("INSERT INTO leaves VALUES (?, ?, ?, ?)", rows)
        database.executemany("INSERT INTO frontiers VALUES (?, ?)", frontiers)

    def _check(self, index: int, leaf: Leaf) -> None:
        follows = True
        try:
            verify_succession(self._before, leaf)
        except InconsistentLogError as error:
            # One bad leaf between two good ones is one finding.
            follows = self._before is not self._good and _follows(self._good, leaf)
            if not follows:
                self._findings.entry(
                    Check(error.code),
                    index,
                    "a leaf that follows the one before it",
                    error.message,
                    **dict(
                        zip(
                            ("before", "leaf") if len(error.evidence) > 1 else ("leaf",),
                            error.evidence,
                            strict=True,
                        )
                    ),
                )
        apart = self._differs(index, leaf)
        if apart and not self._apart and follows:
            count, head = self._fold.head_at(index)
            self._findings.entry(
                Check.HEAD,
                index,
                f"directory head {head.hex()} after {count} statements",
                f"{leaf.dir_head.hex()} after {leaf.dir_count}",
                leaf=leaf.encode(),
            )
        self._apart = apart
        self._before = leaf
        if follows:
            self._good = leaf

    def _differs(self, index: int, leaf: Leaf) -> bool:
        return (leaf.dir_count, leaf.dir_head) != self._fold.head_at(index)


def _follows(before: Leaf | None, leaf: Leaf) -> bool:
    try:
        verify_succession(before, leaf)
    except InconsistentLogError:
        return False
    return True


def check_checkpoint(place: str, note: bytes, fold: Fold, findings: Findings) -> Checkpoint | None:
    """Verify a checkpoint by the log key of its size; None, and a finding, where it does not verify."""
    try:
        unverified = parse_checkpoint(note)
        directory = fold.directory
        key = directory.log_key_for(unverified.size)
        return verify_checkpoint(unverified, directory.origin_for(unverified.size), key.raw)
    except CountermarkError as error:
        findings.add(
            Check.CHECKPOINT,
            place,
            "a checkpoint signed by the log's key",
            str(error),
            checkpoint=note,
        )
        return None


def keep_checkpoint(mirror: Mirror, checkpoint: Checkpoint, received: int) -> None:
    """Write a verified checkpoint into a mirror whose leaves give its root; of one size the newest note stays."""
    mirror.database.execute(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
        (checkpoint.size, checkpoint.root, checkpoint.raw, received),
    )
