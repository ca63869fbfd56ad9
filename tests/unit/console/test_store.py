"""The store: upgraded step by step, on both kinds of database; settings."""

import pytest
from sqlalchemy import inspect, text

from countermark_console.agency_log.log import AgencyLog
from countermark_console.config import load_settings
from countermark_console.errors import SettingsError
from countermark_console.store.database import Database, Steps
from countermark_console.store.facts import Facts
from countermark_console.store.tables import STEPS, metadata
from support.console import Clock

ONE = ("CREATE TABLE thing (id {id}, data {bytes} NOT NULL)", ("sqlite", "CREATE INDEX i ON thing (data)"))


@pytest.fixture
def database(real_database, tmp_path):
    opened = Database(real_database or f"sqlite:///{tmp_path / 'console.sqlite3'}")
    yield opened
    opened.close()


def test_steps_are_done_once_and_in_order(database):
    database.upgrade(Steps("things", (ONE,)))
    with database.write() as connection:
        connection.execute(text("INSERT INTO thing (data) VALUES (:data)"), {"data": b"\x00"})
    two = Steps("things", (ONE, ("ALTER TABLE thing ADD COLUMN more INTEGER",)))
    database.upgrade(two)
    database.upgrade(two)
    with database.read() as connection:
        [(number, data, more)] = connection.execute(text("SELECT id, data, more FROM thing"))
        assert (number, bytes(data), more) == (1, b"\x00", None)
    with pytest.raises(SettingsError) as refused:
        database.upgrade(Steps("things", (ONE,)))
    assert refused.value.code == "newer_database"


def test_a_step_that_fails_leaves_all_as_it_was(database):
    first = ("CREATE TABLE other (id {id})",)
    with pytest.raises(Exception, match="other"):
        database.upgrade(Steps("others", (first, ("CREATE TABLE other (again INTEGER)",))))
    assert "other" not in inspect(database.engine).get_table_names()
    database.upgrade(Steps("others", (first,)))
    assert "other" in inspect(database.engine).get_table_names()


def test_the_steps_make_the_tables_that_the_code_knows(database):
    database.upgrade(STEPS)
    made = inspect(database.engine)
    for table in metadata.sorted_tables:
        columns = {c["name"]: c["nullable"] for c in made.get_columns(table.name)}
        expected = {c.name: c.nullable for c in table.columns}
        keys = set(table.primary_key.columns.keys())  # SQLite says that they might be null
        assert columns.keys() == expected.keys()
        assert {n: columns[n] for n in columns if n not in keys} == {
            n: expected[n] for n in expected if n not in keys
        }
        assert set(made.get_pk_constraint(table.name)["constrained_columns"]) == set(
            table.primary_key.columns.keys()
        )


def test_facts_and_the_log_work_on_both(database, tmp_path):
    database.upgrade(STEPS)
    facts = Facts(database)
    facts.set("a", "1")
    facts.set("a", "2")
    assert (facts.get("a"), facts.get("b")) == ("2", None)
    facts.set("a", None)
    assert facts.get("a") is None
    log = AgencyLog(database, tmp_path, Clock())
    for number in range(3):
        log.write("ada", "sign-in", str(number))
    assert log.verify() == log.kept_head()
    assert [e.object for e in log.entries(limit=2)] == ["2", "1"]


def test_settings_come_from_file_and_environment_and_nothing_is_misspelt(tmp_path):
    (tmp_path / "console.toml").write_text("lock_minutes = 5\nport = 9000\n")
    settings = load_settings(tmp_path, {"COUNTERMARK_CONSOLE_PORT": "9001"}, host=None)
    assert (settings.lock_minutes, settings.port, settings.host) == (5, 9001, "127.0.0.1")
    assert settings.database == f"sqlite:///{tmp_path / 'console.sqlite3'}"
    assert load_settings(None, {"COUNTERMARK_CONSOLE_HOME": str(tmp_path)}).home == tmp_path


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"PROT": "1"}, "unknown_setting"),
        ({"PORT": "x"}, "bad_setting"),
        ({"HOST": "0.0.0.0"}, "not_loopback"),
        ({"HOST": "console.example"}, "not_loopback"),
        ({"PUBLIC_URL": "https://console.example/path"}, "public_url"),
        ({"OIDC_ISSUER": "https://id.example"}, "oidc_client_id"),
        ({"OIDC_CLAIM": "name"}, "oidc_claim"),
    ],
)
def test_settings_that_are_of_no_use_are_refused(tmp_path, variables, code):
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path, {f"COUNTERMARK_CONSOLE_{name}": value for name, value in variables.items()})
    assert refused.value.code == code
    (tmp_path / "console.toml").write_text("= no toml")
    with pytest.raises(SettingsError):
        load_settings(tmp_path, {})


def test_a_url_of_no_known_database_is_refused():
    for url in ("nonsense", "mysql://root@localhost/x"):
        with pytest.raises(SettingsError):
            Database(url)
