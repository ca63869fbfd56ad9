"""Witnesses' formats against vectors that others published; see the README beside each set."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import (
    CosignatureType,
    Cosigner,
    encode_cosigner_vkey,
    parse_cosigner_key,
    parse_cosigner_vkey,
    verify_cosignature,
)
from countermark_protocol.errors import MalformedError, ProofError, SignatureError
from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.merkle import verify_consistency
from countermark_protocol.note import NoteKey, encode_vkey, parse_vkey, parse_vkey_parts
from countermark_protocol.tlog_policy import parse_policy
from countermark_protocol.tlog_witness import (
    Cosigned,
    encode_add_checkpoint,
    encode_cosigned,
    parse_add_checkpoint,
    parse_answer,
)

VECTORS = Path(__file__).parents[2] / "vectors"


def load(*parts):
    return json.loads(VECTORS.joinpath(*parts).read_text(encoding="utf-8"))


def code_of(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    return caught.value.code


# --- tlog-scales: cosignatures of public witnesses ---------------------------------------------------

COSIGNED = load("tlog-scales", "checkpoints.json")


def checkpoint_of(vector):
    unverified = parse_checkpoint(vector["checkpoint"].encode())
    if vector["log"] is None:  # its key is not published with it; the cosignature is what is tried here
        return Checkpoint(
            unverified.origin,
            unverified.size,
            unverified.root,
            (),
            unverified.note.text,
            unverified.note.signatures,
            unverified.raw,
        )
    key = parse_vkey(vector["log"])
    return verify_checkpoint(unverified, key.name, key.public_key.raw)


@pytest.mark.parametrize("vector", COSIGNED, ids=lambda v: v["kind"])
def test_cosignatures_of_public_witnesses(vector):
    whole, key = checkpoint_of(vector), parse_cosigner_vkey(vector["witness"])
    assert (
        key.kind
        is {"Ed25519": CosignatureType.ED25519, "ML-DSA-44": CosignatureType.ML_DSA_44}[vector["kind"]]
    )
    (line,) = [s for s in whole.cosignatures if key.matches(s)]
    assert verify_cosignature(whole, key, line) == vector["time"]
    other = parse_checkpoint(vector["checkpoint"].replace(f"\n{whole.size}\n", "\n42\n").encode())
    smaller = Checkpoint(other.origin, 42, other.root, (), other.note.text, (), other.raw)
    assert code_of(SignatureError, verify_cosignature, smaller, key, line) == "bad_signature"


def test_both_kinds_are_among_the_vectors():
    assert {v["kind"] for v in COSIGNED} == {"Ed25519", "ML-DSA-44"}


# --- transparency-dev/formats: verifier keys ---------------------------------------------------------


@pytest.mark.parametrize("vector", load("transparency-dev-formats", "vkeys.json"), ids=lambda v: v["type"])
def test_verifier_keys(vector):
    if vector["code"]:
        assert code_of(MalformedError, parse_cosigner_vkey, vector["vkey"]) == vector["code"]
        parts = parse_vkey_parts(vector["vkey"])
        key = parse_cosigner_key(parts.name, parts.signature_type, parts.public_key)
        assert parts.key_id != key.key_id == bytes.fromhex("31236897")
    else:
        key = parse_cosigner_vkey(vector["vkey"])
        assert encode_cosigner_vkey(key) == vector["vkey"]
    assert key.kind == vector["type"]


# --- torchwood: requests -----------------------------------------------------------------------------

LITEWITNESS = load("torchwood", "requests.json")


def test_the_requests_of_litewitness_fail_where_they_must():
    origin, raw_key = LITEWITNESS["origin"], bytes.fromhex(LITEWITNESS["public_key"])
    held = None
    for vector in LITEWITNESS["requests"]:
        if vector["what"] == "log signature altered":
            assert code_of(MalformedError, parse_add_checkpoint, vector["request"].encode()) == "not_base64"
            continue
        found = parse_add_checkpoint(vector["request"].encode())
        new = found.checkpoint
        assert encode_add_checkpoint(found.old_size, found.proof, new.raw) == vector["request"].encode()
        if vector["what"] == "log unknown":
            assert code_of(SignatureError, verify_checkpoint, new, origin, raw_key) == "checkpoint_origin"
            continue
        whole = verify_checkpoint(new, origin, raw_key)
        if vector["status"] == 409:
            assert held.size == vector["held"] != found.old_size
            continue
        old = (held.size, held.root) if held else (0, hashlib.sha256(b"").digest())
        assert found.old_size == old[0]
        check = (verify_consistency, *old, whole.size, whole.root, found.proof)
        if vector["status"] == 422:
            expected = "consistency_path_length" if not found.proof else "consistency_new_root"
            assert code_of(ProofError, *check) == expected
            continue
        check[0](*check[1:])
        held = whole
    assert held.size == 5


# --- transparency-dev/witness: checkpoints -----------------------------------------------------------


def test_a_log_grows_from_one_checkpoint_to_the_next():
    vector = load("transparency-dev-witness", "checkpoints.json")
    key, proof = parse_vkey(vector["log"]), [bytes.fromhex(h) for h in vector["proof"]]
    data = encode_add_checkpoint(5, proof, vector["next"].encode())
    found = parse_add_checkpoint(data)
    first, following = (
        verify_checkpoint(c, key.name, key.public_key.raw)
        for c in (parse_checkpoint(vector["first"].encode()), found.checkpoint)
    )
    verify_consistency(first.size, first.root, following.size, following.root, found.proof)
    assert (first.size, following.size) == (5, 8)


# --- sigsum: policies and messages -------------------------------------------------------------------

SIGSUM = load("sigsum-go", "policies.json")


def with_vkeys(policy):
    """Sigsum's hexadecimal keys as verifier keys: made from a seed, since few of theirs are keys."""

    def made(match):
        keyword, name, digits = match[1], match[2] or "", match[3]
        seed = hashlib.sha256(f"{keyword} {digits}".encode()).digest()
        if keyword == "log":
            raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            vkey = encode_vkey(NoteKey(digits[:8], parse_public_key(Algorithm.ED25519, raw)))
        else:
            vkey = encode_cosigner_vkey(Cosigner(f"w{digits[-8:]}", CosignatureType.ED25519, seed).key)
        return f"{keyword} {name}{vkey}"

    return re.sub(r"\b(log|witness) (\S+ )??([0-9a-f]{64})\b", made, policy)


@pytest.mark.parametrize("vector", SIGSUM["valid"], ids=["nested", "numeric"])
def test_which_witnesses_are_a_quorum(vector):
    policy = parse_policy(with_vkeys(vector["policy"]).encode())
    assert len(policy.witnesses) == 6
    for quorum in vector["quorums"]:
        assert policy.is_met_by(quorum["witnesses"]) == quorum["met"], quorum


@pytest.mark.parametrize("vector", SIGSUM["invalid"], ids=lambda v: v["what"])
def test_files_that_are_no_policy(vector):
    assert code_of(MalformedError, parse_policy, with_vkeys(vector["policy"]).encode()) == vector["code"]


def test_messages_of_sigsum():
    vector = load("sigsum-go", "messages.json")
    found = parse_add_checkpoint(vector["request"].encode())
    assert (found.old_size, found.checkpoint.origin, found.checkpoint.size) == (3, "example.org/log", 5)
    assert [h[:6] for h in found.proof] == [bytes([0, 0, 0, 28, 14, 71])]
    for lines in vector["signature_lines"]:
        answer = parse_answer(200, "", lines.encode())
        assert isinstance(answer, Cosigned)
        assert encode_cosigned(answer.signatures) == lines.encode()
        (line,) = [s for s in answer.signatures if s.name == "example.org/witness-key"]
        assert line.key_id == bytes([117, 230, 157, 109])
        assert int.from_bytes(line.signature[:8], "big") == 0xE79FF9D79A75CA1D
