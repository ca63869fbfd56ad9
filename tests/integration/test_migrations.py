"""The migrations give exactly the tables that the code uses, and know how far a database is."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.engine import Database
from countermark_broker.store.migrate import check_migrated, find_migrations, migrate
from countermark_broker.store.tables import metadata


@pytest.fixture
async def database(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/new.sqlite3")
    yield database
    await database.close()


async def test_no_drift(database):
    directory = find_migrations(None)
    with pytest.raises(ConfigurationError) as caught:
        await check_migrated(database, directory)
    assert caught.value.code == "not_migrated"
    await migrate(database, directory)
    assert await check_migrated(database, directory) == "0001"
    await migrate(database, directory)
    async with database.read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True}), metadata
            )
        )
    assert differences == []


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        find_migrations(tmp_path)
    assert caught.value.code == "no_migrations"
