"""The head row: the newest state of the log, and the lock that orders all appends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, bindparam, insert, select, update

from countermark_broker.store.codec import encode_frontier, parse_frontier
from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import head
from countermark_protocol.merkle import Frontier
from countermark_protocol.trie import EMPTY

_ONLY: Final = 1


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


#: Made once: every group of statements reads, locks and writes the head, and making them costs as much as running them.
_READ: Final = select(head).where(head.c.id == _ONLY)
_LOCK: Final = _READ.with_for_update()
_WRITE: Final = (
    update(head)
    .where(head.c.id == _ONLY)
    .values(
        {column.name: bindparam(f"new_{column.name}") for column in head.columns if not column.primary_key}
    )
)


def read_head(connection: Connection) -> Head:
    """The head as committed; that of an empty log where there is none yet."""
    return _head_of(connection.execute(_READ).one_or_none())


def read_size(connection: Connection) -> int:
    """Leaves by the head row, of which nothing else is read: it may be damaged."""
    return connection.execute(select(head.c.size).where(head.c.id == _ONLY)).scalar() or 0


def lock_head(connection: Connection) -> Head:
    """The head, locked until the transaction ends: a row lock where the database has them.

    SQLite holds its one write lock already (engine.py) and ignores the clause.
    """
    return _head_of(connection.execute(_LOCK).one_or_none())


def _head_of(row: Row[Any] | None) -> Head:
    if row is None:
        return EMPTY_HEAD
    return Head(parse_frontier(row.size, row.frontier), row.time, row.dir_count, row.dir_head)


def take_lock(connection: Connection) -> None:
    """As `lock_head`, of a row that may be damaged: whoever remakes it must not have to read it."""
    connection.execute(select(head.c.id).where(head.c.id == _ONLY).with_for_update())


def write_head(connection: Connection, new: Head) -> None:
    """Write the head; the transaction must hold its lock."""
    values = {
        "size": new.size,
        "time": new.time,
        "dir_count": new.dir_count,
        "dir_head": new.dir_head,
        "frontier": encode_frontier(new.frontier),
    }
    done = connection.execute(_WRITE, {f"new_{name}": value for name, value in values.items()})
    if done.rowcount == 0:
        connection.execute(insert(head).values(id=_ONLY, **values))
