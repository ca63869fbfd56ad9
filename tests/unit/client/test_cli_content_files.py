"""Contents from files: lines, and tables with columns by path."""

import json

import pytest

from countermark_client import testing
from countermark_client.cli.content_files import Columns, format_of, parse_mapping, read_rows
from countermark_protocol.errors import MalformedError, UncheckableError

TYPE = "lost-or-stolen-notice"
HEADER = (
    "recordKind,action,event.date,event.place.country,items.0.itemRef,items.0.category,items.0.originForm,"
    "items.0.make.text,items.0.calibre.text,items.0.noMarksReason,items.0.yearOfManufacture,ownerCategory,"
    "nationalCaseRef,actionIfFound,reviewOn"
)
ROW = "STOLEN_THEFT,ENTRY,2026-01-15,KE,1,PISTOL,FACTORY,FN,UNKNOWN,NOT_RECORDED,1971,PRIVATE,KE-1,SEIZE,2026-12-31"


def rows(text, mapping=None, file_format="csv", message_type=TYPE):
    data = text if isinstance(text, bytes) else text.encode()
    return read_rows(data, file_format, message_type, mapping)


def mapping(**members):
    return parse_mapping(json.dumps(members).encode())


def test_a_row_becomes_a_content():
    [row] = rows(f"{HEADER}\n{ROW}\n")
    assert row.error is None
    expected = testing.sample_notice("KE-1")
    expected["items"][0] |= {"make": {"text": "FN"}, "yearOfManufacture": 1971}
    assert row.content == expected


def test_an_empty_cell_is_an_absent_member_and_an_empty_line_no_row():
    [row] = rows(f"\ufeff{HEADER}\r\n\r\n{ROW.replace('1971', '')}\r\n,,,,,,,,,,,,,,\r\n")
    assert row.error is None
    assert "yearOfManufacture" not in row.content["items"][0]


def test_quotes_commas_and_line_feeds_within_a_cell():
    cell = '"Fabrique, ""Nationale""\nHerstal"'
    [row] = rows(f"items.0.make.text,nationalCaseRef\n{cell},KE-1\n")
    assert row.content["items"][0]["make"]["text"] == 'Fabrique, "Nationale"\nHerstal'


def test_lists_close_their_gaps():
    [row] = rows("items.5.itemRef,items.0.itemRef,items.2.itemRef\n6,,3\n")
    assert [i["itemRef"] for i in row.content["items"]] == ["3", "6"]
    assert row.error.code == "invalid_content"


def test_whole_numbers_and_booleans_are_read_where_the_schema_has_them():
    [row] = rows("priorSteps.domesticChecked,nationalCaseRef\nTRUE,123\n", message_type="tracing-request")
    assert row.content == {"priorSteps": {"domesticChecked": True}, "nationalCaseRef": "123"}
    for cell in ("yes", "1"):
        [row] = rows(f"priorSteps.domesticChecked\n{cell}\n", message_type="tracing-request")
        assert row.error.code == "bad_cell"
    for cell in ("12.5", "1e3", "one", "9" * 40, "١٩٧١"):
        [row] = rows(f"items.0.yearOfManufacture\n{cell}\n")
        assert row.error.code == "bad_cell"


def test_errors_stand_in_their_row():
    good, short, bad = ROW, "STOLEN_THEFT", ROW.replace("KE-1", "").replace("SEIZE", "EAT")
    found = rows(f"{HEADER}\n{good}\n{short}\n{bad}\n{good}")
    assert [r.error.code if r.error else None for r in found] == [None, "bad_row", "invalid_content", None]
    assert [r.number for r in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_messages"),
        ("\n\n", "no_messages"),
        (HEADER, "no_messages"),
        ("nonsense\n1\n", "bad_path"),
        ("items.x.itemRef\n1\n", "bad_path"),
        ("items.0.itemRef.more\n1\n", "bad_path"),
        (f"items.{'9' * 30}.itemRef\n1\n", "bad_path"),
        ("action,action\n1,2\n", "bad_columns"),
        (",action\n1,2\n", "bad_path"),
        (b"acti\xf6n\n1\n", "not_utf8"),
        ('"action\n1\n', "not_csv"),
        ("action;reviewOn\n1;2\n", "not_csv"),
        ("action\treviewOn\n1\t2\n", "not_csv"),
        ("action\n1\n".encode("utf-16"), "not_utf8"),
        ("action\n1\n".encode("utf-16-le"), "not_utf8"),
    ],
)
def test_a_table_that_is_none(text, code):
    with pytest.raises(MalformedError) as caught:
        rows(text)
    assert caught.value.code == code


def _told(text):
    return [(r.line, r.error.code if r.error else None) for r in rows(text)]


def test_rows_swallowed_by_stray_quotes_are_not_text_of_another():
    lines = [f"ENTRY,SEIZE,KE-{i},text {i}" for i in range(8)]
    lines[1], lines[5] = lines[1].replace("text", '"text'), lines[5] + '"'
    found = rows("\r\n".join(["action,actionIfFound,nationalCaseRef,items.0.make.text", *lines]))
    assert [(r.line, r.error.code) for r in found if r.content is None] == [(3, "bad_row")]
    assert "a quote opened on line 3 is only closed on line 7; 4 lines may lie inside it" in (
        found[1].error.message
    )
    assert [r.line for r in found] == [2, 3, 8, 9]


@pytest.mark.parametrize("swallowed", ['"a\n1,2"', '"a\n\n1,2\n3,4"'])
def test_one_swallowed_row_is_enough_and_empty_lines_do_not_hide_it(swallowed):
    [row] = rows(f"action,nationalCaseRef\nENTRY,{swallowed}\n")
    assert row.error.code == "bad_row"


def test_prose_of_several_lines_is_text():
    [row] = rows(
        'action,reviewOn,ownerCategory,nationalCaseRef\n1,2,3,"Sir,\nit lay here, or there.\nYours"\n'
    )
    assert row.content["nationalCaseRef"].startswith("Sir,")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (b"ENTRY,Kr\xfcger", "not_utf8", "line 3: expected UTF-8, got the byte 0xfc"),
        (b'ENTRY,"a\nb\xfc"', "not_utf8", "line 4: expected UTF-8"),
        (b'ENTRY,"B" x', "not_csv", "line 3: expected a comma or the end of the line after a closing quote"),
        (b"ENTRY," + b"x" * 140_000, "not_csv", "line 3: expected cells of at most 131072 characters"),
        (b"ENTRY,B,C", "bad_row", "expected 2 cells, got 3"),
    ],
)
def test_a_row_that_is_none_stops_no_other(line, code, said):
    bad = rows(b"action,nationalCaseRef\nENTRY,A\n" + line + b"\nENTRY,C\n")
    assert [r.content["nationalCaseRef"] if r.content else None for r in bad] == ["A", None, "C"]
    assert (bad[1].line, bad[1].error.code) == (3, code)
    assert said in bad[1].error.message


def test_a_quote_that_is_never_closed_is_told_with_its_line_after_the_rows_before_it():
    found = rows('action,nationalCaseRef\nENTRY,A\nENTRY,"B\nENTRY,C\n')
    assert [r.content["nationalCaseRef"] if r.content else None for r in found] == ["A", None]
    assert found[1].error.message == (
        "lines 3 to 4: expected the quote opened on line 3 to be closed, got the end of the file; 1 further lines "
        "may lie inside it"
    )


def test_empty_columns_at_the_end_are_none():
    found = rows("action,nationalCaseRef,,\nENTRY,A,,\nENTRY,B,, \nENTRY,C,x,\n")
    assert [r.content["nationalCaseRef"] if r.content else None for r in found] == ["A", "B", None]
    with pytest.raises(MalformedError, match="got twice: 'action'"):
        rows("action,action\n1,2\n")


def test_what_is_in_a_cell_that_is_none_is_told():
    [row] = rows("items.0.yearOfManufacture\nthree\n")
    assert "expected a whole number, got 'three'" in row.error.message


@pytest.mark.parametrize("file_format", ["json", "jsonl"])
def test_a_mark_of_utf_8_before_json_is_none_of_it(file_format):
    [row] = rows(b"\xef\xbb\xbf" + json.dumps(testing.sample_notice()).encode(), file_format=file_format)
    assert row.error is None
    with pytest.raises(MalformedError, match="UTF-16"):
        rows(json.dumps({}).encode("utf-16"), file_format=file_format)


def test_a_mapping_renames_translates_adds_and_leaves_out():
    columns = mapping(
        columns={"Kind": "items.0.category", "Brand": "items.0.make.text", "Case": "nationalCaseRef"},
        constants={
            "recordKind": "STOLEN_THEFT",
            "action": "ENTRY",
            "event": {"date": "2026-01-15", "place": {"country": "KE"}},
            "items.0.itemRef": "1",
            "items.0.originForm": "FACTORY",
            "items.0.calibre": {"text": "UNKNOWN"},
            "items.0.noMarksReason": "NOT_RECORDED",
            "ownerCategory": "PRIVATE",
            "actionIfFound": "SEIZE",
            "reviewOn": "2026-12-31",
        },
        values={
            "items.0.category": {"PST": "PISTOL", "": "UNKNOWN"},
            "items.0.make.text": {"": "UNKNOWN"},
        },
        ignore=["Officer"],
    )
    first, second = rows("Kind,Brand,Case,Officer\nPST,FN,KE-1,Wanjiru\n,,KE-2,\n", columns)
    assert (first.error, second.error) == (None, None)
    assert first.content["items"][0]["category"] == "PISTOL"
    assert second.content["items"][0] == {**testing.sample_item(), "category": "UNKNOWN"}
    assert "Wanjiru" not in json.dumps(first.content)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"columns": {"A": "action"}}, "says nothing of the columns B"),
        ({"columns": {"A": "action", "C": "reviewOn"}, "ignore": ["B"]}, "the table lacks: C"),
        ({"columns": {"A": "action", "B": "action"}}, "given twice"),
        ({"columns": {"A": "action"}, "ignore": ["B"], "constants": {"action": "X"}}, "given twice"),
        ({"columns": {"A": "action"}, "ignore": ["B"], "constants": {"acton": "X"}}, "names no member"),
        ({"columns": {"A": "action"}, "ignore": ["B"], "values": {"acton": {}}}, "names no member"),
    ],
)
def test_a_mapping_that_does_not_fit(members, said):
    with pytest.raises(MalformedError, match=said):
        rows("A,B\n1,2\n", mapping(**members))


@pytest.mark.parametrize(
    "members",
    [
        {"columns": {"A": 1}},
        {"columns": []},
        {"values": {"a": "b"}},
        {"ignore": "A"},
        {"ignore": [1]},
        {"other": {}},
    ],
)
def test_a_mapping_that_is_none(members):
    with pytest.raises(MalformedError):
        mapping(**members)


def test_a_constant_that_lies_within_another_is_told():
    columns = mapping(constants={"items.0.make": "FN", "items.0.make.text": "FN"})
    [row] = rows("action\nENTRY\n", columns)
    assert row.error.code == "bad_path"


def test_lines_and_documents():
    good = json.dumps(testing.sample_notice())
    found = rows(f"{good}\n\n[1]\n{{\n{good}\r\n", file_format="jsonl")
    assert [(r.number, r.error.code if r.error else None) for r in found] == [
        (1, None),
        (3, "not_an_object"),
        (4, "not_json"),
        (5, None),
    ]
    assert rows(good, file_format="json")[0].error is None
    assert rows(f"[{good}]", file_format="json")[0].error.code == "not_an_object"
    with pytest.raises(MalformedError, match="tables only"):
        rows(good, Columns({}, {}, {}, frozenset()), "json")


def test_an_unknown_type():
    with pytest.raises(UncheckableError):
        rows("{}", file_format="json", message_type="nonsense")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", "json"),
        ("a.JSONL", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.csv", "csv"),
        ("a.txt", None),
        ("-", None),
    ],
)
def test_the_format_that_a_name_tells(name, expected, tmp_path):
    assert format_of(tmp_path / name) == expected
