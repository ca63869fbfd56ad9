"""What a secretariat can publish of requests, offers and matches: of those who consent, small numbers suppressed.

A request or offer is counted if its own message consents; a match if the newest message of *both* its parties does, and
neither its request nor its offer, where they are known here, refuses. What is left out is counted for the
secretariat itself, and stands in no published form. Numbers from 1 to 2 are suppressed, and others with them from which
they could be computed, by the rules of the auditors' reports.

Source: docs/spec/assistance.md §5; domain page 6.5.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from countermark_client.assistance._kept import Known
from countermark_client.assistance._state import MatchState, Standing
from countermark_client.review._suppression import LEAST, Cross
from countermark_client.review._tables import Table, of_cross
from countermark_protocol.codes.assistance import AssistanceArea
from countermark_protocol.codes.regions import sub_region_of
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest

_MATCHED: Final = frozenset({Standing.AGREED, Standing.DELIVERED, Standing.CLOSED})
_TABLES: Final[Mapping[str, str]] = {
    "requests": "Requests, by first area and region of the State",
    "offers": "Offers, by first area and region that is eligible",
    "matches": "Matches agreed, by first area and region of the State",
}
_UNITS: Final[Mapping[str, str]] = {"requests": "requests", "offers": "offers", "matches": "agreed matches"}
_NO_REGION: Final = "NO_REGION"
_ANY: Final = "ANY"
_SEVERAL: Final = "SEVERAL"
_UNKNOWN: Final = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Overview:
    """What may be published.

    Attributes:
        tables: requests, offers, agreed matches, each once: by the area it names first and its region.
        requests_left_out: how many did not consent; for the secretariat alone.
        offers_left_out: the same.
        matches_left_out: how many agreed matches a party of which did not consent; for the secretariat alone.
    """

    tables: tuple[Table, ...]
    requests_left_out: int
    offers_left_out: int
    matches_left_out: int

    def to_json(self) -> dict[str, Any]:
        """The published form."""
        return {"tables": [table.to_json() for table in self.tables], "threshold": LEAST}

    def files(self) -> dict[str, bytes]:
        """The published forms by file name: JSON, one CSV a table, Markdown."""
        files = {
            "overview.json": (json.dumps(self.to_json(), indent=2) + "\n").encode(),
            "overview.md": self.markdown().encode(),
        }
        for table in self.tables:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(table.columns)
            writer.writerows(_cells(table))
            files[f"{table.name}.csv"] = out.getvalue().encode()
        return files

    def markdown(self) -> str:
        """The published form to read."""
        lines = ["# Assistance: needs, offers and matches", "", "Of those who agreed to be published."]
        for table in self.tables:
            lines += ["", f"## {table.title}", ""]
            if not table.rows:
                lines.append(table.note or "None.")
                continue
            lines.append(f"| {' | '.join(table.columns)} |")
            lines.append("|---|" + "--:|" * (len(table.columns) - 1))
            lines += [f"| {' | '.join(row)} |" for row in _cells(table)]
            if table.suppressed:
                lines += ["", f"`-`: not shown, so that no number below {LEAST} can be told."]
        return "\n".join(lines) + "\n"


def _cells(table: Table) -> list[list[str]]:
    return [["-" if cell is None else str(cell) for cell in row] for row in table.rows]


def make_overview(
    requests: Iterable[Known[AssistanceRequest]],
    offers: Iterable[Known[AssistanceOffer]],
    matches: Iterable[MatchState],
) -> Overview:
    """Make the overview; drill traffic is no part of it.

    Args:
        requests: that stand.
        offers: that stand.
        matches: what they are.
    """
    all_requests = [each for each in requests if not each.exercise]
    all_offers = [each for each in offers if not each.exercise]
    asked = {(k.speaker, k.content.request_ref): k for k in all_requests}
    offered = {(k.speaker, k.content.offer_ref): k for k in all_offers}
    counts: dict[str, Counts] = {name: {} for name in _TABLES}
    for request in all_requests:
        if request.content.overview_consent:
            _count(counts["requests"], request.content.areas[0], _region_of(request.content))
    for offer in all_offers:
        if offer.content.overview_consent:
            _count(counts["offers"], offer.content.areas[0], _eligible(offer.content))
    silent = 0
    for state in matches:
        if state.standing not in _MATCHED or state.first is None:
            continue
        said = state.first.content
        of_request = asked.get((said.requester, said.request_ref))
        of_offer = offered.get((said.offeror, said.offer_ref))
        refused = any(k is not None and not k.content.overview_consent for k in (of_request, of_offer))
        if not state.publishable or refused:
            silent += 1
        elif of_request is not None:
            _count(counts["matches"], of_request.content.areas[0], _region_of(of_request.content))
        else:
            _count(counts["matches"], _UNKNOWN, _UNKNOWN)
    return Overview(
        tables=tuple(_table(name, title, counts[name]) for name, title in _TABLES.items()),
        requests_left_out=sum(not k.content.overview_consent for k in all_requests),
        offers_left_out=sum(not k.content.overview_consent for k in all_offers),
        matches_left_out=silent,
    )


Counts = dict[tuple[str, str], int]


def _count(cells: Counts, area: str, region: str) -> None:
    cells[area, region] = cells.get((area, region), 0) + 1


def _region_of(request: AssistanceRequest) -> str:
    return sub_region_of(request.requesting_state) or _NO_REGION


def _eligible(offer: AssistanceOffer) -> str:
    """The region for whose States an offer is."""
    if offer.eligibility.any_state:
        return _ANY
    named: set[str] = {*offer.eligibility.regions}
    named |= {sub_region_of(state) or _NO_REGION for state in offer.eligibility.states}
    return named.pop() if len(named) == 1 else _SEVERAL


def _table(name: str, title: str, counts: Counts) -> Table:
    order = {area.value: i for i, area in enumerate(AssistanceArea)}
    rows = tuple(sorted({area for area, _ in counts}, key=lambda each: order.get(each, len(order))))
    columns = tuple(sorted({region for _, region in counts}))
    cells = tuple(tuple(counts.get((row, column), 0) for column in columns) for row in rows)
    return of_cross(Cross(name, title, "area", _UNITS[name], columns, rows, cells), LEAST)
