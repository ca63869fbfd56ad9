"""Time stamps on witnessed checkpoints, and who asks which authority for one.

Source: docs/spec/witness.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.tables import stamp_authorities, stamps


@dataclass(frozen=True, slots=True)
class StampRow:
    """A stamp.

    Attributes:
        minute: of the time that it states, minutes since 1970.
        authority: as the operator calls it.
        size: of the tree.
        note: the checkpoint, with signature and cosignatures, that is stamped.
        response: of the authority.
    """

    minute: int
    authority: str
    size: int
    note: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class AuthorityRow:
    """How an authority fares; times are ms since 1970 by the database's clock.

    Attributes:
        authority: as the operator calls it.
        asking_until: while it lies ahead, some node asks and the others do not.
        answered_at: when it gave the newest stamp; 0 if it never did.
        size: of the tree that it stamped last; 0 if none.
        failing_since: when it first failed since; 0 while it does not.
        tried_at: when it was asked last.
        error: why it failed last; empty while it does not.
    """

    authority: str
    asking_until: int
    answered_at: int
    size: int
    failing_since: int
    tried_at: int
    error: str


def read_authorities(connection: Connection) -> list[AuthorityRow]:
    """All that were ever asked."""
    query = select(stamp_authorities).order_by(stamp_authorities.c.authority)
    return [AuthorityRow(*row) for row in connection.execute(query)]


def read_authority(connection: Connection, authority: str) -> AuthorityRow | None:
    """One of them; None if it was never asked."""
    query = select(stamp_authorities).where(stamp_authorities.c.authority == authority)
    row = connection.execute(query).one_or_none()
    return AuthorityRow(*row) if row is not None else None


def claim(connection: Connection, authority: str, lasts_ms: int, seen: AuthorityRow | None) -> bool:
    """Take it on oneself to ask an authority, unless another node does, or has done so since `seen` was read."""
    now = database_now(connection)
    if seen is None:
        fresh = AuthorityRow(authority, now + lasts_ms, 0, 0, 0, now, "")
        try:
            with connection.begin_nested():
                connection.execute(insert(stamp_authorities).values(_values(fresh)))
        except IntegrityError:
            return False
        return True
    taken = connection.execute(
        update(stamp_authorities)
        .where(
            stamp_authorities.c.authority == authority,
            stamp_authorities.c.asking_until <= now,
            # Whoever was asking when `seen` was read may have its answer by now.
            stamp_authorities.c.tried_at == seen.tried_at,
            stamp_authorities.c.answered_at == seen.answered_at,
            stamp_authorities.c.failing_since == seen.failing_since,
        )
        # One tried twice within a millisecond must not look untried.
        .values(asking_until=now + lasts_ms, tried_at=max(now, seen.tried_at + 1))
    )
    return taken.rowcount == 1


def keep_stamp(connection: Connection, row: StampRow) -> None:
    """Keep a stamp, and end the asking; of one minute the first one stays."""
    known = select(stamps.c.minute).where(stamps.c.minute == row.minute, stamps.c.authority == row.authority)
    if connection.execute(known).first() is None:
        connection.execute(insert(stamps).values(_values(row)))
    connection.execute(
        update(stamp_authorities)
        .where(stamp_authorities.c.authority == row.authority)
        .values(
            asking_until=0, answered_at=database_now(connection), size=row.size, failing_since=0, error=""
        )
    )


def keep_failure(connection: Connection, authority: str, error: str) -> None:
    """Take down that an authority gave no stamp, and end the asking."""
    now = database_now(connection)
    this = stamp_authorities.c.authority == authority
    connection.execute(update(stamp_authorities).where(this).values(asking_until=0, error=error))
    connection.execute(
        update(stamp_authorities)
        .where(this, stamp_authorities.c.failing_since == 0)
        .values(failing_since=now)
    )


def read_stamps(connection: Connection, first: int, limit: int) -> list[StampRow]:
    """In the order of minute and authority, from a minute on."""
    query = (
        select(stamps)
        .where(stamps.c.minute >= first)
        .order_by(stamps.c.minute, stamps.c.authority)
        .limit(limit)
    )
    return [StampRow(*row) for row in connection.execute(query)]


def read_oldest_stamps(connection: Connection, size: int) -> list[StampRow]:
    """Of each authority the oldest stamp on a tree of at least `size` leaves."""
    oldest = (
        select(stamps.c.authority, func.min(stamps.c.minute).label("minute"))
        .where(stamps.c.size >= size)
        .group_by(stamps.c.authority)
        .subquery()
    )
    query = (
        select(stamps)
        .join(oldest, (stamps.c.authority == oldest.c.authority) & (stamps.c.minute == oldest.c.minute))
        .order_by(stamps.c.minute, stamps.c.authority)
    )
    return [StampRow(*row) for row in connection.execute(query)]


def _values(row: AuthorityRow | StampRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}
