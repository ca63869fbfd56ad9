"""Facts: what the directory held for one subject after one leaf, shown by a path in the trie.

Files of evidence and key proofs are made of them.

Source: docs/spec/evidence.md §1, §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_hex, parse_base64url, parse_digest
from countermark_protocol.submission import MAX_DOCUMENT_BYTES
from countermark_protocol.trie import TrieProof, TrieRecord


@dataclass(frozen=True, slots=True)
class Fact:
    """What the directory held for one subject after one leaf.

    Attributes:
        at: index of the leaf, whose directory head the path leads from.
        subject: of the directory.
        proof: the path, and the record at its end.
    """

    at: int
    subject: str
    proof: TrieProof

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "at": self.at,
            "subject": self.subject,
            "siblings": [encode_hex(s) for s in self.proof.siblings],
            "record": _record_json(self.proof.record),
        }


def _record_json(record: TrieRecord | None) -> JsonObject | None:
    if record is None:
        return None
    return {
        "subject": record.subject,
        "index": record.index,
        "time": record.time,
        "statement": encode_hex(record.statement),
    }


def parse_shown_document(value: Any, what: str) -> bytes:
    """Parse a signed document in unpadded base64url; nothing in it is checked."""
    return parse_base64url(value, what, limit=MAX_DOCUMENT_BYTES * 4 // 3 + 4)


def _record(value: Any, what: str) -> TrieRecord:
    claims = Claims(value, what)
    out = TrieRecord(
        claims.text("subject", 160), claims.integer("index"), claims.time("time"), claims.digest("statement")
    )
    claims.done()
    return out


def parse_fact(value: Any, what: str) -> Fact:
    """Parse a fact; nothing in it is checked."""
    claims = Claims(value, what)
    record = claims.raw("record")
    out = Fact(
        claims.integer("at"),
        claims.text("subject", 160),
        TrieProof(
            tuple(parse_digest(s, what) for s in claims.items("siblings", 0, 256)),
            None if record is None else _record(record, f"'record' of {what}"),
        ),
    )
    claims.done()
    return out
