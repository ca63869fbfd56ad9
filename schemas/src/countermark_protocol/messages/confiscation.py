"""Confiscation: weapons seized, found, surrendered or confiscated.

Source: ITI 9; Firearms Protocol 6 and 12(2); WCO CEN; UNODC IAFQ and SDG 16.4.2; docs/spec/messages.md §7.5.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import (
    Concealment,
    ConfiscationAction,
    DetectionMethod,
    Direction,
    Disposal,
    NoOffenceReason,
    NoTraceReason,
    Offence,
    Sex,
    TraceIntended,
)
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, Dated, ExternalRef, Place
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    Decimal,
    Language,
    Line,
    Prose,
    Ref,
    TransportMode,
)
from countermark_protocol.messages.weapon import ITEM_RULES, AmmunitionLot, FirearmItem, PartLot, check_items


class ConfiscationEvent(Dated):
    """Where, when and how the goods came to hand."""

    place: Annotated[Place, term("Place", source="WCO CEN; IAFQ")]
    direction: Annotated[
        Direction | None, term("Which way the goods were going", source="WCO CEN", codes="DIRECTION")
    ] = None
    detection_method: Annotated[
        DetectionMethod | None, term("How they were detected", source="WCO CEN", codes="DETECTION_METHOD")
    ] = None


class ConsignmentRoute(Block):
    """The way the goods went, and were meant to go."""

    RULES: ClassVar[Mapping[str, str]] = {
        "route_has_a_place": "a route names its departure, a transit or its destination",
    }

    departure: Annotated[Place | None, term("Departure", source="FP 12(2)(c); WCO CEN")] = None
    transit: Annotated[
        tuple[Place, ...], term("Transit, in order", source="FP 12(2)(c); WCO CEN", at_least=1, at_most=20)
    ] = ()
    destination: Annotated[Place | None, term("Destination", source="FP 12(2)(c); WCO CEN")] = None
    mode: Annotated[
        TransportMode | None, term("Mode of transport", source="WCO CEN", codes="UN/ECE Rec 19")
    ] = None
    carrier: Annotated[Line | None, term("Carrier", source="WCO CEN")] = None
    document_no: Annotated[Ref | None, term("Transport document", source="WCO CEN")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.departure is None and self.destination is None and not self.transit:
            yield Broken("route_has_a_place")


class OtherGoods(Block):
    """Other goods found with the weapons."""

    description: Annotated[Line, term("What they are", source="IAFQ")]
    quantity: Annotated[Decimal | None, term("How much", source="IAFQ", unit="as stated in unit")] = None
    unit: Annotated[Line | None, term("Unit of quantity", source="WCO CEN")] = None


class PersonsCount(Block):
    """How many persons, by nationality, sex and age; never who."""

    nationality: Annotated[
        Country | None, term("Nationality", source="WCO CEN", codes="ISO 3166-1 alpha-2")
    ] = None
    sex: Annotated[Sex | None, term("Sex", source="WCO CEN", codes="SEX")] = None
    age_band: Annotated[Line | None, term("Age band, e.g. 25-34", source="WCO CEN", unit="years")] = None
    count: Annotated[Count, term("How many", source="WCO CEN", unit="persons")]


class ConfiscationNotice(Message):
    """Weapons were seized, found, surrendered or confiscated (ITI 9)."""

    TYPE: ClassVar[str] = "confiscation-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "offences_or_reason": "either offences or noOffenceReason stands, not both",
        "no_trace_reason": "noTraceReason stands with traceIntended NO, and only with it",
    }

    notice_ref: Annotated[Ref, term("The notice's reference", source="WCO CEN")]
    action: Annotated[
        ConfiscationAction,
        term("What the authority did", source="IAFQ; SDG 16.4.2", codes="CONFISCATION_ACTION"),
    ]
    event: Annotated[ConfiscationEvent, term("The event", source="WCO CEN; IAFQ")]
    authority: Annotated[Contact, term("The authority that acted", source="ITI 9; WCO CEN")]
    route: Annotated[ConsignmentRoute | None, term("Route of the goods", source="FP 12(2)(c)")] = None
    concealment: Annotated[
        tuple[Concealment, ...],
        term("Means of concealment", source="FP 12(2)(b)", codes="CONCEALMENT", at_least=1, at_most=13),
        UNIQUE,
    ] = ()
    items: Annotated[
        tuple[FirearmItem, ...], term("The weapons", source="ITI 9; IAFQ", at_least=1, at_most=500)
    ]
    parts: Annotated[
        tuple[PartLot, ...], term("Parts and components", source="FP 3(b); IAFQ", at_least=1, at_most=200)
    ] = ()
    ammunition: Annotated[
        tuple[AmmunitionLot, ...], term("Ammunition", source="IAFQ", at_least=1, at_most=200)
    ] = ()
    other_goods: Annotated[
        tuple[OtherGoods, ...], term("Other goods found with them", source="IAFQ", at_least=1, at_most=100)
    ] = ()
    offences: Annotated[
        tuple[Offence, ...],
        term("Offences concerned", source="FP 5; IAFQ", codes="OFFENCE", at_least=1, at_most=11),
        UNIQUE,
    ] = ()
    no_offence_reason: Annotated[
        NoOffenceReason | None, term("Why no offence is named", source="own", codes="NO_OFFENCE_REASON")
    ] = None
    legal_basis: Annotated[Prose | None, term("Legal basis of the measure", source="IAFQ")] = None
    judicial_status: Annotated[Prose | None, term("State of the proceedings, as recorded", source="IAFQ")] = (
        None
    )
    disposition: Annotated[
        Disposal, term("What becomes of the weapons", source="ITI 9; FP 6", codes="DISPOSAL")
    ]
    evidence_seal: Annotated[Ref | None, term("Seal of the evidence", source="ATF 3312.1 VIII")] = None
    forensic_report: Annotated[Ref | None, term("Forensic report", source="INTERPOL FIELDS")] = None
    trace_intended: Annotated[
        TraceIntended, term("Whether they are to be traced", source="MOSAIC 05.31", codes="TRACE_INTENDED")
    ]
    no_trace_reason: Annotated[
        NoTraceReason | None, term("Why they are not traced", source="MOSAIC 05.31", codes="NO_TRACE_REASON")
    ] = None
    persons_count: Annotated[
        tuple[PersonsCount, ...],
        term("Persons concerned, counted", source="WCO CEN", at_least=1, at_most=100),
    ] = ()
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
        if bool(self.offences) == (self.no_offence_reason is not None):
            yield Broken("offences_or_reason", "/offences")
        if (self.trace_intended is TraceIntended.NO) != (self.no_trace_reason is not None):
            yield Broken("no_trace_reason", "/noTraceReason")
