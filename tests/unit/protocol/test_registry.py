"""The registry: which model reads which message, and what is told of what does not fit."""

import json

import pytest

from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import MalformedError, UncheckableError
from countermark_protocol.messages.base import Message
from countermark_protocol.registry import (
    MAX_VIOLATIONS,
    MODELS,
    content_document,
    find_model,
    validate_as,
    validate_content,
)
from countermark_protocol.types import TYPES, find_type, known_types
from message_examples import example, patched

SECRET = "Zq7-SECRET-Xw"


def refused(name, document):
    with pytest.raises(MalformedError) as caught:
        validate_content(name, 1, document)
    assert caught.value.code == "invalid_content"
    assert caught.value.facts["type"] == name
    assert caught.value.facts["version"] == 1
    json.dumps(caught.value.facts)
    return caught.value


# --- the two tables ----------------------------------------------------------------------------------


def test_registry_and_table_of_types_agree():
    assert {(info.name, version) for info in TYPES.values() for version in info.versions} == set(MODELS)
    assert all(name == info.name for name, info in TYPES.items())
    assert known_types() == tuple(sorted(MODELS))


def test_models_know_their_own_type_and_version():
    for (name, version), model in MODELS.items():
        assert (name, version) == (model.TYPE, model.VERSION)
        assert find_model(name, version) is model
        assert issubclass(model, Message)


def test_released_types_and_versions_stand():
    # A (type, version) is never removed and never reused: only add lines here.
    assert set(MODELS) >= {
        ("assistance-match", 1),
        ("assistance-offer", 1),
        ("assistance-request", 1),
        ("confiscation-notice", 1),
        ("destruction-notice", 1),
        ("lost-or-stolen-notice", 1),
        ("marking-system-description", 1),
        ("national-report", 1),
        ("tracing-acknowledgement", 1),
        ("tracing-request", 1),
        ("tracing-response", 1),
        ("trade-route-alert", 1),
    }


def test_only_answers_bear_a_stage():
    assert {name for name, info in TYPES.items() if info.is_answer} == {
        "tracing-acknowledgement",
        "tracing-response",
        "release-consent-decision",
        "hit-confirmation",
        "licence-verification-response",
        "mutual-legal-assistance-response",
    }


def test_what_never_begins_a_conversation_and_what_amends_an_earlier_message():
    assert {name for name, info in TYPES.items() if info.amends} == {"correction", "withdrawal"}
    assert {name for name, info in TYPES.items() if info.in_conversation} == {
        "tracing-clarification",
        "release-consent-request",
        "free-text",
    }


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        TYPES["gossip"] = TYPES["tracing-request"]
    with pytest.raises(TypeError):
        MODELS["gossip", 1] = MODELS["tracing-request", 1]


@pytest.mark.parametrize(
    ("name", "version", "known"),
    [
        ("gossip", 1, []),
        ("", 1, []),
        ("tracing-request", 3, [1, 2]),
        ("tracing-request", 0, [1, 2]),
        ("tracing-request", True, [1, 2]),
        ("tracing-request", "1", [1, 2]),
        ("tracing-response", 2, [1]),
        ("Tracing-Request", 1, []),
        (["tracing-request"], 1, []),
        (None, None, []),
        ("x" * 10_000, 1, []),
    ],
)
def test_unknown_types_and_versions_cannot_be_checked(name, version, known):
    for ask in (find_type, find_model, lambda n, v: validate_content(n, v, {})):
        with pytest.raises(UncheckableError) as caught:
            ask(name, version)
        assert caught.value.code == "unknown_type"
        assert caught.value.facts["known"] == known
        assert len(str(caught.value)) < 400


# --- what is told ------------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once_with_form_and_without_value():
    document = patched(
        example("tracing-request"),
        [
            {"op": "remove", "path": "/legalJustification"},
            {"op": "replace", "path": "/nationalCaseRef", "value": 7_341_093},
            {"op": "replace", "path": "/recovery/place/country", "value": "Brazil"},
            {"op": "replace", "path": "/items/0/marks/1/status", "value": "OBLITERATED"},
            {"op": "replace", "path": "/items/0/marks/0/text", "value": ["ZZQ123"]},
            {"op": "add", "path": "/items/0/serial", "value": "ZZQ123"},
        ],
    )
    error = refused("tracing-request", document)
    told = {
        each["field"]: (each["rule"], each["expected"], each["got"]) for each in error.facts["violations"]
    }
    assert told == {
        "/legalJustification": ("missing", "a value: the member is required", "nothing"),
        "/nationalCaseRef": ("string_type", "a valid string", "an integer"),
        "/recovery/place/country": (
            "not_in_code_list",
            "an ISO 3166-1 alpha-2 code in capitals",
            "a text of 6 characters",
        ),
        "/items/0/marks/1/text": (
            "mark_without_text",
            "a mark that is obliterated, never made, not examined or not recorded has no text, pattern or symbol",
            "a text of 6 characters",
        ),
        "/items/0/marks/0/text": ("string_type", "a valid string", "an array of 1 elements"),
        "/items/0": ("unknown_member", "only members of the schema", "a member named in 6 characters"),
    }
    assert error.facts["violation_count"] == 6
    assert "ZZQ123" not in str(error)
    assert "(and 5 more)" in error.message


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "add", "path": f"/{SECRET}", "value": 1}],
        [{"op": "add", "path": f"/items/0/make/{SECRET}", "value": {SECRET: SECRET}}],
        [{"op": "replace", "path": "/language", "value": SECRET}],
        [{"op": "replace", "path": "/items/0/category", "value": SECRET}],
        [{"op": "replace", "path": "/items/0/make/code", "value": SECRET.lower()}],
        [{"op": "replace", "path": "/recovery/date", "value": SECRET}],
        [{"op": "replace", "path": "/items/0/marks/0/text", "value": SECRET + "\n"}],
        [{"op": "replace", "path": "/items/0/marks/2/pattern", "value": SECRET}],
        [{"op": "replace", "path": "/contact/email", "value": SECRET}],
        [{"op": "replace", "path": "/items", "value": SECRET}],
        [{"op": "replace", "path": "/items/0/lastKnownImport/year", "value": SECRET}],
        [{"op": "add", "path": "/possessors", "value": [{"role": "OTHER", "name": SECRET}]}],
        [
            {"op": "replace", "path": "/items/0/marks/0/status", "value": "OBLITERATED"},
            {"op": "replace", "path": "/items/0/marks/0/text", "value": SECRET},
        ],
        [{"op": "add", "path": "/intendedUse/-", "value": None}],
    ],
)
def test_nothing_of_the_content_is_repeated(patch):
    error = refused("tracing-request", patched(example("tracing-request"), patch))
    assert SECRET.lower() not in (str(error) + json.dumps(error.facts) + repr(error)).lower()
    assert error.__cause__ is None


def test_a_name_of_ours_in_the_wrong_place_is_told():
    error = refused("tracing-request", {**example("tracing-request"), "calibre": {"text": "9 mm"}})
    assert (
        error.facts["violations"][0]["expected"] == "only members of the schema: calibre does not stand here"
    )


def test_a_slip_of_the_pen_is_told():
    error = refused("tracing-request", {**example("tracing-request"), "intendeduse": []})
    assert error.facts["violations"][0]["expected"] == "only members of the schema; did you mean intendedUse?"


def test_violations_are_bounded_and_counted():
    document = example("confiscation-notice")
    document["items"] = [{"itemRef": str(i)} for i in range(500)]
    error = refused("confiscation-notice", document)
    assert len(error.facts["violations"]) == MAX_VIOLATIONS
    assert error.facts["violation_count"] >= 4 * 500


def test_many_unknown_members_are_told_within_bounds():
    document = {**example("tracing-request"), **{f"member{i}": i for i in range(50_000)}}
    error = refused("tracing-request", document)
    assert len(error.facts["violations"]) == MAX_VIOLATIONS
    assert error.facts["violation_count"] == 50_000


def test_a_refused_element_is_not_told_as_a_missing_one_too():
    error = refused(
        "tracing-request",
        patched(example("tracing-request"), [{"op": "replace", "path": "/items/0/category", "value": "GUN"}]),
    )
    assert [each["field"] for each in error.facts["violations"]] == ["/items/0/category"]


def test_several_rules_of_one_block_are_all_told():
    document = patched(
        example("destruction-notice"),
        [
            {"op": "replace", "path": "/total", "value": 3},
            {"op": "replace", "path": "/marksRecordedBefore", "value": False},
        ],
    )
    told = {each["rule"] for each in refused("destruction-notice", document).facts["violations"]}
    assert told == {"total_adds_up", "marks_recorded_or_why"}


# --- anything else than a document -------------------------------------------------------------------


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def endless():
    value = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "text",
        [],
        [{}],
        {},
        True,
        {1: 2},
        {"a": 1.5},
        {"a": float("nan")},
        {"a": b"x"},
        {"a": {1, 2}},
        {"a": object()},
        {"nationalCaseRef": "\ud800"},
        {"\ud800": 1},
        {"nationalCaseRef": "\x00"},
        {"items": deep(500)},
        {"items": deep(100_000)},
        endless(),
        {"nationalCaseRef": 10**400},
        {"x" * 1_000_000: 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_document_is_malformed_and_nothing_else(document):
    error = refused("tracing-request", document)
    assert error.facts["violations"]
    assert len(error.message) < 2000


def test_floats_are_no_integers():
    document = patched(
        example("tracing-request"),
        [{"op": "replace", "path": "/items/0/lastKnownImport/year", "value": 2019.0}],
    )
    assert refused("tracing-request", document).facts["violations"][0]["got"] == "a number with a fraction"


def test_booleans_are_no_integers_and_integers_no_booleans():
    document = patched(
        example("tracing-request"),
        [
            {"op": "replace", "path": "/items/0/lastKnownImport/year", "value": True},
            {"op": "replace", "path": "/priorSteps/domesticChecked", "value": 1},
        ],
    )
    told = {each["field"]: each["got"] for each in refused("tracing-request", document).facts["violations"]}
    assert told == {"/items/0/lastKnownImport/year": "a boolean", "/priorSteps/domesticChecked": "an integer"}


def test_the_document_is_not_changed():
    document = example("tracing-request")
    before = json.dumps(document)
    validate_content("tracing-request", 1, document)
    assert json.dumps(document) == before


def test_validate_as_gives_the_type_that_was_asked_for():
    model = MODELS["tracing-request", 1]
    message = validate_as(model, example("tracing-request"))
    assert message.national_case_ref == "BR-PCERJ-2024-053-00071"


def test_a_message_made_past_validation_is_misuse():
    message = MODELS["tracing-request", 1].model_construct(national_case_ref=object())
    with pytest.raises(ValueError, match="cannot be written"):
        content_document(message)


def test_content_goes_through_parse_and_back():
    document = parse_object(json.dumps(example("trade-route-alert"), indent=3).encode())
    assert content_document(validate_content("trade-route-alert", 1, document)) == document
