"""Cosignatures: what each kind signs, whose they are, and which times they may state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import (
    MAX_NAME_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    CosignatureType,
    Cosigner,
    ed25519_message,
    encode_cosigner_vkey,
    ml_dsa_44_message,
    parse_cosigner_key,
    parse_cosigner_vkey,
    verify_cosignature,
)
from countermark_protocol.errors import MalformedError, SignatureError, UncheckableError
from countermark_protocol.merkle import root_of
from countermark_protocol.note import (
    MAX_DECIMAL,
    NoteSignature,
    UnverifiedNote,
    encode_note,
    encode_vkey,
    format_vkey,
    note_key_id,
)
from support.witnesses import KINDS, LOG, LOG_KEY, ORIGIN, TIME, checkpoint, cosigner, note_key

CHECKPOINT = checkpoint(5)
ROOT = CHECKPOINT.root


def code_of(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    return caught.value.code


def changed(line, **members):
    values = {"name": line.name, "key_id": line.key_id, "signature": line.signature} | members
    return NoteSignature(**values)


# --- what is signed ----------------------------------------------------------------------------------


def test_the_message_of_an_ed25519_cosignature():
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert ed25519_message(text, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + text


def test_the_message_of_an_ml_dsa_44_cosignature():
    message = ml_dsa_44_message("w/é", 0x0102030405060708, "log", 5, b"\x07" * 32)
    assert message == (
        b"subtree/v1\n\x00"
        b"\x04w/\xc3\xa9" + bytes(range(1, 9)) + b"\x03log" + bytes(8) + (5).to_bytes(8, "big") + b"\x07" * 32
    )


@pytest.mark.parametrize(
    ("cosigner_name", "origin"), [("", "log"), ("w", ""), ("é" * 128, "l"), ("w", "l" * 256)]
)
def test_names_must_fit_one_byte_of_length(cosigner_name, origin):
    code = code_of(MalformedError, ml_dsa_44_message, cosigner_name, 1, origin, 1, ROOT)
    assert code == "cosigned_name_size"


def test_names_of_255_bytes_fit():
    longest = "n" * MAX_NAME_BYTES
    assert len(ml_dsa_44_message(longest, 1, longest, 1, ROOT)) == 12 + 2 * 256 + 3 * 8 + 32


def test_a_long_origin_can_be_cosigned_with_ed25519_only():
    origin = "o" * 256
    whole = verify_checkpoint(
        parse_checkpoint(sign_checkpoint(origin, 5, ROOT, LOG.sign, LOG_KEY)), origin, LOG_KEY
    )
    ed25519, ml_dsa = (cosigner("w", kind) for kind in KINDS)
    assert verify_cosignature(whole, ed25519.key, ed25519.cosign(whole, TIME)) == TIME
    assert code_of(MalformedError, ml_dsa.cosign, whole, TIME) == "cosigned_name_size"
    line = ml_dsa.cosign(CHECKPOINT, TIME)
    assert code_of(MalformedError, verify_cosignature, whole, ml_dsa.key, line) == "cosigned_name_size"


# --- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_verifier_key_round_trips(kind):
    key = cosigner("witness.example/w1", kind).key
    text = encode_cosigner_vkey(key)
    assert text.startswith(f"witness.example/w1+{key.key_id.hex()}+")
    assert parse_cosigner_vkey(text) == key
    assert key.key_id == note_key_id(key.name, int(kind), key.raw)


def test_the_key_of_a_log_is_none_of_a_witness():
    assert code_of(UncheckableError, parse_cosigner_vkey, encode_vkey(note_key())) == "note_key_type"
    assert code_of(UncheckableError, parse_cosigner_key, "w", 5, bytes(32)) == "note_key_type"


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_are_refused(kind):
    raw = cosigner("w", kind).key.raw
    assert code_of(MalformedError, parse_cosigner_key, "a b", kind, raw) == "bad_key_name"
    assert code_of(MalformedError, parse_cosigner_key, "é" * 128, kind, raw) == "cosigned_name_size"
    for wrong in (b"", raw[:-1], raw + b"\x00"):
        assert code_of(MalformedError, parse_cosigner_key, "w", kind, wrong) == "key_size"
    spelt = format_vkey("w", kind, raw)
    assert code_of(MalformedError, parse_cosigner_vkey, "v" + spelt[1:]) == "bad_vkey"


def test_a_point_of_small_order_is_refused():
    raw = b"\x01" + bytes(31)
    assert code_of(MalformedError, parse_cosigner_key, "w", CosignatureType.ED25519, raw) == "key_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_has_32_bytes(kind):
    with pytest.raises(ValueError):
        Cosigner("w", kind, bytes(31))


# --- making and checking -----------------------------------------------------------------------------


@pytest.mark.parametrize("time", [1, TIME, MAX_DECIMAL])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cosignature_verifies_and_states_its_time(kind, time):
    witness = cosigner("w", kind)
    line = witness.cosign(CHECKPOINT, time)
    assert (line.name, line.key_id) == ("w", witness.key.key_id)
    assert len(line.signature) == 8 + SIGNATURE_BYTES[kind]
    assert len(witness.key.raw) == PUBLIC_KEY_BYTES[kind]
    assert verify_cosignature(CHECKPOINT, witness.key, line) == time


@pytest.mark.parametrize("time", [-1, 0, MAX_DECIMAL + 1])
@pytest.mark.parametrize("kind", KINDS)
def test_no_cosignature_is_made_without_a_time(kind, time):
    with pytest.raises(ValueError):
        cosigner("w", kind).cosign(CHECKPOINT, time)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cosignature_is_of_one_checkpoint_one_time_and_one_key(kind):
    witness = cosigner("w", kind)
    line = witness.cosign(CHECKPOINT, TIME)
    bad = "bad_signature"
    assert code_of(SignatureError, verify_cosignature, checkpoint(6), witness.key, line) == bad
    later = changed(line, signature=(TIME + 1).to_bytes(8, "big") + line.signature[8:])
    assert code_of(SignatureError, verify_cosignature, CHECKPOINT, witness.key, later) == bad
    flipped = changed(line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
    assert code_of(SignatureError, verify_cosignature, CHECKPOINT, witness.key, flipped) == bad
    other = cosigner("w", kind, 9).key
    assert code_of(SignatureError, verify_cosignature, CHECKPOINT, other, line) == "signature_missing"
    claimed = changed(line, key_id=other.key_id)
    assert code_of(SignatureError, verify_cosignature, CHECKPOINT, other, claimed) == bad
    renamed = changed(line, name="v")
    assert (
        code_of(SignatureError, verify_cosignature, CHECKPOINT, witness.key, renamed) == "signature_missing"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_another_origin_or_root_is_another_checkpoint(kind):
    witness = cosigner("w", kind)
    line = witness.cosign(CHECKPOINT, TIME)
    for origin, root in ((ORIGIN + "x", ROOT), (ORIGIN, root_of([b"\x01" * 32]))):
        data = sign_checkpoint(origin, 5, root, LOG.sign, LOG_KEY)
        other = verify_checkpoint(parse_checkpoint(data), origin, LOG_KEY)
        assert code_of(SignatureError, verify_cosignature, other, witness.key, line) == "bad_signature"


def test_the_name_is_part_of_an_ml_dsa_44_cosignature_and_not_of_an_ed25519_one():
    for kind, outcome in zip(KINDS, ("verifies", "bad_signature"), strict=True):
        line = cosigner("w", kind).cosign(CHECKPOINT, TIME)
        other = cosigner("v", kind).key
        moved = changed(line, name="v", key_id=other.key_id)
        if outcome == "verifies":  # so a key must not be used under two names
            assert verify_cosignature(CHECKPOINT, other, moved) == TIME
        else:
            assert code_of(SignatureError, verify_cosignature, CHECKPOINT, other, moved) == outcome


def test_extension_lines_are_covered_by_ed25519_alone():
    def with_extension(text):
        text = f"{ORIGIN}\n5\n{CHECKPOINT.text.decode().split()[2]}\n{text}\n".encode()
        data = encode_note(UnverifiedNote(text, (NoteSignature(ORIGIN, note_key().key_id, LOG.sign(text)),)))
        return verify_checkpoint(parse_checkpoint(data), ORIGIN, LOG_KEY)

    one, other = with_extension("one"), with_extension("other")
    ed25519, ml_dsa = (cosigner("w", kind) for kind in KINDS)
    line = ed25519.cosign(one, TIME)
    assert verify_cosignature(one, ed25519.key, line) == TIME
    assert code_of(SignatureError, verify_cosignature, other, ed25519.key, line) == "bad_signature"
    assert verify_cosignature(other, ml_dsa.key, ml_dsa.cosign(one, TIME)) == TIME


@pytest.mark.parametrize("kind", KINDS)
def test_a_cosignature_of_another_size(kind):
    witness = cosigner("w", kind)
    line = witness.cosign(CHECKPOINT, TIME)
    for wrong in (b"\x01", line.signature[:8], line.signature[:-1], line.signature + b"\x00"):
        short = changed(line, signature=wrong)
        assert code_of(SignatureError, verify_cosignature, CHECKPOINT, witness.key, short) == "signature_size"


@pytest.mark.parametrize("time", [0, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", KINDS)
def test_times_that_no_cosignature_states(kind, time):
    witness = cosigner("w", kind)
    line = witness.cosign(CHECKPOINT, TIME)
    stamped = changed(line, signature=time.to_bytes(8, "big") + line.signature[8:])
    assert code_of(SignatureError, verify_cosignature, CHECKPOINT, witness.key, stamped) == "cosignature_time"


@given(kind=st.sampled_from(KINDS), at=st.integers(0, 2427), flip=st.integers(1, 255))
def test_no_byte_of_a_cosignature_can_be_changed(kind, at, flip):
    witness = cosigner("w", kind)
    value = bytearray(LINES[kind].signature)
    value[at % len(value)] ^= flip
    with pytest.raises(SignatureError):
        verify_cosignature(CHECKPOINT, witness.key, changed(LINES[kind], signature=bytes(value)))


LINES = {kind: cosigner("w", kind).cosign(CHECKPOINT, TIME) for kind in KINDS}
