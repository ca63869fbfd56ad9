"""The rows of a table, one after another: CSV, or a sheet of an XLSX workbook.

A spreadsheet keeps numbers and days, not what was typed: 7.62 comes as ``7.62``, a day as ``YYYY-MM-DD``; ``.38`` that
it took for a number comes as ``0.38``, and zeros before a serial are gone. Columns of serials must be text.

Source: RFC 4180; ECMA-376; docs/spec/mapping.md §1.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark_client.importing.csv_rows import stream_csv
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, MalformedError, UncheckableError


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row below the names of the columns.

    Attributes:
        number: from 1, empty rows not counted.
        line: of the file or sheet, from 1, on which it begins.
        cells: by column name; empty where the row is not to be used.
        error: why it is not to be used, or None.
    """

    number: int
    line: int
    cells: Mapping[str, str]
    error: CountermarkError | None


@contextlib.contextmanager
def open_table(path: Path, sheet: str | None = None) -> Iterator[tuple[list[str], Iterator[TableRow]]]:
    """Open a table; its rows are read as they are asked for.

    Args:
        path: of a .csv or .xlsx file.
        sheet: of a workbook; its first if None.

    Yields:
        The names of the columns, and the rows.

    Raises:
        MalformedError: it is none.
        UncheckableError: ``xlsx_extra_missing``.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        with stream_csv(path) as (header, rows):
            _check_header(header)
            yield (
                header,
                (
                    TableRow(
                        i, row.line, {} if row.error else dict(zip(header, row.cells, strict=True)), row.error
                    )
                    for i, row in enumerate(rows, 1)
                ),
            )
    elif suffix == ".xlsx":
        with _workbook(path, sheet) as lines:
            yield _sheet(lines)
    else:
        malformed("not_a_table", f"expected a .csv or .xlsx file, got {path.name}")


def _check_header(header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        malformed(
            "bad_columns", f"expected another name for each column, got twice: {', '.join(map(repr, twice))}"
        )


@contextlib.contextmanager
def _workbook(path: Path, sheet: str | None) -> Iterator[Iterator[tuple[Any, ...]]]:
    try:
        import openpyxl  # noqa: PLC0415  an extra, loaded where it is used
    except ImportError:
        raise UncheckableError(
            "xlsx_extra_missing",
            "reading .xlsx needs openpyxl: install countermark-client[xlsx], or save the table as CSV",
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # noqa: BLE001  the parser of an untrusted file may raise anything
        malformed("not_xlsx", f"expected a workbook, got what cannot be read as one: {type(error).__name__}")
    try:
        if sheet is not None and sheet not in book.sheetnames:
            malformed(
                "no_such_sheet", f"expected one of the sheets {', '.join(book.sheetnames)}, got {sheet[:60]}"
            )
        yield (book[sheet] if sheet is not None else book.worksheets[0]).iter_rows(values_only=True)
    finally:
        book.close()


def _sheet(lines: Iterator[tuple[Any, ...]]) -> tuple[list[str], Iterator[TableRow]]:
    header = [_cell_text(cell).strip() for cell in next(lines, ())]
    while header and not header[-1]:
        header.pop()
    if not header:
        malformed("no_messages", "the sheet is empty: expected a row of column names first")
    _check_header(header)
    return header, _sheet_rows(header, lines)


def _sheet_rows(header: list[str], lines: Iterator[tuple[Any, ...]]) -> Iterator[TableRow]:
    number = 0
    for line, values in enumerate(lines, 2):
        cells = [_cell_text(value) for value in values[: len(header)]]
        cells += [""] * (len(header) - len(cells))
        beyond = any(value not in {None, ""} for value in values[len(header) :])
        if not any(cell.strip() for cell in cells) and not beyond:
            continue
        number += 1
        error: CountermarkError | None = None
        if beyond:
            error = MalformedError("bad_row", f"expected {len(header)} cells, got more")
        yield TableRow(number, line, {} if error else dict(zip(header, cells, strict=True)), error)


def _cell_text(value: Any) -> str:
    """What a spreadsheet keeps, as text."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
