"""Who a request comes from, what that person may do, and what forms carry: dependencies of every page."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from countermark_console.console import Console
from countermark_console.errors import DeniedError, InputError, SignInNeededError
from countermark_console.people.accounts import Person
from countermark_console.people.roles import Right
from countermark_console.people.sessions import Session, Stage, form_token
from countermark_console.security.decisions import SAFE_METHODS, check_form_token
from countermark_console.texts import N_, Texts, choose_language, texts

#: Requests that pages make by themselves: they keep neither session nor keys awake.
PASSIVE: Final = "/live/"
FORM_FIELD: Final = "form_token"
FORM_HEADER: Final = "x-form-token"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a request comes from.

    Attributes:
        console: that it came to.
        session: None where nobody is signed in.
        person: who is wholly signed in; None else.
        texts: in this person's language.
        theme: ``auto``, ``light`` or ``dark``.
        form_token: for the forms of the page.
        source: address of the browser.
        before: the cookie that forms carry before anybody is signed in.
    """

    console: Console
    session: Session | None
    person: Person | None
    texts: Texts
    theme: str
    form_token: str
    source: str
    before: str

    def may(self, right: Right) -> bool:
        """Whether whoever this is may do something."""
        return self.person is not None and self.person.may(right)

    def say(self, text: str, **values: Any) -> None:
        """Have the next page show a notice. The text is marked by ``N_``, with ``%(name)s`` for values."""
        if self.session is not None:
            self.console.sessions.say(self.session, text, values)


def console_of(request: Request) -> Console:
    """The console that a request came to."""
    return cast("Console", request.app.state.console)


def cookie_name(request: Request, what: str) -> str:
    """A cookie of this console: browsers share cookies among the ports of one host, so the port is in its name."""
    settings = console_of(request).settings
    if settings.secure:
        return f"__Host-countermark-{what}"
    return f"countermark-{(request.scope.get('server') or ('', 0))[1]}-{what}"


def set_cookie(request: Request, response: Response, what: str, value: str, *, lax: bool = False) -> None:
    """Give the browser a cookie that no script reads and no other site sends; an empty value takes it back."""
    secure = console_of(request).settings.secure
    name = cookie_name(request, what)
    if value:
        response.set_cookie(
            name, value, path="/", httponly=True, secure=secure, samesite="lax" if lax else "strict"
        )
    else:
        response.delete_cookie(name, path="/", httponly=True, secure=secure, samesite="strict")


def visitor_of(request: Request) -> Visitor:
    """Who a request comes from; looked up once a request."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    if found is None:
        found = _look_up(request)
        request.state.visitor = found
    return found


def _look_up(request: Request) -> Visitor:
    console = console_of(request)
    passive = request.url.path.startswith(PASSIVE)
    session = console.sessions.find(request.cookies.get(cookie_name(request, "session"), ""), passive=passive)
    person = session.person if session is not None and session.stage is Stage.COMPLETE else None
    if person is not None and not passive:
        console.vault.touch()
    before = request.cookies.get(cookie_name(request, "form"), "") or secrets.token_urlsafe(24)
    chosen = request.cookies.get(cookie_name(request, "language"), "")
    return Visitor(
        console=console,
        session=session,
        person=person,
        texts=texts(
            choose_language(
                (session.person.language if session else "") or chosen,
                request.headers.get("accept-language", ""),
            )
        ),
        theme=session.person.theme if session else request.cookies.get(cookie_name(request, "theme"), "auto"),
        form_token=form_token(session.token if session is not None else before),
        source=request.client.host if request.client is not None else "",
        before=before,
    )


AnyVisitor = Annotated[Visitor, Depends(visitor_of)]


async def check_form(request: Request, visitor: AnyVisitor) -> AsyncIterator[None]:
    """Every request that changes something carries the token of its session. A dependency of the whole app."""
    if request.method in SAFE_METHODS:
        yield
        return
    async with request.form() as form:  # its files are closed in the end, whatever becomes of it
        value = form.get(FORM_FIELD)
        given = request.headers.get(FORM_HEADER) or (value if isinstance(value, str) else None)
        check_form_token(visitor.form_token, given)
        yield


def signed_in(visitor: AnyVisitor) -> Visitor:
    """Somebody who is wholly signed in.

    Raises:
        SignInNeededError: else.
    """
    if visitor.person is None:
        raise SignInNeededError("sign_in_needed", N_("Sign in first"))
    return visitor


SignedIn = Annotated[Visitor, Depends(signed_in)]


def needs(right: Right) -> Callable[[Visitor], Visitor]:
    """A dependency for ``Annotated[Visitor, Depends(needs(right))]``: somebody who is signed in and has a right."""

    def entitled(visitor: SignedIn) -> Visitor:
        if not visitor.may(right):
            raise DeniedError("not_entitled", N_("Your roles do not allow that"), right=right.value)
        return visitor

    return entitled


async def _form(request: Request) -> FormData:
    return await request.form()


#: The fields of a form, for pages that take one.
Form = Annotated[FormData, Depends(_form)]


def twice(form: FormData, field: str, text: str) -> str:
    """A secret that was typed twice, in `field` and in ``again``.

    Raises:
        InputError: ``not_the_same``, with `text`.
    """
    value = form.get(field)
    if not isinstance(value, str) or value != form.get("again"):
        raise InputError("not_the_same", text, field="again")
    return value


def text_of(form: FormData, field: str, longest: int = 1000) -> str:
    """A text field, without blanks around it; empty if it is missing or a file."""
    value = form.get(field)
    return value.strip()[:longest] if isinstance(value, str) else ""
