"""Checkpoints: the signed head of the log.

A checkpoint is a note of three lines: origin, size, root. The log signs it with Ed25519; witnesses add
cosignature lines. Only the log's own signature decides here; all other lines are kept, unverified, for
whoever knows their keys.

Source: C2SP tlog-checkpoint, tlog-cosignature; docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from countermark_protocol.encoding import DIGEST_BYTES, malformed
from countermark_protocol.errors import SignatureError
from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.note import (
    NoteKey,
    NoteSignature,
    UnverifiedNote,
    encode_base64,
    encode_note,
    parse_base64,
    parse_decimal,
    parse_note,
    verify_note,
)


@dataclass(frozen=True, slots=True)
class UnverifiedCheckpoint:
    """A checkpoint as parsed: nothing in it is authentic.

    Attributes:
        origin: name of the log, not empty.
        size: leaves in the tree, 0 to 2**63 - 1.
        root: 32 bytes.
        extensions: further lines of the text; ours have none, and nothing is to be made of them.
        note: text and signature lines.
        raw: the bytes it was parsed from.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]
    note: UnverifiedNote
    raw: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that the log has signed. Made by `verify_checkpoint` only.

    Attributes:
        origin: name of the log.
        size: leaves in the tree, 0 to 2**63 - 1.
        root: 32 bytes.
        extensions: further lines of the text, signed by the log but without a meaning to us.
        text: what the log signed and what Ed25519 cosignatures cover, with its final newline.
        cosignatures: the other signature lines, *unverified*.
        raw: the whole note, for keeping, proofs and gossip.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]
    text: bytes
    cosignatures: tuple[NoteSignature, ...]
    raw: bytes


def parse_root(text: str, what: str) -> bytes:
    """Parse a hash of the tree in base64, 32 bytes.

    Raises:
        MalformedError: ``not_base64``, or ``hash_size``: it has another length.
    """
    value = parse_base64(text, what)
    if len(value) != DIGEST_BYTES:
        malformed("hash_size", f"{what} must have {DIGEST_BYTES} bytes, got {len(value)}")
    return value


def parse_checkpoint(data: bytes) -> UnverifiedCheckpoint:
    """Parse a checkpoint.

    Raises:
        MalformedError: not a note (see `parse_note`), fewer than three lines or an empty one
            (``bad_checkpoint``), a size or root outside its form, or a size of 0 with another root than
            that of nothing (``empty_root``).

    Source: C2SP tlog-checkpoint, "Note text".
    """
    note = parse_note(data)
    lines = note.text.decode("utf-8").removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        malformed(
            "bad_checkpoint", "a checkpoint begins with three lines, origin, size and root; none is empty"
        )
    size = parse_decimal(lines[1], "size of a checkpoint")
    root = parse_root(lines[2], "root of a checkpoint")
    if size == 0 and root != EMPTY_ROOT:
        malformed("empty_root", "the root of a tree of size 0 must be the hash of nothing")
    return UnverifiedCheckpoint(lines[0], size, root, tuple(lines[3:]), note, bytes(data))


def verify_checkpoint(unverified: UnverifiedCheckpoint, origin: str, public_key: bytes) -> Checkpoint:
    """Check that the log called `origin` signed a checkpoint.

    Args:
        unverified: from `parse_checkpoint`.
        origin: the log's name, from the trust file; also the name of its key.
        public_key: the log's Ed25519 key that is in force for this size, 32 bytes.

    Raises:
        SignatureError: ``checkpoint_origin``: it is another log's; ``signature_missing``: the log's key
            signed nothing here; ``bad_signature``, ``signature_size``: its signature does not verify.
        MalformedError: `origin` or `public_key` is no valid name or key.

    Does not prove: that the log shows the same tree to everybody (only witnesses do), nor that this tree
    continues an older one (see `merkle.verify_consistency`).
    Source: C2SP tlog-checkpoint, "Signatures"; docs/spec/log.md.
    """
    if unverified.origin != origin:
        raise SignatureError(
            "checkpoint_origin",
            f"expected a checkpoint of the log {origin[:64]!r}, got one of {unverified.origin[:64]!r}",
        )
    key = NoteKey(origin, parse_public_key(Algorithm.ED25519, public_key))
    verify_note(unverified.note, key)
    return Checkpoint(
        origin=origin,
        size=unverified.size,
        root=unverified.root,
        extensions=unverified.extensions,
        text=unverified.note.text,
        cosignatures=tuple(s for s in unverified.note.signatures if not key.matches(s)),
        raw=unverified.raw,
    )


def sign_checkpoint(
    origin: str, size: int, root: bytes, sign: Callable[[bytes], bytes], public_key: bytes
) -> bytes:
    """Make a checkpoint, without extension lines, signed by the log.

    The caller answers for what no function can see: that the log never signed a tree which this one does
    not continue.

    Args:
        origin: the log's name.
        size: leaves in the tree, 0 <= size < 2**63.
        root: of that tree, 32 bytes.
        sign: returns the log key's raw Ed25519 signature over the bytes it is given.
        public_key: the log's Ed25519 key, 32 bytes.

    Returns:
        The note, as served at ``/checkpoint``.

    Raises:
        SignatureError: what `sign` returned does not verify under `public_key`: another key, or a fault
            in a token. A log must not publish it.
        MalformedError: origin, size or root is outside its form.
    """
    key = NoteKey(origin, parse_public_key(Algorithm.ED25519, public_key))
    text = f"{origin}\n{size}\n{encode_base64(root)}\n".encode()
    note = UnverifiedNote(text, (NoteSignature(origin, key.key_id, sign(text)),))
    unverified = parse_checkpoint(encode_note(note))
    return verify_checkpoint(unverified, origin, public_key).raw
