"""LISTEN and NOTIFY only wake: with them nobody waits for the next look, without them nothing is missed."""

import asyncio
import re
import time

import pytest

from countermark_broker.services.accept import accept_message
from countermark_broker.services.deliver import read_page
from countermark_broker.services.node import Caller
from countermark_broker.store.engine import Database
from countermark_protocol.boxes import Box
from support.broker_fixtures import running
from support.database import sql
from support.world import KAMPALA, NAIROBI

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

#: ms between looks: longer than any test, so that whoever is woken is woken by an announcement.
NEVER = 600_000
#: s that a long-poll waits by itself, and the bound before which it must have been woken.
WAIT_S, BEFORE_S = 60, 45
_LISTENING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'countermark-broker-wake' AND query LIKE 'LISTEN%' AND state = 'idle'"
)


def look_every(home, milliseconds):
    """A heartbeat looks too, before it says that the node could publish."""
    path = home / "broker.toml"
    text = re.sub(r"store_poll_ms = \d+", f"store_poll_ms = {milliseconds}", path.read_text())
    path.write_text(re.sub(r"heartbeat_ms = \d+", "heartbeat_ms = 59_000", text))


async def listening(home, count, without=frozenset()):
    """Wait until so many connections listen; their process ids."""
    while True:
        pids = {pid for (pid,) in await asyncio.to_thread(sql, home, _LISTENING)} - without
        if len(pids) >= count:
            return pids
        await asyncio.sleep(0.02)


def end(home, pids):
    for pid in pids:
        sql(home, "SELECT pg_terminate_backend(:pid)", pid=pid)


async def long_poll(broker, first=0):
    """A long-poll that waits."""
    task = asyncio.create_task(
        read_page(
            broker.node, broker.listeners, Caller(KAMPALA, bytes(32)), KAMPALA, Box.ROUTINE, first, 10, WAIT_S
        )
    )
    while not broker.listeners.count:
        assert not task.done()
        await asyncio.sleep(0)
    return task


async def arrives(task, message):
    """It is woken, and by the message."""
    async with asyncio.timeout(BEFORE_S):
        page = await task
    assert [entry.document for entry in page.entries] == [message.document]


async def test_the_other_node_is_woken_without_a_look(world, home):
    look_every(home, NEVER)
    async with running(world, home) as one, running(world, home) as two:
        await listening(home, 2)
        for number in range(3):
            task = await long_poll(two, number)
            message = world.message(NAIROBI, [KAMPALA])
            await accept_message(one.node, message.data)
            await arrives(task, message)


async def test_without_announcements_it_is_not_woken_before_its_next_look(world, home, monkeypatch):
    """That the tests above and below show what they say."""
    monkeypatch.setattr(Database, "announce", lambda *_: None)
    look_every(home, NEVER)
    async with running(world, home) as one, running(world, home) as two:
        await listening(home, 2)
        # The one look at the start of listening is over.
        await asyncio.sleep(1)
        task = await long_poll(two)
        await accept_message(one.node, world.message(NAIROBI, [KAMPALA]).data)
        await asyncio.sleep(1)
        assert not task.done()
        assert two.node.publisher.published.size < one.node.publisher.published.size
        task.cancel()


async def test_nothing_is_missed_while_listening_is_blocked(world, home, monkeypatch):
    def deaf(_self, _heard, ended):
        while not ended():
            time.sleep(0.02)

    monkeypatch.setattr(Database, "listen", deaf)
    async with running(world, home) as one, running(world, home) as two:
        assert await asyncio.to_thread(sql, home, _LISTENING) == []
        task = await long_poll(two)
        message = world.message(NAIROBI, [KAMPALA])
        await accept_message(one.node, message.data)
        await arrives(task, message)


async def test_nothing_is_missed_while_listening_connections_are_ended(world, home):
    async with running(world, home) as one, running(world, home) as two:
        for number in range(3):
            pids = await listening(home, 2)
            task = await long_poll(two, number)
            await asyncio.to_thread(end, home, pids)
            message = world.message(NAIROBI, [KAMPALA])
            await accept_message(one.node, message.data)
            await arrives(task, message)


async def test_it_listens_again_and_finds_what_was_announced_meanwhile(world, home):
    look_every(home, NEVER)
    async with running(world, home) as one, running(world, home) as two:
        pids = await listening(home, 2)
        task = await long_poll(two)
        await asyncio.to_thread(end, home, pids)
        message = world.message(NAIROBI, [KAMPALA])
        await accept_message(one.node, message.data)
        await arrives(task, message)
        await listening(home, 2, without=pids)
        task = await long_poll(two, 1)
        message = world.message(NAIROBI, [KAMPALA])
        await accept_message(one.node, message.data)
        await arrives(task, message)


async def test_a_failing_announcement_fails_nobody(world, home):
    """The database may refuse to announce, for instance where its queue is full."""
    sql(
        home,
        "CREATE SCHEMA before",
        "CREATE FUNCTION before.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'program_limit_exceeded'; END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = before, public, pg_catalog', "
        "current_database()); END $$",
    )
    async with running(world, home) as one, running(world, home) as two:
        task = await long_poll(two)
        message = world.message(NAIROBI, [KAMPALA])
        assert (await accept_message(one.node, message.data)).fresh
        await arrives(task, message)
