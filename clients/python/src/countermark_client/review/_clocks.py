"""The clock of every trace: when it began, stood still, was acknowledged and ended, and what that makes of it.

One clock for each request and authority's endpoint asked:

- it runs from the logged `delivered` receipt of the request;
- an answer of stage `paused` (more information is needed) stops it, from the answer's leaf on; it runs again from when
  the requester's next message of the conversation is delivered, or from the next answer of another stage. After 15
  days without either the case is incomplete, by the requester;
- the first answer, of whatever stage, acknowledges; the answer of stage `final` ends it;
- a further request of the conversation belongs to the running clock; after a final answer, or where it supersedes
  the request, it begins another.

All from manifests and receipts, by the leaves' times; content is never needed.

Source: docs/spec/messages.md §7.10; domain page 6.2, 6.3 and 6.5; ITI 18 to 23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import Any

from countermark_client._database import Database
from countermark_client.review._deadlines import INFORMATION, LIMITS, REQUEST, acknowledge_by
from countermark_client.review._scope import Traffic


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

    @property
    def paused(self) -> int:
        """How long the clock has stood, ms."""
        return sum((self.at if end is None else end) - begin for begin, end in self.pauses)

    @property
    def due_at(self) -> int | None:
        """Until when it is to be answered, moved by the time that the clock stood; None before delivery."""
        base = self.reply_by
        if base is None and self.delivered_at is not None:
            base = self.delivered_at + LIMITS[self.urgency].reply
        return None if base is None else base + self.paused

    @property
    def acknowledge_by(self) -> int | None:
        """Until when it is to be acknowledged; None before delivery."""
        return None if self.delivered_at is None else acknowledge_by(self.urgency, self.delivered_at)

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
class Delivered:
    """A recipient of a message, as a mirror's row `deliveries` has it."""

    recipient: str
    stage: str
    delivered_at: int | None
    settled_at: int | None
    undelivered_at: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of a conversation with a trace, as a mirror's row `messages` has it."""

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
    deliveries: tuple[Delivered, ...]


@dataclass
class _Running:
    request: Sent
    to: Delivered
    acknowledged_at: int | None = None
    answered_at: int | None = None
    pauses: list[tuple[int, int | None]] = field(default_factory=list)

    def resume(self, time: int) -> None:
        if self.pauses and self.pauses[-1][1] is None:
            self.pauses[-1] = (self.pauses[-1][0], time)


def clocks_of(messages: Sequence[Sent], at: int) -> list[Clock]:
    """The clocks of one conversation, by their requests.

    Args:
        messages: of the conversation, by index.
        at: time as at which, ms; what was logged then or later is left out.
    """
    by_payload = {m.payload: m for m in messages}
    running: dict[tuple[str, str], _Running] = {}
    all_of_them: list[_Running] = []
    for _time, _order, _index, message, delivered in sorted(_moves(messages, at), key=lambda m: m[:3]):
        if delivered is not None:  # what a requester gives sets the clock going again, from when it is there
            asked = running.get((message.sender, delivered.recipient))
            if asked is not None and message is not asked.request and message.stage is None:
                asked.resume(delivered.delivered_at or 0)
        elif message.stage is None:
            for to in message.deliveries if message.type == REQUEST else ():
                known = running.get((message.sender, to.recipient))
                if (
                    known is None
                    or known.answered_at is not None
                    or message.supersedes == known.request.payload
                ):
                    running[message.sender, to.recipient] = _Running(message, to)
                    all_of_them.append(running[message.sender, to.recipient])
        else:
            asking = by_payload.get(message.in_reply_to or b"")
            asked = running.get((asking.sender, message.sender)) if asking is not None else None
            if asked is not None and asked.answered_at is None:
                _answered(asked, message)
    return [_clock(one, at) for one in all_of_them]


def _moves(messages: Iterable[Sent], at: int) -> Iterator[tuple[int, int, int, Sent, Delivered | None]]:
    for message in messages:
        if message.time < at:
            yield message.time, 0, message.index, message, None
            for one in message.deliveries:
                if one.delivered_at is not None and one.delivered_at < at:
                    yield one.delivered_at, 1, message.index, message, one


def _answered(asked: _Running, answer: Sent) -> None:
    if asked.acknowledged_at is None:
        asked.acknowledged_at = answer.time
    if answer.stage == "paused":
        if not asked.pauses or asked.pauses[-1][1] is not None:
            asked.pauses.append((answer.time, None))
        return
    asked.resume(answer.time)
    if answer.stage == "final":
        asked.answered_at = answer.time


def _clock(one: _Running, at: int) -> Clock:
    def before(time: int | None) -> int | None:
        return time if time is not None and time < at else None

    request, to = one.request, one.to
    return Clock(
        at=at,
        conversation=request.conversation,
        request=request.payload,
        index=request.index,
        asked_at=request.time,
        requester=request.sender,
        requested=to.recipient,
        urgency=request.urgency,
        reply_by=request.reply_by,
        delivered_at=before(to.delivered_at),
        undelivered_at=before(to.undelivered_at),
        rejected_at=before(to.settled_at) if to.stage == "rejected" else None,
        withdrawn_at=before(request.withdrawn_at),
        acknowledged_at=one.acknowledged_at,
        answered_at=one.answered_at,
        pauses=tuple(one.pauses),
    )


_MESSAGES = """
SELECT m.conversation, m.payload, m.idx, m.time, m.sender, m.type, m.stage, m.in_reply_to, m.supersedes, m.reply_by,
  m.urgency, CASE WHEN m.purge_ground = 'withdrawn' THEN m.purged_at END
FROM messages m WHERE {where} ORDER BY m.conversation, m.idx"""
_SUPERSEDED = "SELECT supersedes, min(time) FROM messages WHERE supersedes IS NOT NULL GROUP BY supersedes"
_DELIVERIES = """
SELECT d.message, d.recipient, d.stage, d.delivered_at, d.settled_at, d.undelivered_at
FROM deliveries d JOIN messages m ON m.payload = d.message WHERE {where} ORDER BY d.message, d.recipient"""
_TRACES = "m.time < ? AND {traffic} AND m.conversation IN (SELECT conversation FROM messages WHERE type = ?)"


def read_conversations(database: Database, where: str, values: Sequence[Any]) -> Iterator[list[Sent]]:
    """The messages of conversations, one conversation after the other.

    Args:
        database: of the mirror.
        where: condition in SQL on messages `m`; it must take whole conversations.
        values: for it.
    """
    recipients: dict[bytes, list[Delivered]] = {}
    for message, *rest in database.execute(_DELIVERIES.format(where=where), values):
        recipients.setdefault(message, []).append(Delivered(*rest))
    superseded: dict[bytes, int] = dict(database.execute(_SUPERSEDED))
    rows = database.execute(_MESSAGES.format(where=where), values)
    for _, group in groupby(rows, key=lambda row: row[0]):
        sent = [Sent(*(*row, tuple(recipients.get(row[1], ())))) for row in group]
        yield [
            replace(
                one, withdrawn_at=min(superseded[one.payload], one.withdrawn_at or superseded[one.payload])
            )
            if one.payload in superseded
            else one
            for one in sent
        ]


def read_clocks(database: Database, traffic: Traffic, at: int) -> list[Clock]:
    """Every clock of a mirror as it stood at a time, by the log's order of requests."""
    where = _TRACES.format(traffic=traffic.condition)
    found = [c for sent in read_conversations(database, where, (at, REQUEST)) for c in clocks_of(sent, at)]
    return sorted(found, key=lambda c: (c.index, c.requested))
