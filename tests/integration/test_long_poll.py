"""A long-poll ends with its client, answers only whom it may still answer, and is woken although waking failed."""

import asyncio
import json

import pytest

from countermark_broker import app
from countermark_broker.errors import UnavailableError
from countermark_broker.services.accept import accept_message
from countermark_broker.services.deliver import read_page
from countermark_broker.services.node import Caller
from countermark_protocol.boxes import Box
from countermark_protocol.records import State
from support.broker_fixtures import AUTHORITY, HttpBroker, running
from support.raw_http import ask, request
from support.world import KAMPALA, NAIROBI


@pytest.fixture
def broker(world, home):
    with (home / "broker.toml").open("a") as file:
        file.write("max_listeners_each = 3\n")
    broker = HttpBroker(world, home).start()
    yield broker
    if broker._thread.is_alive():
        broker.stop()


def poll(api, wait=60, box=Box.ROUTINE):
    target = f"/v1/boxes/{KAMPALA}/{box.value}?from=0&limit=10&wait={wait}"
    headers = api.sign("GET", target, None, api.world.agencies[KAMPALA].instance).headers
    return request("GET", target, AUTHORITY, headers=headers)


async def waiting(broker, count):
    while broker.broker.listeners.count != count:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("hang_up", ["close", "abort"])
async def test_who_has_gone_takes_no_place(broker, hang_up, caplog):
    """Else a client with a bad line would shut out its own endpoint for a minute, after a few attempts."""
    api = broker.client()
    writers = []
    for number in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(poll(api))
        await waiting(broker, number + 1)
        writers.append(writer)
    for writer in writers:
        if hang_up == "close":
            writer.close()
        else:
            writer.transport.abort()
    async with asyncio.timeout(30):  # half of what they asked to wait
        await waiting(broker, 0)
    answer = await ask(broker.port, poll(api, wait=1))
    assert answer.status == 200
    assert "defect" not in caplog.text
    api.close()


async def test_a_key_that_counts_no_more_is_not_answered(world, broker):
    """Its endpoint was suspended while it waited: it is told what any later request is told."""
    api = broker.client()
    task = asyncio.create_task(ask(broker.port, poll(api)))
    await waiting(broker, 1)
    suspended = world.endpoint_statement(KAMPALA, State.SUSPENDED)
    assert (await asyncio.to_thread(api.request, "POST", "/v1/statements", suspended)).status_code == 201
    # A stop ends the wait, so that nobody waits a minute here.
    await asyncio.to_thread(broker.stop)
    answer = await task
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "not_an_instance")
    api.close()


@pytest.mark.parametrize(
    "error", [UnavailableError("database_unavailable", "for a moment"), RuntimeError("?")]
)
async def test_who_waits_is_woken_although_waking_failed_once(world, home, monkeypatch, error):
    real, failures = app.wake_listeners, [error]

    async def failing(*args):
        if failures:
            raise failures.pop()
        await real(*args)

    monkeypatch.setattr(app, "wake_listeners", failing)
    async with running(world, home) as broker:
        caller = Caller(KAMPALA, bytes(32))
        task = asyncio.create_task(
            read_page(broker.node, broker.listeners, caller, KAMPALA, Box.ROUTINE, 0, 10, 60)
        )
        while not broker.listeners.count:
            await asyncio.sleep(0)
        sealed = world.message(NAIROBI, [KAMPALA])
        await accept_message(broker.node, sealed.data)
        async with asyncio.timeout(45):  # less than it asked to wait
            page = await task
        assert [entry.document for entry in page.entries] == [sealed.document]
        assert not failures
