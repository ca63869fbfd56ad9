"""The inbox: what came, the newest first; filters, search, saved views; what is urgent stands out."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.desk.shelf import Filter
from countermark_console.desk.wording import TYPE_LABELS
from countermark_console.errors import InputError
from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.web.pages import fragment, go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
_DAY_MS = 86_400_000
_ONLY = {"unread", "open", "urgent", "exercise"}
_NO_CONTENT = 204


def _moment(day: str) -> int | None:
    try:
        found = dt.date.fromisoformat(day)
    except ValueError:
        return None
    return int(dt.datetime(found.year, found.month, found.day, tzinfo=dt.UTC).timestamp() * 1000)


def asked_for(request: Request) -> tuple[Filter, str]:
    """The filter of a request, and the query that asks for it again."""
    asked = {
        name: request.query_params.get(name, "").strip()[:200]
        for name in ("text", "direction", "type", "country", "only", "since", "until")
    }
    kept = {name: value for name, value in asked.items() if value}
    until = _moment(asked["until"])
    wanted = Filter(
        text=asked["text"],
        direction=asked["direction"] if asked["direction"] in {"in", "out"} else "",
        type=asked["type"] if asked["type"] in TYPE_LABELS else "",
        country=asked["country"].lower(),
        only=asked["only"] if asked["only"] in _ONLY else "",
        since=_moment(asked["since"]),
        until=until + _DAY_MS if until is not None else None,
    )
    return wanted, urlencode(kept)


@router.get("/inbox")
def inbox(request: Request, visitor: Reader, after: str | None = None) -> Response:
    """Messages that came in and went out."""
    return _inbox(request, visitor, after)


def _inbox(
    request: Request, visitor: Visitor, after: str | None, error: InputError | None = None, status: int = 200
) -> Response:
    desk = visitor.console.desk
    wanted, query = asked_for(request)
    newest = desk.shelf.newest()
    assert visitor.person is not None
    return page(
        request,
        "desk/inbox.html",
        status,
        found=desk.shelf.page(wanted, after=after),
        after=after,
        wanted=wanted,
        asked=request.query_params,
        query=query,
        newest=newest,
        unread=desk.shelf.unread(),
        views=desk.views.of(visitor.person.name),
        types=TYPE_LABELS,
        view_query=view_query,
        error=error,
        receiving=desk.receiving.state,
    )


@router.get("/live/inbox")
def arrived(request: Request, visitor: Reader, seen: int = 0) -> Response:
    """What came since a page was made; nothing where nothing did."""
    desk = visitor.console.desk
    newest = desk.shelf.newest()
    if newest <= seen:
        return Response(status_code=_NO_CONTENT)
    wanted, query = asked_for(request)
    shown = desk.shelf.page(wanted).messages
    fresh = tuple(one for one in shown if one.number > seen)
    return fragment(
        request,
        "desk/_arrived.html",
        fresh=fresh,
        empty=len(fresh) == len(shown),
        newest=newest,
        query=query,
        types=TYPE_LABELS,
        unread=desk.shelf.unread(),
    )


@router.get("/live/alerts")
def alerts(request: Request, visitor: Reader, shown: str = "") -> Response:
    """Urgent messages that nobody has read."""
    urgent = visitor.console.desk.shelf.urgent_unread()
    mark = f"{len(urgent)}-{urgent[0].number}" if urgent else "0"
    if mark == shown:
        return Response(status_code=_NO_CONTENT)
    return fragment(request, "desk/_alerts.html", urgent=urgent, mark=mark, types=TYPE_LABELS)


@router.post("/inbox/accept")
def accept(visitor: Annotated[Visitor, Depends(needs(Right.DRAFT))], form: Form) -> Response:
    """State that the chosen messages were taken in."""
    chosen = [value for value in form.getlist("message") if isinstance(value, str)]
    assert visitor.person is not None
    done = visitor.console.desk.accept(visitor.console.vault.client, chosen, visitor.person.name)
    visitor.say(N_("%(count)s messages are accepted; their senders are told"), count=done)
    query = text_of(form, "query")
    return go(f"/inbox?{query}" if query else "/inbox")


@router.post("/inbox/views")
def save_view(request: Request, visitor: Reader, form: Form) -> Response:
    """Save the filter of a page under a name."""
    assert visitor.person is not None
    wanted, query = asked_for(request)
    try:
        visitor.console.desk.views.save(visitor.person.name, text_of(form, "view_name"), wanted)
    except InputError as error:
        return _inbox(request, visitor, None, error, 400)
    visitor.say(N_("The view is saved"))
    return go(f"/inbox?{query}" if query else "/inbox")


@router.post("/inbox/views/{number}/remove")
def remove_view(visitor: Reader, number: int) -> Response:
    """Remove a saved view."""
    assert visitor.person is not None
    visitor.console.desk.views.remove(visitor.person.name, number)
    visitor.say(N_("The view is removed"))
    return go("/inbox")


def view_query(wanted: Filter) -> str:
    """The query of a saved view's page."""
    asked = {name: value for name, value in wanted.to_json().items() if name not in {"since", "until"}}
    for name, shift in (("since", 0), ("until", _DAY_MS)):
        value = getattr(wanted, name)
        if value is not None:
            day = dt.datetime.fromtimestamp((value - shift) / 1000, dt.UTC)
            asked[name] = f"{day:%Y-%m-%d}"
    return urlencode(asked)
