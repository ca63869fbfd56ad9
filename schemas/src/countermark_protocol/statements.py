"""Statements: signed documents by what they say, ready to be decided upon.

Source: docs/spec/documents.md §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_protocol.claims import DIRECTORY_KINDS, KIND_NAMES, Claims, Header, Kind, read_header
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, UnverifiedDocument, verify_document
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import PolicyError
from countermark_protocol.judging import resolve_signer
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.receipts import Receipt, Undelivered, parse_receipt, parse_undelivered
from countermark_protocol.recipients import RecipientRow, recipients_root
from countermark_protocol.records import keys_in, parse_directory_statement

_RESERVED: Final = frozenset({Kind.PURGE, Kind.LOOKUP, Kind.DISCLOSURE})


@dataclass(frozen=True, slots=True)
class MessageStatement:
    """A manifest with its recipient rows, which the root in it binds."""

    document: Document
    manifest: Manifest
    rows: tuple[RecipientRow, ...]


@dataclass(frozen=True, slots=True)
class ReceiptStatement:
    """A receipt."""

    document: Document
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class UndeliveredStatement:
    """The broker's notice of a message not collected."""

    document: Document
    notice: Undelivered


@dataclass(frozen=True, slots=True)
class DirectoryChange:
    """A directory statement; read and judged together, against its subject's history."""

    document: Document
    header: Header


Statement = MessageStatement | ReceiptStatement | UndeliveredStatement | DirectoryChange


def kind_of(claims: JsonObject) -> Kind:
    """The kind a payload states.

    Raises:
        MalformedError: not one of the list.
        PolicyError: a kind that this version reserves.
    """
    kind = read_header(Claims(claims, "payload")).kind
    if kind in _RESERVED:
        raise PolicyError(
            "reserved_kind", f"statements of kind '{KIND_NAMES[kind]}' are reserved for a later version"
        )
    return kind


def verify_statement(directory: Directory, unverified: UnverifiedDocument) -> Document:
    """Verify all signatures of a statement; new keys are taken from the statement itself.

    Raises:
        MalformedError: not a statement.
        SignatureError: a key is unknown or a signature does not verify.

    Does not prove: that the signers were entitled to it; that is decided by `decide`.
    """
    payload_keys = (
        keys_in(parse_directory_statement(unverified.claims).record)
        if kind_of(unverified.claims) in DIRECTORY_KINDS
        else ()
    )
    return verify_document(unverified, lambda key_id: resolve_signer(directory, payload_keys, key_id))


def read_statement(document: Document, rows: tuple[RecipientRow, ...] = ()) -> Statement:
    """Read a verified document as the statement it is.

    Args:
        document: all its signatures verified.
        rows: of a message, in order; their root must be the manifest's.

    Raises:
        MalformedError: not the one form of its kind, or rows that do not belong to it.
        PolicyError: it uses what this version reserves.
    """
    kind = kind_of(document.claims)
    if kind is Kind.MESSAGE:
        manifest = parse_manifest(document.claims)
        if len(rows) != manifest.recipient_count or recipients_root(rows) != manifest.recipient_root:
            malformed(
                "recipients_root_mismatch",
                "the recipient rows are not those that the manifest commits to: one was added, removed or changed",
            )
        return MessageStatement(document, manifest, rows)
    if rows:
        malformed("recipients_root_mismatch", "only messages have recipient rows")
    if kind is Kind.RECEIPT:
        return ReceiptStatement(document, parse_receipt(document.claims))
    if kind is Kind.UNDELIVERED:
        return UndeliveredStatement(document, parse_undelivered(document.claims))
    return DirectoryChange(document, read_header(Claims(document.claims, "directory statement")))


def header_of(statement: Statement) -> Header:
    """Kind, log and seen of a statement."""
    if isinstance(statement, MessageStatement):
        return statement.manifest.header
    if isinstance(statement, ReceiptStatement):
        return statement.receipt.header
    if isinstance(statement, UndeliveredStatement):
        return statement.notice.header
    return statement.header
