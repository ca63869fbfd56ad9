"""Suppression: whatever the counts are, no number that is not shown can be computed from those that are."""

from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from countermark_client.review._suppression import Cross, protect, shown, suppressed_cells
from support.examples import tried

THRESHOLD = 5


@st.composite
def tables(draw, most_rows=6, most_columns=6, most=12):
    columns = draw(st.integers(1, most_columns))
    count = st.one_of(st.just(0), st.integers(0, most))
    rows = draw(st.lists(st.lists(count, min_size=columns, max_size=columns), min_size=1, max_size=most_rows))
    return cross(rows)


def cross(rows):
    return Cross(
        "t",
        "T",
        "row",
        "things",
        tuple(f"c{i}" for i in range(len(rows[0]))),
        tuple(f"r{i}" for i in range(len(rows))),
        tuple(map(tuple, rows)),
    )


def equations(rows, columns):
    """Cells (with totals) that add up: each row to its total, each column to its own."""
    for row in range(rows):
        yield {**{(row, c): 1 for c in range(columns - 1)}, (row, columns - 1): -1}
    for column in range(columns):
        yield {**{(r, column): 1 for r in range(rows - 1)}, (rows - 1, column): -1}


def computable(grid, hidden):
    """Those hidden cells that follow from the rest by sums alone: Gauss and Jordan, exactly."""
    unknown = sorted(hidden)
    matrix = [
        [Fraction(equation.get(cell, 0)) for cell in unknown]
        for equation in equations(len(grid), len(grid[0]))
    ]
    pivots, at = [], 0
    for column in range(len(unknown)):
        pivot = next((i for i in range(at, len(matrix)) if matrix[i][column]), None)
        if pivot is None:
            continue
        matrix[at], matrix[pivot] = matrix[pivot], matrix[at]
        matrix[at] = [v / matrix[at][column] for v in matrix[at]]
        for i, row in enumerate(matrix):
            if i != at and row[column]:
                matrix[i] = [v - row[column] * p for v, p in zip(row, matrix[at], strict=True)]
        pivots.append(column)
        at += 1
    return [unknown[c] for i, c in enumerate(pivots) if sum(1 for v in matrix[i] if v) == 1]


def possible(grid, hidden):
    """Every value that each hidden cell can have in a table of non-negative numbers: by trying all of them."""
    rows, columns = len(grid) - 1, len(grid[0]) - 1
    inner = sorted(c for c in hidden if c[0] < rows and c[1] < columns)
    values = {c: set() for c in hidden}
    for guess in product(*(range(grid[-1][c] + 1) for _, c in inner)):
        table = [list(row[:columns]) for row in grid[:rows]]
        for (r, c), value in zip(inner, guess, strict=True):
            table[r][c] = value
        if any(sum(row[c] for row in table) != grid[-1][c] for c in range(columns)):
            continue
        sums = [sum(row) for row in table]
        if all((r, columns) in hidden or sums[r] == grid[r][columns] for r in range(rows)):
            for r, c in hidden:
                values[r, c].add(sums[r] if c == columns else table[r][c])
    return values


@tried(150)
@given(tables())
def test_cells_add_up_to_the_totals_before_and_after_columns_are_put_together(table):
    grid = table.with_totals()
    assert grid[-1][-1] == table.total == sum(map(sum, table.cells))
    assert [sum(row[:-1]) for row in grid] == [row[-1] for row in grid]
    assert [sum(column[:-1]) for column in zip(*grid, strict=True)] == list(grid[-1])
    protected = protect(table, THRESHOLD)
    if protected is not None:
        after = protected[0].with_totals()
        assert [row[-1] for row in after] == [row[-1] for row in grid]
        assert all(total == 0 or total >= THRESHOLD for total in after[-1])


@tried(200)
@given(tables())
def test_no_small_number_is_shown_and_none_follows_from_sums(table):
    protected = protect(table, THRESHOLD)
    if protected is None:
        assert 0 < table.total < THRESHOLD
        return
    together, hidden = protected
    grid = together.with_totals()
    for r, row in enumerate(shown(grid, hidden)):
        for c, count in enumerate(row):
            assert count is None or count == 0 or count >= THRESHOLD, (r, c)
    assert all(r < len(grid) - 1 for r, _ in hidden)
    assert computable(grid, hidden) == []


@tried(100)
@given(tables(most_rows=3, most_columns=2, most=4))
def test_nor_does_one_follow_from_counts_being_never_negative(table):
    protected = protect(table, 3)
    if protected is None:
        return
    together, hidden = protected
    grid = together.with_totals()
    for cell, values in possible(grid, hidden).items():
        assert grid[cell[0]][cell[1]] in values
        assert len(values) > 1, cell


def test_the_check_finds_what_can_be_computed():
    grid = cross([[1, 9], [8, 7]]).with_totals()
    assert computable(grid, {(0, 0)}) == [(0, 0)]
    assert computable(grid, {(0, 0), (0, 1)}) == [(0, 0), (0, 1)]
    assert computable(grid, {(0, 0), (0, 1), (1, 0), (1, 1)}) == []
    assert possible(grid, {(0, 0)}) == {(0, 0): {1}}


def test_as_little_as_needed_is_hidden():
    grid = cross([[1, 9, 30], [8, 7, 40], [20, 50, 60]]).with_totals()
    assert suppressed_cells(grid, THRESHOLD) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert suppressed_cells(cross([[5, 0], [0, 5]]).with_totals(), THRESHOLD) == frozenset()
