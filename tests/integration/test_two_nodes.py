"""Two nodes over one database and one checkpoint store: one history, whichever node is asked."""

import asyncio

from countermark_broker.services.accept import accept_directory, accept_message
from countermark_broker.services.deliver import read_page
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
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
