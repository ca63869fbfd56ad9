"""Rendering: templates with escaping, texts of the person's language, navigation, notices."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, Final

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from countermark_console import __version__
from countermark_console.people.roles import Right
from countermark_console.texts import LANGUAGES, Texts, language_name, texts
from countermark_console.web.navigation import navigation
from countermark_console.web.visitor import cookie_name, set_cookie, visitor_of

_BLOCK_BYTES: Final = 1024 * 1024


@cache
def environment(language: str) -> Environment:
    """The templates in one language. Every value is escaped unless a template says otherwise."""
    made = Environment(
        loader=PackageLoader("countermark_console", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    spoken: Texts = texts(language)
    made.globals |= {
        "_": spoken,
        "plural": spoken.plural,
        "version": __version__,
        "Right": Right,
        "languages": [(code, language_name(code)) for code in LANGUAGES],
    }
    made.filters |= {"time": spoken.time, "date": spoken.date}
    return made


def page(request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
    """A page.

    Args:
        request: that it answers.
        template: file in ``templates/``.
        status: of HTTP.
        values: for the template; it also has ``visitor``, ``navigation``, ``notice`` and ``keys`` (the vault's state).
    """
    visitor = visitor_of(request)
    notice = visitor.session.notice if visitor.session is not None and visitor.person is not None else None
    text = (
        environment(visitor.texts.language)
        .get_template(template)
        .render(
            request=request,
            path=request.url.path,
            visitor=visitor,
            person=visitor.person,
            texts=visitor.texts,
            navigation=navigation(visitor, request.url.path),
            keys=visitor.console.vault.state.value,
            notice=notice,
            **values,
        )
    )
    if notice is not None and visitor.session is not None:
        visitor.console.sessions.said(visitor.session)
    response = HTMLResponse(text, status)
    if visitor.session is None and cookie_name(request, "form") not in request.cookies:
        set_cookie(request, response, "form", visitor.before)
    return response


def fragment(request: Request, template: str, /, **values: Any) -> Response:
    """A part of a page, for htmx; it shows no notice."""
    visitor = visitor_of(request)
    return HTMLResponse(
        environment(visitor.texts.language)
        .get_template(template)
        .render(request=request, visitor=visitor, person=visitor.person, texts=visitor.texts, **values)
    )


#: After a form was taken: the browser asks for another page (RFC 9110 §15.4.4).
_SEE_OTHER: Final = 303


def go(path: str) -> Response:
    """Send the browser to another page."""
    return RedirectResponse(path, _SEE_OTHER)


def file_answer(file: BinaryIO, media_type: str, disposition: str) -> Response:
    """A file to be saved, sent in blocks and closed at the end, whether or not the browser takes all of it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)

    def blocks() -> Iterator[bytes]:
        with file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    return StreamingResponse(
        blocks(),
        media_type=media_type,
        headers={"content-disposition": disposition, "content-length": str(size)},
    )
