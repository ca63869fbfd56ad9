"""Signing in and out: password, second factor, its set-up at the first sign-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from countermark_console.agency_log import actions
from countermark_console.errors import InputError, SignInError, SignInNeededError
from countermark_console.people.second_factor import fresh_secret, provisioning_uri, qr_svg, shown_secret
from countermark_console.people.sessions import Session, Stage
from countermark_console.security.decisions import local_path
from countermark_console.texts import LANGUAGES, N_
from countermark_console.web.pages import go, page
from countermark_console.web.visitor import (
    AnyVisitor,
    Form,
    Visitor,
    console_of,
    cookie_name,
    set_cookie,
    text_of,
)

router = APIRouter()


def _provider(visitor: Visitor) -> dict[str, Any]:
    return {
        "provider": visitor.console.openid.enabled,
        "provider_name": visitor.console.settings.oidc_name,
    }


@router.get("/sign-in")
def sign_in_page(request: Request, visitor: AnyVisitor, then: str = "/") -> Response:
    """Name and password."""
    if visitor.person is not None:
        return go(local_path(then))
    if not visitor.console.people.any():
        return go("/setup")
    return page(request, "sign_in.html", then=local_path(then), name="", error=None, **_provider(visitor))


@router.post("/sign-in")
def sign_in(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Check name and password; the second factor follows."""
    console, name, then = visitor.console, text_of(form, "name", 80), local_path(text_of(form, "then"))
    password = form.get("password")
    try:
        person = console.people.check_password(
            name, password if isinstance(password, str) else "", visitor.source
        )
    except InputError as error:
        return page(request, "sign_in.html", 401, then=then, name=name, error=error, **_provider(visitor))
    stage = Stage.SECOND_FACTOR if person.has_totp else Stage.NEW_SECOND_FACTOR
    path = "/sign-in/code" if person.has_totp else "/sign-in/second-factor"
    response = go(f"{path}?then={quote(then)}")
    set_cookie(request, response, "session", console.sessions.begin(person, stage, visitor.source))
    return response


@router.post("/sign-in/provider")
def to_provider(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Send the browser to the OpenID Connect provider."""
    if not visitor.console.openid.enabled:
        return go("/sign-in")
    origin = visitor.console.settings.public_url.rstrip("/") or f"http://{request.headers['host']}"
    url, handle = visitor.console.openid.begin(origin, local_path(text_of(form, "then")))
    # The form's redirect would be stopped by form-action in some browsers: a page goes on by itself.
    response = page(request, "elsewhere.html", url=url)
    # The provider's answer comes from another site, which strict cookies are not sent along with.
    set_cookie(request, response, "provider", handle, lax=True)
    return response


@router.get("/sign-in/provider/return")
def from_provider(request: Request, visitor: AnyVisitor) -> Response:
    """Take the provider's answer."""
    console = visitor.console
    handle = request.cookies.get(cookie_name(request, "provider"), "")
    external, then = console.openid.finish(handle, dict(request.query_params))
    person = console.people.by_external(external)
    if person is None:
        console.log.write("?", actions.SIGN_IN_FAILED, visitor.source, "no account")
        raise SignInError(
            "no_account", N_("The sign-in service knows you, but you have no account at this console")
        )
    token = console.sessions.begin(person, Stage.COMPLETE, visitor.source)
    console.people.seen(person)
    console.vault.touch()
    console.log.write(person.name, actions.SIGNED_IN, visitor.source)
    # Not a redirect: browsers would still count it as coming from the provider, and keep strict cookies back.
    response = page(request, "elsewhere.html", url=then)
    set_cookie(request, response, "provider", "")
    set_cookie(request, response, "session", token)
    return response


def _halfway(visitor: Visitor, stage: Stage) -> Session:
    session = visitor.session
    if session is None or session.stage is not stage:
        raise SignInNeededError("sign_in_needed", "")
    return session


def complete(request: Request, visitor: Visitor, session: Session, then: str) -> Response:
    """The second factor was right: sign in wholly."""
    console = visitor.console
    response = go(local_path(then))
    set_cookie(request, response, "session", console.sessions.advance(session, visitor.source))
    console.people.seen(session.person)
    console.vault.touch()
    console.log.write(session.person.name, actions.SIGNED_IN, visitor.source)
    return response


@router.get("/sign-in/code")
def code_page(request: Request, visitor: AnyVisitor, then: str = "/") -> Response:
    """The second factor."""
    _halfway(visitor, Stage.SECOND_FACTOR)
    return page(request, "sign_in_code.html", then=local_path(then), error=None)


@router.post("/sign-in/code")
def check_code(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Check the second factor."""
    session, then = _halfway(visitor, Stage.SECOND_FACTOR), text_of(form, "then")
    try:
        visitor.console.people.check_code(session.person, text_of(form, "code", 40), visitor.source)
    except InputError as error:
        return page(request, "sign_in_code.html", 401, then=local_path(then), error=error)
    return complete(request, visitor, session, then)


def _new_factor_page(request: Request, session: Session, then: str, error: InputError | None) -> Response:
    console = console_of(request)
    # The secret stays the same while the page is shown again: the authenticator has read it already.
    secret = bytes.fromhex(console.facts.get(f"new-totp/{session.person.id}") or "") or fresh_secret()
    console.facts.set(f"new-totp/{session.person.id}", secret.hex())
    uri = provisioning_uri(secret, session.person.name, console.facts.get("address") or "")
    return page(
        request,
        "second_factor.html",
        401 if error else 200,
        then=local_path(then),
        error=error,
        secret=shown_secret(secret),
        qr=qr_svg(uri),
        uri=uri,
    )


@router.get("/sign-in/second-factor")
def new_factor_page(request: Request, visitor: AnyVisitor, then: str = "/") -> Response:
    """Set up a second factor."""
    return _new_factor_page(request, _halfway(visitor, Stage.NEW_SECOND_FACTOR), then, None)


@router.post("/sign-in/second-factor")
def set_factor(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Take the second factor once its first code is right; show recovery codes."""
    session, then = _halfway(visitor, Stage.NEW_SECOND_FACTOR), text_of(form, "then")
    console = visitor.console
    kept = console.facts.get(f"new-totp/{session.person.id}")
    if kept is None:
        return _new_factor_page(request, session, then, None)
    try:
        codes = console.people.set_totp(session.person, bytes.fromhex(kept), text_of(form, "code", 40))
    except InputError as error:
        return _new_factor_page(request, session, then, error)
    console.facts.set(f"new-totp/{session.person.id}", None)
    signed = complete(request, visitor, session, then)
    response = page(request, "recovery_codes.html", codes=codes, then=local_path(then))
    for name, value in signed.headers.items():
        if name == "set-cookie":
            response.headers.append(name, value)
    return response


@router.post("/sign-out")
def sign_out(request: Request, visitor: AnyVisitor) -> Response:
    """End the session."""
    if visitor.session is not None:
        visitor.console.sessions.end(visitor.session.token)
        visitor.console.log.write(visitor.session.person.name, actions.SIGNED_OUT)
    response = go("/sign-in")
    set_cookie(request, response, "session", "")
    return response


@router.post("/preferences")
def preferences(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Language and theme: of the account, or of the browser before sign-in."""
    response = go(local_path(text_of(form, "then")))
    language, theme = text_of(form, "language", 10), text_of(form, "theme", 10)
    if visitor.session is not None:
        visitor.console.people.set_preferences(
            visitor.session.person, language=language or None, theme=theme or None
        )
        return response
    if language in LANGUAGES:
        set_cookie(request, response, "language", language)
    if theme in {"auto", "light", "dark"}:
        set_cookie(request, response, "theme", theme)
    return response
