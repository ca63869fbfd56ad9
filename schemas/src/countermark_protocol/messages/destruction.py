"""Destruction: weapons that no longer exist.

Source: ITI 9; Firearms Protocol 6(2); PoA II.16-19; MOSAIC 05.50; docs/spec/messages.md §7.6.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import (
    DestructionMethod,
    DestructionOrigin,
    VerificationType,
    WitnessRole,
)
from countermark_protocol.codes.weapons import NoMarksReason, OriginForm, WeaponCategory
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef, Place
from countermark_protocol.messages.scalars import Count, Day, Language, Line, Prose, Ref
from countermark_protocol.messages.weapon import ITEM_RULES, AmmunitionLot, FirearmItem, check_items


class Authorisation(Block):
    """Who ordered the destruction."""

    authority: Annotated[Line, term("Authority", source="FP 6(2)")]
    reference: Annotated[Ref, term("Its decision", source="FP 6(2)")]
    date: Annotated[Day, term("Day of the decision", source="FP 6(2)", unit="day")]


class DestroyedCount(Block):
    """Weapons that bore no marks, and can only be counted."""

    category: Annotated[
        WeaponCategory, term("Category", source="IAFQ; PoA report 5", codes="WEAPON_CATEGORY")
    ]
    origin_form: Annotated[OriginForm, term("How they came to be", source="IAFQ", codes="ORIGIN_FORM")]
    count: Annotated[Count, term("How many", source="PoA report 5", unit="weapons")]
    reason: Annotated[
        NoMarksReason, term("Why they are counted and not listed", source="ITI 9", codes="NO_MARKS_REASON")
    ]


class Witness(Block):
    """Who witnessed it, by office and never by name."""

    organisation: Annotated[Line, term("Organisation", source="MOSAIC 05.50")]
    role: Annotated[WitnessRole, term("Function", source="MOSAIC 05.50", codes="WITNESS_ROLE")]


class Verification(Block):
    """How it was verified."""

    type: Annotated[VerificationType, term("How", source="MOSAIC 05.50", codes="VERIFICATION_TYPE")]
    certificate_ref: Annotated[Ref, term("Certificate or record", source="MOSAIC 05.50")]


class DestructionNotice(Message):
    """Weapons were destroyed (ITI 9)."""

    TYPE: ClassVar[str] = "destruction-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "items_or_counts": "a destruction notice lists items or counts, or both",
        "destroyed_items_marked": "a listed item has marks; weapons without are counted",
        "marks_recorded_or_why": "marksNotRecordedReason stands with marksRecordedBefore false, and only with it",
        "authorised_before": "the authorisation is not later than the destruction",
        "total_adds_up": "total is the number of items plus the sum of the counts",
    }

    notice_ref: Annotated[Ref, term("The notice's reference", source="PoA II.16-19")]
    origin: Annotated[
        DestructionOrigin,
        term("Where the weapons came from", source="PoA II.16-19", codes="DESTRUCTION_ORIGIN"),
    ]
    confiscation_refs: Annotated[
        tuple[Ref, ...],
        term("Confiscation notices that they were in", source="ITI 9", at_least=1, at_most=500),
        UNIQUE,
    ] = ()
    authorisation: Annotated[Authorisation, term("Who ordered it", source="FP 6(2)")]
    destroyed_on: Annotated[Day, term("Day of destruction", source="PoA report 6", unit="day")]
    place: Annotated[Place, term("Place of destruction", source="PoA report 6")]
    method: Annotated[
        DestructionMethod, term("Method", source="MOSAIC 05.50; FP 6(2)", codes="DESTRUCTION_METHOD")
    ]
    facility: Annotated[Line, term("Facility", source="MOSAIC 05.50")]
    items: Annotated[
        tuple[FirearmItem, ...],
        term("Weapons destroyed, with their marks", source="ITI 9", at_least=1, at_most=500),
    ] = ()
    counts: Annotated[
        tuple[DestroyedCount, ...],
        term("Weapons destroyed that bore none", source="ITI 9", at_least=1, at_most=200),
    ] = ()
    total: Annotated[
        int | None,
        term("Weapons destroyed in all", source="PoA report 5", unit="weapons", low=1, high=10_000_000),
    ] = None
    marks_recorded_before: Annotated[bool, term("Whether marks were recorded before", source="FP 6(2)")]
    marks_not_recorded_reason: Annotated[Prose | None, term("Why they were not", source="FP 6(2)")] = None
    witnesses: Annotated[
        tuple[Witness, ...],
        term("Who witnessed it, two at least", source="MOSAIC 05.50", at_least=2, at_most=50),
        UNIQUE,
    ]
    verification: Annotated[Verification, term("How it was verified", source="MOSAIC 05.50")]
    ammunition_destroyed: Annotated[
        tuple[AmmunitionLot, ...],
        term("Ammunition destroyed", source="PoA II.16-19", at_least=1, at_most=200),
    ] = ()
    scrap_disposal: Annotated[Line | None, term("What became of the scrap", source="MOSAIC 05.50")] = None
    ends_record: Annotated[
        bool, term("Whether open theft and trace records of these weapons end", source="ITI 9; NCIC")
    ]
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from check_items(self.items, self.destroyed_on.year)
        if not self.items and not self.counts:
            yield Broken("items_or_counts")
        for i, item in enumerate(self.items):
            if not item.marks:
                yield Broken("destroyed_items_marked", f"/items/{i}/marks")
        if self.marks_recorded_before == (self.marks_not_recorded_reason is not None):
            yield Broken("marks_recorded_or_why", "/marksNotRecordedReason")
        if self.authorisation.date > self.destroyed_on:
            yield Broken("authorised_before", "/authorisation/date")
        if self.total is not None and self.total != len(self.items) + sum(each.count for each in self.counts):
            yield Broken("total_adds_up", "/total")
