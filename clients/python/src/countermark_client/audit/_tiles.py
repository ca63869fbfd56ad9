"""What a log, or a mirror of it, serves by tiles, over HTTP; `VerifiedTiles` is what believes none of it.

Source: C2SP tlog-tiles; docs/spec/log.md §1.4.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import httpx

from countermark_client._http import Gatherer, mapped_errors, tls
from countermark_protocol.errors import NotFoundError, TransportError

_OK: Final = 200
_GONE: Final = frozenset({404, 410})


class HttpTiles:
    """Fetches checkpoint, tiles and bundles of one log over HTTP. What it gives is *unverified*.

    Args:
        prefix: URL below which the log is served, e.g. ``https://broker.example.org/v1/log``.
        transport: of httpx, in tests; None for the network.
        verify: True, or the path of the certificate of the authority to trust for TLS.
        timeout: seconds to connect, and to wait for the next bytes.
    """

    def __init__(
        self,
        prefix: str,
        *,
        transport: httpx.BaseTransport | None = None,
        verify: bool | str = True,
        timeout: float = 30.0,
    ) -> None:
        self._prefix = prefix.rstrip("/")
        self._http = httpx.Client(
            transport=transport,
            verify=tls(verify),
            timeout=timeout,
            headers={"Accept-Encoding": "gzip, identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def checkpoint(self) -> bytes:
        """The newest checkpoint, as served: for `checkpoint.parse_checkpoint` and `verify_checkpoint`."""
        return self.fetch("checkpoint")

    def fetch(self, path: str) -> bytes:
        """What is served at a path below the prefix.

        Raises:
            NotFoundError: ``tile_not_served``.
            TransportError: no answer, or none that can be used; the same may be asked again later.
        """
        gatherer = Gatherer()
        with mapped_errors(), self._http.stream("GET", f"{self._prefix}/{path}") as answer:
            if answer.status_code in _GONE:
                raise NotFoundError("tile_not_served", f"the log serves nothing at {path}")
            if answer.status_code != _OK:
                raise TransportError(
                    "unusable_answer", f"expected {path} of the log, got status {answer.status_code}"
                )
            for chunk in answer.iter_bytes():
                gatherer.add(chunk)
        return gatherer.done()
