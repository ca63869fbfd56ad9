"""Loading what a group of statements needs to be decided: a few queries, whatever the group holds.

Source: docs/spec/log.md §6; countermark_protocol.state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any, TypeVar

from sqlalchemy import select

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.head import Head
from countermark_broker.store.tables import box_heads, deliveries, entries, messages, purges
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import Address, MessageId, Origin
from countermark_protocol.state import (
    Delivery,
    DeliveryStage,
    Loaded,
    LogState,
    MessageState,
    Needs,
)

T = TypeVar("T")

#: Values in one IN list: well below every database's limit on parameters, also for pairs.
_CHUNK = 400


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Cut values into lists that fit one query."""
    rest = iter(values)
    while part := list(islice(rest, _CHUNK)):
        yield part


def load_state(
    connection: Connection,
    origin: Origin,
    head: Head,
    directory: Directory,
    needs: Needs,
    roots: Mapping[int, bytes],
) -> LogState:
    """The part of the log's state that `needs` names, as of `head`.

    Args:
        connection: a transaction that holds the lock, or only reads.
        origin: of the log.
        head: as read in this transaction.
        directory: folded up to that head; `append_statement` will change it.
        needs: gathered by `state.needs_of`.
        roots: for the sizes that statements name as seen.
    """
    logged = load_indexes(connection, needs.entries)
    # A conversation that begins in this very group has no parties yet, and most messages begin one.
    begun = {hash_ for hash_ in needs.conversations if logged.get(hash_, 0) is None}
    parties = _load_parties(connection, needs.conversations - begun)
    parties.update(dict.fromkeys(begun, frozenset[Address]()))
    return LogState(
        origin=origin,
        directory=directory,
        frontier=head.frontier,
        time=head.time,
        entries=Loaded(logged),
        messages=_load_messages(connection, needs.messages, needs.endpoints),
        ids=_load_ids(connection, needs.ids),
        parties=parties,
        boxes=load_boxes(connection, needs.boxes),
        roots=roots,
        purges=load_purges(connection, needs.purges),
    )


def load_indexes(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, int | None]:
    """Payload hash → index of the entry that logged it, or None."""
    wanted = list(hashes)
    found: dict[bytes, int | None] = dict.fromkeys(wanted)
    rows = backend_of(connection).select(
        connection, entries, "payload_hash, entry", ("payload_hash",), wanted
    )
    found.update(dict(rows))
    return found


def load_purges(connection: Connection, hashes: Iterable[bytes]) -> Loaded[bytes, int | None]:
    """Payload hash of a message → index of its purge, or None."""
    wanted = list(hashes)
    out: Loaded[bytes, int | None] = Loaded(dict.fromkeys(wanted))
    out.update(
        dict(
            backend_of(connection).select(
                connection, purges, "payload_hash, entry", ("payload_hash",), wanted
            )
        )
    )
    return out


def _load_messages(
    connection: Connection, hashes: set[bytes], recipients: set[Address]
) -> Loaded[bytes, MessageState | None]:
    """Messages with the deliveries of some recipients: all of those of a broadcast would be loaded for one."""
    out: Loaded[bytes, MessageState | None] = Loaded(dict.fromkeys(hashes))
    for part in chunks(hashes):
        rows = connection.execute(select(messages).where(messages.c.payload_hash.in_(part))).all()
        stages: dict[int, dict[Address, Delivery]] = {row.entry: {} for row in rows}
        for numbers, names in product(list(chunks(stages)), list(chunks(recipients))):
            query = select(deliveries).where(
                deliveries.c.message.in_(numbers), deliveries.c.recipient.in_(names)
            )
            for row in connection.execute(query):
                stages[row.message][Address(row.recipient)] = _delivery(row)
        out.update({row.payload_hash: _message(row, stages[row.entry]) for row in rows})
    return out


def _delivery(row: Any) -> Delivery:
    return Delivery(DeliveryStage(row.stage), row.stage_entry, row.undelivered_entry)


def _message(row: Any, stages: Mapping[Address, Delivery]) -> MessageState:
    return MessageState(
        payload_hash=row.payload_hash,
        index=row.entry,
        sender=Address(row.sender),
        id=MessageId(row.id),
        type=row.type,
        conversation=row.conversation,
        exercise=bool(row.exercise),
        expires_at=row.expires_at,
        deliveries=stages,
    )


def _load_ids(
    connection: Connection, ids: set[tuple[Address, MessageId]]
) -> Loaded[tuple[Address, MessageId], bytes | None]:
    out: Loaded[tuple[Address, MessageId], bytes | None] = Loaded(dict.fromkeys(ids))
    rows = backend_of(connection).select(
        connection, messages, "sender, id, payload_hash", ("sender", "id"), list(ids)
    )
    for sender, number, payload_hash in rows:
        out[Address(sender), MessageId(number)] = payload_hash
    return out


def _load_parties(connection: Connection, conversations: set[bytes]) -> Loaded[bytes, frozenset[Address]]:
    out: Loaded[bytes, frozenset[Address]] = Loaded(dict.fromkeys(conversations, frozenset()))
    for part in chunks(conversations):
        senders = select(messages.c.conversation, messages.c.sender.label("party")).where(
            messages.c.conversation.in_(part)
        )
        recipients = (
            select(messages.c.conversation, deliveries.c.recipient.label("party"))
            .join(deliveries, deliveries.c.message == messages.c.entry)
            .where(messages.c.conversation.in_(part))
        )
        for row in connection.execute(senders.union(recipients)):
            out[row.conversation] |= {Address(row.party)}
    return out


def load_boxes(
    connection: Connection, boxes: Collection[tuple[Address, Box]]
) -> Loaded[tuple[Address, Box], BoxState]:
    """The newest state of some boxes."""
    out: Loaded[tuple[Address, Box], BoxState] = Loaded(dict.fromkeys(boxes, BoxState()))
    keys = [(endpoint, box.value) for endpoint, box in boxes]
    rows = backend_of(connection).select(
        connection, box_heads, "endpoint, box, length, head", ("endpoint", "box"), keys
    )
    for endpoint, box, length, head in rows:
        out[Address(endpoint), Box(box)] = BoxState(length, head)
    return out


def load_message(connection: Connection, payload_hash: bytes, recipient: Address) -> MessageState | None:
    """One message's state with the delivery of one recipient, or None where there is no such message."""
    message = _load_messages(connection, {payload_hash}, {recipient})[payload_hash]
    if message is None:
        # The query that a message would have cost: how long it takes must not say whether there is one.
        query = select(deliveries).where(deliveries.c.message == -1, deliveries.c.recipient == recipient)
        connection.execute(query).all()
    return message
