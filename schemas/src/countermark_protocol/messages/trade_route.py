"""Trade routes and techniques of acquisition: what others should look out for.

Source: Firearms Protocol 12(2); ATT 11; WCO CEN; EU Manual 6261/18 (4x4); docs/spec/messages.md §7.8.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import (
    AcquisitionTechnique,
    ActorType,
    AlertBasis,
    Concealment,
    IndicatorKind,
    RecommendedAction,
    SegmentStatus,
)
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, Evaluation, ExternalRef, Place
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    Day,
    HsCode,
    Language,
    Line,
    MessageRef,
    Prose,
    QuantityRange,
    Ref,
    Title,
    TransportMode,
    Unlocode,
)
from countermark_protocol.messages.weapon import Calibre, Make


class RouteSegment(Block):
    """One leg of a route."""

    seq: Annotated[int, term("Number of the leg, from 1", source="FP 12(2)(c)", low=1, high=50)]
    from_: Annotated[Place, term("Point of dispatch", source="FP 12(2)(c)", name="from")]
    to: Annotated[Place, term("Point of destination", source="FP 12(2)(c)")]
    mode: Annotated[TransportMode, term("Mode of transport", source="FP 12(2)(c)", codes="UN/ECE Rec 19")]
    status: Annotated[SegmentStatus, term("How sure it is", source="own", codes="SEGMENT_STATUS")]


class TradeRoute(Block):
    """The route, leg by leg."""

    RULES: ClassVar[Mapping[str, str]] = {
        "segments_numbered": "the legs of a route are numbered 1, 2, 3 in order",
    }

    segments: Annotated[
        tuple[RouteSegment, ...], term("Legs, in order", source="FP 12(2)(c)", at_least=1, at_most=50)
    ]
    choke_points: Annotated[
        tuple[Unlocode, ...],
        term(
            "Places that consignments must pass",
            source="FP 12(2)(c)",
            codes="UN/LOCODE",
            at_least=1,
            at_most=50,
        ),
        UNIQUE,
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        for i, segment in enumerate(self.segments):
            if segment.seq != i + 1:
                yield Broken("segments_numbered", f"/segments/{i}/seq")


class Commodity(Block):
    """What travels on the route."""

    RULES: ClassVar[Mapping[str, str]] = {
        "range_ascending": "the second number of a range is not smaller than the first",
    }

    category: Annotated[WeaponCategory, term("Category", source="ITI 4; IAFQ", codes="WEAPON_CATEGORY")]
    make: Annotated[Make | None, term("Make", source="ITI 8(a)")] = None
    calibre: Annotated[Calibre | None, term("Calibre", source="ITI 8(a)")] = None
    quantity_range: Annotated[
        QuantityRange | None, term("How many, estimated", source="FP 12(2)(c)", unit="weapons")
    ] = None
    hs_code: Annotated[HsCode | None, term("Customs heading", source="WCO HS", codes="HS chapter 93")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        low, dash, high = (self.quantity_range or "").partition("-")
        if dash and int(high) < int(low):
            yield Broken("range_ascending", "/quantityRange")


class Period(Block):
    """Days within which it was observed."""

    RULES: ClassVar[Mapping[str, str]] = {
        "period_forward": "to is not before from",
    }

    from_: Annotated[Day, term("First day", source="WCO CEN", unit="day", name="from")]
    to: Annotated[Day, term("Last day", source="WCO CEN", unit="day")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.to < self.from_:
            yield Broken("period_forward", "/to")


class Volume(Block):
    """How much was observed."""

    RULES: ClassVar[Mapping[str, str]] = {
        "volume_stated": "a volume counts seizures or arms",
    }

    seizures: Annotated[Count | None, term("Seizures", source="WCO CEN", unit="seizures")] = None
    arms: Annotated[Count | None, term("Arms", source="WCO CEN", unit="weapons")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.seizures is None and self.arms is None:
            yield Broken("volume_stated")


class RouteActor(Block):
    """A group, broker or carrier on the route; never a private person. Its message is RESTRICTED at least."""

    type: Annotated[ActorType, term("What it is", source="FP 12(2)(a) and 15", codes="ACTOR_TYPE")]
    name: Annotated[Line | None, term("Name of the group or firm", source="FP 12(2)(a)")] = None
    country: Annotated[Country | None, term("Country", source="FP 12(2)(a)", codes="ISO 3166-1 alpha-2")] = (
        None
    )
    note: Annotated[Prose | None, term("What it does on the route", source="FP 12(2)(a)")] = None


class Indicator(Block):
    """By what a consignment may be recognised."""

    kind: Annotated[IndicatorKind, term("Kind", source="FP 12(2)(b)", codes="INDICATOR_KIND")]
    value: Annotated[Line, term("What to look for", source="FP 12(2)(b)")]


class TradeRouteAlert(Message):
    """A route by which weapons are trafficked, or a technique by which they are acquired."""

    TYPE: ClassVar[str] = "trade-route-alert"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "valid_forward": "validUntil is after validFrom",
        "seize_or_do_not_alert": "SEIZE and DO_NOT_ALERT cannot both be recommended",
    }

    alert_ref: Annotated[Ref, term("The alert's reference", source="FP 12(2)")]
    title: Annotated[Title, term("Title", source="FP 12(2)")]
    valid_from: Annotated[Day, term("First day on which it holds", source="INTERPOL RPD 49-50", unit="day")]
    valid_until: Annotated[Day, term("Last day on which it holds", source="INTERPOL RPD 49-50", unit="day")]
    evaluation: Annotated[Evaluation, term("4x4 evaluation", source="EU Manual 6261/18")]
    basis: Annotated[AlertBasis, term("What it rests on", source="FP 12(2)", codes="ALERT_BASIS")]
    route: Annotated[TradeRoute, term("The route", source="FP 12(2)(c)")]
    acquisition: Annotated[
        tuple[AcquisitionTechnique, ...],
        term(
            "How the weapons are acquired",
            source="ITI 4-6; ATT 11",
            codes="ACQUISITION_TECHNIQUE",
            at_least=1,
            at_most=18,
        ),
        UNIQUE,
    ]
    concealment: Annotated[
        tuple[Concealment, ...],
        term("Means of concealment", source="FP 12(2)(b)", codes="CONCEALMENT", at_least=1, at_most=13),
        UNIQUE,
    ] = ()
    detection_advice: Annotated[Prose | None, term("How it can be detected", source="FP 12(2)(b)")] = None
    commodities: Annotated[
        tuple[Commodity, ...], term("What travels", source="FP 12(2)(c)", at_least=1, at_most=100)
    ]
    period: Annotated[Period | None, term("When it was observed", source="WCO CEN")] = None
    volume: Annotated[Volume | None, term("How much was observed", source="WCO CEN")] = None
    actors: Annotated[
        tuple[RouteActor, ...], term("Who acts on it", source="FP 12(2)(a)", at_least=1, at_most=50)
    ] = ()
    indicators: Annotated[
        tuple[Indicator, ...],
        term("How to recognise a consignment", source="FP 12(2)(b)", at_least=1, at_most=100),
    ] = ()
    recommended_action: Annotated[
        tuple[RecommendedAction, ...],
        term(
            "What recipients are asked to do",
            source="SIS 38",
            codes="RECOMMENDED_ACTION",
            at_least=1,
            at_most=4,
        ),
        UNIQUE,
    ]
    related_messages: Annotated[
        tuple[MessageRef, ...],
        term("Messages it rests on", source="FP 12(2)", at_least=1, at_most=500),
        UNIQUE,
    ] = ()
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.valid_until <= self.valid_from:
            yield Broken("valid_forward", "/validUntil")
        if {RecommendedAction.SEIZE, RecommendedAction.DO_NOT_ALERT} <= set(self.recommended_action):
            yield Broken("seize_or_do_not_alert", "/recommendedAction")
