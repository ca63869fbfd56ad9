"""A log in one file: every entry with all that belongs to it, and the checkpoint that they add up to.

Backup and export are this one file, whatever the database; what reads it believes nothing of it (rebuild.py).

Source: docs/spec/export.md §1, §2.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.codec import encode_rows, parse_rows
from countermark_broker.store.reading import EntryRecord
from countermark_broker.store.writing import Enclosed
from countermark_protocol.attachments import MAX_ATTACHMENTS, piece_digest
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS, Claims
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import DIGEST_BYTES, Reader, Writer, encode_json, malformed, parse_object
from countermark_protocol.leaf import LEAF_BYTES, parse_leaf
from countermark_protocol.statements import kind_of

MAGIC: Final = b"countermark-archive/1\n"
_VERSION: Final = 1
#: Content is at most some hundred MiB; a frame that claims more is not one of ours.
_MAX_FRAME: Final = 2**30
_MAX_DOCUMENT: Final = 2**26
_MAX_STANZA: Final = 2**16 - 1
_BLOCK: Final = 2**20
#: Entries at once: bounds what a restore that is cut off has to do again.
_BATCH: Final = 500
#: Bytes of documents and contents in memory at once, beside the largest single one.
_HELD_BYTES: Final = 16 * 2**20
#: What the digest of a piece takes of these.
_LISTED_BYTES: Final = 128


class Frame(IntEnum):
    """NOTE: numbers are file format: never reuse, never renumber."""

    HEADER = 1
    ENTRY = 2
    CHECKPOINT = 3
    END = 4
    PIECES = 5
    PIECE = 6


_OF_ENTRIES: Final = frozenset({Frame.PIECES, Frame.PIECE})


@dataclass(frozen=True, slots=True)
class ArchiveHeader:
    """What a file says of itself; nothing of it is believed.

    Attributes:
        log: origin.
        size: entries in it.
        made_at: ms since 1970.
        release: of the software that made it.
    """

    log: str
    size: int
    made_at: int
    release: str

    def encode(self) -> bytes:
        """As JSON."""
        return encode_json(
            {
                "version": _VERSION,
                "log": self.log,
                "size": self.size,
                "made_at": self.made_at,
                "release": self.release,
            }
        )


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """An entry record, and what lies beside it. An empty stanza, or no content, was not there any more.

    Attributes:
        record: of the entry.
        enclosed: what lies beside it.
        pieces: to be written: those of its attachments that there are, one after the other.
        held: when read: the digests of those that are in the file.
    """

    record: EntryRecord
    enclosed: Enclosed
    pieces: Iterable[bytes] = ()
    held: frozenset[bytes] = frozenset()

    @property
    def lost(self) -> frozenset[bytes]:
        """Digests of pieces of its attachments that the file lacks."""
        return frozenset(digest for digests in self.enclosed.pieces for digest in digests) - self.held


def _encode_entry(item: ArchivedEntry) -> bytes:
    record, enclosed = item.record, item.enclosed
    out = Writer().uint(record.index, 8).fixed(record.leaf, LEAF_BYTES).sized(record.document, 4)
    out.fixed(record.secret, 32).sized(encode_rows(record.rows), 4)
    for stanza in enclosed.stanzas:
        out.sized(stanza, 2)
    out.uint(enclosed.content is not None, 1)
    if enclosed.content is not None:
        out.sized(enclosed.content, 4)
    return out.done()


def _parse_entry(data: bytes) -> ArchivedEntry:
    reader = Reader(data, "archived entry")
    index = reader.uint(8, "index")
    leaf = reader.fixed(LEAF_BYTES, "leaf")
    document = reader.sized(4, _MAX_DOCUMENT, "document")
    secret = reader.fixed(32, "secret")
    rows = parse_rows(reader.sized(4, _MAX_DOCUMENT, "recipient rows"))
    stanzas = tuple(reader.sized(2, _MAX_STANZA, "stanza") for _ in rows)
    held = reader.uint(1, "content flag")
    if held > 1:
        malformed("bad_archive", f"archived entry {index}: content flag must be 0 or 1")
    content = reader.sized(4, _MAX_FRAME, "content") if held else None
    reader.end()
    # What the database keeps beside a record as index is worked out again, never taken from the file.
    parsed = parse_leaf(leaf)
    unverified = parse_document(document)
    number = parsed.dir_count - 1 if kind_of(unverified.claims) in DIRECTORY_KINDS else None
    record = EntryRecord(index, leaf, document, secret, rows, parsed.kind, unverified.payload_hash, number)
    return ArchivedEntry(record, Enclosed(rows, stanzas, content))


def _encode_pieces(item: ArchivedEntry) -> bytes:
    out = Writer().uint(item.record.index, 8).uint(len(item.enclosed.pieces), 2)
    for digests in item.enclosed.pieces:
        out.uint(len(digests), 2)
        for digest in digests:
            out.fixed(digest, DIGEST_BYTES)
    return out.done()


def _parse_pieces(data: bytes, item: ArchivedEntry) -> ArchivedEntry:
    reader = Reader(data, "archived list of pieces")
    if reader.uint(8, "index") != item.record.index or item.enclosed.pieces:
        malformed("bad_archive", f"archived entry {item.record.index}: a list of pieces out of its place")
    count = reader.uint(2, "attachment count")
    if count > MAX_ATTACHMENTS:
        malformed("bad_archive", f"archived entry {item.record.index}: too many attachments")
    pieces = tuple(
        tuple(reader.fixed(DIGEST_BYTES, "piece digest") for _ in range(reader.uint(2, "piece count")))
        for _ in range(count)
    )
    reader.end()
    return replace(item, enclosed=replace(item.enclosed, pieces=pieces))


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def raw(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def frame(self, kind: Frame, payload: bytes) -> None:
        self.raw(Writer().uint(kind, 1).uint(len(payload), 4).done())
        self.raw(payload)

    def end(self) -> bytes:
        digest = self._digest.digest()
        self.frame(Frame.END, digest)
        return digest


def write_archive(
    path: Path, header: ArchiveHeader, items: Iterable[ArchivedEntry], checkpoint: bytes
) -> bytes:
    """Write a file that only its owner may read; it has its name only once it is whole and on the disk.

    Args:
        path: must not exist.
        header: what it says of itself.
        items: all entries below the checkpoint's size, in order.
        checkpoint: the signed note.

    Returns:
        Digest of everything before its last frame, 32 bytes.

    Raises:
        ConfigurationError: ``file_exists``.
    """
    if path.exists():
        raise _exists(path)
    # A name of its own: two who write to one path must not write into one file.
    descriptor, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=_BLOCK) as file:
            out = _Writer(file)
            out.raw(MAGIC)
            out.frame(Frame.HEADER, header.encode())
            for item in items:
                out.frame(Frame.ENTRY, _encode_entry(item))
                if item.enclosed.pieces:
                    out.frame(Frame.PIECES, _encode_pieces(item))
                for piece in item.pieces:
                    out.frame(Frame.PIECE, piece)
            out.frame(Frame.CHECKPOINT, checkpoint)
            digest = out.end()
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest


def _exists(path: Path) -> ConfigurationError:
    return ConfigurationError("file_exists", f"{path} exists: archives are never overwritten")


def _give_name(temporary: Path, path: Path) -> None:
    """Rename, but never over another file, which `rename` would do."""
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            # FAT, as on a stick that carries an export, has no links: there an empty file holds the name meanwhile.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            temporary.replace(path)
        else:
            temporary.unlink()
    except FileExistsError:
        raise _exists(path) from None


class Archive:
    """A file being read; made by `open_archive`, which has checked its digest already.

    Attributes:
        header: what it says of itself.
        checkpoint: not verified.
        digest: of everything before its last frame, 32 bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = _check_digest(file)
        frames = self._frames()
        kind, payload = next(frames)
        if kind is not Frame.HEADER:
            malformed("bad_archive", "the archive does not begin with its header")
        self.header = _parse_header(payload)
        last: UnverifiedCheckpoint | None = None
        count = 0
        for kind, payload in frames:
            if kind is Frame.ENTRY and last is None:
                count += 1
            elif kind in _OF_ENTRIES and count and last is None:
                pass
            elif kind is Frame.CHECKPOINT and last is None:
                last = parse_checkpoint(payload)
            else:
                malformed("bad_archive", f"the archive holds a frame of kind {kind} out of its place")
        if last is None or not count == last.size == self.header.size or not count:
            malformed("bad_archive", "the archive's header, entries and checkpoint differ in their size")
        self.checkpoint = last

    def entries(self) -> Iterator[ArchivedEntry]:
        """All entries, in order.

        Raises:
            MalformedError: one is not an entry.
        """
        item: ArchivedEntry | None = None
        held: set[bytes] = set()
        for kind, payload in self._frames():
            if kind is Frame.ENTRY:
                if item is not None:
                    yield replace(item, held=frozenset(held))
                item, held = _parse_entry(payload), set()
            elif kind is Frame.PIECES and item is not None:
                item = _parse_pieces(payload, item)
            elif kind is Frame.PIECE and item is not None:
                held.add(piece_digest(payload))
        if item is not None:
            yield replace(item, held=frozenset(held))

    def pieces(self) -> Iterator[tuple[bytes, bytes]]:
        """Digest and bytes of all pieces, one in memory at a time."""
        return ((piece_digest(data), data) for kind, data in self._frames() if kind is Frame.PIECE)

    def batches(self) -> Iterator[list[ArchivedEntry]]:
        """As `entries`, as many at once as fit in memory.

        Raises:
            MalformedError: one is not an entry.
        """
        batch: list[ArchivedEntry] = []
        held = 0
        for item in self.entries():
            batch.append(item)
            held += len(item.enclosed.content or b"") + len(item.record.document)
            held += _LISTED_BYTES * sum(map(len, item.enclosed.pieces))
            if len(batch) >= _BATCH or held >= _HELD_BYTES:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _frames(self) -> Iterator[tuple[Frame, bytes]]:
        self._file.seek(len(MAGIC))
        while True:
            kind, payload = _read_frame(self._file)
            if kind is Frame.END:
                return
            yield kind, payload


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a file and check its digest: what follows is about what is in it, not about its being cut short.

    Raises:
        MalformedError: ``bad_archive``: it is not one, is cut short, or is not what was written.
    """
    with path.open("rb", buffering=_BLOCK) as file:
        yield Archive(file)


def _check_digest(file: BinaryIO) -> bytes:
    if file.read(len(MAGIC)) != MAGIC:
        malformed("bad_archive", "not an archive of a Countermark log, or of another version")
    digest = hashlib.sha256(MAGIC)
    while True:
        kind, length = _read_head(file)
        if kind is Frame.END:
            expected = _exactly(file, length)
            if file.read(1):
                malformed("bad_archive", "the archive goes on after its end")
            if digest.digest() != expected:
                malformed("bad_archive", "the archive is damaged: its digest differs")
            return expected
        digest.update(Writer().uint(kind, 1).uint(length, 4).done())
        while length:
            block = _exactly(file, min(length, _BLOCK))
            digest.update(block)
            length -= len(block)


def _read_head(file: BinaryIO) -> tuple[Frame, int]:
    reader = Reader(_exactly(file, 5), "archive frame")
    number, length = reader.uint(1, "kind"), reader.uint(4, "length")
    if number not in set(Frame) or length > _MAX_FRAME:
        malformed("bad_archive", "the archive holds a frame that this release does not know")
    return Frame(number), length


def _read_frame(file: BinaryIO) -> tuple[Frame, bytes]:
    kind, length = _read_head(file)
    return kind, _exactly(file, length)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        malformed("bad_archive", "the archive is cut short")
    return data


def _parse_header(data: bytes) -> ArchiveHeader:
    claims = Claims(parse_object(data, "archive header"), "archive header")
    if claims.integer("version", 1, 2**31) != _VERSION:
        malformed("bad_archive", f"expected version {_VERSION} of the archive")
    header = ArchiveHeader(
        claims.text("log"),
        claims.integer("size"),
        claims.time("made_at"),
        claims.text("release"),
    )
    claims.done()
    return header
