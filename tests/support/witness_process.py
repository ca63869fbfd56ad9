"""A witness as a process of its own, to be asked over HTTP, stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from countermark_protocol.note import encode_vkey
from countermark_protocol.tlog_witness import ADD_CHECKPOINT_PATH
from countermark_witness.home import PREFIX
from support.forked import ForkedProcess, run_forked
from support.witnesses import ORIGIN, note_key

COMMAND = "countermark-witness"
PASSPHRASE = "a passphrase of the witness"

#: Serves like the command, and kills itself at a moment: before or after the outcome is durable.
_KILLED = """
import os, signal, sys
from pathlib import Path
from countermark_witness import store
from countermark_witness.cli import serving
from countermark_witness.keys import load_keys
from countermark_witness.service import Witness

home, moment, passphrase = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if moment == "before":
    hold = store.Transaction.hold
    store.Transaction.hold = lambda *a: (hold(*a), die())
after = die if moment == "after" else lambda: None
witness = Witness(store.Store(home / "witness.db"), load_keys(home / "witness.keys", passphrase), durable=after)
serving.server(witness, "127.0.0.1", 0).run()
"""


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}PASSPHRASE": PASSPHRASE} | {PREFIX + k.upper(): v for k, v in variables.items()}


def run_cli(*arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `countermark-witness` to its end."""
    return run_forked([str(argument) for argument in arguments], environment(**variables), COMMAND)


def run_program(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """As `run_cli`, started as a person starts it."""
    return subprocess.run(
        [sys.executable, "-m", "countermark_witness.cli", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_witness(home: Path, *, log: bool = True) -> Path:
    """The home of a new witness that knows the tests' log."""
    done = run_cli("init", "--home", home, "--name", "witness.example/w1")
    assert done.returncode == 0, done.stderr
    if log:
        done = run_cli("add-log", "--home", home, ORIGIN, encode_vkey(note_key()))
        assert done.returncode == 0, done.stderr
    return home


class WitnessProcess:
    """`countermark-witness serve` on a port that the system chooses; or killing itself at a moment.

    Args:
        home: from `make_witness`.
        moment: ``before`` or ``after`` the first outcome is durable; None: not at all.
    """

    def __init__(self, home: Path, moment: str | None = None) -> None:
        self._log = (home / "serve.log").open("ab")
        self._process: ForkedProcess | subprocess.Popen[bytes]
        if moment is None:
            arguments = ["serve", "--home", str(home), "--port", "0"]
            self._process = ForkedProcess(arguments, environment(), self._log, COMMAND)
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _KILLED, str(home), moment, PASSPHRASE],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end()
            msg = f"the witness ended with {self._process.returncode} before it listened"
            raise RuntimeError(msg)
        self.url = json.loads(line)["listening"]
        self._http = httpx.Client(base_url=self.url, timeout=30, trust_env=False, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._http.close()

    def post(self, body: bytes) -> httpx.Response:
        return self._http.post(ADD_CHECKPOINT_PATH, content=body)

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path)

    def kill(self) -> int:
        """SIGKILL, at once."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        return self.end()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Wait for the end; the exit code."""
        code = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        return code
