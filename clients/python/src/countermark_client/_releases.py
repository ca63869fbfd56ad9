"""Originator control at the sender's client: nothing is passed on without what its originator consents to.

Passing on is known where a message says so: a tracing request that names the answer by which its holder told the next
State, or an answer received, as a previous trace. What is copied by hand is not known, and stays with procedure.

Source: docs/spec/tracing.md §5 and §8.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from countermark_client import _contents
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import Direction, StoredMessage
from countermark_client._succession import open_kept
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Handling
from countermark_protocol.tracing.calendars import country_of
from countermark_protocol.tracing.deadlines import REQUEST

_DECISION = b'"type":"release-consent-decision"'


class Releases:
    """What one profile may pass on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store

    def check(self, content: _contents.Message, recipients: Sequence[str], handling: Handling) -> bool:
        """Check a message that says to pass something on.

        Returns:
            Whether it is the request of another State, passed on.

        Raises:
            PolicyError: ``no_consent``, ``handling_loosened``, ``forward_loop``, ``forward_too_far``.
        """
        if not isinstance(content, _contents.TracingRequest) or not content.previous_traces:
            return False
        for recipient in recipients:
            country = country_of(recipient)
            if country is not None:
                _contents.check_path(content, country)
        named = content.previous_traces[-1].message
        answer = self.by_id(named) if named is not None else None
        if answer is None:
            return False
        if answer.direction is Direction.OUT:
            request = self.request_of(answer.conversation)
            if request is None or request.direction is not Direction.IN:
                return False
            self._consented(request, recipients, handling)
            return True
        if _contents.why_consent(manifest_of(answer).handling) is not None:
            self._consented(answer, recipients, handling)
        return False

    def by_id(self, message_id: str) -> StoredMessage | None:
        """A message by the id in its manifest."""
        found = self._store.messages_with(f'"id":"{message_id}"'.encode())
        return next((m for m in found if manifest_of(m).id == message_id), None)

    def request_of(self, conversation: bytes) -> StoredMessage | None:
        """The newest tracing request of who began a conversation with one: what there is to be passed on."""
        first = self._store.message(conversation)
        if first is None or manifest_of(first).type != REQUEST:
            return None
        asked = [
            m
            for m in self._store.messages(conversation, first.direction)
            if m.index is not None
            and manifest_of(m).type == REQUEST
            and manifest_of(m).sender == manifest_of(first).sender
        ]
        return asked[-1] if asked else first

    def _consented(self, held: StoredMessage, recipients: Sequence[str], handling: Handling) -> None:
        manifest = manifest_of(held)
        laxer = _contents.loosened(handling, manifest.handling)
        if laxer:
            raise PolicyError(
                "handling_loosened",
                f"what is passed on keeps its originator's handling: {', '.join(laxer)} would be laxer",
                members=list(laxer),
            )
        decisions = self._decisions(held.conversation)
        today = dt.datetime.fromtimestamp(self._session.clock() / 1000, dt.UTC).date()
        for recipient in recipients:
            _contents.check_consent(
                decisions,
                held.payload,
                manifest.sender,
                recipient,
                manifest.handling.purpose,
                handling.purpose,
                today,
            )

    def _decisions(self, conversation: bytes) -> list[_contents.Decided]:
        found = []
        for stored in self._store.messages(conversation, Direction.IN):
            if _DECISION not in stored.document or stored.index is None:
                continue
            content = open_kept(self._session, stored)
            if isinstance(content, _contents.ReleaseConsentDecision):
                found.append(_contents.Decided(manifest_of(stored).sender, stored.index, content))
        return found
