"""What an endpoint's record says for senders: who stands in, and when somebody is there; and grounds of statements."""

import pytest

from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import MalformedError
from countermark_protocol.mandates import Term
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.offices import Alternate, OfficeHours, on_duty, parse_alternate, parse_office_hours
from countermark_protocol.records import (
    DirectoryStatement,
    EndpointRecord,
    State,
    make_key_set,
    parse_directory_statement,
)
from support.world import NAIROBI, ORIGIN, signer

HOURS = {"zone": "Africa/Nairobi", "days": [1, 2, 3, 4, 5], "opens": "08:00", "closes": "17:00"}


def statement(ground=None, **members):
    record = EndpointRecord(
        NAIROBI, "Police, Nairobi", make_key_set([signer("a").public_key]), State.ACTIVE, **members
    )
    header = Header(Kind.ENDPOINT, ORIGIN, Seen(0, EMPTY_ROOT))
    return DirectoryStatement(header, f"endpoint/{NAIROBI}", None, record, ground)


def read(made, **changed):
    payload = parse_object(encode_json(made.to_json()))
    payload["record"] |= changed
    return parse_directory_statement(payload)


def test_a_record_says_who_stands_in_and_when_somebody_is_there():
    roster = (
        Alternate("ke.police.mombasa", Term(1_000, 2_000)),
        Alternate("ke.police.kisumu", Term(2_000, 3_000)),
        Alternate("ke.contact.national"),
    )
    made = statement(
        "seven days a week from now on", alternates=roster, office_hours=parse_office_hours(HOURS, "hours")
    )
    back = read(made)
    assert back == made
    assert (back.ground, back.record.office_hours.to_json()) == ("seven days a week from now on", HOURS)
    assert on_duty(roster, 1_500) == ("ke.police.mombasa", "ke.contact.national")
    assert on_duty(roster, 2_000) == ("ke.police.kisumu", "ke.contact.national")
    assert on_duty(roster, 3_000) == ("ke.contact.national",)


def test_what_is_not_said_leaves_the_bytes_as_they_were():
    payload = statement().to_json()
    assert set(payload) == {"kind", "log", "seen", "subject", "record"}
    assert set(payload["record"]) == {"name", "administrator", "state"}


@pytest.mark.parametrize("address", [NAIROBI, "ug.police.kampala", "ke"])
def test_only_other_endpoints_of_the_same_authority_stand_in(address):
    with pytest.raises(MalformedError):
        read(statement(), alternates=[{"address": address}])


def test_half_a_term_is_none():
    with pytest.raises(MalformedError):
        parse_alternate({"address": "ke.police.kisumu", "since": 5}, "alternate")


@pytest.mark.parametrize(
    "changed",
    [
        {"zone": "Nairobi time"},
        {"zone": "../etc/passwd"},
        {"days": []},
        {"days": [2, 1]},
        {"days": [0]},
        {"days": [8]},
        {"opens": "8:00"},
        {"opens": "17:00"},
        {"closes": "24:01"},
        {"closes": "08:00"},
        {"until": 1},
    ],
)
def test_office_hours_have_one_form(changed):
    with pytest.raises(MalformedError):
        parse_office_hours(HOURS | changed, "hours")


def test_an_office_is_open_from_the_first_minute_to_the_last():
    hours = OfficeHours("UTC", (1, 5), "08:00", "24:00")
    assert [hours.is_open(1, clock) for clock in ("07:59", "08:00", "23:59")] == [False, True, True]
    assert not hours.is_open(2, "12:00")


@pytest.mark.parametrize("ground", ["", "x" * 501, "two\nlines", 7])
def test_a_ground_is_a_line_of_text(ground):
    payload = statement().to_json() | {"ground": ground}
    with pytest.raises(MalformedError) as caught:
        parse_directory_statement(payload)
    assert caught.value.facts["member"] == "ground"
