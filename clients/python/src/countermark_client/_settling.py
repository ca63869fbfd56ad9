"""Settling: from the broker's answer about a statement of one's own to what is known of it from then on.

A positive answer is verified in full, a negative one only believed with a signed account. Verifying comes
first and changes nothing; what it found is then written, alone or together with others.

Source: docs/spec/messages.md §5; docs/spec/log.md §7, §8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from countermark_client._accounts import Accounts
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._proving import Prover
from countermark_client._session import ACCOUNTED, Session, problem_error
from countermark_client._store import (
    OPEN_STAGES,
    Direction,
    MessageStage,
    OutboxItem,
    OutboxState,
    StoredPurge,
)
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import Purge, parse_act
from countermark_protocol.answers import Accepted, Problem, Release
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind
from countermark_protocol.decision import deliveries_of
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json, parse_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    PolicyError,
    ProofError,
    UncheckableError,
)
from countermark_protocol.keys import Signer
from countermark_protocol.proof import parse_recipient
from countermark_protocol.receipts import Receipt, ReceiptStage, parse_receipt
from countermark_protocol.recipients import stanza_hash
from countermark_protocol.submission import parse_submission

MESSAGE: Final = "message"
RECEIPT: Final = "receipt"
#: A look-up, a disclosure or a purge.
ACT: Final = "act"
_STAGES: Final = {
    ReceiptStage.DELIVERED: MessageStage.DELIVERED,
    ReceiptStage.ACCEPTED: MessageStage.ACCEPTED,
    ReceiptStage.REJECTED: MessageStage.REJECTED,
}

#: What the kept problem of a statement is raised as: its own class is not kept.
_KEPT_AS: Final[dict[OutboxState, type[CountermarkError]]] = {
    OutboxState.REFUSED: PolicyError,
    OutboxState.FAILED: UncheckableError,
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an answer, once verified, means for a statement.

    Attributes:
        item: the statement.
        write: writes it into the store; to be called in a transaction, in the order of the answers.
        error: why it was refused or failed; None if it is in the log.
    """

    item: OutboxItem
    write: Callable[[], None]
    error: CountermarkError | None


class Settler:
    """Settles statements of one profile."""

    def __init__(self, session: Session, log: LogView, accounts: Accounts) -> None:
        self._session = session
        self._store = session.store
        self._accounts = accounts
        self.prover = Prover(session, log)

    def accepted(self, item: OutboxItem, accepted: Accepted) -> Flow[Settlement]:
        """Verify the proof that a statement is in the log.

        Raises:
            VerificationError: it does not prove what it should.
        """
        if item.kind == MESSAGE:
            return (yield from self._message(item, accepted))
        if item.kind == ACT:
            return (yield from self._act(item, accepted))
        return (yield from self._receipt(item, accepted))

    def refused(self, item: OutboxItem, problem: Problem) -> Flow[Settlement]:
        """Judge a negative answer: final with a signed account, else a plain problem that proves nothing.

        Raises:
            ProofError: ``refusal_unproven``.
        """
        if problem.status not in ACCOUNTED:
            error = problem_error(problem)
            return Settlement(item, lambda: self._failed(item, error), error)
        error = yield from self._accounts.refusal(problem, item.payload, Verdict.REFUSED)
        return Settlement(item, lambda: self._refused(item, error, problem.account), error)

    def _failed(self, item: OutboxItem, error: CountermarkError) -> None:
        self._store.set_outbox_problem(item.payload, OutboxState.FAILED, error.code, error.message)

    def _refused(self, item: OutboxItem, error: CountermarkError, account: bytes | None) -> None:
        self._store.set_outbox_problem(item.payload, OutboxState.REFUSED, error.code, error.message, account)
        if item.kind == MESSAGE:
            self._store.set_message_stage(item.payload, Direction.OUT, MessageStage.REFUSED, error.code)

    def gave_up(self, item: OutboxItem, reason: str) -> None:
        """A person gave a statement up."""
        with self._store.transaction():
            self._store.set_outbox_problem(item.payload, OutboxState.GIVEN_UP, "given_up", reason)
            if item.kind == MESSAGE:
                self._store.set_message_stage(item.payload, Direction.OUT, MessageStage.GIVEN_UP, "given_up")

    def find(self, item: OutboxItem, signer: Signer) -> Flow[bool]:
        """Ask whether a statement is in the log; if it is, it is settled as logged.

        Raises:
            TransportError: the broker is away.
            VerificationError: the answer is neither proven nor signed.
        """
        answer = yield from self._accounts.look_up(item.payload, signer)
        if answer is None:
            return False
        settled = yield from self.accepted(item, answer)
        with self._store.transaction():
            settled.write()
        return True

    def _message(self, item: OutboxItem, accepted: Accepted) -> Flow[Settlement]:
        submission = parse_submission(item.body)
        manifest = submission.manifest
        expected = list(deliveries_of(manifest, [row.endpoint for row in submission.rows]))
        document, leaf = yield from self.prover.verify_accepted(
            submission.document, accepted, Kind.MESSAGE, manifest.header.seen.size
        )
        row, tail = self.prover.own_row(accepted, leaf, manifest.sender, expected)
        index, answer = accepted.inclusion.index, encode_json(accepted.to_json())

        def write() -> None:
            self.prover.fold_own_tail(row, tail, index, leaf, document.data)
            self._store.set_outbox_logged(item.payload, index, leaf.time, answer, self._session.clock())
            self._store.set_message_logged(item.payload, document.data, index, leaf.time)

        return Settlement(item, write, None)

    def _receipt(self, item: OutboxItem, accepted: Accepted) -> Flow[Settlement]:
        unverified = parse_document(item.body)
        receipt = parse_receipt(unverified.claims)
        document, leaf = yield from self.prover.verify_accepted(
            unverified, accepted, Kind.RECEIPT, receipt.header.seen.size
        )
        row, tail = self.prover.own_row(accepted, leaf, receipt.author, [(receipt.sender, Box.NOTICES)])
        stanzas = self._check_releases(receipt, accepted.releases)
        index, answer = accepted.inclusion.index, encode_json(accepted.to_json())

        def write() -> None:
            self.prover.fold_own_tail(row, tail, index, leaf, document.data)
            self._store.set_outbox_logged(item.payload, index, leaf.time, answer, self._session.clock())
            for message, stanza in stanzas.items():
                self._store.set_sealed(message, stanza=stanza)
            self.apply_receipt(receipt, index, leaf.time)

        return Settlement(item, write, None)

    def _act(self, item: OutboxItem, accepted: Accepted) -> Flow[Settlement]:
        unverified = parse_document(item.body)
        act = parse_act(unverified.claims)
        document, leaf = yield from self.prover.verify_accepted(
            unverified, accepted, act.header.kind, act.header.seen.size
        )
        row, tail = self.prover.own_row(accepted, leaf, act.author, [])
        index, answer = accepted.inclusion.index, encode_json(accepted.to_json())

        def write() -> None:
            self.prover.fold_own_tail(row, tail, index, leaf, document.data)
            self._store.set_outbox_logged(item.payload, index, leaf.time, answer, self._session.clock())
            if isinstance(act, Purge):
                ground = act.ground.value
                self._store.add_purge(
                    StoredPurge(act.message, index, leaf.time, act.author, ground, document.data, answer)
                )

        return Settlement(item, write, None)

    def apply_receipt(self, receipt: Receipt, index: int, time: int) -> None:
        """Take note of a logged receipt by this endpoint, whichever of its instances made it."""
        for one in receipt.items:
            self._store.add_own_receipt(one.message, receipt.stage.value, index, time)
            reason = one.reason.value if one.reason is not None else None
            stored = self._store.message(one.message, Direction.IN)
            if stored is None:
                # Read in ``sent`` before the message was read in its own box.
                self._store.add_receipt_ahead(one.message, _STAGES[receipt.stage], reason)
            # A message delivered by another instance's receipt may be further already.
            if stored is not None and stored.stage in OPEN_STAGES:
                self._store.set_message_stage(one.message, Direction.IN, _STAGES[receipt.stage], reason)

    def _check_releases(self, receipt: Receipt, releases: tuple[Release, ...]) -> dict[bytes, bytes]:
        wanted = {i.message for i in receipt.items} if receipt.stage is ReceiptStage.DELIVERED else set()
        released = {r.message for r in releases}
        # Of a purged message none is released; one that is withheld is asked for, and then denied by an account.
        if released - wanted or len(releases) != len(released):
            raise ProofError(
                "releases_mismatch", "expected the stanzas of messages signed for, each once, and no other"
            )
        for release in releases:
            self.check_stanza(release.message, release.stanza)
        return {r.message: r.stanza for r in releases}

    def check_stanza(self, message: bytes, stanza: bytes) -> None:
        """Check that a stanza is the one that this endpoint's recipient row commits to.

        Raises:
            ProofError: ``stanza_mismatch``.
        """
        stored = self._store.message(message, Direction.IN)
        if stored is None or stored.recipient is None:
            raise ProofError("stanza_mismatch", "a stanza of a message that this profile has not received")
        row = parse_recipient(parse_json(stored.recipient))
        if stanza_hash(stanza) != row.stanza:
            raise ProofError(
                "stanza_mismatch",
                "the stanza released is not the one that the sender sealed for this recipient",
            )


def problem_of(item: OutboxItem) -> CountermarkError | None:
    """Why a statement is not in the log, as kept; None if it is, or merely waits."""
    if item.state is OutboxState.GIVEN_UP:
        return ConflictError("given_up", f"given up: {item.error}")
    kind = _KEPT_AS.get(item.state)
    return kind(item.code or "", item.error or "") if kind is not None else None
