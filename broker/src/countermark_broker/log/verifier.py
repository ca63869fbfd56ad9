"""Verifying signatures beside the event loop, in a bounded queue that is fair by where work comes from.

Verification releases the interpreter lock, so threads use all processors. Whoever sends forgeries gets a share
of them like everybody else, and no more: sources take turns, one check at a time. What does not fit is refused
at once, so that forgeries cannot make memory grow.

Nothing here believes a manifest: `urgent` moves a check before others of the *same* source only. Across
sources urgency counts once a signature is verified, in the sequencer's queue.

Source: design section 5, "Order of checks"; docs/operations/limits.md §3.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, NewType, TypeVar

from countermark_broker.errors import BrokerError, OverloadedError, UnavailableError
from countermark_broker.log.waiting import WaitingQueue

T = TypeVar("T")

#: Where work comes from: a network address, or a /64 of IPv6; never an endpoint's address.
Source = NewType("Source", str)
#: What this node asks of itself.
OWN_WORK: Final = Source("own work")

#: Checks that a thread takes at once: one hand-over costs about as much as one signature.
_MOST_AT_ONCE: Final = 16
#: s that a check lets a commit of this process go first.
_MOST_WAIT_S: Final = 0.05


class _Job(Generic[T]):
    """Checks that are answered together; taken from the front, dropped from the back, one by one.

    Attributes:
        dropped: numbers of the checks that were dropped; what they are answered with is why.
    """

    __slots__ = ("_end", "_left", "_results", "_taken", "checks", "dropped", "future", "source")

    def __init__(self, checks: Sequence[Callable[[], T]], source: Source) -> None:
        self.checks = checks
        self.source = source
        self.future: asyncio.Future[list[T | Exception]] = asyncio.get_running_loop().create_future()
        self.dropped: list[int] = []
        self._taken = 0
        self._end = self._left = len(checks)
        self._results: list[Any] = [None] * len(checks)

    @property
    def waiting(self) -> int:
        """Checks that no thread has taken."""
        return self._end - self._taken

    def take(self) -> int:
        """Number of the next check."""
        self._taken += 1
        return self._taken - 1

    def drop(self, error: BrokerError) -> None:
        """Refuse the last check that waits."""
        self._end -= 1
        self.dropped.append(self._end)
        self.answer(self._end, error)

    def answer(self, number: int, result: T | Exception) -> None:
        """One check has ended; with the last, the job has."""
        self._results[number] = result
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(self._results)


class _Turn:
    """What waits of one source."""

    __slots__ = ("checks", "jobs")

    def __init__(self) -> None:
        self.jobs: WaitingQueue[_Job[Any]] = WaitingQueue()
        self.checks = 0


def free_way() -> threading.Event:
    """An event that holds nobody up."""
    way = threading.Event()
    way.set()
    return way


class Verifier:
    """Runs checks in threads.

    Args:
        threads: how many.
        most_waiting: checks that may wait, of all sources together.
        most_each: checks that may wait of one source; None: all.
        way: cleared while a group is committed under the lock: whoever holds up all nodes goes first.
    """

    def __init__(
        self,
        threads: int,
        most_waiting: int,
        most_each: int | None = None,
        way: threading.Event | None = None,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._threads = threads
        self._way = way or free_way()
        self._most = most_waiting
        self._most_each = min(most_waiting, most_each or most_waiting)
        # In the order of their turns. A source is here only while it has something waiting.
        self._turns: OrderedDict[Source, _Turn] = OrderedDict()
        self._waiting = 0
        self._running = 0
        self._closed = False
        self._room: dict[Source, asyncio.Event] = {}

    @property
    def waiting(self) -> int:
        """Checks that no thread has taken."""
        return self._waiting

    @property
    def sources(self) -> int:
        """Sources of which something waits."""
        return len(self._turns)

    async def run(self, check: Callable[[], T], *, source: Source = OWN_WORK, urgent: bool = False) -> T:
        """The result of `check`, or what it raises.

        Args:
            check: runs in a thread.
            source: whose turn it takes.
            urgent: before other checks of the same source.

        Raises:
            OverloadedError: ``too_much_unverified``: too much of this source waits; ``overloaded``: too much of
                everybody does, and nobody has more waiting than this source.
        """
        self._admit(source, 1)
        (result,) = await self._start(_Job([check], source), urgent)
        if isinstance(result, Exception):
            raise result
        return result

    async def run_many(
        self, checks: Sequence[Callable[[], T]], *, source: Source = OWN_WORK, urgent: bool = False
    ) -> list[T | Exception]:
        """The result of each check, or what it raised, in order; waits for room instead of refusing.

        For a caller that reads a stream and can hold it back. Its checks wait for their turns like others; as many
        as there is room for now, then the rest: beside a flood from many sources there is never room for all.

        Args:
            checks: run in threads; at most as many as may wait of one source.
            source: whose turns they take.
            urgent: before other checks of the same source.

        Raises:
            UnavailableError: this node stops.
            ValueError: more checks than may ever wait.
        """
        if len(checks) > self._most_each:
            msg = f"expected at most {self._most_each} checks at once, got {len(checks)}"
            raise ValueError(msg)
        results: list[Any] = [None] * len(checks)
        left = list(range(len(checks)))
        while left:
            while not (fit := self._fitting(source, len(left))):
                await self._room.setdefault(source, asyncio.Event()).wait()
            self._admit(source, fit)
            part, left = left[:fit], left[fit:]
            job: _Job[T] = _Job([checks[number] for number in part], source)
            found = await self._start(job, urgent)
            for number, result in zip(part, found, strict=True):
                results[number] = result
            # Others with less waiting came and took their room.
            left = sorted(part[at] for at in job.dropped) + left
        return results

    def close(self) -> None:
        """Let the threads end what they have begun, and refuse what waits."""
        self._closed = True
        for turn in list(self._turns.values()):
            while turn.checks:
                self._drop(turn, _stopping())
        self._pool.shutdown(wait=True)

    def _fitting(self, source: Source, checks: int) -> int:
        """How many of so many checks fit now, to within a half; 0: not one."""
        while checks and not self._has_room(source, checks):
            checks //= 2
        return checks

    def _has_room(self, source: Source, checks: int) -> bool:
        """Whether checks fit, if need be in place of sources that would still have no less waiting."""
        if self._closed:
            # So that `_start` refuses them.
            return True
        turn = self._turns.get(source)
        mine = (turn.checks if turn is not None else 0) + checks
        if mine > self._most_each:
            return False
        # What the others have beyond this source's part can make room.
        beyond = sum(max(0, other.checks - mine) for other in self._turns.values())
        return self._waiting + checks - beyond <= self._most

    def _admit(self, source: Source, checks: int) -> None:
        turn = self._turns.get(source)
        mine = turn.checks if turn is not None else 0
        if mine + checks > self._most_each and source != OWN_WORK:
            raise OverloadedError(
                "too_much_unverified", "too many signatures from your network address wait to be verified"
            )
        while self._waiting + checks > self._most:
            most = max(self._turns.values(), key=lambda turn: turn.checks)
            if most.checks <= mine + checks:
                raise OverloadedError("overloaded", "too many signatures wait to be verified")
            # Room for one that has less waiting.
            self._drop(most, OverloadedError("overloaded", "too many signatures wait to be verified"))

    def _drop(self, turn: _Turn, error: BrokerError) -> None:
        """Refuse the newest check of a source."""
        job = turn.jobs.newest()
        job.drop(error)
        if not job.waiting:
            turn.jobs.drop_newest()
        self._forget(turn, job, 1)

    async def _start(self, job: _Job[T], urgent: bool) -> list[T | Exception]:
        if self._closed:
            raise _stopping()
        turn = self._turns.setdefault(job.source, _Turn())
        turn.jobs.put(job, first=urgent)
        turn.checks += job.waiting
        self._waiting += job.waiting
        self._hand_over()
        return await job.future

    def _forget(self, turn: _Turn, job: _Job[Any], checks: int) -> None:
        turn.checks -= checks
        self._waiting -= checks
        if not turn.checks:
            self._turns.pop(job.source, None)
        # Whoever waits for room looks again; there is none too many who do, since each holds a request.
        for event in self._room.values():
            event.set()
        self._room.clear()

    def _hand_over(self) -> None:
        while self._running < self._threads and self._waiting and not self._closed:
            # No more than a fair part, else one thread would work while another sleeps.
            most = min(_MOST_AT_ONCE, -(-self._waiting // self._threads))
            batch = [one for one in (self._take() for _ in range(most)) if one is not None]
            if not batch:
                continue
            work = self._pool.submit(_run, self._way, [job.checks[number] for job, number in batch])
            self._running += 1
            work.add_done_callback(partial(self._hand_back, asyncio.get_running_loop(), batch))

    def _take(self) -> tuple[_Job[Any], int] | None:
        """The next check, of the source whose turn it is; None if nobody waits for it any more."""
        if not self._turns:
            return None
        source, turn = next(iter(self._turns.items()))
        self._turns.move_to_end(source)
        job = turn.jobs.peek()
        if job.future.done():
            turn.jobs.take()
            self._forget(turn, job, job.waiting)
            return None
        number = job.take()
        if not job.waiting:
            turn.jobs.take()
        self._forget(turn, job, 1)
        return job, number

    def _hand_back(
        self, loop: asyncio.AbstractEventLoop, batch: list[tuple[_Job[Any], int]], work: Future[list[Any]]
    ) -> None:
        # In the thread that has done the work.
        loop.call_soon_threadsafe(self._done, batch, work)

    def _done(self, batch: list[tuple[_Job[Any], int]], work: Future[list[Any]]) -> None:
        self._running -= 1
        for (job, number), result in zip(batch, work.result(), strict=True):
            job.answer(number, result)
        self._hand_over()


def _run(way: threading.Event, checks: list[Callable[[], Any]]) -> list[Any]:
    results: list[Any] = []
    for check in checks:
        # Only so long: a commit may wait for a standby, and nobody should wait for that who need not.
        way.wait(_MOST_WAIT_S)
        try:
            results.append(check())
        except Exception as error:  # noqa: BLE001  raised where the check is waited for
            results.append(error)
    return results


def _stopping() -> UnavailableError:
    return UnavailableError("stopping", "this node is stopping: send the same bytes to another one")
