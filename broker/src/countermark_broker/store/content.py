"""The content store of a node: which of its stores takes what is new, and where each piece that a row names lies.

Small pieces always lie in the database. A store outside it is known again by a mark, so that no node writes pieces
where the others do not find them.

Source: docs/adr/0031-content-store.md; docs/operations/content-store.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

from countermark_broker.config import Settings
from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.store.blob_database import DatabaseBlobs
from countermark_broker.store.blob_folder import FolderBlobs
from countermark_broker.store.blob_s3 import S3Blobs, S3Place
from countermark_broker.store.blobs import MARK_BYTES, BlobStore, new_name
from countermark_broker.store.engine import Database
from countermark_broker.store.pieces import Blob, add_mark, read_blob, read_mark
from countermark_protocol.attachments import piece_digest

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

DATABASE: Final = "database"
#: Pieces that are read or written at once: each is in memory, and some stores make a copy.
_THREADS: Final = 2
#: Looks at a piece that is being moved meanwhile.
_TRIES: Final = 3


def piece_lost(digest: bytes) -> UnavailableError:
    """What to raise where a message consists of a piece that is not there, or is not what was stored."""
    _log.critical("the piece %s is lost or damaged: run `countermark-broker fsck`", digest.hex())
    return UnavailableError(
        "piece_lost",
        f"the piece {digest.hex()} is lost or damaged in the broker's content store: tell its operator, who runs "
        "`countermark-broker fsck`; whoever has it may upload it again",
    )


class ContentStore:
    """All stores that this node knows; its calls block, but for `run`.

    Args:
        database: of the node.
        stores: by place; `DATABASE` is among them.
        fresh: the place that takes new pieces.
        inline_max: bytes up to which a piece lies in the database all the same.
    """

    def __init__(
        self, database: Database, stores: Mapping[str, BlobStore], fresh: str, inline_max: int
    ) -> None:
        self._database = database
        self._stores = stores
        self.fresh = fresh
        self._inline_max = inline_max
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="content")

    @property
    def places(self) -> tuple[str, ...]:
        """The places that this node knows."""
        return tuple(self._stores)

    def place_for(self, size: int, fresh: str | None = None) -> str:
        """Where a new piece of a size goes, if `fresh` is the place that takes large ones."""
        return DATABASE if size <= self._inline_max else fresh or self.fresh

    def keeps_outside(self, size: int) -> bool:
        """Whether a content of a size goes here, and not into its table."""
        return self.place_for(size) != DATABASE

    def store(self, place: str) -> BlobStore:
        """The store of a place.

        Raises:
            ConfigurationError: ``content_place_unknown``.
        """
        found = self._stores.get(place)
        if found is None:
            raise ConfigurationError(
                "content_place_unknown",
                f"pieces of this log lie in place '{place}', and this node's settings name none: set content_{place} "
                "on every node (docs/operations/content-store.md §4)",
            )
        return found

    def read(self, digest: bytes) -> bytes | None:
        """The piece of a digest; None where no row names one.

        Raises:
            UnavailableError: ``content_store_away``; ``piece_lost``: a row names it, and it is not there or is not
                the one that was stored.
            OverloadedError: ``content_store_busy``.
        """
        blob: Blob | None = None
        for _ in range(_TRIES):
            with self._database.reading() as connection:
                found = read_blob(connection, digest)
            if found is None or found == blob:
                break
            blob = found
            data = self.store(blob.place).get(blob.name)
            if data is not None and piece_digest(data) == digest:
                return data
            # It may have been moved meanwhile: then its row tells another place now.
        if found is None:
            return None
        raise piece_lost(digest)

    def find(self, digest: bytes) -> bytes | None:
        """As `read`; None also where the piece is lost or damaged.

        Raises:
            UnavailableError: the store does not answer.
        """
        try:
            return self.read(digest)
        except UnavailableError as error:
            if error.code != "piece_lost":
                raise
            return None

    def put(self, digest: bytes, data: bytes) -> Blob:
        """Store a piece under a new name, for a row to name it."""
        place, name = self.place_for(len(data)), new_name(digest)
        self.store(place).put(name, data)
        return Blob(digest, len(data), place, name)

    def open(self, *, create: bool = True) -> None:
        """Look at every store, and demand that those outside the database are the ones of this log.

        Args:
            create: give a store that this log does not know yet its mark.

        Raises:
            ConfigurationError: ``content_store_other``, or a store cannot be used as it is set up.
            UnavailableError: one does not answer.
        """
        for place, store in self._stores.items():
            store.check()
            if place != DATABASE:
                self._check_mark(place, store, create=create)

    def _check_mark(self, place: str, store: BlobStore, *, create: bool) -> None:
        there = store.mark()
        with self._database.reading() as connection:
            known = read_mark(connection, place)
        if known is None and create:
            mark = there
            if mark is None:
                store.set_mark(mark := os.urandom(MARK_BYTES))
            with self._database.writing() as connection:
                known = add_mark(connection, place, mark)
            # Another node may have been first.
            there = store.mark()
        if known is not None and known != there:
            raise ConfigurationError(
                "content_store_other",
                f"the content store in place '{place}' is not the one of this log's other nodes: it must be the same "
                "folder or bucket for all of them, shared and mounted (docs/operations/content-store.md §2)",
            )

    async def run(
        self, call: Callable[Concatenate[ContentStore, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a call that reads or writes pieces in a thread, when it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: call(self, *args, **kwargs)
        )

    def close(self) -> None:
        """Let what runs end."""
        self._pool.shutdown()


def content_store_of(settings: Settings, database: Database) -> ContentStore:
    """The content store that the settings name; nothing is opened."""
    stores: dict[str, BlobStore] = {DATABASE: DatabaseBlobs(database)}
    if settings.content_folder is not None:
        stores["folder"] = FolderBlobs(settings.home / settings.content_folder)
    if settings.content_s3:
        bucket, _, prefix = settings.content_s3.removeprefix("s3://").partition("/")
        where = S3Place(
            bucket,
            f"{prefix.rstrip('/')}/" if prefix else "",
            settings.content_s3_endpoint,
            settings.content_s3_region,
        )
        stores["s3"] = S3Blobs(where)
    return ContentStore(database, stores, settings.content_store, settings.content_inline_max)
