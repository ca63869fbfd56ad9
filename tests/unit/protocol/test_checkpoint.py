"""Checkpoints: their three lines, the log's signature, and what witnesses add."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    parse_checkpoint,
    parse_root,
    sign_checkpoint,
    verify_checkpoint,
)
from countermark_protocol.errors import CountermarkError, MalformedError, SignatureError
from countermark_protocol.merkle import EMPTY_ROOT, MAX_TREE_SIZE, leaf_hash
from countermark_protocol.note import NoteSignature, UnverifiedNote, encode_base64, encode_note, note_key_id

ORIGIN = "log.example/countermark/1"
LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
LOG_KEY = LOG.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
OTHER_KEY = OTHER.public_key().public_bytes_raw()
ROOT = leaf_hash(b"the only leaf")
# ML-DSA-44: 8 bytes of time and 2,420 of signature (C2SP tlog-cosignature).
COSIGNATURES = (
    NoteSignature("witness.example/w1", b"\x01\x02\x03\x04", bytes(8 + 64)),
    NoteSignature("witness.example/w2", b"\x05\x06\x07\x08", bytes(8 + 2420)),
)


def signed(origin=ORIGIN, size=1, root=ROOT):
    return sign_checkpoint(origin, size, root, LOG.sign, LOG_KEY)


def note_of(text, *more, origin=ORIGIN, key=LOG):
    """Any text, signed as the log signs."""
    data = text.encode()
    key_id = note_key_id(origin, 1, key.public_key().public_bytes_raw())
    return encode_note(UnverifiedNote(data, (NoteSignature(origin, key_id, key.sign(data)), *more)))


def refused(data, origin=ORIGIN, key=LOG_KEY):
    with pytest.raises(SignatureError) as caught:
        verify_checkpoint(parse_checkpoint(data), origin, key)
    return caught.value.code


def malformed(data):
    with pytest.raises(MalformedError) as caught:
        parse_checkpoint(data)
    return caught.value.code


# --- the good ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "root"), [(0, EMPTY_ROOT), (1, ROOT), (MAX_TREE_SIZE, ROOT)])
def test_a_signed_checkpoint_verifies(size, root):
    data = signed(size=size, root=root)
    unverified = parse_checkpoint(data)
    assert isinstance(unverified, UnverifiedCheckpoint)
    assert (unverified.origin, unverified.size, unverified.root) == (ORIGIN, size, root)
    checkpoint = verify_checkpoint(unverified, ORIGIN, LOG_KEY)
    assert checkpoint == Checkpoint(
        ORIGIN, size, root, (), f"{ORIGIN}\n{size}\n{encode_base64(root)}\n".encode(), (), data
    )


def test_the_bytes_of_a_checkpoint():
    key_id = note_key_id(ORIGIN, 1, LOG_KEY)
    text = b"log.example/countermark/1\n1\n" + encode_base64(ROOT).encode() + b"\n"
    line = "— log.example/countermark/1 " + encode_base64(key_id + LOG.sign(text)) + "\n"
    assert signed() == text + b"\n" + line.encode()


def test_cosignatures_are_kept_unverified():
    bare = parse_checkpoint(signed())
    data = encode_note(
        UnverifiedNote(bare.note.text, (COSIGNATURES[0], *bare.note.signatures, COSIGNATURES[1]))
    )
    checkpoint = verify_checkpoint(parse_checkpoint(data), ORIGIN, LOG_KEY)
    assert checkpoint.cosignatures == COSIGNATURES
    assert checkpoint.raw == data
    assert checkpoint.text == bare.note.text


def test_a_second_line_by_the_log_is_no_cosignature():
    one = parse_checkpoint(signed()).note
    data = encode_note(UnverifiedNote(one.text, one.signatures * 2))
    assert verify_checkpoint(parse_checkpoint(data), ORIGIN, LOG_KEY).cosignatures == ()


def test_extension_lines_are_kept_and_covered_by_the_signature():
    data = note_of(f"{ORIGIN}\n1\n{encode_base64(ROOT)}\nfirst\n+ second\n")
    assert verify_checkpoint(parse_checkpoint(data), ORIGIN, LOG_KEY).extensions == ("first", "+ second")
    assert refused(data.replace(b"first", b"furst")) == "bad_signature"
    assert refused(data.replace(b"first\n", b"")) == "bad_signature"


def test_a_checkpoint_may_come_as_any_bytes_like_object():
    data = signed()
    assert parse_checkpoint(bytearray(data)) == parse_checkpoint(data)


# --- the bad ones ------------------------------------------------------------------------------------


B64 = encode_base64(ROOT)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("\n", "bad_checkpoint"),
        (f"{ORIGIN}\n", "bad_checkpoint"),
        (f"{ORIGIN}\n1\n", "bad_checkpoint"),
        (f"\n1\n{B64}\n", "bad_checkpoint"),
        (f"{ORIGIN}\n\n{B64}\n", "bad_checkpoint"),
        (f"{ORIGIN}\n1\n\n", "bad_checkpoint"),
        (f"{ORIGIN}\n1\n{B64}\n\n", "bad_checkpoint"),
        (f"{ORIGIN}\n1\n{B64}\n\nmore\n", "bad_checkpoint"),
        (f"{ORIGIN}\n01\n{B64}\n", "not_decimal"),
        (f"{ORIGIN}\n-1\n{B64}\n", "not_decimal"),
        (f"{ORIGIN}\n1 \n{B64}\n", "not_decimal"),
        (f"{ORIGIN}\n{2**63}\n{B64}\n", "not_decimal"),
        (f"{ORIGIN}\n1\n{B64[:-1]}\n", "not_base64"),
        (f"{ORIGIN}\n1\n{B64} \n", "not_base64"),
        (f"{ORIGIN}\n1\n{ROOT.hex()}\n", "hash_size"),
        (f"{ORIGIN}\n1\n{encode_base64(ROOT[:31])}\n", "hash_size"),
        (f"{ORIGIN}\n1\n{encode_base64(ROOT + b'x')}\n", "hash_size"),
        (f"{ORIGIN}\n0\n{B64}\n", "empty_root"),
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused_though_it_is_signed(text, code):
    assert malformed(note_of(text)) == code


def test_an_unsigned_text_is_no_checkpoint():
    assert malformed(f"{ORIGIN}\n1\n{B64}\n".encode()) == "note_unsigned"


def test_hashes_are_parsed_alike_everywhere():
    assert parse_root(B64, "x") == ROOT


def test_a_checkpoint_of_another_log_is_refused():
    assert refused(signed("log.example/countermark/2")) == "checkpoint_origin"
    # Signed by the same key under our name, but for another origin: two lines of one key.
    data = note_of(f"log.example/other\n1\n{B64}\n")
    assert refused(data) == "checkpoint_origin"


def test_the_log_must_have_signed_it():
    by_other = sign_checkpoint(ORIGIN, 1, ROOT, OTHER.sign, OTHER_KEY)
    assert refused(by_other) == "signature_missing"
    bare = parse_checkpoint(signed()).note
    assert refused(encode_note(UnverifiedNote(bare.text, COSIGNATURES))) == "signature_missing"
    claimed = NoteSignature(ORIGIN, note_key_id(ORIGIN, 1, LOG_KEY), OTHER.sign(bare.text))
    assert refused(encode_note(UnverifiedNote(bare.text, (claimed,)))) == "bad_signature"


def test_a_cosignature_by_the_logs_own_key_does_not_stand_for_its_signature():
    text = f"{ORIGIN}\n1\n{B64}\n".encode()
    body = b"cosignature/v1\ntime 1\n" + text
    line = NoteSignature(ORIGIN, note_key_id(ORIGIN, 4, LOG_KEY), bytes(7) + b"\x01" + LOG.sign(body))
    assert refused(encode_note(UnverifiedNote(text, (line,)))) == "signature_missing"


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_what_is_no_log_key_is_refused(key):
    with pytest.raises(MalformedError):
        verify_checkpoint(parse_checkpoint(signed()), ORIGIN, key)


def test_no_bit_of_a_checkpoint_can_change():
    data = signed()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises((MalformedError, SignatureError)):
                verify_checkpoint(parse_checkpoint(bytes(damaged)), ORIGIN, LOG_KEY)


def test_no_prefix_of_a_checkpoint_is_one():
    data = signed()
    for end in range(len(data)):
        assert malformed(data[:end])


@given(st.binary(max_size=60), st.integers(0, 180), st.integers(0, 180))
def test_parsing_raises_nothing_but_malformed(junk, begin, end):
    data = signed()
    spliced = data[:begin] + junk + data[end:]
    try:
        parsed = parse_checkpoint(spliced)
    except MalformedError:
        return
    assert parsed.raw == spliced
    if spliced != data:
        with pytest.raises(CountermarkError):
            verify_checkpoint(parsed, ORIGIN, LOG_KEY)


# --- signing -----------------------------------------------------------------------------------------


def test_what_another_key_signed_is_not_published():
    with pytest.raises(SignatureError) as caught:
        sign_checkpoint(ORIGIN, 1, ROOT, OTHER.sign, LOG_KEY)
    assert caught.value.code == "bad_signature"


def test_a_faulty_signature_is_not_published():
    def faulty(text):
        raw = LOG.sign(text)
        return raw[:-1] + bytes([raw[-1] ^ 1])

    with pytest.raises(SignatureError):
        sign_checkpoint(ORIGIN, 1, ROOT, faulty, LOG_KEY)
    with pytest.raises(SignatureError) as caught:
        sign_checkpoint(ORIGIN, 1, ROOT, lambda text: LOG.sign(text)[:63], LOG_KEY)
    assert caught.value.code == "signature_size"


@pytest.mark.parametrize(
    ("origin", "size", "root", "code"),
    [
        ("", 1, ROOT, "bad_key_name"),
        ("a b", 1, ROOT, "bad_key_name"),
        ("a+b", 1, ROOT, "bad_key_name"),
        ("a\n1\nb", 1, ROOT, "bad_key_name"),
        (ORIGIN, -1, ROOT, "not_decimal"),
        (ORIGIN, MAX_TREE_SIZE + 1, ROOT, "not_decimal"),
        (ORIGIN, 1, ROOT[:31], "hash_size"),
        (ORIGIN, 1, b"", "bad_checkpoint"),
        (ORIGIN, 0, ROOT, "empty_root"),
    ],
)
def test_what_is_no_checkpoint_is_not_made(origin, size, root, code):
    with pytest.raises(MalformedError) as caught:
        sign_checkpoint(origin, size, root, LOG.sign, LOG_KEY)
    assert caught.value.code == code
