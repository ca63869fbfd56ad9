"""A case to be taken along: JSON for other systems, CSV for a spreadsheet, PDF for paper.

Source: RFC 4180 (CSV); ISO 32000 (PDF), by fpdf2.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from countermark_console.desk.cases import Case, Note
from countermark_console.desk.forms.choices import Known
from countermark_console.desk.forms.fields import form_of
from countermark_console.desk.forms.view import Said, read_content
from countermark_console.desk.shelf import StoredMessage
from countermark_console.desk.wording import STATE_LABELS, STATUS_LABELS, TYPE_LABELS, proof_lines
from countermark_console.texts import N_, Texts
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import UncheckableError

#: A cell that begins so is read as a formula by spreadsheets, whoever wrote it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = (
    "message",
    "conversation",
    "direction",
    "type",
    "reference",
    "headline",
    "from",
    "to",
    "logged_at",
    "log_index",
    "urgency",
    "tlp",
    "classification",
    "stage",
    "content",
)
#: (file, caption) of a message's photographs.
Pictures = Callable[[StoredMessage], Sequence[tuple[bytes, str]]]


def case_json(case: Case, messages: Sequence[StoredMessage], notes: Iterable[Note]) -> bytes:
    """A case with everything that the desk knows of it."""
    out: JsonObject = {
        "conversation": case.conversation,
        "type": case.type,
        "reference": case.reference,
        "status": case.status.value,
        "state": case.state,
        "deadline": case.deadline,
        "owner": case.owner,
        "closed_at": case.closed_at,
        "outcome": case.outcome,
        "messages": [
            {
                "message": one.hash,
                "direction": one.direction,
                "log_index": one.log_index,
                "log_time": one.log_time,
                "witnessed_at": one.witnessed_at,
                "stage": one.stage,
                "recipients": list(one.recipients),
                "receipts": list(one.receipts),
                "facts": one.facts,
                "manifest": one.manifest,
                "content": one.content,
            }
            for one in messages
        ],
        "notes": [{"at": note.at, "person": note.person, "text": note.text} for note in notes],
    }
    return json.dumps(out, ensure_ascii=False, indent=2).encode()


def messages_csv(messages: Iterable[StoredMessage]) -> bytes:
    """Messages, one a line, with their content as JSON; readable by spreadsheets, which run nothing of it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for one in messages:
        handling = one.manifest["handling"]
        values = (
            one.hash, one.conversation, one.direction, one.type, one.reference, one.headline, one.sender,
            " ".join(one.recipients), _iso(one.log_time), one.log_index, one.manifest["urgency"], handling["tlp"],
            handling["classification"], one.stage,
            json.dumps(one.content, ensure_ascii=False) if one.content is not None else "",
        )  # fmt: skip
        writer.writerow([_harmless(value) for value in values])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _iso(at: int) -> str:
    return f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


# --- paper -------------------------------------------------------------------------------------------------

#: A font of many scripts, which matplotlib brings along; its files are read, it is not loaded.
_FONT: Final = "DejaVu"
_LINE: Final = 5.0
_INDENT: Final = 6.0


class _Paper(FPDF):
    """A4 with the case and the page at the foot."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        found = importlib.util.find_spec("matplotlib")
        if found is None or found.origin is None:
            raise UncheckableError(
                "extra_missing", "a PDF needs the fonts of matplotlib, which is not installed"
            )
        fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
        self.add_font(_FONT, "", fonts / "DejaVuSans.ttf")
        self.add_font(_FONT, "B", fonts / "DejaVuSans-Bold.ttf")
        self.set_text_shaping(use_shaping_engine=True)
        self.set_auto_page_break(auto=True, margin=20)
        self.set_margins(18, 16, 18)
        self._foot = foot

    def footer(self) -> None:
        """Case and page at the foot of every page."""
        self.set_y(-13)
        self.set_font(_FONT, size=8)
        self.cell(0, 5, self.readable(f"{self._foot}   {self.page_no()}/{{nb}}"), align="C")

    def readable(self, text: str) -> str:
        """Text in what the font holds; other characters as escapes, so that nothing is left out unseen."""
        font = self.current_font
        held = font.cmap if isinstance(font, TTFFont) else {}
        return "".join(
            c if c == "\n" or (c.isprintable() and ord(c) in held) else f"\\u{ord(c):04x}" for c in text
        )

    def heading(self, text: str, size: float) -> None:
        """A heading, kept with what follows."""
        if self.get_y() > self.h - 45:
            self.add_page()
        self.ln(4)
        self.set_font(_FONT, "B", size)
        self.multi_cell(0, size * 0.5, self.readable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
        self.ln(1)

    def said(self, label: str, value: str, depth: int = 0) -> None:
        """A label and what belongs to it."""
        self.set_x(self.l_margin + min(depth, 8) * _INDENT)
        self.set_font(_FONT, "B", 9)
        if label:
            self.multi_cell(0, _LINE, self.readable(label), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
        if value:
            self.set_x(self.l_margin + (min(depth, 8) + 1) * _INDENT)
            self.set_font(_FONT, "", 9)
            self.multi_cell(0, _LINE, self.readable(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")

    def picture(self, data: bytes, caption: str) -> None:
        """A picture with its caption, on one page."""
        if self.get_y() > self.h - 110:
            self.add_page()
        self.ln(2)
        self.image(io.BytesIO(data), w=115, h=80, keep_aspect_ratio=True)
        self.said("", caption)


class CasePdf:
    """A case on paper, in a person's language.

    Args:
        texts: of that language.
        known: what this agency alone knows.
        pictures: of a message.
    """

    def __init__(self, texts: Texts, known: Known, pictures: Pictures) -> None:
        self._texts = texts
        self._known = known
        self._pictures = pictures

    def make(self, case: Case, messages: Sequence[StoredMessage], notes: Sequence[Note], now: int) -> bytes:
        """The file."""
        say = self._texts
        title = f"{say(TYPE_LABELS.get(case.type, case.type))} {case.reference}".strip()
        paper = _Paper(title[:90])
        paper.add_page()
        paper.heading(title, 16)
        facts = [
            (say(N_("Status")), say(STATUS_LABELS[case.status][0])),
            (say(N_("State")), say(STATE_LABELS.get(case.state or "", case.state or ""))),
            (say(N_("With")), case.country.upper()),
            (say(N_("Looked after by")), case.owner or ""),
            (say(N_("Closed")), say.time(case.closed_at) if case.closed_at else ""),
            (say(N_("What came of it")), case.outcome or ""),
            (say(N_("Printed")), say.time(now)),
            (say(N_("Case")), case.conversation),
        ]
        for label, value in facts:
            if value:
                paper.said(label, value)
        for message in messages:
            self._message(paper, message)
        if notes:
            paper.heading(say(N_("Notes")), 13)
            for note in notes:
                paper.said(f"{note.person}, {say.time(note.at)}", note.text)
        return bytes(paper.output())

    def _message(self, paper: _Paper, message: StoredMessage) -> None:
        say = self._texts
        paper.heading(
            f"{say(TYPE_LABELS.get(message.type, message.type))} - {say.time(message.log_time)}", 13
        )
        handling = message.manifest["handling"]
        for label, value in (
            (say(N_("From")), message.sender),
            (say(N_("To")), ", ".join(message.recipients)),
            (
                say(N_("Handling")),
                f"TLP:{handling['tlp']}, {handling['classification']} {' '.join(handling['codes'])}",
            ),
            (say(N_("Message")), message.hash),
        ):
            paper.said(label, value)
        for word, sentence, _ in proof_lines(message, say):
            paper.said(word, sentence)
        if message.content is not None:
            form = form_of(message.type, message.version)
            self._said(paper, read_content(form, message.content, say, say.language, self._known), 0)
        for data, caption in self._pictures(message):
            paper.picture(data, caption)

    def _said(self, paper: _Paper, members: Iterable[Said], depth: int) -> None:
        for one in members:
            if one.groups:
                paper.said(one.label, "", depth)
                for i, group in enumerate(one.groups, 1):
                    if one.numbered and len(one.groups) > 1:
                        paper.said(f"{i}.", "", depth + 1)
                    self._said(paper, group, depth + 1)
            else:
                paper.said(one.label, "\n".join(one.values), depth)
