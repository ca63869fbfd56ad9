"""Needs from a self-assessment: each scored gap becomes the draft of a request, with what a person must still write.

Areas are those of UNIDIR's reference methodology for weapons and ammunition management; each leads to the areas of
assistance under which its needs are asked for. Nothing is made up: what the file does not say is listed as missing.

Source: UNIDIR reference methodology; docs/spec/assistance.md §6.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from countermark_protocol.codes.assistance import AssistanceArea as Area
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import MalformedError
from countermark_protocol.registry import validate_content

#: Area of the reference methodology to areas of assistance, the nearest first.
AREAS: Final[Mapping[str, tuple[Area, ...]]] = MappingProxyType(
    {
        "COORDINATION": (Area.NPC_COORDINATION, Area.NATIONAL_ACTION_PLAN),
        "LEGAL_FRAMEWORK": (Area.LEGISLATION,),
        "TRANSFER_CONTROL": (Area.TRANSFER_CONTROL,),
        "STOCKPILE": (Area.STOCKPILE_SECURITY,),
        "MARKING": (Area.MARKING_EQUIPMENT,),
        "RECORD_KEEPING": (Area.RECORD_KEEPING_IT,),
        "PROFILING": (Area.TRACING_CAPACITY, Area.FORENSIC_BALLISTICS),
        "TRACING": (Area.TRACING_CAPACITY,),
        "COLLECTION": (Area.COLLECTION,),
        "DISPOSAL": (Area.DESTRUCTION,),
        "AMMUNITION": (Area.STOCKPILE_SECURITY, Area.DESTRUCTION),
    }
)
#: The best score: nothing is needed.
BEST: Final = 4
_COLUMNS: Final = (
    "area",
    "score",
    "gap",
    "need",
    "forms",
    "months",
    "currency",
    "amount",
    "priority",
)
_REQUIRED: Final = frozenset({"area", "score"})


@dataclass(frozen=True, slots=True)
class AssessedRow:
    """One row of a self-assessment.

    Attributes:
        number: from 1.
        area: a key of `AREAS`.
        score: 0 (nothing is in place) to 4 (all is).
        gap: what is missing, or nothing.
        need: what would help, or nothing; becomes title and objective.
        forms: of assistance, by code.
        months: how long it would take, or None.
        currency: of `amount`, or nothing.
        amount: what it would cost, or None.
        priority: 1 to 3, or None: then by the score.
    """

    number: int
    area: str
    score: int
    gap: str = ""
    need: str = ""
    forms: tuple[str, ...] = ()
    months: int | None = None
    currency: str = ""
    amount: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A request as far as the self-assessment gives it, or why a row gives none.

    Attributes:
        row: it comes from.
        document: content of an `assistance-request`; None if nothing is needed.
        missing: JSON pointers to what a person must write or mend, with what is expected.
        why_not: why there is none, or nothing.
    """

    row: AssessedRow
    document: JsonObject | None = field(repr=False)
    missing: tuple[tuple[str, str], ...] = ()
    why_not: str = ""


def read_assessment(text: str) -> list[AssessedRow]:
    """Read a self-assessment: CSV with a head, or a JSON list of objects; members as in `AssessedRow`.

    ``area`` and ``score`` are required; several ``forms`` are separated by ``;`` in CSV, a list in JSON.

    Raises:
        MalformedError: ``bad_assessment``; facts: ``row`` (from 1; 0 for the whole file).
    """
    rows = _json_rows(text) if text.lstrip().startswith("[") else _csv_rows(text)
    return [_row(cells, number) for number, cells in enumerate(rows, 1)]


def _json_rows(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        malformed("bad_assessment", "the self-assessment is no JSON", row=0)
    if not all(isinstance(row, dict) for row in rows):
        malformed("bad_assessment", "expected a list of objects, one for each area", row=0)
    return list(rows)


def _csv_rows(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        return list(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        malformed("bad_assessment", f"the self-assessment is no CSV: {error}", row=0)


def _row(cells: Mapping[str, Any], number: int) -> AssessedRow:
    unknown = sorted(str(name) for name in cells.keys() - set(_COLUMNS))
    if unknown or None in cells.values():
        malformed(
            "bad_assessment",
            f"row {number}: expected the members {', '.join(_COLUMNS)} and no others, each row as long as the head",
            row=number,
        )
    missing = sorted(name for name in _REQUIRED if cells.get(name, "") == "")
    if missing:
        malformed("bad_assessment", f"row {number}: {', '.join(missing)} is required", row=number)
    area = str(cells["area"]).strip().upper()
    if area not in AREAS:
        malformed("bad_assessment", f"row {number}: area is one of {', '.join(AREAS)}", row=number)
    forms = cells.get("forms", "")
    listed = forms if isinstance(forms, list) else str(forms).split(";")
    score = _number(cells, "score", number, BEST)
    assert score is not None
    return AssessedRow(
        number=number,
        area=area,
        score=score,
        gap=str(cells.get("gap", "")).strip(),
        need=str(cells.get("need", "")).strip(),
        forms=tuple(str(form).strip().upper() for form in listed if str(form).strip()),
        months=_number(cells, "months", number, 60),
        currency=str(cells.get("currency", "")).strip().upper(),
        amount=_number(cells, "amount", number, 10**15),
        priority=_number(cells, "priority", number, 3),
    )


def _number(cells: Mapping[str, Any], name: str, number: int, most: int) -> int | None:
    text = str(cells.get(name, "")).strip()
    if text == "":
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)) or int(text) > most:
        malformed("bad_assessment", f"row {number}: {name} is a whole number from 0 to {most}", row=number)
    return int(text)


def draft_requests(rows: Iterable[AssessedRow], common: JsonObject) -> list[DraftRequest]:
    """Draft a request for each row that names a gap or a need below the best score.

    Args:
        rows: of the self-assessment.
        common: members that all requests share (State, contact, languages, …); a row's own words win.
    """
    return [_draft(row, common) for row in rows]


def _draft(row: AssessedRow, common: JsonObject) -> DraftRequest:
    if row.score == BEST:
        return DraftRequest(row, None, why_not="the best score: nothing is needed")
    if not row.gap and not row.need:
        return DraftRequest(row, None, why_not="neither gap nor need is stated")
    areas = AREAS[row.area]
    own: dict[str, Any] = {
        "requestRef": f"{common['requestRef']}-{row.number}" if "requestRef" in common else None,
        "title": row.need or None,
        "areas": [area.value for area in areas],
        "forms": list(row.forms),
        "background": row.gap or None,
        "objective": row.need or None,
        "durationMonths": row.months,
        "priority": row.priority or max(1, row.score),
        "selfAssessment": [
            {"area": areas[0].value, "score": row.score, **({"gap": row.gap} if row.gap else {})}
        ],
    }
    if row.amount is not None and row.currency:
        own["budget"] = {"currency": row.currency, "total": row.amount}
    elif "noBudgetReason" not in common:
        own["noBudgetReason"] = "NOT_ESTIMATED"
    document: JsonObject = {
        **common,
        **{name: value for name, value in own.items() if value not in (None, [])},
    }
    return DraftRequest(row, document, _missing(document))


def _missing(document: JsonObject) -> tuple[tuple[str, str], ...]:
    try:
        validate_content("assistance-request", 1, document)
    except MalformedError as error:
        return tuple((each["field"], each["expected"]) for each in error.facts["violations"])
    return ()
