"""Own code lists of assistance: what is needed, what is offered, and what two sides say of a match.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/assistance.md §1; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class AssistanceArea(StrEnum):
    """Theme of assistance (PoA report section 9; UNODA compendium; UNSCAR calls)."""

    LEGISLATION = "LEGISLATION"
    NPC_COORDINATION = "NPC_COORDINATION"
    MARKING_EQUIPMENT = "MARKING_EQUIPMENT"
    RECORD_KEEPING_IT = "RECORD_KEEPING_IT"
    TRACING_CAPACITY = "TRACING_CAPACITY"
    STOCKPILE_SECURITY = "STOCKPILE_SECURITY"
    DESTRUCTION = "DESTRUCTION"
    COLLECTION = "COLLECTION"
    BORDER_CONTROL = "BORDER_CONTROL"
    CUSTOMS_DETECTION = "CUSTOMS_DETECTION"
    LAW_ENFORCEMENT_TRAINING = "LAW_ENFORCEMENT_TRAINING"
    FORENSIC_BALLISTICS = "FORENSIC_BALLISTICS"
    DATABASE_INTEROPERABILITY = "DATABASE_INTEROPERABILITY"
    DDR = "DDR"
    AWARENESS = "AWARENESS"
    RESEARCH = "RESEARCH"
    TRANSFER_CONTROL = "TRANSFER_CONTROL"
    NATIONAL_ACTION_PLAN = "NATIONAL_ACTION_PLAN"


class AssistanceForm(StrEnum):
    """In what form assistance comes (PoA report section 9)."""

    FUNDING = "FUNDING"
    EQUIPMENT = "EQUIPMENT"
    EXPERT = "EXPERT"
    TRAINING = "TRAINING"
    SOFTWARE = "SOFTWARE"
    LEGAL_ADVICE = "LEGAL_ADVICE"
    STUDY = "STUDY"
    TWINNING = "TWINNING"


class NoBudgetReason(StrEnum):
    """Why a request names no budget. Own list: what is not known is sent as not known."""

    NOT_ESTIMATED = "NOT_ESTIMATED"
    IN_KIND_ONLY = "IN_KIND_ONLY"


class ContributionKind(StrEnum):
    """What a State brings in itself (UNODA compendium: national contribution)."""

    FUNDS = "FUNDS"
    STAFF = "STAFF"
    PREMISES = "PREMISES"
    EQUIPMENT = "EQUIPMENT"
    TRANSPORT = "TRANSPORT"
    OTHER = "OTHER"


class NeedKind(StrEnum):
    """What a project is to move, mark, destroy or train, as a number (UNODA compendium)."""

    MARKING_MACHINES = "MARKING_MACHINES"
    RECORD_STATIONS = "RECORD_STATIONS"
    ARMS_TO_MARK = "ARMS_TO_MARK"
    ARMS_TO_RECORD = "ARMS_TO_RECORD"
    ARMS_TO_DESTROY = "ARMS_TO_DESTROY"
    STORES_TO_SECURE = "STORES_TO_SECURE"
    PERSONS_TO_TRAIN = "PERSONS_TO_TRAIN"
    BORDER_POSTS = "BORDER_POSTS"
    OTHER = "OTHER"


class OfferCondition(StrEnum):
    """What a donor asks in return (UNSCAR calls; ATT Voluntary Trust Fund)."""

    CO_FUNDING = "CO_FUNDING"
    END_USE = "END_USE"
    HUMAN_RIGHTS = "HUMAN_RIGHTS"
    VISIBILITY = "VISIBILITY"
    REPORTING = "REPORTING"
    OTHER = "OTHER"


class AssistanceChannel(StrEnum):
    """By what way assistance reaches a State (PoA report section 9)."""

    BILATERAL = "BILATERAL"
    TRUST_FUND = "TRUST_FUND"
    REGIONAL_ORG = "REGIONAL_ORG"


class MatchProposer(StrEnum):
    """In what quality a match is proposed; none of them agrees for a party."""

    DONOR = "DONOR"
    BENEFICIARY = "BENEFICIARY"
    SECRETARIAT = "SECRETARIAT"


class MatchStep(StrEnum):
    """What one message says of a match, for its sender alone.

    What a match *is* follows from the messages of both sides (docs/spec/assistance.md §3): there is no
    step by which one side could say that it is agreed.
    """

    PROPOSED = "PROPOSED"
    CONSULTING = "CONSULTING"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    DELIVERED = "DELIVERED"
    CLOSED = "CLOSED"


class DeclineReason(StrEnum):
    """Why a match is declined."""

    FUNDS = "FUNDS"
    ELIGIBILITY = "ELIGIBILITY"
    POLICY = "POLICY"
    OVERLAP = "OVERLAP"
    NO_ANSWER = "NO_ANSWER"
    OTHER = "OTHER"
