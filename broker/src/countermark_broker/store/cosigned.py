"""The checkpoints that a quorum of witnesses has cosigned: the newest of each minute."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.tables import cosigned


@dataclass(frozen=True, slots=True)
class CosignedRow:
    """A checkpoint with its cosignatures.

    Attributes:
        minute: of the quorum's time, minutes since 1970.
        size: of the tree.
        note: the checkpoint with the log's signature and the cosignatures.
    """

    minute: int
    size: int
    note: bytes


def read_newest_cosigned(connection: Connection) -> CosignedRow | None:
    """The newest one."""
    row = connection.execute(select(cosigned).order_by(cosigned.c.minute.desc()).limit(1)).one_or_none()
    return CosignedRow(*row) if row is not None else None


def read_first_cosigned(connection: Connection, size: int) -> CosignedRow | None:
    """The oldest one of a tree of at least `size` leaves: it bounds the time of all before."""
    query = select(cosigned).where(cosigned.c.size >= size).order_by(cosigned.c.minute).limit(1)
    row = connection.execute(query).one_or_none()
    return CosignedRow(*row) if row is not None else None


def read_cosigned(connection: Connection, first: int, limit: int) -> list[CosignedRow]:
    """In the order of time, from a minute on."""
    query = select(cosigned).where(cosigned.c.minute >= first).order_by(cosigned.c.minute).limit(limit)
    return [CosignedRow(*row) for row in connection.execute(query)]


def write_cosigned(connection: Connection, row: CosignedRow) -> None:
    """Keep one, in the place of what its minute had; a smaller tree never replaces a larger one."""
    held = connection.execute(
        select(cosigned.c.size).where(cosigned.c.minute == row.minute)
    ).scalar_one_or_none()
    if held is None or held <= row.size:
        backend_of(connection).replace(connection, cosigned, [(row.minute, row.size, row.note)])
