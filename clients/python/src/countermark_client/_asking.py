"""Whom to ask about a weapon: the States that its marks point to, and their points of contact.

Source: docs/spec/tracing.md §9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark_client import _contents
from countermark_client._addressing import contacts
from countermark_client._log import LogView
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._succession import open_kept, successor_of
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import Address

_DESCRIPTION = b'"type":"marking-system-description"'


@dataclass(frozen=True, slots=True)
class ToAsk:
    """A State that may hold records, and who answers there.

    Attributes:
        candidate: the State, with the reasons.
        contacts: its points of contact in the directory; empty where there is none.
    """

    candidate: _contents.Candidate
    contacts: tuple[Address, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**self.candidate.to_json(), "contacts": list(self.contacts)}


class Asking:
    """What one profile was told of marks."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._log = log

    def whom(self, item: _contents.FirearmItem) -> tuple[ToAsk, ...]:
        """Whom to ask about a weapon; see `Client.whom_to_ask`."""
        found = _contents.whom_to_ask(item, self._descriptions())
        return tuple(ToAsk(candidate, self._contacts(candidate.country)) for candidate in found)

    def _contacts(self, country: str) -> tuple[Address, ...]:
        try:
            return contacts(self._log.directory, country)
        except NotFoundError:
            return ()

    def _descriptions(self) -> tuple[_contents.Described, ...]:
        """Descriptions of marks, received or sent, that nothing has taken the place of."""
        found = []
        for stored in self._session.store.messages_with(_DESCRIPTION):
            if stored.index is None or successor_of(self._session, stored) is not None:
                continue
            content = open_kept(self._session, stored)
            if isinstance(content, _contents.MarkingSystemDescription):
                sender = manifest_of(stored).sender
                found.append(_contents.Described(stored.payload, sender, stored.index, content))
        return _contents.current(found)
