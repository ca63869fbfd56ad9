"""Own code lists of finds, hits, contact points, licences, refusals and mutual legal assistance.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/messages.md §7; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class FindManner(StrEnum):
    """How weapons came to hand that nobody seized (UNODC IAFQ; PoA II.20-21)."""

    FOUND = "FOUND"
    SURRENDERED = "SURRENDERED"
    SURRENDERED_AMNESTY = "SURRENDERED_AMNESTY"
    COLLECTED = "COLLECTED"


class MatchBasis(StrEnum):
    """In what a find and a record agree (NCIC Gun File; domain page 5.0)."""

    SERIAL = "SERIAL"
    SERIAL_LOOKALIKE = "SERIAL_LOOKALIKE"
    SERIAL_PARTIAL = "SERIAL_PARTIAL"
    MAKE = "MAKE"
    MODEL = "MODEL"
    CALIBRE = "CALIBRE"
    CATEGORY = "CATEGORY"
    IMPORT_MARK = "IMPORT_MARK"
    BALLISTIC = "BALLISTIC"


class HitMeasure(StrEnum):
    """What was done with the weapon at the hit (SIS Regulation (EU) 2018/1862 art. 38)."""

    HELD = "HELD"
    SEEN = "SEEN"
    LET_GO = "LET_GO"
    NOT_FOUND = "NOT_FOUND"


class HitResult(StrEnum):
    """What the owner of the record says to a hit (NCIC hit confirmation; SIRENE)."""

    CONFIRMED = "CONFIRMED"
    NOT_THE_SAME = "NOT_THE_SAME"
    RECORD_ENDED = "RECORD_ENDED"
    PENDING = "PENDING"


class ContactPointKind(StrEnum):
    """What a contact point is for (ITI 25; PoA II.5; Firearms Protocol 13(2); UNTOC 18(13))."""

    ITI_NATIONAL = "ITI_NATIONAL"
    POA_NATIONAL = "POA_NATIONAL"
    FP_SINGLE = "FP_SINGLE"
    NCB = "NCB"
    LICENSING = "LICENSING"
    CUSTOMS = "CUSTOMS"
    MLA_CENTRAL_AUTHORITY = "MLA_CENTRAL_AUTHORITY"


class ContactPointAction(StrEnum):
    """What a notice about a contact point says (ITI 31(a))."""

    DESIGNATE = "DESIGNATE"
    CHANGE = "CHANGE"
    END = "END"


class Weekday(StrEnum):
    """Days of the week."""

    MON = "MON"
    TUE = "TUE"
    WED = "WED"
    THU = "THU"
    FRI = "FRI"
    SAT = "SAT"
    SUN = "SUN"


class LicenceDocument(StrEnum):
    """Documents of a transfer (Firearms Protocol 10; Directive (EU) 2021/555)."""

    EXPORT_LICENCE = "EXPORT_LICENCE"
    IMPORT_LICENCE = "IMPORT_LICENCE"
    END_USER_CERTIFICATE = "END_USER_CERTIFICATE"
    TRANSIT_NO_OBJECTION = "TRANSIT_NO_OBJECTION"
    DELIVERY_VERIFICATION = "DELIVERY_VERIFICATION"
    BROKER_LICENCE = "BROKER_LICENCE"
    EU_PRIOR_CONSENT = "EU_PRIOR_CONSENT"
    EU_TRANSFER_AUTHORISATION = "EU_TRANSFER_AUTHORISATION"


class CheckReason(StrEnum):
    """Why a licence is checked (Firearms Protocol 10(5))."""

    BORDER_STOP = "BORDER_STOP"
    PRE_LICENCE = "PRE_LICENCE"
    INVESTIGATION = "INVESTIGATION"


class Authenticity(StrEnum):
    """What the issuing State says of a document (Firearms Protocol 10(5))."""

    AUTHENTIC = "AUTHENTIC"
    NOT_ISSUED = "NOT_ISSUED"
    ALTERED = "ALTERED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"
    SUPERSEDED = "SUPERSEDED"
    CANNOT_VERIFY = "CANNOT_VERIFY"


class FieldMatch(StrEnum):
    """Whether what was presented is what the register holds."""

    MATCH = "MATCH"
    DIFFERENT = "DIFFERENT"
    NOT_HELD = "NOT_HELD"


class LicenceAdvice(StrEnum):
    """What the issuing State advises; the State that holds the goods decides."""

    RELEASE = "RELEASE"
    HOLD = "HOLD"
    SEIZE_RECOMMENDED = "SEIZE_RECOMMENDED"


class RefusalNoticeKind(StrEnum):
    """What was refused (CFSP 2008/944; Delegated Regulations (EU) 2019/686 and 2021/1423)."""

    EXPORT_DENIAL = "EXPORT_DENIAL"
    AUTHORISATION_REFUSAL = "AUTHORISATION_REFUSAL"
    PRIOR_CONSENT_REFUSED = "PRIOR_CONSENT_REFUSED"


class RefusalDecision(StrEnum):
    """What kind of decision it was (Delegated Regulation (EU) 2021/1423)."""

    REFUSAL = "REFUSAL"
    WITHDRAWAL = "WITHDRAWAL"
    REVOCATION = "REVOCATION"


class RefusalRecordAction(StrEnum):
    """What is done to the record of a refusal (Delegated Regulation (EU) 2021/1423: update and delete)."""

    ENTRY = "ENTRY"
    UPDATE = "UPDATE"
    ANNUL = "ANNUL"


class RefusalClass(StrEnum):
    """Class of the ground, and no more of it (Delegated Regulation (EU) 2021/1423; CFSP 2008/944; ATT 6-7)."""

    SECURITY = "SECURITY"
    RELIABILITY = "RELIABILITY"
    EMBARGO = "EMBARGO"
    DIVERSION_RISK = "DIVERSION_RISK"
    IHL_HUMAN_RIGHTS = "IHL_HUMAN_RIGHTS"
    OTHER = "OTHER"


class AssistanceSought(StrEnum):
    """What is sought by mutual legal assistance (UNTOC 18(3))."""

    EVIDENCE_OR_STATEMENTS = "EVIDENCE_OR_STATEMENTS"
    SERVICE_OF_DOCUMENTS = "SERVICE_OF_DOCUMENTS"
    SEARCH_SEIZURE_FREEZING = "SEARCH_SEIZURE_FREEZING"
    EXAMINATION_OF_OBJECTS = "EXAMINATION_OF_OBJECTS"
    INFORMATION_AND_EXPERTISE = "INFORMATION_AND_EXPERTISE"
    RECORDS = "RECORDS"
    TRACING_PROCEEDS = "TRACING_PROCEEDS"
    VOLUNTARY_APPEARANCE = "VOLUNTARY_APPEARANCE"
    CONTROLLED_DELIVERY = "CONTROLLED_DELIVERY"
    OTHER = "OTHER"


class ProceedingKind(StrEnum):
    """What the request belongs to (UNTOC 18(15)(b))."""

    INVESTIGATION = "INVESTIGATION"
    PROSECUTION = "PROSECUTION"
    JUDICIAL_PROCEEDING = "JUDICIAL_PROCEEDING"


class LegalAssistanceStatus(StrEnum):
    """Where a request for mutual legal assistance stands (UNTOC 18(21) to 18(26))."""

    RECEIVED = "RECEIVED"
    MORE_INFORMATION_NEEDED = "MORE_INFORMATION_NEEDED"
    POSTPONED = "POSTPONED"
    CONSULTATION = "CONSULTATION"
    PARTLY_EXECUTED = "PARTLY_EXECUTED"
    EXECUTED = "EXECUTED"
    REFUSED = "REFUSED"


class LegalRefusalGround(StrEnum):
    """Grounds on which mutual legal assistance may be refused (UNTOC 18(21) and 18(9))."""

    NOT_IN_CONFORMITY = "NOT_IN_CONFORMITY"
    ESSENTIAL_INTERESTS = "ESSENTIAL_INTERESTS"
    DOMESTIC_LAW_PROHIBITS = "DOMESTIC_LAW_PROHIBITS"
    CONTRARY_TO_LEGAL_SYSTEM = "CONTRARY_TO_LEGAL_SYSTEM"
    NO_DUAL_CRIMINALITY = "NO_DUAL_CRIMINALITY"
