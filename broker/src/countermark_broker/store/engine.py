"""Connections and transactions. What is particular to one database stands in sqlite.py and postgresql.py.

Everything here runs in threads, one transaction a call: a service hands in a function, gets its result, and
never holds a connection. The lock of docs/spec/log.md §6 is SQLite's write lock, taken when a writing
transaction begins, or PostgreSQL's row lock, taken by `head.lock_head`; callers know neither.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from countermark_broker.errors import ConfigurationError, NotStorableError, UnavailableError
from countermark_broker.store.backend import Backend, Failure

#: What the layers above call a connection; they pass it on, nothing else.
Connection = sqlalchemy.Connection

P = ParamSpec("P")
T = TypeVar("T")

#: Threads that write beside the appends: heartbeat, leases, webhooks.
_WRITERS: Final = 3
#: Connections more than threads, for those who bring a thread of their own: the group commit, publishing, verifying.
#: Else what waits for a lock, or reads slowly, in all threads would hold them up too.
_MORE: Final = 2
#: The module of each driver, loaded when it is used: a command on SQLite need not load PostgreSQL's.
_BACKENDS: Final = {"sqlite": "sqlite", "sqlite+pysqlite": "sqlite", "postgresql+psycopg": "postgresql"}


class Database:
    """Runs reading and writing transactions; one for each process.

    Args:
        url: SQLAlchemy URL: ``sqlite:///…`` or ``postgresql+psycopg://…``.
        readers: threads for reading, each with a connection.
        busy_timeout_ms: how long a writer waits for the lock.
        statement_timeout_ms: how long one statement may take, where the database can bound it.

    Raises:
        ConfigurationError: a URL that this version does not support.
    """

    def __init__(
        self, url: str, *, readers: int = 8, busy_timeout_ms: int = 15_000, statement_timeout_ms: int = 30_000
    ) -> None:
        parsed = _parse_url(url)
        self.url = parsed
        try:
            self._backend = _load(_BACKENDS[parsed.drivername])
            engines = self._backend.make_engines(
                parsed, readers + _MORE, _WRITERS + _MORE, busy_timeout_ms, statement_timeout_ms
            )
        except (NoSuchModuleError, ImportError):
            raise ConfigurationError(
                "unknown_database", "the driver of the database is not installed"
            ) from None
        self._readers, self._writers = engines
        self._in_use = 0
        self._closed = False
        self._idle = threading.Condition()
        self._reading = ThreadPoolExecutor(readers, thread_name_prefix="read")
        self._writing = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._backend.name

    async def read(
        self, look: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `look` in a thread, in a transaction that sees one state and changes nothing.

        Raises:
            UnavailableError: the database does not answer.
        """

        def run() -> T:
            with self.reading() as connection:
                return look(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._reading, run)

    async def write(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `change` in a thread, in a transaction that commits unless it raises.

        Raises:
            UnavailableError: the lock or the commit failed; after a failed commit its outcome is unknown.
            NotStorableError: the database refuses what it wrote; nothing was stored.
        """

        def run() -> T:
            with self.writing() as connection:
                return change(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._writing, run)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """As `read`, in the caller's own thread."""
        with self._used(), self._translated(), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """As `write`, in the caller's own thread; on SQLite it holds the write lock from its beginning."""
        with self._used(), self._translated(), self._writers.begin() as connection:
            yield connection

    def check_durability(self) -> dict[str, str]:
        """Demand that a commit survives a power cut; the settings as found, for ``doctor``.

        Raises:
            ConfigurationError: ``not_durable``.
        """
        with self.writing() as connection:
            return self._backend.check_durability(connection)

    def announce(self, size: int) -> None:
        """Tell other nodes that a checkpoint is published; they would find it by themselves a little later.

        Raises:
            UnavailableError: nobody was told.
        """
        with self._used(), self._translated():
            self._backend.announce(self._writers, size)

    def listen(self, heard: Callable[[], None], ended: Callable[[], bool]) -> None:
        """Call `heard` after every announcement, until `ended`; for a thread of its own.

        Returns at once where the database has no such thing, and after a while where it does not answer.
        """
        self._backend.listen(self.url, heard, ended)

    async def close(self) -> None:
        """Let what runs end, and close all connections."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """As `close`, in the caller's thread."""
        for pool in (self._reading, self._writing):
            pool.shutdown()
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._in_use)
        self._readers.dispose()
        self._writers.dispose()

    @contextmanager
    def _used(self) -> Iterator[None]:
        # Whoever is cancelled leaves its thread behind: its connection must come back before the pools end, and it
        # must not open another one that nobody would close.
        with self._idle:
            if self._closed:
                raise UnavailableError(
                    "stopping", "this node is stopping: send the same bytes to another one"
                )
            self._in_use += 1
        try:
            yield
        finally:
            with self._idle:
                self._in_use -= 1
                self._idle.notify_all()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the driver's exceptions into ours, so that SQLAlchemy is known in `store` alone."""
        try:
            yield
        except (OverflowError, UnicodeError) as error:
            raise _not_storable() from error
        except SQLAlchemyError as error:
            self._raise(getattr(error, "orig", None) or error)
        except self._backend.errors as error:
            # The quick ways into the database go by the driver itself.
            self._raise(error)

    def _raise(self, error: BaseException) -> None:
        if self._backend.judge(error) is Failure.REFUSED:
            raise _not_storable() from error
        raise UnavailableError(
            "database_unavailable", "the database does not answer, is locked or its disk is full"
        ) from error


def _not_storable() -> NotStorableError:
    return NotStorableError(
        "not_storable", "the database refuses to store this statement; nothing of it was stored"
    )


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "bad_configuration", "the database URL is not one of SQLAlchemy's form"
        ) from None
    if parsed.drivername not in _BACKENDS:
        raise ConfigurationError(
            "unknown_database",
            "expected a URL beginning 'sqlite:' or 'postgresql+psycopg:', "
            f"got one beginning '{parsed.drivername}:'",
        )
    return parsed


def database_now(connection: Connection) -> int:
    """The database's clock, ms since 1970: the one from which leaves get their time.

    Raises:
        UnavailableError: ``not_durable``: what this connection commits could be lost.
    """
    return backend_of(connection).now(connection)


def backend_of(connection: Connection) -> Backend:
    """What is particular to this connection's database."""
    return _load(connection.dialect.name)


@cache
def _load(name: str) -> Backend:
    backend: Backend = importlib.import_module(f"countermark_broker.store.{name}").BACKEND
    return backend
