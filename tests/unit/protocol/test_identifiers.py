"""Names: one spelling each."""

import uuid

import pytest

from countermark_protocol.errors import MalformedError
from countermark_protocol.identifiers import (
    Role,
    authority_of,
    make_message_id,
    owner_of_group,
    parse_address,
    parse_authority_code,
    parse_group_name,
    parse_message_id,
    parse_origin,
    role_of,
)

NEVER = [None, 1, True, [], {}, b"ke", ""]

CASES = [
    (
        parse_authority_code,
        "not_an_authority",
        ["ke", "xo-interpol", "xo-a", "xo-a-1", "xo-" + "a" * 40],
        ["KE", "k", "ken", "xo-", "xo--a", "xo-a-", "ke ", "ke\n", "k\u0435", "xo-A", "xo-" + "a" * 41],
    ),
    (
        parse_address,
        "not_an_address",
        ["ke.police.nairobi", "xo-interpol.organisation.iarms", "be.licensing.a-1", "xo-x.broker.main"],
        [
            "ke.police",
            "ke.police.nairobi.x",
            "ke.wizard.x",
            "ke.Police.x",
            "ke.police.",
            ".police.x",
            "ke..x",
            "ke.police.-x",
            "ke.police.x-",
            "ke.police.x\n",
            " ke.police.x",
            "ke.police.x_y",
            "ke.police." + "x" * 41,
        ],
    ),
    (
        parse_group_name,
        "not_a_group",
        ["xo-eac/customs", "ke/all"],
        ["ke", "ke/", "/all", "ke/all/x", "ke/All", "group:ke/all", "ke/all\n"],
    ),
    (
        parse_message_id,
        "not_a_message_id",
        ["018f3c1a-7d2e-7c55-9b1f-3a1f0a1b2c3d"],
        [
            "018f3c1a-7d2e-4c55-9b1f-3a1f0a1b2c3d",  # version 4
            "018f3c1a-7d2e-7c55-cb1f-3a1f0a1b2c3d",  # another variant
            "018F3C1A-7d2e-7c55-9b1f-3a1f0a1b2c3d",
            "018f3c1a7d2e7c559b1f3a1f0a1b2c3d",
            "{018f3c1a-7d2e-7c55-9b1f-3a1f0a1b2c3d}",
            "018f3c1a-7d2e-7c55-9b1f-3a1f0a1b2c3d\n",
        ],
    ),
    (
        parse_origin,
        "not_an_origin",
        ["log.example", "log.example/countermark/1", "a", "a/b/c/d"],
        ["Log.example", "https://log.example", "log.example/", "/a", "a//b", "a/b/c/d/e", "a b", "a\n", "-a"],
    ),
]


@pytest.mark.parametrize(("parse", "text"), [(p, t) for p, _, good, _ in CASES for t in good])
def test_names_inside_the_language(parse, text):
    assert parse(text) == text


@pytest.mark.parametrize(
    ("parse", "code", "text"), [(p, c, t) for p, c, _, bad in CASES for t in bad + NEVER]
)
def test_names_outside_the_language(parse, code, text):
    with pytest.raises(MalformedError) as caught:
        parse(text)
    assert caught.value.code == code


def test_every_role_makes_an_address():
    for role in Role:
        address = parse_address(f"xo-un.{role}.desk")
        assert role_of(address) is role
        assert authority_of(address) == "xo-un"


def test_owner_of_a_group():
    assert owner_of_group("xo-eac/customs") == "xo-eac"


def test_message_ids_are_uuids_of_version_7_in_order_of_time():
    early, late = make_message_id(1000, b"\xff" * 10), make_message_id(1001, bytes(10))
    assert early < late
    for text in (early, late):
        parsed = uuid.UUID(parse_message_id(text))
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert uuid.UUID(late).int >> 80 == 1001
    with pytest.raises(ValueError, match="10 random bytes"):
        make_message_id(1000, bytes(9))
