"""An httpx transport, sync and async, that hands requests to a `TestBroker`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

from countermark_client.testing._broker import TestBroker
from countermark_client.testing._desk import Exchange


class _CutStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The beginning of an answer, and then a broken connection."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning

    def __iter__(self) -> Iterator[bytes]:
        yield self._beginning
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._beginning
        raise httpx.ReadError("connection reset")


class TestTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Carries requests to a broker in memory.

    Attributes:
        broker: who answers.
        cut: when set, the next requests fail as a broken connection does: ``before`` the broker sees them,
            ``after`` it has decided and its answer is lost, or after a number of bytes of its answer. Each failure
            takes one element; ``""`` lets a request pass.
    """

    __test__ = False  # pytest: not a test class

    def __init__(self, broker: TestBroker) -> None:
        self.broker = broker
        self.cut: list[str | int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        cut = self.cut.pop(0) if self.cut else None
        if cut == "before":
            raise httpx.ConnectError("connection refused", request=request)
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        exchange = Exchange(
            method=request.method,
            authority=request.headers.get("host", ""),
            path=path,
            query=query,
            headers=tuple((k.lower(), v) for k, v in request.headers.multi_items()),
            body=body,
        )
        status, headers, answer = self.broker.handle(exchange)
        if cut == "after":
            raise httpx.ReadError("connection reset", request=request)
        if isinstance(cut, int):
            return httpx.Response(status, headers=headers, stream=_CutStream(answer[:cut]), request=request)
        return httpx.Response(status, headers=headers, content=answer, request=request)
