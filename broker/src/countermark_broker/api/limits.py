"""How many requests of one source are under way: whoever sends more is told to wait, before anything is read.

What is open to anyone waits for its source's turn besides: it costs the asker nothing, not even a signature.

Source: docs/operations/limits.md §2.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from countermark_broker.api.errors import problem_of, problem_response
from countermark_broker.api.sources import LOCAL, Sources
from countermark_broker.errors import OverloadedError
from countermark_broker.log.verifier import Source
from countermark_broker.metrics import Metrics

_STATE: Final = "slot"
#: Of the connections for reading, one in so many serves what is open to anyone.
_OPEN_PART: Final = 4


class Slot:
    """A source's part in a request that is under way. Given back once, at the end or before a long wait.

    Args:
        counts: requests under way, by source; a source without any is not in it.
        source: whose.
    """

    __slots__ = ("_counts", "source")

    def __init__(self, counts: Counter[Source] | None, source: Source) -> None:
        self._counts = counts
        self.source = source

    def give_back(self) -> None:
        """The request does not count any more."""
        if self._counts is not None:
            self._counts[self.source] -= 1
            if not self._counts[self.source]:
                del self._counts[self.source]
            self._counts = None


class RequestLimit:
    """Bounds the requests of each source that are under way; a plain ASGI callable.

    Args:
        app: what answers.
        sources: tells sources apart.
        most_each: requests of one source.
        metrics: counts what is refused.
    """

    def __init__(self, app: ASGIApp, sources: Sources, most_each: int, metrics: Metrics) -> None:
        self._app = app
        self._sources = sources
        self._most_each = most_each
        self._metrics = metrics
        self._counts: Counter[Source] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        source = self._sources.of_request(scope)
        if self._counts[source] >= self._most_each:
            problem = problem_of(
                OverloadedError(
                    "too_many_requests", "too many requests from your network address are under way"
                )
            )
            self._metrics.refused.labels(problem.code).inc()
            await problem_response(problem)(scope, receive, send)
            return
        self._counts[source] += 1
        slot = Slot(self._counts, source)
        scope.setdefault("state", {})[_STATE] = slot
        try:
            await self._app(scope, receive, send)
        finally:
            slot.give_back()


class OpenReads:
    """Bounds the reading of what is open to anyone, so that those who sign always find connections to the database.

    Sources take turns. Whoever asks too much waits, instead of being refused: as many more refusals as it would then
    ask for cost more than its reads. How many may wait is bounded by `RequestLimit`.

    Args:
        readers: connections for reading that there are.
    """

    def __init__(self, readers: int) -> None:
        self._free = max(1, readers // _OPEN_PART)
        # In the order of their turns. A source is here only while something of it waits.
        self._waiting: OrderedDict[Source, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Wait for one's turn, and have it until the end."""
        await self._enter(source_of(request))
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, source: Source) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(source, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                # Its turn had come at that moment.
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            source, places = next(iter(self._waiting.items()))
            place = places.popleft()
            self._waiting.move_to_end(source)
            if not places:
                del self._waiting[source]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def slot_of(request: Request) -> Slot:
    """The slot of a request."""
    slot = request.scope.get("state", {}).get(_STATE)
    return slot if isinstance(slot, Slot) else Slot(None, LOCAL)


def source_of(request: Request) -> Source:
    """Where a request comes from."""
    return slot_of(request).source
