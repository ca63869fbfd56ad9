"""Codecs, tile growth, the checkpoint store's compare-and-swap, and durability."""

import asyncio
import random

import pytest
from sqlalchemy import event, text

from countermark_broker.errors import ConfigurationError, FatalError, NotStorableError, UnavailableError
from countermark_broker.log.checkpoint_store import FileCheckpointStore
from countermark_broker.store.codec import encode_frontier, encode_rows, parse_frontier, parse_rows
from countermark_broker.store.engine import Database, check_durability
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


async def test_the_store_advances_by_compare_and_swap(tmp_path):
    store = FileCheckpointStore(tmp_path / "store")
    with pytest.raises(FatalError) as caught:
        await store.load()
    assert caught.value.code == "store_missing"
    await store.create(note(0, EMPTY_ROOT))
    with pytest.raises(ConfigurationError):
        await store.create(note(0, EMPTY_ROOT))
    roots = {n: root_of(LEAVES[:n]) for n in (1, 2)}
    assert await store.advance(0, EMPTY_ROOT, note(1, roots[1]))
    assert not await store.advance(0, EMPTY_ROOT, note(2, roots[2]))
    assert not await store.advance(1, roots[2], note(2, roots[2]))
    assert (await store.load()).size == 1
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


async def test_of_many_who_advance_at_once_one_wins(tmp_path):
    store = FileCheckpointStore(tmp_path)
    await store.create(note(0, EMPTY_ROOT))
    notes = [note(n, root_of(LEAVES[:n])) for n in range(1, 17)]
    others = [FileCheckpointStore(tmp_path) for _ in notes]
    won = await asyncio.gather(*(s.advance(0, EMPTY_ROOT, n) for s, n in zip(others, notes, strict=True)))
    assert sum(won) == 1
    assert (await store.load()).raw == notes[won.index(True)]


async def test_durability_is_demanded(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/a.sqlite3")
    assert await check_durability(database) == {
        "journal_mode": "wal",
        "synchronous": "2",
        "foreign_keys": "1",
    }
    await database.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqlite+aiosqlite:///:memory:", "not_durable"),
        ("sqlite+aiosqlite://", "not_durable"),
        ("sqlite+aiosqlite:///file:x?mode=memory&uri=true", "not_durable"),
        ("sqlite:///x", "unknown_database"),
        ("nonsense", "bad_configuration"),
    ],
)
def test_other_databases_are_refused(url, code):
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "pragma", ["synchronous=OFF", "synchronous=NORMAL", "journal_mode=DELETE", "foreign_keys=OFF"]
)
async def test_a_database_that_is_not_durable_is_refused(tmp_path, pragma):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/a.sqlite3")

    @event.listens_for(database._writers.sync_engine, "connect")
    def spoil(connection, _record):
        connection.cursor().execute(f"PRAGMA {pragma}")

    with pytest.raises(ConfigurationError) as caught:
        await check_durability(database)
    assert caught.value.code == "not_durable"
    await database.close()


async def test_errors_of_the_database_are_told_apart(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/a.sqlite3", busy_timeout_ms=100)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE t (a TEXT UNIQUE)"))
        await connection.execute(text("INSERT INTO t VALUES ('x')"))
    for value in ("x", 2**70, "\ud800"):
        with pytest.raises(NotStorableError):
            async with database.write() as connection:
                await connection.execute(text("INSERT INTO t VALUES (:v)"), {"v": value})
    async with database.write():
        with pytest.raises(UnavailableError):
            async with database.write():
                pass
    await database.close()
