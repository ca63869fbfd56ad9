"""The agency's keys: opened in memory by a passphrase, closed by button or when nobody works any more.

What needs them asks for `Vault.client`. Parts that work with them in the background register with `on_change`: they get
the client when it opens, and None before it closes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from countermark_client import Client
from countermark_client._profile_files import PROFILE_FILE
from countermark_console.clock import MINUTE, Clock
from countermark_console.errors import LockedError
from countermark_console.network import Network
from countermark_console.texts import N_

#: What is told when keys open (a client) or are about to close (None).
Listener = Callable[[Client | None], None]


class VaultState(StrEnum):
    """Where the keys are."""

    EMPTY = "empty"
    LOCKED = "locked"
    OPEN = "open"


def idle_too_long(last_action: int, now: int, lock_minutes: int) -> bool:
    """Whether keys are to be locked.

    Args:
        last_action: of anybody, ms since 1970.
        now: ms since 1970.
        lock_minutes: allowed; 0 for no end.
    """
    return lock_minutes > 0 and now - last_action >= lock_minutes * MINUTE


class Vault:
    """One profile of countermark_client, open or not.

    Args:
        folder: of the profile.
        clock: ms since 1970.
        lock_minutes: without anybody's action; 0: never by itself.
        network: how the broker is reached.
    """

    def __init__(self, folder: Path, clock: Clock, lock_minutes: int, network: Network) -> None:
        self.folder: Final = folder
        self._clock = clock
        self._lock_minutes = lock_minutes
        self._network = network
        self._client: Client | None = None
        self._last_action = 0
        self._listeners: list[Listener] = []
        self._changing = threading.RLock()

    @property
    def state(self) -> VaultState:
        """Where the keys are."""
        if self._client is not None:
            return VaultState.OPEN
        return VaultState.LOCKED if (self.folder / PROFILE_FILE).exists() else VaultState.EMPTY

    @property
    def client(self) -> Client:
        """The endpoint's client, while the keys are open. One call of it runs at a time.

        Raises:
            LockedError: ``keys_locked``.
        """
        client = self._client
        if client is None:
            raise LockedError("keys_locked", N_("The agency's keys are locked"))
        return client

    @property
    def locks_at(self) -> int | None:
        """When the keys are locked if nobody does anything, ms since 1970; None: not by itself."""
        if not self._lock_minutes or self._client is None:
            return None
        return self._last_action + self._lock_minutes * MINUTE

    def on_change(self, listener: Listener) -> None:
        """Have a part told of every opening and closing; at once, where the keys are open."""
        with self._changing:
            self._listeners.append(listener)
            if self._client is not None:
                listener(self._client)

    def unlock(self, passphrase: str) -> None:
        """Open the keys.

        Raises:
            SealError: ``wrong_passphrase``.
            CountermarkError: as `Profile.open`.
        """
        with self._changing:
            if self._client is not None:
                return
            self._opened(self._network.client(self.folder, passphrase))

    def _opened(self, client: Client) -> None:
        self._last_action = self._clock()
        self._client = client
        for listener in self._listeners:
            listener(client)

    def lock(self) -> bool:
        """Close the keys, once what works with them has stopped; whether they were open."""
        with self._changing:
            client, self._client = self._client, None
            if client is None:
                return False
            for listener in self._listeners:
                listener(None)
            client.close()
            client.profile.close()
            return True

    def touch(self) -> None:
        """Somebody did something."""
        self._last_action = self._clock()

    def lock_if_idle(self) -> bool:
        """Close the keys if nobody did anything for too long; whether they were closed."""
        if self._client is None or not idle_too_long(self._last_action, self._clock(), self._lock_minutes):
            return False
        return self.lock()
