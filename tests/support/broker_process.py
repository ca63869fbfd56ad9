"""A broker as a process of its own, started by its command line, to be stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from countermark_broker.config import PREFIX
from support.api_client import ApiClient
from support.broker_fixtures import AUTHORITY, PASSPHRASE
from support.forked import ForkedProcess, run_forked
from support.world import World

_PROGRAM = ("-m", "countermark_broker.cli")


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings of a broker, plus the passphrase and what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}PASSPHRASE": PASSPHRASE} | {PREFIX + k.upper(): v for k, v in variables.items()}


def run_cli(*arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `countermark-broker` to its end."""
    return run_forked([str(argument) for argument in arguments], environment(**variables))


def run_program(*arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
    """As `run_cli`, started as a person starts it."""
    return subprocess.run(
        [sys.executable, *_PROGRAM, *map(str, arguments)],
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
        program: what Python runs; nothing: the broker as it is.
        loader: further variables of its environment, such as a library to be preloaded.
        variables: further settings.
    """

    def __init__(
        self,
        world: World,
        home: Path,
        *,
        program: Sequence[str] = (),
        loader: Mapping[str, str] | None = None,
        **variables: str,
    ) -> None:
        self.world = world
        self._log = (home / "serve.log").open("ab")
        arguments = ["serve", "--home", str(home), "--port", "0", "--json-lines"]
        whole = environment(**variables) | dict(loader or {})
        self._process: ForkedProcess | subprocess.Popen[bytes]
        if program or loader:
            # What is preloaded, or defect, must be there from the start.
            self._process = subprocess.Popen(
                [sys.executable, *(program or _PROGRAM), *arguments],
                env=whole,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        else:
            self._process = ForkedProcess(arguments, whole, self._log)
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

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP; SIGCONT at the end, whatever happened."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

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
