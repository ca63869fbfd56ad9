"""A proof as it is kept for somebody else: a leaf in a tree that the log signed, and what is opened of its deliveries.

Source: docs/spec/contradictions.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark_protocol.answers import parse_checkpoint_text
from countermark_protocol.boxes import Row, RowPath
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_json, parse_object
from countermark_protocol.proof import (
    Inclusion,
    OwnDelivery,
    parse_inclusion,
    parse_own_delivery,
    parse_path,
    parse_row,
    path_to_json,
    row_to_json,
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery of an entry, whose tail stays closed: in which box it was put, and not where in it.

    Attributes:
        row: of the leaf.
        at: where it stands among the leaf's rows.
    """

    row: Row
    at: RowPath

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"row": row_to_json(self.row), "at": path_to_json(self.at)}


def parse_delivered(value: Any, what: str = "delivered") -> Delivered:
    """Parse the JSON form of a `Delivered`."""
    claims = Claims(value, what)
    out = Delivered(claims.parsed("row", parse_row), claims.parsed("at", parse_path))
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class ProofPiece:
    """See above. Nothing of it is verified.

    Attributes:
        checkpoint: the signed note.
        inclusion: of the leaf.
        delivery: one delivery, its tail opened; or None.
        delivered: one delivery, its tail closed; or None.
    """

    checkpoint: bytes
    inclusion: Inclusion
    delivery: OwnDelivery | None = None
    delivered: Delivered | None = None

    def encode(self) -> bytes:
        """The bytes that are kept."""
        out = {"checkpoint": self.checkpoint.decode("utf-8"), "inclusion": self.inclusion.to_json()}
        if self.delivery is not None:
            out["delivery"] = self.delivery.to_json()
        if self.delivered is not None:
            out["delivered"] = self.delivered.to_json()
        return encode_json(out)


def encode_proof(checkpoint: bytes, inclusion: Inclusion, delivery: OwnDelivery | None = None) -> bytes:
    """A leaf in a signed tree, with one's own delivery opened, as it is kept.

    Args:
        checkpoint: the signed note.
        inclusion: of the leaf.
        delivery: opened, or None.
    """
    return ProofPiece(checkpoint, inclusion, delivery).encode()


def parse_proof_piece(data: bytes) -> ProofPiece:
    """The reverse.

    Raises:
        MalformedError: it is none.
    """
    claims = Claims(parse_object(data, "proof"), "proof")
    out = ProofPiece(
        claims.parsed("checkpoint", parse_checkpoint_text),
        claims.parsed("inclusion", parse_inclusion),
        claims.optional("delivery", parse_own_delivery),
        claims.optional("delivered", parse_delivered),
    )
    claims.done()
    if out.delivery is not None and out.delivered is not None:
        claims.bad("delivered", "one delivery, opened or closed")
    return out
