"""Public keys: which are keys at all, what an id binds, and which signatures count."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from countermark_protocol.encoding import encode_base64url, labelled_hash
from countermark_protocol.errors import CountermarkError, MalformedError, SignatureError, UncheckableError
from countermark_protocol.keys import (
    Algorithm,
    PublicKey,
    fingerprint,
    low_s,
    parse_algorithm,
    parse_key_json,
    parse_public_key,
    sha256,
)
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import Ed25519Signer, Es256Signer
from support.world import seed

ED = Ed25519Signer(seed("ed"))
ES = Es256Signer(seed("es"))
SEALING = SealingKey(seed("sealing")).public_key
LARGE = SealingKey(seed("sealing"), Algorithm.MLKEM1024_P384).public_key
P = 2**255 - 19
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code)


@pytest.mark.parametrize(
    "key", [ED.public_key, ES.public_key, SEALING, LARGE], ids=lambda k: k.algorithm.name
)
def test_a_key_reads_back_from_both_forms(key):
    assert parse_public_key(key.algorithm, key.raw) == key
    assert parse_key_json(key.to_json()) == key
    assert key.key_id == labelled_hash("key", int(key.algorithm).to_bytes(2, "big"), key.raw)
    assert key.is_signing == (key not in (SEALING, LARGE))


def test_an_id_binds_the_algorithm():
    raw = bytes(range(32))
    assert PublicKey(Algorithm.ED25519, raw).key_id != PublicKey(Algorithm.XWING, raw).key_id


@pytest.mark.parametrize(
    "key", [ED.public_key, ES.public_key, SEALING, LARGE], ids=lambda k: k.algorithm.name
)
@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\x00", lambda raw: b""])
def test_sizes_are_exact(key, change):
    refused(MalformedError, "key_size", parse_public_key, key.algorithm, change(key.raw))


@pytest.mark.parametrize("number", [32])
def test_reserved_algorithms_cannot_be_checked(number):
    refused(UncheckableError, "algorithm_reserved", parse_algorithm, number)
    refused(UncheckableError, "algorithm_reserved", parse_public_key, number, bytes(32))


@pytest.mark.parametrize("number", [0, 4, 15, 999, 65535, -1])
def test_other_algorithms_do_not_exist(number):
    refused(MalformedError, "unknown_algorithm", parse_algorithm, number)


@pytest.mark.parametrize(
    "y",
    [
        0,
        1,
        P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
        P,
        P + 1,
        2**255 - 1,
    ],
)
@pytest.mark.parametrize("sign", [0, 1])
def test_ed25519_points_of_small_order_and_other_spellings(y, sign):
    raw = (y | sign << 255).to_bytes(32, "little")
    refused(MalformedError, "key_invalid", parse_public_key, Algorithm.ED25519, raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"\x02" + raw[1:],
        lambda raw: b"\x00" + raw[1:],
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: b"\x04" + bytes(64),
        lambda raw: b"\x04" + b"\xff" * 64,
    ],
)
def test_p256_points_off_the_curve(change):
    refused(MalformedError, "key_invalid", parse_public_key, Algorithm.ES256, change(ES.public_key.raw))


@pytest.mark.parametrize(("key", "end"), [(SEALING, 1152), (LARGE, 1536)], ids=["768", "1024"])
def test_ml_kem_coefficients_are_below_q(key, end):
    raw = bytearray(key.raw)
    raw[0:2] = (3329 | (raw[1] >> 4) << 12).to_bytes(2, "little")
    refused(MalformedError, "key_invalid", parse_public_key, key.algorithm, bytes(raw))
    raw = bytearray(key.raw)
    raw[end - 2 : end] = b"\xff\xff"
    refused(MalformedError, "key_invalid", parse_public_key, key.algorithm, bytes(raw))


@pytest.mark.parametrize(
    "change",
    [
        lambda point: b"\x02" + point[1:],
        lambda point: point[:-1] + bytes([point[-1] ^ 1]),
        lambda point: b"\x04" + bytes(96),
        lambda point: b"\x04" + b"\xff" * 96,
    ],
)
def test_p384_points_off_the_curve(change):
    raw = LARGE.raw[:1568] + change(LARGE.raw[1568:])
    refused(MalformedError, "key_invalid", parse_public_key, Algorithm.MLKEM1024_P384, raw)


@pytest.mark.parametrize(
    "u",
    [
        0,
        1,
        P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        P,
        P + 1,
        2**255 - 1,
    ],
)
def test_x25519_points_of_low_order_and_other_spellings(u):
    raw = SEALING.raw[:1184] + u.to_bytes(32, "little")
    refused(MalformedError, "key_invalid", parse_public_key, Algorithm.XWING, raw)


def test_x25519_has_no_second_spelling_by_the_unused_bit():
    # X25519 ignores bit 255, so this would be a second key id for the same key, and X-Wing hashes the bytes:
    # nothing that was sealed to it would ever open.
    raw = SEALING.raw[:-1] + bytes([SEALING.raw[-1] | 0x80])
    refused(MalformedError, "key_invalid", parse_public_key, Algorithm.XWING, raw)


@pytest.mark.parametrize(
    ("error", "code", "value"),
    [
        (MalformedError, "key_shape", None),
        (MalformedError, "key_shape", "Ed25519"),
        (MalformedError, "key_shape", {}),
        (MalformedError, "key_shape", {"alg": "Ed25519"}),
        (MalformedError, "key_shape", ED.public_key.to_json() | {"kid": "x"}),
        (MalformedError, "unknown_algorithm", {"alg": "none", "pub": ""}),
        (MalformedError, "unknown_algorithm", {"alg": "EdDSA", "pub": ""}),
        (MalformedError, "unknown_algorithm", {"alg": 1, "pub": ""}),
        (MalformedError, "unknown_algorithm", {"alg": None, "pub": ""}),
        (MalformedError, "unknown_algorithm", {"alg": ["Ed25519"], "pub": ""}),
        (MalformedError, "unknown_algorithm", {"alg": {"a": 1}, "pub": ""}),
        (MalformedError, "key_size", {"alg": "ML-DSA-65", "pub": ""}),
        (UncheckableError, "algorithm_reserved", {"alg": "ML-DSA-44", "pub": ""}),
        (MalformedError, "key_size", {"alg": "ML-KEM-1024+P-384", "pub": ""}),
        (MalformedError, "not_base64url", {"alg": "Ed25519", "pub": "="}),
        (MalformedError, "not_base64url", {"alg": "Ed25519", "pub": None}),
        (MalformedError, "not_base64url", {"alg": "Ed25519", "pub": "A" * 5000}),
        (MalformedError, "key_size", {"alg": "Ed25519", "pub": encode_base64url(bytes(31))}),
    ],
)
def test_json_that_is_no_key(error, code, value):
    refused(error, code, parse_key_json, value)


# --- signatures ---


@pytest.mark.parametrize("signer", [ED, ES], ids=["Ed25519", "ES256"])
def test_a_signature_is_of_one_key_and_one_message(signer):
    raw = signer.sign(b"message")
    signer.public_key.verify(b"message", raw)
    refused(SignatureError, "bad_signature", signer.public_key.verify, b"massage", raw)
    other = type(signer)(seed("other")).public_key
    refused(SignatureError, "bad_signature", other.verify, b"message", raw)
    for size in (0, 63, 65):
        refused(
            SignatureError, "signature_size", signer.public_key.verify, b"message", (raw + b"\x00")[:size]
        )


def test_high_s_is_refused_and_made_low():
    raw = ES.sign(b"message")
    s = int.from_bytes(raw[32:], "big")
    assert s <= ORDER // 2
    high = raw[:32] + (ORDER - s).to_bytes(32, "big")
    # It is a valid ECDSA signature: that is the point.
    numbers = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ES.public_key.raw)
    r = int.from_bytes(raw[:32], "big")
    numbers.verify(utils.encode_dss_signature(r, ORDER - s), b"message", ec.ECDSA(hashes.SHA256()))
    refused(SignatureError, "high_s", ES.public_key.verify, b"message", high)
    assert low_s(high) == low_s(raw) == raw


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (1, 1), (ORDER, 1), (2**256 - 1, ORDER // 2)])
def test_ecdsa_numbers_out_of_range_verify_nothing(r, s):
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    refused(SignatureError, "bad_signature", ES.public_key.verify, b"message", raw)


def test_a_y_without_a_point_verifies_nothing():
    # y = 2 is on no point of the curve. Nobody can sign with it; reading it as a key does no harm.
    key = PublicKey(Algorithm.ED25519, (2).to_bytes(32, "little"))
    refused(SignatureError, "bad_signature", key.verify, b"message", bytes(64))


def test_a_sealing_key_verifies_nothing():
    with pytest.raises(ValueError, match="verifies no signatures"):
        SEALING.verify(b"message", bytes(64))


def test_fingerprint_and_hash():
    assert fingerprint(bytes(range(32))) == "0001 0203 0405 0607 0809 0a0b 0c0d 0e0f"
    assert sha256(b"").hex().startswith("e3b0c442")
