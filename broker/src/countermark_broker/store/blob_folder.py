"""Blobs in a folder: for one machine, or for several that share a file system.

A blob is written beside its place, flushed, renamed, and its directory flushed. Only the broker's user may read.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.blobs import MARK_BYTES, MARK_NAME, StoredBlob, away, is_name

_log = logging.getLogger(__name__)

_SHARD: Final = 2
_OTHERS: Final = 0o077


class FolderBlobs:
    """See `BlobStore`.

    Args:
        root: the folder; made, for its owner alone, if it is not there.
    """

    place = "folder"

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        """See `BlobStore.put`."""
        path = self._path(name)
        temporary = path.with_name(f".{name}.part")
        with _translated(self._root):
            self._make(path.parent)
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                    os.fsync(file.fileno())
                temporary.rename(path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
            _flush(path.parent)

    def get(self, name: str) -> bytes | None:
        """See `BlobStore.get`."""
        with _translated(self._root):
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                # A folder that is not mounted is no folder without this blob.
                if self.mark() is None:
                    raise
                return None

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        path = self._path(name)
        with _translated(self._root):
            if self.mark() is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if path.exists():
                path.unlink(missing_ok=True)
                _flush(path.parent)

    def stored(self) -> Iterator[StoredBlob]:
        """See `BlobStore.stored`."""
        with _translated(self._root):
            for folder in sorted(p for p in self._root.iterdir() if p.is_dir() and len(p.name) == _SHARD):
                with os.scandir(folder) as found:
                    for one in found:
                        if not is_name(one.name):
                            continue
                        with suppress(FileNotFoundError):
                            status = one.stat(follow_symlinks=False)
                            yield StoredBlob(one.name, status.st_size, status.st_mtime_ns // 1_000_000)

    def mark(self) -> bytes | None:
        """See `BlobStore.mark`."""
        with _translated(self._root):
            try:
                text = (self._root / MARK_NAME).read_text(encoding="ascii").strip()
            except FileNotFoundError:
                return None
            try:
                mark = bytes.fromhex(text)
            except ValueError:
                mark = b""
        return mark if len(mark) == MARK_BYTES else bytes(MARK_BYTES)

    def set_mark(self, mark: bytes) -> None:
        """See `BlobStore.set_mark`."""
        with _translated(self._root):
            path = self._root / MARK_NAME
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{mark.hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            _flush(self._root)

    def check(self) -> None:
        """See `BlobStore.check`."""
        try:
            self._make(self._root)
            mode = stat.S_IMODE(self._root.stat().st_mode)
        except OSError as error:
            raise ConfigurationError(
                "content_folder", f"the content folder {self._root} cannot be used: {error.strerror}"
            ) from None
        if mode & _OTHERS:
            raise ConfigurationError(
                "content_folder",
                f"the content folder {self._root} is open to others (mode {mode:o}): run chmod go-rwx on it",
            )
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError(
                "content_folder", f"the content folder {self._root} is not the broker's to write"
            )

    def _path(self, name: str) -> Path:
        if not is_name(name):
            msg = "a name that no row of ours holds"
            raise ValueError(msg)
        return self._root / name.lstrip(".")[:_SHARD] / name

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self._root and self.mark() is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        folder.mkdir(mode=0o700, parents=folder == self._root, exist_ok=True)
        _flush(folder.parent)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Where the folder lies is for the operator alone.
        _log.warning("content folder %s: %s", root, error.strerror)
        raise away(error.strerror or "input/output error") from error
