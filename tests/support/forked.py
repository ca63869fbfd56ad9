"""Processes of broker and witness that need not load anything: forked from one that has loaded everything.

They are processes like any other: own memory, own descriptors, own environment, to be killed. They become children
of this process, which adopts orphans, so that it can wait for them. Starting Python and loading the libraries is
nearly a second of processor time; a suite that starts and kills hundreds of nodes would do little else.

Only for where *that* a broker runs matters. Tests of the command line itself start it as a person would.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from countermark_protocol import keyfile

_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)
_PATIENCE_S: Final = 120
_LOADED: Final = (
    "countermark_broker.cli.founding",
    "countermark_broker.cli.keeping",
    "countermark_broker.cli.maintenance",
    "countermark_broker.cli.moving",
    "countermark_broker.cli.serving",
    "countermark_broker.store.postgresql",
    "countermark_broker.store.sqlite",
    "countermark_witness.cli",
    "psycopg.pq",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.lifespan.off",
)


class ForkedProcess:
    """As much of `subprocess.Popen` as tests of nodes use.

    Args:
        arguments: of the command.
        environment: the whole of it.
        stderr: where it writes its log.
        command: which.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stderr: IO[bytes],
        command: str = "countermark-broker",
    ) -> None:
        reading, writing = os.pipe()
        try:
            self.pid = _parent().fork([command, *arguments], environment, writing, stderr.fileno())
        finally:
            os.close(writing)
        self.stdout = os.fdopen(reading, "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        deadline = time.monotonic() + timeout
        if self.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                select.select([descriptor], [], [], timeout)
            finally:
                os.close(descriptor)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout - (deadline - time.monotonic()))
        return code

    def read(self, timeout: float) -> bytes:
        """All that it prints until its end; what takes longer is killed."""
        deadline, out = time.monotonic() + timeout, bytearray()
        with self.stdout:
            while select.select([self.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                part = os.read(self.stdout.fileno(), 65536)
                if not part:
                    return bytes(out)
                out += part
        self.send_signal(signal.SIGKILL)
        self.wait(timeout)
        raise subprocess.TimeoutExpired(str(self.pid), timeout, bytes(out))

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to be gone."""
        if self.poll() is None:
            os.kill(self.pid, number)


def run_forked(
    arguments: Sequence[str], environment: Mapping[str, str], command: str = "countermark-broker"
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` would."""
    with tempfile.TemporaryFile() as errors:
        process = ForkedProcess(arguments, environment, errors, command)
        output = process.read(_PATIENCE_S)
        code = process.wait(_PATIENCE_S)
        errors.seek(0)
        return subprocess.CompletedProcess([*arguments], code, output.decode(), errors.read().decode())


class _Parent:
    def __init__(self) -> None:
        if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.forked", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([_TESTS, *sys.path])},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.owner = os.getpid()
        atexit.register(self.end)

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int) -> int:
        message = json.dumps([list(arguments), dict(environment), os.getcwd()]).encode()
        socket.send_fds(self._socket, [len(message).to_bytes(4, "big")], [out, err])
        self._socket.sendall(message)
        return int.from_bytes(_exactly(self._socket, 8), "big")

    def end(self) -> None:
        if os.getpid() == self.owner:
            self._socket.close()
            self._process.wait(10)


_TESTS = str(Path(__file__).parent.parent)
_only: list[_Parent] = []


def _parent() -> _Parent:
    if not _only or _only[0].owner != os.getpid():
        _only[:] = [_Parent()]
    return _only[0]


def _exactly(connection: socket.socket, count: int) -> bytes:
    out = b""
    while len(out) < count:
        part = connection.recv(count - len(out))
        if not part:
            msg = "the process that forks brokers is gone"
            raise EOFError(msg)
        out += part
    return out


# --- the process that forks --------------------------------------------------------------------------


def _remember_derived(folder: Path) -> None:
    """Derive a key from a passphrase once for all processes: it is slow on purpose."""
    derive = keyfile._derive

    def derive_once(passphrase: str, salt: bytes) -> bytes:
        kept = folder / hashlib.sha256(salt + passphrase.encode()).hexdigest()
        if not kept.exists():
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_bytes(derive(passphrase, salt))
            new.rename(kept)
        return kept.read_bytes()

    keyfile._derive = derive_once


def _serve(connection: socket.socket, folder: Path) -> None:
    for name in _LOADED:
        importlib.import_module(name)
    _remember_derived(folder)
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
        if not header:
            return
        length = int.from_bytes(header + _exactly(connection, 4 - len(header)), "big")
        arguments, environment, directory = json.loads(_exactly(connection, length))
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                connection.close()
                os.close(reading), os.close(writing)
                _become(arguments, environment, directory, descriptors)
            os.write(writing, child.to_bytes(8, "big"))
            os._exit(0)
        # Only once the one between is gone has the child been adopted by who waits for it.
        os.waitpid(between, 0)
        connection.sendall(os.read(reading, 8))
        for descriptor in (reading, writing, *descriptors):
            os.close(descriptor)


def _become(
    arguments: list[str], environment: dict[str, str], directory: str, descriptors: list[int]
) -> None:
    code = 70
    try:
        for number, descriptor in enumerate(descriptors, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.argv = arguments
        command = importlib.import_module(f"{arguments[0].replace('-', '_')}.cli").main
        command(arguments[1:], prog_name=arguments[0])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with (
        socket.socket(fileno=int(sys.argv[1])) as _connection,
        tempfile.TemporaryDirectory(prefix="cm-derived-") as _folder,
    ):
        _serve(_connection, Path(_folder))
