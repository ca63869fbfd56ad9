"""A case, or what a filter shows, to be taken along."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.desk import acts
from countermark_console.desk.exports import CasePdf, case_json, messages_csv
from countermark_console.desk.shelf import MAX_PAGE, StoredMessage
from countermark_console.people.roles import Right
from countermark_console.web.inbox import asked_for
from countermark_console.web.visitor import Visitor, needs
from countermark_protocol.errors import NotFoundError

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
#: Messages of one table; more are narrowed by a filter.
_MOST: Final = 10_000


def _file(data: bytes, name: str, media_type: str) -> Response:
    return Response(
        data, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


@router.get("/cases/{conversation}/export.{form}")
def export_case(visitor: Reader, conversation: str, form: str) -> Response:
    """A case as PDF, JSON or CSV."""
    console = visitor.console
    desk = console.desk
    case = desk.cases.get(conversation)
    messages, notes = desk.shelf.conversation(conversation), desk.cases.notes(conversation)
    name = f"case-{conversation[:12]}.{form}"
    if form == "json":
        answer = _file(case_json(case, messages, notes), name, "application/json")
    elif form == "csv":
        answer = _file(messages_csv(messages), name, "text/csv; charset=utf-8")
    elif form == "pdf":
        paper = CasePdf(visitor.texts, desk.known(), desk.pictures)
        answer = _file(paper.make(case, messages, notes, console.clock()), name, "application/pdf")
    else:
        raise NotFoundError("no_such_export", "a case is given as pdf, json or csv")
    assert visitor.person is not None
    console.log.write(visitor.person.name, acts.EXPORTED, conversation, form)
    return answer


@router.get("/inbox/export.csv")
def export_messages(request: Request, visitor: Reader) -> Response:
    """What a filter shows, as a table."""
    desk = visitor.console.desk
    wanted, query = asked_for(request)
    found: list[StoredMessage] = []
    after: str | None = None
    while len(found) < _MOST:
        page = desk.shelf.page(wanted, after=after, limit=MAX_PAGE)
        found += page.messages
        after = page.next
        if after is None:
            break
    assert visitor.person is not None
    visitor.console.log.write(visitor.person.name, acts.EXPORTED, "messages", query)
    return _file(messages_csv(found[:_MOST]), "messages.csv", "text/csv; charset=utf-8")
