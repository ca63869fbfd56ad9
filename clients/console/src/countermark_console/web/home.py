"""The first page: what waits for somebody, the most pressing first."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from countermark_console.desk.cases import CaseFilter, Status
from countermark_console.desk.wording import STATUS_LABELS, TASK_LABELS, TYPE_LABELS
from countermark_console.people.roles import Right
from countermark_console.setup.enrolling import ADDRESS
from countermark_console.setup.steps import Step
from countermark_console.web.pages import page
from countermark_console.web.visitor import SignedIn, Visitor

router = APIRouter()
#: As many of each list: the rest is one click away.
_SHOWN: Final = 6


@router.get("/")
def home(request: Request, visitor: SignedIn) -> Response:
    """What there is to do."""
    console = visitor.console
    return page(
        request,
        "home.html",
        unfinished=visitor.may(Right.MANAGE) and console.enrolling.step not in {Step.DONE, Step.UNLOCK},
        address=console.facts.get(ADDRESS) or _address(visitor),
        types=TYPE_LABELS,
        tasks=TASK_LABELS,
        statuses=STATUS_LABELS,
        now=console.clock(),
        **(_work(visitor) if visitor.may(Right.READ) else {"work": None}),
    )


def _address(visitor: Visitor) -> str:
    vault = visitor.console.vault
    return str(vault.client.profile.address or "") if vault.state == "open" else ""


def _work(visitor: Visitor) -> dict[str, Any]:
    desk, now = visitor.console.desk, visitor.console.clock()
    waiting, overdue = desk.cases.waiting(now)
    pressing, _ = desk.cases.page(CaseFilter(status=Status.WAITING_FOR_US.value), limit=_SHOWN, now=now)
    return {
        "work": {
            "unread": desk.shelf.unread(),
            "waiting": waiting,
            "overdue": overdue,
            "release": desk.drafts.waiting(),
        },
        "urgent": desk.shelf.urgent_unread()[:_SHOWN],
        "pressing": sorted(pressing, key=lambda case: case.deadline or now * 2),
        "newest": desk.shelf.page(limit=_SHOWN).messages,
    }
