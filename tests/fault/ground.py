"""What rounds stand on: a founded log to be copied, on either database, and the processes of one round."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock
from uuid import uuid4

from click.testing import CliRunner

from countermark_broker.cli import main
from countermark_broker.config import PREFIX
from countermark_protocol import keyfile
from fault.history import Absence
from fault.world import GRACE_MS, FaultWorld
from support.api_client import ApiClient
from support.broker_fixtures import PASSPHRASE, found, write_home
from support.broker_process import BrokerProcess
from support.postgresql import PostgresServer
from support.world import now_ms

SQLITE, POSTGRESQL = "sqlite", "postgresql"
DATABASES = (SQLITE, POSTGRESQL)

HEARTBEAT_MS = 100
GAP_MS = 1_000
#: Short, so that a lock or a server that is away is noticed within a round.
SETTINGS = {
    "store_poll_ms": 100,
    "heartbeat_ms": HEARTBEAT_MS,
    "heartbeat_gap_ms": GAP_MS,
    "busy_timeout_ms": 3_000,
    "stop_grace_s": 5,
}


def make_world(grace_ms: int = GRACE_MS) -> FaultWorld:
    """The world whose log is founded in every round's home; the same keys each time."""
    world = FaultWorld(grace_ms)
    world.founding(), world.broker_keys(), world.setup()
    return world


class Ground:
    """Founds once for each kind of database, and makes copies; one for each process that runs rounds."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cm-fault-", dir="/tmp"))
        self.directory.chmod(0o755)
        self._server: PostgresServer | None = None
        self._templates: dict[tuple[str, int], Path] = {}
        self._databases: dict[Path, str] = {}

    def close(self) -> None:
        """Stop the server and delete everything."""
        if self._server is not None:
            self._server.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def place(self) -> Path:
        """A new directory for one round."""
        place = Path(tempfile.mkdtemp(dir=self.directory))
        # A server of PostgreSQL runs as another user.
        place.chmod(0o755)
        return place

    @property
    def server(self) -> PostgresServer:
        """The PostgreSQL server that rounds share, one after the other."""
        if self._server is None:
            self._server = PostgresServer(settings={"max_connections": "100"}).start()
        return self._server

    def template(self, database: str, grace_ms: int = GRACE_MS) -> Path:
        """The home in which the log was founded; its PostgreSQL database is named by `_founded`."""
        usual = grace_ms == GRACE_MS
        if not usual and database == POSTGRESQL:
            # The usual one comes first: it is copied while it stands alone on the server.
            self.template(database)
        if (database, grace_ms) not in self._templates:
            home = self.directory / f"{database}-{grace_ms}"
            extra = {}
            if database == POSTGRESQL:
                extra["database_url"] = self.server.create_database(_founded(grace_ms))
            world = FaultWorld(grace_ms)
            asyncio.run(found(world, write_home(world, home, key_files=True, **SETTINGS, **extra)))
            self._templates[database, grace_ms] = home
            if database == POSTGRESQL and usual:
                # Now, while nothing else is in it: some rounds have a server of their own.
                self.server.stop()
                copy_owned(self.server.data, self.directory / "cold")
                self.server.start()
        return self._templates[database, grace_ms]

    def home(self, database: str, place: Path, grace_ms: int = GRACE_MS) -> Path:
        """A founded home of one's own below `place`; its PostgreSQL database is on the shared server."""
        template, home = self.template(database, grace_ms), place / "home"
        shutil.copytree(template, home)
        if database == POSTGRESQL:
            self._databases[place] = f"round-{uuid4().hex}"
            set_url(home, self.server.create_database(self._databases[place], _founded(grace_ms)))
        return home

    def release(self, place: Path) -> None:
        """Delete what `home` made on the shared server."""
        name = self._databases.pop(place, None)
        if name is not None and self.server.answers():
            self.server.drop_database(name)

    def own_server(
        self, directory: Path, *, environment: Mapping[str, str] | None = None, small_segments: bool = False
    ) -> PostgresServer:
        """A started server of one's own that holds the founded log.

        Args:
            directory: where it keeps everything; made here.
            environment: further variables.
            small_segments: keep little of its own log, in files of 1 MiB.
        """
        cold = self._cold(small_segments)
        directory.mkdir(mode=0o755)
        if os.geteuid() == 0:
            shutil.chown(directory, "nobody", "nogroup")
        copy_owned(cold, directory / "data")
        settings = {"max_connections": "100"}
        if small_segments:
            settings |= {"min_wal_size": "2MB", "max_wal_size": "4MB"}
        return PostgresServer(directory, settings=settings, environment=dict(environment or {})).start()

    def _cold(self, small_segments: bool) -> Path:
        """A copy of the shared server's data, taken while it was stopped and held the founded log alone."""
        self.template(POSTGRESQL)
        cold, small = self.directory / "cold", self.directory / "cold-small"
        if not small_segments:
            return cold
        if not small.exists():
            copy_owned(cold, small)
            self.server.run("pg_resetwal", "--wal-segsize=1", "-D", small)
        return small


def _founded(grace_ms: int) -> str:
    return "founded" if grace_ms == GRACE_MS else f"founded-{grace_ms}"


def copy_owned(source: Path, target: Path) -> None:
    """Copy a server's data directory for the user that servers run as."""
    shutil.copytree(source, target, symlinks=True)
    if os.geteuid() == 0:
        for folder, _, files in os.walk(target):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                shutil.chown(name, "nobody", "nogroup")
    target.chmod(0o700)


def set_url(home: Path, url: str) -> None:
    """Let a home use a PostgreSQL database."""
    path = home / "broker.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("database_url")]
    path.write_text("\n".join([*lines, f'database_url = "{url}"']) + "\n")


class Stage:
    """The nodes of one round, and when none was there.

    Args:
        world: whose log it is.
        home: founded.
        program: what a node's Python runs; nothing: the broker as it is.
    """

    def __init__(self, world: FaultWorld, home: Path, program: Sequence[str] = ()) -> None:
        self.world, self.home = world, home
        self.absences: list[Absence] = []
        self.urls: list[str] = []
        self._program = program
        self._nodes: list[BrokerProcess] = []
        self._away_since = 0

    @property
    def store(self) -> Path:
        """The checkpoint store's file."""
        return self.home / "checkpoint" / "checkpoint"

    @property
    def nodes(self) -> Sequence[BrokerProcess]:
        """Those that were started and not found dead."""
        return self._nodes

    def start(
        self,
        count: int = 1,
        *,
        loader: Mapping[str, str] | None = None,
        first: Mapping[str, str] | None = None,
    ) -> None:
        """Start nodes, and wait until they listen.

        Args:
            count: how many.
            loader: further variables of the first one's environment.
            first: further settings of the first one.
        """
        self.launch(count, loader=loader, first=first)
        self.wait()

    def launch(
        self,
        count: int = 1,
        *,
        loader: Mapping[str, str] | None = None,
        first: Mapping[str, str] | None = None,
    ) -> None:
        """Start nodes without waiting for them."""
        if not self._nodes and self._away_since:
            # Whatever they do, they cannot have been there before now.
            self.absences.append(Absence(self._away_since, now_ms()))
        for i in range(count):
            options = dict(first or {}) if i == 0 else {}
            node = BrokerProcess(
                self.world, self.home, program=self._program, loader=loader if i == 0 else None, **options
            )
            self._nodes.append(node)

    def wait(self) -> None:
        """Wait until all nodes listen."""
        if len(self._nodes) == 1 and self.absences and not self._nodes[0].port:
            self._lengthen()
        for node in self._nodes:
            if not node.port:
                node.wait_until_listening()
        self.urls = [f"http://127.0.0.1:{node.port}" for node in self._nodes]

    def _lengthen(self) -> None:
        """A node that has neither a socket nor a database open cannot have beaten: it is still away."""
        node, absence = self._nodes[0], self.absences.pop()
        end = looked = absence.end
        while node.alive and not _has_opened_anything(node._process.pid):
            # It had not until then; what it has done since is not known.
            end, looked = looked, now_ms()
            time.sleep(0.02)
        self.absences.append(Absence(absence.begin, end))

    def kill(self, number: int = 0) -> None:
        """SIGKILL a node; its place in `nodes` is free then."""
        node = self._nodes.pop(number)
        assert node.kill() == -9
        self._gone()

    def bury(self, number: int = 0) -> None:
        """Take note of a node that has killed itself."""
        node = self._nodes.pop(number)
        assert node.end() == -9
        self._gone()

    def stop(self) -> None:
        """SIGTERM all nodes; each must end cleanly."""
        nodes, self._nodes = self._nodes, []
        codes = [node.stop() for node in nodes]
        self._gone()
        assert not any(codes), f"nodes ended with {codes}:\n{self.log()[-3000:]}"

    def retire(self, number: int = 0) -> None:
        """SIGTERM one node; it must end cleanly."""
        node = self._nodes.pop(number)
        code = node.stop()
        self._gone()
        assert code == 0, f"a node ended with {code}:\n{self.log()[-3000:]}"

    def abandon(self) -> None:
        """Kill whatever still runs: the round has failed."""
        for node in self._nodes:
            node.kill()

    def _gone(self) -> None:
        if not self._nodes:
            self._away_since = now_ms() + HEARTBEAT_MS

    def client(self) -> ApiClient:
        """A client of the first node."""
        return self._nodes[0].client()

    def log(self) -> str:
        """What the nodes have logged; nothing where none was started."""
        path = self.home / "serve.log"
        return path.read_text(errors="replace") if path.exists() else ""


def rebuild_check(home: Path) -> str:
    """`rebuild --check` and `fsck` on a home; what they found wrong, or nothing."""
    return _complaint(home, "rebuild", "--check") + _complaint(home, "fsck")


def _complaint(home: Path, *command: str) -> str:
    derive_once = functools.lru_cache(keyfile._derive)
    mask = os.umask(0o077)
    try:
        with mock.patch.object(keyfile, "_derive", derive_once):
            done = CliRunner().invoke(
                main, [*command, "--home", str(home)], env={f"{PREFIX}PASSPHRASE": PASSPHRASE}
            )
    finally:
        os.umask(mask)
    return "" if done.exit_code == 0 else f"{command[0]}: {done.output}{done.exception!r}"


def _has_opened_anything(pid: int) -> bool:
    names = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        if link.name in {"0", "1", "2"}:
            continue
        with contextlib.suppress(OSError):
            names.append(os.readlink(link))
    return any(name.startswith("socket:") or ".sqlite3" in name for name in names)


def pause(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)
