"""What anyone may check: leaves, paths, roots; and how directory statements are judged over HTTP."""

import asyncio
import threading
from dataclasses import replace

from countermark_broker.api import open_log
from countermark_protocol.answers import parse_accepted
from countermark_protocol.documents import encode_document, parse_document
from countermark_protocol.encoding import parse_digest, parse_object
from countermark_protocol.key_proof import verify_key_proof
from countermark_protocol.leaf import LEAF_BYTES, parse_leaf, verify_succession
from countermark_protocol.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from countermark_protocol.proof import parse_inclusion, verify_no_deliveries
from countermark_protocol.records import Ground, RevocationRecord, State
from support.broker_fixtures import AUTHORITY
from support.raw_http import Connection, request
from support.world import KAMPALA, NAIROBI


def get(api, target):
    answer = api.request("GET", target)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_the_whole_log_verifies_from_outside(world, api):
    api.refresh()
    for _ in range(3):
        api.post_message(world.message(NAIROBI, [KAMPALA]))
    checkpoint = api.checkpoint_of(get(api, "/v1/log/checkpoint"))
    data = get(api, "/v1/log/leaves?from=0&limit=10000")
    leaves = [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert len(leaves) == checkpoint.size
    assert root_of(hashes) == checkpoint.root
    before = None
    for leaf in map(parse_leaf, leaves):
        verify_succession(before, leaf)
        before = leaf
    for size in range(1, checkpoint.size + 1):
        for index in {0, size // 2, size - 1}:
            found = parse_object(get(api, f"/v1/log/inclusion?index={index}&size={size}"))
            assert found.pop("size") == size
            inclusion = parse_inclusion(found)
            assert inclusion.leaf == leaves[index]
            verify_inclusion(hashes[index], index, size, inclusion.path, root_of(hashes[:size]))
    for old in range(checkpoint.size + 1):
        answer = parse_object(get(api, f"/v1/log/consistency?from={old}"))
        path = [parse_digest(h, "path") for h in answer["path"]]
        assert (answer["from"], answer["to"]) == (old, checkpoint.size)
        verify_consistency(old, root_of(hashes[:old]), checkpoint.size, checkpoint.root, path)


async def test_readers_of_the_log_take_turns_by_address(http_broker, monkeypatch):
    """Anybody may ask for 10,000 leaves: 200 such readers would have all connections to the database."""
    asked = threading.Semaphore(0)
    reading, most = 0, 0

    async def read(*_):
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        while not asked.acquire(blocking=False):
            await asyncio.sleep(0.001)
        reading -= 1
        return b""

    async def ask(source):
        connection = Connection(http_broker.port, source)
        answer = await connection.send(request("GET", "/v1/log/leaves?from=0&limit=10000", AUTHORITY))
        connection.close()
        return answer.status

    monkeypatch.setattr(open_log, "read_leaf_range", read)
    flood = [asyncio.create_task(ask("127.0.0.66")) for _ in range(30)]
    try:
        async with asyncio.timeout(20):
            while reading < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            victim = asyncio.create_task(ask("127.0.0.2"))
            await asyncio.sleep(0.3)
            # The two that are being read, and the victim's turn.
            asked.release(4)
            assert await victim == 200
            assert not all(task.done() for task in flood)
    finally:
        asked.release(100)
    assert await asyncio.gather(*flood) == [200] * 30
    assert most == 2


def test_directory_statements_are_judged_and_proven(world, api):
    api.refresh()
    statement = world.endpoint_statement("ke.border.busia")
    answer = api.post_statement(statement)
    assert answer.status_code == 201
    accepted, leaf = api.verify_accepted(answer, statement)
    assert accepted.deliveries is None
    verify_no_deliveries(leaf)
    again = api.post_statement(statement)
    assert again.status_code == 200
    assert parse_accepted(again.content).inclusion.leaf == accepted.inclusion.leaf
    api.refresh()
    assert api.directory.endpoint("ke.border.busia") is not None


def test_one_endpoints_keys_are_proven_by_a_path(world, api):
    target = f"/v1/directory/{KAMPALA}/proof"
    fingerprint = parse_document(world.founding()).payload_hash.hex()

    def proven(target):
        answer = api.request("GET", target, by=NAIROBI)
        assert answer.status_code == 200, answer.text
        return verify_key_proof(answer.content, fingerprint)

    found = proven(target)
    assert found.keys.sealing == world.agencies[KAMPALA].sealing.public_key
    assert (found.address, found.revoked) == (KAMPALA, frozenset())
    # What comes later shows at once; that somebody has no keys is proven too; and who may ask is as for the directory.
    key = world.agencies[KAMPALA].instance
    record = RevocationRecord(key.public_key.key_id, Ground.LOSS, None)
    assert api.post_statement(world.revocation(key, record, [world.authority("ug")])).status_code == 201
    later = proven(target)
    assert later.revoked == {key.public_key.key_id}
    assert later.checkpoint.size == found.checkpoint.size + 1
    assert proven("/v1/directory/zz.police.nowhere/proof").keys is None
    assert api.request("GET", target).status_code == 400
    assert api.request("GET", target, by=key).status_code == 401
    assert api.request("GET", "/v1/directory/nobody/proof", by=NAIROBI).status_code == 400


def test_refused_directory_statements_are_plain_problems(world, api):
    api.refresh()
    size = api.checkpoint_of(get(api, "/v1/log/checkpoint")).size
    kept = dict(world.newest)

    def refused(data, code, status):
        problem = api.problem(api.post_statement(data), code)
        assert (problem.status, problem.account) == (status, None)
        world.newest = dict(kept)

    world.newest[f"endpoint/{KAMPALA}"] = bytes(32)
    refused(world.endpoint_statement(KAMPALA, state=State.SUSPENDED), "stale_statement", 409)
    world.grace_ms += 1
    refused(world.founding(), "already_founded", 409)
    refused(world.endpoint_statement("zz.police.nowhere"), "unknown_key", 401)
    table = replace(world.policy, rules=world.policy.rules[:1])
    policy = parse_document(world.policy_statement(table))
    refused(encode_document(policy.payload, policy.signatures[:1]), "too_few_signatures", 401)
    refused(world.message(NAIROBI, [KAMPALA]).document, "wrong_kind", 400)
    refused(world.receipt(KAMPALA, [bytes(32)]), "wrong_kind", 400)
    refused(b"junk", "unknown_version", 422)
    assert api.checkpoint_of(get(api, "/v1/log/checkpoint")).size == size


def test_a_suspended_endpoint_neither_sends_nor_receives(world, api):
    api.refresh()
    assert api.post_statement(world.endpoint_statement(KAMPALA, state=State.SUSPENDED)).status_code == 201
    problem = api.problem(api.post_message(world.message(NAIROBI, [KAMPALA])), "unknown_recipient")
    assert problem.account is not None
    assert api.problem(api.post_message(world.message(KAMPALA, [NAIROBI]))).status == 401
    assert api.post_statement(world.endpoint_statement(KAMPALA)).status_code == 201
    assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201


def test_metrics_count_what_happened(world, api):
    api.refresh()
    api.post_message(world.message(NAIROBI, [KAMPALA]))
    api.post_message(b"junk")
    text = get(api, "/metrics").decode()
    assert 'countermark_accepted_total{kind="message"} 1.0' in text
    assert 'countermark_refused_total{code="unknown_version"} 1.0' in text
    assert "countermark_unverified_rejects_total 1.0" in text
    for name in (
        "group_statements",
        "commit_seconds",
        "published_size",
        "checkpoint_age_seconds",
        "listeners",
    ):
        assert f"countermark_{name}" in text
