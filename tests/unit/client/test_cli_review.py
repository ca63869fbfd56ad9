"""`countermark audit search`, `timeline` and `report`, on a mirror made by hand and on one of a real log."""

import json

import pytest

from countermark_client.audit._mirror import Mirror
from countermark_client.cli.common import Environment
from support.audited import MemoryLog, audited_world
from support.cli import Cli
from support.mirrors import DAY, HOUR, HandMade, at
from support.world import KAMPALA, NAIROBI

POLICE, CONTACT = "ke.police.nairobi", "ug.contact.kampala"
MAY = at("2026-05-04")


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path, Environment(clock=lambda: at("2026-06-15")))


@pytest.fixture
def mirror(cli):
    folder = cli.folder / "home" / "mirror"
    folder.mkdir(parents=True)
    made = HandMade(folder / "mirror.db")
    yield made
    made.mirror.close()


@pytest.fixture
def trace(mirror):
    request = mirror.message(POLICE, [CONTACT], MAY, urgency="urgent")
    mirror.delivered(request, CONTACT, MAY + HOUR)
    mirror.message(POLICE, [CONTACT], MAY + HOUR, "trade-route-alert", exercise=1)
    mirror.answer(CONTACT, request, MAY + 2 * HOUR, "paused", [POLICE])
    mirror.answer(CONTACT, request, MAY + 2 * DAY, "final", [POLICE], outcome=(1, 0, 0, 0))
    mirror.leaf(at("2026-06-01"))
    return request.hex()


def test_search_in_pages(cli, trace):
    found = cli.json("audit", "search", "--country", "ke", "--side", "sender")
    assert [m["message"] for m in found["messages"]] == [trace]
    assert found["messages"][0]["delivery"][0]["stage"] == "delivered"
    first = cli.json("audit", "search", "--limit", 2)
    rest = cli.json("audit", "search", "--limit", 2, "--after", first["after"])
    assert [m["type"] for m in [*first["messages"], *rest["messages"]]] == [
        "tracing-request",
        "tracing-acknowledgement",
        "tracing-response",
    ]
    assert rest["after"] is None
    shown = cli.run("audit", "search", "--limit", 1).stdout
    assert trace[:16] in shown
    assert "more: the same with --after 0" in shown
    assert "(drill)" in cli.run("audit", "search", "--exercise", "exercise").stdout
    assert cli.run("audit", "search", "--tlp", "RED").stdout == "no messages\n"


def test_search_by_conversation_and_time(cli, trace):
    assert len(cli.json("audit", "search", "--conversation", trace[:12])["messages"]) == 3
    assert len(cli.json("audit", "search", "--from", "2026-05-05")["messages"]) == 1
    assert len(cli.json("audit", "search", "--to", "2026-05-04T02:00:00Z")["messages"]) == 1
    assert cli.json("audit", "search", "--conversation", "00" * 8, code=1)["error"]["code"] == "not_in_mirror"
    assert cli.json("audit", "search", "--party", "nobody", code=1)["error"]["code"] == "not_an_address"
    cli.run("audit", "search", "--period", "2026", "--to", "2026-07-01", code=2)
    cli.run("audit", "search", "--period", "tomorrow", code=2)
    cli.run("audit", "search", "--from", "2026-07-01", "--to", "2026-06-01", code=2)


def test_a_timeline_with_pauses_and_deadlines(cli, trace):
    shown = cli.run("audit", "timeline", trace[:10]).stdout
    assert "answered-in-time (urgent)" in shown
    assert "paused        2026-05-04 02:00:00Z to 2026-05-06 00:00:00Z: 1 d 22 h" in shown
    assert "answered      2026-05-06 00:00:00Z, due 2026-05-06 23:00:00Z" in shown
    assert "took          1 h 0 min without pauses" in shown
    [clock] = cli.json("audit", "timeline", trace)["clocks"]
    assert (clock["response"], clock["paused"]) == (HOUR, 46 * HOUR)


def test_a_timeline_of_a_real_log_tells_receipts(cli, tmp_path):
    world = audited_world()
    first = world.send(NAIROBI, [KAMPALA])
    world.accept(KAMPALA, first)
    (tmp_path / "real").mkdir()
    mirror = Mirror(tmp_path / "real" / "mirror.db")
    MemoryLog(world).sync(mirror)
    mirror.close()
    told = cli.json("audit", "timeline", first.payload_hash.hex(), "--mirror", tmp_path / "real")
    assert [(e["kind"], e.get("stage")) for e in told["events"]] == [
        ("message", None),
        ("receipt", "delivered"),
        ("receipt", "accepted"),
    ]
    assert told["exercise"]


def test_a_report_as_text_and_json(cli, trace):
    shown = cli.run("audit", "report", "--period", "2026-05").stdout
    assert "Traces by country asked (traces)" in shown
    told = cli.json("audit", "report", "--from", "2026-05-01", "--to", "2026-06-01")
    [table] = [t for t in told["tables"] if t["name"] == "outcomes"]
    assert table["rows"] == [["ug", 1, 0, 0, 0, 1], ["total", 1, 0, 0, 0, 1]]
    public = cli.json("audit", "report", "--for", "public", "--period", "last-month")
    assert public["threshold"] == 5
    assert [t["rows"] for t in public["tables"] if t["name"] == "outcomes"] == [[]]
    assert cli.json("audit", "report", "--for", "Kenya", code=1)["error"]["code"] == "bad_audience"
    cli.run("audit", "report", "--for", "public", "--threshold", 2, code=2)


def test_a_scheduled_report_is_written_once_and_again_the_same(cli, trace):
    out, due = cli.folder / "reports", cli.folder / "due"
    schedule = ("audit", "report", "--period", "last-month", "--out", out, "--due-file", due)
    made = cli.json(*schedule)
    assert (made["due"], made["name"]) == (True, "2026-05-real-auditor")
    assert due.read_text() == "2026-05-real-auditor\n"
    assert cli.json(*schedule)["due"] is False
    before = {path.name: path.read_bytes() for path in (out / made["name"]).iterdir()}
    assert {"report.txt", "report.json", "traces.csv", "overdue.csv"} <= set(before)
    due.unlink()
    cli.run(*schedule)
    assert {path.name: path.read_bytes() for path in (out / made["name"]).iterdir()} == before
    assert json.loads(before["report.json"])["period"] == "2026-05"


def test_a_period_that_is_not_covered_yet_stays_due(cli, trace):
    out, due = cli.folder / "reports", cli.folder / "due"
    late = Cli(cli.folder, Environment(clock=lambda: at("2026-07-02")))
    schedule = ("audit", "report", "--period", "last-month", "--out", out, "--due-file", due)
    assert late.json(*schedule, code=1)["error"]["code"] == "period_not_covered"
    assert not due.exists()
    assert not out.exists()
    partial = late.run("audit", "report", "--period", "2026-06", "--partial")
    assert "PARTIAL" in partial.stdout
    assert "warning" in partial.stderr


@pytest.mark.parametrize(
    ("form", "file", "begins"),
    [
        ("png", "traces.png", b"\x89PNG"),
        ("svg", "traces.svg", b"<?xml"),
        ("parquet", "traces.parquet", b"PAR1"),
        ("jsonl", "traces.jsonl", b'{"country": "ug"'),
    ],
)
def test_files_of_every_kind(cli, trace, form, file, begins):
    out = cli.folder / "reports"
    made = cli.json("audit", "report", "--out", out, "--format", form)
    assert made["name"] == "all-real-auditor"
    assert (out / made["name"] / file).read_bytes().startswith(begins)


def test_options_that_go_together(cli, trace):
    cli.run("audit", "report", "--format", "csv", code=2)
    cli.run("audit", "report", "--due-file", cli.folder / "due", code=2)


@pytest.mark.parametrize("what", [("search",), ("timeline", "00" * 32), ("report",)])
def test_without_a_mirror(cli, what):
    assert cli.json("audit", *what, code=1)["error"]["code"] == "no_mirror"
