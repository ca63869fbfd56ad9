"""Writing a group of entries and the views that follow from them: one call a table, rows in column order.

What a group does to the views is worked out here in memory first (`Changes`), so that the live broker and
`rebuild` share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, delete

from countermark_broker.store.codec import encode_rows
from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.loading import chunks
from countermark_broker.store.pieces import drop_claims, forget_uploads
from countermark_broker.store.tables import (
    CONTENT_PART,
    box_heads,
    box_rows,
    claims,
    contents,
    deliveries,
    entries,
    messages,
    purges,
    stanzas,
)
from countermark_protocol.appending import Entry
from countermark_protocol.identifiers import Address
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.state import DeliveryStage, MessageState


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What came with a message and lies beside its entry.

    Attributes:
        rows: its recipients, in order.
        stanzas: one for each row.
        content: the ciphertext; None also where it lies in the content store.
        pieces: of each attachment, the digests of its pieces, in order.
        outside: digest of the content, where it lies in the content store.
    """

    rows: tuple[RecipientRow, ...] = ()
    stanzas: tuple[bytes, ...] = ()
    content: bytes | None = None
    pieces: tuple[tuple[bytes, ...], ...] = ()
    outside: bytes | None = None

    def claims(self) -> Iterator[tuple[int, int, bytes]]:
        """Part, number and digest of each piece that the message consists of."""
        if self.outside is not None:
            yield CONTENT_PART, 0, self.outside
        for part, digests in enumerate(self.pieces):
            for number, digest in enumerate(digests):
                yield part, number, digest


NOTHING = Enclosed()
#: Values in the order of a table's columns.
Row = tuple[Any, ...]


@dataclass(slots=True)
class Changes:
    """Rows that a group of entries adds or changes, by table; keys are the primary keys."""

    entries: list[Row] = field(default_factory=list)
    stanzas: list[Row] = field(default_factory=list)
    contents: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    claimed: list[tuple[Address, frozenset[bytes]]] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    new_deliveries: dict[tuple[int, str], Row] = field(default_factory=dict)
    moved_deliveries: dict[tuple[int, str], Row] = field(default_factory=dict)
    box_rows: list[Row] = field(default_factory=list)
    boxes: dict[tuple[str, str], Row] = field(default_factory=dict)
    purges: list[Row] = field(default_factory=list)
    purged: list[int] = field(default_factory=list)

    def add(self, entry: Entry, enclosed: Enclosed) -> None:
        """Work out what one more entry does, in log order."""
        self.entries.append(
            (
                entry.index,
                entry.leaf.encode(),
                int(entry.leaf.kind),
                entry.document.payload_hash,
                entry.document.data,
                entry.secret,
                encode_rows(enclosed.rows),
                # The leaf counts the directory statements up to and including itself.
                entry.leaf.dir_count - 1 if entry.decision.directory is not None else None,
            )
        )
        for row, stanza in zip(enclosed.rows, enclosed.stanzas, strict=True):
            self.stanzas.append((entry.index, row.endpoint, stanza))
        if enclosed.content is not None:
            self.contents.append((entry.index, enclosed.content))
        new = [(entry.index, *claim) for claim in enclosed.claims()]
        if new:
            self.claims += new
            self.claimed += [
                (message.sender, frozenset(claim[3] for claim in new))
                for message in entry.decision.messages
                if message.index == entry.index
            ]
        self.add_views(entry)

    def add_views(self, entry: Entry) -> None:
        """Work out only what an entry does to the views."""
        for message in entry.decision.messages:
            if message.index == entry.index:
                self.messages.append(_message_row(message))
            self._add_deliveries(message, entry.index)
        if (purged := entry.decision.purged) is not None:
            self.purges.append((purged.payload_hash, entry.index))
            self.purged.append(purged.index)
        for placed in entry.placed:
            endpoint, box = placed.row.endpoint, placed.row.box.value
            position = placed.tail.position
            self.box_rows.append((endpoint, box, position, entry.index, placed.tail.previous, placed.head))
            self.boxes[endpoint, box] = (endpoint, box, position + 1, placed.head)

    def _add_deliveries(self, message: MessageState, index: int) -> None:
        for recipient, delivery in message.deliveries.items():
            # Only what this very entry set: the rest of a changed message stays as it is.
            if index not in {delivery.stage_index, delivery.undelivered_index}:
                continue
            key = message.index, recipient
            waits = delivery.stage is DeliveryStage.OPEN and delivery.undelivered_index is None
            row = (
                message.index,
                recipient,
                delivery.stage.value,
                delivery.stage_index,
                delivery.undelivered_index,
                message.expires_at if waits else None,
            )
            known = message.index == index or key in self.new_deliveries
            (self.new_deliveries if known else self.moved_deliveries)[key] = row


def _message_row(message: MessageState) -> Row:
    return (
        message.index,
        message.payload_hash,
        message.sender,
        message.id,
        message.type,
        message.conversation,
        int(message.exercise),
        message.expires_at,
    )


def write_changes(connection: Connection, changes: Changes) -> None:
    """Write what a group did; the transaction must hold the lock."""
    _insert(connection, entries, changes.entries)
    _insert(connection, stanzas, changes.stanzas)
    _insert(connection, contents, changes.contents)
    _insert(connection, claims, changes.claims)
    for sender, digests in changes.claimed:
        forget_uploads(connection, sender, digests)
    # In the transaction that logs the ground, so that what is missing without one never looks like this.
    for part in chunks(changes.purged):
        for table in (stanzas, contents):
            connection.execute(delete(table).where(table.c.message.in_(part)))
    # After the contents, that one which is just being moved out of its table is found in either place.
    drop_claims(connection, changes.purged)
    write_views(connection, changes)


def write_enclosed(connection: Connection, index: int, enclosed: Enclosed) -> None:
    """Write what lies beside an entry, over what may be left of it there."""
    rows = zip(enclosed.rows, enclosed.stanzas, strict=True)
    _replace(connection, stanzas, [(index, row.endpoint, stanza) for row, stanza in rows])
    if enclosed.content is not None:
        _replace(connection, contents, [(index, enclosed.content)])
        if enclosed.outside is None:
            connection.execute(delete(claims).where(claims.c.message == index, claims.c.part == CONTENT_PART))
    _replace(connection, claims, [(index, *claim) for claim in enclosed.claims()])


def insert_entries(connection: Connection, rows: Sequence[Row]) -> None:
    """Write entry records alone, where none are; the transaction must hold the lock."""
    _insert(connection, entries, rows)


def delete_entries(connection: Connection, indexes: Iterable[int]) -> None:
    """Take entry records out, for others to be put there; the transaction must hold the lock."""
    for part in chunks(indexes):
        connection.execute(delete(entries).where(entries.c.entry.in_(part)))


def write_views(connection: Connection, changes: Changes) -> None:
    """Write only the views."""
    _insert(connection, messages, changes.messages)
    _insert(connection, deliveries, list(changes.new_deliveries.values()))
    _replace(connection, deliveries, list(changes.moved_deliveries.values()))
    _insert(connection, purges, changes.purges)
    _insert(connection, box_rows, changes.box_rows)
    _replace(connection, box_heads, list(changes.boxes.values()))


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        backend_of(connection).insert(connection, table, rows)


def _replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        backend_of(connection).replace(connection, table, rows)
