"""Hundreds of long-polls on one node: each is woken by its own box, bounded by endpoint, ended by a stop."""

import asyncio
import json

import pytest

from countermark_protocol.answers import parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.manifest import Urgency
from support.broker_fixtures import AUTHORITY, HttpBroker
from support.raw_http import Connection, ask, request
from support.world import BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI

PLACES = [
    (address, box) for address in (KAMPALA, BRUSSELS, LYON, MOMBASA) for box in (Box.ROUTINE, Box.URGENT)
]
EACH = 40


@pytest.fixture
def tuned(world, home):
    """Starts brokers whose limits are other than the defaults."""
    started = []

    def start(**settings):
        with (home / "broker.toml").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        broker = HttpBroker(world, home).start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        if broker._thread.is_alive():
            broker.stop()


def poll(api, address, box, wait=60, first=0):
    target = f"/v1/boxes/{address}/{box.value}?from={first}&limit=10&wait={wait}"
    headers = api.sign("GET", target, None, api.world.agencies[address].instance).headers
    return request("GET", target, AUTHORITY, headers=headers)


async def begin(broker, api, places, wait=60):
    """One long-poll for each place, all of them waiting; the tasks."""
    listeners = broker.broker.listeners
    expected = listeners.count + len(places)
    tasks = []
    for number, place in enumerate(places):
        data = poll(api, *place, wait=wait)
        tasks.append(asyncio.create_task(ask(broker.port, data, f"127.0.0.{2 + number % 8}")))
        if number % 50 == 49:
            await asyncio.sleep(0)
    while listeners.count < expected:
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks), [t.result() for t in tasks if t.done()]
    return tasks


async def test_each_is_woken_by_its_own_box_only(world, tuned):
    broker = tuned()
    api = broker.client()
    places = PLACES * EACH
    tasks = await begin(broker, api, places)
    gauge = f"countermark_listeners {len(places):.1f}"
    assert gauge in (await asyncio.to_thread(api.request, "GET", "/metrics")).text
    for moved, urgency in (
        ((KAMPALA, Box.URGENT), Urgency.FLASH),
        ((BRUSSELS, Box.ROUTINE), Urgency.ROUTINE),
    ):
        sealed = world.message(NAIROBI, [moved[0]], urgency=urgency)
        answer = await asyncio.to_thread(api.post_message, sealed)
        assert answer.status_code == 201
        woken = [task for task, place in zip(tasks, places, strict=True) if place == moved]
        for answered in await asyncio.gather(*woken):
            assert answered.status == 200
            (entry,) = parse_box_page(answered.body).entries
            assert parse_document(entry.document).payload_hash == sealed.payload_hash
        # All others wait on.
        assert broker.broker.listeners.count == sum(not task.done() for task in tasks)
    assert sum(task.done() for task in tasks) == 2 * EACH
    # A stop ends them at once, with the signed word that there is nothing; their minute is not over.
    await asyncio.to_thread(broker.stop)
    rest = [
        t
        for t, p in zip(tasks, places, strict=True)
        if p not in {(KAMPALA, Box.URGENT), (BRUSSELS, Box.ROUTINE)}
    ]
    for answered in await asyncio.gather(*rest):
        assert answered.status == 200
        page = parse_box_page(answered.body)
        assert page.entries == ()
        assert page.account is not None
    api.close()


async def test_an_endpoint_cannot_take_all(tuned):
    broker = tuned(max_listeners_each=5, max_listeners=8)
    api = broker.client()
    held = await begin(broker, api, [(KAMPALA, Box.ROUTINE)] * 5)

    async def refused(place):
        answer = await ask(broker.port, poll(api, *place))
        assert (answer.status, json.loads(answer.body)["code"]) == (429, "too_many_listeners")
        assert answer.headers["retry-after"] == "1"

    await refused((KAMPALA, Box.URGENT))
    held += await begin(broker, api, [(LYON, Box.URGENT)] * 3)
    await refused((BRUSSELS, Box.URGENT))
    assert not any(task.done() for task in held)
    await asyncio.to_thread(broker.stop)
    await asyncio.gather(*held)
    api.close()


async def test_waiting_ones_do_not_count_as_requests_under_way(world, tuned):
    """Else an agency's listeners, all behind one address, would shut out its own messages."""
    broker = tuned(max_requests_each=4)
    api = broker.client()
    listeners = broker.broker.listeners
    held = []
    for number in range(12):
        held.append(asyncio.create_task(ask(broker.port, poll(api, KAMPALA, Box.ROUTINE))))
        while listeners.count <= number:
            await asyncio.sleep(0.005)
            assert not held[-1].done()
    answer = await asyncio.to_thread(api.post_message, world.message(NAIROBI, [LYON]))
    assert answer.status_code == 201
    await asyncio.to_thread(broker.stop)
    await asyncio.gather(*held)
    api.close()


async def test_requests_under_way_are_bounded_by_address(world, tuned):
    broker = tuned(max_requests_each=2)
    slow = [Connection(broker.port, "127.0.0.2") for _ in range(2)]
    sealed = world.message(NAIROBI, [LYON])
    whole = request("POST", "/v1/messages", AUTHORITY, sealed.data)
    for connection in slow:
        _, writer = await connection.open()
        writer.write(whole[:-10])
    health = request("GET", "/v1/health", AUTHORITY)
    while (answer := await ask(broker.port, health, "127.0.0.2")).status != 429:
        await asyncio.sleep(0.005)
    assert json.loads(answer.body)["code"] == "too_many_requests"
    assert (await ask(broker.port, health, "127.0.0.3")).status == 200
    # As these end, the next are taken.
    for connection in slow:
        connection.close()
    while (await ask(broker.port, health, "127.0.0.2")).status != 200:
        await asyncio.sleep(0.005)
