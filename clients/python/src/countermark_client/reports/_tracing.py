"""Tracing, from an agency's own messages: which requests were asked and answered, and what came of each weapon.

Source: docs/spec/reports.md §4.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from countermark_client.reports._arms import Arm, Record, Source
from countermark_client.reports._standing import StandingMessage
from countermark_protocol.codes.tracing import TraceOutcome
from countermark_protocol.messages.facts import OUTCOME_CLASSES
from countermark_protocol.messages.tracing_request import TracingAcknowledgement, TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One tracing request and what followed.

    Attributes:
        message: payload hash, hexadecimal.
        sent: whether the agency's own State sent it; else it received it.
        year: of its leaf, UTC.
        acknowledged: the first acknowledgement, or None.
        final: final answers, in log order.
        answers: all answers, in log order.
        refused: whether a final answer refuses a weapon.
        days: from the request to its first final answer, or None.
    """

    message: str
    sent: bool
    year: int
    acknowledged: str | None
    final: tuple[str, ...]
    answers: tuple[StandingMessage, ...]
    refused: bool
    days: float | None


def read_requests(messages: Sequence[StandingMessage], authority: str) -> list[TracedRequest]:
    """Requests that a State's offices sent or received, in log order.

    An answer names the request, and is of its conversation; what the requester's own State sends is no answer.
    """
    answers: dict[bytes, list[StandingMessage]] = {}
    for each in messages:
        if isinstance(each.content, TracingAcknowledgement | TracingResponse):
            answers.setdefault(each.item.manifest.conversation or b"", []).append(each)
    found = []
    for each in messages:
        if not isinstance(each.content, TracingRequest):
            continue
        asker = _authority(each)
        conversation = each.item.manifest.conversation or each.item.message
        to_it = [
            answer
            for answer in answers.get(conversation, ())
            if _authority(answer) != asker and _answers(answer, each)
        ]
        found.append(_request(each, to_it, sent=asker == authority))
    return found


def _answers(answer: StandingMessage, request: StandingMessage) -> bool:
    said = answer.content
    if not isinstance(said, TracingAcknowledgement | TracingResponse):
        return False
    return said.request_id == request.item.manifest.id


def _authority(each: StandingMessage) -> str:
    return each.item.manifest.sender.split(".", 1)[0]


def _request(each: StandingMessage, to_it: Sequence[StandingMessage], *, sent: bool) -> TracedRequest:
    at = each.item.time or 0
    acknowledged = [a for a in to_it if isinstance(a.content, TracingAcknowledgement)]
    answered = [a for a in to_it if isinstance(a.content, TracingResponse)]
    final = [a for a in answered if isinstance(a.content, TracingResponse) and a.content.final]
    refused = any(
        result.outcome is TraceOutcome.REFUSED
        for a in final
        if isinstance(a.content, TracingResponse)
        for result in a.content.item_results
    )
    return TracedRequest(
        message=each.item.message.hex(),
        sent=sent,
        year=dt.datetime.fromtimestamp(at / 1000, dt.UTC).year,
        acknowledged=acknowledged[0].item.message.hex() if acknowledged else None,
        final=tuple(a.item.message.hex() for a in final),
        answers=tuple(answered),
        refused=refused,
        days=((final[0].item.time or 0) - at) / _DAY_MS if final else None,
    )


def median_days(requests: Iterable[TracedRequest]) -> str | None:
    """Median of days to the final answer, one decimal; None if there is none."""
    days = [each.days for each in requests if each.days is not None]
    return f"{median(days):.1f}" if days else None


def with_outcomes(groups: Iterable[tuple[Record, ...]], requests: Iterable[TracedRequest]) -> list[Arm]:
    """Weapons with what the answers to requests about them say."""
    by_message: Mapping[str, TracedRequest] = {each.message: each for each in requests}
    arms = []
    for records in groups:
        arm = Arm(records)
        asked = [r for r in records if not r.notice and r.source.message in by_message]
        outcomes: list[tuple[TraceOutcome, Source]] = []
        final = bool(asked)
        for record in asked:
            request = by_message[record.source.message]
            final = final and bool(request.final)
            for answer in request.answers:
                if isinstance(answer.content, TracingResponse):
                    outcomes += [
                        (result.outcome, Source(answer.item.message.hex(), result.item_ref))
                        for result in answer.content.item_results
                        if result.item_ref == record.source.item
                    ]
        arms.append(replace(arm, outcomes=tuple(outcomes), requested=bool(asked), final=final))
    return arms


#: Trace states, in the order in which they prevail: the best that any answer gave.
TRACED: Final = "TRACED"
PARTLY_TRACED: Final = "PARTLY_TRACED"
PENDING: Final = "PENDING"
REFUSED: Final = "REFUSED"
NOT_ESTABLISHED: Final = "NOT_ESTABLISHED"
NOT_REQUESTED: Final = "NOT_REQUESTED"
NOT_TO_BE_TRACED: Final = "NOT_TO_BE_TRACED"
TRACED_BEFORE: Final = "TRACED_BEFORE"
TRACE_STATES: Final = (
    TRACED,
    PARTLY_TRACED,
    PENDING,
    REFUSED,
    NOT_ESTABLISHED,
    NOT_REQUESTED,
    TRACED_BEFORE,
    NOT_TO_BE_TRACED,
)


def trace_state(arm: Arm) -> str:
    """What came of tracing a weapon: one of `TRACE_STATES`."""
    classes = {OUTCOME_CLASSES[outcome] for outcome, _ in arm.outcomes}
    if "success" in classes:
        return TRACED
    if "partial" in classes and arm.final:
        return PARTLY_TRACED
    if arm.requested:
        if not arm.final:
            return PENDING
        return REFUSED if "refused" in classes else NOT_ESTABLISHED
    intended = arm.main.trace_intended
    return {"NO": NOT_TO_BE_TRACED, "DONE": TRACED_BEFORE}.get(intended or "", NOT_REQUESTED)
