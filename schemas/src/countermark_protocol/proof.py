"""Proofs: what the broker returns for an entry, and how each reader checks it.

Proof = leaf ‖ openings ‖ inclusion under a checkpoint. The sender gets every row and its own tail opened; a
recipient gets its own row, tail and path.

Source: docs/spec/log.md §8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.boxes import (
    Box,
    BoxState,
    Row,
    RowPath,
    Tail,
    delivery_root,
    verify_row,
    verify_tail,
)
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    parse_base64url,
    parse_digest,
)
from countermark_protocol.errors import ProofError
from countermark_protocol.identifiers import Address, KeyId, parse_address
from countermark_protocol.leaf import NO_DELIVERY, Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash, verify_inclusion
from countermark_protocol.recipients import MAX_RECIPIENTS, RecipientRow

MAX_PATH: Final = 64


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A leaf and where it stands in the tree.

    Attributes:
        index: of the entry.
        leaf: its 115 bytes, unverified until `verify_leaf`.
        path: sibling hashes, lowest first.
    """

    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "index": self.index,
            "leaf": encode_base64url(self.leaf),
            "path": list(map(encode_hex, self.path)),
        }


def verify_leaf(inclusion: Inclusion, checkpoint: Checkpoint, kind: int, statement: bytes) -> Leaf:
    """Check that a statement is an entry of the tree a checkpoint commits to.

    Args:
        inclusion: as answered.
        checkpoint: verified.
        kind: of the statement.
        statement: hash of the whole signed document, 32 bytes.

    Raises:
        ProofError: ``not_included``, ``beyond_checkpoint``, or the leaf is of another statement or kind.
    """
    leaf = parse_leaf(inclusion.leaf)
    if leaf.statement != statement or leaf.kind != kind:
        raise ProofError("leaf_mismatch", "the leaf is not that of this statement")
    if not 0 <= inclusion.index < checkpoint.size:
        raise ProofError(
            "beyond_checkpoint",
            f"entry {inclusion.index} is not below the checkpoint's size {checkpoint.size}",
        )
    verify_inclusion(
        leaf_hash(inclusion.leaf), inclusion.index, checkpoint.size, list(inclusion.path), checkpoint.root
    )
    return leaf


@dataclass(frozen=True, slots=True)
class OwnDelivery:
    """The opening of one's own row: what a recipient (or the owner of a box) gets.

    Attributes:
        row: its row.
        tail: opened.
        at: where the row stands among the leaf's rows.
    """

    row: Row
    tail: Tail
    at: RowPath

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"row": row_to_json(self.row), "tail": tail_to_json(self.tail), "at": path_to_json(self.at)}


def verify_own_delivery(
    own: OwnDelivery, leaf: Leaf, index: int, owner: Address, box: Box, state: BoxState
) -> BoxState:
    """Check that a verified leaf puts its entry at the next position of one's own box.

    Raises:
        ProofError: another's row, not in the leaf, or the box does not follow.
    """
    if own.row.endpoint != owner or own.row.box is not box:
        raise ProofError("row_mismatch", f"expected a row of box '{box}' of {owner}")
    verify_row(own.row, own.at, leaf.delivery)
    return verify_tail(own.row, own.tail, index, leaf.statement, state)


@dataclass(frozen=True, slots=True)
class AllDeliveries:
    """Every row of an entry, and its author's own tail opened: what the author gets.

    Attributes:
        rows: all of them.
        tail: of the author's row in ``sent``.
    """

    rows: tuple[Row, ...]
    tail: Tail

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"rows": [row_to_json(r) for r in self.rows], "tail": tail_to_json(self.tail)}


def verify_all_deliveries(
    answer: AllDeliveries,
    leaf: Leaf,
    index: int,
    author: Address,
    expected: Iterable[tuple[Address, Box]],
) -> tuple[Row, Tail]:
    """Check that a verified leaf delivers an entry to exactly whom it should, and nobody else.

    Args:
        answer: as answered to the author.
        leaf: verified.
        index: of the entry.
        author: of the statement.
        expected: the boxes of all recipients; the author's own ``sent`` is added.

    Returns:
        The author's own row and tail, for `verify_tail` against its box once those before are known.

    Raises:
        ProofError: ``deliveries_mismatch`` (one is missing, added or in another box), ``tail_mismatch``.
    """
    wanted = {*expected, (author, Box.SENT)}
    got = {(row.endpoint, row.box) for row in answer.rows}
    if got != wanted or len(answer.rows) != len(wanted):
        raise ProofError(
            "deliveries_mismatch", "the entry is not delivered to exactly those that it should be"
        )
    if delivery_root(answer.rows) != leaf.delivery:
        raise ProofError("deliveries_mismatch", "the rows shown are not those that the leaf commits to")
    own = next(r for r in answer.rows if (r.endpoint, r.box) == (author, Box.SENT))
    if answer.tail.digest(index, leaf.statement) != own.tail:
        raise ProofError("tail_mismatch", "the opened tail is not that of the author's own row")
    return own, answer.tail


def verify_no_deliveries(leaf: Leaf) -> None:
    """Check that a leaf delivers to nobody, as a directory statement's must."""
    if leaf.delivery != NO_DELIVERY:
        raise ProofError("deliveries_mismatch", "a directory statement is delivered to nobody")


# --- JSON forms --------------------------------------------------------------------------------------


def parse_inclusion(value: Any, what: str = "proof") -> Inclusion:
    """Parse the JSON form of an `Inclusion`."""
    claims = Claims(value, what)
    inclusion = Inclusion(
        claims.integer("index"),
        parse_base64url(claims.raw("leaf"), "leaf"),
        tuple(parse_digest(h, "path") for h in claims.items("path", 0, MAX_PATH)),
    )
    claims.done()
    return inclusion


def row_to_json(row: Row) -> JsonObject:
    """JSON form of a delivery row."""
    return {
        "salt": encode_hex(row.salt),
        "endpoint": row.endpoint,
        "box": row.box.value,
        "tail": encode_hex(row.tail),
    }


def parse_row(value: Any, what: str = "row") -> Row:
    """Parse the JSON form of a delivery row."""
    claims = Claims(value, what)
    row = Row(
        claims.digest("salt"),
        claims.parsed("endpoint", parse_address),
        claims.choice("box", Box),
        claims.digest("tail"),
    )
    claims.done()
    return row


def tail_to_json(tail: Tail) -> JsonObject:
    """JSON form of an opened tail."""
    return {"salt": encode_hex(tail.salt), "position": tail.position, "previous": encode_hex(tail.previous)}


def parse_tail(value: Any, what: str = "tail") -> Tail:
    """Parse the JSON form of an opened tail."""
    claims = Claims(value, what)
    tail = Tail(claims.digest("salt"), claims.integer("position"), claims.digest("previous"))
    claims.done()
    return tail


def path_to_json(at: RowPath) -> JsonObject:
    """JSON form of where a row stands."""
    return {"number": at.number, "count": at.count, "path": [encode_hex(h) for h in at.path]}


def parse_path(value: Any, what: str = "path") -> RowPath:
    """Parse the JSON form of where a row stands."""
    claims = Claims(value, what)
    at = RowPath(
        claims.integer("number"),
        claims.integer("count", 1),
        tuple(parse_digest(h, what) for h in claims.items("path", 0, MAX_PATH)),
    )
    claims.done()
    return at


def parse_own_delivery(value: Any, what: str = "delivery") -> OwnDelivery:
    """Parse the JSON form of an `OwnDelivery`."""
    claims = Claims(value, what)
    own = OwnDelivery(
        claims.parsed("row", parse_row), claims.parsed("tail", parse_tail), claims.parsed("at", parse_path)
    )
    claims.done()
    return own


def parse_all_deliveries(value: Any, what: str = "deliveries") -> AllDeliveries:
    """Parse the JSON form of `AllDeliveries`."""
    claims = Claims(value, what)
    rows = tuple(parse_row(r) for r in claims.items("rows", 1, MAX_RECIPIENTS + 2))
    answer = AllDeliveries(rows, claims.parsed("tail", parse_tail))
    claims.done()
    return answer


def recipient_to_json(row: RecipientRow) -> JsonObject:
    """JSON form of a recipient row."""
    return {
        "salt": encode_hex(row.salt),
        "endpoint": row.endpoint,
        "sealing_key": encode_hex(row.sealing_key),
        "stanza": encode_hex(row.stanza),
    }


def parse_recipient(value: Any, what: str = "recipient") -> RecipientRow:
    """Parse the JSON form of a recipient row."""
    claims = Claims(value, what)
    row = RecipientRow(
        claims.digest("salt"),
        claims.parsed("endpoint", parse_address),
        KeyId(claims.digest("sealing_key")),
        claims.digest("stanza"),
    )
    claims.done()
    return row


def parse_recipients(value: Any, what: str = "recipients") -> tuple[RecipientRow, ...]:
    """Parse a whole recipient table."""
    values: Sequence[Any] = Claims({"rows": value}, what).items("rows", 1, MAX_RECIPIENTS)
    return tuple(parse_recipient(v) for v in values)
