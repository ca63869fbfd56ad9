"""Tracing, the question: the request and its acknowledgement.

Source: International Tracing Instrument 6, 15-19 and 21; ATF form 3312.1; MOSAIC 05.31; docs/spec/messages.md §7.4.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.events import FindingContext, IllicitBasis, Offence
from countermark_protocol.codes.tracing import (
    AcknowledgementStatus,
    AddresseeReason,
    InformationSought,
    IntendedUse,
    PriorResult,
    UndertakingStatus,
)
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import (
    Contact,
    Dated,
    ExternalRef,
    Party,
    Place,
)
from countermark_protocol.messages.scalars import (
    Country,
    Day,
    EndpointRef,
    Instant,
    Language,
    Line,
    MessageRef,
    Prose,
    Ref,
    RequestPointer,
)
from countermark_protocol.messages.weapon import ITEM_RULES, FirearmItem, check_items

#: A trace concerns weapons that were found together; larger finds are traced in several requests.
MAX_TRACED_ITEMS: Final = 50


# --- request -----------------------------------------------------------------------------------------


class Recovery(Dated):
    """Where, when and how the weapons were found (ITI 17(a))."""

    place: Annotated[Place, term("Place of recovery", source="ITI 17(a); ATF 3312.1 VIII")]
    context: Annotated[
        FindingContext, term("How they came to hand", source="ITI 17(a)", codes="FINDING_CONTEXT")
    ]
    circumstances: Annotated[Prose | None, term("Circumstances of the finding", source="ITI 17(a)")] = None
    offences: Annotated[
        tuple[Offence, ...],
        term("Offences concerned", source="ITI 17(a); FP 5", codes="OFFENCE", at_least=1, at_most=11),
        UNIQUE,
    ] = ()
    evidence_seal: Annotated[Ref | None, term("Seal of the evidence", source="ATF 3312.1 VIII")] = None


class Undertaking(Block):
    """Whether the requester can keep what it is told confidential (ITI 15)."""

    RULES: ClassVar[Mapping[str, str]] = {
        "undertaking_exception": "exception stands with CANNOT_FULLY, and only with it",
    }

    status: Annotated[UndertakingStatus, term("Undertaking", source="ITI 15", codes="UNDERTAKING_STATUS")]
    exception: Annotated[Prose | None, term("What cannot be kept confidential, and why", source="ITI 15")] = (
        None
    )

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.status is UndertakingStatus.CANNOT_FULLY) != (self.exception is not None):
            yield Broken("undertaking_exception", "/exception")


class PriorSteps(Block):
    """What was looked up before asking (MOSAIC 05.31: domestic registers first)."""

    domestic_checked: Annotated[bool, term("Whether domestic registers were searched", source="MOSAIC 05.31")]
    iarms_queried: Annotated[bool | None, term("Whether INTERPOL iARMS was queried", source="ITI 33-35")] = (
        None
    )
    result: Annotated[
        PriorResult | None, term("What that gave", source="MOSAIC 05.31", codes="PRIOR_RESULT")
    ] = None


class PreviousTrace(Block):
    """An earlier trace of the same weapon."""

    ref: Annotated[Ref, term("Its reference", source="MOSAIC 05.31")]
    country: Annotated[
        Country | None, term("State that answered", source="MOSAIC 05.31", codes="ISO 3166-1 alpha-2")
    ] = None
    message: Annotated[
        MessageRef | None, term("The answer, if it came through this log", source="MOSAIC 05.31")
    ] = None


class TracingRequest(Message):
    """A request to trace weapons found in the requester's jurisdiction (ITI 16-17)."""

    TYPE: ClassVar[str] = "tracing-request"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "reason_in_words": "reasonText stands with reasonForAddressee OTHER",
        "pointer_needs_trace": "POINTER_FROM_PREVIOUS_TRACE names the previous trace",
    }

    national_case_ref: Annotated[Ref, term("The requester's case", source="ATF 3312.1 4e")]
    illicit_basis: Annotated[
        tuple[IllicitBasis, ...],
        term(
            "Why the weapons are considered illicit",
            source="ITI 6 and 17(a)",
            codes="ILLICIT_BASIS",
            at_least=1,
            at_most=5,
        ),
        UNIQUE,
    ]
    legal_justification: Annotated[Prose, term("Legal justification of that", source="ITI 17(a)")]
    recovery: Annotated[Recovery, term("The finding", source="ITI 17(a); ATF 3312.1 VIII")]
    items: Annotated[
        tuple[FirearmItem, ...],
        term("The weapons to be traced", source="ITI 17(b)", at_least=1, at_most=MAX_TRACED_ITEMS),
    ]
    intended_use: Annotated[
        tuple[IntendedUse, ...],
        term(
            "Intended use of the information", source="ITI 17(c)", codes="INTENDED_USE", at_least=1, at_most=7
        ),
        UNIQUE,
    ]
    intended_use_text: Annotated[Prose | None, term("Intended use in words", source="ITI 17(c)")] = None
    confidentiality_undertaking: Annotated[
        Undertaking, term("Undertaking on confidentiality", source="ITI 15")
    ]
    reason_for_addressee: Annotated[
        AddresseeReason, term("Why this State is asked", source="iARMS practice", codes="ADDRESSEE_REASON")
    ]
    reason_text: Annotated[Prose | None, term("That reason in words", source="iARMS practice")] = None
    prior_steps: Annotated[PriorSteps, term("What was looked up before", source="MOSAIC 05.31")]
    previous_traces: Annotated[
        tuple[PreviousTrace, ...],
        term("Earlier traces, oldest first", source="MOSAIC 05.31", at_least=1, at_most=8),
    ] = ()
    information_sought: Annotated[
        tuple[InformationSought, ...],
        term("What is asked", source="ITI 20", codes="INFORMATION_SOUGHT", at_least=1, at_most=7),
        UNIQUE,
    ]
    urgency_justification: Annotated[
        Prose | None, term("Why it is urgent, if the manifest says so", source="ATF 3312.1 1b; SIENA")
    ] = None
    possessors: Annotated[
        tuple[Party, ...],
        term("Possessors and associates", source="ATF 3312.1 VI-VII", at_least=1, at_most=50),
    ] = ()
    contact: Annotated[Contact, term("Who asks", source="ITI 25; ATF 3312.1 III")]
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from check_items(self.items, self.recovery.date.year if self.recovery.date else None)
        if self.reason_for_addressee is AddresseeReason.OTHER and self.reason_text is None:
            yield Broken("reason_in_words", "/reasonText")
        if (
            self.reason_for_addressee is AddresseeReason.POINTER_FROM_PREVIOUS_TRACE
            and not self.previous_traces
        ):
            yield Broken("pointer_needs_trace", "/previousTraces")


# --- acknowledgement ---------------------------------------------------------------------------------


class MissingElement(Block):
    """What the request lacks (ITI 21)."""

    path: Annotated[
        RequestPointer, term("Where in the request; only what ITI 17 names", source="ITI 17 and 21")
    ]
    why: Annotated[Prose, term("Why it is needed", source="ITI 21")]


class ForwardedTo(Block):
    """The authority that the request was passed to."""

    RULES: ClassVar[Mapping[str, str]] = {
        "forwarded_somewhere": "an endpoint or an agency is named",
    }

    endpoint: Annotated[EndpointRef | None, term("Its endpoint", source="ITI 19")] = None
    agency: Annotated[Line | None, term("Its name", source="ITI 19")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.endpoint is None and self.agency is None:
            yield Broken("forwarded_somewhere")


class TracingAcknowledgement(Message):
    """The requested State says that it received the request, and what it will do (ITI 19 and 21)."""

    TYPE: ClassVar[str] = "tracing-acknowledgement"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "missing_if_needed": "missing stands with MORE_INFORMATION_NEEDED, and only with it",
        "accepted_needs_date": "ACCEPTED states estimatedReplyBy",
        "forwarded_to_whom": "forwardedTo stands with FORWARDED_TO_COMPETENT_AUTHORITY, and only with it",
        "reply_after_receipt": "estimatedReplyBy is not before receivedAt",
    }

    request_id: Annotated[MessageRef, term("The request that is acknowledged", source="ITI 19")]
    received_at: Annotated[Instant, term("When it was received", source="ITI 19", unit="instant, UTC")]
    status: Annotated[
        AcknowledgementStatus,
        term("What becomes of it", source="ITI 19 and 21", codes="ACKNOWLEDGEMENT_STATUS"),
    ]
    local_ref: Annotated[Ref, term("The requested State's case", source="ITI 19")]
    handling_unit: Annotated[Line | None, term("Unit that handles it", source="ITI 19")] = None
    contact: Annotated[Contact, term("Who answers", source="ITI 25")]
    missing: Annotated[
        tuple[MissingElement, ...], term("What more is needed", source="ITI 21", at_least=1, at_most=50)
    ] = ()
    estimated_reply_by: Annotated[
        Day | None, term("When the reply is expected", source="ITI 18", unit="day")
    ] = None
    forwarded_to: Annotated[ForwardedTo | None, term("Whom it was passed to", source="ITI 19")] = None
    explanation: Annotated[Prose | None, term("Explanation in words", source="ITI 23")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        status = self.status
        if bool(self.missing) != (status is AcknowledgementStatus.MORE_INFORMATION_NEEDED):
            yield Broken("missing_if_needed", "/missing")
        if status is AcknowledgementStatus.ACCEPTED and self.estimated_reply_by is None:
            yield Broken("accepted_needs_date", "/estimatedReplyBy")
        forwarded = status is AcknowledgementStatus.FORWARDED_TO_COMPETENT_AUTHORITY
        if (self.forwarded_to is not None) != forwarded:
            yield Broken("forwarded_to_whom", "/forwardedTo")
        if self.estimated_reply_by is not None and self.estimated_reply_by < self.received_at.date():
            yield Broken("reply_after_receipt", "/estimatedReplyBy")
