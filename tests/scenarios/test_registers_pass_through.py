"""Records of real registers through import, seal, send, open and export, against the real broker.

Thirty rows of two registers in every run; all rows of every register, the Brazilian one from the shared folder, in the long run. The
typed fields that come out are those that went in, at each of the recipients; what was exported and is imported again
is the same once more.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from countermark_client import _contents
from countermark_client._models import Draft
from countermark_client.importing.exporting import notice_rows, table_header
from countermark_client.importing.mapping import parse_mapping_file
from countermark_client.importing.records import ImportCounts, check_columns, read_notices
from countermark_client.importing.sending import ImportState, send_notices
from countermark_client.importing.tables import open_table
from support.demo import governed, serving

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
POLICE, CONTACT, REGISTRY = (
    "us.police.delaware",
    "us.contact.federal",
    "xo-interpol.organisation.firearms",
)
CAST = {
    "us": ("United States", {POLICE: "Desk", CONTACT: "Point of contact"}),
    "xo-interpol": ("Organisation", {REGISTRY: "Registry"}),
}
TABLES = {
    "delaware": ROOT / "samples" / "delaware_trace_pairs.csv",
    "bloomington": ROOT / "samples" / "bloomington_stolen_guns.csv",
    "sinarm": SHARED / "sinarm_occurrences.csv",
}
#: Rows, and those of them that the mapping says become no notice.
ROWS = {"delaware": (635, 0), "bloomington": (320, 0), "sinarm": (2200, 449)}
_SHARED = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not SHARED.is_dir(), reason="NOT RUN: needs ../shared/data beside the checkout"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    with governed(tmp_path_factory.mktemp("registers") / "world", real_database, CAST) as world:
        yield world


def mapping_path(name):
    return ROOT / "samples" / "mappings" / f"{name}.toml"


def mapping_of(name):
    return parse_mapping_file(mapping_path(name).read_bytes())


def some_rows(name, count, path):
    """A table of rows spread over a whole register."""
    with TABLES[name].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[:: len(rows) // count][:count])
    return path


def read(name, path):
    """Every notice of a table, and what was counted."""
    mapping, counts = mapping_of(name), ImportCounts()
    with open_table(path) as (header, rows):
        check_columns(mapping, header)
        return list(read_notices(mapping, rows, counts)), counts


def send(client, name, path, to):
    """What became of each notice of a table that is imported."""

    def draft_of(notice):
        return Draft(type=notice.type, content=notice.content, to=to, reference=notice.reference)

    with open_table(path) as (_, rows):
        outcomes = send_notices(client, read_notices(mapping_of(name), rows, ImportCounts()), draft_of)
        return [each.state for each in outcomes]


def opened(client):
    """(type, content) of everything in the inbox, which is accepted."""
    messages = list(client.inbox())
    client.accept_many(messages)
    return [(m.manifest.type, _contents.content_document(m.content)) for m in messages]


def export(name, contents, path):
    """The table that `contents` are exported to."""
    mapping = mapping_of(name)
    header = table_header(mapping)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        for message_type, content in contents:
            writer.writerows(notice_rows(mapping, message_type, content))
    return path


def without_digest(content):
    """A content without the references that are a digest of its row: the row has other columns after an export."""
    return {k: v for k, v in content.items() if k not in {"noticeRef", "nationalCaseRef", "recoveredRef"}}


def pass_through(world, name, table, folder):
    """Import a table, send it to both recipients, open it there, export and import again; how many notices."""
    notices, counts = read(name, table)
    assert [n.problems for n in notices if n.problems] == []
    expected = [(n.type, n.content) for n in notices]
    assert counts.rows == sum(len(n.rows) for n in notices) + counts.skipped.total()
    states = send(world.clients[POLICE], name, table, [CONTACT, REGISTRY])
    assert set(states) == {ImportState.SENT}
    assert len(states) == len(expected)
    for address in (CONTACT, REGISTRY):
        received = opened(world.clients[address])
        assert received == expected
        exported = export(name, received, folder / f"{address}.csv")
        again = [(n.type, without_digest(n.content)) for n in read_again(name, exported, table)]
        assert again == [(t, without_digest(c)) for t, c in expected]
        assert_columns_equal(name, table, exported)
    assert set(send(world.clients[POLICE], name, table, [CONTACT, REGISTRY])) == {ImportState.SENT_BEFORE}
    return len(expected), counts


def read_again(name, exported, table):
    """Notices of an exported table, with the columns that an export leaves out as empty ones."""
    with table.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    with exported.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = exported.with_suffix(".whole.csv")
    with whole.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    notices, _ = read(name, whole)
    assert [n.problems for n in notices if n.problems] == []
    return notices


def assert_columns_equal(name, table, exported):
    """Every cell of every column that is sent comes back as it was, less the space around it."""
    mapping = mapping_of(name)
    with table.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if not any(_skipped(skip.when, r) for skip in mapping.skips)]
    with exported.open(encoding="utf-8", newline="") as file:
        back = list(csv.DictReader(file))
    assert back == [{column: row[column].strip() for column in back[0]} for row in rows]
    assert mapping.sent - {"#digest"} <= set(back[0])


def _skipped(when, row):
    return all(row[column] in cells for column, cells in when.items())


@pytest.mark.parametrize("name", ["delaware", "bloomington"])
def test_thirty_rows_of_each_register_come_out_equal(world, name, tmp_path):
    table = some_rows(name, 30, tmp_path / "table.csv")
    with serving(world):
        assert pass_through(world, name, table, tmp_path)[0] == 30


@pytest.mark.long
@pytest.mark.parametrize("name", ["delaware", "bloomington", pytest.param("sinarm", marks=_SHARED)])
def test_all_rows_of_each_register_come_out_equal(tmp_path_factory, empty_database, name, tmp_path):
    with (
        governed(tmp_path_factory.mktemp(name) / "world", empty_database, CAST) as world,
        serving(world),
    ):
        notices, counts = pass_through(world, name, TABLES[name], tmp_path)
    rows, skipped = ROWS[name]
    assert (counts.rows, counts.skipped.total(), notices) == (rows, skipped, rows - skipped)


@pytest.mark.long
def test_an_import_killed_in_the_middle_and_run_again_posts_each_record_once(world, tmp_path):
    table = some_rows("delaware", 60, tmp_path / "table.csv")
    with serving(world):
        world.clients[REGISTRY].accept_many(list(world.clients[REGISTRY].inbox()))
        police = world.clients.pop(POLICE)
        police.close()
        police.profile.close()
        home = world.root / "agencies" / POLICE
        command = [
            sys.executable,
            "-m",
            "countermark_client.cli",
            "import",
            str(table),
            "--exercise",
            "--yes",
        ]
        command += ["--mapping", str(mapping_path("delaware")), "--to", REGISTRY]
        variables = {
            **os.environ,
            "COUNTERMARK_HOME": str(home),
            "COUNTERMARK_PASSPHRASE": world.passphrase,
        }
        reported = [*command, "--report", "/dev/stdout"]
        with subprocess.Popen(reported, env=variables, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None
            assert len([next(first.stdout) for _ in range(5)]) == 5
            first.send_signal(signal.SIGKILL)
            assert first.wait(60) == -signal.SIGKILL
        again = subprocess.run(
            [*command, "--json"], env=variables, check=False, capture_output=True, text=True
        )
        assert again.returncode == 0, again.stdout + again.stderr
        told = json.loads(again.stdout)
        assert told["sent_before"] >= 5
        assert told["sent"] + told["sent_before"] == 60
        received = [m.content.notice_ref for m in world.clients[REGISTRY].inbox()]
    notices, _ = read("delaware", table)
    assert sorted(received) == sorted(n.content["noticeRef"] for n in notices)
    assert len(received) == 60
