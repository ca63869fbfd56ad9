"""Security headers on every answer, whatever it answers.

Source: docs/spec/api.md §1.7.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countermark_protocol.answer_headers import with_security_headers


class SecurityHeaders:
    """Adds them, around all that answers.

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

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_security_headers(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, adding)


def header_lines() -> tuple[str, ...]:
    """The same for answers that are written without the application."""
    return tuple(f"{name.decode()}: {value.decode()}" for name, value in with_security_headers(()))
