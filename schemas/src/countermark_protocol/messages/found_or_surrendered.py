"""Finds and surrenders: weapons that came to hand without a measure against anybody.

Seized weapons are told of by a confiscation notice. The distinction is that of UNODC: *found* is what had no owner or
possessor on the spot, *surrendered* what was handed over willingly.

Source: ITI 9; UNODC IAFQ and SDG 16.4.2; PoA II.20-21; MOSAIC 05.31; docs/spec/messages.md §7.5.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.events import Disposal, NoTraceReason, TraceIntended
from countermark_protocol.codes.transfers import FindManner
from countermark_protocol.codes.weapons import NoMarksReason, OriginForm, WeaponCategory
from countermark_protocol.messages.base import Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, Dated, ExternalRef, Place
from countermark_protocol.messages.scalars import Count, Day, Language, Line, Prose, Ref
from countermark_protocol.messages.weapon import ITEM_RULES, AmmunitionLot, PartLot, check_items
from countermark_protocol.messages.weapon_v2 import FirearmItemV2


class FindEvent(Dated):
    """When and where the weapons came to hand."""

    place: Annotated[Place, term("Place", source="IAFQ")]
    circumstances: Annotated[Prose | None, term("Circumstances in words", source="ITI 17(a); IAFQ")] = None


class CollectionProgramme(Block):
    """Amnesty, collection or disarmament under which weapons are handed over."""

    RULES: ClassVar[Mapping[str, str]] = {
        "programme_forward": "to is not before from",
    }

    name: Annotated[Line, term("Its name", source="PoA II.20-21")]
    legal_basis: Annotated[Prose | None, term("Its legal basis", source="PoA II.20-21")] = None
    from_: Annotated[Day | None, term("First day", source="PoA II.20-21", unit="day", name="from")] = None
    to: Annotated[Day | None, term("Last day", source="PoA II.20-21", unit="day")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            yield Broken("programme_forward", "/to")


class CollectedCount(Block):
    """Weapons that are counted and not listed, since they bear no marks."""

    category: Annotated[
        WeaponCategory, term("Category", source="IAFQ; PoA report 6", codes="WEAPON_CATEGORY")
    ]
    origin_form: Annotated[OriginForm, term("How they came to be", source="IAFQ", codes="ORIGIN_FORM")]
    count: Annotated[Count, term("How many", source="PoA report 6", unit="weapons")]
    reason: Annotated[
        NoMarksReason, term("Why they are counted and not listed", source="ITI 9", codes="NO_MARKS_REASON")
    ]


_PROGRAMMES: Final = frozenset({FindManner.SURRENDERED_AMNESTY, FindManner.COLLECTED})


class FoundOrSurrenderedNotice(Message):
    """Weapons were found without an owner, or handed over willingly (ITI 9; SDG 16.4.2)."""

    TYPE: ClassVar[str] = "found-or-surrendered-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "find_items_or_counts": "a notice lists items or counts, or both",
        "find_total_adds_up": "total is the number of items plus the sum of the counts",
        "find_programme": "programme stands with SURRENDERED_AMNESTY and COLLECTED, and only with these",
        "find_no_trace_reason": "noTraceReason stands with traceIntended NO, and only with it",
    }

    notice_ref: Annotated[Ref, term("The notice's reference", source="IAFQ")]
    manner: Annotated[
        FindManner, term("How they came to hand", source="IAFQ; SDG 16.4.2", codes="FIND_MANNER")
    ]
    event: Annotated[FindEvent, term("The event", source="IAFQ")]
    authority: Annotated[Contact, term("The authority that took them in", source="ITI 9")]
    programme: Annotated[
        CollectionProgramme | None, term("Programme under which they were handed over", source="PoA II.20-21")
    ] = None
    items: Annotated[
        tuple[FirearmItemV2, ...], term("The weapons", source="ITI 9; IAFQ", at_least=1, at_most=500)
    ] = ()
    counts: Annotated[
        tuple[CollectedCount, ...],
        term("Weapons that bear no marks", source="PoA report 6", at_least=1, at_most=200),
    ] = ()
    total: Annotated[
        int | None,
        term("Weapons in all", source="PoA report 6", unit="weapons", low=1, high=10_000_000),
    ] = None
    parts: Annotated[
        tuple[PartLot, ...], term("Parts and components", source="FP 3(b); IAFQ", at_least=1, at_most=200)
    ] = ()
    ammunition: Annotated[
        tuple[AmmunitionLot, ...], term("Ammunition", source="IAFQ", at_least=1, at_most=200)
    ] = ()
    disposition: Annotated[
        Disposal, term("What becomes of the weapons", source="ITI 9; FP 6", codes="DISPOSAL")
    ]
    evidence_seal: Annotated[Ref | None, term("Seal of the evidence", source="ATF 3312.1 VIII")] = None
    trace_intended: Annotated[
        TraceIntended, term("Whether they are to be traced", source="MOSAIC 05.31", codes="TRACE_INTENDED")
    ]
    no_trace_reason: Annotated[
        NoTraceReason | None, term("Why they are not traced", source="MOSAIC 05.31", codes="NO_TRACE_REASON")
    ] = None
    remarks: Annotated[Prose | None, term("Other relevant information", source="IAFQ")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from check_items(self.items, self.event.date.year if self.event.date else None)
        if not self.items and not self.counts:
            yield Broken("find_items_or_counts")
        if self.total is not None and self.total != len(self.items) + sum(each.count for each in self.counts):
            yield Broken("find_total_adds_up", "/total")
        if (self.manner in _PROGRAMMES) != (self.programme is not None):
            yield Broken("find_programme", "/programme")
        if (self.trace_intended is TraceIntended.NO) != (self.no_trace_reason is not None):
            yield Broken("find_no_trace_reason", "/noTraceReason")
