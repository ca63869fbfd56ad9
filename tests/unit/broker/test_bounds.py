"""What is bounded: listeners, verifying, waiting, bodies."""

import asyncio
import threading

import pytest

from countermark_broker.api.body import BodyBudget
from countermark_broker.errors import OverloadedError
from countermark_broker.log.verifier import Verifier
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


async def test_verifying_is_bounded():
    verifier, gate = Verifier(1, 2), threading.Event()
    tasks = [asyncio.create_task(verifier.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await verifier.run(lambda: None)
    gate.set()
    assert await asyncio.gather(*tasks) == [True, True]
    assert await verifier.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await verifier.run(lambda: 1 / 0)
    verifier.close()


class FakeRequest:
    def __init__(self, parts, **headers):
        self.parts, self.headers, self.read = parts, headers, 0

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
    budget = BodyBudget(10)
    for _ in range(3):
        async with budget.body_of(FakeRequest([b"x" * 8]), 8):
            with pytest.raises(OverloadedError):
                async with budget.body_of(FakeRequest([b"x" * 8]), 8):
                    pass
