"""Receipts, and the broker's notice that a message stayed undelivered.

A receipt is a recipient's signed statement about 1 to 256 messages of one sender. ``delivered`` is what
releases a stanza: nobody reads without having signed for it. ``accepted`` or ``rejected`` follows once the
content is opened and validated.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.claims import Claims, Header, Kind, read_header
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    malformed,
    parse_base64url,
)
from countermark_protocol.identifiers import Address, parse_address

MAX_RECEIPT_ITEMS: Final = 256
#: Sealed details of a rejection: opaque to the broker.
MAX_DETAILS_BYTES: Final = 16 * 1024


class ReceiptStage(StrEnum):
    """What the recipient states."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class RejectionReason(StrEnum):
    """Why a message was rejected: a closed list."""

    UNOPENABLE = "unopenable"
    COMMITMENT_MISMATCH = "commitment_mismatch"
    INVALID_CONTENT = "invalid_content"
    MANIFEST_MISMATCH = "manifest_mismatch"
    UNKNOWN_VERSION = "unknown_version"
    NOT_FOR_US = "not_for_us"
    HANDLING_UNACCEPTABLE = "handling_unacceptable"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """What a receipt says of one message.

    Attributes:
        message: its payload hash, 32 bytes.
        commitment_checked: the opened content is the one committed to (not on ``delivered``).
        reason: of a rejection.
        details: of a rejection, sealed to the sender; empty if there are none.
    """

    message: bytes
    commitment_checked: bool | None = None
    reason: RejectionReason | None = None
    details: bytes = b""

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {"message": encode_hex(self.message)}
        if self.commitment_checked is not None:
            out["commitment_checked"] = self.commitment_checked
        if self.reason is not None:
            out["reason"] = self.reason.value
        if self.details:
            out["details"] = encode_base64url(self.details)
        return out


@dataclass(frozen=True, slots=True)
class Receipt:
    """A recipient's statement.

    Attributes:
        header: kind, log, seen.
        author: the recipient that states it.
        sender: of all the messages it is about.
        stage: what is stated of all of them.
        made_at: ms since 1970, by the author's clock.
        items: 1 to 256, no message twice.
    """

    header: Header
    author: Address
    sender: Address
    stage: ReceiptStage
    made_at: int
    items: tuple[ReceiptItem, ...]

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        return {
            **self.header.to_json(),
            "from": self.author,
            "to": self.sender,
            "stage": self.stage.value,
            "made_at": self.made_at,
            "items": [item.to_json() for item in self.items],
        }


def _details(value: Any, what: str) -> bytes:
    data = parse_base64url(value, what, limit=MAX_DETAILS_BYTES * 4 // 3 + 4)
    if not 1 <= len(data) <= MAX_DETAILS_BYTES:
        malformed("oversized_field", f"{what} must have 1 to {MAX_DETAILS_BYTES} bytes, got {len(data)}")
    return data


def _item(value: Any, what: str, stage: ReceiptStage) -> ReceiptItem:
    claims = Claims(value, what)
    message = claims.digest("message")
    if stage is ReceiptStage.DELIVERED:
        item = ReceiptItem(message)
    elif stage is ReceiptStage.ACCEPTED:
        item = ReceiptItem(message, commitment_checked=claims.boolean("commitment_checked"))
        if not item.commitment_checked:
            claims.bad("commitment_checked", "true: what was not checked cannot be accepted")
    else:
        item = ReceiptItem(
            message,
            commitment_checked=claims.boolean("commitment_checked"),
            reason=claims.choice("reason", RejectionReason),
            details=claims.optional("details", _details) or b"",
        )
    claims.done()
    return item


def parse_receipt(payload: JsonObject) -> Receipt:
    """Read a receipt from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown, or a message is named twice.
    """
    claims = Claims(payload, "receipt")
    header = read_header(claims)
    if header.kind is not Kind.RECEIPT:
        claims.bad("kind", "'receipt'")
    stage = claims.choice("stage", ReceiptStage)
    receipt = Receipt(
        header=header,
        author=claims.parsed("from", parse_address),
        sender=claims.parsed("to", parse_address),
        stage=stage,
        made_at=claims.time("made_at"),
        items=tuple(
            _item(value, f"item {i} of receipt", stage)
            for i, value in enumerate(claims.items("items", 1, MAX_RECEIPT_ITEMS))
        ),
    )
    claims.done()
    if len({item.message for item in receipt.items}) != len(receipt.items):
        claims.bad("items", "every message at most once")
    return receipt


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The broker's statement that a recipient had not collected a message in time.

    Attributes:
        header: kind, log, seen.
        author: the broker's address.
        sender: of the message; it gets the notice.
        message: payload hash, 32 bytes.
        recipient: who had not collected it.
    """

    header: Header
    author: Address
    sender: Address
    message: bytes
    recipient: Address

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        return {
            **self.header.to_json(),
            "from": self.author,
            "to": self.sender,
            "message": encode_hex(self.message),
            "recipient": self.recipient,
        }


def parse_undelivered(payload: JsonObject) -> Undelivered:
    """Read an undelivered notice from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "undelivered notice")
    header = read_header(claims)
    if header.kind is not Kind.UNDELIVERED:
        claims.bad("kind", "'undelivered'")
    notice = Undelivered(
        header=header,
        author=claims.parsed("from", parse_address),
        sender=claims.parsed("to", parse_address),
        message=claims.digest("message"),
        recipient=claims.parsed("recipient", parse_address),
    )
    claims.done()
    return notice
