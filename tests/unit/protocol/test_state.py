"""The state that decisions look at: whole, or loaded to exactly what a group needs."""

import pytest

from countermark_protocol.appending import append_statement
from countermark_protocol.boxes import Box
from countermark_protocol.manifest import Outcome, Stage
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.records import State
from countermark_protocol.state import Delivery, DeliveryStage, Loaded, LogState, Needs, Whole, needs_of
from support.protocol_world import NOW, copy_state, make_world
from support.world import BROKER, DAY, KAMPALA, LYON, NAIROBI


def test_whole_and_loaded():
    whole = Whole(None)
    whole["a"] = 1
    assert (whole["a"], whole["b"]) == (1, None)
    assert "b" not in whole
    loaded = Loaded({"a": 1})
    assert loaded["a"] == 1
    with pytest.raises(RuntimeError, match="state not loaded for 'b'"):
        loaded["b"]


def test_with_delivery_is_a_new_state():
    world = make_world()
    message = world.send()
    before = world.state.messages[message.payload_hash]
    after = before.with_delivery(KAMPALA, Delivery(DeliveryStage.DELIVERED, 99))
    assert before.deliveries[KAMPALA].stage is DeliveryStage.OPEN
    assert after.deliveries[KAMPALA] == Delivery(DeliveryStage.DELIVERED, 99)


def loaded_for(state, statement):
    """A state that holds what `needs_of` asks for, and fails on anything else."""
    needs = Needs()
    needs_of(statement, needs)
    whole = copy_state(state)
    return LogState(
        whole.origin,
        whole.directory,
        whole.frontier,
        whole.time,
        Loaded({k: whole.entries[k] for k in needs.entries}),
        Loaded({k: whole.messages[k] for k in needs.messages}),
        Loaded({k: whole.ids[k] for k in needs.ids}),
        Loaded({k: whole.parties[k] for k in needs.conversations}),
        Loaded({k: whole.boxes[k] for k in needs.boxes}),
        Loaded({k: whole.roots[k] for k in needs.sizes}),
        Loaded({k: whole.purges[k] for k in needs.purges}),
    )


def statements():
    """One statement of every sort, each with the world in which it is due."""
    world = make_world()
    yield world.fork(), world.authority_statement("ke", state=State.SUSPENDED), "directory"
    yield world.fork(), world.compose(NAIROBI, [KAMPALA, LYON]), "message"
    request = world.send(NAIROBI, [KAMPALA], type="tracing-request", seen=world.seen())
    answer = world.compose_reply(
        KAMPALA, request, type="tracing-response", stage=Stage.FINAL, outcome=Outcome(1)
    )
    yield world.fork(), answer, "answer"
    yield world.fork(), world.compose(NAIROBI, [KAMPALA], supersedes=request.payload_hash), "superseding"
    yield world.fork(), world.receipt(KAMPALA, [request]), "delivered"
    world = world.fork()
    world.now = NOW + 40 * DAY
    yield world.fork(), world.undelivered(request, KAMPALA), "undelivered"
    world.put(world.receipt(KAMPALA, [request]))
    yield (
        world.fork(),
        world.receipt(KAMPALA, [request], ReceiptStage.ACCEPTED, seen=world.seen()),
        "accepted",
    )


@pytest.mark.parametrize(("world", "what", "name"), [pytest.param(*s, id=s[2]) for s in statements()])
def test_what_is_loaded_is_enough_and_decides_the_same(world, what, name):
    document, rows = (what, ()) if isinstance(what, bytes) else (what.document, what.rows)
    statement = world.statement(document, rows)
    state = loaded_for(world.state, statement)
    part = append_statement(state, statement, world.now, bytes(32))
    whole = append_statement(world.fork().state, statement, world.now, bytes(32))
    assert part == whole


def test_needs_of_several_add_up():
    world = make_world()
    first, second = world.compose(NAIROBI, [KAMPALA]), world.compose(NAIROBI, [LYON])
    needs = Needs()
    for message in (first, second):
        needs_of(world.statement(message.document, message.rows), needs)
    assert needs.entries == needs.conversations == {first.payload_hash, second.payload_hash}
    assert needs.boxes == {
        (NAIROBI, Box.SENT),
        *((a, b) for a in (KAMPALA, LYON) for b in (Box.ROUTINE, Box.URGENT)),
    }
    assert needs.sizes == {0}
    needs_of(world.statement(world.undelivered(first, KAMPALA)), needs)
    assert (BROKER, Box.SENT) in needs.boxes
    assert (NAIROBI, Box.NOTICES) in needs.boxes
