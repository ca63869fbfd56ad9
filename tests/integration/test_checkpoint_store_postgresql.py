"""The checkpoint store on a second PostgreSQL server: compare-and-swap, apart, durable, and away for a while."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from countermark_broker.errors import ConfigurationError, FatalError, UnavailableError
from countermark_broker.services.accept import accept_message
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.store.checkpoints import PostgresqlCheckpointStore
from countermark_broker.store.engine import Database
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.merkle import EMPTY_ROOT
from support.broker_fixtures import HttpBroker, found, running, write_home
from support.broker_process import BrokerProcess, run_cli
from support.database import restore, save
from support.postgresql import PostgresServer, memory_directory
from support.world import KAMPALA, NAIROBI, World


@pytest.fixture(scope="module")
def second_server():
    server = PostgresServer(memory_directory()).start()
    yield server
    server.remove()


@pytest.fixture
def store_url(second_server):
    """The URL of an empty database on a server that holds no log."""
    if not second_server.answers():
        second_server.start()
    name = f"s{uuid4().hex}"
    yield second_server.create_database(name)
    second_server.drop_database(name)


@pytest.fixture
def store(world, store_url):
    """A store that holds the checkpoint of size 0."""
    made = PostgresqlCheckpointStore(store_url, busy_timeout_ms=5_000)
    made.create(note(world, 0))
    yield made
    made.close()


@pytest.fixture
def apart(world, home, store_url):
    """A founded home whose checkpoint store is moved to the second server as it is."""
    store = PostgresqlCheckpointStore(store_url)
    store.create((home / "checkpoint" / "checkpoint").read_bytes())
    store.close()
    shutil.rmtree(home / "checkpoint")
    set_store(home, store_url)
    return home


def set_store(home, url):
    with (home / "broker.toml").open("a") as file:
        file.write(f'checkpoint_store = "{url}"\n')


def note(world, size, root=EMPTY_ROOT):
    return sign_checkpoint(world.origin, size, root, world.log_key.sign, world.log_key.public_key.raw)


def sql(url, *statements, **values):
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)
    engine.dispose()


def root(number):
    return bytes([number]) * 32


def doctor(home, expected):
    """What `doctor --json` says of the store."""
    done = run_cli("doctor", "--home", home, "--json")
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


# --- the store alone ---


def test_it_holds_what_was_put_last(world, store, store_url):
    assert store.exists()
    assert store.load().size == 0
    assert store.advance(0, EMPTY_ROOT, note(world, 3, root(3)))
    other = PostgresqlCheckpointStore(store_url)
    assert (other.load().size, other.load().root) == (3, root(3))
    assert other.load().raw == note(world, 3, root(3))
    other.close()


def test_who_names_an_older_or_another_checkpoint_loses(world, store):
    assert store.advance(0, EMPTY_ROOT, note(world, 3, root(3)))
    assert not store.advance(0, EMPTY_ROOT, note(world, 4, root(4)))
    assert not store.advance(3, root(9), note(world, 4, root(4)))
    assert not store.advance(4, root(3), note(world, 4, root(4)))
    assert store.load().size == 3


def test_of_many_who_advance_at_once_one_wins(world, store, store_url):
    others = [PostgresqlCheckpointStore(store_url, busy_timeout_ms=30_000) for _ in range(6)]
    try:
        with ThreadPoolExecutor(len(others)) as pool:
            for turn in range(5):
                at = store.load()
                notes = [note(world, at.size + 1, root(10 * turn + n + 1)) for n in range(len(others))]
                tries = [
                    pool.submit(other.advance, at.size, at.root, mine)
                    for other, mine in zip(others, notes, strict=True)
                ]
                won = [one.result() for one in tries]
                assert won.count(True) == 1
                assert store.load().raw == notes[won.index(True)]
    finally:
        for one in others:
            one.close()


def test_a_store_is_made_once(world, store, store_url):
    with pytest.raises(ConfigurationError) as caught:
        store.create(note(world, 0))
    assert caught.value.code == "store_exists"
    assert store.load().size == 0


@pytest.mark.parametrize("made", [False, True], ids=["no table", "empty table"])
def test_a_missing_checkpoint_is_fatal(world, store_url, made):
    store = PostgresqlCheckpointStore(store_url)
    if made:
        store.create(note(world, 0))
        sql(store_url, "DELETE FROM published_checkpoint")
    assert not store.exists()
    with pytest.raises(FatalError) as caught:
        store.load()
    assert caught.value.code == "store_missing"
    store.close()


@pytest.mark.parametrize("spoil", ["note = 'no checkpoint'::bytea", "size = 7", "root = sha256('x')"])
def test_a_garbled_checkpoint_is_fatal(store, store_url, spoil):
    sql(store_url, f"UPDATE published_checkpoint SET {spoil}")
    with pytest.raises(FatalError) as caught:
        store.load()
    assert caught.value.code == "store_unreadable"


def test_it_answers_again_when_its_server_does(world, store, second_server):
    second_server.kill()
    for call in (store.load, store.exists, lambda: store.advance(0, EMPTY_ROOT, note(world, 1, root(1)))):
        with pytest.raises(UnavailableError) as caught:
            call()
        assert caught.value.code == "store_unavailable"
    second_server.start()
    assert store.advance(0, EMPTY_ROOT, note(world, 1, root(1)))
    assert store.load().size == 1


async def test_a_server_that_is_not_durable_is_refused(tmp_path, world):
    server = PostgresServer(memory_directory(), settings={"synchronous_commit": "off"}).start()
    try:
        store = PostgresqlCheckpointStore(server.create_database("store"))
        log = Database(f"sqlite:///{tmp_path}/log.sqlite3")
        with pytest.raises(ConfigurationError) as caught:
            store.check(log)
        assert caught.value.code == "not_durable"
        assert "checkpoint store" in caught.value.message
        await log.close()
        store.close()
    finally:
        server.remove()


# --- a broker with it ---


async def test_a_log_is_founded_and_served_with_it(tmp_path, empty_database, store_url):
    world = World()
    home = write_home(world, tmp_path / "home", database_url=empty_database, checkpoint_store=store_url)
    await found(world, home)
    async with running(world, home) as one, running(world, home) as two:
        messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(20)]
        nodes = (one.node, two.node)
        answers = await asyncio.gather(
            *(accept_message(nodes[i % 2], m.data) for i, m in enumerate(messages))
        )
        assert all(a.fresh for a in answers)
        await asyncio.gather(*(node.publisher.advance() for node in nodes))
        stored = one.node.store.load()
        assert stored.raw == one.node.publisher.published.raw == two.node.publisher.published.raw
        assert (await rebuild_views(one.node, check_only=True)).findings == ()


async def test_founding_anew_into_the_store_of_a_log_is_refused(tmp_path, store, store_url):
    """An empty database and a store that knows entries: a database that was lost, not a new log."""
    world = World()
    store.advance(0, EMPTY_ROOT, note(world, 5, root(5)))
    home = write_home(world, tmp_path / "home", checkpoint_store=store_url)
    with pytest.raises(FatalError) as caught:
        await found(world, home)
    assert caught.value.code == "database_behind_store"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_the_same_server_as_the_logs_is_refused(world, process_home, postgres_server):
    home, name = process_home, f"s{uuid4().hex}"
    url = postgres_server.create_database(name)
    store = PostgresqlCheckpointStore(url)
    store.create((home / "checkpoint" / "checkpoint").read_bytes())
    store.close()
    set_store(home, url)
    with pytest.raises(ConfigurationError) as caught:
        async with running(world, home):
            pass
    assert caught.value.code == "store_not_apart"
    done = run_cli("serve", "--home", home, "--port", "0")
    assert (done.returncode, "store_not_apart" in done.stderr) == (1, True)
    output = doctor(home, 1)
    assert "store_not_apart" in output
    assert "use another server" in output
    postgres_server.drop_database(name)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_founding_on_one_server_is_refused_before_anything_is_written(
    tmp_path, empty_database, postgres_server
):
    world = World()
    name = f"s{uuid4().hex}"
    url = postgres_server.create_database(name)
    home = write_home(world, tmp_path / "home", database_url=empty_database, checkpoint_store=url)
    with pytest.raises(ConfigurationError) as caught:
        await found(world, home)
    assert caught.value.code == "store_not_apart"
    store = PostgresqlCheckpointStore(url)
    assert not store.exists()
    store.close()
    postgres_server.drop_database(name)


def test_while_its_server_is_away_nothing_is_accepted_and_then_all_goes_on(world, apart, second_server):
    broker = HttpBroker(world, apart).start()
    client = broker.client()
    try:
        first, second = world.message(NAIROBI, [KAMPALA]), world.message(NAIROBI, [KAMPALA])
        assert client.post_message(first).status_code == 201
        second_server.kill()
        for answer in (client.post_message(second), client.request("GET", "/v1/ready")):
            client.problem(answer, "store_unavailable")
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
        second_server.start()
        # It was committed and could not be published: sent again, it is what it was.
        answer = client.post_message(second)
        client.refresh()
        client.verify_accepted(answer, second.document)
        assert answer.status_code == 200
        assert client.request("GET", "/v1/ready").status_code == 200
        assert client.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
        assert broker.broker.node.health.fatal is None
    finally:
        client.close()
        broker.stop()


async def test_a_node_starts_once_its_store_answers(world, apart, second_server):
    second_server.kill()
    with pytest.raises(UnavailableError) as caught:
        async with running(world, apart):
            pass
    assert caught.value.code == "store_unavailable"
    second_server.start()
    async with running(world, apart) as broker:
        assert (await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)).fresh


async def test_yesterdays_database_is_refused(world, process_home, store_url, tmp_path):
    home = process_home
    store = PostgresqlCheckpointStore(store_url)
    store.create((home / "checkpoint" / "checkpoint").read_bytes())
    set_store(home, store_url)
    assert "database and store agree" in doctor(home, 0)
    save(home, tmp_path / "yesterday")
    async with running(world, home) as broker:
        await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
    newest = store.load()
    restore(home, tmp_path / "yesterday")
    with pytest.raises(FatalError) as caught:
        async with running(world, home):
            pass
    assert caught.value.code == "database_behind_store"
    output = doctor(home, 3)
    assert "database_behind_store" in output
    assert "backup-and-restore.md" in output
    with pytest.raises(RuntimeError):
        BrokerProcess(world, home).wait_until_listening()
    # Whatever was tried, the store has not gone back.
    assert store.load().raw == newest.raw
    store.close()


async def test_a_missing_or_garbled_store_stops_a_running_broker_for_good(world, apart, store_url):
    async with running(world, apart) as broker:
        sql(store_url, "UPDATE published_checkpoint SET size = size + 1")
        with pytest.raises(UnavailableError) as caught:
            await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert caught.value.code == "fatal_state"
        assert broker.node.health.fatal.code == "store_unreadable"
