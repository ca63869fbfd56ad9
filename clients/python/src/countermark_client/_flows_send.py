"""Sending: resolve, seal once, write to disk, send those bytes until they are answered, verify the answer.

The outbox is one queue for messages and receipts: in order, one copy in flight. A statement leaves it when
the broker has proven it to be in the log, or has signed that it refuses it; nothing less counts.

Source: docs/spec/messages.md §4, §5; docs/spec/log.md §8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from countermark_client._accounts import Accounts
from countermark_client._compose import Composed, Composer
from countermark_client._io import Flow
from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._models import Draft, FlushReport, Sent
from countermark_client._revocations import Revocations
from countermark_client._session import ACCOUNTED, ProblemAnswer, Session, problem_error
from countermark_client._store import Direction, MessageStage, OutboxItem, OutboxState, StoredMessage
from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import Accepted, Release, parse_accepted
from countermark_protocol.boxes import Box, Row, Tail, verify_tail
from countermark_protocol.claims import Claims, Header, Kind, parse_kind
from countermark_protocol.decision import box_for, signer_of
from countermark_protocol.documents import (
    Document,
    UnverifiedDocument,
    parse_document,
    sign_document,
    verify_document,
)
from countermark_protocol.encoding import encode_json, parse_json
from countermark_protocol.errors import (
    CountermarkError,
    InconsistentLogError,
    NotFoundError,
    PolicyError,
    ProofError,
    TransportError,
)
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.keys import PublicKey
from countermark_protocol.leaf import Leaf
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.proof import (
    parse_recipient,
    verify_all_deliveries,
    verify_leaf,
    verify_no_deliveries,
)
from countermark_protocol.receipts import Receipt, ReceiptItem, ReceiptStage, parse_receipt
from countermark_protocol.recipients import stanza_hash
from countermark_protocol.statements import verify_statement
from countermark_protocol.submission import parse_submission

MESSAGE: Final = "message"
RECEIPT: Final = "receipt"
_PATHS: Final = {MESSAGE: "/v1/messages", RECEIPT: "/v1/receipts"}
_STAGES: Final = {
    ReceiptStage.DELIVERED: MessageStage.DELIVERED,
    ReceiptStage.ACCEPTED: MessageStage.ACCEPTED,
    ReceiptStage.REJECTED: MessageStage.REJECTED,
}


class Sender:
    """The outbox of one profile, and what fills it."""

    def __init__(self, session: Session, log: LogView, accounts: Accounts, revocations: Revocations) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._accounts = accounts
        self._composer = Composer(session, log, revocations)

    # --- messages ---

    def send(self, draft: Draft) -> Flow[Sent]:
        """Send one message; see `Client.send`."""
        yield from self._log.refresh()
        composed = yield from self._compose(draft)
        self._enqueue(composed)
        yield from self.flush_waiting(until=composed.payload_hash)
        return self.sent(composed.payload_hash)

    def _compose(self, draft: Draft) -> Flow[Composed]:
        try:
            return self._composer.compose(draft)
        except (NotFoundError, PolicyError):
            # Who was enrolled a moment ago is not refused for it: the directory is read again, once.
            before = self._log.directory.count
            with contextlib.suppress(TransportError):
                yield from self._log.sync()
            if self._log.directory.count == before:
                raise
        return self._composer.compose(draft)

    def _enqueue(self, composed: Composed) -> None:
        now = self._session.clock()
        with self._store.transaction():
            self._store.add_outbox(composed.payload_hash, MESSAGE, composed.submission, now)
            self._store.add_message(
                StoredMessage(
                    payload=composed.payload_hash,
                    direction=Direction.OUT,
                    conversation=composed.manifest.conversation or composed.payload_hash,
                    document=composed.document,
                    index=None,
                    time=None,
                    box=None,
                    position=None,
                    recipient=None,
                    recipients=encode_json(list(composed.recipients)),
                    stanza=composed.own_stanza,
                    content=None,
                    stage=MessageStage.WAITING,
                    reason=None,
                )
            )
            self._store.add_deliveries(composed.payload_hash, list(composed.recipients))

    def sent(self, payload: bytes) -> Sent:
        """The record of a logged message of this profile."""
        stored = self._store.message(payload, Direction.OUT)
        assert stored is not None
        assert stored.index is not None
        assert stored.time is not None
        manifest = parse_manifest(parse_document(stored.document).claims)
        return Sent(
            message=payload,
            id=manifest.id,
            type=manifest.type,
            recipients=tuple(parse_json(stored.recipients or b"[]")),
            conversation=stored.conversation,
            index=stored.index,
            time=stored.time,
        )

    # --- receipts ---

    def post_receipt(self, sender: Address, stage: ReceiptStage, items: Iterable[ReceiptItem]) -> Flow[None]:
        """Sign, keep and post one receipt of 1 to 256 messages of one sender.

        Raises:
            ConflictError: ``receipt_stands``: another instance of this endpoint was first.
        """
        self._log.check_not_halted()
        profile = self._session.profile
        now = self._session.clock()
        receipt = Receipt(
            header=Header(Kind.RECEIPT, profile.log, self._log.seen),
            author=profile.endpoint,
            sender=sender,
            stage=stage,
            made_at=now,
            items=tuple(items),
        )
        payload = encode_json(receipt.to_json())
        document = sign_document(payload, [profile.keystore.signer(INSTANCE)])
        payload_hash = parse_document(document).payload_hash
        self._store.add_outbox(payload_hash, RECEIPT, document, now)
        yield from self.flush_waiting(until=payload_hash)

    # --- the queue ---

    def flush_waiting(self, until: bytes | None = None) -> Flow[None]:
        """Send what waits, in order, up to one statement or to the end.

        Raises:
            TransportError: the broker is away; what waits stays.
            CountermarkError: of the statement `until`; what became of those before it is in the outbox.
        """
        for item in self._store.outbox(OutboxState.WAITING):
            try:
                yield from self._post(item)
            except CountermarkError:
                after = self._store.outbox_item(item.payload)
                if item.payload == until or after is None or after.state is OutboxState.WAITING:
                    raise
            if item.payload == until:
                return

    def flush(self) -> Flow[FlushReport]:
        """Send all that the outbox holds, those that failed before too."""
        yield from self._log.refresh()
        tried = self._store.outbox(OutboxState.WAITING, OutboxState.FAILED)
        for item in tried:
            try:
                yield from self._post(item)
            except CountermarkError:
                after = self._store.outbox_item(item.payload)
                if after is None or after.state is OutboxState.WAITING:
                    raise
        done = [self._store.outbox_item(item.payload) for item in tried]
        by_state = {s: tuple(d for d in done if d is not None and d.state is s) for s in OutboxState}
        return FlushReport(
            by_state[OutboxState.LOGGED], by_state[OutboxState.REFUSED], by_state[OutboxState.FAILED]
        )

    def _post(self, item: OutboxItem) -> Flow[None]:
        """Send one statement and verify the answer; the bytes are those on disk, every time."""
        self._log.check_not_halted()
        signer = self._session.profile.keystore.signer(INSTANCE) if item.kind == RECEIPT else None
        try:
            response, _ = yield from self._session.call(
                "POST", _PATHS[item.kind], body=item.body, signer=signer
            )
        except ProblemAnswer as answer:
            problem = answer.problem
            if problem.status in ACCOUNTED:
                error = yield from self._accounts.refusal(problem, item.payload, Verdict.REFUSED)
                self._refused(item, error, problem.account)
                raise error from None
            error = problem_error(problem)
            self._store.set_outbox_problem(item.payload, OutboxState.FAILED, error.code, error.message)
            raise error from None
        accepted = parse_accepted(response.body)
        if item.kind == MESSAGE:
            yield from self._message_accepted(item, accepted, response.body)
        else:
            yield from self._receipt_accepted(item, accepted, response.body)

    def _refused(self, item: OutboxItem, error: CountermarkError, account: bytes | None) -> None:
        with self._store.transaction():
            self._store.set_outbox_problem(
                item.payload, OutboxState.REFUSED, error.code, error.message, account
            )
            if item.kind == MESSAGE:
                self._store.set_message_stage(item.payload, Direction.OUT, MessageStage.REFUSED, error.code)

    def _message_accepted(self, item: OutboxItem, accepted: Accepted, answer: bytes) -> Flow[None]:
        submission = parse_submission(item.body)
        manifest = submission.manifest
        box = box_for(manifest.urgency)
        expected = [(row.endpoint, box) for row in submission.rows]
        document, leaf = yield from self._verify_accepted(
            submission.document, accepted, Kind.MESSAGE, manifest.header.seen.size
        )
        row, tail = self._own_row(accepted, leaf, manifest.sender, expected)
        with self._store.transaction():
            self.fold_own_tail(row, tail, accepted.inclusion.index, leaf, document.data)
            self._store.set_outbox_logged(item.payload, accepted.inclusion.index, leaf.time, answer)
            self._store.set_message_logged(item.payload, document.data, accepted.inclusion.index, leaf.time)

    def _receipt_accepted(self, item: OutboxItem, accepted: Accepted, answer: bytes) -> Flow[None]:
        unverified = parse_document(item.body)
        receipt = parse_receipt(unverified.claims)
        document, leaf = yield from self._verify_accepted(
            unverified, accepted, Kind.RECEIPT, receipt.header.seen.size
        )
        row, tail = self._own_row(accepted, leaf, receipt.author, [(receipt.sender, Box.NOTICES)])
        stanzas = self._check_releases(receipt, accepted.releases)
        with self._store.transaction():
            self.fold_own_tail(row, tail, accepted.inclusion.index, leaf, document.data)
            self._store.set_outbox_logged(item.payload, accepted.inclusion.index, leaf.time, answer)
            for message, stanza in stanzas.items():
                self._store.set_sealed(message, stanza=stanza)
            self.apply_receipt(receipt)

    def apply_receipt(self, receipt: Receipt) -> None:
        """Take note of a logged receipt by this endpoint, whichever of its instances made it."""
        for one in receipt.items:
            reason = one.reason.value if one.reason is not None else None
            stored = self._store.message(one.message, Direction.IN)
            if stored is None:
                # Read in ``sent`` before the message was read in its own box.
                self._store.add_receipt_ahead(one.message, _STAGES[receipt.stage], reason)
            # A message delivered by another instance's receipt may be further already.
            if stored is not None and stored.stage in {MessageStage.LISTED, MessageStage.DELIVERED}:
                self._store.set_message_stage(one.message, Direction.IN, _STAGES[receipt.stage], reason)

    def _check_releases(self, receipt: Receipt, releases: tuple[Release, ...]) -> dict[bytes, bytes]:
        wanted = {i.message for i in receipt.items} if receipt.stage is ReceiptStage.DELIVERED else set()
        if {r.message for r in releases} != wanted or len(releases) != len(wanted):
            raise ProofError(
                "releases_mismatch", "expected the stanza of every message signed for, and no other"
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

    # --- verifying answers ---

    def _verify_accepted(
        self, handed_in: UnverifiedDocument, accepted: Accepted, kind: Kind, seen_size: int
    ) -> Flow[tuple[Document, Leaf]]:
        """Verify that a statement is an entry of the log, in full.

        Returns:
            The logged document (perhaps with other signatures over the same payload), and its leaf.
        """
        unverified = handed_in
        if accepted.document is not None:
            unverified = parse_document(accepted.document)
            if unverified.payload != handed_in.payload or unverified.data == handed_in.data:
                raise ProofError("leaf_mismatch", "the logged document shown is not of the payload handed in")
        inclusion = accepted.inclusion
        document = verify_document(unverified, self._resolve)
        checkpoint = yield from self._log.advance(accepted.checkpoint, inclusion)
        leaf = verify_leaf(inclusion, checkpoint, int(kind), document.statement_hash)
        yield from self._log.follow_leaf(leaf, inclusion.index)
        endpoint = self._session.profile.endpoint
        if self._log.directory.instance(endpoint, signer_of(document), inclusion.index) is None:
            raise InconsistentLogError(
                "signer_did_not_count",
                f"entry {inclusion.index} is signed by a key that did not count there",
                leaf.encode(),
                document.data,
            )
        if seen_size > inclusion.index:
            raise InconsistentLogError(
                "back_dated",
                f"entry {inclusion.index} states to have seen a log of size {seen_size}",
                leaf.encode(),
                document.data,
            )
        return document, leaf

    def _resolve(self, key_id: KeyId) -> PublicKey | None:
        for signer in self._session.profile.keystore.signers(INSTANCE):
            if signer.public_key.key_id == key_id:
                return signer.public_key
        return self._log.directory.public_key(key_id)

    def _own_row(
        self, accepted: Accepted, leaf: Leaf, author: Address, expected: list[tuple[Address, Box]]
    ) -> tuple[Row, Tail]:
        if accepted.deliveries is None:
            raise ProofError("deliveries_mismatch", "the answer shows no deliveries")
        return verify_all_deliveries(accepted.deliveries, leaf, accepted.inclusion.index, author, expected)

    def fold_own_tail(self, row: Row, tail: Tail, index: int, leaf: Leaf, document: bytes) -> None:
        """Take an own entry into the box ``sent``, as far as it is known without gap.

        Raises:
            ProofError: the box has another past than the one already verified.
            InconsistentLogError: ``box_rewritten``: another entry was proven at that position.
        """
        state = self._store.box_state(Box.SENT)
        if tail.position > state.count:
            # Another instance of this endpoint sent meanwhile; `sync_sent` reads what lies between.
            self._store.add_sent_ahead(tail.position, index, leaf.statement, tail.previous)
            return
        if tail.position < state.count:
            known = self._store.box_entry(Box.SENT, tail.position)
            if known is None or known[:2] != (index, leaf.statement) or known[2] != tail.previous:
                raise InconsistentLogError(
                    "box_rewritten",
                    f"position {tail.position} of box 'sent' was proven to be another entry before",
                    leaf.encode(),
                    document,
                )
            return
        after = verify_tail(row, tail, index, leaf.statement, state)
        self._store.add_box_entry(Box.SENT, index, leaf.statement, after)

    # --- directory statements ---

    def publish(self, data: bytes) -> Flow[int]:
        """Post a directory statement and verify that it was logged; the index of its entry.

        Raises:
            CountermarkError: as the broker refuses it; such refusals bear no account.
        """
        unverified = parse_document(data)
        try:
            response, _ = yield from self._session.call("POST", "/v1/statements", body=data)
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
        accepted = parse_accepted(response.body)
        if not self._log.directory.count:
            # A new principal may read the directory, and so learn the log's key, only once this is logged.
            yield from self._log.sync()
        if accepted.document is not None:
            unverified = parse_document(accepted.document)
            if unverified.payload != parse_document(data).payload:
                raise ProofError("leaf_mismatch", "the logged document shown is not of the payload handed in")
        document = verify_statement(self._log.directory, unverified)
        kind = Claims(document.claims, "statement").raw("kind")
        checkpoint = yield from self._log.advance(accepted.checkpoint, accepted.inclusion)
        leaf = verify_leaf(accepted.inclusion, checkpoint, int(parse_kind(kind)), document.statement_hash)
        verify_no_deliveries(leaf)
        return accepted.inclusion.index
