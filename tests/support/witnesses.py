"""A log of a few leaves and witnesses with fixed keys, for tests of cosigning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner
from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.merkle import consistency_path, leaf_hash, root_of
from countermark_protocol.note import NoteKey, NoteSignature
from countermark_protocol.tlog_witness import add_cosignatures, encode_add_checkpoint

ORIGIN = "log.example/1"
LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
LOG_KEY = LOG.public_key().public_bytes_raw()
KINDS = tuple(CosignatureType)
#: s since 1970.
TIME = 1_700_000_000


def note_key(origin: str = ORIGIN, public_key: bytes = LOG_KEY) -> NoteKey:
    return NoteKey(origin, parse_public_key(Algorithm.ED25519, public_key))


@cache
def leaves(count: int, branch: str = "") -> list[bytes]:
    """Leaf hashes; those of another branch differ from index 3 on."""
    return [leaf_hash(b"%d%s" % (i, branch.encode() if i >= 3 else b"")) for i in range(count)]


def raw_checkpoint(
    size: int, branch: str = "", *, origin: str = ORIGIN, log: Ed25519PrivateKey = LOG
) -> bytes:
    root = root_of(leaves(size, branch))
    return sign_checkpoint(origin, size, root, log.sign, log.public_key().public_bytes_raw())


def checkpoint(size: int, branch: str = "", lines: Iterable[NoteSignature] = ()) -> Checkpoint:
    """A checkpoint that the log signed, with further signature lines."""
    raw = add_cosignatures(raw_checkpoint(size, branch), lines)
    return verify_checkpoint(parse_checkpoint(raw), ORIGIN, LOG_KEY)


def proof(old: int, new: int, branch: str = "") -> list[bytes]:
    hashes = leaves(new, branch)

    def get(level: int, index: int) -> bytes:
        return root_of(hashes[index << level : (index + 1) << level])

    return consistency_path(get, old, new)


def request(
    old: int, new: int, branch: str = "", *, origin: str = ORIGIN, log: Ed25519PrivateKey = LOG
) -> bytes:
    """The body of an `add-checkpoint` request."""
    return encode_add_checkpoint(
        old, proof(old, new, branch), raw_checkpoint(new, branch, origin=origin, log=log)
    )


@cache
def cosigner(name: str, kind: CosignatureType = CosignatureType.ED25519, number: int = 0) -> Cosigner:
    seed = hashlib.sha256(f"{number or 'any name'} {kind}".encode()).digest()
    return Cosigner(name, kind, seed)
