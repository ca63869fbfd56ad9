"""The console's one clock: ms since 1970, as everywhere in Countermark."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

Clock = Callable[[], int]

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


def system_clock() -> int:
    """Now, ms since 1970."""
    return time.time_ns() // 1_000_000
