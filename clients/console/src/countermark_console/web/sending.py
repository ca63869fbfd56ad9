"""From a draft to the log: recipients and handling, what everybody will see, the policy's answer, release, sending."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from countermark_client import Client
from countermark_console.desk.composing import Terms, addresses
from countermark_console.desk.drafts import DraftRow, DraftState
from countermark_console.desk.forms.fields import form_of
from countermark_console.desk.forms.view import read_content
from countermark_console.desk.wording import TYPE_LABELS, URGENCY_LABELS, VISIBLE_LABELS
from countermark_console.errors import DeniedError, InputError
from countermark_console.people.attempts import FREE_OF_ACCOUNT
from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.web.drafts import name_of
from countermark_console.web.pages import file_answer, go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of
from countermark_protocol.errors import CountermarkError, SealError
from countermark_protocol.handling import Classification, HandlingCode, Tlp, UsePurpose

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
Writer = Annotated[Visitor, Depends(needs(Right.DRAFT))]
Releaser = Annotated[Visitor, Depends(needs(Right.RELEASE))]
_LISTS: Final[dict[str, Any]] = {
    "tlps": [one.value for one in Tlp],
    "classifications": [one.value for one in Classification],
    "codes": [one.value for one in HandlingCode],
    "purposes": [one.value for one in UsePurpose],
}


# --- recipients and handling ---


@router.get("/drafts/{name}/recipients")
def recipients_page(request: Request, visitor: Writer, name: str) -> Response:
    """Whom it goes to, and how it may be used."""
    return _recipients(request, visitor, visitor.console.desk.drafts.writable(name))


def _recipients(
    request: Request,
    visitor: Visitor,
    row: DraftRow,
    error: CountermarkError | None = None,
    status: int = 200,
) -> Response:
    desk, client = visitor.console.desk, visitor.console.vault.client
    terms = Terms.of(row.terms)
    return page(
        request,
        "desk/recipients.html",
        status,
        row=row,
        terms=terms,
        usual=desk.composing.usual_handling(client, terms.reply_to),
        suggestions=desk.composing.suggestions(client, desk.composing.document(row)),
        endpoints=desk.known().endpoints,
        types=TYPE_LABELS,
        urgencies=URGENCY_LABELS,
        error=error,
        **_LISTS,
    )


def _terms(form: FormData, before: Terms) -> Terms:
    chosen = [value for value in form.getlist("suggested") if isinstance(value, str)]
    typed = addresses(text_of(form, "to", 20_000))
    return Terms(
        to=tuple(dict.fromkeys([*typed, *chosen])),
        leave_out=addresses(text_of(form, "leave_out", 20_000)),
        urgency=text_of(form, "urgency") if text_of(form, "urgency") in URGENCY_LABELS else "routine",
        tlp=text_of(form, "tlp"),
        classification=text_of(form, "classification"),
        codes=tuple(v for v in form.getlist("codes") if isinstance(v, str)),
        originator_control=bool(text_of(form, "originator_control")),
        purpose=text_of(form, "purpose"),
        retention_until=text_of(form, "retention_until"),
        releasable_to=addresses(text_of(form, "releasable_to", 4000).lower()),
        reply_by=text_of(form, "reply_by"),
        reply_to=before.reply_to,
        supersedes=before.supersedes,
        exercise=bool(text_of(form, "exercise")),
    )


@router.post("/drafts/{name}/recipients")
def set_recipients(request: Request, visitor: Writer, name: str, form: Form) -> Response:
    """Keep recipients and handling, and show what would happen."""
    desk = visitor.console.desk
    row = desk.drafts.writable(name)
    row = desk.drafts.save(name, name_of(visitor), terms=_terms(form, Terms.of(row.terms)).to_json())
    if not Terms.of(row.terms).to:
        error = InputError("no_recipient", N_("Name at least one recipient"), field="to")
        return _recipients(request, visitor, row, error, 400)
    try:
        desk.composing.preview(visitor.console.vault.client, row)
    except CountermarkError as error:
        return _recipients(request, visitor, row, error, 400)
    return go(f"/drafts/{name}/preview")


# --- what would happen ---


@router.get("/drafts/{name}/preview")
def preview_page(request: Request, visitor: Reader, name: str) -> Response:
    """What each recipient and what broker and auditors will see, and what the policy says to it."""
    return _preview(request, visitor, visitor.console.desk.drafts.get(name))


def _preview(
    request: Request,
    visitor: Visitor,
    row: DraftRow,
    error: CountermarkError | None = None,
    status: int = 200,
) -> Response:
    console, texts = visitor.console, visitor.texts
    if row.state is DraftState.SENT:
        return go(f"/messages/{row.message}")
    desk, client = console.desk, console.vault.client
    try:
        preview = desk.composing.preview(client, row)
    except CountermarkError as found:
        if row.state is DraftState.DRAFTING and visitor.may(Right.DRAFT):
            return _recipients(request, visitor, row, found, 400)
        raise
    why = list(preview.two_persons)
    always = console.settings.release == "always"
    missing = client.read_message_draft(row.signed).missing if row.signed is not None else ()
    return page(
        request,
        "desk/preview.html",
        status,
        row=row,
        preview=preview,
        said=read_content(
            form_of(row.type, row.version), desk.composing.document(row), texts, texts.language, desk.known()
        ),
        photographs=desk.drafts.photographs(row.id),
        release=always or bool(why),
        why=why,
        always=always,
        missing=missing,
        second_here=console.settings.release_profile is not None,
        own=name_of(visitor) in {*row.hands, row.submitted_by},
        types=TYPE_LABELS,
        urgencies=URGENCY_LABELS,
        visible=VISIBLE_LABELS,
        error=error,
    )


@router.post("/drafts/{name}/submit")
def submit(request: Request, visitor: Writer, name: str) -> Response:
    """Hand the draft over for release by somebody else."""
    desk = visitor.console.desk
    row = desk.drafts.writable(name)
    try:
        desk.submit(visitor.console.vault.client, row, name_of(visitor))
    except CountermarkError as error:
        return _preview(request, visitor, row, error, 400)
    visitor.say(N_("The draft is handed over: another person releases it"))
    return go("/drafts")


@router.post("/drafts/{name}/send")
def send(request: Request, visitor: Writer, name: str) -> Response:
    """Send what nobody else must release."""
    console = visitor.console
    row = console.desk.drafts.writable(name)
    if console.desk.needs_release(console.vault.client, row, always=console.settings.release == "always"):
        raise DeniedError("release_needed", N_("Another person must release this message"))
    try:
        conversation = console.desk.send_now(console.vault.client, row, name_of(visitor))
    except CountermarkError as error:
        return _preview(request, visitor, row, error, 400)
    visitor.say(N_("The message is sent, and proven to be in the log"))
    return go(f"/cases/{conversation}")


# --- release ---


@router.post("/drafts/{name}/release")
def release(request: Request, visitor: Releaser, name: str, form: Form) -> Response:
    """Release a draft that somebody else wrote, and send it."""
    console = visitor.console
    row = console.desk.drafts.get(name)
    typed = text_of(form, "revision", 12)
    seen = int(typed) if typed.isdecimal() else 0
    client, second = console.vault.client, None
    try:
        console.desk.drafts.check_releaser(row, name_of(visitor), seen)
        if row.signed is not None and client.read_message_draft(row.signed).missing:
            second = _second(visitor, form)
        conversation = console.desk.release(client, name, name_of(visitor), seen, second)
    except DeniedError:
        raise
    except CountermarkError as error:
        return _preview(request, visitor, console.desk.drafts.get(name), error, 400)
    finally:
        if second is not None:
            second.close()
            second.profile.close()
    visitor.say(N_("The message is released and sent, and proven to be in the log"))
    return go(f"/cases/{conversation}")


def _second(visitor: Visitor, form: FormData) -> Client:
    """The client of the second holder's key, opened for this one signature."""
    console = visitor.console
    folder = console.settings.release_profile
    passphrase = form.get("passphrase")
    if folder is None:
        raise InputError(
            "second_signature",
            N_("A second key must sign this: download the draft, have its holder sign it, and bring it back"),
            field="signed",
        )
    if not isinstance(passphrase, str) or not passphrase:
        raise InputError("second_passphrase", N_("Give the passphrase of the second key"), field="passphrase")
    subject = (f"release:{name_of(visitor)}", FREE_OF_ACCOUNT)
    console.attempts.check(subject)
    try:
        opened = console.network.client(console.settings.home / folder, passphrase)
    except SealError:
        console.attempts.failed(subject)
        raise InputError(
            "second_passphrase", N_("That passphrase does not open the second key"), field="passphrase"
        ) from None
    console.attempts.succeeded(subject)
    return opened


@router.post("/drafts/{name}/return")
def hand_back(visitor: Releaser, name: str, form: Form) -> Response:
    """Hand the draft back to who wrote it."""
    desk = visitor.console.desk
    row = desk.drafts.get(name)
    desk.hand_back(
        row, name_of(visitor), text_of(form, "why", 2000) or visitor.texts(N_("No reason was given"))
    )
    visitor.say(N_("The draft is handed back"))
    return go("/drafts")


@router.post("/drafts/{name}/withdraw")
def withdraw(visitor: Writer, name: str) -> Response:
    """Take a draft back that waits for release, to change it."""
    desk = visitor.console.desk
    desk.hand_back(desk.drafts.get(name), name_of(visitor), "")
    visitor.say(N_("The draft is yours again"))
    return go(f"/drafts/{name}")


@router.get("/drafts/{name}/signed")
def signed_file(visitor: Releaser, name: str) -> Response:
    """The file of a draft, for a second holder to sign elsewhere; with photographs, a ZIP file of it and of theirs."""
    row = visitor.console.desk.drafts.get(name)
    if row.signed is None:
        raise InputError("nothing_to_sign", N_("This draft needs no second key"))
    packed = visitor.console.desk.packed(row)
    if packed is not None:
        return file_answer(packed, "application/zip", f'attachment; filename="message-{name[:8]}.zip"')
    return Response(
        row.signed,
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="message-{name[:8]}.draft"'},
    )


@router.post("/uploads/drafts/{name}/signed")
def take_signed(request: Request, visitor: Releaser, name: str, form: Form) -> Response:
    """Take in the file that a second holder has signed."""
    console = visitor.console
    row, upload = console.desk.drafts.get(name), form.get("signed")
    if not isinstance(upload, UploadFile) or not upload.size:
        error = InputError("no_file", N_("Choose the file first"), field="signed")
        return _preview(request, visitor, row, error, 400)
    try:
        console.desk.take_signed(console.vault.client, row, upload.file.read(), name_of(visitor))
    except CountermarkError as error:
        return _preview(request, visitor, row, error, 400)
    visitor.say(N_("The second signature is here"))
    return go(f"/drafts/{name}/preview")
