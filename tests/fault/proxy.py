"""A proxy that cuts connections: in the midst of a request, or of an answer, after some bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from pathlib import Path

_CHUNK = 16 * 1024


class CuttingProxy:
    """Forwards a stream to another, and cuts it once a number of bytes has passed.

    Args:
        target: a port on this machine, or a Unix socket.
        listen: a Unix socket to listen on; a port that the system chooses if None.
        dice: choose direction and number of bytes.
        least: bytes that pass at least.
        most: bytes that pass at most.
    """

    def __init__(
        self, target: int | Path, listen: Path | None, dice: random.Random, *, least: int, most: int
    ) -> None:
        self._target, self._dice, self._bounds = target, dice, (least, most)
        self._lock = threading.Lock()
        self._cutting = False
        self._open: set[socket.socket] = set()
        self.cuts = {"request": 0, "answer": 0}
        family = socket.AF_INET if listen is None else socket.AF_UNIX
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0) if listen is None else str(listen))
        if listen is not None:
            # The server behind it may run as another user, but so may who calls.
            listen.chmod(0o777)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """It listens on."""
        return int(self._listener.getsockname()[1])

    def cut(self, cutting: bool) -> None:
        """Begin or end to cut; connections that are open now are judged by it too."""
        self._cutting = cutting

    def close(self) -> None:
        """End all connections."""
        self._listener.close()
        with self._lock:
            for one in self._open:
                _reset(one)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            family = socket.AF_INET if isinstance(self._target, int) else socket.AF_UNIX
            far = socket.socket(family, socket.SOCK_STREAM)
            try:
                far.connect(
                    ("127.0.0.1", self._target) if isinstance(self._target, int) else str(self._target)
                )
            except OSError:
                _reset(near)
                continue
            with self._lock:
                self._open |= {near, far}
                direction = self._dice.choice(("request", "answer"))
                limit = self._dice.randint(*self._bounds)
            for name, source, sink in (("request", near, far), ("answer", far, near)):
                allowed = limit if name == direction else None
                threading.Thread(target=self._pass, args=(name, source, sink, allowed), daemon=True).start()

    def _pass(self, name: str, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(_CHUNK):
                if limit is not None and self._cutting and passed + len(data) > limit:
                    sink.sendall(data[: max(limit - passed, 0)])
                    self.cuts[name] += 1
                    break
                sink.sendall(data)
                passed += len(data)
        except OSError:
            pass
        with self._lock:
            hard = self._dice.random() < 0.5
            for one in (source, sink):
                _reset(one, hard)
                self._open.discard(one)


def _reset(one: socket.socket, hard: bool = False) -> None:
    with contextlib.suppress(OSError):
        if hard:
            # The end overtakes what was sent and not read yet.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    one.close()
