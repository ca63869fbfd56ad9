"""The agency's own log, for administrators and auditors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.agency_log.actions import LABELS
from countermark_console.errors import ChainError
from countermark_console.people.roles import Right
from countermark_console.web.pages import page
from countermark_console.web.visitor import Visitor, needs

router = APIRouter()
_PAGE = 50


@router.get("/agency-log")
def show(
    request: Request,
    visitor: Annotated[Visitor, Depends(needs(Right.SEE_LOG))],
    before: int | None = None,
    who: str = "",
) -> Response:
    """Entries, the newest first, with a verdict on the whole chain."""
    log = visitor.console.log
    entries = log.entries(before=before, limit=_PAGE + 1, who=who[:80])
    try:
        head, broken = log.verify(), None
    except ChainError as error:
        head, broken = None, error
    return page(
        request,
        "agency_log.html",
        entries=entries[:_PAGE],
        older=entries[_PAGE - 1].number if len(entries) > _PAGE else None,
        labels=LABELS,
        head=head,
        broken=broken,
        who=who,
        people=visitor.console.people.all(),
    )
