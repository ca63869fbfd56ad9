"""`Client`: the core driven by httpx, one call at a time."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from countermark_client import _http
from countermark_client._core import Core, as_drafts
from countermark_client._flows_log import Progress
from countermark_client._io import Flow, Request, Response, Sleep
from countermark_client._models import (
    ConversationItem,
    Draft,
    FlushReport,
    LogReport,
    MessageRef,
    MessageStatus,
    Notice,
    OpenedMessage,
    Outcome,
    Rejected,
    Sent,
)
from countermark_client._profile import Profile
from countermark_client._session import Clock
from countermark_client._settings import Settings
from countermark_client._store import Direction, OutboxItem
from countermark_client.statements import Drafts
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import TransportError
from countermark_protocol.handling import Handling
from countermark_protocol.manifest import Urgency
from countermark_protocol.messages.base import Message
from countermark_protocol.receipts import RejectionReason

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


class Client:
    """One instance of an endpoint, as a program uses it. `AsyncClient` has the same methods.

    Args:
        profile: opened; the client does not close it, unless it opened it (`Client.open`).
        transport: of httpx; None for the network.
        settings: bounds and patience.
        clock: ms since 1970; the machine's if None.
        sleep: waits a number of seconds; `time.sleep` if None.
        verify: TLS: True for the system's authorities, or a path to the authority's certificate.

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
        verify: bool | str = True,
    ) -> None:
        self._core = Core(profile, settings, clock)
        self._http = httpx.Client(
            base_url=profile.broker_url, transport=transport, verify=tls(verify), follow_redirects=False
        )
        self._sleep = sleep or time.sleep
        self._lock = threading.Lock()
        self._owned = False

    @classmethod
    def open(cls, folder: Path | str, passphrase: str, *, verify: bool | str = True) -> Self:
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

    def _perform(self, effect: Request | Sleep) -> Response | None:
        if isinstance(effect, Sleep):
            self._sleep(effect.seconds)
            return None
        with _http.mapped_errors():
            response = self._http.send(_http.build(self._http, effect), stream=True)
            try:
                body = _http.Gatherer()
                for chunk in response.iter_bytes():
                    body.add(chunk)
            finally:
                response.close()
            return _http.result(response, body.done())

    # --- sending ---

    def send(
        self,
        type: str,  # noqa: A002  the word of the specification
        content: Message | JsonObject,
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
        )
        return self._run(self._core.sender.send(draft))

    def reply(
        self,
        message: OpenedMessage,
        type: str,  # noqa: A002
        content: Message | JsonObject,
        *,
        urgency: Urgency | str = Urgency.ROUTINE,
        handling: Handling | None = None,
        reply_by: datetime | None = None,
        expires_in: timedelta | None = None,
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
        )

    def send_many(self, drafts: Iterable[Draft]) -> Iterator[Outcome]:
        """Send one after the other; what is refused does not stop what follows.

        Raises:
            TransportError: the broker is away; the message it happened at waits in the outbox, those after it
                were not made yet.
        """
        for draft in as_drafts(drafts):
            yield self._run(self._core.send_next(draft))

    def flush(self) -> FlushReport:
        """Send what the outbox holds: after a crash, or when the broker is back. The same bytes again."""
        return self._run(self._core.sender.flush())

    def outbox(self) -> list[OutboxItem]:
        """All statements of this profile, in the order of sending."""
        return self._core.session.store.outbox()

    # --- receiving ---

    def inbox(self, box: Box | str | None = None, *, wait: float = 0.0) -> Iterator[Received]:
        """Messages to this endpoint, those of ``urgent`` first; ends when there are no more.

        Each is proven to be in the log, signed for (`delivered` is logged), opened and validated. One that does
        not hold what its manifest promises is rejected on the way and added to `rejected`. One that is neither
        accepted nor rejected comes again at the next start.

        Args:
            box: ``urgent`` or ``routine``; both if None.
            wait: seconds to wait for further messages before ending.

        Raises:
            VerificationError: something the broker answered is not proven.
        """
        only = Box(box) if box is not None else None
        given: set[bytes] = set()
        while True:
            opened, rejected = self._run(self._core.inbox.next_batch(frozenset(given), wait, only))
            self._core.rejected.extend(rejected)
            given.update(r.message for r in rejected)
            if not opened and not rejected:
                return
            for one in opened:
                given.add(one.message)
                yield _received(one, self)

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Messages that this client rejected by itself since it was made."""
        return tuple(self._core.rejected)

    def accept(self, message: MessageRef) -> None:
        """Accept one received message."""
        self.accept_many([message])

    def accept_many(self, messages: Iterable[MessageRef]) -> int:
        """Accept received messages, one receipt for up to 256 of a sender; how many were not accepted yet."""
        return self._run(self._core.inbox.accept(list(messages)))

    def reject(
        self, message: MessageRef, reason: RejectionReason | str, details: str | JsonObject | None = None
    ) -> None:
        """Reject one received message, with details sealed to its sender."""
        self._run(self._core.inbox.reject(message, RejectionReason(reason), details))

    def open_message(self, message: MessageRef) -> Received:
        """A message received before, opened again from its sealed original."""
        with self._lock:
            return _received(self._core.inbox.open_again(message), self)

    def notices(self) -> list[Notice]:
        """Read new receipts and undelivered notices; `status` then knows of them."""
        return self._run(self._core.inbox.read_notices())

    def status(self, message: MessageRef) -> MessageStatus:
        """How far a sent message is, as far as notices were read."""
        with self._lock:
            return self._core.inbox.status(message)

    def proof(self, message: MessageRef) -> bytes:
        """The proof kept of a logged message, as JSON: checkpoint, inclusion and deliveries (docs/spec/api.md §4).

        Raises:
            NotFoundError: ``no_proof``.
        """
        with self._lock:
            return self._core.inbox.proof(message)

    def conversation(self, message: MessageRef) -> list[ConversationItem]:
        """All messages of a message's conversation that this profile holds, in log order."""
        with self._lock:
            return self._core.inbox.conversation(message)

    def messages(self, direction: Direction | str | None = None) -> list[ConversationItem]:
        """All messages that this profile holds, in log order."""
        with self._lock:
            return self._core.inbox.messages(Direction(direction) if direction is not None else None)

    # --- checking ---

    def sync(self) -> Checkpoint:
        """Read new directory statements and a fresh checkpoint, and verify both.

        Raises:
            UncheckableError: ``revocation_not_logged``: see `alarms`; what was read is kept.
        """
        return self._run(self._core.sync())

    def sync_sent(self) -> int:
        """Compare the box ``sent`` with what this profile sent; how many entries were new.

        Raises:
            InconsistentLogError: ``unknown_sent_entry``: this instance's key signed what it did not send;
                ``refused_but_logged``.
        """
        return self._run(self._core.sync_sent())

    def verify_log(self, progress: Progress | None = None) -> LogReport:
        """Read every leaf of the log, check their succession, and recompute the root."""
        return self._run(self._core.verify_log(progress))

    @property
    def directory(self) -> Directory:
        """The directory as last verified."""
        return self._core.log.directory

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint last verified."""
        return self._core.log.checkpoint

    @property
    def checkpoint_age(self) -> int | None:
        """Age of that checkpoint, ms."""
        return self._core.log.age

    @property
    def halted(self) -> str | None:
        """Why this client sends nothing any more, or None."""
        return self._core.log.halted

    def clear_halt(self) -> None:
        """Send again, after people have looked at `Profile.evidence`."""
        with self._lock:
            self._core.log.clear_halt()

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

    @property
    def alarms(self) -> tuple[str, ...]:
        """Revocations imported that the log does not show though it was read a minute later or more.

        Not proof of anything: perhaps nobody has posted them yet (`publish_statement`). The first call that finds
        one raises ``revocation_not_logged``, once.
        """
        return self._core.revocations.alarms

    # --- directory statements ---

    @property
    def drafts(self) -> Drafts:
        """Drafts of directory statements, from the directory as read (`sync` first)."""
        return self._core.drafts

    def publish_statement(self, document: bytes) -> int:
        """Post a directory statement that has all its signatures; the index of its entry."""
        return self._run(self._core.publish(document))

    @property
    def profile(self) -> Profile:
        """The profile."""
        return self._core.profile


def tls(verify: bool | str) -> bool | ssl.SSLContext:
    """What httpx takes: True, or a context that trusts one authority's certificate."""
    if verify is False:
        msg = "certificates are always verified: give the path of the authority's certificate"
        raise ValueError(msg)
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify
