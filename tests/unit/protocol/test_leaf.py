"""The 115-byte leaf, and which leaf may follow which."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import DIRECTORY_KINDS, MAX_TIME, Kind
from countermark_protocol.errors import (
    CountermarkError,
    InconsistentLogError,
    MalformedError,
    UncheckableError,
)
from countermark_protocol.leaf import LEAF_BYTES, NO_DELIVERY, Leaf, parse_leaf, verify_succession
from support.world import seed

LEAF = Leaf(int(Kind.MESSAGE), 1000, 5, seed("head"), seed("statement"), seed("delivery"))


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value
    return caught.value


def test_layout():
    data = LEAF.encode()
    assert len(data) == LEAF_BYTES == 115
    assert data == (
        b"\x01" + b"\x00\x09" + (1000).to_bytes(8, "big") + (5).to_bytes(8, "big")
        + seed("head") + seed("statement") + seed("delivery")
    )  # fmt: skip
    assert parse_leaf(data) == LEAF


@pytest.mark.parametrize("kind", [*Kind, 0x8000, 0x8001, 0xFFFF])
def test_known_and_ignorable_kinds(kind):
    one = replace(LEAF, kind=int(kind))
    assert parse_leaf(one.encode()) == one


@pytest.mark.parametrize("kind", [0, 15, 0x7FFF])
def test_any_other_kind_stops_the_reader(kind):
    refused(UncheckableError, "unknown_kind", parse_leaf, replace(LEAF, kind=kind).encode())


def test_form():
    data = LEAF.encode()
    for cut in range(115):
        refused(MalformedError, "truncated", parse_leaf, data[:cut])
    refused(MalformedError, "trailing_bytes", parse_leaf, data + b"\x00")
    refused(UncheckableError, "unknown_version", parse_leaf, b"\x02" + data[1:])
    assert parse_leaf(replace(LEAF, time=MAX_TIME).encode()).time == MAX_TIME
    refused(MalformedError, "time_out_of_range", parse_leaf, replace(LEAF, time=MAX_TIME + 1).encode())
    refused(MalformedError, "time_out_of_range", parse_leaf, replace(LEAF, time=2**64 - 1).encode())
    with pytest.raises(ValueError, match="expected 32 bytes"):
        replace(LEAF, statement=b"").encode()


FOUNDING = Leaf(int(Kind.FOUNDING), 1000, 1, seed("first head"), seed("founding"), NO_DELIVERY)


def test_what_may_follow():
    verify_succession(None, FOUNDING)
    message = replace(FOUNDING, kind=int(Kind.MESSAGE), statement=seed("m"))
    verify_succession(FOUNDING, message)
    verify_succession(message, replace(message, time=2000))
    verify_succession(message, replace(message, kind=0x8001))
    for kind in DIRECTORY_KINDS:
        verify_succession(
            message, replace(message, kind=int(kind), dir_count=2, dir_head=seed("second head"))
        )


def test_the_first_leaf_is_a_founding():
    error = refused(
        InconsistentLogError, "no_founding", verify_succession, None, replace(FOUNDING, kind=int(Kind.POLICY))
    )
    assert error.evidence == (replace(FOUNDING, kind=int(Kind.POLICY)).encode(),)


def test_time_never_goes_back():
    after = replace(FOUNDING, kind=int(Kind.MESSAGE), time=999)
    error = refused(InconsistentLogError, "time_went_back", verify_succession, FOUNDING, after)
    assert error.evidence == (FOUNDING.encode(), after.encode())


@pytest.mark.parametrize("changes", [{"dir_count": 2}, {"dir_head": seed("x")}, {"dir_count": 0}])
@pytest.mark.parametrize("kind", [Kind.MESSAGE, Kind.RECEIPT, Kind.UNDELIVERED, Kind.PURGE, 0x8001])
def test_the_head_moves_on_nothing_else(kind, changes):
    after = replace(FOUNDING, kind=int(kind), **changes)
    refused(InconsistentLogError, "directory_head_moved", verify_succession, FOUNDING, after)


@pytest.mark.parametrize(
    "changes",
    [{}, {"dir_count": 2}, {"dir_head": seed("x")}, {"dir_count": 3, "dir_head": seed("x")}],
)
@pytest.mark.parametrize("kind", sorted(DIRECTORY_KINDS))
def test_the_head_stands_still_on_none_of_its_own(kind, changes):
    after = replace(FOUNDING, kind=int(kind), **changes)
    refused(InconsistentLogError, "directory_head_stood_still", verify_succession, FOUNDING, after)
    first = replace(FOUNDING, dir_head=bytes(32))
    refused(InconsistentLogError, "directory_head_stood_still", verify_succession, None, first)
