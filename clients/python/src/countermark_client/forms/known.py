"""Which forms there are, of which message types, and what each field of theirs is.

Source: docs/spec/forms.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from countermark_client.forms import etrace, iarms, niem
from countermark_client.forms.pairs import Converted
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import NotFoundError

#: Types whose content lists weapons under ``items``.
WITH_ITEMS: Final = (
    "confiscation-notice",
    "destruction-notice",
    "found-or-surrendered-notice",
    "hit-notice",
    "lost-or-stolen-notice",
    "tracing-clarification",
    "tracing-request",
)
_TRACING: Final = "tracing-request"
_LOSS: Final = "lost-or-stolen-notice"


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is written and read back.

    Attributes:
        name: for the command line.
        title: for people.
        types: message types it is made for.
        write: from a valid content of a type.
        read: to members of a content, not validated.
        fields: our path and the form's field, for every member that is kept.
    """

    name: str
    title: str
    types: tuple[str, ...]
    write: Callable[[str, Mapping[str, Any]], Converted]
    read: Callable[[Mapping[str, Any]], JsonObject]
    fields: tuple[tuple[str, str], ...]


def _fields(*groups: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for group in groups for pair in group)


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form(
                "niem",
                "NIEM 6.0, justice domain (JSON-LD)",
                WITH_ITEMS,
                lambda _, content: niem.to_niem(content),
                niem.from_niem,
                _fields(
                    tuple((f"items: {pair.ours}", pair.title) for pair in niem.PAIRS),
                    tuple((f"items: {ours}.code ({scheme})", theirs) for ours, theirs, scheme in niem.CODES),
                    tuple((f"items: {ours}", theirs) for ours, theirs in niem.MORE),
                ),
            ),
            Form(
                "etrace",
                "ATF form 3312.1 (eTrace)",
                (_TRACING,),
                lambda _, content: etrace.to_etrace(content),
                etrace.from_etrace,
                _fields(
                    tuple((pair.ours, pair.title) for pair in etrace.REQUEST_PAIRS),
                    tuple((f"items: {pair.ours}", pair.title) for pair in etrace.ITEM_PAIRS),
                    etrace.MORE,
                ),
            ),
            Form(
                "iarms",
                "INTERPOL iARMS",
                (_LOSS, _TRACING),
                lambda message_type, content: iarms.to_iarms(content, trace=message_type == _TRACING),
                iarms.from_iarms,
                _fields(
                    tuple((f"notice: {pair.ours}", pair.title) for pair in iarms.NOTICE_PAIRS),
                    tuple((f"request: {pair.ours}", pair.title) for pair in iarms.TRACE_PAIRS),
                    tuple((f"items: {pair.ours}", pair.title) for pair in iarms.ITEM_PAIRS),
                    iarms.MORE,
                ),
            ),
        )
    }
)
#: Written only: of trade-route alerts.
STIX: Final = "stix"
STIX_TYPE: Final = "trade-route-alert"


def form_for(name: str, message_type: str) -> Form:
    """The form of a name, if it is made for a type.

    Raises:
        NotFoundError: ``no_such_form``: it is not.
    """
    form = FORMS[name]
    if message_type not in form.types:
        raise NotFoundError(
            "no_such_form", f"{form.title} is made for {', '.join(form.types)}, not for {message_type}"
        )
    return form


def merged(template: Mapping[str, Any], read: Mapping[str, Any]) -> JsonObject:
    """A content from what a form says and what it does not: members of the form win, lists as a whole.

    Items are merged one by one, by their reference, and marks by what they read: what the template says of one, and
    the form does not, stays.
    """
    out: JsonObject = dict(template)
    for name, value in read.items():
        mine = out.get(name)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            out[name] = merged(mine, value)
        elif name == "items" and isinstance(mine, list):
            by_ref = {each.get("itemRef"): each for each in mine if isinstance(each, Mapping)}
            out[name] = [_item(by_ref.get(each.get("itemRef"), {}), each) for each in value]
        else:
            out[name] = value
    return out


def _item(mine: Mapping[str, Any], read: Mapping[str, Any]) -> JsonObject:
    out = merged(mine, read)
    if mine.get("originForm") and read.get("originForm") == "UNKNOWN":
        out["originForm"] = mine["originForm"]
    if "marks" in out and "noMarksReason" in out:
        # What the form read decides which of the two stands.
        del out["noMarksReason" if "marks" in read else "marks"]
    if "marks" in mine and "marks" in read:
        left = [mark for mark in mine["marks"] if isinstance(mark, Mapping)]
        out["marks"] = []
        for mark in read["marks"]:
            same = next((each for each in left if _reads(each) == _reads(mark)), {})
            if same:
                left.remove(same)
            known = same if mark.get("component") == "UNKNOWN" and "component" in same else {}
            out["marks"].append(
                merged(same, {**mark, **({"component": known["component"]} if known else {})})
            )
    return out


def _reads(mark: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(mark.get(name) for name in ("kind", "text", "status"))
