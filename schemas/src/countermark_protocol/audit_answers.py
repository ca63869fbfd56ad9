"""What the broker shows an oversight auditor: entries whole, but for what was sealed.

Unverified data in a well-formed shape, as all of answers.py: who has every entry replays every decision and must come
to the same leaves. What a national auditor is shown is a `BoxPage`.

Source: docs/spec/audit.md §5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import MAX_PAGE, parse_checkpoint_text
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.proof import parse_recipients, recipient_to_json
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.submission import MAX_DOCUMENT_BYTES

ENTRY_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class AuditedEntry:
    """One entry of the log as an oversight auditor is shown it.

    Attributes:
        index: of the entry.
        leaf: 115 bytes.
        document: the signed document.
        secret: 32 bytes, from which the salts of all its delivery rows come.
        recipients: the rows of a message, in order; None for everything else.
    """

    index: int
    leaf: bytes
    document: bytes
    secret: bytes
    recipients: tuple[RecipientRow, ...] | None = None

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {
            "index": self.index,
            "leaf": encode_base64url(self.leaf),
            "document": encode_base64url(self.document),
            "secret": encode_base64url(self.secret),
        }
        if self.recipients is not None:
            out["recipients"] = [recipient_to_json(r) for r in self.recipients]
        return out


@dataclass(frozen=True, slots=True)
class AuditedEntries:
    """Entries from an index on; there are none only where the cursor is at the checkpoint's size or beyond.

    Attributes:
        checkpoint: text of the published checkpoint, whose size no entry reaches.
        entries: in log order, without gaps.
    """

    checkpoint: bytes
    entries: tuple[AuditedEntry, ...]

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "checkpoint": self.checkpoint.decode("utf-8"),
            "entries": [e.to_json() for e in self.entries],
        }


def _document(value: Any, what: str) -> bytes:
    # The limit of a text in base64url is one of characters.
    return parse_base64url(value, what, limit=(4 * MAX_DOCUMENT_BYTES + 2) // 3)


def _of_length(length: int) -> Callable[[Any, str], bytes]:
    def parse(value: Any, what: str) -> bytes:
        data = parse_base64url(value, what)
        if len(data) != length:
            malformed("bad_member", f"{what}: expected {length} bytes, got {len(data)}")
        return data

    return parse


def _entry(value: Any) -> AuditedEntry:
    claims = Claims(value, "audited entry")
    out = AuditedEntry(
        index=claims.integer("index"),
        leaf=claims.parsed("leaf", _of_length(LEAF_BYTES)),
        document=claims.parsed("document", _document),
        secret=claims.parsed("secret", _of_length(ENTRY_SECRET_BYTES)),
        recipients=claims.optional("recipients", parse_recipients),
    )
    claims.done()
    return out


def parse_audited_entries(data: bytes) -> AuditedEntries:
    """Parse a page of entries.

    Raises:
        MalformedError: not the one form; or entries that do not follow each other.

    Does not prove: anything. The caller compares the leaves with those of the log, and replays the documents.
    """
    claims = Claims(parse_object(data, "page of entries"), "page of entries")
    page = AuditedEntries(
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        entries=tuple(_entry(v) for v in claims.items("entries", 0, MAX_PAGE)),
    )
    claims.done()
    for entry, after in zip(page.entries, page.entries[1:], strict=False):
        if after.index != entry.index + 1:
            malformed(
                "bad_member", f"a page of entries has no gaps: expected {entry.index + 1}, got {after.index}"
            )
    return page
