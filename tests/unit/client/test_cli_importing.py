"""`countermark import` and `export-table`, against a broker in memory: dry run, exactly once, and back."""

import csv
import json
from pathlib import Path

import pytest

from countermark_client import testing
from countermark_client._models import Draft
from countermark_client.importing.mapping import parse_mapping_file
from countermark_client.importing.records import ImportCounts, ImportedNotice, read_notices
from countermark_client.importing.sending import ImportState, send_notices
from countermark_client.importing.tables import open_table
from support.cli import cli_for

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "samples"
POLICE, NPC = "us.police.wilmington", "us.contact.federal"
REGISTERS = [("delaware", "delaware_trace_pairs"), ("bloomington", "bloomington_stolen_guns")]


@pytest.fixture
def world():
    return testing.world(POLICE, NPC)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, NPC):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def rows_of(name, count=30):
    with (SAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[:count]


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def mapping_path(name):
    return SAMPLES / "mappings" / f"{name}.toml"


def run(cli, name, path, *args, code=0):
    return cli.json("import", path, "--mapping", mapping_path(name), *args, home=POLICE, code=code)


def inbox(cli):
    return cli.json("inbox", "--accept", home=NPC)["messages"]


@pytest.mark.parametrize(("name", "table"), REGISTERS)
def test_thirty_rows_pass_through_import_seal_send_open_export_and_come_out_equal(cli, name, table):
    rows = rows_of(table)
    path = write(cli.folder / "in.csv", rows)
    told = run(cli, name, path, "--to", NPC)
    assert (told["sent"], told["unreadable"], told["rows"]) == (30, 0, 30)
    received = [message["content"] for message in inbox(cli)]
    expected = contents(name, path)
    assert received == expected
    out = cli.folder / "out.csv"
    back = cli.json("export-table", "--mapping", mapping_path(name), "--received", "--out", out, home=NPC)
    assert (back["rows"], back["others"]) == (30, 0)
    with out.open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file))
    assert [{k: row[k].strip() for k in exported[0]} for row in rows] == exported


def contents(name, path):
    mapping = parse_mapping_file(mapping_path(name).read_bytes())
    with open_table(path) as (_, rows):
        return [notice.content for notice in read_notices(mapping, rows, ImportCounts())]


def test_a_dry_run_explains_each_row_and_sends_nothing(world, cli):
    rows = rows_of("delaware_trace_pairs", 5)
    rows[1]["recovery_state"] = "Delaware"
    rows[3]["crime_on"] = "last week"
    path = write(cli.folder / "in.csv", rows)
    told = run(cli, "delaware", path, "--dry-run", code=1)
    assert (told["rows"], told["unreadable"]) == (5, 2)
    assert told["notices"] == {"confiscation-notice": 3}
    assert [(p["row"], p["line"], p["column"], p["cell"]) for p in told["problems"]] == [
        (2, 3, "recovery_state", "Delaware"),
        (4, 5, "crime_on", "last week"),
    ]
    shown = cli.run(
        "import", path, "--mapping", mapping_path("delaware"), "--dry-run", home=POLICE, code=1
    ).stdout
    assert "row 4 (line 5), column 'crime_on': expected a day of the calendar" in shown
    refused = cli.run("import", path, "--mapping", mapping_path("delaware"), "--to", NPC, home=POLICE, code=1)
    assert "nothing was sent" in refused.stderr
    assert inbox(cli) == []
    some = run(cli, "delaware", path, "--to", NPC, "--bulk", code=1)
    assert (some["sent"], some["unreadable"]) == (3, 2)
    assert len(inbox(cli)) == 3


def test_the_same_table_again_sends_nothing_and_more_rows_only_what_is_new(cli):
    rows = rows_of("delaware_trace_pairs", 12)
    path = write(cli.folder / "in.csv", rows[:8])
    assert run(cli, "delaware", path, "--to", NPC)["sent"] == 8
    again = run(cli, "delaware", path, "--to", NPC)
    assert (again["sent"], again["sent_before"]) == (0, 8)
    write(path, rows[::-1])
    more = run(cli, "delaware", path, "--to", NPC)
    assert (more["sent"], more["sent_before"]) == (4, 8)
    assert len(inbox(cli)) == 12


def test_a_changed_row_is_told_and_not_sent_again(cli):
    rows = rows_of("delaware_trace_pairs", 5)
    path = write(cli.folder / "in.csv", rows)
    run(cli, "delaware", path, "--to", NPC)
    rows[2]["calibre_src"] = ".45"
    write(path, rows)
    report = cli.folder / "report.jsonl"
    told = run(cli, "delaware", path, "--to", NPC, "--report", report, code=1)
    assert (told["sent"], told["sent_before"], told["changed"]) == (0, 4, 1)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(line["rows"], line["state"]) for line in lines if line["state"] != "sent_before"] == [
        ([3], "changed")
    ]
    assert len(inbox(cli)) == 5


@pytest.mark.parametrize("portion", [1, 7, 25])
def test_an_import_that_breaks_off_anywhere_goes_on_and_loses_and_doubles_nothing(world, tmp_path, portion):
    rows = rows_of("delaware_trace_pairs", 40)
    path = write(tmp_path / "in.csv", rows)
    mapping = parse_mapping_file(mapping_path("delaware").read_bytes())

    def draft_of(notice: ImportedNotice) -> Draft:
        return Draft(type=notice.type, content=notice.content, to=[NPC], reference=notice.reference)

    def go(count):
        """Import until so many outcomes were told, then be gone as a killed process is."""
        with world.client(POLICE) as client, open_table(path) as (_, table):
            outcomes = send_notices(client, read_notices(mapping, table, ImportCounts()), draft_of)
            return [each.state for each, _ in zip(outcomes, range(count), strict=False)]

    go(portion)
    states = go(1000)
    assert len(states) == 40
    assert set(states) <= {ImportState.SENT, ImportState.SENT_BEFORE}
    assert states.count(ImportState.SENT_BEFORE) >= portion
    assert set(go(1000)) == {ImportState.SENT_BEFORE}
    with world.client(NPC) as client:
        received = [message.content.notice_ref for message in client.inbox()]
    assert sorted(received) == sorted(row["event_ref"] for row in rows)


def test_import_needs_to_know_to_whom(cli):
    path = write(cli.folder / "in.csv", rows_of("delaware_trace_pairs", 2))
    refused = cli.run("import", path, "--mapping", mapping_path("delaware"), home=POLICE, code=2)
    assert "--to" in refused.stderr
