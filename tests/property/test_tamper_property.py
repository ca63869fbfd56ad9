"""Flip any byte of what is signed, sealed or logged: something fails, and only with an error of ours."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.boxes import Box, BoxState, box_head
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.errors import CountermarkError, SealError
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.parts import disclose_parts, verify_disclosure
from countermark_protocol.proof import verify_all_deliveries, verify_leaf, verify_own_delivery
from countermark_protocol.recipients import recipient_path, verify_recipient
from countermark_protocol.sealing import MessageBinding, ciphertext_digest, open_content, unwrap_secrets
from countermark_protocol.signers import Es256Signer
from countermark_protocol.statements import read_statement
from countermark_protocol.submission import parse_submission
from support.examples import tried
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI, ORIGIN, seed

WORLD = make_world()
MESSAGE = WORLD.send(NAIROBI, [KAMPALA, LYON])
ENTRY = WORLD.entries[-1]
WORLD.send(NAIROBI, [LYON])
CHECKPOINT = WORLD.checkpoint()
M = MESSAGE.manifest
AGENCY = WORLD.agencies[KAMPALA]
BINDING = MessageBinding(ORIGIN, M.id, M.type, M.sender, (M.content.digest,))
INFO = BINDING.info(KAMPALA, AGENCY.sealing.public_key.key_id)
ROW = next(r for r in MESSAGE.rows if r.endpoint == KAMPALA)
STANZA = MESSAGE.stanzas[MESSAGE.rows.index(ROW)]
OTHER_WORLD_KEYS = {k.key_id: k for k in [Es256Signer(seed("es")).public_key]}

flips = st.tuples(st.integers(0, 2**20), st.integers(1, 255))
some = tried(150)


def flipped(data, flip):
    at, mask = flip
    out = bytearray(data)
    out[at % len(out)] ^= mask
    return bytes(out)


@pytest.mark.parametrize(
    "data",
    [
        MESSAGE.document,
        WORLD.receipt(KAMPALA, [MESSAGE]),
        WORLD.entries[0].document.data,
        WORLD.entries[3].document.data,
        WORLD.undelivered(MESSAGE, KAMPALA),
    ],
    ids=["message", "receipt", "founding", "authority", "notice"],
)
@given(flip=flips)
@some
def test_signed_documents(data, flip):
    with pytest.raises(CountermarkError):
        WORLD.verify(flipped(data, flip))


@given(flips)
@some
def test_ecdsa_documents(flip):
    signer = Es256Signer(seed("es"))
    data = WORLD.resigned(MESSAGE, signer).document
    verify_document(parse_document(data), {signer.public_key.key_id: signer.public_key}.get)
    with pytest.raises(CountermarkError):
        verify_document(
            parse_document(flipped(data, flip)), {signer.public_key.key_id: signer.public_key}.get
        )


def accept_submission(data):
    """What a broker does with a submission before it decides."""
    submission = parse_submission(data)
    read_statement(WORLD.verify(submission.document.data), submission.rows)


@given(flips)
@some
def test_submissions(flip):
    accept_submission(MESSAGE.data)
    with pytest.raises(CountermarkError):
        accept_submission(flipped(MESSAGE.data, flip))


@given(flips)
@some
def test_leaves(flip):
    inclusion = WORLD.inclusion(ENTRY.index)
    verify_leaf(inclusion, CHECKPOINT, ENTRY.leaf.kind, ENTRY.leaf.statement)
    bad = replace(inclusion, leaf=flipped(inclusion.leaf, flip))
    with pytest.raises(CountermarkError):
        verify_leaf(bad, CHECKPOINT, ENTRY.leaf.kind, ENTRY.leaf.statement)


@given(flips)
@some
def test_a_flipped_leaf_reads_as_another_or_not_at_all(flip):
    with contextlib.suppress(CountermarkError):
        assert parse_leaf(flipped(ENTRY.leaf.encode(), flip)) != ENTRY.leaf


@given(flips)
@some
def test_stanzas(flip):
    assert unwrap_secrets(AGENCY.sealing, INFO, STANZA) == MESSAGE.secrets
    with pytest.raises(SealError) as caught:
        unwrap_secrets(AGENCY.sealing, INFO, flipped(STANZA, flip))
    assert caught.value.code == "stanza_does_not_open"


@given(flips)
@some
def test_the_info_of_stanzas(flip):
    with pytest.raises(SealError):
        unwrap_secrets(AGENCY.sealing, flipped(INFO, flip), STANZA)


@given(flips)
@some
def test_ciphertexts(flip):
    open_content(MESSAGE.content, MESSAGE.secrets, M.content)
    bad = flipped(MESSAGE.content, flip)
    with pytest.raises(SealError):
        open_content(bad, MESSAGE.secrets, M.content)
    # Even where the manifest names the altered one: whoever altered it signed for it, and it opens nothing.
    with pytest.raises(CountermarkError):
        open_content(bad, MESSAGE.secrets, replace(M.content, digest=ciphertext_digest(bad)))


@given(flips, st.sampled_from(["content_key", "opener"]))
@some
def test_secrets(flip, name):
    bad = replace(MESSAGE.secrets, **{name: flipped(getattr(MESSAGE.secrets, name), flip)})
    with pytest.raises(SealError):
        open_content(MESSAGE.content, bad, M.content)


@given(flips, st.integers(0, 10), st.sampled_from(["data", "salt", "value_hash", "name", "commitment"]))
@some
def test_disclosures(flip, number, field):
    parts = open_content(MESSAGE.content, MESSAGE.secrets, M.content)
    shown = list(disclose_parts(parts, MESSAGE.secrets.opener, frozenset({parts[0].name})))
    commitment = M.content.commitment
    verify_disclosure(shown, commitment)
    if field == "commitment":
        commitment = flipped(commitment, flip)
    else:
        number %= len(shown)
        value = getattr(shown[number], field)
        if value is None:
            return
        bad = flipped(value.encode(), flip).decode("latin-1") if field == "name" else flipped(value, flip)
        shown[number] = replace(shown[number], **{field: bad})
    with pytest.raises(CountermarkError):
        verify_disclosure(shown, commitment)


@given(flips, st.sampled_from(["salt", "stanza", "sealing_key", "path", "root", "number"]))
@some
def test_recipient_rows(flip, field):
    row, at, root = ROW, recipient_path(MESSAGE.rows, KAMPALA), M.recipient_root
    verify_recipient(row, at, 2, root)
    if field == "path":
        at = replace(at, path=(flipped(at.path[0], flip),))
    elif field == "root":
        root = flipped(root, flip)
    elif field == "number":
        at = replace(at, number=1 - at.number)
    else:
        row = replace(row, **{field: flipped(getattr(row, field), flip)})
    with pytest.raises(CountermarkError):
        verify_recipient(row, at, 2, root)


@given(flips, st.sampled_from(["row salt", "row tail", "tail salt", "previous", "path", "position", "index"]))
@some
def test_own_deliveries(flip, field):
    own, index = WORLD.own_delivery(ENTRY, KAMPALA, Box.ROUTINE), ENTRY.index
    args = KAMPALA, Box.ROUTINE, BoxState()
    verify_own_delivery(own, ENTRY.leaf, index, *args)
    if field.startswith("row "):
        name = field.removeprefix("row ")
        own = replace(own, row=replace(own.row, **{name: flipped(getattr(own.row, name), flip)}))
    elif field == "tail salt":
        own = replace(own, tail=replace(own.tail, salt=flipped(own.tail.salt, flip)))
    elif field == "previous":
        own = replace(own, tail=replace(own.tail, previous=flipped(own.tail.previous, flip)))
    elif field == "position":
        own = replace(own, tail=replace(own.tail, position=own.tail.position ^ flip[1]))
    elif field == "path":
        path = list(own.at.path)
        path[flip[0] % len(path)] = flipped(path[flip[0] % len(path)], flip)
        own = replace(own, at=replace(own.at, path=tuple(path)))
    else:
        index ^= flip[1]
    with pytest.raises(CountermarkError):
        verify_own_delivery(own, ENTRY.leaf, index, *args)


@given(flips, st.integers(0, 2), st.sampled_from(["salt", "tail"]))
@some
def test_all_deliveries(flip, number, field):
    answer = WORLD.all_deliveries(ENTRY, NAIROBI)
    expected = MESSAGE.expected_deliveries()
    verify_all_deliveries(answer, ENTRY.leaf, ENTRY.index, NAIROBI, expected)
    rows = list(answer.rows)
    rows[number] = replace(rows[number], **{field: flipped(getattr(rows[number], field), flip)})
    with pytest.raises(CountermarkError):
        verify_all_deliveries(replace(answer, rows=tuple(rows)), ENTRY.leaf, ENTRY.index, NAIROBI, expected)


@given(flips, flips)
@some
def test_box_heads_have_no_two_pasts(first, second):
    statement = ENTRY.leaf.statement
    honest = box_head(bytes(32), 5, statement)
    assert box_head(flipped(bytes(32), first), 5, statement) != honest
    assert box_head(bytes(32), 5, flipped(statement, second)) != honest
