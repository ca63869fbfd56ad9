"""Putting together what an accepted statement is answered with.

Source: docs/spec/api.md §4.1; docs/spec/log.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence

from countermark_broker.errors import FatalError
from countermark_broker.services.node import Node
from countermark_broker.store.loading import load_indexes
from countermark_broker.store.reading import EntryRecord, PlacedRow, read_placed, read_stanzas
from countermark_protocol.answers import Accepted, Release
from countermark_protocol.appending import Entry
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address
from countermark_protocol.proof import AllDeliveries, Inclusion
from countermark_protocol.receipts import Receipt, ReceiptStage


async def prove_entry(
    node: Node, entry: Entry, author: Address | None, releases: tuple[Release, ...] = ()
) -> Accepted:
    """The answer for an entry just appended, from memory as far as possible."""
    checkpoint = await node.publisher.at_least(entry.index + 1)
    path = node.tree.known_inclusion(entry.index, checkpoint.size)
    if path is None:
        async with node.database.read() as connection:
            path = (await node.tree.inclusion(connection, [entry.index], checkpoint.size))[entry.index]
    placed = [PlacedRow(p.row, p.tail) for p in entry.placed]
    return Accepted(
        checkpoint=checkpoint.raw,
        inclusion=Inclusion(entry.index, entry.leaf.encode(), path),
        deliveries=open_for_author(placed, author),
        releases=releases,
    )


async def prove_record(
    node: Node,
    record: EntryRecord,
    author: Address | None,
    handed_in: bytes | None = None,
    releases: tuple[Release, ...] = (),
) -> Accepted:
    """The answer for an entry that was there already: a proof of the same leaf.

    Args:
        node: this node.
        record: the entry.
        author: whose `sent` tail is opened; None for directory statements.
        handed_in: the document handed in now; the logged one is added where it is another.
        releases: stanzas, on a `delivered` receipt.
    """
    checkpoint = await node.publisher.at_least(record.index + 1)
    async with node.database.read() as connection:
        path = (await node.tree.inclusion(connection, [record.index], checkpoint.size))[record.index]
        placed = (await read_placed(connection, [record]))[record.index]
    return Accepted(
        checkpoint=checkpoint.raw,
        inclusion=Inclusion(record.index, record.leaf, path),
        deliveries=open_for_author(placed, author),
        document=None if handed_in == record.document else record.document,
        releases=releases,
    )


def open_for_author(placed: Sequence[PlacedRow], author: Address | None) -> AllDeliveries | None:
    """Every row, and the author's own tail; None where an entry has no rows."""
    own = next((p for p in placed if (p.row.endpoint, p.row.box) == (author, Box.SENT)), None)
    return AllDeliveries(tuple(p.row for p in placed), own.tail) if own is not None else None


async def release_stanzas(node: Node, receipt: Receipt) -> tuple[Release, ...]:
    """The stanzas that a logged receipt releases: those of its items, on ``delivered`` alone."""
    if receipt.stage is not ReceiptStage.DELIVERED:
        return ()
    async with node.database.read() as connection:
        indexes = await load_indexes(connection, [item.message for item in receipt.items])
        found = {index for index in indexes.values() if index is not None}
        stanzas = await read_stanzas(connection, found, receipt.author)
    out = []
    for item in receipt.items:
        index = indexes[item.message]
        if index is None or index not in stanzas:
            raise FatalError(
                "stanza_missing",
                f"the stanza of {receipt.author} for entry {index} is not in the database",
                "restore it from a backup; nothing but a logged purge may remove it",
            )
        out.append(Release(item.message, stanzas[index]))
    return tuple(out)
