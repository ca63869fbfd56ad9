"""What lies in the content store against the rows that name it, and mending of what can be mended.

A crash between storing a piece and naming it leaves an orphan; a crash between dropping a row and deleting its blob
leaves an entry of a list that every node works off. What is lost or damaged is dropped, so that whoever has the piece
can upload it again: it is known by its digest, so nobody is believed.

Source: docs/operations/content-store.md §5; docs/operations/checking.md §2.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.services.checking import Finding
from countermark_broker.services.content_sweep import delete_doomed
from countermark_broker.services.node import Node
from countermark_broker.store.blobs import ORPHAN_AGE_MS, StoredBlob, digest_of
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Database, backend_of
from countermark_broker.store.head import read_size, take_lock
from countermark_broker.store.loading import chunks
from countermark_broker.store.pieces import (
    Blob,
    add_blob,
    drop_blob,
    drop_claims,
    drop_unnamed,
    find_claims,
    is_claimed,
    read_blob,
    read_blobs,
    read_names,
    read_purged_claims,
    read_unnamed,
)
from countermark_protocol.attachments import piece_digest

_BEHIND: Final = (
    "bring the database to what was published first (docs/operations/backup-and-restore.md §5): what no row names now "
    "may be pieces of the messages that are missing"
)


@dataclass(frozen=True, slots=True)
class Mended:
    """What was mended.

    Attributes:
        deleted: blobs that were on the list of what is to be deleted.
        adopted: blobs that no row named, of pieces that were missing: they are there again.
        orphans: other blobs that no row named.
        unnamed: pieces that neither an upload nor a message named.
        lost: pieces that were not there, or damaged, and can be uploaded again now.
    """

    deleted: int
    adopted: int
    orphans: int
    unnamed: int
    lost: int


def check_blobs(node: Node) -> Iterator[Finding]:
    """Read every piece once, and list every store; nodes may run.

    Raises:
        UnavailableError: a store does not answer.
    """
    for place, orphan in _orphans(node.content, node.database):
        yield Finding("orphan_blob", f"{place}: {orphan.name} ({orphan.size} bytes) is named by no row")
    for blob, why in _lost(node.content, node.database):
        yield Finding(
            f"piece_{why}", f"{_named(node.database, blob)}: {_WORDS[why].format(place=blob.place)}"
        )
    if unnamed := len(_unnamed(node.database)):
        yield Finding("unnamed_blob", f"{unnamed} pieces or more belong to no upload and no message")


_WORDS = {
    "missing": "is not in {place}, where it should lie",
    "differs": "is damaged in {place}",
    "elsewhere": "lies in {place}, which this node's settings do not name",
}


def mend_content(node: Node) -> Mended:
    """Put right what can be; nodes may run.

    Raises:
        FatalError: ``database_behind_store``.
        UnavailableError: a store does not answer; what was done is done.
    """
    _check_whole(node)
    content, database = node.content, node.database
    deleted = 0
    while gone := delete_doomed(content, node):
        deleted += gone
    unnamed = 0
    while purged := _purged(database):
        with database.writing() as connection:
            take_lock(connection)
            drop_claims(connection, purged)
    while page := _unnamed(database):
        # Looked for without the lock, which all appends wait for; under it only these few are looked at again.
        with database.writing() as connection:
            take_lock(connection)
            dropped = drop_unnamed(connection, page)
        if not dropped:
            break
        unnamed += dropped
    adopted = orphans = 0
    # What is lost goes first, so that what was left of it elsewhere takes its place.
    lost = _drop_lost(content, database)
    for place, orphan in _orphans(content, database):
        if _adopt(content, database, place, orphan):
            adopted += 1
            continue
        content.store(place).delete(orphan.name)
        orphans += 1
    while gone := delete_doomed(content, node):
        deleted += gone
    return Mended(deleted, adopted, orphans, unnamed, lost)


def _purged(database: Database) -> list[int]:
    with database.reading() as connection:
        backend_of(connection).patient(connection)
        return read_purged_claims(connection)


def _unnamed(database: Database) -> list[bytes]:
    with database.reading() as connection:
        backend_of(connection).patient(connection)
        return read_unnamed(connection)


def _check_whole(node: Node) -> None:
    stored = node.store.load()
    with node.database.reading() as connection:
        size = read_size(connection)
    if stored.size > size:
        raise FatalError(
            "database_behind_store",
            f"the published log has {stored.size} entries, this database {size}",
            _BEHIND,
        )


def _drop_lost(content: ContentStore, database: Database) -> int:
    lost = 0
    for blob, why in _lost(content, database):
        if why == "elsewhere":
            continue
        with database.writing() as connection:
            take_lock(connection)
            lost += drop_blob(connection, blob)
    return lost


def _adopt(content: ContentStore, database: Database, place: str, orphan: StoredBlob) -> bool:
    """Let a row name what none names, if it is a piece that a message consists of and that lies nowhere."""
    digest = digest_of(orphan.name)
    with database.reading() as connection:
        wanted = is_claimed(connection, digest) and read_blob(connection, digest) is None
    data = content.store(place).get(orphan.name) if wanted else None
    if data is None or piece_digest(data) != digest:
        return False
    with database.writing() as connection:
        take_lock(connection)
        return is_claimed(connection, digest) and add_blob(
            connection, Blob(digest, len(data), place, orphan.name)
        )


def _orphans(content: ContentStore, database: Database) -> Iterator[tuple[str, StoredBlob]]:
    """What lies in a store, is old enough not to be just being written, and is named by no row."""
    for place in content.places:
        for page in chunks(content.store(place).stored()):
            # Looked at after the store was: what is named by then is no orphan.
            with database.reading() as connection:
                named = read_names(connection, [blob.name for blob in page])
            oldest = time.time_ns() // 1_000_000 - ORPHAN_AGE_MS
            for blob in page:
                if blob.name not in named and blob.written_at < oldest:
                    yield place, blob


def _lost(content: ContentStore, database: Database) -> Iterator[tuple[Blob, str]]:
    """Pieces that do not lie where their rows say, and why."""
    after = b""
    while True:
        with database.reading() as connection:
            page = read_blobs(connection, after)
        if not page:
            return
        for blob in page:
            why = _look(content, blob)
            if why:
                with database.reading() as connection:
                    # Moved or dropped since.
                    if read_blob(connection, blob.digest) != blob:
                        continue
                yield blob, why
        after = page[-1].digest


def _look(content: ContentStore, blob: Blob) -> str:
    if blob.place not in content.places:
        return "elsewhere"
    data = content.store(blob.place).get(blob.name)
    if data is None:
        return "missing"
    return "" if len(data) == blob.size and piece_digest(data) == blob.digest else "differs"


def _named(database: Database, blob: Blob) -> str:
    with database.reading() as connection:
        places = find_claims(connection, blob.digest)
    what = [
        f"entry {message}, {'its content' if part < 0 else f'attachment {part}, piece {number}'}"
        for message, part, number in places
    ]
    return "; ".join(what) or f"an upload that no message has claimed ({blob.digest.hex()})"
