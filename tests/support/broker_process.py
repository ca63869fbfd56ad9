"""A broker as a process of its own, started by its command line, to be stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from countermark_broker.config import PREFIX
from support.api_client import ApiClient
from support.broker_fixtures import AUTHORITY, PASSPHRASE
from support.world import World


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings of a broker, plus the passphrase and what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}PASSPHRASE": PASSPHRASE} | {PREFIX + k.upper(): v for k, v in variables.items()}


def run_cli(*arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `countermark-broker` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "countermark_broker.cli", *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class BrokerProcess:
    """`countermark-broker serve` on a port that the system chooses.

    Args:
        world: whose log it is.
        home: founded, with key files.
        variables: further settings.
    """

    def __init__(self, world: World, home: Path, **variables: str) -> None:
        self.world = world
        self._log = (home / "serve.log").open("ab")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "countermark_broker.cli",
                "serve",
                "--home",
                str(home),
                "--port",
                "0",
                "--json-lines",
            ],
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.port = 0

    def wait_until_listening(self) -> BrokerProcess:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end()
            msg = f"the broker ended with {self._process.returncode} before it listened"
            raise RuntimeError(msg)
        self.port = json.loads(line)["port"]
        return self

    def client(self) -> ApiClient:
        return ApiClient(self.world, f"http://127.0.0.1:{self.port}", AUTHORITY)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> int:
        """SIGKILL, at once."""
        if self.alive:
            self._process.send_signal(signal.SIGKILL)
        return self.end()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Wait for the end; the exit code."""
        code = self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        return code
