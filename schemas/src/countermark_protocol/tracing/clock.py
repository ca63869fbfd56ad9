"""The clock of every trace: when it began, stood still, was acknowledged and ended, and what that makes of it.

One clock for each request and authority's endpoint asked:

- it runs from the logged `delivered` receipt of the request;
- an answer of stage `paused` (more information is needed) stops it, from the answer's leaf on, three times at most; it
  runs again from when the requester's next request, clarification or correction in the conversation is delivered, or
  from the next answer of another stage. After 15 days without either the case is incomplete, by the requester;
- the first answer, of whatever stage, acknowledges; the answer of stage `final` ends it;
- a further request of the conversation belongs to the running clock; after a final answer, a rejection, a withdrawal or
  the notice that the request was not collected, or where it supersedes the request, it begins another;
- an answer on behalf of the endpoint that was asked is that endpoint's.

All from manifests and receipts, by the leaves' times; content is never needed. So an auditor with its mirror and a
party with its own messages come to the same clocks.

Source: docs/spec/tracing.md §2; docs/spec/messages.md §7.10; ITI 18 to 23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from countermark_protocol.codes.tracing import TraceOutcome
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays
from countermark_protocol.tracing.deadlines import (
    ANSWERS,
    INFORMATION,
    MAX_INFORMATION_ROUNDS,
    REQUEST,
    SUPPLIES,
    Instrument,
    Limits,
    acknowledge_by,
    instrument_of,
    trace_limits,
)


class State(StrEnum):
    """Where a trace stands."""

    IN_TIME = "answered-in-time"
    LATE = "answered-late"
    OPEN = "open"
    OVERDUE = "overdue"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"
    """Paused, and the requester gave nothing for 15 days."""
    REJECTED = "rejected"
    UNDELIVERED = "undelivered"
    WITHDRAWN = "withdrawn"
    """Superseded or withdrawn by the requester."""


class Acknowledged(StrEnum):
    """Whether a trace was acknowledged."""

    IN_TIME = "in-time"
    LATE = "late"
    MISSING = "missing"
    """It should have been."""
    PENDING = "pending"
    """It need not be yet, or never came to be asked."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One request to one endpoint, as it stood at a time; times are ms since 1970.

    Attributes:
        at: the time; nothing from then on is in it.
        conversation: payload hash of its first message.
        request: payload hash.
        index: of the request in the log.
        asked_at: leaf time of the request.
        requester: address.
        requested: address.
        urgency: of the request.
        reply_by: as its sender states it.
        delivered_at: when the clock began.
        undelivered_at: of the broker's notice.
        rejected_at: of the recipient's receipt.
        withdrawn_at: when it was superseded or withdrawn.
        acknowledged_at: of the first answer.
        answered_at: of the final answer.
        pauses: from when until when the clock stood; the last may be open.
        acknowledge_by: until when it is to be acknowledged; None before delivery.
    """

    at: int
    conversation: bytes
    request: bytes
    index: int
    asked_at: int
    requester: str
    requested: str
    urgency: str
    reply_by: int | None
    delivered_at: int | None
    undelivered_at: int | None
    rejected_at: int | None
    withdrawn_at: int | None
    acknowledged_at: int | None
    answered_at: int | None
    pauses: tuple[tuple[int, int | None], ...]
    acknowledge_by: int | None

    @property
    def instrument(self) -> Instrument:
        """What sets its deadlines."""
        return instrument_of(self.requester, self.requested)

    @property
    def limits(self) -> Limits:
        """Its deadlines, from delivery."""
        return trace_limits(self.requester, self.requested, self.urgency)

    @property
    def paused(self) -> int:
        """How long the clock has stood, ms."""
        return sum((self.at if end is None else end) - begin for begin, end in self.pauses)

    @property
    def due_at(self) -> int | None:
        """Until when it is to be answered, moved by the time that the clock stood; None before delivery."""
        base = self.reply_by
        if base is None and self.delivered_at is not None:
            base = self.delivered_at + self.limits.reply
        return None if base is None else base + self.paused

    @property
    def remind_at(self) -> int | None:
        """When the requester reminds: by the table, and not after half of the time; None before delivery."""
        if self.delivered_at is None or self.due_at is None:
            return None
        half = (max(self.due_at - self.paused - self.delivered_at, 0)) // 2
        return self.delivered_at + self.paused + min(self.limits.remind, half)

    @property
    def unanswered_at(self) -> int | None:
        """When it counts as unanswered; None before delivery."""
        if self.delivered_at is None or self.due_at is None:
            return None
        return self.due_at + self.limits.unanswered - self.limits.reply

    @property
    def response(self) -> int | None:
        """From delivery to the final answer without the time that the clock stood, ms."""
        if self.answered_at is None or self.delivered_at is None:
            return None
        return max(0, self.answered_at - self.delivered_at - self.paused)

    @property
    def state(self) -> State:
        """Where it stands."""
        due = self.due_at
        if self.answered_at is not None:
            return State.LATE if due is not None and self.answered_at > due else State.IN_TIME
        if self.rejected_at is not None:
            return State.REJECTED
        if self.withdrawn_at is not None:
            return State.WITHDRAWN
        if self.delivered_at is None and self.undelivered_at is not None:
            return State.UNDELIVERED
        if self.pauses and self.pauses[-1][1] is None:
            return State.INCOMPLETE if self.at - self.pauses[-1][0] > INFORMATION else State.PAUSED
        return State.OVERDUE if due is not None and self.at > due else State.OPEN

    @property
    def acknowledged(self) -> Acknowledged:
        """Whether it was acknowledged."""
        by = self.acknowledge_by
        if self.acknowledged_at is not None:
            return Acknowledged.LATE if by is not None and self.acknowledged_at > by else Acknowledged.IN_TIME
        ended = self.rejected_at is not None or self.withdrawn_at is not None
        missing = by is not None and self.at > by and not ended
        return Acknowledged.MISSING if missing else Acknowledged.PENDING

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "request": self.request.hex(),
            "conversation": self.conversation.hex(),
            "index": self.index,
            "requester": self.requester,
            "requested": self.requested,
            "urgency": self.urgency,
            "state": self.state.value,
            "acknowledged": self.acknowledged.value,
            "at": self.at,
            "asked_at": self.asked_at,
            "delivered_at": self.delivered_at,
            "acknowledge_by": self.acknowledge_by,
            "acknowledged_at": self.acknowledged_at,
            "reply_by": self.reply_by,
            "due_at": self.due_at,
            "answered_at": self.answered_at,
            "response": self.response,
            "paused": self.paused,
            "pauses": [list(pause) for pause in self.pauses],
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recipient of a message: how far it is, and when; times are ms since 1970 of the leaves.

    Attributes:
        recipient: address.
        stage: ``open``, ``delivered``, ``accepted`` or ``rejected``.
        delivered_at: of its ``delivered`` receipt.
        settled_at: of its ``accepted`` or ``rejected`` one.
        undelivered_at: of the broker's notice.
    """

    recipient: str
    stage: str
    delivered_at: int | None
    settled_at: int | None
    undelivered_at: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the content of a message says, as far as the states of a trace need it.

    Attributes:
        items: references of the weapons of a request, or of the results of a response.
        outcomes: of a response, in the order of `items`.
        next_states: States that a response names to be asked next.
        seeks: whether a clarification asks; None for other types.
    """

    items: tuple[str, ...] = ()
    outcomes: tuple[TraceOutcome, ...] = ()
    next_states: tuple[str, ...] = ()
    seeks: bool | None = None


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message of a conversation with a trace: what its manifest and the log say of it.

    Attributes:
        conversation: payload hash of the conversation's first message, 32 bytes.
        payload: its payload hash, 32 bytes.
        index: in the log.
        time: of its leaf, ms since 1970.
        sender: address.
        type: message type.
        stage: of an answer, else None.
        in_reply_to: payload hash.
        supersedes: payload hash.
        reply_by: as its sender states it.
        urgency: of the manifest.
        withdrawn_at: when its sender withdrew it or another took its place.
        deliveries: its recipients.
        on_behalf_of: in whose name it was sent.
        told: what its content says, where that is known.
    """

    conversation: bytes
    payload: bytes
    index: int
    time: int
    sender: str
    type: str
    stage: str | None
    in_reply_to: bytes | None
    supersedes: bytes | None
    reply_by: int | None
    urgency: str
    withdrawn_at: int | None
    deliveries: tuple[Delivery, ...]
    on_behalf_of: str | None = None
    told: Told | None = None

    @property
    def actor(self) -> str:
        """Whose word it is: the endpoint in whose name it was sent."""
        return self.on_behalf_of or self.sender


@dataclass
class _Running:
    request: LoggedMessage
    to: Delivery
    acknowledged_at: int | None = None
    answered_at: int | None = None
    pauses: list[tuple[int, int | None]] = field(default_factory=list)

    def ended(self, further: LoggedMessage) -> bool:
        """Whether a further request begins another clock."""

        def by_then(moment: int | None) -> bool:
            return moment is not None and moment <= further.time

        return (
            self.answered_at is not None
            or further.supersedes == self.request.payload
            or by_then(self.request.withdrawn_at)
            or (self.to.stage == "rejected" and by_then(self.to.settled_at))
            or (by_then(self.to.undelivered_at) and not by_then(self.to.delivered_at))
        )

    def resume(self, time: int) -> None:
        if self.pauses and self.pauses[-1][1] is None:
            self.pauses[-1] = (self.pauses[-1][0], time)


def clocks_of(messages: Sequence[LoggedMessage], at: int, holidays: Holidays = NO_HOLIDAYS) -> list[Clock]:
    """The clocks of one conversation, by their requests.

    Args:
        messages: of the conversation, by index.
        at: time as at which, ms; what was logged then or later is left out.
        holidays: by country.
    """
    by_payload = {m.payload: m for m in messages}
    running: dict[tuple[str, str], _Running] = {}
    all_of_them: list[_Running] = []
    for _time, _index, _order, message, delivered in sorted(_moves(messages, at), key=lambda m: m[:3]):
        if delivered is not None:  # what a requester gives sets the clock going again, from when it is there
            asked = running.get((message.actor, delivered.recipient))
            if asked is not None and message is not asked.request and message.type in SUPPLIES:
                asked.resume(delivered.delivered_at or 0)
        elif message.type == REQUEST:
            for to in message.deliveries:
                known = running.get((message.actor, to.recipient))
                if known is None or known.ended(message):
                    running[message.actor, to.recipient] = _Running(message, to)
                    all_of_them.append(running[message.actor, to.recipient])
        elif message.type in ANSWERS:
            asking = by_payload.get(message.in_reply_to or b"")
            asked = running.get((asking.actor, message.actor)) if asking is not None else None
            if asked is not None and asked.answered_at is None:
                _answered(asked, message)
    return [_clock(one, at, holidays) for one in all_of_them]


def _moves(
    messages: Iterable[LoggedMessage], at: int
) -> Iterator[tuple[int, int, int, LoggedMessage, Delivery | None]]:
    for message in messages:
        if message.time < at:
            yield message.time, message.index, 0, message, None
            for one in message.deliveries:
                if one.delivered_at is not None and one.delivered_at < at:
                    yield one.delivered_at, message.index, 1, message, one


def _answered(asked: _Running, answer: LoggedMessage) -> None:
    if asked.acknowledged_at is None:
        asked.acknowledged_at = answer.time
    if answer.stage == "paused":
        running = not asked.pauses or asked.pauses[-1][1] is not None
        if running and len(asked.pauses) < MAX_INFORMATION_ROUNDS:
            asked.pauses.append((answer.time, None))
        return
    asked.resume(answer.time)
    if answer.stage == "final":
        asked.answered_at = answer.time


def _clock(one: _Running, at: int, holidays: Holidays) -> Clock:
    def before(time: int | None) -> int | None:
        return time if time is not None and time < at else None

    request, to = one.request, one.to
    begun = before(to.delivered_at)
    limits = trace_limits(request.actor, to.recipient, request.urgency)
    return Clock(
        at=at,
        conversation=request.conversation,
        request=request.payload,
        index=request.index,
        asked_at=request.time,
        requester=request.actor,
        requested=to.recipient,
        urgency=request.urgency,
        reply_by=request.reply_by,
        delivered_at=begun,
        undelivered_at=before(to.undelivered_at),
        rejected_at=before(to.settled_at) if to.stage == "rejected" else None,
        withdrawn_at=before(request.withdrawn_at),
        acknowledged_at=one.acknowledged_at,
        answered_at=one.answered_at,
        pauses=tuple(one.pauses),
        acknowledge_by=None if begun is None else acknowledge_by(limits, to.recipient, begun, holidays),
    )
