"""Typed contents: their models and what reads them, loaded when the first content is composed, opened or asked for.

They take longer to load than all the rest of the client, and what only handles sealed bytes, receipts or the
directory never needs them. So the client has all of this from here, and from nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from countermark_client._later import importer

if TYPE_CHECKING:
    from countermark_protocol.messages.base import Message
    from countermark_protocol.messages.correction import MessageCorrection, apply_correction
    from countermark_protocol.messages.facts import amended_by, check_manifest_facts, manifest_facts
    from countermark_protocol.messages.json_schema import json_schema
    from countermark_protocol.messages.licence import LicenceVerificationResponse
    from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
    from countermark_protocol.messages.marking_system import MarkingSystemDescription
    from countermark_protocol.messages.release_consent import ReleaseConsentDecision
    from countermark_protocol.messages.review import Circumstances, Finding, Severity, review, review_answer
    from countermark_protocol.messages.tracing_request import TracingRequest
    from countermark_protocol.messages.tracing_response import TracingResponse
    from countermark_protocol.messages.weapon import FirearmItem
    from countermark_protocol.registry import content_document, find_model, validate_content
    from countermark_protocol.tracing.consent import Decided, check_consent, loosened, why_consent
    from countermark_protocol.tracing.contents import told_by, validate_item
    from countermark_protocol.tracing.custody import Custody, ToldChain, merge_chains
    from countermark_protocol.tracing.forwarding import check_path, forwarded_request
    from countermark_protocol.tracing.weapons import (
        Pair,
        Sighting,
        duplicates,
        resurrections,
        sightings_of,
        weapon_keys,
    )
    from countermark_protocol.tracing.whom import Candidate, Described, current, whom_to_ask
else:
    __getattr__ = importer(
        __name__,
        {
            "countermark_protocol.messages.base": "Message",
            "countermark_protocol.messages.correction": "MessageCorrection apply_correction",
            "countermark_protocol.messages.facts": "amended_by check_manifest_facts manifest_facts",
            "countermark_protocol.messages.json_schema": "json_schema",
            "countermark_protocol.messages.licence": "LicenceVerificationResponse",
            "countermark_protocol.messages.lost_or_stolen": "LostOrStolenNotice",
            "countermark_protocol.messages.review": "Circumstances Finding Severity review review_answer",
            "countermark_protocol.messages.tracing_request": "TracingRequest",
            "countermark_protocol.messages.tracing_response": "TracingResponse",
            "countermark_protocol.registry": "content_document find_model validate_content",
            "countermark_protocol.tracing.contents": "told_by validate_item",
            "countermark_protocol.messages.marking_system": "MarkingSystemDescription",
            "countermark_protocol.tracing.whom": "Candidate Described current whom_to_ask",
            "countermark_protocol.messages.release_consent": "ReleaseConsentDecision",
            "countermark_protocol.messages.weapon": "FirearmItem",
            "countermark_protocol.tracing.consent": "Decided check_consent loosened why_consent",
            "countermark_protocol.tracing.custody": "Custody ToldChain merge_chains",
            "countermark_protocol.tracing.forwarding": "check_path forwarded_request",
            "countermark_protocol.tracing.weapons": "Pair Sighting duplicates resurrections sightings_of weapon_keys",
        },
    )

__all__ = [
    "Candidate",
    "Circumstances",
    "Custody",
    "Decided",
    "Described",
    "Finding",
    "FirearmItem",
    "LicenceVerificationResponse",
    "LostOrStolenNotice",
    "MarkingSystemDescription",
    "Message",
    "MessageCorrection",
    "Pair",
    "ReleaseConsentDecision",
    "Severity",
    "Sighting",
    "ToldChain",
    "TracingRequest",
    "TracingResponse",
    "amended_by",
    "apply_correction",
    "check_consent",
    "check_manifest_facts",
    "check_path",
    "content_document",
    "current",
    "duplicates",
    "find_model",
    "forwarded_request",
    "json_schema",
    "loosened",
    "manifest_facts",
    "merge_chains",
    "resurrections",
    "review",
    "review_answer",
    "sightings_of",
    "told_by",
    "validate_content",
    "validate_item",
    "weapon_keys",
    "whom_to_ask",
    "why_consent",
]
