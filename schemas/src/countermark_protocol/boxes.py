"""Boxes and delivery rows: how each delivery is bound into a leaf without naming anyone.

A box is a gapless, hash-chained sequence of an endpoint. A leaf's ``delivery`` is the Merkle root over its
rows; only the owner of a box (and its auditors) ever gets the tail of its row opened.

Source: docs/spec/log.md §5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.encoding import labelled_hash, labelled_hmac
from countermark_protocol.errors import ProofError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import NO_DELIVERY
from countermark_protocol.merkle import leaf_hash, root_of, small_tree_path, verify_inclusion


class Box(StrEnum):
    """The four sequences each endpoint has."""

    SENT = "sent"
    URGENT = "urgent"
    ROUTINE = "routine"
    NOTICES = "notices"


#: Head of a box that holds nothing.
EMPTY_HEAD: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class BoxState:
    """How far a box goes.

    Attributes:
        count: positions taken, from 0.
        head: hash chain over them, 32 bytes; zeros while empty.
    """

    count: int = 0
    head: bytes = EMPTY_HEAD

    def after(self, index: int, statement: bytes) -> BoxState:
        """The state once the entry at `index` stands at the next position."""
        return BoxState(self.count + 1, box_head(self.head, index, statement))


@dataclass(frozen=True, slots=True)
class Tail:
    """The opened end of a row: what only the box's owner and its auditors see.

    Attributes:
        salt: 32 bytes.
        position: of the entry in the box, from 0.
        previous: box head before this entry, 32 bytes.
    """

    salt: bytes
    position: int
    previous: bytes

    def digest(self, index: int, statement: bytes) -> bytes:
        """What the row holds of it, 32 bytes."""
        return _tail_digest(self.salt, self.position, box_head(self.previous, index, statement))


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery of an entry.

    Attributes:
        salt: 32 bytes.
        endpoint: whose box.
        box: which of its boxes.
        tail: digest of the tail, 32 bytes.
    """

    salt: bytes
    endpoint: Address
    box: Box
    tail: bytes

    def digest(self) -> bytes:
        """The row's hash, 32 bytes; rows are ordered by it."""
        return labelled_hash("delivery-row", self.salt, self.endpoint.encode(), self.box.encode(), self.tail)


@dataclass(frozen=True, slots=True)
class RowPath:
    """Where a row stands among the rows of its leaf.

    Attributes:
        number: of the row in order, from 0.
        count: rows in all.
        path: sibling hashes, lowest first, 32 bytes each.
    """

    number: int
    count: int
    path: tuple[bytes, ...]


def box_head(previous: bytes, index: int, statement: bytes) -> bytes:
    """The head of a box after the entry at `index` with this statement hash."""
    return labelled_hash("box-head", previous, index.to_bytes(8, "big"), statement)


def _tail_digest(salt: bytes, position: int, head: bytes) -> bytes:
    return labelled_hash("tail", salt, position.to_bytes(8, "big"), head)


def make_row(
    secret: bytes, endpoint: Address, box: Box, state: BoxState, index: int, statement: bytes
) -> tuple[Row, Tail]:
    """Make the row that puts an entry at the end of a box.

    Args:
        secret: the entry's 32 random bytes, from which all its salts come.
        endpoint: owner of the box.
        box: which box.
        state: of the box before this entry.
        index: of the entry in the log.
        statement: hash of the entry's signed document, 32 bytes.
    """
    row, tail, _ = extend_box(secret, endpoint, box, state, index, statement)
    return row, tail


def extend_box(
    secret: bytes, endpoint: Address, box: Box, state: BoxState, index: int, statement: bytes
) -> tuple[Row, Tail, BoxState]:
    """As `make_row`, together with the state of the box after the entry: its head is hashed once for all three."""
    whose, which = endpoint.encode(), box.encode()
    after = state.after(index, statement)
    tail = Tail(labelled_hmac("tail-salt", secret, whose, which), state.count, state.head)
    digest = _tail_digest(tail.salt, tail.position, after.head)
    return Row(labelled_hmac("row-salt", secret, whose, which), endpoint, box, digest), tail, after


def delivery_root(rows: Sequence[Row]) -> bytes:
    """The leaf's ``delivery``: RFC 6962 root over the ordered row hashes, zeros if there are none."""
    if not rows:
        return NO_DELIVERY
    return root_of([leaf_hash(d) for d in sorted([row.digest() for row in rows])])


def row_path(rows: Sequence[Row], row: Row) -> RowPath:
    """The path that shows `row` to be one of `rows`."""
    ordered = sorted(r.digest() for r in rows)
    number = ordered.index(row.digest())
    return RowPath(number, len(ordered), tuple(small_tree_path([leaf_hash(d) for d in ordered], number)))


def verify_row(row: Row, at: RowPath, delivery: bytes) -> None:
    """Check that `row` is among the rows of a leaf with this ``delivery``.

    Raises:
        ProofError: it is not.
    """
    if not 0 <= at.number < at.count:
        raise ProofError("row_not_included", f"row number {at.number} is not below the row count {at.count}")
    try:
        verify_inclusion(leaf_hash(row.digest()), at.number, at.count, list(at.path), delivery)
    except ProofError:
        raise ProofError("row_not_included", "the delivery row is not in the leaf's delivery root") from None


def verify_tail(row: Row, tail: Tail, index: int, statement: bytes, state: BoxState) -> BoxState:
    """Check an opened tail against its row and against the box so far; the box's new state.

    Args:
        row: proven to be in the leaf by `verify_row` or `delivery_root`.
        tail: as opened by the broker.
        index: of the entry in the log.
        statement: hash of its signed document.
        state: of the box, as the caller last verified it.

    Raises:
        ProofError: the tail is not the row's (``tail_mismatch``), or the box does not follow
            (``box_gap``: a position is missing; ``box_head_mismatch``: another past).
    """
    if tail.digest(index, statement) != row.tail:
        raise ProofError("tail_mismatch", f"the opened tail is not that of the row in box '{row.box}'")
    if tail.position != state.count:
        raise ProofError(
            "box_gap",
            f"box '{row.box}' does not follow: expected position {state.count}, got {tail.position}",
            expected=state.count,
            got=tail.position,
        )
    if tail.previous != state.head:
        raise ProofError(
            "box_head_mismatch", f"box '{row.box}' has another past than the one already verified"
        )
    return state.after(index, statement)
