"""A backup is taken while the broker runs, proven by replay, restored on either database, and never forks the log."""

import asyncio
import errno
import json
import os
import threading
from dataclasses import replace

import pytest

from countermark_broker.errors import ConfigurationError, FatalError
from countermark_broker.log.archive import MAGIC, ArchivedEntry, ArchiveHeader, open_archive, write_archive
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.backup import create_backup, restore_backup, verify_backup
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.maintenance import examine, rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.keys import fingerprint
from countermark_protocol.manifest import Urgency
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import running, with_node, write_home
from support.broker_process import run_cli
from support.database import sql
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI

TABLES = (
    "entries",
    "stanzas",
    "contents",
    "messages",
    "deliveries",
    "box_rows",
    "box_heads",
    "tiles",
    "head",
)


def dump(home):
    """All rows of all tables that a restore must bring back, comparable between databases."""
    return {name: sorted(map(repr, sql(home, f"SELECT * FROM {name}"))) for name in TABLES}


async def talk(world, broker, count):
    """Messages of every shape, receipts included."""
    for _ in range(count):
        sent = world.message(NAIROBI, [KAMPALA, LYON], urgency=Urgency.URGENT)
        await accept_message(broker.node, sent.data)
        await accept_message(broker.node, world.message(NAIROBI, [BRUSSELS]).data)
        await accept_receipt(
            broker.node, world.receipt(KAMPALA, [sent], ReceiptStage.DELIVERED), Caller(KAMPALA, bytes(32))
        )


async def migrate_only(world, home, database):
    async def make(node):
        migrate(node.database, find_migrations(None))

    await with_node(world, write_home(world, home, database_url=database), make)


@pytest.fixture
def second_home(grown):
    """Another home of the same log, with an empty, migrated database and no checkpoint store."""
    return grown(migrate_only, "second", founded=False)


async def test_a_backup_of_a_busy_broker_restores_what_was_published(world, home, second_home, tmp_path):
    path = tmp_path / "kept.countermark"
    async with running(world, home) as broker:
        await talk(world, broker, 5)
        writing = asyncio.create_task(talk(world, broker, 10))
        await asyncio.sleep(0)
        made = await create_backup(broker.node, path)
        await writing
        published = broker.node.publisher.published.size
    assert made.findings == ()
    assert made.fingerprint == fingerprint(parse_document(world.founding()).payload_hash)
    assert 2 < made.size <= published
    assert path.stat().st_mode & 0o777 == 0o600
    proven = await verify_backup(path)
    assert (proven.size, proven.digest) == (made.size, made.digest)

    restored = await with_node(world, second_home, lambda node: restore_backup(node, path))
    assert (restored.size, restored.added, restored.missing) == (made.size, made.size, None)
    # The rest comes with a second, newer file: onto what is there already.
    later = tmp_path / "later.countermark"
    await with_node(world, home, lambda node: create_backup(node, later))
    again = await with_node(world, second_home, lambda node: restore_backup(node, later))
    assert (again.size, again.added) == (published, published - made.size)
    assert dump(second_home) == dump(home)


async def test_yesterdays_backup_is_refused_until_the_rest_is_back(world, home, tmp_path, empty_database):
    yesterday, today = tmp_path / "1.countermark", tmp_path / "2.countermark"
    async with running(world, home) as broker:
        await talk(world, broker, 2)
        old = await create_backup(broker.node, yesterday)
        await talk(world, broker, 2)
        new = await create_backup(broker.node, today)
    # The database is lost; the checkpoint store, which no backup holds, is not.
    settings = (home / "broker.toml").read_text()
    lines = [line for line in settings.splitlines() if not line.startswith("database_url")]
    (home / "broker.toml").write_text("\n".join([*lines, f'database_url = "{empty_database}"']) + "\n")

    async def restore(node):
        migrate(node.database, find_migrations(None))
        return await restore_backup(node, yesterday)

    restored = await with_node(world, home, restore)
    assert restored.missing == new.size - old.size > 0
    with pytest.raises(FatalError) as refused:
        async with running(world, home):
            pass
    assert refused.value.code == "database_behind_store"
    checks = await with_node(world, home, lambda node: examine(node, find_migrations(None), {}))
    (store,) = (check for check in checks if check.name == "store")
    assert not store.ok
    assert "backup restore" in store.hint
    assert "docs/operations/backup-and-restore.md §4" in store.hint
    found = await with_node(world, home, check_everything)
    assert [f.code for f in found.findings] == ["behind_store"]

    assert (await with_node(world, home, lambda node: restore_backup(node, today))).missing == 0
    async with running(world, home) as broker:
        await talk(world, broker, 1)
        assert (await rebuild_views(broker.node, check_only=True)).findings == ()
        assert (await check_everything(broker.node)).findings == ()


async def test_a_backup_holds_neither_checkpoint_store_nor_private_keys(world, home, tmp_path):
    path = tmp_path / "kept.countermark"
    async with running(world, home) as broker:
        await talk(world, broker, 1)
        await create_backup(broker.node, path)
    with open_archive(path) as archive:
        assert archive.checkpoint.raw == (home / "checkpoint" / "checkpoint").read_bytes()
        frames = {kind.name for kind, _ in archive._frames()}
    assert frames == {"HEADER", "ENTRY", "CHECKPOINT"}
    data = path.read_bytes()
    for agency in world.agencies.values():
        assert agency.administrator._private.private_bytes_raw() not in data
    assert world.log_key._private.private_bytes_raw() not in data


async def talk_and_keep(world, home):
    async with running(world, home) as broker:
        await talk(world, broker, 1)
        await create_backup(broker.node, home / "kept.countermark")


@pytest.fixture
def home(grown):
    """With something in its log, and a backup of all of it."""
    return grown(talk_and_keep)


@pytest.fixture
def archive(home, tmp_path):
    return (home / "kept.countermark").rename(tmp_path / "kept.countermark")


async def test_an_existing_file_is_never_overwritten(world, home, archive):
    before = archive.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        await with_node(world, home, lambda node: create_backup(node, archive))
    assert archive.read_bytes() == before
    assert [p.name for p in archive.parent.iterdir() if p.name.endswith(".part")] == []


@pytest.mark.parametrize("spoil", ["cut", "flip", "append", "magic", "empty"])
async def test_a_spoilt_file_is_refused_before_anything_is_restored(world, archive, second_home, spoil):
    data = archive.read_bytes()
    archive.write_bytes(
        {
            "cut": data[:-10],
            "flip": data[:700] + bytes([data[700] ^ 1]) + data[701:],
            "append": data + b"x",
            "magic": b"another-archive-----/1\n" + data[len(MAGIC) :],
            "empty": b"",
        }[spoil]
    )
    with pytest.raises(MalformedError) as refused:
        await verify_backup(archive)
    assert refused.value.code == "bad_archive"
    with pytest.raises(MalformedError):
        await with_node(world, second_home, lambda node: restore_backup(node, archive))
    assert sql(second_home, "SELECT count(*) FROM entries") == [(0,)]


async def forged(world, home, path, damage):
    """An archive of a damaged database whose digest is right: only a replay can tell."""
    with open_archive(path) as archive:
        header = ArchiveHeader(archive.header.log, archive.header.size, 0, "forged")
        items = [damage(item) for item in archive.entries()]
        note = archive.checkpoint.raw
    assert all(isinstance(item, ArchivedEntry) for item in items)
    out = path.with_name("forged.countermark")
    write_archive(out, header, items, note)
    return out


@pytest.mark.parametrize("what", ["secret", "document", "stanza", "content"])
async def test_a_forged_archive_does_not_verify(world, home, archive, what):
    def damage(item):
        record, enclosed = item.record, item.enclosed
        if what == "secret":
            record = replace(record, secret=bytes(32))
        if what == "document" and record.kind == 9:
            record = replace(record, document=record.document[:-1] + bytes([record.document[-1] ^ 1]))
        if what == "stanza" and enclosed.stanzas:
            enclosed = replace(enclosed, stanzas=(b"x", *enclosed.stanzas[1:]))
        if what == "content" and enclosed.content:
            enclosed = replace(enclosed, content=None)
        return replace(item, record=record, enclosed=enclosed)

    path = await forged(world, home, archive, damage)
    if what in {"secret", "document"}:
        with pytest.raises((FatalError, CountermarkError)):
            await verify_backup(path)
        return
    codes = {f.code for f in (await verify_backup(path)).findings}
    assert codes == {"stanza": {"stanza_differs"}, "content": {"content_missing"}}[what]


async def test_a_backup_of_another_log_is_refused(world, archive, second_home):
    text = (second_home / "broker.toml").read_text().replace(world.origin, "log.example.org/countermark/2")
    (second_home / "broker.toml").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        await with_node(world, second_home, lambda node: restore_backup(node, archive))
    assert refused.value.code == "archive_of_other_log"


async def test_a_damaged_log_is_kept_but_loudly(world, home, tmp_path):
    sql(home, "DELETE FROM contents WHERE message = (SELECT min(message) FROM contents)")
    made = await with_node(world, home, lambda node: create_backup(node, tmp_path / "x"))
    assert [f.code for f in made.findings] == ["content_missing"]


#: What is done to an entry, and how the refusal names it.
DAMAGES = {
    "missing": (
        "DELETE FROM entries WHERE entry = (SELECT min(entry) FROM entries WHERE kind = 9)",
        "entry_missing",
        "is missing",
    ),
    "last missing": (
        "DELETE FROM entries WHERE entry = (SELECT max(entry) FROM entries)",
        "entry_missing",
        "is missing",
    ),
    "leaf": ("UPDATE entries SET leaf = zeroblob(115) WHERE kind = 9", "entry_unreadable", "entry "),
    "document": ("UPDATE entries SET document = zeroblob(9) WHERE kind = 10", "entry_unreadable", "entry "),
    "rows": ("UPDATE entries SET recipient_rows = zeroblob(7) WHERE kind = 9", "entry_unreadable", "entry "),
    "no rows": (
        "UPDATE entries SET recipient_rows = zeroblob(2) WHERE kind = 9",
        "entry_unreadable",
        "not those that were signed",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_log_with_a_damaged_entry_is_not_kept_as_if_it_were_whole(world, home, tmp_path, name):
    damage, code, words = DAMAGES[name]
    sql(home, damage)
    with pytest.raises(FatalError) as refused:
        await with_node(world, home, lambda node: create_backup(node, tmp_path / "x"))
    assert refused.value.code == code
    assert words in refused.value.message
    assert "backup restore" in refused.value.way_out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".x", "x"))] == []


async def test_entries_in_another_order_are_not_kept(world, home, tmp_path):
    """Each is sound; only the root tells."""
    ((first, last),) = sql(home, "SELECT min(entry), max(entry) FROM entries WHERE kind = 9")
    sql(
        home,
        f"UPDATE entries SET entry = -1 WHERE entry = {first}",
        f"UPDATE entries SET entry = {first} WHERE entry = {last}",
        f"UPDATE entries SET entry = {last} WHERE entry = -1",
    )
    with pytest.raises(FatalError) as refused:
        await with_node(world, home, lambda node: create_backup(node, tmp_path / "x"))
    assert refused.value.code == "published_root_differs"
    assert not (tmp_path / "x").exists()


async def test_two_backups_to_one_path_do_not_spoil_each_other(world, home, tmp_path):
    """The second begins while the first is being written."""
    async with running(world, home) as broker:
        await talk(world, broker, 1)
        path = tmp_path / "kept.countermark"

        async def second():
            with pytest.raises(ConfigurationError) as refused:
                await create_backup(broker.node, path, finished)
            return refused.value.code

        def finished(_done):
            # The first gets the name while this one has not got it yet.
            first.set()
            assert named.wait(30)

        first, named = threading.Event(), threading.Event()
        late = asyncio.create_task(second())
        assert await asyncio.to_thread(first.wait, 30)
        made = await create_backup(broker.node, path)
        named.set()
        assert await late == "file_exists"
    assert (await verify_backup(path)).digest == made.digest
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


async def test_a_file_is_written_where_there_are_no_links(world, archive, monkeypatch):
    def refused(*_paths):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    copy = archive.with_name("copy.countermark")
    with open_archive(archive) as read:
        write_archive(copy, read.header, read.entries(), read.checkpoint.raw)
        with pytest.raises(ConfigurationError, match="never overwritten"):
            write_archive(copy, read.header, read.entries(), read.checkpoint.raw)
    assert copy.read_bytes() == archive.read_bytes()
    assert [p.name for p in copy.parent.iterdir() if p.name.endswith(".part")] == []


def test_command_line(world, process_home, tmp_path):
    made = run_cli("backup", "create", "--home", process_home, "--directory", tmp_path, "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["findings"] == []
    proven = run_cli("backup", "verify", "--newest", tmp_path, "--json")
    assert proven.returncode == 0, proven.stderr
    assert json.loads(proven.stdout)["digest"] == told["digest"]
    restored = run_cli("backup", "restore", "--home", process_home, told["file"], "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["added"] == 0
    checked = run_cli("fsck", "--home", process_home, "--json")
    assert (checked.returncode, json.loads(checked.stdout)["findings"]) == (0, [])
