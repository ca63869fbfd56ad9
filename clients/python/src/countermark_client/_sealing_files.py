"""Sealing files: from prepared attachments to sealed pieces on disk, before the message that names them is written.

A crash leaves pieces that no row names, which are swept; a message that stands in the outbox has all of its pieces.

Source: docs/spec/sealing.md §9; docs/behaviour.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from countermark_client._io import Flow, Sleep
from countermark_client._models import Draft
from countermark_client.attaching import Attach, PreparedAttachment, prepare_all
from countermark_protocol.attachments import SealedAttachment, check_piece_total
from countermark_protocol.chunks import SALT_BYTES
from countermark_protocol.descriptors import AttachmentDescriptor, attachment_size
from countermark_protocol.sealed_attachments import AttachmentSealer, SealedPiece, attachment_key
from countermark_protocol.sealing import ContentSecrets


class PieceKeeper(Protocol):
    """Where sealed pieces are written: a profile, or the folder beside a draft."""

    def write(self, digest: bytes, piece: bytes) -> None:
        """Keep a piece, durably."""

    def remove(self, digests: Iterable[bytes]) -> None:
        """Delete pieces of a message that is not made."""


@dataclass(slots=True)
class SealedFiles:
    """The files of one message, sealed.

    Attributes:
        named: for the manifest.
        descriptors: for the content.
        pieces: digests of the pieces of each, for the submission.
    """

    _files: PieceKeeper = field(repr=False)
    named: tuple[SealedAttachment, ...] = ()
    descriptors: tuple[AttachmentDescriptor, ...] = ()
    pieces: tuple[tuple[bytes, ...], ...] = ()
    _written: list[bytes] = field(default_factory=list)

    def keep(self, piece: SealedPiece) -> None:
        """Write a piece to where it is kept."""
        self._files.write(piece.digest, piece.data)
        self._written.append(piece.digest)

    def drop(self) -> None:
        """Delete the pieces: the message is not made."""
        self._files.remove(self._written)
        self._written.clear()


def with_prepared(draft: Draft) -> Flow[Draft]:
    """A draft whose attachments are prepared.

    Raises:
        CountermarkError: as `attaching.prepare_all`.
    """
    if not draft.attachments:
        return draft
    return replace(draft, attachments=(yield from prepare_all(draft.attachments)))


def seal_files(
    keeper: PieceKeeper, attachments: Sequence[Attach | PreparedAttachment], keys: ContentSecrets
) -> Flow[SealedFiles]:
    """Seal files into pieces; an event loop gets a turn after each piece.

    Args:
        keeper: of the pieces.
        attachments: of one message.
        keys: of that message, fresh.

    Raises:
        MalformedError: ``too_many_pieces``, before any is sealed.
        ConflictError: ``file_changed``.
        StorageError: ``pieces_failed``.
    """
    prepared = yield from prepare_all(attachments)
    sealed = SealedFiles(keeper)
    check_piece_total([SealedAttachment(b"", attachment_size(one.size)) for one in prepared])
    try:
        for number, one in enumerate(prepared):
            # A salt and a key that no other file has: equal files give pieces that nobody can tell to be of equal ones.
            sealer = AttachmentSealer(
                attachment_key(keys, number), secrets.token_bytes(SALT_BYTES), one.blocks()
            )
            for piece in sealer:
                sealed.keep(piece)
                yield Sleep(0)
            sealed.named += (sealer.result.named,)
            sealed.pieces += (sealer.result.pieces,)
            sealed.descriptors += (one.descriptor,)
    except BaseException:
        sealed.drop()
        raise
    return sealed
