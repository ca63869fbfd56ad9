"""What services read: entries, boxes, directory statements, what lies beside entries. Never beyond `below`.

``below`` is always the published size: nothing beyond it is served.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from countermark_broker.errors import FatalError
from countermark_broker.store.codec import encode_rows, parse_rows
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection
from countermark_broker.store.loading import chunks, load_boxes
from countermark_broker.store.pieces import read_claims
from countermark_broker.store.tables import (
    CONTENT_PART,
    box_rows,
    contents,
    deliveries,
    entries,
    messages,
    purges,
    stanzas,
)
from countermark_broker.store.writing import Enclosed
from countermark_protocol.boxes import Box, BoxState, Row, Tail, make_row
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import MalformedError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.recipients import RecipientRow

#: What one page may cost, about bytes: a page of 500 ordinary messages fits, so do 4 broadcasts to 1,000, whose
#: rows must be remade from their secrets one by one.
MAX_PAGE_COST: Final = 4 * 1024 * 1024
_COST_OF_ROWS: Final = 8
#: No log is longer.
MAX_SIZE: Final = 2**63 - 1
#: What to do where a record is missing or is not what was logged.
RECORD_DAMAGED: Final = (
    "the log itself is damaged: stop all nodes and run `countermark-broker backup restore` with a backup or an "
    "export that holds this entry, onto this database (docs/operations/checking.md §2)"
)


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

    def as_row(self) -> tuple[Any, ...]:
        """Values in the order of the table's columns."""
        return (
            self.index,
            self.leaf,
            self.kind,
            self.payload_hash,
            self.document,
            self.secret,
            encode_rows(self.rows),
            self.dir_number,
        )


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """An entry whose recipient rows cannot be read.

    Attributes:
        index: of the entry.
        leaf: as kept.
        reason: in words.
    """

    index: int
    leaf: bytes
    reason: str


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


def read_entry(connection: Connection, payload_hash: bytes) -> EntryRecord | None:
    """The entry that logged a payload."""
    query = select(entries).where(entries.c.payload_hash == payload_hash)
    row = connection.execute(query).one_or_none()
    return _record(row) if row is not None else None


def read_document(connection: Connection, payload_hash: bytes) -> bytes | None:
    """The signed document alone, by its payload: of a message also where a replay keeps no more."""
    query = select(entries.c.document).where(entries.c.payload_hash == payload_hash)
    return connection.execute(query).scalar_one_or_none()


def read_records(
    connection: Connection, first: int, below: int = MAX_SIZE, limit: int = 500
) -> list[EntryRecord]:
    """Entries by index, for replaying: as many as one page may cost, at least one if there is one.

    Raises:
        FatalError: ``entry_unreadable``.
    """
    out: list[EntryRecord] = []
    for record in read_any_records(connection, first, below, limit):
        if isinstance(record, UnreadableRecord):
            raise FatalError("entry_unreadable", f"entry {record.index}: {record.reason}", RECORD_DAMAGED)
        out.append(record)
    return out


def read_any_records(
    connection: Connection, first: int, below: int = MAX_SIZE, limit: int = 500
) -> list[EntryRecord | UnreadableRecord]:
    """As `read_records`, for those who look for damage: one record that cannot be read hides no other."""
    cost = func.length(entries.c.document) + func.length(entries.c.recipient_rows)
    query = (
        select(entries.c.entry, cost.label("cost"))
        .where(entries.c.entry >= first, entries.c.entry < below)
        .order_by(entries.c.entry)
        .limit(limit)
    )
    found = _affordable(connection.execute(query).all())
    if not found:
        return []
    chosen = select(entries).where(entries.c.entry >= first, entries.c.entry <= found[-1].entry)
    return [_any_record(row) for row in connection.execute(chosen.order_by(entries.c.entry))]


def _any_record(row: Any) -> EntryRecord | UnreadableRecord:
    try:
        return _record(row)
    except MalformedError as error:
        return UnreadableRecord(row.entry, row.leaf, error.message)


def read_enclosed(connection: Connection, record: EntryRecord, content: ContentStore) -> Enclosed:
    """What lies beside an entry, its content wherever it lies; a stanza that is not there is empty.

    Raises:
        UnavailableError: a content store does not answer.
    """
    if not record.rows:
        return Enclosed()
    query = select(stanzas.c.recipient, stanzas.c.stanza).where(stanzas.c.message == record.index)
    found = {row.recipient: row.stanza for row in connection.execute(query)}
    claimed = read_claims(connection, record.index)
    outside = claimed.pop(CONTENT_PART, ())
    inside = read_content(connection, record.index)
    if inside is None and outside:
        inside = content.find(outside[0])
    return Enclosed(
        record.rows,
        tuple(found.get(row.endpoint, b"") for row in record.rows),
        inside,
        tuple(claimed.get(part, ()) for part in range(max(claimed, default=-1) + 1)),
        outside[0] if outside else None,
    )


def read_stanza_counts(connection: Connection, first: int, last: int) -> dict[int, int]:
    """How many stanzas lie beside each entry of a range that has any."""
    query = (
        select(stanzas.c.message, func.count())
        .where(stanzas.c.message >= first, stanzas.c.message <= last)
        .group_by(stanzas.c.message)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def read_orphans(connection: Connection, limit: int) -> list[tuple[str, int]]:
    """Rows that name an entry which is not there: (table and column, entry), each once."""
    out: list[tuple[str, int]] = []
    for column in (
        stanzas.c.message,
        contents.c.message,
        messages.c.entry,
        deliveries.c.message,
        deliveries.c.stage_entry,
        deliveries.c.undelivered_entry,
        purges.c.entry,
        box_rows.c.entry,
    ):
        known = select(entries.c.entry).where(entries.c.entry == column).exists()
        query = select(column).where(column.is_not(None), ~known).distinct().order_by(column).limit(limit)
        name = f"{column.table.name}.{column.name}"
        out.extend((name, index) for index in connection.execute(query).scalars())
    return out


def read_placed(
    connection: Connection, records: Collection[EntryRecord]
) -> Mapping[int, tuple[PlacedRow, ...]]:
    """All deliveries of some entries, by index."""
    by_index = {record.index: record for record in records}
    out: dict[int, list[PlacedRow]] = {index: [] for index in by_index}
    for part in chunks(by_index):
        query = select(box_rows).where(box_rows.c.entry.in_(part))
        for row in connection.execute(query):
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


def read_box(
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
    for part in chunks(row.entry for row in _affordable(connection.execute(query).all())):
        # A box follows the order of the log.
        chosen = select(entries).where(entries.c.entry.in_(part)).order_by(entries.c.entry)
        out.extend(_record(row) for row in connection.execute(chosen))
    return out


def read_box_state(connection: Connection, endpoint: Address, box: Box, below: int) -> BoxState:
    """Count and head of a box over exactly the entries below a size."""
    query = (
        select(box_rows.c.position, box_rows.c.head)
        .where(box_rows.c.endpoint == endpoint, box_rows.c.box == box.value, box_rows.c.entry < below)
        .order_by(box_rows.c.position.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return BoxState(row.position + 1, row.head) if row is not None else BoxState()


def read_box_states(
    connection: Connection, boxes: Collection[tuple[Address, Box]], below: int
) -> dict[tuple[Address, Box], BoxState]:
    """As `read_box_state`, of many boxes: few of them have moved since a size that is published."""
    states = dict(load_boxes(connection, boxes))
    for endpoint, box in read_moved_boxes(connection, below, MAX_SIZE) & states.keys():
        states[endpoint, box] = read_box_state(connection, endpoint, box, below)
    return states


def read_moved_boxes(connection: Connection, first: int, below: int) -> set[tuple[Address, Box]]:
    """The boxes that entries from `first` on were put into."""
    query = (
        select(box_rows.c.endpoint, box_rows.c.box)
        .where(box_rows.c.entry >= first, box_rows.c.entry < below)
        .distinct()
    )
    return {(Address(row.endpoint), Box(row.box)) for row in connection.execute(query)}


def read_leaves(connection: Connection, first: int, limit: int, below: int) -> list[bytes]:
    """Leaves by index."""
    query = (
        select(entries.c.leaf)
        .where(entries.c.entry >= first, entries.c.entry < below)
        .order_by(entries.c.entry)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def read_directory(
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
    for part in chunks(row.entry for row in _affordable(connection.execute(query).all())):
        chosen = select(entries.c.entry, entries.c.leaf, entries.c.document).where(entries.c.entry.in_(part))
        rows = connection.execute(chosen.order_by(entries.c.entry))
        out.extend((row.entry, row.leaf, row.document) for row in rows)
    return out


def read_stanzas(
    connection: Connection, message_indexes: Collection[int], recipient: Address
) -> dict[int, bytes]:
    """A recipient's stanzas of some messages, by index."""
    out: dict[int, bytes] = {}
    for part in chunks(message_indexes):
        query = select(stanzas.c.message, stanzas.c.stanza).where(
            stanzas.c.recipient == recipient, stanzas.c.message.in_(part)
        )
        out.update({row.message: row.stanza for row in connection.execute(query)})
    return out


def read_content(connection: Connection, message: int) -> bytes | None:
    """The ciphertext of a message."""
    query = select(contents.c.content).where(contents.c.message == message)
    return connection.execute(query).scalar_one_or_none()


def read_manifest_of(connection: Connection, message: int) -> Manifest:
    """The manifest of an entry that is a message."""
    document = connection.execute(select(entries.c.document).where(entries.c.entry == message)).scalar_one()
    return parse_manifest(parse_document(document).claims)


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


def read_due(connection: Connection, expired_by: int, limit: int, below: int) -> list[Due]:
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
        for row in connection.execute(query)
    ]


def count_undelivered_open(connection: Connection) -> int:
    """Deliveries that may still get an undelivered notice."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.due.is_not(None))
    return int(connection.execute(query).scalar_one())
