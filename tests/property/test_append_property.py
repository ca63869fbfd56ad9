"""Random traffic: replaying it gives the very same leaves, and every box is one unbroken chain."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.appending import append_statement
from countermark_protocol.boxes import Box, BoxState, row_path, verify_tail
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, InconsistentLogError, ProofError
from countermark_protocol.leaf import verify_succession
from countermark_protocol.manifest import Outcome, Stage, Urgency
from countermark_protocol.proof import OwnDelivery, verify_leaf, verify_own_delivery
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from countermark_protocol.records import State
from countermark_protocol.statements import read_statement, verify_statement
from support.examples import tried
from support.protocol_world import fresh_state, make_world, snapshot
from support.world import DAY, KAMPALA, LYON, MOMBASA, NAIROBI, seed

PLACES = (NAIROBI, KAMPALA, LYON, MOMBASA)

steps = st.one_of(
    st.tuples(st.just("notice"), st.sampled_from(PLACES), st.sets(st.sampled_from(PLACES), min_size=1)),
    st.tuples(st.just("request"), st.sampled_from([NAIROBI, MOMBASA]), st.just({KAMPALA})),
    st.tuples(st.just("answer"), st.sampled_from([KAMPALA, LYON]), st.integers(0, 5)),
    st.tuples(st.just("receipt"), st.sampled_from(PLACES), st.integers(0, 5)),
    st.tuples(st.just("close"), st.sampled_from(PLACES), st.integers(0, 5)),
    st.tuples(st.just("undelivered"), st.sampled_from(PLACES), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 40)),
    st.tuples(st.just("suspend"), st.sampled_from(PLACES), st.sampled_from(list(State))),
)


def make(world, sent, what, who, detail, number):
    """Something an endpoint might hand in; some of it will be refused."""
    if what == "notice":
        return world.compose(who, sorted(detail), urgency=list(Urgency)[number % 4], seen=world.seen())
    if what == "request":
        return world.compose(who, sorted(detail), type="tracing-request")
    if what == "suspend":
        return world.endpoint_statement(who, detail)
    if not sent:
        return None
    message = sent[detail % len(sent)]
    if what == "answer":
        return world.compose_reply(
            who, message, type="tracing-response", stage=Stage.FINAL, outcome=Outcome(1)
        )
    if what == "receipt":
        return world.receipt(who, [message])
    if what == "close":
        rejected = ReceiptItem(message.payload_hash, False, RejectionReason.UNOPENABLE)
        stage = (ReceiptStage.ACCEPTED, ReceiptStage.REJECTED)[number % 2]
        return world.receipt(who, [message], stage, items=(rejected,) if number % 2 else None)
    return world.undelivered(message, who)


def run(history):
    world, sent = make_world(), []
    for number, (what, who, detail) in enumerate(history):
        world.now += 1
        if what == "wait":
            world.now += detail * DAY
            continue
        made = make(world, sent, what, who, detail, number)
        if made is None:
            continue
        before = snapshot(world.state)
        try:
            world.put(made, secret=seed(f"secret {number}"))
        except CountermarkError:
            assert snapshot(world.state) == before
            continue
        if not isinstance(made, bytes):
            sent.append(made)
    return world, {m.payload_hash: m.rows for m in sent}


@given(st.lists(steps, min_size=3, max_size=18))
@tried(40)
def test_a_replay_gives_the_same_leaves(history):
    world, rows = run(history)
    state = fresh_state()
    for entry in world.entries:
        document = verify_statement(state.directory, parse_document(entry.document.data))
        statement = read_statement(document, rows.get(document.payload_hash, ()))
        again = append_statement(state, statement, entry.leaf.time, entry.secret)
        assert again.leaf.encode() == entry.leaf.encode()
        assert again.placed == entry.placed
        state.roots[state.size] = state.frontier.root()  # type: ignore[index]
    assert snapshot(state) == snapshot(world.state)


@given(st.lists(steps, min_size=3, max_size=18))
@tried(40)
def test_leaves_follow_and_box_heads_chain(history):
    world, _ = run(history)
    before, boxes, checkpoint = None, {}, world.checkpoint()
    for entry in world.entries:
        verify_succession(before, entry.leaf)
        before = entry.leaf
        verify_leaf(world.inclusion(entry.index), checkpoint, entry.leaf.kind, entry.document.statement_hash)
        for placed in entry.placed:
            key = placed.row.endpoint, placed.row.box
            own = OwnDelivery(placed.row, placed.tail, row_path([p.row for p in entry.placed], placed.row))
            state = boxes.get(key, BoxState())
            boxes[key] = verify_own_delivery(own, entry.leaf, entry.index, *key, state)
            assert boxes[key].head == placed.head
    assert boxes == dict(world.state.boxes)


@given(st.lists(steps, min_size=6, max_size=18), st.integers(0, 100))
@tried(40)
def test_a_hole_in_a_box_is_seen(history, which):
    world, _ = run([("notice", NAIROBI, {KAMPALA, LYON}), ("notice", NAIROBI, {KAMPALA}), *history])
    shown = [
        (e, p) for e in world.entries for p in e.placed if (p.row.endpoint, p.row.box) == (NAIROBI, Box.SENT)
    ]
    which %= len(shown)
    withheld = shown[:which] + shown[which + 1 :]
    state, codes = BoxState(), []
    for entry, placed in withheld:
        try:
            state = verify_tail(placed.row, placed.tail, entry.index, entry.leaf.statement, state)
        except ProofError as error:
            codes.append(error.code)
            break
    # Withholding the newest leaves no hole among the rest; the count of the box shows it.
    if which == len(shown) - 1:
        assert not codes
        assert state != world.state.boxes[NAIROBI, Box.SENT]
    else:
        assert codes == ["box_gap"]


@given(st.lists(steps, min_size=3, max_size=10), st.integers(1, 100))
@tried(30)
def test_no_two_leaves_can_change_places(history, which):
    world, _ = run([("notice", NAIROBI, {KAMPALA}), *history])
    at = which % (len(world.entries) - 1) + 1
    first, second = world.entries[at - 1].leaf, world.entries[at].leaf
    try:
        verify_succession(second, first)
    except InconsistentLogError:
        return
    # Two leaves that could follow each other either way: neither moves the directory, and both are of one time.
    assert (first.dir_count, first.time) == (second.dir_count, second.time)
    assert replace(first, statement=second.statement) != first
