"""Settings are frozen and strict; test hooks work only where admitted to."""

import pytest
from pydantic import ValidationError

from countermark_broker.config import Settings, check_environment, load_settings
from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.log.faults import BEAT_POINTS, POINTS, FailAt, KillAt, NoFaults, fault_points


@pytest.fixture
def home(tmp_path):
    (tmp_path / "broker.toml").write_text(
        'origin = "log.example.org"\nauthorities = ["a.example.org"]\nport = 1234\n'
    )
    return tmp_path


def test_file_and_environment(home, monkeypatch):
    settings = load_settings(home, {})
    assert (settings.port, settings.max_group) == (1234, 512)
    monkeypatch.setenv("COUNTERMARK_BROKER_PORT", "4321")
    monkeypatch.setenv("COUNTERMARK_BROKER_AUTHORITIES", '["b.example.org", "c.example.org"]')
    settings = load_settings(home)
    assert settings.port == 4321
    assert settings.authorities == ("b.example.org", "c.example.org")
    with pytest.raises(ValidationError):
        settings.port = 1


def test_every_setting_says_what_it_is_for():
    for name, field in Settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    "text",
    ["", "origin = 3", 'origin = "x"', "not toml", 'home = "/"\norigin = "x"\nauthorities = ["a"]', "\udcff"],
)
def test_bad_files(tmp_path, text):
    (tmp_path / "broker.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {})


def test_a_checkpoint_store_is_a_directory_or_on_a_postgresql_server(home, monkeypatch):
    """A file of SQLite could be the log's own, or lie in one backup with it."""
    monkeypatch.setenv("COUNTERMARK_BROKER_CHECKPOINT_STORE", "postgresql+psycopg://u@h/store")
    assert load_settings(home).store_directory is None
    for url in (f"sqlite:///{home}/broker.sqlite3", "sqlite+pysqlite:///other.sqlite3", "postgresql://u@h/x"):
        monkeypatch.setenv("COUNTERMARK_BROKER_CHECKPOINT_STORE", url)
        with pytest.raises(ConfigurationError) as caught:
            load_settings(home)
        assert (caught.value.code, caught.value.facts["setting"]) == ("bad_configuration", "checkpoint_store")


def test_a_clock_may_not_differ_by_more_than_the_specification_says(home, monkeypatch):
    monkeypatch.setenv("COUNTERMARK_BROKER_CLOCK_DIFFERENCE_MS", "5001")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(home)
    assert caught.value.facts["setting"] == "clock_difference_ms"


def test_misspelt_variables_are_refused():
    check_environment({"COUNTERMARK_BROKER_PORT": "1", "COUNTERMARK_OTHER": "1", "PATH": ""})
    with pytest.raises(ConfigurationError) as caught:
        check_environment({"COUNTERMARK_BROKER_PROT": "1"})
    assert caught.value.code == "unknown_variable"


@pytest.mark.parametrize(("variable", "hook"), [("TEST_KILL_AT", KillAt), ("TEST_FAIL_AT", FailAt)])
def test_fault_points_need_the_switch(variable, hook):
    on = {"COUNTERMARK_BROKER_TEST_HOOKS": "1"}
    assert isinstance(fault_points({}), NoFaults)
    assert isinstance(fault_points(on), NoFaults)
    for point in (*POINTS, *BEAT_POINTS):
        wanted = {f"COUNTERMARK_BROKER_{variable}": f"{point}:3"}
        assert isinstance(fault_points(on | wanted), hook)
        with pytest.raises(ConfigurationError):
            fault_points(wanted)
        with pytest.raises(ConfigurationError):
            check_environment(wanted)
    for wrong in ("nowhere", "after_commit:x", "after_commit:0", "after_commit:1:1:1"):
        with pytest.raises(ConfigurationError):
            fault_points(on | {f"COUNTERMARK_BROKER_{variable}": wrong})


def test_only_one_fault_at_a_time():
    both = {f"COUNTERMARK_BROKER_TEST_{name}_AT": "after_commit" for name in ("KILL", "FAIL")}
    with pytest.raises(ConfigurationError):
        fault_points(both | {"COUNTERMARK_BROKER_TEST_HOOKS": "1"})


def fails(hook):
    try:
        hook.reach("after_commit")
    except UnavailableError:
        return True
    return False


def test_every_n_th_write_fails():
    failing = FailAt("after_commit", 2)
    failing.reach("after_commit")
    failing.reach("before_answer")
    with pytest.raises(UnavailableError):
        failing.reach("after_commit")
    failing.reach("after_commit")
    with pytest.raises(UnavailableError):
        failing.reach("after_commit")
    twice = FailAt("after_commit", 3, 2)
    assert [fails(twice) for _ in range(8)] == [False, False, True, True, False, True, True, False]
    with pytest.raises(OSError, match="error"):
        FailAt("after_store_advance", 1).reach("after_store_advance")
