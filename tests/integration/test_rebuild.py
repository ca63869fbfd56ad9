"""Everything but entries, stanzas and contents is a view: a rebuild gives it again."""

import asyncio
import sqlite3

import pytest

from countermark_broker.app import build_parts
from countermark_broker.config import load_settings
from countermark_broker.errors import FatalError
from countermark_broker.services.accept import accept_directory, accept_message, accept_receipt
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import keyring, running
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI


@pytest.fixture
async def lively(world, home):
    """A log with a bit of everything, and more than one tile."""
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
            *(accept_message(node, world.message(NAIROBI, [KAMPALA]).data) for _ in range(270))
        )
    return home


NO_OUTCOME = {"success": 0, "partial": 0, "none": 0, "refused": 0}
VIEWS = ("head", "messages", "deliveries", "box_rows", "box_heads", "tiles")


def dump(home):
    with sqlite3.connect(home / "broker.sqlite3") as connection:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall()) for name in VIEWS}


def sql(home, *statements):
    with sqlite3.connect(home / "broker.sqlite3") as connection:
        for statement in statements:
            connection.execute(statement)


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
        ("UPDATE tiles SET data = zeroblob(32) WHERE level = 1", "differs in data"),
    ],
)
async def test_a_damaged_view_is_found_and_remade(world, lively, damage, finding):
    live = dump(lively)
    sql(lively, damage)
    found = await rebuild(world, lively, check_only=True)
    assert not found.rewritten
    assert any(finding in f for f in found.findings)
    await rebuild(world, lively, check_only=False)
    assert dump(lively) == live


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET secret = zeroblob(32) WHERE kind = 9",
        "UPDATE entries SET document = zeroblob(100) WHERE entry = 5",
        "UPDATE entries SET kind = kind + 1 WHERE entry = 5",
        "UPDATE entries SET dir_number = 9999 WHERE entry = 3",
        "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE entry = 19) WHERE entry = 20",
        "PRAGMA foreign_keys=OFF; DELETE FROM entries WHERE entry = 6",
    ],
)
async def test_a_damaged_entry_is_fatal(world, lively, damage):
    with sqlite3.connect(lively / "broker.sqlite3") as connection:
        connection.executescript(damage)
    with pytest.raises(FatalError):
        await rebuild(world, lively, check_only=False)
