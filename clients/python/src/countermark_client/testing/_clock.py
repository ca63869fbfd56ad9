"""A clock that stands still until it is moved."""

from __future__ import annotations

from typing import Final

#: 2026-03-02 09:00:00 UTC.
START: Final = 1_772_442_000_000


class MovableClock:
    """Gives the time in ms since 1970; moved by `advance` and by whatever sleeps."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time, ms since 1970."""
        return self.now

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move on."""
        self.now += round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)

    def sleep(self, seconds: float) -> None:
        """Pass the time at once: for `Client(sleep=…)`."""
        self.advance(seconds=seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Pass the time at once: for `AsyncClient(sleep=…)`."""
        self.advance(seconds=seconds)
