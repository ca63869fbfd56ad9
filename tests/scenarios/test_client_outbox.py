"""The outbox: crashes at every write, lost answers, giving up, renewing, pruning; exactly once in effect."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from countermark_client import Draft, OutboxState, Settings, testing
from countermark_protocol.boxes import Box
from countermark_protocol.errors import (
    ConflictError,
    InconsistentLogError,
    NotFoundError,
    PolicyError,
    TransportError,
    UncheckableError,
)
from support.crashing import CrashingProfile, PowerCutError
from support.examples import tried

KENYA, BELGIUM, UGANDA = "ke.police.nairobi", "be.contact.federal", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, UGANDA)


def draft(case, to=BELGIUM, **more):
    return Draft(type="tracing-request", content=testing.sample_request(case), to=[to], **more)


def send(client, case="C-1", to=BELGIUM):
    return client.send("tracing-request", testing.sample_request(case), to=[to])


def cases(client):
    return [r.content.national_case_ref for r in client.inbox()]


def away(world, client, *names, to=BELGIUM):
    """Messages sealed while the broker is away; their payload hashes."""
    client.sync()
    before = {i.payload for i in client.outbox()}
    world.broker.offline = True
    for name in names:
        with pytest.raises(TransportError):
            send(client, name, to)
    world.broker.offline = False
    return [i.payload for i in client.outbox() if i.payload not in before]


# --- crashes ---


def _work(client):
    """Three messages with references, by one bulk request, and one alone; what a program would begin again."""
    list(client.send_bulk([draft(f"C-{i}", reference=f"r{i}") for i in range(3)]))
    client.send("tracing-request", testing.sample_request("C-3"), to=[BELGIUM], reference="r3")


def _check_exactly_once(world, client):
    assert {i.state for i in client.outbox()} == {OutboxState.LOGGED}
    assert client.sync_sent() == 0
    assert client.halted is None
    assert client.profile.store.box_state(Box.SENT).count == 4
    assert cases(world.client(BELGIUM)) == ["C-0", "C-1", "C-2", "C-3"]


@pytest.mark.parametrize("how", ["lost", "kept"])
def test_a_crash_at_every_single_write_leaves_each_message_exactly_once(tmp_path, how):
    number, crashes = 0, 0
    while True:
        number += 1
        world = testing.world(KENYA, BELGIUM)
        post = CrashingProfile(world, KENYA, tmp_path / f"{how}{number}.db")
        client = post.open()
        client.sync()
        post.crash_at(number, how)
        try:
            _work(client)
        except PowerCutError:
            crashes += 1
            _work(post.open())  # the same program, begun again
            done = False
        else:
            done = True
        client = post.open()
        _check_exactly_once(world, client)
        post.close()
        if done:
            break
    assert crashes > 20


@pytest.mark.parametrize("how", ["lost", "kept"])
def test_a_crash_while_receipts_are_posted_answers_for_each_message_once(tmp_path, how):
    number, done = 0, False
    while not done:
        number += 3
        world = testing.world(KENYA, BELGIUM)
        list(world.client(KENYA).send_bulk([draft(f"C-{i}") for i in range(3)]))
        post = CrashingProfile(world, BELGIUM, tmp_path / f"{how}{number}.db")
        client = post.open()
        client.sync()
        post.crash_at(number, how)
        try:
            client.accept_many(client.inbox())
        except PowerCutError:
            client = post.open()
            client.accept_many(client.inbox())
        else:
            done = True
        client = post.open()
        client.flush()
        assert client.sync_sent() == 0
        assert list(client.inbox()) == []
        kenya = world.client(KENYA)
        kenya.notices()
        stages = [r.stage for i in kenya.outbox() for r in kenya.status(i.payload).recipients]
        assert stages == ["accepted"] * 3
        post.close()


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.integers(1, 25), st.sampled_from(["lost", "kept"])),
        st.tuples(st.just("cut"), st.lists(st.sampled_from(["", "before", "after", 500, 5000]), max_size=6)),
        st.tuples(st.just("flush")),
        st.tuples(st.just("wait")),
    ),
    max_size=6,
)


@tried(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, count=st.integers(1, 6))
def test_any_interleaving_of_crashes_and_lost_answers_leaves_each_message_once(
    tmp_path_factory, steps, count
):
    world = testing.world(KENYA, BELGIUM)
    post = CrashingProfile(world, KENYA, tmp_path_factory.mktemp("any") / "s.db")
    patience = Settings(attempts=1, bulk_count=4)
    made = [draft(f"C-{i}", reference=f"r{i}") for i in range(count)]
    sealed = {}

    def opened():
        return world.client(post.open().profile, settings=patience)

    client = opened()
    client.sync()
    for step in steps:
        try:
            match step:
                case ("crash", number, how):
                    post.crash_at(number, how)
                case ("cut", cuts):
                    world.transport.cut = list(cuts)
                case ("wait",):
                    world.clock.advance(minutes=2)
            if step[0] == "flush":
                client.flush()
            else:
                list(client.send_bulk(made))
        except TransportError:
            pass
        except PowerCutError:
            world.transport.cut = []
            client = opened()
        for item in client.outbox():
            # Sealed once: the bytes never change.
            assert sealed.setdefault(item.payload, item.body) == item.body
    world.transport.cut = []
    client = opened()
    list(client.send_bulk(made))
    assert {i.state for i in client.outbox()} == {OutboxState.LOGGED}
    assert len(client.outbox()) == count
    assert client.sync_sent() == 0
    assert sorted(cases(world.client(BELGIUM))) == [f"C-{i}" for i in range(count)]
    post.close()


# --- order, freshness, patience ---


def test_messages_and_receipts_keep_their_order_across_an_outage(world):
    kenya, belgium = world.client(KENYA, settings=Settings(attempts=1)), world.client(BELGIUM)
    world.client(UGANDA).send("lost-or-stolen-notice", testing.sample_notice(), to=[KENYA])
    [received] = kenya.inbox()
    away(world, kenya, "A", "B")
    world.broker.offline = True
    with pytest.raises(TransportError):
        received.accept()
    with pytest.raises(TransportError):
        send(kenya, "C")
    world.broker.offline = False
    logged = kenya.flush().logged
    assert [i.kind for i in logged] == ["message", "message", "receipt", "message"]
    assert [i.index for i in logged] == sorted(i.index for i in logged)
    assert cases(belgium) == ["A", "B", "C"]


def test_what_waits_is_not_sent_on_an_old_checkpoint(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    [waiting] = away(world, kenya, "A")
    world.clock.advance(hours=1)
    posts = [r for r in world.broker.requests if r.path == "/v1/messages"]
    real = world.broker.handle

    def no_directory(exchange):
        if exchange.path == "/v1/directory":
            return 503, {}, b'{"status":503,"code":"overloaded","detail":"later","hint":"wait"}'
        return real(exchange)

    world.broker.handle = no_directory
    with pytest.raises(UncheckableError) as caught:
        kenya.flush()
    assert caught.value.code == "stale_checkpoint"
    with pytest.raises(TransportError):
        list(kenya.inbox())
    assert posts == [r for r in world.broker.requests if r.path == "/v1/messages"]
    world.broker.handle = real
    assert [i.payload for i in kenya.flush().logged] == [waiting]


def test_the_patience_that_a_broker_asks_for_is_kept_by_the_next_process_too(world):
    slept = []
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    busy = [True]
    real = world.broker.handle

    def overloaded(exchange):
        if busy:
            busy.clear()
            return (
                429,
                {"retry-after": "90"},
                b'{"status":429,"code":"overloaded","detail":"later","hint":"wait"}',
            )
        return real(exchange)

    world.broker.handle = overloaded
    with pytest.raises(TransportError):
        send(kenya)
    again = world.client(kenya.profile)
    sleep = again._sleep
    again._sleep = lambda seconds: (slept.append(seconds), sleep(seconds))
    again.flush()
    assert slept == [90.0]
    again.flush()
    assert slept == [90.0]


# --- keys that changed while it waited ---


def test_a_sealing_key_that_changed_holds_the_message_back_until_people_decide(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    [held] = away(world, kenya, "A")
    # Never handed in: the line was down before the first byte left.
    kenya.profile.store._db.execute("UPDATE outbox SET tries = 0")
    world.rotate_sealing_key(BELGIUM)
    world.clock.advance(minutes=2)
    posts = len([r for r in world.broker.requests if r.path == "/v1/messages"])
    send(kenya, "B")  # what comes after it is not held up
    item = kenya.profile.store.outbox_item(held)
    assert (item.state, item.code) == (OutboxState.FAILED, "sealing_key_changed")
    assert BELGIUM in item.error
    assert len([r for r in world.broker.requests if r.path == "/v1/messages"]) == posts + 1
    assert kenya.flush().failed[0].payload == held  # a retry does not help
    with pytest.raises(UncheckableError) as caught:
        kenya.retry(held)
    assert caught.value.code == "sealing_key_changed"
    renewed = kenya.renew(held)
    assert renewed.message != held
    after = kenya.profile.store.outbox_item(held)
    assert (after.state, after.renewed_as) == (OutboxState.GIVEN_UP, renewed.message)
    with pytest.raises(ConflictError) as caught:
        kenya.renew(held)
    assert caught.value.code == "already_renewed"
    belgium = world.client(world.profile(BELGIUM, keystore=world.keystore(BELGIUM)))
    assert cases(belgium) == ["B", "A"]


def test_one_that_was_handed_in_is_sent_again_for_it_may_be_logged(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    size = world.broker.state.size
    world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        send(kenya)
    world.rotate_sealing_key(BELGIUM)
    world.clock.advance(minutes=2)
    [logged] = kenya.flush().logged
    assert (logged.index, logged.tries) == (size, 2)


def test_one_that_the_broker_refuses_for_its_sealing_key_is_made_anew_by_hand_alone(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    [refused] = away(world, kenya, "A")
    world.rotate_sealing_key(BELGIUM)
    [item] = kenya.flush().refused
    assert (item.payload, item.code, item.account is not None) == (refused, "sealing_key_not_accepted", True)
    assert kenya.flush().refused == ()
    for again in (kenya.retry,):
        with pytest.raises(ConflictError) as caught:
            again(refused)
        assert caught.value.code == "never_sent_again"
    sent = kenya.renew(refused)
    original, renewed = kenya.conversation(refused)[0], kenya.conversation(sent)[0]
    assert renewed.content == original.content
    assert renewed.manifest.id != original.manifest.id
    assert renewed.manifest.handling == original.manifest.handling
    assert kenya.profile.store.outbox_item(refused).state is OutboxState.REFUSED


# --- giving up ---


def test_giving_up_what_was_never_handed_in_is_certain_and_final(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    [payload] = away(world, kenya, "A")
    kenya.profile.store._db.execute("UPDATE outbox SET tries = 0")
    assert kenya.give_up(payload, "told them by telephone") is True
    item = kenya.profile.store.outbox_item(payload)
    assert (item.state, item.error) == (OutboxState.GIVEN_UP, "told them by telephone")
    assert kenya.status(payload).stage == "given_up"
    assert kenya.flush().logged == ()
    with pytest.raises(ConflictError):
        kenya.retry(payload)
    assert cases(world.client(BELGIUM)) == []
    assert kenya.sync_sent() == 0


def test_giving_up_asks_the_broker_about_what_was_handed_in(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.transport.cut = ["before"]
    with pytest.raises(TransportError):
        send(kenya, "not logged")
    assert kenya.give_up(kenya.outbox()[-1].payload, "no longer needed") is True
    world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        send(kenya, "logged")
    with pytest.raises(ConflictError) as caught:
        kenya.give_up(kenya.outbox()[-1].payload, "no longer needed")
    assert caught.value.code == "already_logged"
    assert kenya.outbox()[-1].state is OutboxState.LOGGED
    assert cases(world.client(BELGIUM)) == ["logged"]


def test_what_was_given_up_in_ignorance_counts_as_logged_once_sent_shows_it(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.transport.cut = ["after", "before"]
    with pytest.raises(TransportError):
        send(kenya)
    [item] = kenya.outbox()
    assert kenya.give_up(item.payload, "no answer for a week") is False
    size = world.broker.state.size
    kenya.sync_sent()
    kenya.flush()
    after = kenya.profile.store.outbox_item(item.payload)
    assert (after.state, after.index) == (OutboxState.LOGGED, size - 1)
    assert kenya.status(item.payload).stage == "logged"
    assert world.broker.state.size == size
    assert kenya.halted is None


def test_what_was_given_up_unsent_and_appears_in_sent_is_an_alarm(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    [payload] = away(world, kenya, "A")
    body = kenya.outbox()[0].body
    kenya.profile.store._db.execute("UPDATE outbox SET tries = 0")
    kenya.give_up(payload, "never left the house")
    thief = world.client(UGANDA)  # somebody else carries the signed bytes to the broker
    thief.sync()
    thief._run(thief._core.session.call("POST", "/v1/messages", body=body))
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync_sent()
    assert caught.value.code == "unknown_sent_entry"


def test_reasons_and_unknown_statements(world):
    kenya = world.client(KENYA)
    sent = send(kenya)
    with pytest.raises(ConflictError):
        kenya.give_up(sent, "x")
    with pytest.raises(ValueError, match="reason"):
        kenya.give_up(sent, " ")
    for act in (kenya.retry, lambda m: kenya.give_up(m, "x"), kenya.renew):
        with pytest.raises(NotFoundError):
            act(b"\x01" * 32)
    with pytest.raises(ConflictError):
        kenya.retry(sent)
    with pytest.raises(ConflictError) as caught:
        kenya.renew(sent)
    assert caught.value.code == "not_given_up"


# --- how long it is kept ---


def test_bytes_are_kept_thirty_days_after_a_checkpoint_covers_them_and_then_pruned(world, tmp_path):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = send(kenya, "A")
    [received] = belgium.inbox()
    received.accept()
    world.clock.advance(days=29)
    kenya.flush()
    assert kenya.outbox()[0].body
    size = len(kenya.outbox()[0].body)
    world.clock.advance(days=2)
    kenya.flush()
    item = kenya.outbox()[0]
    assert (item.body, item.state, item.proof is not None) == (b"", OutboxState.LOGGED, True)
    assert size > 1000
    assert kenya.conversation(sent)[0].content.national_case_ref == "A"
    assert kenya.sync_sent() == 0
    kenya.notices()
    assert [r.stage for r in kenya.status(sent).recipients] == ["accepted"]
    belgium.flush()
    assert {i.body for i in belgium.outbox()} == {b""}
    assert belgium.sync_sent() == 0
    assert send(kenya, "B").index > sent.index


def test_what_is_not_proven_is_never_pruned(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    away(world, kenya, "A")
    world.clock.advance(days=400)
    kenya._core.sender.outbox.prune()
    assert kenya.outbox()[0].body


def test_a_refusal_is_told_again_for_the_same_reference(world, monkeypatch):
    kenya = world.client(KENYA)
    kenya.sync()
    monkeypatch.setattr(kenya._core.sender._composer._checks, "_policy_problems", lambda *_: [])
    world.suspend(UGANDA)
    for _ in range(2):
        with pytest.raises((PolicyError, NotFoundError)) as caught:
            kenya.send("tracing-request", testing.sample_request(), to=[UGANDA], reference="x")
        assert caught.value.code == "unknown_recipient"
    assert len(kenya.outbox()) == 1
