"""Content as parts: one list for each document, and disclosures that cannot lie."""

from dataclasses import replace

import pytest

from countermark_protocol.attachments import SealedAttachment
from countermark_protocol.descriptors import AttachmentDescriptor, attachment_size, descriptor_of
from countermark_protocol.encoding import Reader, labelled_hash, labelled_hmac
from countermark_protocol.errors import CountermarkError, MalformedError, SealError
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.parts import (
    MAX_PARTS,
    DisclosedPart,
    JoinedParts,
    Part,
    commitment_of,
    disclose_parts,
    encode_parts,
    join_all_parts,
    join_parts,
    parse_parts,
    part_leaf,
    part_salt,
    part_value_hash,
    split_content,
    verify_disclosure,
)
from support.world import seed

CONTENT = {
    "caseRef": "X-1",
    "items": [{"serial": "A1"}, {"serial": "B2"}, {"serial": "C3"}],
    "possessors": [],
    "contact": {"name": "N.N."},
    "note": None,
}
PARTS = split_content(CONTENT)
OPENER = seed("opener")
COMMITMENT = commitment_of(PARTS, OPENER)


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


def test_split_names_and_join_back():
    names = ["/caseRef", "/items/0", "/items/1", "/items/2", "/possessors", "/contact", "/note"]
    assert [p.name for p in PARTS] == names
    assert PARTS[4].data == b"[]"
    assert join_parts(PARTS) == CONTENT
    assert split_content(join_parts(PARTS)) == PARTS


@pytest.mark.parametrize("member", ["", "a/b", "a.b", "1a", "_a", "é", "a" * 61, "a\n", "attachment:1"])
def test_member_names(member):
    refused(MalformedError, "bad_part_name", split_content, {member: 1})


def test_number_of_parts():
    refused(MalformedError, "part_count", split_content, {})
    refused(MalformedError, "part_count", split_content, {"a": [1] * (MAX_PARTS + 1)})
    assert len(split_content({"a": [1] * MAX_PARTS})) == MAX_PARTS


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("bad_part_name", [Part("a", b"1")]),
        ("bad_part_name", [Part("/", b"1")]),
        ("bad_part_name", [Part("/a/", b"1")]),
        ("bad_part_name", [Part("/a/00", b"1")]),
        ("bad_part_name", [Part("/a/-1", b"1")]),
        ("bad_part_name", [Part("/a/100000", b"1")]),
        ("bad_part_name", [Part("/a/0/b", b"1")]),
        ("bad_part_name", [Part("attachment:0", b"1")]),
        ("part_twice", [Part("/a", b"1"), Part("/a", b"2")]),
        ("part_twice", [Part("/a/0", b"1"), Part("/a", b"2")]),
        ("part_twice", [Part("/a", b"1"), Part("/a/0", b"2")]),
        ("part_twice", [Part("/a/0", b"1"), Part("/a/0", b"2")]),
        ("part_order", [Part("/a/1", b"1")]),
        ("part_order", [Part("/a/0", b"1"), Part("/a/2", b"2")]),
        ("part_order", [Part("/a", b"1"), Part("/a/1", b"2")]),
        ("part_order", [Part("/a", b"[]"), Part("/a/1", b"2")]),
        ("part_order", [Part("/a/0", b"1"), Part("/b", b"1"), Part("/a/1", b"2")]),
        ("part_order", [Part("/a/0", b"1"), Part("/b/0", b"1"), Part("/a/1", b"2")]),
        ("part_not_split", [Part("/a", b"[1]")]),
        ("not_json", [Part("/a", b"")]),
        ("duplicate_member", [Part("/a", b'{"b":1,"b":2}')]),
        ("number_not_integer", [Part("/a", b"1.5")]),
    ],
)
def test_lists_that_are_no_document(code, parts):
    refused(MalformedError, code, join_parts, parts)


# --- encoding ---


def test_layout_and_round_trip():
    data = encode_parts([Part("/a", b"1"), Part("/b", b"")])
    assert data == b"\x01" + b"\0\0\0\x02" + b"\0\x02/a" + b"\0\0\0\x011" + b"\0\x02/b" + b"\0\0\0\0"
    assert parse_parts(Reader(encode_parts(PARTS), "content")) == PARTS


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("truncated", b""),
        ("unknown_version", b"\x02"),
        ("part_count", b"\x01\0\0\0\0"),
        ("part_count", b"\x01" + (MAX_PARTS + 1).to_bytes(4, "big")),
        ("oversized_field", b"\x01\0\0\0\x01\0\x51" + b"a" * 81),
        ("bad_part_name", b"\x01\0\0\0\x01\0\x02\xc3\xa9\0\0\0\0"),
        ("oversized_field", b"\x01\0\0\0\x01\0\x01a\0\x10\0\x01"),
        ("truncated", b"\x01\0\0\0\x02\0\x02/a\0\0\0\x011"),
    ],
)
def test_bytes_that_are_no_list(code, data):
    refused(MalformedError, code, parse_parts, Reader(data, "content"))


# --- commitment ---


def test_commitment_is_that_of_the_spec():
    leaves = []
    for i, part in enumerate(PARTS):
        salt = labelled_hmac("part-salt", OPENER, i.to_bytes(4, "big"))
        assert part_salt(OPENER, i) == salt
        value = labelled_hash("part-value", salt, part.data)
        assert part_value_hash(salt, part.data) == value
        count = len(PARTS).to_bytes(4, "big")
        leaf = labelled_hash("part", i.to_bytes(4, "big"), count, part.name.encode(), value)
        assert part_leaf(i, len(PARTS), part.name, value) == leaf
        leaves.append(leaf_hash(leaf))
    assert root_of(leaves) == COMMITMENT


def test_commitment_binds_bytes_names_order_and_opener():
    others = [
        commitment_of(PARTS, bytes(32)),
        commitment_of(PARTS[:-1], OPENER),
        commitment_of(PARTS[::-1], OPENER),
        commitment_of((replace(PARTS[0], name="/caseRez"), *PARTS[1:]), OPENER),
        commitment_of((replace(PARTS[0], data=b'"X-2"'), *PARTS[1:]), OPENER),
        commitment_of((replace(PARTS[0], data=b' "X-1"'), *PARTS[1:]), OPENER),
    ]
    assert COMMITMENT not in others
    assert len(set(others)) == len(others)


# --- disclosure ---

SHOWN = disclose_parts(PARTS, OPENER, frozenset({"/items/1", "/note"}))


def test_one_part_of_many():
    assert verify_disclosure(SHOWN, COMMITMENT) == {"/items/1": {"serial": "B2"}, "/note": None}
    closed = [p for p in SHOWN if p.data is None]
    assert len(closed) == 5
    assert all(p.salt is None for p in closed)
    assert verify_disclosure(disclose_parts(PARTS, OPENER, frozenset()), COMMITMENT) == {}
    everything = disclose_parts(PARTS, OPENER, frozenset(p.name for p in PARTS))
    assert len(verify_disclosure(everything, COMMITMENT)) == len(PARTS)


def test_a_disclosure_names_only_what_is_there():
    with pytest.raises(ValueError, match="no such part: /items/9"):
        disclose_parts(PARTS, OPENER, frozenset({"/items/9", "/note"}))


def with_part(number, **changes):
    return (*SHOWN[:number], replace(SHOWN[number], **changes), *SHOWN[number + 1 :])


@pytest.mark.parametrize(
    "shown",
    [
        with_part(2, data=b'{"serial":"B3"}'),
        with_part(2, data=b'{"serial": "B2"}'),
        with_part(2, salt=bytes(32)),
        with_part(2, salt=b""),
        with_part(2, name="/items/0"),
        with_part(1, name="/items/1"),
        with_part(1, value_hash=bytes(32)),
        with_part(1, value_hash=b""),
        SHOWN[:-1],
        SHOWN[1:],
        (*SHOWN, SHOWN[0]),
        (SHOWN[1], SHOWN[0], *SHOWN[2:]),
        (),
    ],
)
def test_a_disclosure_that_is_not_what_was_committed_to(shown):
    refused(SealError, "disclosure_mismatch", verify_disclosure, shown, COMMITMENT)


def test_another_commitment():
    refused(SealError, "disclosure_mismatch", verify_disclosure, SHOWN, bytes(32))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": None},
        {"salt": None},
        {"value_hash": bytes(32)},
        {"data": None, "salt": None},
        {"data": None, "value_hash": bytes(32)},
        {"salt": None, "value_hash": bytes(32)},
    ],
)
def test_a_part_is_either_open_or_closed(changes):
    refused(MalformedError, "bad_disclosure", verify_disclosure, with_part(2, **changes), COMMITMENT)


@pytest.mark.parametrize("name", ["é", "\ud800", "a" * 81])
def test_names_that_no_content_can_have(name):
    refused(MalformedError, "bad_part_name", verify_disclosure, with_part(1, name=name), COMMITMENT)


def test_what_is_shown_must_be_strict_json():
    parts = (Part("/a", b'{"b":1,"b":2}'),)
    shown = (DisclosedPart("/a", parts[0].data, part_salt(OPENER, 0), None),)
    refused(MalformedError, "duplicate_member", verify_disclosure, shown, commitment_of(parts, OPENER))


# --- attachments -----------------------------------------------------------------------------------------


def described(number, size=300):
    return AttachmentDescriptor(bytes([number]) * 32, size, f"{number}.jpg", "image/jpeg")


DESCRIBED = (described(0), described(1, 70_000))
NAMED = tuple(SealedAttachment(one.sha256, attachment_size(one.size)) for one in DESCRIBED)
ATTACHED = split_content(CONTENT, DESCRIBED)


def test_descriptors_follow_the_content():
    assert ATTACHED[: len(PARTS)] == PARTS
    assert [p.name for p in ATTACHED[len(PARTS) :]] == ["attachment:0", "attachment:1"]
    assert join_all_parts(ATTACHED, NAMED) == JoinedParts(CONTENT, DESCRIBED)
    assert join_all_parts(PARTS, ()) == JoinedParts(CONTENT, ())
    refused(MalformedError, "bad_part_name", join_parts, ATTACHED)


def test_an_attachment_is_disclosed_alone():
    commitment = commitment_of(ATTACHED, OPENER)
    shown = verify_disclosure(disclose_parts(ATTACHED, OPENER, frozenset({"attachment:1"})), commitment)
    assert {name: descriptor_of(value) for name, value in shown.items()} == {"attachment:1": DESCRIBED[1]}


def moved(*order):
    return [*PARTS, *(ATTACHED[len(PARTS) + k] for k in order)]


@pytest.mark.parametrize(
    ("error", "code", "parts", "named"),
    [
        (SealError, "attachment_count", PARTS, NAMED),
        (SealError, "attachment_count", ATTACHED, NAMED[:1]),
        (SealError, "attachment_count", ATTACHED, ()),
        (SealError, "attachment_size", ATTACHED, NAMED[::-1]),
        (MalformedError, "part_order", moved(1, 0), NAMED),
        (MalformedError, "part_order", moved(0, 0), NAMED),
        (MalformedError, "part_order", moved(1), NAMED[:1]),
        (MalformedError, "part_order", [*ATTACHED, PARTS[0]], NAMED),
        (MalformedError, "part_order", [ATTACHED[-1], *PARTS], NAMED),
        (MalformedError, "bad_part_name", [*PARTS, Part("attachment:00", b"{}")], NAMED),
        (MalformedError, "bad_part_name", [*PARTS, Part("attachment:256", b"{}")], NAMED),
        (MalformedError, "not_json", [*PARTS, Part("attachment:0", b"")], NAMED),
        (MalformedError, "missing_member", [*PARTS, Part("attachment:0", b"{}")], NAMED),
    ],
)
def test_descriptors_that_do_not_fit(error, code, parts, named):
    refused(error, code, join_all_parts, parts, named)


def test_descriptors_that_are_none_are_not_written():
    refused(MalformedError, "bad_file_name", split_content, CONTENT, [replace(DESCRIBED[0], name="a/b")])
