"""The load generator: one thread, raw sockets, bytes prepared beforehand, answers looked at after the clock stops.

It runs on the processors that it measures, so it must cost next to nothing; what it cost is in the results.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Bytes handed to the system at once: a stream must not keep the others from being served.
_PART = 256 * 1024
_SETTLE_S = 0.1
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What one load came to.

    Attributes:
        seconds: from the first byte sent to the last byte of the last answer.
        cpu_seconds: processor time of this generator in between.
        answers: whole, head and body.
    """

    seconds: float
    cpu_seconds: float
    answers: list[bytes]


class _Connection:
    __slots__ = ("got", "out", "socket")

    def __init__(self, port: int, source: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.out = memoryview(b"")
        self.got = bytearray()


def request(target: str, host: str, body: bytes, content_type: str = "application/octet-stream") -> bytes:
    """The bytes of a POST."""
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def run_load(port: int, requests: Sequence[bytes], connections: int) -> Load:
    """Send requests over kept connections, each of its own loopback address; whoever has its answer takes the next.

    Raises:
        ConnectionError: a connection ended before its answer.
    """
    open_ones = [_Connection(port, f"127.0.0.{2 + n}") for n in range(min(connections, len(requests)))]
    time.sleep(_SETTLE_S)  # accepted by whoever accepts, before the clock starts
    answers: list[bytes] = []
    rest = iter(requests)
    with selectors.DefaultSelector() as selector:
        cpu, began = time.process_time(), time.monotonic()
        left = sum(_next(selector, one, rest, fresh=True) for one in open_ones)
        while left:
            for key, events in selector.select():
                one: _Connection = key.data
                if events & selectors.EVENT_WRITE:
                    _send(selector, one)
                if events & selectors.EVENT_READ and _receive(one):
                    answers.append(bytes(one.got))
                    one.got.clear()
                    left -= not _next(selector, one, rest)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    for one in open_ones:
        one.socket.close()
    return Load(seconds, cpu, answers)


def _next(
    selector: selectors.BaseSelector, one: _Connection, rest: Iterator[bytes], *, fresh: bool = False
) -> bool:
    request = next(rest, None)
    if request is None:
        return False
    one.out = memoryview(request)
    if fresh:
        selector.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
        return True
    # A kept connection takes a small request at once: no need to ask first.
    one.out = one.out[one.socket.send(one.out[:_PART]) :]
    if one.out:
        selector.modify(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
    return True


def _send(selector: selectors.BaseSelector, one: _Connection) -> None:
    one.out = one.out[one.socket.send(one.out[:_PART]) :]
    if not one.out:
        selector.modify(one.socket, selectors.EVENT_READ, one)


def _receive(one: _Connection) -> bool:
    """Whether the answer is whole."""
    part = one.socket.recv(1 << 20)
    if not part:
        raise ConnectionError(f"a connection ended within an answer: {bytes(one.got[:500])!r}")
    one.got += part
    if one.got.endswith(b"\r\n0\r\n\r\n"):
        return True
    head = one.got.find(b"\r\n\r\n")
    length = _LENGTH.search(one.got, 0, head) if head >= 0 else None
    return length is not None and len(one.got) == head + 4 + int(length[1])


def demand_created(load: Load, count: int) -> None:
    """Every single answer must be 201: a refusal is quicker than an acceptance, and would be counted as one."""
    bad = [one for one in load.answers if not one.startswith(b"HTTP/1.1 201")]
    if bad or len(load.answers) != count:
        raise SystemExit(f"expected {count} answers 201, got {len(load.answers) - len(bad)}: {bad[:1]!r}")


def demand_accepted(load: Load, count: int) -> None:
    """The same for the lines of bulk answers."""
    accepted = sum(answer.count(b'"status":201') for answer in load.answers)
    if accepted != count:
        lines = [line for answer in load.answers for line in answer.splitlines() if b'"problem"' in line]
        raise SystemExit(
            f"expected {count} lines with status 201, got {accepted}: {lines[:1] or load.answers[:1]!r}"
        )
