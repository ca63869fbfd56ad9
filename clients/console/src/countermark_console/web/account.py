"""A person's own account: password, recovery codes, language, other sessions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from countermark_console.errors import InputError
from countermark_console.people.sessions import Stage
from countermark_console.texts import N_
from countermark_console.web.pages import go, page
from countermark_console.web.visitor import Form, SignedIn, Visitor, set_cookie, text_of, twice

router = APIRouter()


def _page(request: Request, visitor: Visitor, error: InputError | None = None) -> Response:
    assert visitor.person is not None
    return page(
        request,
        "account.html",
        400 if error else 200,
        error=error,
        codes_left=visitor.console.people.codes_left(visitor.person),
    )


@router.get("/account")
def show(request: Request, visitor: SignedIn) -> Response:
    """The account."""
    return _page(request, visitor)


@router.post("/account/password")
def change_password(request: Request, visitor: SignedIn, form: Form) -> Response:
    """Change the password: all sessions end but this one, which goes on under a new id."""
    console = visitor.console
    assert visitor.person is not None
    old = form.get("current")
    try:
        new = twice(form, "password", N_("Type the same password twice"))
        try:
            console.people.check_password(
                visitor.person.name, old if isinstance(old, str) else "", visitor.source
            )
        except InputError:
            raise InputError(
                "wrong_password", N_("That is not your present password"), field="current"
            ) from None
        console.people.set_password(visitor.person.name, visitor.person, new)
    except InputError as error:
        return _page(request, visitor, error)
    token = console.sessions.begin(visitor.person, Stage.COMPLETE, visitor.source)
    session = console.sessions.find(token)
    assert session is not None
    console.sessions.say(session, N_("Your password is changed; your other sessions have ended"), {})
    response = go("/account")
    set_cookie(request, response, "session", token)
    return response


@router.post("/account/recovery-codes")
def recovery_codes(request: Request, visitor: SignedIn, form: Form) -> Response:
    """Make new recovery codes, for who shows the second factor once more."""
    assert visitor.person is not None
    people = visitor.console.people
    try:
        people.check_code(visitor.person, text_of(form, "code", 40), visitor.source)
    except InputError as error:
        return _page(request, visitor, error)
    return page(
        request, "recovery_codes.html", codes=people.new_recovery_codes(visitor.person), then="/account"
    )


@router.post("/account/other-sessions")
def end_others(visitor: SignedIn) -> Response:
    """End the person's sessions elsewhere."""
    assert visitor.session is not None
    visitor.console.sessions.end_others(visitor.session)
    visitor.say(N_("Your other sessions have ended"))
    return go("/account")
