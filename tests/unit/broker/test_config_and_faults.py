"""Settings are frozen and strict; test hooks work only where admitted to."""

import pytest
from pydantic import ValidationError

from countermark_broker.config import Settings, check_environment, load_settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.log.faults import POINTS, KillAt, NoFaults, fault_points


@pytest.fixture
def home(tmp_path):
    (tmp_path / "broker.toml").write_text(
        'origin = "log.example.org"\nauthorities = ["a.example.org"]\nport = 1234\n'
    )
    return tmp_path


def test_file_and_environment(home, monkeypatch):
    settings = load_settings(home, {})
    assert (settings.port, settings.max_group) == (1234, 256)
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


def test_misspelt_variables_are_refused():
    check_environment({"COUNTERMARK_BROKER_PORT": "1", "COUNTERMARK_OTHER": "1", "PATH": ""})
    with pytest.raises(ConfigurationError) as caught:
        check_environment({"COUNTERMARK_BROKER_PROT": "1"})
    assert caught.value.code == "unknown_variable"


def test_fault_points_need_the_switch():
    on = {"COUNTERMARK_BROKER_TEST_HOOKS": "1"}
    assert isinstance(fault_points({}), NoFaults)
    assert isinstance(fault_points(on), NoFaults)
    for point in POINTS:
        wanted = {"COUNTERMARK_BROKER_TEST_KILL_AT": f"{point}:3"}
        assert isinstance(fault_points(on | wanted), KillAt)
        with pytest.raises(ConfigurationError):
            fault_points(wanted)
        with pytest.raises(ConfigurationError):
            check_environment(wanted)
    for wrong in ("nowhere", "after_commit:x"):
        with pytest.raises(ConfigurationError):
            fault_points(on | {"COUNTERMARK_BROKER_TEST_KILL_AT": wrong})
