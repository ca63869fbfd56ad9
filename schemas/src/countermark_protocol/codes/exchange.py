"""Own code lists of what surrounds a case: clarification, consent to onward release, correction, withdrawal.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/messages.md §7; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class ClarificationKind(StrEnum):
    """Which way a clarification goes (ITI 21 and 23)."""

    SEEKS = "SEEKS"
    GIVES = "GIVES"


class ClarificationTopic(StrEnum):
    """What a question is about (ITI 20 to 23)."""

    REFUSAL_GROUND = "REFUSAL_GROUND"
    RESTRICTION = "RESTRICTION"
    DELAY = "DELAY"
    INABILITY = "INABILITY"
    IDENTITY = "IDENTITY"
    CHAIN = "CHAIN"
    MARKING = "MARKING"
    USE_RESTRICTION = "USE_RESTRICTION"
    REQUEST_CONTENT = "REQUEST_CONTENT"
    OTHER = "OTHER"


class ReleaseKind(StrEnum):
    """What consent is asked for (ITI 15; Firearms Protocol 12(5); SIENA handling codes H1 and H2)."""

    ONWARD_TRANSFER = "ONWARD_TRANSFER"
    JUDICIAL_USE = "JUDICIAL_USE"
    OTHER_PURPOSE = "OTHER_PURPOSE"
    PUBLICATION = "PUBLICATION"


class ConsentDecision(StrEnum):
    """What an originator decides on onward release; silence is no consent (ITI 15)."""

    GRANTED = "GRANTED"
    GRANTED_WITH_CONDITIONS = "GRANTED_WITH_CONDITIONS"
    REFUSED = "REFUSED"


class CorrectionGround(StrEnum):
    """Why a message is corrected (INTERPOL RPD on accuracy; domain page 3.3)."""

    CLERICAL_ERROR = "CLERICAL_ERROR"
    WRONG_IDENTIFICATION = "WRONG_IDENTIFICATION"
    NEW_EXAMINATION = "NEW_EXAMINATION"
    NEW_INFORMATION = "NEW_INFORMATION"
    DATA_PROTECTION = "DATA_PROTECTION"
    OTHER = "OTHER"


class WithdrawalGround(StrEnum):
    """Why a message stands no more (INTERPOL RPD; NCIC cancel; Delegated Regulation (EU) 2021/1423)."""

    SENT_IN_ERROR = "SENT_IN_ERROR"
    WRONG_RECIPIENT = "WRONG_RECIPIENT"
    RECORD_WRONG = "RECORD_WRONG"
    CASE_CLOSED = "CASE_CLOSED"
    DECISION_ANNULLED = "DECISION_ANNULLED"
    DATA_PROTECTION = "DATA_PROTECTION"
    REPLACED = "REPLACED"
    OTHER = "OTHER"


class FollowUp(StrEnum):
    """What those who got a message are asked to do when it is corrected or withdrawn (domain page 3.3)."""

    NOTE = "NOTE"
    UPDATE_RECORDS = "UPDATE_RECORDS"
    TELL_ONWARD_RECIPIENTS = "TELL_ONWARD_RECIPIENTS"
    LOOK_AT_ANSWER_AGAIN = "LOOK_AT_ANSWER_AGAIN"
    DELETE_COPIES = "DELETE_COPIES"
