"""The heartbeat row: any node beats; a gap only ever delays undelivered notices.

Source: docs/spec/log.md §6; design section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.tables import heartbeat

_ONLY = 1


@dataclass(frozen=True, slots=True)
class Beat:
    """What the row says, ms since 1970 by the database's clock.

    Attributes:
        last: the newest beat.
        gap_end: when the broker last came back after being away; the first beat counts as such.
    """

    last: int
    gap_end: int


def beat(connection: Connection, gap_ms: int) -> Beat:
    """Say that a node is there; the transaction must be a writing one."""
    row = _lock(connection)
    # Only now: whoever held the lock has said a later time than it was before we waited.
    now = database_now(connection)
    if row is None:
        try:
            # In a savepoint: PostgreSQL would take no further statement after a failed one.
            with connection.begin_nested():
                connection.execute(insert(heartbeat).values(id=_ONLY, last=now, gap_end=now))
        except IntegrityError:
            # Several nodes start for the first time at once, and another was first.
            return beat(connection, gap_ms)
        return Beat(now, now)
    # A clock that was set back shows as a last beat in the future: then nobody knows how long we were away.
    away = not 0 <= now - row.last <= gap_ms
    new = Beat(now, now if away else row.gap_end)
    connection.execute(
        update(heartbeat).where(heartbeat.c.id == _ONLY).values(last=new.last, gap_end=new.gap_end)
    )
    return new


def _lock(connection: Connection) -> Row[Any] | None:
    return connection.execute(
        select(heartbeat).where(heartbeat.c.id == _ONLY).with_for_update()
    ).one_or_none()


def read_beat(connection: Connection) -> Beat | None:
    """The row, or None before the first beat."""
    row = connection.execute(select(heartbeat).where(heartbeat.c.id == _ONLY)).one_or_none()
    return Beat(row.last, row.gap_end) if row is not None else None
