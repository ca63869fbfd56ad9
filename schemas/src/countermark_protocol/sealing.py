"""Sealing: content under a fresh key, and that key wrapped to each recipient. Never imported by the broker.

Content is sealed once, in chunks with a key commitment (chunks.py), whatever the recipients' keys are. The
content key and the *opener* (from which the part salts come) are wrapped by HPKE (RFC 9180, base mode,
AES-256-GCM) in the suite of each recipient's key, whose ``info`` names everything the stanza belongs to, so a
stanza lifted into another message, or a ciphertext swapped under it, opens nothing.

Source: docs/spec/sealing.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from countermark_protocol.chunks import open_chunks, seal_chunks
from countermark_protocol.encoding import Reader, labelled_bytes, labelled_hash, labelled_hmac
from countermark_protocol.errors import SealError
from countermark_protocol.identifiers import Address, KeyId, MessageId, Origin
from countermark_protocol.keys import ALGORITHM_NAMES, SEALING_ALGORITHMS, Algorithm, PublicKey
from countermark_protocol.manifest import MAX_CONTENT_BYTES, SealedContent
from countermark_protocol.padding import check_padding, pad
from countermark_protocol.parts import Part, commitment_of, encode_parts, parse_parts

SECRET_BYTES: Final = 32
_SUITES: Final = {
    Algorithm.XWING: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    Algorithm.MLKEM1024_P384: hpke.Suite(
        hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM
    ),
}


class SealingKey:
    """A private sealing key, from its 32-byte seed.

    Args:
        seed: 32 uniformly random bytes; the key's only secret, and what a keystore keeps.
        algorithm: of the key.

    Raises:
        ValueError: another size, no sealing algorithm, or one of the 2^-190 of all seeds that give no P-384 key.

    Source: draft-connolly-cfrg-xwing-kem §5.2; draft-irtf-cfrg-concrete-hybrid-kems (MLKEM1024-P384).
    """

    def __init__(self, seed: bytes, algorithm: Algorithm = Algorithm.XWING) -> None:
        if len(seed) != SECRET_BYTES:
            msg = f"a sealing key's seed has {SECRET_BYTES} bytes"
            raise ValueError(msg)
        if algorithm not in SEALING_ALGORITHMS:
            msg = f"not a sealing algorithm: {ALGORITHM_NAMES[algorithm]}"
            raise ValueError(msg)
        self._private: hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey
        if algorithm is Algorithm.XWING:
            self._private, raw = _expand_xwing(seed)
        else:
            self._private, raw = _expand_mlkem1024_p384(seed)
        self._suite = _SUITES[algorithm]
        self._public = PublicKey(algorithm, raw)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open what was sealed to this key under `info`.

        Raises:
            SealError: ``stanza_does_not_open``; the same error whatever the reason, so that nothing is learnt.
        """
        try:
            return self._suite.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError):
            raise SealError(
                "stanza_does_not_open", "the stanza does not open with this key for this message"
            ) from None


def _expand_xwing(seed: bytes) -> tuple[hpke.MLKEM768X25519PrivateKey, bytes]:
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    raw = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(lattice, curve), raw


def _expand_mlkem1024_p384(seed: bytes) -> tuple[hpke.MLKEM1024P384PrivateKey, bytes]:
    expanded = hashlib.shake_256(seed).digest(112)
    lattice = mlkem.MLKEM1024PrivateKey.from_seed_bytes(expanded[:64])
    curve = ec.derive_private_key(int.from_bytes(expanded[64:], "big"), ec.SECP384R1())
    point = curve.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hpke.MLKEM1024P384PrivateKey(lattice, curve), lattice.public_key().public_bytes_raw() + point


def seal_to(key: PublicKey, info: bytes, plaintext: bytes) -> bytes:
    """Seal to a key under `info`, single shot: HPKE enc ‖ ciphertext.

    Raises:
        ValueError: not a sealing key.
    """
    if key.algorithm is Algorithm.XWING:
        return _SUITES[key.algorithm].encrypt(
            plaintext,
            hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(key.raw[:1184]),
                x25519.X25519PublicKey.from_public_bytes(key.raw[1184:]),
            ),
            info,
        )
    if key.algorithm is Algorithm.MLKEM1024_P384:
        return _SUITES[key.algorithm].encrypt(
            plaintext,
            hpke.MLKEM1024P384PublicKey(
                mlkem.MLKEM1024PublicKey.from_public_bytes(key.raw[:1568]),
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), key.raw[1568:]),
            ),
            info,
        )
    msg = "not a sealing key"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class MessageBinding:
    """What every stanza of a message is bound to.

    Attributes:
        log: origin.
        message_id: of the message.
        type: of the message.
        sender: who sends it.
        ciphertexts: digests of *all* ciphertexts: the content's, then each attachment's.
    """

    log: Origin
    message_id: MessageId
    type: str
    sender: Address
    ciphertexts: tuple[bytes, ...]

    def info(self, recipient: Address, key_id: KeyId) -> bytes:
        """The HPKE ``info`` of one recipient's stanza."""
        return labelled_bytes(
            "stanza-info",
            self.log.encode(),
            self.message_id.encode(),
            self.type.encode(),
            self.sender.encode(),
            recipient.encode(),
            key_id,
            b"".join(self.ciphertexts),
        )


@dataclass(frozen=True, slots=True)
class ContentSecrets:
    """What a stanza holds.

    Attributes:
        content_key: 32 bytes, fresh for every message.
        opener: 32 bytes, from which the part salts are derived.
    """

    content_key: bytes
    opener: bytes


def ciphertext_digest(ciphertext: bytes) -> bytes:
    """What the manifest and the stanzas hold of a ciphertext, 32 bytes."""
    return labelled_hash("ciphertext", ciphertext)


def wrap_secrets(recipient_key: PublicKey, info: bytes, secrets: ContentSecrets) -> bytes:
    """One recipient's stanza: 1,200 bytes for ML-KEM-768+X25519, 1,745 for ML-KEM-1024+P-384.

    Args:
        recipient_key: the recipient's current sealing key, from the proven directory.
        info: `MessageBinding.info` for that recipient and key.
        secrets: of this message.
    """
    return seal_to(recipient_key, info, secrets.content_key + secrets.opener)


def unwrap_secrets(key: SealingKey, info: bytes, stanza: bytes) -> ContentSecrets:
    """Open one's own stanza.

    Raises:
        SealError: it does not open for this key and message.
    """
    secret = key.open(stanza, info)
    if len(secret) != 2 * SECRET_BYTES:
        raise SealError("stanza_does_not_open", "the stanza does not open with this key for this message")
    return ContentSecrets(secret[:SECRET_BYTES], secret[SECRET_BYTES:])


def _content_key(secrets: ContentSecrets) -> bytes:
    # A key of its own for each ciphertext of a message, so that none can stand in for another.
    return labelled_hmac("content-key", secrets.content_key)


def seal_content(parts: Sequence[Part], secrets: ContentSecrets, salt: bytes) -> tuple[bytes, SealedContent]:
    """Seal a list of parts.

    Args:
        parts: the whole content (parts.split_content).
        secrets: fresh for this message.
        salt: 24 random bytes.

    Returns:
        The ciphertext, and what the manifest says of it.

    Raises:
        SealError: ``content_too_large``.
    """
    ciphertext = seal_chunks(_content_key(secrets), pad(encode_parts(parts)), salt, b"")
    if len(ciphertext) > MAX_CONTENT_BYTES:
        raise SealError(
            "content_too_large",
            f"sealed content has {len(ciphertext)} bytes, expected at most {MAX_CONTENT_BYTES}: split the message",
        )
    return ciphertext, SealedContent(
        ciphertext_digest(ciphertext), len(ciphertext), commitment_of(parts, secrets.opener)
    )


def open_content(ciphertext: bytes, secrets: ContentSecrets, expected: SealedContent) -> tuple[Part, ...]:
    """Open content and check that it is exactly what the manifest committed to.

    Args:
        ciphertext: as fetched; its digest need not be checked before.
        secrets: from the recipient's own stanza.
        expected: from the verified manifest.

    Raises:
        SealError: ``content_swapped`` (another ciphertext), ``wrong_key``, ``truncated_ciphertext``,
            ``altered_ciphertext``, ``non_zero_padding`` or ``commitment_mismatch``.
        MalformedError: the plaintext is not a list of parts.
    """
    if len(ciphertext) != expected.size or ciphertext_digest(ciphertext) != expected.digest:
        raise SealError("content_swapped", "the ciphertext is not the one that the manifest names")
    plaintext = open_chunks(_content_key(secrets), ciphertext, b"")
    reader = Reader(plaintext, "content")
    parts = parse_parts(reader)
    encoded_size = len(encode_parts(parts))
    check_padding(encoded_size, plaintext)
    if commitment_of(parts, secrets.opener) != expected.commitment:
        raise SealError(
            "commitment_mismatch", "the opened content is not the one that the manifest commits to"
        )
    return parts


def rejection_info(log: Origin, message: bytes, author: Address, sender: Address, key_id: KeyId) -> bytes:
    """The HPKE ``info`` under which details of a rejection are sealed to the message's sender."""
    return labelled_bytes(
        "rejection-details", log.encode(), message, author.encode(), sender.encode(), key_id
    )


def seal_details(sender_key: PublicKey, info: bytes, details: bytes) -> bytes:
    """Seal details of a rejection to the message's sender; opaque to the broker."""
    return seal_to(sender_key, info, details)
