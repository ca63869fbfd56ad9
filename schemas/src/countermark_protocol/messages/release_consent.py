"""Consent of an originator: asked for, and given or refused.

What is restricted (ITI 15, handling codes H1 and H2, originator control) is passed on only with the signed consent of
who sent it, which names the message, to whom, for what and until when. Silence is no consent.

Source: International Tracing Instrument 15 and 22; Firearms Protocol 12(5); EU Manual 6261/18; docs/spec/messages.md
§7.12.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.exchange import ConsentDecision, ReleaseKind
from countermark_protocol.codes.tracing import RefusalReason
from countermark_protocol.handling import UsePurpose
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef, UseRestrictions
from countermark_protocol.messages.scalars import (
    AuthorityRef,
    Day,
    EndpointRef,
    Language,
    Line,
    MessageHash,
    MessageRef,
    Pointer,
    Prose,
    Ref,
)
from countermark_protocol.messages.tracing_request import Undertaking


class ReleaseTarget(Block):
    """To whom something is to be passed on."""

    RULES: ClassVar[Mapping[str, str]] = {
        "target_named": "a target names an authority, an endpoint or an organisation",
        "target_endpoint": "the endpoint belongs to the authority",
    }

    authority: Annotated[AuthorityRef | None, term("Authority of the log", source="ITI 15")] = None
    endpoint: Annotated[EndpointRef | None, term("One endpoint of it alone", source="ITI 15")] = None
    organisation: Annotated[
        Line | None, term("Who is in no directory, e.g. a court", source="EU Manual 6261/18 (H1)")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.authority is None and self.endpoint is None and self.organisation is None:
            yield Broken("target_named")
        both = self.authority is not None and self.endpoint is not None
        if both and (self.endpoint or "").partition(".")[0] != self.authority:
            yield Broken("target_endpoint", "/endpoint")


class ReleaseConsentRequest(Message):
    """A holder of restricted information asks its originator whether it may be passed on (ITI 15)."""

    TYPE: ClassVar[str] = "release-consent-request"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "release_to_whom": "releaseTo stands with ONWARD_TRANSFER and JUDICIAL_USE",
        "release_purpose": "purpose stands with OTHER_PURPOSE",
    }

    request_ref: Annotated[Ref, term("The request's reference", source="ITI 15")]
    message: Annotated[MessageHash, term("The message to be passed on", source="ITI 15")]
    kinds: Annotated[
        tuple[ReleaseKind, ...],
        term("What is asked for", source="ITI 15; FP 12(5)", codes="RELEASE_KIND", at_least=1, at_most=4),
        UNIQUE,
    ]
    parts: Annotated[
        tuple[Pointer, ...],
        term("Which members of its content; absent: all of it", source="ITI 15", at_least=1, at_most=200),
        UNIQUE,
    ] = ()
    release_to: Annotated[
        tuple[ReleaseTarget, ...], term("To whom", source="ITI 15", at_least=1, at_most=50), UNIQUE
    ] = ()
    purpose: Annotated[
        UsePurpose | None, term("For what it would be used", source="ITI 15 and 17(c)", codes="PURPOSE")
    ] = None
    reason: Annotated[Prose, term("Why it is needed", source="ITI 15")]
    undertaking: Annotated[
        Undertaking | None, term("What those who would get it undertake", source="ITI 15")
    ] = None
    needed_by: Annotated[Day | None, term("When it is needed", source="ITI 18", unit="day")] = None
    contact: Annotated[Contact, term("Who asks", source="ITI 25")]
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        kinds = set(self.kinds)
        if kinds & {ReleaseKind.ONWARD_TRANSFER, ReleaseKind.JUDICIAL_USE} and not self.release_to:
            yield Broken("release_to_whom", "/releaseTo")
        if ReleaseKind.OTHER_PURPOSE in kinds and self.purpose is None:
            yield Broken("release_purpose", "/purpose")


class ReleaseConsentDecision(Message):
    """The originator consents to onward release, or does not (ITI 15)."""

    TYPE: ClassVar[str] = "release-consent-decision"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "consent_states_limits": "a consent states kinds and expiresOn; a refusal states neither",
        "consent_to_whom": "a consent to ONWARD_TRANSFER or JUDICIAL_USE names releaseTo; a refusal names nobody",
        "consent_conditions": "conditions stand with GRANTED_WITH_CONDITIONS, and only with it",
        "consent_refusal_text": "refusalText stands with REFUSED, and only with it; refusalReasons only with it",
    }

    request_id: Annotated[MessageRef, term("The request that is decided", source="ITI 15")]
    message: Annotated[MessageHash, term("The message that it is about", source="ITI 15")]
    local_ref: Annotated[Ref | None, term("The originator's case", source="ITI 19")] = None
    decision: Annotated[ConsentDecision, term("Decision", source="ITI 15", codes="CONSENT_DECISION")]
    kinds: Annotated[
        tuple[ReleaseKind, ...],
        term("What is consented to", source="ITI 15; FP 12(5)", codes="RELEASE_KIND", at_least=1, at_most=4),
        UNIQUE,
    ] = ()
    parts: Annotated[
        tuple[Pointer, ...],
        term("Which members of its content; absent: all of it", source="ITI 15", at_least=1, at_most=200),
        UNIQUE,
    ] = ()
    release_to: Annotated[
        tuple[ReleaseTarget, ...],
        term("To whom, and to nobody else", source="ITI 15", at_least=1, at_most=50),
        UNIQUE,
    ] = ()
    purpose: Annotated[
        UsePurpose | None, term("For what, and nothing else", source="ITI 15 and 17(c)", codes="PURPOSE")
    ] = None
    expires_on: Annotated[
        Day | None, term("Last day on which the consent may be used", source="ITI 15", unit="day")
    ] = None
    conditions: Annotated[Prose | None, term("Conditions", source="ITI 15")] = None
    use_restrictions: Annotated[
        UseRestrictions | None, term("How it may be used by those who get it", source="ITI 15")
    ] = None
    refusal_reasons: Annotated[
        tuple[RefusalReason, ...],
        term(
            "Grounds of ITI 22, where they are",
            source="ITI 22",
            codes="REFUSAL_REASON",
            at_least=1,
            at_most=4,
        ),
        UNIQUE,
    ] = ()
    refusal_text: Annotated[Prose | None, term("Why it is refused, in words", source="ITI 23")] = None
    contact: Annotated[Contact | None, term("Who decided", source="ITI 25")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        refused = self.decision is ConsentDecision.REFUSED
        if bool(self.kinds) == refused or (self.expires_on is not None) == refused:
            yield Broken("consent_states_limits")
        named = set(self.kinds) & {ReleaseKind.ONWARD_TRANSFER, ReleaseKind.JUDICIAL_USE}
        if (named and not self.release_to) or (refused and self.release_to):
            yield Broken("consent_to_whom", "/releaseTo")
        conditional = self.decision is ConsentDecision.GRANTED_WITH_CONDITIONS
        if (self.conditions is not None) != conditional:
            yield Broken("consent_conditions", "/conditions")
        if (self.refusal_text is not None) != refused or (self.refusal_reasons and not refused):
            yield Broken("consent_refusal_text", "/refusalText")
