"""The views as whole tables, page by page: compared with those that a replay has made, or replaced by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Table, and_, delete, func, literal, or_, select, tuple_

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.retention import begin_anew
from countermark_broker.store.tables import VIEWS, box_heads, box_rows
from countermark_protocol.boxes import EMPTY_HEAD

Row = tuple[Any, ...]

#: Rows in memory at once. A tile has 8 kB, so this is a few MB.
_PAGE: Final = 500


def pages(connection: Connection, table: Table) -> Iterator[list[Row]]:
    """All rows of a table, in the order of its primary key as this database sorts it."""
    key = list(table.primary_key.columns)
    at = [number for number, column in enumerate(table.columns) if column.primary_key]
    query = select(table).order_by(*key).limit(_PAGE)
    page = [tuple(row) for row in connection.execute(query)]
    while page:
        yield page
        last = tuple_(
            *(literal(page[-1][number], column.type) for number, column in zip(at, key, strict=True))
        )
        page = [tuple(row) for row in connection.execute(query.where(tuple_(*key) > last))]


def read_box_faults(connection: Connection, limit: int) -> Iterator[str]:
    """Boxes that have a gap, do not hang together, or do not end where their head says, in words.

    It needs no replay, so it does not tell whether the right entries stand there.
    """
    box = (box_rows.c.endpoint, box_rows.c.box)
    ends = (
        select(*box, func.count().label("rows"), (func.max(box_rows.c.position) + 1).label("length"))
        .group_by(*box)
        .subquery()
    )
    same = and_(box_heads.c.endpoint == ends.c.endpoint, box_heads.c.box == ends.c.box)
    # Both ways, since not every SQLite that is about knows FULL JOIN.
    query = (
        select(ends.c.endpoint, ends.c.box, ends.c.rows, ends.c.length, box_heads.c.length.label("stated"))
        .join(box_heads, same, isouter=True)
        .where(
            or_(
                box_heads.c.length.is_(None),
                ends.c.rows != ends.c.length,
                box_heads.c.length != ends.c.length,
            )
        )
    )
    for row in connection.execute(query.limit(limit)):
        yield (
            f"box '{row.box}' of {row.endpoint} has {row.rows} rows up to position {row.length - 1}; "
            f"its head tells of {row.stated or 0}"
        )
    before = box_rows.alias()
    chained = and_(
        before.c.endpoint == box_rows.c.endpoint,
        before.c.box == box_rows.c.box,
        before.c.position == box_rows.c.position - 1,
    )
    broken = (
        select(*box, box_rows.c.position)
        .join(before, chained, isouter=True)
        .where(func.coalesce(before.c.head, EMPTY_HEAD) != box_rows.c.previous)
    )
    for at in connection.execute(broken.limit(limit)):
        yield f"box '{at.box}' of {at.endpoint}: position {at.position} does not follow the one before"
    last = and_(
        box_rows.c.endpoint == box_heads.c.endpoint,
        box_rows.c.box == box_heads.c.box,
        box_rows.c.position == box_heads.c.length - 1,
    )
    loose = (
        select(box_heads.c.endpoint, box_heads.c.box)
        .join(box_rows, last, isouter=True)
        .where(or_(box_rows.c.head.is_(None), box_rows.c.head != box_heads.c.head))
    )
    for end in connection.execute(loose.limit(limit)):
        yield f"box '{end.box}' of {end.endpoint}: its head is not that of its last row"


def compare_views(connection: Connection, expected: Connection) -> Iterator[str]:
    """Every row of every view that is not what the replay gives, in words.

    Args:
        connection: to the database that is looked at.
        expected: to the one that the replay has written.
    """
    for table in VIEWS:
        yield from _compare(connection, expected, table)


def _compare(connection: Connection, expected: Connection, table: Table) -> Iterator[str]:
    there = 0
    for page in pages(expected, table):
        wanted = _keyed(table, page)
        found = _keyed(table, _rows(connection, table, list(wanted)))
        there += len(found)
        for key, row in wanted.items():
            if key not in found:
                yield f"{_name(table, key)}: missing"
            elif found[key] != row:
                pairs = zip(table.columns, row, found[key], strict=True)
                wrong = [column.name for column, value, other in pairs if value != other]
                yield f"{_name(table, key)}: differs in {', '.join(wrong)}"
    if there == connection.execute(select(func.count()).select_from(table)).scalar_one():
        return
    for page in pages(connection, table):
        keys = list(_keyed(table, page))
        known = _keyed(table, _rows(expected, table, keys))
        for key in keys:
            if key not in known:
                yield f"{_name(table, key)}: nothing in the log gives this row"


def _rows(connection: Connection, table: Table, keys: list[Row]) -> list[Row]:
    columns = ", ".join(column.name for column in table.columns)
    names = tuple(column.name for column in table.primary_key.columns)
    values = keys if len(names) > 1 else [key[0] for key in keys]
    return [tuple(row) for row in backend_of(connection).select(connection, table, columns, names, values)]


def _keyed(table: Table, rows: list[Row]) -> dict[Row, Row]:
    at = [number for number, column in enumerate(table.columns) if column.primary_key]
    return {tuple(row[number] for number in at): row for row in rows}


def _name(table: Table, key: Row) -> str:
    return f"{table.name} {', '.join(map(str, key))}"


def rewrite_views(connection: Connection, expected: Connection) -> None:
    """Replace every view by what the replay gives; the transaction must hold the lock."""
    for table in reversed(VIEWS):
        connection.execute(delete(table))
    for table in VIEWS:
        for page in pages(expected, table):
            backend_of(connection).insert(connection, table, page)
    # It follows from the entries too, and costs less to make again than to compare.
    begin_anew(connection)
