"""From marks to States: candidates with their reasons, and expressions of others run without fear."""

import json
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.errors import UncheckableError
from countermark_protocol.messages.marking_system import MarkingSystemDescription
from countermark_protocol.messages.pattern_matching import matches_whole
from countermark_protocol.messages.patterns import is_safe_pattern
from countermark_protocol.messages.weapon import FirearmItem
from countermark_protocol.tracing.whom import Described, Part, Weight, current, whom_to_ask

# --- running expressions ---


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^[A-Z]{2}[0-9]{5,6}$", "AB12345", True),
        ("^[A-Z]{2}[0-9]{5,6}$", "AB1234", False),
        ("^[A-Z]{2}[0-9]{5,6}$", "AB1234567", False),
        (r"T\d{4}-\d{2}", "T6472-14", True),
        ("(AB|CD){2}x?", "ABCDx", True),
        ("(?:A|BB)*C", "ABBBBAC", True),
        ("[^0-9]+", "AB-", True),
        ("[^0-9]+", "AB1", False),
        ("a{0,2}b", "aab", True),
        ("a{2,}b", "ab", False),
        ("a{2,}b", "aaaab", True),
        ("a$b", "ab", False),
        ("|a", "", True),
        (r"[\d-]+", "12-3", True),
        (r"\.\*", ".*", True),
    ],
)
def test_whole_texts(pattern, text, expected):
    assert matches_whole(pattern, text) is expected
    assert (re.fullmatch(pattern, text) is not None) is expected


@settings(max_examples=200, deadline=None)
@given(st.text("ab1(|)*+?.[]-{2,}^$\\d", min_size=1, max_size=9), st.text("ab1-", max_size=6))
def test_it_agrees_with_the_engine_that_backtracks(pattern, text):
    if not is_safe_pattern(pattern):
        return
    try:
        expected = re.fullmatch(pattern, text)
    except (re.error, FutureWarning, DeprecationWarning):
        return
    assert matches_whole(pattern, text) is (expected is not None)


@pytest.mark.parametrize("pattern", [".*" * 60 + "x", "(a|a|a|a)*b", "(a?){100}b"])
def test_what_would_keep_another_engine_busy_ends(pattern):
    assert is_safe_pattern(pattern)
    assert not matches_whole(pattern, "a" * 120)


def test_what_is_too_large_is_not_run_and_what_is_unsafe_neither():
    with pytest.raises(UncheckableError) as caught:
        matches_whole("[a-z]{999}[a-z]{999}[a-z]{999}", "a")
    assert caught.value.code == "pattern_too_large"
    with pytest.raises(UncheckableError) as caught:
        matches_whole(r"(a)\1", "aa")
    assert caught.value.code == "unsafe_pattern"
    assert not matches_whole(".*", "a" * 121)


# --- candidates ---


def description(country, *, formats=(), codes=(), text=None, index=1, by=None, **more):
    content = {
        "country": country, "authority": "DFPC", "validFrom": "2004-07-01",
        "markTypes": [{"kind": "SERIAL", "components": ["FRAME"]}],
        "countryIdentifier": {"text": text or f"{country}X", "scheme": "ISO3166_ALPHA3"},
        "importMark": {"present": False}, "recordKeeping": {
            "manufactureYears": 30, "otherYears": 20, "custodian": "C", "electronic": True},
        "publicLevel": "GREEN", **more,
    }  # fmt: skip
    if formats:
        content["serialFormats"] = [
            {"maker": maker, "regex": regex, "ambiguous": ambiguous, **years}
            for maker, regex, ambiguous, years in formats
        ]
    if codes:
        content["makerCodes"] = [{"code": code, "maker": maker} for code, maker in codes]
    model = MarkingSystemDescription.model_validate_json(json.dumps(content))
    return Described(b"%d" % index, by or f"{country.lower()}.contact.x", index, model)


def weapon(serial=None, make="TAURUS", marks=(), **more):
    marks = list(marks)
    if serial:
        marks.append({"kind": "SERIAL", "component": "FRAME", "text": serial, "status": "LEGIBLE"})
    fields = {
        "itemRef": "1",
        "category": "PISTOL",
        "originForm": "FACTORY",
        "make": {"text": make},
        "calibre": {"text": "9x19"},
    }
    fields |= {"marks": marks} if marks else {"noMarksReason": "NEVER_MARKED"}
    return FirearmItem.model_validate_json(json.dumps(fields | more))


BRAZIL = description(
    "BR",
    formats=[
        ("Taurus", "^[A-Z]{2}[0-9]{5,6}$", True, {"fromYear": 1981, "toYear": 2019}),
        ("Taurus", "^A[A-Z]{2}[0-9]{6}$", False, {"fromYear": 2019}),
    ],
    text="BRA",
)


def told(candidates):
    return [(c.part, c.country, c.weight, c.certain) for c in candidates]


def test_an_ambiguous_serial_says_so():
    [candidate] = whom_to_ask(weapon("AB12345"), [BRAZIL])
    assert (candidate.country, candidate.weight, candidate.certain) == ("BR", Weight.FORM, False)
    assert "several years" in candidate.reasons[0].text
    assert candidate.reasons[0].source == b"1"


def test_a_make_alone_never_gives_a_state_with_certainty():
    other = description("US", formats=[("Taurus", "^[A-Z]{3}[0-9]{5}$", True, {})], index=2)
    found = whom_to_ask(weapon(), [BRAZIL, other])
    assert told(found) == [
        (Part.MANUFACTURE, "BR", Weight.HINT, False),
        (Part.MANUFACTURE, "US", Weight.HINT, False),
    ]


def test_a_serial_of_an_unknown_make_is_a_hint_for_every_state_that_builds_it_so():
    other = description("PH", formats=[("Armscor", "^[A-Z]{2}[0-9]{5}$", False, {})], index=2)
    found = whom_to_ask(weapon("AB12345", make="UNKNOWN"), [BRAZIL, other])
    assert {(c.country, c.weight, c.certain) for c in found} == {
        ("BR", Weight.HINT, False),
        ("PH", Weight.HINT, False),
    }


def test_another_makes_form_and_another_period_do_not_count():
    assert whom_to_ask(weapon("AB12345", make="GLOCK"), [BRAZIL]) == ()
    [late] = whom_to_ask(weapon("AB12345", yearOfManufacture=2024), [BRAZIL])
    assert late.weight is Weight.HINT


def test_marks_and_records_name_states_and_contradictions_are_not_certain():
    marks = [
        {"kind": "COUNTRY_OF_MANUFACTURE", "component": "FRAME", "text": "BRA", "status": "LEGIBLE"},
        {
            "kind": "IMPORT",
            "component": "FRAME",
            "text": "PY 19",
            "status": "LEGIBLE",
            "country": "PY",
            "year": 2019,
        },
    ]
    found = whom_to_ask(weapon("AB12345", marks=marks), [BRAZIL])
    assert told(found) == [
        (Part.MANUFACTURE, "BR", Weight.MARK, True),
        (Part.IMPORT, "PY", Weight.MARK, True),
    ]
    both = whom_to_ask(weapon("AB12345", marks=marks, countryOfManufacture="US"), [BRAZIL])
    assert {(c.country, c.certain) for c in both if c.part is Part.MANUFACTURE} == {
        ("BR", False),
        ("US", False),
    }


def test_a_description_of_costly_expressions_is_run_in_part():
    costly = description("BR", formats=[("Taurus", "[A-Z0-9]{1,150}", False, {})] * 500)
    [candidate] = whom_to_ask(weapon("AB12345"), [costly])
    assert candidate.weight is Weight.FORM


def test_turkish_codes_and_the_codes_of_makers():
    [turkey] = whom_to_ask(weapon("T6472-14 G 00590", make="UNKNOWN"), [])
    assert (turkey.country, turkey.weight, turkey.certain) == ("TR", Weight.CODE, False)
    canik = description("TR", codes=[("T6472", "Canik")], index=3)
    [turkey] = whom_to_ask(weapon("T6472-14 G 00590", make="UNKNOWN"), [canik])
    assert len(turkey.reasons) == 2
    assert any("Canik" in r.text for r in turkey.reasons)


def test_only_a_state_describes_its_own_marks_and_the_newest_stands():
    stranger = description("BR", formats=[("Glock", ".*", False, {})], by="xx.contact.y", index=5)
    newer = description("BR", index=7)
    earlier = description("BR", index=6, validFrom="1990-01-01")
    assert current([stranger, newer, BRAZIL, earlier]) == (newer, earlier)


@settings(max_examples=50, deadline=None)
@given(st.text(string.ascii_uppercase + string.digits + "-", min_size=1, max_size=12))
def test_certain_is_only_what_the_weapon_or_its_record_says(serial):
    for candidate in whom_to_ask(weapon(f"A1B2{serial}"), [BRAZIL]):
        assert not candidate.certain
        assert candidate.reasons
