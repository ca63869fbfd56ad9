"""Bulk: many messages by one request, each verdict proven as a single answer is, a cut connection no harm."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from countermark_client import Draft, OutboxState, Settings, _references, default_handling, testing
from countermark_protocol.boxes import Box
from countermark_protocol.bulk import FrameReader
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    ProofError,
    SignatureError,
    TransportError,
    VerificationError,
)
from countermark_protocol.handling import Tlp

KENYA, BELGIUM, UGANDA = "ke.police.nairobi", "be.contact.federal", "ug.police.kampala"
BULK = "/v1/messages/bulk"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, UGANDA)


def draft(case, to=BELGIUM, **more):
    return Draft(type="tracing-request", content=testing.sample_request(case), to=[to], **more)


def drafts(count, **more):
    return [draft(f"C-{i}", **more) for i in range(count)]


def bulk_requests(world):
    return [r for r in world.broker.requests if r.path == BULK]


def frames(request):
    return FrameReader().feed(request.body)


def cases(client):
    return [r.content.national_case_ref for r in client.inbox()]


def test_many_go_by_one_request_in_order_and_each_is_proven(world):
    kenya = world.client(KENYA)
    outcomes = list(kenya.send_bulk(drafts(10)))
    assert [o.error for o in outcomes] == [None] * 10
    assert len(bulk_requests(world)) == 1
    assert not [r for r in world.broker.requests if r.path == "/v1/messages"]
    assert [o.sent.index for o in outcomes] == sorted(o.sent.index for o in outcomes)
    for o in outcomes:
        proof = json.loads(kenya.proof(o.sent))
        assert proof["inclusion"]["index"] == o.sent.index
        assert proof["checkpoint"].startswith(testing._world.ORIGIN)
    assert kenya.sync_sent() == 0  # every verdict was folded into the box as it came
    assert kenya.profile.store.box_state(Box.SENT).count == 10
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(10)]


async def test_the_asynchronous_client_does_the_same(world):
    world.transport.cut = ["", 9000]
    async with world.async_client(KENYA) as kenya:
        outcomes = [o async for o in kenya.send_bulk(drafts(10))]
    assert [o.error for o in outcomes] == [None] * 10
    assert len(bulk_requests(world)) == 2
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(10)]


def test_one_message_and_many_take_the_same_way(world):
    kenya = world.client(KENYA)
    kenya.send("tracing-request", testing.sample_request("A"), to=[BELGIUM])
    list(kenya.send_bulk([draft("B"), draft("C")]))
    one, two, three = kenya.outbox()
    for item in (one, two, three):
        assert (item.state, item.tries, item.proven) == (OutboxState.LOGGED, 1, world.clock())
        assert set(json.loads(item.proof)) == set(json.loads(one.proof))


@pytest.mark.parametrize("limits", [{"bulk_count": 3}, {"bulk_bytes": 10_000}])
def test_requests_are_bounded(world, limits):
    kenya = world.client(KENYA, settings=Settings(**limits))
    assert all(o.sent for o in kenya.send_bulk(drafts(10)))
    sizes = [len(frames(r)) for r in bulk_requests(world)]
    assert len(sizes) > 2
    if "bulk_count" in limits:
        assert max(sizes) == 3
    else:
        assert all(len(r.body) <= 10_000 + 4 * len(frames(r)) for r in bulk_requests(world))
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(10)]


def test_what_is_refused_does_not_stop_the_others(world):
    kenya = world.client(KENYA)
    bad = draft("no", to="be.police.nowhere")
    made = [*drafts(3), bad, *drafts(3)]
    outcomes = list(kenya.send_bulk(made))
    assert [o.sent is not None for o in outcomes] == [True] * 3 + [False] + [True] * 3
    assert outcomes[3].error.code == "recipients_refused"
    assert outcomes[3].message is None


def test_a_refusal_by_the_broker_refuses_that_one_alone_with_its_account(world, monkeypatch):
    kenya = world.client(KENYA)
    kenya.sync()
    monkeypatch.setattr(kenya._core.sender._composer._checks, "_policy_problems", lambda *_: [])
    world.suspend(UGANDA)
    outcomes = list(kenya.send_bulk([draft("A"), draft("B", to=UGANDA), draft("C"), draft("D")]))
    assert [o.sent is not None for o in outcomes] == [True, False, True, True]
    assert outcomes[1].error.code == "unknown_recipient"
    item = kenya.profile.store.outbox_item(outcomes[1].message)
    assert (item.state, item.account is not None) == (OutboxState.REFUSED, True)
    kenya.flush()
    posted = [f for r in bulk_requests(world) for f in frames(r)]
    assert posted.count(item.body) == 1  # never sent again


@pytest.mark.parametrize("cut", ["before", "after", 0, 1, 3000, 9000, 10_000, 1_000_000])
def test_a_cut_connection_keeps_what_was_answered_and_sends_the_rest_again(world, cut):
    kenya = world.client(KENYA)
    kenya.sync()
    size = world.broker.state.size
    world.transport.cut = [cut]
    outcomes = list(kenya.send_bulk(drafts(10)))
    assert [o.error for o in outcomes] == [None] * 10
    assert world.broker.state.size == size + 10
    requests = [frames(r) for r in bulk_requests(world)]
    first = requests[0]
    assert len(first) == 10
    for later in requests[1:]:
        assert later == first[len(first) - len(later) :]  # the very same bytes, without what was answered
    if cut in {9000, 10_000}:
        assert 0 < len(requests[1]) < 10
    assert kenya.sync_sent() == 0
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(10)]


def test_progress_keeps_it_going_and_no_progress_ends_it(world):
    kenya = world.client(KENYA, settings=Settings(attempts=2))
    kenya.sync()
    world.broker.bulk_commit = 1
    world.transport.cut = [4000] * 20
    with pytest.raises(TransportError):
        list(kenya.send_bulk(drafts(10)))
    logged = [i.state for i in kenya.outbox()].count(OutboxState.LOGGED)
    world.transport.cut = []
    assert len(kenya.flush().logged) == 10 - logged
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(10)]


def away_at_the_second(world):
    """The second bulk request never gets through."""
    handle, seen = world.broker.handle, []

    def second_fails(exchange):
        if exchange.path == BULK:
            seen.append(1)
            if len(seen) == 2:
                raise httpx.ConnectError("connection refused")
        return handle(exchange)

    world.broker.handle = second_fails


def test_what_waits_is_told_and_later_drafts_are_not_made(world):
    kenya = world.client(KENYA, settings=Settings(bulk_count=3, attempts=1))
    kenya.sync()
    away_at_the_second(world)
    told = []
    with pytest.raises(TransportError):
        told.extend(o for o in kenya.send_bulk(drafts(9)))
    assert [o.sent is not None for o in told] == [True] * 3 + [False] * 3
    assert all(isinstance(o.error, TransportError) and o.message for o in told[3:])
    assert len(kenya.outbox()) == 6


def test_the_same_references_make_nothing_twice(world):
    kenya = world.client(KENYA, settings=Settings(bulk_count=3, attempts=1))
    kenya.sync()
    made = [draft(f"C-{i}", reference=f"row {i}") for i in range(9)]
    away_at_the_second(world)
    with pytest.raises(TransportError):
        list(kenya.send_bulk(made))
    outcomes = list(kenya.send_bulk(made))
    assert [o.error for o in outcomes] == [None] * 9
    again = list(kenya.send_bulk(made))
    assert [o.sent for o in again] == [o.sent for o in outcomes]
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(9)]
    assert kenya.send("tracing-request", testing.sample_request("C-3"), to=[BELGIUM], reference="row 3") == (
        outcomes[3].sent
    )
    with pytest.raises(ConflictError) as caught:
        kenya.send("tracing-request", testing.sample_request("other"), to=[BELGIUM], reference="row 3")
    assert caught.value.code == "reference_reused"
    twice = list(kenya.send_bulk([draft("X", reference="x"), draft("X", reference="x")]))
    assert twice[0].sent == twice[1].sent


@pytest.mark.parametrize(
    "other",
    [
        {"urgency": "priority"},
        {"exercise": True},
        {"expires_in": timedelta(days=1)},
        {"visible": True},
        {"handling": replace(default_handling(0), tlp=Tlp.GREEN, retention_until=2_000_000_000_000)},
    ],
)
def test_a_reference_is_of_one_way_of_sending_too(world, other):
    kenya = world.client(KENYA)
    [first] = kenya.send_bulk([draft("A", reference="a", **other)])
    assert first.error is None
    [again] = kenya.send_bulk([draft("A", reference="a", **other)])
    assert again.sent == first.sent
    [refused] = kenya.send_bulk([draft("A", reference="a")])
    assert (refused.sent, refused.error.code) == (None, "reference_reused")


def test_a_reference_kept_by_an_earlier_version_is_known(world):
    kenya = world.client(KENYA)
    one = draft("A", reference="a", urgency="priority")
    [first] = kenya.send_bulk([one])
    kenya.profile.store._db.execute("UPDATE drafts SET digest = ?", (_references._former_digest(one),))
    assert [o.sent for o in kenya.send_bulk([one])] == [first.sent]
    assert next(kenya.send_bulk([draft("B", reference="a")])).error.code == "reference_reused"


def test_a_moment_that_is_reckoned_anew_is_the_same_draft(world):
    kenya = world.client(KENYA)
    for day in (1, 2):
        handling = replace(default_handling(world.clock()), retention_until=world.clock() + day * 10**10)
        reply_by = datetime(2030, 1, day, tzinfo=UTC)
        [one] = kenya.send_bulk([draft("A", reference="a", handling=handling, reply_by=reply_by)])
        assert one.error is None
    assert cases(world.client(BELGIUM)) == ["A"]


def test_a_broker_of_the_release_before_is_sent_each_alone(world):
    def unknown(exchange, answer):
        if exchange.path == BULK:
            problem = {"status": 404, "code": "no_such_path", "detail": "there is no such call"}
            return 404, {"content-type": "application/problem+json"}, json.dumps(problem).encode()
        return answer

    handle = world.broker.handle
    world.broker.handle = lambda e: unknown(e, None) if e.path == BULK else handle(e)
    kenya = world.client(KENYA)
    assert all(o.sent for o in kenya.send_bulk(drafts(4)))
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(4)]


def _each_line(change):
    def lie(exchange, answer):
        status, headers, body = answer
        if exchange.path != BULK:
            return answer
        lines = [json.loads(line) for line in body.splitlines()]
        return status, headers, b"".join(json.dumps(one).encode() + b"\n" for one in change(lines))

    return lie


def _verdicts(lines):
    return [one for one in lines if "number" in one]


def _swap_proofs(lines):
    one, two = _verdicts(lines)[:2]
    one["accepted"], two["accepted"] = two["accepted"], one["accepted"]
    return lines


def _hide_own_row(lines):
    _verdicts(lines)[2]["accepted"]["deliveries"]["rows"].pop()
    return lines


def _other_tail(lines):
    _verdicts(lines)[2]["accepted"]["deliveries"]["tail"]["position"] += 1
    return lines


def _refuse_without_account(lines):
    one = _verdicts(lines)[2]
    del one["accepted"]
    one["status"] = 403
    one["problem"] = {"status": 403, "code": "policy_denied", "detail": "no", "hint": "see"}
    return lines


def _renumber(lines):
    _verdicts(lines)[2]["number"] = 7
    return lines


def _other_leaf(lines):
    accepted = _verdicts(lines)[2]["accepted"]
    accepted["inclusion"]["index"] += 1
    return lines


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_swap_proofs, VerificationError),
        (_hide_own_row, VerificationError),
        (_other_tail, VerificationError),
        (_refuse_without_account, ProofError),
        (_renumber, MalformedError),
        (_other_leaf, VerificationError),
        (lambda lines: lines[1:], CountermarkError),
        (lambda lines: [{"nonsense": 1}], CountermarkError),
    ],
    ids=["proofs swapped", "own row hidden", "other tail", "no account", "renumbered", "other leaf",
         "no checkpoint", "nonsense"],
)  # fmt: skip
def test_a_verdict_that_does_not_prove_what_it_should_is_not_believed(world, change, error):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.broker.intercept = _each_line(change)
    with pytest.raises(error):
        list(kenya.send_bulk(drafts(4)))
    world.broker.intercept = None
    left = [i for i in kenya.outbox() if i.state is OutboxState.WAITING]
    assert left  # nothing is concluded from it: it waits on
    kenya.clear_halt()
    assert len(kenya.flush().logged) == len(left)
    assert {i.state for i in kenya.outbox()} == {OutboxState.LOGGED}
    assert sorted(cases(world.client(BELGIUM))) == [f"C-{i}" for i in range(4)]


def test_a_verdict_that_asks_for_patience_is_asked_for_again(world):
    busy = []

    def overload(exchange, answer):
        if exchange.path != BULK or busy:
            return answer
        busy.append(1)

        def change(lines):
            one = _verdicts(lines)[2]
            one.pop("accepted")
            one["status"] = 503
            one["problem"] = {"status": 503, "code": "overloaded", "detail": "later", "hint": "see"}
            return lines

        return _each_line(change)(exchange, answer)

    world.broker.intercept = overload
    kenya = world.client(KENYA)
    assert all(o.sent for o in kenya.send_bulk(drafts(4)))
    assert len([r for r in world.broker.requests if r.path == "/v1/messages"]) == 1  # the one that is left


def _quota(left):
    """A broker that takes so many messages and answers the others 429, until its clock has moved on."""
    refused = []

    def answer(exchange, answered):
        if exchange.path != BULK:
            return answered

        def change(lines):
            for one in _verdicts(lines)[left:]:
                refused.append(one.pop("accepted"))
                one["status"] = 429
                one["problem"] = {
                    "status": 429, "code": "quota_exceeded", "detail": "used up its messages", "hint": "wait",
                    "facts": {"quota": "messages", "retry_after": 7},
                }  # fmt: skip
            return lines

        return _each_line(change)(exchange, answered)

    return answer, refused


def test_a_verdict_says_how_long_to_wait_and_that_is_kept_to(world):
    world.broker.intercept, _ = _quota(5)
    kenya, told = world.client(KENYA), []
    kenya.watch.waiting = lambda seconds, why: told.append((seconds, why))
    began = world.clock()
    assert all(o.sent for o in kenya.send_bulk(drafts(20)))
    assert len(bulk_requests(world)) == 4  # five of them by each; the last five fit into one
    assert told == [(7.0, "used up its messages")] * 3
    assert world.clock() - began >= 21_000
    assert cases(world.client(BELGIUM)) == [f"C-{i}" for i in range(20)]


def test_a_broker_that_goes_on_to_take_nothing_is_named_with_its_reason_and_left_alone(world):
    profile = world.profile(KENYA)
    kenya = world.client(profile, settings=Settings(attempts=2))
    world.broker.intercept, refused = _quota(0)
    with pytest.raises(
        TransportError, match=r"takes nothing at present: quota_exceeded: used up its messages"
    ):
        list(kenya.send_bulk(drafts(4)))
    assert len(refused) == 4 * 2
    world.broker.intercept = None
    before = world.clock()
    assert len(world.client(profile).flush().logged) == 4  # in the next process, too
    assert world.clock() - before >= 7_000


def test_a_replaced_signing_key_signs_the_same_payloads_again(world):
    keys = world.keystore(KENYA)
    profile = world.profile(KENYA)
    kenya = world.client(profile, settings=Settings(attempts=1))
    kenya.sync()
    world.broker.offline = True
    with pytest.raises(TransportError):
        list(kenya.send_bulk(drafts(3)))
    world.broker.offline = False
    before = {i.payload: i.body for i in kenya.outbox()}
    fresh = world.add_instance(KENYA, "two")
    world.revoke_instance(KENYA)
    profile.keystore = type(keys)((*keys.stored, *(k for k in fresh.stored if k.use == "instance")))
    report = kenya.flush()
    assert {i.payload for i in report.logged} == set(before)
    after = {i.payload: i.body for i in kenya.outbox()}
    assert set(after) == set(before)
    assert all(after[p] != before[p] for p in before)
    assert cases(world.client(BELGIUM)) == ["C-0", "C-1", "C-2"]


def test_without_a_current_key_they_fail_and_wait_for_one(world):
    kenya = world.client(KENYA)
    kenya.sync()
    world.revoke_instance(KENYA)
    outcomes = list(kenya.send_bulk(drafts(3)))
    assert all(isinstance(o.error, SignatureError) for o in outcomes)
    assert {i.state for i in kenya.outbox()} == {OutboxState.FAILED}
