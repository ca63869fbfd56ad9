"""What an entry does that is in the log although the rules refuse it.

It stands in boxes, moves deliveries, closes a message: everything after it was decided with that in view. So it is
taken down once and then taken for what it is, and nothing that follows is told as a finding of its own.

Source: docs/spec/log.md §5.5, §6.2.
"""

from __future__ import annotations

from countermark_protocol.appending import Placed, apply_decision, place
from countermark_protocol.boxes import Box, delivery_root
from countermark_protocol.decision import Decision, deliveries_of
from countermark_protocol.leaf import Leaf
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.state import Delivery, DeliveryStage, LogState, MessageState
from countermark_protocol.statements import (
    DirectoryChange,
    DisclosureStatement,
    LookUpStatement,
    MessageStatement,
    PurgeStatement,
    ReceiptStatement,
    Statement,
    UndeliveredStatement,
)

_AFTER = {
    ReceiptStage.DELIVERED: DeliveryStage.DELIVERED,
    ReceiptStage.ACCEPTED: DeliveryStage.ACCEPTED,
    ReceiptStage.REJECTED: DeliveryStage.REJECTED,
}


def effects_of(state: LogState, statement: Statement) -> Decision:
    """What a statement does by what it says, whether or not it should have been logged."""
    if isinstance(statement, MessageStatement):
        return _message(state, statement)
    if isinstance(statement, ReceiptStatement):
        return _receipt(state, statement)
    if isinstance(statement, UndeliveredStatement):
        return _undelivered(state, statement)
    if isinstance(statement, LookUpStatement):
        return Decision(((statement.look_up.author, Box.SENT),))
    if isinstance(statement, DisclosureStatement):
        return Decision(((statement.disclosure.author, Box.SENT),))
    if isinstance(statement, PurgeStatement):
        author, sender = statement.purge.author, statement.manifest.sender
        told = ((sender, Box.NOTICES),) if author != sender else ()
        return Decision((*told, (author, Box.SENT)), purged=state.messages[statement.purge.message])
    assert isinstance(statement, DirectoryChange)
    return Decision((), directory=parse_directory_statement(statement.document.claims))


def _message(state: LogState, statement: MessageStatement) -> Decision:
    m, payload = statement.manifest, statement.document.payload_hash
    message = MessageState(
        payload_hash=payload,
        index=state.size,
        sender=m.sender,
        id=m.id,
        type=m.type,
        conversation=m.conversation or payload,
        exercise=m.exercise,
        expires_at=m.expires_at,
        deliveries={row.endpoint: Delivery(DeliveryStage.OPEN, state.size) for row in statement.rows},
    )
    deliveries = deliveries_of(m, [row.endpoint for row in statement.rows])
    return Decision((*deliveries, (m.sender, Box.SENT)), (message,))


def _receipt(state: LogState, statement: ReceiptStatement) -> Decision:
    receipt = statement.receipt
    moved: list[MessageState] = []
    for item in receipt.items:
        message = state.messages[item.message]
        known = message.deliveries.get(receipt.author) if message is not None else None
        if message is not None and known is not None:
            after = Delivery(_AFTER[receipt.stage], state.size, known.undelivered_index)
            moved.append(message.with_delivery(receipt.author, after))
    return Decision(((receipt.sender, Box.NOTICES), (receipt.author, Box.SENT)), tuple(moved))


def _undelivered(state: LogState, statement: UndeliveredStatement) -> Decision:
    notice = statement.notice
    message = state.messages[notice.message]
    known = message.deliveries.get(notice.recipient) if message is not None else None
    changed = (
        (message.with_delivery(notice.recipient, Delivery(known.stage, known.stage_index, state.size)),)
        if message is not None and known is not None
        else ()
    )
    return Decision(((notice.sender, Box.NOTICES), (notice.author, Box.SENT)), changed)


def adopt(
    state: LogState, statement: Statement, decision: Decision, leaf: Leaf, secret: bytes
) -> tuple[tuple[Placed, ...], bytes]:
    """Append an entry as the log has it, decided or not.

    Args:
        state: changed.
        statement: what it says.
        decision: of `effects_of`.
        leaf: of the log.
        secret: of the entry.

    Returns:
        Its deliveries, and the ``delivery`` that its leaf should have.
    """
    placed, boxes = place(state, dict.fromkeys(decision.deliveries), secret, leaf.statement)
    apply_decision(state, statement.document, decision, boxes, leaf.time)
    skip(state, leaf)
    return placed, delivery_root([p.row for p in placed])


def skip(state: LogState, leaf: Leaf) -> None:
    """Go past an entry of which nothing but its leaf is known."""
    state.frontier = state.frontier.append(leaf_hash(leaf.encode()))
    state.time = max(state.time, leaf.time)
