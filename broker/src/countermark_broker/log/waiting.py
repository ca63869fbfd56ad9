"""Who is next: what is urgent goes first, and what is not is never starved.

Only verified statements may be told apart here: before its signature is verified, a manifest's urgency is the
word of whoever sent it (docs/operations/limits.md §3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from countermark_protocol.manifest import Urgency
from countermark_protocol.statements import DirectoryChange, MessageStatement, ReceiptStatement, Statement

T = TypeVar("T")

#: So many that go first are taken, then one of the others, while both wait: these get a quarter at least.
_PATIENCE: Final = 3
_FIRST_URGENCIES: Final = frozenset({Urgency.URGENT, Urgency.FLASH})


def goes_first(statement: Statement) -> bool:
    """Whether a verified statement goes before others: urgent and flash messages, receipts, the directory's."""
    if isinstance(statement, MessageStatement):
        return statement.manifest.urgency in _FIRST_URGENCIES
    # Receipts release what somebody waits to read; directory statements revoke keys.
    return isinstance(statement, ReceiptStatement | DirectoryChange)


class WaitingQueue(Generic[T]):
    """Two queues in one: of those that go first, and of the others. Each keeps the order of arrival."""

    def __init__(self) -> None:
        self._first: deque[T] = deque()
        self._others: deque[T] = deque()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    @property
    def going_first(self) -> int:
        """How many of those wait that go first."""
        return len(self._first)

    def put(self, item: T, *, first: bool = False) -> None:
        """Add an item, among those that go first or among the others."""
        (self._first if first else self._others).append(item)

    def peek(self) -> T:
        """Who is next, and stays so until something is put or taken.

        Raises:
            IndexError: nothing waits.
        """
        return self._next()[0]

    def take(self) -> T:
        """Take who is next.

        Raises:
            IndexError: nothing waits.
        """
        queue = self._next()
        self._in_a_row = self._in_a_row + 1 if queue is self._first and self._others else 0
        return queue.popleft()

    def take_group(self, most: int, weigh: Callable[[T], int], most_weight: int) -> list[T]:
        """Take those who are next, as one group.

        Args:
            most: items.
            weigh: weight of an item.
            most_weight: of a group of more than one item.

        Returns:
            The items in the order in which they were next; empty only where nothing waits.
        """
        group: list[T] = []
        weight = 0
        while len(self) and len(group) < most:
            weight += weigh(self.peek())
            if group and weight > most_weight:
                break
            group.append(self.take())
        return group

    def newest(self) -> T:
        """Who came last of those who would wait longest.

        Raises:
            IndexError: nothing waits.
        """
        return (self._others or self._first)[-1]

    def drop_newest(self) -> T:
        """Take who came last of those who would wait longest.

        Raises:
            IndexError: nothing waits.
        """
        return (self._others or self._first).pop()

    def _next(self) -> deque[T]:
        if self._first and not (self._others and self._in_a_row >= _PATIENCE):
            return self._first
        return self._others
