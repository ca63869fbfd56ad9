"""Group commit: whatever has arrived meanwhile is one group; refusing one never touches the others.

One statement and ten thousand take the same way, and so does recovery: a group whose commit has an unknown
outcome is simply committed again, and what was stored comes back as already logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from countermark_broker.errors import FatalError, OverloadedError, UnavailableError
from countermark_broker.log.appender import Appended, Appender, Failed, Outcome, Submitted
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
from countermark_broker.log.tree import Tree
from countermark_broker.log.waiting import WaitingQueue, goes_first
from countermark_broker.store.engine import Database
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.statements import ReceiptStatement

_log = logging.getLogger(__name__)

_RETRY_PAUSE_S = 0.05


class CommitObserver(Protocol):
    """Told of every commit, for metrics."""

    def committed(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """A group was committed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    item: Submitted
    future: asyncio.Future[Outcome]


class Sequencer:
    """The one way into the log on this node.

    Args:
        appender: commits groups.
        publisher: publishes what is committed.
        database: where the tree's tiles are.
        tree: makes the paths of what is published.
        health: whether this node may go on.
        observer: told of commits.
        max_group: statements in a group.
        max_group_recipients: recipients of messages and items of receipts in a group of more than one.
        max_waiting: statements that may wait; and as many of those that go first.
    """

    def __init__(
        self,
        *,
        appender: Appender,
        publisher: Publisher,
        database: Database,
        tree: Tree,
        health: Health,
        observer: CommitObserver,
        max_group: int,
        max_group_recipients: int,
        max_waiting: int,
    ) -> None:
        self._appender = appender
        self._publisher = publisher
        self._database = database
        self._tree = tree
        self._health = health
        self._observer = observer
        self._max_group = max_group
        self._max_group_recipients = max_group_recipients
        self._max_waiting = max_waiting
        # Streams wait for room, and would take each place that comes free: the last quarter is for the others.
        self._max_waiting_streams = max(1, max_waiting * 3 // 4)
        self._queue: WaitingQueue[_Waiting] = WaitingQueue()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        #: One thread: a group's commit is serial work, and the next group gathers meanwhile.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")

    def start(self) -> None:
        """Begin to take statements."""
        self._task = asyncio.create_task(self._run(), name="sequencer")

    async def stop(self) -> None:
        """Finish what was taken, then end."""
        self._ending = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._pool.shutdown()

    @property
    def waiting(self) -> int:
        """Statements that wait for a commit."""
        return len(self._queue)

    async def submit(self, item: Submitted) -> Outcome:
        """Append a statement; returns once it is committed *and* published, or refused.

        Raises:
            OverloadedError: too many wait.
            UnavailableError: this node does not append; or nothing is known of the outcome, and sending the
                same again tells it.
        """
        first = goes_first(item.statement)
        # Those that go first wait for each other only: no number of the others may shut them out.
        if (self._queue.going_first if first else len(self._queue)) >= self._max_waiting:
            raise OverloadedError("overloaded", "too many statements wait for a commit")
        outcome = await self._enqueue(item, first=first)
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome

    async def submit_many(self, items: Sequence[Submitted]) -> list[asyncio.Future[Outcome]]:
        """As `submit` for a part of a stream, which waits for room instead of being refused.

        Returns:
            One future each, in order; none raises, since a failure is an outcome.

        Raises:
            UnavailableError: this node does not append.
        """
        while len(self._queue) >= self._max_waiting_streams:
            self._taken.clear()
            await self._taken.wait()
        # Within a stream order is kept, so nothing of it goes before the rest.
        return [self._enqueue(item, first=False) for item in items]

    def _enqueue(self, item: Submitted, *, first: bool) -> asyncio.Future[Outcome]:
        self._health.check_appends()
        if self._ending:
            raise UnavailableError("stopping", "this node is stopping: send the same bytes to another one")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(item, future), first=first)
        self._arrived.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while len(self._queue):
                group = self._queue.take_group(
                    self._max_group, lambda waiting: _weight(waiting.item), self._max_group_recipients
                )
                self._taken.set()
                await self._commit(group)
            if self._ending:
                return

    async def _commit(self, group: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            self._health.check_fatal()
            outcomes = await self._settle([w.item for w in group])
            # Refusals wait as well: an account may not name a size beyond the published one.
            checkpoint = await self._publisher.advance()
            outcomes = await self._with_paths(outcomes, checkpoint)
            self._observer.committed(outcomes, time.monotonic() - began)
        except FatalError as error:
            self._health.fail(error)
            outcomes = [Failed(self._health.fatal_answer()) for _ in group]
        except Exception as error:  # noqa: BLE001  whoever waits must be answered whatever happened
            if not isinstance(error, UnavailableError):
                _log.exception("a group of %d statements failed", len(group))
            outcomes = [Failed(error) for _ in group]
        for waiting, outcome in zip(group, outcomes, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(outcome)

    async def _with_paths(self, outcomes: list[Outcome], checkpoint: Checkpoint) -> list[Outcome]:
        """Prove all entries of the group under the one checkpoint."""
        indexes = [o.entry.index for o in outcomes if isinstance(o, Appended)]
        if not indexes:
            return outcomes
        paths = self._tree.known_inclusions(indexes, checkpoint.size)
        if not paths:
            # The checkpoint holds what another node has committed since: its tiles are in the database only.
            paths = await self._database.read(self._tree.inclusion, indexes, checkpoint.size)
        return [
            replace(o, checkpoint=checkpoint, path=paths[o.entry.index]) if isinstance(o, Appended) else o
            for o in outcomes
        ]

    async def _settle(self, items: list[Submitted], *, again: bool = True) -> list[Outcome]:
        """Commit a group; split it until whatever the database refuses stands alone."""
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._appender.commit, items)
        except FatalError:
            raise
        except UnavailableError as error:
            if again and error.code == "database_unavailable":
                # The commit may have happened: the same call tells, since the log knows its payloads.
                await asyncio.sleep(_RETRY_PAUSE_S)
                return await self._settle(items, again=False)
            return [Failed(error) for _ in items]
        except Exception as error:  # noqa: BLE001  a defect met by one statement must not touch the others
            if len(items) == 1:
                _log.exception("a statement cannot be appended")
                return [Failed(error)]
            middle = len(items) // 2
            first = await self._settle(items[:middle])
            return [*first, *await self._settle(items[middle:])]


def _weight(item: Submitted) -> int:
    """How many deliveries and pieces a statement looks at."""
    statement = item.statement
    if isinstance(statement, ReceiptStatement):
        return len(statement.receipt.items)
    return len(item.enclosed.rows) + sum(map(len, item.enclosed.pieces))
