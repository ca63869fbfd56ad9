"""Group commit: whatever has arrived meanwhile is one group; refusing one never touches the others.

One statement and ten thousand take the same way, and so does recovery: a group whose commit has an unknown
outcome is simply committed again, and what was stored comes back as already logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from countermark_broker.errors import FatalError, OverloadedError, UnavailableError
from countermark_broker.log.appender import Appender, Failed, Outcome, Submitted
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
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
        health: whether this node may go on.
        observer: told of commits.
        max_group: statements in a group.
        max_group_recipients: recipients of messages and items of receipts in a group of more than one.
        max_waiting: statements that may wait.
    """

    def __init__(
        self,
        *,
        appender: Appender,
        publisher: Publisher,
        health: Health,
        observer: CommitObserver,
        max_group: int,
        max_group_recipients: int,
        max_waiting: int,
    ) -> None:
        self._appender = appender
        self._publisher = publisher
        self._health = health
        self._observer = observer
        self._max_group = max_group
        self._max_group_recipients = max_group_recipients
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def start(self) -> None:
        """Begin to take statements."""
        self._task = asyncio.create_task(self._run(), name="sequencer")

    async def stop(self) -> None:
        """Finish what was taken, then end."""
        self._ending = True
        self._arrived.set()
        if self._task is not None:
            await self._task

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
        self._health.check()
        if self._ending:
            raise UnavailableError("stopping", "this node is stopping: send the same bytes to another one")
        if len(self._queue) >= self._max_waiting:
            raise OverloadedError("overloaded", "too many statements wait for a commit")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, future))
        self._arrived.set()
        outcome = await future
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._commit(self._take())
            if self._ending:
                return

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        recipients = 0
        while self._queue and len(group) < self._max_group:
            recipients += _weight(self._queue[0].item)
            if group and recipients > self._max_group_recipients:
                break
            group.append(self._queue.popleft())
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            self._health.check_fatal()
            outcomes = await self._settle([w.item for w in group])
            # Refusals wait as well: an account may not name a size beyond the published one.
            await self._publisher.advance()
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

    async def _settle(self, items: list[Submitted], *, again: bool = True) -> list[Outcome]:
        """Commit a group; split it until whatever the database refuses stands alone."""
        try:
            return await self._appender.commit(items)
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
    """How many deliveries a statement looks at."""
    statement = item.statement
    return (
        len(statement.receipt.items) if isinstance(statement, ReceiptStatement) else len(item.enclosed.rows)
    )
