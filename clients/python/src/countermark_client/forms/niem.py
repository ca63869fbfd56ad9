"""NIEM 6.0, justice domain: a weapon as ``j:Firearm``, in JSON-LD.

Elements that NIEM substitutes for one abstract element stand side by side: the code of NCIC beside the text as
written. A mark becomes an identification: serials as ``nc:ItemSerialIdentification``, all others as
``nc:ItemOtherIdentification``, with the component in the description and the state in the status.

Source: niemopen/niem-model 6.0 (``j:FirearmType``, ``nc:ItemType``, ``ncic``); docs/spec/forms.md §2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

from countermark_client.forms.markings import with_pattern
from countermark_client.forms.pairs import (
    Converted,
    Pair,
    converted,
    fill,
    from_table,
    put,
    read,
    records_of,
    text_of,
    wrong,
)
from countermark_protocol.codes.matching import UNKNOWN_TEXT
from countermark_protocol.codes.weapons import Component, MarkKind, MarkStatus, OriginForm, WeaponCategory
from countermark_protocol.encoding import JsonObject

FORM: Final = "NIEM"
_MODEL: Final = "https://docs.oasis-open.org/niemopen/ns/model"
CONTEXT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nc": f"{_MODEL}/niem-core/6.0/",
        "j": f"{_MODEL}/domains/justice/6.0/",
        "ncic": f"{_MODEL}/codes/ncic/6.0/",
    }
)

#: NCIC GTYP of a category where it is beyond doubt.
_GTYP: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PISTOL": "P",
        "REVOLVER": "P",
        "RIFLE": "R",
        "CARBINE": "R",
        "ASSAULT_RIFLE": "R",
        "SHOTGUN": "S",
        "COMBINATION": "C",
        "SUBMACHINE_GUN": "B",
        "LIGHT_MACHINE_GUN": "M",
        "HEAVY_MACHINE_GUN": "M",
        "MORTAR_LT100": "O",
        "OTHER": "Z",
    }
)
#: What a form of others says by code alone. A machine gun (M) may be light or heavy: its category is not known.
_BY_GTYP3: Final[Mapping[str, str]] = MappingProxyType(
    {"PR": "REVOLVER", "RC": "CARBINE", "GN": "GRENADE_LAUNCHER", "KN": "RPG_LAUNCHER"}
)
_BY_GTYP: Final[Mapping[str, str]] = MappingProxyType(
    {"P": "PISTOL", "R": "RIFLE", "S": "SHOTGUN", "C": "COMBINATION", "B": "SUBMACHINE_GUN", "Z": "OTHER"}
)
_BARREL: Final = "j:FirearmBarrelLengthMeasure"
_UNIT: Final = "nc:MeasureUnitText"
_SERIAL: Final = "nc:ItemSerialIdentification"
_OTHER: Final = "nc:ItemOtherIdentification"
_STATUS: Final = "nc:IdentificationStatus"


def _year(value: Any) -> int | None:
    text = str(value)
    return int(text) if re.fullmatch(r"[0-9]{4}", text) else None


def _item_id(ref: Any) -> str:
    return f"#{quote(str(ref), safe='')}"


PAIRS: Final = (
    Pair("itemRef", "@id", "@id", _item_id, lambda value: unquote(str(value).removeprefix("#"))),
    Pair("category", "j:FirearmCategoryText", "j:FirearmCategoryText"),
    Pair("action", "ncic:FirearmCategoryDescriptionCode", "ncic:FirearmCategoryDescriptionCode (GTYP2)"),
    Pair("detailedType", "ncic:FirearmCategoryDetailedCode", "ncic:FirearmCategoryDetailedCode (GTYP3)"),
    Pair("make.text", "nc:ItemMakeName", "nc:ItemMakeName"),
    Pair("model.text", "nc:ItemModelName", "nc:ItemModelName"),
    Pair("calibre.text", "j:FirearmBoreSizeText", "j:FirearmBoreSizeText"),
    Pair("finish.text", "j:FirearmFinishText", "j:FirearmFinishText"),
    Pair("yearOfManufacture", "nc:ItemModelYearDate", "nc:ItemModelYearDate", str, _year),
    Pair("ownerCategory", "nc:ItemOwnershipCategoryText", "nc:ItemOwnershipCategoryText"),
    Pair("remarks", "nc:ItemDescriptionText", "nc:ItemDescriptionText"),
)
#: Codes that stand only with the scheme that NIEM has: of the content, the member of the form, the scheme.
CODES: Final = (
    ("make", "ncic:FirearmMakeCode", "NCIC_MAK"),
    ("calibre", "ncic:FirearmBoreSizeCode", "NCIC_CAL"),
    ("finish", "ncic:FirearmFinishCode", "NCIC_VCO"),
)
#: What no pair says, for the reader of the table.
MORE: Final = (
    ("barrelLengthMm", "j:FirearmBarrelLengthMeasure (millimetres)"),
    ("marks (kind SERIAL): component, text, pattern, status", "nc:ItemSerialIdentification"),
    ("marks (other kinds): kind, component, text, pattern, status", "nc:ItemOtherIdentification"),
)


# --- to NIEM -----------------------------------------------------------------------------------------


def _mark(mark: Mapping[str, Any]) -> JsonObject:
    out: JsonObject = {}
    put(out, "nc:IdentificationID", mark.get("text"))
    if mark["kind"] != MarkKind.SERIAL:
        out["nc:IdentificationCategoryText"] = mark["kind"]
    out["nc:IdentificationCategoryDescriptionText"] = mark["component"]
    out[_STATUS] = {"nc:StatusDescriptionText": mark["status"]}
    put(out[_STATUS], "nc:StatusCommentText", mark.get("pattern"))
    return out


def _firearm(item: Mapping[str, Any]) -> JsonObject:
    out: JsonObject = {}
    fill(PAIRS, item, out)
    put(out, "ncic:FirearmCategoryCode", from_table(_GTYP)(item["category"]))
    for name, theirs, scheme in CODES:
        coded = item.get(name) or {}
        if coded.get("scheme") == scheme:
            out[theirs] = coded["code"]
    if "barrelLengthMm" in item:
        out[_BARREL] = {"nc:MeasureIntegerValue": item["barrelLengthMm"], _UNIT: "mm"}
    for mark in item.get("marks", ()):
        out.setdefault(_SERIAL if mark["kind"] == MarkKind.SERIAL else _OTHER, []).append(_mark(mark))
    return out


def to_niem(content: Mapping[str, Any]) -> Converted:
    """The weapons of a content as NIEM.

    Args:
        content: valid, of a type that has ``items``.
    """
    document: JsonObject = {
        "@context": dict(CONTEXT),
        "j:Firearm": [_firearm(item) for item in content["items"]],
    }
    return converted(content, document, from_niem(document))


# --- from NIEM ---------------------------------------------------------------------------------------


def _read_mark(theirs: Mapping[str, Any], kind: str, at: str) -> JsonObject:
    known = {each.value for each in Component}
    states = {each.value for each in MarkStatus}
    component = theirs.get("nc:IdentificationCategoryDescriptionText")
    status = theirs.get(_STATUS)
    if not isinstance(status, Mapping):
        status = {}
    state = status.get("nc:StatusDescriptionText")
    text = theirs.get("nc:IdentificationID")
    mark: JsonObject = {"kind": kind, "component": component if component in known else "UNKNOWN"}
    if text is not None:
        mark["text"] = text_of(text, FORM, at)
    mark["status"] = state if state in states else ("NOT_RECORDED" if text is None else "LEGIBLE")
    put(mark, "pattern", status.get("nc:StatusCommentText"))
    return with_pattern(mark)


def _read_marks(firearm: Mapping[str, Any], at: str) -> list[JsonObject]:
    kinds = {each.value for each in MarkKind}
    found: list[JsonObject] = []
    for name in (_SERIAL, _OTHER):
        if name not in firearm:
            continue
        for i, theirs in enumerate(records_of(firearm, name, FORM)):
            category = theirs.get("nc:IdentificationCategoryText")
            kind = "SERIAL" if name == _SERIAL else category if category in kinds else "OTHER"
            found.append(_read_mark(theirs, str(kind), f"{at}/{name}/{i}"))
    return found


def _read_category(firearm: Mapping[str, Any]) -> str:
    text = firearm.get("j:FirearmCategoryText")
    if text in {each.value for each in WeaponCategory}:
        return str(text)
    detailed = from_table(_BY_GTYP3)(firearm.get("ncic:FirearmCategoryDetailedCode"))
    coded = from_table(_BY_GTYP)(firearm.get("ncic:FirearmCategoryCode"))
    return str(detailed or coded or WeaponCategory.UNKNOWN.value)


def _read_barrel(measure: Any, at: str) -> int | None:
    if measure is None:
        return None
    if not isinstance(measure, Mapping):
        wrong(FORM, "an object with nc:MeasureIntegerValue and nc:MeasureUnitText", at)
    value, unit = measure.get("nc:MeasureIntegerValue"), measure.get(_UNIT)
    if unit != "mm" or isinstance(value, bool) or not isinstance(value, int):
        wrong(FORM, "nc:MeasureIntegerValue, a whole number, with nc:MeasureUnitText mm", at)
    return value


def _read_item(firearm: Mapping[str, Any], number: int) -> JsonObject:
    at = f"/j:Firearm/{number - 1}"
    item: JsonObject = {"itemRef": str(number)}
    read(PAIRS, firearm, item)
    item["category"] = _read_category(firearm)
    item["originForm"] = OriginForm.UNKNOWN.value
    for name, theirs, scheme in CODES:
        code = firearm.get(theirs)
        if code is not None:
            item.setdefault(name, {}).update(code=text_of(code, FORM, f"{at}/{theirs}"), scheme=scheme)
    for name in ("make", "calibre"):
        # NIEM lets a code stand alone: the code is then what was written.
        coded = item.setdefault(name, {})
        coded.setdefault("text", coded.get("code", UNKNOWN_TEXT))
    if "finish" in item:
        item["finish"].setdefault("text", item["finish"]["code"])
    put(item, "barrelLengthMm", _read_barrel(firearm.get(_BARREL), f"{at}/{_BARREL}"))
    marks = _read_marks(firearm, at)
    item.update({"marks": marks} if marks else {"noMarksReason": "NOT_RECORDED"})
    return item


def from_niem(document: Mapping[str, Any]) -> JsonObject:
    """What a NIEM document says of weapons, as the ``items`` of a content; not validated.

    Raises:
        MalformedError: ``bad_form``: it is not one.
    """
    firearms = records_of(document, "j:Firearm", FORM)
    return {"items": [_read_item(firearm, number) for number, firearm in enumerate(firearms, 1)]}
