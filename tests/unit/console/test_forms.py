"""Forms of all message types: every example goes through its form and comes back; what is wrong is told in words."""

from __future__ import annotations

import pytest

from countermark_console.desk.forms.choices import SOURCES, list_choices, meaning, resolved, search
from countermark_console.desk.forms.documents import (
    MAX_PAIRS,
    read_form,
    tidy,
    with_row,
    without_row,
    write_form,
)
from countermark_console.desk.forms.faults import check_form
from countermark_console.desk.forms.fields import FormField, Kind, all_texts, form_of, newest_version
from countermark_protocol.errors import MalformedError
from countermark_protocol.registry import MODELS
from message_examples import example, invalid_variants, patched

TYPES = sorted(MODELS)


def fields_of(field: FormField):
    yield field
    for one in (*field.fields, *((field.item,) if field.item is not None else ())):
        yield from fields_of(one)


@pytest.mark.parametrize(("message_type", "version"), TYPES)
def test_every_example_goes_through_its_form_and_comes_back(message_type, version):
    form, document = form_of(message_type, version), example(message_type, version)
    state = read_form(form, write_form(form, document))
    assert tidy(form, state) == document
    message, faults = check_form(message_type, version, form, tidy(form, state))
    assert message is not None
    assert faults == ()


@pytest.mark.parametrize(("message_type", "version"), TYPES)
def test_every_field_says_what_it_is_and_where_it_comes_from(message_type, version):
    form = form_of(message_type, version)
    for group in (one for one in fields_of(form) if one.kind is Kind.GROUP):
        for field in group.fields:
            assert field.label, field.name
            assert field.source, field.name
    for field in fields_of(form):
        assert field.code_list is None or list_choices(field.code_list)
        assert field.search is None or field.search in SOURCES
        assert (field.kind is Kind.ROWS) == (field.item is not None)
    assert all(text.strip() for text in all_texts(form))


@pytest.mark.parametrize(("message_type", "version"), TYPES)
def test_what_is_wrong_is_told_at_a_field_that_there_is(message_type, version):
    form = form_of(message_type, version)
    for variant in invalid_variants(message_type, version):
        document = patched(example(message_type, version), variant["patch"])
        if not isinstance(document, dict):
            continue
        state = read_form(form, write_form(form, document))
        _, faults = check_form(message_type, version, form, tidy(form, state))
        names = {name.rpartition(".")[0] for name, _ in write_form(form, document)}
        names |= {name for name, _ in write_form(form, document)} | {f.name for f in form.fields}
        for fault in faults:
            assert fault.text[:1] == fault.text[:1].upper()
            assert "{" not in fault.text
            root = fault.name.split(".", maxsplit=1)[0]
            assert not fault.name or form.find(root) is not None, fault


def test_a_rule_speaks_of_fields_by_their_labels():
    form = form_of("tracing-acknowledgement", 1)
    document = example("tracing-acknowledgement") | {"status": "ACCEPTED"}
    for name in ("missing", "estimatedReplyBy"):
        document.pop(name, None)
    _, faults = check_form("tracing-acknowledgement", 1, form, tidy(form, document))
    assert [(f.name, f.text) for f in faults] == [
        ("estimatedReplyBy", "“Accepted” states “When the reply is expected”")
    ]


def test_what_is_posted_stays_as_it_was_typed_until_it_is_right():
    form = form_of("tracing-request", 2)
    state = read_form(
        form, [("items.0.barrelLengthMm", "twelve"), ("recovery.date", "yesterday"), ("nope.x", "1")]
    )
    assert state["items"] == [{"barrelLengthMm": "twelve"}]
    assert state["recovery"] == {"date": "yesterday"}
    assert "nope" not in state
    _, faults = check_form("tracing-request", 2, form, tidy(form, state))
    told = {f.name: f.text for f in faults}
    assert told["items.0.barrelLengthMm"] == "Barrel length: expected a valid integer"
    assert (
        told["recovery.date"]
        == "Day on which it happened: expected a day of the calendar, written YYYY-MM-DD"
    )
    assert told["legalJustification"] == "Fill in: Legal justification of that"


def test_rows_are_added_and_taken_away_as_deep_as_they_stand():
    form = form_of("tracing-request", 2)
    state = with_row(form, {}, "items")
    state = with_row(form, state, "items.0.marks")
    state = with_row(form, state, "items.0.marks")
    assert state == {"items": [{"marks": [{}, {}]}]}
    assert read_form(form, write_form(form, state))["items"] == state["items"]  # empty rows stay
    assert without_row(form, state, "items.0.marks.0") == {"items": [{"marks": [{}]}]}
    for strange in ("nope", "items.9.marks", "items.x", "contact.agency", "illicitBasis", ""):
        before = str(state["items"])
        assert str(without_row(form, state, strange)["items"]) == before
        with_row(form, state, strange)
    for _ in range(60):
        state = with_row(form, state, "items")
    assert len(state["items"]) == 50  # no more than the type allows


def test_a_form_that_is_too_large_is_refused():
    form = form_of("tracing-request", 2)
    for pairs in ([("items.0.x", "1")] * (MAX_PAIRS + 1), [(".".join("a" * 20), "1")]):
        with pytest.raises(MalformedError) as caught:
            read_form(form, pairs)
        assert caught.value.code == "form_too_large"


def test_what_is_typed_finds_codes_and_texts():
    assert search("countries", "keny")[0].value == "KE"
    assert search("countries", "Allemagne", language="fr")[0].value == "DE"
    assert search("places", "Hamburg", country="DE")[0].value == "DEHAM"
    assert search("languages", "arab")[0].value == "ar"
    assert search("time_zones", "nairobi")[0].value == "Africa/Nairobi"
    assert search("makes", "Beretta")
    assert meaning("maker_countries", "SU")
    assert resolved("countries", "kenya") == "KE"
    assert resolved("countries", "United") == "United"  # it may be several
    assert newest_version("tracing-request") == 2
