"""Passing a trace on: from a request that was received, or along a pointer that an answer gave.

Source: docs/spec/tracing.md §5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from countermark_client import _contents
from countermark_client._models import Draft, MessageRef, message_hash
from countermark_client._open import manifest_of
from countermark_client._releases import Releases
from countermark_client._session import Session
from countermark_client._store import Direction, StoredMessage
from countermark_client._succession import open_kept
from countermark_protocol.errors import NotFoundError
from countermark_protocol.tracing.calendars import country_of


class Forwarding:
    """Drafts of requests that go on to the next State."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store
        self._releases = Releases(session)

    def draft(
        self,
        ref: MessageRef,
        next_state: str,
        *,
        contact: Mapping[str, Any] | None,
        own_ref: str | None,
        to: Sequence[str],
        items: Sequence[str],
    ) -> Draft:
        """Draft the request; see `Client.forward_trace`."""
        stored = self._store.message(message_hash(ref))
        request = self._releases.request_of(stored.conversation) if stored is not None else None
        content = open_kept(self._session, request) if request is not None else None
        if request is None or not isinstance(content, _contents.TracingRequest):
            raise NotFoundError(
                "not_a_trace",
                "this profile holds no conversation of that message that begins with a tracing request",
            )
        ours = request.direction is Direction.OUT
        pointing, response = self._pointer(request.conversation, next_state, received=ours)
        manifest = manifest_of(request)
        named = items or [r.item_ref for r in response.item_results if r.next_state == next_state]
        answering = manifest_of(pointing).sender
        document = _contents.forwarded_request(
            content,
            own_country=country_of(answering) or "",
            own_ref=response.local_ref if ours else own_ref or response.local_ref,
            answer_id=manifest_of(pointing).id,
            contact=contact or _own_contact(content, response, ours=ours),
            items=named,
        )
        return Draft(
            type=content.TYPE,
            content=document,
            to=to or [f"contact:{next_state}"],
            urgency=manifest.urgency,
            handling=manifest.handling,
            exercise=manifest.exercise,
        )

    def _pointer(
        self, conversation: bytes, next_state: str, *, received: bool
    ) -> tuple[StoredMessage, _contents.TracingResponse]:
        """The newest answer that names the next State: our own, or one that was received."""
        direction = Direction.IN if received else Direction.OUT
        for stored in reversed(self._store.messages(conversation, direction)):
            content = open_kept(self._session, stored) if stored.index is not None else None
            if isinstance(content, _contents.TracingResponse) and any(
                result.next_state == next_state for result in content.item_results
            ):
                return stored, content
        hint = (
            "no answer received names it"
            if received
            else "tell the requester first, by an answer that is not final and names it as nextState"
        )
        raise NotFoundError("no_pointer", f"no answer of this conversation leads to {next_state}: {hint}")


def _own_contact(
    request: _contents.TracingRequest, response: _contents.TracingResponse, *, ours: bool
) -> Mapping[str, Any]:
    contact = request.contact if ours else response.contact
    if contact is None:
        raise NotFoundError(
            "no_contact", "name who passes it on: the answer that points there names no contact"
        )
    return contact.model_dump(mode="json", by_alias=True, exclude_defaults=True)
