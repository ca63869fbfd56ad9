"""The states of a trace, and what moves it from one to the next: one table, by which everything is decided.

One trace is one request to one endpoint asked. The table says from which states an act is possible, to which it leads
and who may do it; `countermark_protocol.tracing.trace` applies it to what the log holds. The specification's table is
held equal to this one by a test.

Source: domain page 6.3; ITI 16 to 23; docs/spec/tracing.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from countermark_protocol.tracing.deadlines import MAX_INFORMATION_ROUNDS


class TraceState(StrEnum):
    """Where a trace stands."""

    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    SENT = "SENT"
    REOPENED = "REOPENED"
    DELIVERED = "DELIVERED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    INFO_NEEDED = "INFO_NEEDED"
    RESUMED = "RESUMED"
    IN_PROGRESS = "IN_PROGRESS"
    PARTIALLY_ANSWERED = "PARTIALLY_ANSWERED"
    DELAYED = "DELAYED"
    FORWARDED = "FORWARDED"
    ANSWERED = "ANSWERED"
    RESTRICTED = "RESTRICTED"
    REFUSED = "REFUSED"
    CLARIFICATION = "CLARIFICATION"
    CLOSED = "CLOSED"
    CLOSED_INCOMPLETE = "CLOSED_INCOMPLETE"
    CANCELLED_BY_REQUESTER = "CANCELLED_BY_REQUESTER"
    EXPIRED = "EXPIRED"
    REJECTED_MALFORMED = "REJECTED_MALFORMED"


class Act(StrEnum):
    """What happens to a trace."""

    APPROVE = "approve"
    REQUEST = "request"
    DELIVER = "deliver"
    REJECT = "reject"
    EXPIRE = "expire"
    ACKNOWLEDGE = "acknowledge"
    PROCEED = "proceed"
    ASK_MORE = "ask-more"
    SUPPLY = "supply"
    TIME_OUT = "time-out"
    ANSWER_PARTLY = "answer-partly"
    DELAY = "delay"
    FORWARD = "forward"
    ANSWER = "answer"
    RESTRICT = "restrict"
    REFUSE = "refuse"
    CLARIFY = "clarify"
    EXPLAIN = "explain"
    CLOSE = "close"
    REOPEN = "reopen"
    CANCEL = "cancel"


class Who(StrEnum):
    """Who may do it."""

    REQUESTER = "requester"
    REQUESTED = "requested"
    BROKER = "broker"
    CLOCK = "clock"


class Reason(StrEnum):
    """Why a step has no effect, or would have none; stable."""

    NOT_ASKED = "not-asked"
    ANSWERS_NOTHING = "answers-nothing"
    NOT_DELIVERED = "not-delivered"
    ALREADY_FINAL = "already-final"
    NOT_ANSWERED = "not-answered"
    OVER = "over"
    NOT_FROM_HERE = "not-from-here"
    TOO_MANY_ROUNDS = "too-many-rounds"
    ITEM_NOT_ASKED = "item-not-asked"
    ITEMS_LEFT_OUT = "items-left-out"
    PREDECESSOR_MISSING = "predecessor-missing"


#: What each reason means.
REASONS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.NOT_ASKED: "only the endpoint that was asked, or who signs on its behalf, answers a tracing request",
        Reason.ANSWERS_NOTHING: "an answer replies to a message of the requester",
        Reason.NOT_DELIVERED: "the request is not stated to be delivered yet",
        Reason.ALREADY_FINAL: "the final answer was given; a question about it, or a further request, opens it again",
        Reason.NOT_ANSWERED: "it is not answered yet; withdraw the request, if it is not to be answered any more",
        Reason.OVER: "the trace is over; a further request begins another",
        Reason.NOT_FROM_HERE: "the state in which the trace stands does not allow it",
        Reason.TOO_MANY_ROUNDS: f"more information may be asked for {MAX_INFORMATION_ROUNDS} times",
        Reason.ITEM_NOT_ASKED: "the request has no such item",
        Reason.ITEMS_LEFT_OUT: "a final answer has a result for every item of the request",
        Reason.PREDECESSOR_MISSING: "a message that it follows has not been read yet",
    }
)

#: Nothing can happen in them but a late delivery, a closing, or a further request.
OVER: Final = frozenset(
    {
        TraceState.CLOSED,
        TraceState.CLOSED_INCOMPLETE,
        TraceState.CANCELLED_BY_REQUESTER,
        TraceState.EXPIRED,
        TraceState.REJECTED_MALFORMED,
    }
)
#: In which the final answer stands.
FINAL: Final = frozenset({TraceState.ANSWERED, TraceState.RESTRICTED, TraceState.REFUSED})
_WAITING: Final = frozenset({TraceState.SENT, TraceState.REOPENED})
_WORKED_ON: Final = frozenset(
    {
        TraceState.DELIVERED,
        TraceState.ACKNOWLEDGED,
        TraceState.INFO_NEEDED,
        TraceState.RESUMED,
        TraceState.IN_PROGRESS,
        TraceState.PARTIALLY_ANSWERED,
        TraceState.DELAYED,
        TraceState.FORWARDED,
    }
)
#: Who asked for more and got nothing may answer after all.
_ANSWERABLE: Final = _WORKED_ON | {TraceState.CLARIFICATION, TraceState.CLOSED_INCOMPLETE}


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the table.

    Attributes:
        act: what happens.
        who: who may do it.
        sources: from which states.
        target: to which; None for the state before a clarification.
        guard: what must hold, in words; empty for nothing more.
    """

    act: Act
    who: Who
    sources: frozenset[TraceState]
    target: TraceState | None
    guard: str = ""


def _line(
    act: Act, who: Who, sources: frozenset[TraceState], target: TraceState | None, guard: str = ""
) -> Transition:
    return Transition(act, who, sources, target, guard)


_S = TraceState
#: The whole machine. No act stands twice for one state.
TRANSITIONS: Final[tuple[Transition, ...]] = (
    _line(
        Act.APPROVE,
        Who.REQUESTER,
        frozenset({_S.DRAFT}),
        _S.APPROVED,
        "signed by all who must have",
    ),
    _line(Act.REQUEST, Who.REQUESTER, frozenset({_S.DRAFT, _S.APPROVED}), _S.SENT, "logged"),
    _line(
        Act.DELIVER,
        Who.REQUESTED,
        _WAITING | {_S.EXPIRED},
        _S.DELIVERED,
        "its logged `delivered` receipt",
    ),
    _line(Act.EXPIRE, Who.BROKER, _WAITING, _S.EXPIRED, "its logged notice that nobody collected it"),
    _line(
        Act.REJECT,
        Who.REQUESTED,
        frozenset({_S.DELIVERED}),
        _S.REJECTED_MALFORMED,
        "its logged `rejected` receipt",
    ),
    _line(Act.ACKNOWLEDGE, Who.REQUESTED, frozenset({_S.DELIVERED}), _S.ACKNOWLEDGED),
    _line(
        Act.PROCEED,
        Who.REQUESTED,
        frozenset({_S.ACKNOWLEDGED, _S.INFO_NEEDED, _S.RESUMED, _S.IN_PROGRESS, _S.CLOSED_INCOMPLETE}),
        _S.IN_PROGRESS,
        "a further acknowledgement",
    ),
    _line(
        Act.ASK_MORE,
        Who.REQUESTED,
        frozenset({_S.DELIVERED, _S.ACKNOWLEDGED, _S.INFO_NEEDED, _S.RESUMED, _S.IN_PROGRESS}),
        _S.INFO_NEEDED,
        f"only what ITI 17 names; {MAX_INFORMATION_ROUNDS} rounds",
    ),
    _line(
        Act.SUPPLY,
        Who.REQUESTER,
        frozenset({_S.INFO_NEEDED, _S.CLOSED_INCOMPLETE}),
        _S.RESUMED,
        "delivered",
    ),
    _line(Act.TIME_OUT, Who.CLOCK, frozenset({_S.INFO_NEEDED}), _S.CLOSED_INCOMPLETE, "15 days"),
    _line(
        Act.ANSWER_PARTLY,
        Who.REQUESTED,
        _ANSWERABLE,
        _S.PARTIALLY_ANSWERED,
        "results are of items of the request",
    ),
    _line(Act.DELAY, Who.REQUESTED, _ANSWERABLE, _S.DELAYED, "a ground of ITI 22, reviewed within 90 days"),
    _line(
        Act.FORWARD,
        Who.REQUESTED,
        _ANSWERABLE,
        _S.FORWARDED,
        "an interim answer that names the next State; §5",
    ),
    _line(Act.ANSWER, Who.REQUESTED, _ANSWERABLE, _S.ANSWERED, "one result for every item"),
    _line(
        Act.RESTRICT,
        Who.REQUESTED,
        _ANSWERABLE,
        _S.RESTRICTED,
        "one result for every item; a ground of ITI 22",
    ),
    _line(
        Act.REFUSE,
        Who.REQUESTED,
        _ANSWERABLE,
        _S.REFUSED,
        "one result for every item; a ground of ITI 22",
    ),
    _line(
        Act.CLARIFY,
        Who.REQUESTER,
        FINAL | {_S.PARTIALLY_ANSWERED, _S.DELAYED, _S.FORWARDED, _S.CLARIFICATION},
        _S.CLARIFICATION,
        "a question about an answer (ITI 23)",
    ),
    _line(Act.EXPLAIN, Who.REQUESTED, frozenset({_S.CLARIFICATION}), None, "what is said to the question"),
    _line(
        Act.CLOSE,
        Who.REQUESTER,
        FINAL | {_S.CLARIFICATION},
        _S.CLOSED,
        "after a final answer; states whether the point of diversion was established",
    ),
    _line(
        Act.REOPEN,
        Who.REQUESTER,
        FINAL | {_S.CLARIFICATION, _S.CLOSED, _S.CANCELLED_BY_REQUESTER, _S.EXPIRED, _S.REJECTED_MALFORMED},
        _S.REOPENED,
        "a further request, which begins another trace with a clock of its own",
    ),
    _line(
        Act.CANCEL,
        Who.REQUESTER,
        _WAITING | _WORKED_ON | {_S.CLARIFICATION, _S.EXPIRED, _S.CLOSED_INCOMPLETE},
        _S.CANCELLED_BY_REQUESTER,
        "withdrawn or superseded",
    ),
)
_BY_ACT: Final[Mapping[Act, Transition]] = MappingProxyType({line.act: line for line in TRANSITIONS})


def transition(state: TraceState, act: Act) -> Transition | Reason:
    """What an act does in a state: the line of the table, or why it does nothing."""
    line = _BY_ACT[act]
    if state in line.sources:
        return line
    if state in _WAITING and line.who is Who.REQUESTED:
        return Reason.NOT_DELIVERED
    if state in OVER:
        return Reason.OVER
    if state in FINAL:
        return Reason.ALREADY_FINAL
    if act is Act.CLOSE:
        return Reason.NOT_ANSWERED
    return Reason.NOT_FROM_HERE


def who_may(act: Act) -> Who:
    """Who may do something."""
    return _BY_ACT[act].who
