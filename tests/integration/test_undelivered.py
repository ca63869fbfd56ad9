"""Messages nobody collects: one notice per (message, recipient), on any number of nodes, never our own fault."""

import asyncio
import errno

import pytest
from sqlalchemy import update

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.node import Caller
from countermark_broker.services.undelivered import beat_once, keep_watch, notify_once
from countermark_broker.store.heartbeat import read_beat
from countermark_broker.store.reading import read_box, read_due
from countermark_broker.store.tables import heartbeat
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import parse_undelivered
from support.broker_fixtures import found, running, write_home
from support.short_lived import accept_expired, accept_short_lived
from support.world import BRUSSELS, KAMPALA, NAIROBI, World, now_ms

HOUR = 3_600_000


def age_beats(connection, milliseconds):
    """As if the last beat were so long ago: nobody waits hours in a test."""
    connection.execute(
        update(heartbeat).values(
            last=heartbeat.c.last - milliseconds, gap_end=heartbeat.c.gap_end - milliseconds
        )
    )


@pytest.fixture
async def short(tmp_path, empty_database):
    """A world whose grace is nothing, and a broker that keeps no watch by itself."""
    world = World(grace_ms=0)
    home = write_home(
        world, tmp_path / "home", heartbeat_ms=HOUR, heartbeat_gap_ms=2 * HOUR, database_url=empty_database
    )
    await found(world, home)
    return world, home


async def notices(node, address=NAIROBI):
    size = node.publisher.published.size
    records = await node.database.read(read_box, address, Box.NOTICES, 0, 500, size)
    every = [parse_document(r.document).claims for r in records]
    return [parse_undelivered(claims) for claims in every if claims["kind"] == "undelivered"]


async def test_exactly_one_notice_each_on_two_nodes(short):
    world, home = short
    async with running(world, home) as one, running(world, home) as two:
        sealed = await accept_expired(world, one.node, [KAMPALA, BRUSSELS])
        await two.node.publisher.advance()
        made = await asyncio.gather(*(notify_once(b.node) for b in (one, two) for _ in range(3)))
        assert sum(made) == 2
        assert await notify_once(two.node) == 0
        await one.node.publisher.advance()
        found_notices = await notices(one.node)
        assert sorted(n.recipient for n in found_notices) == [BRUSSELS, KAMPALA]
        assert {n.message for n in found_notices} == {sealed.payload_hash}


async def test_a_receipt_in_time_prevents_it_and_a_late_one_still_releases(short):
    world, home = short
    async with running(world, home) as broker:
        sealed = await accept_expired(world, broker.node, [KAMPALA, BRUSSELS])
        # Late, but before the notice: it prevents the notice.
        answer = await accept_receipt(
            broker.node, world.receipt(KAMPALA, [sealed]), Caller(KAMPALA, bytes(32))
        )
        assert answer.accepted.releases
        assert await notify_once(broker.node) == 1
        (notice,) = await notices(broker.node)
        assert notice.recipient == BRUSSELS
        assert notice.message == sealed.payload_hash
        late = await accept_receipt(
            broker.node, world.receipt(BRUSSELS, [sealed]), Caller(BRUSSELS, bytes(32))
        )
        assert late.accepted.releases


async def test_nothing_is_due_before_expiry(short):
    world, home = short
    async with running(world, home) as broker:
        await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert await notify_once(broker.node) == 0


async def test_grace_runs_from_the_end_of_the_brokers_own_absence(tmp_path, empty_database):
    world = World(grace_ms=3_600_000)
    home = write_home(
        world,
        tmp_path / "home",
        heartbeat_ms=HOUR,
        heartbeat_gap_ms=2 * HOUR,
        database_url=empty_database,
    )
    await found(world, home)
    async with running(world, home) as broker:
        first = await broker.node.database.read(read_beat)
        await broker.node.database.write(age_beats, 3 * HOUR)
        await beat_once(broker.node)
        second = await broker.node.database.read(read_beat)
        # Not the first beat's, which now lies hours back: the absence has just ended.
        assert second.gap_end >= first.last
        # Due by its own expiry, long ago; but the broker has only just come back.
        sealed = await accept_short_lived(world, broker.node, [KAMPALA])
        due = await broker.node.database.read(read_due, now_ms() + 3_600_000, 10, 10**6)
        assert [d.payload_hash for d in due] == [sealed.payload_hash]
        assert await notify_once(broker.node) == 0
        assert await notices(broker.node) == []


class MovableClock:
    """A node's clock, so many milliseconds wrong."""

    off = 0

    def now_ms(self):
        return now_ms() + self.off


@pytest.fixture
def outage(request, monkeypatch):
    """What begins or ends an outage in which a node runs, and yet can take nothing."""

    def clock(broker, away):
        broker.node.clock.off = HOUR if away else 0

    def store(broker, away):
        def load():
            raise OSError(errno.EIO, "the store is away")

        if away:
            monkeypatch.setattr(broker.node.store, "load", load)
        else:
            monkeypatch.undo()

    return {"clock_differs": clock, "store_unavailable": store}[request.param]


async def still(broker):
    """Without the watch's own beats; the last there was."""
    for task in broker._tasks:
        if task.get_name() == "watch":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    await beat_once(broker.node)
    return await broker.node.database.read(read_beat)


async def refusal_of(node, world, sealed):
    with pytest.raises(UnavailableError) as caught:
        await accept_receipt(node, world.receipt(KAMPALA, [sealed]), Caller(KAMPALA, bytes(32)))
    return caught.value.code


@pytest.mark.parametrize("outage", ["clock_differs", "store_unavailable"], indirect=True)
async def test_grace_runs_from_the_end_of_an_outage_in_which_a_node_still_ran(
    tmp_path, empty_database, outage
):
    """A recipient that could not post its receipt for hours must get its grace once it can."""
    grace = 700
    world = World(grace_ms=grace)
    home = write_home(
        world, tmp_path / "home", heartbeat_ms=50, heartbeat_gap_ms=300, database_url=empty_database
    )
    await found(world, home)
    async with running(world, home, clock=MovableClock()) as broker:
        await accept_short_lived(world, broker.node, [KAMPALA])
        outage(broker, away=True)
        began = await broker.node.database.read(read_beat)
        # Well beyond expiry and grace: without the outage the notice would have come.
        await asyncio.sleep(2)
        outage(broker, away=False)
        ended = now_ms()
        assert ended > began.last + 300
        while not await notices(broker.node):
            await asyncio.sleep(0.02)
        (record,) = await broker.node.database.read(
            read_box, NAIROBI, Box.NOTICES, 0, 10, broker.node.publisher.published.size
        )
        assert record.parsed_leaf().time >= ended + grace


@pytest.mark.parametrize("outage", ["clock_differs", "store_unavailable"], indirect=True)
async def test_who_could_take_no_receipt_does_not_beat(tmp_path, empty_database, outage):
    world = World(grace_ms=HOUR)
    home = write_home(
        world, tmp_path / "home", heartbeat_ms=HOUR, heartbeat_gap_ms=2 * HOUR, database_url=empty_database
    )
    await found(world, home)
    async with running(world, home, clock=MovableClock()) as broker:
        sealed = world.message(NAIROBI, [KAMPALA])
        await accept_message(broker.node, sealed.data)
        before = await still(broker)
        outage(broker, away=True)
        with pytest.raises(UnavailableError) as caught:
            await beat_once(broker.node)
        assert caught.value.code == await refusal_of(broker.node, world, sealed)
        assert await broker.node.database.read(read_beat) == before


async def test_a_fatal_finding_ends_heartbeat_and_notices(short):
    world, home = short
    async with running(world, home) as broker:
        before = await still(broker)
        broker.node.health.fail(FatalError("frontier_differs", "found by a test", "look"))
        with pytest.raises(UnavailableError, match="stopped appending"):
            await beat_once(broker.node)
        await keep_watch(broker.node)
        assert await broker.node.database.read(read_beat) == before


async def test_a_node_with_a_wrong_clock_starts_and_does_not_beat(short):
    """It serves what is published, and says why it takes nothing."""
    world, home = short
    clock = MovableClock()
    clock.off = HOUR
    async with running(world, home, clock=clock) as broker:
        assert await broker.node.database.read(read_beat) is None


async def test_the_watch_does_it_by_itself(tmp_path, empty_database):
    world = World(grace_ms=0)
    home = write_home(world, tmp_path / "home", heartbeat_ms=50, database_url=empty_database)
    await found(world, home)
    async with running(world, home) as broker:
        sealed = await accept_expired(world, broker.node, [KAMPALA])
        while not (found_notices := await notices(broker.node)):
            await asyncio.sleep(0.02)
        assert [n.message for n in found_notices] == [sealed.payload_hash]
