"""Which messages are purged, for those who look at many at once: checks, copies, restores.

Source: docs/spec/audit.md §4.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select

from countermark_broker.store.engine import Connection
from countermark_broker.store.loading import chunks
from countermark_broker.store.reading import MAX_SIZE, EntryRecord
from countermark_broker.store.tables import entries, purges
from countermark_protocol.claims import Kind


def read_purges(
    connection: Connection, records: Iterable[EntryRecord], below: int = MAX_SIZE
) -> dict[int, int]:
    """Index of a message → index of its purge, of those among some records that are purged below a size."""
    indexes = {record.payload_hash: record.index for record in records if record.kind == Kind.MESSAGE}
    out: dict[int, int] = {}
    for part in chunks(indexes):
        query = (
            select(purges)
            .join(entries, entries.c.entry == purges.c.entry)
            .where(purges.c.payload_hash.in_(part), purges.c.entry < below, entries.c.kind == int(Kind.PURGE))
        )
        out.update({indexes[row.payload_hash]: row.entry for row in connection.execute(query)})
    return out


def count_purges(connection: Connection) -> tuple[int, int]:
    """How many purges the log holds, and how many the view of them: the same, as no message is purged twice."""
    logged = select(func.count()).select_from(entries).where(entries.c.kind == int(Kind.PURGE))
    viewed = select(func.count()).select_from(purges)
    return connection.execute(logged).scalar_one(), connection.execute(viewed).scalar_one()


def read_newest_purge(connection: Connection) -> int:
    """Index of the newest purge; -1 if there is none."""
    return int(connection.execute(select(func.coalesce(func.max(purges.c.entry), -1))).scalar_one())
