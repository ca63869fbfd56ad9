"""Attachments as everybody sees them: sealed files in pieces that are named by their digests.

A sealed file is cut into pieces of `PIECE_BYTES` and a last, shorter one. Each is sent and fetched by itself, named by
its own digest, and so checked by itself, in any order, again after a break, in bounded memory. The manifest names the
whole: a digest over its size and the Merkle root of its pieces. What is in a file stands in the message's parts
(`descriptors`); how it is sealed is in `sealed_attachments`. The broker loads this module and neither of those.

Source: docs/spec/messages.md §9, docs/adr/0030-attachments-in-pieces.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    DIGEST_BYTES,
    JsonObject,
    encode_hex,
    labelled_hash,
    labelled_hash_of_large,
    malformed,
)
from countermark_protocol.merkle import leaf_hash, root_of

#: Large enough that a request a piece costs little, small enough to keep several in memory and to send one again.
PIECE_BYTES: Final = 4 * 1024 * 1024
#: Bytes of a file before sealing: 2 GiB.
MAX_FILE_BYTES: Final = 2**31
#: What the smallest and the largest padded file have sealed (docs/spec/sealing.md 2.4, 3.1).
MIN_SEALED_BYTES: Final = 328
MAX_SEALED_BYTES: Final = 2_149_580_872
#: Attachments of one message.
MAX_ATTACHMENTS: Final = 256
#: Pieces of all attachments of one message together: some 8 GiB, and 64 KiB of digests in its submission.
MAX_PIECES: Final = 2048


@dataclass(frozen=True, slots=True)
class SealedAttachment:
    """What the manifest says of one attachment; nothing in it is of the file as it was before sealing.

    Attributes:
        digest: over size and pieces (`attachment_digest`), 32 bytes.
        size: of all sealed bytes.
    """

    digest: bytes
    size: int

    @property
    def pieces(self) -> int:
        """How many pieces it has, 1 or more."""
        return piece_count(self.size)

    def to_json(self) -> JsonObject:
        """Its two members."""
        return {"digest": encode_hex(self.digest), "size": self.size}


def parse_sealed_attachment(value: Any, what: str) -> SealedAttachment:
    """Read an element of a manifest's ``attachments``.

    Raises:
        MalformedError: another member, or a size that no sealed file has.
    """
    claims = Claims(value, what)
    named = SealedAttachment(
        claims.digest("digest"), claims.integer("size", MIN_SEALED_BYTES, MAX_SEALED_BYTES)
    )
    claims.done()
    return named


def check_piece_total(attachments: Sequence[SealedAttachment]) -> None:
    """Check that the attachments of one message have not too many pieces together.

    Raises:
        MalformedError: ``too_many_pieces``.
    """
    total = sum(named.pieces for named in attachments)
    if total > MAX_PIECES:
        malformed(
            "too_many_pieces",
            f"the attachments of a message have at most {MAX_PIECES} pieces of {PIECE_BYTES} bytes together, "
            f"got {total}: send some of them in another message",
        )


# --- pieces ------------------------------------------------------------------------------------------


def piece_count(sealed_size: int) -> int:
    """How many pieces so many sealed bytes are cut into; none of them is empty."""
    return -(-sealed_size // PIECE_BYTES)


def piece_size(sealed_size: int, number: int) -> int:
    """Bytes of one piece.

    Args:
        sealed_size: of the whole attachment.
        number: of the piece, from 0.

    Raises:
        ValueError: there is no such piece.
    """
    if not 0 <= number < piece_count(sealed_size):
        msg = f"expected a piece below {piece_count(sealed_size)}, got {number}"
        raise ValueError(msg)
    return min(PIECE_BYTES, sealed_size - number * PIECE_BYTES)


def piece_digest(piece: bytes | memoryview) -> bytes:
    """What names a piece, here and in the broker's store: 32 bytes."""
    return labelled_hash_of_large("ciphertext", piece)


def check_piece(piece: bytes | memoryview, digest: bytes) -> None:
    """Check that bytes are the piece that they are called.

    Raises:
        MalformedError: ``piece_size`` (empty, or more than a piece can have), ``piece_mismatch``.
    """
    if not 1 <= len(piece) <= PIECE_BYTES:
        malformed("piece_size", f"expected a piece of 1 to {PIECE_BYTES} bytes, got {len(piece)}")
    if piece_digest(piece) != digest:
        malformed(
            "piece_mismatch", "the bytes are not the piece of that digest: send the ones it was made of"
        )


def attachment_digest(sealed_size: int, pieces: Sequence[bytes]) -> bytes:
    """What the manifest names an attachment by, 32 bytes.

    Args:
        sealed_size: of all its pieces together.
        pieces: their digests, in order.
    """
    root = root_of([leaf_hash(digest) for digest in pieces])
    return labelled_hash("attachment", sealed_size.to_bytes(8, "big"), root)


def check_pieces(named: SealedAttachment, pieces: Sequence[bytes]) -> None:
    """Check that a list of pieces is the one that a manifest names.

    Args:
        named: by the manifest.
        pieces: digests, 32 bytes each, in order.

    Raises:
        MalformedError: ``attachment_mismatch``: too many or too few, or a piece was swapped or moved.
    """
    if len(pieces) != named.pieces or attachment_digest(named.size, pieces) != named.digest:
        malformed(
            "attachment_mismatch",
            "the pieces are not those of the attachment that the manifest names: "
            "one was added, left out, moved or changed",
        )


# --- lists of digests, as the API carries them ---------------------------------------------------------


def encode_digests(digests: Sequence[bytes]) -> bytes:
    """Digests of 32 bytes, joined."""
    return b"".join(digests)


def parse_digests(data: bytes, most: int = MAX_PIECES) -> tuple[bytes, ...]:
    """Read joined digests of 32 bytes.

    Raises:
        MalformedError: ``bad_digest_list``: a broken one, or more than `most`.
    """
    if len(data) % DIGEST_BYTES or len(data) > most * DIGEST_BYTES:
        malformed(
            "bad_digest_list",
            f"expected at most {most} digests of {DIGEST_BYTES} bytes, joined, got {len(data)} bytes",
        )
    return tuple(data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES))
