"""Writing a group of entries and the views that follow from them: one executemany a table.

What a group does to the views is worked out here in memory first (`Changes`), so that the live broker and
`rebuild` share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, bindparam, insert, update

from countermark_broker.store.codec import encode_rows
from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import (
    box_heads,
    box_rows,
    contents,
    deliveries,
    entries,
    messages,
    stanzas,
)
from countermark_protocol.appending import Entry
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.state import DeliveryStage, MessageState


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What came with a message and lies beside its entry.

    Attributes:
        rows: its recipients, in order.
        stanzas: one for each row.
        content: the ciphertext.
    """

    rows: tuple[RecipientRow, ...] = ()
    stanzas: tuple[bytes, ...] = ()
    content: bytes | None = None


NOTHING = Enclosed()
Row = dict[str, Any]


@dataclass(slots=True)
class Changes:
    """Rows that a group of entries adds or changes, by table; keys are the primary keys."""

    entries: list[Row] = field(default_factory=list)
    stanzas: list[Row] = field(default_factory=list)
    contents: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    new_deliveries: dict[tuple[int, str], Row] = field(default_factory=dict)
    moved_deliveries: dict[tuple[int, str], Row] = field(default_factory=dict)
    box_rows: list[Row] = field(default_factory=list)
    new_boxes: dict[tuple[str, str], Row] = field(default_factory=dict)
    moved_boxes: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, entry: Entry, enclosed: Enclosed) -> None:
        """Work out what one more entry does, in log order."""
        self.entries.append(
            {
                "entry": entry.index,
                "leaf": entry.leaf.encode(),
                "kind": entry.leaf.kind,
                "payload_hash": entry.document.payload_hash,
                "document": entry.document.data,
                "secret": entry.secret,
                "recipient_rows": encode_rows(enclosed.rows),
                # The leaf counts the directory statements up to and including itself.
                "dir_number": entry.leaf.dir_count - 1 if entry.decision.directory is not None else None,
            }
        )
        for row, stanza in zip(enclosed.rows, enclosed.stanzas, strict=True):
            self.stanzas.append({"message": entry.index, "recipient": row.endpoint, "stanza": stanza})
        if enclosed.content is not None:
            self.contents.append({"message": entry.index, "content": enclosed.content})
        self.add_views(entry)

    def add_views(self, entry: Entry) -> None:
        """Work out only what an entry does to the views."""
        for message in entry.decision.messages:
            if message.index == entry.index:
                self.messages.append(_message_row(message))
            self._add_deliveries(message, entry.index)
        for placed in entry.placed:
            endpoint, box = placed.row.endpoint, placed.row.box.value
            position = placed.tail.position
            self.box_rows.append(
                {
                    "endpoint": endpoint,
                    "box": box,
                    "position": position,
                    "entry": entry.index,
                    "previous": placed.tail.previous,
                    "head": placed.head,
                }
            )
            row = {"endpoint": endpoint, "box": box, "length": position + 1, "head": placed.head}
            known = position == 0 or (endpoint, box) in self.new_boxes
            (self.new_boxes if known else self.moved_boxes)[endpoint, box] = row

    def _add_deliveries(self, message: MessageState, index: int) -> None:
        for recipient, delivery in message.deliveries.items():
            # Only what this very entry set: the rest of a changed message stays as it is.
            if index not in {delivery.stage_index, delivery.undelivered_index}:
                continue
            key = message.index, recipient
            waits = delivery.stage is DeliveryStage.OPEN and delivery.undelivered_index is None
            row = {
                "message": message.index,
                "recipient": recipient,
                "stage": delivery.stage.value,
                "stage_entry": delivery.stage_index,
                "undelivered_entry": delivery.undelivered_index,
                "due": message.expires_at if waits else None,
            }
            known = message.index == index or key in self.new_deliveries
            (self.new_deliveries if known else self.moved_deliveries)[key] = row


def _message_row(message: MessageState) -> Row:
    return {
        "entry": message.index,
        "payload_hash": message.payload_hash,
        "sender": message.sender,
        "id": message.id,
        "type": message.type,
        "conversation": message.conversation,
        "exercise": int(message.exercise),
        "expires_at": message.expires_at,
    }


async def write_changes(connection: Connection, changes: Changes) -> None:
    """Write what a group did; the transaction must hold the lock."""
    await _insert(connection, entries, changes.entries)
    await _insert(connection, stanzas, changes.stanzas)
    await _insert(connection, contents, changes.contents)
    await write_views(connection, changes)


async def write_views(connection: Connection, changes: Changes) -> None:
    """Write only the views."""
    await _insert(connection, messages, changes.messages)
    await _insert(connection, deliveries, list(changes.new_deliveries.values()))
    await _update(connection, deliveries, changes.moved_deliveries, ("message", "recipient"))
    await _insert(connection, box_rows, changes.box_rows)
    await _insert(connection, box_heads, list(changes.new_boxes.values()))
    await _update(connection, box_heads, changes.moved_boxes, ("endpoint", "box"))


async def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        await connection.execute(insert(table), list(rows))


async def _update(
    connection: Connection, table: Table, rows: Mapping[Any, Row], keys: tuple[str, ...]
) -> None:
    if not rows:
        return
    first = next(iter(rows.values()))
    statement = update(table).values({name: bindparam(f"new_{name}") for name in first if name not in keys})
    for key in keys:
        statement = statement.where(table.c[key] == bindparam(f"key_{key}"))
    values = [
        {f"key_{name}" if name in keys else f"new_{name}": value for name, value in row.items()}
        for row in rows.values()
    ]
    await connection.execute(statement, values)
