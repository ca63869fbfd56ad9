"""SQLite for the profile's store: its failures are ours, with a word on what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from countermark_client.errors import StorageError


@contextlib.contextmanager
def _mapped(what: str = "the profile's store") -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # SQLite names tables and columns in its texts, never values.
        raise StorageError("storage_failed", f"{what} does not work: {error}") from error


class Rows:
    """All rows of an answer, read at once, so that reading fails here and nowhere else."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """All of them."""
        return iter(self._rows)

    def fetchall(self) -> list[Any]:
        """All of them."""
        return self._rows

    def fetchone(self) -> Any:
        """The first, or None."""
        return self._rows[0] if self._rows else None


class Database:
    """One connection; every failure is a `StorageError`.

    Args:
        path: of the file, or ``:memory:``.
        what: it is, for people.
    """

    def __init__(self, path: str, what: str = "the profile's store") -> None:
        self._what = what
        with _mapped(what):
            self._connection = sqlite3.connect(
                path,
                isolation_level=None,
                check_same_thread=False,  # the client's own lock lets one thread in at a time
                timeout=30.0,
            )

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run one statement."""
        with _mapped(self._what):
            return Rows(self._connection.execute(sql, values).fetchall())

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        with _mapped(self._what):
            self._connection.executemany(sql, rows)

    def executescript(self, sql: str) -> None:
        """Run several statements."""
        with _mapped(self._what):
            self._connection.executescript(sql)

    def roll_back(self) -> None:
        """End a transaction without its changes; SQLite may have done so itself, as on a full disk."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        with _mapped(self._what):
            self._connection.close()


def snapshot(source: Path, target: Path) -> None:
    """Copy a database as it stands at one moment, while others write to it.

    Args:
        source: of the database.
        target: a file that is not there yet.

    Raises:
        StorageError: ``storage_failed``.
    """
    with (
        _mapped(),
        contextlib.closing(sqlite3.connect(source, timeout=30.0)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)  # in one step: SQLite's backup reads one state
        copy.execute("PRAGMA journal_mode=DELETE")


def check_integrity(path: Path) -> None:
    """Check that a database is whole.

    Raises:
        StorageError: ``store_damaged``, ``storage_failed``.
    """
    with _mapped(), contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise StorageError("store_damaged", f"the store is damaged: {found}")
