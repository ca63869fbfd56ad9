"""A national report: what a State tells of its year, and the figures that its own messages give.

Figures are rows, so that nothing is told twice and what is not known stands apart (UNKNOWN), not as zero.

Source: PoA II.33; ITI 36; UNODA online template; ATT 13; UNODC IAFQ; SDG 16.4.2; docs/spec/reports.md §1.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.assistance import AssistanceArea
from countermark_protocol.codes.events import ConfiscationAction, DestructionMethod
from countermark_protocol.codes.reports import (
    FiguresBasis,
    MarkContent,
    MarkingState,
    ReportKind,
    ReportSection,
)
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact
from countermark_protocol.messages.money import Money
from countermark_protocol.messages.scalars import Count, Country, Decimal, Language, Line, Prose, Ref, Year

#: No figure of a report is larger.
MOST: Final = 10_000_000


def _number(text: str, source: str, unit: str = "arms") -> object:
    return term(text, source=source, unit=unit, low=0, high=MOST)


class SectionAnswer(Block):
    """One section of the report, answered or left open."""

    RULES: ClassVar[Mapping[str, str]] = {
        "answered_has_answer": "answer stands exactly if answered is true",
    }

    section: Annotated[ReportSection, term("Section", source="UNODA template", codes="REPORT_SECTION")]
    answered: Annotated[bool, term("Whether it is answered", source="UNODA template")]
    answer: Annotated[Prose | None, term("Answer", source="UNODA template")] = None
    notes: Annotated[Prose | None, term("Notes", source="UNODA template")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.answered != (self.answer is not None):
            yield Broken("answered_has_answer", "/answer")


class ArmsFigure(Block):
    """Arms seized, found, surrendered or confiscated in one year, of one category and state of marking."""

    year: Annotated[Year, term("Year", source="PoA report 6; IAFQ", unit="year")]
    action: Annotated[
        ConfiscationAction,
        term("How they came to hand", source="PoA report 6; IAFQ", codes="CONFISCATION_ACTION"),
    ]
    category: Annotated[WeaponCategory, term("Category", source="IAFQ", codes="WEAPON_CATEGORY")]
    marking: Annotated[
        MarkingState, term("State of marking", source="IAFQ; SDG 16.4.2", codes="MARKING_STATE")
    ]
    count: Annotated[Count, term("How many", source="PoA report 6; IAFQ", unit="arms")]


class DestroyedFigure(Block):
    """Arms destroyed in one year, of one category, by one method."""

    year: Annotated[Year, term("Year", source="PoA report 5 and 6", unit="year")]
    category: Annotated[WeaponCategory, term("Category", source="PoA report 5", codes="WEAPON_CATEGORY")]
    method: Annotated[DestructionMethod, term("Method", source="MOSAIC 05.50", codes="DESTRUCTION_METHOD")]
    count: Annotated[Count, term("How many", source="PoA report 5 and 6", unit="arms")]


class TracingFigure(Block):
    """Tracing requests of one year, by the year in which they were sent or received."""

    RULES: ClassVar[Mapping[str, str]] = {
        "tracing_within": "no more is acknowledged, answered or refused than was asked, nor more refused than answered",
    }

    year: Annotated[Year, term("Year", source="PoA report 8", unit="year")]
    sent: Annotated[int, _number("Requests sent", "PoA report 8", "requests")]
    sent_acknowledged: Annotated[int, _number("Of these, acknowledged", "ITI 19", "requests")]
    sent_answered: Annotated[int, _number("Of these, answered finally", "ITI 18", "requests")]
    sent_refused: Annotated[int, _number("Of the answered, refused in any part", "ITI 22", "requests")]
    received: Annotated[int, _number("Requests received", "PoA report 8", "requests")]
    received_acknowledged: Annotated[int, _number("Of these, acknowledged", "ITI 19", "requests")]
    received_answered: Annotated[int, _number("Of these, answered finally", "ITI 18", "requests")]
    received_refused: Annotated[int, _number("Of the answered, refused in any part", "ITI 22", "requests")]
    median_response_days: Annotated[
        Decimal | None,
        term(
            "Median time from request to final answer, of requests sent", source="PoA report 8", unit="days"
        ),
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        for which in ("sent", "received"):
            asked: int = getattr(self, which)
            answered: int = getattr(self, f"{which}_answered")
            if max(answered, getattr(self, f"{which}_acknowledged")) > asked:
                yield Broken("tracing_within", f"/{which}")
            elif getattr(self, f"{which}_refused") > answered:
                yield Broken("tracing_within", f"/{which}Refused")


class IndicatorFigure(Block):
    """SDG 16.4.2 of one year: arms whose illicit origin or context was traced or established."""

    RULES: ClassVar[Mapping[str, str]] = {
        "indicator_within": "traced and otherwise established arms are not more than all arms",
    }

    year: Annotated[Year, term("Year", source="SDG 16.4.2", unit="year")]
    marking: Annotated[
        MarkingState | None,
        term("State of marking; absent: all arms", source="SDG 16.4.2", codes="MARKING_STATE"),
    ] = None
    traced: Annotated[int, _number("Point of diversion established by tracing", "SDG 16.4.2")]
    otherwise_established: Annotated[
        int, _number("Point of diversion established by a competent authority", "SDG 16.4.2")
    ]
    arms: Annotated[int, _number("All arms seized, found and surrendered", "SDG 16.4.2")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.traced + self.otherwise_established > self.arms:
            yield Broken("indicator_within", "/arms")


class NotCounted(Block):
    """What the figures leave out, and why: nothing is left out silently."""

    reason: Annotated[Line, term("Why", source="own")]
    count: Annotated[Count, term("How many", source="own", unit="arms or messages, as the reason says")]


class ReportFigures(Block):
    """Figures of a report."""

    RULES: ClassVar[Mapping[str, str]] = {
        "figures_once": "no two rows of a table stand for the same cell",
        "computed_by": "computedBy stands unless the figures are merely stated",
    }

    basis: Annotated[FiguresBasis, term("Where they come from", source="own", codes="FIGURES_BASIS")]
    computed_by: Annotated[
        Line | None, term("Rules by which they were computed, with their version", source="own")
    ] = None
    messages: Annotated[
        int | None,
        term("Messages that they were computed from", source="own", unit="messages", low=0, high=MOST),
    ] = None
    arms: Annotated[
        tuple[ArmsFigure, ...],
        term("Seized, found, surrendered", source="PoA report 6; IAFQ", at_least=1, at_most=5000),
    ] = ()
    destroyed: Annotated[
        tuple[DestroyedFigure, ...], term("Destroyed", source="PoA report 5 and 6", at_least=1, at_most=2000)
    ] = ()
    tracing: Annotated[
        tuple[TracingFigure, ...], term("Tracing", source="PoA report 8", at_least=1, at_most=20)
    ] = ()
    indicator: Annotated[
        tuple[IndicatorFigure, ...], term("SDG 16.4.2", source="SDG 16.4.2", at_least=1, at_most=100)
    ] = ()
    not_counted: Annotated[
        tuple[NotCounted, ...], term("What they leave out", source="own", at_least=1, at_most=100)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _cells_once("arms", ((r.year, r.action, r.category, r.marking) for r in self.arms))
        yield from _cells_once("destroyed", ((r.year, r.category, r.method) for r in self.destroyed))
        yield from _cells_once("tracing", (r.year for r in self.tracing))
        yield from _cells_once("indicator", ((r.year, r.marking) for r in self.indicator))
        if (self.basis is FiguresBasis.STATED) == (self.computed_by is not None):
            yield Broken("computed_by", "/computedBy")


def _cells_once(table: str, cells: Iterable[object]) -> Iterator[Broken]:
    seen: set[object] = set()
    for i, cell in enumerate(cells):
        if cell in seen:
            yield Broken("figures_once", f"/{table}/{i}")
        seen.add(cell)


class ReportedAssistance(Block):
    """Assistance asked for or given, as a report tells it."""

    areas: Annotated[
        tuple[AssistanceArea, ...],
        term("Areas", source="PoA report 9", codes="ASSISTANCE_AREA", at_least=1, at_most=18),
        UNIQUE,
    ]
    description: Annotated[Prose, term("What", source="PoA report 9")]
    value: Annotated[Money | None, term("Amount", source="PoA report 9")] = None
    ref: Annotated[Ref | None, term("Reference of the request, offer or match", source="PoA report 9")] = None


class NationalReport(Message):
    """A State reports."""

    TYPE: ClassVar[str] = "national-report"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "years_in_order": "years ascend",
        "sections_once": "no section stands twice",
        "figures_of_years": "figures are of the years of the report",
    }

    report_ref: Annotated[Ref, term("The report's reference", source="UNODA template")]
    reporting_state: Annotated[
        Country, term("State that reports", source="ITI 36; PoA II.33", codes="ISO 3166-1 alpha-2")
    ]
    report_kind: Annotated[
        ReportKind, term("For which instrument", source="ITI 36; ATT 13", codes="REPORT_KIND")
    ]
    years: Annotated[
        tuple[Year, ...],
        term("Years that it covers", source="ITI 36", unit="year", at_least=1, at_most=10),
        UNIQUE,
    ]
    contacts: Annotated[
        tuple[Contact, ...],
        term("National points of contact", source="PoA report 1; ITI 31(a)", at_least=1, at_most=10),
    ]
    marking_content: Annotated[
        tuple[MarkContent, ...],
        term(
            "What is marked at manufacture",
            source="PoA report 2; ITI 8(a)",
            codes="MARK_CONTENT",
            at_least=1,
            at_most=7,
        ),
        UNIQUE,
    ] = ()
    sections: Annotated[
        tuple[SectionAnswer, ...], term("Sections", source="UNODA template", at_least=1, at_most=10)
    ]
    figures: Annotated[ReportFigures, term("Figures", source="PoA report 5, 6 and 8; SDG 16.4.2")]
    assistance_requested: Annotated[
        tuple[ReportedAssistance, ...],
        term("Assistance requested", source="PoA report 9", at_least=1, at_most=100),
    ] = ()
    assistance_provided: Annotated[
        tuple[ReportedAssistance, ...],
        term("Assistance provided", source="PoA report 9", at_least=1, at_most=100),
    ] = ()
    public_version: Annotated[bool, term("Whether this version may be published", source="UNODA template")]
    signed_by: Annotated[Line, term("Office that answers for it", source="UNODA template")]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if list(self.years) != sorted(self.years):
            yield Broken("years_in_order", "/years")
        seen: set[ReportSection] = set()
        for i, each in enumerate(self.sections):
            if each.section in seen:
                yield Broken("sections_once", f"/sections/{i}/section")
            seen.add(each.section)
        years = set(self.years)
        tables: dict[str, tuple[ArmsFigure | DestroyedFigure | TracingFigure | IndicatorFigure, ...]] = {
            "arms": self.figures.arms,
            "destroyed": self.figures.destroyed,
            "tracing": self.figures.tracing,
            "indicator": self.figures.indicator,
        }
        for name, rows in tables.items():
            for i, row in enumerate(rows):
                if row.year not in years:
                    yield Broken("figures_of_years", f"/figures/{name}/{i}/year")
