"""Connections over real sockets: what is no HTTP, what is too large, too slow or too many, and what is not."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from countermark_broker.api.connections import (
    MAX_AHEAD,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    BoundedServer,
    Connections,
    server_config,
)
from countermark_broker.config import Settings
from countermark_broker.metrics import Metrics

GET = b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /here HTTP/1.1\r\nHost: a\r\n"


class App:
    """Answers with what it read; holds the answer back, or does not read, where the path says so."""

    def __init__(self):
        self.calls, self.release = 0, asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.calls += 1
        body, more = b"", scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        if scope["path"] == "/held":
            await self.release.wait()
        answer = b"x" * 20_000_000 if scope["path"] == "/large" else b"%d" % len(body)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


class Served:
    def __init__(self, connections, app, port, metrics):
        self.connections, self.app, self.port, self._metrics = connections, app, port, metrics

    async def connect(self, source="127.0.0.1"):
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    async def exchange(self, data, source="127.0.0.1"):
        """Send, and read until the other side ends or 200 was answered; what was answered."""
        reader, writer = await self.connect(source)
        writer.write(data)
        try:
            async with asyncio.timeout(20):
                return await read_answer(reader)
        finally:
            writer.close()

    def sweep(self, seconds):
        """As if so many seconds had passed."""
        self.connections.sweep(asyncio.get_running_loop().time() + seconds, seconds)

    def ended(self, limit):
        return self._metrics.registry.get_sample_value(
            "countermark_connections_ended_total", {"limit": limit}
        )

    async def until(self, condition):
        while not condition():
            await asyncio.sleep(0.005)


async def read_answer(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        return int(head.split()[1]), head, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b"", b""


@pytest.fixture
def serve(tmp_path):
    (tmp_path / "broker.toml").write_text('origin = "log.example.org"\nauthorities = ["a.example.org"]\n')

    @asynccontextmanager
    async def start(**settings):
        metrics, app = Metrics(), App()
        connections = Connections(Settings(home=tmp_path, **settings), metrics)
        server = BoundedServer(server_config(app, connections, "127.0.0.1", 0), connections)
        task = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(connections, app, port, metrics)
        app.release.set()
        server.should_exit = True
        await task
        assert len(connections) == 0

    return start


async def test_ordinary_requests(serve):
    async with serve() as served:
        assert (await served.exchange(GET))[::2] == (200, b"0")
        assert (await served.exchange(POST + b"Content-Length: 5\r\n\r\nhello"))[::2] == (200, b"5")
        chunked = (
            b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096 + b"\r\n5;ext=1\r\nhello\r\n0\r\n\r\n"
        )
        assert (await served.exchange(POST + chunked))[::2] == (200, b"4101")
        large = 3_000_000
        assert (await served.exchange(POST + b"Content-Length: %d\r\n\r\n" % large + b"x" * large))[
            2
        ] == b"3000000"
        most = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(MAX_HEADERS - 1))
        assert (await served.exchange(most + b"\r\n"))[0] == 200


@pytest.mark.parametrize(
    "data",
    {
        "one header": GET[:-2] + b"x: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        "many headers": GET[:-2] + b"".join(b"h%d: v\r\n" % n for n in range(MAX_HEADERS)) + b"\r\n",
        "all together": GET[:-2] + b"".join(b"h%d: %s\r\n" % (n, b"v" * 1000) for n in range(50)) + b"\r\n",
        "target": b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "name": GET[:-2] + b"a" * MAX_HEAD_BYTES + b": x\r\n\r\n",
    }.items(),
    ids=lambda item: item[0],
)
async def test_oversized_heads_are_refused(serve, data):
    async with serve() as served:
        status, _, body = await served.exchange(data[1])
        assert (status, json.loads(body)["code"]) == (431, "oversized_head")
        assert served.app.calls == 0
        assert served.ended("oversized_head") == 1


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a" * 4096),
        (GET[:-2] + b"x: ", b"a" * 4096),
        (GET[:-2], b"a" * 4096),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a" * 4096),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 700),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx: ", b"a" * 4096),
        (b"", b"\r\n" * 2048),
    ],
    ids=["target", "value", "name", "chunk extension", "tiny chunks", "trailer", "empty lines"],
)
async def test_what_never_ends_is_ended(serve, begin, piece):
    """However slowly it comes, no more than a bound is ever kept of it."""
    async with serve() as served:
        reader, writer = await served.connect()
        writer.write(begin)
        sent = 0
        try:
            while not reader.at_eof() and sent < 4_000_000:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        assert sent < 4_000_000
        await served.until(lambda: len(served.connections) == 0)
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: 5, 5\r\n\r\nhello",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nSignature: late\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n x: folded\r\nx\x00y: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        bytes(range(256)),
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_ended(serve, data):
    """Two parsers that understand one of these differently would let requests be smuggled past the first."""
    async with serve() as served:
        reader, writer = await served.connect()
        writer.write(data)
        async with asyncio.timeout(20):
            answer = await reader.read()
        assert not answer or json.loads(answer.split(b"\r\n\r\n")[1])["code"] == "bad_request"
        assert b" 200 " not in answer
        assert served.ended("not_http") == 1
        writer.close()


async def test_requests_ahead_are_answered_in_order_and_bounded(serve):
    async with serve() as served:
        reader, writer = await served.connect()
        bodies = [POST + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in range(MAX_AHEAD)]
        writer.write(b"".join(bodies))
        assert [(await read_answer(reader))[2] for _ in bodies] == [b"%d" % n for n in range(MAX_AHEAD)]
        writer.write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n" + GET * 1000)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        assert served.ended("too_far_ahead") == 1
        assert served.app.calls <= MAX_AHEAD + 1
        writer.close()


async def test_connections_of_one_address_are_bounded(serve):
    async with serve(max_connections_each=3) as served:
        held = [await served.connect() for _ in range(3)]
        await served.until(lambda: len(served.connections) == 3)
        status, head, body = await served.exchange(GET)
        assert (status, json.loads(body)["code"]) == (429, "too_many_connections")
        assert b"retry-after: 1" in head
        assert served.ended("too_many_each") == 1
        assert (await served.exchange(GET, "127.0.0.2"))[0] == 200
        held.pop()[1].close()
        await served.until(lambda: len(served.connections) == 2)
        assert (await served.exchange(GET))[0] == 200
        for _, writer in held:
            writer.close()


async def test_a_trusted_balancer_may_have_more(serve):
    async with serve(max_connections_each=1, trusted_proxies=["127.0.0.1"]) as served:
        held = [await served.connect() for _ in range(5)]
        assert (await served.exchange(GET))[0] == 200
        for _, writer in held:
            writer.close()


async def test_connections_are_bounded_altogether(serve):
    async with serve(max_connections=8) as served:
        held = [await served.connect(f"127.0.0.{n + 1}") for n in range(8)]
        await served.until(lambda: len(served.connections) == 8)
        assert (await served.exchange(GET, "127.0.0.99"))[0] == 429
        for _, writer in held:
            writer.close()


async def test_a_few_addresses_cannot_take_all_connections(serve):
    async with serve(max_connections=12, max_connections_each=6) as served:
        held = [await served.connect(f"127.0.0.{n % 3 + 1}") for n in range(30)]
        await served.until(lambda: served.ended("too_many") == 30 - len(served.connections))
        assert len(served.connections) == 9
        assert (await served.exchange(GET, "127.0.0.99"))[0] == 200
        for _, writer in held:
            writer.close()


async def test_a_head_that_does_not_come_ends_the_connection(serve):
    async with serve(header_timeout_s=20) as served:
        nothing, half, between = [await served.connect() for _ in range(3)]
        half[1].write(GET[:-5])
        between[1].write(GET)
        assert (await read_answer(between[0]))[0] == 200
        # Uvicorn's own timer for idle connections forgets itself at the first byte.
        between[1].write(b"\r\n")
        await served.until(lambda: sum(c._received > 0 for c in served.connections._open) == 2)
        served.sweep(19)
        assert len(served.connections) == 3
        served.sweep(21)
        for reader, writer in (nothing, half, between):
            assert (await read_answer(reader))[0] == 0
            writer.close()
        assert served.ended("slow_head") == 3


async def test_a_body_that_trickles_ends_the_connection(serve):
    async with serve(min_rate=1000) as served:
        reader, writer = await served.connect()
        writer.write(POST + b"Content-Length: 1000000\r\n\r\n")
        await served.until(lambda: served.app.calls == 1)
        for _ in range(29):
            served.sweep(1)
        assert len(served.connections) == 1
        for _ in range(2):
            served.sweep(1)
        assert (await read_answer(reader))[0] == 0
        assert served.ended("slow_body") == 1
        writer.close()


async def test_a_slow_but_steady_body_comes_through(serve):
    async with serve(min_rate=1000) as served:
        reader, writer = await served.connect()
        writer.write(POST + b"Content-Length: 60000\r\n\r\n")
        await served.until(lambda: served.app.calls == 1)
        for _ in range(60):
            (connection,) = served.connections._open
            before = connection._moved
            writer.write(b"x" * 1000)
            await served.until(
                lambda before=before, c=connection: c._moved >= before + 1000 or not c._in_body
            )
            served.sweep(1)
        assert (await read_answer(reader))[::2] == (200, b"60000")
        writer.close()


async def test_who_waits_for_an_answer_is_not_ended(serve):
    """A long-poll is silent for a minute."""
    async with serve() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        await served.until(lambda: served.app.calls == 1)
        for _ in range(100):
            served.sweep(10)
        served.app.release.set()
        assert (await read_answer(reader))[0] == 200
        writer.close()


async def test_who_does_not_read_his_answer_is_ended(serve):
    async with serve(min_rate=1000) as served:
        reader, writer = await served.connect()
        reader._transport.pause_reading()
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await served.until(lambda: any(c.transport.get_write_buffer_size() for c in served.connections._open))
        served.sweep(0.1)
        for _ in range(400):
            served.sweep(1)
        await served.until(lambda: len(served.connections) == 0)
        assert served.ended("slow_reader") == 1
        writer.transport.abort()


async def test_a_body_that_nobody_reads_is_not_taken_for_ever(serve):
    async with serve() as served:
        reader, writer = await served.connect()
        writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        sent = 0
        try:
            while not reader.at_eof() and sent < 50_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            pass
        assert sent < 50_000_000
        assert served.ended("unread_body") == 1
        writer.close()
