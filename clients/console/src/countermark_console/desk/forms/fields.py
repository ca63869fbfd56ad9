"""A form's fields, read from the model of a message type.

Every type and version has a form: its blocks are groups, its lists rows that can be added. Label and help are the
model's own words and the instrument that they come from; what a value may look like comes from its scalar type.

Source: docs/spec/messages.md §7.
"""

from __future__ import annotations

import re
import types
import typing
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import StringConstraints
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from countermark_protocol.messages.base import Block
from countermark_protocol.registry import find_model
from countermark_protocol.types import TYPES

_UPPER: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Kind(StrEnum):
    """How a field is filled in."""

    LINE = "line"
    PROSE = "prose"
    DAY = "day"
    INSTANT = "instant"
    INTEGER = "integer"
    YES_NO = "yes_no"
    CODE = "code"
    """One code of a short list."""
    SEARCH = "search"
    """A code or a text that is found by typing."""
    CODES = "codes"
    """Several codes of a short list."""
    ROWS = "rows"
    """A list whose elements are added one by one."""
    GROUP = "group"
    """A block."""


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form.

    Attributes:
        name: as in the content's JSON.
        kind: how it is filled in.
        label: what it means, in the model's words (English; a message id of the catalogues).
        source: instrument and paragraph that it comes from.
        unit: of a number or a time; empty if none.
        required: whether the content must have it.
        shape: what a value looks like, in words; empty if its kind says so.
        code_list: name of the list of its codes (`countermark_protocol.codes.labels`), or None.
        search: what is found by typing (`choices.SOURCES`), or None.
        coded: whether what is found must be a code; else it is a suggestion.
        max_length: most characters, or None.
        low: smallest number, or None.
        high: largest number, or None.
        at_least: fewest rows.
        at_most: most rows, or None.
        item: what a row is, of `ROWS`.
        fields: of a `GROUP`.
        rules: of a `GROUP`, what must hold across its fields, by id.
    """

    name: str
    kind: Kind
    label: str = ""
    source: str = ""
    unit: str = ""
    required: bool = False
    shape: str = ""
    code_list: str | None = None
    search: str | None = None
    coded: bool = False
    max_length: int | None = None
    low: int | None = None
    high: int | None = None
    at_least: int = 0
    at_most: int | None = None
    item: FormField | None = None
    fields: tuple[FormField, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> FormField | None:
        """The field of a group by its name."""
        return next((one for one in self.fields if one.name == name), None)


#: Scalar types whose values are found by typing: what is searched, and whether it must be a code.
_SEARCHED: Final = {
    "Country": ("countries", True),
    "MakerCountry": ("maker_countries", True),
    "Unlocode": ("places", True),
    "Subdivision": ("subdivisions", True),
    "HsCode": ("hs", True),
    "NcicType": ("weapon_types", True),
    "Language": ("languages", True),
    "Script": ("scripts", True),
    "Currency": ("currencies", True),
    "TimeZone": ("time_zones", True),
    "EndpointRef": ("endpoints", True),
    "AuthorityRef": ("authorities", True),
}
#: Short lists of others that a scalar type takes its codes from.
_LISTED: Final = {"NcicAction": "ncic_gun_type2_action", "TransportMode": "unece_rec19_transport_mode"}
#: Fields of blocks whose texts or codes are found by typing, though their type does not say so.
_SUGGESTED: Final = {
    ("Make", "text"): ("makes", False),
    ("Make", "code"): ("make_codes", True),
    ("Model", "text"): ("models", False),
    ("Calibre", "text"): ("calibres", False),
    ("Calibre", "code"): ("calibre_codes", True),
    ("Finish", "code"): ("finish_codes", True),
    ("LegalCategory", "code"): ("legal_categories", True),
}
#: What scalar types look like, where a kind of input says it better than words.
_KINDS: Final = {"Prose": Kind.PROSE, "Day": Kind.DAY, "Instant": Kind.INSTANT}
_PLAIN: Final = frozenset({"Ref", "Line", "Title", "Prose", "Day", "Instant", "Count"})


@cache
def form_of(message_type: str, version: int) -> FormField:
    """The form of a message type and version.

    Raises:
        UncheckableError: ``unknown_type``.
    """
    model = find_model(message_type, version)
    return replace(_group(model), name="", label=message_type, required=True)


def newest_version(message_type: str) -> int:
    """The newest version of a type that exists.

    Raises:
        KeyError: there is no such type.
    """
    return max(TYPES[message_type].versions)


@cache
def _group(model: type[Block]) -> FormField:
    return FormField(
        name="",
        kind=Kind.GROUP,
        fields=tuple(_field(model, name, info) for name, info in model.model_fields.items()),
        rules=tuple(model.RULES.items()),
    )


def _field(model: type[Block], name: str, info: FieldInfo) -> FormField:
    extra: dict[str, Any] = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    label = (info.description or "").partition(". Unit:")[0].partition(". Code list:")[0]
    label = label.partition(". Source:")[0].rstrip(".")
    low, high, at_least, at_most = _bounds(info.metadata)
    annotation = _without_none(info.annotation)
    kind = _of(annotation)
    if kind.kind in {Kind.ROWS, Kind.CODES}:
        kind = replace(kind, at_least=at_least or 0, at_most=at_most)
    elif low is not None or high is not None:
        kind = replace(kind, low=low, high=high)
    search = _SUGGESTED.get((model.__name__, name))
    if search is not None:
        kind = replace(kind, kind=Kind.SEARCH, search=search[0], coded=search[1])
    return replace(
        kind,
        name=info.alias or name,
        label=label,
        source=str(extra.get("x-source", "")),
        unit=str(extra.get("x-unit", "")),
        required=info.is_required(),
    )


def _bounds(metadata: list[Any]) -> tuple[int | None, int | None, int | None, int | None]:
    low = next((int(str(m.ge)) for m in metadata if isinstance(m, Ge)), None)
    high = next((int(str(m.le)) for m in metadata if isinstance(m, Le)), None)
    at_least = next((m.min_length for m in metadata if isinstance(m, MinLen)), None)
    at_most = next((m.max_length for m in metadata if isinstance(m, MaxLen)), None)
    return low, high, at_least, at_most


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        [one] = [each for each in typing.get_args(annotation) if each is not type(None)]
        return one
    return annotation


def _of(annotation: Any) -> FormField:
    """A field of a type, without name and label."""
    if typing.get_origin(annotation) is tuple:
        item = _of(typing.get_args(annotation)[0])
        if item.kind is Kind.CODE:
            return FormField(name="", kind=Kind.CODES, code_list=item.code_list)
        return FormField(name="", kind=Kind.ROWS, item=item)
    if isinstance(annotation, TypeAliasType):
        return _scalar(annotation)
    if isinstance(annotation, type):
        if issubclass(annotation, Block):
            return _group(annotation)
        if issubclass(annotation, Enum):
            return FormField(name="", kind=Kind.CODE, code_list=_UPPER.sub("_", annotation.__name__).upper())
        if annotation is bool:
            return FormField(name="", kind=Kind.YES_NO)
        if annotation is int:
            return FormField(name="", kind=Kind.INTEGER)
        if annotation is str:
            return FormField(name="", kind=Kind.LINE)
    msg = f"no field for {annotation!r}"
    raise TypeError(msg)


@cache
def _scalar(alias: TypeAliasType) -> FormField:
    name = alias.__name__
    value = alias.__value__
    base, *metadata = typing.get_args(value) or (value,)
    shape, length, low, high = "", None, None, None
    for one in metadata:
        if isinstance(one, StringConstraints):
            length = one.max_length
        elif isinstance(one, FieldInfo):
            shape = one.description or ""
            more = _bounds(one.metadata)
            low, high = more[0], more[1]
    if base is int:
        return FormField(
            name="", kind=Kind.INTEGER, shape="" if name in _PLAIN else shape, low=low, high=high
        )
    if name in _LISTED:
        return FormField(name="", kind=Kind.CODE, code_list=_LISTED[name])
    search, coded = _SEARCHED.get(name, (None, False))
    return FormField(
        name="",
        kind=Kind.SEARCH if search is not None else _KINDS.get(name, Kind.LINE),
        shape="" if name in _PLAIN else shape,
        search=search,
        coded=coded,
        max_length=length,
    )


def all_texts(field: FormField) -> typing.Iterator[str]:
    """Every text of a form that is shown to people: message ids of the catalogues."""
    yield from (text for text in (field.label, field.shape, field.unit) if text)
    yield from (text for _, text in field.rules)
    for one in (*field.fields, *((field.item,) if field.item is not None else ())):
        yield from all_texts(one)
