"""Acts on deliveries: withheld, denied, deleted, out of order."""

from __future__ import annotations

import pytest

from countermark_client import Narrowing
from countermark_client._session import ProblemAnswer
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.comparing import compare
from countermark_protocol.errors import CountermarkError
from malicious_broker.evidence import held_by, pieced
from malicious_broker.kit import BELGIUM, KENYA, malicious_world, send
from malicious_broker.verdicts import Act, silent


@pytest.fixture
def scene():
    world, broker = malicious_world()
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def _received(client):
    return [r.message for r in client.inbox()]


def _newest(client):
    """Document and proof of the newest message that a client has received."""
    stored = client.profile.store.messages()[-1]
    return stored.document, stored.proof


def _account(client):
    """The newest account about the box ``routine`` that a client has kept."""
    return client.profile.store.meta("account_routine")


def test_the_honest_twin(scene):
    _, _, kenya, belgium = scene
    assert _received(belgium) == []
    sent = [send(kenya).message, send(kenya).message]
    received = list(belgium.inbox())
    assert [r.message for r in received] == sent
    for one in received:
        one.accept()
    assert len(kenya.notices()) == 3  # one receipt for both deliveries, one for each acceptance
    assert _received(belgium) == []
    silent(kenya, belgium)


def test_withholding_and_serving_what_follows(scene):
    world, broker, kenya, belgium = scene
    act = Act("withholding a delivery and serving what follows", world)
    send(kenya)
    broker.withhold(BELGIUM, Box.ROUTINE, 0)
    send(kenya)
    act.raises(lambda: _received(belgium), "box_gap")
    assert belgium.messages("in") == []
    act.convinces_nobody(belgium)


def test_denying_a_delivery_and_serving_it_later(scene):
    world, broker, kenya, belgium = scene
    act = Act("denying a delivery by an account and serving it later", world)
    send(kenya)
    index = broker.withhold(BELGIUM, Box.ROUTINE, 0)
    broker.understate(BELGIUM, Box.ROUTINE, 0)
    act.nobody_notices(lambda: _received(belgium))
    broker._boxes[BELGIUM, Box.ROUTINE].append(index)
    broker.claimed.clear()
    act.raises(lambda: _received(belgium), "account_contradicted")
    assert belgium.messages("in") == []
    act.kept_convinces(belgium)


def test_denying_two_and_serving_the_second(scene):
    world, broker, kenya, belgium = scene
    act = Act("denying a delivery by an account and serving it later", world)
    send(kenya)
    send(kenya)
    indexes = [broker.withhold(BELGIUM, Box.ROUTINE, 0) for _ in range(2)]
    broker.understate(BELGIUM, Box.ROUTINE, 0)
    _received(belgium)
    broker._boxes[BELGIUM, Box.ROUTINE].append(indexes[1])
    act.raises(lambda: _received(belgium), "account_contradicted")
    act.kept_convinces(belgium)


def test_an_account_and_what_is_logged_after_it(scene):
    """The honest twin: at the end of a box, then a delivery."""
    world, _, kenya, belgium = scene
    _received(belgium)
    before = _account(belgium)
    send(kenya)
    assert len(_received(belgium)) == 1
    silent(belgium, kenya)
    _not_convinced(world, pieced(belgium, "account_contradicted", (before, *_newest(belgium))))
    _received(belgium)
    assert _account(belgium) != before
    _not_convinced(world, pieced(belgium, "account_contradicted", (_account(belgium), *_newest(belgium))))


def _not_convinced(world, evidence):
    Act("withholding a delivery and serving what follows", world).convinces_nobody(other=[evidence])


def test_nothing_there(scene):
    world, broker, kenya, belgium = scene
    act = Act('saying "nothing there" of the newest delivery', world)
    both = [send(kenya)]
    _received(belgium)
    both.append(send(kenya))
    broker.withhold(BELGIUM, Box.ROUTINE, 1)
    broker.understate(BELGIUM, Box.ROUTINE, 1)
    act.nobody_notices(lambda: _received(belgium), kenya.notices, kenya.sync_sent, belgium.sync)
    silent(kenya, belgium)  # each by itself: the sender sees no receipt for the second, and that is all
    stages = [d.stage for sent in both for d in kenya.status(sent).recipients]
    assert [str(stage) for stage in stages] == ["delivered", "open"]
    # Together they convince; and only together.
    act.convince_together(held_by(belgium), held_by(kenya), codes={"account_omits"})


def test_nothing_there_of_which_one_period_or_box_is_shown(scene):
    """What is narrowed to where the entry stands convinces as well; what leaves it out finds nothing."""
    world, broker, kenya, belgium = scene
    act = Act('saying "nothing there" of the newest delivery', world)
    for _ in range(3):
        send(kenya)
        _received(belgium)
    world.clock.advance(hours=1)
    begin = world.clock()
    first = send(kenya)
    _received(belgium)
    hidden = send(kenya)
    broker.withhold(BELGIUM, Box.ROUTINE, 4)
    broker.understate(BELGIUM, Box.ROUTINE, 4)
    _received(belgium)
    period = Narrowing(since=begin, boxes=frozenset({Box.ROUTINE}))
    theirs = held_by(belgium, period)
    assert [b.end.start for b in theirs.boxes] == [2]
    assert [e.inclusion.index for e in theirs.entries] == [first.index]
    ours = held_by(kenya, Narrowing(since=begin, boxes=frozenset({Box.SENT}), parties=(BELGIUM,)))
    assert [e.inclusion.index for e in ours.entries] == [first.index, hidden.index]
    act.convince_together(theirs, ours, codes={"account_omits"})
    for left_out in (
        Narrowing(parties=("tz",)),
        Narrowing(until=begin),
        Narrowing(boxes=frozenset({Box.NOTICES})),
    ):
        assert act.nothing_between(theirs, held_by(kenya, left_out)) > 0


def test_nothing_there_and_nothing_wrong(scene):
    """The honest twin: an account from before a delivery, beside the proof of it."""
    world, _, kenya, belgium = scene
    act = Act('saying "nothing there" of the newest delivery', world)
    _received(belgium)
    send(kenya)
    before = belgium.profile.store.accounts()
    assert before
    assert act.nothing_between(held_by(belgium), held_by(kenya)) > 0
    _received(belgium)
    kenya.notices()
    assert act.nothing_between(held_by(belgium), held_by(kenya)) == belgium.checkpoint.size


def test_counting_more_than_is_shown(scene):
    world, broker, kenya, belgium = scene
    act = Act("ending a box and counting more of it in the same account", world)
    send(kenya)
    broker.withhold(BELGIUM, Box.ROUTINE, 0)
    act.raises(lambda: _received(belgium), "account_contradicted")
    assert belgium.halted is not None
    # What was asked is not kept with a successful answer: the account alone shows no lie.
    act.convinces_nobody(belgium)


def test_understating_an_account(scene):
    world, broker, kenya, belgium = scene
    act = Act("understating an account", world)
    send(kenya)
    _received(belgium)
    twin = pieced(belgium, "account_contradicted", (_account_after(belgium), *_newest(belgium)))
    broker.understate(BELGIUM, Box.ROUTINE, 0)
    act.raises(lambda: _received(belgium), "account_contradicted")
    act.kept_convinces(belgium, twin)


def _account_after(client):
    _received(client)
    return _account(client)


def test_understating_the_notices(scene):
    world, broker, kenya, belgium = scene
    act = Act("understating an account", world)
    send(kenya)
    _received(belgium)
    assert len(kenya.notices()) == 1
    broker.understate(KENYA, Box.NOTICES, 0)
    act.raises(kenya.notices, "account_contradicted")
    act.kept_convinces(kenya)


def test_understating_what_was_sent(scene):
    world, broker, kenya, _ = scene
    act = Act("understating an account", world)
    send(kenya)
    kenya.sync_sent()
    broker.understate(KENYA, Box.SENT, 0)
    act.raises(kenya.sync_sent, "account_contradicted")
    act.kept_convinces(kenya)


def test_not_held(scene):
    world, broker, kenya, belgium = scene
    act = Act('saying "not held" of something logged', world)
    sent = send(kenya)
    broker.denied = frozenset({sent.message})
    act.raises(lambda: _received(belgium), "not_held_contradicted")
    kept = belgium.profile.evidence[-1].pieces
    # The honest twins: a true "not held" of what was never logged, and one about a smaller log.
    request, base = _true_denial(belgium, broker, b"\x07" * 32)
    twin = pieced(belgium, "not_held_contradicted", (request, base, *kept[2:]))
    act.kept_convinces(belgium, twin)


def _true_denial(client, broker, payload):
    """Account and signature base of a request for the content of a message that nobody ever sent."""
    session = client._core.session
    with pytest.raises(ProblemAnswer) as caught:
        client._run(
            session.call(
                "GET",
                f"/v1/messages/{payload.hex()}/content",
                signer=client.profile.keystore.signer("instance"),
            )
        )
    return caught.value.problem.account, caught.value.base


def test_deleting_data_without_a_word(scene):
    world, broker, kenya, belgium = scene
    act = Act("deleting an entry's data without a word", world)
    send(kenya)

    def intercept(request, answer):
        if not request.path.endswith("/content"):
            return answer
        return broker._problem(404, CountermarkError("not_held", "no such thing"))

    broker.intercept = intercept
    act.raises(lambda: _received(belgium), "refusal_unproven")
    assert belgium.halted is None
    act.convinces_nobody(belgium)


def test_reordering_a_page(scene):
    world, broker, kenya, belgium = scene
    act = Act("reordering a box", world)
    send(kenya)
    send(kenya)
    broker.tamper("/routine", lambda value: value["entries"].reverse())
    act.raises(lambda: _received(belgium), "box_gap")
    assert belgium.messages("in") == []
    act.convinces_nobody(belgium)


def test_another_past_of_a_box(scene):
    world, broker, kenya, belgium = scene
    act = Act("reordering a box", world)
    send(kenya)
    _received(belgium)
    broker.state.boxes[BELGIUM, Box.ROUTINE] = BoxState(1, b"\x01" * 32)
    send(kenya)
    act.raises(lambda: _received(belgium), "box_head_mismatch")
    assert len(belgium.messages("in")) == 1
    act.convinces_nobody(belgium)


def know_each_other(*workers):
    """Each is told of the other's key, which it did not make itself."""
    for worker in workers:
        worker.sync()
        for stranger in worker.strangers:
            worker.acknowledge_key(stranger.key_id)


def test_two_workers_at_one_position(scene):
    world, broker, kenya, _ = scene
    act = Act("showing two workers different entries at one position", world)
    one = world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    know_each_other(one, two)
    before = broker.state.boxes[BELGIUM, Box.ROUTINE]
    send(kenya)
    first, state = broker.withhold(BELGIUM, Box.ROUTINE, 0), broker.state.boxes[BELGIUM, Box.ROUTINE]
    broker.state.boxes[BELGIUM, Box.ROUTINE] = before
    send(kenya)
    second = broker.withhold(BELGIUM, Box.ROUTINE, 0)
    for worker, index, told in ((one, first, state), (two, second, broker.state.boxes[BELGIUM, Box.ROUTINE])):
        broker._boxes[BELGIUM, Box.ROUTINE], broker.claimed[BELGIUM, Box.ROUTINE] = [index], told
        act.nobody_notices(lambda worker=worker: _received(worker))
        act.nobody_notices(lambda worker=worker: _received(worker), worker.sync_sent)
    act.nobody_notices(kenya.notices, kenya.sync_sent)
    silent(one, two, kenya)
    # Accounts that fit what each is shown do not fit each other, nor what the other is shown.
    codes = {"box_forked", "accounts_differ", "account_contradicted"}
    act.convince_together(held_by(one), held_by(two), codes=codes)


def test_two_workers_whose_boxes_do_not_follow_from_each_other(scene):
    """One holds the first entry of one past, the other shows no more than the second entry of another past."""
    world, broker, kenya, _ = scene
    act = Act("showing two workers different entries at one position", world)
    one = world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    know_each_other(one, two)
    place = (BELGIUM, Box.ROUTINE)
    before = broker.state.boxes[place]
    send(kenya)
    first, told = broker.withhold(*place, 0), broker.state.boxes[place]
    broker.state.boxes[place] = before
    send(kenya)
    world.clock.advance(hours=1)
    later = world.clock()
    send(kenya)
    _received(two)
    broker._boxes[place], broker.claimed[place] = [first], told
    _received(one)
    silent(one, two)
    mine, theirs = held_by(one), held_by(two, Narrowing(since=later, boxes=frozenset({Box.ROUTINE})))
    assert [e.own.tail.position for e in theirs.entries] == [1]
    found = compare([mine, theirs], act.fingerprint).found
    assert "box_forked" in {f.contradiction.claim for f in found}
    [says] = [f.says for f in found if f.contradiction.claim == "box_forked"]
    assert "does not follow" in says
