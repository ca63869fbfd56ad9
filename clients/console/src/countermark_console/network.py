"""How the console reaches the broker; tests put a broker in memory in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from countermark_client import Client, Profile
from countermark_console.clock import Clock


@dataclass(frozen=True, slots=True)
class Network:
    """What clients are made with.

    Attributes:
        verify: TLS: the system's authorities, or the path of an authority's certificate.
        transport: of httpx; None for the network.
        clock: ms since 1970; None for the machine's.
        sleep: waits a number of seconds; None for `time.sleep`.
    """

    verify: bool | str = True
    transport: httpx.BaseTransport | None = None
    clock: Clock | None = None
    sleep: Callable[[float], None] | None = None

    def client(self, folder: Path, passphrase: str) -> Client:
        """A client over the profile in a folder; `Client.close` leaves the profile open.

        Raises:
            CountermarkError: as `Profile.open`.
        """
        return Client(
            Profile.open(folder, passphrase),
            transport=self.transport,
            clock=self.clock,
            sleep=self.sleep,
            verify=self.verify,
        )
