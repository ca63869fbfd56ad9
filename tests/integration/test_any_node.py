"""Any node serves any request: what one has answered, the other one holds; a node with a wrong clock steps aside."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from countermark_broker.config import load_settings
from countermark_broker.parts import build_parts
from countermark_broker.services.founding import list_node_key
from countermark_broker.services.maintenance import examine
from countermark_broker.store.migrate import find_migrations
from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.bulk import BulkReader, encode_frames
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import HttpBroker, keyring
from support.world import BRUSSELS, KAMPALA, NAIROBI, signer


class MovableClock:
    def __init__(self):
        self.off = 0

    def now_ms(self):
        return time.time_ns() // 1_000_000 + self.off


@pytest.fixture
def clock():
    """Of the first node."""
    return MovableClock()


@pytest.fixture
def nodes(world, home, clock):
    """Two nodes over real HTTP."""
    started = [HttpBroker(world, home, clock=clock).start(), HttpBroker(world, home).start()]
    yield started
    for node in started:
        node.stop()


@pytest.fixture
def clients(nodes):
    """A client of each."""
    made = [node.client() for node in nodes]
    for client in made:
        client.refresh()
    yield made
    for client in made:
        client.close()


def stated(client, address):
    """What the account at the end of a box says of the caller's boxes."""
    _, _, account = client.verified_box(address, Box.ROUTINE)
    found = client.verify_account_of(account, client.last_digest)
    assert found.verdict is Verdict.END_OF_BOX
    return found.seen, found.boxes


def test_each_step_of_a_message_on_another_node(world, clients):
    a, b = clients
    message = world.message(NAIROBI, [KAMPALA])
    proven, _ = a.verify_accepted(a.post_message(message), message.document)
    # At once: nothing was waited for between the two.
    entries, _, _ = b.verified_box(KAMPALA, Box.ROUTINE)
    assert [entry.document for entry in entries] == [message.document]
    again = b.post_message(message)
    assert again.status_code == 200
    assert b.verify_accepted(again, message.document)[0].inclusion.leaf == proven.inclusion.leaf
    receipt = world.receipt(KAMPALA, [message])
    released = parse_accepted(b.post_receipt(receipt, KAMPALA).content).releases
    assert [one.stanza for one in released] == list(message.stanzas)
    answer = a.request("GET", f"/v1/messages/{message.payload_hash.hex()}/content", by=KAMPALA)
    assert answer.content == message.content
    same = a.post_receipt(receipt, KAMPALA)
    assert same.status_code == 200
    assert parse_accepted(same.content).releases == released
    done = world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED)
    assert a.post_receipt(done, KAMPALA).status_code == 201
    notices, _, _ = b.verified_box(NAIROBI, Box.NOTICES)
    assert [entry.document for entry in notices] == [receipt, done]
    assert stated(a, KAMPALA) == stated(b, KAMPALA)
    assert stated(a, NAIROBI) == stated(b, NAIROBI)


def test_a_changed_payload_is_refused_by_the_other_node_too(world, clients):
    a, b = clients
    first = world.message(NAIROBI, [KAMPALA])
    assert a.post_message(first).status_code == 201
    changed = world.message(NAIROBI, [KAMPALA], id=first.manifest.id)
    assert b.post_message(changed).status_code == 409


def test_two_bulk_streams_of_the_same_messages_on_two_nodes(world, clients):
    messages = [world.message(NAIROBI, [KAMPALA, BRUSSELS]) for _ in range(120)]
    orders = [messages, messages[::-1]]
    verdicts = [None, None]

    def submit(number):
        body = encode_frames(m.data for m in orders[number])
        answer = clients[number].http.post("/v1/messages/bulk", content=body)
        reader = BulkReader(len(messages))
        verdicts[number] = [v for v in map(reader.take, answer.content.splitlines()) if v is not None]

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (
        {m.payload_hash: v for m, v in zip(*pair, strict=True)} for pair in zip(orders, verdicts, strict=True)
    )
    for message in messages:
        pair = one[message.payload_hash], other[message.payload_hash]
        assert sorted(v.status for v in pair) == [200, 201]
        assert pair[0].accepted.inclusion.leaf == pair[1].accepted.inclusion.leaf
    assert len({v.accepted.inclusion.index for v in one.values()}) == 120
    for client, address in ((clients[0], KAMPALA), (clients[1], BRUSSELS)):
        entries, _, _ = client.verified_box(address, Box.ROUTINE)
        assert len(entries) == 120
        assert {entry.document for entry in entries} == {m.document for m in messages}


@pytest.mark.parametrize("off", [3_600_000, -3_600_000])
async def test_a_node_with_a_wrong_clock_refuses_to_append_and_says_why(world, nodes, clients, clock, off):
    a, b = clients
    assert a.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    clock.off = off
    message = world.message(NAIROBI, [KAMPALA])
    assert b.request("GET", "/v1/ready").status_code == 200
    size = nodes[1].broker.node.publisher.published.size

    def assert_names_the_difference(told):
        # By how much, to the second, and whose.
        said = int(told.split("this node's clock is ")[1].split(" ms")[0])
        assert abs(said - off) < 60_000

    for answer in (a.post_message(message), a.request("GET", "/v1/ready")):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert_names_the_difference(a.problem(answer, "clock_differs").detail)
    # It is no reason for a balancer to think the process dead.
    assert a.request("GET", "/v1/health").status_code == 200
    assert a.problem(
        b.request("GET", f"/v1/messages/{message.payload_hash.hex()}/content", by=NAIROBI), "not_held"
    )
    assert b.post_message(message).status_code == 201
    assert b.request("GET", "/v1/ready").status_code == 200
    assert nodes[1].broker.node.publisher.published.size == size + 1
    checks = {c.name: c for c in await examine(nodes[0].broker.node, find_migrations(None), {})}
    assert not checks["clock"].ok
    assert_names_the_difference(checks["clock"].message)
    assert "NTP" in checks["clock"].hint
    clock.off = 0
    again = a.post_message(message)
    assert again.status_code == 200
    assert a.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    assert a.request("GET", "/v1/ready").status_code == 200


def test_a_node_whose_key_is_listed_no_more_is_not_ready(world, home):
    """It could not sign a single account."""
    broker = HttpBroker(world, home).start()
    client = broker.client()
    try:
        assert client.request("GET", "/v1/ready").status_code == 200
        asyncio.run(list_other_node(world, home))
        answer = client.request("GET", "/v1/ready")
        client.problem(answer, "node_key_not_listed")
        assert answer.status_code == 503
    finally:
        client.close()
        broker.stop()


async def list_other_node(world, home):
    keys = replace(keyring(world), node=signer("other node"))
    parts = build_parts(load_settings(home, {}), keys)
    assert await list_node_key(parts.node, parts.appender, keys, "node-2", alone=True)
    parts.node.verifier.close()
    await parts.node.database.close()
    await asyncio.to_thread(parts.node.store.close)
