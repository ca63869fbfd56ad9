"""From real records to traces: a request about a recovered weapon, its acknowledgement, its answer.

What the Delaware file records of the first sale is the answer; what it does not record is not made up.

Source: samples/README.md; ITI 16-23; docs/spec/messages.md §7.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from countermark_protocol.codes.matching import UNKNOWN_TEXT
from demo.records import Row, checked, delaware_day, delaware_event, delaware_item

if TYPE_CHECKING:
    from countermark_protocol.codes.tracing import RefusalReason
    from countermark_protocol.encoding import JsonObject
    from demo.inventions import Agency, Inventions

#: Default time for an answer (domain page 6.2), in days.
REPLY_DAYS: Final = 30


def tracing_request(row: Row, agency: Agency, inventions: Inventions) -> JsonObject:
    """Map a Delaware row to a tracing-request for its first sale."""
    ref = row["event_ref"]
    return checked(
        "tracing-request",
        {
            "nationalCaseRef": ref,
            "illicitBasis": inventions.make("illicit basis", ref, ["NATIONAL_LAW"]),
            "legalJustification": inventions.make(
                "legal justification", ref, "Weapon recovered in a criminal investigation (exercise)"
            ),
            "recovery": {
                **delaware_event(row),
                "context": inventions.make("context of the finding", ref, "SEIZED"),
            },
            "items": [delaware_item(row)],
            "intendedUse": inventions.make("intended use", ref, ["CRIMINAL_INVESTIGATION"]),
            "confidentialityUndertaking": inventions.make("undertaking", ref, {"status": "ACCEPT"}),
            "reasonForAddressee": inventions.make("reason for the addressee", ref, "OTHER"),
            "reasonText": "The first sale is recorded in the register of the State that is asked",
            "priorSteps": inventions.make("prior steps", ref, {"domesticChecked": True, "result": "NO_HIT"}),
            "informationSought": inventions.make("information sought", ref, ["FIRST_SALE", "LAST_HOLDER"]),
            "contact": agency.contact(),
            "language": "en",
        },
    )


def missing_elements(request: JsonObject) -> list[JsonObject]:
    """What a request lacks of ITI 17(b): a legible serial, make, calibre; and the day of recovery of 17(a)."""
    missing = []
    for i, item in enumerate(request["items"]):
        if "marks" not in item:
            missing.append(
                {"path": f"/items/{i}/marks", "why": "no mark is listed: a serial or photographs are needed"}
            )
        missing.extend(
            {"path": f"/items/{i}/{member}", "why": f"the {member} is not stated"}
            for member in ("make", "calibre")
            if item[member]["text"] == UNKNOWN_TEXT
        )
    if "date" not in request["recovery"]:
        missing.append({"path": "/recovery", "why": "the day of recovery is not stated"})
    return missing


def tracing_acknowledgement(
    row: Row,
    request: JsonObject,
    agency: Agency,
    inventions: Inventions,
    *,
    request_id: str,
    received_at: dt.datetime,
    ask_for_more: bool = False,
) -> JsonObject:
    """Acknowledge the request made from a Delaware row.

    Args:
        row: of the file.
        request: the content that was received.
        agency: that answers.
        inventions: where made-up things are noted.
        request_id: of the request's manifest.
        received_at: UTC, whole seconds.
        ask_for_more: ask for what the request lacks, instead of accepting it.

    Raises:
        ValueError: there is nothing to ask for: the request is complete.
    """
    document: JsonObject = {
        "requestId": request_id,
        "receivedAt": received_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "localRef": inventions.make(
            "case of the requested State", row["event_ref"], f"TR-{row['event_ref']}"
        ),
        "contact": agency.contact(),
        "language": "en",
    }
    if ask_for_more:
        missing = missing_elements(request)
        if not missing:
            msg = f"the request about {row['event_ref']} lacks nothing: ask for more about another"
            raise ValueError(msg)
        document |= {"status": "MORE_INFORMATION_NEEDED", "missing": missing}
    else:
        reply_by = received_at.date() + dt.timedelta(days=REPLY_DAYS)
        document |= {"status": "ACCEPTED", "estimatedReplyBy": reply_by.isoformat()}
    return checked("tracing-acknowledgement", document)


def _first_sale(row: Row) -> JsonObject | None:
    """The recorded first retail sale as a step of the chain; None if neither its day nor its dealer is recorded."""
    if not (row["first_sale_on"] or row["dealer_city"] or row["dealer_state"]):
        return None
    step: JsonObject = {"seq": 1, "event": "RETAIL"}
    if row["first_sale_on"]:
        step["date"] = row["first_sale_on"]
    if row["dealer_state"] or row["dealer_city"]:
        place: JsonObject = {"country": "US"}
        if row["dealer_state"]:
            place["subdivision"] = f"US-{row['dealer_state']}"
        if row["dealer_city"]:
            place["name"] = row["dealer_city"]
        step["from"] = {"role": "DEALER", "place": place}
    return step


def _item_result(
    row: Row, request: JsonObject, inventions: Inventions, refusal: RefusalReason | None
) -> JsonObject:
    ref = row["event_ref"]
    result: JsonObject = {
        "itemRef": request["items"][0]["itemRef"],
        "identityConfirmed": bool(row["serial_pseudonym"]),
    }
    if refusal is not None:
        text = inventions.make("ground of refusal", ref, "Ground of ITI 22, for the exercise")
        return {
            **result,
            "outcome": "REFUSED",
            "identityConfirmed": False,
            "refusal": {"reasons": [refusal.value], "text": text},
        }
    if row["time_to_crime_days"] and (delaware_day(row) is not None or not row["crime_on"]):
        result["timeToCrimeDays"] = int(row["time_to_crime_days"])
    step = _first_sale(row)
    if step is not None:
        return {**result, "outcome": "TRACED_TO_LAST_HOLDER", "chain": [step]}
    retention = inventions.make("retention of records", ref, {"years": 20, "basis": "ITI 12 (exercise)"})
    return {
        **result,
        "outcome": "NO_RECORD",
        "inability": {
            "reason": "NO_RECORDS",
            "text": "The register holds neither the day nor the dealer of a sale of this weapon",
            "retention": retention,
        },
    }


def tracing_response(
    row: Row,
    request: JsonObject,
    agency: Agency,
    inventions: Inventions,
    *,
    request_id: str,
    refusal: RefusalReason | None = None,
) -> JsonObject:
    """Answer the request made from a Delaware row with its recorded first sale.

    A recorded first retail sale counts as TRACED_TO_LAST_HOLDER: its buyer is the last holder on record; who that
    is, the file does not say and nothing here makes up. Without day and dealer of a sale the outcome is NO_RECORD.

    Args:
        row: of the file.
        request: the content that was received.
        agency: that answers.
        inventions: where made-up things are noted.
        request_id: of the request's manifest.
        refusal: refuse on this ground of ITI 22, instead of answering.
    """
    ref = row["event_ref"]
    return checked(
        "tracing-response",
        {
            "requestId": request_id,
            "localRef": inventions.make("case of the requested State", ref, f"TR-{ref}"),
            "sequence": 1,
            "final": True,
            "itemResults": [_item_result(row, request, inventions, refusal)],
            "useRestrictions": inventions.make(
                "use restrictions",
                ref,
                {"tlp": "AMBER", "handlingCodes": ["H1"], "originatorControlled": True},
            ),
            "contact": agency.contact(),
            "language": "en",
        },
    )
