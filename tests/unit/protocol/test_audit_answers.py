"""What an oversight auditor is shown: a shape that reads back, and nothing else is read."""

from dataclasses import replace

import pytest

from countermark_protocol.answers import MAX_PAGE
from countermark_protocol.audit_answers import AuditedEntries, AuditedEntry, parse_audited_entries
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import MalformedError
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI

WORLD = make_world()
MESSAGE = WORLD.send(NAIROBI, [KAMPALA, LYON])
SHOWN = AuditedEntries(
    WORLD.checkpoint_bytes(),
    tuple(
        AuditedEntry(
            e.index,
            e.leaf.encode(),
            e.document.data,
            e.secret,
            MESSAGE.rows if e.document.data == MESSAGE.document else None,
        )
        for e in WORLD.entries[-3:]
    ),
)


def refused(code, value):
    with pytest.raises(MalformedError) as caught:
        parse_audited_entries(encode_json(value))
    assert caught.value.code == code, caught.value


def with_entry(**members):
    form = SHOWN.to_json()
    return form | {"entries": [form["entries"][-1] | members]}


def test_reads_back():
    assert SHOWN.entries[-1].recipients == MESSAGE.rows
    assert SHOWN.entries[0].recipients is None
    assert parse_audited_entries(encode_json(SHOWN.to_json())) == SHOWN
    empty = replace(SHOWN, entries=())
    assert parse_audited_entries(encode_json(empty.to_json())) == empty


def test_members_are_those_of_the_shape():
    form = SHOWN.to_json()
    refused("unknown_member", form | {"account": "x"})
    refused("unknown_member", with_entry(stanzas=[]))
    for name in ("checkpoint", "entries"):
        refused("missing_member", {k: v for k, v in form.items() if k != name})
    entry = form["entries"][-1]
    for name in ("index", "leaf", "document", "secret"):
        refused("missing_member", form | {"entries": [{k: v for k, v in entry.items() if k != name}]})
        for bad in (None, -1, [], {}, "\x01"):
            with pytest.raises(MalformedError):
                parse_audited_entries(encode_json(with_entry(**{name: bad})))


def test_leaf_and_secret_have_their_length():
    refused("bad_member", with_entry(leaf=encode_base64url(bytes(114))))
    refused("bad_member", with_entry(secret=encode_base64url(bytes(31))))


def test_entries_follow_each_other_and_are_bounded():
    form = SHOWN.to_json()
    first, second, third = form["entries"]
    for wrong in ([first, third], [second, first], [first, first]):
        refused("bad_member", form | {"entries": wrong})
    refused("bad_member", form | {"entries": [first] * (MAX_PAGE + 1)})
