"""Figures: numbers that name every message and item that they count.

Source: docs/spec/reports.md §2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countermark_client.reports._arms import Source

#: The year of what has no date.
UNKNOWN_YEAR: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Counted:
    """One thing that is counted: a weapon, a request, a quantity.

    Attributes:
        count: how many it stands for.
        sources: where it is told, what speaks for it first.
    """

    count: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        table: to which table it belongs.
        year: of the calendar, or `UNKNOWN_YEAR`.
        cell: values of the table's further columns.
        counted: what it counts; the figure is the sum of their counts.
    """

    table: str
    year: str
    cell: tuple[str, ...]
    counted: tuple[Counted, ...]

    @property
    def count(self) -> int:
        """The number."""
        return sum(each.count for each in self.counted)


@dataclass(frozen=True, slots=True)
class Table:
    """What the figures of a table are.

    Attributes:
        name: in lower case.
        title: for people.
        columns: names of the values of `Figure.cell`.
        unit: what is counted.
        adds_up: whether its figures of one year and action add up to the weapons that came to hand.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    unit: str
    adds_up: bool = False


def figures(table: str, rows: Iterable[tuple[str, tuple[str, ...], Counted]]) -> list[Figure]:
    """Sum rows (year, cell, what is counted) by year and cell, sorted."""
    cells: dict[tuple[str, tuple[str, ...]], list[Counted]] = {}
    for year, cell, counted in rows:
        cells.setdefault((year, cell), []).append(counted)
    return [
        Figure(
            table,
            year,
            cell,
            tuple(sorted(counted, key=lambda c: tuple((s.message, s.item) for s in c.sources))),
        )
        for (year, cell), counted in sorted(cells.items())
    ]
