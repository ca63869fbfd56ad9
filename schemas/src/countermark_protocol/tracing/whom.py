"""Whom to ask: from what is known of a weapon to the States that may hold its records, each with the reasons.

Nothing is decided here. What States have told of their marks (`marking-system-description`) and what stands on the
weapon gives candidates: of manufacture, and of the last import. A make alone never gives a State with certainty, an
ambiguous serial gives all that it can mean.

Source: ITI 8, 17 and 31(b); MOSAIC 05.31; domain page 4.2; docs/spec/tracing.md §9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.codes.matching import UNKNOWN_TEXT, folded, match_make
from countermark_protocol.codes.serials import serial_keys
from countermark_protocol.codes.weapons import Component, MarkKind
from countermark_protocol.errors import UncheckableError
from countermark_protocol.messages.marking_system import MarkingSystemDescription, SerialFormat
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.pattern_matching import matches_whole, states_of
from countermark_protocol.messages.weapon import FirearmItem

#: T, the maker's four digits, perhaps the year: before the serial of a weapon made in Turkey.
_TURKISH: Final = re.compile(r"T[- ]?[0-9]{4}(?![0-9])")
#: Most states of all expressions that are run of one description: further ones are shown alone.
MAX_STATES_RUN: Final = 10_000
#: Kinds of mark whose text may name a country.
_NAMING: Final = frozenset({MarkKind.COUNTRY_OF_MANUFACTURE, MarkKind.IMPORT, MarkKind.MANUFACTURER})


class Part(StrEnum):
    """What a State may know of."""

    MANUFACTURE = "manufacture"
    IMPORT = "import"


class Weight(StrEnum):
    """How much a reason says, the most first."""

    MARK = "mark"
    """The weapon says so itself."""
    RECORDED = "recorded"
    """Who recorded the weapon says so."""
    CODE = "code"
    """A code on it is one of that State's."""
    FORM = "form"
    """Its serial is built as that State says its makers build theirs."""
    HINT = "hint"
    """It may be; by itself no ground to ask."""


_WEIGHTS: Final = list(Weight)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a State.

    Attributes:
        weight: how much it says.
        text: in words.
        source: payload hash of the description that tells so, 32 bytes, or None.
    """

    weight: Weight
    text: str
    source: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "weight": self.weight.value,
            "text": self.text,
            "source": self.source.hex() if self.source is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A State that may hold records.

    Attributes:
        country: ISO 3166-1 alpha-2 or a former State.
        part: of what.
        reasons: the weightiest first.
        certain: whether the weapon itself, or who recorded it, says so, and nothing says otherwise.
    """

    country: str
    part: Part
    reasons: tuple[Reason, ...]
    certain: bool

    @property
    def weight(self) -> Weight:
        """Of the weightiest reason."""
        return self.reasons[0].weight

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "country": self.country,
            "part": self.part.value,
            "certain": self.certain,
            "reasons": [reason.to_json() for reason in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Described:
    """A description that was received.

    Attributes:
        message: payload hash, 32 bytes.
        by: address of who sent it.
        index: of its log entry.
        content: of the message.
    """

    message: bytes
    by: str
    index: int
    content: MarkingSystemDescription


def current(descriptions: Iterable[Described]) -> tuple[Described, ...]:
    """Of each State's own authority and each day from which one holds, the newest description.

    A State describes its own marks: what another says of them is left out. Earlier periods stay: weapons are old.
    """
    newest: dict[tuple[str, str, str], Described] = {}
    for one in sorted(descriptions, key=lambda d: d.index):
        if one.by.partition(".")[0].upper() == one.content.country:
            newest[one.by, one.content.country, one.content.valid_from.isoformat()] = one
    return tuple(newest.values())


def whom_to_ask(item: FirearmItem, descriptions: Sequence[Described]) -> tuple[Candidate, ...]:
    """States that may hold records of a weapon: by part, the weightiest first.

    Args:
        item: as recorded.
        descriptions: as `current` gives them.
    """
    found: dict[tuple[Part, str], list[Reason]] = {}
    for part, country, reason in (*_recorded(item), *_marked(item), *_described(item, descriptions)):
        reasons = found.setdefault((part, country), [])
        if reason not in reasons:
            reasons.append(reason)
    out = []
    for (part, country), reasons in found.items():
        reasons.sort(key=lambda r: (_WEIGHTS.index(r.weight), r.text))
        strong = {c for (p, c), rs in found.items() if p is part and any(_is_strong(r) for r in rs)}
        out.append(Candidate(country, part, tuple(reasons), strong == {country}))
    out.sort(key=lambda c: (c.part is Part.IMPORT, _WEIGHTS.index(c.weight), -len(c.reasons), c.country))
    return tuple(out)


def _is_strong(reason: Reason) -> bool:
    return reason.weight in {Weight.MARK, Weight.RECORDED}


_Found = tuple[Part, str, Reason]


def _recorded(item: FirearmItem) -> Iterator[_Found]:
    if item.country_of_manufacture is not None:
        yield (
            Part.MANUFACTURE,
            item.country_of_manufacture,
            Reason(Weight.RECORDED, "recorded as country of manufacture"),
        )
    if item.last_known_import is not None:
        year = f" in {item.last_known_import.year}" if item.last_known_import.year else ""
        yield (
            Part.IMPORT,
            item.last_known_import.country,
            Reason(Weight.RECORDED, f"recorded as last known import{year}"),
        )


def _marked(item: FirearmItem) -> Iterator[_Found]:
    for mark in item.marks:
        if mark.country is not None:
            part = Part.IMPORT if mark.kind is MarkKind.IMPORT else Part.MANUFACTURE
            yield part, mark.country, Reason(Weight.MARK, f"a mark on the {_on(mark)} names it")
        if mark.text is not None and _TURKISH.match(mark.text.upper()):
            words = (
                f"the mark on the {_on(mark)} begins as the codes of Turkish makers do (T and four digits)"
            )
            yield Part.MANUFACTURE, "TR", Reason(Weight.CODE, words)


def _on(mark: Mark) -> str:
    return "weapon" if mark.component is Component.UNKNOWN else mark.component.value.lower()


def _described(item: FirearmItem, descriptions: Sequence[Described]) -> Iterator[_Found]:
    for one in descriptions:
        content, source = one.content, one.message
        for mark in item.marks:
            if mark.text is None:
                continue
            if mark.kind in _NAMING and folded(mark.text) == folded(content.country_identifier.text):
                part = Part.IMPORT if mark.kind is MarkKind.IMPORT else Part.MANUFACTURE
                yield (
                    part,
                    content.country,
                    Reason(Weight.MARK, "a mark is how that State writes itself", source),
                )
            for code in content.maker_codes:
                if _begins(mark.text, code.code):
                    words = f"the mark on the {_on(mark)} bears the code of {code.maker} there"
                    yield Part.MANUFACTURE, content.country, Reason(Weight.CODE, words, source)
        yield from _formed(item, one)
        makers = {f.maker for f in content.serial_formats} | {c.maker for c in content.maker_codes}
        if any(_same_make(item, maker) for maker in makers):
            words = "that make is made there; it may be made elsewhere too"
            yield Part.MANUFACTURE, content.country, Reason(Weight.HINT, words, source)


def _begins(text: str, code: str) -> bool:
    plain, begins = serial_keys(text).plain, serial_keys(code).plain
    return len(begins) >= 2 and plain.startswith(begins)


def _formed(item: FirearmItem, one: Described) -> Iterator[_Found]:
    known = item.make.text != UNKNOWN_TEXT
    forms = tuple(_runnable(one.content.serial_formats))
    for mark in item.marks:
        if mark.kind is not MarkKind.SERIAL or mark.text is None:
            continue
        for form in forms:
            if (known and not _same_make(item, form.maker)) or not _in_period(item, form):
                continue
            if _fits(form.regex, mark.text):
                doubt = "; such a serial can mean several years or makers" if form.ambiguous else ""
                weight = Weight.FORM if known else Weight.HINT
                words = (
                    f"the serial on the {_on(mark)} is built as {form.maker} builds them{_years(form)}{doubt}"
                )
                yield Part.MANUFACTURE, one.content.country, Reason(weight, words, one.message)


def _same_make(item: FirearmItem, maker: str) -> bool:
    if item.make.text == UNKNOWN_TEXT:
        return False
    if folded(item.make.text) == folded(maker):
        return True
    ours = item.make.code or match_make(item.make.text).code
    return ours is not None and ours == match_make(maker).code


def _in_period(item: FirearmItem, form: SerialFormat) -> bool:
    years = (item.year_of_manufacture,) if item.year_of_manufacture else item.year_of_manufacture_candidates
    if not years:
        return True
    low, high = form.from_year or 0, form.to_year or 9999
    return any(low <= year <= high for year in years)


def _years(form: SerialFormat) -> str:
    if form.from_year is None and form.to_year is None:
        return ""
    return f" ({form.from_year or ''}-{form.to_year or ''})"


def _runnable(forms: Iterable[SerialFormat]) -> Iterator[SerialFormat]:
    """Forms whose expressions are run: none too large, and together no more than one weapon is worth."""
    left = MAX_STATES_RUN
    for form in forms:
        try:
            left -= states_of(form.regex)
        except UncheckableError:
            continue
        if left < 0:
            return
        yield form


def _fits(pattern: str, text: str) -> bool:
    """Whether a serial, as stamped or in its plain form, is of a form."""
    return any(matches_whole(pattern, one) for one in {text, text.upper(), serial_keys(text).plain})
