"""Blobs in the database itself: small ones always, and all of them where nothing else is set."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, func, insert, select

from countermark_broker.store.blobs import StoredBlob
from countermark_broker.store.engine import Database, database_now
from countermark_broker.store.tables import blob_data

_PAGE = 500


class DatabaseBlobs:
    """See `BlobStore`. It is where the rows are, so it needs no mark.

    Args:
        database: of the node.
    """

    place = "database"

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, data: bytes) -> None:
        """See `BlobStore.put`."""
        with self._database.writing() as connection:
            row = {"name": name, "written_at": database_now(connection), "data": data}
            connection.execute(insert(blob_data).values(row))

    def get(self, name: str) -> bytes | None:
        """See `BlobStore.get`."""
        with self._database.reading() as connection:
            query = select(blob_data.c.data).where(blob_data.c.name == name)
            return connection.execute(query).scalar_one_or_none()

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        with self._database.writing() as connection:
            connection.execute(delete(blob_data).where(blob_data.c.name == name))

    def stored(self) -> Iterator[StoredBlob]:
        """See `BlobStore.stored`."""
        after = ""
        query = select(blob_data.c.name, func.length(blob_data.c.data), blob_data.c.written_at)
        while True:
            with self._database.reading() as connection:
                page = connection.execute(
                    query.where(blob_data.c.name > after).order_by(blob_data.c.name).limit(_PAGE)
                ).all()
            if not page:
                return
            for name, size, written_at in page:
                yield StoredBlob(name, size, written_at)
            after = page[-1].name

    def mark(self) -> bytes | None:
        """See `BlobStore.mark`."""
        return None

    def set_mark(self, mark: bytes) -> None:
        """See `BlobStore.set_mark`."""

    def check(self) -> None:
        """See `BlobStore.check`: the database is looked at elsewhere."""
