"""What officials do at the desk, as the agency's log names it. A name is never reused for another action."""

from __future__ import annotations

from typing import Final

from countermark_console.agency_log.actions import LABELS
from countermark_console.texts import N_

MESSAGE_READ: Final = "message-read"
MESSAGE_ACCEPTED: Final = "message-accepted"
MESSAGE_REJECTED: Final = "message-rejected"
RESTRICTIONS_READ: Final = "restrictions-read"
FILE_FETCHED: Final = "file-fetched"
EVIDENCE_MADE: Final = "evidence-made"
EXPORTED: Final = "exported"
CASE_ASSIGNED: Final = "case-assigned"
CASE_NOTED: Final = "case-noted"
CASE_CLOSED: Final = "case-closed"
CASE_REOPENED: Final = "case-reopened"
DRAFT_BEGUN: Final = "draft-begun"
DRAFT_DISCARDED: Final = "draft-discarded"
DRAFT_SUBMITTED: Final = "draft-submitted"
DRAFT_RETURNED: Final = "draft-returned"
DRAFT_SIGNED: Final = "draft-signed"
PHOTOGRAPH_ADDED: Final = "photograph-added"
MESSAGE_SENT: Final = "message-sent"
DUTY_TOLD: Final = "duty-officer-told"

LABELS.update(
    {
        MESSAGE_READ: N_("read the message"),
        MESSAGE_ACCEPTED: N_("accepted the message"),
        MESSAGE_REJECTED: N_("rejected the message"),
        RESTRICTIONS_READ: N_("confirmed to have read the restrictions of"),
        FILE_FETCHED: N_("fetched a file of"),
        EVIDENCE_MADE: N_("made the evidence of"),
        EXPORTED: N_("exported"),
        CASE_ASSIGNED: N_("assigned the case"),
        CASE_NOTED: N_("noted on the case"),
        CASE_CLOSED: N_("closed the case"),
        CASE_REOPENED: N_("opened the case again"),
        DRAFT_BEGUN: N_("began the draft"),
        DRAFT_DISCARDED: N_("threw away the draft"),
        DRAFT_SUBMITTED: N_("handed over for release the draft"),
        DRAFT_RETURNED: N_("handed back the draft"),
        DRAFT_SIGNED: N_("took in a signature of the draft"),
        PHOTOGRAPH_ADDED: N_("added a photograph to the draft"),
        MESSAGE_SENT: N_("sent the message"),
        DUTY_TOLD: N_("told the duty officer of"),
    }
)
