"""Marks on forms that have one field for the serial number and one for all other marks.

The serial number of such a form is the mark on frame or receiver (ATF 3312.1 5a; MOSAIC 05.31: the reference
point). Every other mark is a line of its own, which reads back: ``IMPORT on FRAME: PRY 19 [LEGIBLE]``,
``SERIAL on BARREL: ZXQ7 5 (in part ZXQ7?5) [PARTIAL]``.

Source: ATF form 3312.1 5a, 5b, 5i and IX; docs/spec/forms.md §3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from countermark_client.forms.pairs import Pair, put, read, text_of
from countermark_protocol.codes.matching import UNKNOWN_TEXT
from countermark_protocol.codes.weapons import Component, MarkKind, MarkStatus, OriginForm, WeaponCategory
from countermark_protocol.encoding import JsonObject

_REFERENCE: Final = (Component.FRAME.value, Component.RECEIVER.value, Component.UNKNOWN.value)
_LINE: Final = re.compile(
    r"([A-Z_]{1,40}) on ([A-Z_]{1,40})(?:: (.{1,200}?))?(?: \(in part (\S{1,121})\))? \[([A-Z_]{1,40})\]\Z",
    re.DOTALL,
)


def reference_serial(marks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The serial that a form asks for: on frame or receiver, or where nobody wrote down its place."""
    for component in _REFERENCE:
        for mark in marks:
            if mark["kind"] == MarkKind.SERIAL and mark["component"] == component:
                return mark
    return None


def mark_line(mark: Mapping[str, Any]) -> str:
    """A mark as one line for people, which `read_line` reads back."""
    text = f": {mark['text']}" if "text" in mark else ""
    pattern = f" (in part {mark['pattern']})" if "pattern" in mark else ""
    return f"{mark['kind']} on {mark['component']}{text}{pattern} [{mark['status']}]"


def with_pattern(mark: JsonObject) -> JsonObject:
    """A partial serial whose text marks the missing characters by '?', as other systems write it, with its pattern."""
    text = mark.get("text")
    if (
        mark["kind"] == MarkKind.SERIAL
        and mark["status"] == MarkStatus.PARTIAL
        and text
        and "pattern" not in mark
    ):
        core = "".join(text.split())
        if "?" in core:
            mark["pattern"] = core
    return mark


def read_line(line: str) -> JsonObject:
    """A line of additional markings; what is not written as `mark_line` writes is a mark of kind OTHER."""
    found = _LINE.match(line)
    if found is not None:
        kind, component, text, pattern, status = found.groups()
        if (
            kind in MarkKind.__members__
            and component in Component.__members__
            and status in MarkStatus.__members__
        ):
            mark: JsonObject = {"kind": kind, "component": component, "status": status}
            put(mark, "text", text)
            put(mark, "pattern", pattern)
            return with_pattern(mark)
    return {"kind": "OTHER", "component": "UNKNOWN", "text": line, "status": "LEGIBLE"}


def read_lines(lines: Any, form: str, at: str) -> list[JsonObject]:
    """The lines of additional markings of a record; one text stands for a list of one.

    Raises:
        MalformedError: ``bad_form``: something else than texts.
    """
    return [read_line(text_of(line, form, at)) for line in (lines if isinstance(lines, list) else [lines])]


def begin_item(pairs: Sequence[Pair], record: Mapping[str, Any], number: int) -> JsonObject:
    """The weapon of a record, as far as members correspond; what neither says is not known."""
    item: JsonObject = {"itemRef": str(number)}
    read(pairs, record, item)
    if item.get("category") not in WeaponCategory.__members__:
        item["category"] = WeaponCategory.UNKNOWN.value
    item["originForm"] = OriginForm.UNKNOWN.value
    for name in ("make", "calibre"):
        item.setdefault(name, {"text": UNKNOWN_TEXT})
    return item


def end_item(item: JsonObject, marks: list[JsonObject]) -> JsonObject:
    """The weapon with its marks, or with the reason why it has none."""
    item.update({"marks": marks} if marks else {"noMarksReason": "NOT_RECORDED"})
    return item
