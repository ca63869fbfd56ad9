"""Waking long-polls: only those whose box has moved, whichever node moved it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from countermark_broker.errors import OverloadedError
from countermark_broker.services.node import Node
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address
from countermark_protocol.key_ends import endpoints_ending

Place = tuple[Address, Box]


class Listeners:
    """Who waits for which box.

    Args:
        most: long-polls that may wait at once.
        most_each: of which one endpoint may have so many; None: all.
    """

    def __init__(self, most: int, most_each: int | None = None) -> None:
        self._most = most
        self._most_each = most if most_each is None else most_each
        self._each: Counter[Address] = Counter()
        self._count = 0
        self._events: defaultdict[Place, set[asyncio.Event]] = defaultdict(set)
        self._ended = False

    @property
    def count(self) -> int:
        """Long-polls waiting."""
        return self._count

    @property
    def places(self) -> frozenset[Place]:
        """Boxes that somebody waits for."""
        return frozenset(self._events)

    @contextmanager
    def waiting(self, place: Place) -> Iterator[asyncio.Event]:
        """Wait for a box: the event is set whenever it may have moved.

        Raises:
            OverloadedError: too many wait already.
        """
        if self._count >= self._most:
            raise OverloadedError("too_many_listeners", "too many long-polls wait on this node")
        if self._each[place[0]] >= self._most_each:
            raise OverloadedError(
                "too_many_listeners", f"too many long-polls of {place[0]} wait on this node"
            )
        event = asyncio.Event()
        if self._ended:
            event.set()
        self._count += 1
        self._each[place[0]] += 1
        self._events[place].add(event)
        try:
            yield event
        finally:
            self._count -= 1
            self._each[place[0]] -= 1
            if not self._each[place[0]]:
                del self._each[place[0]]
            self._events[place].discard(event)
            if not self._events[place]:
                del self._events[place]

    def wake(self, places: set[Place]) -> None:
        """These boxes have moved."""
        for place in places & self._events.keys():
            for event in self._events[place]:
                event.set()

    @property
    def ended(self) -> bool:
        """Whether this node is stopping, so that nobody should wait any longer."""
        return self._ended

    def end(self) -> None:
        """Wake everybody for good: this node is stopping."""
        self._ended = True
        for events in self._events.values():
            for event in events:
                event.set()


#: Over today, and in time to call an agency that has not renewed.
KEYS_ENDING_DAYS: Final = (0, 14)


def measure(node: Node, listeners: Listeners) -> None:
    """Set the figures that are not counted as things happen."""
    metrics = node.metrics
    metrics.listeners.set(listeners.count)
    metrics.verifying.set(node.verifier.waiting)
    metrics.published_size.set(node.publisher.published.size)
    metrics.checkpoint_age.set(time.monotonic() - node.publisher.confirmed_at)
    metrics.fatal.set(node.health.fatal is not None)
    directory, now = node.holder.current, node.clock.now_ms()
    for days in KEYS_ENDING_DAYS:
        ending = endpoints_ending(directory, now + days * 86_400_000)
        metrics.keys_ending.labels(str(days)).set(sum(1 for _ in ending))
