"""The set-up, step by step: first administrator, broker, keys, approval."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from countermark_console.agency_log.log import CONSOLE
from countermark_console.errors import InputError
from countermark_console.people.attempts import of_source
from countermark_console.people.roles import Right, Role
from countermark_console.people.second_factor import qr_svg
from countermark_console.people.sessions import Stage
from countermark_console.setup.steps import PATHS, Step
from countermark_console.texts import N_
from countermark_console.web.pages import fragment, go, page
from countermark_console.web.visitor import AnyVisitor, Form, Visitor, needs, set_cookie, text_of, twice
from countermark_protocol.errors import CountermarkError, TransportError

router = APIRouter()
Administrator = Annotated[Visitor, Depends(needs(Right.MANAGE))]
#: Trust files are a few kilobytes.
_TRUST_BYTES: Final = 1 << 20


@router.get("/setup")
def begin(request: Request, visitor: AnyVisitor, code: str = "") -> Response:
    """Where the set-up goes on; on a fresh machine the first account."""
    step = visitor.console.enrolling.step
    if step is not Step.ADMINISTRATOR:
        return go(PATHS[step])
    return page(request, "setup/administrator.html", code=code[:40], values={}, error=None)


@router.post("/setup")
def first_account(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """Make the first account, for whoever has the set-up code."""
    console = visitor.console
    if console.enrolling.step is not Step.ADMINISTRATOR:
        return go("/setup")
    source = of_source(visitor.source)
    console.attempts.check(source)
    values = {name: text_of(form, name, 200) for name in ("name", "full_name")}
    code = text_of(form, "code", 40)
    roles = {Role.ADMINISTRATOR, *({Role.DRAFTS} if form.get("works") else set())}
    try:
        console.setup_code.check(code, console.clock())
        password = form.get("password")
        person = console.people.add(
            CONSOLE,
            values["name"],
            values["full_name"],
            roles,
            password=password if isinstance(password, str) else "",
        )
    except InputError as error:
        if error.code == "wrong_setup_code":
            console.attempts.failed(source)
        return page(request, "setup/administrator.html", 400, code=code, values=values, error=error)
    response = go("/sign-in/second-factor?then=/setup")
    session = console.sessions.begin(person, Stage.NEW_SECOND_FACTOR, visitor.source)
    set_cookie(request, response, "session", session)
    return response


def _elsewhere(visitor: Visitor, *steps: Step) -> Response | None:
    """Where the set-up is, if it is at none of these steps."""
    step = visitor.console.enrolling.step
    return None if step in steps else go(PATHS[step])


# --- broker and endpoint ---


@router.get("/setup/connection")
def connection_page(request: Request, visitor: Administrator) -> Response:
    """Ask for the invitation."""
    return _elsewhere(visitor, Step.CONNECTION, Step.KEYS) or page(
        request, "setup/connection.html", values={}, error=None
    )


@router.post("/setup/connection")
def connect(request: Request, visitor: Administrator, form: Form) -> Response:
    """Look the invitation up at the broker."""
    values = {name: text_of(form, name, 300) for name in ("link", "broker")}
    try:
        visitor.console.enrolling.connect(values["link"], values["broker"])
    except InputError as error:
        return page(request, "setup/connection.html", 400, values=values, error=error)
    except CountermarkError as error:
        shown = InputError("broker_refused", _unreachable(error), field="broker")
        return page(request, "setup/connection.html", 400, values=values, error=shown)
    return go("/setup/keys")


def _unreachable(error: CountermarkError) -> str:
    if isinstance(error, TransportError):
        return N_(
            "The broker cannot be reached under that address: check it, and the network of this machine"
        )
    return error.message


@router.get("/setup/by-hand")
def by_hand_page(request: Request, visitor: Administrator) -> Response:
    """Ask for what an authority gave by hand."""
    return _elsewhere(visitor, Step.CONNECTION, Step.KEYS) or page(
        request, "setup/by_hand.html", values={}, error=None
    )


@router.post("/setup/by-hand")
def connect_by_hand(request: Request, visitor: Administrator, form: Form) -> Response:
    """Take what an authority gave by hand."""
    values = {name: text_of(form, name, 300) for name in ("address", "broker", "told")}
    given = form.get("trust")
    trust = given.file.read(_TRUST_BYTES) if isinstance(given, UploadFile) else b""
    try:
        visitor.console.enrolling.connect_by_hand(values["address"], values["broker"], trust, values["told"])
    except InputError as error:
        return page(request, "setup/by_hand.html", 400, values=values, error=error)
    return go("/setup/keys")


# --- keys ---


@router.get("/setup/keys")
def keys_page(request: Request, visitor: Administrator) -> Response:
    """Show what was found, ask for a passphrase."""
    return _elsewhere(visitor, Step.KEYS) or _keys_page(request, visitor, "", None)


def _keys_page(request: Request, visitor: Visitor, name: str, error: InputError | None) -> Response:
    connection = visitor.console.enrolling.connection
    return page(request, "setup/keys.html", 400 if error else 200, found=connection, name=name, error=error)


@router.post("/setup/keys")
def make_keys(request: Request, visitor: Administrator, form: Form) -> Response:
    """Make the keys and hand in the request; show the recovery key once."""
    console, name = visitor.console, text_of(form, "endpoint_name", 200)
    elsewhere = _elsewhere(visitor, Step.KEYS)
    if elsewhere is not None:
        return elsewhere
    assert visitor.person is not None
    try:
        passphrase = twice(form, "passphrase", N_("Type the same passphrase twice"))
        made = console.enrolling.make_keys(
            visitor.person.name, name, passphrase, recovery=form.get("recovery") is not None
        )
    except InputError as error:
        return _keys_page(request, visitor, name, error)
    if made.paper is None:
        return go("/setup/waiting")
    return page(request, "setup/recovery.html", paper=made.paper, qr=qr_svg(made.paper))


# --- approval ---


@router.get("/setup/waiting")
def waiting(request: Request, visitor: Administrator) -> Response:
    """Show the fingerprint, until the authority has approved."""
    enrolling = visitor.console.enrolling
    elsewhere = _elsewhere(visitor, Step.WAITING)
    if elsewhere is not None:
        return elsewhere
    assert visitor.person is not None
    problem = None
    try:
        if enrolling.fingerprint is None:
            enrolling.request(visitor.person.name)
        if enrolling.look(visitor.person.name):
            return go("/setup/done")
    except CountermarkError as error:
        problem = error
    return page(
        request,
        "setup/waiting.html",
        address=visitor.console.vault.client.profile.address,
        connection=enrolling.connection,
        fingerprint=enrolling.fingerprint,
        by_hand=enrolling.by_hand,
        problem=problem,
    )


@router.get("/live/setup")
def look(request: Request, visitor: Administrator) -> Response:
    """What the waiting page asks every few seconds."""
    enrolling = visitor.console.enrolling
    assert visitor.person is not None
    problem = None
    if enrolling.step is Step.WAITING:
        try:
            enrolling.look(visitor.person.name)
        except CountermarkError as error:
            problem = error
    if enrolling.step is not Step.WAITING:
        return Response(status_code=204, headers={"hx-redirect": PATHS[enrolling.step]})
    return fragment(request, "setup/_waiting.html", problem=problem)


@router.get("/setup/request")
def request_file(visitor: Administrator) -> Response:
    """The request, to be given to the authority by hand."""
    return Response(
        visitor.console.enrolling.request_file(),
        media_type="application/octet-stream",
        headers={"content-disposition": 'attachment; filename="endpoint.request"'},
    )


@router.get("/setup/done")
def done(request: Request, visitor: Administrator) -> Response:
    """What was reached, and what comes next."""
    return _elsewhere(visitor, Step.DONE) or page(
        request, "setup/done.html", address=visitor.console.facts.get("address")
    )
