"""Every parser of bytes or JSON: anything at all goes in, only our own errors come out, and what is read is written back."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from countermark_protocol import identifiers
from countermark_protocol.accounts import Account, StatedBox, Verdict, parse_account
from countermark_protocol.answers import (
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
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import DIRECTORY_KINDS, parse_kind, parse_seen
from countermark_protocol.descriptors import Thumbnail, ThumbnailType, parse_descriptor
from countermark_protocol.documents import encode_document, parse_document, parse_gathering
from countermark_protocol.encoding import (
    Reader,
    encode_json,
    parse_base64url,
    parse_digest,
    parse_hex,
    parse_json,
    parse_object,
)
from countermark_protocol.errors import CountermarkError
from countermark_protocol.gathering import add_signature, merge_gatherings, start_gathering
from countermark_protocol.hand_back import (
    HeldStatement,
    KeptEntry,
    TailRecord,
    parse_held_statement,
    parse_kept_entry,
    parse_tail_record,
)
from countermark_protocol.handling import parse_handling
from countermark_protocol.invitations import (
    Asked,
    Invitation,
    Pending,
    Request,
    encode_pending,
    parse_asked,
    parse_code,
    parse_invitation,
    parse_pending,
    parse_request,
)
from countermark_protocol.key_proof import parse_key_proof, verify_key_proof
from countermark_protocol.key_proof_making import make_key_proof
from countermark_protocol.keyfile import parse_key_file
from countermark_protocol.keys import parse_key_json, parse_public_key
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.manifest import Outcome, Stage, parse_manifest
from countermark_protocol.message_draft import MessageDraft, parse_message_draft
from countermark_protocol.offices import parse_alternate, parse_office_hours
from countermark_protocol.parts import Part, encode_parts, join_parts, parse_parts, split_content
from countermark_protocol.proof import parse_inclusion, parse_own_delivery, parse_recipient
from countermark_protocol.receipts import ReceiptStage, parse_receipt, parse_undelivered
from countermark_protocol.recipients import recipient_path
from countermark_protocol.records import parse_directory_statement, parse_key_set
from countermark_protocol.statements import kind_of
from countermark_protocol.submission import parse_submission
from support.examples import tried
from support.protocol_world import NOW, make_world
from support.world import BROKER, KAMPALA, LYON, NAIROBI, ORIGIN, seed

WORLD = make_world()
REQUEST = WORLD.send(NAIROBI, [KAMPALA], type="tracing-request")
MESSAGE = WORLD.send(NAIROBI, [KAMPALA, LYON])
ENTRY = WORLD.entries[-1]
ANSWER = WORLD.compose_reply(KAMPALA, REQUEST, type="tracing-response", stage=Stage.FINAL, outcome=Outcome(1))
RECEIPT = WORLD.receipt(KAMPALA, [MESSAGE])
ACCEPTED_RECEIPT = WORLD.receipt(KAMPALA, [MESSAGE], ReceiptStage.ACCEPTED)
NOTICE = WORLD.undelivered(MESSAGE, KAMPALA)
ACCOUNT = Account(
    ORIGIN, WORLD.seen(), BROKER, KAMPALA, seed("request"), NOW, Verdict.END_OF_BOX,
    (StatedBox(KAMPALA, Box.ROUTINE, BoxState(2, seed("head"))),),
)  # fmt: skip
INCLUSION = WORLD.inclusion(ENTRY.index)
OWN = WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE)
CHECKPOINT = WORLD.checkpoint_bytes()
KEY_PROOF = make_key_proof(
    WORLD.state.directory,
    [(e.index, e.leaf.encode(), e.document.data) for e in WORLD.entries if e.leaf.kind in DIRECTORY_KINDS],
    NAIROBI,
    CHECKPOINT,
    WORLD.inclusion,
)
ROW = next(r for r in MESSAGE.rows if r.endpoint == KAMPALA)
ENTRY_SHOWN = BoxEntry(
    INCLUSION, OWN, MESSAGE.document, OwnRecipient(ROW, recipient_path(MESSAGE.rows, KAMPALA)), MESSAGE.rows
)

ATTACHED = WORLD.compose(NAIROBI, [KAMPALA], files={"a.jpg": b"photograph", "b.pdf": b"report"})
DESCRIPTOR = replace(
    ATTACHED.attached[0].descriptor,
    caption="left side",
    thumbnail=Thumbnail(ThumbnailType.PNG, 8, 8, b"picture"),
)


def claims_of(data):
    return parse_document(data).claims


def parse_parts_of(data):
    return parse_parts(Reader(data, "content"))


def parse_gathered(data):
    parse_gathering(data)
    return add_signature(data, WORLD.node_key)


#: name → (parser of bytes, a valid input)
OF_BYTES = {
    "json": (parse_json, encode_json(MESSAGE.manifest.to_json())),
    "document": (parse_document, MESSAGE.document),
    "gathering": (parse_gathered, start_gathering(b'{"a":1}')),
    "submission": (parse_submission, MESSAGE.data),
    "submission with attachments": (parse_submission, ATTACHED.data),
    "descriptor": (parse_descriptor, DESCRIPTOR.encode()),
    "leaf": (parse_leaf, ENTRY.leaf.encode()),
    "record handed back": (
        parse_tail_record,
        TailRecord(7, ENTRY.leaf.encode(), MESSAGE.document, bytes(32), MESSAGE.rows).encode(),
    ),
    "statement handed back": (
        parse_held_statement,
        HeldStatement(
            INCLUSION.index, MESSAGE.data, is_message=True, proof=Accepted(CHECKPOINT, INCLUSION)
        ).encode(),
    ),
    "entry handed back": (
        parse_kept_entry,
        KeptEntry(
            INCLUSION.index,
            INCLUSION.leaf,
            MESSAGE.document,
            Accepted(CHECKPOINT, INCLUSION),
            MESSAGE.rows,
            (b"stanza",) * len(MESSAGE.rows),
            b"content",
        ).encode(),
    ),
    "entry with attachments handed back": (
        parse_kept_entry,
        KeptEntry(
            7,
            INCLUSION.leaf,
            ATTACHED.document,
            pieces=tuple(one.file.pieces for one in ATTACHED.attached),
        ).encode(),
    ),
    "parts": (parse_parts_of, encode_parts(split_content({"a": [1, 2], "b": "c"}))),
    "accepted": (
        parse_accepted,
        encode_json(
            Accepted(
                CHECKPOINT,
                INCLUSION,
                WORLD.all_deliveries(ENTRY, NAIROBI),
                b"doc",
                (Release(seed("m"), b"s"),),
            ).to_json()
        ),
    ),
    "box page": (parse_box_page, encode_json(BoxPage(CHECKPOINT, (ENTRY_SHOWN,)).to_json())),
    "directory page": (
        parse_directory_page,
        encode_json(
            DirectoryPage(
                CHECKPOINT,
                tuple(LoggedStatement(e.index, e.leaf.encode(), e.document.data) for e in WORLD.entries[:2]),
                complete=False,
                last=INCLUSION,
            ).to_json()
        ),
    ),
    "problem": (parse_problem, encode_json(Problem(400, "not_json", "d", "h", b"a", {"x": 1}).to_json())),
    "invitation": (
        parse_invitation,
        encode_json(Invitation("K7QF2MXA9TBW", NAIROBI, "Kenya", 5, b"t").to_json()),
    ),
    "invitations": (
        parse_pending,
        encode_json(encode_pending([Pending("K7QF2MXA9TBW", NAIROBI, 1, 2, Request(b"endpoint", b"keys"))])),
    ),
    "invitation's code": (lambda data: parse_code(data.decode("latin-1")), b"K7QF-2MXA-9TBW"),
    "message draft": (
        parse_message_draft,
        MessageDraft(parse_submission(MESSAGE.data), {NAIROBI: b"stanza"}).encode(),
    ),
    "key proof": (parse_key_proof, KEY_PROOF),
    "verified key proof": (verify_key_proof, KEY_PROOF),
    "enrolment request": (parse_request, encode_json(Request(b"endpoint", b"keys").to_json())),
    "asked for": (parse_asked, encode_json(Asked(NAIROBI, 7).to_json())),
}

#: name → (parser of a JSON object, a valid value)
OF_CLAIMS = {
    "manifest": (parse_manifest, ANSWER.manifest.to_json()),
    "manifest with attachments": (parse_manifest, ATTACHED.manifest.to_json()),
    "receipt": (parse_receipt, claims_of(RECEIPT)),
    "accepted receipt": (parse_receipt, claims_of(ACCEPTED_RECEIPT)),
    "undelivered": (parse_undelivered, claims_of(NOTICE)),
    "account": (parse_account, ACCOUNT.to_json()),
    "kind": (kind_of, claims_of(RECEIPT)),
} | {
    f"directory {entry.document.claims['kind']} {entry.index}": (
        parse_directory_statement,
        entry.document.claims,
    )
    for entry in WORLD.entries[:6]
}

#: name → (parser of any JSON value and what it is called, a valid value)
OF_VALUES = {
    "handling": (parse_handling, MESSAGE.manifest.handling.to_json()),
    "key": (parse_key_json, WORLD.node_key.public_key.to_json()),
    "key set": (parse_key_set, WORLD.log_record().governors.to_json()),
    "alternate": (parse_alternate, {"address": NAIROBI, "since": 1, "until": 2}),
    "office hours": (
        parse_office_hours,
        {"zone": "Africa/Nairobi", "days": [1, 5], "opens": "08:00", "closes": "17:00"},
    ),
    "seen": (parse_seen, WORLD.seen().to_json()),
    "kind name": (parse_kind, "message"),
    "inclusion": (parse_inclusion, INCLUSION.to_json()),
    "own delivery": (parse_own_delivery, OWN.to_json()),
    "recipient": (parse_recipient, ENTRY_SHOWN.to_json()["recipients"][0]),
    "address": (identifiers.parse_address, NAIROBI),
    "authority": (identifiers.parse_authority_code, "ke"),
    "group": (identifiers.parse_group_name, "ke/all"),
    "message id": (identifiers.parse_message_id, MESSAGE.manifest.id),
    "origin": (identifiers.parse_origin, ORIGIN),
    "digest": (parse_digest, seed("x").hex()),
    "base64url": (parse_base64url, "AAAA"),
    "hex": (lambda value, what: parse_hex(value, 4, what), "00ff00ff"),
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x00", "\ud800", "a" * 300, "message", "00" * 32, "ke.police.a", "Ed25519", "ML-DSA-65"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def only_ours(parse, *args):
    """Run a parser; nothing but our own errors may come out, each with a code and a message that can be shown."""
    try:
        return parse(*args)
    except CountermarkError as caught:
        error = caught
    assert error.code
    assert str(error).encode("utf-8")
    return None


@st.composite
def mutated_bytes(draw, valid):
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        action = draw(st.sampled_from(["flip", "cut", "insert", "truncate", "repeat"]))
        if action == "flip" and data:
            data[at % len(data)] ^= draw(st.integers(1, 255))
        elif action == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif action == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif action == "truncate":
            del data[at:]
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from places(value[number], (*path, number))


@st.composite
def mutated_json(draw, valid):
    value = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        if not path:
            continue
        parent = value
        for step in path[:-1]:
            parent = parent[step]
        action = draw(st.sampled_from(["replace", "remove", "add", "double"]))
        if action == "replace":
            parent[path[-1]] = draw(values)
        elif action == "remove":
            del parent[path[-1]]
        elif action == "double" and isinstance(parent, list):
            parent.append(parent[path[-1]])
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=12))] = draw(values)
    return value


few = tried(60, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])


@pytest.mark.parametrize("name", OF_BYTES)
def test_valid_inputs_are_read(name):
    parse, valid = OF_BYTES[name]
    assert parse(valid) is not None


@pytest.mark.parametrize("name", OF_BYTES)
@given(data=st.binary(max_size=300))
@few
def test_any_bytes(name, data):
    only_ours(OF_BYTES[name][0], data)


@pytest.mark.parametrize("name", OF_BYTES)
@given(draw=st.data())
@few
def test_mutated_bytes(name, draw):
    parse, valid = OF_BYTES[name]
    only_ours(parse, draw.draw(mutated_bytes(valid)))


@pytest.mark.parametrize("name", OF_CLAIMS)
@given(value=st.dictionaries(st.sampled_from(["kind", "log", "seen", "x"]), values, max_size=4))
@few
def test_any_object(name, value):
    only_ours(OF_CLAIMS[name][0], value)


@pytest.mark.parametrize("name", OF_CLAIMS)
@given(draw=st.data())
@few
def test_mutated_objects(name, draw):
    parse, valid = OF_CLAIMS[name]
    parse(valid)
    value = draw.draw(mutated_json(valid))
    only_ours(parse, value)


@pytest.mark.parametrize("name", OF_VALUES)
@given(draw=st.data())
@few
def test_any_value(name, draw):
    parse, valid = OF_VALUES[name]
    parse(valid, "thing")
    only_ours(parse, draw.draw(values), "thing")
    if isinstance(valid, dict):
        only_ours(parse, draw.draw(mutated_json(valid)), "thing")


@given(st.integers(0, 65535), st.one_of(st.binary(max_size=70), st.binary(min_size=1216, max_size=1216)))
@few
def test_any_public_key(algorithm, raw):
    key = only_ours(parse_public_key, algorithm, raw)
    if key is not None:
        assert parse_public_key(key.algorithm, key.raw) == key
        assert parse_key_json(key.to_json()) == key


@given(
    st.sampled_from([1, 2]),
    st.binary(min_size=32, max_size=65),
    st.binary(max_size=70),
    st.binary(max_size=20),
)
@few
def test_any_signature_under_any_key(algorithm, raw, signature, message):
    key = only_ours(parse_public_key, algorithm, raw)
    if key is not None:
        only_ours(key.verify, message, signature)


KEY_FILE = {
    "format": "countermark-keys-1",
    "kdf": {"name": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 4},
    "salt": "A" * 22,
    "nonce": "A" * 16,
    "sealed": "AAAA",
}


@given(mutated_json(KEY_FILE))
@tried(40)
def test_any_key_file(value):
    only_ours(lambda: parse_key_file(encode_json_or_ascii(value), "passphrase"))


def encode_json_or_ascii(value):
    # Lone surrogates have no UTF-8; escaped they can still be sent.
    return json.dumps(value).encode("ascii")


# --- round trips ---

#: What is not written back from what was read of it.
_READ_ONLY = {"json", "gathering", "problem", "invitation's code", "key proof", "verified key proof"}


@given(values)
@few
def test_json_round_trip(value):
    data = encode_json_or_ascii(value)
    parsed = only_ours(parse_json, data)
    if parsed is not None:
        assert parsed == value
        assert parse_json(encode_json(parsed)) == parsed


@pytest.mark.parametrize("name", sorted(set(OF_BYTES) - _READ_ONLY))
@given(draw=st.data())
@few
def test_what_is_read_is_written_back(name, draw):
    parse, valid = OF_BYTES[name]
    data = valid if draw.draw(st.booleans()) else draw.draw(mutated_bytes(valid))
    parsed = only_ours(parse, data)
    if parsed is None:
        return
    if name == "document":
        assert encode_document(parsed.payload, parsed.signatures) == data
    elif name.startswith("submission"):
        assert parsed.signed_anew(parsed.document.data) == data
    elif name == "leaf":
        assert parsed.encode() == data
    elif name.endswith("handed back") or name == "message draft":
        # JSON within may have been spelt otherwise.
        assert parse(parsed.encode()) == parsed
    elif name == "parts":
        encoded = encode_parts(parsed)
        assert data.startswith(encoded)
    elif name == "invitations":
        assert parse(encode_json(encode_pending(parsed))) == parsed
    else:
        assert parse(encode_json(parsed.to_json())) == parsed


@pytest.mark.parametrize("name", sorted(set(OF_CLAIMS) - {"kind"}))
@given(draw=st.data())
@few
def test_what_is_read_of_claims_is_written_back(name, draw):
    parse, valid = OF_CLAIMS[name]
    value = valid if draw.draw(st.booleans()) else draw.draw(mutated_json(valid))
    parsed = only_ours(parse, value)
    if parsed is not None:
        assert parse(parse_object(encode_json(parsed.to_json()))) == parsed


members = st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,20}", fullmatch=True)
clean = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(
        st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(
        st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8), inner, max_size=4)),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(members, clean, min_size=1, max_size=6))
@few
def test_content_splits_and_joins(document):
    parts = split_content(document)
    assert join_parts(parts) == document
    assert split_content(join_parts(parts)) == parts
    assert parse_parts_of(encode_parts(parts)) == parts


@given(st.lists(st.builds(Part, st.sampled_from(["/a", "/a/0", "/a/1", "/b", "/b/0", "x", "/"]), st.sampled_from(
    [b"1", b"[]", b"[1]", b"{}", b"", b"1.0"])), max_size=5))  # fmt: skip
@few
def test_there_is_one_list_for_a_document(parts):
    document = only_ours(join_parts, parts)
    if document:
        assert [p.name for p in split_content(document)] == [p.name for p in parts]


@given(mutated_bytes(start_gathering(b'{"a":1}')), mutated_bytes(start_gathering(b'{"a":1}')))
@few
def test_any_two_gatherings(first, second):
    merged = only_ours(merge_gatherings, first, second)
    if merged is not None:
        parse_gathering(merged)
