"""Reports from small mirrors, with the exact numbers that they must show, for each audience."""

import csv
import io
import json
import sys
from dataclasses import replace

import duckdb
import pytest

from countermark_client.review import (
    Table,
    Traffic,
    csv_bytes,
    everything,
    json_bytes,
    jsonl_bytes,
    make_report,
    parquet_bytes,
    parse_period,
    plots_of,
    text_of,
    write_files,
)
from countermark_client.review._tables import duration
from countermark_protocol.errors import MalformedError, NotFoundError, UncheckableError
from support.mirrors import DAY, HOUR, MINUTE, HandMade, at

POLICE, CUSTOMS = "ke.police.nairobi", "ke.customs.mombasa"
UG, TZ, BE = "ug.contact.kampala", "tz.contact.dodoma", "be.contact.federal"
MAY = parse_period("2026-05", None)
MONDAY = at("2026-05-04")


@pytest.fixture
def made():
    mirror = HandMade()
    yield mirror
    mirror.mirror.close()


def tables(made, period=MAY, traffic=Traffic.REAL, **more):
    report = make_report(made.mirror, period, traffic, **more)
    return {table.name: table for table in report.tables}


def cells(table):
    """Row by row, by name; zeros and totals left out."""
    return {
        row[0]: {c: v for c, v in zip(table.columns[1:], row[1:], strict=True) if v != 0 and c != "total"}
        for row in table.rows
        if row[0] != "total"
    }


def busy(made):
    """May 2026: five traces, two notices, one drill; with what became of them."""
    made.message(POLICE, [UG], at("2026-04-30T23:59"), "trade-route-alert")  # before
    one = made.message(POLICE, [UG], MONDAY)
    two = made.message(POLICE, [UG, TZ], MONDAY + HOUR)
    made.delivered(one, UG, MONDAY + 2 * HOUR)
    made.delivered(two, UG, MONDAY + 3 * HOUR)
    made.answer(UG, one, MONDAY + 4 * HOUR, "acknowledged", [POLICE])
    made.answer(UG, two, MONDAY + 5 * HOUR, "paused", [POLICE])
    urgent = made.message(UG, [TZ], MONDAY + 6 * HOUR, urgency="urgent")
    made.delivered(urgent, TZ, MONDAY + 7 * HOUR)
    made.answer(UG, two, MONDAY + 2 * DAY + 5 * HOUR, "final", [POLICE], outcome=(1, 0, 2, 0))
    notice = made.message(CUSTOMS, [UG, BE], MONDAY + 3 * DAY, "confiscation-notice")
    made.settled(notice, BE, MONDAY + 3 * DAY + 90 * MINUTE, "rejected", "not_for_us")
    made.message(POLICE, [UG], MONDAY + 4 * DAY, exercise=1)
    made.undelivered(notice, UG, at("2026-06-09"))  # after
    made.answer(UG, one, at("2026-06-01T00:00"), "final", [POLICE], outcome=(5, 0, 0, 0))  # after
    made.leaf(at("2026-06-10"))


def test_exact_numbers_of_a_month(made):
    busy(made)
    found = tables(made)
    assert cells(found["messages_by_month"]) == {
        "2026-05": {
            "confiscation-notice": 1,
            "tracing-acknowledgement": 2,
            "tracing-request": 3,
            "tracing-response": 1,
        }
    }
    assert found["messages_by_sender"].rows[-1][-1] == 7
    assert cells(found["messages_by_sender"])["ke"] == {"tracing-request": 2, "confiscation-notice": 1}
    assert cells(found["deliveries"]) == {
        "be": {"rejected": 1},
        "ke": {"open": 3},
        "tz": {"delivered": 1, "open": 1},
        "ug": {"delivered": 2, "open": 1},  # the notice on it came in June
    }
    assert found["rejections"].rows == (("not_for_us", 1, 1), ("total", 1, 1))
    assert found["delivery_times"].rows == (
        ("all", 3, 120, 120, 120),
        ("tz", 1, 60, 60, 60),
        ("ug", 2, 120, 120, 120),
    )
    assert cells(found["traces"]) == {
        "tz": {"overdue": 1, "open": 1},
        "ug": {"answered-in-time": 1, "open": 1},
    }
    assert cells(found["acknowledgements"]) == {
        "routine": {"in-time": 2, "pending": 1},
        "urgent": {"missing": 1},
    }
    # Two days of 50 hours it stood still.
    assert found["response_times"].rows == (("all", 1, 120, 120, 120), ("ug", 1, 120, 120, 120))
    assert cells(found["outcomes"]) == {"ug": {"success": 1, "none": 2}}
    assert cells(found["pairs"]) == {"ke": {"be": 1, "ug": 3, "tz": 1}, "ug": {"ke": 3, "tz": 1}}
    [overdue] = found["overdue"].rows
    assert overdue[1:6] == (UG, TZ, "urgent", "2026-05-04T06:00:00Z", "2026-05-05T07:00:00Z")
    assert overdue[6] == (at("2026-06-01") - at("2026-05-05T07:00")) // MINUTE


def test_attachments_by_type_and_how_large_they_are(made):
    busy(made)
    made.message(POLICE, [UG], MONDAY, attachments=2, attached=5000)
    made.message(POLICE, [UG], MONDAY, attachments=1, attached=7000)
    made.message(UG, [TZ], MONDAY, "trade-route-alert", attachments=1, attached=10)
    made.message(POLICE, [UG], MONDAY, attachments=1, attached=9, exercise=1)
    made.leaf(at("2026-06-11"))
    table = tables(made)["attachments"]
    assert (table.columns, table.rows) == (
        ("type", "messages", "attachments", "bytes", "largest"),
        (
            ("tracing-request", 2, 3, 12_000, 7000),
            ("trade-route-alert", 1, 1, 10, 10),
            ("total", 3, 4, 12_010, 7000),
        ),
    )
    assert tables(made, audience="tz")["attachments_own"].rows[-1][1:] == (1, 1, 10, 10)
    assert not any(name.startswith("attachments") for name in tables(made, audience="public"))


def test_multicasts_by_type_and_who_collected_them(made):
    busy(made)
    alert = made.message(CUSTOMS, [UG, TZ, BE], MONDAY, "trade-route-alert", expires_at=MONDAY + DAY)
    made.delivered(alert, UG, MONDAY + HOUR)
    made.delivered(alert, TZ, MONDAY + DAY + 1)
    made.undelivered(alert, BE, MONDAY + 2 * DAY)
    made.undelivered(alert, TZ, MONDAY + DAY)  # and collected after all
    made.leaf(at("2026-06-11"))
    table = tables(made)["multicasts"]
    columns = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    assert columns == {
        "type": ("confiscation-notice", "tracing-request", "trade-route-alert", "total"),
        "messages": (1, 1, 1, 3),
        "recipients": (2, 2, 3, 7),
        "known": (2, 2, 3, 7),
        "collected": (0, 1, 2, 3),
        "late": (0, 0, 1, 1),
        "undelivered": (0, 0, 1, 1),  # the notice on the other came in June
        "open": (2, 1, 0, 3),
        "collected_percent": (0, 50, 66, 42),
        "late_percent": (None, 0, 50, 33),
    }
    # A State sees it of its own; nobody else sees it.
    assert tables(made, audience="tz")["multicasts_own"].rows[-1][1] == 2
    assert not any(name.startswith("multicasts") for name in tables(made, audience="public"))


def test_drills_count_only_where_they_are_asked_for(made):
    busy(made)
    assert tables(made, traffic=Traffic.EXERCISE)["messages_by_sender"].rows[-1][-1] == 1
    assert tables(made, traffic=Traffic.BOTH)["messages_by_sender"].rows[-1][-1] == 8


def test_a_superseded_answer_counts_once(made):
    request = made.message(POLICE, [UG], MONDAY)
    wrong = made.answer(UG, request, MONDAY + DAY, "final", outcome=(9, 0, 0, 0))
    made.answer(UG, request, MONDAY + 2 * DAY, "final", outcome=(0, 0, 1, 0), supersedes=wrong)
    made.leaf(at("2026-06-01"))
    assert cells(tables(made)["outcomes"]) == {"ug": {"none": 1}}


def test_an_empty_mirror_and_one_entry(made):
    with pytest.raises(NotFoundError, match="period_not_covered"):
        make_report(made.mirror, MAY, Traffic.REAL)
    empty = make_report(made.mirror, everything(), Traffic.REAL)
    assert (empty.head["newest"], empty.head["mirrored"]) == (None, 0)
    assert all(table.rows == () for table in empty.tables)
    assert "  none" in text_of(empty)
    made.leaf(MONDAY)
    one = make_report(made.mirror, everything(), Traffic.REAL, audience="public")
    assert one.head["end"] == MONDAY + 1
    assert all(table.rows == () for table in one.tables)
    assert plots_of(one, ("svg",)) == {}


def test_a_period_that_the_mirror_does_not_cover_is_told(made):
    made.message(POLICE, [UG], MONDAY)
    with pytest.raises(NotFoundError, match="period_not_covered"):
        make_report(made.mirror, MAY, Traffic.REAL)
    partial = make_report(made.mirror, MAY, Traffic.REAL, partial=True)
    assert (partial.head["complete"], partial.head["end"]) == (False, MONDAY + 1)
    assert "PARTIAL" in text_of(partial)
    made.leaf(at("2026-06-01"))
    assert make_report(made.mirror, MAY, Traffic.REAL).head["complete"]


def test_a_past_period_stays_the_same_whatever_comes_later(made):
    busy(made)
    before = [t.to_json() for t in tables(made).values()]
    made.message(POLICE, [UG], at("2026-07-01"))
    made.leaf(at("2026-08-01"))
    assert [t.to_json() for t in tables(made).values()] == before


# --- for third parties ---


def crowd(made):
    """Sixty messages from Kenya and Uganda, two from Belgium."""
    for i in range(30):
        for sender, to in ((POLICE, UG), (UG, POLICE)):
            message = made.message(
                sender, [to], MONDAY + i * HOUR, ("tracing-request", "trade-route-alert")[i % 2]
            )
            made.delivered(message, to, MONDAY + i * HOUR + 10 * MINUTE)
    for _ in range(2):
        made.message(BE, [POLICE], MONDAY + 31 * HOUR, "trade-route-alert")
    made.leaf(at("2026-06-01"))


def test_the_public_sees_no_small_number_no_pairs_and_no_case(made):
    crowd(made)
    found = tables(made, audience="public")
    assert not {"pairs", "overdue"} & set(found)
    sent = found["messages_by_sender"]
    assert sent.rows == (
        ("be", 0, None, None),
        ("ke", 15, None, None),
        ("ug", 15, 15, 30),
        ("total", 30, 32, 62),
    )
    assert sent.suppressed == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert found["delivery_times"].columns == ("country", "p50", "p90", "p95")
    assert [row[0] for row in found["delivery_times"].rows] == ["all", "ke", "ug"]
    for table in found.values():
        numbers = [v for row in table.rows for v in row[1:] if table.unit != "minutes"]
        assert not any(v is not None and 0 < v < 5 for v in numbers), table.name


def test_a_threshold_of_one_s_own(made):
    crowd(made)
    assert tables(made, audience="public", threshold=3)["messages_by_sender"].suppressed
    with pytest.raises(MalformedError, match="small_threshold"):
        tables(made, audience="public", threshold=2)


def test_fewer_than_the_threshold_in_all_are_withheld(made):
    for _ in range(4):
        made.message(POLICE, [UG], MONDAY)
    made.leaf(at("2026-06-01"))
    table = tables(made, audience="public")["messages_by_month"]
    assert (table.rows, table.note) == ((), "withheld: fewer than 5 messages in all")


def test_a_state_sees_its_own_whole_and_others_as_the_public_does(made):
    crowd(made)
    made.message(UG, [TZ], MONDAY + 40 * HOUR)
    found = tables(made, period=everything(), audience="ke")
    assert cells(found["messages_by_sender_own"])["be"] == {"trade-route-alert": 2}
    assert cells(found["pairs_own"]) == {"be": {"ke": 2}, "ke": {"ug": 30}, "ug": {"ke": 30}}
    assert found["messages_by_sender_others"].note.startswith("withheld")
    assert not {"pairs_others", "overdue_others"} & set(found)
    everybody = tables(made, period=everything())
    for name in ("messages_by_sender", "deliveries"):
        others = 1
        assert found[f"{name}_own"].rows[-1][-1] + others == everybody[name].rows[-1][-1]


@pytest.mark.parametrize("audience", ["", "KE", "kenya", "ke.police.nairobi"])
def test_an_audience_that_is_none(made, audience):
    with pytest.raises(MalformedError, match="bad_audience"):
        tables(made, audience=audience)


# --- files ---


def odd():
    return Table(
        "odd",
        "Odd",
        "things",
        1,
        ("name", "n"),
        (("=1+1", 1), ("-x", None), ("plain", 3)),
        frozenset({(1, 1)}),
    )


def test_csv_calculates_nothing_and_marks_what_is_not_shown():
    data = csv_bytes(odd())
    assert data == b"name,n\r\n'=1+1,1\r\n'-x,*\r\nplain,3\r\n"
    for start in ("=", "+", "-", "@", "\t", "\r"):
        table = Table("t", "T", "u", 1, ("a", "n"), ((f"{start}cmd", 1),))
        assert next(csv.reader(io.StringIO(csv_bytes(table).decode(), newline="")), None) == ["a", "n"]
        assert f"'{start}cmd" in csv_bytes(table).decode()


def test_json_lines_and_parquet_hold_the_same_rows(tmp_path):
    lines = [json.loads(line) for line in jsonl_bytes(odd()).splitlines()]
    assert lines == [{"name": "=1+1", "n": 1}, {"name": "-x", "n": None}, {"name": "plain", "n": 3}]
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_bytes(odd()))
    with duckdb.connect() as database:
        rows = database.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert rows == [tuple(line.values()) for line in lines]
    empty = Table("t", "T", "u", 1, ("a", "n"), ())
    path.write_bytes(parquet_bytes(empty))
    with duckdb.connect() as database:
        assert database.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall() == []


def test_the_same_mirror_gives_the_same_bytes(made):
    busy(made)

    def everything_of(report):
        some = tuple(t for t in report.tables if t.name in {"traces", "response_times", "overdue"})
        drawn = replace(report, tables=some)
        files = {
            "txt": text_of(report).encode(),
            "json": json_bytes(report),
            **plots_of(drawn, ("svg", "png")),
        }
        for table in report.tables:
            for written in (csv_bytes, jsonl_bytes, parquet_bytes):
                files[f"{table.name} {written.__name__}"] = written(table)
        return files

    first, second = (everything_of(make_report(made.mirror, MAY, Traffic.REAL)) for _ in range(2))
    assert first == second
    assert first["traces.png"].startswith(b"\x89PNG")
    assert b"<text" not in first["response_times.svg"]  # drawn as shapes: no font is needed
    assert "overdue.png" not in first


def test_without_the_extra_it_says_what_to_install(made, monkeypatch):
    busy(made)
    report = make_report(made.mirror, MAY, Traffic.REAL)
    for module, use in (
        ("duckdb", lambda: parquet_bytes(odd())),
        ("matplotlib", lambda: plots_of(report, ("svg",))),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UncheckableError, match=r"countermark-client\[audit\]"):
            use()


def test_files_are_replaced_whole(tmp_path):
    write_files(tmp_path / "a", {"x": b"1", "y": b"2"})
    write_files(tmp_path / "a", {"x": b"3"})
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {"x": b"3", "y": b"2"}


def test_durations_for_people():
    assert [duration(ms) for ms in (0, 59 * MINUTE, 25 * HOUR, 61 * MINUTE)] == [
        "0 min",
        "59 min",
        "1 d 1 h",
        "1 h 1 min",
    ]
