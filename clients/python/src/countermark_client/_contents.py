"""Typed contents: their models and what reads them, loaded when the first content is composed, opened or asked for.

They take longer to load than all the rest of the client, and what only handles sealed bytes, receipts or the
directory never needs them. So the client has all of this from here, and from nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from countermark_client._later import importer

if TYPE_CHECKING:
    from countermark_protocol.messages.base import Message
    from countermark_protocol.messages.facts import check_manifest_facts, manifest_facts
    from countermark_protocol.messages.json_schema import json_schema
    from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
    from countermark_protocol.messages.review import Circumstances, Severity, review, review_answer
    from countermark_protocol.messages.tracing_request import TracingRequest
    from countermark_protocol.messages.tracing_response import TracingResponse
    from countermark_protocol.registry import content_document, find_model, validate_content
    from countermark_protocol.tracing.contents import told_by
else:
    __getattr__ = importer(
        __name__,
        {
            "countermark_protocol.messages.base": "Message",
            "countermark_protocol.messages.facts": "check_manifest_facts manifest_facts",
            "countermark_protocol.messages.json_schema": "json_schema",
            "countermark_protocol.messages.lost_or_stolen": "LostOrStolenNotice",
            "countermark_protocol.messages.review": "Circumstances Severity review review_answer",
            "countermark_protocol.messages.tracing_request": "TracingRequest",
            "countermark_protocol.messages.tracing_response": "TracingResponse",
            "countermark_protocol.registry": "content_document find_model validate_content",
            "countermark_protocol.tracing.contents": "told_by",
        },
    )

__all__ = [
    "Circumstances",
    "LostOrStolenNotice",
    "Message",
    "Severity",
    "TracingRequest",
    "TracingResponse",
    "check_manifest_facts",
    "content_document",
    "find_model",
    "json_schema",
    "manifest_facts",
    "review",
    "review_answer",
    "told_by",
    "validate_content",
]
