"""Cases: conversations with where they stand, until when, who looks after them, and what was noted."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.desk import acts
from countermark_console.desk.answers import ways_of
from countermark_console.desk.cases import CaseFilter, Status
from countermark_console.desk.wording import (
    STAGE_LABELS,
    STATE_LABELS,
    STATUS_LABELS,
    TASK_LABELS,
    TYPE_LABELS,
)
from countermark_console.errors import InputError
from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.vault import VaultState
from countermark_console.web.pages import fragment, go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of
from countermark_protocol.tracing.deadlines import REQUEST

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
_ONLY = {"urgent", "overdue", "unowned", "active"}


def _name(visitor: Visitor) -> str:
    assert visitor.person is not None
    return visitor.person.name


def _listed(request: Request, visitor: Visitor, after: str | None) -> dict[str, Any]:
    """What a list of cases is made of."""
    asked = {n: request.query_params.get(n, "").strip()[:120] for n in ("status", "owner", "type", "only")}
    wanted = CaseFilter(
        status=asked["status"] if asked["status"] in set(Status) else "",
        owner=asked["owner"],
        type=asked["type"] if asked["type"] in TYPE_LABELS else "",
        only=asked["only"] if asked["only"] in _ONLY else "",
    )
    console = visitor.console
    now = console.clock()
    found, following = console.desk.cases.page(wanted, after=after, now=now)
    shown = repr([(one, one.overdue(now)) for one in found]).encode()
    return {
        "cases": found,
        "after": after,
        "next": following,
        "mark": hashlib.sha256(shown).hexdigest()[:16],
        "wanted": wanted,
        "query": urlencode({name: value for name, value in asked.items() if value}),
        "statuses": STATUS_LABELS,
        "states": STATE_LABELS,
        "tasks": TASK_LABELS,
        "types": TYPE_LABELS,
        "now": now,
    }


@router.get("/cases")
def cases_page(request: Request, visitor: Reader, after: str | None = None) -> Response:
    """All cases, those that moved last first."""
    listed = _listed(request, visitor, after)
    return page(request, "desk/cases.html", people=visitor.console.people.all(), **listed)


@router.get("/live/cases")
def cases_now(request: Request, visitor: Reader, shown: str = "") -> Response:
    """The list of cases as it is now; nothing where it is as it was shown."""
    listed = _listed(request, visitor, None)
    if listed["mark"] == shown:
        return Response(status_code=204)
    return fragment(request, "desk/_cases.html", **listed)


@router.get("/cases/{conversation}")
def case_page(request: Request, visitor: Reader, conversation: str) -> Response:
    """One case."""
    return _page(request, visitor, conversation)


def _page(
    request: Request, visitor: Visitor, conversation: str, error: InputError | None = None, status: int = 200
) -> Response:
    console = visitor.console
    desk = console.desk
    case = desk.cases.get(conversation)
    messages = desk.shelf.conversation(conversation)
    last = next((one for one in reversed(messages) if ways_of(one)), None)
    request_message = next((one for one in messages if one.type == REQUEST and one.direction == "in"), None)
    answered = request_message if request_message is not None else last
    ways = ways_of(answered) if answered is not None and visitor.may(Right.DRAFT) else ()
    return page(
        request,
        "desk/case.html",
        status,
        case=case,
        messages=messages,
        answered=answered,
        ways=ways,
        notes=desk.cases.notes(conversation),
        own_trace=case.type == REQUEST and case.direction == "out",
        statuses=STATUS_LABELS,
        states=STATE_LABELS,
        tasks=TASK_LABELS,
        types=TYPE_LABELS,
        stages=STAGE_LABELS,
        now=console.clock(),
        people=[one for one in console.people.all() if one.active],
        error=error,
    )


@router.post("/cases/{conversation}/note")
def note(request: Request, visitor: Reader, conversation: str, form: Form) -> Response:
    """Add a note."""
    said = text_of(form, "note", 10_000)
    if not said:
        error = InputError("empty_note", N_("Write the note first"), field="note")
        return _page(request, visitor, conversation, error, 400)
    console = visitor.console
    console.desk.cases.note(conversation, _name(visitor), said, console.clock())
    console.log.write(_name(visitor), acts.CASE_NOTED, conversation)
    visitor.say(N_("The note is kept"))
    return go(f"/cases/{conversation}")


@router.post("/cases/{conversation}/owner")
def assign(visitor: Reader, conversation: str, form: Form) -> Response:
    """Say who looks after the case."""
    console, owner = visitor.console, text_of(form, "owner", 120)
    known = {one.name for one in console.people.all() if one.active}
    console.desk.cases.assign(conversation, owner if owner in known else None)
    console.log.write(_name(visitor), acts.CASE_ASSIGNED, conversation, owner if owner in known else "")
    visitor.say(N_("It is noted who looks after the case"))
    return go(f"/cases/{conversation}")


@router.post("/cases/{conversation}/close")
def close(
    request: Request,
    visitor: Annotated[Visitor, Depends(needs(Right.DRAFT))],
    conversation: str,
    form: Form,
) -> Response:
    """Close the case."""
    console = visitor.console
    case = console.desk.cases.get(conversation)
    diverted = {"yes": True, "no": False}.get(text_of(form, "diverted"))
    own_trace = case.type == REQUEST and case.direction == "out"
    if own_trace and case.task == "close" and diverted is None:
        error = InputError(
            "diverted", N_("Say whether the trace established the point of diversion"), field="diverted"
        )
        return _page(request, visitor, conversation, error, 400)
    client = console.vault.client if own_trace and case.task == "close" else None
    console.desk.close_case(client, case, _name(visitor), text_of(form, "outcome", 4000), diverted=diverted)
    visitor.say(N_("The case is closed"))
    return go(f"/cases/{conversation}")


@router.post("/cases/{conversation}/reopen")
def reopen(visitor: Annotated[Visitor, Depends(needs(Right.DRAFT))], conversation: str) -> Response:
    """Open a case again that was closed here."""
    console = visitor.console
    console.desk.cases.reopen(conversation)
    console.log.write(_name(visitor), acts.CASE_REOPENED, conversation)
    if console.vault.state is VaultState.OPEN:
        console.desk.receiving.follow(console.vault.client, [conversation])
    visitor.say(N_("The case is open again"))
    return go(f"/cases/{conversation}")
