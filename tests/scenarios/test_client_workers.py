"""Several workers on one endpoint, over a broker in memory: the log says what is done, leases who does what."""

from datetime import timedelta

import pytest

from countermark_client import testing
from countermark_protocol.errors import ConflictError, InconsistentLogError, MalformedError, SignatureError
from countermark_protocol.receipts import RejectionReason

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def send(world, count, **changes):
    kenya = world.client(KENYA)
    extra = {"urgencyJustification": "A life is in danger."} if "urgency" in changes else {}
    return [
        kenya.send("tracing-request", testing.sample_request(str(i)) | extra, to=[BELGIUM], **changes)
        for i in range(count)
    ]


def workers(world, count):
    first = world.client(BELGIUM)
    return [
        first,
        *(
            world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM, f"w{i}")))
            for i in range(1, count)
        ),
    ]


def accepted(world, sent):
    kenya = world.client(KENYA)
    kenya.notices()
    return [kenya.status(s).recipients[0].stage == "accepted" for s in sent]


def test_workers_share_a_box_and_no_message_is_given_out_twice(world):
    sent = send(world, 10)
    one, two, three = workers(world, 3)
    shares = [w.work(at_once=2) for w in (one, two, three)]
    given = []
    open_ = list(shares)
    while open_:
        for share in list(open_):
            received = next(share, None)
            if received is None:
                open_.remove(share)
                continue
            given.append(received.message)
            received.accept()
    assert sorted(given) == sorted(s.message for s in sent)
    assert all(accepted(world, sent))
    assert [w.backlog() for w in (one, two, three)] == [[], [], []]


def test_what_is_leased_does_not_come_to_another_worker(world):
    sent = send(world, 3)
    one, two = workers(world, 2)
    share = one.work(at_once=2)
    assert next(share).message == sent[0].message
    assert [r.message for r in two.work()] == [sent[2].message]


def test_a_worker_that_dies_gives_its_messages_back_when_its_lease_ends(world):
    [sent] = send(world, 1)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=60)
    assert next(share).message == sent.message
    # Never closed: this is what a killed process leaves behind.
    assert list(two.work()) == []
    world.clock.advance(seconds=61)
    [taken] = two.work()
    assert taken.message == sent.message
    taken.accept()
    assert accepted(world, [sent]) == [True]


def test_a_waiting_worker_takes_over_without_being_called_again(world):
    [sent] = send(world, 1)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=20)
    next(share)
    taken = next(two.work(wait=60))
    assert taken.message == sent.message


def test_a_worker_that_ends_by_itself_gives_back_at_once(world):
    sent = send(world, 3)
    one, two = workers(world, 2)
    share = one.work()
    next(share).accept()
    share.close()
    assert [r.message for r in two.work()] == [s.message for s in sent[1:]]


def test_what_another_finished_after_its_lease_was_lost_is_seen_before_it_is_given_out(world):
    [sent] = send(world, 1)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=10)
    slow = next(share)
    # The second has read `sent` and listed the message already.
    assert [p.message for p in two.backlog()] == [sent.message]
    world.clock.advance(seconds=11)
    slow.accept()
    assert list(two.work()) == []


def test_a_lease_is_renewed_before_a_late_message_of_a_batch_is_given_out(world):
    sent = send(world, 2)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=60, at_once=2)
    next(share).accept()
    world.clock.advance(seconds=40)
    second = next(share)
    world.clock.advance(seconds=40)  # beyond the first lease, within the renewed one
    assert list(two.work()) == []
    second.accept()
    assert all(accepted(world, sent))


def test_a_late_message_of_a_batch_that_another_has_taken_over_is_left_to_it(world):
    sent = send(world, 2)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=10, at_once=2)
    next(share).accept()
    world.clock.advance(seconds=11)
    taken = next(two.work())
    assert taken.message == sent[1].message
    assert next(share, None) is None
    taken.accept()
    assert all(accepted(world, sent))


@pytest.mark.parametrize("back", [40_000, 55_000, 900_000])
def test_a_clock_that_is_set_back_makes_no_lease_run_longer(world, back):
    """What another has finished meanwhile is not given out again."""
    sent = send(world, 2)
    one, two = workers(world, 2)
    share = one.work(lease_seconds=60, at_once=2)
    next(share).accept()
    world.clock.advance(seconds=62)
    taken = next(two.work())
    assert taken.message == sent[1].message
    taken.accept()
    one._core.session.clock = lambda: world.clock() - back
    if back < 60_000:
        assert next(share, None) is None
    else:
        # The broker takes no request as old as that.
        with pytest.raises(SignatureError, match="set this machine's clock"):
            next(share)


def test_while_the_machine_sleeps_a_lease_runs_on(world):
    """A steady clock may stand still then."""
    sent = send(world, 2)
    one, two = workers(world, 2)
    one._core.workers._steady = lambda: 0
    share = one.work(lease_seconds=60, at_once=2)
    next(share).accept()
    world.clock.advance(minutes=2)
    taken = next(two.work())
    assert taken.message == sent[1].message
    taken.accept()
    assert next(share, None) is None


def test_an_acceptance_by_another_is_simply_seen(world):
    send(world, 1)
    one, two = workers(world, 2)
    slow = next(one.work(lease_seconds=10))
    world.clock.advance(seconds=11)
    next(two.work()).accept()
    slow.accept()
    assert one.accept_many([slow]) == 0
    assert one.halted is None
    receipts = [e for e in world.broker.entries if e.document.claims.get("stage") == "accepted"]
    assert len(receipts) == 1


def test_a_rejection_by_another_is_told_to_who_accepts(world):
    send(world, 1)
    one, two = workers(world, 2)
    slow = next(one.work(lease_seconds=10))
    world.clock.advance(seconds=11)
    next(two.work()).reject(RejectionReason.NOT_FOR_US)
    with pytest.raises(ConflictError) as caught:
        slow.accept()
    assert caught.value.code == "receipt_stands"


def test_urgent_comes_first_and_one_box_alone_can_be_worked(world):
    [routine] = send(world, 1)
    [urgent] = send(world, 1, urgency="urgent")
    one, two = workers(world, 2)
    assert [r.message for r in one.work(at_once=1)] == [urgent.message, routine.message]
    world.clock.advance(seconds=301)  # what was given out stays leased: it may still be in the works
    assert [r.message for r in two.work("routine")] == [routine.message]


def test_the_backlog_names_every_position_without_an_answer_and_who_holds_it(world):
    sent = send(world, 3)
    one, two = workers(world, 2)
    next(one.work(at_once=1)).accept()
    held = two.work(at_once=1)
    next(held)
    [first, second] = one.backlog()
    assert [first.message, second.message] == [s.message for s in sent[1:]]
    assert (first.stage, first.holder, second.stage, second.holder) == ("delivered", "w1", "listed", None)
    assert first.until == world.clock() + 300_000


def test_an_entry_by_this_instance_s_own_key_that_it_does_not_know_is_an_alarm(world):
    send(world, 1)
    [one] = workers(world, 1)
    one.sync()
    stranger = world.client(world.profile(BELGIUM))  # the same key, another profile
    next(stranger.work()).accept()
    with pytest.raises(InconsistentLogError) as caught:
        list(one.work())
    assert caught.value.code == "unknown_sent_entry"
    assert one.halted is not None


def test_a_broker_that_grants_what_was_not_asked_for_is_not_believed(world):
    send(world, 1)
    [one] = workers(world, 1)

    def lie(exchange, answer):
        if exchange.path == "/v1/leases" and exchange.method == "POST":
            return answer[0], answer[1], answer[2].replace(b"[0]", b"[7]")
        return answer

    world.broker.intercept = lie
    with pytest.raises(MalformedError):
        list(one.work())


def test_a_lease_request_that_is_replayed_is_refused(world):
    send(world, 1)
    [one] = workers(world, 1)
    list(one.work())
    asked = next(r for r in world.broker.requests if (r.method, r.path) == ("POST", "/v1/leases"))
    status, _, body = world.broker.handle(asked)
    assert status == 401
    assert b"replayed_request" in body


@pytest.mark.parametrize(
    "bounds", [{"lease_seconds": 0}, {"lease_seconds": 3601}, {"at_once": 0}, {"at_once": 257}]
)
def test_leases_have_bounds(world, bounds):
    [one] = workers(world, 1)
    with pytest.raises(ValueError, match="leases of 1 to 3600 seconds on 1 to 256"):
        list(one.work(**bounds))


async def test_workers_on_an_event_loop(world):
    sent = send(world, 3)
    first = world.profile(BELGIUM)
    second = world.profile(BELGIUM, keystore=world.add_instance(BELGIUM))
    async with world.async_client(first) as one, world.async_client(second) as two:
        share = one.work(at_once=1)
        await (await anext(share)).accept()
        async for received in two.work(at_once=2):
            await received.accept()
        await share.aclose()
        assert await one.backlog() == []
    assert all(accepted(world, sent))


def test_a_message_that_expired_is_still_worked(world):
    [sent] = send(world, 1, expires_in=timedelta(hours=1))
    world.clock.advance(hours=2)
    [one] = workers(world, 1)
    next(one.work()).accept()
    assert accepted(world, [sent]) == [True]
    assert one.profile.store.open_positions("routine") == []
