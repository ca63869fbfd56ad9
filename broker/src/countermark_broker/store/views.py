"""The views as whole tables, to compare them with a replay and to write them anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Table, delete, insert, select

from countermark_broker.store.codec import encode_frontier
from countermark_broker.store.engine import Connection
from countermark_broker.store.head import Head, write_head
from countermark_broker.store.loading import chunks
from countermark_broker.store.tables import VIEWS, box_heads, box_rows, deliveries, head, messages, tiles
from countermark_broker.store.tiles import Place
from countermark_broker.store.writing import Changes, write_views

Row = dict[str, Any]


def _expected(changes: Changes, grown: Mapping[Place, bytes], new: Head) -> dict[Table, list[Row]]:
    return {
        messages: changes.messages,
        deliveries: list(changes.new_deliveries.values()),
        box_rows: changes.box_rows,
        box_heads: list(changes.new_boxes.values()),
        tiles: [{"level": level, "number": number, "data": data} for (level, number), data in grown.items()],
        head: [
            {
                "id": 1,
                "size": new.size,
                "time": new.time,
                "dir_count": new.dir_count,
                "dir_head": new.dir_head,
                "frontier": encode_frontier(new.frontier),
            }
        ],
    }


def _keyed(table: Table, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    names = [column.name for column in table.primary_key.columns]
    return {tuple(row[name] for name in names): row for row in rows}


async def compare_views(
    connection: Connection, changes: Changes, grown: Mapping[Place, bytes], new: Head
) -> list[str]:
    """Every row of every view that is not what the replay gives, in words."""
    return [
        finding
        for table, rows in _expected(changes, grown, new).items()
        for finding in _differences(
            table,
            _keyed(table, rows),
            _keyed(table, [dict(row._mapping) for row in await connection.execute(select(table))]),  # noqa: SLF001
        )
    ]


def _differences(
    table: Table, expected: Mapping[tuple[Any, ...], Row], found: Mapping[tuple[Any, ...], Row]
) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys(), key=repr):
        name = f"{table.name} {', '.join(map(str, key))}"
        if key not in found:
            yield f"{name}: missing"
        elif key not in expected:
            yield f"{name}: nothing in the log gives this row"
        else:
            wrong = [c for c, value in expected[key].items() if found[key][c] != value]
            if wrong:
                yield f"{name}: differs in {', '.join(wrong)}"


async def rewrite_views(
    connection: Connection, changes: Changes, grown: Mapping[Place, bytes], new: Head
) -> None:
    """Replace every view by what the replay gives; the transaction must hold the lock."""
    for table in reversed(VIEWS):
        await connection.execute(delete(table))
    await write_views(connection, changes)
    rows = [{"level": level, "number": number, "data": data} for (level, number), data in grown.items()]
    for part in chunks(rows):
        await connection.execute(insert(tiles), part)
    await write_head(connection, new)
