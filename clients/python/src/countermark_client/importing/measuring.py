"""How well the writing of a register becomes codes: every cell counted, with a code or with the reason why it has none.

Two rates are told. The first is of the cells for which one code is meant: those that nobody has recognised count
against it. The second is stricter: cells that may mean several codes of the list count against it, too.

Source: docs/normalisation.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from countermark_client.importing._paths import get, put
from countermark_client.importing.cells import UnreadableCellError, read_cell
from countermark_client.importing.mapping import Field, MappingFile, Notice, Reading, holds
from countermark_client.importing.tables import TableRow
from countermark_client.places import load_places
from countermark_protocol.codes.calibres import match_calibre
from countermark_protocol.codes.matching import (
    NOT_RECOGNISED,
    CodeMatch,
    NoCodeReason,
    folded,
    match_make,
    says_nothing,
)
from countermark_protocol.codes.serial_texts import NoSerialReason, read_serial
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.encoding import JsonObject

#: Of a cell that has a code, in the counts.
CODED: Final = "CODED"
#: Readings that have lists or grammars of their own; a mapping's own code table is right or wrong by itself.
_MEASURED: Final = frozenset(
    {Reading.MAKE, Reading.CALIBRE, Reading.FINISH, Reading.SERIAL, Reading.UNLOCODE}
)


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """One cell, and what became of it.

    Attributes:
        row: its number, from 1.
        column: of the table.
        reading: how it was read.
        cell: as written.
        category: of the weapon, where it mattered; empty otherwise.
        code: that it has, or None.
        reason: why it has none, or None.
        candidates: codes between which it stands.
    """

    row: int
    column: str
    reading: Reading
    cell: str
    category: str
    code: str | None
    reason: str | None
    candidates: tuple[str, ...] = ()


@dataclass
class ColumnCounts:
    """What became of the cells of one column under one reading.

    Attributes:
        counts: `CODED`, or the reason, to how many cells.
    """

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float | None:
        """Share of the cells with a code among those for which one is meant; None if there are none."""
        return self._rate(NoCodeReason.NOT_RECOGNISED)

    @property
    def strict_rate(self) -> float | None:
        """The same with ambiguous cells counted against it."""
        return self._rate(NoCodeReason.NOT_RECOGNISED, NoCodeReason.AMBIGUOUS)

    def _rate(self, *against: NoCodeReason) -> float | None:
        total = self.counts[CODED] + sum(self.counts[reason.value] for reason in against)
        return self.counts[CODED] / total if total else None


def measure(mapping: MappingFile, rows: Iterable[TableRow]) -> Iterator[MeasuredCell]:
    """What becomes of every cell that may have a code, also in rows that become no notice."""
    for row in rows:
        if row.error is not None:
            continue
        fitting = [n for n in mapping.notices if holds(n.when, row.cells)] or [mapping.notices[0]]
        yield from _measure_row(fitting[0], row)


def _measure_row(notice: Notice, row: TableRow) -> Iterator[MeasuredCell]:
    content: JsonObject = {}
    for path, value in notice.constants.items():
        put(content, path.replace("*", "0"), value)
    for each in notice.fields:
        if each.column not in row.cells or not holds(each.when, row.cells):
            continue
        path = each.path.replace("*", "0")
        cell = row.cells[each.column]
        if each.reading in _MEASURED:
            yield _measured(each, row.number, cell, content, path)
        try:
            read_cell(each, cell, content, path)
        except UnreadableCellError:
            continue


def _measured(each: Field, row: int, cell: str, content: JsonObject, path: str) -> MeasuredCell:
    beside = path.rpartition(".")[0]
    category = (
        get(content, f"{beside}.category") if each.reading in {Reading.CALIBRE, Reading.SERIAL} else None
    )
    match = _match(each, cell, content, path, WeaponCategory(category) if category else None)
    reason = match.reason if isinstance(match, CodeMatch) else match
    code = match.code if isinstance(match, CodeMatch) else None
    candidates = match.candidates if isinstance(match, CodeMatch) else ()
    return MeasuredCell(row, each.column, each.reading, cell, category or "", code, reason, candidates)


def _match(
    each: Field, cell: str, content: JsonObject, path: str, category: WeaponCategory | None
) -> CodeMatch | NoSerialReason:
    said = cell.strip()
    beside = path.rpartition(".")[0]
    nothing = says_nothing(folded(said))
    if each.reading is Reading.MAKE:
        return match_make(said, made_in=get(content, f"{beside}.countryOfManufacture"))
    if each.reading is Reading.CALIBRE:
        return match_calibre(said, category=category)
    if each.reading is Reading.SERIAL:
        found = read_serial(said, category=category)
        return found.reason or CodeMatch("+".join(mark.status.value for mark in found.marks))
    if nothing is not None:
        return CodeMatch(None, nothing)
    if each.reading is Reading.UNLOCODE:
        country, subdivision = get(content, f"{beside}.country"), get(content, f"{beside}.subdivision")
        codes = {p.code for p in load_places().named(said, country=country, subdivision=subdivision)}
        return _of_codes(tuple(sorted(codes)))
    known = said.upper() in load_code_list(CodeListName.NCIC_FINISH)
    return CodeMatch(said.upper()) if known else NOT_RECOGNISED


def _of_codes(codes: tuple[str, ...]) -> CodeMatch:
    if len(codes) == 1:
        return CodeMatch(codes[0])
    if codes:
        return CodeMatch(None, NoCodeReason.AMBIGUOUS, "", codes)
    return CodeMatch(None, NoCodeReason.NOT_IN_LIST)


def count_cells(cells: Iterable[MeasuredCell]) -> dict[tuple[str, Reading], ColumnCounts]:
    """Counts by column and reading, in the order in which they come."""
    out: dict[tuple[str, Reading], ColumnCounts] = {}
    for cell in cells:
        counts = out.setdefault((cell.column, cell.reading), ColumnCounts()).counts
        counts[CODED if cell.reason is None else str(cell.reason)] += 1
    return out
