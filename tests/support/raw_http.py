"""The least HTTP/1.1 client: one connection from a chosen loopback address, one request after the other.

Cheap enough to send thousands of requests beside a broker on the same machine; used by tests and by bench/.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(
    method: str, target: str, host: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class Connection:
    """A connection to 127.0.0.1, opened at the first request, and again where the other side has closed it."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._source, 0), limit=2**20
            )
        return self._streams

    async def send(self, data: bytes) -> Answered:
        """Send a request; its answer.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection ended before the answer.
        """
        try:
            return await self._send(data)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise

    async def _send(self, data: bytes) -> Answered:
        reader, writer = await self.open()
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return Answered(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def ask(port: int, data: bytes, source: str = "127.0.0.1") -> Answered:
    """Send one request over a connection of its own; its answer."""
    connection = Connection(port, source)
    try:
        return await connection.send(data)
    finally:
        connection.close()
