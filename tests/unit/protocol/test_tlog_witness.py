"""Requests to a witness and its answers: their one spelling, their bounds, and what is made of them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.errors import (
    MalformedError,
    NotFoundError,
    ProofError,
    SignatureError,
    TransportError,
)
from countermark_protocol.merkle import verify_consistency
from countermark_protocol.note import MAX_DECIMAL, NoteSignature, parse_note
from countermark_protocol.tlog_witness import (
    ADD_CHECKPOINT_PATH,
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    SIZE_TYPE,
    Cosigned,
    HeldSize,
    add_cosignatures,
    encode_add_checkpoint,
    encode_cosigned,
    encode_held_size,
    monitoring_path,
    origin_hash,
    parse_add_checkpoint,
    parse_answer,
    verify_answer,
)
from support.witnesses import (
    KINDS,
    ORIGIN,
    TIME,
    checkpoint,
    cosigner,
    leaves,
    proof,
    raw_checkpoint,
    request,
)

WITNESS = tuple(cosigner("witness.example/w", kind) for kind in KINDS)
KEYS = [w.key for w in WITNESS]
LINES = tuple(w.cosign(checkpoint(5), TIME) for w in WITNESS)
HASH = "A" * 43 + "=\n"


def code_of(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    assert type(caught.value) is error
    return caught.value.code


# --- requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (3, 5), (4, 7), (5, 5)])
def test_a_request_round_trips(old, new):
    found = parse_add_checkpoint(request(old, new))
    assert (found.old_size, list(found.proof)) == (old, proof(old, new))
    assert found.checkpoint.raw == raw_checkpoint(new)
    assert encode_add_checkpoint(found.old_size, found.proof, found.checkpoint.raw) == request(old, new)
    if old:
        verify_consistency(old, checkpoint(old).root, new, found.checkpoint.root, found.proof)


def test_the_bytes_of_a_request():
    data = encode_add_checkpoint(3, [bytes(32), b"\xff" * 32], raw_checkpoint(5))
    assert data == b"old 3\n" + HASH.encode() + b"/" * 42 + b"8=\n\n" + raw_checkpoint(5)
    assert encode_add_checkpoint(0, [], raw_checkpoint(5)) == b"old 0\n\n" + raw_checkpoint(5)


CHECKPOINT = raw_checkpoint(5).decode()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "witness_request"),
        ("old 0\n", "witness_request"),
        ("\n\n" + CHECKPOINT, "witness_request"),
        ("new 0\n\n" + CHECKPOINT, "witness_request"),
        ("old  0\n\n" + CHECKPOINT, "not_decimal"),
        ("old 00\n\n" + CHECKPOINT, "not_decimal"),
        ("old -1\n\n" + CHECKPOINT, "not_decimal"),
        ("old 0\r\n\n" + CHECKPOINT, "not_decimal"),
        ("old 9223372036854775808\n\n" + CHECKPOINT, "not_decimal"),
        ("old 6\n\n" + CHECKPOINT, "witness_request"),
        ("old 3\n" + HASH * 64 + "\n" + CHECKPOINT, "witness_request"),
        ("old 3\nAAAA\n\n" + CHECKPOINT, "hash_size"),
        ("old 3\n" + HASH.replace("=", "") + "\n" + CHECKPOINT, "not_base64"),
        ("old 3\n" + HASH + CHECKPOINT, "not_base64"),
        ("old 0\n\n", "note_unsigned"),
        ("old 0\n\n\n" + CHECKPOINT, "bad_checkpoint"),
        ("old 0\n\n" + CHECKPOINT.replace("\n5\n", "\n05\n"), "not_decimal"),
        ("old 0\n\n" + CHECKPOINT.replace("\n5\n", "\n0\n"), "empty_root"),
        ("old 0\n\n" + "x" * MAX_REQUEST_BYTES, "witness_request"),
    ],
)
def test_bodies_that_are_no_request(text, code):
    assert code_of(MalformedError, parse_add_checkpoint, text.encode()) == code


def test_a_request_must_be_utf8():
    assert code_of(MalformedError, parse_add_checkpoint, b"old 0\xff\n\n" + raw_checkpoint(5)) == "not_utf8"


def test_a_proof_may_have_63_hashes():
    assert len(parse_add_checkpoint(f"old 3\n{HASH * 63}\n{CHECKPOINT}".encode()).proof) == 63


def test_nothing_is_encoded_that_is_no_request():
    assert code_of(MalformedError, encode_add_checkpoint, 6, [], raw_checkpoint(5)) == "witness_request"
    assert code_of(MalformedError, encode_add_checkpoint, 3, [b"x"], raw_checkpoint(5)) == "hash_size"


@given(st.binary(max_size=200))
def test_whatever_is_sent_only_our_errors_come_out(data):
    for parse in (
        parse_add_checkpoint,
        lambda body: parse_answer(200, "", body),
        lambda body: parse_answer(409, SIZE_TYPE, body),
    ):
        with contextlib.suppress(MalformedError):
            parse(data)


# --- answers -----------------------------------------------------------------------------------------


def test_cosignatures_round_trip():
    body = encode_cosigned(LINES)
    assert body.startswith("— witness.example/w ".encode())
    assert parse_answer(200, "text/plain", body) == Cosigned(LINES)


@pytest.mark.parametrize("size", [0, 7, MAX_DECIMAL])
@pytest.mark.parametrize("media", [SIZE_TYPE, "Text/X.TLog.Size; charset=utf-8"])
def test_a_held_size_round_trips(size, media):
    assert parse_answer(409, media, encode_held_size(size)) == HeldSize(size)


@pytest.mark.parametrize(
    ("status", "media", "body", "code"),
    [
        (200, "", b"", "witness_answer"),
        (200, "", b"\n", "bad_signature_line"),
        (200, "", encode_cosigned(LINES)[:-1], "witness_answer"),
        (200, "", encode_cosigned(LINES) + b"\n", "bad_signature_line"),
        (200, "", b"\xff\n", "not_utf8"),
        (200, "", b"x" * (MAX_ANSWER_BYTES + 1), "witness_answer"),
        (200, "", "— w AAAAAAA=\n".encode() * 17, "witness_answer"),
        (200, "", "— w AAAAAAA=\n".encode() * 101, "note_signature_count"),
        (409, "", b"5\n", "witness_answer"),
        (409, "text/plain", b"5\n", "witness_answer"),
        (409, SIZE_TYPE, b"", "witness_answer"),
        (409, SIZE_TYPE, b"5", "witness_answer"),
        (409, SIZE_TYPE, b"05\n", "not_decimal"),
        (409, SIZE_TYPE, b"5\n\n", "not_decimal"),
        (409, SIZE_TYPE, b"\xff\n", "not_utf8"),
    ],
)
def test_answers_that_are_none(status, media, body, code):
    assert code_of(MalformedError, parse_answer, status, media, body) == code


def test_sixteen_cosignatures_are_accepted():
    body = "— w AAAAAAA=\n".encode() * 16
    assert parse_answer(200, "", body) == Cosigned((NoteSignature("w", bytes(4), b"\0"),) * 16)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (403, SignatureError, "witness_refused_signature"),
        (404, NotFoundError, "witness_unknown_log"),
        (422, ProofError, "witness_refused_proof"),
        (400, TransportError, "witness_status"),
        (429, TransportError, "witness_status"),
        (500, TransportError, "witness_status"),
    ],
)
def test_refusals(status, error, code):
    assert code_of(error, parse_answer, status, "text/plain", b"\xff" * 100) == code


def test_cosignatures_of_known_keys_are_taken_and_others_ignored():
    stranger = cosigner("stranger").cosign(checkpoint(5), TIME)
    answer = Cosigned((LINES[1], stranger, LINES[0]))
    found = verify_answer(checkpoint(5), answer, KEYS)
    assert [(v.key, v.time, v.line) for v in found] == [(KEYS[1], TIME, LINES[1]), (KEYS[0], TIME, LINES[0])]
    assert [v.key for v in verify_answer(checkpoint(5), answer, KEYS[:1])] == KEYS[:1]


def test_an_answer_without_a_good_cosignature():
    stranger = Cosigned((cosigner("stranger").cosign(checkpoint(5), TIME),))
    assert code_of(SignatureError, verify_answer, checkpoint(5), stranger, KEYS) == "signature_missing"
    assert code_of(SignatureError, verify_answer, checkpoint(6), Cosigned(LINES), KEYS) == "bad_signature"


# --- on the checkpoint -------------------------------------------------------------------------------


def test_cosignatures_are_put_under_a_checkpoint_and_renewed():
    once = add_cosignatures(raw_checkpoint(5), LINES)
    assert once == raw_checkpoint(5) + encode_cosigned(LINES)
    later = WITNESS[0].cosign(checkpoint(5), TIME + 60)
    twice = parse_note(add_cosignatures(once, [later]))
    assert twice.signatures[1:] == (LINES[1], later)
    assert add_cosignatures(once, []) == once


def test_a_note_has_room_for_100_signatures():
    lines = [NoteSignature(f"w{i}", bytes(4), b"\0") for i in range(99)]
    assert len(parse_note(add_cosignatures(raw_checkpoint(5), lines)).signatures) == 100
    lines.append(LINES[0])
    assert code_of(MalformedError, add_cosignatures, raw_checkpoint(5), lines) == "note_signature_count"


# --- monitors ----------------------------------------------------------------------------------------


def test_where_monitors_look():
    assert ADD_CHECKPOINT_PATH == "/add-checkpoint"
    assert origin_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert monitoring_path(ORIGIN) == f"/{origin_hash(ORIGIN)}/checkpoint"


def test_branches_of_the_test_log_part_after_three_leaves():
    assert leaves(3) == leaves(3, "b")
    assert leaves(4) != leaves(4, "b")
