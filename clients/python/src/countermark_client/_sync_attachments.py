"""Calls of `Client` about attachments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO, TypeVar

from countermark_client._core import Core
from countermark_client._io import Flow
from countermark_client._models import FetchedAttachment, MessageRef
from countermark_client.attaching import Attach, PreparedAttachment, prepare

T = TypeVar("T")


class AttachmentCalls(ABC):
    """Attachments of one profile; `AsyncAttachmentCalls` has the same methods."""

    _core: Core

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T: ...

    @abstractmethod
    def _drive(self, flow: Flow[T]) -> T: ...

    def prepare_attachment(self, attach: Attach | PreparedAttachment) -> PreparedAttachment:
        """Read a file that is to be sent: its digest, its kind; and, of a picture, the file without what it tells.

        Nothing is sealed, kept or sent. What the content says of a photograph (``sha256``, ``mediaType``, ``size``) is
        what this gives; hand it on in `Draft.attachments`, or in `send`.

        Raises:
            MalformedError, NotFoundError, TypeError: as of `attaching.prepare`.
        """
        return self._drive(prepare(attach))

    def fetch_attachment(
        self, message: MessageRef, index: int, to: Path | str | BinaryIO, *, overwrite: bool = False
    ) -> FetchedAttachment:
        """Fetch an attachment, check it, open it, and write it.

        Its sealed pieces come into the profile first, each checked as it comes; what came before a line broke is not
        asked for again. `Watch.transferred` is told how far it is.

        Args:
            message: received and opened, or sent.
            index: of the attachment, from 0.
            to: a folder that is there, where it gets its own name; the path of a file; or a binary file, which gets
                its first byte when all of it was found to be what the sender describes. A file appears whole, or not
                at all, and only its owner may read it.
            overwrite: whether a file that is there may be replaced.

        Raises:
            NotFoundError: ``unknown_message``, ``not_opened``, ``no_such_attachment``; ``purged``: it is deleted at the
                broker.
            ConflictError: ``file_exists``.
            SealError: ``attachment_swapped``, ``piece_swapped``: the broker serves another; ``attachment_unopenable``:
                its sender spoilt it, and `Received.reject` tells so.
            StorageError: ``pieces_failed``, ``file_not_written``: there is no room, or no right to write.
            TransportError: the broker is away; the same call goes on where this one stopped.
        """
        return self._run(self._core.fetching.fetch(message, index, to, overwrite=overwrite))

    def fetch_attachments(
        self, message: MessageRef, folder: Path | str, *, overwrite: bool = False
    ) -> tuple[FetchedAttachment, ...]:
        """Fetch all attachments of a message into a folder that is there, each under its own name.

        Two of one name are told apart by a number.

        Raises:
            CountermarkError: as `fetch_attachment`; those before it are written.
        """
        return self._run(self._core.fetching.fetch_all(message, folder, overwrite=overwrite))

    def give_back_attachments(self, message: MessageRef) -> int:
        """Upload what the broker has lost of a message's attachments, out of what this profile has sent or fetched.

        For after a loss, when its operator asks for it (docs/operations/content-store.md).

        Returns:
            How many pieces it lacked.

        Raises:
            NotFoundError: ``no_pieces``: there is none here.
            StorageError: ``piece_damaged``.
            CountermarkError: the broker refuses to take them.
            TransportError: the broker is away; the same call goes on.
        """
        return self._run(self._core.fetching.give_back(message))

    def hold_attachment(self, message: MessageRef, index: int) -> None:
        """Fetch the sealed pieces of an attachment into the profile, so that it opens later without a line.

        Raises:
            CountermarkError: as `fetch_attachment`.
        """
        self._run(self._core.fetching.bring(message, index))

    def fetch_draft_attachments(
        self, data: bytes, files: Path | str, folder: Path | str, *, overwrite: bool = False
    ) -> tuple[FetchedAttachment, ...]:
        """Check the attachments of a draft, open them, and write them into a folder that is there.

        For whoever must judge it before signing it: the checks are those of a recipient.

        Args:
            data: the draft, as of `Client.draft_message`.
            files: the folder beside it, of sealed pieces.
            folder: where each attachment gets its own name; two of one name are told apart by a number.
            overwrite: whether files that are there may be replaced.

        Raises:
            NotFoundError: ``draft_piece_missing``.
            SealError: ``draft_piece_swapped``: the folder is not the draft's; ``draft_file_unopenable``: who drafted
                it sealed another file than it describes.
            ConflictError: ``file_exists``.
            StorageError: ``file_not_written``.
            CountermarkError: as `Client.read_message_draft`.
        """
        return self._run(self._core.sender.drafting.fetch(data, files, folder, overwrite=overwrite))
