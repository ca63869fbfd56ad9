"""Assistance requested: one project that a State needs help with.

Source: PoA report section 9; UNODA compendium *Matching Needs and Resources*; UNSCAR call; UNIDIR reference
methodology; docs/spec/assistance.md §1.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.assistance import (
    AssistanceArea,
    AssistanceForm,
    ContributionKind,
    NeedKind,
    NoBudgetReason,
)
from countermark_protocol.codes.weapons import PublicLevel
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef
from countermark_protocol.messages.money import Currency, MoneyAmount
from countermark_protocol.messages.scalars import Count, Country, Day, Language, Line, Prose, Ref, Title

#: Longest project, in months.
MAX_MONTHS: Final = 60


class Activity(Block):
    """One thing to be done."""

    title: Annotated[Line, term("Activity", source="UNODA compendium")]
    output: Annotated[Line, term("What it gives", source="UNODA compendium")]
    months: Annotated[
        int, term("How long it takes", source="UNODA compendium", unit="months", low=1, high=MAX_MONTHS)
    ]


class BudgetLine(Block):
    """A part of the budget."""

    item: Annotated[Line, term("What it pays for", source="UNODA compendium")]
    amount: Annotated[
        MoneyAmount, term("Amount", source="UNODA compendium", unit="whole units of the currency")
    ]


class Budget(Block):
    """What the project is to cost; indicative."""

    RULES: ClassVar[Mapping[str, str]] = {
        "budget_adds_up": "the lines of a breakdown add up to the total",
    }

    currency: Annotated[Currency, term("Currency", source="UNODA compendium", codes="ISO 4217")]
    total: Annotated[
        MoneyAmount, term("Total", source="UNODA compendium", unit="whole units of the currency")
    ]
    breakdown: Annotated[
        tuple[BudgetLine, ...], term("Its parts", source="UNODA compendium", at_least=1, at_most=50)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.breakdown and sum(line.amount for line in self.breakdown) != self.total:
            yield Broken("budget_adds_up", "/total")


class NationalContribution(Block):
    """What the State brings in itself."""

    RULES: ClassVar[Mapping[str, str]] = {
        "contribution_kind": "a contribution says of what kind it is, and none has no kind",
    }

    currency: Annotated[Currency, term("Currency", source="UNODA compendium", codes="ISO 4217")]
    amount: Annotated[
        int,
        term(
            "Its value; 0 if there is none",
            source="UNODA compendium",
            unit="whole units of the currency",
            low=0,
            high=10**15,
        ),
    ]
    kinds: Annotated[
        tuple[ContributionKind, ...],
        term("Of what kind", source="UNODA compendium", codes="CONTRIBUTION_KIND", at_least=1, at_most=6),
        UNIQUE,
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if bool(self.kinds) != (self.amount > 0):
            yield Broken("contribution_kind", "/kinds")


class NeedQuantity(Block):
    """A number of the project."""

    kind: Annotated[NeedKind, term("What is counted", source="UNODA compendium", codes="NEED_KIND")]
    count: Annotated[Count, term("How many", source="UNODA compendium", unit="pieces")]
    note: Annotated[Line | None, term("What exactly", source="UNODA compendium")] = None


class AreaScore(Block):
    """How a State has assessed itself in one area, before assistance."""

    area: Annotated[
        AssistanceArea, term("Area", source="UNIDIR reference methodology", codes="ASSISTANCE_AREA")
    ]
    score: Annotated[
        int,
        term(
            "Score: 0 nothing is in place, 4 all is",
            source="UNIDIR reference methodology",
            low=0,
            high=4,
        ),
    ]
    gap: Annotated[Prose | None, term("What is missing", source="UNIDIR reference methodology")] = None


class AssistanceRequest(Message):
    """A State asks for assistance with one project."""

    TYPE: ClassVar[str] = "assistance-request"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "budget_or_reason": "either budget or noBudgetReason stands, not both",
        "activity_in_duration": "no activity takes longer than the project",
        "scores_of_areas": "a self-assessment scores areas that the request names, none twice",
    }

    request_ref: Annotated[Ref, term("The request's reference", source="UNODA compendium")]
    requesting_state: Annotated[
        Country, term("State that asks", source="UNODA compendium", codes="ISO 3166-1 alpha-2")
    ]
    submitted_by: Annotated[
        Line, term("National authority that submits it", source="UNODA compendium; PoA II.4-5")
    ]
    title: Annotated[Title, term("Project title", source="UNODA compendium")]
    areas: Annotated[
        tuple[AssistanceArea, ...],
        term(
            "Thematic areas",
            source="PoA report 9; UNODA compendium",
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
    background: Annotated[Prose, term("Background and needs", source="UNODA compendium")]
    objective: Annotated[Prose, term("Objective", source="UNODA compendium")]
    activities: Annotated[
        tuple[Activity, ...], term("Activities", source="UNODA compendium", at_least=1, at_most=50)
    ]
    beneficiaries: Annotated[Prose, term("Who benefits", source="UNODA compendium")]
    implementing_partners: Annotated[
        tuple[Line, ...],
        term("Implementing partners", source="UNODA compendium", at_least=1, at_most=20),
        UNIQUE,
    ] = ()
    duration_months: Annotated[
        int, term("Duration", source="UNODA compendium", unit="months", low=1, high=MAX_MONTHS)
    ]
    start_not_before: Annotated[Day | None, term("Earliest start", source="UNODA compendium", unit="day")] = (
        None
    )
    languages: Annotated[
        tuple[Language, ...],
        term(
            "Languages in which assistance can be received",
            source="own",
            codes="BCP 47",
            at_least=1,
            at_most=10,
        ),
        UNIQUE,
    ]
    budget: Annotated[Budget | None, term("Estimated budget", source="UNODA compendium; UNSCAR")] = None
    no_budget_reason: Annotated[
        NoBudgetReason | None, term("Why there is no budget", source="own", codes="NO_BUDGET_REASON")
    ] = None
    national_contribution: Annotated[
        NationalContribution, term("National contribution", source="UNODA compendium")
    ]
    quantities: Annotated[
        tuple[NeedQuantity, ...],
        term("Numbers of the project", source="UNODA compendium", at_least=1, at_most=20),
    ] = ()
    priority: Annotated[int, term("Priority: 1 first, 3 last", source="UNODA compendium", low=1, high=3)]
    linked_report: Annotated[
        Ref | None, term("National report that names the need", source="ITI 36; PoA II.33")
    ] = None
    self_assessment: Annotated[
        tuple[AreaScore, ...],
        term("Self-assessment by area", source="UNIDIR reference methodology", at_least=1, at_most=18),
    ] = ()
    gender_age_note: Annotated[
        Prose | None, term("How gender and age are considered", source="PoA report 10")
    ] = None
    sustainability_plan: Annotated[Prose, term("How it lasts after the project", source="UNSCAR call")]
    contact: Annotated[Contact, term("Who can be asked", source="UNODA compendium; PoA report 1")]
    valid_until: Annotated[Day, term("Last day on which it stands", source="own", unit="day")]
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
        term("The request in other systems", source="ITI 33-35", at_least=1, at_most=20),
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.budget is None) == (self.no_budget_reason is None):
            yield Broken("budget_or_reason", "/budget")
        for i, activity in enumerate(self.activities):
            if activity.months > self.duration_months:
                yield Broken("activity_in_duration", f"/activities/{i}/months")
        seen: set[AssistanceArea] = set()
        for i, each in enumerate(self.self_assessment):
            if each.area in seen or each.area not in self.areas:
                yield Broken("scores_of_areas", f"/selfAssessment/{i}/area")
            seen.add(each.area)
