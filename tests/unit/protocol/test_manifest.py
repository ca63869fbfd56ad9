"""The manifest: strict members, and members that contradict each other."""

import pytest

from countermark_protocol.attachments import MAX_ATTACHMENTS, MAX_SEALED_BYTES, MIN_SEALED_BYTES
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.manifest import (
    MAX_CONTENT_BYTES,
    MAX_VALIDITY_MS,
    Manifest,
    Outcome,
    ResolvedGroup,
    SealedContent,
    Stage,
    Urgency,
    parse_manifest,
)
from countermark_protocol.merkle import EMPTY_ROOT
from support.protocol_world import NOW, message_id
from support.world import DAY, NAIROBI, ORIGIN, handling

HASH = bytes(range(32))


def manifest(**changes):
    values = {
        "header": Header(Kind.MESSAGE, ORIGIN, Seen(0, EMPTY_ROOT)),
        "id": message_id(1),
        "type": "tracing-request",
        "version": 1,
        "sender": NAIROBI,
        "recipient_count": 1,
        "recipient_root": HASH,
        "recipients_visible": False,
        "sent_at": NOW,
        "expires_at": NOW + DAY,
        "urgency": Urgency.ROUTINE,
        "handling": handling(retention_until=NOW + DAY),
        "exercise": False,
        "content": SealedContent(HASH, 100, HASH),
    }
    return Manifest(**(values | changes))


FULL = manifest(
    group=ResolvedGroup("xo-eac/customs", HASH),
    reply_by=NOW,
    conversation=HASH,
    in_reply_to=HASH,
    supersedes=HASH,
    stage=Stage.FINAL,
    outcome=Outcome(1, 2, 3, 4),
)


def refused(error, code, value):
    with pytest.raises(CountermarkError) as caught:
        parse_manifest(value)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


def without(value, name):
    return {k: v for k, v in value.items() if k != name}


@pytest.mark.parametrize("one", [manifest(), FULL], ids=["least", "full"])
def test_reads_back(one):
    assert parse_manifest(parse_object(encode_json(one.to_json()))) == one


@pytest.mark.parametrize("urgency", Urgency)
@pytest.mark.parametrize("stage", Stage)
def test_every_urgency_and_stage(urgency, stage):
    one = manifest(urgency=urgency, stage=stage, outcome=Outcome(), conversation=HASH, in_reply_to=HASH)
    assert parse_manifest(one.to_json()) == one


OPTIONAL = {"group", "reply_by", "conversation", "in_reply_to", "supersedes", "stage", "outcome"}


@pytest.mark.parametrize("name", sorted(set(FULL.to_json()) - OPTIONAL))
def test_what_must_be_there(name):
    refused(MalformedError, "missing_member", without(manifest().to_json(), name))


@pytest.mark.parametrize("value", [None, -1, 10**17, [], {}, "\x00", True])
@pytest.mark.parametrize("name", sorted(FULL.to_json()))
def test_what_no_member_may_be(name, value):
    if (name == "exercise" and value is True) or (name == "attachments" and value == []):
        return
    with pytest.raises(MalformedError):
        parse_manifest(FULL.to_json() | {name: value})


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("unknown_member", {"subject": "stolen pistols"}),
        ("unknown_member", {"bcc": []}),
        ("bad_member", {"kind": "receipt"}),
        ("unknown_kind", {"kind": "email"}),
        ("bad_member", {"type": "Tracing-Request"}),
        ("bad_member", {"type": "x" * 64}),
        ("bad_member", {"version": 0}),
        ("bad_member", {"version": 65536}),
        ("bad_member", {"urgency": "immediate"}),
        ("bad_member", {"recipients": {"count": 0, "root": HASH.hex(), "visible": False}}),
        ("bad_member", {"recipients": {"count": 1001, "root": HASH.hex(), "visible": False}}),
        ("unknown_member", {"recipients": {"count": 1, "root": HASH.hex(), "visible": False, "to": []}}),
        ("bad_member", {"content": {"format": 2, "digest": HASH.hex(), "size": 1, "commitment": HASH.hex()}}),
        ("bad_member", {"content": {"format": 1, "digest": HASH.hex(), "size": 0, "commitment": HASH.hex()}}),
        (
            "bad_member",
            {
                "content": {
                    "format": 1,
                    "digest": HASH.hex(),
                    "size": MAX_CONTENT_BYTES + 1,
                    "commitment": HASH.hex(),
                }
            },
        ),
        (
            "not_hex",
            {"content": {"format": 1, "digest": HASH.hex().upper(), "size": 1, "commitment": HASH.hex()}},
        ),
        ("bad_member", {"attachments": {}}),
        ("bad_member", {"attachments": "none"}),
        ("bad_member", {"attachments": [1] * 257}),
        ("not_a_group", {"group": {"name": "customs", "statement": HASH.hex()}}),
        ("unknown_member", {"group": {"name": "ke/a", "statement": HASH.hex(), "members": []}}),
        ("bad_member", {"outcome": {"success": 1001, "partial": 0, "none": 0, "refused": 0}}),
        ("unknown_member", {"outcome": {"success": 1, "partial": 0, "none": 0, "refused": 0, "x": 0}}),
    ],
)
def test_outside_the_language(code, changes):
    refused(MalformedError, code, FULL.to_json() | changes)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("bad_validity", {"expires_at": NOW}),
        ("bad_validity", {"expires_at": NOW - 1}),
        ("bad_validity", {"expires_at": NOW + MAX_VALIDITY_MS + 1}),
        ("bad_validity", {"reply_by": NOW - 1}),
        ("bad_conversation", {"conversation": HASH}),
        ("bad_conversation", {"in_reply_to": HASH}),
        ("bad_stage", {"conversation": HASH, "in_reply_to": HASH, "stage": Stage.FINAL}),
        ("bad_stage", {"conversation": HASH, "in_reply_to": HASH, "outcome": Outcome()}),
        ("bad_stage", {"stage": Stage.FINAL, "outcome": Outcome()}),
    ],
)
def test_members_that_contradict_each_other(code, changes):
    refused(MalformedError, code, manifest(**changes).to_json())


def test_longest_validity():
    one = manifest(expires_at=NOW + MAX_VALIDITY_MS, reply_by=NOW)
    assert parse_manifest(one.to_json()) == one


def attached(*sizes):
    return [{"digest": bytes([n, *HASH[1:]]).hex(), "size": size} for n, size in enumerate(sizes)]


@pytest.mark.parametrize("sizes", [(), (MIN_SEALED_BYTES,) * MAX_ATTACHMENTS, (MAX_SEALED_BYTES,) * 3])
def test_attachments(sizes):
    json = manifest().to_json() | {"attachments": attached(*sizes)}
    read = parse_manifest(json)
    assert [one.size for one in read.attachments] == list(sizes)
    assert read.ciphertexts == (read.content.digest, *(one.digest for one in read.attachments))
    assert read.to_json() == json


@pytest.mark.parametrize(
    ("code", "attachments"),
    [
        ("bad_member", {}),
        ("bad_member", attached(MIN_SEALED_BYTES) * 2),
        (
            "bad_member",
            attached(*[MIN_SEALED_BYTES] * (MAX_ATTACHMENTS - 1)) + attached(MIN_SEALED_BYTES + 16) * 2,
        ),
        ("bad_member", attached(MIN_SEALED_BYTES - 1)),
        ("bad_member", attached(MAX_SEALED_BYTES + 1)),
        ("not_an_object", ["attachment"]),
        ("not_hex", [{"digest": HASH.hex().upper(), "size": 1000}]),
        ("unknown_member", [{"digest": HASH.hex(), "size": 1000, "name": "a.jpg"}]),
        ("too_many_pieces", attached(*[MAX_SEALED_BYTES] * 4)),
    ],
)
def test_attachments_that_none_can_be(code, attachments):
    refused(MalformedError, code, manifest().to_json() | {"attachments": attachments})


def test_nobody_sends_on_behalf_of_himself_and_the_member_reads_back():
    refused(MalformedError, "bad_member", manifest().to_json() | {"on_behalf_of": manifest().sender})
    refused(MalformedError, "not_an_address", manifest().to_json() | {"on_behalf_of": "nairobi"})
    sent = manifest(on_behalf_of="ke.contact.national")
    assert parse_manifest(sent.to_json()) == sent
