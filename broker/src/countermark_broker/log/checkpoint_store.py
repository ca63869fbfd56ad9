"""The checkpoint store: the newest published checkpoint, on a medium of its own.

It is what keeps a restored database backup from forking the log unawares, so it must never lie in the
database's backup. It is trusted to never go back; nothing else is expected of it.

Source: docs/spec/log.md §6; design section 4, "Commit order", step 3.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from countermark_broker.errors import ConfigurationError, FatalError, UnavailableError
from countermark_broker.store.checkpoints import STORE_LOST
from countermark_broker.store.engine import Database
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint
from countermark_protocol.errors import CountermarkError

_NAME = "checkpoint"
#: s to wait for another node's swap, as for the database's lock.
_LOCK_S = 15.0
_LOCK_PAUSE_S = 0.002


class CheckpointStore(Protocol):
    """Where the newest published checkpoint is kept. Other media implement the same calls."""

    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        ...

    def load(self) -> UnverifiedCheckpoint:
        """The newest checkpoint.

        Raises:
            FatalError: there is none, or it is not readable.
        """
        ...

    def advance(self, size: int, root: bytes, note: bytes) -> bool:
        """Replace the checkpoint of (size, root) by `note`, durably; False if it is not that one any more.

        MUST be atomic among all nodes, and MUST NOT return True before `note` survives a power cut.
        """
        ...

    def create(self, note: bytes) -> None:
        """Write the first checkpoint.

        Raises:
            ConfigurationError: there is one already.
        """
        ...

    def check(self, database: Database) -> None:
        """Demand that it is durable, and apart from the database.

        Raises:
            ConfigurationError: ``not_durable`` or ``store_not_apart``.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds open."""
        ...


class FileCheckpointStore:
    """A directory on a disk that all nodes of this machine see.

    Args:
        directory: made by `create`; holds the checkpoint and a lock file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / _NAME

    def exists(self) -> bool:
        """See `CheckpointStore.exists`."""
        return self._path.exists()

    def load(self) -> UnverifiedCheckpoint:
        """See `CheckpointStore.load`."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            raise FatalError(
                "store_missing", f"the checkpoint store has no checkpoint at {self._path}", STORE_LOST
            ) from None
        try:
            return parse_checkpoint(data)
        except CountermarkError as error:
            raise FatalError(
                "store_unreadable", f"{self._path} is not a checkpoint: {error.message}", STORE_LOST
            ) from None

    def advance(self, size: int, root: bytes, note: bytes) -> bool:
        """See `CheckpointStore.advance`."""
        with self._locked():
            stored = self.load()
            if (stored.size, stored.root) != (size, root):
                return False
            self._write(note)
            return True

    def create(self, note: bytes) -> None:
        """See `CheckpointStore.create`."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self._path.exists():
                raise ConfigurationError("store_exists", f"{self._path} exists already: this log is founded")
            self._write(note)

    def check(self, database: Database) -> None:
        """See `CheckpointStore.check`: a file is not in a database; where its disk is, the operator knows."""

    def close(self) -> None:
        """See `CheckpointStore.close`."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The lock lies in a file of its own: the checkpoint's file is replaced, and a lock with it.
        descriptor = os.open(self._directory / f"{_NAME}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _write(self, note: bytes) -> None:
        temporary = self._directory / f"{_NAME}.new"
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            view = memoryview(note)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        # Without this the name may still point at the old file after a power cut.
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _lock(descriptor: int) -> None:
    # Not for ever: a node of this machine that is frozen while it holds the lock must not hold up the others' answers.
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    "store_unavailable", "another node holds the checkpoint store's lock, and does not let go"
                ) from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
