"""What a log and a witness say to each other: `add-checkpoint` requests, and their answers.

Requests are not authenticated but by the log's signature on the checkpoint, so anybody may send one; everything in
them is bounded. Nothing here calls anybody: `encode_add_checkpoint` makes what is sent by POST to
``<submission prefix>/add-checkpoint``, `parse_answer` reads what came back, `verify_answer` and
`add_cosignatures` put it on the checkpoint.

Source: C2SP tlog-witness (v1.0.0); docs/spec/witness.md §4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from countermark_protocol.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    parse_checkpoint,
    parse_root,
)
from countermark_protocol.cosignature import CosignerKey, verify_cosignature
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import (
    CountermarkError,
    NotFoundError,
    ProofError,
    SignatureError,
    TransportError,
)
from countermark_protocol.note import (
    NoteSignature,
    encode_base64,
    encode_note,
    encode_signature_line,
    parse_decimal,
    parse_note,
    parse_signature_lines,
)

#: Below the submission prefix.
ADD_CHECKPOINT_PATH: Final = "/add-checkpoint"
#: Media type of the answer 409, whose body is the size that the witness holds.
SIZE_TYPE: Final = "text/x.tlog.size"
#: A tree below 2**63 leaves has no longer consistency path (tlog-witness, "add-checkpoint").
MAX_PROOF: Final = 63
#: Room for a checkpoint with 16 signatures of 5 kB, which every reader of notes must accept.
MAX_REQUEST_BYTES: Final = 131_072
#: A witness answers with one line a key of its own.
MAX_ANSWER_BYTES: Final = 65_536
MAX_ANSWER_SIGNATURES: Final = 16


# --- requests ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request as parsed: nothing in it is authentic.

    Attributes:
        old_size: of the checkpoint that the witness is believed to hold; at most the new one's size.
        proof: consistency path from there to the checkpoint, 32 bytes each, at most 63.
        checkpoint: to be cosigned.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: UnverifiedCheckpoint


def encode_add_checkpoint(old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """Encode a request, the inverse of `parse_add_checkpoint`.

    Args:
        old_size: of the checkpoint that the witness holds; 0 if that is not known.
        proof: from `merkle.consistency_path`; empty if `old_size` is 0 or the checkpoint's size.
        checkpoint: the signed note, as its raw bytes.

    Raises:
        MalformedError: it would not be a request; see `parse_add_checkpoint`.
    """
    lines = [f"old {old_size}\n", *(f"{encode_base64(h)}\n" for h in proof), "\n"]
    data = "".join(lines).encode() + checkpoint
    parse_add_checkpoint(data)
    return data


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Parse the body of a request.

    Raises:
        MalformedError: ``witness_request``: more than 131,072 bytes, no line ``old <size>``, more than 63
            hashes, no empty line after them, or an old size above the checkpoint's; ``not_utf8``,
            ``not_decimal``, ``not_base64``, ``hash_size``; or the checkpoint is none, see
            `checkpoint.parse_checkpoint`.

    Source: C2SP tlog-witness, "add-checkpoint".
    """
    if len(data) > MAX_REQUEST_BYTES:
        malformed(
            "witness_request", f"expected a request of at most {MAX_REQUEST_BYTES} bytes, got {len(data)}"
        )
    head, gap, rest = data.partition(b"\n\n")
    if not gap:
        malformed("witness_request", "expected an empty line before the checkpoint")
    try:
        first, *lines = head.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        malformed("not_utf8", f"the request is not UTF-8 at byte {error.start}")
    if not first.startswith("old "):
        malformed("witness_request", "expected a first line 'old <size>'")
    old_size = parse_decimal(first.removeprefix("old "), "old size")
    if len(lines) > MAX_PROOF:
        malformed("witness_request", f"expected at most {MAX_PROOF} hashes in the proof, got {len(lines)}")
    proof = tuple(parse_root(line, "hash of the consistency path") for line in lines)
    checkpoint = parse_checkpoint(rest)
    if old_size > checkpoint.size:
        malformed(
            "witness_request",
            f"expected an old size of at most the checkpoint's {checkpoint.size}, got {old_size}",
        )
    return AddCheckpoint(old_size, proof, checkpoint)


# --- answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Answer 200.

    Attributes:
        signatures: lines that the witness sent, unverified; 1 to 16.
    """

    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class HeldSize:
    """Answer 409: the witness holds another checkpoint than the old size says. Prove from this one, ask again.

    Attributes:
        size: of the checkpoint that the witness cosigned last; 0 if none. Not authentic. If it is above the
            checkpoint that was sent, the witness has seen more of the log than the sender, or says so.
    """

    size: int


def encode_cosigned(signatures: Iterable[NoteSignature]) -> bytes:
    """The body of an answer 200."""
    return "".join(encode_signature_line(s) for s in signatures).encode()


def encode_held_size(size: int) -> bytes:
    """The body of an answer 409, sent as `SIZE_TYPE`."""
    return b"%d\n" % size


def parse_answer(status: int, content_type: str, body: bytes) -> Cosigned | HeldSize:
    """Parse a witness's answer to `add-checkpoint`.

    Args:
        status: of the HTTP response.
        content_type: its header, empty if there is none.
        body: at most 65,536 bytes of it need be read.

    Raises:
        SignatureError: ``witness_refused_signature``: 403, the witness knows another key of this log.
        NotFoundError: ``witness_unknown_log``: 404.
        ProofError: ``witness_refused_proof``: 422, the witness found the checkpoint inconsistent.
        TransportError: ``witness_status``: any other status.
        MalformedError: ``witness_answer``: too large, not signature lines, or a 409 that is not a size;
            or as `note.parse_signature_lines`, `note.parse_decimal`.

    Source: C2SP tlog-witness, "add-checkpoint"; docs/spec/witness.md §4.4.
    """
    if status not in {200, 409}:
        raise _refusal(status)
    if len(body) > MAX_ANSWER_BYTES:
        malformed(
            "witness_answer", f"expected an answer of at most {MAX_ANSWER_BYTES} bytes, got {len(body)}"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        malformed("not_utf8", f"the witness's answer is not UTF-8 at byte {error.start}")
    if not text.endswith("\n"):
        malformed("witness_answer", "expected the witness's answer to end with a newline")
    if status == 409:
        if content_type.partition(";")[0].strip().lower() != SIZE_TYPE:
            malformed("witness_answer", f"expected the type {SIZE_TYPE} with an answer 409")
        return HeldSize(parse_decimal(text.removesuffix("\n"), "size in the witness's answer"))
    signatures = parse_signature_lines(text)
    if len(signatures) > MAX_ANSWER_SIGNATURES:
        malformed(
            "witness_answer",
            f"expected at most {MAX_ANSWER_SIGNATURES} cosignatures in an answer, got {len(signatures)}",
        )
    return Cosigned(signatures)


def _refusal(status: int) -> CountermarkError:
    if status == 403:
        return SignatureError(
            "witness_refused_signature", "the witness trusts no signature on the checkpoint"
        )
    if status == 404:
        return NotFoundError("witness_unknown_log", "the witness does not know this log")
    if status == 422:
        return ProofError("witness_refused_proof", "the witness found the checkpoint inconsistent")
    return TransportError("witness_status", f"the witness answered with status {status}")


@dataclass(frozen=True, slots=True)
class VerifiedCosignature:
    """A line of an answer that a known key of the witness made. Made by `verify_answer` only.

    Attributes:
        key: of the witness.
        time: that it states, s since 1970.
        line: to be put on the checkpoint.
    """

    key: CosignerKey
    time: int
    line: NoteSignature


def verify_answer(
    checkpoint: Checkpoint, answer: Cosigned, keys: Sequence[CosignerKey]
) -> tuple[VerifiedCosignature, ...]:
    """Check the cosignatures in an answer. Lines by keys other than `keys` are ignored.

    Args:
        checkpoint: that was sent.
        answer: from `parse_answer`.
        keys: that this witness is known by.

    Returns:
        At least one, in the order of the answer.

    Raises:
        SignatureError: ``signature_missing``: no line is by a known key; or as
            `cosignature.verify_cosignature`, which voids the whole answer.
        MalformedError: as `cosignature.verify_cosignature`.
    """
    verified = tuple(
        VerifiedCosignature(key, verify_cosignature(checkpoint, key, line), line)
        for line in answer.signatures
        for key in keys
        if key.matches(line)
    )
    if not verified:
        raise SignatureError("signature_missing", "the witness's answer bears no signature by a known key")
    return verified


def add_cosignatures(checkpoint: bytes, lines: Iterable[NoteSignature]) -> bytes:
    """Put signature lines under a checkpoint; those by the same key as a new one are replaced.

    Args:
        checkpoint: the note, as its raw bytes.
        lines: verified ones.

    Raises:
        MalformedError: `checkpoint` is no note, or there would be more than 100 signatures or 1,000,000 bytes.
    """
    note = parse_note(checkpoint)
    added = tuple(lines)
    new = {(line.name, line.key_id) for line in added}
    kept = tuple(s for s in note.signatures if (s.name, s.key_id) not in new)
    return encode_note(replace(note, signatures=(*kept, *added)))


# --- what monitors read ------------------------------------------------------------------------------


def origin_hash(origin: str) -> str:
    """SHA-256 of a log's origin, 64 lower-case hexadecimal digits. Source: C2SP tlog-witness, "Monitor …"."""
    return hashlib.sha256(origin.encode()).hexdigest()


def monitoring_path(origin: str) -> str:
    """Path of a log's newest cosigned checkpoint below a witness's monitoring prefix."""
    return f"/{origin_hash(origin)}/checkpoint"
