"""When a profile stops sending: on signed facts that contradict each other, and while it is restored and not compared.

What was found stands in the store, so every client over the profile stops, until a person clears it.

Source: docs/spec/log.md §9.6, docs/spec/backup.md.
"""

from __future__ import annotations

from typing import Final

from countermark_client._session import Session
from countermark_client._store import Store
from countermark_protocol.errors import CountermarkError, InconsistentLogError, UncheckableError

_HALTED: Final = "halted"
#: Set where a backup was restored, until the profile was compared with ``sent``.
RESTORED: Final = "restored"


class Halting:
    """Whether one profile may send."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store
        self._stopped: CountermarkError | None = None

    @property
    def session(self) -> Session:
        """What is spoken over."""
        return self._session

    @property
    def store(self) -> Store:
        """Where it is kept."""
        return self._store

    def keep_evidence(self, error: InconsistentLogError) -> None:
        """Keep the proofs of a finding, and go on."""
        self._session.profile.keep_evidence(error, self._session.clock())

    @property
    def halted(self) -> str | None:
        """Why nothing is sent any more, or None."""
        if self._stopped is not None:
            return str(self._stopped)
        reason = self._store.meta(_HALTED)
        return reason.decode("utf-8") if reason is not None else None

    def halt(self, error: CountermarkError) -> None:
        """Stop sending: for good on a contradiction, until the next start on what cannot be checked here."""
        self._stopped = error  # first: a disk that is full must not keep this client sending
        if isinstance(error, InconsistentLogError):
            self._session.profile.keep_evidence(error, self._session.clock())
            self._store.set_meta(_HALTED, str(error).encode("utf-8"))
            self._stopped = None  # from here on the store says it, to every client over this profile

    def clear_halt(self) -> None:
        """Send again, after people have looked at the evidence; the evidence stays."""
        self._stopped = None
        self._store.set_meta(_HALTED, None)

    def check_not_halted(self) -> None:
        """Refuse to go on while halted, or restored from a backup and not compared with the log yet.

        Raises:
            UncheckableError: ``halted``, ``restored_unchecked``.
        """
        self.check_compared()
        reason = self.halted
        if reason is not None:
            raise UncheckableError(
                "halted",
                f"nothing is sent since this was found: {reason}. Look at the evidence, then clear it",
            )

    @property
    def restored(self) -> bytes | None:
        """What is known of the backup that this profile was restored from, until it was compared with the log."""
        return self._store.meta(RESTORED)

    def check_compared(self) -> None:
        """Refuse to go on while restored from a backup and not compared with the box ``sent`` yet.

        Raises:
            UncheckableError: ``restored_unchecked``.
        """
        if self.restored is not None:
            raise UncheckableError(
                "restored_unchecked",
                "this profile was restored from a backup: nothing is sent before it has been compared with what the "
                "log holds of its key",
            )
