"""Thousands of forgeries in a victim's name: nothing of them stays, and the victim is served meanwhile."""

import asyncio
import json
from itertools import islice

import pytest
from sqlalchemy import create_engine, func, select

from countermark_broker.config import load_settings
from countermark_broker.errors import QuotaExceededError
from countermark_broker.services.accept import accept_directory
from countermark_broker.services.quotas import COUNTED
from countermark_broker.store.tables import metadata
from countermark_protocol.boxes import Box
from countermark_protocol.records import Ground, RevocationRecord
from support.broker_fixtures import AUTHORITY, HttpBroker, running
from support.broker_process import BrokerProcess
from support.forgeries import forgeries, resigned
from support.raw_http import Connection, request
from support.world import KAMPALA, LYON, MOMBASA, NAIROBI

CONNECTIONS, OWN, QUOTA = 12, 10, 40


def post(data):
    return request("POST", "/v1/messages", AUTHORITY, data)


def rows_in(home):
    """How many rows each table has, but for what the broker writes of itself."""
    engine = create_engine(load_settings(home, {}).database)
    with engine.connect() as connection:
        counts = {
            t.name: connection.execute(select(func.count()).select_from(t)).scalar_one()
            for t in metadata.sorted_tables
        }
    engine.dispose()
    return counts


async def flood(port, bodies, source):
    """Send all of them over one connection; how each was answered."""
    connection, codes = Connection(port, source), []
    for body in bodies:
        answer = await connection.send(post(body))
        codes.append((answer.status, json.loads(answer.body)["code"]))
    connection.close()
    return codes


async def submit(port, source, messages):
    """As a client does: the same bytes again where it was told to wait."""
    connection = Connection(port, source)
    for message in messages:
        while (answer := await connection.send(post(message))).status == 429:
            await asyncio.sleep(int(answer.headers["retry-after"]))
        assert answer.status == 201, answer.body
    connection.close()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("count", [4_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_forgeries_cost_the_victim_nothing(world, process_home, count):
    broker = BrokerProcess(world, process_home, quota_messages=str(QUOTA))
    try:
        broker.wait_until_listening()
        api = broker.client()
        api.refresh()
        before, forged = rows_in(process_home), list(islice(forgeries(world, NAIROBI, LYON, KAMPALA), count))
        mine = [world.message(NAIROBI, [KAMPALA]) for _ in range(2 * OWN)]
        floods = [
            asyncio.create_task(flood(broker.port, forged[n::CONNECTIONS], "127.0.0.66"))
            for n in range(CONNECTIONS)
        ]
        elsewhere = submit(broker.port, "127.0.0.2", [m.data for m in mine[:OWN]])
        beside = submit(broker.port, "127.0.0.66", [m.data for m in mine[OWN:]])
        await asyncio.gather(elsewhere, beside)
        # The victim was done before the flood was: it did not have to wait for its end.
        assert not all(task.done() for task in floods)
        codes = [code for codes in await asyncio.gather(*floods) for code in codes]
        assert len(codes) == count
        assert set(codes) == {
            (401, "bad_signature"),
            (401, "unknown_key"),
            (401, "wrong_signer"),
        }

        after = rows_in(process_home)
        grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        # The victim's own: a row each, or one for its box and one for the recipient's; two boxes more.
        assert grown["entries"] == 2 * OWN
        assert set(grown.values()) <= {2, 2 * OWN, 2 * 2 * OWN}, grown
        entries, _, _ = await asyncio.to_thread(api.verified_box, NAIROBI, Box.SENT)
        assert len(entries) == 2 * OWN

        for address, used in ((NAIROBI, 2 * OWN), (LYON, 0)):
            answer = await asyncio.to_thread(api.request, "GET", "/v1/quotas", by=address)
            left = answer.json()["quotas"]["exercise-messages"]["left"]
            assert QUOTA - used <= left <= QUOTA
        api.close()
    finally:
        broker.stop()


@pytest.fixture
def frugal(world, home):
    """A broker that takes three messages a minute of each endpoint."""
    with (home / "broker.toml").open("a") as file:
        file.write("quota_messages = 3\n")
    broker = HttpBroker(world, home).start()
    client = broker.client()
    client.refresh()
    yield client
    client.close()
    broker.stop()


def test_a_repeat_costs_nothing_and_a_spent_quota_is_answered_with_when(world, frugal):
    api = frugal
    sealed = [world.message(NAIROBI, [KAMPALA]) for _ in range(4)]
    for one in sealed[:3]:
        assert api.post_message(one).status_code == 201
    for one in sealed[:3] * 3:
        assert api.post_message(one).status_code == 200
    answer = api.post_message(sealed[3])
    problem = api.problem(answer, "quota_exceeded")
    assert problem.status == 429
    assert problem.account is None
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert problem.facts["retry_after"] == int(answer.headers["retry-after"])
    # Others have their own; and receipts are not hindered.
    assert api.post_message(world.message(MOMBASA, [KAMPALA])).status_code == 201
    assert api.post_receipt(world.receipt(KAMPALA, sealed[:1]), KAMPALA).status_code == 201
    quotas = api.request("GET", "/v1/quotas", by=NAIROBI).json()["quotas"]
    assert quotas["exercise-messages"] == {"per_minute": 3, "left": 0}
    assert set(quotas) == set(COUNTED)
    assert api.request("GET", "/v1/quotas").status_code == 400
    # What is refused by its signature is not charged, however often.
    for _ in range(5):
        forged = resigned(sealed[3], world.agencies[KAMPALA].instance)
        assert api.post_message(forged).status_code == 401
    quotas = api.request("GET", "/v1/quotas", by=KAMPALA).json()["quotas"]
    assert quotas["exercise-messages"] == {"per_minute": 3, "left": 3}


async def test_directory_statements_have_a_quota_that_no_revocation_is_hindered_by(world, home):
    """They go first at the lock: else one administrator could keep everybody else waiting."""
    with (home / "broker.toml").open("a") as file:
        file.write("quota_directory = 2\n")
    async with running(world, home) as broker:
        node = broker.node
        logged = [world.keys_statement(NAIROBI) for _ in range(2)]
        assert [(await accept_directory(node, data)).fresh for data in logged] == [True, True]
        with pytest.raises(QuotaExceededError) as caught:
            await accept_directory(node, world.keys_statement(NAIROBI))
        assert caught.value.facts["quota"] == "directory"
        # What is logged is answered, and costs nothing; others have their own.
        assert not (await accept_directory(node, logged[1])).fresh
        mine = world.keys_statement(KAMPALA)
        assert [(await accept_directory(node, mine)).fresh for _ in range(5)] == [True] + [False] * 4
        assert node.quotas.state_of(KAMPALA)["directory"]["left"] == 1
        agency = world.agencies[NAIROBI]
        record = RevocationRecord(agency.instance.public_key.key_id, Ground.REPLACED, None)
        revocation = world.revocation(agency.instance, record, [agency.administrator])
        assert (await accept_directory(node, revocation)).fresh
