"""Reports from an agency's own messages: real records with figures counted by hand, and what is left out."""

import csv
import datetime as dt
import importlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from countermark_client.reports import (
    KINDS,
    NOT_COUNTED,
    TABLES,
    make_report,
    national_draft,
    report_files,
    report_json,
    report_markdown,
)
from countermark_client.reports._arms import marking_state
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import PolicyError
from countermark_protocol.messages.weapon import FirearmItem
from countermark_protocol.registry import validate_content
from countermark_protocol.verdicts import SignatureVerdict, VerdictClass
from message_examples import example
from support.kept_items import Store

ROOT = Path(__file__).resolve().parents[3]
POLICE, CONTACT, ABROAD = "us.police.wilmington", "us.contact.washington", "br.contact.brasilia"


@pytest.fixture(scope="module")
def demo():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield {
            n: importlib.import_module(f"demo.{n}")
            for n in ("inventions", "records", "traces", "other_notices")
        }


@pytest.fixture(scope="module")
def rows(demo):
    return {row["event_ref"]: row for row in demo["records"].load_rows("delaware_trace_pairs")}


class Case:
    """The notices, requests and answers that the demo makes of records."""

    def __init__(self, demo, rows):
        self.demo, self.rows, self.store = demo, rows, Store()
        self.agency = demo["inventions"].Agency("Example Police", "Firearms")
        self.inventions = demo["inventions"].Inventions()

    def notice(self, ref, **changes):
        document = self.demo["records"].confiscation_notice(self.rows[ref], self.agency, self.inventions)
        return self.store.add(POLICE, "confiscation-notice", document, **changes)

    def request(self, ref, **changes):
        document = self.demo["traces"].tracing_request(self.rows[ref], self.agency, self.inventions)
        return self.store.add(POLICE, "tracing-request", document, **changes)

    def answer(self, ref, request, sender=ABROAD, **changes):
        document = self.demo["traces"].tracing_response(
            self.rows[ref],
            self.demo["traces"].tracing_request(self.rows[ref], self.agency, self.inventions),
            self.agency,
            self.inventions,
            request_id=request.manifest.id,
        )
        return self.store.add(sender, "tracing-response", document, reply_to=request, **changes)

    def report(self, *years, kind="iafq", **changes):
        return make_report(self.store.items, "us", years, kind, **changes)


@pytest.fixture
def case(demo, rows):
    return Case(demo, rows)


# Twelve records of the file, and what a person counts in them:
#  eab967257426, b3a339ea507c  TAURUS 9mm ACB427613, both 2025-06-06: one weapon, recorded twice
#  d6a99a10ae57                SMITH & WESSON .45 HZU9189, 2022-12-31 } 20 days apart: two findings
#  01bdc2976e30                SMITH & WESSON .45 HZU9189, 2023-01-20 }
#  b6cb563f5398, 3d34f24bf346  GLOCK 9mm CCAW281, neither dated: one weapon, year unknown
#  ccf00bbbcd30                TAURUS 9mm AEL312789, not dated        } another make, and only one dated
#  45738c6f3dc1                CANIK 9mm AEL312789, 2025-05-29        }
#  292f5a74babd, 5edbb0643bb0  SMITH & WESSON 9mm A524705, 2022-04-18 and 2009-06-02: two findings
#  7fc17102d045, 14ceabd3cffd  2021-05-26 and 2023-11-14
RECORDS = (
    "eab967257426", "b3a339ea507c", "d6a99a10ae57", "01bdc2976e30", "b6cb563f5398", "3d34f24bf346",
    "ccf00bbbcd30", "45738c6f3dc1", "292f5a74babd", "5edbb0643bb0", "7fc17102d045", "14ceabd3cffd",
)  # fmt: skip
BY_YEAR = {"2009": 1, "2021": 1, "2022": 2, "2023": 2, "2025": 2, "unknown": 2}


def test_weapons_of_real_records_are_counted_by_year_each_once(case):
    for ref in RECORDS:
        case.notice(ref)
    made = case.report(*range(2000, 2027))
    assert {year: made.count("arms", year) for year in BY_YEAR} == BY_YEAR
    assert sum(f.count for f in made.figures if f.table == "arms") == 10
    twice = next(f for f in made.figures if f.table == "arms" and f.year == "unknown")
    assert [len(counted.sources) for counted in sorted(twice.counted, key=lambda c: len(c.sources))] == [1, 2]
    assert made.left_out == ()
    assert made.messages == 12


def test_every_number_of_a_year_names_its_messages_and_nothing_else(case):
    for ref in RECORDS:
        case.notice(ref)
    made = case.report(2022)
    figure = next(f for f in made.figures if f.table == "arms" and f.year == "2022")
    named = {(s.message, s.item) for counted in figure.counted for s in counted.sources}
    told = {
        (item.message.hex(), "1")
        for item in case.store.items
        if item.content.event.date is not None and item.content.event.date.year == 2022
    }
    assert named == told
    assert len(named) == figure.count == 2
    # What belongs to other years is named, too.
    assert Counter(each.reason for each in made.left_out) == {"other_year": 6}


def test_the_whole_file_agrees_with_a_plain_count_of_its_rows(case, rows):
    for ref in rows:
        case.notice(ref)
    made = case.report(*range(1990, 2027))
    dated = Counter(row["crime_on"][:4] for row in rows.values() if row["crime_on"])
    # Dates after the file was published cannot be true, and the notices say so: one of 2028, three of 2026.
    impossible = [row["crime_on"] for row in rows.values() if row["crime_on"] > "2026-01-28"]
    dated.subtract(day[:4] for day in impossible)
    dated = +dated
    joined = {f.year: sum(len(c.sources) - 1 for c in f.counted) for f in made.figures if f.table == "arms"}
    assert {year: made.count("arms", year) + joined.get(year, 0) for year in dated} == dated
    assert made.count("arms", "unknown") + joined["unknown"] == 184 + len(impossible)
    assert sum(made.count("arms", year) for year in joined) + sum(joined.values()) == len(rows) == 635
    assert joined["2025"] >= 1
    assert made.left_out == ()


def test_a_weapon_seized_and_traced_is_one_weapon_and_its_trace_state_follows_the_answers(case):
    sold, unsold = "14ceabd3cffd", "8a5f13a800e9"
    case.notice(sold)
    asked = case.request(sold)
    case.notice(unsold)
    other = case.request(unsold)
    assert case.report(2023).count("tracing", 2023, "SEIZED", "PENDING") == 1
    case.answer(sold, asked)
    case.answer(unsold, other)
    made = case.report(2023, 2026, kind="iafq")
    assert made.count("arms", 2023) == made.count("tracing", 2023, "SEIZED", "TRACED") == 1
    assert made.count("tracing", "unknown", "SEIZED", "NOT_ESTABLISHED") == 1
    figure = next(f for f in made.figures if f.table == "tracing" and f.year == "2023")
    assert [s.message for s in figure.counted[0].sources] == [
        case.store.items[n].message.hex() for n in (0, 1, 4)
    ]
    indicator = case.report(2023, 2026, kind="sdg")
    assert (
        indicator.count("indicator_arms", 2023)
        == indicator.count("indicator_traced", 2023, "UNIQUELY_MARKED")
        == 1
    )
    assert (indicator.count("indicator_arms", "unknown"), indicator.count("indicator_traced", "unknown")) == (
        1,
        0,
    )
    requests = case.report(2026, kind="poa")
    assert [requests.count("requests", 2026, "sent", w) for w in ("asked", "answered", "refused")] == [
        2,
        2,
        0,
    ]
    # Each message of the store is a day later than the one before: asked as 2nd and 4th, answered as 5th and 6th.
    assert requests.median_days == {"2026": "2.5"}


def test_what_the_requester_says_itself_is_no_answer(case):
    asked = case.request("14ceabd3cffd")
    case.answer("14ceabd3cffd", asked, sender=CONTACT)
    assert case.report(2023).count("tracing", 2023, "SEIZED", "PENDING") == 1


@pytest.mark.parametrize(
    ("manner", "action"), [("FOUND", "FOUND"), ("SURRENDERED", "SURRENDERED"), ("COLLECTED", "SURRENDERED")]
)
def test_finds_and_surrenders_are_counted_listed_or_only_counted(case, manner, action):
    document = example("found-or-surrendered-notice") | {"manner": manner}
    if manner != "COLLECTED":
        document.pop("programme", None)
    document["items"] = document["items"][:1]
    document["items"][0]["ammunition"] = [{"calibre": {"text": "9x19"}, "quantity": 7}]
    document["ammunition"] = [{"calibre": {"text": "9x19"}, "quantity": 30}]
    document["counts"] = [
        {"category": "SHOTGUN", "originForm": "ARTISANAL", "count": 11, "reason": "NEVER_MARKED"}
    ]
    document.pop("total", None)
    year = int(document["event"]["date"][:4])
    case.store.add(POLICE, "found-or-surrendered-notice", document)
    case.store.add(CONTACT, "found-or-surrendered-notice", document)
    made = case.report(year)
    assert made.count("arms", year, action) == 12
    assert made.count("arms", year, action, "SHOTGUN") == 11
    assert made.count("marking", year, action, "SHOTGUN", "NEVER_MARKED") == 11
    assert made.count("make_up", year, action, "ARTISANAL") == 11
    assert made.count("ammunition", year, action) == 37
    assert made.count("significant", year, action) == 12
    assert case.report(year, kind="sdg").count("indicator_arms", year) == 12


def test_a_weapon_that_only_a_request_tells_of_is_counted(case):
    case.request("14ceabd3cffd")
    assert case.report(2023).count("arms", 2023, "SEIZED") == 1


def test_corrections_are_made_and_withdrawals_honoured(case):
    wrong, gone, kept = (case.notice(ref) for ref in ("14ceabd3cffd", "6d0fc1e27184", "b86ad71ad7c7"))
    document = example("correction")
    change = {"path": "/items/0/category", "text": "PISTOL"}
    changed = case.store.add(
        POLICE, "correction",
        document | {"message": wrong.message.hex(), "changes": [change, {"path": "/event/date", "text": "2022-11-14"}]},
        supersedes=wrong, reply_to=wrong,
    )  # fmt: skip
    case.store.add(POLICE, "withdrawal", _withdrawal(gone), supersedes=gone, reply_to=gone)
    made = case.report(2022, 2023)
    assert {f.cell: f.count for f in made.figures if f.table == "arms"} == {
        ("SEIZED", "PISTOL"): 1,
        ("SEIZED", "UNKNOWN"): 1,
    }
    assert made.count("arms", 2022) == 2
    assert [(each.reason, each.source.message) for each in made.left_out] == [
        ("withdrawn", gone.message.hex())
    ]
    # A correction that is withdrawn changes nothing; one of another endpoint neither.
    case.store.add(POLICE, "withdrawal", _withdrawal(changed), supersedes=changed, reply_to=changed)
    case.store.add(CONTACT, "withdrawal", _withdrawal(kept), supersedes=kept, reply_to=kept)
    made = case.report(2022, 2023)
    assert {(f.year, *f.cell): f.count for f in made.figures if f.table == "arms"} == {
        ("2022", "SEIZED", "UNKNOWN"): 1,
        ("2023", "SEIZED", "UNKNOWN"): 1,
    }


def _withdrawal(item):
    document = example("withdrawal") | {"message": item.message.hex(), "ground": "SENT_IN_ERROR"}
    document.pop("replacedBy", None)
    return document


def test_a_notice_sent_anew_takes_the_place_of_the_one_before(case):
    first = case.notice("14ceabd3cffd")
    case.notice("14ceabd3cffd", supersedes=first)
    made = case.report(2023)
    assert made.count("arms", 2023) == 1
    assert [(e.reason, e.source.message) for e in made.left_out] == [("superseded", first.message.hex())]


def test_what_is_not_counted_is_named(case):
    drill = case.notice("14ceabd3cffd", exercise=True)
    unopened = case.store.add(POLICE, "confiscation-notice", None)
    waiting = case.notice("6d0fc1e27184", index=None, time=None)
    rejected = case.notice("6d0fc1e27184", stage="rejected")
    doubted = case.notice("6d0fc1e27184", verdict=SignatureVerdict(VerdictClass.AFTER_COMPROMISE, bytes(32)))
    document = case.demo["records"].confiscation_notice(
        case.rows["6d0fc1e27184"], case.agency, case.inventions
    )
    foreign = case.store.add(ABROAD, "confiscation-notice", document)
    made = case.report(2023)
    assert made.figures == ()
    assert {each.source.message: each.reason for each in made.left_out} == {
        drill.message.hex(): "exercise",
        unopened.message.hex(): "not_opened",
        waiting.message.hex(): "not_logged",
        rejected.message.hex(): "rejected_here",
        doubted.message.hex(): "signature_in_doubt",
        foreign.message.hex(): "other_state",
    }
    assert made.messages == 6
    drills = case.report(2023, exercise=True)
    assert drills.count("arms", 2023) == 1
    assert {each.reason for each in drills.left_out} >= {"not_exercise"}


def test_destroyed_weapons_are_counted_once_listed_or_only_counted(case, demo):
    listed = [case.rows[ref] for ref in ("14ceabd3cffd", "6d0fc1e27184", "b86ad71ad7c7")]
    unmarked = [row for row in case.rows.values() if not row["serial_pseudonym"].strip()][:2]
    on = dt.date(2025, 3, 1)
    document = demo["other_notices"].destruction_notice(
        [*listed, *unmarked], case.agency, case.inventions, number=1, destroyed_on=on
    )
    case.store.add(POLICE, "destruction-notice", document)
    case.store.add(POLICE, "destruction-notice", document)
    again = demo["other_notices"].destruction_notice(
        listed[:1], case.agency, case.inventions, number=2, destroyed_on=dt.date(2026, 1, 4)
    )
    case.store.add(POLICE, "destruction-notice", again)
    made = case.report(2025, 2026, kind="poa")
    assert made.count("destroyed", 2025, "UNKNOWN", "SMELTING") == 3 + 2
    assert made.count("destroyed", 2026) == 0
    assert made.left_out == ()


def test_a_national_report_is_drafted_with_computed_figures(case, demo):
    for ref in RECORDS:
        case.notice(ref)
    asked = case.request("14ceabd3cffd")
    case.answer("14ceabd3cffd", asked)
    document = demo["other_notices"].destruction_notice(
        [case.rows["14ceabd3cffd"]], case.agency, case.inventions, number=1, destroyed_on=dt.date(2023, 12, 1)
    )
    case.store.add(POLICE, "destruction-notice", document)
    made = case.report(2023, 2025, 2026, kind="poa")
    written = {n: v for n, v in example("national-report").items() if n not in {"figures", "years"}}
    draft = national_draft(made, written | {"reportingState": "US"})
    report = validate_content("national-report", 1, draft)
    assert {(r.year, r.action, r.marking, r.count) for r in report.figures.arms} == {
        (2023, "SEIZED", "UNIQUELY_MARKED", 2),
        (2025, "SEIZED", "UNIQUELY_MARKED", 2),
    }
    assert [(r.year, r.category, r.count) for r in report.figures.destroyed] == [(2023, "UNKNOWN", 1)]
    assert [(r.year, r.marking, r.traced, r.arms) for r in report.figures.indicator] == [
        (2023, None, 1, 2), (2023, "UNIQUELY_MARKED", 1, 2), (2025, None, 0, 2), (2025, "UNIQUELY_MARKED", 0, 2),
    ]  # fmt: skip
    assert [(r.year, r.sent, r.sent_answered, r.median_response_days) for r in report.figures.tracing] == [
        (2026, 1, 1, "1.0")
    ]
    assert {r.reason: r.count for r in report.figures.not_counted}["of an unknown year"] == 2
    with pytest.raises(PolicyError):
        national_draft(made, example("national-report"))
    with pytest.raises(PolicyError):
        national_draft(case.report(2023), written)


@pytest.mark.parametrize("kind", KINDS)
def test_files_hold_the_same_numbers_and_every_source(case, kind):
    for ref in RECORDS:
        case.notice(ref)
    case.answer("14ceabd3cffd", case.request("14ceabd3cffd"))
    made = case.report(2022, 2023, 2026, kind=kind)
    files = report_files(made)
    assert set(files) == {
        "report.json",
        "report.md",
        "sources.csv",
        "left-out.csv",
        *(f"{t}.csv" for t in KINDS[kind]),
    }
    told = parse_object(files["report.json"], "report")
    assert told == json.loads(json.dumps(report_json(made)))
    sources = list(csv.DictReader(io.StringIO(files["sources.csv"].decode())))
    for figure in made.figures:
        named = {
            (row["counted"], row["count"])
            for row in sources
            if (row["table"], row["year"], row["cell"])
            == (figure.table, figure.year, " / ".join(figure.cell))
        }
        assert sum(int(count) for _, count in named) == figure.count
    for name in KINDS[kind]:
        table = list(csv.DictReader(io.StringIO(files[f"{name}.csv"].decode())))
        assert sum(int(row["count"]) for row in table) == sum(
            f.count for f in made.figures if f.table == name
        )
        assert TABLES[name].title in report_markdown(made)
    assert all(each.reason in NOT_COUNTED for each in made.left_out)


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ([("SERIAL", "FRAME", "LEGIBLE"), ("SERIAL", "BARREL", "OBLITERATED")], "UNIQUELY_MARKED"),
        ([("SERIAL", "FRAME", "OBLITERATED"), ("SERIAL", "BARREL", "LEGIBLE")], "REMOVED_OR_ALTERED"),
        ([("SERIAL", "RECEIVER", "RESTORED")], "REMOVED_OR_ALTERED"),
        ([("SERIAL", "UNKNOWN", "LEGIBLE")], "UNIQUELY_MARKED"),
        ([("SERIAL", "FRAME", "NEVER_MARKED"), ("PROOF", "BARREL", "LEGIBLE")], "NEVER_MARKED"),
        ([("SERIAL", "FRAME", "NOT_EXAMINED")], "UNKNOWN"),
        ([("MANUFACTURER", "SLIDE", "LEGIBLE")], "UNKNOWN"),
        ([], "NEVER_MARKED"),
    ],
)
def test_state_of_marking_is_that_of_the_frame(marks, state):
    texts = {"LEGIBLE": "AB1234", "RESTORED": "AB1234"}
    document = {
        "itemRef": "1", "category": "PISTOL", "originForm": "FACTORY", "make": {"text": "UNKNOWN"}, "calibre": {"text": "UNKNOWN"},
        "marks": [
            {"kind": k, "component": c, "status": s} | ({"text": texts[s]} if s in texts else {}) for k, c, s in marks
        ],
    }  # fmt: skip
    if not marks:
        document["noMarksReason"] = "NEVER_MARKED"
        del document["marks"]
    for mark in document.get("marks", ()):
        if mark["status"] == "RESTORED":
            mark["restoration"] = {"method": "ACID_ETCH"}
    assert marking_state(FirearmItem.model_validate_json(json.dumps(document))) == state
