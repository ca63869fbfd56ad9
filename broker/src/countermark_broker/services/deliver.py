"""Boxes: positions from a cursor on, or the signed word that there are none.

Source: docs/spec/api.md §3.3, §3.4, §4.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from countermark_broker.errors import UnavailableError
from countermark_broker.services.accounts import refused_request, sign_account
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.engine import Connection
from countermark_broker.store.reading import EntryRecord, PlacedRow, read_box, read_moved_boxes, read_placed
from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import BoxEntry, BoxPage, OwnRecipient
from countermark_protocol.boxes import Box, row_path
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import PolicyError
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.proof import Inclusion, OwnDelivery
from countermark_protocol.recipients import recipient_path

#: Beyond every log.
_ANY_SIZE: Final = 2**53


async def read_page(
    node: Node,
    listeners: Listeners,
    caller: Caller,
    address: Address,
    box: Box,
    first: int,
    limit: int,
    wait: int,
) -> BoxPage:
    """A page of a box.

    Args:
        node: this node.
        listeners: who waits.
        caller: who asks.
        address: whose box.
        box: which.
        first: position to begin at.
        limit: most entries.
        wait: seconds to wait for a position `first`, 0 to 60.

    Raises:
        NegativeAnswer: it is not the caller's box.
    """
    if address != caller.address:
        raise await refused_request(
            node,
            node.publisher.published,
            caller,
            PolicyError("not_own_box", f"{caller.address} may read its own boxes only"),
        )
    loop = asyncio.get_running_loop()
    deadline, newest = loop.time() + wait, node.publisher.published.size
    with listeners.waiting((address, box)) as moved:
        while True:
            # Cleared before looking: a move between looking and waiting is not lost.
            moved.clear()
            checkpoint = node.publisher.published
            page, committed = await entries_of_box(node, checkpoint, address, box, first, limit)
            if not page and committed > newest:
                # Another node may have published it a moment ago, and told whoever asks here now.
                newest = committed
                with suppress(UnavailableError):
                    await node.publisher.at_least(committed)
                    continue
            left = deadline - loop.time()
            if page or left <= 0 or listeners.ended:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await moved.wait()
    if page:
        return BoxPage(checkpoint.raw, page)
    account = await sign_account(node, checkpoint, caller.address, caller.request, Verdict.END_OF_BOX)
    return BoxPage(checkpoint.raw, (), account)


async def entries_of_box(
    node: Node, checkpoint: Checkpoint, owner: Address, box: Box, first: int, limit: int
) -> tuple[tuple[BoxEntry, ...], int]:
    """What there is of a box under a checkpoint, for its owner and its auditors.

    Returns:
        The entries; if there are none, the size at which a further one was committed, or 0.
    """

    def look(connection: Connection) -> tuple[tuple[BoxEntry, ...], int]:
        records = read_box(connection, owner, box, first, limit, checkpoint.size)
        if not records:
            ahead = read_box(connection, owner, box, first, 1, _ANY_SIZE)
            return (), ahead[0].index + 1 if ahead else 0
        placed = read_placed(connection, records)
        paths = node.tree.inclusion(connection, [r.index for r in records], checkpoint.size)
        return tuple(_entry(r, placed[r.index], paths[r.index], owner, box) for r in records), 0

    return await node.database.read(look)


def _entry(
    record: EntryRecord, placed: Sequence[PlacedRow], path: tuple[bytes, ...], owner: Address, box: Box
) -> BoxEntry:
    rows = [p.row for p in placed]
    own = next(p for p in placed if (p.row.endpoint, p.row.box) == (owner, box))
    recipient, recipients = None, None
    if record.parsed_leaf().kind == Kind.MESSAGE and box in {Box.URGENT, Box.ROUTINE}:
        row = next(r for r in record.rows if r.endpoint == owner)
        recipient = OwnRecipient(row, recipient_path(record.rows, owner))
        if parse_manifest(parse_document(record.document).claims).recipients_visible:
            recipients = record.rows
    return BoxEntry(
        inclusion=Inclusion(record.index, record.leaf, path),
        delivery=OwnDelivery(own.row, own.tail, row_path(rows, own.row)),
        document=record.document,
        recipient=recipient,
        recipients=recipients,
    )


async def wake_listeners(node: Node, listeners: Listeners, old: int, new: int) -> None:
    """Wake who waits for a box that the entries from `old` to below `new` were put into."""
    if not listeners.places:
        return
    listeners.wake(await node.database.read(read_moved_boxes, old, new))
