"""Small cells: which counts of a table are kept from third parties, so that none can be computed from the others.

A table of counts with its totals is a system of sums: each row adds up to its total, each column to its own, and the
totals to the grand total. The rule:

1. *Columns are put together.* Columns whose total is smaller than the threshold become one, ``other``, with the
   next smallest, until it too is large enough. If the grand total is too small, the table is withheld. So every
   column total and the grand total can be shown always; tables that share them tell nothing about each other.
2. *Small cells are suppressed*: every count from 1 to threshold - 1, row totals included.
3. *Others are suppressed with them*: for each small cell c there must be another table of
   whole, non-negative numbers that agrees with everything shown and in which c is one less. Such a table differs from
   the true one along a cycle of cells that lose and gain one in turn; the cells on the cheapest such cycle are
   suppressed too. A reader therefore can compute no suppressed cell, knowing that counts are never negative.

What was small and what was suppressed with it look the same. Zeros are shown, unless one is on such a cycle.

Source: docs/howto/review-a-log.md; domain page 6.5 (small numbers).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: What the domain demands at least, and what is used unless told otherwise.
LEAST: Final = 3
THRESHOLD: Final = 5
OTHER: Final = "other"

Grid = tuple[tuple[int, ...], ...]
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cross:
    """Counts by two things.

    Attributes:
        name: of the table, for files.
        title: for people.
        row: what a row stands for.
        unit: what is counted.
        columns: names of the columns.
        rows: names of the rows.
        cells: counts, row by row.
    """

    name: str
    title: str
    row: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: Grid

    @property
    def total(self) -> int:
        """All that is counted."""
        return sum(map(sum, self.cells))

    def with_totals(self) -> Grid:
        """The counts with a column of row totals and a row of column totals."""
        rows = [(*row, sum(row)) for row in self.cells]
        last = tuple(sum(column) for column in zip(*rows, strict=True)) or (0,) * (len(self.columns) + 1)
        return (*rows, last)


def put_together(cross: Cross, threshold: int) -> Cross:
    """Rule 1: no column total is smaller than the threshold, unless the grand total is."""
    sums = [sum(row[i] for row in cross.cells) for i in range(len(cross.columns))]
    # Ascending; a column without anything says only that there was none, and stays.
    order = sorted((i for i in range(len(sums)) if sums[i]), key=lambda i: (sums[i], i))
    merged: list[int] = []
    while order and (sums[order[0]] < threshold or 0 < sum(sums[i] for i in merged) < threshold):
        merged.append(order.pop(0))
    if not merged:
        return cross
    kept = [i for i in range(len(sums)) if i not in merged]
    cells = tuple((*(row[i] for i in kept), sum(row[i] for i in merged)) for row in cross.cells)
    columns = (*(cross.columns[i] for i in kept), OTHER)
    return Cross(cross.name, cross.title, cross.row, cross.unit, columns, cross.rows, cells)


def suppressed_cells(cells: Grid, threshold: int) -> frozenset[Cell]:
    """Rules 2 and 3: which cells of a table are not shown.

    Args:
        cells: with totals, as `Cross.with_totals` gives them: every total of a column is 0 or at least the threshold.
        threshold: counts from 1 to below it are small.

    Returns:
        (row, column) of each; never of a column total.
    """
    chosen: set[Cell] = set()
    for row, counts in enumerate(cells[:-1]):
        for column, count in enumerate(counts):
            if 0 < count < threshold:
                chosen.add((row, column))
                chosen.update(_cycle(cells, (row, column), chosen))
    return frozenset(chosen)


def _cycle(cells: Grid, start: Cell, chosen: set[Cell]) -> Iterator[Cell]:
    """The cells of the cheapest cycle on which `start` loses one.

    Rows and columns are the two sorts of nodes; a cell is the edge between its row and its column. A row total counts
    with the opposite sign, so that in every row the changes add up to nothing; column totals do not change, so nor does
    the grand total: in every column, the totals' too, they add up to nothing as well.
    """
    row, column = start
    totals = len(cells[0]) - 1
    # `start` loses one; if it is a total, its row's cells must lose one in sum, else its row's others gain.
    gains = column != totals
    paths: dict[tuple[str, int], tuple[int, tuple[str, int] | None]] = {}
    queue: list[tuple[int, tuple[str, int], tuple[str, int] | None]] = [(0, ("row", row), None)]
    while queue:
        cost, node, before = heapq.heappop(queue)
        if node in paths:
            continue
        paths[node] = cost, before
        if node == ("column", column):
            break
        for other, cell in _edges(cells, node, start, gains=gains):
            if other not in paths:
                heapq.heappush(queue, (cost + _cost(cells, cell, chosen), other, node))
    node = ("column", column)
    while paths[node][1] is not None:
        before = paths[node][1]
        assert before is not None
        yield (node[1], before[1]) if node[0] == "row" else (before[1], node[1])
        node = before


def _edges(
    cells: Grid, node: tuple[str, int], start: Cell, *, gains: bool
) -> Iterator[tuple[tuple[str, int], Cell]]:
    """Cells over which a change goes on from a row or column, with where it leads."""
    totals = len(cells[0]) - 1
    sort, at = node
    inner = range(len(cells) - 1) if sort == "column" else range(totals + 1)
    for i in inner:
        cell = (i, at) if sort == "column" else (at, i)
        # From a row on the way out cells gain (or lose, if the start is a total), from a column the other way;
        # of a total that is turned round.
        grows = (sort == "row") is gains
        if cell[1] == totals:
            grows = not grows
        if cell != start and (grows or cells[cell[0]][cell[1]] > 0):
            yield ("row" if sort == "column" else "column", i), cell


def _cost(cells: Grid, cell: Cell, chosen: set[Cell]) -> int:
    """What is lost by not showing a cell: least where it is hidden already, most where it says that nothing was."""
    count = cells[cell[0]][cell[1]]
    if cell in chosen:
        return 0
    return count + 1 if count else cells[-1][-1] + 2


def protect(cross: Cross, threshold: int) -> tuple[Cross, frozenset[Cell]] | None:
    """A table as third parties may see it.

    Args:
        cross: all counts.
        threshold: at least `LEAST`.

    Returns:
        The table with columns put together and the cells (of the table with totals) not to be shown; None if all of it
        is to be withheld. An empty table is shown.
    """
    if 0 < cross.total < threshold:
        return None
    table = put_together(cross, threshold)
    return table, suppressed_cells(table.with_totals(), threshold)


def shown(cells: Grid, hidden: frozenset[Cell]) -> tuple[tuple[int | None, ...], ...]:
    """The counts with None for those not shown."""
    return tuple(
        tuple(None if (i, j) in hidden else count for j, count in enumerate(row))
        for i, row in enumerate(cells)
    )
