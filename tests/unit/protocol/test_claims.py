"""Strict reading of JSON objects."""

from enum import StrEnum

import pytest

from countermark_protocol.claims import (
    DIRECTORY_KINDS,
    KIND_NAMES,
    MAX_TIME,
    Claims,
    Header,
    Kind,
    Seen,
    form_of,
    parse_kind,
    parse_seen,
    read_header,
)
from countermark_protocol.errors import MalformedError
from countermark_protocol.identifiers import parse_address
from countermark_protocol.merkle import EMPTY_ROOT


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


def refused(code, function, *args, **more):
    with pytest.raises(MalformedError) as caught:
        function(*args, **more)
    assert caught.value.code == code, caught.value
    return caught.value


def claims(**members):
    return Claims(members, "thing")


def test_kinds_have_names_and_fixed_numbers():
    assert {int(k): KIND_NAMES[k] for k in Kind} == {
        1: "founding", 2: "governance", 3: "authority", 4: "policy", 5: "endpoint", 6: "keys", 7: "group",
        8: "revocation", 9: "message", 10: "receipt", 11: "undelivered", 12: "purge", 13: "look-up", 14: "disclosure",
    }  # fmt: skip
    assert {int(k) for k in DIRECTORY_KINDS} == set(range(1, 9))
    assert all(parse_kind(name) is kind for kind, name in KIND_NAMES.items())
    for value in ("Message", "account", "", 9, None, ["message"], {}):
        refused("unknown_kind", parse_kind, value)


def test_each_member_is_read_and_none_left_over():
    c = claims(a=1, b=2)
    assert c.has("a")
    assert not c.has("c")
    assert c.raw("a") == 1
    error = refused("unknown_member", c.done)
    assert "'b'" in error.message
    c.raw("b")
    c.done()
    refused("missing_member", c.raw, "c")
    for value in ([], None, "x", 1, True):
        refused("not_an_object", Claims, value, "thing")


@pytest.mark.parametrize("value", ["", "x" * 201, "a\nb", "a\x00", "\x1f", None, 1, True, [], {}])
def test_text(value):
    assert claims(a="é" * 200).text("a") == "é" * 200
    assert refused("bad_member", claims(a=value).text, "a").facts == {"member": "a"}


@pytest.mark.parametrize("value", [-1, 11, True, False, "1", None, [], {}])
def test_integer(value):
    assert claims(a=0).integer("a", 0, 10) == 0
    assert claims(a=10).integer("a", 0, 10) == 10
    refused("bad_member", claims(a=value).integer, "a", 0, 10)


def test_time():
    assert claims(a=MAX_TIME).time("a") == MAX_TIME
    refused("bad_member", claims(a=MAX_TIME + 1).time, "a")
    refused("bad_member", claims(a=-1).time, "a")
    assert claims().optional_time("a") is None
    assert claims(a=5).optional_time("a") == 5


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_boolean(value):
    assert claims(a=True).boolean("a") is True
    refused("bad_member", claims(a=value).boolean, "a")


def test_digest():
    assert claims(a="00" * 32).digest("a") == bytes(32)
    assert claims().optional_digest("a") is None
    assert claims(a="ff" * 32).optional_digest("a") == b"\xff" * 32
    # Absence is stated by leaving out, never by null.
    refused("not_hex", claims(a=None).optional_digest, "a")


@pytest.mark.parametrize("value", ["blue", "RED", "", None, 1, ["red"], {}])
def test_choice(value):
    assert claims(a="red").choice("a", Colour) is Colour.RED
    assert "Colour" in refused("bad_member", claims(a=value).choice, "a", Colour).message


@pytest.mark.parametrize("value", [[], [1, 2, 3], {}, "ab", None, 1])
def test_items(value):
    assert claims(a=[1, 2]).items("a", 1, 2) == [1, 2]
    refused("bad_member", claims(a=value).items, "a", 1, 2)


def test_list_of_refuses_repetitions():
    a, b = "ke.police.a", "ke.police.b"
    assert claims(a=[a, b]).list_of("a", parse_address, 0, 2) == (a, b)
    refused("bad_member", claims(a=[a, a]).list_of, "a", parse_address, 0, 2)
    refused("not_an_address", claims(a=[a, 1]).list_of, "a", parse_address, 0, 2)


def test_optional_goes_through_the_parser():
    assert claims().optional("a", parse_address) is None
    refused("not_an_address", claims(a="x").optional, "a", parse_address)


def test_forms_never_show_values():
    secret = "serial number 12345"
    assert form_of(secret) == "text of 19 characters"
    assert [form_of(v) for v in (None, True, 5, [1, 2], {})] == [
        "nothing", "a boolean", "an integer", "an array of 2", "an object",
    ]  # fmt: skip
    assert "12345" not in str(refused("bad_member", claims(a=secret).integer, "a"))


def test_header():
    header = Header(Kind.MESSAGE, "log.example", Seen(0, EMPTY_ROOT))
    assert read_header(Claims(header.to_json(), "payload")) == header
    refused("not_an_origin", read_header, Claims(header.to_json() | {"log": "LOG"}, "payload"))
    refused("missing_member", read_header, Claims({"kind": "message", "log": "a"}, "payload"))
    for seen in (None, {}, {"size": 0}, {"size": -1, "root": "00" * 32}, {"size": 0, "root": "0"}):
        with pytest.raises(MalformedError):
            parse_seen(seen, "seen")
    refused("unknown_member", parse_seen, {"size": 0, "root": "00" * 32, "x": 1}, "seen")
