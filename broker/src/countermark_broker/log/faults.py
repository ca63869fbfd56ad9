"""Named places in the commit order where a test may stop the world. In production nothing happens there.

The composition root passes an object down; nothing here is global. `KillAt` is honoured only with the
switch of config.py, and ``doctor`` and the start of the broker say so loudly.

Source: design section 4, "Commit order".
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Final, Protocol

from countermark_broker.config import TEST_HOOKS_VARIABLE, TEST_KILL_VARIABLE
from countermark_broker.errors import ConfigurationError

#: In the order in which one statement passes them.
POINTS: Final = (
    "after_verify",
    "before_lock",
    "under_lock",
    "after_append_before_commit",
    "after_commit",
    "before_sign",
    "after_store_advance",
    "before_answer",
)


class FaultPoints(Protocol):
    """Told when a step of the commit order is reached."""

    async def reach(self, name: str) -> None:
        """Called with one of `POINTS`; may raise, or not return."""
        ...


class NoFaults:
    """Production: nothing happens."""

    async def reach(self, name: str) -> None:
        """Go on."""


class KillAt:
    """Kills its own process with SIGKILL at the n-th time that a point is reached.

    Args:
        point: one of `POINTS`.
        times: 1 for the first time.
    """

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times

    async def reach(self, name: str) -> None:
        """Die here, if it is time."""
        if name == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def fault_points(environ: Mapping[str, str]) -> FaultPoints:
    """The fault points of this process: none, unless both test variables are set.

    Raises:
        ConfigurationError: ``test_hook_refused``.
    """
    wanted = environ.get(TEST_KILL_VARIABLE, "")
    if not wanted:
        return NoFaults()
    point, _, times = wanted.partition(":")
    if environ.get(TEST_HOOKS_VARIABLE) != "1" or point not in POINTS or not (times or "1").isdecimal():
        raise ConfigurationError(
            "test_hook_refused",
            f"{TEST_KILL_VARIABLE} must be <point>[:<times>] with a point of {', '.join(POINTS)}, "
            f"and needs {TEST_HOOKS_VARIABLE}=1",
        )
    return KillAt(point, int(times or "1"))
