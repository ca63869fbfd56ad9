"""Assistance offered: what a donor would give, to whom and on what conditions.

Source: PoA report section 9; UNIDIR database of assistance; UNSCAR call; docs/spec/assistance.md §2.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.assistance import (
    AssistanceArea,
    AssistanceChannel,
    AssistanceForm,
    OfferCondition,
)
from countermark_protocol.codes.regions import Region
from countermark_protocol.codes.weapons import PublicLevel
from countermark_protocol.messages.assistance_request import MAX_MONTHS
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef
from countermark_protocol.messages.money import Currency, MoneyAmount
from countermark_protocol.messages.scalars import Count, Country, Day, Language, Line, Prose, Ref


class Donor(Block):
    """Who offers: a State, or an organisation."""

    RULES: ClassVar[Mapping[str, str]] = {
        "donor_identified": "a donor has an organisation or a State",
    }

    organisation: Annotated[
        Line | None, term("Organisation or agency", source="PoA report 9; UNIDIR database")
    ] = None
    state: Annotated[
        Country | None, term("State", source="PoA report 9; UNIDIR database", codes="ISO 3166-1 alpha-2")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.organisation is None and self.state is None:
            yield Broken("donor_identified")


class Eligibility(Block):
    """Which States an offer is for: all, or those named one by one or by region."""

    RULES: ClassVar[Mapping[str, str]] = {
        "eligible_all_or_named": "either anyState is true, or States or regions are named, not both",
    }

    any_state: Annotated[bool, term("Whether every State is eligible", source="UNIDIR database")]
    states: Annotated[
        tuple[Country, ...],
        term(
            "States that are eligible",
            source="UNIDIR database",
            codes="ISO 3166-1 alpha-2",
            at_least=1,
            at_most=250,
        ),
        UNIQUE,
    ] = ()
    regions: Annotated[
        tuple[Region, ...],
        term("Regions whose States are eligible", source="UN M49", codes="REGION", at_least=1, at_most=22),
        UNIQUE,
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.any_state == bool(self.states or self.regions):
            yield Broken("eligible_all_or_named", "/anyState")


class OfferedAmount(Block):
    """How much is offered for one project."""

    RULES: ClassVar[Mapping[str, str]] = {
        "amount_ascending": "the most that is offered is not less than the least",
    }

    currency: Annotated[Currency, term("Currency", source="UNIDIR database", codes="ISO 4217")]
    min: Annotated[
        MoneyAmount | None,
        term("Smallest project that is helped", source="UNSCAR call", unit="whole units of the currency"),
    ] = None
    max: Annotated[
        MoneyAmount, term("The most that is given", source="UNSCAR call", unit="whole units of the currency")
    ]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.min is not None and self.min > self.max:
            yield Broken("amount_ascending", "/min")


class InKind(Block):
    """What is given other than money."""

    item: Annotated[Line, term("What", source="PoA report 9")]
    quantity: Annotated[Count, term("How many", source="PoA report 9", unit="pieces")]


class Condition(Block):
    """What a donor asks in return."""

    RULES: ClassVar[Mapping[str, str]] = {
        "co_funding_percent": "percent stands with CO_FUNDING, and only with it",
        "other_condition_text": "condition OTHER is told in text",
    }

    kind: Annotated[OfferCondition, term("Condition", source="UNSCAR call", codes="OFFER_CONDITION")]
    percent: Annotated[
        int | None,
        term(
            "Share of the budget that the State bears", source="UNSCAR call", unit="per cent", low=1, high=99
        ),
    ] = None
    text: Annotated[Prose | None, term("In words", source="UNSCAR call")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.kind is OfferCondition.CO_FUNDING) != (self.percent is not None):
            yield Broken("co_funding_percent", "/percent")
        if self.kind is OfferCondition.OTHER and self.text is None:
            yield Broken("other_condition_text", "/text")


class AssistanceOffer(Message):
    """A donor offers assistance."""

    TYPE: ClassVar[str] = "assistance-offer"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "offer_has_means": "an offer names an amount, things in kind, or both",
        "available_forward": "availableUntil is not before availableFrom",
    }

    offer_ref: Annotated[Ref, term("The offer's reference", source="UNIDIR database")]
    donor: Annotated[Donor, term("Who offers", source="PoA report 9; UNIDIR database")]
    areas: Annotated[
        tuple[AssistanceArea, ...],
        term(
            "Thematic areas",
            source="PoA report 9; UNSCAR call",
            codes="ASSISTANCE_AREA",
            at_least=1,
            at_most=18,
        ),
        UNIQUE,
    ]
    forms: Annotated[
        tuple[AssistanceForm, ...],
        term("Forms of assistance", source="PoA report 9", codes="ASSISTANCE_FORM", at_least=1, at_most=8),
        UNIQUE,
    ]
    eligibility: Annotated[Eligibility, term("For which States it is", source="UNIDIR database")]
    amount: Annotated[OfferedAmount | None, term("How much", source="UNIDIR database; UNSCAR call")] = None
    in_kind: Annotated[
        tuple[InKind, ...], term("What else", source="PoA report 9", at_least=1, at_most=50)
    ] = ()
    conditions: Annotated[
        tuple[Condition, ...], term("Conditions", source="UNSCAR call", at_least=1, at_most=20)
    ] = ()
    languages: Annotated[
        tuple[Language, ...],
        term("Languages in which it is given", source="own", codes="BCP 47", at_least=1, at_most=20),
        UNIQUE,
    ]
    available_from: Annotated[
        Day, term("First day on which a project may start", source="UNSCAR call", unit="day")
    ]
    available_until: Annotated[Day, term("Last day on which one may end", source="UNSCAR call", unit="day")]
    max_duration_months: Annotated[
        int | None,
        term("Longest project", source="UNSCAR call", unit="months", low=1, high=MAX_MONTHS),
    ] = None
    channel: Annotated[
        AssistanceChannel, term("By what way it comes", source="PoA report 9", codes="ASSISTANCE_CHANNEL")
    ]
    exclusive: Annotated[
        bool, term("Whether no other donor may take part in the project", source="UNSCAR call")
    ]
    contact: Annotated[Contact, term("Who can be asked", source="UNIDIR database")]
    public_level: Annotated[
        PublicLevel, term("How widely it may be shown", source="TLP 2.0", codes="PUBLIC_LEVEL")
    ]
    overview_consent: Annotated[
        bool, term("Whether a secretariat may publish it in an overview", source="UNODA compendium")
    ]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...],
        term("The offer in other systems", source="ITI 33-35", at_least=1, at_most=20),
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.amount is None and not self.in_kind:
            yield Broken("offer_has_means", "/amount")
        if self.available_until < self.available_from:
            yield Broken("available_forward", "/availableUntil")
