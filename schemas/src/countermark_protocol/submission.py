"""A submission: everything a sender hands in with a message, as one strict binary unit.

Layout: version u8 ‖ manifest document u32-sized ‖ row count u16 ‖ rows in order, each (salt 32 ‖ endpoint
u8-sized ‖ sealing key id 32 ‖ stanza u16-sized) ‖ content u32-sized ‖ attachment count u16 ‖ for each its piece count
u16 and the digests of its pieces, 32 bytes each. The pieces themselves are uploaded before (docs/spec/api.md).

Source: docs/spec/messages.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.attachments import MAX_ATTACHMENTS, MAX_PIECES, SealedAttachment, check_pieces
from countermark_protocol.documents import MAX_PAYLOAD_BYTES, UnverifiedDocument, parse_document
from countermark_protocol.encoding import (
    DIGEST_BYTES,
    Reader,
    Writer,
    labelled_hash_of_large,
    malformed,
)
from countermark_protocol.errors import UncheckableError
from countermark_protocol.identifiers import KeyId, parse_address
from countermark_protocol.manifest import MAX_CONTENT_BYTES, Manifest, parse_manifest
from countermark_protocol.recipients import (
    MAX_RECIPIENTS,
    MAX_STANZA_BYTES,
    RecipientRow,
    recipients_root,
    stanza_hash,
)

SUBMISSION_VERSION: Final = 1
MAX_DOCUMENT_BYTES: Final = MAX_PAYLOAD_BYTES + 64 * 1024
MAX_SUBMISSION_BYTES: Final = (
    MAX_DOCUMENT_BYTES
    + MAX_CONTENT_BYTES
    + MAX_RECIPIENTS * (MAX_STANZA_BYTES + 256)
    + MAX_ATTACHMENTS * 2
    + MAX_PIECES * DIGEST_BYTES
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A parsed submission whose parts belong together; its signatures are not checked by being here.

    Attributes:
        document: the manifest's signed document.
        manifest: read from its payload.
        rows: recipients, in order.
        stanzas: one for each row.
        content: the ciphertext.
        pieces: digests of the pieces of each attachment, in the manifest's order.
    """

    document: UnverifiedDocument
    manifest: Manifest
    rows: tuple[RecipientRow, ...]
    stanzas: tuple[bytes, ...]
    content: bytes
    pieces: tuple[tuple[bytes, ...], ...] = ()

    def signed_anew(self, document: bytes) -> bytes:
        """The submission encoded with another signed document of the same payload."""
        return encode_submission(document, self.rows, self.stanzas, self.content, self.pieces)


def encode_submission(
    document: bytes,
    rows: Sequence[RecipientRow],
    stanzas: Sequence[bytes],
    content: bytes,
    pieces: Sequence[Sequence[bytes]] = (),
) -> bytes:
    """Encode a submission.

    Args:
        document: the signed manifest.
        rows: in order.
        stanzas: in the order of `rows`.
        content: the ciphertext.
        pieces: digests of the pieces of each attachment, in the manifest's order; the pieces are uploaded before.
    """
    out = Writer().uint(SUBMISSION_VERSION, 1).sized(document, 4).uint(len(rows), 2)
    for row, stanza in zip(rows, stanzas, strict=True):
        out.fixed(row.salt, 32).sized(row.endpoint.encode(), 1).fixed(row.sealing_key, 32).sized(stanza, 2)
    out.sized(content, 4).uint(len(pieces), 2)
    for digests in pieces:
        out.uint(len(digests), 2)
        for digest in digests:
            out.fixed(digest, DIGEST_BYTES)
    return out.done()


def parse_submission(data: bytes) -> Submission:
    """Parse a submission and check that everything in it is what its manifest names.

    Raises:
        MalformedError: not the one encoding; rows that do not give the manifest's root
            (``recipients_root_mismatch``) or count; content that is not the one named (``content_mismatch``);
            pieces that are not those of the attachments named (``attachment_mismatch``).
        UncheckableError: another version.
    """
    reader = Reader(data, "submission")
    if reader.uint(1, "version") != SUBMISSION_VERSION:
        raise UncheckableError("unknown_version", f"submission has another version than {SUBMISSION_VERSION}")
    document = parse_document(reader.sized(4, MAX_DOCUMENT_BYTES, "manifest document"))
    manifest = parse_manifest(document.claims)
    count = reader.uint(2, "row count")
    if not 1 <= count <= MAX_RECIPIENTS:
        malformed("too_many_recipients", f"expected 1 to {MAX_RECIPIENTS} recipients, got {count}")
    rows: list[RecipientRow] = []
    stanzas: list[bytes] = []
    for _ in range(count):
        salt = reader.fixed(32, "row salt")
        try:
            endpoint = parse_address(reader.sized(1, 255, "row endpoint").decode("ascii"), "recipient")
        except UnicodeDecodeError:
            malformed("not_an_address", "recipient is not ASCII")
        key_id = KeyId(reader.fixed(32, "row key id"))
        stanza = reader.sized(2, MAX_STANZA_BYTES, "stanza")
        rows.append(RecipientRow(salt, endpoint, key_id, stanza_hash(stanza)))
        stanzas.append(stanza)
    content = reader.sized(4, MAX_CONTENT_BYTES, "content")
    pieces = _pieces(reader, manifest.attachments)
    reader.end()
    if manifest.recipient_count != count or manifest.recipient_root != recipients_root(rows):
        malformed(
            "recipients_root_mismatch",
            "the recipient rows are not those that the manifest commits to: one was added, removed or changed",
        )
    if manifest.content.size != len(content) or manifest.content.digest != labelled_hash_of_large(
        "ciphertext", content
    ):
        malformed("content_mismatch", "the content is not the one that the manifest names")
    for named, digests in zip(manifest.attachments, pieces, strict=True):
        check_pieces(named, digests)
    return Submission(document, manifest, tuple(rows), tuple(stanzas), content, pieces)


def _pieces(reader: Reader, attachments: Sequence[SealedAttachment]) -> tuple[tuple[bytes, ...], ...]:
    """Lists of pieces, as many and as long as the manifest says: so nothing is read that it does not bound."""
    _expect(reader.uint(2, "attachment count"), len(attachments), "attachments")
    lists: list[tuple[bytes, ...]] = []
    for named in attachments:
        _expect(reader.uint(2, "piece count"), named.pieces, f"pieces of an attachment of {named.size} bytes")
        lists.append(tuple(reader.fixed(DIGEST_BYTES, "piece digest") for _ in range(named.pieces)))
    return tuple(lists)


def _expect(count: int, expected: int, what: str) -> None:
    if count != expected:
        malformed(
            "attachment_mismatch",
            f"{what} in the submission: expected {expected}, as the manifest says, got {count}",
        )
