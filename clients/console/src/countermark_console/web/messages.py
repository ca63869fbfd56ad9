"""One message: what it says, what is proven of it, and what can be done with it."""

from __future__ import annotations

import tempfile
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from countermark_console.desk import acts
from countermark_console.desk.answers import amendments_of, ways_of
from countermark_console.desk.forms.fields import form_of
from countermark_console.desk.forms.view import Said, read_content
from countermark_console.desk.shelf import StoredMessage
from countermark_console.desk.wording import (
    STAGE_LABELS,
    TYPE_LABELS,
    URGENCY_LABELS,
    VERDICT_LABELS,
    VISIBLE_LABELS,
    folded_proofs,
)
from countermark_console.errors import InputError
from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.web.pages import file_answer, go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of
from countermark_protocol.errors import NotFoundError
from countermark_protocol.receipts import RejectionReason

router = APIRouter()
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
Writer = Annotated[Visitor, Depends(needs(Right.DRAFT))]
#: Those of the closed list that a person gives; the others are found by the client itself.
_REASONS: Final = {
    RejectionReason.NOT_FOR_US.value: N_("It is not for this agency"),
    RejectionReason.HANDLING_UNACCEPTABLE.value: N_("Its handling cannot be kept here"),
    RejectionReason.DUPLICATE.value: N_("It has come already"),
}


def _name(visitor: Visitor) -> str:
    assert visitor.person is not None
    return visitor.person.name


@router.get("/messages/{name}")
def message_page(request: Request, visitor: Reader, name: str) -> Response:
    """Read one message."""
    return _page(request, visitor, visitor.console.desk.shelf.get(name))


def _page(
    request: Request,
    visitor: Visitor,
    message: StoredMessage,
    error: InputError | None = None,
    status: int = 200,
) -> Response:
    desk = visitor.console.desk
    desk.read(message, _name(visitor))
    said: tuple[Said, ...] = ()
    if message.content is not None:
        said = read_content(
            form_of(message.type, message.version),
            message.content,
            visitor.texts,
            visitor.texts.language,
            desk.known(),
        )
    proofs, each = folded_proofs(message, visitor.texts)
    return page(
        request,
        "desk/message.html",
        status,
        message=message,
        said=said,
        case=desk.cases.find(message.conversation),
        proofs=proofs,
        each=each,
        ways=ways_of(message) if visitor.may(Right.DRAFT) else (),
        amendments=amendments_of(message) if visitor.may(Right.DRAFT) else (),
        types=TYPE_LABELS,
        stages=STAGE_LABELS,
        urgencies=URGENCY_LABELS,
        verdicts=VERDICT_LABELS,
        visible=VISIBLE_LABELS,
        handling=message.manifest["handling"],
        draft=desk.drafts.written_by(message.hash) if message.direction == "out" else None,
        reasons=_REASONS,
        error=error,
    )


@router.post("/messages/{name}/accept")
def accept(visitor: Writer, name: str) -> Response:
    """State that the message was taken in."""
    visitor.console.desk.accept(visitor.console.vault.client, [name], _name(visitor))
    visitor.say(N_("The message is accepted; its sender is told"))
    return go(f"/messages/{name}")


@router.post("/messages/{name}/reject")
def reject(request: Request, visitor: Writer, name: str, form: Form) -> Response:
    """State that the message was not taken in, with the reason."""
    desk = visitor.console.desk
    reason = text_of(form, "reason")
    if reason not in _REASONS:
        error = InputError("reject_reason", N_("Choose why it is rejected"), field="reason")
        return _page(request, visitor, desk.shelf.get(name), error, 400)
    desk.reject(visitor.console.vault.client, name, reason, text_of(form, "details"), _name(visitor))
    visitor.say(N_("The message is rejected; its sender is told why"))
    return go(f"/messages/{name}")


@router.post("/messages/{name}/restrictions")
def restrictions(visitor: Writer, name: str) -> Response:
    """State that a person has read the restrictions that handling code H3 stands for."""
    visitor.console.desk.note_restrictions_read(visitor.console.vault.client, name, _name(visitor))
    visitor.say(N_("It is noted that you have read the restrictions"))
    return go(f"/messages/{name}")


@router.post("/messages/{name}/answer")
def answer(visitor: Writer, name: str, form: Form) -> Response:
    """Begin an answer."""
    desk = visitor.console.desk
    draft = desk.answer(desk.shelf.get(name), text_of(form, "way"), _name(visitor), visitor.texts.language)
    return go(f"/drafts/{draft}")


@router.post("/messages/{name}/evidence")
def evidence(visitor: Reader, name: str) -> Response:
    """The file that proves to a court what became of the message."""
    made = visitor.console.vault.client.evidence(name)
    visitor.console.log.write(_name(visitor), acts.EVIDENCE_MADE, name)
    return Response(
        made.data,
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="message-{name[:16]}.evidence"'},
    )


@router.get("/messages/{name}/attachments/{index}/small")
def thumbnail(visitor: Reader, name: str, index: int) -> Response:
    """The small picture of a file."""
    found = visitor.console.desk.thumbnail(visitor.console.desk.shelf.get(name), index)
    if found is None:
        raise NotFoundError("no_thumbnail", "this file has no small picture")
    return Response(found[0], media_type=found[1])


@router.get("/messages/{name}/attachments/{index}")
def attachment(visitor: Reader, name: str, index: int) -> Response:
    """A file of a message, to be saved: the browser opens nothing of it by itself."""
    desk = visitor.console.desk
    file = tempfile.TemporaryFile()  # noqa: SIM115  closed once it was sent
    told = desk.fetch(visitor.console.vault.client, desk.shelf.get(name), index, file)
    visitor.console.log.write(_name(visitor), acts.FILE_FETCHED, name, str(index))
    return file_answer(
        file, "application/octet-stream", f"attachment; filename*=UTF-8''{quote(str(told['name']))}"
    )
