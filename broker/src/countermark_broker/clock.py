"""The clock as a port: the composition root passes it down; nothing reads the machine's clock otherwise."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time of this node."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000
