"""A conversation as traces: what the log holds, folded by the table of states into where each trace stands.

A pure function of a set of messages, of closings and of the time. The set's order and duplicates change nothing: the
log's order decides. A message whose predecessors have not been read is held, and counts once they have. What the table
does not allow has no effect; it is kept as a step with the reason, so that people see it.

Source: docs/spec/tracing.md §3 and §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from countermark_protocol.codes.tracing import TraceOutcome
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays
from countermark_protocol.tracing.clock import Clock, Delivery, LoggedMessage, clocks_of
from countermark_protocol.tracing.deadlines import (
    ANSWERS,
    CLARIFICATION,
    INFORMATION,
    MAX_INFORMATION_ROUNDS,
    REQUEST,
    SUPPLIES,
)
from countermark_protocol.tracing.lifecycle import (
    FINAL,
    Act,
    Reason,
    TraceState,
    Transition,
    transition,
)

#: Acts that an answer can be; all end what an answer can end.
_FINAL_ACTS: Final = frozenset({Act.ANSWER, Act.RESTRICT, Act.REFUSE})


@dataclass(frozen=True, slots=True)
class Closing:
    """That a requester closed a trace; kept by its client, no message says it.

    Attributes:
        request: payload hash, 32 bytes.
        requested: address.
        at: ms since 1970, by the requester's clock.
        diversion_established: whether the trace established the point of diversion (SDG 16.4.2).
        note: in words.
    """

    request: bytes
    requested: str
    at: int
    diversion_established: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened in a conversation, and what it did.

    Attributes:
        at: ms since 1970.
        who: address; empty for the clock and the broker.
        act: what it is; None where it is none of the table's.
        message: payload hash, 32 bytes, or None.
        state: in which it left the trace.
        refused: why it did nothing, or None.
    """

    at: int
    who: str
    act: Act | None
    message: bytes | None
    state: TraceState | None
    refused: Reason | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "at": self.at,
            "who": self.who,
            "act": self.act.value if self.act is not None else None,
            "message": self.message.hex() if self.message is not None else None,
            "state": self.state.value if self.state is not None else None,
            "refused": self.refused.value if self.refused is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """One request to one endpoint asked.

    Attributes:
        clock: its times.
        state: where it stands.
        rounds: how often more information was asked for.
        steps: what happened, in order.
        answers: payload hashes of the answers that count, in order.
        closing: by the requester, or None.
    """

    clock: Clock
    state: TraceState
    rounds: int
    steps: tuple[Step, ...]
    answers: tuple[bytes, ...]
    closing: Closing | None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "state": self.state.value,
            "rounds": self.rounds,
            "clock": self.clock.to_json(),
            "instrument": self.clock.instrument.value,
            "remind_at": self.clock.remind_at,
            "unanswered_at": self.clock.unanswered_at,
            "steps": [step.to_json() for step in self.steps],
            "answers": [answer.hex() for answer in self.answers],
            "diversion_established": self.closing.diversion_established if self.closing else None,
        }


@dataclass(frozen=True, slots=True)
class TracedConversation:
    """All traces of a conversation.

    Attributes:
        traces: by their requests' places in the log, then by who is asked.
        ignored: steps that belong to no trace, with the reason.
        held: messages that wait for a predecessor, payload hashes.
    """

    traces: tuple[Trace, ...]
    ignored: tuple[Step, ...]
    held: tuple[bytes, ...]


class _Order(IntEnum):
    """Of what the log states at one moment."""

    MESSAGE = 0
    DELIVERED = 1
    SETTLED = 2
    UNDELIVERED = 3
    WITHDRAWN = 4
    CLOSED = 5


@dataclass
class _Running:
    request: LoggedMessage
    requested: str
    state: TraceState
    steps: list[Step] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    rounds: int = 0
    asked_since: int = 0
    before: TraceState = TraceState.ANSWERED
    closing: Closing | None = None

    def pass_time(self, at: int) -> None:
        """What the clock does until a moment, that moment left out."""
        if self.state is TraceState.INFO_NEEDED and at - self.asked_since > INFORMATION:
            self.do(Act.TIME_OUT, self.asked_since + INFORMATION, "", None)

    def do(self, act: Act, at: int, who: str, message: bytes | None, refused: Reason | None = None) -> bool:
        """Apply an act, or keep why it does nothing."""
        line = transition(self.state, act)
        reason = refused or (line if isinstance(line, Reason) else None) or self._guard(act)
        if reason is None:
            assert isinstance(line, Transition)
            self._enter(act, line, at)
        self.steps.append(Step(at, who, act, message, self.state, reason))
        return reason is None

    def _guard(self, act: Act) -> Reason | None:
        if act is Act.ASK_MORE and self.state is not TraceState.INFO_NEEDED:
            return Reason.TOO_MANY_ROUNDS if self.rounds >= MAX_INFORMATION_ROUNDS else None
        if act is Act.CLOSE and self.state is TraceState.CLARIFICATION and self.before not in FINAL:
            return Reason.NOT_ANSWERED
        return None

    def _enter(self, act: Act, line: Transition, at: int) -> None:
        if act is Act.ASK_MORE and self.state is not TraceState.INFO_NEEDED:
            self.rounds += 1
            self.asked_since = at
        if act is Act.CLARIFY and self.state is not TraceState.CLARIFICATION:
            self.before = self.state
        self.state = line.target if line.target is not None else self.before


#: Closings come after all that the log holds of a moment.
_LAST: Final = 1 << 62
_Happening = tuple[int, int, int, bytes, LoggedMessage | None, Delivery | None, Closing | None]


def trace_conversation(
    messages: Iterable[LoggedMessage],
    at: int,
    *,
    closings: Iterable[Closing] = (),
    holidays: Holidays = NO_HOLIDAYS,
) -> TracedConversation:
    """Fold a conversation.

    Args:
        messages: of one conversation, in any order; repetitions change nothing.
        at: time as at which, ms since 1970; what was logged then or later is left out.
        closings: of its traces.
        holidays: by country.
    """
    known = {m.payload: m for m in sorted(messages, key=lambda m: (m.index, m.payload)) if m.time < at}
    held = _held(known)
    taken = {payload: m for payload, m in known.items() if payload not in held}
    clocks = {(c.request, c.requested): c for c in clocks_of(tuple(taken.values()), at, holidays)}
    fold = _Fold(taken, frozenset(clocks))
    for time, _index, order, _name, message, delivery, closing in sorted(
        _happenings(taken.values(), closings, at), key=lambda h: h[:4]
    ):
        fold.pass_time(time)
        if closing is not None:
            fold.close(closing)
        elif message is not None:
            fold.take(message, delivery, time, order)
    fold.pass_time(at)
    traces = tuple(
        Trace(
            clocks[one.request.payload, one.requested],
            one.state,
            one.rounds,
            tuple(one.steps),
            tuple(one.answers),
            one.closing,
        )
        for one in sorted(fold.all, key=lambda r: (r.request.index, r.requested))
    )
    return TracedConversation(traces, tuple(fold.ignored), tuple(sorted(held, key=lambda p: known[p].index)))


def _held(known: Mapping[bytes, LoggedMessage]) -> set[bytes]:
    """Messages with a predecessor that is not there: one replied to, or the receipt of what is answered."""
    held: set[bytes] = set()
    for payload, message in known.items():  # by index: what is replied to comes first
        if message.in_reply_to is None:
            continue
        target = known.get(message.in_reply_to)
        if target is None or message.in_reply_to in held:
            held.add(payload)
        elif message.type in ANSWERS and target.type == REQUEST:
            delivery = next((d for d in target.deliveries if d.recipient == message.actor), None)
            if delivery is not None and (
                delivery.delivered_at is None or delivery.delivered_at > message.time
            ):
                held.add(payload)
    return held


def _happenings(
    messages: Iterable[LoggedMessage], closings: Iterable[Closing], at: int
) -> Iterator[_Happening]:
    for m in messages:
        name = m.payload
        yield m.time, m.index, _Order.MESSAGE, name, m, None, None
        for d in m.deliveries:
            moments = (
                (d.delivered_at, _Order.DELIVERED),
                (d.settled_at if d.stage == "rejected" else None, _Order.SETTLED),
                (d.undelivered_at, _Order.UNDELIVERED),
            )
            for time, order in moments:
                if time is not None and time < at:
                    yield time, m.index, order, name + d.recipient.encode(), m, d, None
        if m.withdrawn_at is not None and m.withdrawn_at < at:
            yield m.withdrawn_at, m.index, _Order.WITHDRAWN, name, m, None, None
    for closing in closings:
        if closing.at < at:
            name = closing.request + closing.requested.encode()
            yield closing.at, _LAST, _Order.CLOSED, name, None, None, closing


class _Fold:
    """The traces of one conversation while they are folded."""

    def __init__(self, messages: Mapping[bytes, LoggedMessage], begun: frozenset[tuple[bytes, str]]) -> None:
        self._messages = messages
        self._begun = begun  # by (request, requested): which requests begin a trace is the clock's to say
        self._running: dict[tuple[str, str], _Running] = {}
        self.all: list[_Running] = []
        self.ignored: list[Step] = []

    def pass_time(self, at: int) -> None:
        for one in self.all:
            one.pass_time(at)

    def close(self, closing: Closing) -> None:
        for one in self.all:
            named = (one.request.payload, one.requested) == (closing.request, closing.requested)
            if named and one.do(Act.CLOSE, closing.at, one.request.actor, None):
                one.closing = closing

    def take(self, m: LoggedMessage, delivery: Delivery | None, time: int, order: int) -> None:
        if delivery is not None:
            self._moved(m, delivery, time, order)
        elif order == _Order.WITHDRAWN:
            for one in self.all:
                if one.request is m:
                    one.do(Act.CANCEL, time, m.actor, m.payload)
        elif m.type == REQUEST:
            self._requested(m)
        elif m.type in ANSWERS:
            self._answered(m)
        elif m.type == CLARIFICATION:
            self._clarified(m)

    def _moved(self, m: LoggedMessage, delivery: Delivery, time: int, order: int) -> None:
        one = self._running.get((m.actor, delivery.recipient))
        if one is None:
            return
        if one.request is m:
            act = {
                _Order.DELIVERED: Act.DELIVER,
                _Order.SETTLED: Act.REJECT,
                _Order.UNDELIVERED: Act.EXPIRE,
            }[_Order(order)]
            who = "" if act is Act.EXPIRE else delivery.recipient
            one.do(act, time, who, m.payload)
        elif m.type in SUPPLIES and order == _Order.DELIVERED:
            gives = m.told is None or not m.told.seeks
            if gives and not isinstance(transition(one.state, Act.SUPPLY), Reason):
                one.do(Act.SUPPLY, time, m.actor, m.payload)

    def _requested(self, m: LoggedMessage) -> None:
        for to in m.deliveries:
            if (m.payload, to.recipient) not in self._begun:
                continue  # it belongs to the trace that runs
            known = self._running.get((m.actor, to.recipient))
            if known is not None and not isinstance(transition(known.state, Act.CANCEL), Reason):
                known.do(Act.CANCEL, m.time, m.actor, m.payload)
            first = TraceState.SENT if known is None else TraceState.REOPENED
            one = _Running(m, to.recipient, first)
            act = Act.REQUEST if first is TraceState.SENT else Act.REOPEN
            one.steps.append(Step(m.time, m.actor, act, m.payload, first))
            self._running[m.actor, to.recipient] = one
            self.all.append(one)

    def _answered(self, m: LoggedMessage) -> None:
        asking = self._messages.get(m.in_reply_to or b"")
        one = self._running.get((asking.actor, m.actor)) if asking is not None else None
        if one is None:
            asked = {requested for _, requested in self._running}
            reason = Reason.ANSWERS_NOTHING if m.actor in asked else Reason.NOT_ASKED
            self.ignored.append(Step(m.time, m.actor, None, m.payload, None, reason))
            return
        act = act_of(m, one.state)
        if one.do(act, m.time, m.actor, m.payload, _items_refused(one.request, m, act)):
            one.answers.append(m.payload)

    def _clarified(self, m: LoggedMessage) -> None:
        seeks = m.told.seeks if m.told is not None else None
        for (requester, requested), one in self._running.items():
            answered = one.state in FINAL or one.state is TraceState.DELAYED
            asks = seeks if seeks is not None else answered
            if m.actor == requester and any(d.recipient == requested for d in m.deliveries) and asks:
                one.do(Act.CLARIFY, m.time, m.actor, m.payload)
            elif (
                m.actor == requested
                and any(d.recipient == requester for d in m.deliveries)
                and not seeks
                and one.state is TraceState.CLARIFICATION
            ):
                one.do(Act.EXPLAIN, m.time, m.actor, m.payload)


def act_of(answer: LoggedMessage, state: TraceState) -> Act:
    """What an answer does, by its stage and, where it is known, by its content."""
    told = answer.told
    outcomes: Sequence[TraceOutcome] = told.outcomes if told is not None else ()
    if answer.stage == "acknowledged":
        return Act.ACKNOWLEDGE if state is TraceState.DELIVERED else Act.PROCEED
    if answer.stage == "paused":
        return Act.ASK_MORE
    if answer.stage == "final":
        if outcomes and all(o is TraceOutcome.REFUSED for o in outcomes):
            return Act.REFUSE
        restricted = {TraceOutcome.RESTRICTED, TraceOutcome.REFUSED}
        return Act.RESTRICT if restricted & set(outcomes) else Act.ANSWER
    if told is not None and told.next_states:
        return Act.FORWARD
    if outcomes and all(o is TraceOutcome.DELAYED for o in outcomes):
        return Act.DELAY
    return Act.ANSWER_PARTLY


def _items_refused(request: LoggedMessage, answer: LoggedMessage, act: Act) -> Reason | None:
    if request.told is None or answer.told is None or answer.type != "tracing-response":
        return None
    asked, told = set(request.told.items), set(answer.told.items)
    if told - asked:
        return Reason.ITEM_NOT_ASKED
    return Reason.ITEMS_LEFT_OUT if act in _FINAL_ACTS and asked - told else None
