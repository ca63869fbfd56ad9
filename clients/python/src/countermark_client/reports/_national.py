"""A draft of a national report whose figures are computed; the rest is a person's to write.

Source: docs/spec/reports.md §1 and 5.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from countermark_client.reports._report import COMPUTED_BY, NOT_COUNTED, Report
from countermark_protocol.codes.events import ConfiscationAction
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import PolicyError

_ACTIONS = frozenset(action.value for action in ConfiscationAction)


def national_figures(made: Report) -> JsonObject:
    """The member ``figures`` of a `national-report`, from a report of kind ``poa``.

    What has no year, and ways in which arms came to hand that the national report does not ask for, stand under
    ``notCounted``.

    Raises:
        PolicyError: ``other_report_kind``: the report is of another kind.
    """
    if made.kind != "poa":
        raise PolicyError("other_report_kind", f"a national report is drafted from kind poa, not {made.kind}")
    not_counted = Counter(NOT_COUNTED[each.reason] for each in made.left_out)
    arms: list[JsonObject] = []
    destroyed: list[JsonObject] = []
    for each in made.figures:
        if each.table == "marking":
            action, category, marking = each.cell
            if not each.year.isdecimal():
                not_counted["of an unknown year"] += each.count
            elif action not in _ACTIONS:
                not_counted[f"came to hand as {action}"] += each.count
            else:
                arms.append(
                    {
                        "year": int(each.year),
                        "action": action,
                        "category": category,
                        "marking": marking,
                        "count": each.count,
                    }
                )
        elif each.table == "destroyed":
            category, method = each.cell
            destroyed.append(
                {"year": int(each.year), "category": category, "method": method, "count": each.count}
            )
    tables: dict[str, list[JsonObject]] = {
        "arms": arms,
        "destroyed": destroyed,
        "tracing": [row for year in made.years if (row := _tracing(made, year)) is not None],
        "indicator": [row for year in made.years for row in _indicator(made, year)],
        "notCounted": [{"reason": reason, "count": count} for reason, count in sorted(not_counted.items())],
    }
    return {
        "basis": "COMPUTED",
        "computedBy": COMPUTED_BY,
        "messages": made.messages,
        **{name: rows for name, rows in tables.items() if rows},
    }


def _tracing(made: Report, year: int) -> JsonObject | None:
    def counts(direction: str) -> list[int]:
        return [
            made.count("requests", year, direction, what)
            for what in ("asked", "acknowledged", "answered", "refused")
        ]

    sent, received = counts("sent"), counts("received")
    if not sent[0] and not received[0]:
        return None
    row: dict[str, Any] = {"year": year}
    for name, numbers in (("sent", sent), ("received", received)):
        for suffix, number in zip(("", "Acknowledged", "Answered", "Refused"), numbers, strict=True):
            row[f"{name}{suffix}"] = number
    if str(year) in made.median_days:
        row["medianResponseDays"] = made.median_days[str(year)]
    return row


def _indicator(made: Report, year: int) -> list[JsonObject]:
    """All arms first, then by state of marking. What a competent authority established otherwise no message tells."""
    markings = sorted(
        {f.cell[0] for f in made.figures if f.table == "indicator_arms" and f.year == str(year)}
    )
    cells: list[tuple[str, ...]] = [(), *((marking,) for marking in markings)]
    rows: list[JsonObject] = []
    for cell in cells if markings else ():
        row: dict[str, Any] = {"year": year}
        if cell:
            row["marking"] = cell[0]
        row["traced"] = made.count("indicator_traced", year, *cell)
        row["otherwiseEstablished"] = 0
        row["arms"] = made.count("indicator_arms", year, *cell)
        rows.append(row)
    return rows


def national_draft(made: Report, written: JsonObject) -> JsonObject:
    """A `national-report` document: what people have written, with computed figures and years.

    Args:
        made: of kind ``poa``.
        written: members of the report that no message tells (state, contacts, sections, who signs).

    Raises:
        PolicyError: ``other_report_kind``; ``figures_written``: `written` has figures or years of its own.

    Does not prove: that it is valid; `countermark_protocol.registry.validate_content` tells what is missing.
    """
    own = sorted({"figures", "years"} & written.keys())
    if own:
        raise PolicyError(
            "figures_written", f"{', '.join(own)} are computed: leave them out of what is written"
        )
    return {"years": list(made.years), **written, "figures": national_figures(made)}
