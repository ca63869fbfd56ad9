"""Damaged entry records, put right from an archive: the way out for what no replay can remake.

Nobody but the log knows what an entry was, so an archive's record is taken only if three things hold: the log key
has signed a root that its leaf is under (backup.py looks at that first), the whole archive replays, and the
database's own tree holds that very leaf, or what the database holds there cannot be what was logged. A record that is
sound and another one is another log's, and then nothing is touched.

Source: docs/operations/checking.md §2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from countermark_broker.errors import FatalError
from countermark_broker.log.archive import Archive, ArchivedEntry
from countermark_broker.services.checking import check_record
from countermark_broker.store.engine import Connection, Database, backend_of
from countermark_broker.store.head import read_size, take_lock
from countermark_broker.store.reading import EntryRecord, UnreadableRecord, read_any_records
from countermark_broker.store.tiles import read_tiles
from countermark_broker.store.writing import delete_entries, insert_entries
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.tiles import TILE_WIDTH


def mend_records(database: Database, archive: Archive, prove: Callable[[], object]) -> int:
    """Replace what the database holds of an archive's entries and is not the archive's; how many records.

    Args:
        database: no node may run on it.
        archive: of whose checkpoint root and signature are verified.
        prove: replays the whole archive, and raises if it does not hold; called only if something is to be replaced.

    Raises:
        FatalError: ``restore_of_other_log``.
    """
    with database.reading() as connection:
        backend_of(connection).patient(connection)
        damaged = set(_damaged(connection, archive))
    if not damaged:
        return 0
    prove()
    with database.writing() as connection:
        take_lock(connection)
        backend_of(connection).patient(connection)
        # All of them first: a row may hold the payload hash that belongs to another one.
        delete_entries(connection, damaged)
        for batch in archive.batches():
            rows = [item.record.as_row() for item in batch if item.record.index in damaged]
            insert_entries(connection, rows)
    return len(damaged)


def _damaged(connection: Connection, archive: Archive) -> Iterator[int]:
    size = read_size(connection)
    for batch in archive.batches():
        items = [item for item in batch if item.record.index < size]
        if not items:
            return
        found = _read(connection, items[0].record.index, items[-1].record.index + 1)
        places = {(0, item.record.index // TILE_WIDTH) for item in items}
        tiles = read_tiles(connection, places)
        for item in items:
            index = item.record.index
            record = found.get(index)
            if record == item.record:
                continue
            at = index % TILE_WIDTH * DIGEST_BYTES
            hashed = tiles.get((0, index // TILE_WIDTH), b"")[at : at + DIGEST_BYTES]
            if not _may_replace(record, item, hashed):
                raise FatalError(
                    "restore_of_other_log",
                    f"entry {index} of the database is not that of the archive",
                    "restore into an empty database, and keep this one for whoever looks into it",
                )
            yield index


def _read(connection: Connection, first: int, below: int) -> dict[int, EntryRecord | UnreadableRecord]:
    out: dict[int, EntryRecord | UnreadableRecord] = {}
    while page := read_any_records(connection, first, below):
        out |= {record.index: record for record in page}
        first = page[-1].index + 1
    return out


def _may_replace(record: EntryRecord | UnreadableRecord | None, item: ArchivedEntry, hashed: bytes) -> bool:
    """Whether an archive's entry may stand where the database holds `record`, and `hashed` in its tree."""
    if hashed == leaf_hash(item.record.leaf):
        return True
    if record is not None and record.leaf == item.record.leaf:
        # The same entry, of which something else was altered.
        return True
    if hashed:
        return record is not None and leaf_hash(record.leaf) != hashed
    # The tree is damaged here as well.
    return not isinstance(record, EntryRecord) or any(check_record(record))
