"""Several workers behind one port: each is a whole node, a process of its own, over the same stores.

The parent holds the port, starts the workers with a socket each, starts a worker again that has died, and passes on the
signal to stop. It holds no keys and answers nothing. A worker whose parent is gone stops by itself: its standard
input, a pipe from the parent, ends then, whatever the parent died of.

What orders the workers among themselves is what orders any nodes: the database's lock (docs/spec/log.md §6.8).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import click
from prometheus_client.multiprocess import mark_process_dead

from countermark_broker.config import PREFIX, Settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.metrics import WORKERS_VARIABLE

_log = logging.getLogger("countermark_broker")

_BACKLOG: Final = 2048
#: In which the workers keep their numbers, so that each can show those of all.
_DIRECTORY: Final = "countermark-broker-"
#: s between looks at the workers.
_LOOK_S: Final = 0.1
#: s until a worker that has died is started again; doubled while it dies within a minute.
_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 30.0
_LIVED_S: Final = 60.0
#: s after which a worker is told again to stop: it does not listen to that in its very first moments.
_TELL_AGAIN_S: Final = 1.0
#: How a worker ends that found database or checkpoint store away: EX_TEMPFAIL of sysexits.h.
AWAY: Final = 75


class Workers:
    """The workers of one port.

    Args:
        home: the broker's home directory.
        count: of workers.
        family: of the address.
        address: host and port, held for them.
        variables: environment of each, beside the parent's.
    """

    def __init__(
        self,
        home: Path,
        count: int,
        family: socket.AddressFamily,
        address: tuple[str, int],
        variables: Mapping[str, str],
    ) -> None:
        self._home = home
        self._environment = {**os.environ, **variables}
        self._family = family
        self._address = address
        self._workers: list[subprocess.Popen[bytes] | None] = [None] * count
        self._began = [0.0] * count
        self._pause = [_FIRST_PAUSE_S] * count
        self._stopping = False
        self._told = float("-inf")

    def start(self) -> None:
        """Start all; from here on the port is open."""
        for number in range(len(self._workers)):
            self._start(number)

    def run(self) -> int:
        """Run until told to stop, or until a worker says that no node may serve; the exit code."""
        code = 0
        # All may have died at once, of the same: they are started again as one is.
        while not self._stopping or any(worker is not None for worker in self._workers):
            for number, worker in enumerate(self._workers):
                if worker is not None and (ended := worker.poll()) is not None:
                    code = max(code, self._ended(number, worker, ended))
                elif worker is None and not self._stopping and self._due(number):
                    self._start(number)
            if self._stopping:
                self._tell()
            time.sleep(_LOOK_S)
        return code

    def _start(self, number: int) -> None:
        self._began[number] = time.monotonic()
        # A socket of its own, which ends with it: the system spreads connections over those that are there. With one
        # socket for all, whichever worker wakes first takes them.
        with socket.create_server(
            self._address, family=self._family, backlog=_BACKLOG, reuse_port=True
        ) as listening:
            listening.set_inheritable(True)
            self._workers[number] = subprocess.Popen(  # noqa: S603  our own program
                [
                    *(sys.executable, "-m", "countermark_broker.cli", "serve", "--home", str(self._home)),
                    *("--listening-on", str(listening.fileno())),
                ],
                env=self._environment,
                stdin=subprocess.PIPE,
                pass_fds=[listening.fileno()],
                # A terminal's Ctrl-C must reach the parent alone: it tells the workers once.
                start_new_session=True,
            )

    def _due(self, number: int) -> bool:
        return time.monotonic() - self._began[number] > self._pause[number]

    def _ended(self, number: int, worker: subprocess.Popen[bytes], code: int) -> int:
        """A worker has ended; what that means for the exit code."""
        self._workers[number] = None
        assert worker.stdin is not None
        worker.stdin.close()
        mark_process_dead(worker.pid, self._environment[WORKERS_VARIABLE])  # type: ignore[no-untyped-call]
        if code == AWAY:
            # The others wait for database or store as well, so this is no reason to end them.
            code = -AWAY
        if self._stopping:
            return max(code, 0)
        if code > 0:
            # It said why: a wrong configuration or a fatal finding does not get better by starting again.
            _log.critical("worker %d ended with %d: stopping all", number, code)
            self._stopping = True
            return code
        lived = time.monotonic() - self._began[number]
        self._pause[number] = (
            _FIRST_PAUSE_S if lived > _LIVED_S else min(_MOST_PAUSE_S, self._pause[number] * 2)
        )
        self._began[number] = time.monotonic()
        _log.error("worker %d died (%d): starting it again in %.1f s", number, code, self._pause[number])
        return 0

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """On SIGTERM and SIGINT."""
        # Only this: the loop may be starting a worker just now, and must come to know it.
        self._stopping = True

    def _tell(self) -> None:
        """Tell the workers to stop; a worker that has heard it already is not disturbed."""
        if time.monotonic() - self._told < _TELL_AGAIN_S:
            return
        self._told = time.monotonic()
        for worker in self._workers:
            if worker is not None:
                worker.send_signal(signal.SIGTERM)


def cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    """Why the port cannot be opened: another process has it, or it is not this machine's address."""
    number = error.errno or 0
    # The resolver's numbers are negative, and asyncio words its own.
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    return ConfigurationError("cannot_listen", f"cannot listen on {host} port {port}: {reason.lower()}")


def serve_by_workers(
    settings: Settings, count: int, host: str | None, port: int | None, *, as_json: bool
) -> int:
    """Open the port and run the workers; the exit code."""
    host, port = settings.host if host is None else host, settings.port if port is None else port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.socket(family) as held,
        tempfile.TemporaryDirectory(prefix=_DIRECTORY) as directory,
    ):
        # Bound, and listening to nothing: the port stays ours while no worker is there.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((host, port))
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        host, port = held.getsockname()[:2]
        # Together they verify by as many threads as there are processors.
        threads = settings.verify_threads or max(1, (os.cpu_count() or 1) // count)
        variables = {
            WORKERS_VARIABLE: directory,
            f"{PREFIX}VERIFY_THREADS": str(threads),
        }
        workers = Workers(settings.home, count, family, (host, port), variables)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, workers.stop)
        workers.start()
        place = {"listening": f"http://{host}:{port}", "host": host, "port": port}
        click.echo(json.dumps(place) if as_json else f"listening on {place['listening']}")
        sys.stdout.flush()
        return workers.run()
