"""Writing a message: type, form, photographs. Every change is kept at once: a closed browser loses nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from countermark_console.desk import acts
from countermark_console.desk.drafts import DraftRow, DraftState
from countermark_console.desk.forms.choices import resolve_typed
from countermark_console.desk.forms.documents import read_form, with_row, without_row
from countermark_console.desk.forms.faults import Fault, check_form
from countermark_console.desk.forms.fields import form_of
from countermark_console.desk.forms.view import FormViews
from countermark_console.desk.wording import TYPE_GROUPS, TYPE_LABELS
from countermark_console.errors import InputError
from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.web.pages import fragment, go, page
from countermark_console.web.visitor import Form, Visitor, needs, text_of
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.types import TYPES

router = APIRouter()
_NO_CONTENT = 204
Reader = Annotated[Visitor, Depends(needs(Right.READ))]
Writer = Annotated[Visitor, Depends(needs(Right.DRAFT))]


def name_of(visitor: Visitor) -> str:
    """The account's name."""
    assert visitor.person is not None
    return visitor.person.name


@router.get("/compose")
def choose(request: Request, _visitor: Writer) -> Response:
    """Choose what to write."""
    return page(request, "desk/compose.html", groups=TYPE_GROUPS, types=TYPE_LABELS, error=None)


@router.post("/compose")
def begin(request: Request, visitor: Writer, form: Form) -> Response:
    """Begin a draft."""
    message_type = text_of(form, "type")
    if message_type not in TYPES:
        error = InputError("no_type", N_("Choose what to write"), field="type")
        return page(request, "desk/compose.html", 400, groups=TYPE_GROUPS, types=TYPE_LABELS, error=error)
    return go(f"/drafts/{visitor.console.desk.begin(message_type, name_of(visitor))}")


@router.get("/drafts")
def drafts_page(request: Request, visitor: Reader) -> Response:
    """What is written, and what waits for release."""
    desk = visitor.console.desk
    return page(
        request,
        "desk/drafts.html",
        waiting=desk.drafts.listed(DraftState.WAITING),
        drafting=desk.drafts.listed(DraftState.DRAFTING),
        sent=desk.drafts.listed(DraftState.SENT, limit=20),
        types=TYPE_LABELS,
        me=name_of(visitor),
    )


@router.get("/drafts/{name}")
def form_page(request: Request, visitor: Reader, name: str) -> Response:
    """The form of a draft."""
    row = visitor.console.desk.drafts.get(name)
    if row.state is not DraftState.DRAFTING or not visitor.may(Right.DRAFT):
        return go(f"/drafts/{name}/preview")
    return draft_page(request, visitor, row)


def draft_page(
    request: Request,
    visitor: Visitor,
    row: DraftRow,
    faults: Iterable[Fault] = (),
    status: int = 200,
    error: InputError | None = None,
) -> Response:
    """The page of a draft's form, with what is wrong with it."""
    desk, texts = visitor.console.desk, visitor.texts
    told = tuple(faults)
    views = FormViews.of(texts, texts.language, desk.known(), told)
    form = form_of(row.type, row.version)
    return page(
        request,
        "desk/draft.html",
        status,
        row=row,
        view=views.form(form, row.form),
        faults=told,
        photographs=desk.drafts.photographs(row.id),
        weapons=[str(item.get("itemRef") or i + 1) for i, item in enumerate(row.form.get("items", ()))],
        types=TYPE_LABELS,
        error=error,
    )


def _posted(visitor: Visitor, row: DraftRow, form: FormData) -> JsonObject:
    fields = form_of(row.type, row.version)
    pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    state = read_form(fields, pairs)
    found: JsonObject = resolve_typed(
        fields, state, language=visitor.texts.language, known=visitor.console.desk.known()
    )
    return found


@router.post("/drafts/{name}/keep")
def keep(request: Request, visitor: Writer, name: str, form: Form) -> Response:
    """Keep what was typed so far; asked by the page itself, at every change."""
    desk = visitor.console.desk
    row = desk.drafts.writable(name)
    revision = text_of(form, "revision", 12)
    state = _posted(visitor, row, form)
    if not revision.isdecimal() or not desk.drafts.keep(name, name_of(visitor), state, int(revision)):
        return Response(status_code=_NO_CONTENT)
    return fragment(request, "desk/_kept.html", at=visitor.console.clock())


@router.post("/drafts/{name}")
def write(request: Request, visitor: Writer, name: str, form: Form) -> Response:
    """Keep the form, and do what the button says: add or remove a row, or go on."""
    desk = visitor.console.desk
    row = desk.drafts.writable(name)
    fields, state = form_of(row.type, row.version), _posted(visitor, row, form)
    act, _, where = text_of(form, "act").partition(":")
    if act == "add":
        state = with_row(fields, state, where)
    elif act == "remove":
        state = without_row(fields, state, where)
    row = desk.drafts.save(name, name_of(visitor), state)
    if act in {"add", "remove"}:
        return go(f"/drafts/{name}#{where if act == 'add' else where.rpartition('.')[0]}")
    if act == "next":
        document = desk.composing.document(row)
        _, faults = check_form(row.type, row.version, fields, document, visitor.texts)
        if faults:
            return draft_page(request, visitor, row, faults, 400)
        return go(f"/drafts/{name}/recipients")
    visitor.say(N_("The draft is kept"))
    return go("/drafts")


@router.post("/drafts/{name}/discard")
def discard(visitor: Writer, name: str) -> Response:
    """Throw the draft away."""
    visitor.console.desk.discard(name, name_of(visitor))
    visitor.say(N_("The draft is thrown away"))
    return go("/drafts")


# --- photographs ---


@router.post("/uploads/drafts/{name}/photographs")
def add_photographs(request: Request, visitor: Writer, name: str, form: Form) -> Response:
    """Take in photographs, from files or a camera."""
    desk, added = visitor.console.desk, 0
    row = desk.drafts.writable(name)
    try:
        for upload in form.getlist("photographs"):
            if isinstance(upload, UploadFile) and upload.size:
                desk.drafts.add_photograph(name, name_of(visitor), upload.file.read(), upload.filename or "")
                visitor.console.log.write(name_of(visitor), acts.PHOTOGRAPH_ADDED, name)
                added += 1
    except MalformedError as error:
        shown = error if isinstance(error, InputError) else _unreadable()
        return draft_page(request, visitor, row, (), 400, shown)
    except InputError as error:
        return draft_page(request, visitor, row, (), 400, error)
    if not added:
        nothing = InputError("no_photograph", N_("Choose a photograph first"), field="photographs")
        return draft_page(request, visitor, row, (), 400, nothing)
    return go(f"/drafts/{name}#photographs-part")


def _unreadable() -> InputError:
    return InputError(
        "photograph_unreadable",
        N_("That picture cannot be read: save it anew as JPEG or PNG"),
        field="photographs",
    )


@router.post("/drafts/{name}/photographs/{photograph}")
def describe_photograph(visitor: Writer, name: str, photograph: str, form: Form) -> Response:
    """Say what a photograph shows, or take it away."""
    drafts = visitor.console.desk.drafts
    if text_of(form, "act") == "remove":
        drafts.remove_photograph(name, name_of(visitor), photograph)
    else:
        item = text_of(form, "item")
        drafts.describe_photograph(
            name,
            name_of(visitor),
            photograph,
            text_of(form, "caption", 200),
            int(item) if item.isdecimal() else None,
        )
    return go(f"/drafts/{name}#photographs-part")


@router.get("/drafts/{name}/photographs/{photograph}")
def photograph_file(visitor: Reader, name: str, photograph: str, small: bool = False) -> Response:
    """A photograph of a draft, as it will be sent, or its thumbnail."""
    found = next((one for one in visitor.console.desk.drafts.photographs(name) if one.id == photograph), None)
    if found is None:
        raise NotFoundError("no_photograph", "there is no such photograph")
    if small and found.thumbnail:
        return Response(found.thumbnail, media_type="image/jpeg")
    return Response(found.data, media_type=found.media_type)
