"""Contents from files: one JSON document, one a line, or one a row of a table.

In a table every column is a member of the content, named by its path: ``items.0.make.text`` is the text of
the make of the first item. An empty cell is an absent member. Whole numbers and true/false are written as in
JSON wherever the type's schema has them, everything else is text. A mapping file lets a register keep its
own column names::

    {"columns":   {"Serial no": "items.0.marks.0.text", "Date": "event.date"},
     "constants": {"recordKind": "STOLEN_THEFT", "items.0.itemRef": "1"},
     "values":    {"items.0.category": {"PST": "PISTOL", "": "UNKNOWN"}},
     "ignore":    ["Officer"]}

``values`` translates cells, the empty one too; ``ignore`` names the columns that are not sent, so that
nothing is left out unseen.

Source: docs/howto/send-and-receive.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from countermark_client import _contents
from countermark_client.importing._paths import put, type_of, without_gaps
from countermark_client.importing.csv_rows import CsvRow, plain_text, read_csv
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, malformed, parse_json, parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.types import known_types

FORMATS: Final = ("json", "jsonl", "csv")
_INTEGER: Final = re.compile(r"-?[0-9]{1,16}\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """One content to be sent.

    Attributes:
        number: from 1, as the user counts: documents, lines, or rows below the header.
        line: of the file, from 1, on which it begins.
        content: its document; None where it is not one.
        error: why it cannot be sent, or None.
    """

    number: int
    line: int
    content: JsonObject | None
    error: CountermarkError | None


@dataclass(frozen=True, slots=True)
class Columns:
    """What a mapping file says.

    Attributes:
        columns: name of a column → path.
        constants: path → value, in every message.
        values: path → cell → value.
        ignore: columns that are not sent.
    """

    columns: Mapping[str, str]
    constants: Mapping[str, Any]
    values: Mapping[str, Mapping[str, Any]]
    ignore: frozenset[str]


def parse_mapping(data: bytes) -> Columns:
    """Read a mapping file.

    Raises:
        MalformedError: not one.
    """
    claims = Claims(parse_object(data, "mapping"), "mapping")
    columns = _object(claims, "columns")
    values = _object(claims, "values")
    ignore = claims.raw("ignore") if claims.has("ignore") else []
    constants = _object(claims, "constants")
    claims.done()
    if (
        any(not isinstance(path, str) for path in columns.values())
        or any(not isinstance(table, dict) for table in values.values())
        or not isinstance(ignore, list)
        or any(not isinstance(name, str) for name in ignore)
    ):
        malformed(
            "bad_mapping",
            "mapping: expected 'columns' from names to paths, 'values' from paths to tables, 'ignore' a list of names",
        )
    return Columns(columns, constants, values, frozenset(ignore))


def _object(claims: Claims, name: str) -> JsonObject:
    if not claims.has(name):
        return {}
    value = claims.raw(name)
    if not isinstance(value, dict):
        claims.bad(name, "an object")
    return value


def format_of(path: Path) -> str | None:
    """The format that a file's name tells, or None."""
    suffix = path.suffix.lower().removeprefix(".")
    return {"ndjson": "jsonl"}.get(suffix, suffix if suffix in FORMATS else None)


def read_rows(data: bytes, file_format: str, message_type: str, mapping: Columns | None) -> list[Row]:
    """Read and validate every content of a file; nothing is sent here.

    Args:
        data: the file.
        file_format: one of `FORMATS`.
        message_type: all of them are of.
        mapping: of a table's columns.

    Raises:
        UncheckableError: ``unknown_type``.
        MalformedError: the file as a whole is not of its format. What is wrong with one row stands in it.
    """
    data = plain_text(data)
    versions = [v for name, v in known_types() if name == message_type]
    if not versions:
        _contents.find_model(message_type, 1)  # raises, naming the types that there are
    if file_format == "csv":
        rows = _table_rows(data, message_type, max(versions), mapping or Columns({}, {}, {}, frozenset()))
    elif mapping is not None:
        malformed("bad_mapping", "a mapping is for tables only")
    elif file_format == "jsonl":
        lines = [(i, line) for i, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        rows = [_parsed(i, line) for i, line in lines]
    else:
        rows = [_parsed(1, data)]
    if not rows:
        malformed("no_messages", "the file holds nothing to send")
    return [_validated(row, message_type, versions) for row in rows]


def validated(row: Row, message_type: str) -> Row:
    """A row whose content was changed, validated again.

    Args:
        row: without an error.
        message_type: of it.
    """
    return _validated(row, message_type, [v for name, v in known_types() if name == message_type])


def _parsed(number: int, data: bytes) -> Row:
    try:
        value = parse_json(data, "content")
        if isinstance(value, list):
            malformed("not_an_object", "a JSON file holds one content; write several as lines (.jsonl)")
        return Row(number, number, parse_object(data, "content"), None)
    except CountermarkError as error:
        return Row(number, number, None, error)


def _validated(row: Row, message_type: str, versions: list[int]) -> Row:
    if row.content is None:
        return row
    refused: CountermarkError | None = None
    for version in sorted(versions, reverse=True):
        try:
            _contents.validate_content(message_type, version, row.content)
        except CountermarkError as error:
            # What the newest version says of it is what helps.
            refused = refused or error
        else:
            return row
    return Row(row.number, row.line, row.content, refused)


# --- tables --------------------------------------------------------------------------------------------


def _table_rows(data: bytes, message_type: str, version: int, mapping: Columns) -> list[Row]:
    header, rows = read_csv(data)
    paths = _paths(header, mapping)
    schema = _contents.json_schema(_contents.find_model(message_type, version))
    for path in [*(p for p in paths if p is not None), *mapping.constants, *mapping.values]:
        type_of(schema, path)
    return [_table_row(i, row, paths, schema, mapping) for i, row in enumerate(rows, 1)]


def _paths(header: list[str], mapping: Columns) -> list[str | None]:
    """The path of every column; None for those not sent."""
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        malformed("bad_columns", f"expected a name for each column, got twice: {', '.join(map(repr, twice))}")
    absent = (set(mapping.columns) | mapping.ignore) - set(header)
    if absent:
        malformed(
            "bad_columns", f"the mapping names columns that the table lacks: {', '.join(sorted(absent))}"
        )
    out = [None if name in mapping.ignore else mapping.columns.get(name, name) for name in header]
    if mapping.columns:
        unnamed = [n for n in header if n not in mapping.columns and n not in mapping.ignore]
        if unnamed:
            malformed(
                "bad_columns",
                f"the mapping says nothing of the columns {', '.join(unnamed)}: map them, or list them in 'ignore'",
            )
    sent = [path for path in out if path is not None]
    if len(set(sent)) != len(sent) or set(sent) & set(mapping.constants):
        malformed("bad_columns", "a path is given twice, by two columns or by a column and a constant")
    return out


def _table_row(
    number: int, row: CsvRow, paths: list[str | None], schema: JsonObject, mapping: Columns
) -> Row:
    try:
        if row.error is not None:
            raise row.error
        content: JsonObject = {}
        for constant, value in mapping.constants.items():
            put(content, constant, value)
        for path, cell in zip(paths, row.cells, strict=True):
            if path is None:
                continue
            table = mapping.values.get(path)
            if table is not None and cell.strip() in table:
                put(content, path, table[cell.strip()])
            elif cell.strip():
                put(content, path, _cell(cell.strip(), path, schema))
    except CountermarkError as error:
        return Row(number, row.line, None, error)
    return Row(number, row.line, without_gaps(content), None)


def _cell(cell: str, path: str, schema: JsonObject) -> Any:
    kind = type_of(schema, path)
    if kind == "integer":
        if not _INTEGER.match(cell):
            malformed("bad_cell", f"column '{path}': expected a whole number, got {cell[:40]!r}")
        return int(cell)
    if kind == "boolean":
        if cell.lower() not in {"true", "false"}:
            malformed("bad_cell", f"column '{path}': expected true or false, got {cell[:40]!r}")
        return cell.lower() == "true"
    return cell
