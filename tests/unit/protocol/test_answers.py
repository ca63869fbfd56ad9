"""What the broker answers: shapes that read back, and nothing else is read."""

from dataclasses import replace

import pytest

from countermark_protocol.answers import (
    MAX_PAGE,
    Accepted,
    BoxEntry,
    BoxPage,
    DirectoryPage,
    LoggedStatement,
    OwnRecipient,
    Problem,
    Release,
    parse_accepted,
    parse_box_page,
    parse_directory_page,
    parse_problem,
)
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import MalformedError
from countermark_protocol.recipients import MAX_STANZA_BYTES, recipient_path
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI

WORLD = make_world()
MESSAGE = WORLD.send(NAIROBI, [KAMPALA, LYON])
ENTRY = WORLD.entries[-1]
CHECKPOINT = WORLD.checkpoint_bytes()
INCLUSION = WORLD.inclusion(ENTRY.index)
RELEASE = Release(MESSAGE.payload_hash, MESSAGE.stanzas[0])
ENTRY_SHOWN = BoxEntry(
    INCLUSION,
    WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE),
    MESSAGE.document,
    OwnRecipient(
        next(r for r in MESSAGE.rows if r.endpoint == KAMPALA), recipient_path(MESSAGE.rows, KAMPALA)
    ),
    MESSAGE.rows,
)
LOGGED = [LoggedStatement(e.index, e.leaf.encode(), e.document.data) for e in WORLD.entries[:3]]

SHAPES = [
    (Accepted(CHECKPOINT, INCLUSION), parse_accepted),
    (
        Accepted(CHECKPOINT, INCLUSION, WORLD.all_deliveries(ENTRY, NAIROBI), b"document", (RELEASE,)),
        parse_accepted,
    ),
    (BoxPage(CHECKPOINT, (), b"account"), parse_box_page),
    (
        BoxPage(CHECKPOINT, (ENTRY_SHOWN, replace(ENTRY_SHOWN, recipient=None, recipients=None))),
        parse_box_page,
    ),
    (DirectoryPage(CHECKPOINT, tuple(LOGGED), complete=False, last=INCLUSION), parse_directory_page),
    (DirectoryPage(CHECKPOINT, (), complete=True, last=INCLUSION), parse_directory_page),
    (Problem(409, "id_reused", "detail", "hint", b"account", {"recipient": "x"}), parse_problem),
    (Problem(400, "not_json", "detail", "hint", facts={}), parse_problem),
]


def refused(code, parse, value):
    data = value if isinstance(value, bytes) else encode_json(value)
    with pytest.raises(MalformedError) as caught:
        parse(data)
    assert caught.value.code == code, caught.value


@pytest.mark.parametrize(("value", "parse"), SHAPES)
def test_reads_back(value, parse):
    assert parse(encode_json(value.to_json())) == value


@pytest.mark.parametrize(("value", "parse"), SHAPES)
def test_no_member_may_be_of_another_form(value, parse):
    form = value.to_json()
    refused("not_an_object", parse, [form])
    refused("not_json", parse, b"")
    lenient = parse is parse_problem
    if not lenient:
        refused("unknown_member", parse, form | {"extra": 1})
    for name in form:
        if lenient and name in {"type", "title", "facts"}:
            continue
        # A checkpoint is a text of its own language, parsed by checkpoint.py.
        for bad in (None, -1, [[]], {"x": 1}, *([] if name == "checkpoint" else ["\x01"])):
            with pytest.raises(MalformedError):
                parse(encode_json(form | {name: bad}))


def test_a_page_has_entries_or_an_account():
    page = BoxPage(CHECKPOINT, (ENTRY_SHOWN,)).to_json()
    refused("bad_member", parse_box_page, page | {"account": encode_base64url(b"account")})
    refused("bad_member", parse_box_page, page | {"entries": []})
    refused("bad_member", parse_box_page, page | {"entries": page["entries"] * (MAX_PAGE + 1)})


def test_inner_shapes_are_strict():
    page = BoxPage(CHECKPOINT, (ENTRY_SHOWN,)).to_json()
    entry = page["entries"][0]
    refused("unknown_member", parse_box_page, page | {"entries": [entry | {"x": 1}]})
    refused(
        "unknown_member",
        parse_box_page,
        page | {"entries": [entry | {"recipient": entry["recipient"] | {"x": 1}}]},
    )
    accepted = SHAPES[1][0].to_json()
    release = accepted["releases"][0]
    refused("unknown_member", parse_accepted, accepted | {"releases": [release | {"x": 1}]})
    long = encode_base64url(bytes(MAX_STANZA_BYTES + 1))
    refused("bad_member", parse_accepted, accepted | {"releases": [release | {"stanza": long}]})
    directory = SHAPES[4][0].to_json()
    refused(
        "unknown_member",
        parse_directory_page,
        directory | {"statements": [directory["statements"][0] | {"x": 1}]},
    )
    refused("bad_member", parse_directory_page, directory | {"complete": 1})
    refused("bad_member", parse_accepted, accepted | {"checkpoint": "x" * (1024 * 1024 + 1)})


def test_problems_of_others_are_read_leniently():
    foreign = {"status": 503, "code": "overloaded", "detail": "later", "instance": "/x", "facts": "none"}
    problem = parse_problem(encode_json(foreign))
    assert (problem.status, problem.code, problem.hint, problem.facts) == (503, "overloaded", "", {})
    assert problem.account is None
    form = Problem(404, "not_held", "d", "h").to_json()
    assert form["type"] == "urn:countermark:error:not_held"
    assert form["title"] == "not held"
    assert "facts" not in form
