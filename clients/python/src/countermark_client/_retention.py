"""Retention at the recipient: what was received is kept no longer than its originator allows.

The broker deletes its own copy; what a recipient opened stays with it until this is run. Manifests, receipts and proofs
stay: they hold nothing of the case.

Source: docs/spec/tracing.md §10; docs/spec/messages.md §2.3; INTERPOL RPD 49-50.
"""

from __future__ import annotations

from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import Direction, MessageStage


class Retention:
    """The received content of one profile."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store

    def forget(self) -> tuple[bytes, ...]:
        """Delete what is held too long; see `Client.forget_expired`."""
        now = self._session.clock()
        over = [
            stored.payload
            for stored in self._store.messages(direction=Direction.IN)
            if stored.stage in {MessageStage.ACCEPTED, MessageStage.REJECTED}
            and (stored.content is not None or stored.stanza is not None)
            and manifest_of(stored).handling.retention_until <= now
        ]
        with self._store.transaction():
            self._store.forget_contents(over)
            gone = [d for payload in over for d in self._store.forget_pieces(payload, Direction.IN)]
        # Overwritten is what opens them; a crash before this leaves what nothing names, to be swept.
        self._session.profile.pieces.remove(gone)
        return tuple(over)
