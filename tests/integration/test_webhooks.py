"""Webhooks: a look is owed where a box is longer than it was told, whatever dies in between."""

import asyncio
import json
import logging
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from countermark_broker.errors import OverloadedError
from countermark_broker.services.accept import accept_directory, accept_message, accept_receipt
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.changes import Change
from countermark_broker.services.node import Caller
from countermark_broker.services.outbound import Answered
from countermark_broker.services.webhooks import (
    SCHEDULE,
    WebhookSender,
    _check_possible,
    list_webhooks,
    remove_webhooks,
    set_webhook,
)
from countermark_broker.store.engine import database_now
from countermark_broker.store.tables import webhook_boxes, webhooks
from countermark_broker.store.webhooks import MAX_WEBHOOKS
from countermark_client import webhooks as receiving
from countermark_protocol.boxes import Box
from countermark_protocol.errors import PolicyError, SignatureError, TransportError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.manifest import Urgency
from countermark_protocol.records import State
from countermark_protocol.signers import Ed25519Signer, Es256Signer
from countermark_protocol.webhooks import encode_webhook_key, parse_webhooks
from support.broker_fixtures import running
from support.world import KAMPALA, MOMBASA, NAIROBI

URL = "https://hooks.example.org/countermark"
HOUR = 3_600_000
INBOXES = (Box.URGENT, Box.ROUTINE)


class Receiver:
    """In the place of the network: takes down what is posted, and answers as told."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.looks = []
        self.posted = []
        self.gate = None
        self.most_at_once = self.now = 0

    async def post(self, target, headers, body, whose):
        self.posted.append((target, headers, body))
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            if self.gate is not None:
                await self.gate(target)
            answer = self.answers.pop(0) if len(self.answers) > 1 else (self.answers or [200])[0]
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, int):
                answer = Answered(answer, None)
            if 200 <= answer.status < 300:
                self.looks.append((headers["webhook-id"], json.loads(body)["data"]))
            return answer
        finally:
            self.now -= 1

    @property
    def told(self):
        return [(data["endpoint"], data["box"]) for _, data in self.looks]


class Time:
    """The database's clock, moved by a test."""

    def __init__(self):
        self.ahead = 0

    def __call__(self, connection):
        return database_now(connection) + self.ahead


class Telling:
    """A sender under a test's hand: it tells when it is told to."""

    def __init__(self, node, receiver, time=None):
        self.time = time or Time()
        self.sender = WebhookSender(node, receiver, now=self.time, chance=lambda: 0.0)

    async def tell(self):
        begun = await self.sender.begin_due()
        await self.sender.finish()
        return begun

    async def later(self, milliseconds):
        self.time.ahead += milliseconds
        return await self.tell()


async def still(broker):
    """Stop the broker's own sender: the test has one in its hand."""
    [task] = [t for t in broker._tasks if t.get_name() == "webhooks"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return broker.node


async def change(node, address=KAMPALA):
    now = await node.database.read(database_now) // 1000
    return Change(KeyId(bytes(32)), os.urandom(16), now, Caller(address, bytes(32)))


async def register(node, url=URL, boxes=INBOXES, address=KAMPALA):
    return await set_webhook(node, await change(node, address), url, boxes)


async def state(node, address=KAMPALA):
    return await list_webhooks(node, Caller(address, bytes(32)))


async def send(world, node, to=(KAMPALA,), **kwargs):
    message = world.message(NAIROBI, list(to), **kwargs)
    await accept_message(node, message.data)
    return message


# --- looks ---------------------------------------------------------------------------------------------


async def test_setting_a_webhook_owes_it_a_look_at_each_box(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    assert await telling.tell() == 0
    [registered] = await register(node)
    assert (registered.url, registered.boxes, registered.on, registered.failures) == (URL, INBOXES, True, 0)
    assert await telling.tell() == 1
    assert receiver.told == [(KAMPALA, "urgent"), (KAMPALA, "routine")]
    assert await telling.later(HOUR) == 0
    [found] = await state(node)
    assert found.succeeded_at is not None
    assert found.error is None


async def test_a_moved_box_is_told_once_and_only_to_whom_it_belongs(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    await register(node)
    await register(node, "https://hooks.example.org/other", address=MOMBASA)
    await telling.tell()
    receiver.looks.clear()
    await send(world, node)
    assert await telling.later(HOUR) == 1
    assert receiver.told == [(KAMPALA, "routine")]
    assert await telling.later(HOUR) == 0
    await send(world, node, urgency=Urgency.FLASH)
    await telling.later(HOUR)
    assert receiver.told[1:] == [(KAMPALA, "urgent")]


async def test_only_the_boxes_that_were_asked_for(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    await register(node, boxes=(Box.NOTICES,), address=NAIROBI)
    await telling.tell()
    message = await send(world, node)
    assert await telling.later(HOUR) == 0
    await accept_receipt(node, world.receipt(KAMPALA, [message]), Caller(KAMPALA, bytes(32)))
    await telling.later(HOUR)
    assert receiver.told == [(NAIROBI, "notices")] * 2


async def test_a_hundred_moves_become_one_look(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    receiver.looks.clear()
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(100)]
    await asyncio.gather(*(accept_message(node, m.data) for m in messages))
    await telling.later(HOUR)
    assert receiver.told == [(KAMPALA, "routine")]


async def test_the_pause_between_two_looks_holds(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    await send(world, node)
    telling.time.ahead -= HOUR  # the clock of the test has not gone on
    assert await telling.tell() == 0
    assert await telling.later(HOUR + node.settings.webhook_pause_ms) == 1


async def test_what_moves_while_a_look_is_under_way_is_told_by_a_further_one(world, broker):
    node, receiver = await still(broker), Receiver()
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    receiver.looks.clear()
    await send(world, node)

    async def meanwhile(_target):
        receiver.gate = None
        await send(world, node)

    receiver.gate = meanwhile
    await telling.later(HOUR)
    await telling.later(HOUR)
    assert receiver.told == [(KAMPALA, "routine")] * 2
    # Two looks, two ids: whoever knows the first one must not take the second for its repetition.
    assert len({look_id for look_id, _ in receiver.looks}) == 2


async def test_a_look_is_verified_by_the_clients_helper(world, broker):
    node, receiver = await still(broker), Receiver()
    await register(node)
    message = await send(world, node)
    await Telling(node, receiver).tell()
    keys = [encode_webhook_key(node.node_key.public_key)]
    looks = [receiving.verify(h, body, keys, endpoint=KAMPALA) for _, h, body in receiver.posted]
    assert {(look.endpoint, look.box) for look in looks} == {(KAMPALA, box) for box in INBOXES}
    _, headers, body = receiver.posted[0]
    for wrong in (
        {"endpoint": MOMBASA},
        {"endpoint": KAMPALA, "now_seconds": int(headers["webhook-timestamp"]) + 301},
    ):
        with pytest.raises(SignatureError):
            receiving.verify(headers, body, keys, **wrong)
    other = [encode_webhook_key(world.log_key.public_key)]
    with pytest.raises(SignatureError, match="webhook_not_signed"):
        receiving.verify(headers, body, other, endpoint=KAMPALA)
    # Nothing of the message is told: neither who sent it, nor what it is, nor how many there are.
    told = json.dumps([(h, b.decode()) for _, h, b in receiver.posted])
    for secret in (message.payload_hash.hex(), message.manifest.id, message.manifest.type, NAIROBI):
        assert secret not in told


# --- failing -------------------------------------------------------------------------------------------


async def test_failures_are_tried_again_by_the_schedule(world, broker):
    node, receiver = await still(broker), Receiver(500)
    telling = Telling(node, receiver)
    await register(node)
    assert await telling.tell() == 1
    ids = []
    for i, wait in enumerate(SCHEDULE):
        [found] = await state(node)
        assert (found.failures, found.error, found.on) == (i + 1, "status_500", True)
        assert await telling.later(wait - 2_000) == 0, i
        ids.append(receiver.posted[-1][1]["webhook-id"])
        assert await telling.later(2_500) == 1, i
    assert len(set(ids)) == 1
    bodies = {body for _, _, body in receiver.posted}
    assert len(bodies) == 1
    # Only one box is tried while the receiver fails.
    assert len(receiver.posted) == len(SCHEDULE) + 1


async def test_a_success_ends_the_failing(world, broker):
    node, receiver = await still(broker), Receiver(500, TransportError("webhook_timeout", "…"), 204)
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    await telling.later(SCHEDULE[0] + 1000)
    [found] = await state(node)
    assert (found.failures, found.error) == (2, "webhook_timeout")
    await telling.later(SCHEDULE[1] + 1000)
    [found] = await state(node)
    assert (found.failures, found.failing_since, found.error) == (0, None, None)
    assert receiver.told == [(KAMPALA, "urgent"), (KAMPALA, "routine")]


async def test_waits_are_spread(world, broker):
    node = await still(broker)
    time = Time()
    waits = []
    for chance in (0.0, 1.0):
        sender = WebhookSender(node, Receiver(500), now=time, chance=lambda chance=chance: chance)
        await register(node)
        await sender.begin_due()
        await sender.finish()
        [found] = await state(node)
        waits.append(found.next_try - found.failing_since)
    assert waits == [5_000, 6_000]


async def test_a_receiver_may_ask_for_patience_but_not_for_ever(world, broker):
    node = await still(broker)
    for answer, wait in (
        (Answered(503, 7_200), 2 * HOUR),
        (Answered(429, 999_999), 24 * HOUR),
        (Answered(503, 1), SCHEDULE[0]),
        (Answered(500, 7_200), SCHEDULE[0]),
    ):
        await register(node)
        await Telling(node, Receiver(answer)).tell()
        [found] = await state(node)
        assert found.next_try - found.failing_since == wait


async def test_after_days_of_failure_it_is_switched_off_loudly(world, broker, caplog):
    node, receiver = await still(broker), Receiver(500)
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    give_up = node.settings.webhook_give_up_h * HOUR
    assert give_up == 5 * 24 * HOUR
    with caplog.at_level(logging.WARNING):
        while telling.time.ahead < give_up:
            [found] = await state(node)
            assert found.on
            await telling.later(24 * HOUR + 1000)
    [found] = await state(node)
    assert not found.on
    assert found.off_at is not None
    assert found.error == "status_500"
    [line] = [r.getMessage() for r in caplog.records if "switched off" in r.getMessage()]
    assert KAMPALA in line
    assert "hooks.example.org" not in line  # a path may be a receiver's secret
    assert b"countermark_webhooks_switched_off_total 1.0" in node.metrics.render()
    tried = len(receiver.posted)
    await send(world, node)
    assert await telling.later(100 * HOUR) == 0
    assert len(receiver.posted) == tried
    # Set again, it is told what it missed.
    receiver.answers = [200]
    await register(node)
    assert await telling.tell() == 1
    assert receiver.told == [(KAMPALA, "urgent"), (KAMPALA, "routine")]


async def test_one_that_refuses_a_box_day_after_day_is_switched_off_though_another_is_told(world, broker):
    node = await still(broker)

    class Partial(Receiver):
        async def post(self, target, headers, body, whose):
            self.answers = [200 if b'"urgent"' in body else 500]
            return await super().post(target, headers, body, whose)

    receiver = Partial()
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    since = (await state(node))[0].failing_since
    assert since is not None
    for _ in range(4):
        await send(world, node, urgency=Urgency.FLASH)
        await telling.later(24 * HOUR + 1000)
        [found] = await state(node)
        # It answers, so it is tried again soon; and it has failed since then.
        assert (found.on, found.failures, found.failing_since) == (True, 1, since)
    await send(world, node, urgency=Urgency.FLASH)
    await telling.later(24 * HOUR + 1000)
    [found] = await state(node)
    assert (found.on, found.error) == (False, "status_500")
    assert {box for _, box in receiver.told} == {"urgent"}


async def test_a_look_that_had_no_turn_counts_against_nobody(world, broker):
    busy = OverloadedError("look_ups_busy", "too many names are being looked up")
    node, receiver = await still(broker), Receiver(500, 200, busy, busy, 200)
    telling = Telling(node, receiver)
    await register(node)
    await telling.tell()
    [before] = await state(node)
    assert (before.failures, before.error) == (1, "status_500")
    # The first box is told, the second has no turn, twice; neither changes what is known of the receiver.
    for told in (1, 1):
        assert await telling.later(SCHEDULE[0] + 1000) == 1
        [found] = await state(node)
        assert len(receiver.told) == told
        assert (found.on, found.failures, found.failing_since, found.error) == (
            before.on,
            before.failures,
            before.failing_since,
            before.error,
        )
    assert await telling.tell() == 0  # not at once: others may have the turn
    assert await telling.later(SCHEDULE[0] + 1000) == 1
    assert receiver.told == [(KAMPALA, "urgent"), (KAMPALA, "routine")]
    [found] = await state(node)
    assert (found.failures, found.failing_since, found.error) == (0, None, None)


async def test_gone_switches_off_at_once(world, broker):
    node, receiver = await still(broker), Receiver(410)
    await register(node)
    await Telling(node, receiver).tell()
    [found] = await state(node)
    assert (found.on, found.error) == (False, "status_410")


@pytest.mark.parametrize("status", [199, 300, 301, 307, 404, 500])
async def test_only_2xx_is_success(world, broker, status):
    node = await still(broker)
    await register(node)
    await Telling(node, Receiver(status)).tell()
    [found] = await state(node)
    assert found.error == f"status_{status}"


async def test_a_suspended_endpoint_is_told_nothing(world, broker):
    node, receiver = await still(broker), Receiver()
    await register(node)
    await accept_directory(node, world.endpoint_statement(KAMPALA, State.SUSPENDED))
    await Telling(node, receiver).tell()
    assert receiver.posted == []
    [found] = await state(node)
    assert found.error == "endpoint_not_standing"


async def test_a_defect_with_one_receiver_reaches_no_other(world, broker, caplog):
    node = await still(broker)

    class Faulty(Receiver):
        async def post(self, target, headers, body, whose):
            if target.request_target == "/bad":
                msg = "a defect"
                raise RuntimeError(msg)
            return await super().post(target, headers, body, whose)

    receiver = Faulty()
    await register(node, "https://hooks.example.org/bad")
    await register(node, address=MOMBASA)
    await Telling(node, receiver).tell()
    assert (MOMBASA, "urgent") in receiver.told
    assert "a defect while telling a webhook" in caplog.text


# --- many nodes, and the death of one --------------------------------------------------------------------


async def test_of_two_nodes_one_tells(world, home):
    async with running(world, home) as one, running(world, home) as two:
        nodes = [await still(one), await still(two)]
        receiver, time = Receiver(), Time()
        tellings = [Telling(node, receiver, time) for node in nodes]
        await register(nodes[0])
        await asyncio.gather(*(t.tell() for t in tellings))
        assert sorted(receiver.told) == [(KAMPALA, "routine"), (KAMPALA, "urgent")]
        for _ in range(3):
            await send(world, nodes[0])
            await nodes[1].publisher.advance()
            time.ahead += HOUR
            await asyncio.gather(*(t.tell() for t in tellings))
            assert await tellings[0].later(HOUR) == 0
        assert len(receiver.told) == 5


async def test_what_a_dead_node_had_claimed_is_told_by_another(world, home):
    async with running(world, home) as one, running(world, home) as two:
        nodes = [await still(one), await still(two)]
        await register(nodes[0])
        dying = Receiver()

        async def for_ever(_target):
            await asyncio.Event().wait()

        dying.gate = for_ever
        first = Telling(nodes[0], dying)
        assert await first.sender.begin_due() == 1
        receiver = Receiver()
        second = Telling(nodes[1], receiver)
        assert await second.tell() == 0
        # Killed: no release, no outcome. Its claim lapses.
        tasks = list(first.sender._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await second.tell() == 0
        assert await second.later(4 * 15_000 + 30_000 + 1_000) == 1
        assert len(receiver.told) == 2


async def test_a_slow_outcome_does_not_overwrite_what_came_after_it(world, home):
    async with running(world, home) as broker:
        node = await still(broker)
        await register(node)
        slow, open_ = Receiver(500), asyncio.Event()

        async def wait(_target):
            await open_.wait()

        slow.gate = wait
        late = Telling(node, slow)
        await late.sender.begin_due()
        await register(node)  # set anew meanwhile
        await Telling(node, Receiver()).tell()
        open_.set()
        await late.sender.finish()
        [found] = await state(node)
        assert (found.failures, found.error) == (0, None)
        assert found.succeeded_at is not None


async def test_a_stopping_node_gives_its_claims_up(world, home):
    async with running(world, home) as broker:
        node = await still(broker)
        await register(node)
        hanging = Receiver()

        async def for_ever(_target):
            await asyncio.Event().wait()

        hanging.gate = for_ever
        stopping = Telling(node, hanging)
        task = asyncio.create_task(stopping.sender.run())
        while not hanging.posted:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await Telling(node, Receiver()).tell() == 1


async def test_a_restart_loses_nothing(world, home):
    """What moved while nobody was there to tell is told after the start: there is no queue to lose."""
    async with running(world, home) as broker:
        node = await still(broker)
        await register(node)
        await Telling(node, Receiver()).tell()
        await send(world, node)
        failing = Telling(node, Receiver(500))
        await failing.later(HOUR)
    async with running(world, home) as broker:
        node, receiver = await still(broker), Receiver()
        telling = Telling(node, receiver)
        [found] = await state(node)
        assert found.failures == 1
        await telling.later(2 * HOUR)
        assert receiver.told == [(KAMPALA, "routine")]


# --- load ----------------------------------------------------------------------------------------------


async def test_receivers_that_hang_hold_up_no_more_than_their_share(world, home):
    async with running(world, home) as broker:
        node = await still(broker)
        for address, path in ((KAMPALA, "hangs"), (MOMBASA, "lives"), (NAIROBI, "lives")):
            await register(node, f"https://hooks.example.org/{path}", address=address)
        receiver, open_ = Receiver(), asyncio.Event()

        async def hang(target):
            if target.request_target == "/hangs":
                await open_.wait()

        receiver.gate = hang
        telling = Telling(node, receiver)
        await telling.sender.begin_due()
        while len(receiver.told) < 4:
            await asyncio.sleep(0.01)
        # It is claimed, so it is not called a second time, whatever moves.
        await send(world, node, [KAMPALA, MOMBASA])
        telling.time.ahead += node.settings.webhook_pause_ms + 1000
        await telling.sender.begin_due()
        while len(receiver.told) < 5:
            await asyncio.sleep(0.01)
        assert {endpoint for endpoint, _ in receiver.told} == {MOMBASA, NAIROBI}
        open_.set()
        await telling.sender.finish()


async def test_thousands_of_registrations_are_told_a_bounded_number_at_once(world, home):
    count = 3000
    names = [f"ke.border.post{i}" for i in range(count)]

    def fill(connection):
        row = {"registered_at": 1, "salt": bytes(16), "enabled": 1, "failures": 0, "next_try": 0}
        rows = [{"endpoint": n, "url": URL, "claimed_until": 0} | row for n in names]
        connection.execute(insert(webhooks), rows)
        boxes = [{"endpoint": n, "url": URL, "box": "routine", "told": 0} for n in names]
        connection.execute(insert(webhook_boxes), boxes)

    async with running(world, home) as broker:
        node, receiver = await still(broker), Receiver()
        await node.database.write(fill)
        telling = Telling(node, receiver)
        assert await telling.tell() == 0  # nothing moved: nobody is called
        await register(node)
        await telling.tell()
        assert {endpoint for endpoint, _ in receiver.told} == {KAMPALA}

        def owe(connection):
            connection.execute(webhook_boxes.update().values(told=-1))

        await node.database.write(owe)
        receiver.posted.clear()
        assert await telling.later(HOUR) == node.settings.webhook_concurrency
        assert receiver.posted == []  # none of them stands in the directory
        # Those that fail stand behind whoever answers.
        await send(world, node)
        await telling.later(1)
        assert {endpoint for endpoint, _ in receiver.told} == {KAMPALA}
        assert receiver.most_at_once <= node.settings.webhook_concurrency


# --- registering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.org/", "webhook_not_https"),
        ("https://127.0.0.1/", "webhook_address_refused"),
        ("https://169.254.169.254/latest/meta-data/", "webhook_address_refused"),
        ("https://[::ffff:10.0.0.1]/", "webhook_address_refused"),
    ],
)
async def test_refused_by_rule_with_an_account(world, broker, url, code):
    node = await still(broker)
    with pytest.raises(NegativeAnswer) as caught:
        await register(node, url)
    assert caught.value.error.code == code
    assert await state(node) == []


async def test_a_broker_that_calls_nobody(world, home):
    path = home / "broker.toml"
    path.write_text(path.read_text() + "webhooks = false\n")
    async with running(world, home) as broker:
        assert "webhooks" not in {task.get_name() for task in broker._tasks}
        with pytest.raises(NegativeAnswer) as caught:
            await register(broker.node)
        assert caught.value.error.code == "webhooks_off"


async def test_a_node_whose_signature_nobody_would_believe_tells_nothing(world, broker):
    """Its key is P-256, which the specification does not know, or is not listed in the broker's keys."""
    node, receiver = await still(broker), Receiver()
    await register(node)
    for key in (Es256Signer(bytes([1]) * 32), Ed25519Signer(bytes([9]) * 32)):
        other = Telling(replace(node, node_key=key), receiver)
        assert not other.sender.possible
        assert await other.tell() == 0
    assert receiver.posted == []
    assert await Telling(node, receiver).tell() == 1


def test_registering_is_refused_where_no_node_could_sign():
    p256 = SimpleNamespace(key=Es256Signer(bytes([1]) * 32).public_key)
    directory = SimpleNamespace(
        log=lambda: SimpleNamespace(broker="xo-x.broker.main"), keys=lambda _: SimpleNamespace(signing=[p256])
    )
    node = SimpleNamespace(settings=SimpleNamespace(webhooks=True), holder=SimpleNamespace(current=directory))
    with pytest.raises(PolicyError) as caught:
        _check_possible(node)
    assert caught.value.code == "webhooks_unsupported"


async def test_a_few_for_each_endpoint(world, broker):
    node = await still(broker)
    for i in range(MAX_WEBHOOKS):
        await register(node, f"{URL}/{i}")
    with pytest.raises(NegativeAnswer) as caught:
        await register(node, f"{URL}/more")
    assert caught.value.error.code == "too_many_webhooks"
    await register(node, f"{URL}/0", [Box.SENT])
    await register(node, address=MOMBASA)
    found = await state(node)
    assert [(w.url, w.boxes) for w in found[:1]] == [(f"{URL}/0", (Box.SENT,))]
    assert len(found) == MAX_WEBHOOKS


async def test_removed_is_told_no_more(world, broker):
    node, receiver = await still(broker), Receiver()
    await register(node)
    await register(node, f"{URL}/2")
    assert [w.url for w in await remove_webhooks(node, await change(node), URL)] == [f"{URL}/2"]
    assert await remove_webhooks(node, await change(node, MOMBASA), None) == []
    assert len(await state(node)) == 1
    assert await remove_webhooks(node, await change(node), None) == []
    assert await Telling(node, receiver).tell() == 0


async def test_a_replayed_registration_changes_nothing(world, broker):
    node = await still(broker)
    one = await change(node)
    await set_webhook(node, one, URL, INBOXES)
    await remove_webhooks(node, await change(node), None)
    with pytest.raises(SignatureError) as caught:
        await set_webhook(node, one, URL, INBOXES)
    assert caught.value.code == "replayed_request"
    assert await state(node) == []


async def test_registrations_of_one_moment_end_as_one(world, home):
    async with running(world, home) as one, running(world, home) as two:
        nodes = [await still(one), await still(two)]
        await asyncio.gather(*(register(nodes[i % 2]) for i in range(6)))
        [found] = await state(nodes[0])
        assert found.boxes == INBOXES


# --- over HTTP -----------------------------------------------------------------------------------------


def test_the_calls(world, http_broker, api):
    api.refresh()
    body = json.dumps({"url": "https://127.0.0.1/", "boxes": ["urgent"]}).encode()
    answer = api.request("PUT", "/v1/webhooks", body, KAMPALA)
    problem = api.problem(answer, "webhook_address_refused")
    assert problem.status == 403
    account = api.verify_account_of(problem.account, api.last_digest)
    assert account.refusal.rule == "webhook_address_refused"
    # A name that no resolver knows: registered all the same, and seen to fail.
    url = "https://no-such-host.invalid/countermark?a=b"
    body = json.dumps({"url": url, "boxes": ["urgent", "notices"]}).encode()
    answer = api.request("PUT", "/v1/webhooks", body, KAMPALA)
    [found] = parse_webhooks(answer.content)
    assert (found.url, found.boxes) == (url, (Box.URGENT, Box.NOTICES))
    while not found.failures:
        [found] = parse_webhooks(api.request("GET", "/v1/webhooks", by=KAMPALA).content)
    assert found.error in {"webhook_unresolved", "webhook_unreachable", "webhook_timeout"}
    assert parse_webhooks(api.request("GET", "/v1/webhooks", by=NAIROBI).content) == ()
    quoted = "https%3A%2F%2Fno-such-host.invalid%2Fcountermark%3Fa%3Db"
    assert parse_webhooks(api.request("DELETE", f"/v1/webhooks?url={quoted}", by=NAIROBI).content) == ()
    assert len(parse_webhooks(api.request("GET", "/v1/webhooks", by=KAMPALA).content)) == 1
    assert parse_webhooks(api.request("DELETE", f"/v1/webhooks?url={quoted}", by=KAMPALA).content) == ()


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"url":"https://x.example/"}',
        b'{"url":"https://x.example/","boxes":[]}',
        b'{"url":"https://x.example/","boxes":["inbox"]}',
        b'{"url":"https://x.example/","boxes":["urgent"],"secret":"x"}',
        b'{"url":"https://u@x.example/","boxes":["urgent"]}',
        b'{"url":5,"boxes":["urgent"]}',
        json.dumps({"url": "https://x.example/" + "x" * 500, "boxes": ["urgent"]}).encode(),
    ],
)
def test_malformed_requests(shared_api, body):
    answer = shared_api.request("PUT", "/v1/webhooks", body, KAMPALA)
    assert shared_api.problem(answer).status == 400


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_unsigned_and_replayed_requests(world, http_broker, api):
    for method in ("PUT", "GET", "DELETE"):
        assert api.problem(api.request(method, "/v1/webhooks"), "signature_missing").status == 400
    signed = api.sign("DELETE", "/v1/webhooks", None, world.agencies[KAMPALA].instance)
    headers = {"Host": api.authority} | signed.headers
    assert api.http.request("DELETE", "/v1/webhooks", headers=headers).status_code == 200
    again = api.http.request("DELETE", "/v1/webhooks", headers=headers)
    assert api.problem(again, "replayed_request").account is None
