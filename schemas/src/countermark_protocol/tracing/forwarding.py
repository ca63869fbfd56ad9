"""Passing a tracing request on to the next State along the chain of transfers.

The forwarded request begins a conversation of its own. Its `previousTraces` are the path: one entry for every State
that answered, oldest first, the last naming the answer by which the request's holder told its requester the next
State. So the path is bounded by what the type allows, and a State is asked about one weapon once.

Source: domain page 6.3; MOSAIC 05.31; ITI 15 and 16; docs/spec/tracing.md §5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from countermark_protocol.codes.tracing import AddresseeReason
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.registry import content_document

#: Most States along one path (domain page 6.3); the list of previous traces holds as many.
MAX_PATH: Final = 8


def path_of(request: TracingRequest) -> tuple[str, ...]:
    """States that a request has been at already: where the weapon was found, then those that answered."""
    told = [trace.country for trace in request.previous_traces if trace.country is not None]
    return (request.recovery.place.country, *told)


def check_path(request: TracingRequest, next_state: str) -> None:
    """Check that a request may go on to a State.

    Args:
        request: as it would be sent: its path ends with who forwards it.
        next_state: ISO 3166-1 alpha-2 in capitals.

    Raises:
        PolicyError: ``forward_loop``, ``forward_too_far``.
    """
    if len(request.previous_traces) > MAX_PATH:
        raise PolicyError("forward_too_far", f"a request goes through {MAX_PATH} States at most")
    path = path_of(request)
    if next_state in path:
        raise PolicyError(
            "forward_loop",
            f"{next_state} was asked about this weapon already: {' -> '.join(path)} -> {next_state}",
            path=list(path),
        )


def forwarded_request(
    request: TracingRequest,
    *,
    own_country: str,
    own_ref: str,
    answer_id: str,
    contact: Mapping[str, Any],
    items: Sequence[str],
    language: str | None = None,
) -> JsonObject:
    """The document of a request passed on; without possessors: persons are not part of what the next State needs.

    Args:
        request: as it was received.
        own_country: of who passes it on.
        own_ref: its case.
        answer_id: id of the message that told the requester the next State.
        contact: who passes it on, a `Contact`.
        items: references of the weapons concerned.
        language: of the texts; as received if None.

    Raises:
        NotFoundError: ``unknown_item``.
        PolicyError: ``forward_too_far``.
    """
    document = content_document(request)
    known = {item["itemRef"]: item for item in document["items"]}
    missing = [ref for ref in items if ref not in known]
    if missing:
        raise NotFoundError(
            "unknown_item", f"the request has no item {missing[0]!r}; it has {', '.join(known)}"
        )
    if len(request.previous_traces) >= MAX_PATH:
        raise PolicyError("forward_too_far", f"a request goes through {MAX_PATH} States at most")
    document.pop("possessors", None)
    document.pop("reasonText", None)
    document["items"] = [known[ref] for ref in items]
    document["reasonForAddressee"] = AddresseeReason.POINTER_FROM_PREVIOUS_TRACE.value
    document["previousTraces"] = [
        *document.get("previousTraces", []),
        {"ref": own_ref, "country": own_country, "message": answer_id},
    ]
    document["contact"] = dict(contact)
    if language is not None:
        document["language"] = language
    return document
