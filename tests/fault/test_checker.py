"""The checker itself: an honest history passes, and each broken promise is found under its own name."""

from dataclasses import replace

import pytest

from countermark_protocol.accounts import StatedBox, Verdict
from countermark_protocol.answers import Release, parse_accepted
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import Seen
from countermark_protocol.encoding import encode_base64url, encode_json, parse_object
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.state import Delivery, DeliveryStage
from fault.checker import check
from fault.findings import Wrong
from fault.history import Absence, Action, Intent
from fault.scripted import Script
from fault.story import Story
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI

MINUTE = 60_000


@pytest.fixture
def story():
    return Story()


def test_an_honest_history_has_no_violation(story):
    assert check(story.script.history(), story.script.final(story.world.now)) == []


def test_lost_entry(story):
    shorter = Script(story.world.fork())
    story.script.send(story.world.compose())
    story.script.calls[-1:] = []
    sealed = story.world.compose()
    story.script.send(sealed)
    # The log that is shown in the end has only what was there before.
    assert Wrong.LOST in story.find(shorter.final())


def test_lost_from_a_box(story):
    final = story.script.final()
    boxes = dict(final.boxes)
    boxes[KAMPALA, Box.ROUTINE] = boxes[KAMPALA, Box.ROUTINE][:-1]
    assert Wrong.LOST in story.find(replace(final, boxes=boxes))


def test_lost_content(story):
    sent = (story.first, story.second, story.broad, story.brief)
    contents = {one.payload_hash: one.content for one in sent}
    final = replace(story.script.final(), contents=contents)
    assert story.find(final) == set()
    contents[story.second.payload_hash] = story.first.content
    assert story.find(final) == {Wrong.LOST}


def test_lost_before_the_load(story):
    history = story.script.history()
    history = replace(history, before=(*history.before[:-1], story.first.document))
    assert Wrong.LOST in {v.kind for v in check(history, story.script.final())}


def forget(world, sealed):
    del world.state.entries[sealed.payload_hash]
    del world.state.ids[sealed.manifest.sender, sealed.manifest.id]


def test_doubled_payload(story):
    forget(story.world, story.second)
    story.script.send(story.second)
    assert Wrong.DOUBLED in story.find()


def test_doubled_answer(story):
    again = next(c for c in story.script.calls if c.status == 200 and c.action is Action.MESSAGE)
    story.replace_call(again, status=201)
    assert story.find() == {Wrong.DOUBLED}


def test_doubled_id(story):
    del story.world.state.ids[story.first.manifest.sender, story.first.manifest.id]
    story.script.send(story.world.compose(id=story.first.manifest.id))
    assert story.find() == {Wrong.DOUBLED}


def test_doubled_in_a_box(story):
    final = story.script.final()
    boxes = dict(final.boxes)
    rows = boxes[KAMPALA, Box.ROUTINE]
    boxes[KAMPALA, Box.ROUTINE] = (*rows, rows[0])
    assert {Wrong.DOUBLED, Wrong.ORDER} <= story.find(replace(final, boxes=boxes))


def test_two_notices(story):
    world = story.world
    state = world.state.messages[story.brief.payload_hash]
    delivery = Delivery(DeliveryStage.OPEN, state.index, None)
    world.state.messages[story.brief.payload_hash] = state.with_delivery(KAMPALA, delivery)
    entry = world.put(world.undelivered(story.brief, KAMPALA, seen=world.seen()))
    assert entry.index == world.state.size - 1
    assert story.find() == {Wrong.DOUBLED}


def test_gap_in_a_box(story):
    world = story.world
    state = world.state.boxes[KAMPALA, Box.ROUTINE]
    world.state.boxes[KAMPALA, Box.ROUTINE] = BoxState(state.count + 1, state.head)
    story.script.send(world.compose(BRUSSELS, [KAMPALA], type="lost-or-stolen-notice"))
    assert Wrong.ORDER in story.find()


def test_position_taken_twice(story):
    world = story.world
    state = world.state.boxes[KAMPALA, Box.ROUTINE]
    world.state.boxes[KAMPALA, Box.ROUTINE] = BoxState(state.count - 1, state.head)
    story.script.send(world.compose(BRUSSELS, [KAMPALA], type="lost-or-stolen-notice"))
    assert Wrong.ORDER in story.find()


def test_box_out_of_the_order_of_the_log(story):
    final = story.script.final()
    boxes = dict(final.boxes)
    one, two, *rest = boxes[KAMPALA, Box.ROUTINE]
    boxes[KAMPALA, Box.ROUTINE] = (two, one, *rest)
    assert Wrong.ORDER in story.find(replace(final, boxes=boxes))


def test_senders_order(story):
    one, two = story.world.compose(), story.world.compose()
    later = story.script.send(two)
    sooner = story.script.send(one)
    # The same two answers; but `one` had been acknowledged before `two` was first sent.
    story.replace_call(later, began=later.began + 100, ended=later.ended + 100)
    assert story.find() == {Wrong.ORDER}
    story.replace_call(sooner, began=later.began - 1, ended=later.ended + 101)
    assert story.find() == set()


def test_phantom_entry(story):
    story.world.put(story.world.compose())
    assert story.find() == {Wrong.PHANTOM}


def test_phantom_leaf(story):
    """A leaf of a statement that nobody is shown."""
    final = story.script.final()
    brief = story.script.calls[4]
    assert brief.body == story.brief.data
    boxes = {
        place: tuple(one for one in rows if one.entry.document != story.brief.document)
        for place, rows in final.boxes.items()
    }
    assert Wrong.PHANTOM in story.find(replace(final, boxes=boxes))


def test_phantom_in_a_box(story):
    final = story.script.final()
    boxes = dict(final.boxes)
    boxes[LYON, Box.ROUTINE] = (*boxes[LYON, Box.ROUTINE], boxes[KAMPALA, Box.ROUTINE][0])
    assert {Wrong.PHANTOM, Wrong.PROOF} <= story.find(replace(final, boxes=boxes))


def test_receipt_about_a_message_that_is_not_logged(story):
    world = story.world
    state = world.state.messages[story.first.payload_hash]
    unknown = world.compose()
    world.state.messages[unknown.payload_hash] = state.with_delivery(
        KAMPALA, Delivery(DeliveryStage.OPEN, state.index)
    )
    story.script.receipt(world.receipt(KAMPALA, [unknown]), KAMPALA, [unknown])
    assert Wrong.RECEIPT in story.find()


def test_receipt_by_another_than_a_recipient(story):
    world = story.world
    state = world.state.messages[story.first.payload_hash]
    delivery = Delivery(DeliveryStage.OPEN, state.index)
    world.state.messages[story.first.payload_hash] = state.with_delivery(LYON, delivery)
    entry = world.put(receipt := world.receipt(LYON, [story.first]))
    story.script.add(Action.RECEIPT, "/v1/receipts", None, b"", body=receipt, by=LYON)
    assert entry.index == world.state.size - 1
    assert story.find() == {Wrong.RECEIPT}


def test_two_receipts_of_one_stage(story):
    world = story.world
    state = world.state.messages[story.first.payload_hash]
    world.state.messages[story.first.payload_hash] = state.with_delivery(
        KAMPALA, Delivery(DeliveryStage.DELIVERED, state.index)
    )
    story.script.receipt(world.receipt(KAMPALA, [story.first], ReceiptStage.ACCEPTED), KAMPALA)
    assert story.find() == {Wrong.RECEIPT}


def test_accepted_before_delivered(story):
    world = story.world
    state = world.state.messages[story.broad.payload_hash]
    world.state.messages[story.broad.payload_hash] = state.with_delivery(
        LYON, Delivery(DeliveryStage.DELIVERED, state.index)
    )
    story.script.receipt(world.receipt(LYON, [story.broad], ReceiptStage.ACCEPTED), LYON)
    assert story.find() == {Wrong.RECEIPT}


def test_a_stanza_of_another(story):
    answer = parse_accepted(story.delivered_call.answer)
    other = Release(story.first.payload_hash, story.broad.stanzas[0])
    falsified = replace(answer, releases=(other, *answer.releases[1:]))
    story.replace_call(story.delivered_call, answer=encode_json(falsified.to_json()))
    assert story.find() == {Wrong.RECEIPT}


def test_a_stanza_withheld(story):
    answer = parse_accepted(story.delivered_call.answer)
    falsified = replace(answer, releases=answer.releases[1:])
    story.replace_call(story.delivered_call, answer=encode_json(falsified.to_json()))
    assert story.find() == {Wrong.RECEIPT}


def test_a_stanza_without_signing_for_it(story):
    release = Release(story.broad.payload_hash, story.broad.stanzas[0])
    own = story.broad.rows[0].endpoint
    target = f"/v1/messages/{story.broad.payload_hash.hex()}/stanza"
    answer = encode_json({"releases": [release.to_json()]})
    story.script.add(Action.STANZA, target, 200, answer, by=own)
    assert story.find() == {Wrong.RECEIPT}


def test_a_changed_payload_that_was_stored(story):
    del story.world.state.ids[story.changed.manifest.sender, story.changed.manifest.id]
    story.world.put(story.changed)
    assert story.find() == {Wrong.REFUSAL_STORED, Wrong.DOUBLED}


@pytest.mark.parametrize("intent", [Intent.FORBIDDEN, Intent.FORGED])
def test_a_refusal_that_stored_something(story, intent):
    unsent = story.world.compose()
    story.world.put(unsent)
    problem = story.forged_call.answer
    story.script.add(Action.MESSAGE, "/v1/messages", 401, problem, body=unsent.data, intent=intent)
    assert story.find() == {Wrong.REFUSAL_STORED}


def test_a_good_one_refused(story):
    sealed = story.world.compose()
    refused = next(c for c in story.script.calls if c.intent is Intent.CHANGED)
    account = story.script.account(NAIROBI, sealed.payload_hash, Verdict.NOT_HELD)
    problem = parse_object(refused.answer) | {"account": None}
    del problem["account"]
    story.script.add(Action.MESSAGE, "/v1/messages", 409, encode_json(problem), body=sealed.data)
    assert account
    assert story.find() == {Wrong.WRONGLY_REFUSED, Wrong.ACCOUNT}


def test_refused_after_it_was_acknowledged(story):
    again = next(c for c in story.script.calls if c.status == 200 and c.action is Action.MESSAGE)
    problem = parse_object(story.forged_call.answer)
    story.replace_call(again, status=401, answer=encode_json(problem))
    assert story.find() == {Wrong.WRONGLY_REFUSED}


def test_a_race_that_nobody_won(story):
    problem = parse_object(story.lost_race.answer)
    problem["facts"]["standing"] = 3
    story.replace_call(story.lost_race, answer=encode_json(problem))
    assert story.find() == {Wrong.WRONGLY_REFUSED}


def test_a_forged_one_acknowledged(story):
    story.replace_call(story.script.calls[1], intent=Intent.FORGED)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED, Wrong.REFUSAL_STORED}


def account_in(story, call, **changes):
    """Another account in the place of a page's own."""
    page = parse_object(call.answer)
    data = story.script.account(KAMPALA, b"d" * 32, Verdict.END_OF_BOX, **changes)
    page["account"] = encode_base64url(data)
    story.replace_call(call, answer=encode_json(page))
    story.end = next(c for c in story.script.calls if c.began == call.began)


def test_account_with_a_count_too_small(story):
    boxes = [StatedBox(KAMPALA, box, story.world.state.boxes[KAMPALA, box]) for box in Box]
    account_in(story, story.end, boxes=tuple(boxes))
    assert story.find() == set()
    boxes[2] = StatedBox(KAMPALA, Box.ROUTINE, BoxState(3, b"h" * 32))
    account_in(story, story.end, boxes=tuple(boxes))
    assert story.find() == {Wrong.ACCOUNT}


def test_account_that_leaves_a_box_out(story):
    account_in(story, story.end, boxes=())
    assert story.find() == {Wrong.ACCOUNT}


def test_account_to_another_request(story):
    story.replace_call(story.end, digest=b"e" * 32)
    assert story.find() == {Wrong.ACCOUNT}


def test_account_of_a_tree_that_never_was(story):
    account_in(story, story.end, seen=Seen(story.world.state.size - 1, b"r" * 32))
    assert Wrong.CHECKPOINT in story.find()


def test_account_that_denies_what_is_logged(story):
    story.script.denied(story.second.payload_hash)
    assert story.find() == {Wrong.ACCOUNT}


def test_refusal_without_account(story):
    refused = next(c for c in story.script.calls if c.intent is Intent.FORBIDDEN)
    problem = parse_object(refused.answer)
    del problem["account"]
    story.replace_call(refused, answer=encode_json(problem))
    assert story.find() == {Wrong.ACCOUNT}


def test_notice_before_the_grace_is_over(story):
    world = story.world
    sealed = world.compose(expires_at=world.now + MINUTE)
    story.script.send(sealed)
    state = world.state.messages
    state[sealed.payload_hash] = replace(state[sealed.payload_hash], expires_at=0)
    world.now = sealed.manifest.expires_at + world.grace_ms - 1
    story.script.notice(sealed, KAMPALA)
    assert story.find() == {Wrong.PREMATURE_NOTICE}


def test_notice_after_a_receipt(story):
    state = story.world.state.messages
    first = state[story.first.payload_hash]
    state[story.first.payload_hash] = replace(
        first.with_delivery(KAMPALA, Delivery(DeliveryStage.OPEN, first.index)), expires_at=0
    )
    story.world.now = story.first.manifest.expires_at + story.world.grace_ms
    story.script.notice(story.first, KAMPALA)
    assert story.find() == {Wrong.PREMATURE_NOTICE}


def test_notice_because_the_broker_was_away(story):
    at = story.world.now
    for begin, end, expected in (
        (at - 10 * MINUTE, at - 9 * MINUTE - 1, set()),
        (at - 10 * MINUTE, at - 8 * MINUTE, {Wrong.PREMATURE_NOTICE}),
    ):
        kinds = story.find(absences=(Absence(begin, end),), heartbeat_gap_ms=MINUTE)
        assert kinds == expected


def test_a_notice_that_never_came(story):
    assert story.find(now=story.world.now) == set()
    late = story.world.compose(sent_at=story.world.now, expires_at=story.world.now + 1000)
    story.script.send(late)
    due = late.manifest.expires_at + story.world.grace_ms
    assert story.find(now=due - 1) == set()
    assert story.find(now=due) == {Wrong.MISSING_NOTICE}


def test_time_that_goes_back(story):
    story.world.state.time = 0
    sealed = story.world.compose()
    story.world.now -= MINUTE
    story.script.send(sealed)
    assert story.find() == {Wrong.TIME}


def test_proof_that_does_not_verify(story):
    first = story.script.calls[1]
    answer = parse_accepted(first.answer)
    path = (b"p" * 32, *answer.inclusion.path[1:])
    falsified = replace(answer, inclusion=replace(answer.inclusion, path=path))
    story.replace_call(first, answer=encode_json(falsified.to_json()))
    assert story.find() == {Wrong.PROOF}


def test_proof_with_another_recipient(story):
    first = story.script.calls[1]
    answer = parse_accepted(first.answer)
    rows = tuple(row for row in answer.deliveries.rows if row.endpoint != KAMPALA)
    falsified = replace(answer, deliveries=replace(answer.deliveries, rows=rows))
    story.replace_call(first, answer=encode_json(falsified.to_json()))
    assert story.find() == {Wrong.PROOF}


def test_a_directory_that_moved(story):
    final = story.script.final()
    assert Wrong.DIRECTORY in story.find(replace(final, directory=final.directory[:-1]))


def test_unanswered_calls_prove_nothing(story):
    for call in list(story.script.calls):
        if call.action is not Action.RECEIPT:
            story.replace_call(call, status=None, answer=b"")
    assert story.find() == set()
