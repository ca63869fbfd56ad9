"""What services read: entries, boxes, directory statements, what lies beside entries. Never beyond `below`.

``below`` is always the published size: nothing beyond it is served.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from countermark_broker.store.codec import parse_rows
from countermark_broker.store.engine import Connection
from countermark_broker.store.loading import chunks
from countermark_broker.store.tables import box_rows, contents, deliveries, entries, messages, stanzas
from countermark_protocol.boxes import Box, BoxState, Row, Tail, make_row
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.recipients import RecipientRow

#: What one page may cost, about bytes: a page of 500 ordinary messages fits, so do 4 broadcasts to 1,000, whose
#: rows must be remade from their secrets one by one.
MAX_PAGE_COST: Final = 4 * 1024 * 1024
_COST_OF_ROWS: Final = 8


def _affordable(found: Sequence[Any]) -> list[Any]:
    """The first of some rows, at least one, whose `cost` together is bounded."""
    total = 0
    out: list[Any] = []
    for row in found:
        total += row.cost
        if out and total > MAX_PAGE_COST:
            break
        out.append(row)
    return out


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """An entry as kept.

    Attributes:
        index: of the entry.
        leaf: its 115 bytes.
        document: the signed document.
        secret: from which the salts of its rows come; never leaves the broker.
        rows: recipients, of a message.
        kind: as indexed.
        payload_hash: as indexed.
        dir_number: as indexed; None unless it is a directory statement.
    """

    index: int
    leaf: bytes
    document: bytes
    secret: bytes
    rows: tuple[RecipientRow, ...]
    kind: int
    payload_hash: bytes
    dir_number: int | None

    def parsed_leaf(self) -> Leaf:
        """The leaf's fields."""
        return parse_leaf(self.leaf)


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """One delivery of an entry, remade from the entry's secret."""

    row: Row
    tail: Tail


def _record(row: Any) -> EntryRecord:
    return EntryRecord(
        row.entry,
        row.leaf,
        row.document,
        row.secret,
        parse_rows(row.recipient_rows),
        row.kind,
        row.payload_hash,
        row.dir_number,
    )


async def read_entry(connection: Connection, payload_hash: bytes) -> EntryRecord | None:
    """The entry that logged a payload."""
    query = select(entries).where(entries.c.payload_hash == payload_hash)
    row = (await connection.execute(query)).one_or_none()
    return _record(row) if row is not None else None


async def read_entries(connection: Connection, first: int, limit: int) -> list[EntryRecord]:
    """Entries by index, for replaying."""
    query = select(entries).where(entries.c.entry >= first).order_by(entries.c.entry).limit(limit)
    return [_record(row) for row in await connection.execute(query)]


async def read_placed(
    connection: Connection, records: Collection[EntryRecord]
) -> Mapping[int, tuple[PlacedRow, ...]]:
    """All deliveries of some entries, by index."""
    by_index = {record.index: record for record in records}
    out: dict[int, list[PlacedRow]] = {index: [] for index in by_index}
    for part in chunks(by_index):
        query = select(box_rows).where(box_rows.c.entry.in_(part))
        for row in await connection.execute(query):
            record = by_index[row.entry]
            before = BoxState(row.position, row.previous)
            made = make_row(
                record.secret,
                Address(row.endpoint),
                Box(row.box),
                before,
                record.index,
                record.parsed_leaf().statement,
            )
            out[record.index].append(PlacedRow(*made))
    return {index: tuple(placed) for index, placed in out.items()}


async def read_box(
    connection: Connection, endpoint: Address, box: Box, first: int, limit: int, below: int
) -> list[EntryRecord]:
    """Entries of a box from a position on, in order: as many as one page may cost, at least one if there is one."""
    cost = func.length(entries.c.document) + _COST_OF_ROWS * func.length(entries.c.recipient_rows)
    query = (
        select(entries.c.entry, cost.label("cost"))
        .join(box_rows, box_rows.c.entry == entries.c.entry)
        .where(
            box_rows.c.endpoint == endpoint,
            box_rows.c.box == box.value,
            box_rows.c.position >= first,
            box_rows.c.entry < below,
        )
        .order_by(box_rows.c.position)
        .limit(limit)
    )
    out: list[EntryRecord] = []
    for part in chunks(row.entry for row in _affordable((await connection.execute(query)).all())):
        # A box follows the order of the log.
        chosen = select(entries).where(entries.c.entry.in_(part)).order_by(entries.c.entry)
        out.extend(_record(row) for row in await connection.execute(chosen))
    return out


async def read_box_state(connection: Connection, endpoint: Address, box: Box, below: int) -> BoxState:
    """Count and head of a box over exactly the entries below a size."""
    query = (
        select(box_rows.c.position, box_rows.c.head)
        .where(box_rows.c.endpoint == endpoint, box_rows.c.box == box.value, box_rows.c.entry < below)
        .order_by(box_rows.c.position.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    return BoxState(row.position + 1, row.head) if row is not None else BoxState()


async def read_moved_boxes(connection: Connection, first: int, below: int) -> set[tuple[Address, Box]]:
    """The boxes that entries from `first` on were put into."""
    query = (
        select(box_rows.c.endpoint, box_rows.c.box)
        .where(box_rows.c.entry >= first, box_rows.c.entry < below)
        .distinct()
    )
    return {(Address(row.endpoint), Box(row.box)) for row in await connection.execute(query)}


async def read_leaves(connection: Connection, first: int, limit: int, below: int) -> list[bytes]:
    """Leaves by index."""
    query = (
        select(entries.c.leaf)
        .where(entries.c.entry >= first, entries.c.entry < below)
        .order_by(entries.c.entry)
        .limit(limit)
    )
    return list((await connection.execute(query)).scalars())


async def read_directory(
    connection: Connection, first: int, limit: int, below: int
) -> list[tuple[int, bytes, bytes]]:
    """Directory statements by number: (index, leaf, document) each; as many as one page may cost, at least one."""
    query = (
        select(entries.c.entry, func.length(entries.c.document).label("cost"))
        .where(entries.c.dir_number >= first, entries.c.entry < below)
        .order_by(entries.c.dir_number)
        .limit(limit)
    )
    out: list[tuple[int, bytes, bytes]] = []
    for part in chunks(row.entry for row in _affordable((await connection.execute(query)).all())):
        chosen = select(entries.c.entry, entries.c.leaf, entries.c.document).where(entries.c.entry.in_(part))
        rows = await connection.execute(chosen.order_by(entries.c.entry))
        out.extend((row.entry, row.leaf, row.document) for row in rows)
    return out


async def read_stanzas(
    connection: Connection, message_indexes: Collection[int], recipient: Address
) -> dict[int, bytes]:
    """A recipient's stanzas of some messages, by index."""
    out: dict[int, bytes] = {}
    for part in chunks(message_indexes):
        query = select(stanzas.c.message, stanzas.c.stanza).where(
            stanzas.c.recipient == recipient, stanzas.c.message.in_(part)
        )
        out.update({row.message: row.stanza for row in await connection.execute(query)})
    return out


async def read_content(connection: Connection, message: int) -> bytes | None:
    """The ciphertext of a message."""
    query = select(contents.c.content).where(contents.c.message == message)
    return (await connection.execute(query)).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that nobody has collected.

    Attributes:
        payload_hash: of the message.
        sender: of the message.
        recipient: who has not collected it.
    """

    payload_hash: bytes
    sender: Address
    recipient: Address


async def read_due(connection: Connection, expired_by: int, limit: int, below: int) -> list[Due]:
    """Deliveries still open whose message expired at `expired_by` or before, the oldest first."""
    query = (
        select(messages.c.payload_hash, messages.c.sender, deliveries.c.recipient)
        .join(messages, messages.c.entry == deliveries.c.message)
        .where(deliveries.c.due <= expired_by, deliveries.c.message < below)
        .order_by(deliveries.c.due, deliveries.c.message, deliveries.c.recipient)
        .limit(limit)
    )
    return [
        Due(row.payload_hash, Address(row.sender), Address(row.recipient))
        for row in await connection.execute(query)
    ]


async def count_undelivered_open(connection: Connection) -> int:
    """Deliveries that may still get an undelivered notice."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.due.is_not(None))
    return int((await connection.execute(query)).scalar_one())
