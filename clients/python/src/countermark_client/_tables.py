"""What every group of tables of a profile's store builds on: one database, transactions, single values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from countermark_client._database import Database


class Tables:
    """One database; every method is one transaction, `transaction` groups several."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._depth = 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is written inside, or none of it."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.roll_back()
            raise
        finally:
            self._depth -= 1

    # --- single values ---

    def meta(self, name: str) -> bytes | None:
        """A single value, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_meta(self, name: str, value: bytes | None) -> None:
        """Set or remove a single value."""
        if value is None:
            self._db.execute("DELETE FROM meta WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def meta_number(self, name: str) -> int:
        """A single number; 0 if it was never set."""
        value = self.meta(name)
        return int(value) if value is not None else 0
