"""Around every request: the access log, and the last resort for defects. Neither shows secrets.

A plain ASGI callable: it must see also what the framework's own handlers do not.
"""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countermark_broker.api.errors import internal_problem, problem_response
from countermark_broker.logs import request_scope

_access = logging.getLogger("countermark_broker.access")
_log = logging.getLogger(__name__)

#: On every answer: by it an operator finds the lines of one request.
REQUEST_HEADER = b"x-request-id"


class AccessLog:
    """Logs method, path, status and duration; never bodies, headers or queries.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with request_scope() as name:
            await self._answer(scope, receive, send, name.encode())

    async def _answer(self, scope: Scope, receive: Receive, send: Send, name: bytes) -> None:
        began, status = time.monotonic(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_HEADER, name)]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # noqa: BLE001  a defect is logged here and told to nobody
            _log.exception("a defect while answering %s", scope["method"])
            if status == 0:
                await problem_response(internal_problem())(scope, receive, watched)
        finally:
            path = scope["path"].encode("unicode_escape").decode("ascii")[:200]
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            fields = {"method": scope["method"], "path": path, "status": status, "milliseconds": milliseconds}
            _access.info("%s %s %d %.1f ms", *fields.values(), extra=fields)
