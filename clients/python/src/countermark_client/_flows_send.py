"""Sending: resolve, seal once, write to disk; the outbox does the rest.

Many messages are made and written in portions, each in one transaction with the references they were handed
in under, so that a crash at any moment leaves of each message one or none.

Source: docs/spec/messages.md §4, §5; docs/spec/log.md §8.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from countermark_client import _contents
from countermark_client._accounts import Accounts
from countermark_client._addressing import Resolution
from countermark_client._compose import Composer
from countermark_client._drafting import Drafting
from countermark_client._io import Flow
from countermark_client._kept_files import kept_attachments
from countermark_client._log import LogView
from countermark_client._models import Draft, FlushReport, Outcome, Sent, message_hash
from countermark_client._open import manifest_of, open_own
from countermark_client._originals import Originals
from countermark_client._outbox import Outbox
from countermark_client._proving import logged_document
from countermark_client._quotas import ASKED_FROM, Left, ask_quotas
from countermark_client._references import Known, References, digest_of
from countermark_client._revocations import Revocations
from countermark_client._seal import Composed
from countermark_client._sealing_files import with_prepared
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._settling import MESSAGE, RECEIPT, Settler, problem_of
from countermark_client._store import Direction, MessageStage, OutboxItem, OutboxState, StoredMessage
from countermark_protocol.answers import parse_accepted
from countermark_protocol.claims import Claims, Header, Kind, parse_kind
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json, parse_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    InconsistentLogError,
    NotFoundError,
    PolicyError,
    TransportError,
)
from countermark_protocol.identifiers import Address
from countermark_protocol.proof import verify_leaf, verify_no_deliveries
from countermark_protocol.receipts import Receipt, ReceiptItem, ReceiptStage
from countermark_protocol.statements import verify_statement
from countermark_protocol.submission import parse_submission


@dataclass(frozen=True, slots=True)
class _Made:
    """A draft as it was sealed, to be written.

    Attributes:
        draft: as given, without its files, which are sealed by now.
        composed: what was made of it.
        digest: of the draft, under its reference; None where it has none.
    """

    draft: Draft
    composed: Composed
    digest: bytes | None


class Sender:
    """What fills the outbox of one profile."""

    def __init__(self, session: Session, log: LogView, accounts: Accounts, revocations: Revocations) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._references = References(session.store)
        self._composer = Composer(session, log, revocations)
        self.drafting = Drafting(session, log, revocations, self._composer)
        self.settler = Settler(session, log, accounts)
        self._originals = Originals(session, accounts, self.settler.prover)
        self.outbox = Outbox(session, log, revocations, self.settler)

    # --- messages ---

    def send(self, draft: Draft) -> Flow[Sent]:
        """Send one message; see `Client.send`."""
        [outcome], stopped = yield from self.send_portion([draft])
        error = stopped or outcome.error
        if error is not None:
            raise error
        assert outcome.sent is not None
        return outcome.sent

    def send_draft(self, data: bytes, files: Path | str | None) -> Flow[Sent]:
        """Send a message that all who must have signed; see `Client.send_message_draft`."""
        composed = yield from self.drafting.ready(data)
        known = self._store.outbox_item(composed.payload_hash)
        if known is None:
            yield from self.drafting.take(data, files)
            with self._store.transaction():
                self._enqueue(composed, self._session.clock())
        failed = yield from self._send_until([composed.payload_hash])
        item = self._store.outbox_item(composed.payload_hash)
        error = failed.get(composed.payload_hash) or (problem_of(item) if item is not None else None)
        if error is not None:
            raise error
        return self.sent(composed.payload_hash)

    def send_portion(self, drafts: Sequence[Draft]) -> Flow[tuple[list[Outcome], TransportError | None]]:
        """Seal, write and send some messages; see `Client.send_bulk`.

        Returns:
            What became of each draft, in order; and the error if the broker is away.

        Raises:
            UncheckableError: ``halted`` or ``stale_checkpoint``: nothing was sealed.
            VerificationError: an answer does not prove what it should; what was sealed waits on.
        """
        yield from self._log.refresh()
        made: dict[int, bytes] = {}
        failed: dict[int, CountermarkError] = {}
        portion: list[_Made] = []
        size = 0
        for place, draft in enumerate(drafts):
            try:
                prepared = yield from with_prepared(draft)
                known = self._known(prepared, portion)
                if known is None:
                    one = yield from self._make(prepared, may_read=not failed)
                    portion.append(one)
                    known = one.composed.payload_hash
                    size += len(one.composed.submission)
                made[place] = known
            except (InconsistentLogError, TransportError):
                raise
            except CountermarkError as error:
                if self._log.halted is not None:
                    raise
                failed[place] = error
            if size > self._session.settings.bulk_bytes:
                self._write(portion)
                portion, size = [], 0
        self._write(portion)
        stopped: TransportError | None = None
        if made:
            try:
                failed_there = yield from self._send_until(list(made.values()))
            except TransportError as error:
                failed_there, stopped = {}, error
            failed |= {place: failed_there[p] for place, p in made.items() if p in failed_there}
        return [self._outcome(d, made.get(i), failed.get(i), stopped) for i, d in enumerate(drafts)], stopped

    def _send_until(self, payloads: list[bytes]) -> Flow[dict[bytes, CountermarkError]]:
        """Send what waits up to the last of these statements."""
        items = [item for item in map(self._store.outbox_item, payloads) if item is not None]
        waiting = [item for item in items if item.state is OutboxState.WAITING]
        if not waiting:
            return {}
        last = max(waiting, key=lambda item: item.number)
        attached = any(self._store.has_pieces(item.payload) for item in waiting)
        return (yield from self.outbox.send_waiting(last.payload, fresh=True, attached=attached))

    def _outcome(
        self,
        draft: Draft,
        payload: bytes | None,
        error: CountermarkError | None,
        stopped: TransportError | None,
    ) -> Outcome:
        if payload is None:
            return Outcome(draft, None, error)
        item = self._store.outbox_item(payload)
        # One adopted after a restore was logged, and stands in no outbox.
        if item is None or item.state is OutboxState.LOGGED:
            return Outcome(draft, self.sent(payload), None, payload)
        return Outcome(draft, None, error or problem_of(item) or stopped, payload)

    def _known(self, draft: Draft, portion: list[_Made]) -> bytes | None:
        """The message that was made under the draft's reference before, or None."""
        here = (m for m in portion if m.digest is not None and m.draft.reference == draft.reference)
        made = next(here, None)
        known = (
            Known(made.composed.payload_hash, made.digest)
            if made is not None
            else self._references.find(draft.reference)
        )
        if known is None:
            return None
        known.check(draft)
        return known.payload

    def resolve(self, draft: Draft) -> Flow[Resolution]:
        """Whom a draft would go to, by the newest directory."""
        with contextlib.suppress(TransportError):
            yield from self._log.sync()
        return self._composer.resolve(draft)

    def review(self, draft: Draft) -> tuple[_contents.Finding, ...]:
        """What a person should know of a draft's content; as of `Composer.review`."""
        return self._composer.review(draft)

    def _make(self, draft: Draft, *, may_read: bool) -> Flow[_Made]:
        digest = digest_of(draft) if draft.reference is not None else None
        if draft.supersedes is not None:
            yield from self._originals.learn(message_hash(draft.supersedes))
        try:
            left = yield from self._quotas(draft)
            return _Made(_bare(draft), (yield from self._composer.compose(draft, left=left)), digest)
        except (NotFoundError, PolicyError):
            # Who was enrolled a moment ago is not refused for it: the directory is read again, once.
            if not may_read:
                raise
            before = self._log.directory.count
            with contextlib.suppress(TransportError):
                yield from self._log.sync()
            if self._log.directory.count == before:
                raise
        return _Made(_bare(draft), (yield from self._composer.compose(draft, left=left)), digest)

    def _quotas(self, draft: Draft) -> Flow[Left | None]:
        """What may still be sent, where a draft goes to many."""
        if self._composer.count(draft) < ASKED_FROM:
            return None
        return (yield from ask_quotas(self._session))

    def _write(self, portion: Sequence[_Made], replaces: bytes | None = None) -> None:
        """Write messages into the outbox, all or none of them."""
        if not portion:
            return
        now = self._session.clock()
        with self._store.transaction():
            for one in portion:
                self._enqueue(one.composed, now)
                if one.draft.reference is not None and one.digest is not None:
                    self._store.add_reference(one.draft.reference, one.digest, one.composed.payload_hash)
                if replaces is not None:
                    self._store.set_renewed(replaces, one.composed.payload_hash)

    def _enqueue(self, composed: Composed, now: int) -> None:
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
                supersedes=composed.manifest.supersedes,
            )
        )
        for number, digests in enumerate(composed.pieces):
            self._store.add_pieces(composed.payload_hash, Direction.OUT, number, digests)
        self._store.add_deliveries(composed.payload_hash, list(composed.recipients))
        self._store.add_left_out(composed.payload_hash, composed.left_out)

    def sent(self, payload: bytes) -> Sent:
        """The record of a logged message of this profile.

        Raises:
            NotFoundError: ``not_logged``.
        """
        stored = self._store.message(payload, Direction.OUT)
        if stored is None or stored.index is None or stored.time is None:
            raise NotFoundError(
                "not_logged", "this profile has sent no message of that hash that is in the log"
            )
        manifest = manifest_of(stored)
        return Sent(
            message=payload,
            id=manifest.id,
            type=manifest.type,
            recipients=tuple(parse_json(stored.recipients or b"[]")),
            conversation=stored.conversation,
            index=stored.index,
            time=stored.time,
            left_out=self._store.left_out(payload),
        )

    # --- making anew ---

    def renew(self, payload: bytes) -> Flow[Sent]:
        """Make a message anew that will never be sent as it is; see `Client.renew`."""
        item, draft = self._to_renew(payload)
        yield from self._log.refresh()
        one = yield from self._make(draft, may_read=True)
        with self._store.transaction():
            if item.state is OutboxState.FAILED:
                self.settler.gave_up(item, f"made anew as {one.composed.payload_hash.hex()}")
            self._write([one], replaces=payload)
        failed = yield from self._send_until([one.composed.payload_hash])
        outcome = self._outcome(draft, one.composed.payload_hash, failed.get(one.composed.payload_hash), None)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.sent is not None
        return outcome.sent

    def _to_renew(self, payload: bytes) -> tuple[OutboxItem, Draft]:
        item = self._store.outbox_item(payload)
        stored = self._store.message(payload, Direction.OUT)
        if item is None or stored is None:
            raise NotFoundError("unknown_message", "this profile has made no message of that hash")
        if item.renewed_as is not None:
            raise ConflictError(
                "already_renewed", f"this message was made anew before, as {item.renewed_as.hex()}"
            )
        held_back = item.state is OutboxState.FAILED and not item.tries
        if item.state not in {OutboxState.REFUSED, OutboxState.GIVEN_UP} and not held_back:
            raise ConflictError(
                "not_given_up",
                f"this message is '{item.state.value}': only one that will never be sent is made anew; give "
                "it up first",
            )
        sealed = parse_submission(item.body).content if item.body else stored.content or b""
        opened = open_own(self._session, stored, sealed)
        if opened is None:
            raise NotFoundError(
                "not_opened", "this profile cannot open that message of its own: it had no sealing key then"
            )
        manifest = manifest_of(stored)
        group = [f"group:{manifest.group.name}"] if manifest.group is not None else None
        left_out = tuple(one.address for one in self._store.left_out(payload)) if group is not None else ()
        return item, Draft(
            type=manifest.type,
            content=opened.content,
            to=group or parse_json(stored.recipients or b"[]"),
            urgency=manifest.urgency,
            handling=manifest.handling,
            in_reply_to=manifest.in_reply_to,
            reply_by=_moment(manifest.reply_by),
            expires_in=dt.timedelta(milliseconds=manifest.expires_at - manifest.sent_at),
            supersedes=manifest.supersedes,
            exercise=manifest.exercise,
            visible=manifest.recipients_visible,
            leave_out=self._composer.members_among(left_out, manifest.group),
            on_behalf_of=manifest.on_behalf_of,
            attachments=kept_attachments(self._session, stored, opened),
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
        document = sign_document(payload, [self._session.signer()])
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
        errors = yield from self.outbox.send_waiting(until)
        if until is not None and until in errors:
            raise errors[until]

    def post(self, item: OutboxItem) -> Flow[None]:
        """Send one waiting statement by itself, wherever it stands in the queue.

        Raises:
            TransportError: the broker is away.
            CountermarkError: why it was refused or failed.
        """
        errors = yield from self.outbox.send_one(item)
        if item.payload in errors:
            raise errors[item.payload]

    def flush(self) -> Flow[FlushReport]:
        """Send all that the outbox holds, those that failed before too."""
        done = yield from self.outbox.flush()
        by_state = {s: tuple(item for item in done if item.state is s) for s in OutboxState}
        return FlushReport(
            by_state[OutboxState.LOGGED], by_state[OutboxState.REFUSED], by_state[OutboxState.FAILED]
        )

    def retry(self, payload: bytes) -> Flow[None]:
        """Send one statement that waits or failed; see `Client.retry`."""
        error = yield from self.outbox.retry(payload)
        if error is not None:
            raise error

    # --- directory statements ---

    def publish(self, data: bytes) -> Flow[int]:
        """Post a directory statement and verify that it was logged; the index of its entry.

        Raises:
            CountermarkError: as the broker refuses it; such refusals bear no account.
        """
        handed_in = parse_document(data)
        try:
            response, _ = yield from self._session.call("POST", "/v1/statements", body=data)
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
        accepted = parse_accepted(response.body)
        if not self._log.directory.count:
            # A new principal may read the directory, and so learn the log's key, only once this is logged.
            yield from self._log.sync()
        document = verify_statement(self._log.directory, logged_document(handed_in, accepted))
        kind = Claims(document.claims, "statement").raw("kind")
        checkpoint = yield from self._log.advance(accepted.checkpoint, accepted.inclusion)
        leaf = verify_leaf(accepted.inclusion, checkpoint, int(parse_kind(kind)), document.statement_hash)
        verify_no_deliveries(leaf)
        return accepted.inclusion.index


def _bare(draft: Draft) -> Draft:
    return replace(draft, attachments=()) if draft.attachments else draft


def _moment(time: int | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(time / 1000, dt.UTC) if time is not None else None
