"""Statements: signed documents by what they say, ready to be decided upon.

Source: docs/spec/documents.md §5.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_protocol.acts import (
    Disclosure,
    LookUp,
    Purge,
    parse_disclosure,
    parse_look_up,
    parse_purge,
)
from countermark_protocol.claims import DIRECTORY_KINDS, Claims, Header, Kind, read_header
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, UnverifiedDocument, verify_document
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import NotFoundError
from countermark_protocol.judging import resolve_signer
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.receipts import Receipt, Undelivered, parse_receipt, parse_undelivered
from countermark_protocol.recipients import RecipientRow, recipients_root
from countermark_protocol.records import keys_in, parse_directory_statement


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
class LookUpStatement:
    """An auditor's look-up."""

    document: Document
    look_up: LookUp


@dataclass(frozen=True, slots=True)
class DisclosureStatement:
    """A party's disclosure."""

    document: Document
    disclosure: Disclosure


@dataclass(frozen=True, slots=True)
class PurgeStatement:
    """A purge with the manifest of the message it names: what was to be kept, and until when."""

    document: Document
    purge: Purge
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class DirectoryChange:
    """A directory statement; read and judged together, against its subject's history."""

    document: Document
    header: Header


#: Of one author, who signs it with an instance key.
Act = LookUpStatement | DisclosureStatement | PurgeStatement
Statement = MessageStatement | ReceiptStatement | UndeliveredStatement | Act | DirectoryChange


def kind_of(claims: JsonObject) -> Kind:
    """The kind a payload states.

    Raises:
        MalformedError: not one of the list.
    """
    return read_header(Claims(claims, "payload")).kind


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


def read_statement(
    document: Document, rows: tuple[RecipientRow, ...] = (), subject: UnverifiedDocument | None = None
) -> Statement:
    """Read a verified document as the statement it is.

    Args:
        document: all its signatures verified.
        rows: of a message, in order; their root must be the manifest's.
        subject: of a purge, the logged message that it names.

    Raises:
        MalformedError: not the one form of its kind, or rows that do not belong to it.
        NotFoundError: a purge without its message.
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
    if kind is Kind.LOOKUP:
        return LookUpStatement(document, parse_look_up(document.claims))
    if kind is Kind.DISCLOSURE:
        return DisclosureStatement(document, parse_disclosure(document.claims))
    if kind is Kind.PURGE:
        purge = parse_purge(document.claims)
        return PurgeStatement(document, purge, _purged_manifest(purge, subject))
    return DirectoryChange(document, read_header(Claims(document.claims, "directory statement")))


def purged_by(unverified: UnverifiedDocument) -> bytes | None:
    """Payload hash of the message that a purge names; None of every other statement.

    Raises:
        MalformedError: not a statement.
    """
    if kind_of(unverified.claims) is not Kind.PURGE:
        return None
    return parse_purge(unverified.claims).message


def _purged_manifest(purge: Purge, subject: UnverifiedDocument | None) -> Manifest:
    if (
        subject is None
        or subject.payload_hash != purge.message
        or kind_of(subject.claims) is not Kind.MESSAGE
    ):
        raise NotFoundError(
            "unknown_message",
            f"the log holds no message {purge.message.hex()}",
            payload_hash=purge.message.hex(),
        )
    return parse_manifest(subject.claims)


def header_of(statement: Statement) -> Header:
    """Kind, log and seen of a statement."""
    if isinstance(statement, MessageStatement):
        return statement.manifest.header
    if isinstance(statement, ReceiptStatement):
        return statement.receipt.header
    if isinstance(statement, UndeliveredStatement):
        return statement.notice.header
    if isinstance(statement, DirectoryChange):
        return statement.header
    return act_of(statement).header


def act_of(statement: Act) -> LookUp | Disclosure | Purge:
    """What a look-up, disclosure or purge says."""
    if isinstance(statement, LookUpStatement):
        return statement.look_up
    if isinstance(statement, DisclosureStatement):
        return statement.disclosure
    return statement.purge
