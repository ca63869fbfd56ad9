"""An alert to two hundred on a real broker: sealed and stored once, few bytes for each, nothing for who comes later."""

import asyncio
import sqlite3

import pytest

from countermark_protocol.answers import parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.recipients import verify_recipient
from support.broker_fixtures import HttpBroker, found, write_home
from support.world import NAIROBI, USUAL, World

MANY = tuple(Address(f"xo-un.customs.n{number:03}") for number in range(200))
LATER = Address("xo-un.customs.later")
#: What the issue allows each recipient for row, stanza and path.
MOST_EACH = 3_000
CONTENT = {"note": "n" * 300_000}


def stored_bytes(home):
    """What the broker's home holds: pages in use of its database, and whatever lies beside it."""
    database = home / "broker.sqlite3"
    connection = sqlite3.connect(database)
    pages = connection.execute(
        "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count"
    )
    [[used]] = pages.fetchall()
    [[size]] = connection.execute("PRAGMA page_size").fetchall()
    connection.close()
    beside = (f for f in home.rglob("*") if f.is_file() and not f.name.startswith(database.name))
    return used * size + sum(f.stat().st_size for f in beside)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    world, home = World(endpoints=(*USUAL, *MANY)), tmp_path_factory.mktemp("multicast") / "home"
    write_home(world, home, quota_directory=0)  # two hundred are enrolled at once
    asyncio.run(found(world, home))
    broker = HttpBroker(world, home).start()
    client = broker.client()
    client.refresh()
    client.home = home
    yield client
    client.close()
    broker.stop()


def sealed(api, recipients, **changes):
    return api.world.message(NAIROBI, recipients, content=CONTENT, **changes)


def test_what_each_of_two_hundred_costs_and_that_content_is_stored_once(api):
    api.post_message(sealed(api, MANY[:1]))  # what a first message makes room for is no message's cost
    before = stored_bytes(api.home)
    one = sealed(api, MANY[:1])
    assert api.post_message(one).status_code == 201
    of_one = stored_bytes(api.home) - before
    message = sealed(api, MANY)
    answer = api.post_message(message)
    of_many = stored_bytes(api.home) - before - of_one
    # Every recipient, each in its box, and nobody else: the sender has the broker's word and can prove it.
    api.verify_accepted(answer, message.document, message.expected_deliveries())
    assert {row.endpoint for row in message.rows} == set(MANY)

    # Stored once: beyond what one recipient costs, each further one adds its row, stanza and box entry.
    assert of_one > 0.95 * len(message.content)
    assert of_many - of_one < (len(MANY) - 1) * MOST_EACH < len(message.content) * 2
    # Sealed once: in the submission, too, only rows and stanzas grow.
    assert len(message.data) - len(one.data) < (len(MANY) - 1) * MOST_EACH

    each, contents = [], set()
    manifest = parse_manifest(parse_document(message.document).claims)
    for address in MANY:
        answer = api.request("GET", f"/v1/boxes/{address}/routine", by=address)
        entry = answer.json()["entries"][-1]
        assert entry.get("recipients") is None
        receipt = api.post_receipt(api.world.receipt(address, [message]), address).json()
        each.append(len(encode_json(entry["recipient"])) + len(encode_json(receipt["releases"])))
        own = parse_box_page(answer.content).entries[-1].recipient
        verify_recipient(own.row, own.at, manifest.recipient_count, manifest.recipient_root)
    for address in MANY[::50]:
        target = f"/v1/messages/{message.payload_hash.hex()}/content"
        contents.add(api.request("GET", target, by=address).content)
    assert contents == {message.content}
    assert max(each) < MOST_EACH, max(each)


def test_who_is_enrolled_later_gets_nothing_that_it_was_not_sent(api):
    world = api.world
    assert api.post_statement(world.group_statement("xo-un/alerted", MANY)).status_code == 201
    message = sealed(api, MANY[:3])
    assert api.post_message(message).status_code == 201
    for data in (world.endpoint_statement(LATER), world.keys_statement(LATER)):
        assert api.post_statement(data).status_code == 201
    assert api.post_statement(world.group_statement("xo-un/alerted", [*MANY, LATER])).status_code == 201
    api.refresh()
    for box in Box:
        assert api.box(LATER, box).entries == ()
    for what in ("stanza", "content", "purge"):
        target = f"/v1/messages/{message.payload_hash.hex()}/{what}"
        assert api.problem(api.request("GET", target, by=LATER)).code == "not_held"
    for stage in (ReceiptStage.DELIVERED, ReceiptStage.ACCEPTED):
        answer = api.post_receipt(world.receipt(LATER, [message], stage), LATER)
        assert api.problem(answer).code == "unknown_message"
    # What is sent from now on reaches it.
    assert api.post_message(sealed(api, [*MANY[:3], LATER])).status_code == 201
    assert len(api.box(LATER, Box.ROUTINE).entries) == 1
