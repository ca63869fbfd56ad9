"""Whatever comes back, a client raises one of our errors or does its work: never anything else."""

import contextlib
import json
import random

import pytest

from countermark_client import Settings, testing
from countermark_protocol.errors import CountermarkError

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
_VALUES = (None, 0, -1, 2**70, "", "x" * 300, [], {}, [[]], True, 1.5, "\u0000", "é", "00" * 32, "AA")


def _garble_json(value, rng):
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        what = rng.random()
        if what < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if what < 0.2:
            return {**value, "extra": 1}
        return {**value, key: _garble_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        what = rng.random()
        if what < 0.15:
            return value[:at] + value[at + 1 :]
        if what < 0.3:
            return [*value, value[at]]
        return [*value[:at], _garble_json(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice("0aZ_-=\n ") + value[at + 1 :]
    return rng.choice(_VALUES)


def _garble(body, rng):
    what = rng.random()
    try:
        document = json.loads(body)
    except ValueError:
        document = None  # a checkpoint, leaves, or a ciphertext, whatever it begins with
    if what < 0.15 or not isinstance(document, dict):
        data = bytearray(body or b"x")
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(data[: rng.randrange(1, len(data) + 1)] if what < 0.05 else data)
    return json.dumps(_garble_json(document, rng)).encode()


def _rounds(count, first=0):
    for seed in range(first, first + count):
        rng = random.Random(seed)
        world = testing.world(KENYA, BELGIUM)
        quick = Settings(attempts=1, sync_interval=0)
        clients = [world.client(a, settings=quick) for a in (KENYA, BELGIUM)]
        broken = rng.randrange(1, 12)
        calls = []

        def intercept(request, answer, calls=calls, broken=broken, rng=rng):
            calls.append(request)
            if len(calls) % broken:
                return answer
            status = answer[0] if rng.random() < 0.9 else rng.choice((200, 204, 400, 404, 409, 500))
            return status, answer[1], _garble(answer[2], rng)

        world.broker.intercept = intercept
        kenya, belgium = clients
        steps = (
            kenya.sync,
            lambda k=kenya: k.send("tracing-request", testing.sample_request(), to=[BELGIUM]),
            lambda b=belgium: [r.accept() for r in b.inbox()],
            kenya.notices,
            belgium.sync_sent,
            kenya.verify_log,
            kenya.flush,
        )
        for step in steps:
            with contextlib.suppress(CountermarkError):
                step()
        # However it went: once the broker answers rightly again, everything that waits is brought to its end.
        world.broker.intercept = None
        for client in clients:
            client.clear_halt()
        kenya.flush()
        list(belgium.inbox())
        assert belgium.rejected == (), seed
        sent = [i for i in kenya.outbox() if i.state == "logged"]
        assert len(sent) == len([m for m in world.broker.state.messages.values() if m is not None]), seed
        assert kenya.verify_log().size == world.broker.state.size


def test_garbled_answers():
    _rounds(25)


@pytest.mark.long
def test_garbled_answers_long():
    _rounds(5000, first=1000)
