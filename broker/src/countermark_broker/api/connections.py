"""Connections: how many, how large a request's head, and how long any of it may take.

The parser (llhttp, by httptools) is strict about what HTTP is: a request with both Content-Length and
Transfer-Encoding, a doubled length, or bytes that are no HTTP end the connection. It puts no bound on sizes and
times; that is done here. Nothing here allocates for a peer before it is counted.

Source: docs/operations/limits.md §1.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from countermark_broker.api.errors import PROBLEM_TYPE, RETRY_AFTER_S
from countermark_broker.api.security import header_lines
from countermark_broker.api.sources import Sources
from countermark_broker.config import Settings
from countermark_broker.log.verifier import Source
from countermark_broker.metrics import Metrics
from countermark_protocol.answers import Problem
from countermark_protocol.encoding import encode_json
from countermark_protocol.submission import MAX_SUBMISSION_BYTES

#: Bytes of a request that are no body: line, headers, framing. A signed request has less than 1 kB of ours.
MAX_HEAD_BYTES: Final = 32 * 1024
#: Headers of a request.
MAX_HEADERS: Final = 64
#: Requests that a client may send ahead on one connection, while one of its is being answered.
MAX_AHEAD: Final = 8
#: A chunk's framing may be one part in so many of its bytes: else a body of single bytes costs seven times its size.
_FRAMING_PART: Final = 4
#: Bytes of a body that are still taken, and dropped, once the request is answered; then the connection ends. More
#: than a submission has: a client that sends all before it reads gets its answer, and keeps its connection.
_MAX_UNREAD: Final = 2 * MAX_SUBMISSION_BYTES
#: s that a slow peer may lag behind `min_rate`, and that a fast one may save up.
_ALLOWANCE_S: Final = 30
_CREDIT_S: Final = 300
_SWEEP_TICKS: Final = 10  # of 0.1 s


def _canned(status: str, problem: Problem, *headers: str) -> bytes:
    body = encode_json(problem.to_json())
    lines = (
        f"HTTP/1.1 {status}",
        f"content-type: {PROBLEM_TYPE}",
        f"content-length: {len(body)}",
        *header_lines(),
        *headers,
    )
    return "\r\n".join((*lines, "connection: close", "", "")).encode() + body


_BAD_REQUEST: Final = _canned(
    "400 Bad Request",
    Problem(
        400, "bad_request", "the request is not HTTP that this broker understands", "see docs/spec/api.md"
    ),
)
_HEAD_TOO_LARGE: Final = _canned(
    "431 Request Header Fields Too Large",
    Problem(
        431,
        "oversized_head",
        f"expected at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes beside the body",
        "send less before the body",
    ),
)
_TOO_MANY: Final = _canned(
    "429 Too Many Requests",
    Problem(429, "too_many_connections", "too many connections are open", "use those that you have, or wait"),
    f"retry-after: {RETRY_AFTER_S}",
)


class _OversizedError(Exception):
    """A head beyond its bounds; raised within the parser."""


class Connections:
    """All connections of a node.

    Args:
        settings: with the limits.
        metrics: counts what is refused or ended.
        most: connections at once; the setting's if None.
    """

    def __init__(self, settings: Settings, metrics: Metrics, most: int | None = None) -> None:
        self.settings = settings
        self.sources = Sources(settings.trusted_proxies)
        self._metrics = metrics
        self._most = most or settings.max_connections
        self._each: Counter[Source] = Counter()
        self._open: set[BoundedProtocol] = set()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: BoundedProtocol, host: str | None) -> Source | None:
        """Count a new connection; None if there are too many."""
        source = self.sources.of_peer(host)
        # All clients come from a balancer's address; it is their requests that are told apart.
        alone = not self.sources.is_proxy(host)
        # Nobody may have more than is left for all others: else a few addresses would shut out everybody.
        left = self._most - len(self._open)
        if left <= 0 or (alone and self._each[source] >= left):
            self.ended("too_many")
            return None
        if alone and self._each[source] >= self.settings.max_connections_each:
            self.ended("too_many_each")
            return None
        self._each[source] += 1
        self._open.add(connection)
        self._metrics.connections.set(len(self._open))
        return source

    def leave(self, connection: BoundedProtocol, source: Source) -> None:
        """A connection is closed."""
        if connection in self._open:
            self._open.discard(connection)
            self._each[source] -= 1
            if not self._each[source]:
                del self._each[source]
            self._metrics.connections.set(len(self._open))

    def ended(self, reason: str) -> None:
        """Count a connection that was refused or ended by a limit."""
        self._metrics.connections_ended.labels(reason).inc()

    def sweep(self, now: float, passed: float) -> None:
        """End every connection that has outstayed a limit.

        Args:
            now: seconds of the event loop's clock.
            passed: seconds since the last sweep.
        """
        for connection in tuple(self._open):
            reason = connection.overdue(now, passed)
            if reason is not None:
                self.ended(reason)
                connection.transport.abort()

    def protocol(self) -> Callable[..., BoundedProtocol]:
        """What makes a connection's protocol, for `uvicorn.Config.http`."""

        class Bound(BoundedProtocol):
            all = self

        return Bound


class BoundedProtocol(HttpToolsProtocol):
    """One connection, with bounds on what uvicorn and the parser leave unbounded."""

    all: Connections

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._source: Source | None = None
        self._head_since: float | None = None
        self._in_body = False
        self._headers = 0
        self._head_bytes = 0
        # Bytes of the message under way, and how many of them were body.
        self._received = 0
        self._body = 0
        self._unread = 0
        # How far reading and writing lag behind the least rate, in bytes; negative: saved up.
        self._read_lag = 0.0
        self._write_lag = 0.0
        self._moved = 0
        self._buffered = 0

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._source = self.all.admit(self, self.client[0] if self.client else None)
        if self._source is None:
            self._refuse(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._source is not None:
            self.all.leave(self, self._source)

    def resume_writing(self) -> None:
        """The peer has taken most of what was written."""
        super().resume_writing()
        self._write_lag = min(self._write_lag, 0.0)

    # --- reading ---

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._moved += len(data)
        self._received += len(data)
        if self._head_since is None and not self._answering:
            self._head_since = self.loop.time()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            self._end("not_http", _BAD_REQUEST)
        except HttpParserError as error:
            if isinstance(error.__context__, _OversizedError):
                self._end("oversized_head", _HEAD_TOO_LARGE)
            else:
                self._end("not_http", _BAD_REQUEST)
        else:
            if self._received - self._body > MAX_HEAD_BYTES + self._body // _FRAMING_PART:
                self._end("oversized_head", _HEAD_TOO_LARGE)
            elif len(self.pipeline) > MAX_AHEAD:
                self._end("too_far_ahead", b"")
            elif self._unread > _MAX_UNREAD:
                self._end("unread_body", b"")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_since = self.loop.time()
        self._headers = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer: those would join the headers after these were looked at."""
        if self._in_body:
            msg = "trailers are not taken: nothing signs them"
            raise ValueError(msg)
        self._headers += 1
        self._count(len(name) + len(value))
        if self._headers > MAX_HEADERS:
            raise _OversizedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request's head has come."""
        if self.parser.should_upgrade():
            msg = "this broker speaks HTTP/1.1 alone"
            raise ValueError(msg)
        self._in_body = True
        self._head_since = None
        self._read_lag = 0.0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._body += len(body)
        if self.cycle.response_complete:
            self._unread += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come."""
        self._in_body = False
        self._received = self._body = self._unread = 0
        if not self._answering:
            # The answer went before the end of the body: what comes next is a head.
            self._head_since = self.loop.time()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        # What comes in one piece is counted here; what never ends, as it is received.
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _OversizedError

    # --- ending ---

    @property
    def _answering(self) -> bool:
        # uvicorn's annotation forgets that there is none before the first request.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def overdue(self, now: float, passed: float) -> str | None:
        """Which limit this connection has outstayed, if any.

        Args:
            now: seconds of the event loop's clock.
            passed: seconds since this was last called.
        """
        settings = self.all.settings
        moved, self._moved = self._moved, 0
        if self._in_body and not self.flow.read_paused:
            self._read_lag = _lag(self._read_lag, passed, moved, settings.min_rate)
            if self._read_lag > _ALLOWANCE_S * settings.min_rate:
                return "slow_body"
        buffered = self.transport.get_write_buffer_size()
        if buffered:
            taken = max(0, self._buffered - buffered)
            self._write_lag = _lag(self._write_lag, passed, taken, settings.min_rate)
            if self._write_lag > _ALLOWANCE_S * settings.min_rate:
                return "slow_reader"
        else:
            self._write_lag = 0.0
        self._buffered = buffered
        if self._answering:
            # What a client sends ahead waits for the answer before it.
            self._head_since = now if self._head_since is not None else None
        elif self._head_since is not None and now - self._head_since > settings.header_timeout_s:
            return "slow_head"
        return None

    def _end(self, reason: str, answer: bytes) -> None:
        self.all.ended(reason)
        self._refuse(answer)

    def _refuse(self, answer: bytes) -> None:
        # An answer to an earlier request is never mixed with this one.
        if answer and not self._answering:
            self.transport.write(answer)
        self.transport.close()


def _lag(lag: float, passed: float, moved: int, rate: int) -> float:
    return max(-_CREDIT_S * rate, lag + passed * rate - moved) if rate else 0.0


class BoundedServer(uvicorn.Server):
    """Sweeps its connections once a second.

    Args:
        config: from `server_config`.
        connections: of this server.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self._swept: float | None = None

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % _SWEEP_TICKS == 0:
            now = asyncio.get_running_loop().time()
            self._connections.sweep(now, now - (self._swept or now))
            self._swept = now
        return await super().on_tick(counter)


def server_config(app: Any, connections: Connections, host: str, port: int) -> uvicorn.Config:
    """How a node serves HTTP.

    Args:
        app: the ASGI application.
        connections: with the limits.
        host: to listen on.
        port: to listen on; 0 lets the system choose.
    """
    settings = connections.settings
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        http=connections.protocol(),  # type: ignore[arg-type]
        ws="none",
        # Else X-Forwarded-For would be believed from this machine; `Sources` says from whom it is.
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=settings.idle_timeout_s,
        timeout_graceful_shutdown=settings.stop_grace_s,
    )
