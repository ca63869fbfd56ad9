"""Appending: leaf, rows and state move together, or not at all."""

import pytest

from countermark_protocol.appending import append_statement
from countermark_protocol.boxes import Box, BoxState, delivery_root, verify_tail
from countermark_protocol.leaf import NO_DELIVERY, parse_leaf, verify_succession
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.receipts import ReceiptStage
from support.protocol_world import NOW, make_world, snapshot
from support.world import BROKER, DAY, KAMPALA, LYON, NAIROBI, seed


@pytest.fixture(scope="module")
def world():
    world = make_world()
    first = world.send(NAIROBI, [KAMPALA, LYON])
    second = world.send(NAIROBI, [LYON])
    world.put(world.receipt(LYON, [first, second]))
    world.put(world.receipt(LYON, [first], ReceiptStage.ACCEPTED))
    world.put(world.keys_statement(NAIROBI))
    world.now = NOW + 40 * DAY
    world.put(world.undelivered(first, KAMPALA))
    return world


def test_every_leaf_follows_the_one_before(world):
    before = None
    for number, entry in enumerate(world.entries):
        assert entry.index == number
        assert parse_leaf(entry.leaf.encode()) == entry.leaf
        verify_succession(before, entry.leaf)
        before = entry.leaf
    assert before.dir_head == world.state.directory.head
    assert before.dir_count == world.state.directory.count


def test_the_tree_is_over_the_leaves(world):
    assert world.state.frontier.root() == root_of([leaf_hash(e.leaf.encode()) for e in world.entries])
    assert world.state.size == len(world.entries)
    assert world.state.time == world.entries[-1].leaf.time


def test_a_leaf_is_of_its_statement_and_rows(world):
    for entry in world.entries:
        assert entry.leaf.statement == entry.document.statement_hash
        assert entry.leaf.delivery == delivery_root([p.row for p in entry.placed])
        assert (entry.leaf.delivery == NO_DELIVERY) == (not entry.placed)
        assert world.state.entries[entry.document.payload_hash] == entry.index


def test_boxes_are_whole(world):
    boxes = {}
    for entry in world.entries:
        for placed in entry.placed:
            key = placed.row.endpoint, placed.row.box
            state = boxes.get(key, BoxState())
            boxes[key] = verify_tail(placed.row, placed.tail, entry.index, entry.leaf.statement, state)
            assert boxes[key].head == placed.head
    assert boxes == dict(world.state.boxes)
    counts = {key: state.count for key, state in boxes.items()}
    assert counts == {
        (NAIROBI, Box.SENT): 2,
        (KAMPALA, Box.ROUTINE): 1,
        (LYON, Box.ROUTINE): 2,
        (LYON, Box.SENT): 2,
        (NAIROBI, Box.NOTICES): 3,
        (BROKER, Box.SENT): 1,
    }


def test_the_secret_hides_rows_and_nothing_else():
    world = make_world()
    message = world.compose()
    a, b = (world.fork().put(message, secret=seed(s)) for s in ("one", "two"))
    assert a.leaf.delivery != b.leaf.delivery
    assert a.leaf.statement == b.leaf.statement
    assert [p.head for p in a.placed] == [p.head for p in b.placed]


def test_time_never_goes_back():
    world = make_world()
    message = world.compose()
    statement = world.statement(message.document, message.rows)
    before = snapshot(world.state)
    with pytest.raises(ValueError, match="never decreases"):
        append_statement(world.state, statement, world.state.time - 1, bytes(32))
    assert snapshot(world.state) == before
    append_statement(world.state, statement, world.state.time, bytes(32))
