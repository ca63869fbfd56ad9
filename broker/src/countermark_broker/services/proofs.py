"""Putting together what an accepted statement is answered with.

Source: docs/spec/api.md §4.1; docs/spec/log.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from countermark_broker.errors import FatalError
from countermark_broker.log.appender import Appended
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection
from countermark_broker.store.loading import load_indexes, load_purges
from countermark_broker.store.reading import EntryRecord, PlacedRow, read_placed, read_stanzas
from countermark_protocol.answers import Accepted, Release
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address
from countermark_protocol.proof import AllDeliveries, Inclusion
from countermark_protocol.receipts import Receipt, ReceiptStage


async def prove_entry(
    node: Node, appended: Appended, author: Address | None, releases: tuple[Release, ...] = ()
) -> Accepted:
    """The answer for an entry just appended, from memory as far as possible."""
    entry, checkpoint, path = appended.entry, appended.checkpoint, appended.path
    if checkpoint is None or checkpoint.size <= entry.index:
        checkpoint, path = await node.publisher.at_least(entry.index + 1), None
    if path is None:
        paths = await node.database.read(node.tree.inclusion, [entry.index], checkpoint.size)
        path = paths[entry.index]
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

    def look(connection: Connection) -> tuple[tuple[bytes, ...], tuple[PlacedRow, ...]]:
        paths = node.tree.inclusion(connection, [record.index], checkpoint.size)
        return paths[record.index], read_placed(connection, [record])[record.index]

    path, placed = await node.database.read(look)
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
    """The stanzas that a logged receipt releases, on ``delivered`` alone: those of its items that are not purged.

    The receipt of a purged message stands, and is proven, as any other: it just releases nothing. Why, the
    recipient is told where it asks for the stanza (release.py).
    """
    if receipt.stage is not ReceiptStage.DELIVERED:
        return ()
    hashes = [item.message for item in receipt.items]

    def look(connection: Connection) -> tuple[Mapping[bytes, int | None], dict[int, bytes], set[bytes]]:
        indexes = load_indexes(connection, hashes)
        found = {index for index in indexes.values() if index is not None}
        purges = load_purges(connection, hashes)
        purged = {hash_ for hash_ in hashes if purges[hash_] is not None}
        return indexes, read_stanzas(connection, found, receipt.author), purged

    indexes, stanzas, purged = await node.database.read(look)
    out = []
    for hash_ in hashes:
        index = indexes[hash_]
        if hash_ in purged:
            continue
        if index is None or index not in stanzas:
            raise FatalError(
                "stanza_missing",
                f"the stanza of {receipt.author} for entry {index} is not in the database",
                "restore it from a backup; nothing but a logged purge may remove it",
            )
        out.append(Release(hash_, stanzas[index]))
    return tuple(out)
