"""What is kept of a log with purges: checked, copied, restored, replayed; and nothing that is purged comes back."""

import asyncio
from dataclasses import replace

import pytest

from countermark_broker.config import load_settings
from countermark_broker.log.appender import Submitted
from countermark_broker.log.archive import open_archive, write_archive
from countermark_broker.parts import build_parts
from countermark_broker.services import backup
from countermark_broker.services.accept import accept_act, accept_message
from countermark_broker.services.backup import create_backup, restore_backup, verify_backup
from countermark_broker.services.export import import_log
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_broker.store.writing import NOTHING, Enclosed
from countermark_protocol.documents import parse_document
from countermark_protocol.statements import read_statement, verify_statement
from support.broker_fixtures import keyring, running, with_node, write_home
from support.database import sql
from support.world import BRUSSELS, KAMPALA, NAIROBI


def beside(home, message):
    """How many stanzas and contents lie beside a message."""
    of = f"message = (SELECT entry FROM messages WHERE id = '{message.manifest.id}')"
    return tuple(
        sql(home, f"SELECT count(*) FROM {table} WHERE {of}")[0][0] for table in ("stanzas", "contents")
    )


def codes(findings):
    return sorted(f.code for f in findings)


async def sound(world, home):
    """Nothing is found by fsck, nor by a replay."""
    assert (await with_node(world, home, check_everything)).findings == ()
    rebuilt = await with_node(world, home, lambda node: rebuild_views(node, check_only=True))
    assert rebuilt.findings == ()


async def withdraw(world, node, message):
    await accept_act(node, world.purge(NAIROBI, message), Caller(NAIROBI, bytes(32)))


@pytest.fixture
def message(world):
    return world.message(NAIROBI, [KAMPALA, BRUSSELS])


@pytest.fixture
async def kept(world, home, message, tmp_path):
    """A backup of before a purge, and one of after it."""
    before, after = tmp_path / "before", tmp_path / "after"
    async with running(world, home) as broker:
        await accept_message(broker.node, message.data)
        await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert (await create_backup(broker.node, before)).findings == ()
        await withdraw(world, broker.node, message)
        await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert (await create_backup(broker.node, after)).findings == ()
    return before, after


@pytest.fixture
async def second_home(world, tmp_path, empty_database):
    """Another home of the same log, with an empty, migrated database and no checkpoint store."""
    home = write_home(world, tmp_path / "second", database_url=empty_database)

    async def make(node):
        migrate(node.database, find_migrations(None))

    await with_node(world, home, make)
    return home


async def test_what_a_purge_took_is_missed_by_nobody(world, home, second_home, message, kept):
    assert beside(home, message) == (0, 0)
    await sound(world, home)
    for path in kept:
        assert (await verify_backup(path)).findings == ()
        restored = await with_node(world, second_home, lambda node, path=path: restore_backup(node, path))
        assert restored.findings == ()
    # The second file brought the purge onto the first, which had the content.
    assert beside(second_home, message) == (0, 0)


async def test_an_import_onto_an_older_one_takes_the_purge_over(world, home, second_home, message, kept):
    config = second_home / "broker.toml"
    config.write_text(config.read_text() + "read_only = true\n")
    before, after = kept
    await with_node(world, second_home, lambda node: import_log(node, before))
    assert beside(second_home, message) == (2, 1)
    await with_node(world, second_home, lambda node: import_log(node, after))
    assert beside(second_home, message) == (0, 0)
    await sound(world, second_home)


async def test_an_older_backup_does_not_bring_back_what_is_purged(world, home, message, kept):
    other = "message = (SELECT max(entry) FROM messages WHERE entry < (SELECT max(entry) FROM purges))"
    sql(home, f"DELETE FROM contents WHERE {other}")
    assert codes((await with_node(world, home, check_everything)).findings) == ["content_missing"]
    restored = await with_node(world, home, lambda node: restore_backup(node, kept[0]))
    assert restored.findings == ()
    # What was lost is back, what was purged is not.
    assert beside(home, message) == (0, 0)
    await sound(world, home)


async def test_nothing_comes_back_where_the_table_of_purges_is_damaged(world, home, message, kept):
    sql(home, "DELETE FROM purges")
    restored = await with_node(world, home, lambda node: restore_backup(node, kept[0]))
    assert codes(restored.findings) == [
        "content_missing",
        "purges_differ",
        "stanza_missing",
        "stanza_missing",
    ]
    assert beside(home, message) == (0, 0)
    await with_node(world, home, lambda node: rebuild_views(node, check_only=False))
    restored = await with_node(world, home, lambda node: restore_backup(node, kept[0]))
    assert restored.findings == ()
    assert beside(home, message) == (0, 0)
    await sound(world, home)


async def test_a_damaged_purge_is_put_right_by_a_restore(world, home, message, kept):
    sql(home, "UPDATE entries SET document = zeroblob(9) WHERE kind = 12")
    restored = await with_node(world, home, lambda node: restore_backup(node, kept[1]))
    assert (restored.mended, restored.findings) == (1, ())
    assert beside(home, message) == (0, 0)
    await sound(world, home)


async def test_a_file_that_keeps_what_it_says_is_purged_is_found_and_not_believed(
    world, second_home, message, kept, tmp_path
):
    """An honest exporter makes no such file; whoever restores it has no more than the log gives."""
    with open_archive(kept[1]) as archive:
        items = [
            replace(item, enclosed=Enclosed(item.record.rows, message.stanzas, message.content))
            if item.record.payload_hash == message.payload_hash
            else item
            for item in archive.entries()
        ]
        write_archive(tmp_path / "surplus", archive.header, items, archive.checkpoint.raw)
    found = await verify_backup(tmp_path / "surplus")
    assert codes(found.findings) == ["surplus_content", "surplus_stanza"]
    restored = await with_node(world, second_home, lambda node: restore_backup(node, tmp_path / "surplus"))
    assert restored.findings == ()
    assert beside(second_home, message) == (0, 0)


async def test_a_backup_leaves_out_what_is_there_in_spite_of_a_purge(world, home, message, kept, tmp_path):
    index = sql(home, f"SELECT entry FROM messages WHERE id = '{message.manifest.id}'")[0][0]
    sql(home, f"INSERT INTO contents VALUES ({index}, zeroblob(9))")
    made = await with_node(world, home, lambda node: create_backup(node, tmp_path / "third"))
    assert codes(made.findings) == ["surplus_content"]
    assert (await verify_backup(tmp_path / "third")).findings == ()


async def test_missing_without_a_purge_is_still_found(world, home, kept, tmp_path):
    last = "message = (SELECT max(entry) FROM messages)"
    sql(home, f"DELETE FROM contents WHERE {last}", f"DELETE FROM stanzas WHERE {last}")
    expected = ["content_missing", "stanza_missing"]
    assert codes((await with_node(world, home, check_everything)).findings) == expected
    made = await with_node(world, home, lambda node: create_backup(node, tmp_path / "third"))
    assert codes(made.findings) == codes((await verify_backup(tmp_path / "third")).findings) == expected


async def test_a_backup_waits_for_a_purge_to_be_published(world, home, message, tmp_path, monkeypatch):
    async with running(world, home) as broker:
        await accept_message(broker.node, message.data)
    parts = build_parts(load_settings(home, {}), keyring(world))
    node = parts.node
    try:
        directory = await node.newest_directory()
        document = verify_statement(directory, parse_document(world.purge(NAIROBI, message)))
        statement = read_statement(document, subject=parse_document(message.document))
        parts.appender.commit([Submitted(statement, NOTHING)])
        assert beside(home, message) == (0, 0)
        # Nobody publishes: then the file is made, and lacks what the published log has not purged.
        with monkeypatch.context() as patch:
            patch.setattr(backup, "_TRIES", 2)
            made = await create_backup(node, tmp_path / "unpublished")
        assert codes(made.findings) == ["content_missing", "stanza_missing", "stanza_missing"]
        making = asyncio.create_task(create_backup(node, tmp_path / "published"))
        await asyncio.sleep(0.2)
        assert not making.done()
        await node.publisher.advance()
        made = await making
        assert made.findings == ()
        assert (await verify_backup(tmp_path / "published")).findings == ()
    finally:
        node.verifier.close()
        await node.database.close()
