"""Backup: the published log in one file, taken while nodes run; verified, and restored, by replaying it.

The file holds what cannot be remade: entries, stanzas, contents, and the checkpoint that they add up to. Views
are remade. It never holds the checkpoint store, and restoring never writes to it: that is how a restored backup
which is not the newest state is found out.

Source: docs/spec/export.md; docs/operations/backup-and-restore.md §1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Final

from countermark_broker.errors import ConfigurationError, FatalError
from countermark_broker.log.archive import Archive, ArchivedEntry, ArchiveHeader, open_archive, write_archive
from countermark_broker.log.directory_holder import fold
from countermark_broker.log.publisher import RENAMED
from countermark_broker.log.rebuild import Replayer
from countermark_broker.services.checking import Finding, check_enclosed, check_record
from countermark_broker.services.content_sweep import delete_doomed
from countermark_broker.services.maintenance import MOST_FINDINGS
from countermark_broker.services.mending import mend_records
from countermark_broker.services.node import Node
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.head import lock_head, read_head, take_lock
from countermark_broker.store.pieces import (
    add_blob,
    drop_blob,
    is_claimed,
    read_blob,
    read_claims,
    read_without_blob,
)
from countermark_broker.store.purges import count_purges, read_newest_purge, read_purges
from countermark_broker.store.reading import (
    RECORD_DAMAGED,
    EntryRecord,
    read_enclosed,
    read_records,
)
from countermark_broker.store.scratch import scratch_database
from countermark_broker.store.writing import Enclosed, write_enclosed
from countermark_protocol.checkpoint import UnverifiedCheckpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.identifiers import parse_origin
from countermark_protocol.keys import fingerprint
from countermark_protocol.merkle import Frontier, leaf_hash

Progress = Callable[[int], None]

#: How often, and how far apart, a backup waits for a purge to be published.
_TRIES: Final = 50
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Backup:
    """A file as written or verified.

    Attributes:
        log: origin.
        size: entries in it: the published log's size when it was made.
        digest: of the file's content, 32 bytes.
        fingerprint: of the founding in it, to be compared with the trust file's.
        findings: what is missing or wrong beside its entries.
    """

    log: str
    size: int
    digest: bytes
    fingerprint: str
    findings: tuple[Finding, ...]


async def create_backup(node: Node, path: Path, progress: Progress = lambda _done: None) -> Backup:
    """Write the published log into a file; nodes may be running.

    What is missing beside entries is left out, and is a finding: a backup of a damaged log is better than none. But
    where an entry itself is missing or altered the file would not restore, so there is none.

    Raises:
        ConfigurationError: ``file_exists``, or ``not_founded``.
        FatalError: an entry is damaged, or database and checkpoint store contradict each other: there is nothing fit
            to be kept.
    """
    for left in reversed(range(_TRIES)):
        made = await asyncio.to_thread(_create, node, path, progress, last=not left)
        if made is not None:
            return made
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError


def _create(node: Node, path: Path, progress: Progress, *, last: bool) -> Backup | None:
    """Write the file; None where a purge is committed and not published, so that what it took would be missing.

    A node is about to publish it. The last time the file is written all the same.
    """
    # The store first: whatever it names is committed already when the snapshot begins.
    stored = node.store.load()
    findings: list[Finding] = []
    founding: list[bytes] = []

    def items(connection: Connection) -> Iterator[ArchivedEntry]:
        frontier = Frontier()
        while page := read_records(connection, frontier.size, stored.size):
            purges = read_purges(connection, page, stored.size)
            for record in page:
                purge = purges.get(record.index)
                enclosed = read_enclosed(connection, record, node.content)
                if enclosed.content is None and enclosed.outside is not None:
                    _check_kept(node, record, last=last)
                findings.extend(_check_fit(record, enclosed, frontier.size, purge))
                if purge is not None:
                    # What is there in spite of it goes into no copy.
                    enclosed = Enclosed(record.rows, (b"",) * len(record.rows))
                frontier = frontier.append(leaf_hash(record.leaf))
                if record.index == 0:
                    founding.append(parse_document(record.document).payload_hash)
                pieces = _pieces_of(node, record, enclosed, findings, last=last) if enclosed.pieces else ()
                yield ArchivedEntry(record, enclosed, pieces)
            progress(frontier.size)
        # Before the file has its name: the tiles may be right where the records are not.
        if frontier.size < stored.size:
            raise _missing_entry(frontier.size)
        if frontier.root() != stored.root:
            raise _differs(stored.size)

    with node.database.reading() as connection:
        backend_of(connection).patient(connection)
        head = read_head(connection)
        node.publisher.check_not_behind(stored, head)
        if not last and read_newest_purge(connection) >= stored.size:
            return None
        directory = node.holder.at(connection, head, locked=False)
        if directory.count == 0:
            raise ConfigurationError("not_founded", "this log is not founded: there is nothing to keep")
        if node.tree.recompute_root(connection, stored.size) != stored.root:
            raise _differs(stored.size)
        _verify(stored, node.origin, directory)
        header = ArchiveHeader(node.origin, stored.size, node.clock.now_ms(), version("countermark-broker"))
        try:
            digest = write_archive(path, header, items(connection), stored.raw)
        except _PurgedMeanwhileError:
            return None
    return Backup(node.origin, stored.size, digest, fingerprint(founding[0]), tuple(findings))


def _check_fit(record: EntryRecord, enclosed: Enclosed, index: int, purge: int | None) -> list[Finding]:
    """What is wrong with an entry that is to be kept, which must be the one at `index` and be whole itself."""
    if record.index != index:
        raise _missing_entry(index)
    findings = [*check_record(record), *check_enclosed(record, enclosed, purge)]
    for finding in findings:
        if finding.code == "entry_unreadable":
            raise FatalError("entry_unreadable", finding.message, RECORD_DAMAGED)
    return findings


def _missing_entry(index: int) -> FatalError:
    return FatalError("entry_missing", f"entry {index} is missing", RECORD_DAMAGED)


def _differs(size: int) -> FatalError:
    return FatalError(
        "published_root_differs",
        f"the entries do not give the root that was published for size {size}",
        "this is not the log that was published (docs/operations/running-a-broker.md §7)",
    )


def _verify(checkpoint: UnverifiedCheckpoint, origin: str, directory: Directory) -> None:
    if directory.origin_for(checkpoint.size) != origin:
        raise FatalError(
            "log_renamed",
            f"at size {checkpoint.size} the log's name is '{directory.origin_for(checkpoint.size)}', not '{origin}'",
            RENAMED,
        )
    verify_checkpoint(checkpoint, origin, directory.log_key_for(checkpoint.size).raw)


async def verify_backup(
    path: Path, scratch: Path | None = None, progress: Progress = lambda _done: None
) -> Backup:
    """Prove that a file restores: replay all of it into a scratch database, and hold it against its checkpoint.

    Args:
        path: of the file.
        scratch: directory with room for the views; the system's temporary one if None.
        progress: told how many entries are replayed.

    Raises:
        MalformedError: ``bad_archive``.
        FatalError: an entry does not replay, or the whole has another root than its checkpoint.
        SignatureError: the checkpoint is not signed by the log key.
    """
    return await asyncio.to_thread(_verify_file, path, scratch, progress)


def _verify_file(path: Path, scratch: Path | None, progress: Progress = lambda _done: None) -> Backup:
    with open_archive(path) as archive, scratch_database(scratch) as connection:
        origin = parse_origin(archive.header.log, "origin in the archive")
        replayer = Replayer(connection, whole=False)
        founding = b""
        for batch in archive.batches():
            replayer.add((item.record, item.enclosed) for item in batch)
            founding = founding or parse_document(batch[0].record.document).payload_hash
            progress(replayer.head.size)
        check_end(archive, replayer)
        # After the replay: only then all purges are known.
        findings = tuple(islice(_check_beside(connection, archive), MOST_FINDINGS))
        return Backup(origin, archive.header.size, archive.digest, fingerprint(founding), findings)


def _check_beside(connection: Connection, archive: Archive) -> Iterator[Finding]:
    """What is wrong beside the entries of an archive that was replayed into this database."""
    for batch in archive.batches():
        purges = read_purges(connection, (item.record for item in batch))
        for item in batch:
            yield from check_enclosed(item.record, item.enclosed, purges.get(item.record.index), item.lost)


def check_end(archive: Archive, replayer: Replayer) -> None:
    """Demand that what was replayed is exactly what the archive's checkpoint covers, signed by the log key.

    Raises:
        FatalError: ``published_root_differs``.
        SignatureError: another key signed it.
    """
    checkpoint = archive.checkpoint
    if replayer.root(checkpoint.size) != checkpoint.root:
        raise _differs(checkpoint.size)
    _verify(checkpoint, archive.header.log, replayer.directory)


class _PurgedMeanwhileError(Exception):
    """Pieces are gone from their store that the snapshot of the database still names."""


def _pieces_of(
    node: Node, record: EntryRecord, enclosed: Enclosed, findings: list[Finding], *, last: bool
) -> Iterator[bytes]:
    """The pieces of a message's attachments, one in memory at a time; those that are missing are findings."""
    lost: set[bytes] = set()
    for digest in dict.fromkeys(digest for digests in enclosed.pieces for digest in digests):
        if (piece := node.content.find(digest)) is not None:
            yield piece
        else:
            lost.add(digest)
    if lost:
        _check_kept(node, record, last=last)
        found = check_enclosed(record, enclosed, lost=lost)
        findings.extend(one for one in found if one.code == "piece_missing")


def _check_kept(node: Node, record: EntryRecord, *, last: bool) -> None:
    """Let the backup begin again where what is missing was purged meanwhile."""
    with node.database.reading() as connection:
        if not last and not read_claims(connection, record.index):
            raise _PurgedMeanwhileError


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        size: entries in the database now.
        added: of these, by this call.
        mended: damaged records that were replaced by those of the file.
        missing: entries that the checkpoint store knows of and the database does not; None: there is no store.
        findings: what is missing or wrong beside entries.
    """

    size: int
    added: int
    mended: int
    missing: int | None
    findings: tuple[Finding, ...]


async def restore_backup(
    node: Node, path: Path, progress: Progress = lambda _done: None, scratch: Path | None = None
) -> Restored:
    """Bring a database to the state of a file: from nothing, or from the beginning of the same log.

    Everything is replayed, views are made on the way, and the end is held against the file's checkpoint. A
    restore that was cut off is begun again and goes on where it stood. What has gone from beside entries that are there
    is brought back, and a record that is damaged is replaced (mending.py). The checkpoint store is only read.

    Args:
        node: not running; its database migrated.
        path: of the file.
        progress: told how many entries are there.
        scratch: directory with room for the views, needed only if a record is damaged; the system's temporary one if
            None.

    Raises:
        MalformedError: ``bad_archive``.
        ConfigurationError: ``archive_of_other_log``.
        FatalError: an entry does not replay; the database holds another log; the end differs; or the checkpoint store
            is another log's.
    """
    return await asyncio.to_thread(_restore, node, path, progress, scratch)


def _restore(node: Node, path: Path, progress: Progress, scratch: Path | None) -> Restored:
    node.content.open()
    with open_archive(path) as archive:
        if archive.header.log != node.origin:
            raise ConfigurationError(
                "archive_of_other_log", f"the archive is of log '{archive.header.log}', not '{node.origin}'"
            )
        _check_signed(archive)
        mended = mend_records(node.database, archive, lambda: _verify_file(path, scratch))
        replayer: Replayer | None = None
        before = 0
        for batch in archive.batches():
            with node.database.writing() as connection:
                lock_head(connection)
                backend_of(connection).patient(connection)
                if replayer is None:
                    replayer = Replayer(connection, whole=True)
                    before = replayer.head.size
                replayer.go_on(connection)
                # What the purges among these name goes with them.
                replayer.add((i.record, i.enclosed) for i in batch if i.record.index >= before)
            progress(replayer.head.size)
        assert replayer is not None
        with node.database.reading() as connection:
            replayer.go_on(connection)
            check_end(archive, replayer)
            missing = _missing_by_store(node, replayer)
        # Only now all purges are known, those of the database that the archive is too old for among them.
        findings: list[Finding] = []
        for finding in chain(_bring_all_back(node, archive, before), _bring_pieces(node, archive)):
            if len(findings) < MOST_FINDINGS:
                findings.append(finding)
    # What purges in the file have dropped; of a node that only reads nobody else deletes it.
    while delete_doomed(node.content, node):
        pass
    size = replayer.head.size
    return Restored(size, size - before, mended, missing, tuple(findings))


def _missing_by_store(node: Node, replayer: Replayer) -> int | None:
    """Entries that the checkpoint store has beyond the database's, if there is a store; it must be of this log.

    Raises:
        FatalError: ``store_of_other_log``, or ``published_root_differs``.
    """
    if not node.store.exists():
        return None
    stored = node.store.load()
    node.publisher.check_origin(stored)
    size = replayer.head.size
    if stored.size <= size and replayer.root(stored.size) != stored.root:
        raise _differs(stored.size)
    return max(stored.size - size, 0)


def _check_signed(archive: Archive) -> None:
    """Demand that the log key has signed what the archive holds, before anything of it is written.

    Entries are committed batch by batch: what is found wrong only at the end would stay, and be published at the next
    start as if this node had accepted it.

    Raises:
        FatalError: ``published_root_differs``; ``directory_differs``: a directory statement does not stand.
        SignatureError: another key signed it.
    """
    directory, frontier = Directory(), Frontier()
    for item in archive.entries():
        record = item.record
        frontier = frontier.append(leaf_hash(record.leaf))
        if record.dir_number is not None:
            fold(directory, record.index, record.leaf, record.document)
    if frontier.root() != archive.checkpoint.root:
        raise _differs(archive.checkpoint.size)
    _verify(archive.checkpoint, archive.header.log, directory)


def _bring_all_back(node: Node, archive: Archive, before: int) -> Iterator[Finding]:
    """Bring back what has gone from beside the entries that the database held; what is missing beside any of all.

    Nothing that is purged comes back. So where the table that says so is not what the log holds, nothing does.
    """
    with node.database.reading() as connection:
        logged, viewed = count_purges(connection)
    if logged != viewed:
        yield Finding(
            "purges_differ",
            f"the log holds {logged} purges, the table of purged messages {viewed}: nothing was brought back from "
            "beside entries; restore again after the rebuild",
        )
    for batch in archive.batches():
        findings: list[Finding] = []
        with node.database.writing() as connection:
            lock_head(connection)
            backend_of(connection).patient(connection)
            purges = read_purges(connection, (item.record for item in batch))
            for item in batch:
                purge = purges.get(item.record.index)
                held = item.record.index < before
                if held or purge is not None:
                    may = held and logged == viewed
                    findings.extend(_bring_back(connection, node.content, item, purge, may=may))
                else:
                    findings.extend(check_enclosed(item.record, item.enclosed))
        yield from findings


def _bring_pieces(node: Node, archive: Archive) -> Iterator[Finding]:
    """Store the pieces that messages in the database consist of and that are lost; which are missing in the end.

    After the claims are there, so that nothing is stored that a purge has deleted.
    """
    content = node.content
    for digest, data in archive.pieces():
        with node.database.reading() as connection:
            if not is_claimed(connection, digest):
                continue
        if content.find(digest) is not None:
            continue
        new = content.put(digest, data)
        with node.database.writing() as connection:
            take_lock(connection)
            if (old := read_blob(connection, digest)) is not None:
                drop_blob(connection, old)
            add_blob(connection, new)
    for item in archive.entries():
        if not item.enclosed.pieces:
            continue
        with node.database.reading() as connection:
            claimed = read_claims(connection, item.record.index)
            lost = read_without_blob(connection, [d for digests in claimed.values() for d in digests])
        if lost:
            yield Finding(
                "piece_missing",
                f"entry {item.record.index}: {len(lost)} pieces of its attachments are missing",
            )


def _bring_back(
    connection: Connection, content: ContentStore, item: ArchivedEntry, purge: int | None, *, may: bool
) -> Iterator[Finding]:
    """Bring back what has gone from beside an entry, if it may; what is missing or wrong there in the end."""
    findings = tuple(check_enclosed(item.record, read_enclosed(connection, item.record, content), purge))
    if findings and may and purge is None and not any(check_enclosed(item.record, item.enclosed)):
        write_enclosed(connection, item.record.index, item.enclosed)
        return
    yield from findings
