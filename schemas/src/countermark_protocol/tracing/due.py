"""What a trace waits for, from whom and until when: reminders, escalation, and one's own tasks.

Source: domain page 6.2; ITI 18, 19, 21 and 22; docs/spec/tracing.md §1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from countermark_protocol.tracing.deadlines import INFORMATION
from countermark_protocol.tracing.lifecycle import FINAL, OVER, Act, TraceState
from countermark_protocol.tracing.trace import Trace


class Task(StrEnum):
    """What is due; the first four are the requested's, the others the requester's."""

    ACKNOWLEDGE = "acknowledge"
    REPLY = "reply"
    REPLY_SOON = "reply-soon"
    EXPLAIN = "explain"
    GIVE_INFORMATION = "give-information"
    REMIND = "remind"
    ESCALATE = "escalate"
    COUNT_AS_UNANSWERED = "count-as-unanswered"
    SEND_AGAIN = "send-again"
    CLOSE = "close"


#: What each task means.
TASKS: Final = MappingProxyType(
    {
        Task.ACKNOWLEDGE: "acknowledge the request",
        Task.REPLY: "answer: the time for it is over",
        Task.REPLY_SOON: "answer: half of the time is over",
        Task.EXPLAIN: "answer the requester's question",
        Task.GIVE_INFORMATION: "give the information that was asked for, or the trace is closed as incomplete",
        Task.REMIND: "remind the requested State",
        Task.ESCALATE: "bring it before the requested State's point of contact: it is overdue",
        Task.COUNT_AS_UNANSWERED: "count it as unanswered",
        Task.SEND_AGAIN: "send it again, or elsewhere: it was not taken in",
        Task.CLOSE: "close it, stating whether the point of diversion was established",
    }
)
_THEIRS: Final = frozenset({Task.ACKNOWLEDGE, Task.REPLY, Task.REPLY_SOON, Task.EXPLAIN})


@dataclass(frozen=True, slots=True)
class Due:
    """A task whose time has come.

    Attributes:
        task: what is to be done.
        since: since when, ms since 1970.
        until: until when it is still in time, or None.
        who: address of who must do it.
        trace: about which.
    """

    task: Task
    since: int
    until: int | None
    who: str
    trace: Trace

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "task": self.task.value,
            "since": self.since,
            "until": self.until,
            "who": self.who,
            "request": self.trace.clock.request.hex(),
            "conversation": self.trace.clock.conversation.hex(),
            "requester": self.trace.clock.requester,
            "requested": self.trace.clock.requested,
            "state": self.trace.state.value,
        }


def due_of(trace: Trace, at: int) -> tuple[Due, ...]:
    """What is due of a trace at a time, ms since 1970, the requested's tasks first."""
    clock = trace.clock
    return tuple(
        Due(task, since, until, clock.requested if task in _THEIRS else clock.requester, trace)
        for task, since, until in _tasks(trace)
        if since <= at
    )


def _tasks(trace: Trace) -> Iterator[tuple[Task, int, int | None]]:
    clock, state = trace.clock, trace.state
    if state in {TraceState.EXPIRED, TraceState.REJECTED_MALFORMED}:
        ended = clock.undelivered_at if state is TraceState.EXPIRED else clock.rejected_at
        yield Task.SEND_AGAIN, ended or clock.asked_at, None
    elif state is TraceState.INFO_NEEDED:
        asked = _since(trace, Act.ASK_MORE)
        yield Task.GIVE_INFORMATION, asked, asked + INFORMATION
    elif state is TraceState.CLARIFICATION:
        yield Task.EXPLAIN, _since(trace, Act.CLARIFY), None
    elif state in FINAL:
        yield Task.CLOSE, clock.answered_at or clock.asked_at, None
    elif state not in OVER and clock.delivered_at is not None:
        yield from _running(trace, clock.delivered_at)


def _running(trace: Trace, delivered_at: int) -> Iterator[tuple[Task, int, int | None]]:
    clock = trace.clock
    remind, due, unanswered = clock.remind_at, clock.due_at, clock.unanswered_at
    assert remind is not None
    assert due is not None
    assert unanswered is not None
    if clock.acknowledged_at is None:
        yield Task.ACKNOWLEDGE, delivered_at, clock.acknowledge_by
    yield Task.REPLY_SOON, remind, due
    yield Task.REPLY, due, None
    yield Task.REMIND, remind, due
    yield Task.ESCALATE, due, unanswered
    yield Task.COUNT_AS_UNANSWERED, unanswered, None


def _since(trace: Trace, act: Act) -> int:
    done = [step.at for step in trace.steps if step.act is act and step.refused is None]
    return done[-1] if done else trace.clock.asked_at
