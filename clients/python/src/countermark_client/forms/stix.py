"""STIX 2.1: a trade-route alert as a bundle whose report refers to everything else in it.

STIX is made for threats to computers; what it has no object for (legs, commodities, volume) stands in notes, in
words. Identifiers are made from sender and alert (UUID version 5), so that an alert sent again, or corrected, updates
what a reader of STIX has, and is not there twice.

Source: OASIS STIX 2.1; OASIS cti-stix-common-objects (TLP 2.0 marking definitions); docs/spec/forms.md §5.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from countermark_protocol.encoding import JsonObject
from countermark_protocol.handling import HandlingCode, Tlp

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:countermark:stix")
_TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
#: Marking definitions that OASIS publishes for TLP 2.0; the whole object is part of what is published.
_TLP_IDS: Final[Mapping[Tlp, str]] = MappingProxyType(
    {
        Tlp.CLEAR: "94868c89-83c2-464b-929b-a1a8aa3c8487",
        Tlp.GREEN: "bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Tlp.AMBER: "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Tlp.AMBER_STRICT: "939a9414-2ddd-4d32-a0cd-375ea402b003",
        Tlp.RED: "e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
)
#: Confidence of a report by the second figure of the 4x4 evaluation: ours, since STIX has no scale for it.
_CONFIDENCE: Final[Mapping[str, int]] = MappingProxyType({"1": 90, "2": 70, "3": 50, "4": 30})
_ACTOR_CLASSES: Final[Mapping[str, str]] = MappingProxyType({"BROKER": "broker", "CARRIER": "carrier"})


@dataclass(frozen=True, slots=True)
class Origin:
    """What the manifest says of the alert.

    Attributes:
        sender: address of its sender.
        sent_at: ms since 1970.
        tlp: who may see it.
        codes: handling codes.
    """

    sender: str
    sent_at: int
    tlp: Tlp
    codes: Sequence[HandlingCode] = ()


def _time(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _day(day: str) -> str:
    return f"{day}T00:00:00.000Z"


def _tlp_marking(tlp: Tlp) -> JsonObject:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{_TLP_IDS[tlp]}",
        "created": "2022-10-01T00:00:00.000Z",
        "name": f"TLP:{tlp.value}",
        "extensions": {
            _TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.value.lower()}
        },
    }


class _Bundle:
    """Objects of one alert, each with the identifier that it always has."""

    def __init__(self, alert: str, origin: Origin) -> None:
        self._key = f"{origin.sender}/{alert}"
        self._at = _time(origin.sent_at)
        self._author = self._id("identity", origin.sender, shared=True)
        self._markings: list[str] = []
        self.objects: list[JsonObject] = []

    def _id(self, kind: str, name: str, *, shared: bool = False) -> str:
        key = name if shared else f"{self._key}/{name}"
        return f"{kind}--{uuid.uuid5(_NAMESPACE, f'{kind}/{key}')}"

    def mark(self, marking: JsonObject) -> None:
        """Put all later objects under a marking."""
        self.objects.append(marking)
        self._markings.append(str(marking["id"]))

    def statement(self, text: str) -> None:
        """Put all later objects under a restriction in words."""
        self.mark(
            {
                "type": "marking-definition",
                "spec_version": "2.1",
                "id": self._id("marking-definition", text),
                "created": self._at,
                "definition_type": "statement",
                "definition": {"statement": text},
            }
        )

    def author(self, sender: str) -> None:
        """The sender, who created all objects."""
        self._add(self._author, "identity", {"name": sender, "identity_class": "organization"})

    def add(self, kind: str, name: str, members: Mapping[str, Any]) -> str:
        """Add an object; its identifier is made of its name within the alert."""
        return self._add(self._id(kind, name), kind, {"created_by_ref": self._author, **members})

    def _add(self, identifier: str, kind: str, members: Mapping[str, Any]) -> str:
        if any(each["id"] == identifier for each in self.objects):
            return identifier
        self.objects.append(
            {
                "type": kind,
                "spec_version": "2.1",
                "id": identifier,
                "created": self._at,
                "modified": self._at,
                **({"object_marking_refs": list(self._markings)} if self._markings else {}),
                **members,
            }
        )
        return identifier

    def relate(self, source: str, kind: str, target: str) -> str:
        """Add a relationship."""
        members = {"relationship_type": kind, "source_ref": source, "target_ref": target}
        return self.add("relationship", f"{source} {kind} {target}", members)


def _place(bundle: _Bundle, place: Mapping[str, Any]) -> str:
    name = ", ".join(
        str(place[part]) for part in ("name", "unlocode", "subdivision", "country") if part in place
    )
    members: JsonObject = {"name": name, "country": place["country"]}
    if "subdivision" in place:
        members["administrative_area"] = place["subdivision"]
    if "lat" in place:
        members |= {"latitude": float(place["lat"]), "longitude": float(place["lon"])}
    if "unlocode" in place:
        members["external_references"] = [{"source_name": "UN/LOCODE", "external_id": place["unlocode"]}]
    return bundle.add("location", f"place {name}", members)


def _technique(bundle: _Bundle, code: str, code_list: str) -> str:
    words = code.replace("_", " ").lower()
    return bundle.add(
        "attack-pattern",
        f"{code_list} {code}",
        {"name": words, "external_references": [{"source_name": code_list, "external_id": code}]},
    )


def _words(value: Any) -> str:
    """A block of the content in words: members and values, one after the other."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_words(member)}" for name, member in value.items())
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value)
    return str(value)


def _note(bundle: _Bundle, name: str, lines: Iterable[str], about: str) -> list[str]:
    text = "\n".join(lines)
    if not text:
        return []
    return [bundle.add("note", name, {"abstract": name, "content": text, "object_refs": [about]})]


def _legs(content: Mapping[str, Any]) -> list[str]:
    segments = content["route"]["segments"]
    return [
        f"{leg['seq']}. {_words(leg['from'])} → {_words(leg['to'])}; "
        f"mode {leg['mode']} (UN/ECE Rec 19); {leg['status'].lower()}"
        for leg in segments
    ] + [f"choke point {place}" for place in content["route"].get("chokePoints", ())]


def _actors(bundle: _Bundle, campaign: str, content: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for i, actor in enumerate(content.get("actors", ()), 1):
        name = actor.get("name", f"{actor['type'].lower()} {i}")
        members: JsonObject = {"name": name}
        if "note" in actor:
            members["description"] = actor["note"]
        if actor["type"] == "GROUP":
            who = bundle.add(
                "threat-actor", f"actor {i}", {**members, "threat_actor_types": ["crime-syndicate"]}
            )
            found.append(bundle.relate(campaign, "attributed-to", who))
        else:
            roles = {"roles": [_ACTOR_CLASSES[actor["type"]]], "identity_class": "organization"}
            who = bundle.add("identity", f"actor {i}", {**members, **roles})
            found.append(bundle.relate(campaign, "related-to", who))
        found.append(who)
        if "country" in actor:
            where = bundle.add(
                "location",
                f"country {actor['country']}",
                {"name": actor["country"], "country": actor["country"]},
            )
            found += [
                where,
                bundle.relate(who, "located-at" if actor["type"] == "GROUP" else "related-to", where),
            ]
    return found


def to_stix(content: Mapping[str, Any], origin: Origin) -> JsonObject:
    """A trade-route alert as a STIX 2.1 bundle.

    Args:
        content: valid, of type ``trade-route-alert``.
        origin: from its manifest.

    Returns:
        The bundle; its last object is the report.
    """
    bundle = _Bundle(content["alertRef"], origin)
    bundle.mark(_tlp_marking(origin.tlp))
    for code in origin.codes:
        bundle.statement(f"SIENA handling code {code.value}")
    bundle.author(origin.sender)
    period = content.get("period") or {"from": content["validFrom"], "to": content["validUntil"]}
    campaign = bundle.add(
        "campaign",
        "route",
        {"name": content["title"], "first_seen": _day(period["from"]), "last_seen": _day(period["to"])},
    )
    refs = [campaign]
    segments = content["route"]["segments"]
    for i, leg in enumerate(segments):
        if i == 0:
            first = _place(bundle, leg["from"])
            refs += [first, bundle.relate(campaign, "originates-from", first)]
        place = _place(bundle, leg["to"])
        refs += [place, bundle.relate(campaign, "targets", place)]
    for member, code_list in (("acquisition", "ACQUISITION_TECHNIQUE"), ("concealment", "CONCEALMENT")):
        for code in content.get(member, ()):
            technique = _technique(bundle, code, code_list)
            refs += [technique, bundle.relate(campaign, "uses", technique)]
    refs += _actors(bundle, campaign, content)
    refs += _note(bundle, "Legs of the route", _legs(content), campaign)
    for member, name in (
        ("commodities", "What travels"),
        ("volume", "How much was observed"),
        ("indicators", "How to recognise a consignment"),
    ):
        value = content.get(member)
        if value:
            lines = [_words(each) for each in value] if isinstance(value, list) else [_words(value)]
            refs += _note(bundle, name, lines, campaign)
    advice = [content[name] for name in ("detectionAdvice",) if name in content]
    action = ", ".join(content["recommendedAction"])
    refs.append(
        bundle.add(
            "course-of-action",
            "advice",
            {"name": f"Recommended action: {action}", "description": "\n".join([*advice, action])},
        )
    )
    references = [{"source_name": "countermark", "external_id": content["alertRef"]}]
    references += [
        {"source_name": each["system"], "external_id": each["ref"]}
        for each in content.get("externalRefs", ())
    ]
    evaluation = content["evaluation"]
    bundle.add(
        "report",
        "report",
        {
            "name": content["title"],
            "description": f"Evaluation {evaluation['source']}{evaluation['information']}, basis {content['basis']}; "
            f"valid {content['validFrom']} to {content['validUntil']}",
            "report_types": ["campaign"],
            "published": _time(origin.sent_at),
            "confidence": _CONFIDENCE[evaluation["information"]],
            "object_refs": list(dict.fromkeys(refs)),
            "external_references": references,
        },
    )
    name = f"{origin.sender}/{content['alertRef']}/{origin.sent_at}"
    return {
        "type": "bundle",
        "id": f"bundle--{uuid.uuid5(_NAMESPACE, name)}",
        "objects": bundle.objects,
    }
