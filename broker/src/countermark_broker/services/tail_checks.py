"""Whether hand-backs continue this log: one tree under every checkpoint known, and how far it reaches.

Nothing is written before that is certain: what two histories share says nothing about which of them was published.

Source: docs/spec/export.md §6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.log.directory_holder import fold
from countermark_broker.log.tails import Tail, entry_record
from countermark_broker.services.checking import check_record
from countermark_broker.store.reading import EntryRecord
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError, ProofError
from countermark_protocol.hand_back import HeldStatement
from countermark_protocol.identifiers import Origin
from countermark_protocol.merkle import Frontier, leaf_hash, verify_inclusion

STORE: Final = "the checkpoint store"
_LEAVE_OUT: Final = (
    "leave that file out, and ask its holder for another one; nothing was written "
    "(docs/operations/backup-and-restore.md §5)"
)
_TWO_HISTORIES: Final = (
    "keep both: they prove that the log key signed two histories. Nothing was written; tell the governors "
    "(docs/operations/running-a-broker.md §7)"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint, and where it comes from."""

    source: str
    checkpoint: UnverifiedCheckpoint


def known_checkpoints(stored: UnverifiedCheckpoint, tails: Sequence[Tail]) -> list[Known]:
    """The store's checkpoint, those of the files, and those under which statements were proven, by size."""
    known = [Known(STORE, stored)]
    seen: set[bytes] = set()
    for tail in tails:
        known.extend(Known(tail.name, one) for one in tail.checkpoints)
        for held in tail.statements():
            note = held.proof.checkpoint
            if note not in seen:
                seen.add(note)
                known.append(Known(tail.name, parse_checkpoint(note)))
    return sorted(known, key=lambda one: one.checkpoint.size)


class Chain:
    """The database's tree, continued leaf by leaf by what was handed back.

    Args:
        origin: of the log.
        frontier: of the database's tree.
        directory: as of it; changed.
        tails: the files.
        wanted: sizes of which the root is asked for later.

    Attributes:
        sources: for each entry beyond the database's, the file that its record is taken from.
        roots: of the wanted sizes beyond the database's, as far as it reaches.
    """

    def __init__(
        self,
        origin: Origin,
        frontier: Frontier,
        directory: Directory,
        tails: Sequence[Tail],
        wanted: Collection[int],
    ) -> None:
        self._origin = origin
        self._tails = tails
        self.directory = directory
        self.first = frontier.size
        self.frontier = frontier
        self.sources: list[Tail] = []
        self.roots: dict[int, bytes] = {}
        self._wanted = wanted

    @property
    def size(self) -> int:
        """Entries of the database and those that follow without a gap."""
        return self.frontier.size

    def extend(self) -> None:
        """Follow the records as far as they go, but not beyond what somebody knows to be published.

        Raises:
            FatalError: ``tails_differ``, ``tail_differs``.
        """
        while (index := self.size) < max(self._wanted):
            holders = [tail for tail in self._tails if index in tail.records]
            if not holders:
                return
            record = self._read(holders[0], index)
            for other in holders[1:]:
                if self._read(other, index).leaf != record.leaf:
                    raise FatalError(
                        "tails_differ",
                        f"entry {index}: {holders[0].name} and {other.name} hold different leaves: one of them is "
                        "of another history, or was altered",
                        "give one of them at a time, to see which one leads to the published root",
                    )
            self.frontier = self.frontier.append(leaf_hash(record.leaf))
            if self.size in self._wanted:
                self.roots[self.size] = self.frontier.root()
            self.sources.append(holders[0])
            if record.dir_number is not None:
                self._fold(holders[0], record)

    def record(self, index: int) -> EntryRecord:
        """The record of an entry beyond the database's."""
        return self._read(self.sources[index - self.first], index)

    def _read(self, tail: Tail, index: int) -> EntryRecord:
        found = tail.record(index)
        assert found is not None
        try:
            record = entry_record(found)
        except CountermarkError as error:
            raise differs(tail.name, f"entry {index}: {error.message}") from error
        for finding in check_record(record):
            raise differs(tail.name, finding.message)
        return record

    def _fold(self, tail: Tail, record: EntryRecord) -> None:
        try:
            fold(self.directory, record.index, record.leaf, record.document)
        except FatalError as error:
            raise differs(tail.name, error.message) from error

    def is_signed(self, checkpoint: UnverifiedCheckpoint) -> bool:
        """Whether the log key of its size, as far as the directory is known here, signed a checkpoint."""
        try:
            key = self.directory.log_key_for(checkpoint.size)
            verify_checkpoint(checkpoint, self._origin, key.raw)
        except CountermarkError:
            return False
        return True

    def check(self, known: Sequence[Known], root_before: Callable[[int], bytes]) -> int:
        """Demand that every checkpoint known is signed, and within reach has the root that is found here.

        Args:
            known: by size.
            root_before: gives the root of the database's tree at a size.

        Returns:
            The largest size that was published.

        Raises:
            FatalError: ``tail_of_fork``, ``tail_differs``, ``store_not_signed``.
        """
        right: list[Known] = []
        wrong: list[Known] = []
        for one in known:
            size = one.checkpoint.size
            if not self.is_signed(one.checkpoint) and (one.source != STORE or size <= self.size):
                raise _not_signed(one)
            if size <= self.size:
                root = root_before(size) if size <= self.first else self.roots[size]
                (right if root == one.checkpoint.root else wrong).append(one)
        for one in wrong:
            # Two signed roots, one of which these very leaves give at the same size or beyond: no leaf was altered.
            anchors = [r for r in right if r.checkpoint.size >= one.checkpoint.size]
            if anchors:
                raise _two_histories(one, next((r for r in anchors if r.source == STORE), anchors[-1]))
            raise self._altered(one, right)
        return known[-1].checkpoint.size

    def _altered(self, wrong: Known, right: Sequence[Known]) -> FatalError:
        """Why these leaves do not give a signed root: they end in another history, or one of them was altered."""
        for one in reversed(right):
            if one.source != STORE and one.checkpoint.size > self.first and wrong.source == STORE:
                return _two_histories(wrong, one)
        for tail in self._tails:
            for held in tail.statements():
                if not self.first <= held.index < self.size:
                    continue
                if self.record(held.index).leaf != held.proof.inclusion.leaf:
                    return differs(
                        self.sources[held.index - self.first].name,
                        f"entry {held.index} has another leaf than the one that was proven to {tail.header.holder} "
                        f"({tail.name})",
                    )
        names = ", ".join(sorted({tail.name for tail in self.sources})) or "the database"
        size = wrong.checkpoint.size
        return differs(
            names,
            f"the entries do not give the root that was published for size {size}: a leaf was altered",
        )


def _not_signed(one: Known) -> FatalError:
    what = f"the log key did not sign its checkpoint of size {one.checkpoint.size}"
    if one.source == STORE:
        return FatalError("store_not_signed", f"{one.source}: {what}", "find out who wrote it")
    return differs(one.source, what)


def _two_histories(wrong: Known, right: Known) -> FatalError:
    """Two signed checkpoints that no one log has; of these leaves is the second."""
    if wrong.source == STORE:
        message = (
            f"{right.source} is of another history: its entries give its own checkpoint of size "
            f"{right.checkpoint.size}, which the log key signed, and not the root that was published for size "
            f"{wrong.checkpoint.size}"
        )
    elif right.source == STORE:
        message = (
            f"{wrong.source} is of another history: its checkpoint of size {wrong.checkpoint.size}, which the log "
            "key signed, has another root than the entries that were published"
        )
    else:
        message = (
            f"{wrong.source} and {right.source} are of two histories: the log key signed size "
            f"{wrong.checkpoint.size} of one and size {right.checkpoint.size} of the other"
        )
    return FatalError("tail_of_fork", message, _TWO_HISTORIES)


def differs(name: str, what: str) -> FatalError:
    """A file holds something that was not logged here."""
    return FatalError("tail_differs", f"{name}: {what}", _LEAVE_OUT)


def check_proof(tail: Tail, held: HeldStatement, record: EntryRecord) -> None:
    """Demand that the proof which a party was given proves the very leaf that stands at its index.

    Its checkpoint is one of those that were checked: so it can be for no other leaf, only not hold.

    Raises:
        FatalError: ``tail_differs``.
    """
    checkpoint, path = parse_checkpoint(held.proof.checkpoint), list(held.proof.inclusion.path)
    try:
        verify_inclusion(leaf_hash(record.leaf), held.index, checkpoint.size, path, checkpoint.root)
    except ProofError as error:
        raise differs(
            tail.name,
            f"the proof of entry {held.index} is not one of the published leaf: {error.message}",
        ) from error
