"""Normalisation measured on the real registers, and a sample of it that was checked by hand."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from countermark_client.cli import main
from countermark_client.importing.mapping import Reading, parse_mapping_file
from countermark_client.importing.measuring import CODED, count_cells, measure
from countermark_client.importing.tables import open_table

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"
SAMPLE = list(
    csv.DictReader((Path(__file__).parent / "normalisation_sample.csv").read_text("utf-8").splitlines())
)
TABLES = {
    "delaware": ROOT / "samples" / "delaware_trace_pairs.csv",
    "bloomington": ROOT / "samples" / "bloomington_stolen_guns.csv",
    "sinarm": SHARED / "sinarm_occurrences.csv",
}
_SHARED = pytest.param(
    "sinarm",
    marks=[
        pytest.mark.shared_data,
        pytest.mark.skipif(not SHARED.is_dir(), reason="NOT RUN: needs ../shared/data beside the checkout"),
    ],
)
REGISTERS = ["delaware", "bloomington", _SHARED]


def cells_of(name):
    mapping = parse_mapping_file((ROOT / "samples" / "mappings" / f"{name}.toml").read_bytes())
    with open_table(TABLES[name]) as (_, rows):
        return list(measure(mapping, rows))


@pytest.mark.parametrize("name", REGISTERS)
def test_ninety_five_of_a_hundred_cells_that_have_a_code_get_it(name):
    cells = cells_of(name)
    rows = {cell.row for cell in cells}
    assert rows == set(range(1, {"delaware": 635, "bloomington": 320, "sinarm": 2200}[name] + 1))
    for (column, reading), found in count_cells(cells).items():
        assert found.counts.total() == len(rows), column
        assert found.rate is not None
        assert found.rate >= 0.95, (column, reading, found.counts)


@pytest.mark.parametrize(
    ("name", "column", "counts"),
    [
        ("delaware", "manufacturer_src", {CODED: 506, "UNKNOWN": 95, "AMBIGUOUS": 34}),
        ("delaware", "calibre_src", {CODED: 585, "UNKNOWN": 48, "NOT_IN_LIST": 2}),
        ("delaware", "serial_pseudonym", {CODED: 583, "UNKNOWN": 52}),
        (
            "bloomington",
            "make",
            {CODED: 258, "UNKNOWN": 19, "AMBIGUOUS": 23, "NOT_IN_LIST": 11, "NOT_A_MAKE": 8, "PARTIAL": 1},
        ),
        ("bloomington", "colour", {CODED: 178, "UNKNOWN": 141, "NOT_RECOGNISED": 1}),
    ],
)
def test_the_counts_of_the_page(name, column, counts):
    found = count_cells(cell for cell in cells_of(name) if cell.column == column)
    assert {reading: each.counts for (_, reading), each in found.items()} == {next(iter(found))[1]: counts}
    page = (ROOT / "docs" / "normalisation.md").read_text("utf-8")
    assert all(f"{n} {reason}" in page for reason, n in counts.items() if reason != CODED)


def test_the_sample_is_two_hundred_half_of_them_without_a_code_and_stands_on_the_page():
    assert len(SAMPLE) == 200
    verdicts = Counter(row["verdict"] for row in SAMPLE)
    assert set(verdicts) == {"right", "reservation", "missed"}
    missed = [row for row in SAMPLE if row["verdict"] == "missed"]
    assert sum(not row["code"] for row in SAMPLE) + len(missed) == 100
    assert all(row["note"] for row in SAMPLE if row["verdict"] != "right")
    assert not any(row["cell"] for row in SAMPLE if row["register"] == "sinarm")
    page = (ROOT / "docs" / "normalisation.md").read_text("utf-8")
    assert f"| with a code | 100 | 0 | {verdicts['reservation']} |" in page
    assert f"| without a code | 100 | {len(missed)} | 0 |" in page


@pytest.mark.parametrize("name", REGISTERS)
def test_the_software_does_what_was_checked_by_hand(name):
    cells = {(cell.row, cell.column, cell.reading): cell for cell in cells_of(name)}
    rows = [row for row in SAMPLE if row["register"] == name]
    assert rows
    for row in rows:
        cell = cells[int(row["row"]), row["column"], Reading(row["as"])]
        assert (cell.code or "", str(cell.reason or "")) == (row["code"], row["reason"]), row
        assert name == "sinarm" or cell.cell == row["cell"]


def test_a_table_is_measured_on_the_command_line():
    args = ["codes", "measure", str(TABLES["bloomington"])]
    args += ["--mapping", str(ROOT / "samples" / "mappings" / "bloomington.toml")]
    told = json.loads(CliRunner().invoke(main, [*args, "--json"]).stdout)
    assert [(each["column"], each["as"]) for each in told["columns"]] == [
        ("make", "make"),
        ("colour", "finish"),
    ]
    assert {"cells": 1, "column": "make", "text": "DUCKTOWN", "category": "", "reason": "NOT_A_MAKE"} in told[
        "unknown"
    ]
    shown = CliRunner().invoke(main, [*args, "--unknown"]).stdout
    assert "91.8 %" in shown
    assert "DUCKTOWN" in shown
