"""Mutual legal assistance: evidence, from central authority to central authority.

Police information is no evidence: what is to be used in court is asked for here, under a treaty.

Source: UNTOC 18 (applied to firearms by FP 1 and 13); CIFTA; docs/spec/messages.md §7.17.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.transfers import (
    AssistanceSought,
    LegalAssistanceStatus,
    LegalRefusalGround,
    ProceedingKind,
)
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef, Party, UseRestrictions
from countermark_protocol.messages.scalars import (
    Country,
    Day,
    Language,
    Line,
    MessageHash,
    MessageRef,
    Pointer,
    Prose,
    Ref,
)


class Proceeding(Block):
    """What the request belongs to (UNTOC 18(15)(b))."""

    kind: Annotated[ProceedingKind, term("Kind", source="UNTOC 18(15)(b)", codes="PROCEEDING_KIND")]
    subject: Annotated[Prose, term("Subject matter and nature", source="UNTOC 18(15)(b)")]
    authority: Annotated[Line, term("Authority that conducts it", source="UNTOC 18(15)(b)")]
    functions: Annotated[Line, term("Its functions", source="UNTOC 18(15)(b)")]
    reference: Annotated[Ref, term("Its reference", source="UNTOC 18(15)(b)")]
    hearing_on: Annotated[Day | None, term("Day of a hearing", source="UNTOC 18(24)", unit="day")] = None


class ChargedOffence(Block):
    """An offence, with the text of the law."""

    name: Annotated[Line, term("The offence", source="UNTOC 18(15)(c)")]
    provision: Annotated[Line, term("Where the law states it", source="UNTOC 18(15)(c)")]
    text: Annotated[Prose, term("The text of the law", source="UNTOC 18(15)(c)")]


class SoughtItem(Block):
    """One thing that is sought."""

    kind: Annotated[AssistanceSought, term("What", source="UNTOC 18(3)", codes="ASSISTANCE_SOUGHT")]
    description: Annotated[Prose, term("Described", source="UNTOC 18(15)(d)")]
    procedure: Annotated[
        Prose | None, term("Particular procedure to be followed", source="UNTOC 18(15)(d) and 18(17)")
    ] = None


class MutualLegalAssistanceRequest(Message):
    """A central authority asks another for assistance in criminal proceedings (UNTOC 18)."""

    TYPE: ClassVar[str] = "mutual-legal-assistance-request"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "facts_unless_service": "facts stand unless nothing but SERVICE_OF_DOCUMENTS is sought",
        "urgency_has_a_day": "urgencyReason stands with neededBy",
    }

    request_ref: Annotated[Ref, term("The request's reference", source="UNTOC 18(15)")]
    requesting_authority: Annotated[
        Contact, term("Central authority that asks", source="UNTOC 18(13) and 18(15)(a)")
    ]
    requested_state: Annotated[
        Country, term("State that is asked", source="UNTOC 18(13)", codes="ISO 3166-1 alpha-2")
    ]
    supplements: Annotated[
        MessageHash | None, term("The request that this one adds to", source="UNTOC 18(16)")
    ] = None
    treaty_basis: Annotated[
        tuple[Line, ...],
        term("Treaties it rests on", source="UNTOC 18(6)-(7)", at_least=1, at_most=10),
        UNIQUE,
    ]
    proceeding: Annotated[Proceeding, term("The proceeding", source="UNTOC 18(15)(b)")]
    facts: Annotated[Prose | None, term("Summary of the relevant facts", source="UNTOC 18(15)(c)")] = None
    offences: Annotated[
        tuple[ChargedOffence, ...],
        term("Offences, with the text of the law", source="UNTOC 18(15)(c)", at_least=1, at_most=20),
    ]
    dual_criminality: Annotated[Prose, term("Statement on dual criminality", source="UNTOC 18(9)")]
    sought: Annotated[
        tuple[SoughtItem, ...], term("What is sought", source="UNTOC 18(15)(d)", at_least=1, at_most=50)
    ]
    purpose: Annotated[
        Prose,
        term(
            "Purpose for which it is sought; no other use without consent",
            source="UNTOC 18(15)(f) and 18(19)",
        ),
    ]
    persons: Annotated[
        tuple[Party, ...],
        term("Persons concerned", source="UNTOC 18(15)(e)", at_least=1, at_most=100),
    ] = ()
    confidentiality: Annotated[Prose, term("What is to be kept confidential", source="UNTOC 18(20)")]
    reciprocity: Annotated[Prose | None, term("Assurance of reciprocity", source="UNTOC 18(7)")] = None
    urgency_reason: Annotated[Prose | None, term("Why it is urgent", source="UNTOC 18(24)")] = None
    needed_by: Annotated[Day | None, term("When it is needed", source="UNTOC 18(24)", unit="day")] = None
    translation: Annotated[
        Language, term("Language of the translation that goes with it", source="UNTOC 18(14)", codes="BCP 47")
    ]
    traces: Annotated[
        tuple[MessageHash, ...],
        term("Answers to tracing requests that it follows from", source="ITI 17(c)", at_least=1, at_most=50),
        UNIQUE,
    ] = ()
    evidence_list: Annotated[
        tuple[Line, ...], term("Evidence that goes with it", source="UNTOC 18(15)", at_least=1, at_most=100)
    ] = ()
    language: Annotated[Language, term("Language of the texts", source="UNTOC 18(14)", codes="BCP 47")]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        service_alone = {each.kind for each in self.sought} == {AssistanceSought.SERVICE_OF_DOCUMENTS}
        if self.facts is None and not service_alone:
            yield Broken("facts_unless_service", "/facts")
        if self.urgency_reason is not None and self.needed_by is None:
            yield Broken("urgency_has_a_day", "/neededBy")


class ProvidedItem(Block):
    """One thing that was done or is handed over."""

    kind: Annotated[AssistanceSought, term("What", source="UNTOC 18(3)", codes="ASSISTANCE_SOUGHT")]
    description: Annotated[Prose, term("What was done, or what is handed over", source="UNTOC 18(24)")]
    document_ref: Annotated[Ref | None, term("Its record", source="UNTOC 18(24)")] = None
    certified: Annotated[bool | None, term("Whether copies are certified", source="UNTOC 18(3)(f)")] = None
    return_by: Annotated[
        Day | None, term("When originals are to be returned", source="UNTOC 18(3)(f)", unit="day")
    ] = None


_PROVIDES: Final = frozenset({LegalAssistanceStatus.PARTLY_EXECUTED, LegalAssistanceStatus.EXECUTED})


class MutualLegalAssistanceResponse(Message):
    """A central authority says what becomes of a request, and hands over what it led to (UNTOC 18(21)-(26))."""

    TYPE: ClassVar[str] = "mutual-legal-assistance-response"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "provided_if_executed": "provided stands with PARTLY_EXECUTED and EXECUTED, and only with these",
        "legal_refusal": "refusalGrounds stand with REFUSED and CONSULTATION, and only with these",
        "legal_reason": "explanation stands with every status but RECEIVED and EXECUTED",
        "postponed_until": "reviewOn stands with POSTPONED, and only with it",
        "needed_information": "missing stands with MORE_INFORMATION_NEEDED, and only with it",
    }

    request_id: Annotated[MessageRef, term("The request that is answered", source="UNTOC 18(24)")]
    local_ref: Annotated[Ref, term("The requested State's case", source="UNTOC 18(24)")]
    status: Annotated[
        LegalAssistanceStatus,
        term("Where it stands", source="UNTOC 18(21)-(26)", codes="LEGAL_ASSISTANCE_STATUS"),
    ]
    provided: Annotated[
        tuple[ProvidedItem, ...],
        term("What was done or is handed over", source="UNTOC 18(24)", at_least=1, at_most=100),
    ] = ()
    refusal_grounds: Annotated[
        tuple[LegalRefusalGround, ...],
        term(
            "Grounds on which it is refused, or would be",
            source="UNTOC 18(21) and 18(26)",
            codes="LEGAL_REFUSAL_GROUND",
            at_least=1,
            at_most=5,
        ),
        UNIQUE,
    ] = ()
    explanation: Annotated[Prose | None, term("Reasons in words", source="UNTOC 18(23)")] = None
    missing: Annotated[
        tuple[Pointer, ...],
        term("Members of the request that more is needed of", source="UNTOC 18(16)", at_least=1, at_most=50),
        UNIQUE,
    ] = ()
    review_on: Annotated[
        Day | None, term("When a postponed request is looked at again", source="UNTOC 18(25)", unit="day")
    ] = None
    expected_by: Annotated[Day | None, term("When more is expected", source="UNTOC 18(24)", unit="day")] = (
        None
    )
    conditions: Annotated[Prose | None, term("Conditions of use", source="UNTOC 18(19) and 18(26)")] = None
    use_restrictions: Annotated[
        UseRestrictions | None, term("How it may be used", source="UNTOC 18(19)-(20)")
    ] = None
    persons: Annotated[
        tuple[Party, ...], term("Persons", source="UNTOC 18(15)(e)", at_least=1, at_most=100)
    ] = ()
    contact: Annotated[Contact, term("Central authority that answers", source="UNTOC 18(13)")]
    language: Annotated[Language, term("Language of the texts", source="UNTOC 18(14)", codes="BCP 47")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        status = self.status
        if bool(self.provided) != (status in _PROVIDES):
            yield Broken("provided_if_executed", "/provided")
        refuses = status in {LegalAssistanceStatus.REFUSED, LegalAssistanceStatus.CONSULTATION}
        if bool(self.refusal_grounds) != refuses:
            yield Broken("legal_refusal", "/refusalGrounds")
        plain = status in {LegalAssistanceStatus.RECEIVED, LegalAssistanceStatus.EXECUTED}
        if self.explanation is None and not plain:
            yield Broken("legal_reason", "/explanation")
        if (self.review_on is not None) != (status is LegalAssistanceStatus.POSTPONED):
            yield Broken("postponed_until", "/reviewOn")
        if bool(self.missing) != (status is LegalAssistanceStatus.MORE_INFORMATION_NEEDED):
            yield Broken("needed_information", "/missing")
