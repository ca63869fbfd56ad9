"""Deadlines, calendars and the table of states: as the specification has them."""

import datetime as dt
import re
from pathlib import Path

import pytest

from countermark_protocol.errors import MalformedError
from countermark_protocol.manifest import Urgency
from countermark_protocol.tracing import lifecycle
from countermark_protocol.tracing.calendars import (
    DAY,
    HOUR,
    MINUTE,
    after_working_days,
    calendar_of,
    parse_holidays,
)
from countermark_protocol.tracing.clock import Clock, Delivery, LoggedMessage, clocks_of
from countermark_protocol.tracing.deadlines import (
    OTHER_LIMITS,
    TRACE_LIMITS,
    Instrument,
    acknowledge_by,
    instrument_of,
    limits_of,
    trace_limits,
)
from countermark_protocol.tracing.lifecycle import REASONS, TRANSITIONS, TraceState
from support.mirrors import at

SPEC = (Path(__file__).resolve().parents[3] / "docs" / "spec" / "tracing.md").read_text("utf-8")
UNITS = {"min": MINUTE, "h": HOUR, "d": DAY}


def rows(header):
    """The cells of the table under a header line."""
    lines = SPEC.splitlines()
    first = lines.index(header) + 2
    out = []
    for line in lines[first:]:
        if not line.startswith("|"):
            return out
        out.append([cell.strip() for cell in line.strip("|").split("|")])
    return out


def milliseconds(cell):
    number, unit = re.match(r"(\d+) (min|h|d)", cell).groups()
    return int(number) * UNITS[unit]


def ackn(cell):
    days = re.match(r"(\d+) working days", cell)
    return (None, int(days[1])) if days else (milliseconds(cell), 0)


def test_the_specification_has_the_table_of_states():
    answerable = re.search(r"\*answerable\*: ([A-Z_, ]+)\.", SPEC)[1].split(", ")
    told = [
        (
            act.strip("`"),
            who,
            set(answerable if sources == "*answerable*" else sources.split(", ")),
            target,
            guard,
        )
        for act, who, sources, target, guard in rows("| act | who | from | to | guard |")
    ]
    assert told == [
        (t.act.value, t.who.value, {s.value for s in t.sources}, t.target or "*as before*", t.guard or "-")
        for t in TRANSITIONS
    ]


def test_every_state_is_entered_and_every_act_is_in_the_table_once():
    assert sorted(t.act for t in TRANSITIONS) == sorted(lifecycle.Act)
    entered = {t.target for t in TRANSITIONS} | {TraceState.DRAFT}
    assert entered >= set(TraceState)


def test_the_specification_has_every_reason():
    assert {name.strip("`"): text for name, text in rows("| reason | |")} == {
        reason.value: text for reason, text in REASONS.items()
    }


def test_the_specification_has_the_deadlines_of_traces():
    told = {}
    for instruments, urgency, acknowledge, reply, remind, unanswered in rows(
        "| instrument | urgency | acknowledge | answer | remind | counts as unanswered |"
    ):
        named = (
            [i.value for i in Instrument] if instruments == "all" else re.findall(r"`([^`]+)`", instruments)
        )
        for name in named:
            numbers = (*ackn(acknowledge), *map(milliseconds, (reply, remind, unanswered)))
            told[name, urgency.strip("`")] = numbers
    assert told == {
        (i.value, u.value): (x.acknowledge, x.working_days, x.reply, x.remind, x.unanswered)
        for i, table in TRACE_LIMITS.items()
        for u, x in table.items()
    }


def test_the_specification_has_the_other_deadlines():
    told = {
        name.strip("`"): (*ackn(acknowledge), milliseconds(reply))
        for name, acknowledge, reply in rows("| other message | acknowledge | answer |")
    }
    assert told == {name: (x.acknowledge, x.working_days, x.reply) for name, x in OTHER_LIMITS.items()}


@pytest.mark.parametrize(
    ("requester", "requested", "instrument"),
    [
        ("ke.police.nairobi", "ug.contact.kampala", Instrument.ITI),
        ("gh.police.accra", "ng.contact.abuja", Instrument.ECOWAS),
        ("gh.police.accra", "ml.contact.bamako", Instrument.ITI),
        ("be.police.brussels", "at.contact.vienna", Instrument.EU_2023_977),
        ("be.police.brussels", "ch.contact.bern", Instrument.ITI),
        ("xo-un.organisation.panel", "at.contact.vienna", Instrument.ITI),
        ("be", "at", Instrument.EU_2023_977),
    ],
)
def test_the_instrument_that_binds_both(requester, requested, instrument):
    assert instrument_of(requester, requested) is instrument
    assert trace_limits(requester, requested, "routine") is TRACE_LIMITS[instrument][Urgency.ROUTINE]


def test_types_that_ask_for_nothing_have_no_deadline():
    assert limits_of("trade-route-alert", "ke", "ug", "urgent") is None
    assert limits_of("tracing-request", "ke", "ug", "urgent") is trace_limits("ke", "ug", "urgent")
    assert limits_of("release-consent-request", "ke", "ug", "routine").reply == 10 * DAY


@pytest.mark.parametrize(
    ("country", "begun", "ends"),
    [
        ("ke", "2026-05-07T10:00", "2026-05-12T10:00"),  # Thursday; Saturday and Sunday off
        ("eg", "2026-05-07T10:00", "2026-05-12T10:00"),  # Friday and Saturday off
        ("eg", "2026-05-08T10:00", "2026-05-13T00:00"),  # Friday: as if on Sunday
        ("ke", "2026-05-08T10:00", "2026-05-13T10:00"),
        ("ug", "2026-05-08T10:00", "2026-05-12T10:00"),  # Sunday alone off
        ("af", "2026-05-07T10:00", "2026-05-12T00:00"),  # Thursday and Friday off
        ("ir", "2026-05-07T10:00", "2026-05-11T10:00"),  # Friday alone off
        ("xo-un", "2026-05-07T10:00", "2026-05-12T10:00"),
    ],
)
def test_weekends_are_those_of_the_country_asked(country, begun, ends):
    assert after_working_days(at(begun), 3, calendar_of(f"{country}.contact.office")) == at(ends)


def test_holidays_move_a_deadline_and_only_that_countrys():
    holidays = parse_holidays(
        "country,date,name\nKE,2026-05-05,one\nKE,2026-05-06,two\nTZ,2026-05-04,other\n"
    )
    assert holidays["KE"] == {dt.date(2026, 5, 5), dt.date(2026, 5, 6)}
    limits = trace_limits("ug", "ke", "routine")
    monday = at("2026-05-04T10:00")
    assert acknowledge_by(limits, "ke.contact.nairobi", monday) == at("2026-05-07T10:00")
    assert acknowledge_by(limits, "ke.contact.nairobi", monday, holidays) == at("2026-05-11T10:00")
    assert acknowledge_by(limits, "ug.contact.kampala", monday, holidays) == at("2026-05-07T10:00")
    assert acknowledge_by(limits, "tz.contact.dodoma", monday, holidays) == at("2026-05-08T00:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "date,name\n2026-05-05,x\n",
        "country,date\nke,2026-05-05\n",
        "country,date\nKE,2026-5-5\n",
        "country,date\nKE,20260505\n",
        "country,date\nKE,2026-02-30\n",
        "country,date\nKE\n",
        'country,date\nKE,"2026-05-05\n',
    ],
)
def test_a_file_of_holidays_that_is_none(text):
    with pytest.raises(MalformedError) as caught:
        parse_holidays(text)
    assert caught.value.code == "bad_holidays"


KE, UG = "ke.police.nairobi", "ug.contact.kampala"
MONDAY = at("2026-05-04")


def the_clock(*, urgency="routine", reply_by=None, delivered=MONDAY, extra=()):
    request = LoggedMessage(
        b"r", b"r", 0, MONDAY, KE, "tracing-request", None, None, None, reply_by, urgency, None,
        (Delivery(UG, "delivered", delivered, None, None),),
    )  # fmt: skip
    [clock] = clocks_of([request, *extra], MONDAY + 200 * DAY)
    return clock


def test_reminder_and_unanswered_by_the_table():
    clock = the_clock()
    assert (clock.remind_at, clock.due_at, clock.unanswered_at) == (
        MONDAY + 14 * DAY,
        MONDAY + 30 * DAY,
        MONDAY + 60 * DAY,
    )
    assert clock.instrument is Instrument.ITI


def test_a_reminder_is_due_by_half_of_a_shorter_time():
    clock = the_clock(reply_by=MONDAY + 10 * DAY)
    assert (clock.remind_at, clock.unanswered_at) == (MONDAY + 5 * DAY, MONDAY + 40 * DAY)


def test_nothing_is_due_before_delivery():
    clock = the_clock(delivered=None)
    assert (clock.remind_at, clock.due_at, clock.unanswered_at, clock.acknowledge_by) == (None,) * 4


def answer(index, stage, kind="tracing-acknowledgement", sender=UG, **more):
    fields = {
        "in_reply_to": b"r", "supersedes": None, "reply_by": None, "urgency": "routine", "withdrawn_at": None,
        "deliveries": (Delivery(KE, "delivered", MONDAY + index * DAY, None, None),), **more,
    }  # fmt: skip
    return LoggedMessage(b"r", b"m%d" % index, index, MONDAY + index * DAY, sender, kind, stage, **fields)


def test_the_clock_stands_three_times_at_most():
    more = []
    for i in range(1, 9, 2):
        more += [answer(i, "paused"), answer(i + 1, "acknowledged")]
    clock = the_clock(extra=more)
    assert clock.pauses == tuple((MONDAY + i * DAY, MONDAY + (i + 1) * DAY) for i in (1, 3, 5))


def test_a_decision_on_consent_is_no_answer_and_a_free_text_supplies_nothing():
    asked = answer(1, "paused")
    text = answer(
        2, None, "free-text", KE, deliveries=(Delivery(UG, "delivered", MONDAY + 2 * DAY, None, None),)
    )
    decision = answer(3, "final", "release-consent-decision")
    clock = the_clock(extra=[asked, text, decision])
    assert clock.answered_at is None
    assert clock.pauses == ((MONDAY + DAY, None),)


def test_an_answer_on_behalf_of_who_was_asked_is_its_answer():
    final = answer(1, "final", "tracing-response", "ug.licensing.kampala")
    assert the_clock(extra=[final]).answered_at is None
    behalf = answer(1, "final", "tracing-response", "ug.licensing.kampala", on_behalf_of=UG)
    assert the_clock(extra=[behalf]).answered_at == MONDAY + DAY
    assert isinstance(the_clock(), Clock)
