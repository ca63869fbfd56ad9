"""A damaged entry record is put right by a restore, and by nothing that the log key has not signed."""

from dataclasses import replace

import pytest

from countermark_broker.errors import FatalError
from countermark_broker.log.archive import open_archive, write_archive
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.backup import create_backup, restore_backup
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import running, with_node, write_home
from support.broker_process import run_cli
from support.database import sql
from support.world import BRUSSELS, KAMPALA, NAIROBI

FIRST = "(SELECT min(entry) FROM entries WHERE kind = 9)"


async def talk(world, broker, count):
    for _ in range(count):
        sent = world.message(NAIROBI, [KAMPALA, BRUSSELS])
        await accept_message(broker.node, sent.data)
        await accept_receipt(
            broker.node, world.receipt(KAMPALA, [sent], ReceiptStage.DELIVERED), Caller(KAMPALA, bytes(32))
        )


async def talk_and_keep(world, home):
    async with running(world, home) as broker:
        await talk(world, broker, 2)
        await create_backup(broker.node, home / "kept.countermark")
        await talk(world, broker, 1)


@pytest.fixture
def home(grown):
    """With a backup, after which the log has gone on."""
    return grown(talk_and_keep)


@pytest.fixture
def kept(home):
    return home / "kept.countermark"


def records(home):
    return sorted(map(repr, sql(home, "SELECT * FROM entries")))


def exchange(first, second):
    """Two whole records, each under the index of the other."""
    return (
        f"UPDATE entries SET entry = -1 WHERE entry = {first}",
        f"UPDATE entries SET entry = {first} WHERE entry = {second}",
        f"UPDATE entries SET entry = {second} WHERE entry = -1",
    )


@pytest.mark.parametrize(
    "damage",
    [
        (f"DELETE FROM entries WHERE entry = {FIRST}",),
        (f"UPDATE entries SET recipient_rows = zeroblob(7) WHERE entry = {FIRST}",),
        (f"UPDATE entries SET document = zeroblob(7) WHERE entry = {FIRST}",),
        (f"UPDATE entries SET leaf = zeroblob(115) WHERE entry = {FIRST}",),
        (f"UPDATE entries SET secret = zeroblob(32) WHERE entry = {FIRST}",),
        (f"UPDATE entries SET kind = 3 WHERE entry = {FIRST}",),
        ("UPDATE entries SET document = zeroblob(7) WHERE entry = 3",),
        exchange(3, 4),
    ],
)
async def test_a_damaged_record_is_put_right_by_a_restore(world, home, kept, damage):
    async def restore(node):
        return await restore_backup(node, kept)

    before = records(home)
    sql(home, *damage)
    restored = await with_node(world, home, restore)
    assert restored.mended >= 1
    assert (restored.added, restored.missing, restored.findings) == (0, 0, ())
    assert records(home) == before
    await with_node(world, home, lambda node: rebuild_views(node, check_only=False))
    assert (await with_node(world, home, check_everything)).findings == ()
    async with running(world, home) as broker:
        await talk(world, broker, 1)
    assert (await with_node(world, home, restore)).mended == 0


async def test_records_and_the_tree_are_put_right_one_after_the_other(world, home, kept):
    before = records(home)
    sql(
        home,
        f"UPDATE entries SET document = zeroblob(7) WHERE entry = {FIRST}",
        "UPDATE tiles SET data = zeroblob(32) WHERE level = 0",
    )
    with pytest.raises(FatalError) as refused:
        await with_node(world, home, lambda node: restore_backup(node, kept))
    assert refused.value.code == "tile_missing"
    assert "rebuild" in refused.value.way_out
    assert records(home) == before
    await with_node(world, home, lambda node: rebuild_views(node, check_only=False))
    assert (await with_node(world, home, lambda node: restore_backup(node, kept))).mended == 0
    assert (await with_node(world, home, check_everything)).findings == ()


async def test_all_records_are_put_right_by_the_newest_backup(world, home, tmp_path):
    async with running(world, home) as broker:
        await talk(world, broker, 2)
        await create_backup(broker.node, tmp_path / "newest")
    before = records(home)
    sql(home, "DELETE FROM entries")
    restored = await with_node(world, home, lambda node: restore_backup(node, tmp_path / "newest"))
    assert (restored.mended, restored.added) == (len(before), 0)
    assert records(home) == before
    assert (await with_node(world, home, check_everything)).findings == ()


async def test_what_does_not_replay_replaces_nothing(world, home, kept, tmp_path):
    """Secret and recipient rows are beneath no root: only a replay tells whether they are those of the log."""
    with open_archive(kept) as archive:
        items = [
            replace(item, record=replace(item.record, secret=bytes(32))) if item.record.kind == 9 else item
            for item in archive.entries()
        ]
        write_archive(tmp_path / "forged", archive.header, items, archive.checkpoint.raw)
    before = records(home)
    with pytest.raises(FatalError) as refused:
        await with_node(world, home, lambda node: restore_backup(node, tmp_path / "forged"))
    assert refused.value.code == "entry_differs"
    assert records(home) == before


@pytest.fixture
async def two_pasts(world, home, tmp_path, empty_database):
    """A second home that begins as the first and goes on otherwise, and a backup of the first."""
    begun, path = tmp_path / "begun", tmp_path / "kept"
    async with running(world, home) as broker:
        await talk(world, broker, 1)
        await create_backup(broker.node, begun)
        await talk(world, broker, 1)
        await create_backup(broker.node, path)
    second = write_home(world, tmp_path / "second", database_url=empty_database)

    async def go_on_otherwise(node):
        migrate(node.database, find_migrations(None))
        await restore_backup(node, begun)
        with open_archive(begun) as archive:
            node.store.create(archive.checkpoint.raw)

    await with_node(world, second, go_on_otherwise)
    async with running(world, second) as broker:
        await talk(world, broker, 1)
    return second, path


async def test_a_database_of_another_past_is_left_alone(world, two_pasts):
    second, path = two_pasts
    # Even where it is damaged besides.
    sql(second, "UPDATE entries SET document = zeroblob(7) WHERE entry = 3")
    before = records(second)
    with pytest.raises(FatalError) as refused:
        await with_node(world, second, lambda node: restore_backup(node, path))
    assert refused.value.code == "restore_of_other_log"
    assert records(second) == before


@pytest.mark.parametrize(
    ("wrong", "code"), [("root", "published_root_differs"), ("origin", "store_of_other_log")]
)
async def test_a_restore_does_not_call_whole_what_was_not_published(
    world, home, kept, tmp_path, empty_database, wrong, code
):
    second = write_home(world, tmp_path / "second", database_url=empty_database)
    with open_archive(kept) as archive:
        size = archive.checkpoint.size
    origin = world.origin if wrong == "root" else "log.example.org/countermark/2"
    key = world.log_key
    note = sign_checkpoint(origin, size, bytes(32), key.sign, key.public_key.raw)

    async def restore(node):
        migrate(node.database, find_migrations(None))
        node.store.create(note)
        return await restore_backup(node, kept)

    with pytest.raises(FatalError) as refused:
        await with_node(world, second, restore)
    assert refused.value.code == code


def test_the_command_says_what_it_replaced(world, process_home, tmp_path):
    made = run_cli("backup", "create", "--home", process_home, "--to", tmp_path / "kept")
    assert made.returncode == 0, made.stderr
    sql(process_home, "UPDATE entries SET document = zeroblob(7) WHERE entry = 5")
    found = run_cli("fsck", "--home", process_home)
    assert found.returncode == 1
    assert "backup restore" in found.stdout
    damaged = run_cli("backup", "create", "--home", process_home, "--to", tmp_path / "damaged")
    assert damaged.returncode == 3
    assert "entry 5 does not stand" in damaged.stderr
    done = run_cli("backup", "restore", "--home", process_home, tmp_path / "kept", "--scratch", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 damaged records have been replaced" in done.stdout
    assert run_cli("fsck", "--home", process_home).returncode == 0
