"""The first page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from countermark_console.web.pages import page
from countermark_console.web.visitor import SignedIn

router = APIRouter()


@router.get("/")
def home(request: Request, visitor: SignedIn) -> Response:
    """What there is to do."""
    vault = visitor.console.vault
    return page(request, "home.html", address=vault.client.profile.address if vault.state == "open" else None)
