"""What is bounded: listeners and bodies."""

import asyncio

import pytest

from countermark_broker.api.body import BodyBudget
from countermark_broker.api.limits import OpenReads, Slot
from countermark_broker.errors import OverloadedError
from countermark_broker.log.verifier import Source
from countermark_broker.services.listeners import Listeners
from countermark_protocol.boxes import Box
from countermark_protocol.errors import MalformedError
from support.world import KAMPALA, LYON

PLACE = (KAMPALA, Box.URGENT)


def test_listeners_are_woken_for_their_own_box_only():
    listeners = Listeners(10)
    with listeners.waiting(PLACE) as mine, listeners.waiting((LYON, Box.URGENT)) as other:
        listeners.wake({PLACE, (KAMPALA, Box.SENT)})
        assert mine.is_set()
        assert not other.is_set()
        assert listeners.count == 2
    assert listeners.count == 0
    assert listeners.places == frozenset()


def test_listeners_are_bounded_and_end():
    listeners = Listeners(1)
    with listeners.waiting(PLACE) as event:
        with pytest.raises(OverloadedError), listeners.waiting(PLACE):
            pass
        listeners.end()
        assert event.is_set()
    with listeners.waiting(PLACE) as event:
        assert event.is_set()


class FakeRequest:
    def __init__(self, parts, source="192.0.2.1", **headers):
        self.parts, self.headers, self.read = parts, headers, 0
        self.scope = {"state": {"slot": Slot(None, Source(source))}}

    async def stream(self):
        for part in self.parts:
            self.read += len(part)
            yield part


async def test_bodies_are_bounded_while_they_stream():
    budget = BodyBudget(100)
    async with budget.body_of(FakeRequest([b"abc", b"", b"def"]), 6) as body:
        assert body == b"abcdef"
    endless = FakeRequest([b"x" * 10] * 1000)
    with pytest.raises(MalformedError) as caught:
        async with budget.body_of(endless, 25):
            pass
    assert caught.value.code == "oversized_body"
    assert endless.read == 30
    declared = FakeRequest([b"x"], **{"content-length": "26"})
    with pytest.raises(MalformedError):
        async with budget.body_of(declared, 25):
            pass
    assert declared.read == 0


async def test_all_bodies_together_are_bounded_and_given_back():
    budget = BodyBudget(16)
    for _ in range(3):
        async with budget.body_of(FakeRequest([b"x" * 8]), 8):
            with pytest.raises(OverloadedError) as caught:
                async with budget.body_of(FakeRequest([b"x" * 8], "192.0.2.2"), 8):
                    pass
            assert caught.value.code == "overloaded"


async def test_one_source_cannot_hold_the_memory_of_all():
    budget = BodyBudget(100, most_each=10)
    async with budget.body_of(FakeRequest([b"x" * 8]), 50):
        with pytest.raises(OverloadedError) as caught:
            async with budget.body_of(FakeRequest([b"x" * 8]), 50):
                pass
        assert caught.value.code == "too_much_body"
        async with budget.body_of(FakeRequest([b"x" * 8], "192.0.2.2"), 50) as body:
            assert len(body) == 8
    # Given back: by those that were refused, too.
    async with budget.body_of(FakeRequest([b"x" * 10]), 50):
        pass


@pytest.mark.parametrize("hogs", [1, 2, 4, 9])
def test_however_many_sources_take_what_they_can_as_much_is_left_for_another(hogs):
    budget = BodyBudget(1000)
    sources = [Source(f"192.0.2.{n}") for n in range(hogs)]
    taken = dict.fromkeys(sources, 0)
    hungry = set(sources)
    while hungry:
        for source in sorted(hungry):
            try:
                budget.take(source, 1)
                taken[source] += 1
            except OverloadedError:
                budget.give_back(source, 1)
                hungry.discard(source)
    left = 1000 - sum(taken.values())
    assert left >= 1000 // (hogs + 1)
    # Of which a newcomer gets half at once, whatever they try.
    budget.take(Source("198.51.100.7"), left // 2)


async def test_open_reads_leave_connections_to_others_and_sources_take_turns():
    reads, release = OpenReads(8), asyncio.Event()
    reading = []

    async def read(source):
        async with reads.turn(FakeRequest([], source)):
            reading.append(source)
            await release.wait()

    tasks = [asyncio.create_task(read("192.0.2.1")) for _ in range(9)]
    tasks += [asyncio.create_task(read("192.0.2.2")) for _ in range(2)]
    await asyncio.sleep(0)
    # Two of eight connections; the rest waits.
    assert reading == ["192.0.2.1"] * 2
    # Some do not wait any longer, and one has its turn at that very moment.
    tasks[2].cancel(), tasks[3].cancel()
    release.set()
    await asyncio.sleep(0)
    tasks[4].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [False] * 2 + [True] * 3 + [False] * 6
    assert reading[2:6].count("192.0.2.2") == 2
    # All is given back.
    assert (reads._free, len(reads._waiting)) == (2, 0)
