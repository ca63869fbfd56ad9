"""Boxes: gapless chains, and rows that name nobody."""

from dataclasses import replace

import pytest

from countermark_protocol.boxes import (
    EMPTY_HEAD,
    Box,
    BoxState,
    Tail,
    box_head,
    delivery_root,
    make_row,
    row_path,
    verify_row,
    verify_tail,
)
from countermark_protocol.encoding import labelled_hash, labelled_hmac
from countermark_protocol.errors import ProofError
from countermark_protocol.leaf import NO_DELIVERY
from countermark_protocol.merkle import leaf_hash, root_of
from support.world import KAMPALA, LYON, NAIROBI, seed

SECRET, STATEMENT = seed("entry secret"), seed("statement")
STATE = BoxState(3, seed("head of three"))


def refused(code, function, *args):
    with pytest.raises(ProofError) as caught:
        function(*args)
    assert caught.value.code == code
    return caught.value


def test_hashes_are_those_of_the_spec():
    row, tail = make_row(SECRET, KAMPALA, Box.ROUTINE, STATE, 9, STATEMENT)
    whose = KAMPALA.encode(), b"routine"
    head = labelled_hash("box-head", STATE.head, (9).to_bytes(8, "big"), STATEMENT)
    assert tail == Tail(labelled_hmac("tail-salt", SECRET, *whose), 3, STATE.head)
    assert (
        row.tail
        == labelled_hash("tail", tail.salt, (3).to_bytes(8, "big"), head)
        == tail.digest(9, STATEMENT)
    )
    assert row.salt == labelled_hmac("row-salt", SECRET, *whose)
    assert row.digest() == labelled_hash("delivery-row", row.salt, *whose, row.tail)
    assert STATE.after(9, STATEMENT) == BoxState(4, head)
    assert box_head(STATE.head, 9, STATEMENT) == head
    assert BoxState() == BoxState(0, EMPTY_HEAD)


def test_salts_differ_for_every_row():
    rows = [
        make_row(SECRET, address, box, BoxState(), 9, STATEMENT)
        for address in (KAMPALA, NAIROBI)
        for box in Box
    ]
    assert len({r.salt for r, _ in rows} | {t.salt for _, t in rows}) == 16


ROWS = [
    make_row(SECRET, address, box, BoxState(), 9, STATEMENT)[0]
    for address, box in [(KAMPALA, Box.ROUTINE), (LYON, Box.ROUTINE), (NAIROBI, Box.SENT)]
]
ROOT = delivery_root(ROWS)


def test_root_over_ordered_rows():
    assert root_of([leaf_hash(d) for d in sorted(r.digest() for r in ROWS)]) == ROOT
    assert delivery_root(ROWS[::-1]) == ROOT
    assert delivery_root([]) == NO_DELIVERY


def test_each_row_is_shown_alone():
    for row in ROWS:
        verify_row(row, row_path(ROWS, row), ROOT)


def test_a_row_that_is_not_there():
    row, at = ROWS[0], row_path(ROWS, ROWS[0])
    for case in [
        (replace(row, box=Box.URGENT), at, ROOT),
        (replace(row, endpoint=LYON), at, ROOT),
        (replace(row, tail=bytes(32)), at, ROOT),
        (replace(row, salt=bytes(32)), at, ROOT),
        (ROWS[1], at, ROOT),
        (row, replace(at, number=(at.number + 1) % 3), ROOT),
        (row, replace(at, number=3), ROOT),
        (row, replace(at, number=-1), ROOT),
        (row, replace(at, count=0), ROOT),
        (row, replace(at, path=()), ROOT),
        (row, replace(at, path=(*at.path, bytes(32))), ROOT),
        (row, at, bytes(32)),
        (row, at, NO_DELIVERY),
    ]:
        refused("row_not_included", verify_row, *case)


def test_a_box_is_walked_from_its_beginning():
    state = BoxState()
    for index in (4, 9, 17):
        row, tail = make_row(SECRET, KAMPALA, Box.ROUTINE, state, index, STATEMENT)
        state = verify_tail(row, tail, index, STATEMENT, state)
    assert state.count == 3


def test_what_does_not_follow():
    row, tail = make_row(SECRET, KAMPALA, Box.ROUTINE, STATE, 9, STATEMENT)
    assert verify_tail(row, tail, 9, STATEMENT, STATE) == STATE.after(9, STATEMENT)
    gap = refused("box_gap", verify_tail, row, tail, 9, STATEMENT, replace(STATE, count=2))
    assert gap.facts == {"expected": 2, "got": 3}
    refused("box_gap", verify_tail, row, tail, 9, STATEMENT, replace(STATE, count=4))
    refused(
        "box_head_mismatch", verify_tail, row, tail, 9, STATEMENT, replace(STATE, head=seed("other past"))
    )
    for bad in (replace(tail, salt=bytes(32)), replace(tail, position=4), replace(tail, previous=bytes(32))):
        refused("tail_mismatch", verify_tail, row, bad, 9, STATEMENT, STATE)
    refused("tail_mismatch", verify_tail, row, tail, 10, STATEMENT, STATE)
    refused("tail_mismatch", verify_tail, row, tail, 9, seed("other"), STATE)
