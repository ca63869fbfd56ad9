"""Sealed pieces of attachments in a profile's folder: one file a piece, named by its digest.

A piece is written whole, synced and then named, so what has a name is whole. Two messages never share a piece, since
each attachment is sealed under a key of its own; a message that is sent to oneself does, and that is why rows of the
store tell which are needed, and not the folder. What no row names is left over from a crash, and is swept.

Source: docs/spec/sealing.md; docs/behaviour.md.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from countermark_client._keystore import write_private
from countermark_client.errors import StorageError
from countermark_protocol.attachments import piece_digest

PIECES_FOLDER: Final = "pieces"


class PieceFiles:
    """The pieces of one profile.

    Args:
        folder: of the profile; None for one in memory, whose pieces lie in a folder of their own until it is closed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._scratch: weakref.finalize[[str, bool], PieceFiles] | None = None
        self._folder = folder / PIECES_FOLDER if folder is not None else None

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="countermark-pieces-"))
            # Also where nobody closes the profile.
            self._scratch = weakref.finalize(self, shutil.rmtree, str(self._folder), True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder

    def write(self, digest: bytes, piece: bytes) -> None:
        """Keep a piece, durably.

        Args:
            digest: of it, checked by the caller.
            piece: sealed bytes.

        Raises:
            StorageError: ``pieces_failed``.
        """
        try:
            write_private(self._place() / digest.hex(), piece)
        except OSError as error:
            raise StorageError(
                "pieces_failed",
                f"a piece of an attachment cannot be kept in the profile: {error.strerror}; make room, and try again",
            ) from None

    def held(self, digest: bytes) -> bool:
        """Whether a piece is here."""
        return self._folder is not None and (self._folder / digest.hex()).exists()

    def read(self, digest: bytes) -> bytes:
        """A piece, checked by its digest; a damaged one is deleted.

        Raises:
            StorageError: ``piece_not_held``, ``piece_damaged``.
        """
        try:
            data = (self._place() / digest.hex()).read_bytes()
        except OSError:
            raise StorageError(
                "piece_not_held", "a piece of the attachment is not in this profile any more: fetch it again"
            ) from None
        if piece_digest(data) != digest:
            self.remove([digest])  # so that the next fetch asks for it
            raise StorageError(
                "piece_damaged",
                "a piece of the attachment is damaged in this profile: check its disk; a received one can be fetched "
                "again",
            )
        return data

    def remove(self, digests: Iterable[bytes]) -> None:
        """Delete pieces that nothing names any more."""
        if self._folder is not None:
            for digest in digests:
                (self._folder / digest.hex()).unlink(missing_ok=True)

    def sweep(self, named: Collection[bytes]) -> int:
        """Delete what a crash left over.

        Args:
            named: digests that rows of the store name.

        Returns:
            How many files went.
        """
        if self._folder is None or not self._folder.exists():
            return 0
        kept, count = {digest.hex() for digest in named}, 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name not in kept:
                    os.unlink(entry.path)  # noqa: PTH108  of an entry that was listed just now
                    count += 1
        return count

    def close(self) -> None:
        """Delete what was in memory only."""
        if self._scratch is not None:
            self._scratch()
            self._scratch, self._folder = None, None
