"""Handling: how a message may be used, visible to the broker and to auditors.

Sources: TLP 2.0 (FIRST, 2022); SIENA handling codes (EU Manual 6261/18); docs/spec/messages.md §2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.claims import Claims, codes_of
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.identifiers import AuthorityCode, parse_authority_code


class Classification(StrEnum):
    """Protection level, lowest first; the order is the meaning."""

    UNCLASSIFIED = "UNCLASSIFIED"
    OFFICIAL = "OFFICIAL"
    RESTRICTED = "RESTRICTED"
    CONFIDENTIAL = "CONFIDENTIAL"
    SECRET = "SECRET"  # noqa: S105  a protection level, not a password

    @property
    def level(self) -> int:
        """0 for the lowest."""
        return _LEVELS[self]


_LEVELS: Final = {classification: level for level, classification in enumerate(Classification)}


class Tlp(StrEnum):
    """Traffic Light Protocol 2.0: who may see it."""

    RED = "RED"
    AMBER_STRICT = "AMBER+STRICT"
    AMBER = "AMBER"
    GREEN = "GREEN"
    CLEAR = "CLEAR"


class HandlingCode(StrEnum):
    """SIENA handling codes; the text that H3 demands is content."""

    H0 = "H0"
    H1 = "H1"
    H2 = "H2"
    H3 = "H3"


class UsePurpose(StrEnum):
    """What the content may be used for (ITI paragraph 17 (c); domain page 4.3, PURPOSE)."""

    CRIMINAL_INVESTIGATION = "CRIMINAL_INVESTIGATION"
    PROSECUTION = "PROSECUTION"
    INTELLIGENCE = "INTELLIGENCE"
    ADMINISTRATIVE_CONTROL = "ADMINISTRATIVE_CONTROL"
    EMBARGO_MONITORING = "EMBARGO_MONITORING"
    STATISTICS = "STATISTICS"
    RETURN_TO_OWNER = "RETURN_TO_OWNER"
    STATISTICS_ONLY = "STATISTICS_ONLY"


@dataclass(frozen=True, slots=True)
class Handling:
    """The five axes of handling.

    Attributes:
        tlp: who may see it.
        classification: protection level.
        codes: SIENA codes; H0 stands alone; none with TLP:CLEAR.
        originator_control: onward copies need the originator's consent.
        purpose: what it may be used for.
        retention_until: ms since 1970; keep no longer.
        releasable_to: authorities that may receive it; empty means no such limit.
    """

    tlp: Tlp
    classification: Classification
    codes: tuple[HandlingCode, ...]
    originator_control: bool
    purpose: UsePurpose
    retention_until: int
    releasable_to: tuple[AuthorityCode, ...] = ()

    def to_json(self) -> JsonObject:
        """Its JSON form in the manifest."""
        out: JsonObject = {
            "tlp": self.tlp.value,
            "classification": self.classification.value,
            "codes": [c.value for c in self.codes],
            "originator_control": self.originator_control,
            "purpose": self.purpose.value,
            "retention_until": self.retention_until,
        }
        if self.releasable_to:
            out["releasable_to"] = list(self.releasable_to)
        return out


def _code(value: Any, what: str) -> HandlingCode:
    code: HandlingCode | None = codes_of(HandlingCode).get(value) if isinstance(value, str) else None
    if code is None:
        malformed("bad_member", f"{what}: expected handling codes H0 to H3")
    return code


def parse_handling(value: Any, what: str = "handling") -> Handling:
    """Parse the manifest's ``handling``.

    Raises:
        MalformedError: a member is wrong, or the axes contradict each other (``handling_conflict``).
    """
    claims = Claims(value, what)
    handling = Handling(
        tlp=claims.choice("tlp", Tlp),
        classification=claims.choice("classification", Classification),
        codes=claims.list_of("codes", _code, 0, 4),
        originator_control=claims.boolean("originator_control"),
        purpose=claims.choice("purpose", UsePurpose),
        retention_until=claims.time("retention_until"),
        releasable_to=claims.list_of("releasable_to", parse_authority_code, 1, 300)
        if claims.has("releasable_to")
        else (),
    )
    claims.done()
    if HandlingCode.H0 in handling.codes and len(handling.codes) > 1:
        malformed(
            "handling_conflict", "handling code H0 stands alone: it cannot be combined with H1, H2 or H3"
        )
    if handling.tlp is Tlp.CLEAR and set(handling.codes) - {HandlingCode.H0}:
        malformed("handling_conflict", "TLP:CLEAR cannot carry the handling codes H1, H2 or H3")
    return handling
