"""ATF form 3312.1 (eTrace): a tracing request as one record for each weapon.

The form has no schema that is published; the names of its fields are ours, their numbers are the form's. The codes of
eTrace for agencies and crimes (2a, III) are given out by ATF: a content does not hold them.

Source: ATF E-Form 3312.1, parts I-IX; docs/spec/forms.md §3.
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
    find,
    put,
    read,
    records_of,
    text_of,
    wrong,
)
from countermark_protocol.codes.weapons import Component
from countermark_protocol.encoding import JsonObject

FORM: Final = "ATF 3312.1"

#: Of the request: the same in each of its records.
REQUEST_PAIRS: Final = (
    Pair("urgencyJustification", "initiation.urgency_justification", "1b justification of urgency"),
    Pair("intendedUseText", "initiation.special_instructions", "1c special instructions"),
    Pair("contact.agency", "requester.organisation", "III organisation"),
    Pair("contact.unit", "requester.unit", "III unit"),
    Pair("contact.name", "requester.officer", "IV officer"),
    Pair("contact.phone", "requester.phone", "IV telephone"),
    Pair("nationalCaseRef", "requester.case_number", "4e case number"),
    Pair("recovery.date", "recovery.date", "VIII recovery date"),
    Pair("recovery.place.name", "recovery.city", "VIII city"),
    Pair("recovery.place.subdivision", "recovery.state", "VIII state"),
    Pair("recovery.place.country", "recovery.country", "VIII country"),
    Pair("recovery.circumstances", "recovery.additional_information", "VIII additional information"),
)
#: Of each weapon.
ITEM_PAIRS: Final = (
    Pair("itemRef", "firearm.reference", "reference of the record"),
    Pair("make.text", "firearm.manufacturer", "5c manufacturer"),
    Pair("category", "firearm.type", "5d type"),
    Pair("detailedType", "firearm.type_code", "5d type, NCIC code"),
    Pair("calibre.text", "firearm.calibre", "5e calibre"),
    Pair("model.text", "firearm.model", "5f model"),
    Pair("countryOfManufacture", "firearm.country_of_origin", "5g country of origin"),
    Pair("lastKnownImport.importer", "firearm.importer", "5h importer"),
    Pair("lastKnownImport.country", "firearm.importer_country", "5h importer, country"),
)
CODES: Final = (
    ("make", "manufacturer_code", "NCIC_MAK"),
    ("calibre", "calibre_code", "NCIC_CAL"),
)
_PERSON: Final = (
    Pair("role", "role", "role"),
    Pair("name", "name", "name"),
    Pair("dateOfBirth", "date_of_birth", "date of birth"),
    Pair("address", "address", "address"),
    Pair("identityDocument", "identity_document", "identity document"),
    Pair("personCategory", "category", "quality in which the person is named"),
)
MORE: Final = (
    ("items: make.code, calibre.code (NCIC)", "5c, 5e code"),
    ("items.marks: the serial on frame or receiver: text, status", "5a serial number, 5b obliterated"),
    ("items.marks: that serial: component, pattern, restoration.method", "IX obliterated serial number"),
    ("items.marks: all others: kind, component, text, pattern, status", "5i additional markings"),
    ("possessors: the first", "VI possessor"),
    ("possessors: the others", "VII associates"),
)
_GONE: Final = frozenset({"OBLITERATED", "PARTIAL", "RESTORED"})


# --- to the form -------------------------------------------------------------------------------------


def _marks(item: Mapping[str, Any], record: JsonObject) -> None:
    marks = item.get("marks", [])
    serial = reference_serial(marks)
    others = [mark_line(mark) for mark in marks if mark is not serial]
    put(record, "firearm.additional_markings", others or None)
    if serial is None:
        return
    put(record, "firearm.serial_number", serial.get("text"))
    put(record, "firearm.serial_status", serial["status"])
    put(record, "firearm.serial_obliterated", serial["status"] in _GONE)
    if serial["status"] in _GONE:
        part: JsonObject = {"part": serial["component"]}
        put(part, "partial_characters", serial.get("pattern"))
        method = (serial.get("restoration") or {}).get("method")
        put(part, "restoration", method)
        record["obliterated_serial"] = part


def _record(content: Mapping[str, Any], item: Mapping[str, Any]) -> JsonObject:
    record: JsonObject = {}
    fill(REQUEST_PAIRS, content, record)
    fill(ITEM_PAIRS, item, record)
    for name, theirs, scheme in CODES:
        coded = item[name]
        if coded.get("scheme") == scheme:
            put(record, f"firearm.{theirs}", coded["code"])
    _marks(item, record)
    persons: list[JsonObject] = []
    for possessor in content.get("possessors", ()):
        person: JsonObject = {}
        fill(_PERSON, possessor, person)
        persons.append(person)
    if persons:
        record["possessor"] = persons[0]
    put(record, "associates", persons[1:] or None)
    return record


def to_etrace(content: Mapping[str, Any]) -> Converted:
    """A tracing request as records of form 3312.1.

    Args:
        content: valid, of type ``tracing-request``.
    """
    document: JsonObject = {"form": FORM, "records": [_record(content, item) for item in content["items"]]}
    return converted(content, document, from_etrace(document))


# --- from the form -----------------------------------------------------------------------------------


def _read_serial(record: Mapping[str, Any], firearm: Mapping[str, Any], at: str) -> JsonObject | None:
    text = firearm.get("serial_number")
    gone = firearm.get("serial_obliterated")
    if text is None and not gone and "serial_status" not in firearm:
        return None
    part = record.get("obliterated_serial") or {}
    if not isinstance(part, Mapping):
        wrong(FORM, "an object", f"{at}/obliterated_serial")
    component = part.get("part")
    mark: JsonObject = {"kind": "SERIAL", "component": "UNKNOWN"}
    if component in Component.__members__:
        mark["component"] = component
    if text is not None:
        mark["text"] = text_of(text, FORM, f"{at}/firearm/serial_number")
    put(mark, "pattern", part.get("partial_characters"))
    default = "OBLITERATED" if text is None else "PARTIAL" if gone else "LEGIBLE"
    mark["status"] = firearm.get("serial_status", default)
    if part.get("restoration") is not None:
        mark["restoration"] = {"method": part["restoration"]}
    return with_pattern(mark)


def _read_item(record: Mapping[str, Any], number: int) -> JsonObject:
    at = f"/records/{number - 1}"
    item = begin_item(ITEM_PAIRS, record, number)
    firearm = record.get("firearm")
    if not isinstance(firearm, Mapping):
        wrong(FORM, "an object", f"{at}/firearm")
    for name, theirs, scheme in CODES:
        code = firearm.get(theirs)
        if code is not None:
            item[name].update(code=text_of(code, FORM, f"{at}/firearm/{theirs}"), scheme=scheme)
    serial = _read_serial(record, firearm, at)
    others = read_lines(firearm.get("additional_markings", []), FORM, f"{at}/firearm/additional_markings")
    return end_item(item, [*([serial] if serial else []), *others])


def from_etrace(document: Mapping[str, Any]) -> JsonObject:
    """What records of form 3312.1 say, as members of a tracing request; not validated, and not all that it needs.

    What all records share is read from the first; records of several requests are not one request.

    Raises:
        MalformedError: ``bad_form``: it is not one, or its records are of several cases.
    """
    records = records_of(document, "records", FORM)
    cases = {str(find(record, "requester.case_number")) for record in records}
    if len(cases) > 1:
        wrong(FORM, f"records of one case, got {len(cases)}: turn each case on its own", "/records")
    content: JsonObject = {}
    read(REQUEST_PAIRS, records[0], content)
    content["items"] = [_read_item(record, number) for number, record in enumerate(records, 1)]
    associates = records[0].get("associates", [])
    if not isinstance(associates, list):
        wrong(FORM, "a list of objects", "/records/0/associates")
    people = [records[0].get("possessor"), *associates]
    possessors: list[JsonObject] = []
    for theirs in people:
        if theirs is None:
            continue
        if not isinstance(theirs, Mapping):
            wrong(FORM, "an object", "/records/0/possessor")
        person: JsonObject = {}
        read(_PERSON, theirs, person)
        possessors.append(person)
    put(content, "possessors", possessors or None)
    return content
