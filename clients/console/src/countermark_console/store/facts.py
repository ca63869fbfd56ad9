"""Single values that the console keeps, by name."""

from __future__ import annotations

from sqlalchemy import delete, select

from countermark_console.store.database import Database
from countermark_console.store.tables import facts


class Facts:
    """Names and texts.

    Args:
        database: with the table.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str | None:
        """A value; None if it was never set."""
        with self._database.read() as connection:
            value: str | None = connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()
            return value

    def set(self, name: str, value: str | None) -> None:
        """Keep a value, or forget it (None)."""
        with self._database.write() as connection:
            connection.execute(delete(facts).where(facts.c.name == name))
            if value is not None:
                connection.execute(facts.insert().values(name=name, value=value))
