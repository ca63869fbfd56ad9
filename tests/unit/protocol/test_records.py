"""The demo's mapping of real records: every row of both files, each valid, nothing dropped, nothing made up unseen."""

import datetime as dt
import importlib
import json
from collections import Counter
from pathlib import Path

import pytest

from countermark_protocol.codes.calibres import match_calibre
from countermark_protocol.codes.matching import match_make
from countermark_protocol.codes.tracing import RefusalReason
from countermark_protocol.manifest import Outcome, Stage
from countermark_protocol.messages.facts import manifest_facts
from countermark_protocol.messages.review import Circumstances, Severity, review, review_answer
from countermark_protocol.registry import validate_content

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"
REQUEST_ID = "018f3c1a-7d2e-7c55-9b1f-3a1f0a1b2c3d"
TODAY = dt.date(2026, 2, 1)
RECEIVED = dt.datetime(2026, 2, 1, 9, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def demo():
    """The demo's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield {
            name: importlib.import_module(f"demo.{name}")
            for name in ("inventions", "records", "traces", "other_notices")
        }


@pytest.fixture(scope="module")
def delaware(demo):
    return demo["records"].load_rows("delaware_trace_pairs")


@pytest.fixture(scope="module")
def bloomington(demo):
    return demo["records"].load_rows("bloomington_stolen_guns")


@pytest.fixture
def agency(demo):
    return demo["inventions"].Agency("Example Police", "Firearms")


@pytest.fixture
def inventions(demo):
    return demo["inventions"].Inventions()


def row_where(rows, **columns):
    return next(row for row in rows if all(bool(row[name]) == wanted for name, wanted in columns.items()))


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="NOT RUN: needs ../shared/data beside the checkout")
@pytest.mark.parametrize("name", ["delaware_trace_pairs", "bloomington_stolen_guns"])
def test_samples_are_copied_with_all_rows(name):
    assert (ROOT / "samples" / f"{name}.csv").read_bytes() == (SHARED / f"{name}.csv").read_bytes()


def test_all_635_recovered_weapons_become_confiscation_notices(demo, delaware, agency, inventions):
    assert len(delaware) == 635
    seen = Counter()
    for row in delaware:
        document = demo["records"].confiscation_notice(row, agency, inventions)
        message = validate_content("confiscation-notice", 1, document)
        (item,) = message.items
        assert message.notice_ref == row["event_ref"]
        assert item.make.text == (row["manufacturer_src"] or "UNKNOWN")
        assert item.calibre.text == (row["calibre_src"] or "UNKNOWN")
        assert item.make.code == match_make(row["manufacturer_src"]).code
        assert item.calibre.code == match_calibre(row["calibre_src"]).code
        assert [mark.text for mark in item.marks] == [row["serial_pseudonym"]] * bool(row["serial_pseudonym"])
        recorded = (
            message.event.date_as_recorded or (message.event.date and message.event.date.isoformat()) or ""
        )
        assert recorded == row["crime_on"]
        assert bool(item.ballistic_refs) == (row["nibin_lead"] == "True")
        assert ("trafficking" in (message.remarks or "")) == (row["trafficking_indicia"] == "True")
        assert ("state line" in (message.remarks or "")) == (row["interstate"] == "True")
        assert (message.judicial_status or "") == row["case_status"]
        seen["no make"] += item.make.text == "UNKNOWN"
        seen["no calibre"] += item.calibre.text == "UNKNOWN"
        seen["no serial"] += not item.marks
        seen["no date"] += message.event.no_date_reason == "NOT_RECORDED"
        seen["impossible date"] += message.event.no_date_reason == "RECORDED_IMPLAUSIBLE"
        findings = review(message, Circumstances(today=TODAY))
        assert [each for each in findings if each.severity is Severity.REFUSE] == []
        seen["maker code as serial"] += any(each.rule == "serial_is_maker_code" for each in findings)
    # The counts that samples/README.md states.
    assert seen == {
        "no make": 95,
        "no calibre": 48,
        "no serial": 52,
        "no date": 184,
        "impossible date": 4,
        "maker code as serial": seen["maker code as serial"],
    }
    assert seen["maker code as serial"] >= 11


def test_all_320_stolen_weapons_become_notices(demo, bloomington, agency, inventions):
    assert len(bloomington) == 320
    actions = Counter()
    for number, row in enumerate(bloomington, 1):
        document = demo["records"].lost_or_stolen_notice(row, number, agency, inventions, today=TODAY)
        message = validate_content("lost-or-stolen-notice", 1, document)
        (item,) = message.items
        assert item.make.text == (row["make"] or "UNKNOWN")
        assert (item.model.text if item.model else "") == row["model"]
        assert (item.finish.text if item.finish else "") == row["colour"]
        assert item.calibre.text == "UNKNOWN"
        assert item.no_marks_reason == "NOT_RECORDED"
        assert message.event.date.isoformat() == row["stolen_on"]
        assert (message.event.place_as_recorded or "") == row["stolen_from"]
        assert message.remarks == row["recovery"]
        assert review(message, Circumstances(today=TODAY)) == ()
        actions[message.action.value] += 1
    assert actions == {"ENTRY": 244, "CLEAR_RECOVERED": 76}


@pytest.mark.parametrize(
    ("model", "category"),
    [
        ("SHOTGUN", "SHOTGUN"),
        ("SHOT GUN", "SHOTGUN"),
        ("12 GAUGE SHOTGU", "SHOTGUN"),
        ("RIFLE", "RIFLE"),
        ("CARBINE", "CARBINE"),
        ("AK PISTOL", "PISTOL"),
        ("9MM", "UNKNOWN"),
        ("", "UNKNOWN"),
        ("PUMP", "UNKNOWN"),
        ("RIFLE SHOTGUN", "UNKNOWN"),
        ("CARBINE-15X RIFLESCOPE", "CARBINE"),
    ],
)
def test_a_category_is_what_the_register_itself_says(demo, bloomington, agency, inventions, model, category):
    row = {**bloomington[0], "model": model}
    document = demo["records"].lost_or_stolen_notice(row, 1, agency, inventions, today=TODAY)
    assert document["items"][0]["category"] == category


def test_every_recovered_weapon_can_be_traced_and_answered(demo, delaware, agency, inventions):
    traces, outcomes = demo["traces"], Counter()
    for row in delaware:
        request = traces.tracing_request(row, agency, inventions)
        asked = validate_content("tracing-request", 1, request)
        acknowledged = validate_content(
            "tracing-acknowledgement",
            1,
            traces.tracing_acknowledgement(
                row, request, agency, inventions, request_id=REQUEST_ID, received_at=RECEIVED
            ),
        )
        assert manifest_facts(acknowledged).stage is Stage.ACKNOWLEDGED
        assert acknowledged.received_at == RECEIVED
        response = validate_content(
            "tracing-response",
            1,
            traces.tracing_response(row, request, agency, inventions, request_id=REQUEST_ID),
        )
        (result,) = response.item_results
        assert review_answer(asked, response) == ()
        outcomes[result.outcome.value] += 1
        recorded = bool(row["first_sale_on"] or row["dealer_city"] or row["dealer_state"])
        assert bool(result.chain) == recorded
        if recorded:
            (sale,) = result.chain
            assert sale.event == "RETAIL"
            assert (sale.date or "") == row["first_sale_on"]
            place = sale.from_.place if sale.from_ else None
            assert ((place and place.name) or "") == row["dealer_city"]
            assert ((place and place.subdivision) or "") == (
                f"US-{row['dealer_state']}" if row["dealer_state"] else ""
            )
            assert sale.to is None
        impossible = row["crime_on"] and demo["records"].delaware_day(row) is None
        expected = None if impossible or not row["time_to_crime_days"] else int(row["time_to_crime_days"])
        assert result.time_to_crime_days == expected
        assert result.identity_confirmed == bool(row["serial_pseudonym"])
    assert outcomes == {"TRACED_TO_LAST_HOLDER": 631, "NO_RECORD": 4}


def test_more_information_is_asked_only_where_something_is_missing(demo, delaware, agency, inventions):
    traces = demo["traces"]
    bare = row_where(delaware, serial_pseudonym=False, crime_on=True)
    request = traces.tracing_request(bare, agency, inventions)
    document = traces.tracing_acknowledgement(
        bare, request, agency, inventions, request_id=REQUEST_ID, received_at=RECEIVED, ask_for_more=True
    )
    message = validate_content("tracing-acknowledgement", 1, document)
    assert "/items/0/marks" in {each.path for each in message.missing}
    assert manifest_facts(message).stage is Stage.PAUSED
    whole = row_where(delaware, serial_pseudonym=True, crime_on=True, manufacturer_src=True, calibre_src=True)
    request = traces.tracing_request(whole, agency, inventions)
    assert traces.missing_elements(request) == []
    with pytest.raises(ValueError, match="lacks nothing"):
        traces.tracing_acknowledgement(
            whole, request, agency, inventions, request_id=REQUEST_ID, received_at=RECEIVED, ask_for_more=True
        )


@pytest.mark.parametrize("ground", list(RefusalReason))
def test_a_refusal_has_its_ground_and_tells_nothing_else(demo, delaware, agency, inventions, ground):
    row = delaware[3]
    request = demo["traces"].tracing_request(row, agency, inventions)
    document = demo["traces"].tracing_response(
        row, request, agency, inventions, request_id=REQUEST_ID, refusal=ground
    )
    message = validate_content("tracing-response", 1, document)
    (result,) = message.item_results
    assert result.refusal.reasons == (ground,)
    assert not result.chain
    assert result.time_to_crime_days is None
    assert row["dealer_city"] not in json.dumps(document)
    assert manifest_facts(message).outcome == Outcome(refused=1)


def test_destruction_lists_what_is_marked_and_counts_the_rest(demo, delaware, agency, inventions):
    rows = delaware[:500]
    document = demo["other_notices"].destruction_notice(
        rows, agency, inventions, number=1, destroyed_on=TODAY
    )
    message = validate_content("destruction-notice", 1, document)
    unmarked = sum(not row["serial_pseudonym"] for row in rows)
    assert unmarked > 0
    assert len(message.items) == 500 - unmarked
    assert [count.count for count in message.counts] == [unmarked]
    assert message.total == 500
    only_marked = [row for row in rows if row["serial_pseudonym"]]
    document = demo["other_notices"].destruction_notice(
        only_marked, agency, inventions, number=2, destroyed_on=TODAY
    )
    assert "counts" not in document
    assert document["marksRecordedBefore"] is True


def test_an_alert_counts_what_the_records_hold(demo, delaware, agency, inventions):
    states = sorted({row["dealer_state"] for row in delaware} - {""})
    for state in states:
        document = demo["other_notices"].trade_route_alert(
            delaware, agency, inventions, from_state=state, today=TODAY
        )
        message = validate_content("trade-route-alert", 1, document)
        sold = [row for row in delaware if row["dealer_state"] == state]
        assert message.volume.arms == len(sold)
        assert review(message, Circumstances(today=TODAY)) == ()
    with pytest.raises(ValueError, match="choose another state"):
        demo["other_notices"].trade_route_alert(delaware, agency, inventions, from_state="AK", today=TODAY)


def test_a_marking_system_can_be_described(demo, agency, inventions):
    document = demo["other_notices"].marking_system_description(agency, inventions)
    message = validate_content("marking-system-description", 1, document)
    assert message.country == "BR"
    assert [each.ambiguous for each in message.serial_formats] == [True, False]


def test_what_is_made_up_is_listed(demo, delaware, agency, inventions):
    row = delaware[1]
    document = demo["records"].confiscation_notice(row, agency, inventions)
    made = {each.kind: each.value for each in inventions.made}
    assert made == {
        "action (the file says: recovered)": document["action"],
        "disposition": document["disposition"],
        "intention to trace": document["traceIntended"],
    }
    demo["records"].confiscation_notice(delaware[2], agency, inventions)
    assert [(each.kind, each.count, each.first.about) for each in inventions.summary()] == [
        (kind, 2, row["event_ref"]) for kind in sorted(made)
    ]


def test_the_same_row_always_gives_the_same_content(demo, delaware, agency):
    make = demo["records"].confiscation_notice
    new = demo["inventions"].Inventions
    assert make(delaware[5], agency, new()) == make(delaware[5], agency, new())


def test_makes_and_calibres_have_codes_wherever_one_is_beyond_doubt(delaware, bloomington):
    makes = Counter(match_make(row["manufacturer_src"]).reason or "coded" for row in delaware)
    assert makes == {"coded": 506, "UNKNOWN": 95, "AMBIGUOUS": 34}
    calibres = Counter(match_calibre(row["calibre_src"]).reason or "coded" for row in delaware)
    assert calibres == {"coded": 585, "UNKNOWN": 48, "NOT_IN_LIST": 2}
    stolen = Counter(match_make(row["make"]).reason or "coded" for row in bloomington)
    reasons = {"UNKNOWN": 19, "AMBIGUOUS": 23, "NOT_IN_LIST": 11, "NOT_A_MAKE": 8, "PARTIAL": 1}
    assert stolen == {"coded": 258, **reasons}
