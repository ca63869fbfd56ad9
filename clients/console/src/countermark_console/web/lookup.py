"""What is found by typing: the choices of a field, as the browser's own list of suggestions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.desk.forms.choices import search
from countermark_console.people.roles import Right
from countermark_console.web.pages import fragment
from countermark_console.web.visitor import Visitor, needs

router = APIRouter()


@router.get("/lookup/{source}")
def lookup(
    request: Request, visitor: Annotated[Visitor, Depends(needs(Right.READ))], source: str, name: str = ""
) -> Response:
    """Choices that fit what was typed into a field so far."""
    typed = request.query_params.get(name, "")[:100] if name else ""
    country = request.query_params.get("country")
    found = search(
        source,
        typed,
        language=visitor.texts.language,
        country=country,
        known=visitor.console.desk.known()
        if source in {"endpoints", "authorities", "models", "makes", "calibres"}
        else None,
    )
    return fragment(request, "desk/_choices.html", choices=found)
