"""Codes and texts that a field is filled in with: short lists as they are, long ones found by typing.

Source: docs/howto/code-lists.md; `countermark_protocol.codes.labels`; `countermark_client.places`.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from babel import Locale

from countermark_client.places import load_places
from countermark_console.desk.forms.fields import FormField, Kind
from countermark_protocol.codes.labels import find_codes, label_of, show_list
from countermark_protocol.codes.matching import folded
from countermark_protocol.errors import NotFoundError

#: What is offered at a time.
MOST: Final = 20
_LANGUAGE: Final = "en"
_UNLOCODE: Final = re.compile("[A-Z]{2}[A-Z2-9]{3}")


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose.

    Attributes:
        value: as it stands in the content.
        label: what it means, for people.
    """

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Known:
    """What only this agency knows, to be found by typing.

    Attributes:
        endpoints: address to name, from the directory.
        authorities: code to name, from the directory.
        terms: texts seen in messages, by the name of their source (``models``).
    """

    endpoints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    authorities: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    terms: Callable[[str, str], Iterable[str]] = field(default=lambda _source, _text: ())


def list_choices(code_list: str, language: str = _LANGUAGE) -> tuple[Choice, ...]:
    """All codes of a short list, in its order."""
    return tuple(Choice(one.code, one.label.text) for one in show_list(code_list, language))


def code_label(code_list: str, code: str, language: str = _LANGUAGE) -> str:
    """What a code of a list means; the code itself where the list does not have it."""
    try:
        return label_of(code_list, code, language).text
    except NotFoundError:
        return code


#: Sources that are code lists of others, by the lists.
_LISTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "countries": ("iso3166_countries",),
        "maker_countries": ("iso3166_countries", "former_states"),
        "hs": ("hs_chapter_93_arms",),
        "weapon_types": ("ncic_gun_type_combined",),
        "make_codes": ("ncic_gun_make",),
        "calibre_codes": ("ncic_gun_calibre",),
        "finish_codes": ("ncic_colour_finish",),
        "legal_categories": ("eu_2021_555_categories",),
    }
)
#: Sources that suggest a text: the labels of a list, and what stood in messages.
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"makes": ("ncic_gun_make",), "calibres": ("ncic_gun_calibre",), "models": ()}
)
SOURCES: Final = frozenset(
    {*_LISTS, *_TEXTS, "places", "subdivisions", "languages", "scripts", "currencies", "time_zones"}
    | {"endpoints", "authorities"}
)


def search(
    source: str,
    text: str,
    *,
    language: str = _LANGUAGE,
    country: str | None = None,
    known: Known | None = None,
) -> tuple[Choice, ...]:
    """What a text may mean in a source, the likeliest first; at most `MOST`.

    Args:
        source: of `SOURCES`.
        text: as typed so far.
        language: of labels.
        country: ISO 3166-1 alpha-2; places and subdivisions of it alone.
        known: what only this agency knows.

    Raises:
        NotFoundError: ``no_such_list``: there is no such source.
    """
    text = text.strip()
    known = known if known is not None else Known()
    if source not in SOURCES:
        raise NotFoundError("no_such_list", f"expected the name of a source, got {source[:40]!r}")
    if source in _LISTS:
        if not text:
            return ()
        found = find_codes(text, names=_LISTS[source], language=language)
        return tuple(Choice(one.code, one.label.text) for one in found[:MOST])
    if source in _TEXTS:
        return _texts(source, text, known)
    if source == "places":
        return _places(text, country)
    if source == "subdivisions":
        codes = sorted(load_places().subdivisions(country)) if country else []
        return tuple(Choice(code, code) for code in codes if text.upper() in code)[:MOST]
    return _among(_small(source, language, known), text)


def _texts(source: str, text: str, known: Known) -> tuple[Choice, ...]:
    if not text:
        return ()
    seen = [Choice(one, "") for one in known.terms(source, text)]
    listed = find_codes(text, names=_TEXTS[source]) if _TEXTS[source] else ()
    taken = {one.value for one in seen}
    seen += [Choice(one.label.text, one.code) for one in listed if one.label.text not in taken]
    return tuple(seen[:MOST])


def _places(text: str, country: str | None) -> tuple[Choice, ...]:
    if len(text) < 2:
        return ()
    places = load_places()
    exact = places.find(text)
    found = [exact] if exact is not None else []
    found += [one for one in places.search(text, country=country or None, limit=MOST) if one != exact]
    found = [one for one in found if _UNLOCODE.fullmatch(one.code)]  # the list has a few that are no codes
    return tuple(Choice(one.code, f"{one.name}, {one.subdivision or one.country}") for one in found[:MOST])


def _small(source: str, language: str, known: Known) -> Mapping[str, str]:
    if source == "endpoints":
        return known.endpoints
    return known.authorities if source == "authorities" else _of_babel(source, language)


@cache
def _of_babel(source: str, language: str) -> Mapping[str, str]:
    locale = Locale.parse(language)
    if source == "languages":
        names = {code: name for code, name in locale.languages.items() if "_" not in code and len(code) == 2}
    elif source == "scripts":
        names = dict(locale.scripts.items())
    elif source == "currencies":
        names = dict(locale.currencies.items())
    else:
        names = {zone: zone.replace("_", " ") for zone in zoneinfo.available_timezones() if "/" in zone}
    return MappingProxyType(dict(sorted(names.items())))


def _among(names: Mapping[str, str], text: str) -> tuple[Choice, ...]:
    wanted = folded(text) if text else ""
    ranked: Sequence[list[Choice]] = ([], [], [])
    for value, label in names.items():
        plain, said = folded(value), folded(label)
        if wanted in {plain, said}:
            ranked[0].append(Choice(value, label))
        elif plain.startswith(wanted) or said.startswith(wanted):
            ranked[1].append(Choice(value, label))
        elif wanted in plain or wanted in said:
            ranked[2].append(Choice(value, label))
    return tuple([*ranked[0], *ranked[1], *ranked[2]][:MOST])


def meaning(source: str, value: str, *, language: str = _LANGUAGE, known: Known | None = None) -> str:
    """What a value found by typing means, in words; empty where that is not known or says no more."""
    if not value:
        return ""
    if source in _LISTS:
        for name in _LISTS[source]:
            label = code_label(name, value, language)
            if label != value:
                return label
        return ""
    if source == "places":
        place = load_places().find(value)
        return place.name if place is not None else ""
    if source in _TEXTS or source == "subdivisions":
        return ""
    label = _small(source, language, known if known is not None else Known()).get(value, "")
    return "" if label == value else label


def resolved(source: str, text: str, *, language: str = _LANGUAGE, known: Known | None = None) -> str:
    """The code that a typed text means without doubt; the text itself where there is doubt.

    Who types *Kenya* and chooses nothing means the code of Kenya.
    """
    if meaning(source, text, language=language, known=known):
        return text
    wanted = folded(text)
    found = search(source, text, language=language, known=known)
    exact = [one for one in found if wanted in {folded(one.value), folded(one.label.partition(", ")[0])}]
    return exact[0].value if len(exact) == 1 else text


def resolve_typed(
    form: FormField, state: Any, *, language: str = _LANGUAGE, known: Known | None = None
) -> Any:
    """A form's state in which names that were typed are the codes that they mean without doubt."""
    if form.kind is Kind.GROUP and isinstance(state, dict):
        return {
            name: resolve_typed(one, value, language=language, known=known)
            if (one := form.find(name)) is not None
            else value
            for name, value in state.items()
        }
    if form.kind is Kind.ROWS and form.item is not None and isinstance(state, list):
        return [resolve_typed(form.item, row, language=language, known=known) for row in state]
    if form.search is not None and form.coded and isinstance(state, str) and state:
        return resolved(form.search, state, language=language, known=known)
    return state
