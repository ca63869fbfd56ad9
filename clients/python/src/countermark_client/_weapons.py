"""Weapons as one profile's messages tell of them: cases made twice, and what appears after its destruction.

No serial is ever written to the store: what was opened is kept in memory, for as long as the client lives.

Source: docs/spec/tracing.md §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from countermark_client import _contents
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import StoredMessage
from countermark_client._succession import open_kept
from countermark_protocol.errors import NotFoundError

#: Messages that tell of weapons.
_TYPES: Final = (
    "tracing-request",
    "tracing-response",
    "confiscation-notice",
    "found-or-surrendered-notice",
    "destruction-notice",
    "lost-or-stolen-notice",
)


class Weapons:
    """The weapons of one profile."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store
        self._opened: dict[bytes, tuple[_contents.Sighting, ...]] = {}

    def duplicates(self) -> tuple[_contents.Pair, ...]:
        """Tracing requests about one weapon found in one State within a week."""
        seen = [s for s in self._sightings(("tracing-request",)) if s.type == "tracing-request"]
        return _contents.duplicates(seen)

    def resurrections(self) -> tuple[_contents.Pair, ...]:
        """Weapons that appear after their destruction, and that nobody here has looked into."""
        if not self._store.messages_with(b'"type":"destruction-notice"'):
            return ()
        known = self._store.looked_into()
        pairs = _contents.resurrections(self._sightings(_TYPES))
        return tuple(p for p in pairs if (p.earlier.message, p.later.message) not in known)

    @property
    def alarms(self) -> tuple[str, ...]:
        """The same in words."""
        return tuple(resurrection_text(pair) for pair in self.resurrections())

    def acknowledge(self, message: bytes) -> None:
        """Take note that people have looked into a weapon's appearance.

        Raises:
            NotFoundError: ``no_such_alarm``.
        """
        found = [p for p in self.resurrections() if message in {p.earlier.message, p.later.message}]
        if not found:
            raise NotFoundError("no_such_alarm", f"there is no alarm about message {message.hex()}")
        for pair in found:
            self._store.set_looked_into(pair.earlier.message, pair.later.message, self._session.clock())

    def _sightings(self, types: Sequence[str]) -> list[_contents.Sighting]:
        return [
            sighting
            for type_ in types
            for stored in self._store.messages_with(f'"type":"{type_}"'.encode())
            if stored.time is not None and not self._replaced(stored)
            for sighting in self._of(stored)
        ]

    def _replaced(self, stored: StoredMessage) -> bool:
        """Whether its sender withdrew it, or another takes its place; what is corrected still tells of the weapon."""
        sender = manifest_of(stored).sender
        later = map(manifest_of, self._store.successors(stored.payload))
        return any(m.sender == sender and m.type != "correction" for m in later)

    def _of(self, stored: StoredMessage) -> tuple[_contents.Sighting, ...]:
        known = self._opened.get(stored.payload)
        if known is not None:
            return known
        content = open_kept(self._session, stored)
        if content is None:
            return ()
        request = None
        if isinstance(content, _contents.TracingResponse):
            first = self._store.message(stored.conversation)
            opened = open_kept(self._session, first) if first is not None else None
            request = opened if isinstance(opened, _contents.TracingRequest) else None
        assert stored.time is not None
        found = _contents.sightings_of(
            content, stored.payload, manifest_of(stored).sender, stored.time, request
        )
        self._opened[stored.payload] = found
        return found


def resurrection_text(pair: _contents.Pair) -> str:
    """A weapon's appearance after its destruction, in words; without its serial."""
    gone, seen = pair.earlier, pair.later
    return (
        f"a weapon destroyed on {gone.day} (item {gone.item_ref} of {gone.message.hex()[:12]}, told by {gone.who}) "
        f"appears again: item {seen.item_ref} of {seen.type} {seen.message.hex()[:12]} by {seen.who}, "
        f"{seen.day or 'day not told'}; serials agree by {pair.by}: a lead, to be confirmed by both"
    )
