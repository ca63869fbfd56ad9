"""Whether hand-backs continue this log: one tree under every checkpoint known, and how far it reaches.

Nothing is written before that is certain: what two histories share says nothing about which of them was published.

Source: docs/spec/export.md §6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.log.directory_holder import fold
from countermark_broker.log.tails import Tail
from countermark_broker.services.elsewhere import TWO_HISTORIES, Heard
from countermark_broker.services.tail_pool import Found, Pool, differs
from countermark_protocol.answers import Accepted
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError, ProofError
from countermark_protocol.merkle import Frontier, leaf_hash, verify_inclusion

STORE: Final = "the checkpoint store"


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint, and where it comes from.

    Attributes:
        source: for people.
        checkpoint: parsed.
        vouched: its signature was verified already, by a key of the log that may be named in what is lost.
    """

    source: str
    checkpoint: UnverifiedCheckpoint
    vouched: bool = False


def known_checkpoints(
    stored: UnverifiedCheckpoint, tails: Sequence[Tail], heard: Sequence[Heard]
) -> list[Known]:
    """The store's checkpoint, those of others and of the files, those under which anything was proven; by size."""
    known = [Known(STORE, stored)]
    known += [
        Known(one.source, parse_checkpoint(one.checkpoint.raw), vouched=True)
        for one in heard
        if one.checkpoint is not None
    ]
    seen: set[bytes] = set()
    for tail in tails:
        known.extend(Known(tail.name, one) for one in tail.checkpoints)
        for note in _proven_under(tail):
            if note not in seen:
                seen.add(note)
                known.append(Known(tail.name, parse_checkpoint(note)))
    return sorted(known, key=lambda one: one.checkpoint.size)


def _proven_under(tail: Tail) -> Iterator[bytes]:
    for held in tail.statements():
        yield held.proof.checkpoint
    for copy in tail.all_copies():
        if copy.proof is not None:
            yield copy.proof.checkpoint


class Chain:
    """The database's tree, continued leaf by leaf by what was handed back or mirrored.

    Args:
        frontier: of the database's tree.
        directory: as of it; changed.
        pool: all that was handed back.
        wanted: sizes of which the root is asked for later.

    Attributes:
        size: entries of the database and those that follow without a gap.
        roots: of the wanted sizes beyond the database's, as far as leaves reach.
    """

    def __init__(
        self,
        frontier: Frontier,
        directory: Directory,
        pool: Pool,
        wanted: Collection[int],
    ) -> None:
        self._pool = pool
        self.directory = directory
        self.first = frontier.size
        self.size = frontier.size
        self._frontier = frontier
        #: Of each entry beyond the database's: its leaf, and who holds it.
        self._leaves: list[tuple[bytes, str]] = []
        self.roots: dict[int, bytes] = {}
        self._wanted = wanted

    @property
    def reach(self) -> int:
        """How far leaves are known without a gap."""
        return self._frontier.size

    def extend(self) -> None:
        """Follow records and leaves as far as they go, but not beyond what somebody knows to be published.

        Raises:
            FatalError: ``tails_differ``, ``tail_differs``.
        """
        whole = True
        while (index := self.reach) < max(self._wanted):
            found = self._pool.find(index)
            known = (found.record.leaf, found.source) if found is not None else self._pool.leaf(index)
            if known is None:
                return
            self._frontier = self._frontier.append(leaf_hash(known[0]))
            self._leaves.append(known)
            if self.reach in self._wanted:
                self.roots[self.reach] = self._frontier.root()
            whole = whole and found is not None
            if whole and found is not None:
                self.size = self.reach
                if found.record.dir_number is not None:
                    self._fold(found)

    def leaf(self, index: int) -> bytes:
        """The leaf of an entry beyond the database's, within reach."""
        return self._leaves[index - self.first][0]

    def found(self, index: int) -> Found:
        """An entry beyond the database's, below `size`."""
        found = self._pool.find(index)
        assert found is not None
        return found

    def _fold(self, found: Found) -> None:
        record = found.record
        try:
            fold(self.directory, record.index, record.leaf, record.document)
        except FatalError as error:
            raise differs(found.source, error.message) from error

    def is_signed(self, checkpoint: UnverifiedCheckpoint) -> bool:
        """Whether the log key of its size, as far as the directory is known here, signed a checkpoint."""
        try:
            key = self.directory.log_key_for(checkpoint.size)
            verify_checkpoint(checkpoint, self.directory.origin_for(checkpoint.size), key.raw)
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
            # Beyond the entries at hand the directory is not known: the store's checkpoint is looked at once it is.
            looked_at = not one.vouched and (one.source != STORE or size <= self.size)
            if looked_at and not self.is_signed(one.checkpoint):
                raise _not_signed(one)
            if size <= self.reach:
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
        for tail in self._pool.tails:
            for index, proof in proofs_of(tail):
                if not self.first <= index < self.reach or self.leaf(index) == proof.inclusion.leaf:
                    continue
                return differs(
                    self._leaves[index - self.first][1],
                    f"entry {index} has another leaf than the one that was proven to {tail.header.holder} "
                    f"({tail.name})",
                )
        names = ", ".join(sorted({source for _, source in self._leaves})) or "the database"
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
    return FatalError("tail_of_fork", message, TWO_HISTORIES)


def proofs_of(tail: Tail) -> Iterator[tuple[int, Accepted]]:
    """Index and proof of all that was proven to the holder of a file."""
    for held in tail.statements():
        yield held.index, held.proof
    for copy in tail.all_copies():
        if copy.proof is not None:
            yield copy.index, copy.proof


def check_proof(tail: Tail, index: int, proof: Accepted, leaf: bytes) -> None:
    """Demand that the proof which a party was given proves the very leaf that stands at its index.

    Its checkpoint is one of those that were checked: so it can be for no other leaf, only not hold.

    Raises:
        FatalError: ``tail_differs``.
    """
    checkpoint, path = parse_checkpoint(proof.checkpoint), list(proof.inclusion.path)
    try:
        verify_inclusion(leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)
    except ProofError as error:
        raise differs(
            tail.name,
            f"the proof of entry {index} is not one of the published leaf: {error.message}",
        ) from error
