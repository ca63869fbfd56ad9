"""Hits: a weapon that was found agrees with a record of loss or theft, and its owner confirms it or does not.

A hit is a lead and never an identification: nobody acts on it before the owner of the record has confirmed.

Source: NCIC Gun File (hit confirmation); SIS Regulation (EU) 2018/1862; INTERPOL iARMS; docs/spec/messages.md §7.7.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.events import ActionIfFound, FindingContext
from countermark_protocol.codes.tracing import ExternalSystem
from countermark_protocol.codes.transfers import HitMeasure, HitResult, MatchBasis
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, refs_unique, term
from countermark_protocol.messages.blocks import Contact, Dated, ExternalRef, Place, UseRestrictions
from countermark_protocol.messages.scalars import Instant, Language, MessageHash, MessageRef, Prose, Ref
from countermark_protocol.messages.weapon import ITEM_RULES, check_items
from countermark_protocol.messages.weapon_v2 import FirearmItemV2

_SERIALS: Final = frozenset({MatchBasis.SERIAL, MatchBasis.SERIAL_LOOKALIKE, MatchBasis.SERIAL_PARTIAL})


class HitRecord(Block):
    """The record that was hit."""

    RULES: ClassVar[Mapping[str, str]] = {
        "record_named": "a record is named by its message, its reference, or both",
    }

    message: Annotated[
        MessageHash | None, term("The notice that made it, if it came through this log", source="NCIC")
    ] = None
    record_ref: Annotated[Ref | None, term("Its owner's reference", source="NCIC OCA")] = None
    system: Annotated[
        ExternalSystem | None,
        term("System that holds it, if it is none of this log", source="iARMS; SIS", codes="EXTERNAL_SYSTEM"),
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.message is None and self.record_ref is None:
            yield Broken("record_named")


class HitItem(Block):
    """A weapon of the record, and the weapon found that agrees with it."""

    RULES: ClassVar[Mapping[str, str]] = {
        "hit_not_by_serial_alone": "a serial agrees with make, model, calibre or category, never alone",
    }

    record_item_ref: Annotated[
        Ref | None, term("The weapon of the record, by its reference there", source="NCIC")
    ] = None
    item_ref: Annotated[Ref, term("The weapon found, by its reference in items", source="NCIC")]
    matched_on: Annotated[
        tuple[MatchBasis, ...],
        term("In what the two agree", source="NCIC Gun File", codes="MATCH_BASIS", at_least=1, at_most=9),
        UNIQUE,
    ]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if set(self.matched_on) <= _SERIALS:
            yield Broken("hit_not_by_serial_alone", "/matchedOn")


class HitEncounter(Dated):
    """Where and when the weapon was found."""

    place: Annotated[Place, term("Place", source="SIS 38; NCIC")]
    context: Annotated[
        FindingContext | None, term("How it came to hand", source="ITI 17(a)", codes="FINDING_CONTEXT")
    ] = None
    measure: Annotated[HitMeasure, term("What was done with it", source="SIS 38", codes="HIT_MEASURE")]


class HitNotice(Message):
    """A weapon found agrees with a record of loss or theft; the record's owner is asked to confirm."""

    TYPE: ClassVar[str] = "hit-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "hit_item_listed": "a hit names a weapon of items",
    }

    hit_ref: Annotated[Ref, term("The hit's reference", source="NCIC")]
    record: Annotated[HitRecord, term("The record", source="NCIC; iARMS; SIS")]
    hits: Annotated[tuple[HitItem, ...], term("What agrees with what", source="NCIC", at_least=1, at_most=50)]
    items: Annotated[
        tuple[FirearmItemV2, ...], term("The weapons as found", source="NCIC; SIS 38", at_least=1, at_most=50)
    ]
    encounter: Annotated[HitEncounter, term("The finding", source="SIS 38")]
    automatic: Annotated[
        bool, term("Whether a machine compared them, and no person yet", source="INTERPOL iARMS")
    ]
    confirm_by: Annotated[
        Instant | None,
        term(
            "Until when the weapon can be held without a confirmation",
            source="NCIC; SIRENE",
            unit="instant, UTC",
        ),
    ] = None
    contact: Annotated[Contact, term("Who reports", source="NCIC; ITI 25")]
    remarks: Annotated[Prose | None, term("Other relevant information", source="SIS 38")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from check_items(self.items, self.encounter.date.year if self.encounter.date else None)
        listed = {item.item_ref for item in self.items}
        for i, hit in enumerate(self.hits):
            if hit.item_ref not in listed:
                yield Broken("hit_item_listed", f"/hits/{i}/itemRef")


class HitItemResult(Block):
    """What the owner says to one hit."""

    item_ref: Annotated[Ref, term("The weapon, by its reference in the hit notice", source="NCIC")]
    result: Annotated[HitResult, term("What it is", source="NCIC; SIRENE", codes="HIT_RESULT")]
    text: Annotated[Prose | None, term("Why, in words", source="SIRENE")] = None


class HitConfirmation(Message):
    """The owner of a record says whether a hit is one, and what is asked of who found the weapon."""

    TYPE: ClassVar[str] = "hit-confirmation"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "hit_results_differ": "there is one result for a weapon",
        "confirmed_asks": "actionIfFound stands with a CONFIRMED result, and only with one",
    }

    hit_id: Annotated[MessageRef, term("The hit notice that is answered", source="NCIC")]
    record_ref: Annotated[Ref, term("The record, by its owner's reference", source="NCIC OCA")]
    checked_at: Annotated[Instant, term("When the record was looked at", source="NCIC", unit="instant, UTC")]
    item_results: Annotated[
        tuple[HitItemResult, ...], term("Results, one a weapon", source="NCIC", at_least=1, at_most=50)
    ]
    action_if_found: Annotated[
        ActionIfFound | None, term("What is asked of the finder", source="SIS 38", codes="ACTION_IF_FOUND")
    ] = None
    legal_basis: Annotated[Prose | None, term("Legal basis of that", source="SIS 38")] = None
    use_restrictions: Annotated[
        UseRestrictions | None, term("How the answer may be used", source="ITI 15; SIS 38")
    ] = None
    contact: Annotated[Contact, term("Who answers", source="NCIC; ITI 25")]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        refs = tuple(result.item_ref for result in self.item_results)
        yield from refs_unique(refs, "hit_results_differ", "itemResults")
        confirmed = any(each.result is HitResult.CONFIRMED for each in self.item_results)
        if confirmed != (self.action_if_found is not None):
            yield Broken("confirmed_asks", "/actionIfFound")
