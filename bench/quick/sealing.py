"""Sealing and opening against the bare algorithms over the same bytes, in one process and one thread.

What is held against: AES-256-GCM by blocks of 1 MiB, and SHA-256, as `cryptography` and Python give them. Sealing an
attachment cannot be faster than one encryption and two hashes of the same bytes (the file's own for its descriptor, its
pieces' to name them); that sum is taken, too, so that the ratio says what the rest costs: chunks, copies, padding.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from bench.quick.ground import ROOT  # noqa: F401  puts the tests' support in the path
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from countermark_protocol.descriptors import AttachmentDescriptor
from countermark_protocol.encoding import labelled_bytes
from countermark_protocol.identifiers import Address
from countermark_protocol.parts import split_content
from countermark_protocol.sealed_attachments import (
    AttachmentSealer,
    SealedFile,
    attachment_key,
    open_attachment,
)
from countermark_protocol.sealing import ContentSecrets, open_content, seal_content
from support.world import NAIROBI, World

#: JSON of a large content; an attachment's size is an option.
CONTENT_BYTES: Final = 3_000_000
_BLOCK: Final = 1024 * 1024
_MB: Final = 1_000_000


def _rate(size: int, act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    out = act()
    return size / _MB / (time.perf_counter() - began), out


def _blocks(data: bytes) -> Iterator[memoryview]:
    """Of a size that stays in the processor's cache: what is fastest for the bare algorithms."""
    view = memoryview(data)
    return (view[at : at + _BLOCK] for at in range(0, len(data), _BLOCK))


def _encrypt(data: bytes, key: AESGCM) -> None:
    for number, block in enumerate(_blocks(data)):
        key.encrypt(number.to_bytes(12), block, None)


def _bare(data: bytes, key: AESGCM) -> None:
    plain, sealed = hashlib.sha256(), hashlib.sha256()
    for number, block in enumerate(_blocks(data)):
        plain.update(block)
        sealed.update(key.encrypt(number.to_bytes(12), block, None))


class Sealing:
    """Everything that is sealed, made once.

    Args:
        mib: size of the attachment.
        recipients: of the message to many.
    """

    def __init__(self, mib: int, recipients: int) -> None:
        self._file = os.urandom(mib * 1024 * 1024)
        # A part has at most 1 MiB.
        self._parts = split_content({f"note{n}": os.urandom(CONTENT_BYTES // 6).hex() for n in range(3)})
        self._text = b"".join(part.data for part in self._parts)
        self._key = AESGCM(os.urandom(32))
        self._many = tuple(Address(f"xo-un.customs.n{number}") for number in range(recipients))
        self._world = World(endpoints=(NAIROBI, *self._many))
        self._suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        raw = [self._world.agencies[a].sealing.public_key.raw for a in self._many]
        self._public = [
            hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(key[:1184]),
                x25519.X25519PublicKey.from_public_bytes(key[1184:]),
            )
            for key in raw
        ]

    def measure(self) -> dict[str, float]:
        """MB a second of everything that has bytes, messages a second of the one to many."""
        return {**self._attachment(), **self._content(), **self._to_many()}

    def _attachment(self) -> dict[str, float]:
        data, size, out = self._file, len(self._file), {}
        secrets = ContentSecrets(os.urandom(32), os.urandom(32))
        key = attachment_key(secrets, 0)
        sealer = AttachmentSealer(key, os.urandom(24), _blocks(data))
        out["attachment_seal_mb_s"], _ = _rate(size, lambda: sum(len(piece.data) for piece in sealer))
        made, pieces, described = self._sealed(secrets)

        def opened() -> int:
            return sum(map(len, open_attachment(key, made.named, made.pieces, described, pieces)))

        out["attachment_open_mb_s"], length = _rate(size, opened)
        if length != size:
            raise SystemExit(f"opened {length} bytes of {size}")
        out["aes_gcm_mb_s"], _ = _rate(size, lambda: _encrypt(data, self._key))
        out["sha256_mb_s"], _ = _rate(size, lambda: hashlib.sha256(data).digest())
        out["aes_gcm_and_two_sha256_mb_s"], _ = _rate(size, lambda: _bare(data, self._key))
        return out

    def _sealed(self, secrets: ContentSecrets) -> tuple[SealedFile, list[bytes], AttachmentDescriptor]:
        sealer = AttachmentSealer(attachment_key(secrets, 0), os.urandom(24), _blocks(self._file))
        pieces = [piece.data for piece in sealer]
        made = sealer.result
        described = AttachmentDescriptor(made.sha256, made.size, "file.bin", "application/octet-stream")
        return made, pieces, described

    def _content(self) -> dict[str, float]:
        secrets = ContentSecrets(os.urandom(32), os.urandom(32))
        text, size, out = self._text, len(self._text), {}
        out["content_seal_mb_s"], (sealed, named) = _rate(
            size, lambda: seal_content(self._parts, secrets, os.urandom(24))
        )
        out["content_open_mb_s"], _ = _rate(size, lambda: open_content(sealed, secrets, named))
        out["content_aes_gcm_mb_s"], _ = _rate(size, lambda: _encrypt(text, self._key))
        out["content_sha256_mb_s"], _ = _rate(size, lambda: hashlib.sha256(text).digest())
        return out

    def _to_many(self) -> dict[str, float]:
        began = time.perf_counter()
        self._world.message(NAIROBI, self._many)
        whole = time.perf_counter() - began
        infos = [labelled_bytes("stanza-info", address.encode(), bytes(200)) for address in self._many]
        secret = os.urandom(64)
        began = time.perf_counter()
        for key, info in zip(self._public, infos, strict=True):
            self._suite.encrypt(secret, key, info)
        return {"seal_to_many": 1 / whole, "hpke_to_many": 1 / (time.perf_counter() - began)}
