"""Verifying signatures beside the event loop, in a bounded queue.

Verification releases the interpreter lock, so threads use all processors. What does not fit in the queue is
refused at once: an attacker's forgeries must not make memory grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from countermark_broker.errors import OverloadedError

T = TypeVar("T")


class Verifier:
    """Runs checks in threads.

    Args:
        threads: how many.
        most_waiting: checks that may wait or run at once.
    """

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._most = most_waiting
        self._waiting = 0

    async def run(self, check: Callable[[], T]) -> T:
        """The result of `check`, or what it raises.

        Raises:
            OverloadedError: too much waits already.
        """
        if self._waiting >= self._most:
            raise OverloadedError("overloaded", "too many signatures wait to be verified")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, check)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=True)
