"""Private signing keys held in memory. Tokens (PKCS#11) implement the same `keys.Signer`.

Source: docs/spec/keys.md §4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, utils

from countermark_protocol.keys import Algorithm, PublicKey, Signer, low_s

#: The private form that keystores keep, for all algorithms: seed or scalar, 32 bytes.
PRIVATE_BYTES: Final = 32


class Ed25519Signer:
    """Signs with Ed25519 (RFC 8032).

    Args:
        seed: 32 uniformly random bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self._public = PublicKey(Algorithm.ED25519, self._private.public_key().public_bytes_raw())

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 64 bytes."""
        return self._private.sign(message)


class Es256Signer:
    """Signs with ECDSA over P-256 and SHA-256, low-S (FIPS 186-5).

    Args:
        scalar: 32 bytes, big-endian, from 1 to the group order less one.
    """

    def __init__(self, scalar: bytes) -> None:
        self._private = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self._public = PublicKey(
            Algorithm.ES256, b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        )

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 64 bytes, low-S."""
        r, s = utils.decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
        return low_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class MlDsa65Signer:
    """Signs with ML-DSA-65 (FIPS 204, hedged, empty context): the second half of a pair, never by itself.

    Args:
        seed: 32 uniformly random bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._private = mldsa.MLDSA65PrivateKey.from_seed_bytes(seed)
        self._public = PublicKey(Algorithm.ML_DSA_65, self._private.public_key().public_bytes_raw())

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 3,309 bytes."""
        return self._private.sign(message)


class PairSigner:
    """Two keys that sign documents together and count as one; requests are signed by the first alone.

    Args:
        first: of a key that signs by itself, in memory or in a token.
        second: the ML-DSA-65 key beside it.
    """

    def __init__(self, first: Signer, second: Signer) -> None:
        self.first, self.second = first, second
        self._public = replace(first.public_key, second=second.public_key)

    @property
    def public_key(self) -> PublicKey:
        """The public halves."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message` by the first key."""
        return self.first.sign(message)


def load_signer(algorithm: Algorithm, private: bytes, second: bytes | None = None) -> Signer:
    """The signer of a private key as kept: 32 bytes, and of a pair the second half's 32.

    Raises:
        ValueError: not a signing algorithm, or not a private key of it.
    """
    if second is not None:
        return PairSigner(load_signer(algorithm, private), MlDsa65Signer(second))
    if len(private) != PRIVATE_BYTES:
        msg = f"a private signing key has {PRIVATE_BYTES} bytes"
        raise ValueError(msg)
    if algorithm is Algorithm.ED25519:
        return Ed25519Signer(private)
    if algorithm is Algorithm.ES256:
        return Es256Signer(private)
    msg = "not a signing algorithm"
    raise ValueError(msg)
