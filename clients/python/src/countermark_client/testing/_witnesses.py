"""Witnesses in memory: keys that cosign what a test wants cosigned."""

from __future__ import annotations

import hashlib
from typing import Final

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.identifiers import Origin
from countermark_protocol.mandates import Witness
from countermark_protocol.tlog_witness import add_cosignatures

_LABEL: Final = b"test witness "


def make_cosigner(name: str) -> Cosigner:
    """The witness of a name: the same key each time."""
    seed = hashlib.sha256(_LABEL + name.encode()).digest()
    return Cosigner(f"{name}.witness.test", CosignatureType.ML_DSA_44, seed)


def describe(name: str, cosigner: Cosigner) -> Witness:
    """A witness as the log's record names it."""
    return Witness(name, (encode_cosigner_vkey(cosigner.key),))


def cosign(raw: bytes, origin: Origin, log_key: bytes, by: list[Cosigner], at: int) -> bytes:
    """A checkpoint with cosignatures of a time, ms since 1970."""
    checkpoint: Checkpoint = verify_checkpoint(parse_checkpoint(raw), origin, log_key)
    return add_cosignatures(raw, [one.cosign(checkpoint, at // 1000) for one in by])
