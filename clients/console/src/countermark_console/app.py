"""The app: every area's pages, behind the guard. `create_app` takes an opened console; nothing here reads settings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from countermark_console.console import Console
from countermark_console.security.middleware import GuardMiddleware
from countermark_console.web import (
    account,
    agency_log,
    cases,
    drafts,
    exports,
    home,
    inbox,
    keys,
    lookup,
    messages,
    people,
    sending,
    setup,
    sign_in,
)
from countermark_console.web.failures import add_failures, refusal_page
from countermark_console.web.visitor import check_form

_STATIC: Final = Path(__file__).parent / "static"
#: One router an area. Pages of a new area are added here, its entry of the navigation in `web/navigation.py`.
ROUTERS: Final = (
    sign_in.router,
    setup.router,
    home.router,
    inbox.router,
    messages.router,
    cases.router,
    exports.router,
    drafts.router,
    sending.router,
    lookup.router,
    account.router,
    keys.router,
    agency_log.router,
    people.router,
)


class _App(FastAPI):
    """The guard stands outside of everything, so that the page about a defect of ours bears its headers too."""

    def build_middleware_stack(self) -> ASGIApp:
        return GuardMiddleware(
            super().build_middleware_stack(), settings=self.state.console.settings, refuse=refusal_page
        )


def create_app(console: Console) -> FastAPI:
    """The console's pages."""
    app = _App(
        title="Countermark console",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(check_form)],
    )
    app.state.console = console
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    add_failures(app)
    return app
