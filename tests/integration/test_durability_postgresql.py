"""A commit survives a power cut, or nothing is stored: looked at when a node starts, and under every lock."""

import asyncio
import shutil
import time

import psycopg
import pytest

from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.services.accept import accept_message
from countermark_broker.store.checkpoints import PostgresqlCheckpointStore
from countermark_broker.store.engine import Database
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.merkle import EMPTY_ROOT
from support.broker_fixtures import found, running, write_home
from support.database import sql
from support.postgresql import PostgresServer, memory_directory
from support.world import KAMPALA, NAIROBI, World

CUT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def database_kind():
    return "postgresql"


@pytest.fixture
def server():
    server = PostgresServer(memory_directory()).start()
    yield server
    server.remove()


def told(server, question):
    """What a connection made just now is answered."""
    with psycopg.connect(host=str(server.directory), user="postgres", dbname="postgres") as connection:
        return connection.execute(question).fetchone()[0]


def standbys(server):
    # The backup that a standby is made from replicates too, and may be listed for a moment after it has ended.
    return told(server, "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver'")


def name_of(home):
    return sql(home, "SELECT current_database()")[0][0]


@pytest.mark.parametrize("whose", ["DATABASE {name}", "ROLE postgres IN DATABASE {name}"])
async def test_a_later_connection_that_would_not_wait_for_the_disk_appends_nothing(world, home, whose):
    altered = f"ALTER {whose.format(name=name_of(home))}"
    async with running(world, home) as broker:
        node, message = broker.node, world.message(NAIROBI, [KAMPALA])
        entries = sql(home, "SELECT count(*) FROM entries")
        sql(home, f"{altered} SET synchronous_commit = off", CUT)
        with pytest.raises(UnavailableError) as caught:
            await accept_message(node, message.data)
        assert caught.value.code == "not_durable"
        assert "synchronous_commit must be on or remote_apply, got off" in caught.value.message
        assert sql(home, "SELECT count(*) FROM entries") == entries
        sql(home, f"{altered} SET synchronous_commit = remote_apply", CUT)
        assert (await accept_message(node, message.data)).fresh


async def test_a_server_that_comes_back_without_fsync_gets_nothing(tmp_path, server):
    world = World()
    home = write_home(world, tmp_path / "home", database_url=server.create_database("log"))
    await found(world, home)
    async with running(world, home) as broker:
        message = world.message(NAIROBI, [KAMPALA])
        for setting, code in (("off", "not_durable"), ("on", None)):
            await asyncio.to_thread(server.stop)
            server._settings = {"fsync": setting}
            await asyncio.to_thread(server.start)
            if code is None:
                assert (await accept_message(broker.node, message.data)).fresh
                continue
            with pytest.raises(UnavailableError) as caught:
                await accept_message(broker.node, message.data)
            assert caught.value.code == code


def test_a_checkpoint_store_that_comes_back_without_fsync_does_not_advance(server):
    world = World()

    def note(size, root):
        return sign_checkpoint(world.origin, size, root, world.log_key.sign, world.log_key.public_key.raw)

    store = PostgresqlCheckpointStore(server.create_database("store"))
    store.create(note(0, EMPTY_ROOT))
    server.stop()
    server._settings = {"fsync": "off"}
    server.start()
    with pytest.raises(UnavailableError) as caught:
        store.advance(0, EMPTY_ROOT, note(1, bytes(32)))
    assert caught.value.code == "not_durable"
    assert store.load().size == 0
    store.close()


async def test_a_table_that_a_crash_would_empty_is_refused(world, home):
    sql(home, "ALTER TABLE contents SET UNLOGGED")
    with pytest.raises(ConfigurationError) as caught:
        async with running(world, home):
            pass
    assert caught.value.code == "not_durable"
    assert "would empty contents" in caught.value.message


def test_a_standby_that_commits_do_not_wait_for_is_refused(server):
    database = Database(server.create_database("log"))
    database.check_durability()
    folder = memory_directory()
    folder.chmod(0o777)
    arguments = ("-h", server.directory, "-U", "postgres", "--checkpoint=fast", "--write-recovery-conf")
    server.run("pg_basebackup", "-D", folder / "data", *arguments)
    standby = PostgresServer(folder).start()
    try:
        # It connects a moment after it answers.
        while standbys(server) == 0:
            time.sleep(0.02)
        with pytest.raises(ConfigurationError) as caught:
            database.check_durability()
        assert caught.value.code == "not_durable"
        assert "1 standby is connected" in caught.value.message
        for statement in ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"):
            server._admin(statement)
        # The server reads its settings a moment after it is told to, and tells all connections before it takes new ones.
        while told(server, "SHOW synchronous_standby_names") != "*":
            time.sleep(0.02)
        assert database.check_durability()["synchronous_standby_names"] == "*"
    finally:
        database.close_now()
        standby.remove()
        shutil.rmtree(folder, ignore_errors=True)
