"""Proofs that stand alone: index, inclusion path and checkpoint in one C2SP tlog-proof.

Source: C2SP tlog-proof; docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    parse_checkpoint,
    parse_root,
    verify_checkpoint,
)
from countermark_protocol.encoding import malformed
from countermark_protocol.merkle import verify_inclusion
from countermark_protocol.note import MAX_NOTE_BYTES, encode_base64, parse_base64, parse_decimal

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
#: A tree below 2**63 leaves has no longer path.
MAX_PATH: Final = 63
#: The specification names no limit; this one bounds what is decoded.
MAX_EXTRA_BYTES: Final = 65_536
#: Header, extra data in base64, index, path, and a checkpoint.
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES


@dataclass(frozen=True, slots=True)
class UnverifiedTlogProof:
    """A proof as parsed: nothing in it is authentic.

    Attributes:
        index: of the leaf, below the checkpoint's size.
        path: sibling hashes, lowest first, 32 bytes each.
        checkpoint: of the tree that the path leads to.
        extra: what the application put in; authenticated by nothing, ever. None where there is none.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: UnverifiedCheckpoint
    extra: bytes | None


def encode_tlog_proof(
    index: int, path: Sequence[bytes], checkpoint: bytes, extra: bytes | None = None
) -> bytes:
    """Encode a proof.

    Args:
        index: of the leaf, below the checkpoint's size.
        path: sibling hashes, lowest first, 32 bytes each, at most 63.
        checkpoint: the signed note, as its raw bytes.
        extra: opaque data, 1 to 65,536 bytes, or None.

    Raises:
        MalformedError: it would not be a proof; see `parse_tlog_proof`.
    """
    lines = [PROOF_HEADER]
    if extra is not None:
        lines.append(f"extra {encode_base64(extra)}")
    lines.append(f"index {index}")
    lines.extend(encode_base64(element) for element in path)
    data = "\n".join(lines).encode("ascii") + b"\n\n" + checkpoint
    parse_tlog_proof(data)
    return data


def parse_tlog_proof(data: bytes) -> UnverifiedTlogProof:
    """Parse a proof, strictly: each proof has one spelling.

    Raises:
        MalformedError: not of this format, empty or oversized extra data, more than 63 hashes, a checkpoint
            that is none, or an index that is not below its size (``index_beyond_size``).

    Source: C2SP tlog-proof, "Format".
    """
    if len(data) > MAX_PROOF_BYTES:
        malformed("proof_too_large", f"expected a proof of at most {MAX_PROOF_BYTES} bytes, got {len(data)}")
    head, gap, rest = data.partition(b"\n\n")
    if not gap or not head.isascii():
        malformed("bad_tlog_proof", "expected ASCII lines, an empty line and a checkpoint")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != PROOF_HEADER:
        malformed("bad_tlog_proof", f"expected the first line {PROOF_HEADER!r}")
    extra: bytes | None = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), "extra line")
        if not 1 <= len(extra) <= MAX_EXTRA_BYTES:
            malformed(
                "bad_tlog_proof", f"expected 1 to {MAX_EXTRA_BYTES} bytes of extra data, got {len(extra)}"
            )
    if not lines or not lines[0].startswith("index "):
        malformed("bad_tlog_proof", "expected the line 'index <number>'")
    index = parse_decimal(lines.pop(0).removeprefix("index "), "index of a proof")
    if len(lines) > MAX_PATH:
        malformed("bad_tlog_proof", f"expected a path of at most {MAX_PATH} hashes, got {len(lines)}")
    path = tuple(parse_root(line, "hash of the inclusion path") for line in lines)
    checkpoint = parse_checkpoint(rest)
    if index >= checkpoint.size:
        malformed(
            "index_beyond_size",
            f"expected an index below the checkpoint's size {checkpoint.size}, got {index}",
        )
    return UnverifiedTlogProof(index, path, checkpoint, extra)


def verify_tlog_proof(
    proof: UnverifiedTlogProof, leaf_hash: bytes, origin: str, public_key: bytes
) -> Checkpoint:
    """Check that a leaf is in a tree which the log signed.

    Args:
        proof: from `parse_tlog_proof`.
        leaf_hash: of the leaf in question, 32 bytes; step 1 of the specification is the caller's.
        origin: the log's name, from the trust file.
        public_key: the log's Ed25519 key that is in force for this size, 32 bytes.

    Returns:
        The verified checkpoint; its cosignatures (step 3) are still to be checked against a policy.

    Raises:
        SignatureError: see `checkpoint.verify_checkpoint`.
        ProofError: see `merkle.verify_inclusion`.

    Source: C2SP tlog-proof, "Verifying a tlog proof", steps 2 and 4.
    """
    checkpoint = verify_checkpoint(proof.checkpoint, origin, public_key)
    verify_inclusion(leaf_hash, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return checkpoint
