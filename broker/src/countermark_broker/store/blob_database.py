"""Blobs in the database itself: small ones always, and all of them where nothing else is set."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from sqlalchemy import delete, func, insert, select

from countermark_broker.store.blobs import StoredBlob
from countermark_broker.store.engine import Database, database_now
from countermark_broker.store.tables import blob_data

_PAGE = 500
#: Bytes in a row.
_PART = 256 * 1024


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
        view = memoryview(data)
        with self._database.writing() as connection:
            now = database_now(connection)
            for number, at in enumerate(range(0, len(data), _PART)):
                part = bytes(view[at : at + _PART])
                row = {"name": name, "number": number, "written_at": now, "data": part}
                connection.execute(insert(blob_data).values(row))

    def get(self, name: str) -> bytes | None:
        """See `BlobStore.get`."""
        whole, number = BytesIO(), 0
        query = select(blob_data.c.data).where(blob_data.c.name == name)
        with self._database.reading() as connection:
            while True:
                part = connection.execute(query.where(blob_data.c.number == number)).scalar_one_or_none()
                if part is None:
                    break
                whole.write(part)
                number += 1
        return whole.getvalue() if number else None

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        with self._database.writing() as connection:
            connection.execute(delete(blob_data).where(blob_data.c.name == name))

    def stored(self) -> Iterator[StoredBlob]:
        """See `BlobStore.stored`."""
        after = ""
        query = select(
            blob_data.c.name,
            func.sum(func.length(blob_data.c.data)),
            func.min(blob_data.c.written_at),
        ).group_by(blob_data.c.name)
        while True:
            with self._database.reading() as connection:
                page = connection.execute(
                    query.where(blob_data.c.name > after).order_by(blob_data.c.name).limit(_PAGE)
                ).all()
            if not page:
                return
            for name, size, written_at in page:
                yield StoredBlob(name, int(size), written_at)
            after = page[-1].name

    def mark(self) -> bytes | None:
        """See `BlobStore.mark`."""
        return None

    def set_mark(self, mark: bytes) -> None:
        """See `BlobStore.set_mark`."""

    def check(self) -> None:
        """See `BlobStore.check`: the database is looked at elsewhere."""
