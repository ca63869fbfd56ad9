"""Handling: five axes, closed lists, and axes that contradict each other."""

from itertools import pairwise

import pytest

from countermark_protocol.errors import MalformedError
from countermark_protocol.handling import Classification, HandlingCode, Tlp, UsePurpose, parse_handling
from support.world import handling


def json_of(**changes):
    return handling(retention_until=1000).to_json() | changes


def refused(code, value):
    with pytest.raises(MalformedError) as caught:
        parse_handling(value)
    assert caught.value.code == code


def test_every_value_of_every_axis_reads_back():
    for tlp in set(Tlp) - {Tlp.CLEAR}:
        for classification in Classification:
            for purpose in UsePurpose:
                for codes in ((), (HandlingCode.H0,), (HandlingCode.H1, HandlingCode.H3)):
                    one = handling(tlp=tlp, classification=classification, purpose=purpose, codes=codes)
                    assert parse_handling(one.to_json()) == one


def test_classifications_are_ordered():
    assert [c.level for c in Classification] == [0, 1, 2, 3, 4]
    assert all(a.level < b.level for a, b in pairwise(Classification))


def test_releasable_to():
    one = handling(releasable_to=("ke", "xo-interpol"))
    assert parse_handling(one.to_json()) == one
    assert "releasable_to" not in handling().to_json()
    # Empty would read as "to nobody" or as "no limit": so there is only leaving it out.
    refused("bad_member", json_of(releasable_to=[]))
    refused("bad_member", json_of(releasable_to=["ke", "ke"]))
    refused("not_an_authority", json_of(releasable_to=["KE"]))
    refused("bad_member", json_of(releasable_to="ke"))


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("handling_conflict", {"codes": ["H0", "H1"]}),
        ("handling_conflict", {"tlp": "CLEAR", "codes": ["H1"]}),
        ("handling_conflict", {"tlp": "CLEAR", "codes": ["H2", "H3"]}),
        ("bad_member", {"codes": ["H1", "H1"]}),
        ("bad_member", {"codes": ["H9"]}),
        ("bad_member", {"codes": [1]}),
        ("bad_member", {"codes": "H1"}),
        ("bad_member", {"tlp": "amber"}),
        ("bad_member", {"tlp": None}),
        ("bad_member", {"classification": "TOP SECRET"}),
        ("bad_member", {"originator_control": "yes"}),
        ("bad_member", {"purpose": "CURIOSITY"}),
        ("bad_member", {"retention_until": -1}),
        ("unknown_member", {"caveat": "none"}),
    ],
)
def test_outside_the_language(code, changes):
    refused(code, json_of(**changes))


@pytest.mark.parametrize("codes", [[], ["H0"]])
def test_clear_without_limits(codes):
    assert parse_handling(json_of(tlp="CLEAR", codes=codes)).tlp is Tlp.CLEAR


def test_nothing_may_be_left_out():
    for name in json_of():
        value = json_of()
        del value[name]
        refused("missing_member", value)
