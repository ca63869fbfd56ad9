"""The state of a log as decisions see it: small records, looked up by key.

The test broker and the auditor hold all of it in memory; the broker loads, under its lock, exactly what a
group of statements needs (`needs_of`). Both use this class, so neither decides by itself.

Source: docs/spec/log.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import Address, MessageId, Origin
from countermark_protocol.merkle import Frontier
from countermark_protocol.statements import (
    DisclosureStatement,
    LookUpStatement,
    MessageStatement,
    PurgeStatement,
    ReceiptStatement,
    Statement,
    UndeliveredStatement,
    header_of,
)

K = TypeVar("K")
V = TypeVar("V")


class DeliveryStage(StrEnum):
    """How far one recipient is with one message."""

    OPEN = "open"
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (message, recipient).

    Attributes:
        stage: by the recipient's logged receipts.
        stage_index: log index of the receipt that set it; that of the message while open.
        undelivered_index: log index of the undelivered notice, if there was one.
    """

    stage: DeliveryStage
    stage_index: int
    undelivered_index: int | None = None


@dataclass(frozen=True, slots=True)
class MessageState:
    """What decisions need to know of a logged message.

    Attributes:
        payload_hash: names it, 32 bytes.
        index: of its log entry.
        sender: its sender.
        id: its id.
        type: its type.
        conversation: payload hash of its conversation's first message (its own for the first), 32 bytes.
        exercise: drill traffic.
        expires_at: ms since 1970.
        deliveries: one for each recipient; of a message loaded for `Needs`, for each of its ``endpoints`` among
            them.
    """

    payload_hash: bytes
    index: int
    sender: Address
    id: MessageId
    type: str
    conversation: bytes
    exercise: bool
    expires_at: int
    deliveries: Mapping[Address, Delivery]

    def with_delivery(self, recipient: Address, delivery: Delivery) -> MessageState:
        """The state in which one delivery is another."""
        return replace(self, deliveries={**self.deliveries, recipient: delivery})


class Loaded(dict[K, V], Generic[K, V]):
    """A mapping of what was loaded; asking for anything else is a defect, not an absence."""

    def __missing__(self, key: Any) -> V:
        """Stop rather than decide on what was never looked up."""
        msg = f"state not loaded for {key!r}"
        raise RuntimeError(msg)


class Whole(dict[K, V], Generic[K, V]):
    """A mapping that holds everything there is; what is not in it does not exist."""

    def __init__(self, absent: V) -> None:
        super().__init__()
        self._absent = absent

    def __missing__(self, _key: Any) -> V:
        """What is not here does not exist."""
        return self._absent


@dataclass(slots=True)
class LogState:
    """Everything a decision may look at. Changed by `append_statement` alone.

    Attributes:
        origin: of the log.
        directory: folded up to the last leaf.
        frontier: of the tree; its size is the next leaf's index.
        time: of the last leaf, ms since 1970.
        entries: payload hash → index of the entry that logged it, or None.
        messages: payload hash → message, or None.
        ids: (sender, id) → payload hash, or None.
        parties: conversation → everybody who sent or received in it.
        boxes: (endpoint, box) → its state.
        roots: tree size → root, for the sizes that statements name as seen.
        purges: payload hash of a message → index of its purge, or None.
    """

    origin: Origin
    directory: Directory
    frontier: Frontier
    time: int
    entries: MutableMapping[bytes, int | None]
    messages: MutableMapping[bytes, MessageState | None]
    ids: MutableMapping[tuple[Address, MessageId], bytes | None]
    parties: MutableMapping[bytes, frozenset[Address]]
    boxes: MutableMapping[tuple[Address, Box], BoxState]
    roots: Mapping[int, bytes]
    purges: MutableMapping[bytes, int | None]

    @property
    def size(self) -> int:
        """Leaves in the log; the index that the next one gets."""
        return self.frontier.size


@dataclass(slots=True)
class Needs:
    """What must be loaded before a group of statements can be decided.

    Of a message's deliveries those of `endpoints` are enough: a receipt is about its author alone, and a
    broadcast has a thousand recipients.
    """

    entries: set[bytes] = field(default_factory=set)
    messages: set[bytes] = field(default_factory=set)
    endpoints: set[Address] = field(default_factory=set)
    ids: set[tuple[Address, MessageId]] = field(default_factory=set)
    conversations: set[bytes] = field(default_factory=set)
    boxes: set[tuple[Address, Box]] = field(default_factory=set)
    sizes: set[int] = field(default_factory=set)
    purges: set[bytes] = field(default_factory=set)


def needs_of(statement: Statement, needs: Needs) -> None:
    """Add to `needs` everything that deciding and appending this statement looks up."""
    needs.entries.add(statement.document.payload_hash)
    needs.sizes.add(header_of(statement).seen.size)
    if isinstance(statement, MessageStatement):
        m = statement.manifest
        needs.ids.add((m.sender, m.id))
        needs.messages.update(h for h in (m.in_reply_to, m.supersedes) if h is not None)
        needs.endpoints.add(m.sender)
        if m.on_behalf_of is not None:
            needs.endpoints.add(m.on_behalf_of)
            needs.boxes.add((m.on_behalf_of, Box.NOTICES))
        needs.conversations.add(m.conversation or statement.document.payload_hash)
        needs.boxes.add((m.sender, Box.SENT))
        for row in statement.rows:
            needs.boxes.update({(row.endpoint, Box.ROUTINE), (row.endpoint, Box.URGENT)})
    elif isinstance(statement, ReceiptStatement):
        r = statement.receipt
        needs.messages.update(item.message for item in r.items)
        needs.endpoints.add(r.author)
        needs.boxes.update({(r.sender, Box.NOTICES), (r.author, Box.SENT)})
    elif isinstance(statement, UndeliveredStatement):
        n = statement.notice
        needs.messages.add(n.message)
        needs.endpoints.add(n.recipient)
        needs.boxes.update({(n.sender, Box.NOTICES), (n.author, Box.SENT)})
    elif isinstance(statement, LookUpStatement):
        needs.boxes.add((statement.look_up.author, Box.SENT))
    elif isinstance(statement, DisclosureStatement):
        needs.messages.add(statement.disclosure.message)
        needs.endpoints.add(statement.disclosure.author)
        needs.boxes.add((statement.disclosure.author, Box.SENT))
    elif isinstance(statement, PurgeStatement):
        p = statement.purge
        needs.messages.add(p.message)
        needs.purges.add(p.message)
        needs.boxes.update({(statement.manifest.sender, Box.NOTICES), (p.author, Box.SENT)})
