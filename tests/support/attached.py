"""Files for tests, sealed as attachments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from countermark_protocol.descriptors import AttachmentDescriptor
from countermark_protocol.sealed_attachments import (
    AttachmentSealer,
    SealedFile,
    SealedPiece,
    attachment_key,
)
from countermark_protocol.sealing import ContentSecrets


@dataclass(frozen=True)
class Attached:
    """A sealed file, and what describes it."""

    file: SealedFile
    pieces: tuple[SealedPiece, ...]
    descriptor: AttachmentDescriptor


def attach(
    secrets: ContentSecrets, number: int, data: bytes, name: str, salt: bytes | None = None
) -> Attached:
    """A file sealed as an attachment of the message with these secrets."""
    sealer = AttachmentSealer(attachment_key(secrets, number), salt or os.urandom(24), (data,))
    pieces = tuple(sealer)
    file = sealer.result
    descriptor = AttachmentDescriptor(file.sha256, file.size, name, "application/octet-stream")
    return Attached(file, pieces, descriptor)


def attach_all(secrets: ContentSecrets, files: Mapping[str, bytes]) -> tuple[Attached, ...]:
    """Every file of a message, by name."""
    return tuple(attach(secrets, k, data, name) for k, (name, data) in enumerate(files.items()))
