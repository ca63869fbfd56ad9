"""The verification queue: bounded, fair by source, urgent first within a source only."""

import asyncio
import threading

import pytest

from countermark_broker.errors import OverloadedError, UnavailableError
from countermark_broker.log.verifier import Source, Verifier

FLOOD, VICTIM, THIRD = Source("192.0.2.66"), Source("198.51.100.7"), Source("2001:db8::/64")


class Stage:
    """One thread, held at a gate, so that what comes meanwhile must queue; and the order in which it then ran."""

    def __init__(self, most, most_each=None):
        self.verifier = Verifier(1, most, most_each)
        self.gate = threading.Event()
        self.order = []
        self.tasks = []

    async def hold(self):
        self.ask("held", FLOOD, check=self.gate.wait)
        await asyncio.sleep(0)
        assert self.verifier.waiting == 0

    def ask(self, name, source, *, urgent=False, check=None):
        work = check or (lambda: self.order.append(name))
        task = asyncio.create_task(self.verifier.run(work, source=source, urgent=urgent), name=name)
        self.tasks.append(task)
        return task

    async def finish(self):
        self.gate.set()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        self.verifier.close()
        assert self.verifier.waiting == self.verifier.sources == 0
        return results


async def test_results_and_errors_come_back_to_who_asked():
    verifier = Verifier(2, 100)
    results = await asyncio.gather(*(verifier.run(lambda n=n: n * n) for n in range(50)))
    assert results == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        await verifier.run(lambda: 1 / 0)
    many = await verifier.run_many([lambda: 1, lambda: 1 / 0, lambda: 3])
    assert (many[0], type(many[1]), many[2]) == (1, ZeroDivisionError, 3)
    assert await verifier.run_many([]) == []
    with pytest.raises(ValueError, match="at most 100"):
        await verifier.run_many([lambda: 1] * 101)
    verifier.close()


async def test_a_source_is_bounded():
    stage = Stage(10, 2)
    await stage.hold()
    stage.ask("a", FLOOD), stage.ask("b", FLOOD)
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as caught:
        await stage.verifier.run(lambda: None, source=FLOOD)
    assert caught.value.code == "too_much_unverified"
    stage.ask("c", VICTIM)
    await stage.finish()
    assert sorted(stage.order) == ["a", "b", "c"]


async def test_a_flood_is_passed_by_who_has_little_waiting():
    stage = Stage(100)
    await stage.hold()
    for n in range(50):
        stage.ask(f"flood {n}", FLOOD)
    await asyncio.sleep(0)
    stage.ask("victim", VICTIM), stage.ask("third", THIRD)
    await stage.finish()
    assert stage.order.index("victim") <= 2
    assert stage.order.index("third") <= 3
    assert len(stage.order) == 52


async def test_a_full_queue_makes_room_at_the_cost_of_who_fills_it():
    stage = Stage(4)
    await stage.hold()
    flood = [stage.ask(f"flood {n}", FLOOD) for n in range(4)]
    await asyncio.sleep(0)
    victim = stage.ask("victim", VICTIM)
    await asyncio.sleep(0)
    assert stage.verifier.waiting == 4
    with pytest.raises(OverloadedError) as caught:
        await flood[3]
    assert caught.value.code == "overloaded"
    # The flood itself gets no room by this.
    with pytest.raises(OverloadedError):
        await stage.verifier.run(lambda: None, source=FLOOD)
    await stage.finish()
    assert victim.exception() is None
    assert stage.order == ["flood 0", "victim", "flood 1", "flood 2"]


async def test_a_full_queue_of_equals_refuses_the_newcomer():
    stage = Stage(3)
    await stage.hold()
    for n in range(3):
        stage.ask(str(n), Source(str(n)))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await stage.verifier.run(lambda: None, source=VICTIM)
    await stage.finish()
    assert stage.order == ["0", "1", "2"]


async def test_unverified_urgency_passes_nobody_else():
    stage = Stage(100)
    await stage.hold()
    stage.ask("own routine", FLOOD)
    for n in range(20):
        stage.ask(f"urgent {n}", FLOOD, urgent=True)
    stage.ask("victim's routine", VICTIM)
    await stage.finish()
    assert stage.order.index("victim's routine") <= 1
    # Within the source urgent goes first, and routine is not starved.
    assert stage.order.index("urgent 0") < stage.order.index("own routine") <= 4


async def test_a_batch_takes_turns_like_everybody():
    stage = Stage(100, 50)
    await stage.hold()
    checks = [lambda n=n: stage.order.append(n) for n in range(40)]
    batch = asyncio.create_task(stage.verifier.run_many(checks, source=FLOOD))
    stage.tasks.append(batch)
    await asyncio.sleep(0)
    stage.ask("victim", VICTIM)
    await stage.finish()
    assert stage.order.index("victim") <= 1
    assert [one for one in stage.order if one != "victim"] == list(range(40))


async def test_a_batch_waits_for_room_instead_of_being_refused():
    stage = Stage(100, 10)
    await stage.hold()
    batches = [
        asyncio.create_task(stage.verifier.run_many([lambda k=k: k] * 8, source=FLOOD)) for k in range(5)
    ]
    await asyncio.sleep(0)
    # The first, and of the second what fits.
    waiting = stage.verifier.waiting
    stage.gate.set()
    assert waiting == 10
    assert await asyncio.gather(*batches) == [[k] * 8 for k in range(5)]
    await stage.finish()


async def test_a_batch_gets_on_beside_a_flood_from_many_sources():
    """None of them has much waiting, so that there is never room for all of the batch at once."""
    stage = Stage(40, 10)
    await stage.hold()
    floods = [stage.ask("flood", Source(f"192.0.2.{n}")) for n in range(20) for _ in range(2)]
    await asyncio.sleep(0)
    batch = asyncio.create_task(stage.verifier.run_many([lambda k=k: k for k in range(10)], source=VICTIM))
    stage.tasks.append(batch)
    for _ in range(3):
        await asyncio.sleep(0)
    begun = stage.verifier.sources
    stage.gate.set()
    assert begun == 21
    assert await batch == list(range(10))
    await stage.finish()
    # It took the place of one, as anybody with less waiting would.
    assert sum(task.exception() is not None for task in floods) == 1


async def test_what_a_batch_has_waiting_makes_room_one_by_one_and_waits_again():
    stage = Stage(12, 10)
    await stage.hold()
    batch = asyncio.create_task(stage.verifier.run_many([lambda k=k: k for k in range(10)], source=FLOOD))
    stage.tasks.append(batch)
    await asyncio.sleep(0)
    others = [stage.ask(f"other {n}", Source(f"192.0.2.{n}")) for n in range(6)]
    for _ in range(3):
        await asyncio.sleep(0)
    waiting = stage.verifier.waiting
    await stage.finish()
    assert waiting == 12
    # Nothing is lost of it, nor out of order.
    assert batch.result() == list(range(10))
    assert [task.exception() for task in others] == [None] * 6


async def test_who_has_gone_away_is_not_verified():
    stage = Stage(100)
    await stage.hold()
    gone = [stage.ask(f"gone {n}", FLOOD) for n in range(5)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    stage.ask("victim", VICTIM)
    await stage.finish()
    assert stage.order == ["victim"]


async def test_a_batch_finds_room_in_a_queue_that_few_sources_have_filled():
    stage = Stage(40, 10)
    await stage.hold()
    floods = [stage.ask("flood", Source(f"192.0.2.{n}")) for n in range(4) for _ in range(10)]
    await asyncio.sleep(0)
    batch = asyncio.create_task(stage.verifier.run_many([lambda: "mine"] * 8, source=VICTIM))
    stage.tasks.append(batch)
    for _ in range(3):
        await asyncio.sleep(0)
    assert stage.verifier.waiting == 40
    # As many from each, the newest first.
    assert [task.done() for task in floods] == ([False] * 8 + [True] * 2) * 4
    await stage.finish()
    assert batch.result() == ["mine"] * 8


async def test_once_closed_nobody_waits_for_ever():
    stage = Stage(10, 4)
    await stage.hold()
    stage.tasks += [
        asyncio.create_task(stage.verifier.run_many([lambda: None] * 4, source=VICTIM)) for _ in range(2)
    ]
    await asyncio.sleep(0)
    threading.Timer(0.05, stage.gate.set).start()
    stage.verifier.close()
    results = await asyncio.gather(*stage.tasks[1:], return_exceptions=True)
    assert [error.code for error in results] == ["stopping"] * 2
    with pytest.raises(UnavailableError):
        await stage.verifier.run(lambda: None, source=THIRD)
    await stage.finish()
