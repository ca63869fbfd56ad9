"""Every refusal and failure as a page in plain words."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from countermark_console.errors import (
    BodyTooLargeError,
    ConsoleError,
    DeniedError,
    LockedError,
    SignInError,
    SignInNeededError,
    TooManyError,
)
from countermark_console.people.sessions import Stage
from countermark_console.texts import N_
from countermark_console.web.pages import go, page
from countermark_console.web.visitor import visitor_of
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError

_TITLES: Final = {
    400: N_("That did not work"),
    403: N_("You may not do that"),
    404: N_("There is no such page"),
    405: N_("That did not work"),
    413: N_("That is too large"),
    429: N_("Too many attempts"),
    502: N_("The broker cannot be reached"),
    500: N_("Something went wrong here"),
}
_STATUS: Final = (
    (TooManyError, 429),
    (DeniedError, 403),
    (SignInError, 403),
    (BodyTooLargeError, 413),
    (NotFoundError, 404),
    (TransportError, 502),
    (CountermarkError, 400),
)


def refusal_page(_scope: Scope, error: ConsoleError, status: int) -> Response:
    """The page of a refusal before anything of the request is believed: plain text."""
    return PlainTextResponse(f"{error.message}\n", status)


def failure_page(request: Request, status: int, message: str = "", **values: object) -> Response:
    """A page about what went wrong."""
    return page(
        request,
        "failure.html",
        status,
        title=_TITLES.get(status, _TITLES[400]),
        message=message,
        code=status,
        **values,
    )


def on_error(request: Request, error: Exception) -> Response:
    """The answer to an error of ours."""
    if isinstance(error, SignInNeededError):
        return _to_sign_in(request)
    if isinstance(error, LockedError):
        target = request.url.path if request.method == "GET" else "/"
        return go(f"/keys/unlock?then={quote(target)}")
    assert isinstance(error, CountermarkError)
    status = _status_of(error)
    response = failure_page(
        request, status, error.message, wait_s=error.facts.get("wait_s"), reference=error.code
    )
    if isinstance(error, TooManyError):
        response.headers["retry-after"] = str(error.facts["wait_s"])
    return response


def _status_of(error: Exception) -> int:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 400


def _to_sign_in(request: Request) -> Response:
    visitor = visitor_of(request)
    if visitor.session is not None and visitor.session.stage is not Stage.COMPLETE:
        target = "/sign-in/code" if visitor.session.stage is Stage.SECOND_FACTOR else "/sign-in/second-factor"
    elif not visitor.console.people.any():
        target = "/setup"
    else:
        whole = request.url.path if request.method == "GET" and not request.headers.get("hx-request") else "/"
        target = "/sign-in" if whole == "/" else f"/sign-in?then={quote(whole)}"
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"hx-redirect": target})
    return go(target)


def on_http_error(request: Request, error: Exception) -> Response:
    """The answer where there is no such page, or not by that method."""
    assert isinstance(error, HTTPException)
    return failure_page(request, error.status_code)


def on_failure(request: Request, _error: Exception) -> Response:
    """The answer to a defect. The server logs it with its trace; it is shown without."""
    return failure_page(request, 500)


def on_left(_request: Request, _error: Exception) -> Response:
    """The browser went away in the middle of what it sent: nobody reads this."""
    return Response(status_code=400)


def add_failures(app: FastAPI) -> None:
    """Have the app answer errors with pages."""
    app.add_exception_handler(ClientDisconnect, on_left)
    app.add_exception_handler(CountermarkError, on_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_failure)
