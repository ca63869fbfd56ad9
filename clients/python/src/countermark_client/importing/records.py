"""Rows to notices: each with the key of its record, or with what is wrong, cell by cell.

Source: docs/spec/mapping.md §4.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from countermark_client import _contents
from countermark_client.importing._paths import get, put, without_gaps
from countermark_client.importing.cells import UnreadableCellError, read_cell
from countermark_client.importing.mapping import ROW_DIGEST, Field, MappingFile, Notice, holds
from countermark_client.importing.tables import TableRow
from countermark_protocol.encoding import JsonObject, labelled_hash, malformed
from countermark_protocol.errors import CountermarkError
from countermark_protocol.types import known_types

_MOST_SHOWN: Final = 60
#: Of the digest of a row, where a register has no reference of its own: none of a billion rows meets another.
_DIGEST_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row became no notice.

    Attributes:
        row: its number, from 1.
        line: of the file, from 1.
        column: of the cell; None if it is the row as a whole, or a constant of the mapping.
        cell: what it holds; None without a column.
        expected: what it should hold.
    """

    row: int
    line: int
    column: str | None
    cell: str | None
    expected: str


@dataclass(frozen=True, slots=True)
class ImportedNotice:
    """What rows became.

    Attributes:
        rows: their numbers, from 1.
        type: of the message.
        content: its document; None if there are problems.
        reference: by which the record is known again, made of its key.
        problems: why there is no content.
    """

    rows: tuple[int, ...]
    type: str
    content: JsonObject | None
    reference: str
    problems: tuple[Problem, ...]


@dataclass
class ImportCounts:
    """What has been read so far.

    Attributes:
        rows: below the header.
        skipped: by ground, rows that the mapping says become no notice.
    """

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def check_columns(mapping: MappingFile, header: Sequence[str]) -> None:
    """Check that table and mapping speak of the same columns: nothing is left out unseen.

    Raises:
        MalformedError: ``bad_columns``.
    """
    absent = sorted(mapping.columns - set(header) - {ROW_DIGEST})
    if absent:
        malformed("bad_columns", f"the mapping names columns that the table lacks: {', '.join(absent)}")
    unnamed = [name for name in header if name not in mapping.columns]
    if unnamed:
        malformed(
            "bad_columns",
            f"the mapping says nothing of the columns {', '.join(unnamed)}: map them, or list them in 'ignore'",
        )


def read_notices(
    mapping: MappingFile, rows: Iterator[TableRow], counts: ImportCounts
) -> Iterator[ImportedNotice]:
    """Notices in the order of their rows; every row is in one of them, or counted as skipped.

    Args:
        mapping: of the table.
        rows: below its header.
        counts: what is read is counted there, as it is read.
    """
    builder = _Builder(mapping)
    waiting: tuple[Notice, tuple[str, ...]] | None = None
    group: list[TableRow] = []
    for row in map(_with_digest, rows):
        counts.rows += 1
        skip = next((s for s in mapping.skips if not row.error and holds(s.when, row.cells)), None)
        if skip is not None:
            counts.skipped[skip.ground] += 1
            continue
        notice = next((n for n in mapping.notices if not row.error and holds(n.when, row.cells)), None)
        if notice is not None and notice.group:
            belongs = (notice, tuple(row.cells[column] for column in notice.group))
            if belongs == waiting:
                group.append(row)
                continue
        if waiting is not None:
            yield builder.build(waiting[0], group)
        waiting, group = None, []
        if notice is None:
            yield builder.unfit(row)
        elif notice.group:
            waiting, group = belongs, [row]
        else:
            yield builder.build(notice, [row])
    if waiting is not None:
        yield builder.build(waiting[0], group)


def _with_digest(row: TableRow) -> TableRow:
    if row.error is not None:
        return row
    digest = labelled_hash("import-row", json.dumps(dict(row.cells), sort_keys=True).encode()).hex()
    return replace(row, cells={**row.cells, ROW_DIGEST: digest[:_DIGEST_DIGITS]})


class _Builder:
    """Makes notices, and remembers the keys of those made."""

    def __init__(self, mapping: MappingFile) -> None:
        self._mapping = mapping
        self._seen: dict[bytes, int] = {}
        self._alike: Counter[bytes] = Counter()

    def unfit(self, row: TableRow) -> ImportedNotice:
        """A row that is broken, or that no notice takes."""
        expected = row.error.message if row.error else self._no_notice()
        problem = Problem(row.number, row.line, None, None, expected)
        return ImportedNotice((row.number,), "", None, "", (problem,))

    def _no_notice(self) -> str:
        kinds = [
            f"{n.type} when {', '.join(f'{column} is {sorted(cells)}' for column, cells in n.when.items())}"
            for n in self._mapping.notices
        ]
        return f"a row that the mapping takes: {'; '.join(kinds)}"

    def build(self, notice: Notice, rows: list[TableRow]) -> ImportedNotice:
        """The notice of one row, or of a group of them."""
        problems: list[Problem] = []
        content: JsonObject = {}
        for path, value in notice.constants.items():
            for i in range(len(rows) if "*" in path else 1):
                put(content, path.replace("*", str(i)), value)
        for i, row in enumerate(rows):
            for each in notice.fields:
                # What belongs to the whole notice is read from its first row.
                if ("*" in each.path or i == 0) and holds(each.when, row.cells):
                    problems += _read(each, row, content, i)
            if "items" in content and get(content, f"items.{i}.itemRef") is None:
                put(content, f"items.{i}.itemRef", str(i + 1))
        problems += _same_in_all(notice, rows)
        reference, repeated = self._reference(notice, rows)
        problems += repeated
        finished = without_gaps(content)
        if not problems:
            problems += _violations(notice, finished, rows)
        return ImportedNotice(
            tuple(row.number for row in rows),
            notice.type,
            None if problems else finished,
            reference,
            tuple(problems),
        )

    def _reference(self, notice: Notice, rows: list[TableRow]) -> tuple[str, list[Problem]]:
        """What a record is known by, and a problem if another row has the same key."""
        first = rows[0]
        columns = notice.group or self._mapping.key
        named: object = [first.cells[column] for column in columns] if columns else dict(first.cells)
        digest = labelled_hash("import-key", json.dumps([self._mapping.name, named], sort_keys=True).encode())
        if not columns:
            # Rows that are the same are told apart by their order.
            number = self._alike[digest]
            self._alike[digest] += 1
            return f"import:{digest.hex()}:{number}", []
        if digest in self._seen:
            problem = Problem(
                first.number,
                first.line,
                columns[0],
                first.cells[columns[0]],
                f"another key than that of row {self._seen[digest]}: a record stands once"
                + (", and the rows of a notice stand together" if notice.group else ""),
            )
            return f"import:{digest.hex()}", [problem]
        self._seen[digest] = first.number
        return f"import:{digest.hex()}", []


def _read(each: Field, row: TableRow, content: JsonObject, item: int) -> list[Problem]:
    cell = row.cells[each.column]
    try:
        read_cell(each, cell, content, each.path.replace("*", str(item)))
    except UnreadableCellError as unreadable:
        return [Problem(row.number, row.line, each.column, cell[:_MOST_SHOWN], str(unreadable))]
    except CountermarkError as error:
        return [Problem(row.number, row.line, each.column, cell[:_MOST_SHOWN], error.message)]
    return []


def _same_in_all(notice: Notice, rows: list[TableRow]) -> list[Problem]:
    """Cells of the whole notice that are not the same in all its rows."""
    out: list[Problem] = []
    for each in notice.fields:
        if "*" in each.path:
            continue
        first = rows[0].cells[each.column]
        out += [
            Problem(
                row.number,
                row.line,
                each.column,
                row.cells[each.column][:_MOST_SHOWN],
                f"what row {rows[0].number} of the same notice has: {first[:_MOST_SHOWN]!r}",
            )
            for row in rows[1:]
            if row.cells[each.column] != first
        ]
    return out


def _violations(notice: Notice, content: JsonObject, rows: list[TableRow]) -> list[Problem]:
    """What the type says of a content, told by the columns that its members are made of."""
    version = max(v for name, v in known_types() if name == notice.type)
    try:
        _contents.validate_content(notice.type, version, content)
    except CountermarkError as error:
        violations: Sequence[Mapping[str, str]] = error.facts.get("violations", ())
        if not violations:
            return [Problem(rows[0].number, rows[0].line, None, None, error.message)]
        return [_told(notice, rows, each) for each in violations]
    return []


def _told(notice: Notice, rows: list[TableRow], violation: Mapping[str, str]) -> Problem:
    pointer = violation["field"]
    for i, row in enumerate(rows):
        for each in notice.fields:
            path = "/" + each.path.replace("*", str(i)).replace(".", "/")
            if pointer == path or pointer.startswith(path + "/"):
                cell = row.cells[each.column][:_MOST_SHOWN]
                return Problem(row.number, row.line, each.column, cell, violation["expected"])
    return Problem(
        rows[0].number, rows[0].line, None, None, f"at {pointer or 'top'}: {violation['expected']}"
    )
