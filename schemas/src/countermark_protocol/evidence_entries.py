"""What the entries in an evidence file say, and by whom: the message, what became of it, and what was disclosed of it.

The same checks run over the whole directory, when evidence is made, and over what the evidence shows of it.

Source: docs/spec/evidence.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_protocol.acts import Disclosure, Purge, parse_disclosure, parse_purge
from countermark_protocol.authors import authenticate
from countermark_protocol.boxes import Box, delivery_root, verify_row
from countermark_protocol.claims import Header, Kind
from countermark_protocol.decision import box_for, deliveries_of
from countermark_protocol.directory import Directory
from countermark_protocol.disclosure import (
    ShownContent,
    check_disclosure_logged,
    parse_disclosed,
    verify_shown,
)
from countermark_protocol.documents import Document, Purpose, parse_document, verify_document
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import PolicyError, ProofError, SignatureError, VerificationError
from countermark_protocol.evidence import Evidence, LoggedDisclosure, LoggedDocument
from countermark_protocol.evidence_directory import name_at
from countermark_protocol.identifiers import Address, KeyId, Origin
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.receipts import (
    Receipt,
    ReceiptItem,
    Undelivered,
    parse_receipt,
    parse_undelivered,
)
from countermark_protocol.recipients import RecipientRow, recipients_root, verify_recipient
from countermark_protocol.statements import kind_of
from countermark_protocol.verdicts import Revoked, SignatureVerdict, VerdictClass, verdict_of


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed an entry, by a key that counted as of its leaf.

    Attributes:
        author: the endpoint.
        key_id: of the instance key.
        holder: the pseudonym that the directory gives for its holder.
        index: of the entry.
        time: of its leaf, ms since 1970.
        verdict: on the signature, by what is known of the key up to the newest entry.
    """

    author: Address
    key_id: KeyId
    holder: str
    index: int
    time: int
    verdict: SignatureVerdict

    @property
    def revoked(self) -> Revoked | None:
        """That the key is revoked by now, or None."""
        return self.verdict.revoked

    @property
    def in_doubt(self) -> bool:
        """Whether the signature is later than the time from which its key, or who vouched for it, is not trusted."""
        return self.verdict.kind is VerdictClass.AFTER_COMPROMISE


@dataclass(frozen=True, slots=True)
class MessageShown:
    """The message.

    Attributes:
        payload: its payload hash, 32 bytes.
        signed: by its sender.
        released: by whom else of the sender's endpoint, if two persons signed.
        behalf: for the endpoint in whose name it is sent, if it is.
        manifest: what it says of itself.
        rows: the recipients that are shown.
        boxes: the boxes that it was put into, as far as shown.
    """

    payload: bytes
    signed: Signed
    manifest: Manifest
    rows: tuple[RecipientRow, ...]
    boxes: tuple[tuple[Address, Box], ...]
    released: Signed | None = None
    behalf: Signed | None = None

    @property
    def signatures(self) -> tuple[Signed, ...]:
        """All that it bears."""
        return tuple(s for s in (self.signed, self.released, self.behalf) if s is not None)

    @property
    def all_shown(self) -> bool:
        """Whether every recipient is shown."""
        return len(self.rows) == self.manifest.recipient_count


@dataclass(frozen=True, slots=True)
class ReceiptShown:
    """A receipt about the message."""

    signed: Signed
    receipt: Receipt
    item: ReceiptItem


@dataclass(frozen=True, slots=True)
class UndeliveredShown:
    """The broker's notice that a recipient had not collected the message."""

    signed: Signed
    notice: Undelivered


@dataclass(frozen=True, slots=True)
class PurgeShown:
    """The purge of the message's content."""

    signed: Signed
    purge: Purge


@dataclass(frozen=True, slots=True)
class DisclosureShown:
    """What was disclosed, and the act that states it."""

    signed: Signed
    act: Disclosure
    shown: ShownContent


EntryShown = ReceiptShown | UndeliveredShown | PurgeShown


# --- who signed ----------------------------------------------------------------------------------------


def signer_of_entry(
    directory: Directory, author: Address, document: Document, leaf: Leaf, index: int
) -> Signed:
    """Check that exactly one key signed an entry, and that it counted for its author as of its leaf.

    Raises:
        SignatureError: ``too_many_signatures``, ``wrong_signer``, ``signer_did_not_count``.
        ProofError: ``evidence_incomplete``.
    """
    [(purpose, key_id), *more] = document.signers
    if more:
        raise SignatureError("too_many_signatures", f"entry {index} bears more than one signature")
    if purpose is not Purpose.SIGN:
        raise SignatureError("wrong_signer", f"entry {index} is signed for another purpose")
    return _signed(directory, author, key_id, leaf, index)


def _signed(directory: Directory, author: Address, key_id: KeyId, leaf: Leaf, index: int) -> Signed:
    verdict = verdict_of(directory, author, key_id, index, leaf.time)
    if verdict.holder is None:
        raise SignatureError(
            "signer_did_not_count",
            f"entry {index} is signed by key {key_id.hex()}, which did not count for {author} there",
        )
    return Signed(author, key_id, verdict.holder, index, leaf.time, verdict)


def _read(directory: Directory, logged: LoggedDocument, kind: Kind) -> Document:
    document = verify_document(parse_document(logged.document), directory.public_key)
    if kind_of(document.claims) is not kind:
        malformed(
            "unknown_kind", f"entry {logged.inclusion.index} is of another kind than its place asks for"
        )
    return document


def _check_header(header: Header, log: Origin, index: int) -> None:
    if header.log != log:
        raise VerificationError("wrong_log", f"entry {index} was made for another log")
    if header.seen.size > index:
        raise ProofError(
            "back_dated",
            f"entry {index} states to have seen a log of size {header.seen.size}, larger than its index",
        )


# --- the message ---------------------------------------------------------------------------------------


def check_message(directory: Directory, evidence: Evidence) -> MessageShown:
    """Check the message, its recipients and where it was put; its inclusion is the caller's to check.

    Raises:
        MalformedError, PolicyError: not a manifest.
        SignatureError: see `signer_of_entry`.
        ProofError: ``recipients_mismatch``, ``recipient_not_listed``, ``deliveries_mismatch``,
            ``row_not_included``, ``decided_wrongly`` (sealed to a key that did not count), ``back_dated``.
    """
    logged = evidence.message
    index, leaf = logged.inclusion.index, parse_leaf(logged.inclusion.leaf)
    document = _read(directory, logged, Kind.MESSAGE)
    manifest = parse_manifest(document.claims)
    _check_header(manifest.header, name_at(directory, evidence.log, evidence.founding, index), index)
    try:
        signers = authenticate(directory, document, manifest.sender, leaf.time, index)
    except (PolicyError, SignatureError) as error:
        if error.code == "too_many_signatures":
            raise SignatureError(
                "too_many_signatures", f"entry {index} bears more signatures than it may"
            ) from None
        raise SignatureError(
            "signer_did_not_count",
            f"entry {index} is signed by keys that did not count there: {error.message}",
        ) from None
    signed = _signed(directory, manifest.sender, signers.key_id, leaf, index)
    released, behalf = signers.release, signers.behalf
    rows = _rows(evidence, manifest)
    for row in rows:
        if not directory.accepts_sealing_key(row.endpoint, row.sealing_key, leaf.time, index):
            raise ProofError(
                "decided_wrongly",
                f"entry {index} is sealed to a key of {row.endpoint} that did not count there",
            )
    return MessageShown(
        document.payload_hash,
        signed,
        manifest,
        rows,
        _boxes(evidence, manifest, rows, leaf),
        None if released is None else _signed(directory, manifest.sender, released.key.key_id, leaf, index),
        None
        if behalf is None or manifest.on_behalf_of is None
        else _signed(directory, manifest.on_behalf_of, behalf.key.key_id, leaf, index),
    )


def _rows(evidence: Evidence, manifest: Manifest) -> tuple[RecipientRow, ...]:
    if evidence.recipients is not None:
        rows = evidence.recipients
        if len(rows) != manifest.recipient_count or recipients_root(rows) != manifest.recipient_root:
            raise ProofError(
                "recipients_mismatch", "the recipients shown are not those that the sender signed"
            )
        return rows
    if evidence.recipient is not None:
        own = evidence.recipient
        verify_recipient(own.row, own.at, manifest.recipient_count, manifest.recipient_root)
        return (own.row,)
    return ()


def _boxes(
    evidence: Evidence, manifest: Manifest, rows: tuple[RecipientRow, ...], leaf: Leaf
) -> tuple[tuple[Address, Box], ...]:
    others = deliveries_of(manifest, [row.endpoint for row in rows])
    count = manifest.recipient_count + 1 + (manifest.on_behalf_of is not None)
    if evidence.deliveries is not None:
        found = {(row.endpoint, row.box) for row in evidence.deliveries}
        wanted = {(manifest.sender, Box.SENT), *others}
        if len(evidence.deliveries) != count or not wanted <= found:
            raise ProofError(
                "deliveries_mismatch", "the entry is not delivered to exactly those that it should be"
            )
        if delivery_root(evidence.deliveries) != leaf.delivery:
            raise ProofError("deliveries_mismatch", "the rows shown are not those that the leaf commits to")
        return tuple(sorted(found))
    if evidence.delivery is not None:
        row, at = evidence.delivery
        verify_row(row, at, leaf.delivery)
        if at.count != count or row.box not in {box_for(manifest.urgency), Box.SENT, Box.NOTICES}:
            raise ProofError(
                "deliveries_mismatch", "the entry is not delivered to exactly those that it should be"
            )
        return ((row.endpoint, row.box),)
    return ()


# --- what became of it ---------------------------------------------------------------------------------


def check_entry(
    directory: Directory, evidence: Evidence, message: MessageShown, logged: LoggedDocument
) -> EntryShown:
    """Check a receipt, an undelivered notice or a purge, and that it is about the message.

    Raises:
        MalformedError: another kind of statement.
        SignatureError: see `signer_of_entry`.
        ProofError: ``other_message``, ``recipient_not_listed``, ``back_dated``, ``decided_wrongly``.
    """
    index, leaf = logged.inclusion.index, parse_leaf(logged.inclusion.leaf)
    kind = kind_of(parse_document(logged.document).claims)
    document = _read(directory, logged, kind)
    statement: Receipt | Undelivered | Purge
    if kind is Kind.RECEIPT:
        statement = parse_receipt(document.claims)
    elif kind is Kind.UNDELIVERED:
        statement = parse_undelivered(document.claims)
    elif kind is Kind.PURGE:
        statement = parse_purge(document.claims)
    else:
        malformed("unknown_kind", f"entry {index} is no receipt, undelivered notice or purge")
    _check_header(statement.header, name_at(directory, evidence.log, evidence.founding, index), index)
    signed = signer_of_entry(directory, statement.author, document, leaf, index)
    sender, broker = message.manifest.sender, directory.log(index).broker
    if isinstance(statement, Receipt):
        items = [item for item in statement.items if item.message == message.payload]
        if not items or statement.sender != sender:
            raise _other_message(index)
        check_party(message, statement.author, index)
        return ReceiptShown(signed, statement, items[0])
    if statement.message != message.payload:
        raise _other_message(index)
    if isinstance(statement, Undelivered):
        if statement.author != broker or statement.sender != sender:
            raise ProofError("decided_wrongly", f"entry {index} is not the broker's notice to the sender")
        check_party(message, statement.recipient, index)
        return UndeliveredShown(signed, statement)
    if statement.author not in {sender, broker}:
        raise ProofError("decided_wrongly", f"entry {index} purges a message of another sender")
    return PurgeShown(signed, statement)


def _other_message(index: int) -> ProofError:
    return ProofError("other_message", f"entry {index} is about another message")


def check_party(message: MessageShown, who: Address, index: int) -> None:
    """Check that somebody is a recipient, as far as recipients are shown; all of them are, or it is not known.

    Raises:
        ProofError: ``recipient_not_listed``.
    """
    if message.all_shown and who not in {row.endpoint for row in message.rows}:
        raise ProofError("recipient_not_listed", f"entry {index} is about {who}, which is no recipient")


def check_disclosed(
    directory: Directory, evidence: Evidence, message: MessageShown, disclosed: LoggedDisclosure
) -> DisclosureShown:
    """Check what was disclosed against the message, and the logged act against what was disclosed.

    Args:
        directory: shown or whole.
        evidence: in which it stands.
        message: checked.
        disclosed: what was handed over, and the act.

    Raises:
        SealError: ``disclosure_mismatch``.
        SignatureError: see `signer_of_entry`.
        ProofError: ``disclosure_other_message``, ``disclosure_not_logged``, ``disclosure_counts``,
            ``recipient_not_listed``, ``back_dated``.
    """
    unverified = parse_disclosed(disclosed.disclosure)
    if unverified.document.data != evidence.message.document:
        raise ProofError("disclosure_other_message", "the disclosure is of another message")
    shown = verify_shown(unverified)
    index, leaf = disclosed.act.inclusion.index, parse_leaf(disclosed.act.inclusion.leaf)
    statement = _read(directory, disclosed.act, Kind.DISCLOSURE)
    act = parse_disclosure(statement.claims)
    _check_header(act.header, name_at(directory, evidence.log, evidence.founding, index), index)
    signed = signer_of_entry(directory, act.author, statement, leaf, index)
    check_disclosure_logged(act, shown)
    if act.author != message.manifest.sender:
        check_party(message, act.author, index)
    return DisclosureShown(signed, act, shown)
