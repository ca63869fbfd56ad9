"""SQLite: WAL, ``synchronous=FULL`` (a commit is on the disk before it is answered), ``BEGIN IMMEDIATE``.

Source: https://sqlite.org/pragma.html#pragma_synchronous, https://sqlite.org/wal.html.
"""

from __future__ import annotations

import select
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.engine import URL

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.backend import Failure

_NOW: Final = text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)")
#: Values in one IN list. Few different lengths, so that few statements are prepared.
_LENGTHS: Final = (1, 8, 64, 512)
#: s between looks at a write lock that is held. SQLite's own wait sleeps ever longer, up to 0.1 s, while the lock is
#: free: with a commit every few ms that would be most of the time.
_LOOK_S: Final = 0.001
#: Pages until the log is written back into the file, within some commit: 1,000 would be every second large group.
_WAL_PAGES: Final = 8_000
#: Codes for "this value", rather than for "this database": constraint, mismatch, range, too big.
_REFUSED: Final = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}


class Sqlite:
    """See `Backend`."""

    name = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def make_engines(
        self,
        url: URL,
        readers: int,
        writers: int,
        busy_timeout_ms: int,
        statement_timeout_ms: int,  # noqa: ARG002  it has no such bound
    ) -> tuple[Engine, Engine]:
        """See `Backend.make_engines`."""
        if url.database in {None, "", ":memory:"} or "mode=memory" in url.render_as_string():
            raise ConfigurationError("not_durable", "a database in memory keeps nothing: name a file")
        reading, writing = (_engine(url, count, busy_timeout_ms) for count in (readers, writers))

        @event.listens_for(reading, "begin")
        def _begin(connection: Connection) -> None:
            _raw(connection).execute("BEGIN")

        @event.listens_for(writing, "connect")
        def _never_wait(connection: sqlite3.Connection, _record: object) -> None:
            # Only for the lock, and that is waited for here.
            connection.execute("PRAGMA busy_timeout=0")

        @event.listens_for(writing, "begin")
        def _take_lock(connection: Connection) -> None:
            _begin_immediate(_raw(connection), busy_timeout_ms)

        return reading, writing

    def judge(self, error: BaseException) -> Failure:
        """See `Backend.judge`."""
        # The module reports values that it cannot bind as InterfaceError or ProgrammingError, without a code.
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError | sqlite3.DataError) or (
            code is not None and code & 0xFF in _REFUSED
        ):
            return Failure.REFUSED
        return Failure.UNAVAILABLE

    def now(self, connection: Connection) -> int:
        """See `Backend.now`."""
        return int(connection.execute(_NOW).scalar_one())

    def check_durability(self, connection: Connection) -> dict[str, str]:
        """See `Backend.check_durability`."""
        found: dict[str, str] = {}
        for name, accepted in (("journal_mode", {"wal"}), ("synchronous", {"2", "3"})):
            value = str(connection.execute(text(f"PRAGMA {name}")).scalar_one()).lower()
            found[name] = value
            if value not in accepted:
                raise ConfigurationError(
                    "not_durable",
                    f"SQLite's {name} must be {' or '.join(sorted(accepted))}, got {value}: "
                    "is the file on a disk that supports it?",
                )
        return found

    def bound(self, connection: Connection, lock_timeout_ms: int, statement_timeout_ms: int) -> None:
        """See `Backend.bound`: the one write lock is held already, and nothing bounds a statement."""

    def lock_migrations(self, connection: Connection) -> None:
        """See `Backend.lock_migrations`: the one write lock is held already."""

    def patient(self, connection: Connection) -> None:
        """See `Backend.patient`: nothing bounds a transaction."""

    def announce(self, writers: Engine, size: int) -> None:
        """See `Backend.announce`: other processes look by themselves."""

    def listen(self, url: URL, heard: Callable[[], None], ended: Callable[[], bool]) -> None:
        """See `Backend.listen`."""

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Backend.insert`."""
        _raw(connection).executemany(_insert(table, "INSERT"), rows)

    def replace(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Backend.replace`."""
        _raw(connection).executemany(_insert(table, "INSERT OR REPLACE"), rows)

    def select(
        self, connection: Connection, table: Table, columns: str, keys: tuple[str, ...], values: Sequence[Any]
    ) -> list[Any]:
        """See `Backend.select`."""
        out: list[Any] = []
        raw, at = _raw(connection), 0
        while at < len(values):
            rest = len(values) - at
            length = next((n for n in _LENGTHS if n >= rest), _LENGTHS[-1])
            part = list(values[at : at + length])
            # The last value repeated finds nothing twice.
            part += part[-1:] * (length - len(part))
            flat = part if len(keys) == 1 else [value for one in part for value in one]
            out += raw.execute(_select(table.name, columns, keys, length), flat).fetchall()
            at += length
        return out


def _engine(url: URL, connections: int, busy_timeout_ms: int) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=30,
        # Each connection keeps pages of its own: those used last are used first, and the others stay small.
        pool_use_lifo=True,
        # Parameters are what clients sent, and entry secrets: an error that is logged must not show them.
        hide_parameters=True,
        connect_args={"check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: it knows no BEGIN IMMEDIATE.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={busy_timeout_ms}",
            "journal_mode=WAL",
            "synchronous=FULL",
            f"wal_autocheckpoint={_WAL_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _begin_immediate(connection: sqlite3.Connection, busy_timeout_ms: int) -> None:
    """Begin a transaction with the write lock, waiting for it as long as it may take."""
    deadline = time.monotonic() + busy_timeout_ms / 1000
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            # Not time.sleep: it waits until a moment, and libfaketime, under which clocks are tested, garbles that.
            select.select((), (), (), _LOOK_S)
        else:
            return


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


@lru_cache
def _insert(table: Table, verb: str) -> str:
    names = [column.name for column in table.columns]
    return f"{verb} INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


@lru_cache
def _select(table: str, columns: str, keys: tuple[str, ...], length: int) -> str:
    if len(keys) == 1:
        condition = f"{keys[0]} IN ({', '.join('?' * length)})"
    else:
        row = f"({', '.join('?' * len(keys))})"
        condition = f"({', '.join(keys)}) IN (VALUES {', '.join([row] * length)})"
    return f"SELECT {columns} FROM {table} WHERE {condition}"  # noqa: S608  names are ours


BACKEND: Final = Sqlite()
