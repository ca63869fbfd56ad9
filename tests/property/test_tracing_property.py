"""Traces of random conversations: any order, duplicates, strangers and lost messages lead to no illegal state."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.codes.tracing import TraceOutcome
from countermark_protocol.tracing.clock import Delivery, LoggedMessage, State, Told
from countermark_protocol.tracing.deadlines import INFORMATION
from countermark_protocol.tracing.lifecycle import (
    FINAL,
    REASONS,
    TRANSITIONS,
    Act,
    TraceState,
    Who,
    transition,
)
from countermark_protocol.tracing.trace import Closing, trace_conversation

A, B, C, STRANGER = "ke.police.nairobi", "at.contact.vienna", "be.contact.brussels", "xx.police.nowhere"
DAY = 86_400_000
FOREVER = 10_000 * DAY
BY_ACT = {line.act: line for line in TRANSITIONS}
OUTCOMES = st.sampled_from(list(TraceOutcome))


@st.composite
def conversations(draw):
    """Messages of one conversation in log order, as a log could hold them: whoever says whatever to anything."""
    first = LoggedMessage(
        b"0", b"0", 0, DAY, A, "tracing-request", None, None, None, None, "routine", None,
        tuple(draw(deliveries(DAY, to)) for to in draw(st.sampled_from([(B,), (B, C)]))),
        None, Told(items=("1", "2")),
    )  # fmt: skip
    messages = [first]
    time = DAY
    for number in range(1, draw(st.integers(0, 9)) + 1):
        time += draw(st.integers(1, 20 * DAY))
        sender = draw(st.sampled_from([A, B, B, C, STRANGER]))
        kind = draw(
            st.sampled_from(
                [
                    "tracing-request",
                    "tracing-acknowledgement",
                    "tracing-response",
                    "tracing-response",
                    "tracing-clarification",
                    "correction",
                    "free-text",
                    "release-consent-decision",
                ]
            )
        )
        target = draw(st.sampled_from(messages))
        stage, told = None, None
        if kind == "tracing-acknowledgement":
            stage = draw(st.sampled_from(["acknowledged", "paused", "final"]))
        elif kind == "tracing-response":
            stage = draw(st.sampled_from(["interim", "final"]))
            items = draw(st.sampled_from([("1", "2"), ("1",), ("1", "2", "3")]))
            told = Told(items, tuple(draw(OUTCOMES) for _ in items), draw(st.sampled_from([(), ("BE",)])))
        elif kind == "tracing-request":
            told = Told(items=("1", "2"))
        elif kind == "tracing-clarification":
            told = Told(seeks=draw(st.booleans()))
        elif kind == "release-consent-decision":
            stage = "final"
        to = [B, C] if sender == A else [A]
        messages.append(
            LoggedMessage(
                b"0", b"%d" % number, number, time, sender, kind, stage, target.payload,
                draw(st.sampled_from([None, None, first.payload])) if sender == A else None, None, "routine",
                draw(st.sampled_from([None, None, None, time + 3 * DAY])) if kind == "tracing-request" else None,
                tuple(draw(deliveries(time, one)) for one in to),
                draw(st.sampled_from([None, None, B])) if sender == STRANGER else None,
                draw(st.sampled_from([told, None])),
            )
        )  # fmt: skip
    return messages


@st.composite
def deliveries(draw, time, to):
    delivered = draw(st.sampled_from([time, time, time + DAY, None]))
    if delivered is None:
        return Delivery(to, "open", None, None, draw(st.sampled_from([None, time + 31 * DAY])))
    stage = draw(st.sampled_from(["delivered", "accepted", "rejected"]))
    return Delivery(to, stage, delivered, delivered + DAY if stage != "delivered" else None, None)


def closings_of(messages):
    return [Closing(m.payload, d.recipient, m.time + 40 * DAY, True) for m in messages for d in m.deliveries]


@settings(max_examples=30, deadline=None)
@given(conversations(), st.randoms(use_true_random=False), st.data())
def test_order_and_repetition_change_nothing(messages, rng, data):
    closings = closings_of(messages)
    at = data.draw(st.integers(DAY, 400 * DAY))
    expected = trace_conversation(messages, at, closings=closings)
    shuffled = [*messages, *rng.sample(messages, len(messages) // 2)]
    rng.shuffle(shuffled)
    assert trace_conversation(shuffled, at, closings=closings) == expected
    # Read one by one, in any order, with everything before: once all is there, all is the same.
    seen = []
    for one in shuffled:
        seen.append(one)
        trace_conversation(seen, at, closings=closings)
    assert trace_conversation(seen, at, closings=closings) == expected


@settings(max_examples=30, deadline=None)
@given(conversations(), st.randoms(use_true_random=False))
def test_no_step_leaves_the_table_and_every_refusal_has_words(messages, rng):
    known = rng.sample(messages, rng.randint(0, len(messages)))  # some not read yet
    traced = trace_conversation(known, FOREVER, closings=closings_of(messages))
    for trace in traced.traces:
        state = trace.steps[0].state
        assert state in {TraceState.SENT, TraceState.REOPENED}
        before = None
        for step in trace.steps[1:]:
            line = transition(state, step.act)
            if step.refused is not None:
                assert step.refused in REASONS
                assert step.state is state
                continue
            assert line is BY_ACT[step.act]
            assert step.state is (line.target or before)
            if step.act is Act.CLARIFY and state is not TraceState.CLARIFICATION:
                before = state
            state = step.state
        assert trace.state is state
        assert trace.rounds <= 3
    for step in traced.ignored:
        assert step.refused in REASONS
    # Nothing is lost: an answer counts, is refused in words, or is held.
    told = {s.message for t in traced.traces for s in t.steps} | {s.message for s in traced.ignored}
    answers = {m.payload for m in known if m.type in {"tracing-acknowledgement", "tracing-response"}}
    assert answers <= told | set(traced.held)


@settings(max_examples=30, deadline=None)
@given(conversations())
def test_nobody_acts_for_another(messages):
    by_payload = {m.payload: m for m in messages}
    for trace in trace_conversation(messages, FOREVER).traces:
        for step in trace.steps:
            if step.refused is not None:
                continue
            who = BY_ACT[step.act].who
            if who is Who.REQUESTED:
                assert step.who == trace.clock.requested
                if step.act not in {Act.DELIVER, Act.REJECT}:
                    assert by_payload[step.message].actor == trace.clock.requested
            elif who is Who.REQUESTER:
                assert step.who == trace.clock.requester
            else:
                assert not step.who


@settings(max_examples=30, deadline=None)
@given(conversations())
def test_what_is_held_counts_once_its_predecessors_are_read(messages):
    rest = [m for m in messages if m.payload != b"0"]
    assert trace_conversation(rest, FOREVER).traces == () or all(
        m.type == "tracing-request" for m in rest if m.in_reply_to is None
    )
    held = set(trace_conversation(rest, FOREVER).held)
    assert {m.payload for m in rest if m.in_reply_to == b"0"} <= held


@settings(max_examples=30, deadline=None)
@given(conversations())
def test_states_agree_with_the_clocks_of_auditors(messages):
    """Where every step was allowed, the state that people see and the clock that auditors count are one story."""
    traced = trace_conversation(messages, FOREVER)
    for trace in traced.traces:
        if any(step.refused is not None for step in trace.steps) or traced.held or traced.ignored:
            continue
        answered = trace.clock.state in {State.IN_TIME, State.LATE}
        ended = any(step.state in FINAL for step in trace.steps)
        assert answered == ended
        assert (trace.clock.state is State.INCOMPLETE) == (trace.state is TraceState.CLOSED_INCOMPLETE)
        if trace.state is TraceState.INFO_NEEDED:
            assert trace.clock.state is State.PAUSED


def test_time_alone_closes_an_incomplete_trace():
    rng = random.Random(1)
    request = LoggedMessage(
        b"0", b"0", 0, DAY, A, "tracing-request", None, None, None, None, "routine", None,
        (Delivery(B, "delivered", DAY, None, None),),
    )  # fmt: skip
    asked = LoggedMessage(
        b"0", b"1", 1, 2 * DAY, B, "tracing-acknowledgement", "paused", b"0", None, None, "routine", None,
        (Delivery(A, "delivered", 2 * DAY, None, None),),
    )  # fmt: skip
    both = [request, asked]
    rng.shuffle(both)
    [before] = trace_conversation(both, 2 * DAY + INFORMATION).traces
    [after] = trace_conversation(both, 2 * DAY + INFORMATION + 1).traces
    assert (before.state, after.state) == (TraceState.INFO_NEEDED, TraceState.CLOSED_INCOMPLETE)
    assert after.steps[-1].act is Act.TIME_OUT
