"""Connections: everything that is particular to one database stands in this file.

SQLite runs in WAL with ``synchronous=FULL`` (a commit is on the disk before it is answered); its write lock,
taken by ``BEGIN IMMEDIATE``, is the lock of docs/spec/log.md §6. Elsewhere `head.lock_head` takes a row lock.
Both are asked for at the same two places, so callers know neither.

Source: https://sqlite.org/pragma.html#pragma_synchronous, https://sqlite.org/wal.html.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from countermark_broker.errors import ConfigurationError, NotStorableError, UnavailableError

#: What the layers above call a connection; they hold it and pass it on, nothing else.
Connection = AsyncConnection

_WRITES: Final = "countermark_writes"
#: Writers wait for one another anyway; the second connection is for the heartbeat beside an append.
_WRITERS: Final = 2
_SQLITE_NOW: Final = text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)")


class Database:
    """Opens reading and writing transactions; one for each process.

    Args:
        url: SQLAlchemy URL; SQLite by ``sqlite+aiosqlite``.
        readers: connections for reading.
        busy_timeout_ms: how long a writer waits for the lock.

    Raises:
        ConfigurationError: a URL that this version does not support.
    """

    def __init__(self, url: str, *, readers: int = 8, busy_timeout_ms: int = 15_000) -> None:
        self._readers = _make_engine(url, readers, busy_timeout_ms)
        self._writers = _make_engine(url, _WRITERS, busy_timeout_ms)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A transaction that sees one state and changes nothing.

        Raises:
            UnavailableError: the database does not answer.
        """
        with translated_errors():
            async with self._readers.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A transaction that holds the write lock from its beginning; commits unless the body raises.

        Raises:
            UnavailableError: the lock or the commit failed; after a failed commit its outcome is unknown.
            NotStorableError: the database refuses what the body wrote; nothing was stored.
        """
        with translated_errors():
            async with self._writers.connect() as connection:
                await connection.execution_options(**{_WRITES: True})
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._readers.dispose()
        await self._writers.dispose()


def _make_engine(url: str, connections: int, busy_timeout_ms: int) -> AsyncEngine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "bad_configuration", "the database URL is not one of SQLAlchemy's form"
        ) from None
    if parsed.drivername != "sqlite+aiosqlite":
        raise ConfigurationError(
            "unknown_database", f"expected a URL beginning 'sqlite+aiosqlite:', got '{parsed.drivername}:'"
        )
    if parsed.database in {None, "", ":memory:"} or "mode=memory" in url:
        raise ConfigurationError("not_durable", "a database in memory keeps nothing: name a file")
    try:
        # Parameters are what clients sent, and entry secrets: an error that is logged must not show them.
        engine = create_async_engine(
            parsed, pool_size=connections, max_overflow=0, pool_timeout=30, hide_parameters=True
        )
    except NoSuchModuleError:
        raise ConfigurationError("unknown_database", "the driver of the database is not installed") from None

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: it knows no BEGIN IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={busy_timeout_ms}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's exceptions into ours, so that SQLAlchemy is known in `store` alone."""
    try:
        yield
    except (IntegrityError, DataError, OverflowError, UnicodeError) as error:
        raise NotStorableError(
            "not_storable", "the database refuses to store this statement; nothing of it was stored"
        ) from error
    except DBAPIError as error:
        # The sqlite3 module reports values that it cannot bind as InterfaceError or ProgrammingError.
        if type(error).__name__ in {"InterfaceError", "ProgrammingError"}:
            raise NotStorableError(
                "not_storable", "the database refuses to store this statement; nothing of it was stored"
            ) from error
        raise UnavailableError(
            "database_unavailable", "the database does not answer, is locked or its disk is full"
        ) from error
    except SQLAlchemyError as error:
        raise UnavailableError("database_unavailable", "the database does not answer in time") from error


async def database_now(connection: Connection) -> int:
    """The database's clock, ms since 1970: the one from which leaves get their time."""
    return int((await connection.execute(_SQLITE_NOW)).scalar_one())


async def check_durability(database: Database) -> dict[str, str]:
    """Demand that a commit survives a power cut; the settings as found, for ``doctor``.

    Raises:
        ConfigurationError: ``not_durable``.
    """
    found: dict[str, str] = {}
    async with database.write() as connection:
        for name, accepted in (
            ("journal_mode", {"wal"}),
            ("synchronous", {"2", "3"}),
            ("foreign_keys", {"1"}),
        ):
            value = str((await connection.execute(text(f"PRAGMA {name}"))).scalar_one()).lower()
            found[name] = value
            if value not in accepted:
                raise ConfigurationError(
                    "not_durable",
                    f"SQLite's {name} must be {' or '.join(sorted(accepted))}, got {value}: "
                    "is the file on a disk that supports it?",
                )
    return found
