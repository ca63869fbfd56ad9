"""Periods by name, in UTC, and what a mirror covers of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from countermark_client.review import Traffic, everything, one_state, parse_period, period_between
from countermark_client.review._scope import newest_time, stands_at
from countermark_protocol.errors import MalformedError
from support.mirrors import HandMade, at


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
    ],
)
def test_names(name, begin, end):
    period = parse_period(name, datetime(2030, 1, 1, tzinfo=UTC))
    assert (period.begin, period.end, period.name) == (at(begin), at(end), name)


@pytest.mark.parametrize(
    ("name", "today", "meant"),
    [
        ("last-month", "2026-01-31", "2025-12"),
        ("last-month", "2026-03-01", "2026-02"),
        ("last-quarter", "2026-01-01", "2025-Q4"),
        ("last-quarter", "2026-12-31", "2026-Q3"),
        ("last-year", "2026-12-31", "2025"),
    ],
)
def test_relative_names(name, today, meant):
    assert parse_period(name, datetime.fromisoformat(today).replace(tzinfo=UTC)).name == meant


def test_the_month_turns_in_utc_whatever_zone_a_caller_is_in():
    east = datetime(2026, 6, 1, 1, tzinfo=timezone(timedelta(hours=3)))  # still May in UTC
    assert parse_period("last-month", east).name == "2026-04"


@pytest.mark.parametrize(
    "name", ["", "2026-13", "2026-Q5", "2026-00", "0999", "this-month", "2026-5", "2026-Q1x"]
)
def test_what_is_no_name(name):
    with pytest.raises(MalformedError, match="bad_period"):
        parse_period(name, datetime(2026, 1, 1, tzinfo=UTC))


def test_ends_of_one_s_own():
    day = datetime(2026, 5, 4, tzinfo=UTC)
    noon = datetime(2026, 5, 5, 15, tzinfo=timezone(timedelta(hours=3)))
    period = period_between(day, noon)
    assert (period.begin, period.end) == (at("2026-05-04"), at("2026-05-05T12:00"))
    assert period.name == "2026-05-04_2026-05-05T120000Z"
    assert period_between(None, None) == everything()
    assert period_between(None, day).name == "begin_2026-05-04"
    with pytest.raises(MalformedError, match="bad_period"):
        period_between(noon, day)


def test_things_count_up_to_the_period_s_end_or_the_newest_leaf():
    made = HandMade()
    may = parse_period("2026-05", datetime(2026, 7, 1, tzinfo=UTC))
    assert (newest_time(made.database), stands_at(made.database, may)) == (None, 0)
    made.leaf(at("2026-05-20"))
    assert stands_at(made.database, may) == at("2026-05-20") + 1
    made.leaf(at("2026-06-20"))
    assert stands_at(made.database, may) == at("2026-06-01")
    made.mirror.close()


def test_what_is_read_together_is_of_one_state(tmp_path):
    made, other = HandMade(tmp_path / "m.db"), None
    made.leaf(at("2026-05-20"))
    with one_state(made.mirror) as database:
        assert newest_time(database) == at("2026-05-20")
        other = HandMade(tmp_path / "m.db")
        other.size = 1
        other.leaf(at("2026-06-20"))  # as `sync` does meanwhile
        assert newest_time(database) == at("2026-05-20")
    assert newest_time(made.database) == at("2026-06-20")
    made.mirror.close()
    other.mirror.close()


def test_traffic_is_asked_for():
    assert [t.value for t in Traffic] == ["real", "exercise", "both"]
