"""A file of any size under a passphrase: Argon2id as for key files, then chunked encryption.

Layout: magic 8 ‖ salt 16 ‖ sealed message (chunks.py) under the derived key, whose context is the header.

The parameters of Argon2id are those of key files and fixed (keyfile.py). The chunked encryption commits to its
key, so that a wrong passphrase is known before a byte is opened, and it shows every change and a missing end;
what is read from it is provisional until it ended without an error.

Source: docs/spec/keys.md §7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from countermark_protocol import chunks
from countermark_protocol.encoding import labelled_bytes, malformed
from countermark_protocol.errors import SealError, UncheckableError
from countermark_protocol.keyfile import KDF_JSON, SALT_BYTES, derive_key

_FAMILY: Final = b"cmseal0"
MAGIC: Final = _FAMILY + b"1"
_HEADER_BYTES: Final = len(MAGIC) + SALT_BYTES


def _context(salt: bytes) -> bytes:
    return labelled_bytes("sealed-file", MAGIC, KDF_JSON, salt)


def seal_file(
    passphrase: str, salt: bytes, chunk_salt: bytes, blocks: Iterable[bytes | memoryview]
) -> Iterator[bytes]:
    """Seal a file that is read and written piece by piece.

    Args:
        passphrase: not empty.
        salt: 16 random bytes.
        chunk_salt: 24 random bytes.
        blocks: the plaintext in pieces of any size.

    Yields:
        The sealed file in pieces.

    Raises:
        ValueError: an empty passphrase, or sizes that are not as stated.
    """
    if not passphrase or len(salt) != SALT_BYTES:
        msg = "expected a passphrase and 16 bytes of salt"
        raise ValueError(msg)
    sealed = chunks.seal_stream(derive_key(passphrase, salt), chunk_salt, _context(salt), blocks)
    return chain([MAGIC + salt], sealed)


def open_file(passphrase: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Open a sealed file that is read and written piece by piece.

    Args:
        passphrase: it was sealed under.
        blocks: the sealed file in pieces of any size.

    Yields:
        The plaintext; provisional until the iterator ends.

    Raises:
        MalformedError: ``not_a_sealed_file``.
        UncheckableError: ``unknown_version``.
        SealError: ``wrong_passphrase`` (or an altered header: the two look alike), ``altered_ciphertext``,
            ``truncated_ciphertext``.
    """
    source = iter(blocks)
    head = bytearray()
    while len(head) < _HEADER_BYTES:
        block = next(source, None)
        if block is None:
            malformed("not_a_sealed_file", f"expected a header of {_HEADER_BYTES} bytes, got {len(head)}")
        head += block
    magic, salt = bytes(head[: len(MAGIC)]), bytes(head[len(MAGIC) : _HEADER_BYTES])
    if magic != MAGIC:
        if magic.startswith(_FAMILY):
            raise UncheckableError(
                "unknown_version", "the file is sealed in another version than this software reads"
            )
        malformed("not_a_sealed_file", "these bytes are no file sealed by this software")
    rest = chain([bytes(head[_HEADER_BYTES:])], source)
    opened = chunks.open_stream(derive_key(passphrase, salt), _context(salt), rest)
    try:
        yield from opened
    except SealError as error:
        if error.code == "wrong_key":
            raise SealError("wrong_passphrase", "the file does not open with this passphrase") from None
        raise
