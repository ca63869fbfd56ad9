"""Messages nobody collects: one notice per (message, recipient), on any number of nodes, never our own fault."""

import asyncio

import pytest

from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.node import Caller
from countermark_broker.services.undelivered import beat_once, notify_once
from countermark_broker.store.heartbeat import read_beat
from countermark_broker.store.reading import read_box, read_due
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import parse_undelivered
from support.broker_fixtures import found, running, write_home
from support.world import BRUSSELS, KAMPALA, NAIROBI, World, now_ms


@pytest.fixture
async def short(tmp_path):
    """A world whose grace is nothing, and a broker that keeps no watch by itself."""
    world = World(grace_ms=0)
    home = write_home(world, tmp_path / "home", heartbeat_ms=3_600_000)
    await found(world, home)
    return world, home


async def notices(node, address=NAIROBI):
    async with node.database.read() as connection:
        records = await read_box(connection, address, Box.NOTICES, 0, 500, node.publisher.published.size)
    every = [parse_document(r.document).claims for r in records]
    return [parse_undelivered(claims) for claims in every if claims["kind"] == "undelivered"]


async def expire(world, node, recipients):
    sealed = world.message(NAIROBI, recipients, expires_at=now_ms() + 400)
    await accept_message(node, sealed.data)
    while now_ms() <= sealed.manifest.expires_at:
        await asyncio.sleep(0.02)
    return sealed


async def test_exactly_one_notice_each_on_two_nodes(short):
    world, home = short
    async with running(world, home) as one, running(world, home) as two:
        sealed = await expire(world, one.node, [KAMPALA, BRUSSELS])
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
        sealed = await expire(world, broker.node, [KAMPALA, BRUSSELS])
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


async def test_grace_runs_from_the_end_of_the_brokers_own_absence(tmp_path):
    world = World(grace_ms=3_600_000)
    home = write_home(world, tmp_path / "home", heartbeat_ms=3_600_000, heartbeat_gap_ms=20)
    await found(world, home)
    async with running(world, home) as broker:
        async with broker.node.database.read() as connection:
            first = await read_beat(connection)
        await asyncio.sleep(0.1)
        await beat_once(broker.node)
        async with broker.node.database.read() as connection:
            second = await read_beat(connection)
        assert second.gap_end == second.last > first.last
        # Due by its own expiry, long ago; but the broker has only just come back.
        sealed = world.message(NAIROBI, [KAMPALA], expires_at=now_ms() + 300)
        await accept_message(broker.node, sealed.data)
        async with broker.node.database.read() as connection:
            due = await read_due(connection, now_ms() + 3_600_000, 10, 10**6)
        assert [d.payload_hash for d in due] == [sealed.payload_hash]
        assert await notify_once(broker.node) == 0
        assert await notices(broker.node) == []


async def test_the_watch_does_it_by_itself(tmp_path):
    world = World(grace_ms=0)
    home = write_home(world, tmp_path / "home", heartbeat_ms=50)
    await found(world, home)
    async with running(world, home) as broker:
        sealed = await expire(world, broker.node, [KAMPALA])
        while not (found_notices := await notices(broker.node)):
            await asyncio.sleep(0.02)
        assert [n.message for n in found_notices] == [sealed.payload_hash]
