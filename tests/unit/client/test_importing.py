"""Rows to notices by a mapping file: every way to read a cell, and what a person is told of one that is not read."""

import datetime as dt
from pathlib import Path

import openpyxl
import pytest

from countermark_client.importing.exporting import notice_rows, table_header
from countermark_client.importing.mapping import parse_mapping_file
from countermark_client.importing.records import ImportCounts, check_columns, read_notices
from countermark_client.importing.tables import TableRow, open_table
from countermark_protocol.errors import CountermarkError, MalformedError, UncheckableError

ROOT = Path(__file__).resolve().parents[3]
HEAD = """
format = 1
name = "register"
key = ["ref"]
"""
CONSTANTS = """
[[notice]]
type = "confiscation-notice"
[notice.constants]
action = "SEIZED"
"event.place.country" = "KE"
"event.noDateReason" = "NOT_RECORDED"
"authority.agency" = "Police"
"items.*.category" = "PISTOL"
"items.*.originForm" = "UNKNOWN"
"items.*.make" = { text = "UNKNOWN" }
"items.*.calibre" = { text = "UNKNOWN" }
"items.*.noMarksReason" = "NOT_RECORDED"
noOffenceReason = "NOT_RECORDED"
disposition = "STORED_PENDING"
traceIntended = "YES"
[[notice.field]]
column = "ref"
path = "noticeRef"
"""


def mapping_of(extra="", head=HEAD, constants=CONSTANTS):
    return parse_mapping_file((head + constants + extra).encode())


def field(path, extra="", column="x"):
    return f'[[notice.field]]\ncolumn = "{column}"\npath = "{path}"\n{extra}\n'


def read(mapping, *rows):
    """What rows, each a mapping of cells, become."""
    table = [TableRow(i, i + 1, row, None) for i, row in enumerate(rows, 1)]
    return list(read_notices(mapping, iter(table), ImportCounts()))


def one(extra, cell, constants=CONSTANTS):
    (notice,) = read(mapping_of(extra, constants=constants), {"ref": "A1", "x": cell})
    assert notice.problems == (), notice.problems
    return notice.content


def problem(extra, cell):
    (notice,) = read(mapping_of(extra), {"ref": "A1", "x": cell})
    assert notice.content is None
    (told,) = notice.problems
    assert (told.row, told.line) == (1, 2)
    return told


# --- reading cells -------------------------------------------------------------------------------------


def test_a_text_is_kept_as_it_stands_and_a_template_is_put_around_it():
    assert one(field("remarks"), " Ärger \u00e9 ")["remarks"] == "Ärger é"
    content = one(field("event.place.subdivision", 'template = "KE-{}"'), "30")
    assert content["event"]["place"]["subdivision"] == "KE-30"
    assert "remarks" not in one(field("remarks"), "  ")


def test_codes_by_a_table_and_what_no_code_is_told():
    extra = field("items.*.category", 'as = "code"\ntable = { PST = "PISTOL", RVL = "REVOLVER" }')
    assert one(extra, "RVL")["items"][0]["category"] == "REVOLVER"
    told = problem(extra, "XYZ")
    assert (told.column, told.cell, told.expected) == ("x", "XYZ", "one of 'PST', 'RVL'")
    assert one(extra.replace("table", 'else = "UNKNOWN"\ntable'), "XYZ")["items"][0]["category"] == "UNKNOWN"
    assert one(extra.replace("table", 'drop = ["-"]\ntable'), "-")["items"][0]["category"] == "PISTOL"


def test_words_count_where_they_name_one_thing():
    extra = field(
        "items.*.category", 'as = "words"\nelse = "UNKNOWN"\ntable = { RIFLE = "RIFLE", SHOTGUN = "SHOTGUN" }'
    )
    assert one(extra, "Bolt action rifle")["items"][0]["category"] == "RIFLE"
    assert one(extra, "rifle or shotgun")["items"][0]["category"] == "UNKNOWN"
    assert one(extra, "trifle")["items"][0]["category"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("cell", "event"),
    [
        ("2024-03-02", {"date": "2024-03-02"}),
        ("02/03/2024", {"date": "2024-03-02"}),
        ("", {"noDateReason": "NOT_RECORDED"}),
        ("2031-01-01", {"noDateReason": "RECORDED_IMPLAUSIBLE", "dateAsRecorded": "2031-01-01"}),
    ],
)
def test_the_day_of_an_event(cell, event):
    constants = CONSTANTS.replace('"event.noDateReason" = "NOT_RECORDED"\n', "")
    extra = field("event", 'as = "event-day"\nformats = ["%d/%m/%Y"]\nlatest = "2026-01-31"')
    got = one(extra, cell, constants)["event"]
    assert {k: v for k, v in got.items() if k != "place"} == event


def test_a_day_that_is_none_tells_how_days_are_written():
    told = problem(field("event", 'as = "event-day"\nformats = ["%d/%m/%Y"]'), "31/02/2024")
    assert told.expected == "a day of the calendar, written as YYYY-MM-DD, %d/%m/%Y"


def test_makes_calibres_and_finishes_are_coded_beside_what_is_written():
    assert one(field("items.*.make", 'as = "make"'), "Glock")["items"][0]["make"] == {
        "text": "Glock",
        "code": "GLC",
        "scheme": "NCIC_MAK",
    }
    assert "code" not in one(field("items.*.make", 'as = "make"'), "Springfield")["items"][0]["make"]
    assert one(field("items.*.make", 'as = "make"'), "unknown")["items"][0]["make"] == {"text": "UNKNOWN"}
    shotgun = CONSTANTS.replace('"PISTOL"', '"SHOTGUN"')
    calibre = field("items.*.calibre", 'as = "calibre"')
    assert one(calibre, "36", shotgun)["items"][0]["calibre"]["code"] == "410"
    assert "code" not in one(calibre, "36")["items"][0]["calibre"]
    assert one(field("items.*.finish", 'as = "finish"'), "blk")["items"][0]["finish"]["code"] == "BLK"
    assert one(field("items.*.finish", 'as = "finish"'), "shiny")["items"][0]["finish"] == {"text": "shiny"}


def test_the_country_of_manufacture_decides_a_code_of_a_make():
    extra = field("items.*.countryOfManufacture", column="x") + field(
        "items.*.make", 'as = "make"', column="make"
    )
    (notice,) = read(mapping_of(extra), {"ref": "1", "x": "US", "make": "GLOCK"})
    assert notice.content["items"][0]["make"]["code"] == "GLD"


def test_a_serial_becomes_marks_and_is_kept_as_typed():
    constants = CONSTANTS.replace('"items.*.noMarksReason" = "NOT_RECORDED"\n', "")
    extra = field("items.*.marks", 'as = "serial"')
    plain = one(extra, "ABC123", constants)["items"][0]
    assert [mark["text"] for mark in plain["marks"]] == ["ABC123"]
    assert "remarks" not in plain
    two = one(extra, "AANK123 (armacao) e YWL456 (cano e ferrolho)", constants)["items"][0]
    assert [(mark["component"], mark["text"]) for mark in two["marks"]] == [
        ("FRAME", "AANK123"),
        ("BARREL", "YWL456"),
        ("SLIDE", "YWL456"),
    ]
    assert two["remarks"] == "serial as recorded: AANK123 (armacao) e YWL456 (cano e ferrolho)"
    none = one(extra, "INEXISTENTE", constants)["items"][0]
    assert (none["noMarksReason"], none["remarks"]) == ("NOT_RECORDED", "serial as recorded: INEXISTENTE")
    assert "remarks" not in one(extra, "", constants)["items"][0]


def test_a_place_gets_its_unlocode_where_one_place_has_the_name():
    extra = field("event.place.unlocode", 'as = "unlocode"')
    brazil = CONSTANTS.replace('"KE"', '"BR"')
    assert one(extra, "Porto Alegre", brazil)["event"]["place"]["unlocode"] == "BRPOA"
    assert "unlocode" not in one(extra, "No such town")["event"]["place"]


def test_numbers_and_truths():
    assert one(field("items.*.capacity", 'as = "integer"'), "17")["items"][0]["capacity"] == 17
    assert problem(field("items.*.capacity", 'as = "integer"'), "17.5").expected == "a whole number"
    extra = field("items.*.ammunitionIncluded", 'as = "boolean"')
    assert one(extra, "TRUE")["items"][0]["ammunitionIncluded"] is True
    assert problem(extra, "yes").expected == "true or false"


def test_what_the_type_refuses_is_told_by_its_column():
    told = problem(field("event.place.subdivision"), "30")
    assert (told.column, told.cell) == ("x", "30")
    assert told.expected.startswith("text of the form")
    (notice,) = read(mapping_of(constants=CONSTANTS.replace('"SEIZED"', '"TAKEN"')), {"ref": "1"})
    assert notice.problems[0].column is None
    assert "/action" in notice.problems[0].expected


# --- rows ----------------------------------------------------------------------------------------------


def test_rows_of_one_seizure_are_items_of_one_notice():
    extra = field("items.*.make", 'as = "make"') + field("remarks", column="why")
    mapping = mapping_of(
        extra, constants=CONSTANTS.replace("[notice.constants]", 'group = ["ref"]\n[notice.constants]')
    )
    rows = [
        {"ref": "A", "x": "GLOCK", "why": "w"},
        {"ref": "A", "x": "COLT", "why": "w"},
        {"ref": "B", "x": "RUGER", "why": ""},
    ]
    first, second = read(mapping, *rows)
    assert (first.rows, second.rows) == ((1, 2), (3,))
    assert [(i["itemRef"], i["make"]["text"]) for i in first.content["items"]] == [
        ("1", "GLOCK"),
        ("2", "COLT"),
    ]
    broken, _ = read(mapping, rows[0], {**rows[1], "why": "other"}, rows[2])
    assert (broken.problems[0].row, broken.problems[0].column) == (2, "why")
    *_, apart = read(mapping, rows[0], rows[2], rows[1])
    assert "stand together" in apart.problems[0].expected


def test_a_key_stands_once_and_a_row_without_one_is_known_by_all_it_says():
    first, second = read(mapping_of(), {"ref": "A"}, {"ref": "A"})
    assert first.content is not None
    assert "another key than that of row 1" in second.problems[0].expected
    whole = mapping_of(head=HEAD.replace('["ref"]', '"whole-row"'))
    one_, two, three = read(whole, {"ref": "A"}, {"ref": "A"}, {"ref": "B"})
    assert len({one_.reference, two.reference, three.reference}) == 3
    again = read(whole, {"ref": "B"}, {"ref": "A"}, {"ref": "A"})
    assert {n.reference for n in again} == {one_.reference, two.reference, three.reference}


def test_rows_are_sorted_by_what_they_are_and_skipped_with_a_ground():
    extra = '[[skip]]\nwhen = { kind = ["NOTE"] }\nground = "no notice"\n'
    constants = CONSTANTS.replace("[notice.constants]", 'when = { kind = ["SEIZED"] }\n[notice.constants]')
    mapping = parse_mapping_file((HEAD + extra + constants).encode())
    counts = ImportCounts()
    rows = [{"ref": str(i), "kind": kind} for i, kind in enumerate(["SEIZED", "NOTE", "LOST"])]
    found = list(
        read_notices(mapping, iter(TableRow(i, i + 1, row, None) for i, row in enumerate(rows, 1)), counts)
    )
    assert counts.rows == 3
    assert counts.skipped == {"no notice": 1}
    assert [n.content is not None for n in found] == [True, False]
    assert "confiscation-notice when kind is ['SEIZED']" in found[1].problems[0].expected


def test_nothing_is_left_out_unseen():
    with pytest.raises(MalformedError, match="says nothing of the columns y"):
        check_columns(mapping_of(), ["ref", "y"])
    with pytest.raises(MalformedError, match="the table lacks: x"):
        check_columns(mapping_of(field("remarks")), ["ref"])
    check_columns(mapping_of(head=HEAD + 'ignore = ["y"]\n'), ["ref", "y"])
    check_columns(mapping_of(field("remarks", column="#digest")), ["ref"])


# --- mapping files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("format = 2\nname = 'x'\nkey = []", "expected format = 1"),
        ("format = ", "expected TOML"),
        (HEAD, "at least one"),
        (HEAD + CONSTANTS + field("remarks", 'as = "guess"'), "as: expected one of text"),
        (HEAD + CONSTANTS + field("remarks", 'as = "code"'), "a table stands with"),
        (HEAD + CONSTANTS + field("remarks", 'template = "x"'), "expected one {}"),
        (HEAD + CONSTANTS + field("remarks", 'colour = "x"'), "colour"),
        (HEAD + 'ignore = ["ref"]\n' + CONSTANTS, "both sent and ignored: ref"),
        (HEAD + CONSTANTS + field("items.*.serial"), "names no member at 'serial'"),
        (HEAD + CONSTANTS.replace('action = "SEIZED"', "reviewOn = 2026-01-01"), "reviewOn"),
        (HEAD + CONSTANTS.replace('action = "SEIZED"', "action = 2026-01-01"), "in quotation marks"),
    ],
)
def test_a_mapping_that_is_none_tells_what_is_wrong(text, what):
    with pytest.raises(CountermarkError) as refused:
        parse_mapping_file(text.encode())
    assert what in refused.value.message


def test_a_type_that_does_not_exist_is_told():
    with pytest.raises(UncheckableError):
        mapping_of(constants=CONSTANTS.replace("confiscation-notice", "parking-ticket"))


# --- tables --------------------------------------------------------------------------------------------


def test_csv_is_read_row_by_row_with_what_is_wrong_in_one(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"\xef\xbb\xbfref,x\nA,1\n\nB\nC,\xff\nD,4\n")
    with open_table(path) as (header, rows):
        assert header == ["ref", "x"]
        found = list(rows)
    assert [(r.number, r.line, r.error is None) for r in found] == [
        (1, 2, True),
        (2, 4, False),
        (3, 5, False),
        (4, 6, True),
    ]
    notices = read(mapping_of(field("remarks")), *(r.cells for r in found if not r.error))
    assert [n.content["remarks"] for n in notices] == ["1", "4"]


def test_a_workbook_gives_what_it_keeps(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["ref", "x", "day", None])
    sheet.append(["A", 7.62, dt.date(2024, 3, 2)])
    sheet.append([None, None, None])
    sheet.append([12, 0.38, True])
    sheet.append(["C", 9.0, None, "beyond"])
    other = book.create_sheet("second")
    other.append(["ref"])
    other.append(["Z"])
    path = tmp_path / "r.xlsx"
    book.save(path)
    with open_table(path) as (header, rows):
        assert header == ["ref", "x", "day"]
        found = list(rows)
    assert [dict(r.cells) for r in found] == [
        {"ref": "A", "x": "7.62", "day": "2024-03-02"},
        {"ref": "12", "x": "0.38", "day": "True"},
        {},
    ]
    assert [(r.number, r.line) for r in found] == [(1, 2), (2, 4), (3, 5)]
    assert found[2].error is not None
    with open_table(path, "second") as (_, rows):
        assert [r.cells["ref"] for r in rows] == ["Z"]
    with pytest.raises(MalformedError, match="one of the sheets"), open_table(path, "third"):
        pass


@pytest.mark.parametrize("name", ["r.xlsx", "r.ods"])
def test_what_is_no_table_is_told(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(MalformedError), open_table(path):
        pass


# --- and back ------------------------------------------------------------------------------------------


def test_a_notice_comes_back_as_the_rows_it_was_made_of():
    constants = CONSTANTS.replace('"event.noDateReason" = "NOT_RECORDED"\n', "").replace(
        '"items.*.noMarksReason" = "NOT_RECORDED"\n', ""
    )
    constants = constants.replace("[notice.constants]", 'group = ["ref"]\n[notice.constants]')
    extra = (
        field("event", 'as = "event-day"\nformats = ["%d/%m/%Y"]', column="day")
        + field("event.place.subdivision", 'template = "KE-{}"', column="county")
        + field("items.*.make", 'as = "make"', column="make")
        + field("items.*.category", 'as = "code"\ntable = { P = "PISTOL", R = "RIFLE" }', column="kind")
        + field("items.*.marks", 'as = "serial"', column="serial")
        + field("items.*.capacity", 'as = "integer"', column="capacity")
    )
    mapping = mapping_of(extra, constants=constants)
    rows = [
        {
            "ref": "A",
            "day": "02/03/2024",
            "county": "30",
            "make": "GLOCK",
            "kind": "P",
            "serial": "AB12",
            "capacity": "17",
        },
        {
            "ref": "A",
            "day": "02/03/2024",
            "county": "30",
            "make": "",
            "kind": "R",
            "serial": "S/N (cano)",
            "capacity": "",
        },
    ]
    (notice,) = read(mapping, *rows)
    assert notice.problems == ()
    assert table_header(mapping) == list(rows[0])
    assert list(notice_rows(mapping, notice.type, notice.content)) == rows
    assert list(notice_rows(mapping, "lost-or-stolen-notice", notice.content)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "samples" / "mappings").glob("*.toml")), ids=lambda p: p.stem)
def test_mappings_that_ship_are_read(path):
    mapping = parse_mapping_file(path.read_bytes())
    assert mapping.name == path.stem
    assert mapping.notices
