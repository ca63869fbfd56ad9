"""httpx in, `TransportError` out: no other exception of the transport leaves a client."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx

from countermark_client._io import Request, Response
from countermark_protocol.errors import TransportError, UncheckableError

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


#: True for the system's authorities, the path of an authority's certificate, or a context of `client_tls`.
Verify = bool | str | ssl.SSLContext


def client_tls(
    certificate: str, key: str | None = None, *, passphrase: str | None = None, authorities: str | None = None
) -> ssl.SSLContext:
    """TLS that shows a certificate of one's own, for a front that demands one (mutual TLS); it signs nothing.

    Args:
        certificate: path of a PEM file with the certificate and those above it, and, unless `key` is given, its key.
        key: path of a PEM file with the private key.
        passphrase: opens the private key; None if it is not encrypted.
        authorities: path of the certificate of the authority that signs the front's; None for the system's.

    Raises:
        UncheckableError: ``bad_client_certificate``: the files hold no certificate with its key, or do not open.
    """
    context = ssl.create_default_context(cafile=authorities)
    try:
        # A function, since the library would ask at the terminal by itself.
        context.load_cert_chain(certificate, key, password=lambda: passphrase or "")
    except (OSError, ValueError) as error:
        raise UncheckableError(
            "bad_client_certificate",
            f"expected a certificate and its private key in PEM, which opens, in {certificate}",
        ) from error
    return context


def tls(verify: Verify) -> bool | ssl.SSLContext:
    """What httpx takes: True, or a context that trusts one authority's certificate, or the one that is given."""
    if verify is False or (
        isinstance(verify, ssl.SSLContext)
        and (verify.verify_mode is not ssl.CERT_REQUIRED or not verify.check_hostname)
    ):
        msg = "certificates are always verified: give the path of the authority's certificate"
        raise ValueError(msg)
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify


#: A larger body is handed over in blocks: of one that it has whole, the transport copies the rest at every write.
_BLOCK_BYTES: Final = 64 * 1024


class _Blocks:
    """A body in blocks, once: it is let go of at its end, since requests of httpx live until the next collection."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._body), _BLOCK_BYTES):
            yield self._body[at : at + _BLOCK_BYTES]
        self._body = b""


class _AsyncBlocks:
    """The same, for an event loop."""

    def __init__(self, body: bytes) -> None:
        self._blocks = _Blocks(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            yield block


def build(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    """The httpx form of a request: exactly the target that was signed."""
    body, headers = request.body, dict(request.headers)
    content: bytes | _Blocks | _AsyncBlocks | None = body
    if body is not None and len(body) > _BLOCK_BYTES:
        content = _Blocks(body) if isinstance(client, httpx.Client) else _AsyncBlocks(body)
        headers["Content-Length"] = str(len(body))
    return client.build_request(
        request.method,
        request.target,
        content=content,
        headers=headers,
        timeout=httpx.Timeout(request.timeout, connect=min(request.timeout, 10.0)),
    )


def result(response: httpx.Response, body: bytes) -> Response:
    """The core's form of an answer."""
    return Response(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


class Lines:
    """Takes a streamed answer apart into lines of at most `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def add(self, chunk: bytes) -> None:
        """Take in the next chunk."""
        self._held += chunk

    def take(self) -> Response | None:
        """The next line, if it is there in full."""
        end = self._held.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._held)
            if len(self._held) > MAX_ANSWER_BYTES:
                raise TransportError("unusable_answer", f"a line is larger than {MAX_ANSWER_BYTES} bytes")
            return None
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        self._searched = 0
        return Response(200, {}, line)

    def end(self) -> None:
        """Check that the answer did not end within a line."""
        if self._held:
            raise TransportError("unusable_answer", "the answer was cut off within a line")


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
