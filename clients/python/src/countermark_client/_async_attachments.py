"""Calls of `AsyncClient` about attachments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO, TypeVar

from countermark_client._core import Core
from countermark_client._io import Flow
from countermark_client._models import FetchedAttachment, MessageRef
from countermark_client.attaching import Attach, PreparedAttachment, prepare

T = TypeVar("T")


class AsyncAttachmentCalls(ABC):
    """Attachments of one profile, as `AttachmentCalls`, awaited.

    Files are read and written on the event loop, which gets its turn after every few MiB.
    """

    _core: Core

    @abstractmethod
    async def _run(self, flow: Flow[T]) -> T: ...

    @abstractmethod
    async def _drive(self, flow: Flow[T]) -> T: ...

    async def prepare_attachment(self, attach: Attach | PreparedAttachment) -> PreparedAttachment:
        """Read a file that is to be sent; see `Client.prepare_attachment`."""
        return await self._drive(prepare(attach))

    async def fetch_attachment(
        self, message: MessageRef, index: int, to: Path | str | BinaryIO, *, overwrite: bool = False
    ) -> FetchedAttachment:
        """Fetch an attachment, check it, open it, and write it; see `Client.fetch_attachment`."""
        return await self._run(self._core.fetching.fetch(message, index, to, overwrite=overwrite))

    async def fetch_attachments(
        self, message: MessageRef, folder: Path | str, *, overwrite: bool = False
    ) -> tuple[FetchedAttachment, ...]:
        """Fetch all attachments of a message into a folder; see `Client.fetch_attachments`."""
        return await self._run(self._core.fetching.fetch_all(message, folder, overwrite=overwrite))

    async def give_back_attachments(self, message: MessageRef) -> int:
        """Upload what the broker has lost of a message's attachments; see `Client.give_back_attachments`."""
        return await self._run(self._core.fetching.give_back(message))

    async def hold_attachment(self, message: MessageRef, index: int) -> None:
        """Fetch the sealed pieces of an attachment into the profile; see `Client.hold_attachment`."""
        await self._run(self._core.fetching.bring(message, index))

    async def fetch_draft_attachments(
        self, data: bytes, files: Path | str, folder: Path | str, *, overwrite: bool = False
    ) -> tuple[FetchedAttachment, ...]:
        """Check, open and write the attachments of a draft; see `Client.fetch_draft_attachments`."""
        return await self._run(self._core.sender.drafting.fetch(data, files, folder, overwrite=overwrite))
