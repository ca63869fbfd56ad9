"""What a log serves by tiles, over HTTP, within bounds. Nothing that it gives is believed (`tile_reader`).

Source: C2SP tlog-tiles; docs/spec/witness.md §7.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Callable
from typing import Final

import httpx

from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.errors import NotFoundError, TransportError
from countermark_protocol.tiles import MAX_ENTRY_BYTES, TILE_WIDTH

#: s to connect, and to wait for the next bytes.
TIMEOUT_S: Final = 15.0
#: s that one answer may take in all: a log that drips must not hold a thread for ever.
DEADLINE_S: Final = 60.0
MAX_TILE_BYTES: Final = TILE_WIDTH * DIGEST_BYTES
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
_GONE: Final = frozenset({404, 410})


class LogReader:
    """Fetches tiles and bundles of one log.

    Args:
        url: prefix below which the log serves them.
        ca_file: certificates of the authority to trust for TLS; None for the system's.
        transport: of httpx, in tests; None for the network.
        clock: s, never going back.

    Raises:
        OSError: the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        ca_file: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = url.rstrip("/")
        self._clock = clock
        self._http = httpx.Client(
            transport=transport,
            verify=ssl.create_default_context(cafile=ca_file) if ca_file else True,
            timeout=TIMEOUT_S,
            headers={"Accept-Encoding": "gzip, identity"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def fetch(self, path: str) -> bytes:
        """What is served at a path below the prefix.

        Raises:
            NotFoundError: ``tile_not_served``.
            TransportError: ``log_unreachable``, ``log_status``, ``log_answer``: the same may be asked again later.
        """
        try:
            with self._http.stream("GET", f"{self._prefix}/{path}") as answer:
                if answer.status_code in _GONE:
                    raise NotFoundError("tile_not_served", f"the log serves nothing at {path}")
                if answer.status_code != httpx.codes.OK:
                    raise TransportError(
                        "log_status", f"expected {path} of the log, got {answer.status_code}"
                    )
                return self._read(answer, path)
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise TransportError(
                "log_unreachable", f"the log could not be reached ({type(error).__name__})"
            ) from error

    def _read(self, answer: httpx.Response, path: str) -> bytes:
        most = MAX_BUNDLE_BYTES if path.startswith("tile/entries/") else MAX_TILE_BYTES
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"gzip", "identity"}:
            raise TransportError("log_answer", f"expected gzip or identity of the log, got {encoding[:20]!r}")
        # Not httpx's own: it unpacks a block whole, whatever its size becomes.
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
        began, data = self._clock(), bytearray()
        for block in answer.iter_raw():
            try:
                data += block if unpack is None else unpack.decompress(block, most + 1 - len(data))
            except zlib.error:
                raise TransportError("log_answer", f"what the log serves at {path} is not gzip") from None
            if len(data) > most:
                raise TransportError("log_answer", f"expected at most {most} bytes at {path} of the log")
            if self._clock() - began > DEADLINE_S:
                raise TransportError("log_answer", f"the log took more than {DEADLINE_S:.0f} s for {path}")
        if unpack is not None and not unpack.eof:
            raise TransportError("log_answer", f"what the log serves at {path} is cut short")
        return bytes(data)
