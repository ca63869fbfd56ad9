"""Rows about pieces: who uploaded them, which message claims them, where they lie, what is to be deleted.

A piece is kept while an upload or a claim names it. Whoever takes the last of these away (a sweep, a purge) holds the
lock of the head and that of the piece's row; whoever adds one holds the lock of the piece's row (an upload) or of the
head (a claim). So what is named is there, whatever runs at the same time on any node. What is not named any more is
put on a list in the same transaction, and deleted from its store afterwards.

Source: docs/spec/api.md §3.14; docs/adr/0031-content-store.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text, union, update

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.loading import chunks
from countermark_broker.store.tables import (
    CONTENT_PART,
    blob_data,
    blobs,
    claims,
    content_places,
    contents,
    doomed_blobs,
    messages,
    purges,
    uploads,
)
from countermark_protocol.identifiers import Address

_PAGE = 500
_FEW = 8


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a piece lies.

    Attributes:
        digest: of it, 32 bytes.
        size: bytes.
        place: of the store.
        name: in the store.
    """

    digest: bytes
    size: int
    place: str
    name: str


# --- blobs ---


def read_blob(connection: Connection, digest: bytes) -> Blob | None:
    """Where a piece lies, if anywhere."""
    row = connection.execute(select(blobs).where(blobs.c.digest == digest)).one_or_none()
    return Blob(*row) if row is not None else None


def lock_blob(connection: Connection, digest: bytes) -> Blob | None:
    """As `read_blob`; until the transaction ends nobody moves or drops it."""
    query = select(blobs).where(blobs.c.digest == digest).with_for_update()
    row = connection.execute(query).one_or_none()
    return Blob(*row) if row is not None else None


def add_blob(connection: Connection, blob: Blob) -> bool:
    """Say where a piece lies; False if that is known already."""
    done = connection.execute(
        text(
            "INSERT INTO blobs (digest, size, place, name) VALUES (:digest, :size, :place, :name) "
            "ON CONFLICT (digest) DO NOTHING"
        ),
        {"digest": blob.digest, "size": blob.size, "place": blob.place, "name": blob.name},
    )
    return done.rowcount == 1


def read_blobs(connection: Connection, after: bytes = b"", place: str | None = None) -> list[Blob]:
    """A page of all pieces, in the order of their digests.

    Args:
        connection: to the database.
        after: the digest that the last page ended with.
        place: only those that lie there.
    """
    query = select(blobs).where(blobs.c.digest > after).order_by(blobs.c.digest).limit(_PAGE)
    if place is not None:
        query = query.where(blobs.c.place == place)
    return [Blob(*row) for row in connection.execute(query)]


def read_names(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of some names that a row names, as what is kept or as what is to be deleted."""
    out: set[str] = set()
    for part in chunks(names):
        query = union(
            select(blobs.c.name).where(blobs.c.name.in_(part)),
            select(doomed_blobs.c.name).where(doomed_blobs.c.name.in_(part)),
        )
        out.update(connection.execute(query).scalars())
    return out


def count_places(connection: Connection) -> dict[str, tuple[int, int]]:
    """Place → pieces that lie there, and their bytes."""
    query = select(blobs.c.place, func.count(), func.sum(blobs.c.size)).group_by(blobs.c.place)
    return {row[0]: (row[1], int(row[2])) for row in connection.execute(query)}


def move_blob(connection: Connection, old: Blob, place: str, name: str) -> bool:
    """Let a piece lie elsewhere, where it was copied to; False if it is not where it was any more."""
    moved = connection.execute(
        update(blobs)
        .where(blobs.c.digest == old.digest, blobs.c.place == old.place, blobs.c.name == old.name)
        .values(place=place, name=name)
    )
    if moved.rowcount != 1:
        return False
    doom(connection, [old])
    return True


def drop_blob(connection: Connection, old: Blob) -> bool:
    """Forget where a piece lies, since it does not lie there: who has it may upload it again."""
    done = connection.execute(delete(blobs).where(blobs.c.digest == old.digest, blobs.c.name == old.name))
    if done.rowcount == 1:
        doom(connection, [old])
    return done.rowcount == 1


def drop_unnamed(connection: Connection, digests: Iterable[bytes]) -> int:
    """Drop those of some pieces that nothing names any more; the transaction must hold the head's lock.

    Returns:
        How many.
    """
    dropped = 0
    for part in chunks(sorted(set(digests))):
        locked = select(blobs).where(blobs.c.digest.in_(part)).order_by(blobs.c.digest).with_for_update()
        rows = [Blob(*row) for row in connection.execute(locked)]
        # A statement of its own: it sees what was committed while the rows' locks were waited for.
        names = union(
            select(uploads.c.digest).where(uploads.c.digest.in_(part)),
            select(claims.c.digest).where(claims.c.digest.in_(part)),
        )
        named = set(connection.execute(names).scalars())
        free = [blob for blob in rows if blob.digest not in named]
        if free:
            connection.execute(delete(blobs).where(blobs.c.digest.in_([blob.digest for blob in free])))
            doom(connection, free)
            dropped += len(free)
    return dropped


def doom(connection: Connection, gone: Sequence[Blob]) -> None:
    """Let what no row names any more be deleted: in the database now, elsewhere once this is committed."""
    inside = [blob.name for blob in gone if blob.place == "database"]
    if inside:
        connection.execute(delete(blob_data).where(blob_data.c.name.in_(inside)))
    outside = [{"place": blob.place, "name": blob.name} for blob in gone if blob.place != "database"]
    if outside:
        connection.execute(
            text(
                "INSERT INTO doomed_blobs (place, name) VALUES (:place, :name) ON CONFLICT (place, name) DO NOTHING"
            ),
            outside,
        )


def read_doomed(connection: Connection, places: Collection[str]) -> list[tuple[str, str]]:
    """Some of what is still to be deleted from stores: (place, name) each."""
    query = select(doomed_blobs).where(doomed_blobs.c.place.in_(places)).limit(_PAGE)
    return [(row.place, row.name) for row in connection.execute(query)]


def count_doomed(connection: Connection) -> int:
    """How much is still to be deleted from stores."""
    return int(connection.execute(select(func.count()).select_from(doomed_blobs)).scalar_one())


def strike_doomed(connection: Connection, names: Iterable[str]) -> None:
    """Take what was deleted off the list."""
    for part in chunks(names):
        connection.execute(delete(doomed_blobs).where(doomed_blobs.c.name.in_(part)))


def read_unnamed(connection: Connection) -> list[bytes]:
    """Some of the pieces that neither an upload nor a claim names: left by a restore that was cut off."""
    query = (
        select(blobs.c.digest)
        .where(
            ~select(uploads.c.digest).where(uploads.c.digest == blobs.c.digest).exists(),
            ~select(claims.c.digest).where(claims.c.digest == blobs.c.digest).exists(),
        )
        .limit(_PAGE)
    )
    return list(connection.execute(query).scalars())


# --- uploads ---


def note_upload(connection: Connection, endpoint: Address, blob: Blob, now: int) -> bool:
    """Say that an endpoint has uploaded a piece; the transaction must hold its row's lock, or have added it.

    Returns:
        Whether this endpoint had not.
    """
    known = select(uploads.c.digest).where(uploads.c.endpoint == endpoint, uploads.c.digest == blob.digest)
    fresh = connection.execute(known).one_or_none() is None
    connection.execute(
        text(
            "INSERT INTO uploads (endpoint, digest, size, uploaded_at) VALUES (:endpoint, :digest, :size, :now) "
            "ON CONFLICT (endpoint, digest) DO UPDATE SET uploaded_at = excluded.uploaded_at"
        ),
        {"endpoint": endpoint, "digest": blob.digest, "size": blob.size, "now": now},
    )
    return fresh


def read_uploaded(connection: Connection, endpoint: Address) -> int:
    """Bytes that an endpoint has uploaded and no message of its has claimed."""
    query = select(func.coalesce(func.sum(uploads.c.size), 0)).where(uploads.c.endpoint == endpoint)
    return int(connection.execute(query).scalar_one())


def read_held(connection: Connection, endpoint: Address, digests: Collection[bytes]) -> set[bytes]:
    """Those of some pieces that an endpoint has uploaded, or that a message of its consists of."""
    out: set[bytes] = set()
    for part in chunks(digests):
        mine = union(
            select(uploads.c.digest).where(uploads.c.endpoint == endpoint, uploads.c.digest.in_(part)),
            select(claims.c.digest)
            .join(messages, messages.c.entry == claims.c.message)
            .where(claims.c.digest.in_(part), messages.c.sender == endpoint),
        ).subquery()
        query = select(blobs.c.digest).join(mine, mine.c.digest == blobs.c.digest)
        out.update(connection.execute(query).scalars())
    return out


def has_ended(connection: Connection, before: int) -> bool:
    """Whether there are uploads from before a time."""
    query = select(uploads.c.digest).where(uploads.c.uploaded_at < before).limit(1)
    return connection.execute(query).first() is not None


def end_uploads(connection: Connection, before: int) -> tuple[int, int]:
    """Forget uploads from before a time, and drop what then nothing names; one page, under the head's lock.

    Returns:
        Uploads forgotten, and pieces dropped.
    """
    query = (
        select(uploads.c.endpoint, uploads.c.digest)
        .where(uploads.c.uploaded_at < before)
        .order_by(uploads.c.uploaded_at)
        .limit(_PAGE)
    )
    ended = connection.execute(query).all()
    for row in ended:
        connection.execute(
            delete(uploads).where(
                uploads.c.endpoint == row.endpoint,
                uploads.c.digest == row.digest,
                uploads.c.uploaded_at < before,
            )
        )
    return len(ended), drop_unnamed(connection, (row.digest for row in ended))


def forget_uploads(connection: Connection, endpoint: Address, digests: Collection[bytes]) -> None:
    """A message of an endpoint has claimed these: they are its uploads no more."""
    for part in chunks(digests):
        connection.execute(delete(uploads).where(uploads.c.endpoint == endpoint, uploads.c.digest.in_(part)))


# --- claims ---


def read_claims(connection: Connection, message: int) -> dict[int, tuple[bytes, ...]]:
    """Part → digests of its pieces, in order."""
    query = select(claims).where(claims.c.message == message).order_by(claims.c.part, claims.c.number)
    out: dict[int, list[bytes]] = {}
    for row in connection.execute(query):
        out.setdefault(row.part, []).append(row.digest)
    return {part: tuple(digests) for part, digests in out.items()}


def read_claimed_part(connection: Connection, message: int, part: int) -> tuple[bytes, ...]:
    """Digests of the pieces of one part, in order."""
    query = (
        select(claims.c.digest)
        .where(claims.c.message == message, claims.c.part == part)
        .order_by(claims.c.number)
    )
    return tuple(connection.execute(query).scalars())


def find_claims(connection: Connection, digest: bytes) -> list[tuple[int, int, int]]:
    """Some of the messages that consist of a piece: (entry, part, number) each."""
    query = (
        select(claims.c.message, claims.c.part, claims.c.number)
        .where(claims.c.digest == digest)
        .order_by(claims.c.message, claims.c.part, claims.c.number)
        .limit(_FEW)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def is_claimed(connection: Connection, digest: bytes) -> bool:
    """Whether a message consists of this piece."""
    return (
        connection.execute(select(claims.c.digest).where(claims.c.digest == digest).limit(1)).first()
        is not None
    )


def read_without_blob(connection: Connection, digests: Collection[bytes]) -> set[bytes]:
    """Those of some pieces that lie nowhere."""
    missing = set(digests)
    for part in chunks(digests):
        missing.difference_update(
            connection.execute(select(blobs.c.digest).where(blobs.c.digest.in_(part))).scalars()
        )
    return missing


def read_purged_claims(connection: Connection) -> list[int]:
    """Some of the messages that are purged and claim pieces all the same: a release without attachments purged them."""
    query = (
        select(claims.c.message)
        .distinct()
        .join(messages, messages.c.entry == claims.c.message)
        .join(purges, purges.c.payload_hash == messages.c.payload_hash)
        .limit(_PAGE)
    )
    return list(connection.execute(query).scalars())


def drop_claims(connection: Connection, indexes: Collection[int]) -> None:
    """Messages consist of nothing any more: they are purged. The transaction must hold the head's lock."""
    for part in chunks(indexes):
        query = select(claims.c.digest).where(claims.c.message.in_(part)).distinct()
        digests = list(connection.execute(query).scalars())
        if digests:
            connection.execute(delete(claims).where(claims.c.message.in_(part)))
            drop_unnamed(connection, digests)


# --- contents that go out of their table ---


def read_large_contents(connection: Connection, after: int, above: int) -> list[int]:
    """Entries of messages whose content lies in its table and has more bytes than `above`."""
    query = (
        select(contents.c.message)
        .where(contents.c.message > after, func.length(contents.c.content) > above)
        .order_by(contents.c.message)
        .limit(_PAGE)
    )
    return list(connection.execute(query).scalars())


def take_content_out(connection: Connection, message: int, blob: Blob) -> bool:
    """Let a content that was copied lie in the content store; False if it is gone from its table."""
    if connection.execute(delete(contents).where(contents.c.message == message)).rowcount != 1:
        return False
    while not add_blob(connection, blob):
        # The same bytes may be another message's: then the copy goes. Or they were, until a moment ago.
        if lock_blob(connection, blob.digest) is not None:
            doom(connection, [blob])
            break
    backend_of(connection).insert(connection, claims, [(message, CONTENT_PART, 0, blob.digest)])
    return True


# --- marks ---


def read_mark(connection: Connection, place: str) -> bytes | None:
    """The mark by which this log knows its store in a place; None: it has none there."""
    query = select(content_places.c.mark).where(content_places.c.place == place)
    return connection.execute(query).scalar_one_or_none()


def add_mark(connection: Connection, place: str, mark: bytes) -> bytes:
    """Know a store by a mark, unless it is known already; the mark it is known by."""
    connection.execute(
        text(
            "INSERT INTO content_places (place, mark) VALUES (:place, :mark) ON CONFLICT (place) DO NOTHING"
        ),
        {"place": place, "mark": mark},
    )
    known = read_mark(connection, place)
    assert known is not None, "it was written just now"
    return known
