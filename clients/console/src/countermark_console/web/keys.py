"""The agency's keys: unlocking and locking them, and what state they and the connection are in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.agency_log import actions
from countermark_console.errors import InputError
from countermark_console.people.attempts import FREE_OF_ACCOUNT
from countermark_console.people.roles import Right
from countermark_console.security.decisions import local_path
from countermark_console.texts import N_
from countermark_console.vault import VaultState
from countermark_console.web.pages import go, page
from countermark_console.web.visitor import Form, SignedIn, Visitor, needs, text_of
from countermark_protocol.errors import SealError

router = APIRouter()
Unlocking = Annotated[Visitor, Depends(needs(Right.UNLOCK))]


@router.get("/keys/unlock")
def unlock_page(request: Request, visitor: SignedIn, then: str = "/") -> Response:
    """Ask for the passphrase."""
    vault = visitor.console.vault
    if vault.state is VaultState.OPEN:
        return go(local_path(then))
    if vault.state is VaultState.EMPTY:
        return go("/setup")
    return page(request, "unlock.html", then=local_path(then), error=None)


@router.post("/keys/unlock")
def unlock(request: Request, visitor: Unlocking, form: Form) -> Response:
    """Open the keys."""
    console, then = visitor.console, local_path(text_of(form, "then"))
    assert visitor.person is not None
    passphrase = form.get("passphrase")
    subject = (f"unlock:{visitor.person.name}", FREE_OF_ACCOUNT)
    console.attempts.check(subject)
    try:
        console.vault.unlock(passphrase if isinstance(passphrase, str) else "")
    except SealError:
        console.attempts.failed(subject)
        console.log.write(visitor.person.name, actions.UNLOCK_FAILED)
        error = InputError(
            "wrong_passphrase", N_("That passphrase does not open the keys"), field="passphrase"
        )
        return page(request, "unlock.html", 401, then=then, error=error)
    console.attempts.succeeded(subject)
    console.log.write(visitor.person.name, actions.KEYS_UNLOCKED)
    visitor.say(N_("The agency's keys are unlocked"))
    return go(then)


@router.post("/keys/lock")
def lock(visitor: SignedIn) -> Response:
    """Close the keys. Everybody may."""
    assert visitor.person is not None
    if visitor.console.vault.lock():
        visitor.console.log.write(visitor.person.name, actions.KEYS_LOCKED)
    visitor.say(N_("The agency's keys are locked"))
    return go("/keys")


@router.get("/keys")
def status(request: Request, visitor: SignedIn) -> Response:
    """What state keys and connection are in."""
    vault = visitor.console.vault
    profile = vault.client.profile if vault.state is VaultState.OPEN else None
    return page(request, "keys.html", profile=profile, vault=vault)
