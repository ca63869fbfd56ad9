"""Proofs that stand alone: their one spelling, and what they prove."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.errors import MalformedError, ProofError, SignatureError
from countermark_protocol.merkle import leaf_hash, root_of, small_tree_path
from countermark_protocol.note import encode_base64
from countermark_protocol.tlog_proof import (
    MAX_EXTRA_BYTES,
    MAX_PROOF_BYTES,
    UnverifiedTlogProof,
    encode_tlog_proof,
    parse_tlog_proof,
    verify_tlog_proof,
)

ORIGIN = "log.example/1"
LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
LOG_KEY = LOG.public_key().public_bytes_raw()
LEAVES = [leaf_hash(b"%d" % i) for i in range(7)]
ROOT = root_of(LEAVES)
CHECKPOINT = sign_checkpoint(ORIGIN, 7, ROOT, LOG.sign, LOG_KEY)
PATH = small_tree_path(LEAVES, 4)
HEAD = "c2sp.org/tlog-proof@v1\n"
LINES = "".join(encode_base64(h) + "\n" for h in PATH)


def proof_bytes(index=4, extra=None):
    return encode_tlog_proof(index, small_tree_path(LEAVES, index), CHECKPOINT, extra)


def code_of(data):
    with pytest.raises(MalformedError) as caught:
        parse_tlog_proof(data)
    return caught.value.code


def with_checkpoint(head):
    return head.encode() + b"\n" + CHECKPOINT


# --- spelling ----------------------------------------------------------------------------------------


def test_the_bytes_of_a_proof():
    assert proof_bytes() == (HEAD + "index 4\n" + LINES + "\n").encode() + CHECKPOINT
    assert proof_bytes(extra=b"\x00") == (HEAD + "extra AA==\nindex 4\n" + LINES + "\n").encode() + CHECKPOINT


@pytest.mark.parametrize("extra", [None, b"x", bytes(MAX_EXTRA_BYTES)])
@pytest.mark.parametrize("index", range(7))
def test_a_proof_round_trips(index, extra):
    data = proof_bytes(index, extra)
    proof = parse_tlog_proof(data)
    assert isinstance(proof, UnverifiedTlogProof)
    assert (proof.index, list(proof.path), proof.extra) == (index, small_tree_path(LEAVES, index), extra)
    assert proof.checkpoint.raw == CHECKPOINT
    assert encode_tlog_proof(proof.index, proof.path, proof.checkpoint.raw, proof.extra) == data


def test_the_path_in_a_tree_of_one_leaf_is_empty():
    checkpoint = sign_checkpoint(ORIGIN, 1, LEAVES[0], LOG.sign, LOG_KEY)
    data = encode_tlog_proof(0, [], checkpoint)
    assert data == (HEAD + "index 0\n\n").encode() + checkpoint
    verify_tlog_proof(parse_tlog_proof(data), LEAVES[0], ORIGIN, LOG_KEY)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("", "bad_tlog_proof"),
        ("c2sp.org/tlog-proof@v2\nindex 4\n" + LINES, "bad_tlog_proof"),
        ("C2SP.org/tlog-proof@v1\nindex 4\n" + LINES, "bad_tlog_proof"),
        (" " + HEAD + "index 4\n" + LINES, "bad_tlog_proof"),
        (HEAD.strip() + "\r\nindex 4\n" + LINES, "bad_tlog_proof"),
        ("\ufeff" + HEAD + "index 4\n" + LINES, "bad_tlog_proof"),
        (HEAD, "bad_tlog_proof"),
        (HEAD + LINES, "bad_tlog_proof"),
        (HEAD + "extra AA==\n" + LINES, "bad_tlog_proof"),
        (HEAD + "extra AA==\n", "bad_tlog_proof"),
        (HEAD + "extra \nindex 4\n" + LINES, "bad_tlog_proof"),
        (HEAD + "extra\nindex 4\n" + LINES, "bad_tlog_proof"),
        (HEAD + "extra AA==\nextra AA==\nindex 4\n" + LINES, "bad_tlog_proof"),
        (HEAD + "index 4\nextra AA==\n" + LINES, "not_base64"),
        (HEAD + "extra AB==\nindex 4\n" + LINES, "not_base64"),
        (HEAD + "extra AA\nindex 4\n" + LINES, "not_base64"),
        (HEAD + "index\n" + LINES, "bad_tlog_proof"),
        (HEAD + "index \n" + LINES, "not_decimal"),
        (HEAD + "index 04\n" + LINES, "not_decimal"),
        (HEAD + "index -4\n" + LINES, "not_decimal"),
        (HEAD + "index  4\n" + LINES, "not_decimal"),
        (HEAD + "index 4 \n" + LINES, "not_decimal"),
        (HEAD + "index 9223372036854775808\n" + LINES, "not_decimal"),
        (HEAD + "index 7\n" + LINES, "index_beyond_size"),
        (HEAD + "index 4\n" + LINES.replace("=", ""), "not_base64"),
        (HEAD + "index 4\nAAAA\n" + LINES, "hash_size"),
        (HEAD + "index 4\n" + LINES + "index 4\n", "not_base64"),
        (HEAD + "index 4\n" + LINES * 22, "bad_tlog_proof"),
        # The first empty line ends the proof's own lines, so the rest of this one is no checkpoint.
        (HEAD + "index 4\n\n" + LINES, "bad_checkpoint"),
    ],
)
def test_other_spellings_are_refused(head, code):
    assert code_of(with_checkpoint(head)) == code


def test_a_proof_holds_a_checkpoint():
    assert code_of((HEAD + "index 4\n" + LINES).encode()) == "bad_tlog_proof"
    assert code_of((HEAD + "index 4\n" + LINES + "\n").encode()) == "note_unsigned"
    assert code_of((HEAD + "index 4\n" + LINES + "\n").encode() + CHECKPOINT[:-1]) == "note_unsigned"
    assert code_of(proof_bytes() + b"\n") == "note_unsigned"
    assert code_of(b"\n" + proof_bytes()) == "bad_tlog_proof"


def test_oversized_proofs_are_refused_before_they_are_decoded():
    assert code_of(b"\xff" * (MAX_PROOF_BYTES + 1)) == "proof_too_large"
    assert (
        code_of(with_checkpoint(HEAD + f"extra {encode_base64(bytes(MAX_EXTRA_BYTES + 1))}\nindex 4\n"))
        == "bad_tlog_proof"
    )


@pytest.mark.parametrize(
    ("index", "path", "checkpoint", "extra"),
    [
        (-1, PATH, CHECKPOINT, None),
        (7, PATH, CHECKPOINT, None),
        (4, [b"short"], CHECKPOINT, None),
        (4, [LEAVES[0]] * 64, CHECKPOINT, None),
        (4, PATH, b"", None),
        (4, PATH, CHECKPOINT[:-1], None),
        (4, PATH, CHECKPOINT, b""),
        (4, PATH, CHECKPOINT, bytes(MAX_EXTRA_BYTES + 1)),
    ],
)
def test_what_is_no_proof_is_not_encoded(index, path, checkpoint, extra):
    with pytest.raises(MalformedError):
        encode_tlog_proof(index, path, checkpoint, extra)


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 400))
def test_parsing_raises_nothing_but_malformed_and_each_proof_has_one_spelling(junk, begin, end):
    data = proof_bytes(extra=b"more")
    spliced = data[:begin] + junk + data[end:]
    try:
        proof = parse_tlog_proof(spliced)
    except MalformedError:
        return
    assert encode_tlog_proof(proof.index, proof.path, proof.checkpoint.raw, proof.extra) == spliced


# --- what they prove ---------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(7))
def test_a_proof_verifies(index):
    checkpoint = verify_tlog_proof(parse_tlog_proof(proof_bytes(index)), LEAVES[index], ORIGIN, LOG_KEY)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 7, ROOT)


def test_a_proof_for_another_leaf_or_index_is_refused():
    proof = parse_tlog_proof(proof_bytes(4))
    with pytest.raises(ProofError) as caught:
        verify_tlog_proof(proof, LEAVES[5], ORIGIN, LOG_KEY)
    assert caught.value.code == "inclusion_mismatch"
    moved = parse_tlog_proof(encode_tlog_proof(5, PATH, CHECKPOINT))
    with pytest.raises(ProofError) as caught:
        verify_tlog_proof(moved, LEAVES[4], ORIGIN, LOG_KEY)
    assert caught.value.code == "inclusion_mismatch"
    cut = parse_tlog_proof(encode_tlog_proof(4, PATH[:-1], CHECKPOINT))
    with pytest.raises(ProofError) as caught:
        verify_tlog_proof(cut, LEAVES[4], ORIGIN, LOG_KEY)
    assert caught.value.code == "inclusion_path_length"


def test_a_proof_under_a_checkpoint_the_log_did_not_sign_is_refused():
    other = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
    key = other.public_key().public_bytes_raw()
    forged = encode_tlog_proof(4, PATH, sign_checkpoint(ORIGIN, 7, ROOT, other.sign, key))
    with pytest.raises(SignatureError) as caught:
        verify_tlog_proof(parse_tlog_proof(forged), LEAVES[4], ORIGIN, LOG_KEY)
    assert caught.value.code == "signature_missing"
    with pytest.raises(SignatureError) as caught:
        verify_tlog_proof(parse_tlog_proof(proof_bytes()), LEAVES[4], "log.example/2", LOG_KEY)
    assert caught.value.code == "checkpoint_origin"


def test_the_extra_data_proves_nothing():
    data = proof_bytes(extra=b"one")
    other = data.replace(encode_base64(b"one").encode(), encode_base64(b"two").encode())
    assert parse_tlog_proof(other).extra == b"two"
    verify_tlog_proof(parse_tlog_proof(other), LEAVES[4], ORIGIN, LOG_KEY)
