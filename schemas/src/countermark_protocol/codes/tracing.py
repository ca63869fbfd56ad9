"""Own code lists of the tracing process, of parties and of evaluation.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/messages.md §7; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class IntendedUse(StrEnum):
    """What the information sought will be used for (ITI 17(c))."""

    CRIMINAL_INVESTIGATION = "CRIMINAL_INVESTIGATION"
    PROSECUTION = "PROSECUTION"
    INTELLIGENCE = "INTELLIGENCE"
    ADMINISTRATIVE_CONTROL = "ADMINISTRATIVE_CONTROL"
    EMBARGO_MONITORING = "EMBARGO_MONITORING"
    STATISTICS = "STATISTICS"
    RETURN_TO_OWNER = "RETURN_TO_OWNER"


class UndertakingStatus(StrEnum):
    """Whether the requester can keep the confidentiality asked of it; it must say so when asking (ITI 15)."""

    ACCEPT = "ACCEPT"
    CANNOT_FULLY = "CANNOT_FULLY"


class AddresseeReason(StrEnum):
    """Why this State is asked (iARMS practice; MOSAIC 05.31 order of enquiries)."""

    MANUFACTURE_MARK = "MANUFACTURE_MARK"
    IMPORT_MARK = "IMPORT_MARK"
    POINTER_FROM_PREVIOUS_TRACE = "POINTER_FROM_PREVIOUS_TRACE"
    STOLEN_RECORD_HIT = "STOLEN_RECORD_HIT"
    OTHER = "OTHER"


class PriorResult(StrEnum):
    """What earlier look-ups gave (MOSAIC 05.31)."""

    NO_HIT = "NO_HIT"
    HIT = "HIT"
    PENDING = "PENDING"


class InformationSought(StrEnum):
    """What the requester wants to know (ITI 20)."""

    MANUFACTURE = "MANUFACTURE"
    EXPORT = "EXPORT"
    IMPORT = "IMPORT"
    FIRST_SALE = "FIRST_SALE"
    LAST_HOLDER = "LAST_HOLDER"
    THEFT_STATUS = "THEFT_STATUS"
    LICENCE = "LICENCE"


class AcknowledgementStatus(StrEnum):
    """How a request was received (ITI 19 and 21)."""

    ACCEPTED = "ACCEPTED"
    MORE_INFORMATION_NEEDED = "MORE_INFORMATION_NEEDED"
    FORWARDED_TO_COMPETENT_AUTHORITY = "FORWARDED_TO_COMPETENT_AUTHORITY"
    NOT_COMPETENT = "NOT_COMPETENT"
    DUPLICATE = "DUPLICATE"


class TraceOutcome(StrEnum):
    """What the trace of one item gave (ITI 20 and 22)."""

    TRACED_TO_LAST_HOLDER = "TRACED_TO_LAST_HOLDER"
    TRACED_TO_POINT_OF_DIVERSION = "TRACED_TO_POINT_OF_DIVERSION"
    TRACED_TO_EXPORT = "TRACED_TO_EXPORT"
    NO_RECORD = "NO_RECORD"
    RECORD_DESTROYED_OR_EXPIRED = "RECORD_DESTROYED_OR_EXPIRED"
    NOT_OUR_MARK = "NOT_OUR_MARK"
    INSUFFICIENT_IDENTIFICATION = "INSUFFICIENT_IDENTIFICATION"
    STATE_STOCK = "STATE_STOCK"
    REFUSED = "REFUSED"
    RESTRICTED = "RESTRICTED"
    DELAYED = "DELAYED"


class RefusalReason(StrEnum):
    """The four grounds of ITI 22, and no other."""

    ONGOING_INVESTIGATION = "ONGOING_INVESTIGATION"
    CONFIDENTIALITY_LAW = "CONFIDENTIALITY_LAW"
    NO_CONFIDENTIALITY_GUARANTEE = "NO_CONFIDENTIALITY_GUARANTEE"
    NATIONAL_SECURITY = "NATIONAL_SECURITY"


class InabilityReason(StrEnum):
    """Why an answer cannot be given; kept apart from refusal, which has grounds of its own."""

    NOT_COMPETENT = "NOT_COMPETENT"
    NOT_IN_JURISDICTION = "NOT_IN_JURISDICTION"
    NO_RECORDS = "NO_RECORDS"
    RESOURCES = "RESOURCES"
    DUPLICATE = "DUPLICATE"
    NOT_ILLICIT_BASIS = "NOT_ILLICIT_BASIS"
    MALFORMED = "MALFORMED"


class ChainEventKind(StrEnum):
    """A step in a weapon's life, as registers record it (ATF 3312.1 result; Directive (EU) 2021/555 art. 4)."""

    MANUFACTURED = "MANUFACTURED"
    EXPORTED = "EXPORTED"
    IMPORTED = "IMPORTED"
    WHOLESALE = "WHOLESALE"
    RETAIL = "RETAIL"
    REGISTERED = "REGISTERED"
    STOLEN = "STOLEN"
    LOST = "LOST"
    DEACTIVATED = "DEACTIVATED"
    DESTROYED = "DESTROYED"


class PartyRole(StrEnum):
    """What a party does (Firearms Protocol 12(1) and 15)."""

    MANUFACTURER = "MANUFACTURER"
    EXPORTER = "EXPORTER"
    IMPORTER = "IMPORTER"
    WHOLESALER = "WHOLESALER"
    DEALER = "DEALER"
    BROKER = "BROKER"
    CARRIER = "CARRIER"
    HOLDER = "HOLDER"
    STATE_AUTHORITY = "STATE_AUTHORITY"
    POSSESSOR = "POSSESSOR"
    ASSOCIATE = "ASSOCIATE"
    OTHER = "OTHER"


class PersonCategory(StrEnum):
    """In what quality a person's data is sent; a witness is never sent."""

    SUSPECT = "SUSPECT"
    POSSESSOR = "POSSESSOR"
    HOLDER = "HOLDER"
    DEALER = "DEALER"


class SourceReliability(StrEnum):
    """First half of the 4x4 evaluation (EU Manual 6261/18); X cannot be judged."""

    A = "A"
    B = "B"
    C = "C"
    X = "X"


class InformationAccuracy(StrEnum):
    """Second half of the 4x4 evaluation (EU Manual 6261/18)."""

    ONE = "1"
    TWO = "2"
    THREE = "3"
    FOUR = "4"


class ExternalSystem(StrEnum):
    """Systems whose references travel with a case."""

    IARMS = "IARMS"
    SIENA = "SIENA"
    SIS = "SIS"
    CEN = "CEN"
    ETRACE = "ETRACE"
    ECOWAS = "ECOWAS"
    OTHER = "OTHER"
