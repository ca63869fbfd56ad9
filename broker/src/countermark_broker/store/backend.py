"""What differs between databases: how to connect, their clock, their durability, their quick ways in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.engine import URL


class Failure(Enum):
    """What a driver's exception says about the statement that met it."""

    REFUSED = "the database will never store this"
    UNAVAILABLE = "nothing is known about the next try"


class Backend(Protocol):
    """One database product."""

    @property
    def name(self) -> str:
        """As in SQLAlchemy: ``sqlite``, ``postgresql``."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Base classes of the driver's own exceptions."""
        ...

    def make_engines(
        self, url: URL, readers: int, writers: int, busy_timeout_ms: int, statement_timeout_ms: int
    ) -> tuple[Engine, Engine]:
        """Engines for reading and for writing.

        Raises:
            ConfigurationError: a URL that keeps nothing.
        """
        ...

    def judge(self, error: BaseException) -> Failure:
        """Tell a statement that can never be stored from a database that is away."""
        ...

    def now(self, connection: Connection) -> int:
        """The database's clock, ms since 1970.

        Raises:
            UnavailableError: ``not_durable``: what this connection commits could be lost.
        """
        ...

    def check_durability(self, connection: Connection) -> dict[str, str]:
        """The settings on which durability rests, as found.

        Raises:
            ConfigurationError: ``not_durable``.
        """
        ...

    def bound(self, connection: Connection, lock_timeout_ms: int, statement_timeout_ms: int) -> None:
        """Bound this transaction's waiting for locks, and each of its statements, where that is possible."""
        ...

    def lock_migrations(self, connection: Connection) -> None:
        """Let one migrate at a time, also where there are no tables to lock."""
        ...

    def patient(self, connection: Connection) -> None:
        """Let this transaction take as long as it needs: a backup reads a whole log in one."""
        ...

    def announce(self, writers: Engine, size: int) -> None:
        """Wake who listens on any node, where that is possible."""
        ...

    def listen(self, url: URL, heard: Callable[[], None], ended: Callable[[], bool]) -> None:
        """Call `heard` after announcements; returns at once where there are none."""
        ...

    def insert(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, all columns in the table's order."""
        ...

    def replace(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """As `insert`, but a row of the same primary key is overwritten. No key twice."""
        ...

    def select(
        self, connection: Connection, table: Table, columns: str, keys: tuple[str, ...], values: Sequence[Any]
    ) -> list[Any]:
        """Rows whose key columns are among `values`.

        Args:
            connection: in a transaction.
            table: to look in.
            columns: as in SQL; never from outside.
            keys: one column, or several.
            values: one value each, or a tuple each where there are several columns.
        """
        ...
