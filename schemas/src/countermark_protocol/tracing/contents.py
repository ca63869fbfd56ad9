"""What the states of a trace need of a content.

Source: docs/spec/tracing.md §3.
"""

from __future__ import annotations

from countermark_protocol.codes.exchange import ClarificationKind
from countermark_protocol.encoding import JsonObject, encode_json, malformed
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.clarification import TracingClarification
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
from countermark_protocol.messages.weapon import FirearmItem
from countermark_protocol.messages.weapon_v2 import FirearmItemV2
from countermark_protocol.tracing.clock import Told


def told_by(content: Message) -> Told | None:
    """What a content tells of its trace; None for types that tell nothing beyond their manifest."""
    if isinstance(content, TracingRequest):
        return Told(items=tuple(item.item_ref for item in content.items))
    if isinstance(content, TracingResponse):
        results = content.item_results
        return Told(
            items=tuple(result.item_ref for result in results),
            outcomes=tuple(result.outcome for result in results),
            next_states=tuple(sorted({r.next_state for r in results if r.next_state is not None})),
        )
    if isinstance(content, TracingClarification):
        return Told(seeks=content.kind is ClarificationKind.SEEKS)
    return None


def validate_item(document: JsonObject) -> FirearmItem:
    """Read a weapon as a message's `items` hold it.

    Raises:
        MalformedError: ``invalid_item``.
    """
    try:
        return FirearmItemV2.model_validate_json(encode_json(document), by_alias=True, by_name=False)
    except (RecursionError, TypeError, ValueError):
        malformed("invalid_item", "expected a weapon as in the items of a tracing request")
