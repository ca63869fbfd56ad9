"""Looking names up, so that no name server of one endpoint holds up the calls of another.

The machine's resolver blocks a thread for as long as a name server is silent, far beyond the time that a call has, and
nothing ends it earlier. So threads are few, an endpoint has few of them at once, and a look-up counts until its thread
has come back. Who waits for a turn has not been tried: that is not the receiver's failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

_THREADS: Final = 16
#: Of these, look-ups of one endpoint: seven others' name servers may be silent, and there is still a thread.
_EACH: Final = 2


class Resolver(Protocol):
    """Looks up names."""

    async def resolve(self, host: str, port: int, whose: str, begun: Callable[[], None]) -> Sequence[str]:
        """All addresses of a host, as text.

        Args:
            host: a name or an address.
            port: to be called.
            whose: endpoint for which it is looked up.
            begun: called once the look-up has its turn.

        Raises:
            OSError: it has none, or the resolver does not answer.
        """
        ...


class SystemResolver:
    """The machine's resolver, in threads of its own: a slow name server must hold up nothing else.

    Args:
        threads: look-ups under way at once.
        each: of which one endpoint may have so many.
    """

    def __init__(self, threads: int = _THREADS, each: int = _EACH) -> None:
        self._most, self._each = threads, each
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")
        self._under_way: Counter[str] = Counter()
        self._ended = asyncio.Event()

    async def resolve(self, host: str, port: int, whose: str, begun: Callable[[], None]) -> Sequence[str]:
        """See `Resolver.resolve`."""
        loop = asyncio.get_running_loop()
        while self._under_way.total() >= self._most or self._under_way[whose] >= self._each:
            await self._ended.wait()
        self._under_way[whose] += 1
        look_up = self._threads.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        begun()

        def give_back(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._give_back, whose)

        # Of the thread, not of who waits for it: that one may be gone long before.
        look_up.add_done_callback(give_back)
        found = await asyncio.wrap_future(look_up)
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    def _give_back(self, whose: str) -> None:
        self._under_way[whose] -= 1
        if not self._under_way[whose]:
            del self._under_way[whose]
        # All who wait look again; each that comes later waits for the next end.
        self._ended.set()
        self._ended = asyncio.Event()

    def close(self) -> None:
        """Take no more; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
