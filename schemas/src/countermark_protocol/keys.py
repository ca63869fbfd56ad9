"""Public keys, key ids, and the closed list of algorithms.

Algorithms have numbers that are never reused; which one a key uses is part of the key, never of a
message. A key id is the hash of algorithm number and public key, so whoever resolves an id to a key
need not be trusted.

Sources: RFC 8032 (Ed25519), FIPS 186-5 (ECDSA P-256), FIPS 204 (ML-DSA-65), draft-connolly-cfrg-xwing-kem
(ML-KEM-768 with X25519), draft-ietf-hpke-pq (ML-KEM-1024 with P-384), docs/spec/keys.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, utils

from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    labelled_hash,
    malformed,
    parse_base64url,
)
from countermark_protocol.errors import SignatureError, UncheckableError, VerificationError
from countermark_protocol.identifiers import KeyId


class Algorithm(IntEnum):
    """NOTE: numbers are wire format: never reuse, never renumber.

    Reserved: 32 ML-DSA-44, of witnesses, whose keys stand in no record. It is refused as `UncheckableError`.
    """

    ED25519 = 1
    ES256 = 2
    ML_DSA_65 = 3
    XWING = 16
    MLKEM1024_P384 = 17


#: The name of each algorithm in JSON and, for signatures, in the JWS header (RFC 7518, RFC 9864).
ALGORITHM_NAMES: Final = {
    Algorithm.ED25519: "Ed25519",
    Algorithm.ES256: "ES256",
    Algorithm.ML_DSA_65: "ML-DSA-65",
    Algorithm.XWING: "ML-KEM-768+X25519",
    Algorithm.MLKEM1024_P384: "ML-KEM-1024+P-384",
}
_BY_NAME: Final = {name: algorithm for algorithm, name in ALGORITHM_NAMES.items()}
_BY_NUMBER: Final = {int(algorithm): algorithm for algorithm in Algorithm}
_RESERVED_NAMES: Final = frozenset({"ML-DSA-44"})
_RESERVED_NUMBERS: Final = frozenset({32})

#: Of keys that sign by themselves; beside one of these an ML-DSA-65 key may stand as its second half.
SIGNATURE_ALGORITHMS: Final = frozenset({Algorithm.ED25519, Algorithm.ES256})
SEALING_ALGORITHMS: Final = frozenset({Algorithm.XWING, Algorithm.MLKEM1024_P384})
#: Raw sizes in bytes: points of NIST curves are uncompressed; sealing keys are the ML-KEM key (1,184 or 1,568), then
#: the curve's (32 or 97).
PUBLIC_KEY_BYTES: Final = {
    Algorithm.ED25519: 32,
    Algorithm.ES256: 65,
    Algorithm.ML_DSA_65: 1952,
    Algorithm.XWING: 1216,
    Algorithm.MLKEM1024_P384: 1665,
}
SIGNATURE_BYTES: Final = 64
SECOND_SIGNATURE_BYTES: Final = 3309

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_P = 2**255 - 19
# y coordinates of the eight points of small order. A key there verifies signatures nobody made, and
# libraries disagree on them; so all implementations of this protocol refuse them (docs/spec/keys.md §3).
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _ED25519_P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)


def parse_algorithm(number: int) -> Algorithm:
    """Parse an algorithm number of the closed list.

    Raises:
        UncheckableError: reserved, but not supported by this version.
        MalformedError: not on the list at all.
    """
    algorithm = _BY_NUMBER.get(number)
    if algorithm is None:
        if number in _RESERVED_NUMBERS:
            raise UncheckableError(
                "algorithm_reserved", f"algorithm {number} is reserved and not supported by this version"
            )
        malformed("unknown_algorithm", f"algorithm {number} is not on the closed list of docs/spec/keys.md")
    return algorithm


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that has been checked to be a valid one of its algorithm.

    Attributes:
        algorithm: one of the closed list.
        raw: its fixed-size raw form (`PUBLIC_KEY_BYTES`).
        second: the ML-DSA-65 key that it is paired with, without which it does not count; None of most keys.
    """

    algorithm: Algorithm
    raw: bytes
    second: PublicKey | None = None

    @property
    def key_id(self) -> KeyId:
        """Hash of algorithm and public key, 32 bytes; of a pair that of its first half, which names the pair."""
        return _key_id(self.algorithm, self.raw)

    @property
    def is_signing(self) -> bool:
        """Whether this key signs by itself (else it seals, or is the second half of a pair)."""
        return self.algorithm in SIGNATURE_ALGORITHMS

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a raw signature over `message`, by this key alone: that of its second half is another one.

        Raises:
            SignatureError: wrong size, high-S, or not this key's signature over this message.
            ValueError: this is not a signing key.
        """
        _VERIFIERS[self.algorithm](self.raw, message, signature)

    def to_json(self) -> JsonObject:
        """``{"alg": …, "pub": …}``, of a pair with ``"second"`` beside."""
        out: JsonObject = {"alg": ALGORITHM_NAMES[self.algorithm], "pub": encode_base64url(self.raw)}
        return out if self.second is None else {**out, "second": self.second.to_json()}


@lru_cache(maxsize=4096)
def _key_id(algorithm: Algorithm, raw: bytes) -> KeyId:
    return KeyId(labelled_hash("key", int(algorithm).to_bytes(2, "big"), raw))


class Signer(Protocol):
    """Holds a private key, or reaches one in a token. Never shows it."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`: 64 bytes (ECDSA ones are low-S), of ML-DSA-65 3,309."""
        ...


@lru_cache(maxsize=4096)
def _ed25519_key(raw: bytes) -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=4096)
def _p256_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)


def _signature_error(code: str, message: str) -> SignatureError:
    return SignatureError(code, message)


@lru_cache(maxsize=4096)
def _mldsa65_key(raw: bytes) -> mldsa.MLDSA65PublicKey:
    return mldsa.MLDSA65PublicKey.from_public_bytes(raw)


def _check_size(signature: bytes, expected: int = SIGNATURE_BYTES) -> None:
    if len(signature) != expected:
        raise _signature_error(
            "signature_size", f"expected a raw signature of {expected} bytes, got {len(signature)}"
        )


def _verify_ed25519(raw: bytes, message: bytes, signature: bytes) -> None:
    _check_size(signature)
    try:
        _ed25519_key(raw).verify(signature, message)
    except InvalidSignature:
        raise _signature_error("bad_signature", "Ed25519 signature does not verify") from None


def _verify_es256(raw: bytes, message: bytes, signature: bytes) -> None:
    _check_size(signature)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > _P256_ORDER // 2:
        # (r, n-s) verifies too: without this rule anyone could make a second valid document of one.
        raise _signature_error(
            "high_s", "ECDSA signature has a high S: expected S at most half the group order"
        )
    try:
        _p256_key(raw).verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise _signature_error("bad_signature", "ECDSA signature does not verify") from None


def _verify_mldsa65(raw: bytes, message: bytes, signature: bytes) -> None:
    _check_size(signature, SECOND_SIGNATURE_BYTES)
    try:
        _mldsa65_key(raw).verify(signature, message)
    except InvalidSignature:
        raise _signature_error("bad_signature", "ML-DSA-65 signature does not verify") from None


def _verify_sealing(_raw: bytes, _message: bytes, _signature: bytes) -> None:
    msg = "a sealing key verifies no signatures"
    raise ValueError(msg)


_VERIFIERS: Final[dict[Algorithm, Callable[[bytes, bytes, bytes], None]]] = {
    Algorithm.ED25519: _verify_ed25519,
    Algorithm.ES256: _verify_es256,
    Algorithm.ML_DSA_65: _verify_mldsa65,
    Algorithm.XWING: _verify_sealing,
    Algorithm.MLKEM1024_P384: _verify_sealing,
}


def low_s(signature: bytes) -> bytes:
    """Bring a raw ECDSA P-256 signature (64 bytes) to its low-S form."""
    s = int.from_bytes(signature[32:], "big")
    if s > _P256_ORDER // 2:
        s = _P256_ORDER - s
    return signature[:32] + s.to_bytes(32, "big")


def parse_public_key(algorithm: int, raw: bytes) -> PublicKey:
    """Check a raw public key.

    Raises:
        MalformedError: wrong size, not on the curve, non-canonical, or of small order.
        UncheckableError: an algorithm reserved for later.
    """
    known = parse_algorithm(algorithm)
    if len(raw) != PUBLIC_KEY_BYTES[known]:
        malformed(
            "key_size",
            f"{ALGORITHM_NAMES[known]} public key must have {PUBLIC_KEY_BYTES[known]} bytes, got {len(raw)}",
        )
    if known is Algorithm.ED25519:
        _check_ed25519_point(raw)
    elif known is Algorithm.ES256:
        _check_point(ec.SECP256R1(), raw)
    elif known is Algorithm.XWING:
        _check_coefficients(raw[: 384 * 3], "ML-KEM-768")
        _check_x25519(raw[1184:])
    elif known is Algorithm.MLKEM1024_P384:
        _check_coefficients(raw[: 384 * 4], "ML-KEM-1024")
        _check_point(ec.SECP384R1(), raw[1568:])
    return PublicKey(known, raw)


def _check_ed25519_point(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _ED25519_P:
        malformed("key_invalid", "Ed25519 public key is not canonical (y is not below 2^255 - 19)")
    if y in _SMALL_ORDER_Y:
        malformed("key_invalid", "Ed25519 public key is a point of small order")


def _check_point(curve: ec.EllipticCurve, raw: bytes) -> None:
    name = {"secp256r1": "P-256", "secp384r1": "P-384"}[curve.name]
    if raw[0] != 4:
        malformed("key_invalid", f"{name} public key must be an uncompressed point")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, raw)
    except ValueError:
        malformed("key_invalid", f"{name} public key is not a point of the curve")


_MLKEM_Q: Final = 3329


def _check_coefficients(vector: bytes, name: str) -> None:
    # FIPS 203 §7.2 modulus check: every 12-bit coefficient is below q. Checked here, without the sealing
    # library, so that the broker can refuse a key that no sender could use.
    for i in range(0, len(vector), 3):
        low = vector[i] | (vector[i + 1] & 0x0F) << 8
        high = vector[i + 1] >> 4 | vector[i + 2] << 4
        if low >= _MLKEM_Q or high >= _MLKEM_Q:
            malformed("key_invalid", f"{name} public key has a coefficient outside the field")


def _check_x25519(raw: bytes) -> None:
    # X25519 ignores the highest bit; with it set this would be a second key id for the same key, to which
    # nothing ever opens, since the combiner hashes the bytes as they are.
    u = int.from_bytes(raw, "little")
    if u in _X25519_LOW_ORDER or u >= _ED25519_P:
        malformed("key_invalid", "X25519 public key is not canonical or of low order")


# u coordinates of small order on Curve25519 and its twist (RFC 7748 §6.1 leaves the check to us).
_X25519_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _ED25519_P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


def parse_pair_json(value: Any, what: str = "key") -> PublicKey:
    """Parse a key that may be paired: ``{"alg": …, "pub": …}``, or with ``"second"``, an ML-DSA-65 key, beside.

    Raises:
        MalformedError: as `parse_key_json`; ``wrong_algorithm``: a half of another algorithm.
        UncheckableError: an algorithm reserved for later.
    """
    if not isinstance(value, dict) or "second" not in value:
        return parse_key_json(value, what)
    first = parse_key_json({name: member for name, member in value.items() if name != "second"}, what)
    second = parse_key_json(value["second"], f"second half of {what}")
    if not first.is_signing or second.algorithm is not Algorithm.ML_DSA_65:
        malformed("wrong_algorithm", f"{what} must be a signing key, and its second half an ML-DSA-65 key")
    return replace(first, second=second)


def parse_key_json(value: Any, what: str = "key") -> PublicKey:
    """Parse ``{"alg": …, "pub": …}``.

    Raises:
        MalformedError: not of this shape, or not a valid key.
        UncheckableError: an algorithm reserved for later.
    """
    if not isinstance(value, dict) or set(value) != {"alg", "pub"}:
        malformed("key_shape", f"{what} must be an object with exactly the members 'alg' and 'pub'")
    name = value["alg"]
    if not isinstance(name, str) or name not in _BY_NAME:
        if isinstance(name, str) and name in _RESERVED_NAMES:
            raise UncheckableError(
                "algorithm_reserved", f"algorithm of {what} is not supported by this version"
            )
        malformed("unknown_algorithm", f"algorithm of {what} is not on the closed list of docs/spec/keys.md")
    return parse_public_key(_BY_NAME[name], parse_base64url(value["pub"], what, limit=4096))


def fingerprint(digest: bytes) -> str:
    """Eight groups of four hexadecimal digits, to compare by voice: the first 16 bytes of a digest."""
    text = digest[:16].hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def check_fingerprint(digest: bytes, expected: str) -> None:
    """Check that a founding is the one whose fingerprint people have compared.

    Args:
        digest: payload hash of the founding, 32 bytes.
        expected: its fingerprint, or that whole hash; blanks and case do not count.

    Raises:
        VerificationError: ``other_fingerprint``.
    """
    if "".join(expected.split()).lower() not in {digest.hex(), digest[:16].hex()}:
        raise VerificationError(
            "other_fingerprint",
            f"this log has the fingerprint {fingerprint(digest)}, not the one expected",
        )


def sha256(data: bytes) -> bytes:
    """Plain SHA-256: only where an outside format demands it (Merkle tree, trie keys)."""
    return hashlib.sha256(data).digest()
