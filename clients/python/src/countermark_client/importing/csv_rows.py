"""Rows of a CSV file, each by itself: what is wrong with one is told with its line and stops no other.

One stray quotation mark makes a cell of the rows that follow it, up to the next one. Such a cell would be sent
as text of one message, with what belongs to others in it; so it is refused wherever it could be one.

Source: RFC 4180; docs/howto/send-and-receive.md.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, MalformedError

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
#: A comma as between cells: prose has a space after it.
_DELIMITER: Final = re.compile(r",(?![ \t])")
#: A byte that is not UTF-8, as the decoder leaves it in the text.
_STRAY_BYTE: Final = re.compile("[\udc80-\udcff]")
_OTHER_DELIMITERS: Final = {";": "semicolons", "\t": "tabs"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row.

    Attributes:
        line: of the file, from 1, on which it begins.
        cells: as written.
        error: why they are not to be used, or None.
    """

    line: int
    cells: tuple[str, ...]
    error: CountermarkError | None


def plain_text(data: bytes) -> bytes:
    """The bytes of a text file without the mark of UTF-8 that some programs put before it.

    Raises:
        MalformedError: ``not_utf8``: it is UTF-16, with its mark or by its look.
    """
    if data.startswith(_UTF_16) or b"\0" in data[:64]:
        malformed("not_utf8", "expected a file in UTF-8, got one in UTF-16: save it as UTF-8 ('CSV UTF-8')")
    return data.removeprefix(codecs.BOM_UTF8)


def read_csv(data: bytes) -> tuple[list[str], list[CsvRow]]:
    """The names of the columns, and every row below them that is not empty; a cell may hold line feeds.

    Columns without a name at the end, as spreadsheets write them, are none as long as they are empty.

    Raises:
        MalformedError: there is no header.
    """
    header, rows = _table(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
    return header, list(rows)


@contextlib.contextmanager
def stream_csv(path: Path) -> Iterator[tuple[list[str], Iterator[CsvRow]]]:
    """The same of a file, row by row: of any size.

    Raises:
        MalformedError: ``not_utf8``: it is UTF-16; or there is no header.
    """
    with path.open("rb") as file:
        begin = file.read(64)
        file.seek(len(begin) - len(plain_text(begin)))
        with io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as lines:
            yield _table(lines)


def _table(lines: Iterable[str]) -> tuple[list[str], Iterator[CsvRow]]:
    rows = _rows(lines)
    first = next(rows, None)
    if first is None:
        malformed("no_messages", "the table is empty: expected a line of column names first")
    if first.error is not None:
        raise first.error
    header = [name.strip() for name in first.cells]
    while not header[-1]:
        header.pop()
    if len(header) == 1:
        for sign, name in _OTHER_DELIMITERS.items():
            if sign in header[0]:
                malformed("not_csv", f"expected commas between the columns, got {name}: save it with commas")
    return header, (_checked(row, len(header)) for row in rows)


def _rows(lines: Iterable[str]) -> Iterator[CsvRow]:
    reader = csv.reader(lines, strict=True)
    while True:
        begins = reader.line_num + 1
        error: CountermarkError | None = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as broken:
            # The reader goes on with the next line: where a quote was meant to end is not guessed.
            error = _broken(str(broken), begins, reader.line_num)
        if error is not None or any(cell.strip() for cell in cells):
            yield _of_utf8(CsvRow(begins, tuple(cells), error))


def _broken(what: str, first: int, last: int) -> CountermarkError:
    """What the reader of CSV met, for people."""
    within = f"line {first}" if first == last else f"lines {first} to {last}"
    if "field larger" in what:
        text = f"expected cells of at most {csv.field_size_limit()} characters, got a longer one"
    elif "unexpected end" in what:
        text = f"expected the quote opened on line {first} to be closed, got the end of the file"
    else:
        text = "expected a comma or the end of the line after a closing quote, got other text"
    swallowed = f"; {last - first} further lines may lie inside it" if last > first else ""
    return MalformedError("not_csv", f"{within}: {text}{swallowed}")


def _of_utf8(row: CsvRow) -> CsvRow:
    line = row.line
    for cell in row.cells:
        stray = _STRAY_BYTE.search(cell)
        if stray is not None:
            at = line + len(_LINE_END.findall(cell, 0, stray.start()))
            byte = ord(stray.group()) - 0xDC00
            text = f"line {at}: expected UTF-8, got the byte 0x{byte:02x}: save the table as 'CSV UTF-8'"
            return replace(row, error=row.error or MalformedError("not_utf8", text))
        line += len(_LINE_END.findall(cell))
    return row


def _checked(row: CsvRow, columns: int) -> CsvRow:
    """A row as wide as the header; one that may hold others is refused."""
    if row.error is not None:
        return row
    cells = list(row.cells)
    while len(cells) > columns and not cells[-1].strip():
        cells.pop()
    error = _swallowed(row, columns)
    if error is None and len(cells) != columns:
        error = MalformedError("bad_row", f"expected {columns} cells, got {len(cells)}")
    return CsvRow(row.line, tuple(cells), error)


def _swallowed(row: CsvRow, columns: int) -> CountermarkError | None:
    """What to say of a cell that may hold whole rows, or None.

    Rows between two stray quotes bring as many delimiters as they have columns, less one; half of them is enough,
    for a cell may begin with a space. Prose of that look is refused with them: to send another's data is worse.
    """
    line = row.line
    for cell in row.cells:
        ends = len(_LINE_END.findall(cell))
        lines = sum(1 for one in _LINE_END.split(cell) if one.strip())
        if columns > 1 and lines > 1 and 2 * len(_DELIMITER.findall(cell)) > (lines - 1) * (columns - 1):
            return MalformedError(
                "bad_row",
                f"a quote opened on line {line} is only closed on line {line + ends}; {ends} lines may lie inside "
                "it: expected text, got what looks like rows (if it is text, send it as .jsonl)",
            )
        line += ends
    return None
