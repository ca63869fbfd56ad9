"""Until when each message is kept: a list to work off, made by looking through the log once.

No view: nodes of a release that does not know it add messages while others work it off, so nobody fills it when a
message is accepted. Whoever works it off looks through the entries from where the last one stopped; what is on the list
and need not be is found out when its time has come, by the decision. A lost list is made again.

Source: docs/spec/audit.md §4; docs/operations/running-a-broker.md §9.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, select, update

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.loading import chunks
from countermark_broker.store.purges import read_purges
from countermark_broker.store.reading import read_records
from countermark_broker.store.tables import entries, purges, retention_scan, retentions
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.manifest import parse_manifest

_ONLY = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that is kept until a time.

    Attributes:
        index: of its entry.
        payload_hash: 32 bytes.
        until: its ``retention_until``, ms since 1970.
        document: the signed manifest.
    """

    index: int
    payload_hash: bytes
    until: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look through some entries gave.

    Attributes:
        first: index it began at.
        next: index to begin at next; the same if there was nothing.
        kept: messages among them that are not purged.
    """

    first: int
    next: int
    kept: tuple[Kept, ...]


def look_through(connection: Connection, below: int, first: int | None = None) -> Looked:
    """Look through a page of entries, from where the last one who did it stopped unless told otherwise.

    Raises:
        FatalError: an entry's recipient rows cannot be read.
    """
    if first is None:
        query = select(retention_scan.c.scanned).where(retention_scan.c.id == _ONLY)
        first = connection.execute(query).scalar_one()
    records = read_records(connection, first, below)
    purged = read_purges(connection, records)
    kept: list[Kept] = []
    for record in records:
        if record.kind != Kind.MESSAGE or record.index in purged:
            continue
        try:
            manifest = parse_manifest(parse_document(record.document).claims)
        except CountermarkError:
            # A damaged record is for fsck to find; it must not keep the others from being worked off.
            continue
        until = manifest.handling.retention_until
        kept.append(Kept(record.index, record.payload_hash, until, record.document))
    return Looked(first, records[-1].index + 1 if records else first, tuple(kept))


def write_looked(connection: Connection, looked: Looked) -> bool:
    """Put what was found on the list; False if another node has done it."""
    moved = connection.execute(
        update(retention_scan)
        .where(retention_scan.c.id == _ONLY, retention_scan.c.scanned == looked.first)
        .values(scanned=looked.next)
    )
    if moved.rowcount != 1:
        return False
    if looked.kept:
        backend_of(connection).replace(
            connection, retentions, [(one.index, one.until) for one in looked.kept]
        )
    return True


def read_ended(connection: Connection, now: int, limit: int) -> tuple[list[Kept], list[int]]:
    """Messages on the list whose time has passed, the longest ago first.

    Returns:
        Those to be purged, and the indexes of those that are purged already.
    """
    query = (
        select(retentions, entries.c.payload_hash, entries.c.document, purges.c.entry.label("purge"))
        .join(entries, entries.c.entry == retentions.c.message)
        .join(purges, purges.c.payload_hash == entries.c.payload_hash, isouter=True)
        .where(retentions.c.until <= now)
        .order_by(retentions.c.until, retentions.c.message)
        .limit(limit)
    )
    ended: list[Kept] = []
    purged: list[int] = []
    for row in connection.execute(query):
        if row.purge is not None:
            purged.append(row.message)
        else:
            ended.append(Kept(row.message, row.payload_hash, row.until, row.document))
    return ended, purged


def strike_off(connection: Connection, indexes: Collection[int]) -> None:
    """Take messages off the list."""
    for part in chunks(indexes):
        connection.execute(delete(retentions).where(retentions.c.message.in_(part)))


def begin_anew(connection: Connection) -> None:
    """Forget the list: whoever works it off next looks through the whole log."""
    connection.execute(delete(retentions))
    connection.execute(update(retention_scan).values(scanned=0))
