"""Request bodies: bounded while they stream in, each and all together.

No source may have more than is left for all others: however many have as much as they may, as much again is free.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from countermark_broker.api.limits import source_of
from countermark_broker.errors import OverloadedError
from countermark_broker.log.verifier import Source
from countermark_protocol.encoding import malformed

T = TypeVar("T")


class BodyBudget:
    """How many bytes of bodies may be in memory at once.

    Args:
        most: bytes.
        most_each: bytes of one source; None: all.
        timeout_s: within which a body must have come; else a few idle connections would hold the memory of all.
    """

    def __init__(self, most: int, timeout_s: float = 600, most_each: int | None = None) -> None:
        self._most = most
        self._most_each = min(most, most_each or most)
        self._timeout_s = timeout_s
        self._used = 0
        self._used_by: Counter[Source] = Counter()

    def take(self, source: Source, size: int) -> None:
        """Count bytes that are in memory; to be given back whether or not this raises.

        Raises:
            OverloadedError: too many are, of this source or of all.
        """
        self._used += size
        self._used_by[source] += size
        if self._used_by[source] > self._most_each:
            raise OverloadedError(
                "too_much_body", "too many bytes from your network address are being read at once"
            )
        if self._used_by[source] > self._most - self._used:
            raise OverloadedError("overloaded", "too many requests are being read")

    def give_back(self, source: Source, size: int) -> None:
        """These bytes are in memory no more."""
        self._used -= size
        self._used_by[source] -= size
        if not self._used_by[source]:
            del self._used_by[source]

    @asynccontextmanager
    async def body_of(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body of a request, counted until its handling ends.

        Args:
            request: not read yet.
            limit: most bytes.

        Raises:
            MalformedError: ``oversized_body``, as soon as that is known; ``truncated_body``.
            OverloadedError: too many bodies are in memory, of all or of one source.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 12 or int(declared) > limit):
            self._oversized(limit)
        source = source_of(request)
        # It gives away what it has gathered without copying: a body is in memory once.
        gathered = BytesIO()
        size = 0

        async def read() -> None:
            nonlocal size
            async for part in request.stream():
                size += len(part)
                self.take(source, len(part))
                if size > limit:
                    self._oversized(limit)
                gathered.write(part)

        try:
            try:
                await self.within(read())
            except ClientDisconnect:
                malformed("truncated_body", "the connection ended within the body")
            body = gathered.getvalue()
            gathered.close()
            yield body
        finally:
            self.give_back(source, size)

    async def within(self, reading: Awaitable[T]) -> T:
        """The result of reading a body, or a submission of a stream, that comes in time.

        Raises:
            MalformedError: ``truncated_body``.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await reading
        except TimeoutError:
            malformed("truncated_body", f"the body did not come within {self._timeout_s} s")

    @staticmethod
    def _oversized(limit: int) -> None:
        malformed("oversized_body", f"expected a body of at most {limit} bytes", limit=limit)
