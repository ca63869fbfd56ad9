"""The queue for the lock: who is refused, who waits, and for whom there is room."""

import asyncio
from types import SimpleNamespace

import pytest

from countermark_broker.errors import OverloadedError
from countermark_broker.log.sequencer import Sequencer
from countermark_protocol.statements import DirectoryChange

MOST = 8


def urgent():
    return SimpleNamespace(statement=DirectoryChange(None, None))


def routine():
    return SimpleNamespace(statement=None)


class Stopped:
    """A sequencer that commits nothing: what it is given waits."""

    def __init__(self):
        health = SimpleNamespace(check_appends=lambda: None)
        self.sequencer = Sequencer(
            appender=None,
            publisher=None,
            database=None,
            tree=None,
            health=health,
            observer=None,
            max_group=MOST,
            max_group_recipients=MOST,
            max_waiting=MOST,
        )
        self._tasks = []

    async def submit(self, item):
        """Submit; what it is refused with, None if it waits."""
        task = asyncio.create_task(self.sequencer.submit(item))
        self._tasks.append(task)
        await asyncio.sleep(0)
        return task.exception() if task.done() else None

    async def stream(self, count):
        """Submit a part of a stream; whether it found room."""
        task = asyncio.create_task(self.sequencer.submit_many([routine()] * count))
        self._tasks.append(task)
        await asyncio.sleep(0)
        return task.done()

    async def end(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sequencer.stop()


@pytest.fixture
async def stopped():
    stopped = Stopped()
    yield stopped
    await stopped.end()


async def test_what_goes_first_is_not_shut_out_by_what_does_not(stopped):
    for _ in range(MOST):
        assert await stopped.submit(routine()) is None
    assert isinstance(await stopped.submit(routine()), OverloadedError)
    for _ in range(MOST):
        assert await stopped.submit(urgent()) is None
    error = await stopped.submit(urgent())
    assert isinstance(error, OverloadedError)
    assert error.code == "overloaded"


async def test_streams_leave_a_quarter_to_who_is_not_a_stream(stopped):
    assert await stopped.stream(MOST * 3 // 4)
    assert not await stopped.stream(1)
    for _ in range(MOST // 4):
        assert await stopped.submit(routine()) is None
    assert isinstance(await stopped.submit(routine()), OverloadedError)
