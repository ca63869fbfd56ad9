"""Proofs as each reader checks them, honest and forged."""

from dataclasses import replace

import pytest

from countermark_protocol.boxes import Box, BoxState, delivery_root
from countermark_protocol.claims import Kind
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError, MalformedError, ProofError, UncheckableError
from countermark_protocol.proof import (
    MAX_PATH,
    parse_all_deliveries,
    parse_inclusion,
    parse_own_delivery,
    parse_path,
    parse_recipient,
    parse_recipients,
    parse_row,
    parse_tail,
    path_to_json,
    recipient_to_json,
    row_to_json,
    tail_to_json,
    verify_all_deliveries,
    verify_leaf,
    verify_no_deliveries,
    verify_own_delivery,
)
from countermark_protocol.recipients import recipient_path
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI, seed

WORLD = make_world()
FIRST = WORLD.send(NAIROBI, [KAMPALA])
MESSAGE = WORLD.send(NAIROBI, [KAMPALA, LYON])
ENTRY = WORLD.entries[-1]
WORLD.send(NAIROBI, [LYON])
CHECKPOINT = WORLD.checkpoint()
INCLUSION = WORLD.inclusion(ENTRY.index)
STATEMENT = ENTRY.document.statement_hash


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


# --- the leaf ---


def test_every_entry_is_proven():
    for entry in WORLD.entries:
        leaf = verify_leaf(
            WORLD.inclusion(entry.index), CHECKPOINT, entry.leaf.kind, entry.document.statement_hash
        )
        assert leaf == entry.leaf


def test_another_statement_or_kind():
    refused(ProofError, "leaf_mismatch", verify_leaf, INCLUSION, CHECKPOINT, Kind.MESSAGE, bytes(32))
    refused(ProofError, "leaf_mismatch", verify_leaf, INCLUSION, CHECKPOINT, Kind.RECEIPT, STATEMENT)


def test_another_place_path_or_tree():
    def check(inclusion, checkpoint=CHECKPOINT):
        verify_leaf(inclusion, checkpoint, Kind.MESSAGE, STATEMENT)

    size = CHECKPOINT.size
    refused(ProofError, "beyond_checkpoint", check, replace(INCLUSION, index=size))
    refused(ProofError, "beyond_checkpoint", check, replace(INCLUSION, index=-1))
    refused(ProofError, "beyond_checkpoint", check, INCLUSION, WORLD.checkpoint(ENTRY.index))
    refused(ProofError, "inclusion_mismatch", check, INCLUSION, replace(CHECKPOINT, root=bytes(32)))
    refused(
        ProofError, "inclusion_mismatch", check, replace(INCLUSION, path=(bytes(32),) * len(INCLUSION.path))
    )
    refused(ProofError, "inclusion_path_length", check, replace(INCLUSION, path=INCLUSION.path[:-1]))
    refused(ProofError, "hash_size", check, replace(INCLUSION, path=(b"", *INCLUSION.path[1:])))
    refused(
        ProofError, "inclusion_mismatch", check, replace(INCLUSION, leaf=replace(ENTRY.leaf, time=1).encode())
    )
    refused(MalformedError, "truncated", check, replace(INCLUSION, leaf=b""))
    refused(
        UncheckableError,
        "unknown_kind",
        check,
        replace(INCLUSION, leaf=replace(ENTRY.leaf, kind=99).encode()),
    )


# --- deliveries ---


def test_a_recipient_checks_its_own_row():
    first_entry = WORLD.entries[ENTRY.index - 1]
    state = verify_own_delivery(
        WORLD.own_delivery(first_entry, KAMPALA, Box.ROUTINE), first_entry.leaf, first_entry.index, KAMPALA, Box.ROUTINE, BoxState()
    )  # fmt: skip
    own = WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE)
    after = verify_own_delivery(own, ENTRY.leaf, ENTRY.index, KAMPALA, Box.ROUTINE, state)
    assert after == WORLD.state.boxes[KAMPALA, Box.ROUTINE]


def test_a_row_of_another():
    own = WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE)
    args = ENTRY.leaf, ENTRY.index, KAMPALA, Box.ROUTINE, BoxState()
    other = WORLD.own_delivery(ENTRY, LYON, Box.ROUTINE)
    refused(ProofError, "row_mismatch", verify_own_delivery, other, *args)
    sent = WORLD.own_delivery(ENTRY, NAIROBI, Box.SENT)
    refused(ProofError, "row_mismatch", verify_own_delivery, sent, *args)
    forged = replace(own, row=replace(own.row, tail=bytes(32)))
    refused(ProofError, "row_not_included", verify_own_delivery, forged, *args)
    refused(ProofError, "box_gap", verify_own_delivery, own, *args)
    refused(ProofError, "tail_mismatch", verify_own_delivery, replace(own, tail=other.tail), *args)


EXPECTED = [(KAMPALA, Box.ROUTINE), (LYON, Box.ROUTINE)]


def test_the_sender_checks_every_row():
    answer = WORLD.all_deliveries(ENTRY, NAIROBI)
    row, tail = verify_all_deliveries(answer, ENTRY.leaf, ENTRY.index, NAIROBI, EXPECTED)
    assert (row.endpoint, row.box) == (NAIROBI, Box.SENT)
    assert tail.position == 1


def test_deliveries_that_are_not_those_asked_for():
    answer = WORLD.all_deliveries(ENTRY, NAIROBI)

    def check(answer=answer, expected=EXPECTED, author=NAIROBI, leaf=ENTRY.leaf):
        verify_all_deliveries(answer, leaf, ENTRY.index, author, expected)

    code = "deliveries_mismatch"
    refused(ProofError, code, check, replace(answer, rows=answer.rows[:-1]))
    refused(ProofError, code, check, replace(answer, rows=(*answer.rows, answer.rows[0])))
    refused(ProofError, code, check, answer, EXPECTED[:1])
    refused(ProofError, code, check, answer, [*EXPECTED, ("be.police.x", Box.ROUTINE)])
    refused(ProofError, code, check, answer, [(KAMPALA, Box.URGENT), (LYON, Box.ROUTINE)])
    refused(ProofError, code, check, answer, EXPECTED, KAMPALA)
    # All names right, yet not what the leaf commits to: an addressee that is only shown.
    fake = tuple(replace(r, salt=bytes(32)) if r.endpoint == LYON else r for r in answer.rows)
    refused(ProofError, code, check, replace(answer, rows=fake))
    refused(ProofError, code, check, answer, EXPECTED, NAIROBI, replace(ENTRY.leaf, delivery=bytes(32)))
    refused(ProofError, "tail_mismatch", check, replace(answer, tail=replace(answer.tail, position=0)))


def test_no_deliveries():
    verify_no_deliveries(WORLD.entries[0].leaf)
    refused(ProofError, "deliveries_mismatch", verify_no_deliveries, ENTRY.leaf)


# --- JSON forms ---

OWN = WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE)
ALL = WORLD.all_deliveries(ENTRY, NAIROBI)
PATH = recipient_path(MESSAGE.rows, KAMPALA)
FORMS = [
    (INCLUSION, INCLUSION.to_json(), parse_inclusion),
    (OWN, OWN.to_json(), parse_own_delivery),
    (ALL, ALL.to_json(), parse_all_deliveries),
    (OWN.row, row_to_json(OWN.row), parse_row),
    (OWN.tail, tail_to_json(OWN.tail), parse_tail),
    (PATH, path_to_json(PATH), parse_path),
    (MESSAGE.rows[0], recipient_to_json(MESSAGE.rows[0]), parse_recipient),
]


@pytest.mark.parametrize(("value", "form", "parse"), FORMS, ids=[f[2].__name__ for f in FORMS])
def test_forms_read_back(value, form, parse):
    assert parse(parse_object(encode_json(form))) == value


@pytest.mark.parametrize(("value", "form", "parse"), FORMS, ids=[f[2].__name__ for f in FORMS])
def test_forms_are_strict(value, form, parse):
    refused(MalformedError, "unknown_member", parse, form | {"extra": 1})
    for odd in (None, [], "x", 1):
        refused(MalformedError, "not_an_object", parse, odd)
    for name in form:
        refused(MalformedError, "missing_member", parse, {k: v for k, v in form.items() if k != name})
        for bad in (None, -1, "%", {}, [None], True, 10**17):
            with pytest.raises(MalformedError):
                parse(form | {name: bad})


def test_tables():
    table = [recipient_to_json(r) for r in MESSAGE.rows]
    assert parse_recipients(table) == MESSAGE.rows
    for bad in ([], {}, None, [{}], table * 600):
        with pytest.raises(MalformedError):
            parse_recipients(bad)
    refused(
        MalformedError,
        "bad_member",
        parse_inclusion,
        INCLUSION.to_json() | {"path": [seed("x").hex()] * (MAX_PATH + 1)},
    )
    assert delivery_root(ALL.rows) == ENTRY.leaf.delivery
