"""Everything but entries, stanzas and contents is a view: a rebuild gives it again."""

import asyncio

import pytest
from sqlalchemy import create_engine, event

from countermark_broker.config import load_settings
from countermark_broker.errors import ConfigurationError, FatalError
from countermark_broker.parts import build_parts
from countermark_broker.services.accept import accept_directory, accept_message, accept_receipt
from countermark_broker.services.backup import create_backup, verify_backup
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.store import scratch
from countermark_broker.store.head import read_head
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import keyring, running
from support.database import sql
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI


async def fill(world, home, count):
    """A log with a bit of everything."""
    async with running(world, home) as broker:
        node = broker.node
        first = world.message(NAIROBI, [LYON, KAMPALA], type="tracing-request")
        await accept_message(node, first.data)
        await accept_message(node, world.message(NAIROBI, [KAMPALA, BRUSSELS]).data)
        for stage in (ReceiptStage.DELIVERED, ReceiptStage.ACCEPTED):
            await accept_receipt(node, world.receipt(KAMPALA, [first], stage), Caller(KAMPALA, bytes(32)))
        reply = world.reply(
            KAMPALA,
            first,
            type="tracing-acknowledgement",
            extra={"stage": "acknowledged", "outcome": NO_OUTCOME},
        )
        await accept_message(node, reply.data)
        await accept_directory(node, world.endpoint_statement("ke.border.busia"))
        await asyncio.gather(
            *(accept_message(node, world.message(NAIROBI, [KAMPALA]).data) for _ in range(count))
        )


async def fill_a_tile(world, home):
    await fill(world, home, 270)


async def fill_a_little(world, home):
    await fill(world, home, 10)


@pytest.fixture
def lively(grown):
    """With more than one tile."""
    return grown(fill_a_tile)


NO_OUTCOME = {"success": 0, "partial": 0, "none": 0, "refused": 0}
VIEWS = ("head", "messages", "deliveries", "box_rows", "box_heads", "tiles")


def dump(home):
    return {name: sorted(sql(home, f"SELECT * FROM {name}")) for name in VIEWS}


async def rebuild(world, home, check_only):
    node = build_parts(load_settings(home, {}), keyring(world)).node
    try:
        return await rebuild_views(node, check_only=check_only)
    finally:
        node.verifier.close()
        await node.database.close()


async def test_rebuild_equals_live(world, lively):
    live = dump(lively)
    assert all(live.values())
    assert len(live["tiles"]) == 3
    assert (await rebuild(world, lively, check_only=True)).findings == ()
    sql(lively, *(f"DELETE FROM {name}" for name in VIEWS))
    rebuilt = await rebuild(world, lively, check_only=False)
    assert rebuilt.rewritten
    assert dump(lively) == live
    async with running(world, lively) as broker:
        answer = await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert answer.fresh


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE deliveries SET stage = 'open' WHERE stage = 'accepted'", "differs in stage"),
        ("DELETE FROM box_rows WHERE position = 3 AND box = 'routine'", "missing"),
        ("UPDATE box_heads SET length = length + 1 WHERE box = 'sent'", "differs in length"),
        ("INSERT INTO deliveries VALUES (1, 'ke.police.ghost', 'open', 1, NULL, NULL)", "nothing in the log"),
        ("UPDATE messages SET expires_at = 1", "differs in expires_at"),
        ("UPDATE head SET time = time + 1", "differs in time"),
        ("UPDATE head SET frontier = zeroblob(1)", "differs in frontier"),
        ("UPDATE tiles SET data = zeroblob(32) WHERE level = 1", "differs in data"),
    ],
)
async def test_a_damaged_view_is_found_and_remade(world, grown, damage, finding):
    home = grown(fill_a_tile if "tiles" in damage else fill_a_little)
    live = dump(home)
    sql(home, damage)
    found = await rebuild(world, home, check_only=True)
    assert not found.rewritten
    assert any(finding in f for f in found.findings)
    await rebuild(world, home, check_only=False)
    assert dump(home) == live


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET secret = zeroblob(32) WHERE kind = 9",
        "UPDATE entries SET document = zeroblob(100) WHERE entry = 5",
        "UPDATE entries SET kind = kind + 1 WHERE entry = 5",
        "UPDATE entries SET dir_number = 9999 WHERE entry = 3",
        "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE entry = 19) WHERE entry = 20",
        "DELETE FROM entries WHERE entry = 6",
    ],
)
async def test_a_damaged_entry_is_fatal(world, grown, damage):
    home = grown(fill_a_little)
    sql(home, damage)
    with pytest.raises(FatalError):
        await rebuild(world, home, check_only=False)


async def test_a_full_scratch_disk_is_told_as_that(world, lively, tmp_path, monkeypatch):
    def crowded(url, **options):
        engine = create_engine(url, **options)

        @event.listens_for(engine, "connect")
        def _connected(connection, _record):
            connection.execute("PRAGMA max_page_count=64").close()

        return engine

    async with running(world, lively) as broker:
        await create_backup(broker.node, tmp_path / "kept")
    monkeypatch.setattr(scratch, "create_engine", crowded)
    for run in (rebuild(world, lively, check_only=True), verify_backup(tmp_path / "kept")):
        with pytest.raises(ConfigurationError) as refused:
            await run
        assert refused.value.code == "scratch_full"
        assert "--scratch" in refused.value.message


async def test_a_check_beside_a_node_that_publishes_meanwhile(world, home, monkeypatch):
    """What is published after the snapshot began is no contradiction."""
    async with running(world, home) as broker:
        node, done = broker.node, []
        await accept_message(node, world.message(NAIROBI, [KAMPALA]).data)
        loop = asyncio.get_running_loop()

        def published_meanwhile(size):
            if not done:
                done.append(size)
                late = accept_message(node, world.message(NAIROBI, [KAMPALA]).data)
                asyncio.run_coroutine_threadsafe(late, loop).result(30)

        found = await rebuild_views(node, check_only=True, progress=published_meanwhile)
        assert found.findings == ()
        assert found.entries == done[0]
        assert (await node.database.read(read_head)).size == done[0] + 1
