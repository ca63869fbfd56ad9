"""Witnesses and auditors as people name them, and what naming and withdrawing them changes."""

import pytest

from countermark_protocol.appointing import (
    change_auditors,
    change_witnesses,
    make_oversight,
    parse_appointed_witness,
    parse_term_of,
)
from countermark_protocol.cosignature import encode_cosigner_vkey, parse_cosigner_key
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.mandates import Term, Witness
from support.witnesses import LOG_KEY

#: Verifier keys of a witness: Ed25519, signature type 4.
ONE, TWO = (encode_cosigner_vkey(parse_cosigner_key(f"w.example/{n}", 4, LOG_KEY)) for n in "12")
TERM = Term(1_796_083_200_000, 1_827_619_200_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"first={ONE}", Witness("first", (ONE,))),
        (f"first={ONE},{TWO}", Witness("first", (ONE, TWO))),
        (f"a b={ONE}@https://w.example:8471/x", Witness("a b", (ONE,), "https://w.example:8471/x")),
        (f"a={ONE},{TWO}@http://127.0.0.1:1", Witness("a", (ONE, TWO), "http://127.0.0.1:1")),
    ],
)
def test_a_witness_as_it_is_named(text, expected):
    assert parse_appointed_witness(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "first",
        f"={ONE}",
        "first=",
        f"first={ONE},",
        f"first={ONE},{TWO},{TWO}",
        "first=a+b+c",
        f"a={ONE}x",
    ],
)
def test_a_witness_that_cannot_be_read_is_refused_at_once(text):
    with pytest.raises(MalformedError):
        parse_appointed_witness(text)


def test_a_term_as_it_is_typed():
    assert parse_term_of("2026-12-01", "2027-12-01T00:00:00Z") == TERM
    assert parse_term_of("2026-12-01T03:00+03:00", "2027-12-01") == TERM


@pytest.mark.parametrize(
    ("since", "until"), [("2027-12-01", "2026-12-01"), ("2027", "soon"), ("", "2027-12-01")]
)
def test_a_term_that_is_none(since, until):
    with pytest.raises(MalformedError, match="expected a"):
        parse_term_of(since, until)


def test_naming_and_withdrawing_witnesses():
    a, b, other = Witness("a", (ONE,)), Witness("b", (TWO,)), Witness("a", (TWO,))
    assert change_witnesses((), 0, [a, b], (), 2) == ((a, b), 2)
    assert change_witnesses((a, b), 2, (), ["a"], 1) == ((b,), 1)
    assert change_witnesses((a,), 1, [other], (), None) == ((other,), 1)
    assert change_witnesses((a,), 1, (), ["a"], None) == ((), 0)
    assert change_witnesses((), 0, (), (), None) == ((), 0)
    with pytest.raises(NotFoundError, match="names no witness 'c'"):
        change_witnesses((a,), 1, (), ["c"], None)


@pytest.mark.parametrize(
    ("before", "had", "add", "remove", "quorum"),
    [
        ((), 0, "a", (), None),
        ((), 0, "a", (), 2),
        ((), 0, "", (), 1),
        ("ab", 2, "", "b", None),
        ("a", 1, "", "", 0),
    ],
)
def test_a_quorum_fits_the_witnesses(before, had, add, remove, quorum):
    made = {"a": Witness("a", (ONE,)), "b": Witness("b", (TWO,))}
    with pytest.raises(MalformedError, match="expected"):
        change_witnesses(tuple(made[n] for n in before), had, [made[n] for n in add], remove, quorum)


def test_appointing_and_withdrawing_auditors():
    panel = make_oversight("xo-eac.auditor.panel", TERM)
    again = make_oversight("xo-eac.auditor.panel", Term(TERM.since, TERM.until + 1))
    assert change_auditors((), [panel], ()) == (panel,)
    assert change_auditors((panel,), [again], ()) == (again,)
    assert change_auditors((panel,), (), [panel.address]) == ()
    with pytest.raises(NotFoundError, match="not appointed"):
        change_auditors((), (), [panel.address])
    with pytest.raises(MalformedError, match="role 'auditor'"):
        make_oversight("ke.police.nairobi", TERM)
