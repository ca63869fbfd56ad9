"""What a manifest may say of its content, and what a person should know before sending."""

import datetime as dt

import pytest

from countermark_protocol.codes.tracing import AcknowledgementStatus, TraceOutcome
from countermark_protocol.errors import MalformedError
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.manifest import Outcome, Stage, Urgency
from countermark_protocol.messages.facts import (
    ACKNOWLEDGEMENT_STAGES,
    OUTCOME_CLASSES,
    check_manifest_facts,
    holds_personal_data,
    manifest_facts,
)
from countermark_protocol.messages.review import RULES, Circumstances, Severity, review, review_answer
from countermark_protocol.registry import validate_content
from countermark_protocol.types import TYPES, known_types
from message_examples import example, patched

TODAY = dt.date(2024, 6, 1)


def read(name, *patch):
    return validate_content(
        name, 1, patched(example(name), [dict(zip(("op", "path", "value"), p, strict=False)) for p in patch])
    )


# --- stage and outcome -------------------------------------------------------------------------------


def test_exactly_the_answers_have_facts():
    for name, _ in known_types():
        assert (manifest_facts(read(name)) is not None) == TYPES[name].is_answer


def test_every_status_and_every_outcome_is_classed():
    assert set(ACKNOWLEDGEMENT_STAGES) == set(AcknowledgementStatus)
    assert set(OUTCOME_CLASSES) == set(TraceOutcome)
    assert set(OUTCOME_CLASSES.values()) == set(Outcome().to_json())


def test_success_is_what_the_indicator_counts():
    assert {outcome for outcome, kind in OUTCOME_CLASSES.items() if kind == "success"} == {
        TraceOutcome.TRACED_TO_LAST_HOLDER,
        TraceOutcome.TRACED_TO_POINT_OF_DIVERSION,
    }
    assert {outcome for outcome, kind in OUTCOME_CLASSES.items() if kind == "refused"} == {
        TraceOutcome.REFUSED
    }


def test_asking_for_more_pauses_the_clock():
    facts = manifest_facts(read("tracing-acknowledgement"))
    assert (facts.stage, facts.outcome) == (Stage.PAUSED, Outcome())


def test_results_are_counted_by_class():
    refusal = {"reasons": ["NATIONAL_SECURITY"], "text": "classified", "reviewOn": "2024-07-01"}
    inability = {"reason": "NO_RECORDS", "text": "none", "retention": {"permanent": True, "basis": "law"}}
    extra = [
        {"itemRef": "2", "outcome": "REFUSED", "identityConfirmed": False, "refusal": refusal},
        {"itemRef": "3", "outcome": "DELAYED", "identityConfirmed": False, "refusal": refusal},
        {"itemRef": "4", "outcome": "NO_RECORD", "identityConfirmed": False, "inability": inability},
        {
            "itemRef": "5",
            "outcome": "TRACED_TO_LAST_HOLDER",
            "identityConfirmed": True,
            "chain": [{"seq": 1, "event": "RETAIL"}],
        },
        {"itemRef": "6", "outcome": "STATE_STOCK", "identityConfirmed": True},
    ]
    message = read(
        "tracing-response", ("replace", "/final", False), *(("add", "/itemResults/-", each) for each in extra)
    )
    facts = manifest_facts(message)
    assert facts.stage is Stage.INTERIM
    assert facts.outcome == Outcome(success=1, partial=2, none=2, refused=1)
    check_manifest_facts(message, Stage.INTERIM, Outcome(1, 2, 2, 1))


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        (Stage.INTERIM, Outcome(partial=1)),
        (Stage.FINAL, Outcome(success=1)),
        (Stage.FINAL, None),
        (None, Outcome(partial=1)),
        (None, None),
    ],
)
def test_a_manifest_that_embellishes_is_refused(stage, outcome):
    message = read("tracing-response")
    check_manifest_facts(message, Stage.FINAL, Outcome(partial=1))
    with pytest.raises(MalformedError) as caught:
        check_manifest_facts(message, stage, outcome)
    assert caught.value.code == "manifest_contradicts_content"
    assert caught.value.facts["expected"] == {"stage": "final", "outcome": Outcome(partial=1).to_json()}


def test_a_notice_with_a_stage_is_refused():
    message = read("confiscation-notice")
    check_manifest_facts(message, None, None)
    with pytest.raises(MalformedError):
        check_manifest_facts(message, Stage.FINAL, Outcome())


# --- review ------------------------------------------------------------------------------------------


def found(message, **circumstances):
    return {
        (each.severity.value, each.rule, each.field)
        for each in review(message, Circumstances(**circumstances))
    }


@pytest.mark.parametrize(("name", "version"), known_types())
def test_examples_raise_nothing_that_stops_them(name, version):
    message = validate_content(name, version, example(name, version))
    when = dt.date(2024, 7, 1)
    findings = review(
        message, Circumstances(today=when, tlp=Tlp.AMBER, classification=Classification.RESTRICTED)
    )
    assert [each for each in findings if each.severity is Severity.REFUSE] == []


def test_nothing_is_judged_of_what_is_not_known():
    message = read("tracing-request", ("replace", "/recovery/date", "2999-01-01"))
    assert review(message, Circumstances()) == ()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("tracing-request", "/recovery/date"),
        ("confiscation-notice", "/event/date"),
        ("tracing-acknowledgement", "/receivedAt"),
        ("lost-or-stolen-notice", "/event/period/to"),
        ("destruction-notice", "/destroyedOn"),
    ],
)
def test_the_future_has_not_happened(name, field):
    assert ("refuse", "event_in_future", field) in found(read(name), today=dt.date(2023, 1, 1))
    assert not any(rule == "event_in_future" for _, rule, _ in found(read(name), today=dt.date(2024, 12, 1)))


def test_tomorrow_by_utc_may_be_today_somewhere():
    message = read("tracing-request")
    assert not any("future" in rule for _, rule, _ in found(message, today=dt.date(2024, 3, 13)))
    assert any("future" in rule for _, rule, _ in found(message, today=dt.date(2024, 3, 12)))


def test_old_events_and_old_weapons_warn():
    message = read(
        "tracing-request",
        ("replace", "/recovery/date", "2001-01-01"),
        ("add", "/items/0/yearOfManufacture", 1944),
    )
    assert found(message, today=TODAY) >= {
        ("warn", "event_long_ago", "/recovery/date"),
        ("warn", "made_before_1946", "/items/0/yearOfManufacture"),
    }
    antique = read("confiscation-notice", ("add", "/items/0/yearOfManufacture", 1899))
    assert ("warn", "antique", "/items/0/yearOfManufacture") in found(antique)


def test_serials_that_are_something_else_warn():
    at = "/items/0/marks/0/text"
    assert ("warn", "serial_is_model", at) in found(read("tracing-request", ("replace", at, "17-GEN4")))
    assert ("warn", "serial_is_calibre", at) in found(
        read("tracing-request", ("replace", at, "9 mm Luger 9x19mm"))
    )
    for serial in ("T6472-14 G 00590", "T4861", "T7643"):
        assert ("warn", "serial_is_maker_code", at) in found(read("tracing-request", ("replace", at, serial)))
    for serial in ("T48612", "TAB123", "T64721 4", "ZZQ123"):
        assert not any(
            "maker_code" in rule for _, rule, _ in found(read("tracing-request", ("replace", at, serial)))
        )


def test_codes_that_this_edition_does_not_hold_warn():
    message = read(
        "tracing-request",
        ("replace", "/items/0/make/code", "QQQ"),
        ("replace", "/items/0/calibre/code", "57"),
        ("replace", "/items/0/hsCode", "930299"),
        ("add", "/items/0/finish", {"text": "sand", "code": "SDY", "scheme": "NCIC_VCO"}),
    )
    assert found(message) == {
        ("warn", "code_not_in_list", f"/items/0/{member}")
        for member in ("make/code", "calibre/code", "hsCode", "finish/code")
    }


def test_a_state_asks_about_what_it_found_and_whom_the_marks_name():
    message = read("tracing-request")
    assert ("refuse", "sender_is_not_recovery_state", "/recovery/place/country") in found(
        message, sender_country="AR"
    )
    assert not found(message, sender_country="BR", addressee_country="PY")
    assert found(message, addressee_country="AT") == {
        ("warn", "addressee_is_not_importer", "/items/0/marks/4/country")
    }


@pytest.mark.parametrize("urgency", [Urgency.URGENT, Urgency.FLASH])
def test_urgency_is_justified(urgency):
    assert found(read("tracing-request"), urgency=urgency) == {
        ("refuse", "urgency_not_justified", "/urgencyJustification")
    }
    justified = read("tracing-request", ("add", "/urgencyJustification", "suspect in custody for 24 h"))
    assert not found(justified, urgency=urgency)
    assert not found(read("tracing-request"), urgency=Urgency.PRIORITY)


def test_persons_are_not_for_the_community():
    person = {"role": "POSSESSOR", "personCategory": "POSSESSOR", "name": "A. N. Example"}
    message = read(
        "tracing-request", ("add", "/possessors", [{"role": "OTHER", "organisation": "Firm"}, person])
    )
    assert holds_personal_data(message)
    assert not holds_personal_data(read("tracing-request"))
    for tlp in (Tlp.GREEN, Tlp.CLEAR):
        assert ("refuse", "personal_data_tlp", "") in found(message, tlp=tlp)
    assert not found(message, tlp=Tlp.AMBER)


def test_alerts_that_name_actors_are_restricted():
    message = read("trade-route-alert")
    assert found(message, classification=Classification.OFFICIAL) == {
        ("refuse", "actors_need_restricted", "/actors")
    }
    assert not found(message, classification=Classification.RESTRICTED)
    assert not found(read("trade-route-alert", ("remove", "/actors")), classification=Classification.OFFICIAL)


def test_reviews_come_in_time():
    notice = read("lost-or-stolen-notice")
    assert not found(notice, today=dt.date(2024, 2, 13))
    assert ("refuse", "review_too_late", "/reviewOn") in found(notice, today=dt.date(2024, 2, 11))
    refusal = {"reasons": ["ONGOING_INVESTIGATION"], "text": "pending", "reviewOn": "2024-09-01"}
    delayed = read(
        "tracing-response",
        ("replace", "/final", False),
        ("replace", "/itemResults/0/outcome", "DELAYED"),
        ("add", "/itemResults/0/refusal", refusal),
    )
    assert ("refuse", "delay_too_long", "/itemResults/0/refusal/reviewOn") in found(delayed, today=TODAY)
    assert not found(delayed, today=dt.date(2024, 6, 3))


@pytest.mark.parametrize(
    ("name", "field", "last"),
    [
        ("assistance-request", "/validUntil", dt.date(2026, 12, 31)),
        ("assistance-offer", "/availableUntil", dt.date(2028, 6, 30)),
        ("assistance-match", "/proposal/answerUntil", dt.date(2026, 5, 31)),
    ],
)
def test_what_is_over_cannot_be_asked_offered_or_proposed(name, field, last):
    over = {("refuse", "already_over", field)}
    assert found(read(name), today=last + dt.timedelta(days=1)) == set()
    assert found(read(name), today=last + dt.timedelta(days=2)) == over


@pytest.mark.parametrize(
    ("name", "field"), [("assistance-request", "/requestingState"), ("national-report", "/reportingState")]
)
def test_a_state_asks_and_reports_for_itself(name, field):
    assert found(read(name), sender_country="KE") == set()
    assert found(read(name), sender_country="UG") == {("refuse", "not_the_senders_state", field)}


def test_currencies_that_no_country_has_warn():
    message = read(
        "assistance-request",
        ("replace", "/budget/currency", "XQX"),
        ("replace", "/nationalContribution/currency", "KES"),
    )
    assert found(message) == {("warn", "code_not_in_list", "/budget/currency")}


def test_an_answer_fits_its_request():
    request, response = read("tracing-request"), read("tracing-response")
    assert review_answer(request, response) == ()
    stranger = read("tracing-response", ("replace", "/itemResults/0/itemRef", "9"))
    assert [each.rule for each in review_answer(request, stranger)] == [
        "item_not_requested",
        "item_not_answered",
    ]
    interim = read(
        "tracing-response", ("replace", "/itemResults/0/itemRef", "9"), ("replace", "/final", False)
    )
    assert [each.rule for each in review_answer(request, interim)] == ["item_not_requested"]
    late = read("tracing-response", ("replace", "/itemResults/0/chain/1/date", "2024-03-15"))
    assert [each.rule for each in review_answer(request, late)] == ["recovered_before_chain"]
    same_month = read("tracing-response", ("replace", "/itemResults/0/chain/1/date", "2024-03"))
    assert review_answer(request, same_month) == ()
    stolen = read(
        "tracing-response",
        ("replace", "/itemResults/0/chain/1/date", "2024-03-15"),
        ("replace", "/itemResults/0/chain/1/event", "STOLEN"),
    )
    assert review_answer(request, stolen) == ()


def test_refusals_come_first_and_every_finding_has_words():
    message = read("tracing-request", ("replace", "/items/0/make/code", "QQQ"))
    findings = review(message, Circumstances(sender_country="AR", today=dt.date(2024, 1, 1)))
    assert [each.severity for each in findings] == [Severity.REFUSE, Severity.REFUSE, Severity.WARN]
    assert all(each.text for each in findings)
    assert all(RULES.values())
