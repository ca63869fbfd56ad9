"""Gossip: every statement that is read names what its signer has seen of the log, and that is compared.

A broker that shows two parties two logs must keep all that one of them signs from the other for ever: the
first statement that crosses over names a tree that the reader's own checkpoint does not continue.

A signer's largest `seen` stands for its smaller ones, each of which its own client has compared; so a page
costs at most one request for each signer in it, and none where the tree it names is known.

Source: docs/spec/log.md §9.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from countermark_client._continuity import continues
from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Seen
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.merkle import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Heard:
    """What one signer states to have seen.

    Attributes:
        signer: its key.
        seen: size and root.
        document: the signed document that says so.
        proof: that it is an entry of this log.
    """

    signer: KeyId
    seen: Seen
    document: bytes
    proof: bytes = b""


class Gossip:
    """Compares what others have seen with what one profile has verified."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log

    def compare(self, heard: Sequence[Heard]) -> Flow[list[Seen]]:
        """Compare what the signers of one page have seen with the checkpoint verified here.

        Args:
            heard: of every statement of the page; no size above that checkpoint's.

        Returns:
            Trees newly known to be of this log, to be remembered with the page (`Store.add_known_root`).

        Raises:
            InconsistentLogError: ``seen_fork``: with the statement, the checkpoint, the proof that it was logged
                under it, and the leaf whose path gives this log's root at the size that it names.
        """
        checkpoint = self._log.checkpoint
        assert checkpoint is not None
        known = {0: EMPTY_ROOT, checkpoint.size: checkpoint.root}
        largest: dict[KeyId, Heard] = {}
        for one in heard:
            if not (yield from self._is_known(one, known, checkpoint)):
                before = largest.get(one.signer)
                if before is None or one.seen.size > before.seen.size:
                    largest[one.signer] = one
        verified: list[Seen] = []
        for one in largest.values():
            if (yield from self._is_known(one, known, checkpoint)):
                continue  # another signer of this page had seen the same
            if not (yield from continues(self._session, one.seen, checkpoint)):
                yield from self._fork(one, checkpoint)
            known[one.seen.size] = one.seen.root
            verified.append(one.seen)
        for one in heard:
            yield from self._is_known(one, known, checkpoint)  # what became known meanwhile convicts too
        return verified

    def _is_known(self, one: Heard, known: dict[int, bytes], checkpoint: Checkpoint) -> Flow[bool]:
        size = one.seen.size
        root = known.get(size) or self._store.known_root(size)
        if root is None:
            return False
        known[size] = root
        if root != one.seen.root:
            yield from self._fork(one, checkpoint)
        return True

    def _fork(self, one: Heard, checkpoint: Checkpoint) -> Flow[NoReturn]:
        size = one.seen.size
        shown: tuple[bytes, ...] = ()
        if size and one.proof:
            shown = yield from fetch_proof(self._session, size - 1, checkpoint)
        raise InconsistentLogError(
            "seen_fork",
            f"a statement in this log names another tree of size {size} than the one that size {checkpoint.size} "
            "continues: its signer is shown another log",
            one.document,
            checkpoint.raw,
            *((one.proof, shown[1]) if shown else ()),
        )
