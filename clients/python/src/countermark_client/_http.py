"""httpx in, `TransportError` out: no other exception of the transport leaves a client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx

from countermark_client._io import Request, Response
from countermark_protocol.errors import TransportError

#: An answer larger than this is not one of ours; it is cut off while it is read.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn everything httpx raises into `TransportError`; texts are ours, since theirs may hold URLs."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise TransportError(
            "timeout", f"the broker did not answer in time ({type(error).__name__})"
        ) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.CookieConflict) as error:
        raise TransportError("bad_request", f"the request cannot be made ({type(error).__name__})") from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise TransportError(
            "broker_unreachable", f"the broker could not be reached ({type(error).__name__})"
        ) from error


def build(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    """The httpx form of a request: exactly the target that was signed."""
    return client.build_request(
        request.method,
        request.target,
        content=request.body,
        headers=dict(request.headers),
        timeout=httpx.Timeout(request.timeout, connect=min(request.timeout, 10.0)),
    )


def result(response: httpx.Response, body: bytes) -> Response:
    """The core's form of an answer."""
    return Response(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


class Gatherer:
    """Puts an answer together, up to `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take in the next chunk."""
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            raise TransportError("unusable_answer", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        self._chunks.append(chunk)

    def done(self) -> bytes:
        """The whole body."""
        return b"".join(self._chunks)
