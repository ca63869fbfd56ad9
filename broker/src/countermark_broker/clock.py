"""The clock as a port: the composition root passes it down; nothing reads the machine's clock otherwise."""

from __future__ import annotations

import time
from typing import Protocol

from countermark_broker.errors import UnavailableError


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


def check_clock(clock: Clock, database_ms: int, most_ms: int) -> int:
    """Demand that a node's clock is near the database's, from which leaves get their time; the difference in ms.

    Args:
        clock: of the node.
        database_ms: the database's, ms since 1970.
        most_ms: that they may differ.

    Raises:
        UnavailableError: ``clock_differs``.
    """
    difference = clock.now_ms() - database_ms
    if abs(difference) > most_ms:
        raise UnavailableError(
            "clock_differs",
            f"this node's clock is {difference} ms from the database's, expected at most {most_ms}: "
            "it appends nothing until its clock is set",
        )
    return difference
