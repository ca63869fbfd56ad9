"""Recipient rows: exactly those the sender signed."""

from dataclasses import replace

import pytest

from countermark_protocol.boxes import RowPath
from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import CountermarkError, MalformedError, ProofError
from countermark_protocol.merkle import EMPTY_ROOT, leaf_hash, root_of
from countermark_protocol.recipients import (
    RecipientRow,
    order_rows,
    recipient_path,
    recipients_root,
    stanza_hash,
    verify_recipient,
)
from support.world import seed


def row(number):
    return RecipientRow(
        seed(f"salt {number}"),
        f"ke.police.p{number}",
        seed(f"key {number}"),
        stanza_hash(b"stanza %d" % number),
    )


ROWS = order_rows([row(n) for n in range(7)])
ROOT = recipients_root(ROWS)


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code)


def test_row_hash_binds_every_field():
    one = row(0)
    assert one.digest() == labelled_hash(
        "recipient-row", one.salt, one.endpoint.encode(), one.sealing_key, one.stanza
    )
    others = [
        replace(one, salt=bytes(32)),
        replace(one, endpoint="ke.police.q0"),
        replace(one, sealing_key=bytes(32)),
        replace(one, stanza=bytes(32)),
    ]
    assert len({r.digest() for r in [one, *others]}) == 5


def test_root_is_over_the_ordered_rows():
    digests = sorted(row(n).digest() for n in range(7))
    assert root_of([leaf_hash(d) for d in digests]) == ROOT
    assert recipients_root(()) == EMPTY_ROOT


def test_order_and_repetition():
    refused(MalformedError, "rows_order", recipients_root, ROWS[::-1])
    refused(MalformedError, "rows_order", recipients_root, (ROWS[0], ROWS[0]))
    twice = order_rows([row(0), replace(row(0), salt=bytes(32))])
    refused(MalformedError, "recipient_twice", recipients_root, twice)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_recipient_is_shown_its_own_row(count):
    rows = order_rows([row(n) for n in range(count)])
    root = recipients_root(rows)
    for one in rows:
        verify_recipient(one, recipient_path(rows, one.endpoint), count, root)


def test_a_row_that_was_not_signed():
    good = recipient_path(ROWS, ROWS[2].endpoint)
    args = [
        (replace(ROWS[2], stanza=stanza_hash(b"other")), good, 7, ROOT),
        (replace(ROWS[2], endpoint="be.police.x"), good, 7, ROOT),
        (ROWS[3], good, 7, ROOT),
        (ROWS[2], good, 8, ROOT),
        (ROWS[2], good, 7, bytes(32)),
        (ROWS[2], replace(good, number=3), 7, ROOT),
        (ROWS[2], replace(good, number=7), 7, ROOT),
        (ROWS[2], replace(good, number=-1), 7, ROOT),
        (ROWS[2], replace(good, path=good.path[:-1]), 7, ROOT),
        (ROWS[2], replace(good, path=(*good.path, bytes(32))), 7, ROOT),
        (ROWS[2], replace(good, path=(b"", *good.path[1:])), 7, ROOT),
        (ROWS[2], RowPath(0, 0, ()), 0, ROOT),
        # An inner node is no row: leaves and nodes are hashed apart.
        (ROWS[2], RowPath(0, 2, good.path[-1:]), 2, ROOT),
    ]
    for case in args:
        refused(ProofError, "recipient_not_listed", verify_recipient, *case)
