"""Boxes: positions from a cursor on, or the signed word that there are none.

Source: docs/spec/api.md §3.3, §3.4, §4.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from countermark_broker.services.accounts import refused_request, sign_account
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Caller, Node
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
    deadline = loop.time() + wait
    with listeners.waiting((address, box)) as moved:
        while True:
            # Cleared before looking: a move between looking and waiting is not lost.
            moved.clear()
            checkpoint = node.publisher.published
            page = await _entries(node, checkpoint, address, box, first, limit)
            left = deadline - loop.time()
            if page or left <= 0 or listeners.ended:
                break
            try:
                await asyncio.wait_for(moved.wait(), left)
            except TimeoutError:
                continue
    if page:
        return BoxPage(checkpoint.raw, page)
    account = await sign_account(node, checkpoint, caller.address, caller.request, Verdict.END_OF_BOX)
    return BoxPage(checkpoint.raw, (), account)


async def _entries(
    node: Node, checkpoint: Checkpoint, owner: Address, box: Box, first: int, limit: int
) -> tuple[BoxEntry, ...]:
    async with node.database.read() as connection:
        records = await read_box(connection, owner, box, first, limit, checkpoint.size)
        if not records:
            return ()
        placed = await read_placed(connection, records)
        paths = await node.tree.inclusion(connection, [r.index for r in records], checkpoint.size)
    return tuple(_entry(r, placed[r.index], paths[r.index], owner, box) for r in records)


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
    async with node.database.read() as connection:
        listeners.wake(await read_moved_boxes(connection, old, new))
