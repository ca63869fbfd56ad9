"""The command line, as processes: from `init` to a served log, and what happens when something is wrong."""

import json
import os
import socket
import threading
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from countermark_broker.cli import main
from countermark_protocol.boxes import Box
from countermark_protocol.cosignature import encode_cosigner_vkey, parse_cosigner_key
from countermark_protocol.gathering import add_signature, read_gathering
from countermark_protocol.records import parse_directory_statement
from support.broker_fixtures import PASSPHRASE
from support.broker_process import BrokerProcess, environment, run_cli, run_program
from support.database import restore, save
from support.witnesses import LOG_KEY
from support.world import KAMPALA, NAIROBI, World


def fails(result, code, text):
    assert result.returncode == code, result.stdout + result.stderr
    assert "error: " in result.stderr
    assert "hint: " in result.stderr
    assert text in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def governors(tmp_path):
    world = World()
    files = []
    for i, governor in enumerate(world.governors):
        files.append(tmp_path / f"governor{i}.json")
        files[-1].write_text(json.dumps(governor.public_key.to_json()))
    return world, [x for path in files for x in ("--governor", path)]


def init(home, options, *more, run=run_program):
    return run(
        "init", "--home", home, "--origin", "log.example.org/cli", "--broker-address", "xo-x.broker.main",
        "--authority-host", "localhost:8470", "--quorum", 2, *options, *more,
    )  # fmt: skip


def test_from_init_to_serving(tmp_path, governors):
    world, options = governors
    home = tmp_path / "home"
    made = init(home, options, "--json")
    assert made.returncode == 0, made.stderr
    draft = json.loads(made.stdout)
    fails(init(home, options, run=in_process), 1, "home_in_use")
    assert (home / "keys" / "broker.keys").stat().st_mode & 0o777 == 0o600

    unsigned = in_process("found", "--home", home, "--founding", draft["draft"])
    fails(unsigned, 1, "too_few_signatures")
    assert not (home / "checkpoint").exists()
    fails(in_process("serve", "--home", home), 1, "not_migrated")

    data = (home / "founding.draft").read_bytes()
    for governor in world.governors:
        data = add_signature(data, governor)
    signed = tmp_path / "signed"
    signed.write_bytes(data)
    founded = run_program("found", "--home", home, "--founding", signed, "--json")
    assert founded.returncode == 0, founded.stdout
    assert json.loads(founded.stdout)["size"] == 2
    assert json.loads(founded.stdout)["fingerprint"] == draft["fingerprint"]
    again = in_process("found", "--home", home, "--founding", signed, "--json")
    assert json.loads(again.stdout) == json.loads(founded.stdout)
    shown = in_process("fingerprint", home / "founding.trust", "--json")
    assert json.loads(shown.stdout)["fingerprint"] == draft["fingerprint"]
    assert len(json.loads(shown.stdout)["signatures"]) == 5

    (home / "keys" / "administrator.keys").rename(tmp_path / "kept elsewhere")
    doctor = in_process("doctor", "--home", home, "--json")
    assert json.loads(doctor.stdout)["ok"], doctor.stdout
    assert in_process("migrate", "--home", home).returncode == 0
    rebuilt = in_process("rebuild", "--check", "--home", home, "--json")
    assert json.loads(rebuilt.stdout) == {"entries": 2, "findings": [], "rewritten": False}

    broker = BrokerProcess(world, home).wait_until_listening()
    client = broker.client()
    assert client.request("GET", "/v1/ready").status_code == 200
    client.close()
    assert broker.stop() == 0


def test_a_founding_names_witnesses_and_auditors(tmp_path, governors):
    _, options = governors
    vkey = encode_cosigner_vkey(parse_cosigner_key("w.example/1", 4, LOG_KEY))
    home, panel = tmp_path / "home", "xo-eac.auditor.panel"
    term = ("--since", "2026-12-01", "--until", "2027-12-01")
    fails(init(home, options, "--auditor", panel, run=in_process), 1, "go together")
    fails(init(home, options, "--witness", f"w={vkey}", run=in_process), 1, "bad_witness_quorum")
    named = ("--witness", f"w={vkey}@https://w.example", "--witness-quorum", 1, "--auditor", panel, *term)
    assert init(home, options, *named, run=in_process).returncode == 0
    document = read_gathering((home / "founding.draft").read_bytes()).document
    record = parse_directory_statement(document.claims).record
    assert (record.witnesses[0].url, record.witness_quorum) == ("https://w.example", 1)
    assert [a.address for a in record.auditors] == [panel]


def in_process(*arguments, **variables):
    """As `run_cli`, without a process: starting ten of them takes long."""
    env = environment(**variables)
    env |= {name: None for name in os.environ if name not in env}
    result = CliRunner().invoke(main, [str(a) for a in arguments], env=env)
    return SimpleNamespace(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr)


def test_usage_and_help():
    shown = run_program("--help")
    assert shown.returncode == 0
    assert "Exit codes" in shown.stdout
    assert in_process("serve").returncode == 2
    assert in_process("nothing").returncode == 2
    for name in main.list_commands(None):
        command = main.get_command(None, name)
        assert command.name == name
        for words in [(name, sub) for sub in getattr(command, "commands", ())] or [(name,)]:
            assert "--json" in in_process(*words, "--help").stdout


def test_wrong_settings_are_named(process_home):
    home = process_home
    run_cli = in_process
    fails(run_cli("doctor", "--home", home / "nowhere"), 1, "no_configuration")
    fails(run_cli("doctor", "--home", home, max_grup="3"), 1, "unknown_variable")
    fails(run_cli("doctor", "--home", home, max_group="none"), 1, "max_group")
    fails(run_cli("doctor", "--home", home, passphrase="wrong"), 1, "bad_key_file")
    fails(run_cli("doctor", "--home", home, passphrase=""), 1, "no_passphrase")
    fails(run_cli("doctor", "--home", home, database_url="sqlite:///:memory:"), 1, "not_durable")
    fails(run_cli("doctor", "--home", home, database_url="mysql://x/y"), 1, "unknown_database")
    fails(run_cli("doctor", "--home", home, test_kill_at="after_commit"), 1, "test_hook_refused")
    (home / "keys" / "broker.keys").chmod(0o644)
    fails(run_cli("doctor", "--home", home), 1, "open_key_file")
    (home / "keys" / "broker.keys").chmod(0o600)
    with (home / "broker.toml").open("a") as file:
        file.write("max_grup = 3\n")
    fails(run_cli("doctor", "--home", home), 1, "max_grup")
    error = json.loads(run_cli("doctor", "--home", home, "--json").stdout)["error"]
    assert error["code"] == "bad_configuration"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_is_no_fatal_state(process_home, workers):
    """A service manager must start it again: exit code 3 would keep it from that."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_cli("serve", "--home", process_home, "--port", port, "--workers", workers)
    fails(ended, 1, f"cannot listen on 127.0.0.1 port {port}: address already in use [cannot_listen]")


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_doctor_tells_an_absence_from_a_contradiction(process_home):
    gone = "postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2"
    found = run_cli("doctor", "--home", process_home, "--json", database_url=gone)
    assert found.returncode == 1
    checks = {check["name"]: check for check in json.loads(found.stdout)["checks"]}
    for name in ("migrations", "durability", "clock", "store", "keys"):
        assert not checks[name]["ok"]
        assert "is running and reachable" in checks[name]["hint"]
        assert "same bytes" not in checks[name]["hint"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_doctor_shows_a_passphrase_that_others_may_read(process_home):
    path = process_home / "passphrase"
    path.write_text(PASSPHRASE)
    with (process_home / "broker.toml").open("a") as file:
        file.write('passphrase_file = "passphrase"\n')
    for mode, code in ((0o666, 1), (0o604, 1), (0o440, 0), (0o600, 0)):
        path.chmod(mode)
        found = run_cli("doctor", "--home", process_home)
        assert found.returncode == code, found.stdout
        assert (f"FAIL permissions: {path}: {mode:o}" in found.stdout) == bool(code)


def test_doctor_is_loud_about_test_hooks(process_home):
    doctor = run_cli("doctor", "--home", process_home, test_hooks="1", test_kill_at="after_commit")
    assert doctor.returncode == 1
    assert "TEST HOOKS ARE ON" in doctor.stdout


def test_doctor_explains_a_restored_backup(world, process_home, tmp_path):
    home = process_home
    save(home, tmp_path / "backup")
    broker = BrokerProcess(world, home).wait_until_listening()
    client = broker.client()
    assert client.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    client.close()
    assert broker.stop() == 0
    restore(home, tmp_path / "backup")
    fails(run_program("serve", "--home", home), 3, "database_behind_store")
    doctor = run_cli("doctor", "--home", home)
    assert doctor.returncode == 3
    assert "database_behind_store" in doctor.stdout
    assert "never go on from here" in doctor.stdout
    rebuilt = run_cli("rebuild", "--home", home)
    fails(rebuilt, 3, "database_behind_store")


def test_a_graceful_stop_ends_long_polls_and_finishes_what_was_accepted(world, process_home):
    broker = BrokerProcess(world, process_home).wait_until_listening()
    client, pages = broker.client(), []
    client.refresh()
    waiting = threading.Thread(target=lambda: pages.append(client.box(KAMPALA, Box.URGENT, wait=60)))
    waiting.start()
    poster = broker.client()
    while "countermark_listeners 1.0" not in poster.request("GET", "/metrics").text:
        assert waiting.is_alive()
    assert poster.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    assert broker.stop() == 0
    waiting.join(30)
    assert pages[0].account is not None
    client.close()
    poster.close()


def test_logs_hold_no_secrets(world, process_home):
    broker = BrokerProcess(world, process_home).wait_until_listening()
    client = broker.client()
    sealed = world.message(NAIROBI, [KAMPALA])
    client.post_message(sealed)
    client.request("GET", f"/v1/boxes/{KAMPALA}/routine?from=7", by=KAMPALA)
    client.request("GET", "/v1/nothing%0Aerror: forged")
    client.close()
    broker.stop()
    log = (process_home / "serve.log").read_text()
    assert "POST /v1/messages 201" in log
    assert "from=7" not in log
    assert sealed.manifest.id not in log
    assert "\nerror: forged" not in log
    assert "correct horse" not in log
