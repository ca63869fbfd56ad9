"""A node has witnessed checkpoints stamped by real authorities over HTTP, and goes on whatever becomes of those."""

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from countermark_broker.config import load_settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.services import stamping
from countermark_broker.services.accept import accept_message
from countermark_broker.services.maintenance import examine
from countermark_broker.services.stamping import Stamping
from countermark_broker.store.cosigned import CosignedRow, write_cosigned
from countermark_broker.store.migrate import find_migrations
from countermark_broker.store.stamps import (
    StampRow,
    claim,
    keep_failure,
    keep_stamp,
    read_authorities,
    read_stamps,
)
from countermark_protocol.stamp_history import parse_stamp_history
from countermark_protocol.timestamps import parse_stamp, parse_tsa_roots, verify_stamp
from support.broker_fixtures import AUTHORITY, found, running, write_home
from support.tsa import REPLY, Tsa, reply, serving
from support.world import KAMPALA, NAIROBI, World

NOTE = b"a note with cosignatures\n"


@pytest.fixture(scope="module")
def east():
    return Tsa("East Time")


@pytest.fixture
def tsa(east):
    east.faults, east.asked = {}, 0
    return east


def stamping_of(broker, urls, roots, **settings):
    """The stamping of a node with other settings."""
    home = broker.node.settings.home
    (home / "roots.pem").write_bytes(roots)
    values = {"timestamp_authorities": urls, "timestamp_roots": Path("roots.pem")} | settings
    return Stamping(replace(broker.node, settings=broker.node.settings.model_copy(update=values)))


async def cosigned(broker, size=5, minute=100, note=NOTE):
    await broker.node.database.write(write_cosigned, CosignedRow(minute, size, note))


async def rows(broker):
    return await broker.node.database.read(read_stamps, 0, 100)


async def state(broker):
    (row,) = await broker.node.database.read(read_authorities)
    return row


def later(monkeypatch, broker, seconds):
    now = broker.node.clock.now_ms()
    monkeypatch.setattr(type(broker.node.clock), "now_ms", lambda _self: now + seconds * 1000)


async def test_the_newest_witnessed_checkpoint_is_stamped(broker, tsa, monkeypatch):
    with serving(tsa) as url:
        stamper = stamping_of(broker, {"east": url}, tsa.roots)
        assert not await stamper.stamp_once("east")  # nothing is witnessed
        await cosigned(broker)
        assert await stamper.stamp_once("east")
        (row,) = await rows(broker)
        assert (row.authority, row.size, row.note) == ("east", 5, NOTE)
        verify_stamp(parse_stamp(row.response, NOTE), parse_tsa_roots(tsa.roots))
        # Not again before the hour has passed, nor after it where nothing has grown.
        assert not await stamper.stamp_once("east")
        await cosigned(broker, size=6, minute=101)
        assert not await stamper.stamp_once("east")
        later(monkeypatch, broker, 3_600)
        tsa.faults["time"] = datetime.now(UTC) + timedelta(hours=1)
        assert await stamper.stamp_once("east")
        assert not await stamper.stamp_once("east")
        assert [row.size for row in await rows(broker)] == [5, 6]
    assert tsa.asked == 2


def garbage(handler, _body):
    reply(handler, b"\x30\x03\x02\x01")


def gigabyte(handler, _body):
    """A gigabyte, of which no more than what fits into buffers is ever taken."""
    handler.send_response(200)
    handler.send_header("Content-Type", REPLY)
    handler.send_header("Content-Length", str(2**30))
    handler.end_headers()
    try:
        for _ in range(2**14):
            handler.wfile.write(bytes(2**16))
    except OSError:
        pass


def away(handler, _body):
    handler.connection.close()


def trickle(handler, _body):
    """Headers, and then a byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Type", REPLY)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"\x30")
            time.sleep(0.02)
    except OSError:
        pass


def page(handler, _body):
    reply(handler, b"<html>", kind="text/html")


def error(handler, _body):
    reply(handler, b"", status=503)


def elsewhere(handler, _body):
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (garbage, "bad_stamp"),
        (gigabyte, "tsa_too_large"),
        (away, "tsa_away"),
        (trickle, "tsa_timeout"),
        (page, "tsa_type"),
        (error, "tsa_status"),
        (elsewhere, "tsa_status"),
    ],
)
async def test_an_authority_that_gives_no_stamp(broker, tsa, world, answer, code):
    await cosigned(broker)
    with serving(answer) as url:
        stamper = stamping_of(
            broker, {"east": url}, tsa.roots, timestamp_timeout_s=0.3 if code == "tsa_timeout" else 20
        )
        assert not await stamper.stamp_once("east")
        row = await state(broker)
        assert (row.error, row.size, row.asking_until) == (code, 0, 0)
        assert row.failing_since
        assert await rows(broker) == []
        # Not asked again at once, and the log goes on.
        assert not await stamper.stamp_once("east")
        assert (await state(broker)).tried_at == row.tried_at
    await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)


async def test_nobody_listens(broker, tsa):
    with serving(tsa) as url:
        pass
    await cosigned(broker)
    assert not await stamping_of(broker, {"east": url}, tsa.roots).stamp_once("east")
    assert (await state(broker)).error == "tsa_away"


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"nonce": 12}, "stamp_nonce"),
        ({"imprint": bytes(32)}, "stamp_imprint"),
        ({"status": 2}, "stamp_refused"),
        ({"time": datetime.now(UTC) - timedelta(hours=1)}, "stamp_time"),
    ],
)
async def test_what_is_no_stamp_on_this_is_not_kept(broker, tsa, faults, code):
    await cosigned(broker)
    tsa.faults = faults
    with serving(tsa) as url:
        assert not await stamping_of(broker, {"east": url}, tsa.roots).stamp_once("east")
    assert (await state(broker)).error == code
    assert await rows(broker) == []


async def test_whoever_leads_to_no_root_is_not_believed(broker, tsa):
    await cosigned(broker)
    with serving(tsa) as url:
        assert not await stamping_of(broker, {"east": url}, Tsa("Other").roots).stamp_once("east")
    assert (await state(broker)).error == "stamp_untrusted"


async def test_one_question_at_a_time_whichever_node(broker, tsa):
    """Two nodes look at once, and one asks."""
    await cosigned(broker)
    with serving(tsa) as url:
        one = stamping_of(broker, {"east": url}, tsa.roots)
        other = stamping_of(broker, {"east": url}, tsa.roots)
        done = await asyncio.gather(*(s.stamp_once("east") for s in (one, other, one, other)))
    assert sorted(done) == [False, False, False, True]
    assert tsa.asked == 1


@pytest.mark.parametrize("answered", [True, False])
async def test_who_looked_while_another_asked_does_not_ask_again(broker, tsa, answered):
    await cosigned(broker)
    database = broker.node.database
    assert await database.write(claim, "east", 60_000, None)
    looked = await state(broker)
    assert not await database.write(claim, "east", 60_000, looked)
    if answered:
        await database.write(keep_stamp, StampRow(100, "east", 5, NOTE, b"stamp"))
    else:
        await database.write(keep_failure, "east", "tsa_away")
    assert not await database.write(claim, "east", 60_000, looked)
    assert await database.write(claim, "east", 60_000, await state(broker))


async def test_it_is_said_that_one_is_away_and_that_it_is_back(broker, tsa, monkeypatch, caplog):
    await cosigned(broker)
    tsa.faults["status"] = 2
    with serving(tsa) as url, caplog.at_level(logging.INFO):
        stamper = stamping_of(broker, {"east": url, "west": url}, tsa.roots)
        node = stamper._node
        assert "not asked yet" in await told(node, ok=True)
        await stamper.stamp_once("east")
        await stamper.look("east")
        assert "AWAY for 0 minutes (stamp_refused)" in await told(node, ok=False)
        later(monkeypatch, broker, 7_300)
        await stamper.look("east")
        assert "has given none for 73" in caplog.text
        assert b'countermark_stamps_failing_seconds{authority="east"} 73' in node.metrics.render()
        tsa.faults = {"time": datetime.now(UTC) + timedelta(seconds=7_300)}
        assert await stamper.stamp_once("east")
        await stamper.look("east")
        assert "stamps again" in caplog.text
        assert b'countermark_stamps_failing_seconds{authority="east"} 0' in node.metrics.render()
        assert "'east': 5 entries stamped" in await told(node, ok=True)


async def told(node, *, ok):
    (check,) = [c for c in await examine(node, find_migrations(None), {}) if c.name == "time stamps"]
    assert check.ok is ok, check
    assert not check.fatal
    return check.message


# --- settings and start -------------------------------------------------------------------------------


def configured(home, *lines):
    with (home / "broker.toml").open("a") as file:
        file.write("\n".join(lines) + "\n")
    return load_settings(home, {})


@pytest.mark.parametrize(
    "line",
    [
        'timestamp_authorities = {east = "https://east.example/tsr"}',
        'timestamp_authorities = {East = "https://east.example/tsr"}\ntimestamp_roots = "r.pem"',
        'timestamp_authorities = {east = "https://me:word@east.example/tsr"}\ntimestamp_roots = "r.pem"',
        'timestamp_authorities = {east = "ftp://east.example/tsr"}\ntimestamp_roots = "r.pem"',
    ],
)
def test_settings_that_cannot_be_meant(world, tmp_path, line):
    with pytest.raises(ConfigurationError) as caught:
        configured(write_home(world, tmp_path), line)
    assert caught.value.code == "bad_configuration"


async def test_a_node_stamps_by_itself(tmp_path, tsa, monkeypatch):
    monkeypatch.setattr(stamping, "_LOOK_S", 0.02)
    world = World()
    home = write_home(world, tmp_path / "home")
    await found(world, home)
    west = Tsa("West Time", "rsa")
    with serving(tsa) as url, serving(west) as other:
        configured(
            home,
            'timestamp_roots = "roots.pem"',
            f'timestamp_authorities = {{east = "{url}", west = "{other}"}}',
        )
        with pytest.raises(ConfigurationError):
            async with running(world, home):
                pass
        (home / "roots.pem").write_bytes(tsa.roots + west.roots)
        async with running(world, home) as broker:
            await cosigned(broker)
            async with asyncio.timeout(30):
                while len(await rows(broker)) < 2:
                    await asyncio.sleep(0.02)
            assert {row.authority for row in await rows(broker)} == {"east", "west"}


# --- what is served -----------------------------------------------------------------------------------

SERIES = [(100, "east", 4), (100, "west", 4), (160, "east", 9), (161, "west", 8), (220, "east", 12)]


@pytest.fixture
async def served(broker):
    for minute, authority, size in SERIES:
        row = StampRow(minute, authority, size, b"note\n", b"stamp %d" % size)
        await broker.node.database.write(keep_stamp, row)
        # Of one minute the first one stays.
        await broker.node.database.write(keep_stamp, replace(row, response=b"another"))
    transport = httpx.ASGITransport(app=broker.api)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{AUTHORITY}") as client:
        yield client


async def shown(served, query):
    answer = await served.get(f"/v1/log/witnessed/stamps{query}")
    assert answer.status_code == 200, answer.text
    parsed = parse_stamp_history(answer.content)
    assert b"another" not in [item.response for item in parsed.items]
    return [(item.minute, item.authority) for item in parsed.items], parsed.complete


async def test_the_series_by_pages(served):
    named = [row[:2] for row in SERIES]
    assert await shown(served, "") == (named, True)
    assert await shown(served, "?from=101&limit=2") == (named[2:3], False)
    # A page never ends in the midst of a minute.
    assert await shown(served, "?limit=3") == (named[:2], False)
    assert await shown(served, "?from=221") == ([], True)
    for query in ("?limit=0", "?limit=101", "?from=-1", "?size=x"):
        assert (await served.get(f"/v1/log/witnessed/stamps{query}")).status_code == 400


async def test_the_oldest_of_each_that_holds_an_entry(served):
    assert await shown(served, "?size=4") == ([(100, "east"), (100, "west")], True)
    assert await shown(served, "?size=5") == ([(160, "east"), (161, "west")], True)
    assert await shown(served, "?size=9") == ([(160, "east")], True)
    assert await shown(served, "?size=13") == ([], True)
