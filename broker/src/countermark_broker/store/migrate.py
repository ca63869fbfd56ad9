"""Running the Alembic migrations, and asking how far a database is.

Source: migrations/; docs/operations/running-a-broker.md §6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.engine import Database

#: In a checkout the directory lies beside broker/; an image sets the setting `migrations`.
_CHECKOUT: Final = Path(__file__).resolve().parents[4] / "migrations"


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
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    return config


async def migrate(database: Database, directory: Path) -> None:
    """Bring the database to the newest revision, in one transaction."""

    def upgrade(connection: SyncConnection) -> None:
        config = _config(directory)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.write() as connection:
        await connection.run_sync(upgrade)


async def check_migrated(database: Database, directory: Path) -> str:
    """Demand that the database is at the newest revision; which one.

    Raises:
        ConfigurationError: ``not_migrated``.
    """
    newest = ScriptDirectory.from_config(_config(directory)).get_current_head()

    def revision(connection: SyncConnection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.read() as connection:
        current = await connection.run_sync(revision)
    if current != newest:
        raise ConfigurationError(
            "not_migrated",
            f"the database is at revision {current or 'none'}, this release needs {newest}: "
            "run `countermark-broker migrate`",
        )
    return str(newest)
