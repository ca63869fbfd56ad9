"""What a manifest may say of its content: derived from the content, so that a recipient can check it.

Auditors count answers by the ``stage`` and ``outcome`` of manifests without reading them; so the recipient,
who can read, checks that both are true.

Source: docs/spec/messages.md §7.10; domain page 6.3 and 6.5.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from countermark_protocol.codes.exchange import ConsentDecision
from countermark_protocol.codes.tracing import AcknowledgementStatus, TraceOutcome
from countermark_protocol.codes.transfers import Authenticity, HitResult, LegalAssistanceStatus
from countermark_protocol.errors import MalformedError
from countermark_protocol.manifest import Outcome, Stage
from countermark_protocol.messages.base import Block, Message
from countermark_protocol.messages.blocks import Party
from countermark_protocol.messages.correction import MessageCorrection, MessageWithdrawal
from countermark_protocol.messages.hits import HitConfirmation
from countermark_protocol.messages.legal_assistance import MutualLegalAssistanceResponse
from countermark_protocol.messages.licence import LicenceVerificationResponse
from countermark_protocol.messages.release_consent import ReleaseConsentDecision
from countermark_protocol.messages.tracing_request import TracingAcknowledgement
from countermark_protocol.messages.tracing_response import TracingResponse

#: Where an acknowledgement leaves the process. An authority that is not competent, or knows the request
#: already, will send nothing more about it.
ACKNOWLEDGEMENT_STAGES: Final[Mapping[AcknowledgementStatus, Stage]] = {
    AcknowledgementStatus.ACCEPTED: Stage.ACKNOWLEDGED,
    AcknowledgementStatus.FORWARDED_TO_COMPETENT_AUTHORITY: Stage.ACKNOWLEDGED,
    AcknowledgementStatus.MORE_INFORMATION_NEEDED: Stage.PAUSED,
    AcknowledgementStatus.NOT_COMPETENT: Stage.FINAL,
    AcknowledgementStatus.DUPLICATE: Stage.FINAL,
}

#: Class of each outcome, by its name in the manifest. Success is what SDG 16.4.2 counts; a pointer to the
#: next State, a State's own stock and a restricted answer help in part; a delayed one gives nothing yet.
OUTCOME_CLASSES: Final[Mapping[TraceOutcome, str]] = {
    TraceOutcome.TRACED_TO_LAST_HOLDER: "success",
    TraceOutcome.TRACED_TO_POINT_OF_DIVERSION: "success",
    TraceOutcome.TRACED_TO_EXPORT: "partial",
    TraceOutcome.STATE_STOCK: "partial",
    TraceOutcome.RESTRICTED: "partial",
    TraceOutcome.NO_RECORD: "none",
    TraceOutcome.RECORD_DESTROYED_OR_EXPIRED: "none",
    TraceOutcome.NOT_OUR_MARK: "none",
    TraceOutcome.INSUFFICIENT_IDENTIFICATION: "none",
    TraceOutcome.DELAYED: "none",
    TraceOutcome.REFUSED: "refused",
}

#: Class of each decision on onward release: conditions are consent in part.
CONSENT_CLASSES: Final[Mapping[ConsentDecision, Outcome]] = {
    ConsentDecision.GRANTED: Outcome(success=1),
    ConsentDecision.GRANTED_WITH_CONDITIONS: Outcome(partial=1),
    ConsentDecision.REFUSED: Outcome(refused=1),
}

#: Where a request for mutual legal assistance stands by each status, and what that counts as.
LEGAL_ASSISTANCE_FACTS: Final[Mapping[LegalAssistanceStatus, tuple[Stage, Outcome]]] = {
    LegalAssistanceStatus.RECEIVED: (Stage.ACKNOWLEDGED, Outcome()),
    LegalAssistanceStatus.MORE_INFORMATION_NEEDED: (Stage.PAUSED, Outcome()),
    LegalAssistanceStatus.CONSULTATION: (Stage.INTERIM, Outcome()),
    LegalAssistanceStatus.POSTPONED: (Stage.INTERIM, Outcome(none=1)),
    LegalAssistanceStatus.PARTLY_EXECUTED: (Stage.INTERIM, Outcome(partial=1)),
    LegalAssistanceStatus.EXECUTED: (Stage.FINAL, Outcome(success=1)),
    LegalAssistanceStatus.REFUSED: (Stage.FINAL, Outcome(refused=1)),
}

#: Class of each result of a hit. That the two weapons differ is an answer, and no success.
HIT_CLASSES: Final[Mapping[HitResult, str]] = {
    HitResult.CONFIRMED: "success",
    HitResult.NOT_THE_SAME: "none",
    HitResult.RECORD_ENDED: "none",
    HitResult.PENDING: "partial",
}


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What the manifest of an answer must say.

    Attributes:
        stage: where the answer leaves the process.
        outcome: results of this answer, counted by class; all zero for an acknowledgement.
    """

    stage: Stage
    outcome: Outcome


def manifest_facts(message: Message) -> ManifestFacts | None:
    """Derive ``stage`` and ``outcome`` from a content; None if its type is no answer."""
    if isinstance(message, TracingAcknowledgement):
        return ManifestFacts(ACKNOWLEDGEMENT_STAGES[message.status], Outcome())
    if isinstance(message, TracingResponse):
        found = _counted(OUTCOME_CLASSES[each.outcome] for each in message.item_results)
        return ManifestFacts(Stage.FINAL if message.final else Stage.INTERIM, found)
    if isinstance(message, ReleaseConsentDecision):
        return ManifestFacts(Stage.FINAL, CONSENT_CLASSES[message.decision])
    if isinstance(message, LicenceVerificationResponse):
        return ManifestFacts(Stage.FINAL, _verified(message))
    if isinstance(message, MutualLegalAssistanceResponse):
        return ManifestFacts(*LEGAL_ASSISTANCE_FACTS[message.status])
    if isinstance(message, HitConfirmation):
        pending = any(each.result is HitResult.PENDING for each in message.item_results)
        found = _counted(HIT_CLASSES[each.result] for each in message.item_results)
        return ManifestFacts(Stage.INTERIM if pending else Stage.FINAL, found)
    return None


def _counted(classes: Iterable[str]) -> Outcome:
    return Outcome(**Counter(classes))


def _verified(message: LicenceVerificationResponse) -> Outcome:
    """Whatever a document turns out to be, that is an answer; not to know it, or not to say it, is none."""
    if message.authenticity is not Authenticity.CANNOT_VERIFY:
        return Outcome(success=1)
    return Outcome(refused=1) if message.refusal_reasons else Outcome(none=1)


def amended_by(message: Message) -> bytes | None:
    """Hash of the message that a correction or withdrawal is about, 32 bytes; None for every other type."""
    if isinstance(message, MessageCorrection | MessageWithdrawal):
        return bytes.fromhex(message.message)
    return None


def check_manifest_facts(
    message: Message, stage: Stage | None, outcome: Outcome | None, supersedes: bytes | None = None
) -> None:
    """Check what a manifest says of its content.

    Args:
        message: the content.
        stage: of the manifest, or None.
        outcome: of the manifest, or None.
        supersedes: of the manifest, or None.

    Raises:
        MalformedError: ``manifest_contradicts_content``; facts: ``expected``, ``got`` (stage and counts, or the
            message superseded, which the manifest shows to everyone).
    """
    amended = amended_by(message)
    if amended is not None and amended != supersedes:
        raise MalformedError(
            "manifest_contradicts_content",
            "the content is about another message than the manifest supersedes: reject it with reason and tell the "
            "sender",
            expected={"supersedes": amended.hex()},
            got={"supersedes": supersedes.hex() if supersedes is not None else None},
        )
    facts = manifest_facts(message)
    expected = None if facts is None else {"stage": facts.stage.value, "outcome": facts.outcome.to_json()}
    got = None
    if stage is not None or outcome is not None:
        got = {"stage": stage and stage.value, "outcome": outcome and outcome.to_json()}
    if expected != got:
        raise MalformedError(
            "manifest_contradicts_content",
            "stage and outcome of the manifest do not fit the content: reject it with reason and tell the sender",
            expected=expected,
            got=got,
        )


def holds_personal_data(message: Message) -> bool:
    """Whether a content holds data on persons, which TLP:GREEN and TLP:CLEAR exclude (domain page 6.4, rule 8)."""
    blocks: list[object] = [message]
    while blocks:
        block = blocks.pop()
        if isinstance(block, Party) and block.is_personal:
            return True
        if isinstance(block, Block):
            blocks.extend(value for _, value in block)
        elif isinstance(block, tuple):
            blocks.extend(block)
    return False
