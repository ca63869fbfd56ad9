"""What strangers, and heavy but honest users, can make a broker spend; and what it says while it fails."""

import asyncio
import contextlib
import logging
import socket
import threading
import time

import pytest

from countermark_broker.api.body import BodyBudget
from countermark_broker.config import load_settings
from countermark_broker.errors import FatalError, NotStorableError, OverloadedError
from countermark_broker.log.appender import Appender
from countermark_broker.services import undelivered
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.deliver import read_page
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Caller
from countermark_broker.services.statements import read_directory_page
from countermark_broker.services.undelivered import beat_once, notify_once
from countermark_broker.store import reading
from countermark_broker.store.loading import load_state
from countermark_protocol.boxes import Box
from countermark_protocol.errors import MalformedError
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import AUTHORITY, found, running, write_home
from support.broker_process import BrokerProcess
from support.database import refuse_rows, sql
from support.short_lived import accept_expired
from support.world import BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI, World

REQUEST = bytes(32)


# --- logs ---


async def test_a_statement_that_cannot_be_stored_is_not_written_into_the_log(world, home, caplog):
    sealed = world.message(NAIROBI, [KAMPALA])
    refuse_rows(home, "messages")
    with caplog.at_level(logging.DEBUG, "countermark_broker"):
        async with running(world, home) as broker:
            with pytest.raises(NotStorableError):
                await accept_message(broker.node, sealed.data)
    assert "a statement cannot be appended" in caplog.text
    assert sealed.manifest.id not in caplog.text
    assert NAIROBI not in caplog.text


# --- commit order ---


async def test_the_published_root_is_recomputed_from_the_database_at_every_advance(world, home):
    """A database that is exchanged under a running broker is found before anything is signed over it."""
    async with running(world, home) as broker:
        ((data,),) = sql(home, "SELECT data FROM tiles WHERE level = 0 AND number = 0")
        changed = bytes([data[0] ^ 1]) + data[1:]
        sql(home, "UPDATE tiles SET data = :data WHERE level = 0 AND number = 0", data=changed)
        with pytest.raises(FatalError) as caught:
            await broker.node.publisher.advance()
        assert caught.value.code == "published_root_differs"


async def test_many_who_ask_at_once_share_one_look_at_the_store(world, home, monkeypatch):
    """`/v1/ready` is open to anyone; a thousand callers must not queue before the next commit's publishing."""
    async with running(world, home) as broker:
        loads, real = [], type(broker.node.store).load

        def load(store):
            loads.append(1)
            time.sleep(0.01)
            return real(store)

        monkeypatch.setattr(type(broker.node.store), "load", load)
        await asyncio.gather(*(broker.node.publisher.advance() for _ in range(200)))
        assert len(loads) <= 4


async def test_whoever_asks_later_gets_a_later_look(world, home, monkeypatch):
    """Sharing must never hand out a look that began before the question."""
    async with running(world, home) as broker, running(world, home) as other:
        began, go = threading.Event(), threading.Event()
        real = type(broker.node.store).load

        def load(store):
            out = real(store)
            if store is broker.node.store and not began.is_set():
                began.set()
                assert go.wait(60)
            return out

        monkeypatch.setattr(type(broker.node.store), "load", load)
        first = asyncio.create_task(broker.node.publisher.advance())
        assert await asyncio.to_thread(began.wait, 60)
        answer = await accept_message(other.node, world.message(NAIROBI, [KAMPALA]).data)
        second = asyncio.create_task(broker.node.publisher.advance())
        await asyncio.sleep(0)
        go.set()
        await first
        assert (await second).size > answer.accepted.inclusion.index


# --- HTTP ---


def test_no_path_is_redirected(api):
    """A redirect would carry a signed request, or a body, to wherever a Host header says."""
    for method, path in (("GET", "/v1/health/"), ("POST", "/v1/messages/"), ("GET", "/metrics/")):
        answer = api.http.request(method, path, headers={"Host": "evil.example.org"})
        assert api.problem(answer, "unknown_path").status == 404
        assert "location" not in answer.headers


def test_a_wrong_method_is_told_the_right_ones(api):
    answer = api.request("DELETE", "/v1/messages")
    assert api.problem(answer, "unknown_method").status == 405
    assert answer.headers["allow"] == "POST"


async def test_a_body_that_never_ends_is_given_up():
    """Else a few idle connections hold the memory for bodies, and everybody else gets 429."""

    class Request:
        def __init__(self, parts):
            self.headers, self.parts, self.scope = {}, parts, {}

        async def stream(self):
            for part in self.parts:
                yield part
                await asyncio.sleep(0.01)

    budget = BodyBudget(2000, timeout_s=0.2)
    with pytest.raises(MalformedError) as caught:
        async with budget.body_of(Request([b"x"] * 1000), 10**6):
            pytest.fail("a body that never ends was read")
    assert caught.value.code == "truncated_body"
    async with budget.body_of(Request([bytes(1000)]), 1000) as data:
        assert len(data) == 1000


def test_headers_are_bounded(world, process_home):
    broker = BrokerProcess(world, process_home).wait_until_listening()
    try:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=20) as connection:
            answer = b""
            with contextlib.suppress(ConnectionError):
                connection.sendall(f"GET /v1/health HTTP/1.1\r\nHost: {AUTHORITY}\r\nX: ".encode())
                for _ in range(64):
                    connection.sendall(b"a" * 65536)
                connection.sendall(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                answer = connection.recv(1000)
            assert not answer.startswith(b"HTTP/1.1 200")
        client = broker.client()
        assert client.request("GET", "/v1/health").status_code == 200
        client.close()
    finally:
        broker.stop()


# --- heavy use ---


async def test_a_page_is_bounded_by_what_it_costs(world, broker, monkeypatch):
    """Five messages to many: as many a page as the bound allows, never none, and nothing is skipped."""
    node, caller = broker.node, Caller(LYON, REQUEST)
    for _ in range(5):
        await accept_message(node, world.message(NAIROBI, [KAMPALA, BRUSSELS, LYON, MOMBASA]).data)
    pages, first = [], 0
    monkeypatch.setattr(reading, "MAX_PAGE_COST", 1)
    while True:
        page = await read_page(node, broker.listeners, caller, LYON, Box.ROUTINE, first, 100, 0)
        if not page.entries:
            break
        pages.append(len(page.entries))
        first += len(page.entries)
    assert pages == [1] * 5
    monkeypatch.undo()
    whole = await read_page(node, broker.listeners, caller, LYON, Box.ROUTINE, 0, 100, 0)
    assert len(whole.entries) == 5


async def test_a_directory_page_is_bounded_by_its_bytes(world, broker, monkeypatch):
    node = broker.node
    whole = await read_directory_page(node, 0, 500)
    assert whole.complete
    monkeypatch.setattr(reading, "MAX_PAGE_COST", 1)
    got = []
    while True:
        page = await read_directory_page(node, len(got), 500)
        assert len(page.statements) == 1
        got += page.statements
        if page.complete:
            break
    assert tuple(got) == whole.statements


async def test_a_receipt_loads_its_author_and_not_the_whole_broadcast(world, broker, monkeypatch):
    """256 items of messages to 1,000 recipients each must not load 256,000 rows under the lock."""
    node = broker.node
    sealed = world.message(NAIROBI, [KAMPALA, LYON])
    await accept_message(node, sealed.data)
    seen = []

    def spied(*arguments):
        state = load_state(*arguments)
        seen.extend(m for m in state.messages.values() if m is not None)
        return state

    monkeypatch.setattr("countermark_broker.log.appender.load_state", spied)
    await accept_receipt(node, world.receipt(KAMPALA, [sealed]), Caller(KAMPALA, REQUEST))
    assert [set(m.deliveries) for m in seen] == [{KAMPALA}]
    await accept_receipt(
        node, world.receipt(KAMPALA, [sealed], ReceiptStage.ACCEPTED), Caller(KAMPALA, REQUEST)
    )
    await accept_receipt(node, world.receipt(LYON, [sealed]), Caller(LYON, REQUEST))


# --- the watch ---


@pytest.fixture
async def short(tmp_path, empty_database):
    world = World(grace_ms=0)
    settings = {"heartbeat_ms": 3_600_000, "heartbeat_gap_ms": 7_200_000, "undelivered_batch": 1}
    home = write_home(world, tmp_path / "home", database_url=empty_database, **settings)
    await found(world, home)
    return world, home


async def test_no_notice_while_the_last_beat_is_older_than_a_gap(short):
    """A process that stood still between its beat and its notices was away, whether or not it has beaten since."""
    world, home = short
    async with running(world, home) as broker:
        await accept_expired(world, broker.node, [KAMPALA])
        sql(home, "UPDATE heartbeat SET last = last - 10800000, gap_end = gap_end - 10800000")
        assert await notify_once(broker.node) == 0
        await beat_once(broker.node)
        assert await notify_once(broker.node) == 1


async def test_the_heart_beats_between_batches(short, monkeypatch):
    """A long list of notices must not look like an absence of the broker."""
    world, home = short
    beats = []
    real = undelivered.beat_once

    async def counted(node):
        beats.append(1)
        await real(node)

    async with running(world, home) as broker:
        await accept_expired(world, broker.node, [KAMPALA, BRUSSELS])
        monkeypatch.setattr(undelivered, "beat_once", counted)
        task = asyncio.create_task(undelivered.keep_watch(broker.node))
        while broker.node.metrics.undelivered._value.get() < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(beats) >= 2


async def test_the_watch_survives_a_defect(short, monkeypatch):
    """Else one unforeseen error would silently end heartbeat and notices for good."""
    world, home = short
    write_home(world, home, heartbeat_ms=20, database_url=load_settings(home, {}).database)
    real, failed = undelivered.notify_once, []

    async def failing(node):
        if not failed:
            failed.append(1)
            msg = "unforeseen"
            raise RuntimeError(msg)
        return await real(node)

    async with running(world, home) as broker:
        await accept_expired(world, broker.node, [KAMPALA])
        monkeypatch.setattr(undelivered, "notify_once", failing)
        task = asyncio.create_task(undelivered.keep_watch(broker.node))
        for _ in range(200):
            await asyncio.sleep(0.02)
            if task.done() or broker.node.metrics.undelivered._value.get():
                break
        assert not task.done()
        assert broker.node.metrics.undelivered._value.get() == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- shares ---


async def test_a_group_is_bounded_by_the_items_of_its_receipts(world, home, monkeypatch):
    """A receipt of 256 items costs what a message to 256 recipients does."""
    write_home(world, home, max_group_recipients=3, database_url=load_settings(home, {}).database)
    async with running(world, home) as broker:
        node = broker.node
        sent = [world.message(NAIROBI, [KAMPALA]) for _ in range(8)]
        for sealed in sent:
            await accept_message(node, sealed.data)
        groups, real = [], Appender.commit

        def commit(appender, group):
            groups.append(len(group))
            return real(appender, group)

        monkeypatch.setattr(Appender, "commit", commit)
        receipts = [world.receipt(KAMPALA, sent[i : i + 2]) for i in range(0, 8, 2)]
        await asyncio.gather(*(accept_receipt(node, r, Caller(KAMPALA, REQUEST)) for r in receipts))
        assert groups == [1] * 4


def test_one_endpoint_cannot_take_all_places_to_wait():
    listeners = Listeners(10, 2)
    with listeners.waiting((KAMPALA, Box.ROUTINE)), listeners.waiting((KAMPALA, Box.URGENT)):
        with pytest.raises(OverloadedError) as caught, listeners.waiting((KAMPALA, Box.SENT)):
            pass
        assert caught.value.code == "too_many_listeners"
        with listeners.waiting((NAIROBI, Box.ROUTINE)):
            assert listeners.count == 3
    with listeners.waiting((KAMPALA, Box.SENT)):
        assert listeners.count == 1
    assert listeners.count == 0
