"""A hand-back: what an auditor's mirror or a party has kept of a log's tail, in one file for its operator.

A sender gives what it posted (`HeldStatement`), everybody what it has received and the directory (`KeptEntry`), an
oversight auditor whole records (`TailRecord`).

Whoever reads one believes nothing of it: records are replayed and must give the published root, and what lies beside
them must have the digests that were signed. These functions take bytes and calls that read or write; they open no file.

Source: docs/spec/export.md §6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from countermark_protocol.answers import Accepted, parse_accepted
from countermark_protocol.attachments import SealedAttachment
from countermark_protocol.claims import KIND_NAMES, Claims, Kind
from countermark_protocol.documents import UnverifiedDocument, parse_document
from countermark_protocol.encoding import (
    DIGEST_BYTES,
    Reader,
    Writer,
    encode_json,
    malformed,
    parse_json,
    parse_object,
)
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.proof import parse_recipients, recipient_to_json
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.submission import MAX_DOCUMENT_BYTES, MAX_SUBMISSION_BYTES

MAGIC: Final = b"countermark-hand-back/1\n"
_VERSION: Final = 1
_MAX_FRAME: Final = 2**30
_MAX_ROWS: Final = 2**24
_MAX_PROOF: Final = 2**20
_MAX_STANZA: Final = 2**16 - 1


class HandBackFrame(IntEnum):
    """NOTE: numbers are file format: never reuse, never renumber."""

    HEADER = 1
    RECORD = 2
    CHECKPOINT = 3
    END = 4
    HELD = 5
    KEPT = 6


@dataclass(frozen=True, slots=True)
class HandBackHeader:
    """What a file says of itself; nothing of it is believed.

    Attributes:
        log: origin.
        holder: who hands back: an address.
        first: index that it was asked to begin at.
        made_at: ms since 1970.
    """

    log: str
    holder: str
    first: int
    made_at: int

    def encode(self) -> bytes:
        """As JSON."""
        return encode_json(
            {
                "version": _VERSION,
                "log": self.log,
                "holder": self.holder,
                "first": self.first,
                "made_at": self.made_at,
            }
        )


@dataclass(frozen=True, slots=True)
class TailRecord:
    """An entry with its secret, as an oversight auditor is shown it: all that the tree and the boxes follow from.

    Attributes:
        index: of the entry.
        leaf: its 115 bytes.
        document: the signed document.
        secret: 32 bytes, from which the salts of its delivery rows come.
        rows: recipients, of a message.
    """

    index: int
    leaf: bytes
    document: bytes
    secret: bytes
    rows: tuple[RecipientRow, ...] = ()

    def encode(self) -> bytes:
        """As the payload of a frame."""
        rows = encode_json([recipient_to_json(row) for row in self.rows]) if self.rows else b""
        out = Writer().uint(self.index, 8).fixed(self.leaf, LEAF_BYTES).sized(self.document, 4)
        return out.fixed(self.secret, 32).sized(rows, 4).done()


@dataclass(frozen=True, slots=True)
class HeldStatement:
    """A statement as its author sent it, with the proof that the broker answered.

    Attributes:
        index: of its entry.
        body: what was posted: of a message the submission, of all else the signed document.
        is_message: which of the two.
        proof: checkpoint and inclusion.
    """

    index: int
    body: bytes
    is_message: bool
    proof: Accepted

    def encode(self) -> bytes:
        """As the payload of a frame; of the proof only checkpoint and inclusion are written."""
        proof = Accepted(self.proof.checkpoint, self.proof.inclusion)
        out = Writer().uint(self.index, 8).uint(self.is_message, 1).sized(encode_json(proof.to_json()), 4)
        return out.sized(self.body, 4).done()


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """An entry as one of its parties has kept it: received, sent long ago, or a statement of the directory.

    Attributes:
        index: of the entry.
        leaf: its 115 bytes.
        document: the signed document.
        proof: checkpoint and inclusion, as it was verified under; None of a directory statement.
        rows: recipient rows that the holder has: its own, or all of them; of a message.
        stanzas: of these rows, in their order; empty where the holder has it not.
        content: ciphertext; None where the holder has it not.
        pieces: of a message with attachments: digests of the pieces of each, in the manifest's order; empty where the
            holder has them not.
    """

    index: int
    leaf: bytes
    document: bytes
    proof: Accepted | None = None
    rows: tuple[RecipientRow, ...] = ()
    stanzas: tuple[bytes, ...] = ()
    content: bytes | None = None
    pieces: tuple[tuple[bytes, ...], ...] = ()

    def encode(self) -> bytes:
        """As the payload of a frame.

        Raises:
            ValueError: it has lists of pieces, and not one for each attachment.
        """
        proof = b""
        if self.proof is not None:
            proof = encode_json(Accepted(self.proof.checkpoint, self.proof.inclusion).to_json())
        rows = encode_json([recipient_to_json(row) for row in self.rows]) if self.rows else b""
        out = Writer().uint(self.index, 8).fixed(self.leaf, LEAF_BYTES).sized(self.document, 4)
        out.sized(proof, 4).sized(rows, 4)
        for stanza in self.stanzas:
            out.sized(stanza, 2)
        out.uint(self.content is not None, 1)
        if self.content is not None:
            out.sized(self.content, 4)
        attachments = _attachments_of(parse_document(self.document))
        for _, digests in zip(attachments, self.pieces or ((),) * len(attachments), strict=True):
            out.uint(len(digests), 2)
            for digest in digests:
                out.fixed(digest, DIGEST_BYTES)
        return out.done()


def parse_hand_back_header(data: bytes) -> HandBackHeader:
    """Parse the first frame.

    Raises:
        MalformedError: it is not one; ``bad_hand_back``: another version.
    """
    claims = Claims(parse_object(data, "hand-back header"), "hand-back header")
    if claims.integer("version", 1, 2**31) != _VERSION:
        malformed("bad_hand_back", f"expected version {_VERSION} of the hand-back")
    header = HandBackHeader(
        claims.text("log"), claims.text("holder"), claims.integer("first"), claims.time("made_at")
    )
    claims.done()
    return header


def parse_tail_record(data: bytes) -> TailRecord:
    """Parse a record frame.

    Raises:
        MalformedError: it is not one.
    """
    reader = Reader(data, "record handed back")
    index, leaf = reader.uint(8, "index"), reader.fixed(LEAF_BYTES, "leaf")
    document = reader.sized(4, MAX_DOCUMENT_BYTES, "document")
    secret = reader.fixed(32, "secret")
    rows = reader.sized(4, _MAX_ROWS, "recipient rows")
    reader.end()
    parse_document(document)
    return TailRecord(index, leaf, document, secret, parse_recipients(parse_json(rows)) if rows else ())


def parse_held_statement(data: bytes) -> HeldStatement:
    """Parse a held statement; whether its body is what the proof is for is not checked.

    Raises:
        MalformedError: it is not one; ``bad_hand_back``: its proof is of another index.
    """
    reader = Reader(data, "statement handed back")
    index, flag = reader.uint(8, "index"), reader.uint(1, "form")
    proof = parse_accepted(reader.sized(4, _MAX_PROOF, "proof"))
    body = reader.sized(4, MAX_SUBMISSION_BYTES, "body")
    reader.end()
    if flag > 1 or proof.inclusion.index != index:
        malformed("bad_hand_back", f"the statement handed back as entry {index} is not in its one form")
    return HeldStatement(index, body, bool(flag), proof)


def parse_kept_entry(data: bytes) -> KeptEntry:
    """Parse a kept entry; whether what it holds belongs together is not checked.

    Raises:
        MalformedError: it is not one; ``bad_hand_back``: its proof is of another index or leaf, or it lists another
            number of pieces than an attachment has.
    """
    reader = Reader(data, "entry handed back")
    index, leaf = reader.uint(8, "index"), reader.fixed(LEAF_BYTES, "leaf")
    document = reader.sized(4, MAX_DOCUMENT_BYTES, "document")
    proven = reader.sized(4, _MAX_PROOF, "proof")
    listed = reader.sized(4, _MAX_ROWS, "recipient rows")
    rows = parse_recipients(parse_json(listed)) if listed else ()
    stanzas = tuple(reader.sized(2, _MAX_STANZA, "stanza") for _ in rows)
    flag = reader.uint(1, "content flag")
    content = reader.sized(4, MAX_SUBMISSION_BYTES, "content") if flag else None
    pieces = tuple(_listed(reader, index, one) for one in _attachments_of(parse_document(document)))
    reader.end()
    proof = parse_accepted(proven) if proven else None
    if flag > 1 or (proof is not None and (proof.inclusion.index, proof.inclusion.leaf) != (index, leaf)):
        malformed("bad_hand_back", f"what was handed back as entry {index} is not in its one form")
    return KeptEntry(index, leaf, document, proof, rows, stanzas, content, pieces if any(pieces) else ())


def _attachments_of(document: UnverifiedDocument) -> tuple[SealedAttachment, ...]:
    if document.claims.get("kind") != KIND_NAMES[Kind.MESSAGE]:
        return ()
    return parse_manifest(document.claims).attachments


def _listed(reader: Reader, index: int, named: SealedAttachment) -> tuple[bytes, ...]:
    count = reader.uint(2, "piece count")
    if count not in {0, named.pieces}:
        malformed(
            "bad_hand_back",
            f"entry {index}: an attachment of {named.size} bytes has {named.pieces} pieces, {count} are listed",
        )
    return tuple(reader.fixed(DIGEST_BYTES, "piece digest") for _ in range(count))


class HandBackWriter:
    """Writes frames, and the digest of all of them at the end.

    Args:
        write: takes bytes, one piece after the other.
        header: what the file says of itself.
    """

    def __init__(self, write: Callable[[bytes], object], header: HandBackHeader) -> None:
        self._write, self._digest = write, hashlib.sha256()
        self._raw(MAGIC)
        self._frame(HandBackFrame.HEADER, header.encode())

    def record(self, record: TailRecord) -> None:
        """Write an entry's record."""
        self._frame(HandBackFrame.RECORD, record.encode())

    def held(self, held: HeldStatement) -> None:
        """Write a statement with its proof."""
        self._frame(HandBackFrame.HELD, held.encode())

    def kept(self, kept: KeptEntry) -> None:
        """Write an entry as a party has kept it."""
        self._frame(HandBackFrame.KEPT, kept.encode())

    def checkpoint(self, note: bytes) -> None:
        """Write a signed note."""
        self._frame(HandBackFrame.CHECKPOINT, note)

    def end(self) -> bytes:
        """Write the end; digest of everything before it, 32 bytes."""
        digest = self._digest.digest()
        self._frame(HandBackFrame.END, digest)
        return digest

    def _raw(self, data: bytes) -> None:
        self._write(data)
        self._digest.update(data)

    def _frame(self, kind: HandBackFrame, payload: bytes) -> None:
        self._raw(Writer().uint(kind, 1).uint(len(payload), 4).done())
        self._raw(payload)


def read_hand_back(read: Callable[[int], bytes]) -> Iterator[tuple[HandBackFrame, bytes]]:
    """Frames and their payloads, the header first, without the end; the digest is checked behind the last one.

    Nothing may be done with what it yields before it has ended.

    Args:
        read: gives as many bytes as asked for, fewer only at the end of the file.

    Raises:
        MalformedError: ``bad_hand_back``: it is none, is cut short, or is not what was written.
    """
    if read(len(MAGIC)) != MAGIC:
        malformed("bad_hand_back", "not a hand-back of a Countermark log, or of another version")
    digest, first = hashlib.sha256(MAGIC), True
    while True:
        head = _exactly(read, 5)
        number, length = head[0], int.from_bytes(head[1:], "big")
        if number not in set(HandBackFrame) or length > _MAX_FRAME:
            malformed("bad_hand_back", "the hand-back holds a frame that this release does not know")
        kind, payload = HandBackFrame(number), _exactly(read, length)
        if kind is HandBackFrame.END:
            if read(1) or payload != digest.digest():
                malformed("bad_hand_back", "the hand-back is damaged: its digest differs")
            return
        if first is not (kind is HandBackFrame.HEADER):
            malformed("bad_hand_back", "the hand-back does not begin with its one header")
        digest.update(head)
        digest.update(payload)
        first = False
        yield kind, payload


def _exactly(read: Callable[[int], bytes], length: int) -> bytes:
    data = read(length)
    if len(data) != length:
        malformed("bad_hand_back", "the hand-back is cut short")
    return data
