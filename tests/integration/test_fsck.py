"""fsck finds what `rebuild --check` does not look at: every corruption is planted, on both databases."""

import asyncio
import json

import pytest

from countermark_broker.config import load_settings
from countermark_broker.parts import build_parts
from countermark_broker.services.accept import accept_act, accept_message, accept_receipt
from countermark_broker.services.checking import HINTS
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.node import Caller
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import keyring, running
from support.broker_process import run_cli
from support.content import FINDINGS_OF_CONTENT
from support.database import sql
from support.world import BRUSSELS, KAMPALA, NAIROBI

#: The first entry of a message, and the log's last entry.
FIRST = "(SELECT min(entry) FROM entries WHERE kind = 9)"
LAST = "(SELECT max(entry) FROM entries)"
PURGED = "(SELECT entry FROM messages WHERE payload_hash IN (SELECT payload_hash FROM purges))"


async def fill(world, home, rounds):
    async with running(world, home) as broker:
        sent = world.message(NAIROBI, [KAMPALA, BRUSSELS])
        await accept_message(broker.node, sent.data)
        await accept_receipt(
            broker.node, world.receipt(KAMPALA, [sent], ReceiptStage.DELIVERED), Caller(KAMPALA, bytes(32))
        )
        withdrawn = world.message(NAIROBI, [KAMPALA])
        await accept_message(broker.node, withdrawn.data)
        await accept_act(broker.node, world.purge(NAIROBI, withdrawn), Caller(NAIROBI, bytes(32)))
        for _ in range(rounds):
            await asyncio.gather(
                *(accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data) for _ in range(28))
            )


async def fill_a_tile(world, home):
    await fill(world, home, 9)


async def fill_a_little(world, home):
    await fill(world, home, 1)


@pytest.fixture
def lively(grown):
    """A log of more than one full tile."""
    return grown(fill_a_tile)


async def check(world, home):
    node = build_parts(load_settings(home, {}), keyring(world)).node
    try:
        return await check_everything(node)
    finally:
        node.verifier.close()
        await node.database.close()


#: name: (statements, the finding's code, words in its message)
DAMAGES = {
    "stanza lost": (
        f"DELETE FROM stanzas WHERE message = {FIRST} AND recipient = '{KAMPALA}'",
        "stanza_missing",
        KAMPALA,
    ),
    "stanza altered": (
        f"UPDATE stanzas SET stanza = zeroblob(1200) WHERE message = {FIRST}",
        "stanza_differs",
        BRUSSELS,
    ),
    "stanza for nobody": (
        f"INSERT INTO stanzas VALUES ({FIRST}, 'ke.police.ghost', zeroblob(1200))",
        "surplus_stanza",
        "1 stanzas for nobody",
    ),
    "stanza beside no message": (
        "INSERT INTO stanzas VALUES (1, 'ke.police.ghost', zeroblob(9))",
        "surplus_stanza",
        "entry 1",
    ),
    "stanza without entry": (
        "INSERT INTO stanzas VALUES (99999, 'ke.police.ghost', zeroblob(9))",
        "orphan_row",
        "stanzas.message",
    ),
    "content lost": (
        f"DELETE FROM contents WHERE message = {FIRST}",
        "content_missing",
        "content is missing",
    ),
    "content cut": (
        f"UPDATE contents SET content = zeroblob(5) WHERE message = {FIRST}",
        "content_differs",
        "has 5 bytes",
    ),
    "content altered": (
        f"UPDATE contents SET content = (SELECT content FROM contents WHERE message = {LAST}) WHERE message = {FIRST}",
        "content_differs",
        "not the one that was signed",
    ),
    "content beside no message": (
        "INSERT INTO contents VALUES (1, zeroblob(9))",
        "surplus_content",
        "entry 1",
    ),
    "content without entry": (
        "INSERT INTO contents VALUES (99999, zeroblob(9))",
        "orphan_row",
        "contents.message",
    ),
    "content in spite of a purge": (
        f"INSERT INTO contents VALUES ({PURGED}, zeroblob(9))",
        "surplus_content",
        "in spite of its purge",
    ),
    "stanza in spite of a purge": (
        f"INSERT INTO stanzas VALUES ({PURGED}, '{KAMPALA}', zeroblob(1200))",
        "surplus_stanza",
        "1 stanzas in spite of its purge",
    ),
    "purge forgotten": ("DELETE FROM purges", "purges_differ", "1 purges, the table of purged messages 0"),
    "purged by another entry": (
        f"UPDATE purges SET entry = {FIRST}",
        "content_missing",
        "content is missing",
    ),
    "purge without entry": ("UPDATE purges SET entry = 99999", "orphan_row", "purges.entry"),
    "message without entry": (
        f"UPDATE messages SET entry = 99999 WHERE entry = {LAST}",
        "orphan_row",
        "messages.entry names entry 99999",
    ),
    "delivery without entry": (
        "INSERT INTO deliveries VALUES (99999, 'ke.police.ghost', 'open', 99999, NULL, NULL)",
        "orphan_row",
        "deliveries.message",
    ),
    "delivery by no receipt": (
        f"UPDATE deliveries SET stage_entry = 99998 WHERE message = {FIRST}",
        "orphan_row",
        "deliveries.stage_entry",
    ),
    "box row without entry": (
        "INSERT INTO box_rows VALUES ('ke.police.ghost', 'sent', 0, 99999, zeroblob(32), zeroblob(32))",
        "orphan_row",
        "box_rows.entry",
    ),
    "entry lost": ("DELETE FROM entries WHERE entry = 6", "entry_missing", "entries 6 to 6"),
    "last entry lost": (f"DELETE FROM entries WHERE entry = {LAST}", "head_differs", "head row"),
    "document altered": (
        "UPDATE entries SET document = zeroblob(100) WHERE entry = 5",
        "entry_unreadable",
        "entry 5",
    ),
    "recipient rows altered": (
        f"UPDATE entries SET recipient_rows = zeroblob(7) WHERE entry = {FIRST}",
        "entry_unreadable",
        "recipient rows",
    ),
    "leaf of another entry": (
        "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE entry = 19) WHERE entry = 20",
        "entry_unreadable",
        "entry 20",
    ),
    "leaf altered": (
        "UPDATE entries SET leaf = zeroblob(115) WHERE entry = 20",
        "entry_unreadable",
        "entry 20",
    ),
    "kind altered": ("UPDATE entries SET kind = kind + 1 WHERE entry = 5", "entry_index_differs", "entry 5"),
    "payload hash altered": (
        "UPDATE entries SET payload_hash = zeroblob(32) WHERE entry = 5",
        "entry_index_differs",
        "entry 5",
    ),
    "directory number altered": (
        "UPDATE entries SET dir_number = 9999 WHERE entry = 3",
        "entry_index_differs",
        "entry 3",
    ),
    "full tile altered": (
        "UPDATE tiles SET data = zeroblob(8192) WHERE level = 0 AND number = 0",
        "tile_differs",
        "tile 0 of level 0",
    ),
    "edge tile altered": (
        "UPDATE tiles SET data = zeroblob(32) WHERE level = 1",
        "tile_differs",
        "tile 0 of level 1",
    ),
    "tile lost": ("DELETE FROM tiles WHERE level = 0 AND number = 1", "tile_differs", "is missing"),
    "tile too many": ("INSERT INTO tiles VALUES (0, 77, zeroblob(32))", "surplus_tile", "1 tiles"),
    "head too long": ("UPDATE head SET size = size + 1", "head_differs", "head row"),
    "head's time altered": ("UPDATE head SET time = time + 1", "head_differs", "time or directory"),
    "head's directory altered": (
        "UPDATE head SET dir_head = zeroblob(32)",
        "head_differs",
        "time or directory",
    ),
    "box row lost": (
        "DELETE FROM box_rows WHERE box = 'routine' AND position = 3",
        "box_differs",
        f"box 'routine' of {KAMPALA}",
    ),
    "first box row lost": (
        "DELETE FROM box_rows WHERE box = 'sent' AND position = 0",
        "box_differs",
        "does not follow",
    ),
    "box row altered": (
        "UPDATE box_rows SET previous = zeroblob(32) WHERE box = 'routine' AND position = 3",
        "box_differs",
        "position 3 does not follow the one before",
    ),
    "box head lost": ("DELETE FROM box_heads WHERE box = 'sent'", "box_differs", "its head tells of 0"),
    "box head too long": (
        "UPDATE box_heads SET length = length + 1 WHERE box = 'sent'",
        "box_differs",
        "its head tells of",
    ),
    "box head altered": (
        "UPDATE box_heads SET head = zeroblob(32) WHERE box = 'sent'",
        "box_differs",
        "its head is not that of its last row",
    ),
    "box without rows": (
        "INSERT INTO box_heads VALUES ('ke.police.ghost', 'sent', 1, zeroblob(32))",
        "box_differs",
        "ke.police.ghost",
    ),
    "head of another tree": (
        "UPDATE head SET frontier = (SELECT payload_hash FROM entries WHERE entry = 1), size = 1",
        "behind_store",
        "this database 1",
    ),
}


async def test_nothing_is_found_where_nothing_is_wrong(world, lively):
    checked = await check(world, lively)
    assert checked.findings == ()
    assert [(checked.entries,)] == sql(lively, "SELECT count(*) FROM entries")


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_planted_corruption_is_found(world, grown, name):
    home = grown(fill_a_tile if "tile" in name else fill_a_little)
    damage, code, words = DAMAGES[name]
    sql(home, damage)
    findings = (await check(world, home)).findings
    assert any(f.code == code and words in f.message for f in findings), findings
    assert all(f.hint for f in findings)


async def test_a_record_that_cannot_be_read_hides_no_other(world, lively):
    sql(
        lively,
        f"UPDATE entries SET recipient_rows = zeroblob(7) WHERE entry = {FIRST}",
        "UPDATE entries SET kind = kind + 1 WHERE entry = 200",
    )
    checked = await check(world, lively)
    assert [(checked.entries,)] == sql(lively, "SELECT count(*) FROM entries")
    ((first,),) = sql(lively, f"SELECT {FIRST}")
    assert [(f.code, f.message.split(":")[0]) for f in checked.findings] == [
        ("entry_unreadable", f"entry {first}"),
        ("entry_index_differs", "entry 200"),
    ]


async def test_a_root_that_is_not_the_published_one_is_found(world, lively):
    # Two leaves exchanged with all that hangs on them: only the tree tells.
    sql(
        lively,
        "UPDATE entries SET entry = -1 WHERE entry = 3",
        "UPDATE entries SET entry = 3 WHERE entry = 4",
        "UPDATE entries SET entry = 4 WHERE entry = -1",
    )
    codes = {f.code for f in (await check(world, lively)).findings}
    assert {"root_differs", "head_differs", "tile_differs"} <= codes


async def test_every_kind_of_finding_can_be_found():
    # Those of attachments: test_content_check.py.
    tested = {code for _, code, _ in DAMAGES.values()} | {"root_differs"} | FINDINGS_OF_CONTENT
    assert tested == HINTS.keys()


def test_exit_codes_and_what_to_do(world, process_home):
    good = run_cli("fsck", "--home", process_home)
    assert good.returncode == 0
    assert "everything is in its place" in good.stdout
    sql(process_home, "INSERT INTO contents VALUES (1, zeroblob(9))")
    bad = run_cli("fsck", "--home", process_home)
    assert bad.returncode == 1
    assert "hint (surplus_content)" in bad.stdout
    sql(process_home, "UPDATE entries SET leaf = zeroblob(115) WHERE entry = 1")
    worst = run_cli("fsck", "--home", process_home, "--json")
    assert worst.returncode == 3
    assert {"root_differs", "entry_unreadable"} <= {f["code"] for f in json.loads(worst.stdout)["findings"]}
