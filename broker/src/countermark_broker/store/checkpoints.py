"""The checkpoint store on a second PostgreSQL server, for nodes on several machines.

One row, replaced by compare-and-swap. It must survive what befalls the database, and must never be restored
together with it: the same cluster is refused.

Source: docs/spec/log.md §6.8; docs/operations/running-a-broker.md §4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    Table,
    insert,
    inspect,
    select,
    text,
    update,
)

from countermark_broker.errors import ConfigurationError, FatalError, UnavailableError
from countermark_broker.store.engine import Connection, Database, database_now
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint
from countermark_protocol.errors import CountermarkError

_ONLY: Final = 1
#: What to do where there is no readable checkpoint.
STORE_LOST: Final = "see docs/operations/running-a-broker.md §7: never make a new store for a log that exists"
_CLUSTER: Final = text("SELECT system_identifier FROM pg_control_system()")

_metadata: Final = MetaData()
_published: Final = Table(
    "published_checkpoint",
    _metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
)


class PostgresqlCheckpointStore:
    """See `CheckpointStore`.

    Args:
        url: of a database on a server of its own.
        busy_timeout_ms: how long to wait for another node's swap.
    """

    def __init__(self, url: str, *, busy_timeout_ms: int = 15_000) -> None:
        self._database = Database(url, readers=2, busy_timeout_ms=busy_timeout_ms)

    def exists(self) -> bool:
        """See `CheckpointStore.exists`."""
        with self._answering(), self._database.reading() as connection:
            return self._row(connection) is not None

    def load(self) -> UnverifiedCheckpoint:
        """See `CheckpointStore.load`."""
        with self._answering(), self._database.reading() as connection:
            row = self._row(connection)
        if row is None:
            raise FatalError("store_missing", "the checkpoint store's database has no checkpoint", STORE_LOST)
        try:
            stored = parse_checkpoint(bytes(row.note))
        except CountermarkError as error:
            raise FatalError(
                "store_unreadable", f"the stored checkpoint is not one: {error.message}", STORE_LOST
            ) from None
        if (stored.size, stored.root) != (row.size, bytes(row.root)):
            # Else every swap would fail, as if another node were faster again and again.
            raise FatalError(
                "store_unreadable",
                f"the stored checkpoint of size {stored.size} stands in a row for size {row.size} or another root",
                STORE_LOST,
            )
        return stored

    def advance(self, size: int, root: bytes, note: bytes) -> bool:
        """See `CheckpointStore.advance`."""
        new = parse_checkpoint(note)
        swap = (
            update(_published)
            .where(_published.c.id == _ONLY, _published.c.size == size, _published.c.root == root)
            .values(size=new.size, root=new.root, note=note)
        )
        with self._answering(), self._database.writing() as connection:
            # Else a store that came back with other settings could go back after a power cut.
            database_now(connection)
            return connection.execute(swap).rowcount == 1

    def create(self, note: bytes) -> None:
        """See `CheckpointStore.create`."""
        first = parse_checkpoint(note)
        with self._answering(), self._database.writing() as connection:
            _metadata.create_all(connection)
            if self._row(connection) is not None:
                raise ConfigurationError(
                    "store_exists", "the checkpoint store's database holds a log already"
                )
            values = {"id": _ONLY, "size": first.size, "root": first.root, "note": note}
            connection.execute(insert(_published).values(values))

    def check(self, database: Database) -> None:
        """See `CheckpointStore.check`: another cluster than the log's, and durable."""
        with self._answering():
            try:
                self._database.check_durability()
            except ConfigurationError as error:
                raise ConfigurationError(
                    "not_durable", f"the checkpoint store's server: {error.message}"
                ) from None
            if database.kind == "postgresql" and _cluster_of(database) == _cluster_of(self._database):
                raise ConfigurationError(
                    "store_not_apart",
                    "the checkpoint store lies on the same PostgreSQL server as the log: a restored backup "
                    "would take both back, and the log would fork unawares; use another server",
                )

    def close(self) -> None:
        """See `CheckpointStore.close`."""
        self._database.close_now()

    @staticmethod
    def _row(connection: Connection) -> Row[Any] | None:
        if not inspect(connection).has_table(_published.name):
            return None
        return connection.execute(select(_published).where(_published.c.id == _ONLY)).one_or_none()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except UnavailableError as error:
            if error.code == "not_durable":
                raise UnavailableError(
                    "not_durable", f"the checkpoint store's server: {error.message}"
                ) from None
            raise UnavailableError(
                "store_unavailable", "the checkpoint store's database does not answer"
            ) from error


def _cluster_of(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(_CLUSTER).scalar_one())
