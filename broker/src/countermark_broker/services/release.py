"""Stanzas and contents: only to who has signed for them, in the log, before.

Source: docs/spec/api.md §3.6; design section 6.
"""

from __future__ import annotations

from countermark_broker.errors import FatalError
from countermark_broker.services.accounts import not_held, refused_request
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.loading import load_message
from countermark_broker.store.reading import read_content, read_stanzas
from countermark_protocol.answers import Release
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.errors import PolicyError
from countermark_protocol.state import DeliveryStage, MessageState

_WAY_OUT = "restore it from a backup; nothing but a logged purge may remove it"


async def read_stanza(node: Node, caller: Caller, payload_hash: bytes) -> Release:
    """The caller's own stanza, again.

    Raises:
        NegativeAnswer: no recipient of such a message, or ``delivered`` is not logged yet.
    """
    checkpoint, message = await _message(node, caller, payload_hash)
    if caller.address not in message.deliveries:
        raise await not_held(node, checkpoint, caller)
    await _demand_delivered(node, checkpoint, caller, message)
    async with node.database.read() as connection:
        stanza = (await read_stanzas(connection, [message.index], caller.address)).get(message.index)
    if stanza is None:
        raise FatalError("stanza_missing", f"the stanza for entry {message.index} is gone", _WAY_OUT)
    return Release(payload_hash, stanza)


async def read_ciphertext(node: Node, caller: Caller, payload_hash: bytes) -> bytes:
    """The ciphertext, to its sender or to a recipient that has signed for it.

    Raises:
        NegativeAnswer: no party to such a message, or ``delivered`` is not logged yet.
    """
    checkpoint, message = await _message(node, caller, payload_hash)
    if caller.address != message.sender:
        await _demand_delivered(node, checkpoint, caller, message)
    async with node.database.read() as connection:
        content = await read_content(connection, message.index)
    if content is None:
        raise FatalError("content_missing", f"the content of entry {message.index} is gone", _WAY_OUT)
    return content


async def _message(node: Node, caller: Caller, payload_hash: bytes) -> tuple[Checkpoint, MessageState]:
    """A message that the caller is a party to, and a published checkpoint that holds it, the older of the two.

    The order matters for accounts: whatever is logged after the checkpoint may be in the message's state, but
    nothing that the checkpoint holds can be missing from it.
    """
    checkpoint = node.publisher.published
    message = await _load(node, caller, payload_hash)
    if message is not None and message.index >= checkpoint.size:
        # Another node may have published it a moment ago; nothing is told of what is not published.
        checkpoint = await node.publisher.at_least(message.index + 1)
        message = await _load(node, caller, payload_hash)
    if message is None or (caller.address != message.sender and caller.address not in message.deliveries):
        raise await not_held(node, checkpoint, caller)
    return checkpoint, message


async def _load(node: Node, caller: Caller, payload_hash: bytes) -> MessageState | None:
    async with node.database.read() as connection:
        return await load_message(connection, payload_hash, caller.address)


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
