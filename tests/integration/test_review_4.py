"""What a review found: bulk submission under quotas, bounds and slow readers; repeats; restores; heartbeats."""

import asyncio
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from countermark_broker.api import bulk as api_bulk
from countermark_broker.errors import FatalError, QuotaExceededError, UnavailableError
from countermark_broker.log.archive import open_archive, write_archive
from countermark_broker.log.verifier import OWN_WORK
from countermark_broker.services import bulk
from countermark_broker.services.accept import accept_directory, accept_message
from countermark_broker.services.backup import create_backup, restore_backup
from countermark_broker.services.bulk import accept_bulk
from countermark_broker.services.fsck import check_everything
from countermark_broker.store.engine import database_now
from countermark_broker.store.heartbeat import beat, read_beat
from countermark_protocol.bulk import encode_frames
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.errors import SignatureError
from countermark_protocol.submission import MAX_SUBMISSION_BYTES
from support.broker_fixtures import HttpBroker, running, with_node
from support.database import is_sqlite, restore, save, sql
from support.world import BRUSSELS, KAMPALA, NAIROBI, signer

only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def set_up(home, **settings):
    path = home / "broker.toml"
    path.write_text(path.read_text() + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return home


async def verdicts(node, messages):
    async def frames():
        yield [message.data for message in messages]

    return [verdict async for part in accept_bulk(node, frames(), OWN_WORK) for verdict in part]


async def test_a_directory_statement_sent_again_is_answered_with_the_proof_of_the_same_leaf(world, broker):
    data = world.policy_statement()
    first = await accept_directory(broker.node, data)
    # Its `prev` does not fit any more: it is what it changed.
    again = await accept_directory(broker.node, data)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.accepted.inclusion.leaf == first.accepted.inclusion.leaf
    await accept_directory(broker.node, world.policy_statement())
    assert (
        await accept_directory(broker.node, data)
    ).accepted.inclusion.index == first.accepted.inclusion.index


async def test_in_a_stream_a_repeat_costs_nothing_even_where_nothing_is_left(world, home):
    async with running(world, set_up(home, quota_messages=2)) as broker:
        messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(3)]
        first = await verdicts(broker.node, messages)
        assert [type(v).__name__ for v in first] == ["Answer", "Answer", "QuotaExceededError"]
        again = await verdicts(broker.node, [*messages[::-1]])
        assert isinstance(again[0], QuotaExceededError)
        assert [v.fresh for v in again[1:]] == [False, False]
        assert [v.accepted.inclusion.leaf for v in again[:0:-1]] == [
            v.accepted.inclusion.leaf for v in first[:2]
        ]


@only_sqlite
async def test_in_a_stream_what_the_node_could_not_commit_costs_nothing(world, home, monkeypatch):
    async with running(world, set_up(home, quota_messages=2)) as broker:
        node = broker.node

        def fail(_items):
            raise UnavailableError("clock_differs", "the clock differs")

        with monkeypatch.context() as failing:
            failing.setattr(node.sequencer._appender, "commit", fail)
            messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(2)]
            assert [v.code for v in await verdicts(node, messages)] == ["clock_differs"] * 2
        assert node.quotas.state_of(NAIROBI)["exercise-messages"]["left"] == 2
        assert (await accept_message(node, messages[0].data)).fresh


@only_sqlite
@pytest.mark.parametrize("limit", [{"max_verifying_each": 16}, {"max_verifying": 5}])
async def test_a_small_verification_queue_takes_a_stream_in_smaller_parts(world, home, limit):
    async with running(world, set_up(home, **limit)) as broker:
        found = await verdicts(broker.node, [world.message(NAIROBI, [KAMPALA]) for _ in range(70)])
        assert [v.fresh for v in found] == [True] * 70


@only_sqlite
async def test_a_stream_that_is_left_leaves_no_task_behind(world, broker, monkeypatch):
    monkeypatch.setattr(bulk, "_PARTS_AHEAD", 1)
    monkeypatch.setattr(bulk, "_PART", 1)

    async def frames():
        yield [message.data for message in messages]

    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(10)]
    stream = accept_bulk(broker.node, frames(), OWN_WORK)
    await anext(stream)
    # The reading of the stream goes on until there is no room for more.
    while broker.node.publisher.published.size < 20 or broker.node.verifier.waiting:
        await asyncio.sleep(0.01)
    await stream.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "bulk"]


def open_stream(port, body_length, receive_buffer=0, connection="close"):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(600)  # all of a long body, on a busy machine
    client.connect(("127.0.0.1", port))
    head = f"POST /v1/messages/bulk HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {body_length}\r\n\r\n"
    client.sendall(head.encode())
    return client


def read_all(connection):
    out = b""
    # The answer may end before the request does: then the connection goes on.
    while not out.endswith(b"\r\n0\r\n\r\n") and (piece := connection.recv(1 << 20)):
        out += piece
    return out


@only_sqlite
@pytest.mark.parametrize("count", [5_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_whoever_reads_nothing_before_everything_is_sent_gets_all_whatever_the_buffers_hold(
    world, http_broker, count
):
    """5,000 verdicts are 5.5 MB; the broker's system holds 4 MB of them at most, and the client's 16 kB."""
    body = encode_frames([world.message(NAIROBI, [KAMPALA]).data for _ in range(10)] * (count // 10))
    with open_stream(http_broker.port, len(body), receive_buffer=16_384) as connection:
        connection.sendall(body)
        answer = read_all(connection)
    assert answer.count(b'"number":') == count
    assert answer.count(b'"status":201') == 10


@only_sqlite
def test_beyond_what_is_kept_unread_the_sender_is_held_back_by_the_verdicts(world, http_broker, monkeypatch):
    monkeypatch.setattr(api_bulk, "_MOST_UNREAD", 1024)
    monkeypatch.setattr(api_bulk, "_MOST_HELD", 16 * 1024)
    body = encode_frames([world.message(NAIROBI, [KAMPALA]).data for _ in range(10)] * 100)
    with open_stream(http_broker.port, len(body)) as connection, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(connection.sendall, body)
        answer = read_all(connection)
        sending.result()
    assert answer.count(b'"number":') == 1000


@only_sqlite
def test_beginnings_of_submissions_are_counted_like_bodies(world, home):
    """Else as much of each as a submission may have would be held on every connection, by nobody's leave."""
    broker = HttpBroker(world, set_up(home, max_bodies_each_mib=8)).start()
    streams = []
    try:
        beginning = MAX_SUBMISSION_BYTES.to_bytes(4) + bytes(MAX_SUBMISSION_BYTES - 1)
        for _ in range(2):
            streams.append(open_stream(broker.port, 2 * MAX_SUBMISSION_BYTES, connection="keep-alive"))
            streams[-1].sendall(beginning)
        answer = read_all(streams[1])
        assert b'"number":0,"status":429' in answer
        assert b"too_much_body" in answer
        # What was held is given back with its stream.
        for stream in streams:
            stream.close()
        body = encode_frames([world.message(NAIROBI, [KAMPALA]).data])
        with open_stream(broker.port, len(body)) as connection:
            connection.sendall(body)
            assert b'"status":201' in read_all(connection)
    finally:
        for stream in streams:
            stream.close()
        broker.stop()


@only_sqlite
def test_a_submission_that_does_not_come_ends_its_stream(world, home):
    broker = HttpBroker(world, set_up(home, body_timeout_s=1)).start()
    try:
        good = encode_frames([world.message(NAIROBI, [KAMPALA]).data])
        with open_stream(broker.port, 2 * len(good)) as connection:
            connection.sendall(good + good[:-1])
            answer = read_all(connection)
        assert b'"number":0,"status":201' in answer
        assert b'"number":1,"status":400' in answer
        assert b"truncated_body" in answer
    finally:
        broker.stop()


@pytest.fixture
async def yesterday(world, home, tmp_path):
    """A home at an earlier state of its log, store included, and a backup of the later one."""
    save(home, tmp_path / "before")
    shutil.copytree(home / "checkpoint", tmp_path / "store")
    async with running(world, home) as broker:
        for _ in range(3):
            await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        await create_backup(broker.node, tmp_path / "kept")
    restore(home, tmp_path / "before")
    shutil.rmtree(home / "checkpoint")
    shutil.copytree(tmp_path / "store", home / "checkpoint")
    return tmp_path / "kept"


@pytest.mark.parametrize("wrong", ["signature", "root"])
async def test_a_restore_that_is_refused_leaves_the_database_as_it_was(
    world, home, tmp_path, yesterday, wrong
):
    """Else the next start would publish entries that no node has accepted."""
    with open_archive(yesterday) as archive:
        stated, mallory = archive.checkpoint, signer("mallory")
        note = sign_checkpoint(stated.origin, stated.size, stated.root, mallory.sign, mallory.public_key.raw)
        entries = list(archive.entries())
        if wrong == "root":
            note = stated.raw
            entries[-1] = replace(
                entries[-1], record=replace(entries[-1].record, leaf=entries[-2].record.leaf)
            )
        write_archive(tmp_path / "forged", archive.header, entries, note)
    before = sql(home, "SELECT size FROM head")
    with pytest.raises((SignatureError, FatalError)):
        await with_node(world, home, lambda node: restore_backup(node, tmp_path / "forged"))
    assert sql(home, "SELECT size FROM head") == before
    async with running(world, home) as broker:
        assert (broker.node.publisher.published.size,) == before[0]
    restored = await with_node(world, home, lambda node: restore_backup(node, yesterday))
    assert (restored.added, restored.findings) == (3, ())


async def test_what_has_gone_from_beside_entries_is_brought_back_by_a_backup(world, home, tmp_path):
    async with running(world, home) as broker:
        for _ in range(3):
            await accept_message(broker.node, world.message(NAIROBI, [KAMPALA, BRUSSELS]).data)
        await create_backup(broker.node, tmp_path / "kept")
    whole = sql(home, "SELECT message, recipient FROM stanzas ORDER BY 1, 2")
    sql(home, "DELETE FROM contents", "DELETE FROM stanzas WHERE recipient = 'ug.contact.kampala'")
    found = await with_node(world, home, check_everything)
    assert {finding.code for finding in found.findings} == {"stanza_missing", "content_missing"}
    restored = await with_node(world, home, lambda node: restore_backup(node, tmp_path / "kept"))
    assert (restored.added, restored.findings) == (0, ())
    assert sql(home, "SELECT message, recipient FROM stanzas ORDER BY 1, 2") == whole
    assert (await with_node(world, home, check_everything)).findings == ()


only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@only_postgresql
async def test_two_nodes_that_beat_for_the_very_first_time_at_once(world, home):
    sql(home, "DELETE FROM heartbeat")
    together = threading.Barrier(2)

    def change(connection):
        read_beat(connection)
        together.wait(10)
        return beat(connection, 60_000)

    async def both(node):
        return await asyncio.gather(*(node.database.write(change) for _ in range(2)))

    beats = await with_node(world, home, both)
    assert len({one.gap_end for one in beats}) == 1


@only_postgresql
async def test_a_beat_that_waited_for_another_is_no_sign_of_absence(world, home):
    """Else nodes that beat at the same moment would keep delaying every notice by its grace."""
    async with running(world, home) as broker:
        node = broker.node
        first = await node.database.read(read_beat)
        locked, waiting = threading.Event(), threading.Event()

        def slow(connection):
            beat(connection, 60_000)
            locked.set()
            assert waiting.wait(10)
            connection.execute(text("SELECT pg_sleep(0.1)"))
            return beat(connection, 60_000)

        def quick(connection):
            database_now(connection)
            waiting.set()
            return beat(connection, 60_000)

        one = asyncio.create_task(node.database.write(slow))
        await asyncio.to_thread(locked.wait, 10)
        other = await node.database.write(quick)
        assert (await one).gap_end == other.gap_end == first.gap_end


@only_postgresql
async def test_an_append_waits_neither_for_slow_readers_nor_for_other_writers(world, home):
    async with running(world, set_up(home, reader_connections=2)) as broker:
        database, go = broker.node.database, threading.Event()

        def slow(connection):
            database_now(connection)
            return go.wait(60)

        tasks = [asyncio.create_task(database.read(slow)) for _ in range(2)]
        tasks += [asyncio.create_task(database.write(slow)) for _ in range(3)]
        try:
            assert (await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)).fresh
        finally:
            go.set()
        assert all(await asyncio.gather(*tasks))


async def test_fsck_misses_no_recipient_rows(world, home):
    async with running(world, home) as broker:
        await accept_message(broker.node, world.message(NAIROBI, [KAMPALA, BRUSSELS]).data)
        [index] = [row[0] for row in sql(home, "SELECT max(entry) FROM entries")]
    # Whoever removes all three leaves nothing that could be missing.
    sql(home, f"DELETE FROM stanzas WHERE message = {index}", f"DELETE FROM contents WHERE message = {index}")
    empty = "x'0000'" if is_sqlite(home) else "'\\x0000'"
    sql(home, f"UPDATE entries SET recipient_rows = {empty} WHERE entry = {index}")
    found = await with_node(world, home, check_everything)
    assert [finding.code for finding in found.findings] == ["entry_unreadable"]
