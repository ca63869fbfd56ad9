"""PostgreSQL by psycopg 3: row locks, ``fsync`` and ``synchronous_commit`` asserted, arrays on the quick way.

Reading transactions are REPEATABLE READ (one state); writing ones READ COMMITTED, so that what is read after
the row lock was granted is the newest.

A node may stop at any moment without its connection ending: frozen, or its machine gone. Whatever it holds is
let go of by time-outs of the server, and by TCP on both sides.

Source: https://www.postgresql.org/docs/18/runtime-config-wal.html, …/runtime-config-client.html,
…/transaction-iso.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine import URL

from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.store.arrays import encode_array
from countermark_broker.store.backend import Failure

#: What a commit rests on. A server may come back with other settings, a role may get them: not only a start looks.
_DEMANDED: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
}
#: In the order of `_DEMANDED`, beside the time, since that is what is asked under the lock.
_NOW: Final = text(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, current_setting('fsync'), "
    "current_setting('full_page_writes'), current_setting('synchronous_commit')"
)
#: Tables that are emptied when the server has crashed.
_UNLOGGED: Final = text(
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' AND pg_table_is_visible(oid) "
    "ORDER BY relname"
)
_CONNECT_S: Final = 10
#: s that a listening connection waits before it looks whether it is still wanted.
_LISTEN_S: Final = 0.5
_CHANNEL: Final = "countermark_published"
#: A peer that vanished is noticed after some 15 s, by either side; over Unix sockets these do nothing.
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SERVER_KEEPALIVE: Final = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=15000"
)
#: Key of the advisory lock, of no meaning elsewhere in the database.
_MIGRATIONS: Final = 0x636D_6D69_6772
#: The first version with ``transaction_timeout``.
_BOUNDS_TRANSACTIONS: Final = 170_000
_TYPES: Final = (
    (BigInteger, "int8"),
    (SmallInteger, "int2"),
    (Integer, "int4"),
    (LargeBinary, "bytea"),
    (String, "text"),
)
#: Physical standbys, as far as an unprivileged role can tell them from backups and logical subscriptions.
_STANDBYS: Final = text(
    "SELECT count(*) FROM pg_stat_replication WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal') "
    "AND pid NOT IN (SELECT active_pid FROM pg_replication_slots "
    "WHERE slot_type = 'logical' AND active_pid IS NOT NULL)"
)


class Postgresql:
    """See `Backend`."""

    name = "postgresql"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def make_engines(
        self, url: URL, readers: int, writers: int, busy_timeout_ms: int, statement_timeout_ms: int
    ) -> tuple[Engine, Engine]:
        """See `Backend.make_engines`."""
        options = (
            f"{_options_of(url)} -c lock_timeout={busy_timeout_ms} -c statement_timeout={statement_timeout_ms} "
            f"-c idle_in_transaction_session_timeout={statement_timeout_ms} {_SERVER_KEEPALIVE}"
        )
        common: dict[str, Any] = {
            "max_overflow": 0,
            "pool_timeout": 30,
            # A restarted server must not cost the first request after it.
            "pool_pre_ping": True,
            "hide_parameters": True,
            "connect_args": {
                "options": options,
                "connect_timeout": _CONNECT_S,
                "application_name": "countermark-broker",
                **_KEEPALIVE,
            },
        }
        reading = create_engine(
            url,
            pool_size=readers,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
            **common,
        )
        writing = create_engine(url, pool_size=writers, isolation_level="READ COMMITTED", **common)
        for engine in (reading, writing):
            # Waiting for the lock is part of a transaction.
            _bound_transactions(engine, busy_timeout_ms + statement_timeout_ms)
        return reading, writing

    def judge(self, error: BaseException) -> Failure:
        """See `Backend.judge`."""
        refused = (psycopg.IntegrityError, psycopg.DataError, psycopg.NotSupportedError)
        # Class 54: a limit of the program exceeded, whatever else is tried.
        beyond = str(getattr(error, "sqlstate", "")).startswith("54")
        return Failure.REFUSED if beyond or isinstance(error, refused) else Failure.UNAVAILABLE

    def now(self, connection: Connection) -> int:
        """See `Backend.now`."""
        now, *settings = connection.execute(_NOW).one()
        for name, found in zip(_DEMANDED, settings, strict=True):
            if found not in _DEMANDED[name]:
                raise UnavailableError("not_durable", f"{_wish(name, found)}; until then nothing is stored")
        return int(now)

    def check_durability(self, connection: Connection) -> dict[str, str]:
        """See `Backend.check_durability`; with a standby connected, commits must wait for one."""
        found: dict[str, str] = {}
        for name in (*_DEMANDED, "synchronous_standby_names", "data_checksums"):
            found[name] = str(connection.execute(text(f"SHOW {name}")).scalar_one())
        for name, accepted in _DEMANDED.items():
            if found[name] not in accepted:
                raise ConfigurationError("not_durable", _wish(name, found[name]))
        unlogged = connection.execute(_UNLOGGED).scalars().all()
        if unlogged:
            raise ConfigurationError(
                "not_durable",
                f"a crash of PostgreSQL would empty {', '.join(unlogged)}: run ALTER TABLE … SET LOGGED",
            )
        standbys = int(connection.execute(_STANDBYS).scalar_one())
        if standbys and not found["synchronous_standby_names"]:
            raise ConfigurationError(
                "not_durable",
                f"{standbys} standby is connected, but synchronous_standby_names is empty: after a fail-over "
                "to it, acknowledged statements could be missing; name the standby there",
            )
        return found

    def bound(self, connection: Connection, lock_timeout_ms: int, statement_timeout_ms: int) -> None:
        """See `Backend.bound`."""
        _unbind(connection)
        connection.execute(text(f"SET LOCAL lock_timeout = {int(lock_timeout_ms)}"))
        connection.execute(text(f"SET LOCAL statement_timeout = {int(statement_timeout_ms)}"))

    def lock_migrations(self, connection: Connection) -> None:
        """See `Backend.lock_migrations`."""
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATIONS})"))

    def patient(self, connection: Connection) -> None:
        """See `Backend.patient`."""
        _unbind(connection)
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))

    def announce(self, writers: Engine, size: int) -> None:
        """See `Backend.announce`. Only a wake-up: it need not be on a disk."""
        with writers.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(
                text("SELECT pg_notify(:channel, :size)"), {"channel": _CHANNEL, "size": str(size)}
            )

    def listen(self, url: URL, heard: Callable[[], None], ended: Callable[[], bool]) -> None:
        """See `Backend.listen`."""
        # What the server does not say is found by looking at the store, so a failure here is no one's concern.
        with suppress(psycopg.Error), psycopg.connect(_conninfo(url), autocommit=True) as connection:
            connection.execute(f"LISTEN {_CHANNEL}".encode())
            # What was announced before is not said again.
            heard()
            while not ended():
                for _ in connection.notifies(timeout=_LISTEN_S):
                    heard()

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Backend.insert`."""
        self._write(connection, table, rows, _insert(table))

    def replace(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See `Backend.replace`."""
        self._write(connection, table, rows, _replace(table))

    @staticmethod
    def _write(
        connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], statement: bytes
    ) -> None:
        columns = zip(_types(table).values(), zip(*rows, strict=True), strict=True)
        with _raw(connection).cursor() as cursor:
            cursor.execute(statement, [encode_array(kind, column) for kind, column in columns])

    def select(
        self, connection: Connection, table: Table, columns: str, keys: tuple[str, ...], values: Sequence[Any]
    ) -> list[Any]:
        """See `Backend.select`."""
        if not values:
            return []
        types = _types(table)
        columns_of = [values] if len(keys) == 1 else list(zip(*values, strict=True))
        wanted = [encode_array(types[key], column) for key, column in zip(keys, columns_of, strict=True)]
        with _raw(connection).cursor(binary=True) as cursor:
            return cursor.execute(_select(table, columns, keys), wanted).fetchall()


def _wish(name: str, found: str) -> str:
    return (
        f"PostgreSQL's {name} must be {' or '.join(_DEMANDED[name])}, got {found}: "
        "set it for the server, the database and the role"
    )


def _conninfo(url: URL) -> str:
    # As SQLAlchemy reads it: of several hosts, each with its port, libpq wants lists.
    _, given = url.get_dialect()().create_connect_args(url)
    ours = {"options": f"{_options_of(url)} {_SERVER_KEEPALIVE}", "connect_timeout": _CONNECT_S, **_KEEPALIVE}
    return make_conninfo(**{**given, **ours, "application_name": "countermark-broker-wake"})


def _options_of(url: URL) -> str:
    # Connecting with options of our own would replace those of the URL; ours come last and so prevail.
    return " ".join(url.normalized_query.get("options", ()))


def _bound_transactions(engine: Engine, milliseconds: int) -> None:
    """The one time-out that also ends who stops within a message to the server, or between two of a statement."""

    @event.listens_for(engine, "connect")
    def _connected(connection: psycopg.Connection[Any], _record: Any) -> None:
        # Not among the options: an older server would refuse to connect.
        if connection.info.server_version < _BOUNDS_TRANSACTIONS:
            return
        try:
            connection.execute(f"SET transaction_timeout = {int(milliseconds)}".encode())
            connection.commit()
        except psycopg.Error:
            # The pool does not know it yet, so nobody else would.
            connection.close()
            raise


def _unbind(connection: Connection) -> None:
    if _raw(connection).info.server_version >= _BOUNDS_TRANSACTIONS:
        connection.execute(text("SET LOCAL transaction_timeout = 0"))


def _raw(connection: Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


@lru_cache
def _types(table: Table) -> Mapping[str, str]:
    """The type of each column, in their order."""
    return {
        column.name: next(name for kind, name in _TYPES if isinstance(column.type, kind))
        for column in table.columns
    }


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


@lru_cache
def _insert(table: Table) -> bytes:
    arrays = ", ".join(f"%b::{name}[]" for name in _types(table).values())
    return f"INSERT INTO {table.name} ({_names(table)}) SELECT * FROM unnest({arrays})".encode()  # noqa: S608  names are ours


@lru_cache
def _replace(table: Table) -> bytes:
    keys = ", ".join(column.name for column in table.primary_key.columns)
    sets = ", ".join(f"{c.name} = excluded.{c.name}" for c in table.columns if not c.primary_key)
    return _insert(table) + f" ON CONFLICT ({keys}) DO UPDATE SET {sets}".encode()


@lru_cache
def _select(table: Table, columns: str, keys: tuple[str, ...]) -> bytes:
    types = _types(table)
    arrays = ", ".join(f"%b::{types[key]}[]" for key in keys)
    condition = f"{keys[0]} = ANY({arrays})"
    if len(keys) > 1:
        condition = f"({', '.join(keys)}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608
    return f"SELECT {columns} FROM {table.name} WHERE {condition}".encode()  # noqa: S608  names are ours


BACKEND: Final = Postgresql()
