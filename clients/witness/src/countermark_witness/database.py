"""How a witness and its mirror of leaves open and write their SQLite files: durable once a transaction is left.

Source: docs/spec/witness.md §5.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from countermark_witness.errors import WitnessError

#: ms to wait for another process's transaction; none takes longer than a commit.
BUSY_MS: Final = 5_000


def connect(path: Path, no_store: WitnessError) -> sqlite3.Connection:
    """Open a file that exists.

    Raises:
        WitnessError: the one given, where it is no such file.
    """
    # Transactions are begun by hand: the module's own begin too late, after reading.
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    except sqlite3.DatabaseError:
        db.close()
        raise no_store from None
    return db


@contextmanager
def failures(whose: str) -> Iterator[None]:
    """Say what fails inside as a failure of somebody's store.

    Raises:
        WitnessError: ``store_failed``.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise WitnessError("store_failed", f"the {whose}'s store failed: {error}") from error


@contextmanager
def written(db: sqlite3.Connection, lock: Lock, whose: str) -> Iterator[None]:
    """One transaction under the write lock: durable once left, undone if left by an error.

    Raises:
        WitnessError: ``store_failed``: the file cannot be locked, read or written; nothing was changed, or what
            was is not known to be durable.
    """
    with lock, failures(whose):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
