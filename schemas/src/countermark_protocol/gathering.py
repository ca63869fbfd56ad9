"""Gathering signatures: a document on its way between the keys that must sign it, as a file.

A gathering has the layout of a signed document with 0 or more signatures. It is *not* a signed document
until it has all of them: `finish_gathering` gives the bytes to post, and only `judging` says whether the
right keys signed.

Source: docs/spec/documents.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from countermark_protocol.documents import (
    Purpose,
    Signature,
    UnverifiedDocument,
    encode_document,
    make_signatures,
    parse_document,
    parse_gathering,
)
from countermark_protocol.errors import ConflictError, SignatureError
from countermark_protocol.keys import PublicKey, Signer


@dataclass(frozen=True, slots=True)
class Gathering:
    """A payload and the signatures it has so far, none of them verified by being here."""

    document: UnverifiedDocument

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return self.document.data

    def signed_by(self) -> frozenset[bytes]:
        """Ids of the keys that have signed."""
        return frozenset(s.key_id for s in self.document.signatures)


def start_gathering(payload: bytes) -> bytes:
    """A file that gathers signatures over `payload`, with none yet.

    Raises:
        MalformedError: the payload is not a JSON object in our language.
    """
    data = encode_document(payload, ())
    parse_gathering(data)
    return data


def _encode(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    # Read back at once: a file that the next hand could not read must not be written.
    return parse_gathering(encode_document(payload, signatures)).data


def read_gathering(data: bytes) -> Gathering:
    """Parse a gathering file.

    Raises:
        MalformedError: anything but its one encoding.
    """
    return Gathering(parse_gathering(data))


def add_signature(data: bytes, signer: Signer, purpose: Purpose = Purpose.SIGN) -> bytes:
    """Add one key's signature.

    Raises:
        MalformedError: not a gathering file, or it has as many signatures as a document may have.
        ConflictError: ``already_signed``: this key has signed it.
    """
    document = parse_gathering(data)
    added = make_signatures(document.payload, signer, purpose)
    if {s.key_id for s in document.signatures} & {s.key_id for s in added}:
        raise ConflictError("already_signed", f"key {added[0].key_id.hex()} has signed this document already")
    return _encode(document.payload, (*document.signatures, *added))


def merge_gatherings(first: bytes, second: bytes) -> bytes:
    """Put together the signatures of two copies of one document, gathered apart.

    Raises:
        MalformedError: not gathering files, or together more signatures than a document may have.
        ConflictError: ``other_payload``: they are not copies of one document.
    """
    a, b = parse_gathering(first), parse_gathering(second)
    if a.payload != b.payload:
        raise ConflictError("other_payload", "the two files gather signatures over different documents")
    merged: dict[bytes, Signature] = {s.key_id: s for s in (*b.signatures, *a.signatures)}
    return _encode(a.payload, merged.values())


def verify_signature_of(data: bytes, key: PublicKey, purpose: Purpose = Purpose.SIGN) -> None:
    """Check that a key has signed a gathering for a purpose.

    Raises:
        MalformedError: not a gathering file.
        SignatureError: it has not, or its signature does not verify.
    """
    document = parse_gathering(data)
    signed = {s.key_id: s for s in document.signatures if s.purpose is purpose}
    for half in (key, key.second):
        if half is not None and half.key_id not in signed:
            raise SignatureError(
                "too_few_signatures", f"key {half.key_id.hex()} has not signed this document"
            )
        if half is not None:
            signed[half.key_id].verify(document.payload, half)


def finish_gathering(data: bytes) -> bytes:
    """The signed document to post: at least one signature.

    Raises:
        MalformedError: not a gathering file, or no signature yet.
    """
    return parse_document(data).data
