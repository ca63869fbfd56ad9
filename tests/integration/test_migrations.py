"""The migrations give exactly the tables that the code uses, and know how far a database is."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.store.engine import Database
from countermark_broker.store.migrate import check_migrated, find_migrations, migrate, newest_revision
from countermark_broker.store.tables import metadata

DIRECTORY = find_migrations(None)


@pytest.fixture
async def database(empty_database):
    database = Database(empty_database)
    yield database
    await database.close()


def test_no_drift(database):
    with pytest.raises(ConfigurationError) as caught:
        check_migrated(database, DIRECTORY)
    assert caught.value.code == "not_migrated"
    migrate(database, DIRECTORY)
    assert check_migrated(database, DIRECTORY) >= "0002"
    migrate(database, DIRECTORY)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        # What Alembic does not compare.
        for name, table in metadata.tables.items():
            key = inspect(connection).get_pk_constraint(name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key], name
        if database.kind == "postgresql":
            unlogged = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence <> 'p'")
            assert connection.execute(unlogged).scalars().all() == []


def test_a_release_runs_on_the_database_of_a_newer_one_that_says_so(database):
    migrate(database, DIRECTORY)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert check_migrated(database, DIRECTORY) == "9999"
    with pytest.raises(ConfigurationError) as caught:
        migrate(database, DIRECTORY)
    assert caught.value.code == "database_newer"
    with database.writing() as connection:
        connection.execute(text("UPDATE compatibility SET oldest = '9998'"))
    with pytest.raises(ConfigurationError) as caught:
        check_migrated(database, DIRECTORY)
    assert caught.value.code == "database_newer"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_a_migration_waits_for_a_lock_only_so_long(empty_database, database):
    migrate(database, DIRECTORY)
    other = Database(empty_database)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        connection.execute(text("DROP TABLE compatibility"))
    with other.writing() as holding:
        holding.execute(text("LOCK TABLE stanzas IN ACCESS SHARE MODE"))
        with pytest.raises(UnavailableError) as caught:
            migrate(database, DIRECTORY, lock_timeout_ms=100)
    assert caught.value.code == "migration_blocked"
    await other.close()
    with database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_several_migrate_an_empty_database_at_once(empty_database):
    code = (
        "from countermark_broker.store.engine import Database; "
        "from countermark_broker.store.migrate import find_migrations, migrate; "
        f"migrate(Database({empty_database!r}), find_migrations(None))"
    )
    # Processes, since Alembic keeps what it is at in a module.
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    said = [one.communicate()[1].decode() for one in started]
    assert [one.returncode for one in started] == [0] * 4, said


def test_a_migration_of_a_server_that_is_away_is_not_said_to_be_blocked():
    database = Database("postgresql+psycopg://nobody@/x?host=/nonexistent")
    with pytest.raises(UnavailableError) as caught:
        migrate(database, DIRECTORY)
    assert caught.value.code == "database_unavailable"
    database.close_now()


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        find_migrations(tmp_path)
    assert caught.value.code == "no_migrations"
    with pytest.raises(ConfigurationError) as caught:
        newest_revision(tmp_path)
    assert caught.value.code == "no_migrations"


def test_the_newest_revision_is_what_alembic_takes_for_it(database):
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY))
    assert newest_revision(DIRECTORY) == ScriptDirectory.from_config(config).get_current_head()
    migrate(database, DIRECTORY)
    with database.reading() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    assert check_migrated(database, DIRECTORY) == current
