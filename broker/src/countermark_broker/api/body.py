"""Request bodies: bounded while they stream in, each and all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from countermark_broker.errors import OverloadedError
from countermark_protocol.encoding import malformed


class BodyBudget:
    """How many bytes of bodies may be in memory at once.

    Args:
        most: bytes.
        timeout_s: within which a body must have come; else a few idle connections would hold the memory of all.
    """

    def __init__(self, most: int, timeout_s: float = 600) -> None:
        self._most = most
        self._timeout_s = timeout_s
        self._used = 0

    @asynccontextmanager
    async def body_of(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body of a request, counted until its handling ends.

        Args:
            request: not read yet.
            limit: most bytes.

        Raises:
            MalformedError: ``oversized_body``, as soon as that is known; ``truncated_body``.
            OverloadedError: too many bodies are in memory.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 12 or int(declared) > limit):
            self._oversized(limit)
        parts: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    async for part in request.stream():
                        size += len(part)
                        self._used += len(part)
                        if size > limit:
                            self._oversized(limit)
                        if self._used > self._most:
                            raise OverloadedError("overloaded", "too many requests are being read")
                        parts.append(part)
            except ClientDisconnect:
                malformed("truncated_body", "the connection ended within the body")
            except TimeoutError:
                malformed("truncated_body", f"the body did not come within {self._timeout_s} s")
            yield b"".join(parts)
        finally:
            self._used -= size

    @staticmethod
    def _oversized(limit: int) -> None:
        malformed("oversized_body", f"expected a body of at most {limit} bytes", limit=limit)
