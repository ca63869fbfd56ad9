"""Cosignatures: a witness's timestamped signature on a checkpoint that it found consistent.

A cosignature says: at this time, this was the largest consistent tree of this log that I had seen. There are two
kinds, each a signature type of notes: Ed25519, which signs a header, the time and the whole text; and ML-DSA-44,
whose message is a structure over cosigner, time, origin, size and root, and leaves extension lines out.

The keys are of a type of their own, apart from `keys.PublicKey`: no statement can be signed with them, and no
message be sealed to them. Which kind a key signs is part of the key.

Source: C2SP tlog-cosignature (v1.1.0), FIPS 204, RFC 8032; docs/spec/witness.md §1, §2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.keys import Algorithm, PublicKey, parse_public_key
from countermark_protocol.note import (
    MAX_DECIMAL,
    NoteSignature,
    format_vkey,
    is_key_name,
    note_key_id,
    parse_vkey_parts,
)
from countermark_protocol.signers import Ed25519Signer


class CosignatureType(IntEnum):
    """Signature types of cosignatures. NOTE: numbers are C2SP's wire format."""

    ED25519 = 4
    ML_DSA_44 = 6


#: Raw sizes in bytes.
PUBLIC_KEY_BYTES: Final = {CosignatureType.ED25519: 32, CosignatureType.ML_DSA_44: 1312}
SIGNATURE_BYTES: Final = {CosignatureType.ED25519: 64, CosignatureType.ML_DSA_44: 2420}
#: Private keys of both kinds are kept as their seed.
SEED_BYTES: Final = 32
#: The time stands before the signature, u64, in s since 1970.
TIME_BYTES: Final = 8
#: Names in the ML-DSA-44 message have one byte of length.
MAX_NAME_BYTES: Final = 255

_ED25519_HEADER: Final = b"cosignature/v1\ntime "
_ML_DSA_44_LABEL: Final = b"subtree/v1\n\x00"
_BY_NUMBER: Final = {int(kind): kind for kind in CosignatureType}


# --- what is signed ----------------------------------------------------------------------------------


def ed25519_message(text: bytes, time: int) -> bytes:
    """What an Ed25519 cosignature signs.

    Args:
        text: of the checkpoint, with its last newline; extension lines are covered.
        time: s since 1970.

    Source: C2SP tlog-cosignature, "Ed25519 signed message".
    """
    return b"%s%d\n%s" % (_ED25519_HEADER, time, text)


def ml_dsa_44_message(cosigner: str, time: int, origin: str, size: int, root: bytes) -> bytes:
    """What an ML-DSA-44 cosignature on a whole tree signs; extension lines are not covered.

    Args:
        cosigner: name of the key.
        time: s since 1970.
        origin: name of the log.
        size: leaves in the tree.
        root: of the tree, 32 bytes.

    Raises:
        MalformedError: ``cosigned_name_size``: a name does not have 1 to 255 bytes in UTF-8.

    Source: C2SP tlog-cosignature, "ML-DSA-44 signed message", with start 0.
    """
    parts = [
        _ML_DSA_44_LABEL,
        _name(cosigner, "the cosigner's name"),
        time.to_bytes(TIME_BYTES, "big"),
        _name(origin, "the log's origin"),
        bytes(8),
        size.to_bytes(8, "big"),
        root,
    ]
    return b"".join(parts)


def _name(text: str, what: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= MAX_NAME_BYTES:
        malformed("cosigned_name_size", f"{what} must have 1 to {MAX_NAME_BYTES} bytes, got {len(data)}")
    return bytes([len(data)]) + data


# --- keys --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A witness's public key. Made by `parse_cosigner_key` and `parse_cosigner_vkey`, which check it.

    Attributes:
        name: of the witness; not empty, without spaces and '+', at most 255 bytes.
        kind: which signature it makes.
        raw: 32 or 1,312 bytes.
    """

    name: str
    kind: CosignatureType
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes; see `note.note_key_id`."""
        return note_key_id(self.name, self.kind, self.raw)

    def matches(self, signature: NoteSignature) -> bool:
        """Whether a signature line claims to be by this key."""
        return signature.name == self.name and signature.key_id == self.key_id

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a raw signature, without its time, over a message of this key's kind.

        Raises:
            SignatureError: ``signature_size``, ``bad_signature``.
        """
        if len(signature) != SIGNATURE_BYTES[self.kind]:
            raise SignatureError(
                "signature_size",
                f"expected a raw signature of {SIGNATURE_BYTES[self.kind]} bytes, got {len(signature)}",
            )
        if self.kind is CosignatureType.ED25519:
            PublicKey(Algorithm.ED25519, self.raw).verify(message, signature)
            return
        try:
            MLDSA44PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            raise SignatureError("bad_signature", "ML-DSA-44 signature does not verify") from None


def parse_cosigner_key(name: str, signature_type: int, raw: bytes) -> CosignerKey:
    """Check a witness's name and raw public key.

    Raises:
        MalformedError: ``bad_key_name``, ``cosigned_name_size``, ``key_size``, ``key_invalid``.
        UncheckableError: ``note_key_type``: the type is not one of cosignatures.
    """
    kind = _BY_NUMBER.get(signature_type)
    if kind is None:
        raise UncheckableError(
            "note_key_type",
            f"expected signature type 4 (Ed25519 cosignature) or 6 (ML-DSA-44), got {signature_type}",
        )
    if not is_key_name(name):
        malformed("bad_key_name", "the name of a witness must not be empty or hold a space or '+'")
    _name(name, "the cosigner's name")
    if len(raw) != PUBLIC_KEY_BYTES[kind]:
        malformed("key_size", f"expected a public key of {PUBLIC_KEY_BYTES[kind]} bytes, got {len(raw)}")
    if kind is CosignatureType.ED25519:
        parse_public_key(Algorithm.ED25519, raw)
    return CosignerKey(name, kind, raw)


def encode_cosigner_vkey(key: CosignerKey) -> str:
    """Encode a witness's verifier key (vkey). Source: C2SP signed-note, "Verifier keys"."""
    return format_vkey(key.name, key.kind, key.raw)


def parse_cosigner_vkey(text: Any) -> CosignerKey:
    """Parse a witness's verifier key (vkey), the inverse of `encode_cosigner_vkey`.

    Raises:
        MalformedError: as `note.parse_vkey_parts` and `parse_cosigner_key`; ``bad_vkey``: the key id is not
            that of name and key.
        UncheckableError: ``note_key_type``: a vkey of another signature type, e.g. a log's.
    """
    parts = parse_vkey_parts(text)
    key = parse_cosigner_key(parts.name, parts.signature_type, parts.public_key)
    parts.check_key_id()
    return key


# --- making and checking -----------------------------------------------------------------------------


def _message(key: CosignerKey, checkpoint: Checkpoint, time: int) -> bytes:
    if key.kind is CosignatureType.ED25519:
        return ed25519_message(checkpoint.text, time)
    return ml_dsa_44_message(key.name, time, checkpoint.origin, checkpoint.size, checkpoint.root)


class Cosigner:
    """A witness's private key in memory.

    Args:
        name: of the witness; see `CosignerKey`.
        kind: which signature it makes.
        seed: 32 uniformly random bytes, for this key alone.

    Raises:
        MalformedError: ``bad_key_name``, ``cosigned_name_size``.
        ValueError: the seed is not 32 bytes.
    """

    def __init__(self, name: str, kind: CosignatureType, seed: bytes) -> None:
        self._sign: Callable[[bytes], bytes]
        if kind is CosignatureType.ED25519:
            signer = Ed25519Signer(seed)
            self._sign, raw = signer.sign, signer.public_key.raw
        else:
            private = MLDSA44PrivateKey.from_seed_bytes(seed)
            self._sign, raw = private.sign, private.public_key().public_bytes_raw()
        self._key = parse_cosigner_key(name, kind, raw)

    @property
    def key(self) -> CosignerKey:
        """The public half."""
        return self._key

    def cosign(self, checkpoint: Checkpoint, time: int) -> NoteSignature:
        """Cosign a checkpoint.

        The caller answers for what no function can see: that the tree continues all that this witness has
        cosigned for this log, that this is kept for ever, and that the time is right.

        Args:
            checkpoint: verified to be the log's.
            time: s since 1970, 1 to 2**63 - 1.

        Raises:
            MalformedError: ``cosigned_name_size``: the log's origin is too long for this key's kind.
            ValueError: the time is outside the range above.
        """
        if not 1 <= time <= MAX_DECIMAL:
            msg = f"expected a time from 1 to 2^63 - 1, got {time}"
            raise ValueError(msg)
        signature = self._sign(_message(self._key, checkpoint, time))
        stamped = time.to_bytes(TIME_BYTES, "big") + signature
        return NoteSignature(self._key.name, self._key.key_id, stamped)


def verify_cosignature(checkpoint: Checkpoint, key: CosignerKey, signature: NoteSignature) -> int:
    """Check that a witness cosigned a checkpoint.

    Args:
        checkpoint: verified to be the log's.
        key: the witness's, from a policy.
        signature: a line of the checkpoint, or of a witness's answer, that names this key.

    Returns:
        The time that the witness states, s since 1970, 1 to 2**63 - 1.

    Raises:
        SignatureError: ``signature_missing``: the line names another key; ``signature_size``;
            ``cosignature_time``: the time is zero (then nothing is said of the largest tree) or above
            2**63 - 1; ``bad_signature``.
        MalformedError: ``cosigned_name_size``: the log's origin is too long for this key's kind.

    Does not prove: that the stated time is right, which only a quorum makes likely (`tlog_policy`).
    Source: C2SP tlog-cosignature, "Format"; docs/spec/witness.md §2.3.
    """
    if not key.matches(signature):
        raise SignatureError(
            "signature_missing", f"the line is not by the key {key.name[:64]!r} of this witness"
        )
    time = int.from_bytes(signature.signature[:TIME_BYTES], "big")
    raw = signature.signature[TIME_BYTES:]
    if len(raw) == SIGNATURE_BYTES[key.kind] and not 1 <= time <= MAX_DECIMAL:
        raise SignatureError(
            "cosignature_time", f"expected a cosignature's time from 1 to 2^63 - 1, got {time}"
        )
    key.verify(_message(key, checkpoint, time), raw)
    return time
