"""A rolling upgrade: the release before serves, this one migrates under it, serves beside it, and then alone.

The old node is the real code of tests/releases/: its wheels unpacked, its own migrations, on a log that it founded
itself. Senders, bulk senders and readers go on all the while; then the checker of tests/fault looks at everything.
"""

import re
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path

import httpx
import pytest

from countermark_broker.services.keyring import write_keys
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from fault.checker import check
from fault.findings import Wrong
from fault.ground import SETTINGS, Stage, rebuild_check
from fault.history import History
from fault.load import Load
from fault.rounds import LEAST, first_entries, look
from fault.sending import Sender
from fault.world import ROUTES, FaultWorld
from support.broker_fixtures import PASSPHRASE, write_home
from support.broker_process import environment, run_cli
from support.database import sql
from support.world import first_semantics, seed

RELEASES = Path(__file__).resolve().parents[1] / "releases"
OLD = max(path for path in RELEASES.iterdir() if path.is_dir())
PHASES = 4
#: Messages of each sender in each phase, and s between two of them: a phase outlives what is done in it.
EACH = 6
PAUSE_S = 0.25


class OldRelease:
    """The wheels of the release before, unpacked; they come before this release's in its processes."""

    def __init__(self, place):
        for wheel in OLD.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place)
        self.variables = {"migrations": str(OLD / "migrations")}
        self.loader = {"PYTHONPATH": str(place)}

    def run(self, *arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment(**self.variables) | self.loader,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cli(self, *arguments):
        return self.run("-m", "countermark_broker.cli", *arguments)


class PhasedLoad(Load):
    """A load whose senders send one part in each phase, by all nodes in turn."""

    def __init__(self, world, seed):
        self.phase = 1
        self.passed = Counter()
        self._turned = threading.Condition()
        super().__init__(world, seed, each=PHASES * EACH)

    def enter(self, phase):
        """Let the senders go on."""
        with self._turned:
            self.phase = phase
            self._turned.notify_all()

    def wait_for_phase(self):
        """Wait until every sender has sent what it may."""
        while len(self.passed) < len(ROUTES) or min(self.passed.values()) < self.phase * EACH:
            assert self.sending(), self.errors
            assert not self.errors
            time.sleep(0.02)

    def sender(self, number, each):
        return PhasedSender(self, number, each)

    def wait_for_turn(self, client, count):
        """Wait until a sender may go on, by the next node."""
        with self._turned:
            self._turned.wait_for(lambda: self.given_up or self.passed[client.name] < self.phase * EACH, 120)
        client.fail_over()
        time.sleep(PAUSE_S * count)


class PhasedSender(Sender):
    """A sender of such a load."""

    def send(self, client, prepared):
        self.load.wait_for_turn(client, 1)
        super().send(client, prepared)
        self.load.passed[client.name] += 1

    def send_in_bulk(self, client, prepared):
        for at in range(0, len(prepared), EACH // 2):
            self.load.wait_for_turn(client, EACH // 2)
            super().send_in_bulk(client, prepared[at : at + EACH // 2])
            self.load.passed[client.name] += EACH // 2


def accepted_by(node):
    """Messages and receipts that a node has made entries."""
    text = httpx.get(f"http://127.0.0.1:{node.port}/metrics", trust_env=False).text
    found = re.findall(
        r'^countermark_accepted_total\{kind="(?:message|receipt)"\} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, found))


@pytest.fixture
def old(tmp_path):
    return OldRelease(tmp_path / "old")


@pytest.fixture
def stage(tmp_path, old, empty_database):
    """A log that the old release has founded, and its node."""
    world = FaultWorld()
    world.policy = first_semantics()  # all that the old release knows
    home = write_home(world, tmp_path / "home", database_url=empty_database, **SETTINGS)
    for name, keys in (("broker", ("log", "node")), ("administrator", ("administrator",))):
        stored = tuple(
            StoredKey(key, Algorithm.ED25519, seed("broker administrator" if key == "administrator" else key))
            for key in keys
        )
        write_keys(home / "keys" / f"{name}.keys", stored, PASSPHRASE)
    (tmp_path / "founding").write_bytes(world.founding())
    old.cli("found", "--home", home, "--founding", tmp_path / "founding")
    # As if it had been logged by the world: what follows names it.
    world.broker_keys()
    stage = Stage(world, home)
    try:
        stage.launch(loader=old.loader, first=old.variables)
        stage.wait()
        client = stage.client()
        for statement in world.setup():
            assert client.post_statement(statement).status_code == 201
        client.close()
        yield stage
    finally:
        stage.abandon()


def revision(home):
    return sql(home, "SELECT version_num FROM alembic_version")[0][0]


def test_what_is_called_the_old_release_is_it(old):
    shown = old.run(
        "-c",
        "import countermark_broker, countermark_protocol, importlib.metadata as m; "
        "print(countermark_broker.__file__, countermark_protocol.__file__, m.version('countermark-broker'))",
    )
    *files, version = shown.split()
    assert all(file.startswith(old.loader["PYTHONPATH"]) for file in files)
    assert version == OLD.name


@pytest.mark.parametrize(
    "database_kind", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"], indirect=True
)
def test_old_and_new_nodes_side_by_side_keep_one_history(stage, old):
    home = stage.home
    before, founded_at = first_entries(stage.client()), revision(home)
    load = PhasedLoad(stage.world, "upgrade")
    load.start(stage.urls)
    try:
        load.wait_for_phase()

        load.enter(2)
        sent = load.acknowledged
        migrated = run_cli("migrate", "--home", home)
        assert migrated.returncode == 0, migrated.stderr
        load.wait_for_phase()
        assert load.acknowledged > sent
        assert revision(home) > founded_at

        stage.launch()
        stage.wait()
        one, other = stage.nodes
        load.urls = stage.urls
        counts = [accepted_by(node) for node in (one, other)]
        assert counts[1] == 0
        load.enter(3)
        load.wait_for_phase()
        assert all(accepted_by(node) > was for node, was in zip((one, other), counts, strict=True))

        load.enter(4)
        load.urls = stage.urls[1:]
        stage.retire()
    except BaseException:
        load.given_up = True
        load.enter(PHASES)
        raise
    finally:
        load.finish()

    final = look(stage, load, wait=True)
    history = History(
        tuple(load.recorder.calls),
        before,
        (),
        SETTINGS["heartbeat_gap_ms"],
        signers=stage.world.signers(),
    )
    # The old release says "end of box" by the checkpoint that it knows, also where the other node has just published
    # a later one: true of that checkpoint, and found a moment later. The new one looks first.
    found = [
        v for v in check(history, final) if not (v.kind is Wrong.ACCOUNT and "nothing was served" in v.what)
    ]
    assert found == []
    assert load.acknowledged >= LEAST
    doctor = run_cli("doctor", "--home", home)
    assert doctor.returncode == 0, doctor.stdout
    stage.stop()
    assert rebuild_check(home) == ""
    # Going back is no way out: what the new release has written the old one may still read.
    assert "ok   migrations" in old.cli("doctor", "--home", home)
