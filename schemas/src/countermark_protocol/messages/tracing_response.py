"""Tracing, the answer: what the requested State knows of each weapon, or on which ground it says nothing.

Source: International Tracing Instrument 11-12, 15, 18-23; MOSAIC 05.31; docs/spec/messages.md §7.4.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.events import AcquisitionTechnique
from countermark_protocol.codes.tracing import (
    ChainEventKind,
    InabilityReason,
    InformationSought,
    RefusalReason,
    TraceOutcome,
)
from countermark_protocol.handling import Tlp
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, refs_unique, term
from countermark_protocol.messages.blocks import Actor, Contact, ExternalRef, Party, Place, UseRestrictions
from countermark_protocol.messages.scalars import (
    Country,
    Day,
    Language,
    Line,
    MessageRef,
    PartialDay,
    Pointer,
    Prose,
    Ref,
    earliest,
    latest,
)
from countermark_protocol.messages.tracing_request import MAX_TRACED_ITEMS


class Correction(Block):
    """A correction to how the request describes the weapon."""

    path: Annotated[Pointer, term("Where in the item, e.g. /marks/2/text", source="ITI 20")]
    value: Annotated[
        Line | None, term("What it should read; absent if it should not be there", source="ITI 20")
    ] = None
    note: Annotated[Prose | None, term("Why", source="ITI 20")] = None


class ChainEvent(Block):
    """One step in the weapon's life, from a register."""

    seq: Annotated[int, term("Number of the step, from 1", source="MOSAIC 05.31", low=1, high=100)]
    event: Annotated[
        ChainEventKind, term("What happened", source="ATF 3312.1; EU 2021/555 4", codes="CHAIN_EVENT")
    ]
    date: Annotated[
        PartialDay | None,
        term("When, as exact as the register is; absent if it does not say", source="MOSAIC 05.31"),
    ] = None
    from_: Annotated[Actor | None, term("By or from whom", source="FP 12(1)", name="from")] = None
    to: Annotated[Actor | None, term("To whom", source="FP 12(1)")] = None
    licence_ref: Annotated[Ref | None, term("Licence", source="FP 7 and 10")] = None
    document_ref: Annotated[Ref | None, term("Document", source="FP 7 and 10")] = None


class PointOfDiversion(Block):
    """Where the weapon left the licit world."""

    type: Annotated[
        AcquisitionTechnique, term("How it was diverted", source="SDG 16.4.2", codes="ACQUISITION_TECHNIQUE")
    ]
    date: Annotated[PartialDay | None, term("When", source="SDG 16.4.2")] = None
    place: Annotated[Place | None, term("Where", source="SDG 16.4.2")] = None
    narrative: Annotated[Prose | None, term("What happened", source="SDG 16.4.2")] = None


class Refusal(Block):
    """Grounds on which an answer is refused, restricted or delayed: those of ITI 22, and no other."""

    reasons: Annotated[
        tuple[RefusalReason, ...],
        term("Grounds", source="ITI 22", codes="REFUSAL_REASON", at_least=1, at_most=4),
        UNIQUE,
    ]
    text: Annotated[Prose, term("The reasons in words", source="ITI 23")]
    applies_to: Annotated[
        tuple[InformationSought, ...],
        term(
            "What is held back; absent: everything",
            source="ITI 22",
            codes="INFORMATION_SOUGHT",
            at_least=1,
            at_most=7,
        ),
        UNIQUE,
    ] = ()
    review_on: Annotated[Day | None, term("When it is looked at again", source="ITI 22-23", unit="day")] = (
        None
    )


class Retention(Block):
    """For how long the records concerned are kept (ITI 12)."""

    RULES: ClassVar[Mapping[str, str]] = {
        "retention_years_or_permanent": "either years or permanent stands, not both",
    }

    years: Annotated[int | None, term("How long", source="ITI 12", unit="years", low=1, high=200)] = None
    permanent: Annotated[bool | None, term("Whether for ever", source="ITI 12; ECOWAS 9")] = None
    basis: Annotated[Line, term("Law or practice, and since when", source="ITI 12")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.years is None) != bool(self.permanent):
            yield Broken("retention_years_or_permanent")


class Inability(Block):
    """Why an answer cannot be given, though nobody refuses it."""

    reason: Annotated[InabilityReason, term("Reason", source="ITI 20", codes="INABILITY_REASON")]
    text: Annotated[Prose, term("The reason in words", source="ITI 23")]
    retention: Annotated[Retention | None, term("How long such records are kept", source="ITI 12")] = None


_TRACED: Final = frozenset(
    {
        TraceOutcome.TRACED_TO_LAST_HOLDER,
        TraceOutcome.TRACED_TO_POINT_OF_DIVERSION,
        TraceOutcome.TRACED_TO_EXPORT,
    }
)
_ITI_22: Final = frozenset({TraceOutcome.REFUSED, TraceOutcome.RESTRICTED, TraceOutcome.DELAYED})
_UNABLE: Final = frozenset(
    {
        TraceOutcome.NO_RECORD,
        TraceOutcome.RECORD_DESTROYED_OR_EXPIRED,
        TraceOutcome.NOT_OUR_MARK,
        TraceOutcome.INSUFFICIENT_IDENTIFICATION,
    }
)
_RETENTION_ASKED: Final = frozenset({TraceOutcome.NO_RECORD, TraceOutcome.RECORD_DESTROYED_OR_EXPIRED})


class ItemResult(Block):
    """What the trace of one weapon gave."""

    RULES: ClassVar[Mapping[str, str]] = {
        "chain_if_traced": "a traced weapon has its chain",
        "chain_numbered": "the steps of a chain are numbered 1, 2, 3 in order",
        "chain_dates": "the dates of a chain do not go back",
        "diversion_if_traced": "pointOfDiversion stands with TRACED_TO_POINT_OF_DIVERSION",
        "next_state_if_export": "TRACED_TO_EXPORT names nextState",
        "next_state_reason": "nextState and nextStateReason stand together or not at all",
        "refusal_ground": "refusal stands with REFUSED, RESTRICTED and DELAYED, and only with these",
        "delayed_review": "DELAYED states refusal.reviewOn",
        "inability_reason": "inability stands with NO_RECORD, RECORD_DESTROYED_OR_EXPIRED, NOT_OUR_MARK and "
        "INSUFFICIENT_IDENTIFICATION, and only with these",
        "retention_stated": "an answer that there is no record states how long records are kept",
    }

    item_ref: Annotated[Ref, term("The weapon, by its reference in the request", source="ITI 20")]
    outcome: Annotated[TraceOutcome, term("Outcome", source="ITI 20 and 22", codes="TRACE_OUTCOME")]
    identity_confirmed: Annotated[
        bool, term("Whether the register's weapon is the one described", source="ITI 20; MOSAIC 05.31")
    ]
    corrections: Annotated[
        tuple[Correction, ...],
        term("Corrections to its description", source="ITI 20", at_least=1, at_most=50),
    ] = ()
    chain: Annotated[
        tuple[ChainEvent, ...],
        term(
            "Its life from manufacture on, oldest first",
            source="ITI 20; MOSAIC 05.31",
            at_least=1,
            at_most=50,
        ),
    ] = ()
    point_of_diversion: Annotated[
        PointOfDiversion | None, term("Where it left the licit world", source="SDG 16.4.2")
    ] = None
    next_state: Annotated[
        Country | None, term("State to ask next", source="MOSAIC 05.31", codes="ISO 3166-1 alpha-2")
    ] = None
    next_state_reason: Annotated[Prose | None, term("Why that State", source="MOSAIC 05.31")] = None
    time_to_crime_days: Annotated[
        int | None,
        term(
            "Time from first retail sale to recovery", source="ATF eTrace", unit="days", low=0, high=100_000
        ),
    ] = None
    refusal: Annotated[
        Refusal | None, term("Grounds of refusal, restriction or delay", source="ITI 22-23")
    ] = None
    inability: Annotated[Inability | None, term("Why there is no answer", source="ITI 20")] = None
    remarks: Annotated[Prose | None, term("Other available information", source="ITI 20")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        outcome = self.outcome
        if outcome in _TRACED and not self.chain:
            yield Broken("chain_if_traced", "/chain")
        yield from self._check_chain()
        if outcome is TraceOutcome.TRACED_TO_POINT_OF_DIVERSION and self.point_of_diversion is None:
            yield Broken("diversion_if_traced", "/pointOfDiversion")
        if outcome is TraceOutcome.TRACED_TO_EXPORT and self.next_state is None:
            yield Broken("next_state_if_export", "/nextState")
        if (self.next_state is None) != (self.next_state_reason is None):
            yield Broken("next_state_reason", "/nextStateReason")
        if (outcome in _ITI_22) != (self.refusal is not None):
            yield Broken("refusal_ground", "/refusal")
        if outcome is TraceOutcome.DELAYED and self.refusal is not None and self.refusal.review_on is None:
            yield Broken("delayed_review", "/refusal/reviewOn")
        if (outcome in _UNABLE) != (self.inability is not None):
            yield Broken("inability_reason", "/inability")
        if outcome in _RETENTION_ASKED and self.inability is not None and self.inability.retention is None:
            yield Broken("retention_stated", "/inability/retention")

    def _check_chain(self) -> Iterator[Broken]:
        not_before = None
        for i, step in enumerate(self.chain):
            if step.seq != i + 1:
                yield Broken("chain_numbered", f"/chain/{i}/seq")
            if step.date is None:
                continue
            if not_before is not None and latest(step.date) < not_before:
                yield Broken("chain_dates", f"/chain/{i}/date")
            not_before = max(earliest(step.date), not_before or earliest(step.date))


class TracingResponse(Message):
    """What the requested State knows of the weapons (ITI 20-23); interim while `final` is false."""

    TYPE: ClassVar[str] = "tracing-response"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "result_refs_differ": "there is one result for an item",
        "delayed_is_not_final": "an answer with a DELAYED item is not final",
        "persons_basis": "personDataBasis stands with persons, and only with them",
        "persons_tlp": "what names persons is not TLP:GREEN or TLP:CLEAR",
    }

    request_id: Annotated[MessageRef, term("The request that is answered", source="ITI 20")]
    local_ref: Annotated[Ref, term("The requested State's case", source="ITI 20")]
    sequence: Annotated[
        int, term("Number of this answer to the request, from 1", source="ITI 20", low=1, high=1000)
    ]
    final: Annotated[bool, term("Whether it is the last answer", source="ITI 20")]
    item_results: Annotated[
        tuple[ItemResult, ...],
        term("Results, one an item", source="ITI 20", at_least=1, at_most=MAX_TRACED_ITEMS),
    ]
    use_restrictions: Annotated[UseRestrictions, term("How the answer may be used", source="ITI 15")]
    persons: Annotated[
        tuple[Party, ...], term("Persons", source="ATF 3312.1; EU 2021/555 4", at_least=1, at_most=100)
    ] = ()
    person_data_basis: Annotated[
        Prose | None, term("Legal basis for sending data on persons", source="FP 12(5)")
    ] = None
    contact: Annotated[Contact | None, term("Who answers", source="ITI 25")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        refs = tuple(result.item_ref for result in self.item_results)
        yield from refs_unique(refs, "result_refs_differ", "itemResults")
        if self.final and any(result.outcome is TraceOutcome.DELAYED for result in self.item_results):
            yield Broken("delayed_is_not_final", "/final")
        if bool(self.persons) != (self.person_data_basis is not None):
            yield Broken("persons_basis", "/personDataBasis")
        if any(p.is_personal for p in self.persons) and self.use_restrictions.tlp in {Tlp.GREEN, Tlp.CLEAR}:
            yield Broken("persons_tlp", "/useRestrictions/tlp")
