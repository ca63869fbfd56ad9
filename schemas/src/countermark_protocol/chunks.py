"""Chunked encryption with a key commitment: the C2SP layout named Cobblestone-256.

A sealed message is salt (24) ‖ commitment (32) ‖ chunks. AES-GCM alone does not commit to its key: one
ciphertext can be made that opens differently for two recipients. Here key, base nonce and commitment come
from one HKDF-Expand, and the commitment is checked before any chunk is opened. Every chunk is full but the
last, which is shorter (and may be empty), so a missing end cannot go unnoticed.

Opening a stream gives out each chunk once *it* is authentic; that the message is whole is known only when
the iterator ends without an error. Until then its bytes are provisional: write them to a place that is
thrown away on error. An iterator that failed fails again at every further call; it never ends like a
complete message.

What this does not do: hide sizes (padding.py), or authenticate who sealed (documents.py).

Source: c2sp.org/chunked-encryption (repository C2SP/C2SP, commit 5ba5ee83), frozen in docs/spec/sealing.md §2
with vectors; RFC 5869; RFC 5116 §5.2.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from countermark_protocol.errors import SealError

KEY_BYTES: Final = 32
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
HEADER_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
CHUNK_BYTES: Final = 16 * 1024
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
#: The counter must not reach the nonce bits on which the bound for colliding nonces rests (4 PiB).
MAX_CHUNKS: Final = 2**38

_NONCE_BYTES: Final = 12
_INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


@dataclass(frozen=True, slots=True, repr=False)  # repr: a key must not reach a log or a traceback
class _Derived:
    """What one (key, salt, context) gives.

    Attributes:
        aead: AES-256-GCM under the message's own key.
        base_nonce: 12 bytes.
        commitment: 32 bytes, public.
    """

    aead: AESGCM
    base_nonce: bytes
    commitment: bytes

    def nonce(self, number: int) -> bytes:
        """The nonce of a chunk: unique, because (key, base nonce) is fresh and the number is not reused."""
        if number >= MAX_CHUNKS:
            raise SealError("too_many_chunks", f"a sealed message has at most {MAX_CHUNKS} chunks: split it")
        return (int.from_bytes(self.base_nonce, "big") ^ number).to_bytes(_NONCE_BYTES, "big")


def _derive(key: bytes, salt: bytes, context: bytes) -> _Derived:
    size = KEY_BYTES + _NONCE_BYTES + COMMITMENT_BYTES
    out = HKDFExpand(algorithm=SHA512(), length=size, info=_INFO + salt + context).derive(key)
    rest = out[KEY_BYTES:]
    return _Derived(AESGCM(out[:KEY_BYTES]), rest[:_NONCE_BYTES], rest[_NONCE_BYTES:])


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        msg = f"expected a key of {KEY_BYTES} bytes, got {len(key)}"
        raise ValueError(msg)


def regroup(blocks: Iterable[bytes | memoryview], size: int) -> Iterator[bytes | memoryview]:
    """Cut blocks of any size into pieces of exactly `size` bytes and a last one, shorter, maybe empty."""
    pending = bytearray()  # always shorter than `size` between blocks
    for block in blocks:
        view = memoryview(block)
        if pending:
            take = size - len(pending)
            pending += view[:take]
            view = view[take:]
            if len(pending) == size:
                yield bytes(pending)
                pending.clear()
        whole = len(view) - len(view) % size
        for at in range(0, whole, size):
            yield view[at : at + size]
        pending += view[whole:]
    yield bytes(pending)


# --- sealing -----------------------------------------------------------------------------------------


def sealed_size(plaintext_size: int) -> int:
    """Bytes that `plaintext_size` bytes take once sealed.

    Raises:
        ValueError: the size is negative.
    """
    if plaintext_size < 0:
        msg = f"a size is not negative, got {plaintext_size}"
        raise ValueError(msg)
    return HEADER_BYTES + plaintext_size + TAG_BYTES * (plaintext_size // CHUNK_BYTES + 1)


def seal_stream(
    key: bytes, salt: bytes, context: bytes, blocks: Iterable[bytes | memoryview]
) -> Iterator[bytes]:
    """Seal a message that is read and written piece by piece.

    Args:
        key: 32 bytes, uniformly random.
        salt: 24 bytes, random, never used twice with this key.
        context: bound to the message without being in it; may be empty.
        blocks: the plaintext in pieces of any size.

    Yields:
        The header, then each sealed chunk. A caller that stops early has a truncated message, which the
        other side refuses.

    Raises:
        ValueError: key or salt of another size; at once, not at the first piece.
        SealError: ``too_many_chunks``, beyond 4 PiB.
    """
    _check_key(key)
    if len(salt) != SALT_BYTES:
        msg = f"expected a salt of {SALT_BYTES} bytes, got {len(salt)}"
        raise ValueError(msg)
    return _seal(_derive(key, salt, context), salt, blocks)


def _seal(derived: _Derived, salt: bytes, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    yield salt + derived.commitment
    for number, chunk in enumerate(regroup(blocks, CHUNK_BYTES)):
        yield derived.aead.encrypt(derived.nonce(number), chunk, None)


def seal_chunks(key: bytes, plaintext: bytes, salt: bytes, context: bytes) -> bytes:
    """Seal a message held in memory; otherwise as `seal_stream`."""
    return b"".join(seal_stream(key, salt, context, (plaintext,)))


# --- opening -----------------------------------------------------------------------------------------


class StickyIterator(Iterator[bytes]):
    """An iterator that keeps failing once it failed; with it everything that was opened is given out.

    A generator that raised ends quietly at the next call, and a caller that tries again would take what it
    has for the whole message.
    """

    __slots__ = ("_chunks", "_error")

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._error: Exception | None = None

    def __next__(self) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except Exception as error:  # also what reading the blocks raised: the message is not whole then
            self._error = error
            raise


def open_stream(key: bytes, context: bytes, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Open a sealed message that is read and written piece by piece.

    Args:
        key: 32 bytes, the one it was sealed under.
        context: the one it was sealed with.
        blocks: the sealed message in pieces of any size.

    Yields:
        The plaintext of each chunk once it is authentic; provisional until the iterator ends.

    Raises:
        ValueError: key of another size; at once, not at the first piece.
        SealError: ``wrong_key`` (key, salt or context is not the one committed to), ``altered_ciphertext``
            (a chunk was changed, moved, repeated, dropped, or ends too early), ``truncated_ciphertext``
            (the message ends where it cannot end), ``too_many_chunks``.
    """
    _check_key(key)
    return StickyIterator(_open(key, context, blocks))


def _truncated(where: str) -> SealError:
    return SealError("truncated_ciphertext", f"the sealed message ends {where}: fetch it again, whole")


def _open(key: bytes, context: bytes, blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    source = iter(blocks)
    head = bytearray()
    while len(head) < HEADER_BYTES:
        block = next(source, None)
        if block is None:
            raise _truncated(f"inside its header of {HEADER_BYTES} bytes")
        head += block
    salt, commitment = bytes(head[:SALT_BYTES]), bytes(head[SALT_BYTES:HEADER_BYTES])
    derived = _derive(key, salt, context)
    # The commitment is public, yet compared in constant time: how much of it is right is nobody's business.
    if not hmac.compare_digest(derived.commitment, commitment):
        raise SealError(
            "wrong_key", "the sealed message commits to another key or context than the given one"
        )
    pieces = regroup(chain([bytes(head[HEADER_BYTES:])], source), SEALED_CHUNK_BYTES)
    for number, piece in enumerate(pieces):
        if len(piece) < TAG_BYTES:
            raise _truncated("without its last chunk, which is always shorter than the others")
        try:
            yield derived.aead.decrypt(derived.nonce(number), piece, None)
        except InvalidTag:
            raise SealError(
                "altered_ciphertext", f"chunk {number} of the sealed message was altered"
            ) from None


def open_chunks(key: bytes, ciphertext: bytes, context: bytes) -> bytes:
    """Open a sealed message held in memory, wholly or not at all; otherwise as `open_stream`."""
    view = memoryview(ciphertext)
    return b"".join(open_stream(key, context, (view[:HEADER_BYTES], view[HEADER_BYTES:])))
