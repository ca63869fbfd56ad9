"""Code lists by name, with what each code means in English, French, Spanish and Arabic, and where one finds it.

The lists of others carry the labels that their sources have: of ISO 3166-1 all four languages (the United Nations'
own), of all else English. The labels of our own lists are ours. A language that is missing is never made up: the
English label is given, and says that it is English.

Source: codes/data/README.md; docs/howto/code-lists.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import Final

from countermark_protocol import codes, handling
from countermark_protocol.codes.matching import folded
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows
from countermark_protocol.errors import NotFoundError

#: Languages in which labels are asked for, BCP 47; the first is the one that every code has.
LANGUAGES: Final = ("en", "fr", "es", "ar")
#: Names that an error suggests at most, more help nobody; and how many letters they share with what was typed.
_MOST_MEANT: Final = 8
_STEM: Final = 5
_OWN_EDITION: Final = "countermark 1"
#: Modules of `countermark_protocol.codes` whose enumerations are no code lists of messages.
_MACHINERY: Final = frozenset(
    {"calibres", "labels", "look_alikes", "makers", "matching", "serial_texts", "serials", "tables"}
)
_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")
_LABEL_FILES: Final[Mapping[CodeListName, str]] = MappingProxyType({CodeListName.COUNTRY: "iso3166_labels"})


@dataclass(frozen=True, slots=True)
class Label:
    """What a code means, in words.

    Attributes:
        text: the words.
        language: that they are in, of `LANGUAGES`: English where the source has no other.
    """

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class ListedCode:
    """One code of one list.

    Attributes:
        list_name: as `list_names` has it.
        code: of the list.
        label: what it means.
    """

    list_name: str
    code: str
    label: Label


@dataclass(frozen=True, slots=True)
class ListFacts:
    """One list.

    Attributes:
        name: by which it is asked for: lower case for the lists of others, capitals for ours.
        edition: of its owner.
        size: how many codes.
        languages: in which all of it has labels.
    """

    name: str
    edition: str
    size: int
    languages: tuple[str, ...]


@cache
def _own() -> Mapping[str, type[StrEnum]]:
    """Our own lists, by the name that fields give them (`WEAPON_CATEGORY`)."""
    modules: list[ModuleType] = [handling]
    modules += [
        import_module(f"{codes.__name__}.{found.name}")
        for found in iter_modules(codes.__path__)
        if found.name not in _MACHINERY
    ]
    found = {
        _WORD_START.sub("_", each.__name__).upper(): each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, StrEnum) and each.__module__ == module.__name__
    }
    return MappingProxyType(dict(sorted(found.items())))


@cache
def _own_labels() -> Mapping[tuple[str, str], Mapping[str, str]]:
    return MappingProxyType({(row["list"], row["code"]): row for row in read_rows("own_labels")})


@cache
def _others_labels(name: CodeListName) -> Mapping[str, Mapping[str, str]]:
    file = _LABEL_FILES.get(name)
    return MappingProxyType({row["code"]: row for row in read_rows(file)} if file else {})


def _in_words(code: str) -> str:
    """A code of ours as English words."""
    return code.replace("_", " ").capitalize() if code.isupper() else code


def list_names() -> tuple[str, ...]:
    """Names of all lists: those of others first, then ours."""
    return (*(name.value for name in CodeListName), *_own())


def _codes(name: str) -> Mapping[str, str]:
    """Code to English label, in the order of the list.

    Raises:
        NotFoundError: ``no_such_list``.
    """
    if name in _own():
        return {
            member.value: _own_labels().get((name, member.value), {}).get("en") or _in_words(member.value)
            for member in _own()[name]
        }
    try:
        return load_code_list(CodeListName(name)).entries
    except ValueError:
        stem = name.casefold()[:_STEM]
        near = [each for each in list_names() if stem and stem in each.casefold()]
        meant = f"; did you mean {', '.join(near)}?" if 0 < len(near) <= _MOST_MEANT else ""
        raise NotFoundError(
            "no_such_list", f"expected the name of a code list, got {name[:60]!r}{meant}"
        ) from None


def facts_of(name: str) -> ListFacts:
    """Edition, size and languages of a list.

    Raises:
        NotFoundError: ``no_such_list``.
    """
    listed = _codes(name)
    edition = _OWN_EDITION if name in _own() else load_code_list(CodeListName(name)).edition
    languages = tuple(
        language
        for language in LANGUAGES
        if all(label_of(name, code, language).language == language for code in listed)
    )
    return ListFacts(name, edition, len(listed), languages)


def label_of(name: str, code: str, language: str = "en") -> Label:
    """What a code means, in a language if its source has it, else in English.

    Args:
        name: of the list.
        code: of the list.
        language: one of `LANGUAGES`.

    Raises:
        NotFoundError: ``no_such_list``, ``no_such_code``.
    """
    listed = _codes(name)
    if code not in listed:
        raise NotFoundError("no_such_code", f"the list {name} has no code {code[:60]!r}")
    if name in _own():
        row: Mapping[str, str] = _own_labels().get((name, code), {})
    else:
        row = _others_labels(CodeListName(name)).get(code, {})
    text = row.get(language, "")
    if text and language in LANGUAGES:
        return Label(text, language)
    return Label(listed[code], LANGUAGES[0])


def show_list(name: str, language: str = "en") -> tuple[ListedCode, ...]:
    """Every code of a list, in its order.

    Raises:
        NotFoundError: ``no_such_list``.
    """
    return tuple(ListedCode(name, code, label_of(name, code, language)) for code in _codes(name))


def find_codes(
    text: str, *, names: tuple[str, ...] | None = None, language: str = "en"
) -> tuple[ListedCode, ...]:
    """Codes that are a text, or whose label in any language holds it; capitals and accents do not count.

    Args:
        text: at least one letter or digit.
        names: of lists; all if None.
        language: of the labels given back.

    Raises:
        NotFoundError: ``no_such_list``.
    """
    wanted = folded(text)
    found: list[tuple[int, ListedCode]] = []
    for name in names if names is not None else list_names():
        for code, labels in _folded_labels(name).items():
            rank = _rank(wanted, folded(code), labels)
            if rank is not None:
                found.append((rank, ListedCode(name, code, label_of(name, code, language))))
    return tuple(each for _, each in sorted(found, key=lambda one: one[0]))


@cache
def _folded_labels(name: str) -> Mapping[str, frozenset[str]]:
    """Code to its labels in all languages, as they are compared."""
    listed = _codes(name)
    several = name in _own() or CodeListName(name) in _LABEL_FILES
    return MappingProxyType(
        {
            code: frozenset(
                folded(each)
                for each in (
                    text,
                    *(label_of(name, code, language).text for language in LANGUAGES if several),
                )
            )
            for code, text in listed.items()
        }
    )


def _rank(wanted: str, code: str, labels: frozenset[str]) -> int | None:
    """How well a code fits: 0 it is the text, 1 a label is, 2 one begins so, 3 one holds it; None if none does."""
    if code == wanted:
        return 0
    if wanted in labels:
        return 1
    if any(each.startswith(wanted) for each in labels):
        return 2
    return 3 if any(wanted in each for each in labels) else None
