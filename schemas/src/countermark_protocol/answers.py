"""What the broker answers: one shape for each call, written by brokers, read by clients.

Everything here is unverified data in a well-formed shape; proof.py, checkpoint.py and accounts.py verify it.

Source: docs/spec/api.md §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.boxes import RowPath
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.proof import (
    AllDeliveries,
    Inclusion,
    OwnDelivery,
    parse_all_deliveries,
    parse_inclusion,
    parse_own_delivery,
    parse_path,
    parse_recipient,
    parse_recipients,
    path_to_json,
    recipient_to_json,
)
from countermark_protocol.recipients import MAX_STANZA_BYTES, RecipientRow

#: Entries in one page of a box, statements in one page of the directory.
MAX_PAGE: Final = 500
_MAX_TEXT: Final = 64 * 1024 * 1024


def _bytes(value: Any, what: str) -> bytes:
    return parse_base64url(value, what, limit=_MAX_TEXT)


def parse_checkpoint_text(value: Any, what: str) -> bytes:
    """The text of a checkpoint as a member of an answer; its bytes."""
    if not isinstance(value, str) or len(value) > 1024 * 1024:
        malformed("bad_member", f"{what}: expected the text of a checkpoint")
    return value.encode("utf-8")


@dataclass(frozen=True, slots=True)
class Release:
    """A stanza, released by a logged ``delivered`` receipt.

    Attributes:
        message: payload hash, 32 bytes.
        stanza: the caller's own.
    """

    message: bytes
    stanza: bytes

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"message": encode_hex(self.message), "stanza": encode_base64url(self.stanza)}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted statement: its proof.

    Attributes:
        checkpoint: text of the published checkpoint it is proven under.
        inclusion: leaf, index and path.
        deliveries: all rows and the author's tail; None for directory statements.
        document: the logged signed document, where it is not the one handed in (same payload, other
            signatures); else None.
        releases: stanzas, on ``delivered`` receipts.
    """

    checkpoint: bytes
    inclusion: Inclusion
    deliveries: AllDeliveries | None = None
    document: bytes | None = None
    releases: tuple[Release, ...] = ()

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {
            "checkpoint": self.checkpoint.decode("utf-8"),
            "inclusion": self.inclusion.to_json(),
        }
        if self.deliveries is not None:
            out["deliveries"] = self.deliveries.to_json()
        if self.document is not None:
            out["document"] = encode_base64url(self.document)
        if self.releases:
            out["releases"] = [r.to_json() for r in self.releases]
        return out


def _release(value: Any) -> Release:
    claims = Claims(value, "release")
    out = Release(claims.digest("message"), claims.parsed("stanza", _bytes))
    claims.done()
    if len(out.stanza) > MAX_STANZA_BYTES:
        claims.bad("stanza", f"at most {MAX_STANZA_BYTES} bytes")
    return out


def parse_accepted(data: bytes) -> Accepted:
    """Parse the answer to an accepted statement."""
    return parse_accepted_members(parse_object(data, "answer"))


def parse_accepted_members(value: Any) -> Accepted:
    """As `parse_accepted`, of a JSON value."""
    claims = Claims(value, "answer")
    out = Accepted(
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        inclusion=claims.parsed("inclusion", parse_inclusion),
        deliveries=claims.optional("deliveries", parse_all_deliveries),
        document=claims.optional("document", _bytes),
        releases=tuple(_release(v) for v in claims.items("releases", 0, 256))
        if claims.has("releases")
        else (),
    )
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class OwnRecipient:
    """A recipient's own row of a message's recipient table.

    Attributes:
        row: its row.
        at: where it stands.
    """

    row: RecipientRow
    at: RowPath

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"row": recipient_to_json(self.row), "at": path_to_json(self.at)}


def _own_recipient(value: Any, what: str) -> OwnRecipient:
    claims = Claims(value, what)
    out = OwnRecipient(claims.parsed("row", parse_recipient), claims.parsed("at", parse_path))
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class BoxEntry:
    """One position of a box.

    Attributes:
        inclusion: leaf, index and path under the page's checkpoint.
        delivery: the caller's own row, tail and path.
        document: the signed document: manifest, receipt or notice.
        recipient: of a message to the caller, its own recipient row; else None.
        recipients: the whole recipient table where the manifest makes it visible; else None.
    """

    inclusion: Inclusion
    delivery: OwnDelivery
    document: bytes
    recipient: OwnRecipient | None = None
    recipients: tuple[RecipientRow, ...] | None = None

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {
            "inclusion": self.inclusion.to_json(),
            "delivery": self.delivery.to_json(),
            "document": encode_base64url(self.document),
        }
        if self.recipient is not None:
            out["recipient"] = self.recipient.to_json()
        if self.recipients is not None:
            out["recipients"] = [recipient_to_json(r) for r in self.recipients]
        return out


@dataclass(frozen=True, slots=True)
class BoxPage:
    """Positions of a box from the cursor on, or the signed word that there are none.

    Attributes:
        checkpoint: text of the published checkpoint that all entries are proven under.
        entries: in order of position, without gaps.
        account: signed ``end-of-box``, exactly where there are no entries.
    """

    checkpoint: bytes
    entries: tuple[BoxEntry, ...]
    account: bytes | None = None

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {
            "checkpoint": self.checkpoint.decode("utf-8"),
            "entries": [e.to_json() for e in self.entries],
        }
        if self.account is not None:
            out["account"] = encode_base64url(self.account)
        return out


def _box_entry(value: Any) -> BoxEntry:
    claims = Claims(value, "box entry")
    out = BoxEntry(
        inclusion=claims.parsed("inclusion", parse_inclusion),
        delivery=claims.parsed("delivery", parse_own_delivery),
        document=claims.parsed("document", _bytes),
        recipient=claims.optional("recipient", _own_recipient),
        recipients=claims.optional("recipients", parse_recipients),
    )
    claims.done()
    return out


def parse_box_page(data: bytes) -> BoxPage:
    """Parse a page of a box."""
    claims = Claims(parse_object(data, "box page"), "box page")
    page = BoxPage(
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        entries=tuple(_box_entry(v) for v in claims.items("entries", 0, MAX_PAGE)),
        account=claims.optional("account", _bytes),
    )
    claims.done()
    if (page.account is None) != bool(page.entries):
        malformed("bad_member", "a box page has an account exactly where it has no entries")
    return page


@dataclass(frozen=True, slots=True)
class LoggedStatement:
    """A directory statement with its leaf.

    Attributes:
        index: of its entry.
        leaf: 115 bytes.
        document: the signed document.
    """

    index: int
    leaf: bytes
    document: bytes

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "index": self.index,
            "leaf": encode_base64url(self.leaf),
            "document": encode_base64url(self.document),
        }


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """Directory statements from the cursor on.

    Attributes:
        checkpoint: text of the published checkpoint.
        statements: in order, from number ``from`` on.
        complete: whether these are all below the checkpoint's size.
        last: the last leaf below that size; its ``dir_head`` must equal the fold's once complete.
    """

    checkpoint: bytes
    statements: tuple[LoggedStatement, ...]
    complete: bool
    last: Inclusion

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "checkpoint": self.checkpoint.decode("utf-8"),
            "statements": [s.to_json() for s in self.statements],
            "complete": self.complete,
            "last": self.last.to_json(),
        }


def parse_logged_statement(value: Any, what: str = "directory statement") -> LoggedStatement:
    """Parse the JSON form of a `LoggedStatement`."""
    claims = Claims(value, what)
    out = LoggedStatement(
        claims.integer("index"), claims.parsed("leaf", _bytes), claims.parsed("document", _bytes)
    )
    claims.done()
    return out


def parse_directory_page(data: bytes) -> DirectoryPage:
    """Parse a page of the directory."""
    claims = Claims(parse_object(data, "directory page"), "directory page")
    page = DirectoryPage(
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        statements=tuple(parse_logged_statement(v) for v in claims.items("statements", 0, MAX_PAGE)),
        complete=claims.boolean("complete"),
        last=claims.parsed("last", parse_inclusion),
    )
    claims.done()
    return page


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal or failure (RFC 9457), with the signed account where the answer is negative by rule.

    Attributes:
        status: HTTP status.
        code: stable code of docs/errors.md.
        detail: what was expected and what came.
        hint: what to do.
        account: the signed account, or None.
        facts: further details.
    """

    status: int
    code: str
    detail: str
    hint: str
    account: bytes | None = None
    facts: JsonObject | None = None

    def to_json(self) -> JsonObject:
        """Its ``application/problem+json`` form."""
        out: JsonObject = {
            "type": f"urn:countermark:error:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
        }
        if self.facts:
            out["facts"] = self.facts
        if self.account is not None:
            out["account"] = encode_base64url(self.account)
        return out


def parse_problem(data: bytes) -> Problem:
    """Parse a problem document; members that are not ours are ignored (RFC 9457 §3.2)."""
    return parse_problem_members(parse_object(data, "problem"))


def parse_problem_members(value: Any) -> Problem:
    """As `parse_problem`, of a JSON value."""
    claims = Claims(value, "problem")
    facts = claims.raw("facts") if claims.has("facts") else {}
    return Problem(
        status=claims.integer("status", 100, 599),
        code=claims.text("code", 64),
        detail=claims.text("detail", 4000),
        hint=claims.text("hint", 1000) if claims.has("hint") else "",
        account=claims.optional("account", _bytes),
        facts=facts if isinstance(facts, dict) else {},
    )
