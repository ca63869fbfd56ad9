"""Carries the requests of clients to a broker's port, which changes with every start."""

from __future__ import annotations

import httpx

#: Headers of an answer that is unpacked on the way.
GONE = frozenset({"content-length", "content-encoding"})


class Forwarding(httpx.BaseTransport):
    """For the broker's name.

    Attributes:
        port: where it listens now; 0 while it is away.
    """

    def __init__(self) -> None:
        self.port = 0
        self._to = httpx.HTTPTransport()

    def close(self) -> None:
        """Clients close what they were given; the connections are the test's."""

    def end(self) -> None:
        """Close the connections."""
        self._to.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.port:
            raise httpx.ConnectError("the broker is away")
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        answer = self._to.handle_request(
            httpx.Request(request.method, url, headers=request.headers, content=request.read())
        )
        body = answer.read()
        headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in GONE]
        answer.close()
        return httpx.Response(answer.status_code, headers=headers, content=body)
