"""Leases: several workers of one endpoint share a box; nothing is decided by who holds what."""

import asyncio
import json
import os

import pytest

from countermark_broker.errors import UnavailableError
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.changes import Change
from countermark_broker.services.leases import change_leases, list_leases, sweep_once
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.store.engine import database_now
from countermark_broker.store.leases import read_leases, take
from countermark_protocol.boxes import Box
from countermark_protocol.errors import SignatureError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.leases import LeaseRequest
from countermark_protocol.manifest import Urgency
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from support.broker_fixtures import running
from support.world import KAMPALA, NAIROBI

ONE, TWO = KeyId(bytes([1]) * 32), KeyId(bytes([2]) * 32)


async def seconds(node):
    return await node.database.read(database_now) // 1000


async def lease(node, key, positions, duration=60, box=Box.ROUTINE, address=KAMPALA, nonce=None):
    """As one worker would, past the signature."""
    change = Change(key, nonce or os.urandom(16), await seconds(node), Caller(address, bytes(32)))
    return await change_leases(node, change, LeaseRequest(box, tuple(positions), duration))


async def fill(world, node, count, **kwargs):
    messages = [world.message(NAIROBI, [KAMPALA], **kwargs) for _ in range(count)]
    for message in messages:
        await accept_message(node, message.data)
    return messages


async def test_what_one_holds_no_other_gets(world, broker):
    node = broker.node
    await fill(world, node, 4)
    before = await node.database.read(database_now)
    first = await lease(node, ONE, [0, 1])
    assert first.positions == (0, 1)
    assert before <= first.until - 60_000 <= await node.database.read(database_now)
    assert (await lease(node, TWO, [2, 1, 0])).positions == (2,)
    assert (await lease(node, ONE, [3, 2, 0])).positions == (0, 3)
    caller = Caller(KAMPALA, bytes(32))
    held = await list_leases(node, caller, Box.ROUTINE, 0, 10)
    assert [(x.position, x.key) for x in held] == [(0, ONE), (1, ONE), (2, TWO), (3, ONE)]
    assert [x.position for x in await list_leases(node, caller, Box.ROUTINE, 2, 1)] == [2]
    assert await list_leases(node, caller, Box.URGENT, 0, 10) == []
    assert await list_leases(node, Caller(NAIROBI, bytes(32)), Box.ROUTINE, 0, 10) == []


async def test_the_own_lease_is_extended(world, broker):
    node = broker.node
    await fill(world, node, 1)
    first = await lease(node, ONE, [0], 60)
    second = await lease(node, ONE, [0], 3600)
    assert second.positions == (0,)
    assert second.until > first.until
    [held] = await list_leases(node, Caller(KAMPALA, bytes(32)), Box.ROUTINE, 0, 10)
    assert held.until == second.until


async def test_what_is_given_back_is_free_and_only_by_its_holder(world, broker):
    node = broker.node
    await fill(world, node, 2)
    await lease(node, ONE, [0, 1])
    assert (await lease(node, TWO, [0, 1], 0)).positions == ()
    assert (await lease(node, TWO, [0, 1])).positions == ()
    assert (await lease(node, ONE, [0], 0)).positions == ()
    assert (await lease(node, TWO, [0, 1])).positions == (0,)


async def test_what_has_expired_is_free(world, broker):
    node = broker.node
    await fill(world, node, 1)
    now = await node.database.read(database_now)
    await node.database.write(take, KAMPALA, Box.ROUTINE, [0], ONE, now - 2000, now - 1000)
    assert await list_leases(node, Caller(KAMPALA, bytes(32)), Box.ROUTINE, 0, 10) == []
    assert (await lease(node, TWO, [0])).positions == (0,)


async def test_only_positions_that_are_there_and_open(world, broker):
    node = broker.node
    messages = await fill(world, node, 4)
    caller = Caller(KAMPALA, bytes(32))
    await accept_receipt(node, world.receipt(KAMPALA, messages[:3]), caller)
    await accept_receipt(node, world.receipt(KAMPALA, [messages[1]], ReceiptStage.ACCEPTED), caller)
    spoilt = ReceiptItem(
        messages[2].payload_hash, commitment_checked=False, reason=RejectionReason.UNOPENABLE
    )
    rejected = world.receipt(KAMPALA, [messages[2]], ReceiptStage.REJECTED, items=(spoilt,))
    await accept_receipt(node, rejected, caller)
    assert (await lease(node, ONE, [0, 1, 2, 3, 4, 2**53 - 1])).positions == (0, 3)
    assert (await lease(node, ONE, [0], box=Box.URGENT)).positions == ()
    await fill(world, node, 1, urgency=Urgency.FLASH)
    assert (await lease(node, ONE, [0], box=Box.URGENT)).positions == (0,)


async def test_a_lease_decides_nothing(world, broker):
    """Whoever holds none may answer for a position all the same, and a rebuild knows of no lease."""
    node = broker.node
    [message] = await fill(world, node, 1)
    await lease(node, ONE, [0], 3600)
    answer = await accept_receipt(node, world.receipt(KAMPALA, [message]), Caller(KAMPALA, bytes(32)))
    assert answer.fresh
    assert (await rebuild_views(node, check_only=True)).findings == ()


async def test_a_replay_changes_nothing(world, broker):
    node = broker.node
    await fill(world, node, 1)
    nonce = b"n" * 16
    await lease(node, ONE, [0], 3600, nonce=nonce)
    await lease(node, ONE, [0], 0)
    with pytest.raises(SignatureError) as caught:
        await lease(node, ONE, [0], 3600, nonce=nonce)
    assert caught.value.code == "replayed_request"
    assert (await lease(node, TWO, [0])).positions == (0,)
    # Another key's nonce is another nonce.
    await lease(node, TWO, [0], nonce=nonce)


async def test_a_replay_on_another_node_is_refused_too(world, home):
    async with running(world, home) as one, running(world, home) as two:
        await fill(world, one.node, 1)
        nonce = b"n" * 16
        await lease(one.node, ONE, [0], nonce=nonce)
        with pytest.raises(SignatureError) as caught:
            await lease(two.node, ONE, [0], nonce=nonce)
        assert caught.value.code == "replayed_request"


async def test_of_two_copies_on_two_nodes_at_once_one_is_taken(world, home):
    async with running(world, home) as one, running(world, home) as two:
        await fill(world, one.node, 1)
        for _ in range(5):
            nonce = os.urandom(16)
            outcomes = await asyncio.gather(
                *(lease(broker.node, ONE, [0], nonce=nonce) for broker in (one, two, one, two)),
                return_exceptions=True,
            )
            refused = [o for o in outcomes if isinstance(o, SignatureError)]
            assert [e.code for e in refused] == ["replayed_request"] * 3
            [granted] = [o for o in outcomes if o not in refused]
            assert granted.positions == (0,)


async def test_a_node_that_only_reads_leases_nothing(world, broker):
    node = broker.node
    await fill(world, node, 1)
    node.health.read_only = True
    with pytest.raises(UnavailableError) as caught:
        await lease(node, ONE, [0])
    assert caught.value.code == "read_only"


async def test_the_nonce_is_kept_until_the_request_is_too_old_by_the_clock_of_all(world, broker):
    """A node whose clock is behind would pass an old request: the database's clock has the last word."""
    node = broker.node
    await fill(world, node, 1)
    settings = node.settings
    kept = settings.request_age_s + settings.clock_difference_ms // 1000 + 1
    now = await seconds(node)
    for age, nonce in ((kept + 2, b"a" * 16), (kept + 3600, b"b" * 16)):
        change = Change(ONE, nonce, now - age, Caller(KAMPALA, bytes(32)))
        with pytest.raises(SignatureError) as caught:
            await change_leases(node, change, LeaseRequest(Box.ROUTINE, (0,), 60))
        assert caught.value.code == "request_too_old"
    change = Change(ONE, b"c" * 16, now - settings.request_age_s, Caller(KAMPALA, bytes(32)))
    await change_leases(node, change, LeaseRequest(Box.ROUTINE, (0,), 60))
    # What is swept could not be replayed any more; what could be is not swept.
    await sweep_once(node)
    with pytest.raises(SignatureError) as caught:
        await change_leases(node, change, LeaseRequest(Box.ROUTINE, (0,), 60))
    assert caught.value.code == "replayed_request"


async def test_expired_rows_are_swept(world, broker):
    node = broker.node
    await fill(world, node, 2)
    assert not await sweep_once(node)
    now = await node.database.read(database_now)
    await node.database.write(take, KAMPALA, Box.ROUTINE, [0], ONE, now - 2000, now - 1000)
    await lease(node, ONE, [1], 3600)
    assert await sweep_once(node)
    assert not await sweep_once(node)
    rows = await node.database.read(read_leases, KAMPALA, Box.ROUTINE, 0, 10, 0)
    assert [row.position for row in rows] == [1]


async def test_races_of_two_nodes_have_one_winner_a_position(world, home):
    async with running(world, home) as one, running(world, home) as two:
        await fill(world, one.node, 12)
        await two.node.publisher.advance()
        keys = [KeyId(bytes([k]) * 32) for k in range(1, 9)]
        for round_ in range(3):
            granted = await asyncio.gather(
                *(
                    lease((one, two)[i % 2].node, key, list(range(12))[:: 1 if i % 3 else -1])
                    for i, key in enumerate(keys)
                )
            )
            taken = [p for g in granted for p in g.positions]
            assert sorted(taken) == list(range(12)), round_
            for key in keys:
                await lease(one.node, key, list(range(12)), 0)


async def test_overlapping_races_keep_every_promise(world, home):
    """Whatever was granted to two workers at once would be found in what the table says afterwards."""
    async with running(world, home) as one, running(world, home) as two:
        await fill(world, one.node, 10)
        await two.node.publisher.advance()
        wishes = [(bytes([i + 1]) * 32, list(range(i % 5, 10, 1 + i % 3))) for i in range(10)]
        granted = await asyncio.gather(
            *(lease((one, two)[i % 2].node, KeyId(key), wish) for i, (key, wish) in enumerate(wishes))
        )
        held = await list_leases(one.node, Caller(KAMPALA, bytes(32)), Box.ROUTINE, 0, 100)
        told = sorted((p, key) for (key, _), g in zip(wishes, granted, strict=True) for p in g.positions)
        assert told == [(x.position, x.key) for x in held]


async def test_a_position_that_another_node_published_a_moment_ago(world, home):
    async with running(world, home) as one, running(world, home) as two:
        await fill(world, one.node, 1)
        assert (await lease(two.node, TWO, [0])).positions == (0,)


# --- over HTTP -----------------------------------------------------------------------------------------


def ask(api, by=KAMPALA, **changes):
    body = {"box": "routine", "positions": [0], "seconds": 60} | changes
    return api.request("POST", "/v1/leases", json.dumps(body).encode(), by)


def test_the_calls(world, http_broker, api):
    for _ in range(2):
        assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    answer = ask(api, positions=[1, 0, 7])
    assert answer.status_code == 200, answer.text
    granted = answer.json()
    assert granted["granted"] == [0, 1]
    key = world.agencies[KAMPALA].instance.public_key.key_id.hex()
    listed = api.request("GET", "/v1/leases?box=routine", by=KAMPALA).json()
    assert listed == {"leases": [{"position": p, "key": key, "until": granted["until"]} for p in (0, 1)]}
    assert ask(api, positions=[0, 1], seconds=0).json()["granted"] == []
    assert api.request("GET", "/v1/leases?box=routine", by=KAMPALA).json() == {"leases": []}
    # Positions of one's own box only: the same numbers of another endpoint are other positions.
    assert ask(api, by=NAIROBI).json()["granted"] == []


def test_a_recorded_request_is_taken_once(world, http_broker, api):
    assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    body = json.dumps({"box": "routine", "positions": [0], "seconds": 60}).encode()
    signed = api.sign("POST", "/v1/leases", body, world.agencies[KAMPALA].instance)
    headers = {"Host": api.authority} | signed.headers
    assert api.http.request("POST", "/v1/leases", content=body, headers=headers).json()["granted"] == [0]
    again = api.http.request("POST", "/v1/leases", content=body, headers=headers)
    problem = api.problem(again, "replayed_request")
    # No account: whoever replays a request is not its signer.
    assert (problem.status, problem.account) == (401, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"box":"sent","positions":[0],"seconds":1}',
        b'{"box":"inbox","positions":[0],"seconds":1}',
        b'{"box":"routine","positions":[],"seconds":1}',
        b'{"box":"routine","positions":[0,0],"seconds":1}',
        b'{"box":"routine","positions":[-1],"seconds":1}',
        b'{"box":"routine","positions":["0"],"seconds":1}',
        b'{"box":"routine","positions":[true],"seconds":1}',
        b'{"box":"routine","positions":[9007199254740992],"seconds":1}',
        b'{"box":"routine","positions":[0],"seconds":3601}',
        b'{"box":"routine","positions":[0],"seconds":-1}',
        b'{"box":"routine","positions":[0],"seconds":1,"key":"x"}',
        json.dumps({"box": "routine", "positions": list(range(257)), "seconds": 1}).encode(),
    ],
)
@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True)
def test_malformed_requests(shared_api, body):
    answer = shared_api.request("POST", "/v1/leases", body, KAMPALA)
    assert shared_api.problem(answer).status == 400


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_unsigned_and_oversized_requests(http_broker, api):
    assert api.problem(api.request("POST", "/v1/leases", b"{}")).status == 400
    assert api.problem(api.request("GET", "/v1/leases?box=routine")).status == 400
    assert api.problem(api.request("GET", "/v1/leases?box=sent", by=KAMPALA), "bad_parameter").status == 400
    assert (
        api.problem(api.request("POST", "/v1/leases", b" " * 9000, KAMPALA), "oversized_body").status == 413
    )
