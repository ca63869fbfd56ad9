"""Codecs, tile growth, the checkpoint store's compare-and-swap, and durability."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text

from countermark_broker.errors import ConfigurationError, FatalError, NotStorableError, UnavailableError
from countermark_broker.log import checkpoint_store
from countermark_broker.log.checkpoint_store import FileCheckpointStore
from countermark_broker.store.codec import encode_frontier, encode_rows, parse_frontier, parse_rows
from countermark_broker.store.engine import Database, database_now
from countermark_broker.store.tiles import edge_places, grow, places_for
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.errors import MalformedError, ProofError
from countermark_protocol.merkle import (
    EMPTY_ROOT,
    Frontier,
    inclusion_path,
    leaf_hash,
    root_of,
    verify_inclusion,
)
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.tiles import TileHashes
from support.postgresql import PostgresServer
from support.world import KAMPALA, LYON, ORIGIN, signer

LEAVES = [leaf_hash(i.to_bytes(4, "big")) for i in range(70_000)]


def test_rows_round_trip():
    rows = (
        RecipientRow(bytes([1] * 32), KAMPALA, bytes([2] * 32), bytes([3] * 32)),
        RecipientRow(bytes([4] * 32), LYON, bytes([5] * 32), bytes([6] * 32)),
    )
    assert parse_rows(encode_rows(rows)) == rows
    assert parse_rows(encode_rows(())) == ()
    for damaged in (b"", encode_rows(rows)[:-1], encode_rows(rows) + b"x", b"\x00\x01" + bytes(40)):
        with pytest.raises(MalformedError):
            parse_rows(damaged)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 1000])
def test_frontier_round_trips(size):
    frontier = Frontier().extend(LEAVES[:size])
    assert parse_frontier(size, encode_frontier(frontier)) == frontier
    if size:
        with pytest.raises(ProofError):
            parse_frontier(size, encode_frontier(frontier) + bytes(32))


@pytest.mark.parametrize("total", [1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000])
def test_tiles_grown_in_groups_are_those_grown_at_once(total):
    dice, size, stored = random.Random(total), 0, {}
    while size < total:
        step = min(dice.choice([1, 2, 100, 256, 300, 20_000]), total - size)
        edge = {place: stored[place] for place in edge_places(size)}
        stored |= grow(edge, size, LEAVES[size : size + step])
        size += step
    assert stored == grow({}, 0, LEAVES[:total])
    hashes = TileHashes(lambda level, number, width: stored[level, number][: 32 * width], total)
    root = Frontier().extend(LEAVES[:total]).root()
    assert hashes.root_at(total) == root
    for index in {0, total // 2, total - 1}:
        asked = set()

        def fetch(level, number, width, asked=asked):
            asked.add((level, number))
            return stored[level, number][: 32 * width]

        path = inclusion_path(TileHashes(fetch, total).get, index, total)
        verify_inclusion(LEAVES[index], index, total, path, root)
        # One query brings all tiles that a path needs.
        assert asked <= places_for(index, total)


def note(size, root):
    key = signer("log")
    return sign_checkpoint(ORIGIN, size, root, key.sign, key.public_key.raw)


def test_the_store_advances_by_compare_and_swap(tmp_path):
    store = FileCheckpointStore(tmp_path / "store")
    with pytest.raises(FatalError) as caught:
        store.load()
    assert caught.value.code == "store_missing"
    store.create(note(0, EMPTY_ROOT))
    with pytest.raises(ConfigurationError):
        store.create(note(0, EMPTY_ROOT))
    roots = {n: root_of(LEAVES[:n]) for n in (1, 2)}
    assert store.advance(0, EMPTY_ROOT, note(1, roots[1]))
    assert not store.advance(0, EMPTY_ROOT, note(2, roots[2]))
    assert not store.advance(1, roots[2], note(2, roots[2]))
    assert store.load().size == 1
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_of_many_who_advance_at_once_one_wins(tmp_path):
    store = FileCheckpointStore(tmp_path)
    store.create(note(0, EMPTY_ROOT))
    notes = [note(n, root_of(LEAVES[:n])) for n in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: FileCheckpointStore(tmp_path).advance(0, EMPTY_ROOT, n), notes))
    assert sum(won) == 1
    assert store.load().raw == notes[won.index(True)]


def test_a_lock_that_nobody_lets_go_of_is_waited_for_only_so_long(tmp_path, monkeypatch):
    """A frozen node of the same machine may hold it."""
    monkeypatch.setattr(checkpoint_store, "_LOCK_S", 0.05)
    store = FileCheckpointStore(tmp_path)
    store.create(note(0, EMPTY_ROOT))
    with store._locked():
        with pytest.raises(UnavailableError) as caught:
            FileCheckpointStore(tmp_path).advance(0, EMPTY_ROOT, note(1, root_of(LEAVES[:1])))
        assert caught.value.code == "store_unavailable"
        assert store.load().size == 0
    assert store.advance(0, EMPTY_ROOT, note(1, root_of(LEAVES[:1])))


async def test_durability_is_demanded(empty_database):
    database = Database(empty_database)
    found = database.check_durability()
    if database.kind == "sqlite":
        assert found == {"journal_mode": "wal", "synchronous": "2"}
    else:
        assert (found["fsync"], found["full_page_writes"], found["synchronous_commit"]) == ("on", "on", "on")
    await database.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqlite:///:memory:", "not_durable"),
        ("sqlite://", "not_durable"),
        ("sqlite:///file:x?mode=memory&uri=true", "not_durable"),
        ("sqlite+aiosqlite:///x", "unknown_database"),
        ("postgresql://localhost/x", "unknown_database"),
        ("mysql://localhost/x", "unknown_database"),
        ("nonsense", "bad_configuration"),
    ],
)
def test_other_databases_are_refused(url, code):
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert caught.value.code == code


SPOILT = [
    ("sqlite", "PRAGMA synchronous=OFF"),
    ("sqlite", "PRAGMA synchronous=NORMAL"),
    ("sqlite", "PRAGMA journal_mode=DELETE"),
    ("postgresql", "SET synchronous_commit = off"),
    ("postgresql", "SET synchronous_commit = local"),
]


@pytest.mark.parametrize(("database_kind", "spoil"), SPOILT, indirect=["database_kind"])
async def test_a_database_that_is_not_durable_is_refused(empty_database, spoil):
    database = Database(empty_database)

    @event.listens_for(database._writers, "connect")
    def connected(connection, _record):
        connection.cursor().execute(spoil)
        if database.kind == "postgresql":
            connection.commit()

    with pytest.raises(ConfigurationError) as caught:
        database.check_durability()
    assert caught.value.code == "not_durable"
    await database.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_does_not_sync_is_refused(setting):
    server = PostgresServer(settings={setting: "off"}).start()
    try:
        database = Database(server.url("postgres"))
        with pytest.raises(ConfigurationError) as caught:
            database.check_durability()
        assert caught.value.code == "not_durable"
        assert setting in str(caught.value)
        await database.close()
    finally:
        server.remove()


async def test_errors_of_the_database_are_told_apart(empty_database):
    database = Database(empty_database, busy_timeout_ms=100)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE t (a TEXT UNIQUE, b INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES ('x', 1)"))
    for column, value in (("a", "x"), ("b", 2**70), ("a", "\ud800")):
        with pytest.raises(NotStorableError), database.writing() as connection:
            connection.execute(text(f"INSERT INTO t ({column}) VALUES (:v)"), {"v": value})
    with database.writing() as connection:
        connection.execute(text("UPDATE t SET b = 2"))
        with pytest.raises(UnavailableError), database.writing() as other:
            other.execute(text("UPDATE t SET b = 3"))
    await database.close()


async def test_a_server_that_comes_back_is_used_again():
    server = PostgresServer().start()
    try:
        database = Database(server.url("postgres"))
        assert await database.read(database_now) > 0
        server.kill()
        with pytest.raises(UnavailableError):
            await database.read(database_now)
        server.start()
        assert await database.read(database_now) > 0
        await database.close()
    finally:
        server.remove()


async def test_a_closed_database_opens_no_connection_that_nobody_would_close(tmp_path):
    """Whoever was cancelled leaves a thread behind, which may come to the database only now."""
    database = Database(f"sqlite:///{tmp_path / 'one.sqlite3'}")
    await database.close()
    for use in (database.reading, database.writing):
        with pytest.raises(UnavailableError) as caught, use():
            pass
        assert caught.value.code == "stopping"
    with pytest.raises(UnavailableError):
        database.announce(1)
