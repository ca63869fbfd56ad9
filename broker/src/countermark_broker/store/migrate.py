"""Running the Alembic migrations, and asking how far a database is.

Source: migrations/; docs/operations/running-a-broker.md §6.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, select, text

from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.store.engine import Connection, Database, backend_of
from countermark_broker.store.tables import compatibility, entries

if TYPE_CHECKING:
    from alembic.config import Config

#: In a checkout the directory lies beside broker/; an image sets the setting `migrations`.
_CHECKOUT: Final = Path(__file__).resolve().parents[4] / "migrations"
#: PostgreSQL's lock_not_available and query_canceled.
_TIMED_OUT: Final = ("55P03", "57014")


def find_migrations(configured: Path | None) -> Path:
    """The Alembic directory.

    Raises:
        ConfigurationError: ``no_migrations``: it is not where it should be.
    """
    path = configured or _CHECKOUT
    if not (path / "env.py").is_file():
        raise ConfigurationError(
            "no_migrations",
            f"no Alembic migrations at {path}: set 'migrations' to the directory of the release",
        )
    return path


def _config(directory: Path) -> Config:
    from alembic.config import Config  # noqa: PLC0415  slow to load, and only who migrates needs it

    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    return config


def migrate(
    database: Database, directory: Path, *, lock_timeout_ms: int = 5_000, statement_timeout_ms: int = 600_000
) -> None:
    """Bring the database to the newest revision, in one transaction; nodes may be running.

    Args:
        database: to migrate.
        directory: from `find_migrations`.
        lock_timeout_ms: how long to wait for a table; a running broker waits behind whoever waits.
        statement_timeout_ms: how long one step may take.

    Raises:
        ConfigurationError: ``database_newer``: a newer release has migrated it already.
        UnavailableError: ``migration_blocked``: not within the time-outs; nothing was changed.
    """
    from alembic import command  # noqa: PLC0415  as above
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        with database.writing() as connection:
            backend_of(connection).bound(connection, lock_timeout_ms, statement_timeout_ms)
            backend_of(connection).lock_migrations(connection)
            config = _config(directory)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except UnavailableError as error:
        # A quieter moment helps neither a server that is away nor a missing right.
        if getattr(error.__cause__, "sqlstate", None) not in _TIMED_OUT:
            raise
        raise UnavailableError(
            "migration_blocked",
            f"the migration did not get its locks within {lock_timeout_ms} ms, or took longer than "
            f"{statement_timeout_ms} ms a step; nothing was changed: run it again in a quieter moment",
        ) from error
    except CommandError as error:
        raise ConfigurationError(
            "database_newer", f"the database has a revision that this release does not know: {error}"
        ) from None


def newest_revision(directory: Path) -> str:
    """The last revision of a directory: they are numbered in one line, and their files are called after them.

    Raises:
        ConfigurationError: ``no_migrations``: there is none.
    """
    revisions = sorted(path.name.partition("_")[0] for path in (directory / "versions").glob("[0-9]*_*.py"))
    if not revisions:
        raise ConfigurationError(
            "no_migrations",
            f"no revisions in {directory / 'versions'}: set 'migrations' to the directory of the release",
        )
    return revisions[-1]


def _current_revision(connection: Connection) -> str | None:
    """What Alembic wrote down."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def holds_entries(connection: Connection) -> bool:
    """Whether a log lies in this database, migrated or not."""
    if not inspect(connection).has_table(entries.name):
        return False
    return connection.execute(select(entries.c.entry).limit(1)).one_or_none() is not None


def check_migrated(database: Database, directory: Path) -> str:
    """Demand that this release may run on the database as it is; the database's revision.

    A database of a newer release serves as well, where that release says so: nodes of both run side by side
    during a rolling upgrade.

    Raises:
        ConfigurationError: ``not_migrated`` or ``database_newer``.
    """
    newest = newest_revision(directory)
    with database.reading() as connection:
        current = _current_revision(connection)
        if current is None or current < newest:
            raise ConfigurationError(
                "not_migrated",
                f"the database is at revision {current or 'none'}, this release needs {newest}: "
                "run `countermark-broker migrate`",
            )
        oldest = connection.execute(select(compatibility.c.oldest)).scalar_one()
    if newest < oldest:
        raise ConfigurationError(
            "database_newer",
            f"the database is at revision {current}, which needs a release that knows {oldest}; this one "
            f"knows {newest}: run the newer release",
        )
    return current
