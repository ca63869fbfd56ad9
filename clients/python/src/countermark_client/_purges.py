"""Purges: content that is gone on a stated ground, which its parties learn with a proof, and its originator's own.

A message that is purged before it was opened is done: nothing is stated of it any more, and nothing is asked again.
It is neither an alarm nor an error, once the purge itself is proven. What was opened before stays with its recipient.

Source: docs/spec/audit.md §4; docs/spec/api.md §3.13.
"""

from __future__ import annotations

from typing import Final

from countermark_client._acting import Acts
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import MessageRef, Purged, message_hash
from countermark_client._open import manifest_of
from countermark_client._purge_rules import check_purge_rules, purged_of
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._settling import ACT
from countermark_client._store import Direction, MessageStage, OutboxState, StoredMessage, StoredPurge
from countermark_protocol.acts import Purge, PurgeGround, parse_act, parse_purge
from countermark_protocol.answers import parse_accepted
from countermark_protocol.authors import signer_of
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.errors import ConflictError, InconsistentLogError, NotFoundError, ProofError
from countermark_protocol.proof import verify_leaf
from countermark_protocol.proof_pieces import encode_proof

#: The rule by which the broker refuses what it has deleted.
PURGED: Final = "purged"


class Purges:
    """Purges that concern one profile."""

    def __init__(self, session: Session, log: LogView, sender: Sender, acts: Acts) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._sender = sender
        self._acts = acts
        #: Messages that turned out to be purged before they were opened, since this client was made.
        self.met: list[bytes] = []

    def learn(self, held: StoredMessage) -> Flow[StoredPurge]:
        """Ask why the content of a message is gone, prove the answer, and take an unopened message for done.

        Raises:
            ProofError: the broker shows no purge of that message.
            InconsistentLogError: the purge should have been refused.
        """
        signer = self._session.signer()
        try:
            response, _ = yield from self._session.call(
                "GET", f"/v1/messages/{held.payload.hex()}/purge", signer=signer
            )
        except ProblemAnswer as answer:
            if answer.problem.status == 404:
                raise ProofError(
                    "purge_unproven", "the broker says that the content is deleted, and shows no purge for it"
                ) from None
            raise problem_error(answer.problem) from None
        accepted = parse_accepted(response.body)
        if accepted.document is None:
            raise ProofError("purge_unproven", "the answer lacks the purge itself")
        inclusion = accepted.inclusion
        checkpoint = yield from self._log.advance(accepted.checkpoint, inclusion)
        leaf = verify_leaf(inclusion, checkpoint, int(Kind.PURGE), statement_hash(accepted.document))
        yield from self._log.follow_leaf(leaf, inclusion.index)
        document = verify_document(parse_document(accepted.document), self._log.directory.public_key)
        purge, index = parse_purge(document.claims), inclusion.index
        proof = encode_proof(checkpoint.raw, inclusion)
        if purge.header.log != self._log.directory.origin(index) or purge.message != held.payload:
            raise ProofError("purge_unproven", "the purge shown is of another message")
        if self._log.directory.instance(purge.author, signer_of(document), index, time=leaf.time) is None:
            raise InconsistentLogError(
                "signer_did_not_count",
                f"entry {index} is signed by a key that did not count for {purge.author} there",
                leaf.encode(),
                document.data,
                proof,
            )
        check_purge_rules(
            self._log.directory, purge, manifest_of(held), index, leaf, document.data, proof, held.document
        )
        stored = StoredPurge(
            held.payload, index, leaf.time, purge.author, purge.ground.value, document.data, proof
        )
        with self._store.transaction():
            self._store.add_purge(stored)
            if held.direction is Direction.IN:
                self._store.set_message_stage(held.payload, Direction.IN, MessageStage.PURGED)
        if held.direction is Direction.IN:
            self.met.append(held.payload)
        return stored

    def withdraw(self, ref: MessageRef) -> Flow[Purged]:
        """Log the originator's purge; see `Client.withdraw`."""
        payload = message_hash(ref)
        sent = self._store.message(payload, Direction.OUT)
        if sent is None:
            raise NotFoundError("unknown_message", "this profile has sent no message of that hash")
        if sent.index is None:
            raise NotFoundError(
                "not_logged", "this message is not in the log: there is nothing to withdraw yet"
            )
        if self._store.purge(payload) is None:
            yield from self._log_purge(sent)
        purged = purged_of(self._store.purge(payload))
        if purged is None:
            raise ConflictError("not_logged", "the purge is not in the log yet: it waits in the outbox")
        return purged

    def _log_purge(self, sent: StoredMessage) -> Flow[None]:
        def make(seen: Seen) -> Purge:
            header = Header(Kind.PURGE, self._session.profile.log, seen)
            return Purge(header, self._session.profile.endpoint, sent.payload, PurgeGround.WITHDRAWN)

        try:
            waiting = self._waiting(sent.payload)
            if waiting is not None:
                yield from self._sender.flush_waiting(until=waiting)
            else:
                yield from self._acts.post(make, may_wait=True)
        except ConflictError as error:
            if error.code != "already_purged":
                raise
            yield from self.learn(sent)  # by the broker, or by another instance of this endpoint

    def _waiting(self, message: bytes) -> bytes | None:
        """The act in the outbox that withdraws a message already."""
        for item in self._store.outbox(OutboxState.WAITING):
            if item.kind == ACT and item.body:
                act = parse_act(parse_document(item.body).claims)
                if isinstance(act, Purge) and act.message == message:
                    return item.payload
        return None
