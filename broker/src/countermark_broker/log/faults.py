"""Named places in the commit order where a test may stop the world. In production nothing happens there.

The composition root passes an object down; nothing here is global. `KillAt` and `FailAt` are honoured only with
the switch of config.py, and ``doctor`` and the start of the broker say so loudly.

Source: design section 4, "Commit order".
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import Final, Protocol

from countermark_broker.config import TEST_FAIL_VARIABLE, TEST_HOOKS_VARIABLE, TEST_KILL_VARIABLE
from countermark_broker.errors import ConfigurationError, UnavailableError

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
#: The same for a heartbeat.
BEAT_POINTS: Final = ("before_beat_commit", "after_beat_commit")
#: The same for a piece: stored and not named by any row yet; named by no row any more and not deleted yet.
CONTENT_POINTS: Final = ("after_blob_before_commit", "after_doom_before_delete", "after_copy_before_commit")
#: What writes, crossed with what can become of a write that is reported to have failed.
LOST_WRITES: Final = {
    "commit": "after_append_before_commit",
    "store": "before_sign",
    "heartbeat": "before_beat_commit",
}
UNREPORTED_WRITES: Final = {
    "commit": "after_commit",
    "store": "after_store_advance",
    "heartbeat": "after_beat_commit",
}
_ALL: Final = (*POINTS, *BEAT_POINTS, *CONTENT_POINTS)
_NUMBERS: Final = {TEST_KILL_VARIABLE: 1, TEST_FAIL_VARIABLE: 2}
_STORE_POINTS: Final = frozenset({LOST_WRITES["store"], UNREPORTED_WRITES["store"]})


class FaultPoints(Protocol):
    """Told when a step of the commit order is reached."""

    def reach(self, name: str) -> None:
        """Called with one of `POINTS`, `BEAT_POINTS` or `CONTENT_POINTS`; may raise, or not return."""
        ...


class NoFaults:
    """Production: nothing happens."""

    def reach(self, name: str) -> None:
        """Go on."""


class KillAt:
    """Kills its own process with SIGKILL at the n-th time that a point is reached.

    Args:
        point: one of `POINTS` or `BEAT_POINTS`.
        times: 1 for the first time.
    """

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times

    def reach(self, name: str) -> None:
        """Die here, if it is time."""
        if name == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FailAt:
    """Raises, again and again as a point is reached, what a failing disk or database raises there.

    Before a commit or a store's advance the write is thereby lost; after it, it persisted and is reported as
    failed.

    Args:
        point: one of `POINTS` or `BEAT_POINTS`.
        every: first at this time, then at every such time; 1 for each time.
        run: so many times in a row.
    """

    def __init__(self, point: str, every: int, run: int = 1) -> None:
        self._point = point
        self._every = every
        self._run = run
        self._reached = 0

    def reach(self, name: str) -> None:
        """Fail here, if it is time."""
        if name != self._point:
            return
        self._reached += 1
        if self._reached < self._every or self._reached % self._every >= self._run:
            return
        if name in _STORE_POINTS:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        raise UnavailableError("database_unavailable", "a test hook lets this write fail")


def fault_points(environ: Mapping[str, str]) -> FaultPoints:
    """The fault points of this process: none, unless a test variable and the switch are set.

    Raises:
        ConfigurationError: ``test_hook_refused``.
    """
    kinds: dict[str, type[KillAt | FailAt]] = {TEST_KILL_VARIABLE: KillAt, TEST_FAIL_VARIABLE: FailAt}
    wanted = [name for name in kinds if environ.get(name)]
    if not wanted:
        return NoFaults()
    point, *numbers = environ[wanted[0]].split(":")
    counts = [int(number) if number.isdecimal() else 0 for number in numbers] or [1]
    if (
        environ.get(TEST_HOOKS_VARIABLE) != "1"
        or len(wanted) > 1
        or point not in _ALL
        or len(counts) > _NUMBERS[wanted[0]]
        or min(counts) < 1
    ):
        raise ConfigurationError(
            "test_hook_refused",
            f"{TEST_KILL_VARIABLE} must be <point>[:<time>], or {TEST_FAIL_VARIABLE} <point>[:<every>[:<run>]], "
            f"with a point of {', '.join(_ALL)}, and needs {TEST_HOOKS_VARIABLE}=1",
        )
    return kinds[wanted[0]](point, *counts)
