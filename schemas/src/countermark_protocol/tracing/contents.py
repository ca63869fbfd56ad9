"""What the states of a trace need of a content.

Source: docs/spec/tracing.md §3.
"""

from __future__ import annotations

from countermark_protocol.codes.exchange import ClarificationKind
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.clarification import TracingClarification
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
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
