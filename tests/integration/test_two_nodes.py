"""Two nodes over one database and one checkpoint store: one history, whichever node is asked."""

import asyncio

import pytest

from countermark_broker.errors import FatalError
from countermark_broker.services.accept import accept_directory, accept_message, accept_receipt
from countermark_broker.services.deliver import read_page
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.services.release import read_ciphertext, read_stanza
from countermark_broker.services.statements import prove_consistency, prove_inclusion, read_statement_of
from countermark_broker.store.head import read_head
from countermark_protocol.boxes import Box
from support.broker_fixtures import running
from support.world import KAMPALA, NAIROBI


async def test_one_history(world, home):
    async with running(world, home) as one, running(world, home) as two:
        size = one.node.publisher.published.size
        messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(40)]
        answers = await asyncio.gather(
            *(accept_message((one, two)[i % 2].node, m.data) for i, m in enumerate(messages))
        )
        indexes = sorted(a.accepted.inclusion.index for a in answers)
        assert indexes == list(range(size, size + 40))
        again = await asyncio.gather(
            *(accept_message((two, one)[i % 2].node, m.data) for i, m in enumerate(messages))
        )
        for first, second in zip(answers, again, strict=True):
            assert first.accepted.inclusion.leaf == second.accepted.inclusion.leaf
        await one.node.publisher.advance()
        await two.node.publisher.advance()
        assert one.node.publisher.published.raw == two.node.publisher.published.raw
        assert (await rebuild_views(one.node, check_only=True)).findings == ()


async def test_a_directory_statement_by_the_other_node_counts_at_once(world, home):
    async with running(world, home) as one, running(world, home) as two:
        await accept_directory(one.node, world.endpoint_statement("ke.border.busia"))
        await accept_directory(two.node, world.keys_statement("ke.border.busia"))
        answer = await accept_message(one.node, world.message("ke.border.busia", [KAMPALA]).data)
        assert answer.fresh
        assert (await accept_message(two.node, world.message(NAIROBI, ["ke.border.busia"]).data)).fresh


async def test_a_long_poll_sees_what_the_other_node_published(world, home):
    async with running(world, home) as one, running(world, home) as two:
        caller = Caller(KAMPALA, bytes(32))
        waiting = asyncio.create_task(
            read_page(two.node, two.listeners, caller, KAMPALA, Box.ROUTINE, 0, 10, 60)
        )
        while not two.listeners.count:
            await asyncio.sleep(0)
        sealed = world.message(NAIROBI, [KAMPALA])
        await accept_message(one.node, sealed.data)
        page = await waiting
        assert [e.document for e in page.entries] == [sealed.document]


async def test_what_one_node_answered_the_other_one_holds(world, home):
    """Even before the other has looked at the checkpoint store again."""
    async with running(world, home) as one, running(world, home) as two:
        sealed = world.message(NAIROBI, [KAMPALA])
        await accept_message(one.node, sealed.data)
        found = await read_statement_of(two.node, Caller(NAIROBI, bytes(32)), sealed.payload_hash)
        assert found.document == sealed.document
        receipt = world.receipt(KAMPALA, [sealed])
        answer = await accept_receipt(one.node, receipt, Caller(KAMPALA, bytes(32)))
        stanza = await read_stanza(two.node, Caller(KAMPALA, bytes(32)), sealed.payload_hash)
        assert (stanza,) == answer.accepted.releases
        content = await read_ciphertext(two.node, Caller(KAMPALA, bytes(32)), sealed.payload_hash)
        assert content == sealed.content


async def test_what_was_seen_at_one_node_the_other_one_proves(world, home):
    """Likewise where the caller names no size to prove it under."""
    async with running(world, home) as one, running(world, home) as two:
        await accept_message(one.node, world.message(NAIROBI, [KAMPALA]).data)
        size = one.node.publisher.published.size
        at, inclusion = await prove_inclusion(two.node, size - 1, None)
        assert (at, inclusion.index) == (size, size - 1)
        await accept_message(one.node, world.message(NAIROBI, [KAMPALA]).data)
        assert await prove_consistency(two.node, size + 1, None) == (size + 1, ())


async def test_an_older_head_is_no_contradiction_but_under_the_lock_it_is(world, home):
    """A reader may have read its head just before this node committed a directory statement."""
    async with running(world, home) as broker:
        node = broker.node
        with node.database.reading() as connection:
            head = read_head(connection)
            await accept_directory(node, world.endpoint_statement("ke.border.busia"))
            newer = node.holder.at(connection, head, locked=False)
            assert newer.count == head.dir_count + 1
            with pytest.raises(FatalError):
                node.holder.at(connection, head, locked=True)


async def test_reading_and_writing_the_directory_at_once(world, home):
    async with running(world, home) as broker:
        names = [f"ke.border.post{i}" for i in range(12)]
        statements = [world.endpoint_statement(name) for name in names]

        async def read():
            while node.holder.current.count < wanted:
                await node.newest_directory()
                await node.publisher.advance()

        node = broker.node
        wanted = node.holder.current.count + len(names)
        await asyncio.gather(*(accept_directory(node, s) for s in statements), read(), read(), read())
        assert node.health.fatal is None
