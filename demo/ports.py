"""A port for a broker that has to know its own address before it serves: for the demo, tests and bench."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """A loopback port that nobody listens on now.

    Below those that the system gives to outgoing connections, which would take it before it is used.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
