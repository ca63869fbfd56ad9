"""Contents to the forms of other systems and back: what comes back is equal, and what does not is named."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_client.forms.known import FORMS, WITH_ITEMS, form_for, merged
from countermark_client.forms.pairs import leaves
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.registry import validate_content
from countermark_protocol.types import known_types
from message_examples import ROOT, example

CASES = [(form.name, message_type) for form in FORMS.values() for message_type in form.types]


def known(message_type):
    return any(name == message_type for name, _ in known_types())


@pytest.mark.parametrize(("name", "message_type"), CASES)
def test_what_is_not_named_as_lost_comes_back_equal(name, message_type):
    if not known(message_type):
        pytest.fail(f"{message_type} is no type")
    content = example(message_type)
    form = form_for(name, message_type)
    result = form.write(message_type, content)
    read = form.read(json.loads(json.dumps(result.document)))
    back = merged(content, read)
    validate_content(message_type, 1, back)
    kept = {pointer: value for pointer, value in leaves(content) if pointer not in result.lost}
    assert kept
    marks = re.compile(r"/items/\d+/marks/")
    returned = dict(leaves(read))
    assert {p: v for p, v in kept.items() if not marks.match(p)}.items() <= returned.items()
    values = sorted(str(value) for pointer, value in returned.items() if marks.match(pointer))
    for value in (str(v) for p, v in kept.items() if marks.match(p)):
        values.remove(value)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_the_essentials_of_a_weapon_are_kept(name):
    # MOSAIC 05.31: make, model, calibre, serial, country of manufacture or of the last import.
    form = FORMS[name]
    message_type = form.types[-1]
    content = example("tracing-request")
    result = form.write(message_type, content)
    for pointer in (
        "/items/0/make/text",
        "/items/0/model/text",
        "/items/0/calibre/text",
        "/items/0/marks/0/text",
        "/items/0/marks/4/text",
        "/items/0/category",
    ):
        assert pointer not in result.lost
    assert ("/items/0/countryOfManufacture" in result.lost) == (name == "niem")


def test_a_mark_that_cannot_be_read_stays_one():
    content = example("tracing-request")
    content["items"][0]["marks"] = [
        {
            "kind": "SERIAL",
            "component": "FRAME",
            "status": "OBLITERATED",
            "restoration": {"method": "NOT_ATTEMPTED"},
        },
        {"kind": "SERIAL", "component": "BARREL", "text": "AB?1", "pattern": "AB?1", "status": "PARTIAL"},
    ]
    validate_content("tracing-request", 1, content)
    for form in FORMS.values():
        marks = form.read(form.write("tracing-request", content).document)["items"][0]["marks"]
        assert [mark["status"] for mark in marks] == ["OBLITERATED", "PARTIAL"]
        assert "text" not in marks[0]
        assert marks[1]["pattern"] == "AB?1"


def test_a_partial_serial_of_another_system_gets_its_pattern():
    form = FORMS["iarms"]
    [item] = form.read({"records": [{"serial_number": "AB ?1", "serial_status": "PARTIAL"}]})["items"]
    assert item["marks"] == [
        {"kind": "SERIAL", "component": "UNKNOWN", "text": "AB ?1", "status": "PARTIAL", "pattern": "AB?1"}
    ]


def test_codes_alone_are_read_where_they_can_mean_one_thing():
    niem = FORMS["niem"]

    def category(**codes):
        return niem.read({"j:Firearm": {f"ncic:{k}": v for k, v in codes.items()}})["items"][0]["category"]

    assert category(FirearmCategoryCode="P") == "PISTOL"
    assert category(FirearmCategoryCode="P", FirearmCategoryDetailedCode="PR") == "REVOLVER"
    assert category(FirearmCategoryCode="M") == "UNKNOWN"
    assert category(FirearmCategoryCode="nonsense") == "UNKNOWN"
    [item] = niem.read({"j:Firearm": [{"ncic:FirearmMakeCode": "GLC"}]})["items"]
    assert item["make"] == {"text": "GLC", "code": "GLC", "scheme": "NCIC_MAK"}
    assert item["noMarksReason"] == "NOT_RECORDED"


def test_a_code_of_another_scheme_is_not_passed_off_as_ncic():
    content = example("tracing-request")
    content["items"][0]["make"] = {"text": "FN", "code": "0042", "scheme": "NATIONAL"}
    for name in ("niem", "etrace"):
        result = FORMS[name].write("tracing-request", content)
        assert "0042" not in json.dumps(result.document)
        assert {"/items/0/make/code", "/items/0/make/scheme"} <= set(result.lost)


def test_records_of_two_cases_are_not_one_request():
    records = [{"requester": {"case_number": n}, "firearm": {}} for n in ("A", "B")]
    with pytest.raises(MalformedError) as caught:
        FORMS["etrace"].read({"records": records})
    assert caught.value.code == "bad_form"


def test_a_form_made_for_other_types_is_refused():
    with pytest.raises(NotFoundError) as caught:
        form_for("etrace", "confiscation-notice")
    assert caught.value.code == "no_such_form"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "records",
                    "firearm",
                    "j:Firearm",
                    "nc:ItemSerialIdentification",
                    "requester",
                    "possessor",
                    "associates",
                    "obliterated_serial",
                    "serial_number",
                    "serial_status",
                    "unique_marks",
                    "additional_markings",
                    "x",
                    "j:FirearmBarrelLengthMeasure",
                    "ncic:FirearmMakeCode",
                    "nc:ItemMakeName",
                    "part",
                    "restoration",
                    "make",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", sorted(FORMS))
@settings(max_examples=200, deadline=None)
@given(document=st.dictionaries(st.sampled_from(["records", "j:Firearm", "kind"]), JUNK, max_size=3))
def test_a_hostile_form_raises_only_our_errors(name, document):
    try:
        read = FORMS[name].read(document)
    except MalformedError:
        return
    try:
        validate_content(FORMS[name].types[0], 1, read)
    except MalformedError:
        return


@pytest.mark.parametrize("name", sorted(FORMS))
def test_the_specification_lists_what_the_code_keeps(name):
    text = Path(ROOT, "docs/spec/forms.md").read_text("utf-8")
    listed = text.split(f"<!-- fields {name} -->\n")[1].split("\n<!-- end -->")[0].splitlines()[2:]
    assert listed == [f"| {ours} | {theirs} |" for ours, theirs in FORMS[name].fields]


def test_every_type_that_describes_weapons_has_a_form():
    have = {name for name, version in known_types() if "items" in example(name, version)}
    assert have == set(WITH_ITEMS)
