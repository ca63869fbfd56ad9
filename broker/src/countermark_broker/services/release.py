"""Stanzas, contents, attachments: only to who has signed for them, in the log, before. And why they are gone.

Source: docs/spec/api.md §3.6, §3.13, §3.14; docs/spec/audit.md §4; design section 6.
"""

from __future__ import annotations

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.services.accounts import not_held, refused_request
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.proofs import prove_record
from countermark_broker.store.content import ContentStore, piece_lost
from countermark_broker.store.engine import Connection
from countermark_broker.store.loading import load_message, load_purges
from countermark_broker.store.pieces import read_claimed_part
from countermark_broker.store.reading import (
    EntryRecord,
    read_content,
    read_manifest_of,
    read_records,
    read_stanzas,
)
from countermark_broker.store.tables import CONTENT_PART
from countermark_protocol.answers import Accepted, Release
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.state import DeliveryStage, MessageState

_WAY_OUT = "restore it from a backup; nothing but a logged purge may remove it"


async def read_stanza(node: Node, caller: Caller, payload_hash: bytes) -> Release:
    """The caller's own stanza, again.

    Raises:
        NegativeAnswer: no recipient of such a message, the message is purged, or ``delivered`` is not logged yet.
    """
    checkpoint, message = await _message(node, caller, payload_hash)
    if caller.address not in message.deliveries:
        raise await not_held(node, checkpoint, caller)

    await _demand_kept(node, caller, payload_hash)
    await _demand_delivered(node, checkpoint, caller, message)
    stanza = (await node.database.read(read_stanzas, [message.index], caller.address)).get(message.index)
    if stanza is None:
        # Purged since it was looked at, or lost.
        await _demand_kept(node, caller, payload_hash)
        raise FatalError("stanza_missing", f"the stanza for entry {message.index} is gone", _WAY_OUT)
    return Release(payload_hash, stanza)


async def read_ciphertext(node: Node, caller: Caller, payload_hash: bytes) -> bytes:
    """The ciphertext, to its sender or to a recipient that has signed for it.

    Raises:
        NegativeAnswer: no party to such a message, the message is purged, or ``delivered`` is not logged yet.
    """
    checkpoint, message = await _message(node, caller, payload_hash)
    await _demand_kept(node, caller, payload_hash)
    if caller.address != message.sender:
        await _demand_delivered(node, checkpoint, caller, message)
    content = await node.database.read(read_content, message.index)
    if content is not None:
        return content
    outside = await node.database.read(read_claimed_part, message.index, CONTENT_PART)
    if outside:
        return await _read_piece(node, caller, payload_hash, outside[0])
    await _demand_kept(node, caller, payload_hash)
    raise FatalError("content_missing", f"the content of entry {message.index} is gone", _WAY_OUT)


async def read_attachment(node: Node, caller: Caller, payload_hash: bytes, part: int) -> tuple[bytes, ...]:
    """Digests of the pieces of an attachment, to whom the content is released.

    Raises:
        NegativeAnswer: as `read_ciphertext`; or the message has no such attachment.
    """
    checkpoint, message = await _message(node, caller, payload_hash)
    await _demand_kept(node, caller, payload_hash)
    if caller.address != message.sender:
        await _demand_delivered(node, checkpoint, caller, message)
    digests = await node.database.read(read_claimed_part, message.index, part)
    if digests:
        return digests
    await _demand_kept(node, caller, payload_hash)
    named = await node.database.read(read_manifest_of, message.index)
    if part < len(named.attachments):
        raise FatalError(
            "attachment_missing",
            f"the pieces of attachment {part} of entry {message.index} are gone",
            _WAY_OUT,
        )
    raise await refused_request(
        node,
        checkpoint,
        caller,
        NotFoundError(
            "no_such_attachment",
            f"message {payload_hash.hex()} has {len(named.attachments)} attachments, numbered from 0: expected one of "
            f"them, got {part}",
        ),
    )


async def read_piece(node: Node, caller: Caller, payload_hash: bytes, part: int, number: int) -> bytes:
    """One piece of an attachment, to whom the content is released.

    Raises:
        NegativeAnswer: as `read_attachment`; or the attachment has no such piece.
        UnavailableError: ``piece_lost``, or the store does not answer.
    """
    digests = await read_attachment(node, caller, payload_hash, part)
    if number < len(digests):
        return await _read_piece(node, caller, payload_hash, digests[number])
    raise await refused_request(
        node,
        node.publisher.published,
        caller,
        NotFoundError(
            "no_such_piece",
            f"attachment {part} has {len(digests)} pieces, numbered from 0: expected one of them, got {number}",
        ),
    )


async def _read_piece(node: Node, caller: Caller, payload_hash: bytes, digest: bytes) -> bytes:
    try:
        piece = await node.content.run(ContentStore.read, digest)
    except UnavailableError:
        await _demand_kept(node, caller, payload_hash)
        raise
    if piece is None:
        await _demand_kept(node, caller, payload_hash)
        raise piece_lost(digest)
    node.metrics.pieces.labels("served").inc()
    node.metrics.piece_bytes.labels("served").inc(len(piece))
    return piece


async def read_purge(node: Node, caller: Caller, payload_hash: bytes) -> Accepted:
    """The purge of a message, with its proof, to a party to the message.

    Raises:
        NegativeAnswer: no party to such a message, or it is not purged.
    """
    checkpoint, _ = await _message(node, caller, payload_hash)

    def look(connection: Connection) -> EntryRecord | None:
        index = _purge_of(connection, payload_hash)
        return read_records(connection, index, index + 1)[0] if index is not None else None

    record = await node.database.read(look)
    if record is None:
        raise await refused_request(
            node,
            checkpoint,
            caller,
            NotFoundError(
                "not_purged",
                f"no purge of message {payload_hash.hex()} is logged: its stanzas and content are kept",
                payload_hash=payload_hash.hex(),
            ),
        )
    # The rows are opened to its author alone.
    return await prove_record(node, record, caller.address)


def _purge_of(connection: Connection, payload_hash: bytes) -> int | None:
    return load_purges(connection, [payload_hash])[payload_hash]


async def _demand_kept(node: Node, caller: Caller, payload_hash: bytes) -> None:
    """Demand that a message is not purged: else nothing of it is served, though it were still there."""
    purge = await node.database.read(_purge_of, payload_hash)
    if purge is None:
        return
    # Nothing is told of what is not published; the account names a tree that holds the purge.
    checkpoint = await node.publisher.at_least(purge + 1)
    raise await refused_request(
        node,
        checkpoint,
        caller,
        NotFoundError(
            "purged",
            f"the stanzas and the content of message {payload_hash.hex()} are deleted: entry {purge} says on "
            "what ground",
            payload_hash=payload_hash.hex(),
            standing=purge,
        ),
    )


async def _message(node: Node, caller: Caller, payload_hash: bytes) -> tuple[Checkpoint, MessageState]:
    """A message that the caller is a party to, and a published checkpoint that holds it, the older of the two.

    The order matters for accounts: whatever is logged after the checkpoint may be in the message's state, but
    nothing that the checkpoint holds can be missing from it.
    """
    checkpoint = node.publisher.published
    message = await _load(node, caller, payload_hash)
    if message is not None and not _is_party(caller, message):
        # As if there were none, at once: who waits would learn that there is one.
        message = None
    if message is not None and message.index >= checkpoint.size:
        # Another node may have published it a moment ago; nothing is told of what is not published.
        checkpoint = await node.publisher.at_least(message.index + 1)
        message = await _load(node, caller, payload_hash)
    if message is None:
        raise await not_held(node, checkpoint, caller)
    return checkpoint, message


def _is_party(caller: Caller, message: MessageState) -> bool:
    return caller.address == message.sender or caller.address in message.deliveries


async def _load(node: Node, caller: Caller, payload_hash: bytes) -> MessageState | None:
    return await node.database.read(load_message, payload_hash, caller.address)


async def _demand_delivered(
    node: Node, checkpoint: Checkpoint, caller: Caller, message: MessageState
) -> None:
    delivery = message.deliveries[caller.address]
    if delivery.stage is not DeliveryStage.OPEN:
        # Released only once the receipt is in a published tree.
        await node.publisher.at_least(delivery.stage_index + 1)
    else:
        raise await refused_request(
            node,
            checkpoint,
            caller,
            PolicyError(
                "not_delivered",
                "a message is released to who has posted a 'delivered' receipt for it: post it first",
            ),
        )
