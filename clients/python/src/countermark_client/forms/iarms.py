"""INTERPOL iARMS: a lost-or-stolen notice as records, a tracing request as trace requests.

iARMS has no schema that is published; the fields are those that its users are asked for, their names are ours.
One record is one weapon. What a NCB adds itself (its own identity, classification) is no part of a content.

Source: INTERPOL iARMS user documentation as listed in docs/spec/forms.md §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from countermark_client.forms.markings import (
    begin_item,
    end_item,
    mark_line,
    read_lines,
    reference_serial,
    with_pattern,
)
from countermark_client.forms.pairs import (
    Converted,
    Pair,
    converted,
    fill,
    put,
    read,
    records_of,
    text_of,
)
from countermark_protocol.encoding import JsonObject

FORM: Final = "iARMS"
RECORD: Final = "record"
TRACE: Final = "trace-request"

#: Kinds of iARMS records; a robbery is a theft there, other kinds it does not have.
_KINDS: Final = {
    "LOST": "LOST",
    "STOLEN_THEFT": "STOLEN",
    "STOLEN_ROBBERY": "STOLEN",
    "TRAFFICKED": "TRAFFICKED",
    "SMUGGLED": "SMUGGLED",
}
_KINDS_BACK: Final = {
    "LOST": "LOST",
    "STOLEN": "STOLEN_THEFT",
    "TRAFFICKED": "TRAFFICKED",
    "SMUGGLED": "SMUGGLED",
}

NOTICE_PAIRS: Final = (
    Pair("recordKind", "record_type", "record type", _KINDS.get, _KINDS_BACK.get),
    Pair("event.date", "event_date", "date of event"),
    Pair("event.place.country", "event_country", "country of event"),
    Pair("event.place.name", "event_place", "place of event"),
    Pair("nationalCaseRef", "national_file_number", "national file number"),
    Pair("ownerRef", "owner_authority_reference", "owner authority's reference"),
    Pair("reviewOn", "validity_date", "validity date"),
    Pair("actionIfFound", "action_to_be_taken", "action to be taken"),
    Pair("remarks", "remarks", "remarks"),
)
TRACE_PAIRS: Final = (
    Pair("nationalCaseRef", "national_file_number", "file number"),
    Pair("urgencyJustification", "urgency_reason", "urgency, reason"),
    Pair("legalJustification", "reason", "reason"),
    Pair("recovery.date", "recovery_date", "date of recovery"),
    Pair("recovery.place.country", "recovery_country", "country of recovery"),
    Pair("recovery.place.name", "recovery_place", "place of recovery"),
    Pair("recovery.circumstances", "circumstances", "circumstances"),
    Pair("recovery.offences", "crime_types", "type of crime"),
)
ITEM_PAIRS: Final = (
    Pair("itemRef", "reference", "reference of the record"),
    Pair("make.text", "make", "make"),
    Pair("model.text", "model", "model"),
    Pair("model.ref", "firearms_reference_table", "IFRT reference"),
    Pair("calibre.text", "calibre", "calibre"),
    Pair("category", "type", "type"),
    Pair("action", "action", "action"),
    Pair("countryOfManufacture", "country_of_manufacture", "country of manufacture"),
    Pair("lastKnownImport.importer", "importer", "importer"),
    Pair("lastKnownImport.country", "import_country", "import mark, country"),
    Pair("lastKnownImport.year", "import_year", "import mark, year"),
    Pair("finish.text", "finish", "finish"),
    Pair("barrelLengthMm", "barrel_length_mm", "barrel length"),
    Pair("capacity", "capacity", "capacity"),
    Pair("condition", "condition", "condition of the firearm"),
)
MORE: Final = (
    ("items.marks: the serial on frame or receiver: text, pattern, status", "serial number, obliterated"),
    ("items.marks: all others: kind, component, text, pattern, status", "unique marks"),
)


def _shared(kind: str) -> tuple[Pair, ...]:
    return NOTICE_PAIRS if kind == RECORD else TRACE_PAIRS


def _record(kind: str, content: Mapping[str, Any], item: Mapping[str, Any]) -> JsonObject:
    record: JsonObject = {}
    fill(_shared(kind), content, record)
    fill(ITEM_PAIRS, item, record)
    marks = item.get("marks", [])
    serial = reference_serial(marks)
    if serial is not None:
        put(record, "serial_number", serial.get("text"))
        record["serial_status"] = serial["status"]
        put(record, "serial_in_part", serial.get("pattern"))
    put(record, "unique_marks", [mark_line(mark) for mark in marks if mark is not serial] or None)
    return record


def to_iarms(content: Mapping[str, Any], *, trace: bool) -> Converted:
    """A content as iARMS records.

    Args:
        content: valid, of type ``tracing-request`` or ``lost-or-stolen-notice``.
        trace: whether it is the former.
    """
    kind = TRACE if trace else RECORD
    document: JsonObject = {
        "form": FORM,
        "kind": kind,
        "records": [_record(kind, content, item) for item in content["items"]],
    }
    return converted(content, document, from_iarms(document))


def _read_item(record: Mapping[str, Any], number: int) -> JsonObject:
    at = f"/records/{number - 1}"
    item = begin_item(ITEM_PAIRS, record, number)
    marks: list[JsonObject] = []
    text = record.get("serial_number")
    if text is not None or "serial_status" in record:
        mark: JsonObject = {"kind": "SERIAL", "component": "UNKNOWN"}
        if text is not None:
            mark["text"] = text_of(text, FORM, f"{at}/serial_number")
        mark["status"] = record.get("serial_status", "LEGIBLE")
        put(mark, "pattern", record.get("serial_in_part"))
        marks.append(with_pattern(mark))
    return end_item(item, marks + read_lines(record.get("unique_marks", []), FORM, f"{at}/unique_marks"))


def from_iarms(document: Mapping[str, Any]) -> JsonObject:
    """What iARMS records say, as members of a content; not validated, and not all that it needs.

    Raises:
        MalformedError: ``bad_form``: it is not one.
    """
    records = records_of(document, "records", FORM)
    content: JsonObject = {}
    read(_shared(RECORD if document.get("kind") == RECORD else TRACE), records[0], content)
    content["items"] = [_read_item(record, number) for number, record in enumerate(records, 1)]
    return content
