"""The clock of a trace: exact times, with pauses, deadlines, and everything that ends it."""

import pytest

from countermark_client.review._clocks import read_clocks
from countermark_client.review._scope import Traffic
from countermark_protocol.tracing.calendars import Calendar, after_working_days
from countermark_protocol.tracing.clock import Acknowledged, State
from support.mirrors import DAY, HOUR, MINUTE, HandMade, at

KE, UG, TZ = "ke.police.nairobi", "ug.contact.kampala", "tz.contact.dodoma"
MONDAY = at("2026-05-04")
FOREVER = at("2100-01-01")


@pytest.fixture
def made():
    mirror = HandMade()
    yield mirror
    mirror.mirror.close()


def asked(made, time=MONDAY, delivered=MONDAY + HOUR, **more):
    request = made.message(KE, [UG], time, **more)
    if delivered is not None:
        made.delivered(request, UG, delivered)
    return request


def only(made, when=FOREVER, traffic=Traffic.REAL):
    [clock] = read_clocks(made.database, traffic, when)
    return clock


def test_an_empty_mirror_has_no_clocks(made):
    assert read_clocks(made.database, Traffic.BOTH, FOREVER) == []


def test_a_trace_answered_without_pause(made):
    request = asked(made)
    made.answer(UG, request, MONDAY + DAY, "acknowledged")
    made.answer(UG, request, MONDAY + 10 * DAY, "interim")
    made.answer(UG, request, MONDAY + 20 * DAY, "final")
    clock = only(made)
    assert (clock.state, clock.acknowledged) == (State.IN_TIME, Acknowledged.IN_TIME)
    assert clock.response == 20 * DAY - HOUR
    assert clock.acknowledge_by == at("2026-05-07T01:00")  # three working days
    assert clock.due_at == MONDAY + HOUR + 30 * DAY
    assert clock.pauses == ()


def test_a_pause_ends_when_what_was_asked_for_is_delivered(made):
    request = asked(made)
    more = made.answer(UG, request, MONDAY + DAY, "paused")
    given = made.message(KE, [UG], MONDAY + 5 * DAY, in_reply_to=more, conversation=request, supersedes=None)
    waiting = only(made, MONDAY + 6 * DAY)
    assert (waiting.state, waiting.paused) == (State.PAUSED, 5 * DAY)
    made.delivered(given, UG, MONDAY + 6 * DAY)
    made.answer(UG, request, MONDAY + 36 * DAY, "final")
    clock = only(made)
    assert clock.pauses == ((MONDAY + DAY, MONDAY + 6 * DAY),)
    assert clock.response == 36 * DAY - HOUR - 5 * DAY
    # The clock stood for five days, so it was due five days later: and not answered by then.
    assert (clock.due_at, clock.state) == (MONDAY + HOUR + 35 * DAY, State.LATE)
    assert only(made, MONDAY + 36 * DAY).state is State.OVERDUE
    assert only(made, MONDAY + 35 * DAY).state is State.OPEN


def test_the_requested_may_go_on_by_itself_and_pause_again(made):
    request = asked(made)
    made.answer(UG, request, MONDAY + DAY, "paused")
    made.answer(UG, request, MONDAY + 2 * DAY, "paused")  # asking twice is one pause
    made.answer(UG, request, MONDAY + 3 * DAY, "acknowledged")
    made.answer(UG, request, MONDAY + 4 * DAY, "paused")
    made.answer(UG, request, MONDAY + 9 * DAY, "final")
    clock = only(made)
    assert clock.pauses == (
        (MONDAY + DAY, MONDAY + 3 * DAY),
        (MONDAY + 4 * DAY, MONDAY + 9 * DAY),
    )
    assert (clock.paused, clock.response) == (7 * DAY, 2 * DAY - HOUR)
    assert clock.acknowledged_at == MONDAY + DAY


def test_after_fifteen_days_without_what_was_asked_for_a_case_is_incomplete(made):
    request = asked(made)
    made.answer(UG, request, MONDAY + DAY, "paused")
    assert only(made, MONDAY + 16 * DAY).state is State.PAUSED
    assert only(made, MONDAY + 16 * DAY + 1).state is State.INCOMPLETE


@pytest.mark.parametrize(
    ("urgency", "acknowledge", "reply"),
    [("priority", DAY, 7 * DAY), ("urgent", 4 * HOUR, DAY), ("flash", 30 * MINUTE, 4 * HOUR)],
)
def test_deadlines_by_urgency_to_the_millisecond(made, urgency, acknowledge, reply):
    request = asked(made, urgency=urgency)
    begun = MONDAY + HOUR
    assert only(made, begun + acknowledge).acknowledged is Acknowledged.PENDING
    assert only(made, begun + acknowledge + 1).acknowledged is Acknowledged.MISSING
    assert only(made, begun + reply).state is State.OPEN
    assert only(made, begun + reply + 1).state is State.OVERDUE
    made.answer(UG, request, begun + reply, "final")
    assert only(made).state is State.IN_TIME
    assert only(made).acknowledged is Acknowledged.LATE


def test_what_the_sender_states_goes_before_the_default(made):
    asked(made, reply_by=MONDAY + 2 * DAY)
    assert only(made).due_at == MONDAY + 2 * DAY
    assert only(made, MONDAY + 2 * DAY + 1).state is State.OVERDUE


def test_nothing_is_due_before_delivery_unless_its_sender_says_when(made):
    asked(made, delivered=None)
    clock = only(made)
    assert (clock.state, clock.due_at, clock.acknowledge_by) == (State.OPEN, None, None)
    assert clock.acknowledged is Acknowledged.PENDING


def test_what_ends_a_trace_otherwise(made):
    rejected = asked(made)
    made.settled(rejected, UG, MONDAY + 2 * HOUR, "rejected", "not_for_us")
    undelivered = asked(made, MONDAY + 1, None)
    made.undelivered(undelivered, UG, MONDAY + 31 * DAY)
    withdrawn = asked(made, MONDAY + 2)
    made.withdrawn(withdrawn, MONDAY + DAY)
    corrected = asked(made, MONDAY + 3)
    asked(made, MONDAY + DAY, MONDAY + DAY, supersedes=corrected)
    states = {c.request: c.state for c in read_clocks(made.database, Traffic.REAL, MONDAY + 40 * DAY)}
    assert states.pop(rejected) is State.REJECTED
    assert states.pop(undelivered) is State.UNDELIVERED
    assert states.pop(withdrawn) is State.WITHDRAWN
    assert states.pop(corrected) is State.WITHDRAWN
    assert list(states.values()) == [State.OVERDUE]
    before = {c.request: c.state for c in read_clocks(made.database, Traffic.REAL, MONDAY + HOUR + 1)}
    assert set(before.values()) == {State.OPEN}


def test_a_correction_within_the_conversation_is_a_clock_of_its_own(made):
    first = asked(made)
    second = asked(made, MONDAY + DAY, MONDAY + DAY, supersedes=first, in_reply_to=first, conversation=first)
    made.answer(UG, second, MONDAY + 2 * DAY, "final")
    clocks = read_clocks(made.database, Traffic.REAL, FOREVER)
    assert [(c.request, c.state) for c in clocks] == [(first, State.WITHDRAWN), (second, State.IN_TIME)]
    assert clocks[1].response == DAY


def test_a_request_after_the_final_answer_begins_anew(made):
    first = asked(made)
    answer = made.answer(UG, first, MONDAY + DAY, "final")
    asked(made, MONDAY + 2 * DAY, MONDAY + 2 * DAY, in_reply_to=answer, conversation=first)
    assert [c.state for c in read_clocks(made.database, Traffic.REAL, MONDAY + 3 * DAY)] == [
        State.IN_TIME,
        State.OPEN,
    ]


def test_each_that_is_asked_has_a_clock(made):
    request = made.message(KE, [UG, TZ], MONDAY)
    made.delivered(request, UG, MONDAY + HOUR)
    made.delivered(request, TZ, MONDAY + 2 * HOUR)
    made.answer(TZ, request, MONDAY + 3 * HOUR, "final")
    clocks = read_clocks(made.database, Traffic.REAL, MONDAY + 4 * HOUR)
    assert {c.requested: (c.state, c.response) for c in clocks} == {
        UG: (State.OPEN, None),
        TZ: (State.IN_TIME, HOUR),
    }


def test_drills_have_clocks_of_their_own(made):
    asked(made, exercise=1)
    assert read_clocks(made.database, Traffic.REAL, FOREVER) == []
    assert only(made, traffic=Traffic.EXERCISE).state is State.OVERDUE


def test_nothing_that_came_later_counts(made):
    request = asked(made)
    made.answer(UG, request, MONDAY + 20 * DAY, "final")
    assert only(made, MONDAY + 20 * DAY).state is State.OPEN
    assert read_clocks(made.database, Traffic.REAL, MONDAY) == []


@pytest.mark.parametrize(
    ("begun", "ends"),
    [
        ("2026-05-04T10:00", "2026-05-07T10:00"),  # Monday
        ("2026-05-07T10:00", "2026-05-12T10:00"),  # Thursday: over a weekend
        ("2026-05-08T10:00", "2026-05-13T10:00"),  # Friday
        ("2026-05-09T10:00", "2026-05-14T00:00"),  # Saturday: as if on Monday
        ("2026-05-10T23:59", "2026-05-14T00:00"),  # Sunday
        ("2026-03-27T10:00", "2026-04-01T10:00"),  # summer time begins in Europe, not in UTC
    ],
)
def test_working_days(begun, ends):
    assert after_working_days(at(begun), 3, Calendar()) == at(ends)
