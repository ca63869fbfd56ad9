"""Leases: rows that say which worker of an endpoint is busy with a position of a box.

They hide a position from the endpoint's other workers and decide nothing: a position is done by its logged receipt
alone, whoever holds a lease. Losing the whole table costs work done twice, no message.

Source: docs/spec/api.md §3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import box_rows, deliveries, leases
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.leases import Lease
from countermark_protocol.state import DeliveryStage

_DONE = (DeliveryStage.ACCEPTED.value, DeliveryStage.REJECTED.value)


def read_open(
    connection: Connection, endpoint: Address, box: Box, positions: Sequence[int], below: int
) -> list[int]:
    """Those of some positions whose entry is below a size and which no logged receipt has done."""
    query = (
        select(box_rows.c.position)
        .join(
            deliveries,
            (deliveries.c.message == box_rows.c.entry) & (deliveries.c.recipient == box_rows.c.endpoint),
        )
        .where(
            box_rows.c.endpoint == endpoint,
            box_rows.c.box == box.value,
            box_rows.c.position.in_(positions),
            box_rows.c.entry < below,
            deliveries.c.stage.not_in(_DONE),
        )
        .order_by(box_rows.c.position)
    )
    return list(connection.execute(query).scalars())


def take(
    connection: Connection,
    endpoint: Address,
    box: Box,
    positions: Sequence[int],
    key: bytes,
    now: int,
    until: int,
) -> list[int]:
    """Lease what is free, expired or the key's own already; which positions that are.

    Args:
        connection: in a writing transaction.
        endpoint: whose box.
        box: which.
        positions: open ones, in ascending order: two workers that want the same wait for each other in one order.
        key: of the worker.
        now: ms since 1970 by the database's clock.
        until: ms since 1970 to which the leases run.
    """
    mine = (leases.c.endpoint == endpoint, leases.c.box == box.value, leases.c.position.in_(positions))
    query = select(leases).where(*mine).order_by(leases.c.position).with_for_update()
    held = {row.position: row for row in connection.execute(query)}
    extended = [p for p, row in held.items() if row.key == key or row.until <= now]
    if extended:
        connection.execute(
            update(leases)
            .where(*mine, leases.c.position.in_(extended), or_(leases.c.key == key, leases.c.until <= now))
            .values(key=key, until=until)
        )
    new = [
        {"endpoint": endpoint, "box": box.value, "position": p, "key": key, "until": until}
        for p in positions
        if p not in held
    ]
    return sorted(extended + _insert(connection, new))


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> list[int]:
    if not rows:
        return []
    try:
        with connection.begin_nested():
            connection.execute(insert(leases), rows)
    except IntegrityError:
        # Another worker took one of them meanwhile: then one by one.
        if len(rows) == 1:
            return []
        return [p for row in rows for p in _insert(connection, [row])]
    return [row["position"] for row in rows]


def give_back(
    connection: Connection, endpoint: Address, box: Box, positions: Sequence[int], key: bytes
) -> None:
    """End the key's own leases of some positions."""
    connection.execute(
        delete(leases).where(
            leases.c.endpoint == endpoint,
            leases.c.box == box.value,
            leases.c.position.in_(positions),
            leases.c.key == key,
        )
    )


def read_leases(
    connection: Connection, endpoint: Address, box: Box, first: int, limit: int, now: int
) -> list[Lease]:
    """Leases of a box that have not expired, by position from `first` on."""
    query = (
        select(leases)
        .where(
            leases.c.endpoint == endpoint,
            leases.c.box == box.value,
            leases.c.position >= first,
            leases.c.until > now,
        )
        .order_by(leases.c.position)
        .limit(limit)
    )
    return [Lease(row.position, KeyId(row.key), row.until) for row in connection.execute(query)]


def sweep_leases(connection: Connection, now: int) -> None:
    """Delete what has expired."""
    connection.execute(delete(leases).where(leases.c.until <= now))


def has_expired_leases(connection: Connection, now: int) -> bool:
    """Whether there is anything to sweep."""
    return connection.execute(select(leases.c.box).where(leases.c.until <= now).limit(1)).first() is not None
