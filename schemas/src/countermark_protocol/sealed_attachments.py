"""Files sealed into pieces, and opened from them, in a stream. Never imported by the broker.

Each file of a message has a key of its own, derived from the content key and its number, and a fresh salt: equal
files give unrelated pieces, and no piece fits into another place, attachment or message. Sealing and opening hold a few
pieces in memory, whatever the size of the file.

Opening gives out what is authentic and in its place, chunk by chunk; that it is the file which the message describes
is known only when the iterator ends without an error. Until then write it where it is thrown away on error.

Source: docs/spec/sealing.md §9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.attachments import (
    MAX_ATTACHMENTS,
    MAX_FILE_BYTES,
    PIECE_BYTES,
    SealedAttachment,
    attachment_digest,
    check_pieces,
    piece_digest,
    piece_size,
)
from countermark_protocol.chunks import KEY_BYTES, StickyIterator, open_stream, seal_stream
from countermark_protocol.descriptors import AttachmentDescriptor, FileCheck, check_described
from countermark_protocol.encoding import labelled_hmac
from countermark_protocol.errors import MalformedError, SealError
from countermark_protocol.padding import padded_size
from countermark_protocol.sealing import ContentSecrets

_ZEROS: Final = bytes(1024 * 1024)


@dataclass(frozen=True, slots=True, repr=False)  # repr: a key must not reach a log or a traceback
class AttachmentKey:
    """What one attachment is sealed under. It opens that one alone, so it can be shown to settle a dispute.

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            msg = f"expected a key of {KEY_BYTES} bytes, got {len(self.secret)}"
            raise ValueError(msg)


def attachment_key(secrets: ContentSecrets, number: int) -> AttachmentKey:
    """The key of one attachment of a message.

    Raises:
        ValueError: there is no such attachment in any message.
    """
    if not 0 <= number < MAX_ATTACHMENTS:
        msg = f"attachments are numbered from 0 to {MAX_ATTACHMENTS - 1}, got {number}"
        raise ValueError(msg)
    return AttachmentKey(labelled_hmac("attachment-key", secrets.content_key, number.to_bytes(4, "big")))


# --- sealing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedPiece:
    """One piece of a sealed file.

    Attributes:
        number: from 0.
        digest: what it is stored and fetched by, 32 bytes.
        data: 1 to 4,194,304 bytes.
    """

    number: int
    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class SealedFile:
    """What is known of a file once all of it is sealed.

    Attributes:
        named: for the manifest.
        pieces: digests of its pieces, for the submission.
        sha256: of the file itself, for its descriptor; 32 bytes.
        size: of the file itself in bytes.
    """

    named: SealedAttachment
    pieces: tuple[bytes, ...]
    sha256: bytes
    size: int


class AttachmentSealer(Iterator[SealedPiece]):
    """Seals one file while it is read: iterate over its pieces, then ask for the `result`.

    Keep the pieces until the message is settled, rather than seal the file again: another text under the same key and
    salt would give both away.

    Args:
        key: of this attachment.
        salt: 24 random bytes, never used twice with this key.
        blocks: the file, in blocks of any size; of a multiple of 16 KiB they are copied least.

    Raises:
        ValueError: a salt of another size; at once.
        SealError: ``file_size``: the file is empty, or has more than 2 GiB; while iterating.
    """

    def __init__(self, key: AttachmentKey, salt: bytes, blocks: Iterable[bytes | memoryview]) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._sealed_size = 0
        self._digests: list[bytes] = []
        self._whole = False
        sealed = seal_stream(key.secret, salt, b"", self._padded(blocks))
        self._pieces = self._cut(sealed)

    def __next__(self) -> SealedPiece:
        return next(self._pieces)

    @property
    def result(self) -> SealedFile:
        """What the manifest, the submission and the descriptor say of the file.

        Raises:
            RuntimeError: not all pieces were taken, or sealing failed.
        """
        if not self._whole:
            msg = "the file is not sealed to its end: take all pieces first"
            raise RuntimeError(msg)
        named = SealedAttachment(attachment_digest(self._sealed_size, self._digests), self._sealed_size)
        return SealedFile(named, tuple(self._digests), self._digest.digest(), self._size)

    def _padded(self, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for block in blocks:
            self._size += len(block)
            if self._size > MAX_FILE_BYTES:
                raise _file_size(f"more than {MAX_FILE_BYTES} bytes")
            self._digest.update(block)
            yield block
        if not self._size:
            raise _file_size("none")
        left = padded_size(self._size) - self._size
        while left:
            zeros = memoryview(_ZEROS)[:left]
            left -= len(zeros)
            yield zeros

    def _cut(self, sealed: Iterator[bytes]) -> Iterator[SealedPiece]:
        waiting: list[bytes | memoryview] = []
        size = 0
        for chunk in sealed:
            waiting.append(chunk)
            size += len(chunk)
            if size >= PIECE_BYTES:
                over = size - PIECE_BYTES  # less than a chunk
                view = memoryview(chunk)
                waiting[-1] = view[: len(chunk) - over]
                yield self._piece(b"".join(waiting))
                waiting, size = [view[len(chunk) - over :]], over
        if size:  # else the sealed size is a multiple of a piece's
            yield self._piece(b"".join(waiting))
        self._whole = True

    def _piece(self, data: bytes) -> SealedPiece:
        piece = SealedPiece(len(self._digests), piece_digest(data), data)
        self._digests.append(piece.digest)
        self._sealed_size += len(data)
        return piece


def _file_size(got: str) -> SealError:
    return SealError("file_size", f"an attached file has 1 to {MAX_FILE_BYTES} bytes, got {got}: split it")


# --- opening -----------------------------------------------------------------------------------------


def open_attachment(
    key: AttachmentKey,
    named: SealedAttachment,
    digests: Sequence[bytes],
    descriptor: AttachmentDescriptor,
    pieces: Iterable[bytes | memoryview],
) -> Iterator[bytes]:
    """Open a file while its pieces come in.

    Args:
        key: of this attachment, from the message's secrets.
        named: by the proven manifest.
        digests: of the pieces, as whoever serves them lists them.
        descriptor: from the message's parts.
        pieces: in order; each is taken only when those before it are opened.

    Yields:
        The file, 16 KiB at a time; provisional until the iterator ends.

    Raises:
        SealError: at once: ``attachment_swapped`` (the list is not that of the manifest), ``attachment_size`` (the
            sender describes a file of another size). While iterating: ``piece_swapped`` (a piece is not the listed
            one, or there are more), ``truncated_ciphertext`` (pieces are missing), ``wrong_key``,
            ``altered_ciphertext``, ``non_zero_padding``, ``file_mismatch`` (what opens is not what is described).
    """
    try:
        check_pieces(named, digests)
    except MalformedError:
        raise SealError(
            "attachment_swapped",
            "the list of pieces is not that of the attachment which the manifest names: fetch it again",
        ) from None
    check_described(descriptor, named)
    chunks = open_stream(key.secret, b"", _checked(named, digests, pieces))
    return StickyIterator(_unpadded(descriptor, chunks))


def _checked(
    named: SealedAttachment, digests: Sequence[bytes], pieces: Iterable[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    source = iter(pieces)
    for number, digest in enumerate(digests):
        piece = next(source, None)
        if piece is None:
            raise SealError(
                "truncated_ciphertext", f"{number} of {len(digests)} pieces came: fetch the others as well"
            )
        if len(piece) != piece_size(named.size, number) or piece_digest(piece) != digest:
            raise SealError(
                "piece_swapped", f"piece {number} is not the one that the manifest names: fetch it again"
            )
        yield piece
    if next(source, None) is not None:
        raise SealError("piece_swapped", f"more than the {len(digests)} pieces that the manifest names came")


def _unpadded(descriptor: AttachmentDescriptor, chunks: Iterator[bytes]) -> Iterator[bytes]:
    check = FileCheck(descriptor)
    left = descriptor.size
    for chunk in chunks:
        data = chunk if len(chunk) <= left else chunk[:left]
        if chunk.count(0, len(data)) != len(chunk) - len(data):
            raise SealError("non_zero_padding", "the padding after the file holds bytes other than zero")
        if data:
            left -= len(data)
            check.update(data)
            yield data
    check.finish()
