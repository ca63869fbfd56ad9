"""The head row: the newest state of the log, and the lock that orders all appends."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from countermark_broker.store.codec import encode_frontier, parse_frontier
from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import head
from countermark_protocol.merkle import Frontier
from countermark_protocol.trie import EMPTY

_ONLY = 1


@dataclass(frozen=True, slots=True)
class Head:
    """The log after its last leaf.

    Attributes:
        frontier: of the tree; its size is the next leaf's index.
        time: of the last leaf, ms since 1970.
        dir_count: directory statements logged.
        dir_head: the directory's head, 32 bytes.
    """

    frontier: Frontier
    time: int
    dir_count: int
    dir_head: bytes

    @property
    def size(self) -> int:
        """Leaves in the log."""
        return self.frontier.size


EMPTY_HEAD = Head(Frontier(), 0, 0, EMPTY)


async def read_head(connection: Connection) -> Head:
    """The head as committed; that of an empty log where there is none yet."""
    row = (await connection.execute(select(head).where(head.c.id == _ONLY))).one_or_none()
    if row is None:
        return EMPTY_HEAD
    return Head(parse_frontier(row.size, row.frontier), row.time, row.dir_count, row.dir_head)


async def lock_head(connection: Connection) -> Head:
    """The head, locked until the transaction ends: a row lock where the database has them.

    SQLite holds its one write lock already (engine.py) and ignores the clause.
    """
    row = (await connection.execute(select(head).where(head.c.id == _ONLY).with_for_update())).one_or_none()
    if row is None:
        return EMPTY_HEAD
    return Head(parse_frontier(row.size, row.frontier), row.time, row.dir_count, row.dir_head)


async def write_head(connection: Connection, new: Head) -> None:
    """Write the head; the transaction must hold its lock."""
    values = {
        "size": new.size,
        "time": new.time,
        "dir_count": new.dir_count,
        "dir_head": new.dir_head,
        "frontier": encode_frontier(new.frontier),
    }
    done = await connection.execute(update(head).where(head.c.id == _ONLY).values(**values))
    if done.rowcount == 0:
        await connection.execute(insert(head).values(id=_ONLY, **values))
