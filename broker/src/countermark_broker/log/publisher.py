"""Publishing: step 3 of the commit order. Normal operation and recovery after a crash are this one routine.

1. Read the store's checkpoint, *then* the committed head: commits come before publishing, so the head is
   never behind an honest store.
2. The root at the store's size, recomputed from the database's tiles, must be the store's.
3. The root at the head's size, recomputed likewise, must be the frontier's.
4. Sign the head; advance the store by compare-and-swap; if another node was faster, begin anew.

Whatever contradicts is fatal: the state is unknown, appending stops, and a person looks.

Source: docs/spec/log.md §6; design section 4, "Commit order".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.log.checkpoint_store import CheckpointStore
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints
from countermark_broker.log.health import Health
from countermark_broker.log.tree import Tree
from countermark_broker.store.engine import Database
from countermark_broker.store.head import Head, read_head
from countermark_protocol.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import KeyId, Origin
from countermark_protocol.keys import PublicKey, Signer

Advanced = Callable[[int, int], None]

#: Way out where a log has, or has not yet, the name that this node was told.
RENAMED: Final = (
    "a succession gives a log its next name: set 'origin' and 'checkpoint_store' to those of the log that is to be "
    "served, or log the succession with `countermark-broker succession adopt` "
    "(docs/operations/backup-and-restore.md §6)"
)


def log_key_missing(size: int) -> FatalError:
    """What a node without the log key of a size ends with: it cannot publish what is committed."""
    return FatalError(
        "log_key_missing",
        f"this node does not hold the log key that signs size {size} by the directory",
        "put the new log key into the key file, or name it in log_key, and start again",
    )


class Publisher:
    """Signs committed heads, and knows the newest published one.

    Args:
        origin: of the log.
        database: where heads are committed.
        store: where they are published.
        holder: the node's directory.
        tree: reads the tiles.
        keys: log keys that this node holds, by key id.
        health: where fatal findings go.
        faults: fault points.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        database: Database,
        store: CheckpointStore,
        holder: DirectoryHolder,
        tree: Tree,
        keys: Mapping[KeyId, Signer],
        health: Health,
        faults: FaultPoints,
    ) -> None:
        self._origin = origin
        self._database = database
        self._store = store
        self._holder = holder
        self._tree = tree
        self._keys = keys
        self._health = health
        self._faults = faults
        self._published: Checkpoint | None = None
        self._advancing = asyncio.Lock()
        self._asked = 0
        self._answered = 0
        self._listeners: list[Advanced] = []
        #: Monotonic seconds at which the published checkpoint was last confirmed against the store.
        self.confirmed_at = 0.0

    @property
    def published(self) -> Checkpoint:
        """The newest published checkpoint that this node knows.

        Raises:
            UnavailableError: nothing is published yet.
        """
        if self._published is None:
            raise UnavailableError("not_ready", "this node has not read the published checkpoint yet")
        return self._published

    def on_advance(self, listener: Advanced) -> None:
        """Call `listener` with (old size, new size) whenever the published size grows."""
        self._listeners.append(listener)

    async def advance(self) -> Checkpoint:
        """Publish what is committed; the newest published checkpoint.

        All who ask while one run goes on share the next: anybody may ask (`/v1/ready`), and a commit must not
        wait behind each of them.

        Raises:
            FatalError: database and store contradict each other.
            UnavailableError: database or store do not answer; nothing was lost.
        """
        self._asked += 1
        mine = self._asked
        async with self._advancing:
            if self._answered >= mine:
                # A run that began after this call.
                return self.published
            covers = self._asked
            try:
                checkpoint = self._take(await asyncio.to_thread(self._advance))
            except FatalError as error:
                self._health.fail(error)
                raise
            except OSError as error:
                raise UnavailableError(
                    "store_unavailable", f"the checkpoint store does not answer: {error.strerror}"
                ) from error
            self._answered = covers
            return checkpoint

    async def at_least(self, size: int) -> Checkpoint:
        """A published checkpoint of at least `size` leaves, which are committed already."""
        if self._published is None or self._published.size < size:
            await self.advance()
        if self.published.size < size:
            raise UnavailableError("not_published", "the entry is committed but not published yet")
        return self.published

    def _advance(self) -> Checkpoint:
        while True:
            stored = self._store.load()
            with self._database.reading() as connection:
                head = read_head(connection)
                self.check_not_behind(stored, head)
                directory = self._holder.at(connection, head, locked=False)
                self._check_named(directory)
                before, root = self._tree.recompute_roots(connection, [stored.size, head.size])
                if before != stored.root:
                    raise FatalError(
                        "published_root_differs",
                        f"the database gives another root for size {stored.size} than was published",
                        "this database is not the one that was published; "
                        "restore the newest backup or the entries from the parties",
                    )
            if root != head.frontier.root():
                raise FatalError(
                    "frontier_differs",
                    f"frontier and tiles give different roots for size {head.size}",
                    "stop all nodes and run `countermark-broker rebuild --check`",
                )
            if stored.size == head.size:
                return self._verify(stored, directory)
            self._faults.reach("before_sign")
            note = self._sign(head.size, root, directory)
            if self._store.advance(stored.size, stored.root, note):
                self._faults.reach("after_store_advance")
                # Only a wake-up: whatever becomes of it, what is published stays published.
                with suppress(CountermarkError):
                    self._database.announce(head.size)
                return self._verify(parse_checkpoint(note), directory)

    @property
    def own_keys(self) -> tuple[PublicKey, ...]:
        """The log keys that this node holds."""
        return tuple(signer.public_key for signer in self._keys.values())

    def holds(self, key_id: KeyId) -> bool:
        """Whether this node holds a log key."""
        return key_id in self._keys

    def check_origin(self, stored: UnverifiedCheckpoint) -> None:
        """Demand that the store is that of this log.

        Raises:
            FatalError: ``store_of_other_log``.
        """
        if stored.origin != self._origin:
            raise FatalError(
                "store_of_other_log",
                f"the checkpoint store is that of log '{stored.origin}', this broker serves '{self._origin}'",
                "correct the setting 'checkpoint_store' or 'origin'",
            )

    def _check_named(self, directory: Directory) -> None:
        if directory.count and directory.origin() != self._origin:
            raise FatalError(
                "log_renamed",
                f"the log's name is '{directory.origin()}', this broker is set up to serve '{self._origin}'",
                RENAMED,
            )

    def check_not_behind(self, stored: UnverifiedCheckpoint, head: Head) -> None:
        """Demand that the store does not know more than the database.

        Raises:
            FatalError: ``database_behind_store`` or ``store_of_other_log``.
        """
        self.check_origin(stored)
        if stored.size > head.size:
            raise FatalError(
                "database_behind_store",
                f"the published log has {stored.size} entries, this database only {head.size}: it is a restored "
                "backup, or another log's",
                f"bring back the {stored.size - head.size} entries that are missing: the newest database or its "
                "write-ahead log, or `countermark-broker backup restore` of a newer backup or of another operator's "
                "export, onto this one (docs/operations/backup-and-restore.md §4), or `countermark-broker recover` "
                "with what mirrors and senders hand back (§5); never go on from here, the log would fork",
            )

    def _sign(self, size: int, root: bytes, directory: Directory) -> bytes:
        signer = self._keys.get(self._log_key(directory, size).key_id)
        if signer is None:
            raise log_key_missing(size)
        return sign_checkpoint(self._origin, size, root, signer.sign, signer.public_key.raw)

    def _verify(self, checkpoint: UnverifiedCheckpoint, directory: Directory) -> Checkpoint:
        key = self._log_key(directory, checkpoint.size)
        try:
            return verify_checkpoint(checkpoint, self._origin, key.raw)
        except CountermarkError as error:
            raise FatalError(
                "store_not_signed",
                f"the stored checkpoint of size {checkpoint.size} is not signed by the log key: {error.message}",
                "find out who wrote the checkpoint store",
            ) from error

    def _log_key(self, directory: Directory, size: int) -> PublicKey:
        if size == 0:
            # Before the founding there is no directory to ask; the one key we hold founded the log.
            return next(iter(self._keys.values())).public_key
        return directory.log_key_for(size)

    def _take(self, checkpoint: Checkpoint) -> Checkpoint:
        self.confirmed_at = time.monotonic()
        old = self._published
        if old is None or checkpoint.size > old.size:
            self._published = checkpoint
            for listener in self._listeners:
                listener(old.size if old else 0, checkpoint.size)
        return checkpoint
