"""Notices that come of many records, or of none: destruction, a trade route, a marking system.

Source: samples/README.md; domain page 4.2 and 5.5, 5.7, 5.8; docs/spec/messages.md §7.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from countermark_protocol.codes.matching import UNKNOWN_TEXT
from demo.records import Row, calibre_of, checked, delaware_day, delaware_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from countermark_protocol.encoding import JsonObject
    from demo.inventions import Agency, Inventions


def destruction_notice(
    rows: Sequence[Row], agency: Agency, inventions: Inventions, *, number: int, destroyed_on: dt.date
) -> JsonObject:
    """Make up the destruction of the weapons of Delaware rows: listed if they have a serial, else counted.

    Args:
        rows: 1 to 500.
        agency: that sends it.
        inventions: where made-up things are noted; a destruction is made up altogether.
        number: of this notice, from 1.
        destroyed_on: the day.
    """
    ref = inventions.make("destruction", f"destruction {number}", f"DES-{number:04d}")
    marked = [row for row in rows if row["serial_pseudonym"].strip()]
    counted = len(rows) - len(marked)
    count = {"category": "UNKNOWN", "originForm": "UNKNOWN", "count": counted, "reason": "NOT_RECORDED"}
    authorised_on = destroyed_on - dt.timedelta(days=14)
    return checked(
        "destruction-notice",
        {
            "noticeRef": ref,
            "origin": "SEIZED",
            "confiscationRefs": [row["event_ref"] for row in rows],
            "authorisation": inventions.make(
                "authorisation",
                ref,
                {
                    "authority": "Superior Court (exercise)",
                    "reference": f"ORDER-{number:04d}",
                    "date": authorised_on.isoformat(),
                },
            ),
            "destroyedOn": destroyed_on.isoformat(),
            "place": {"country": "US", "subdivision": "US-DE"},
            "method": inventions.make("method of destruction", ref, "SMELTING"),
            "facility": inventions.make("facility", ref, "electric arc furnace (exercise)"),
            "items": [delaware_item(row, str(i + 1)) for i, row in enumerate(marked)],
            "counts": [count] if counted else [],
            "total": len(rows),
            "marksRecordedBefore": not counted,
            "marksNotRecordedReason": "The register holds no serial of the weapons counted"
            if counted
            else None,
            "witnesses": inventions.make(
                "witnesses",
                ref,
                [
                    {"organisation": "Department of Justice (exercise)", "role": "PROSECUTOR"},
                    {"organisation": "Office of the Auditor (exercise)", "role": "AUDITOR"},
                ],
            ),
            "verification": inventions.make(
                "verification", ref, {"type": "ON_SITE", "certificateRef": f"CERT-{number:04d}"}
            ),
            "endsRecord": True,
            "contact": agency.contact(),
            "language": "en",
        },
    )


def trade_route_alert(
    rows: Sequence[Row], agency: Agency, inventions: Inventions, *, from_state: str, today: dt.date
) -> JsonObject:
    """Make an alert from the Delaware rows whose weapons were first sold in another state.

    Volume, period, places and calibres are the records'; evaluation, techniques and advice are made up.

    Args:
        rows: of the file.
        agency: that sends it.
        inventions: where made-up things are noted.
        from_state: of the dealers, e.g. ``GA``.
        today: first day on which the alert holds.

    Raises:
        ValueError: no row has a dealer in that state.
    """
    sold = [row for row in rows if row["dealer_state"] == from_state]
    if not sold:
        msg = f"no record was sold in {from_state}: choose another state"
        raise ValueError(msg)
    ref = inventions.make("alert reference", f"route from {from_state}", f"ROUTE-US-{from_state}-DE")
    days = sorted(day.isoformat() for row in sold if (day := delaware_day(row)) is not None)
    calibres = sorted({row["calibre_src"].strip() or UNKNOWN_TEXT for row in sold})
    destination = {"country": "US", "subdivision": "US-DE", "name": "Wilmington"}
    segment = {
        "seq": 1,
        "from": {"country": "US", "subdivision": f"US-{from_state}"},
        "to": destination,
        "mode": inventions.make("mode of transport", ref, "3"),
        "status": "SUSPECTED",
    }
    commodities: list[Any] = [
        {"category": "UNKNOWN", "calibre": calibre_of("" if calibre == UNKNOWN_TEXT else calibre)}
        for calibre in calibres
    ]
    return checked(
        "trade-route-alert",
        {
            "alertRef": ref,
            "title": f"Weapons first sold in US-{from_state}, recovered in Wilmington",
            "validFrom": today.isoformat(),
            "validUntil": inventions.make("validity", ref, (today + dt.timedelta(days=180)).isoformat()),
            "evaluation": inventions.make("evaluation", ref, {"source": "B", "information": "2"}),
            "basis": "TRACE_RESULTS",
            "route": {"segments": [segment]},
            "acquisition": inventions.make("technique of acquisition", ref, ["STRAW_PURCHASE"]),
            "concealment": inventions.make("concealment", ref, ["LUGGAGE", "VEHICLE_CARGO"]),
            "detectionAdvice": inventions.make(
                "detection advice", ref, "Several purchases of one buyer within a short time (exercise)"
            ),
            "commodities": commodities,
            "period": {"from": days[0], "to": days[-1]} if days else None,
            "volume": {"arms": len(sold)},
            "recommendedAction": inventions.make("recommended action", ref, ["CHECK", "REPORT"]),
            "contact": agency.contact(),
            "language": "en",
        },
    )


def marking_system_description(agency: Agency, inventions: Inventions) -> JsonObject:
    """Describe how Taurus of Brazil builds its serials, as seen in seizure registers (domain page 4.2)."""
    ref = "marking system of BR"
    return checked(
        "marking-system-description",
        {
            "country": "BR",
            "authority": agency.name,
            "validFrom": inventions.make("first day of the description", ref, "2004-07-01"),
            "markTypes": inventions.make(
                "positions and methods of marks",
                ref,
                [
                    {
                        "kind": "SERIAL",
                        "components": ["FRAME", "BARREL", "CYLINDER"],
                        "position": "right side of frame",
                        "method": "STAMP",
                        "scripts": ["Latn"],
                    },
                    {"kind": "MANUFACTURER", "components": ["FRAME"], "method": "LASER"},
                    {"kind": "IMPORT", "components": ["FRAME"], "position": "near serial", "method": "LASER"},
                ],
            ),
            "countryIdentifier": {"text": "BRA", "scheme": "ISO3166_ALPHA3"},
            "serialFormats": [
                {
                    "maker": "Taurus",
                    "regex": "^[A-Z]{2}[0-9]{5,6}$",
                    "description": "letter 1 is the year, letter 2 the month",
                    "yearRule": "A=1981 to Z=2006, and again A=2007 to M=2019",
                    "monthRule": "A to L = January to December; from M a second series",
                    "fromYear": 1981,
                    "toYear": 2019,
                    "ambiguous": True,
                },
                {
                    "maker": "Taurus",
                    "regex": "^A[A-Z]{2}[0-9]{6}$",
                    "description": "letters 1 and 2 are the year, letter 3 the month",
                    "yearRule": "AA=2019, AB=2020, AC=2021",
                    "monthRule": "A to N = January to December, without F and I",
                    "fromYear": 2019,
                    "ambiguous": False,
                },
            ],
            "importMark": inventions.make(
                "import mark", ref, {"present": True, "pattern": "country and year"}
            ),
            "securityMark": inventions.make("security mark", ref, {"exists": True}),
            "recordKeeping": inventions.make(
                "record keeping",
                ref,
                {
                    "manufactureYears": 30,
                    "otherYears": 20,
                    "custodian": "national register",
                    "electronic": True,
                },
            ),
            "publicLevel": "GREEN",
            "contact": agency.contact(),
            "language": "en",
        },
    )
