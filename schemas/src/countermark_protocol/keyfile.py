"""Encrypted key files: private keys under a passphrase, as one strict JSON document.

The passphrase goes through Argon2id (RFC 9106 §4, second recommended option: 64 MiB, 3 passes, 4 lanes);
the keys are sealed with AES-256-GCM whose additional data is the file's own header, so neither a parameter
nor a label can be changed unseen. Parameters are fixed: a file that names others is refused, so nobody can
make a reader spend more, or a writer spend less.

Source: docs/spec/keys.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    encode_base64url,
    encode_json,
    labelled_bytes,
    malformed,
    parse_base64url,
    parse_json,
    parse_object,
)
from countermark_protocol.errors import SealError
from countermark_protocol.keys import ALGORITHM_NAMES, SIGNATURE_ALGORITHMS, Algorithm

FORMAT: Final = "countermark-keys-1"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
MAX_KEYS: Final = 256
_KDF: Final = {"name": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 4}
#: The key derivation as it stands in headers that bind it.
KDF_JSON: Final = encode_json(_KDF)
_BY_NAME: Final = {name: algorithm for algorithm, name in ALGORITHM_NAMES.items()}


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One private key in a key file.

    Attributes:
        use: what it is for, e.g. ``instance``, ``administrator``, ``sealing``, ``log``, ``node``.
        algorithm: of the key.
        private: seed or scalar, 32 bytes. Its ``repr`` is hidden.
        second: seed of the ML-DSA-65 key that it is paired with, 32 bytes; None of most keys.
    """

    use: str
    algorithm: Algorithm
    private: bytes
    second: bytes | None = None

    def __repr__(self) -> str:
        """Never shows the private key."""
        return f"StoredKey(use={self.use!r}, algorithm={self.algorithm.name}, private=…)"


def _derive(passphrase: str, salt: bytes) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536)
    return kdf.derive(passphrase.encode("utf-8"))


def derive_key(passphrase: str, salt: bytes) -> bytes:
    """32 bytes by Argon2id with the fixed parameters, for files sealed under a passphrase (sealed_file.py)."""
    return _derive(passphrase, salt)


def _header(salt: bytes, nonce: bytes) -> bytes:
    return labelled_bytes("key-file", FORMAT.encode(), KDF_JSON, salt, nonce)


def encode_key_file(keys: tuple[StoredKey, ...], passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    """Encrypt private keys.

    Args:
        keys: at least one.
        passphrase: not empty.
        salt: 16 random bytes.
        nonce: 12 random bytes.

    Raises:
        ValueError: no keys, an empty passphrase, or sizes that are not as stated.
    """
    if not keys or not passphrase or len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        msg = "expected keys, a passphrase, 16 bytes of salt and 12 of nonce"
        raise ValueError(msg)
    plain = encode_json(
        [
            {
                "use": k.use,
                "alg": ALGORITHM_NAMES[k.algorithm],
                "private": encode_base64url(k.private),
                **({"second": encode_base64url(k.second)} if k.second is not None else {}),
            }
            for k in keys
        ]
    )
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, plain, _header(salt, nonce))
    return encode_json(
        {
            "format": FORMAT,
            "kdf": _KDF,
            "salt": encode_base64url(salt),
            "nonce": encode_base64url(nonce),
            "sealed": encode_base64url(sealed),
        }
    )


def _sized(claims: Claims, name: str, size: int) -> bytes:
    data = parse_base64url(claims.raw(name), f"'{name}' of key file")
    if len(data) != size:
        claims.bad(name, f"{size} bytes in base64url")
    return data


def parse_key_file(data: bytes, passphrase: str) -> tuple[StoredKey, ...]:
    """Decrypt a key file.

    Raises:
        MalformedError: not a key file of this format.
        SealError: ``wrong_passphrase``: it does not open (or was altered; the two look alike).
    """
    claims = Claims(parse_object(data, "key file"), "key file")
    if claims.raw("format") != FORMAT or claims.raw("kdf") != _KDF:
        malformed("unknown_version", f"expected a key file of format '{FORMAT}' with its fixed parameters")
    salt, nonce = _sized(claims, "salt", SALT_BYTES), _sized(claims, "nonce", NONCE_BYTES)
    sealed = parse_base64url(claims.raw("sealed"), "'sealed' of key file")
    claims.done()
    try:
        plain = AESGCM(_derive(passphrase, salt)).decrypt(nonce, sealed, _header(salt, nonce))
    except InvalidTag:
        raise SealError("wrong_passphrase", "the key file does not open with this passphrase") from None
    stored = Claims({"keys": parse_json(plain, "key file")}, "key file")
    out: list[StoredKey] = []
    for value in stored.items("keys", 1, MAX_KEYS):
        key = Claims(value, "stored key")
        name = key.text("alg", 32)
        if name not in _BY_NAME:
            key.bad("alg", "an algorithm of docs/spec/keys.md")
        algorithm = _BY_NAME[name]
        if algorithm is Algorithm.ML_DSA_65 or (key.has("second") and algorithm not in SIGNATURE_ALGORITHMS):
            key.bad("alg", "ML-DSA-65 as the second half of a signing key alone")
        second = _sized(key, "second", 32) if key.has("second") else None
        out.append(StoredKey(key.text("use", 64), algorithm, _sized(key, "private", 32), second))
        key.done()
    return tuple(out)
