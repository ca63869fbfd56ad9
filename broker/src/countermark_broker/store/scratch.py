"""A database for the length of one look: a replay writes into it what the log gives, and the real one is compared.

A file, since a log's views may be larger than memory; without durability, since nobody reads it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import metadata


@contextmanager
def scratch_database(directory: Path | None = None) -> Iterator[Connection]:
    """An empty database with all tables, gone afterwards.

    Args:
        directory: where there is room for a copy of the views; the system's temporary one if None.

    Raises:
        ConfigurationError: ``scratch_full``.
    """
    with TemporaryDirectory(prefix="countermark-", dir=directory) as folder:
        engine = create_engine(
            f"sqlite:///{Path(folder) / 'scratch.sqlite3'}", poolclass=NullPool, hide_parameters=True
        )

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            for pragma in ("journal_mode=OFF", "synchronous=OFF"):
                connection.execute(f"PRAGMA {pragma}").close()

        try:
            with engine.connect() as connection, connection.begin():
                metadata.create_all(connection)
                yield connection
        except (sqlite3.Error, DBAPIError) as error:
            if _is_full(error):
                raise _full(folder) from error
            raise
        finally:
            engine.dispose()


def _is_full(error: Exception) -> bool:
    # The quick ways into the database go by the driver itself.
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _full(folder: str) -> ConfigurationError:
    # Whoever writes views anew writes into the real database at the same time, which may be SQLite too.
    return ConfigurationError(
        "scratch_full",
        f"there is no room for the scratch database in {Path(folder).parent} (or, when views are written anew, for the "
        "database itself): name a directory with room for a copy of the views by --scratch",
    )
