"""From real records to notices: pure functions from a CSV row to a content document.

What a record says is kept verbatim, and coded only where the code is beyond doubt; what it does not say is sent as
unknown. What a message needs and no record holds is made up through `inventions`, and nowhere else. Traces are made in
`traces`, and what comes of many rows or of none in `other_notices`.

The dates that the Delaware file calls ``crime_on`` are sent as the dates of recovery, as its own time-to-crime does.

Source of the records: samples/README.md. Source of the mapping: docs/spec/messages.md §7.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from countermark_protocol.codes.calibres import match_calibre
from countermark_protocol.codes.matching import UNKNOWN_TEXT, match_make
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.registry import validate_content

if TYPE_CHECKING:
    from countermark_protocol.encoding import JsonObject
    from demo.inventions import Agency, Inventions

Row = Mapping[str, str]

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
#: The day on which the Delaware file was published: what it dates later cannot have happened.
DELAWARE_PUBLISHED: Final = dt.date(2026, 1, 28)

#: Words by which a Bloomington model field names a category; a field that names none, or two, names nothing.
_CATEGORY_WORDS: Final = {
    "SHOTGUN": re.compile(r"\bSHOT ?GUN\b|\bSHOTGU$"),
    "RIFLE": re.compile(r"\bRIFLE\b"),
    "CARBINE": re.compile(r"\bCARBINE\b"),
    "PISTOL": re.compile(r"\bPISTOL\b"),
    "REVOLVER": re.compile(r"\bREVOLVER\b"),
}
#: Bloomington's kinds of place that mean one of ours; every kind is also sent as recorded.
_LOCATIONS: Final[Row] = {
    "RESIDENCE": "PRIVATE_DWELLING",
    "HIGHWAY/ROAD/ALLEY": "ROAD_INLAND",
    "PARKING LOT/GARAGE": "PUBLIC_PLACE",
    "GOVERNMENT/PUBLIC BUILDING": "PUBLIC_PLACE",
    "RENTAL STORAGE FACILITY": "WAREHOUSE",
}


def load_rows(name: str, folder: Path = SAMPLES) -> list[dict[str, str]]:
    """Rows of ``<name>.csv``, by column name."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def checked(message_type: str, document: JsonObject) -> JsonObject:
    """The document without absent members, once it is valid."""
    present = {name: value for name, value in document.items() if value not in (None, [], {})}
    validate_content(message_type, 1, present)
    return present


def _coded(text: str, code: str | None, scheme: str) -> JsonObject:
    out = {"text": text.strip() or UNKNOWN_TEXT}
    return {**out, "code": code, "scheme": scheme} if code else out


def make_of(text: str) -> JsonObject:
    """A make as the register writes it, with its NCIC code where that is beyond doubt."""
    return _coded(text, match_make(text).code, "NCIC_MAK")


def calibre_of(text: str) -> JsonObject:
    """A calibre as the register writes it, with its NCIC code where that is beyond doubt."""
    return _coded(text, match_calibre(text).code, "NCIC_CAL")


# --- Delaware: recovered weapons and their first sale ------------------------------------------------


def delaware_item(row: Row, item_ref: str = "1") -> JsonObject:
    """The weapon of a Delaware row; the file has no model, category, component or country of manufacture."""
    item: JsonObject = {
        "itemRef": item_ref,
        "category": "UNKNOWN",
        "originForm": "UNKNOWN",
        "make": make_of(row["manufacturer_src"]),
        "calibre": calibre_of(row["calibre_src"]),
    }
    serial = row["serial_pseudonym"].strip()
    if serial:
        item["marks"] = [{"kind": "SERIAL", "component": "UNKNOWN", "text": serial, "status": "LEGIBLE"}]
    else:
        item["noMarksReason"] = "NOT_RECORDED"
    if row["nibin_lead"] == "True":
        item["ballisticRefs"] = [{"system": "NIBIN", "hitStatus": "LEAD"}]
    return item


def delaware_day(row: Row) -> dt.date | None:
    """The day of recovery, if the row has one that can be true."""
    day = dt.date.fromisoformat(row["crime_on"]) if row["crime_on"] else None
    return day if day is not None and day <= DELAWARE_PUBLISHED else None


def delaware_event(row: Row) -> JsonObject:
    """Day and place of recovery; a day that the row lacks, or that cannot be true, is said to be missing."""
    place = {"country": "US", "subdivision": f"US-{row['recovery_state']}", "name": row["recovery_city"]}
    day = delaware_day(row)
    if day is not None:
        return {"date": day.isoformat(), "place": place}
    if row["crime_on"]:
        return {"noDateReason": "RECORDED_IMPLAUSIBLE", "dateAsRecorded": row["crime_on"], "place": place}
    return {"noDateReason": "NOT_RECORDED", "place": place}


def _delaware_remarks(row: Row) -> str | None:
    notes = {
        "trafficking_indicia": "the register notes indicia of trafficking",
        "interstate": "the register notes that the weapon crossed a state line",
    }
    return "; ".join(note for column, note in notes.items() if row[column] == "True") or None


def confiscation_notice(row: Row, agency: Agency, inventions: Inventions) -> JsonObject:
    """Map a Delaware row to a confiscation-notice; its reference is the record's own."""
    ref = row["event_ref"]
    return checked(
        "confiscation-notice",
        {
            "noticeRef": ref,
            "action": inventions.make("action (the file says: recovered)", ref, "SEIZED"),
            "event": delaware_event(row),
            "authority": agency.contact(),
            "items": [delaware_item(row)],
            "noOffenceReason": "NOT_RECORDED",
            "judicialStatus": row["case_status"].strip() or None,
            "disposition": inventions.make("disposition", ref, "RETAINED_EVIDENCE"),
            "traceIntended": inventions.make("intention to trace", ref, "YES"),
            "remarks": _delaware_remarks(row),
            "language": "en",
        },
    )


# --- Bloomington: stolen weapons ---------------------------------------------------------------------


def _bloomington_item(row: Row) -> JsonObject:
    model, colour = row["model"].strip(), row["colour"].strip()
    named = [category for category, words in _CATEGORY_WORDS.items() if words.search(model.upper())]
    item: JsonObject = {
        "itemRef": "1",
        "category": named[0] if len(named) == 1 else "UNKNOWN",
        "originForm": "UNKNOWN",
        "make": make_of(row["make"]),
        "calibre": calibre_of(""),
        "noMarksReason": "NOT_RECORDED",
    }
    if model:
        item["model"] = {"text": model}
    if colour:
        known = colour in load_code_list(CodeListName.NCIC_FINISH)
        item["finish"] = _coded(colour, colour if known else None, "NCIC_VCO")
    return item


def lost_or_stolen_notice(
    row: Row, number: int, agency: Agency, inventions: Inventions, *, today: dt.date
) -> JsonObject:
    """Map a Bloomington row to a lost-or-stolen-notice: an entry, or the clearing of one if it was recovered.

    Args:
        row: of the file.
        number: of the row, from 1; the file has no identifiers.
        agency: that sends it.
        inventions: where made-up things are noted.
        today: the record is to be looked at again a year later.
    """
    ref = inventions.make("national case reference", f"theft {number}", f"BLM-{number:04d}")
    stolen_from, recovery = row["stolen_from"].strip(), row["recovery"].strip()
    place: JsonObject = {"country": "US", "subdivision": "US-IN", "name": "Bloomington"}
    if stolen_from in _LOCATIONS:
        place["locationType"] = _LOCATIONS[stolen_from]
    event: JsonObject = {"date": row["stolen_on"], "place": place}
    if stolen_from:
        event["placeAsRecorded"] = stolen_from
    cleared = recovery.startswith("RECOVERED")
    return checked(
        "lost-or-stolen-notice",
        {
            "recordKind": "STOLEN_THEFT",
            "action": "CLEAR_RECOVERED" if cleared else "ENTRY",
            "event": event,
            "items": [_bloomington_item(row)],
            "ownerCategory": "UNKNOWN",
            "nationalCaseRef": ref,
            "actionIfFound": inventions.make("action if found", ref, "SEIZE"),
            "reviewOn": inventions.make("day of review", ref, (today + dt.timedelta(days=365)).isoformat()),
            "recoveredRef": inventions.make("recovery reference", ref, f"{ref}-R") if cleared else None,
            "contact": agency.contact(),
            "remarks": recovery or None,
            "language": "en",
        },
    )
