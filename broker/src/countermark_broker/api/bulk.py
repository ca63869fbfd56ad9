"""Bulk submission over HTTP: the request is read and answered at the same time.

Source: docs/spec/api.md §3.11.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from countermark_broker.api.body import BodyBudget
from countermark_broker.api.errors import internal_problem, problem_of
from countermark_broker.api.limits import source_of
from countermark_broker.errors import OverloadedError
from countermark_broker.log.verifier import Source
from countermark_broker.services.accept import Answer
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.bulk import Verdict, accept_bulk
from countermark_broker.services.node import Node
from countermark_protocol.bulk import BulkVerdict, FrameReader, encode_bulk_checkpoint
from countermark_protocol.errors import CountermarkError, MalformedError

_log = logging.getLogger(__name__)

BULK_TYPE: Final = "application/jsonl"
#: Bytes of submissions without a verdict beyond which the sender is held back.
_MOST_HELD: Final = 8 * 1024 * 1024
#: Bytes of verdicts that are kept for a client that does not read: of 10,000 messages to two, thrice over.
_MOST_UNREAD: Final = 32 * 1024 * 1024
#: Of a submission's length, before it in the stream.
_PREFIX_BYTES: Final = 4


class BulkResponse(Response):
    """Reads the request and writes the answer at once; `Response` itself would read one and then write the other.

    Args:
        node: this node.
        budget: of bytes in memory.
        request: nothing of it is read yet.
    """

    media_type = BULK_TYPE

    def __init__(self, node: Node, budget: BodyBudget, request: Request) -> None:
        super().__init__()
        # Its length is not known; without this header it is sent in chunks.
        del self.headers["content-length"]
        self._node = node
        self._budget = budget
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        number, checkpoint = 0, b""
        # Closed whatever happens to the connection: else reading it would go on unseen.
        source = source_of(self._request)
        frames = Frames(self._budget, self._request)
        answers = _Answers(self._budget, source, send)
        verdicts = accept_bulk(self._node, frames.read(), source)
        try:
            async for part in verdicts:
                lines = []
                for verdict in part:
                    if isinstance(verdict, Answer) and verdict.accepted.checkpoint != checkpoint:
                        checkpoint = verdict.accepted.checkpoint
                        lines.append(encode_bulk_checkpoint(checkpoint))
                    lines.append(self._line(number, verdict))
                    number += 1
                frames.answered(len(part))
                await answers.put(b"".join(line + b"\n" for line in lines))
            await answers.taken()
        finally:
            await verdicts.aclose()
            await frames.close()
            await answers.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _line(self, number: int, verdict: Verdict) -> bytes:
        if isinstance(verdict, Answer):
            return BulkVerdict(number, 201 if verdict.fresh else 200, verdict.accepted).encode()
        if isinstance(verdict, CountermarkError | NegativeAnswer):
            problem = problem_of(verdict)
        else:
            _log.error("a defect while answering a part of a stream", exc_info=verdict)
            problem = internal_problem()
        self._node.metrics.refused.labels(problem.code).inc()
        return BulkVerdict(number, problem.status, problem=problem).encode()


class _Answers:
    """Verdicts on their way to a client that may read none before it has sent everything.

    They are kept meanwhile, counted like bodies. Where there is no room left for that, the sender is held back by
    them after all.

    Args:
        budget: of bytes in memory.
        source: whose they are.
        send: to the client.
    """

    def __init__(self, budget: BodyBudget, source: Source, send: Send) -> None:
        self._budget = budget
        self._source = source
        self._send = send
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._held = 0
        self._task = asyncio.create_task(self._write(), name="answers")

    async def put(self, lines: bytes) -> None:
        """Send as soon as the client takes it."""
        self._held += len(lines)
        self._lines.put_nowait(lines)
        try:
            self._budget.take(self._source, len(lines))
            full = self._held > _MOST_UNREAD
        except OverloadedError:
            full = True
        if full:
            await self.taken()

    async def taken(self) -> None:
        """Return once the client has taken everything."""
        joining = asyncio.create_task(self._lines.join())
        try:
            await asyncio.wait((joining, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            joining.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Send no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._budget.give_back(self._source, self._held)
        self._held = 0

    async def _write(self) -> None:
        while True:
            lines = await self._lines.get()
            await self._send({"type": "http.response.body", "body": lines, "more_body": True})
            self._held -= len(lines)
            self._budget.give_back(self._source, len(lines))
            self._lines.task_done()


class Frames:
    """The submissions of a request's body, as they arrive.

    Whatever of it is in memory is counted: the beginning of a submission, and all those that have no verdict yet.

    Args:
        budget: of bytes in memory.
        request: not read yet.
    """

    def __init__(self, budget: BodyBudget, request: Request) -> None:
        self._budget = budget
        self._request = request
        self._source = source_of(request)
        self._ready: list[bytes] = []
        # Sizes of those that have no verdict, their sum, and what is counted of the body in all.
        self._waiting: deque[int] = deque()
        self._held = 0
        self._counted = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._ended: Exception | bool = False
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> AsyncIterator[list[bytes]]:
        """All that has arrived since the last time.

        Raises:
            MalformedError: a frame is too large, does not come, or the body ends within one.
            OverloadedError: too many bytes are in memory.
        """
        self._task = asyncio.create_task(self._fill(), name="frames")
        while True:
            if not self._ended:
                await self._news.wait()
                self._news.clear()
            ready, self._ready = self._ready, []
            if ready:
                yield ready
            if self._ended and not self._ready:
                # What was wrong with the body itself is raised after all that came before it.
                if isinstance(self._ended, Exception):
                    raise self._ended
                return

    def answered(self, count: int) -> None:
        """The next submissions have their verdicts."""
        # The last verdict may be on the stream itself.
        size = sum(self._waiting.popleft() for _ in range(min(count, len(self._waiting))))
        self._held -= size
        self._counted -= size
        self._budget.give_back(self._source, size)
        self._room.set()

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._budget.give_back(self._source, self._counted)
        self._counted = 0

    async def _fill(self) -> None:
        reader = FrameReader()
        chunks = aiter(self._request.stream())
        try:
            while await self._budget.within(self._next(reader, chunks)):
                while self._held > _MOST_HELD:
                    self._room.clear()
                    await self._room.wait()
            reader.end()
            self._ended = True
        except ClientDisconnect:
            self._ended = MalformedError("truncated_body", "the connection ended within the body")
        except Exception as error:  # noqa: BLE001  raised where the submissions are read
            self._ended = error
        finally:
            self._news.set()

    async def _next(self, reader: FrameReader, chunks: AsyncIterator[bytes]) -> bool:
        """Read until a submission has come, or more; whether the body goes on."""
        async for chunk in chunks:
            self._counted += len(chunk)
            self._budget.take(self._source, len(chunk))
            if frames := reader.feed(chunk):
                sizes = [_PREFIX_BYTES + len(frame) for frame in frames]
                self._ready += frames
                self._waiting += sizes
                self._held += sum(sizes)
                self._news.set()
                return True
        return False
