"""The witness over HTTP: `add-checkpoint`, the newest checkpoint for monitors, and what it mirrors.

Source: C2SP tlog-witness, "HTTP Interface"; docs/spec/witness.md §4, §5.6.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countermark_protocol.answer_headers import with_security_headers
from countermark_protocol.tlog_witness import ADD_CHECKPOINT_PATH, MAX_REQUEST_BYTES
from countermark_witness.mirror_app import mirror_routes
from countermark_witness.mirror_store import MirrorStore
from countermark_witness.service import Answer, Witness

#: s within which a request's body must have come.
BODY_TIMEOUT_S: Final = 10


def build_app(witness: Witness, mirror: MirrorStore | None = None) -> Starlette:
    """The ASGI application of a witness.

    Args:
        witness: that answers.
        mirror: of the logs that it mirrors too; None if it mirrors none.
    """

    async def add_checkpoint(request: Request) -> Response:
        body = await _read_body(request)
        if isinstance(body, Response):
            return body
        return _response(await run_in_threadpool(witness.add_checkpoint, body))

    async def newest(request: Request) -> Response:
        return _response(await run_in_threadpool(witness.newest, request.path_params["hashed"]))

    return Starlette(
        routes=[
            Route(ADD_CHECKPOINT_PATH, add_checkpoint, methods=["POST"]),
            Route("/{hashed}/checkpoint", newest, methods=["GET"]),
            *(mirror_routes(mirror) if mirror is not None else ()),
        ],
        middleware=[Middleware(_SecurityHeaders)],
    )


class _SecurityHeaders:
    """Security headers on every answer (docs/spec/api.md §1.7)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_security_headers(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, adding)


def _response(answer: Answer) -> Response:
    # As a header, since Starlette would put a charset behind every other text type.
    return Response(answer.body, answer.status, headers={"Content-Type": answer.media_type})


async def _read_body(request: Request) -> bytes | Response:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for block in request.stream():
                body += block
                if len(body) > MAX_REQUEST_BYTES:
                    return Response("the request is too large\n", 413, headers={"Connection": "close"})
    except TimeoutError:
        return Response("the request took too long\n", 408, headers={"Connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)  # to nobody
    return bytes(body)
