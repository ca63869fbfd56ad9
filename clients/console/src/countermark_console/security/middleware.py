"""The outermost layer of the app: host, origin and size of every request; headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countermark_console.config import Settings
from countermark_console.errors import BodyTooLargeError, ConsoleError, DeniedError
from countermark_console.security.decisions import answer_headers, check_host, check_origin

#: Paths whose forms carry files.
UPLOADS: Final = ("/uploads/", "/setup/by-hand")
#: Makes the page of a refusal: (scope, error, status) → response.
Refuse = Callable[[Scope, ConsoleError, int], Response]


class GuardMiddleware:
    """Lets in what may come in.

    Args:
        app: to be guarded.
        settings: limits, and how browsers reach the console.
        refuse: makes the page of a refusal.
    """

    def __init__(self, app: ASGIApp, settings: Settings, refuse: Refuse) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        guarded = self._with_headers(path, send)
        headers = Headers(scope=scope)
        server = scope.get("server") or ("", 0)
        origins = self._settings.origins(server[1] or 0)
        try:
            check_host(headers.get("host", ""), origins)
            check_origin(scope["method"], headers.get("origin"), headers.get("sec-fetch-site"), origins)
        except DeniedError as error:
            await self._refuse(scope, error, 403)(scope, receive, guarded)
            return
        limit = self._settings.upload_bytes if path.startswith(UPLOADS) else self._settings.body_bytes
        if _declared(headers) > limit:
            await self._refuse(scope, too_large(limit), 413)(scope, receive, guarded)
            return
        await self._app(scope, _bounded(receive, limit), guarded)

    def _with_headers(self, path: str, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in answer_headers(path, secure=self._settings.secure):
                    headers[name] = value
            await send(message)

        return sending


def too_large(limit: int) -> BodyTooLargeError:
    """The refusal of a body."""
    return BodyTooLargeError("body_too_large", f"expected at most {limit} bytes", limit=limit)


def _declared(headers: Headers) -> int:
    try:
        return int(headers.get("content-length", "0"))
    except ValueError:
        return 0


def _bounded(receive: Receive, limit: int) -> Receive:
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise too_large(limit)
        return message

    return receiving
