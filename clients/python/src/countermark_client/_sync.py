"""`Client`: the core driven by httpx, one call at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from countermark_client import _contents, _http
from countermark_client._addressing import Resolution
from countermark_client._bundle_carrier import CarriedBack
from countermark_client._core import Core, portions
from countermark_client._disclosing import Disclosed
from countermark_client._drafting import DraftedMessage
from countermark_client._evidence import MadeEvidence
from countermark_client._flows_log import Progress
from countermark_client._flows_webhooks import DEFAULT_BOXES
from countermark_client._invitations import Approved, Invited, PendingEnrolment
from countermark_client._io import Flow, NextLine, Request, Response, Sleep
from countermark_client._local import LocalCalls
from countermark_client._models import (
    Draft,
    FlushReport,
    LogReport,
    MessageRef,
    Notice,
    OpenedMessage,
    OpenPosition,
    Outcome,
    Purged,
    Recalled,
    Sent,
    message_hash,
)
from countermark_client._profile import Profile
from countermark_client._renewal import Renewed
from countermark_client._restored import Compared
from countermark_client._self_check import SelfCheck
from countermark_client._session import Clock
from countermark_client._settings import Settings
from countermark_client._sync_attachments import AttachmentCalls
from countermark_client._witnessing import Witnessed
from countermark_client.attaching import Attach, PreparedAttachment
from countermark_protocol.answers import OwnRecipient
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import CountermarkError, TransportError
from countermark_protocol.handling import Handling
from countermark_protocol.invitations import Pending
from countermark_protocol.key_proof import VerifiedKeys
from countermark_protocol.keys import Algorithm, Signer
from countermark_protocol.manifest import Urgency
from countermark_protocol.proof import Inclusion
from countermark_protocol.receipts import RejectionReason
from countermark_protocol.timestamps import TsaRoots
from countermark_protocol.webhooks import Webhook

if TYPE_CHECKING:
    from countermark_client._holdings import MadeHoldings, Narrowing


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Received(OpenedMessage):
    """A message to this endpoint, opened and validated, to be accepted or rejected."""

    client: Client = field(repr=False, compare=False)

    def accept(self) -> None:
        """State to the sender, by a logged receipt, that the message was taken in."""
        self.client.accept(self)

    def reject(self, reason: RejectionReason | str, details: str | JsonObject | None = None) -> None:
        """State to the sender that the message was not taken in.

        Args:
            reason: from the closed list.
            details: sealed to the sender; the broker cannot read them.
        """
        self.client.reject(self, reason, details)


def _received(opened: OpenedMessage, client: Client) -> Received:
    values: dict[str, Any] = {f.name: getattr(opened, f.name) for f in fields(OpenedMessage)}
    return Received(**values, client=client)


class _Stream:
    """An answer that is read line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = response.iter_bytes()
        self._lines = _http.Lines()

    def line(self) -> Response | None:
        """The next line; None once the answer has ended."""
        while (found := self._lines.take()) is None:
            with _http.mapped_errors():
                chunk = next(self._chunks, None)
            if chunk is None:
                self._lines.end()
                return None
            self._lines.add(chunk)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()


class Client(AttachmentCalls, LocalCalls):
    """One instance of an endpoint, as a program uses it. `AsyncClient` has the same methods.

    Args:
        profile: opened; the client does not close it, unless it opened it (`Client.open`).
        transport: of httpx; None for the network.
        settings: bounds and patience.
        clock: ms since 1970; the machine's if None.
        sleep: waits a number of seconds; `time.sleep` if None.
        verify: TLS: True for the system's authorities, or a path to the authority's certificate,
            or a context of `client_tls`, for a front that demands certificates of its clients.

    One call runs at a time, whichever thread makes it. What a `TransportError` interrupts is kept: the same
    bytes are sent again by the next call or by `flush`.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        transport: httpx.BaseTransport | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] | None = None,
        verify: _http.Verify = True,
    ) -> None:
        self._core = Core(profile, settings, clock)
        self._http = httpx.Client(
            base_url=profile.broker_url, transport=transport, verify=_http.tls(verify), follow_redirects=False
        )
        self._sleep = sleep or time.sleep
        self._lock = threading.Lock()
        self._owned = False
        self._stream: _Stream | None = None

    @classmethod
    def open(cls, folder: Path | str, passphrase: str, *, verify: _http.Verify = True) -> Self:
        """A client over the profile in a folder, which it closes in the end."""
        client = cls(Profile.open(folder, passphrase), verify=verify)
        client._owned = True
        return client

    def __enter__(self) -> Self:
        """Use as a context manager closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and the profile if this client opened it."""
        self._http.close()
        if self._owned:
            self._core.profile.close()

    # --- driving ---

    def _undisturbed(self) -> AbstractContextManager[object]:
        return self._lock

    def _run(self, flow: Flow[T]) -> T:
        with self._lock:
            return self._drive(self._core.guarded(flow))

    def _drive(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    outcome = self._perform(effect)
                except TransportError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(outcome)
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            flow.close()
            self._end_stream()

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _perform(self, effect: Request | Sleep | NextLine) -> Response | None:
        if isinstance(effect, Sleep):
            self._sleep(effect.seconds)
            return None
        if isinstance(effect, NextLine):
            return self._stream.line() if self._stream is not None else None
        with _http.mapped_errors():
            response = self._http.send(_http.build(self._http, effect), stream=True)
            if effect.stream and response.is_success:
                self._end_stream()
                self._stream = _Stream(response)
                return _http.result(response, b"")
            try:
                body = _http.Gatherer()
                for chunk in response.iter_bytes():
                    body.add(chunk)
            finally:
                response.close()
            return _http.result(response, body.done())

    # --- sending ---

    def witnessed_proof(self, index: int) -> tuple[Witnessed, Inclusion] | None:
        """That a quorum of witnesses has seen an entry: the oldest such checkpoint, and the leaf in its tree.

        Args:
            index: of the entry, e.g. `Sent.index`.

        Returns:
            Both verified; None if the log names no witnesses, or these have not cosigned such a tree yet.

        Raises:
            InconsistentLogError: ``checkpoint_fork``: witnesses saw another history than this client.
            TransportError: the broker is away.
        """
        return self._run(self._core.log.witnesses.proof(index))

    def holdings(self, narrowing: Narrowing | None = None, *, sizes: Sequence[int] = ()) -> MadeHoldings:
        """What this profile holds of its log, for a comparison with another party (`comparing.compare`).

        No content, no stanza, no key; no signed statement unless the narrowing asks for it. Works while halted.

        Args:
            narrowing: what of it is shown; all that there is if None.
            sizes: of trees that the other party holds: the log is asked how this profile's tree looked at them, so that
                the two can be compared. With none, nothing is asked.

        Raises:
            NotFoundError: ``nothing_held``: the log was never read.
            TransportError: the broker is away, and something was to be asked.
        """
        return self._run(self._core.holdings(narrowing, sizes))

    def wait_witnessed(self, index: int, within: timedelta = timedelta(seconds=60)) -> Witnessed:
        """Wait until a quorum of witnesses has cosigned a tree that holds an entry.

        Args:
            index: of the entry, e.g. `Sent.index`.
            within: how long to wait.

        Raises:
            UncheckableError: ``no_witnesses``, or ``not_witnessed_yet``: not within that time; it stays logged.
            VerificationError: what is served is not cosigned by a quorum, or contradicts what was verified before.
            TransportError: the broker is away.
        """
        return self._run(self._core.wait_witnessed(index, within.total_seconds()))

    def send(
        self,
        type: str,  # noqa: A002  the word of the specification
        content: _contents.Message | JsonObject,
        to: Sequence[str],
        *,
        urgency: Urgency | str = Urgency.ROUTINE,
        handling: Handling | None = None,
        in_reply_to: MessageRef | None = None,
        reply_by: datetime | None = None,
        expires_in: timedelta | None = None,
        supersedes: MessageRef | None = None,
        exercise: bool = False,
        visible: bool | None = None,
        reference: str | None = None,
        alternates: bool = False,
        leave_out: Sequence[str] = (),
        attachments: Sequence[Attach | PreparedAttachment] = (),
    ) -> Sent:
        """Send a message and prove that it is in the log; arguments as in `Draft`.

        Raises:
            MalformedError: content or recipients are not valid; nothing was sealed.
            PolicyError: not allowed; by the client before sealing (``recipients_refused``,
                ``review_refused``), or by the broker, with a verified account.
            UncheckableError: the client is halted, or its checkpoint too old.
            VerificationError: the broker's answer does not prove what it should.
            TransportError: the broker is away; the message waits in the outbox.
        """
        draft = Draft(
            type=type,
            content=content,
            to=to,
            urgency=urgency,
            handling=handling,
            in_reply_to=in_reply_to,
            reply_by=reply_by,
            expires_in=expires_in,
            supersedes=supersedes,
            exercise=exercise,
            visible=visible,
            reference=reference,
            alternates=alternates,
            leave_out=leave_out,
            attachments=attachments,
        )
        return self._run(self._core.sender.send(draft))

    def resolve(self, draft: Draft) -> Resolution:
        """Whom a draft would go to, by the newest directory: an explicit list. Nothing is made or sent.

        Raises:
            MalformedError, NotFoundError, UncheckableError: a name leads nowhere, or the content is not valid.
        """
        return self._run(self._core.sender.resolve(draft))

    def reply(
        self,
        message: OpenedMessage,
        type: str,  # noqa: A002
        content: _contents.Message | JsonObject,
        *,
        urgency: Urgency | str = Urgency.ROUTINE,
        handling: Handling | None = None,
        reply_by: datetime | None = None,
        expires_in: timedelta | None = None,
        attachments: Sequence[Attach | PreparedAttachment] = (),
    ) -> Sent:
        """Answer a received message; raises as `send`."""
        return self.send(
            type,
            content,
            [message.sender],
            urgency=urgency,
            handling=handling,
            in_reply_to=message,
            reply_by=reply_by,
            expires_in=expires_in,
            attachments=attachments,
        )

    def forward_trace(
        self,
        message: MessageRef,
        next_state: str,
        *,
        contact: Mapping[str, Any] | None = None,
        own_ref: str | None = None,
        to: Sequence[str] = (),
        items: Sequence[str] = (),
        reference: str | None = None,
    ) -> Sent:
        """Pass a trace on to the next State: a request that was received, or one's own along an answer's pointer.

        An answer of the conversation must name the State for the weapons. What was received goes on with its
        originator's signed consent alone, under its handling, without persons, and as a conversation of its own.

        Args:
            message: any of the conversation.
            next_state: ISO 3166-1 alpha-2 in capitals.
            contact: who passes it on; by default who asked, or who answered.
            own_ref: one's own case; by default that of the answer.
            to: addresses; by default the State's points of contact.
            items: references of the weapons; by default those that the answer sends there.
            reference: as in `Draft`.

        Raises:
            NotFoundError: ``not_a_trace``, ``no_pointer``, ``no_contact``, ``unknown_item``.
            PolicyError: ``no_consent``, ``handling_loosened``, ``forward_loop``, ``forward_too_far``; and as `send`.
        """
        draft = self._core.forwarding.draft(
            message, next_state, contact=contact, own_ref=own_ref, to=to, items=items
        )
        return self._run(self._core.sender.send(replace(draft, reference=reference)))

    # --- messages that more than one key signs ---

    def draft_message(self, draft: Draft, files: Path | str | None = None) -> bytes:
        """Check, seal and sign a message that others sign before it is sent; the draft, as a file's bytes.

        Hand it to another holder of this endpoint (`sign_message_draft` releases it), or to the endpoint on whose
        behalf it is to be sent.

        Args:
            draft: of the message.
            files: folder for the sealed pieces of its attachments, new or empty; it goes with the draft wherever that
                goes. Needed if there are any.

        Raises:
            MalformedError: ``draft_files_needed``.
            ConflictError: ``file_exists``.
            CountermarkError: as `send`; nothing is sent.
        """
        return self._run(self._core.sender.drafting.draft(draft, files))

    def read_message_draft(self, data: bytes, files: Path | str | None = None) -> DraftedMessage:
        """Verify a draft and open it: what it says, who has signed, and who must sign still.

        Args:
            data: the draft.
            files: the folder beside it, of which `DraftedMessage.attachments` then tells whether it holds all pieces.

        Raises:
            MalformedError: not a draft.
            SignatureError: a signature does not verify, or by a key that does not count; ``same_holder``.
            UncheckableError: ``draft_does_not_open``.
        """
        return self._run(self._core.sender.drafting.read(data, files))

    def sign_message_draft(self, data: bytes, files: Path | str | None = None) -> bytes:
        """Sign a draft after having read it: as the second person of its endpoint, or as the one in whose name it is.

        Every attachment is opened first, as its recipient will: nobody signs what cannot be seen, and no setting
        changes that. `fetch_draft_attachments` writes them out, to be looked at.

        Args:
            data: the draft.
            files: the folder beside it; needed if it has attachments.

        Raises:
            CountermarkError: as `read_message_draft`; as `fetch_draft_attachments`.
            PolicyError: ``not_a_signer``.
            ConflictError: ``already_signed``.
        """
        return self._run(self._core.sender.drafting.sign(data, files))

    def send_message_draft(self, data: bytes, files: Path | str | None = None) -> Sent:
        """Send a draft that bears all signatures it needs, by any instance of the endpoint that it is from.

        Args:
            data: the draft.
            files: the folder beside it, whose pieces come into the profile; needed if the profile holds them not yet.

        Raises:
            PolicyError: ``not_a_signer``, ``draft_incomplete``; or the broker's refusal.
            MalformedError: ``draft_files_needed``.
            NotFoundError, SealError: ``draft_piece_missing``, ``draft_piece_swapped``; nothing is sent.
            CountermarkError: as `send`.
        """
        return self._run(self._core.sender.send_draft(data, files))

    def send_bulk(self, drafts: Iterable[Draft]) -> Iterator[Outcome]:
        """Send many messages, in order; what is refused does not stop what follows.

        They are sealed and written in portions (`Settings.bulk_count`), and each portion is sent by one request.
        With a `Draft.reference` for each, the same call can be made again after a crash: nothing is sent twice.

        Yields:
            What became of each draft, in order.

        Raises:
            TransportError: the broker is away, told after the outcomes of the portion it happened in: those without
                another error wait in the outbox. Later drafts were not made yet.
            UncheckableError: the client is halted, or its checkpoint too old: later drafts were not made yet.
            VerificationError: the broker's answer does not prove what it should.
        """
        for portion in portions(drafts, self._core.session.settings.bulk_count):
            outcomes, stopped = self._run(self._core.sender.send_portion(portion))
            yield from outcomes
            if stopped is not None:
                raise stopped

    def flush(self) -> FlushReport:
        """Send what the outbox holds: after a crash, or when the broker is back. The same bytes again."""
        return self._run(self._core.sender.flush())

    def retry(self, message: MessageRef) -> None:
        """Send one statement of the outbox that waits or failed, and what waits before it.

        Raises:
            ConflictError: ``never_sent_again``: it was refused or given up; ``already_logged``.
            NotFoundError: ``not_in_outbox``.
            CountermarkError: why it did not succeed this time.
        """
        self._run(self._core.sender.retry(message_hash(message)))

    def give_up(self, message: MessageRef, reason: str) -> bool:
        """Never send a statement of the outbox again; the reason is kept with it.

        Returns:
            Whether it is certain that it is not in the log: it was never handed in, or the broker has signed that it
            does not hold it. If not, reading ``sent`` will tell, and it counts as logged then.

        Raises:
            ConflictError: ``already_logged``.
            NotFoundError: ``not_in_outbox``.
        """
        return self._run(self._core.sender.outbox.give_up(message_hash(message), reason))

    def renew(self, message: MessageRef) -> Sent:
        """Make a message anew that will never be sent: the same content to the same recipients, with a new id.

        For one that was refused, given up, or held back because a recipient's sealing key changed while it waited:
        what is sealed cannot be sealed again under its id. Only on an explicit call, so that nothing is said twice
        unawares. Raises as `send`, and:

        Raises:
            ConflictError: ``not_given_up``, ``already_renewed``.
            NotFoundError: ``unknown_message``, ``not_opened``.
        """
        return self._run(self._core.sender.renew(message_hash(message)))

    # --- receiving ---

    def inbox(
        self, box: Box | str | None = None, *, wait: float = 0.0, known: Iterable[bytes] = ()
    ) -> Iterator[Received]:
        """Messages to this endpoint, those of ``urgent`` first; ends when there are no more.

        Each is proven to be in the log, signed for (`delivered` is logged), opened and validated. One that does
        not hold what its manifest promises is rejected on the way and added to `rejected`. One that is neither
        accepted nor rejected comes again at the next start.

        Args:
            box: ``urgent`` or ``routine``; both if None.
            wait: seconds to wait for further messages before ending.
            known: payload hashes of messages that are not given out, because the caller has them already.

        Raises:
            VerificationError: something the broker answered is not proven.
        """
        only = Box(box) if box is not None else None
        given = set(known)
        while True:
            opened, rejected = self._run(self._core.inbox.next_batch(frozenset(given), wait, only))
            self._core.rejected.extend(rejected)
            given.update(r.message for r in rejected)
            if not opened and not rejected:
                return
            for one in opened:
                given.add(one.message)
                yield _received(one, self)

    def work(
        self,
        box: Box | str | None = None,
        *,
        wait: float = 0.0,
        lease_seconds: int = 300,
        at_once: int = 16,
    ) -> Iterator[Received]:
        """As `inbox`, for one of several workers of this endpoint: only messages that no other worker has leased.

        Each worker is an instance with a key and a profile of its own. What another has accepted or rejected does
        not come; what a worker leaves undone comes to another once its lease has ended. What was leased and not yet
        given out is given back when the iteration ends.

        Args:
            box: ``urgent`` or ``routine``; both if None.
            wait: seconds to wait for further messages, or for some that others give back, before ending.
            lease_seconds: 1 to 3600; longer than the handling of one message may take.
            at_once: messages leased at a time, 1 to 256.

        Raises:
            VerificationError: something the broker answered is not proven.
        """
        only = Box(box) if box is not None else None
        workers = self._core.workers
        given: set[bytes] = set()
        try:
            while True:
                flow = workers.next_batch(frozenset(given), wait, only, lease_seconds, at_once)
                opened, rejected = self._run(flow)
                self._core.rejected.extend(rejected)
                if not opened and not rejected:
                    return
                for one in opened:
                    if self._run(workers.hold(one, lease_seconds)):
                        given.add(one.message)
                        yield _received(one, self)
                given = workers.undone(given)
        finally:
            with contextlib.suppress(CountermarkError):
                self._run(workers.give_back(given))

    def backlog(self) -> list[OpenPosition]:
        """Positions of ``urgent`` and ``routine`` without `accepted` or `rejected` by any instance, oldest first.

        Reads both boxes and ``sent`` to their ends: every position is accounted for, whichever worker had it.
        """
        return self._run(self._core.workers.backlog())

    def accept(self, message: MessageRef) -> None:
        """Accept one received message."""
        self.accept_many([message])

    def accept_many(self, messages: Iterable[MessageRef]) -> int:
        """Accept received messages, one receipt for up to 256 of a sender; how many were not accepted yet."""
        return self._run(self._core.receipts.accept(list(messages)))

    def reject(
        self, message: MessageRef, reason: RejectionReason | str, details: str | JsonObject | None = None
    ) -> None:
        """Reject one received message, with details sealed to its sender."""
        self._run(self._core.receipts.reject(message, RejectionReason(reason), details))

    def open_message(self, message: MessageRef) -> Received:
        """A message received before, opened again from its sealed original."""
        with self._lock:
            return _received(self._core.inbox.open_again(message), self)

    def notices(self) -> list[Notice]:
        """Read new receipts and undelivered notices; `status` then knows of them."""
        return self._run(self._core.overview.read_notices())

    def own_recipient(self, message: MessageRef) -> OwnRecipient:
        """This endpoint's own recipient row of a received message, with its path under what the sender signed.

        Raises:
            NotFoundError: ``unknown_message``.
            VerificationError: the broker shows another entry, or a row that the manifest does not commit to.
        """
        return self._run(self._core.overview.own_recipient(message))

    def withdraw(self, message: MessageRef) -> Purged:
        """Withdraw a sent message: the log states it, and the broker deletes its stanzas and content.

        Whoever has not opened the message cannot any more. What a recipient has opened stays with it, and so do
        manifest, receipts and proofs with everybody. Withdrawn again, the same purge is given.

        Args:
            message: sent by this endpoint, and in the log.

        Raises:
            NotFoundError: ``unknown_message``, ``not_logged``.
            TransportError: the broker is away: the act waits in the outbox.
            VerificationError: the broker's answer does not prove what it should.
        """
        return self._run(self._core.purges.withdraw(message))

    def recall(self, message: MessageRef) -> Recalled:
        """Call back a message that went to a wrong recipient: `withdraw` it, and learn who had collected it by then.

        Whoever has not signed for it before the purge's log entry never reads it. The others are named.

        Raises:
            CountermarkError: as `withdraw`, and as `notices`.
        """
        return self._run(self._core.recall(message))

    def disclose(
        self, message: MessageRef, to: str, ground: str, *, parts: Iterable[str] | None = None
    ) -> Disclosed:
        """State in the log that a message, or parts of it, are shown to a court or an auditor; then they may be.

        The same disclosure to the same receiver on the same ground is logged once.

        Args:
            message: sent or received, and opened here.
            to: an auditor's address, or a court by name.
            ground: why; at most 1,000 characters.
            parts: names of the parts to be shown, such as ``/items/17``; all if None. The others stay closed, and
                are named.

        Raises:
            NotFoundError: ``unknown_message``, ``not_logged``, ``not_opened``, ``unknown_part``.
            TransportError: the broker is away: the act waits in the outbox, and nothing may be handed over yet.
            VerificationError: the broker's answer does not prove what it should.
        """
        return self._run(self._core.disclosing.disclose(message, to, ground, parts))

    def evidence(
        self, message: MessageRef, *, disclosures: Iterable[bytes] = (), tsa_roots: TsaRoots = ()
    ) -> MadeEvidence:
        """Everything that proves to a court what became of a message, in one file (docs/spec/evidence.md).

        Args:
            message: sent or received, and in the log.
            disclosures: what was disclosed of its content, from `disclose`.
            tsa_roots: of authorities of time stamps that are believed (`parse_tsa_roots`): without any, the file
                has the stamps that cover the message all the same, and what is told of it does not count them.

        Raises:
            NotFoundError: ``unknown_message``, ``not_logged``, ``disclosure_not_logged``.
            VerificationError: something does not prove what it should; nothing was made.
            TransportError: the broker is away.
        """
        return self._run(self._core.gatherer.make(message, disclosures, tsa_roots))

    def prove_keys(self, address: str) -> bytes:
        """The keys of an endpoint, or that it has none, proven in one file for who does not read the directory.

        Its receiver checks it by `countermark_protocol.key_proof.verify_key_proof`.

        Args:
            address: of the endpoint.

        Raises:
            TransportError: the broker is away.
        """
        return self._run(self._core.prove_keys(address))

    def accept_keys(self, address: str) -> VerifiedKeys:
        """The keys of an endpoint by a path in the trie that the broker serves: no more of the directory is read.

        They are accepted under a fresh checkpoint alone: of a quorum of witnesses where the log names any, at most as
        old as the settings say; else one that does not fall behind what was seen before, by the broker's word.

        Args:
            address: of the endpoint. That it has no keys that stand is proven too.

        Raises:
            VerificationError: the proof is not authentic, not of this log, or of another address.
            UncheckableError: ``stale_checkpoint``.
            InconsistentLogError: ``checkpoint_fork``: kept as evidence, and nothing is sent any more.
            TransportError: the broker is away.
        """
        return self._run(self._core.accept_keys(address))

    def fetch_key_proof(self, address: str) -> bytes:
        """As `accept_keys`; the file that proves it, for `countermark_protocol.key_proof.verify_key_proof`."""
        return self._run(self._core.fetch_key_proof(address))

    # --- checking ---

    def check_accounts(self) -> SelfCheck:
        """Compare all that the broker ever denied to this profile with all that was proven since.

        It runs by itself once a day, where a client syncs or reads its inbox. What it compares are the accounts kept:
        of those that state the same of the boxes the newest, and every refusal, which is decided again where the
        directory and the refused statement alone decide.

        Raises:
            InconsistentLogError: ``account_contradicted``, ``refused_but_logged``, ``refusal_against_rules``: kept as
                evidence, and nothing is sent any more.
            TransportError: the broker is away, and refusals are to be decided again.
        """
        return self._run(self._core.self_check.run())

    def sync(self) -> Checkpoint:
        """Read new directory statements and a fresh checkpoint, and verify both.

        Raises:
            UncheckableError: ``revocation_not_logged``: see `alarms`; what was read is kept.
        """
        return self._run(self._core.sync())

    def read_boxes(self) -> dict[Box, int]:
        """Read all own boxes to their ends, proven position by position; how many entries each holds.

        Nothing is signed for and nothing is opened: that is what `inbox` does. Raises as `sync_sent`.
        """
        return self._run(self._core.read_boxes())

    def sync_sent(self) -> int:
        """Compare the box ``sent`` with what this profile sent; how many entries were new.

        Raises:
            InconsistentLogError: ``unknown_sent_entry``: this instance's key signed what it did not send;
                ``refused_but_logged``.
        """
        return self._run(self._core.sync_sent())

    def compare_restored(self, *, adopt: bool = False) -> Compared:
        """Compare a profile restored from a backup with the box ``sent``; only then it sends again.

        Statements of the outbox that were logged after the backup are recognised by their payload hash and get
        their proofs; they are not sent again. Entries that this profile's key signed after the backup are not
        known here: they are told, and adopted only if asked for.

        Args:
            adopt: believe those entries to be this profile's own, after people have looked at them.

        Raises:
            ConflictError: ``not_restored``; ``entries_to_adopt``, with the entries in ``facts['entries']``: nothing was
                changed.
            VerificationError: as `sync_sent`.
        """
        return self._run(self._core.restored.compare(adopt=adopt))

    def verify_log(self, progress: Progress | None = None) -> LogReport:
        """Read every leaf of the log, check their succession, and recompute the root."""
        return self._run(self._core.verify_log(progress))

    # --- bundles ---

    def carry_bundle(self, data: bytes, *, again: bool = False) -> CarriedBack:
        """Post what another post of this endpoint has exported; the bundle that goes back to it.

        Signs `delivered` for messages that the other post has not received, and brings their stanzas and contents.

        Args:
            data: the bundle.
            again: carry one that was carried before, because what went back was lost.

        Raises:
            VerificationError: the bundle is altered, or not by a current instance of this endpoint.
            ConflictError: it is not for this endpoint, or ``bundle_replayed``.
            TransportError: the broker is away: carry it again, nothing is posted twice.
        """
        return self._run(self._core.carrier.carry(data, again=again))

    # --- revocations by another path ---

    def import_revocation(self, document: bytes) -> None:
        """Take in a signed revocation that came by another path than the log, and honour it from now on.

        The key is dead for this client at once: nothing is sealed to it, nor to an endpoint that it vouched for
        after the date of compromise; what it signs and the log shows beyond the newest checkpoint verified here
        is `doubtful`. The directory stays as the log has it.

        Args:
            document: the signed statement, as `countermark_client.statements` makes it.

        Raises:
            MalformedError: no revocation.
            VerificationError: signed by none who may revoke the key, or made for another log.
            NotFoundError: ``unknown_key``: no record ever named the key.
        """
        self._run(self._core.revocations.import_document(document))

    # --- enrolling others, and oneself ---

    def invite(self, address: str, days: int = 7) -> Pending:
        """Invite an endpoint of this authority: a code for it to find its invitation by, which is no secret.

        Args:
            address: to be enrolled; within this authority's mandate.
            days: 1 to 31, after which the invitation is gone.

        Raises:
            PolicyError: ``outside_mandate``.
            ConflictError: ``already_enrolled``, ``too_many_invitations``.
            NotFoundError: ``no_such_authority``; ``no_such_key``: this profile is no authority's.
        """
        return self._run(self._core.invitations.invite(address, days))

    def invitations(self) -> Invited:
        """What this authority has open: requests that wait for approval, and invitations without one."""
        return self._run(self._core.invitations.read())

    def withdraw_invitation(self, code: str) -> None:
        """Withdraw an invitation of this authority, or refuse the request that came on it."""
        self._run(self._core.invitations.withdraw(code))

    def approve_enrolment(
        self, found: PendingEnrolment, fingerprint: str, signer: Signer | None = None
    ) -> Approved:
        """Approve a request, and publish it once enough of the authority's keys have signed.

        Args:
            found: from `invitations`.
            fingerprint: as the applicant told it by voice: whoever holds the request's keys will *be* the endpoint.
            signer: the authority's key; this profile's if None.

        Raises:
            SignatureError: ``other_fingerprint``: nothing was signed.
            CountermarkError: as the broker refuses it.
        """
        return self._run(self._core.invitations.approve(found, fingerprint, signer))

    def request_enrolment(self, code: str, name: str | None = None) -> str:
        """Hand in the request of this profile's endpoint on an invitation.

        Args:
            code: of the invitation.
            name: of the endpoint, for people; its address if not said.

        Returns:
            The fingerprint to be read out to the authority, by voice.

        Raises:
            NotFoundError: ``no_invitation``.
        """
        return self._run(self._core.invitations.request(code, name))

    def wait_enrolled(self, within: timedelta) -> bool:
        """Wait until the authority has approved and this instance's key counts; whether it does."""
        return self._run(self._core.invitations.wait_enrolled(within.total_seconds()))

    # --- renewing keys ---

    def renew_keys(
        self,
        *,
        instance: bool = True,
        sealing: bool = False,
        algorithm: Algorithm | None = None,
        sealing_algorithm: Algorithm | None = None,
        second: bool | None = None,
        until: datetime | None = None,
        administrator: Signer | None = None,
        request: bool = False,
    ) -> Renewed:
        """Make new keys of this instance or endpoint, have them certified, and let the old ones overlap.

        They are kept before they are published; what was interrupted is taken up by the next renewal. A running client
        does this by itself before its keys end, where it holds the administrator's key (`Settings.renew_before`).

        Args:
            instance: renew this profile's instance key.
            sealing: renew the endpoint's sealing key; its other instances then need it too.
            algorithm: of the new instance key; that of the present one if None.
            sealing_algorithm: of the new sealing key; that of the present one if None.
            second: whether the new instance key is paired with an ML-DSA-65 key; as the present one is if None.
            until: when the new keys count no more; after `Settings.key_validity` if None.
            administrator: signs the statement; the profile's own administrator key if None.
            request: do not sign as administrator: give the draft, for the administrator to sign and publish.

        Raises:
            NotFoundError: ``not_enrolled``; ``no_such_key``: there is no administrator key here.
            UncheckableError: ``keys_elsewhere``: the keystore is neither a key file nor a token.
            CountermarkError: as the broker refuses the statement.
        """
        return self._run(
            self._core.renewal.renew(
                instance=instance,
                sealing=sealing,
                algorithm=algorithm,
                sealing_algorithm=sealing_algorithm,
                second=second,
                until=round(until.timestamp() * 1000) if until is not None else None,
                administrator=administrator,
                request=request,
            )
        )

    # --- webhooks ---

    def set_webhook(self, url: str, boxes: Sequence[Box | str] = DEFAULT_BOXES) -> tuple[Webhook, ...]:
        """Have the broker call a URL when a box of this endpoint moves; all webhooks there are.

        A URL that is registered already is set anew: on, without failures, and called once for each box.

        Args:
            url: https; its receiver checks calls by `countermark_client.webhooks.verify`.
            boxes: to be told of.

        Raises:
            MalformedError: ``webhook_url``.
            PolicyError: ``webhook_not_https``, ``webhook_address_refused``, ``webhooks_off``, …
            ConflictError: ``too_many_webhooks``.
        """
        return self._run(self._core.webhooks.put(url, boxes))

    def webhooks(self) -> tuple[Webhook, ...]:
        """The webhooks of this endpoint and how they fare."""
        return self._run(self._core.webhooks.read())

    def remove_webhook(self, url: str | None = None) -> tuple[Webhook, ...]:
        """Remove one webhook of this endpoint, or all; those that are left."""
        return self._run(self._core.webhooks.remove(url))

    # --- directory statements ---

    def publish_statement(self, document: bytes) -> int:
        """Post a directory statement that has all its signatures; the index of its entry."""
        return self._run(self._core.publish(document))
