"""Evidence of one message in one file: all that a court needs to check it without a network or an account.

One JSON object; bytes are unpadded base64url, digests lower-case hexadecimal. Everything in it is unverified by being
here: what it proves is worked out by `evidence_checks.verify_evidence`.

Source: docs/spec/evidence.md §1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import OwnRecipient, parse_checkpoint_text
from countermark_protocol.boxes import Row, RowPath
from countermark_protocol.claims import Claims
from countermark_protocol.disclosure import MAX_DISCLOSURE_BYTES
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    encode_json,
    malformed,
    parse_base64url,
    parse_digest,
    parse_object,
)
from countermark_protocol.errors import UncheckableError
from countermark_protocol.identifiers import Origin, parse_origin
from countermark_protocol.proof import (
    Inclusion,
    parse_inclusion,
    parse_path,
    parse_recipient,
    parse_recipients,
    parse_row,
    path_to_json,
    recipient_to_json,
    row_to_json,
)
from countermark_protocol.recipients import MAX_RECIPIENTS, RecipientRow
from countermark_protocol.shown_facts import Fact, parse_fact, parse_shown_document
from countermark_protocol.stamp_history import parse_stamp_response

FORMAT: Final = "countermark-evidence-1"
_FAMILY: Final = "countermark-evidence-"
MAX_EVIDENCE_BYTES: Final = 64 * 1024 * 1024
#: Of entries about the message, of leaves, and of directory statements.
MAX_ITEMS: Final = 20_000
MAX_FACTS: Final = 100_000
MAX_DISCLOSURES: Final = 100
MAX_STAMPED: Final = 16
_MAX_CONSISTENCY: Final = 130


@dataclass(frozen=True, slots=True)
class LoggedDocument:
    """A statement, and where it stands in the tree of the newest checkpoint.

    Attributes:
        document: the whole signed document.
        inclusion: of its leaf.
    """

    document: bytes
    inclusion: Inclusion

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"document": encode_base64url(self.document), "inclusion": self.inclusion.to_json()}


@dataclass(frozen=True, slots=True)
class Earlier:
    """An older checkpoint with the message, and the path from it to the newest.

    Attributes:
        checkpoint: the signed note, with its cosignatures.
        consistency: hashes of the consistency proof.
    """

    checkpoint: bytes
    consistency: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stamped:
    """A witnessed checkpoint with the message, and an authority's time stamp on it.

    Attributes:
        at: the checkpoint, and the path from it to the newest.
        response: DER of the TimeStampResp.
    """

    at: Earlier
    response: bytes


@dataclass(frozen=True, slots=True)
class LoggedDisclosure:
    """What was disclosed, and the act that states it in the log.

    Attributes:
        disclosure: as handed over.
        act: logged before.
    """

    disclosure: bytes
    act: LoggedDocument


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence as parsed: nothing in it is checked.

    Attributes:
        log: origin.
        founding: the trust file, byte for byte.
        checkpoint: the newest, with its cosignatures; all inclusions lead to it.
        earlier: the one that the message was first proven under here; None where that is the newest.
        message: the manifest's document.
        recipients: every recipient row, in order; None where they are not known.
        recipient: one row with its path, where not all are known.
        deliveries: every delivery row of the message; None where they are not known.
        delivery: one delivery row with its place, where not all are known.
        entries: receipts, undelivered notices and a purge, in log order.
        disclosures: what was disclosed of its content.
        leaves: further leaves, whose directory heads the facts lead from; the newest is among them.
        statements: directory statements.
        facts: what the directory held, and when.
        witnessed: the oldest checkpoint with the message that a quorum of witnesses cosigned; None where there is none.
        stamps: the oldest time stamp of each authority on a witnessed checkpoint with the message.
    """

    log: Origin
    founding: bytes
    checkpoint: bytes
    earlier: Earlier | None
    message: LoggedDocument
    recipients: tuple[RecipientRow, ...] | None
    recipient: OwnRecipient | None
    deliveries: tuple[Row, ...] | None
    delivery: tuple[Row, RowPath] | None
    entries: tuple[LoggedDocument, ...]
    disclosures: tuple[LoggedDisclosure, ...]
    leaves: tuple[Inclusion, ...]
    statements: tuple[bytes, ...]
    facts: tuple[Fact, ...]
    witnessed: Earlier | None = None
    stamps: tuple[Stamped, ...] = ()


# --- writing -----------------------------------------------------------------------------------------


def _earlier_json(older: Earlier) -> JsonObject:
    return {
        "checkpoint": older.checkpoint.decode("utf-8"),
        "consistency": [encode_hex(h) for h in older.consistency],
    }


def encode_evidence(evidence: Evidence) -> bytes:
    """The file's bytes: the same for the same evidence.

    Raises:
        MalformedError: it would not be evidence; see `parse_evidence`.
    """
    out: JsonObject = {
        "format": FORMAT,
        "log": evidence.log,
        "founding": encode_base64url(evidence.founding),
        "checkpoint": evidence.checkpoint.decode("utf-8"),
    }
    for name, older in (("earlier", evidence.earlier), ("witnessed", evidence.witnessed)):
        if older is not None:
            out[name] = _earlier_json(older)
    if evidence.stamps:
        out["stamps"] = [
            {**_earlier_json(one.at), "response": encode_base64url(one.response)} for one in evidence.stamps
        ]
    out["message"] = evidence.message.to_json()
    if evidence.recipients is not None:
        out["recipients"] = [recipient_to_json(row) for row in evidence.recipients]
    if evidence.recipient is not None:
        own = evidence.recipient
        out["recipient"] = {"row": recipient_to_json(own.row), "at": path_to_json(own.at)}
    if evidence.deliveries is not None:
        out["deliveries"] = [row_to_json(row) for row in evidence.deliveries]
    if evidence.delivery is not None:
        row, at = evidence.delivery
        out["delivery"] = {"row": row_to_json(row), "at": path_to_json(at)}
    out["entries"] = [entry.to_json() for entry in evidence.entries]
    out["disclosures"] = [
        {"disclosure": encode_base64url(d.disclosure), "act": d.act.to_json()} for d in evidence.disclosures
    ]
    out["leaves"] = [leaf.to_json() for leaf in evidence.leaves]
    out["statements"] = [encode_base64url(document) for document in evidence.statements]
    out["facts"] = [fact.to_json() for fact in evidence.facts]
    data = encode_json(out)
    parse_evidence(data)
    return data


# --- reading -----------------------------------------------------------------------------------------


def _logged(value: Any, what: str) -> LoggedDocument:
    claims = Claims(value, what)
    out = LoggedDocument(
        claims.parsed("document", parse_shown_document), claims.parsed("inclusion", parse_inclusion)
    )
    claims.done()
    return out


def _earlier(value: Any, what: str) -> Earlier:
    claims = Claims(value, what)
    out = Earlier(
        claims.parsed("checkpoint", parse_checkpoint_text),
        tuple(parse_digest(h, what) for h in claims.items("consistency", 0, _MAX_CONSISTENCY)),
    )
    claims.done()
    return out


def _stamped(value: Any, what: str) -> Stamped:
    claims = Claims(value, what)
    at = Earlier(
        claims.parsed("checkpoint", parse_checkpoint_text),
        tuple(parse_digest(h, what) for h in claims.items("consistency", 0, _MAX_CONSISTENCY)),
    )
    out = Stamped(at, claims.parsed("response", parse_stamp_response))
    claims.done()
    return out


def _own_recipient(value: Any, what: str) -> OwnRecipient:
    claims = Claims(value, what)
    out = OwnRecipient(claims.parsed("row", parse_recipient), claims.parsed("at", parse_path))
    claims.done()
    return out


def _delivery(value: Any, what: str) -> tuple[Row, RowPath]:
    claims = Claims(value, what)
    out = claims.parsed("row", parse_row), claims.parsed("at", parse_path)
    claims.done()
    return out


def _rows(value: Any, what: str) -> tuple[Row, ...]:
    values: Sequence[Any] = Claims({"rows": value}, what).items("rows", 1, MAX_RECIPIENTS + 2)
    return tuple(parse_row(v, what) for v in values)


def _disclosure(value: Any, what: str) -> LoggedDisclosure:
    claims = Claims(value, what)
    limit = MAX_DISCLOSURE_BYTES * 4 // 3 + 4
    out = LoggedDisclosure(
        parse_base64url(claims.raw("disclosure"), what, limit=limit), claims.parsed("act", _logged)
    )
    claims.done()
    return out


def parse_evidence(data: bytes) -> Evidence:
    """Parse an evidence file.

    Raises:
        MalformedError: ``oversized_evidence``, ``not_evidence``, or not in its form.
        UncheckableError: ``unknown_version``.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        malformed(
            "oversized_evidence", f"expected evidence of at most {MAX_EVIDENCE_BYTES} bytes, got {len(data)}"
        )
    claims = Claims(parse_object(data, "evidence"), "evidence")
    _check_format(claims)
    out = Evidence(
        log=claims.parsed("log", parse_origin),
        founding=claims.parsed("founding", parse_shown_document),
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        earlier=claims.optional("earlier", _earlier),
        message=claims.parsed("message", _logged),
        recipients=claims.optional("recipients", parse_recipients),
        recipient=claims.optional("recipient", _own_recipient),
        deliveries=claims.optional("deliveries", _rows),
        delivery=claims.optional("delivery", _delivery),
        entries=tuple(_logged(v, "an entry") for v in claims.items("entries", 0, MAX_ITEMS)),
        disclosures=tuple(
            _disclosure(v, "a disclosure") for v in claims.items("disclosures", 0, MAX_DISCLOSURES)
        ),
        leaves=tuple(parse_inclusion(v, "a leaf") for v in claims.items("leaves", 0, MAX_ITEMS)),
        statements=tuple(
            parse_shown_document(v, "a directory statement") for v in claims.items("statements", 1, MAX_ITEMS)
        ),
        facts=tuple(parse_fact(v, "a fact") for v in claims.items("facts", 1, MAX_FACTS)),
        witnessed=claims.optional("witnessed", _earlier),
        stamps=tuple(_stamped(v, "a stamp") for v in claims.items("stamps", 1, MAX_STAMPED))
        if claims.has("stamps")
        else (),
    )
    claims.done()
    if out.recipients is not None and out.recipient is not None:
        claims.bad("recipient", "either all recipients or one")
    if out.deliveries is not None and out.delivery is not None:
        claims.bad("delivery", "either all deliveries or one")
    return out


def _check_format(claims: Claims) -> None:
    if not claims.has("format") or not isinstance(stated := claims.raw("format"), str):
        malformed("not_evidence", "this file is no Countermark evidence")
    if stated != FORMAT:
        if stated.startswith(_FAMILY):
            raise UncheckableError(
                "unknown_version", "the evidence is of another version than this software reads"
            )
        malformed("not_evidence", "this file is no Countermark evidence")
