"""Administration of accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.errors import InputError
from countermark_console.people.accounts import Person
from countermark_console.people.roles import ROLE_LABELS, Right, parse_roles
from countermark_console.texts import N_
from countermark_console.web.pages import go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of

router = APIRouter()
Administrator = Annotated[Visitor, Depends(needs(Right.MANAGE))]


@router.get("/people")
def everybody(request: Request, visitor: Administrator) -> Response:
    """All accounts."""
    return page(request, "people/list.html", everybody=visitor.console.people.all(), labels=ROLE_LABELS)


def _add_page(
    request: Request, visitor: Visitor, values: dict[str, str], chosen: list[str], error: InputError | None
) -> Response:
    return page(
        request,
        "people/add.html",
        400 if error else 200,
        values=values,
        chosen=chosen,
        labels=ROLE_LABELS,
        error=error,
        provider=visitor.console.settings.oidc_issuer,
    )


@router.get("/people/add")
def add_page(request: Request, visitor: Administrator) -> Response:
    """A form for a new account."""
    return _add_page(request, visitor, {}, [], None)


def _roles(form: Form) -> list[str]:
    return [value for value in form.getlist("roles") if isinstance(value, str)]


@router.post("/people/add")
def add(request: Request, visitor: Administrator, form: Form) -> Response:
    """Make an account."""
    assert visitor.person is not None
    values = {name: text_of(form, name, 500) for name in ("name", "full_name", "email", "external")}
    password = form.get("password")
    external = values["external"] or None
    try:
        person = visitor.console.people.add(
            visitor.person.name,
            values["name"],
            values["full_name"],
            parse_roles(_roles(form)),
            password=password if isinstance(password, str) and (password or external is None) else None,
            external=external,
            email=values["email"],
        )
    except InputError as error:
        return _add_page(request, visitor, values, _roles(form), error)
    visitor.say(N_("%(name)s can sign in now"), name=person.full_name)
    return go("/people")


def _person_page(
    request: Request, person: Person, error: InputError | None = None, chosen: list[str] | None = None
) -> Response:
    return page(
        request,
        "people/person.html",
        400 if error else 200,
        one=person,
        chosen=chosen if chosen is not None else sorted(person.roles),
        labels=ROLE_LABELS,
        error=error,
    )


@router.get("/people/{number}")
def one(request: Request, visitor: Administrator, number: int) -> Response:
    """One account."""
    return _person_page(request, visitor.console.people.get(number))


@router.post("/people/{number}")
def change(request: Request, visitor: Administrator, form: Form, number: int) -> Response:
    """Change roles; suspend or readmit."""
    assert visitor.person is not None
    person = visitor.console.people.get(number)
    try:
        visitor.console.people.set_roles(
            visitor.person.name, person, parse_roles(_roles(form)), active=form.get("active") is not None
        )
    except InputError as error:
        return _person_page(request, person, error, _roles(form))
    visitor.say(N_("The account of %(name)s is changed; its sessions have ended"), name=person.full_name)
    return go("/people")


@router.post("/people/{number}/password")
def new_password(request: Request, visitor: Administrator, form: Form, number: int) -> Response:
    """Set a password for somebody who has lost it: the second factor is set up anew, too."""
    assert visitor.person is not None
    person = visitor.console.people.get(number)
    if person.id == visitor.person.id:
        return go("/account")
    password = form.get("password")
    try:
        visitor.console.people.set_password(
            visitor.person.name, person, password if isinstance(password, str) else ""
        )
    except InputError as error:
        return _person_page(request, person, error)
    visitor.say(
        N_("%(name)s signs in with the new password, and sets up a second factor"), name=person.full_name
    )
    return go("/people")
