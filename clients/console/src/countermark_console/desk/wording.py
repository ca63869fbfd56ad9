"""What codes of the desk mean, in words: types of messages, where cases stand, tasks, proofs."""

from __future__ import annotations

from collections import Counter
from typing import Final

from countermark_console.desk.cases import Status
from countermark_console.desk.shelf import StoredMessage
from countermark_console.texts import N_, Texts

#: Of a message to more than so many, receipts are counted, and listed on demand.
_SEEN_AT_ONCE: Final = 6

TYPE_LABELS: Final = {
    "tracing-request": N_("Tracing request"),
    "tracing-acknowledgement": N_("Acknowledgement of a trace"),
    "tracing-response": N_("Answer to a trace"),
    "tracing-clarification": N_("Clarification of a trace"),
    "confiscation-notice": N_("Notice of confiscation"),
    "found-or-surrendered-notice": N_("Notice of arms found or surrendered"),
    "destruction-notice": N_("Notice of destruction"),
    "lost-or-stolen-notice": N_("Notice of loss or theft"),
    "hit-notice": N_("Notice of a hit"),
    "hit-confirmation": N_("Confirmation of a hit"),
    "trade-route-alert": N_("Alert on a trade route"),
    "marking-system-description": N_("Description of a marking system"),
    "assistance-request": N_("Request for assistance"),
    "assistance-offer": N_("Offer of assistance"),
    "assistance-match": N_("Match of assistance"),
    "national-report": N_("National report"),
    "contact-point-notice": N_("Notice of a point of contact"),
    "licence-verification-request": N_("Request to verify a licence"),
    "licence-verification-response": N_("Answer on a licence"),
    "transfer-refusal-notice": N_("Notice of a refused transfer"),
    "mutual-legal-assistance-request": N_("Request for mutual legal assistance"),
    "mutual-legal-assistance-response": N_("Answer on mutual legal assistance"),
    "release-consent-request": N_("Request for consent to release"),
    "release-consent-decision": N_("Decision on release"),
    "correction": N_("Correction"),
    "withdrawal": N_("Withdrawal"),
    "free-text": N_("Text"),
}

#: What each type is for, where somebody chooses one. What amends or answers is begun from a message.
TYPE_GROUPS: Final = (
    (N_("Tracing"), ("tracing-request", "marking-system-description")),
    (
        N_("Notices and alerts"),
        (
            "trade-route-alert",
            "confiscation-notice",
            "found-or-surrendered-notice",
            "destruction-notice",
            "lost-or-stolen-notice",
            "hit-notice",
            "contact-point-notice",
        ),
    ),
    (N_("Licences and transfers"), ("licence-verification-request", "transfer-refusal-notice")),
    (
        N_("Assistance and reports"),
        ("assistance-request", "assistance-offer", "assistance-match", "national-report"),
    ),
    (N_("Legal assistance"), ("mutual-legal-assistance-request",)),
)

STATUS_LABELS: Final = {
    Status.WAITING_FOR_US: (N_("Waits for us"), "blue"),
    Status.WAITING_FOR_THEM: (N_("Waits for them"), "grey"),
    Status.ANSWERED: (N_("Answered"), "green"),
    Status.NOTICE: (N_("For information"), "grey"),
    Status.CLOSED: (N_("Closed"), "grey"),
}

STATE_LABELS: Final = {
    "DRAFT": N_("Draft"),
    "APPROVED": N_("Approved, not sent yet"),
    "SENT": N_("Sent, not collected yet"),
    "DELIVERED": N_("Collected"),
    "ACKNOWLEDGED": N_("Acknowledged"),
    "INFO_NEEDED": N_("More information is needed"),
    "RESUMED": N_("Resumed"),
    "IN_PROGRESS": N_("Worked on"),
    "PARTIALLY_ANSWERED": N_("Answered in part"),
    "ANSWERED": N_("Answered"),
    "REFUSED": N_("Refused"),
    "RESTRICTED": N_("Answered with restrictions"),
    "DELAYED": N_("Delayed"),
    "FORWARDED": N_("Passed on to the next State"),
    "CLARIFICATION": N_("A question about the answer is open"),
    "CLOSED": N_("Closed"),
    "CLOSED_INCOMPLETE": N_("Closed as incomplete"),
    "REOPENED": N_("Opened again"),
    "CANCELLED_BY_REQUESTER": N_("Withdrawn by the requester"),
    "EXPIRED": N_("Not collected in time"),
    "REJECTED_MALFORMED": N_("Rejected as unreadable"),
}

TASK_LABELS: Final = {
    "acknowledge": N_("Acknowledge the request"),
    "reply": N_("Answer: the time for it is over"),
    "reply-soon": N_("Answer: half of the time is over"),
    "explain": N_("Answer the requester's question"),
    "give-information": N_("Give the information that was asked for"),
    "remind": N_("Remind the requested State"),
    "escalate": N_("Bring it before the requested State's point of contact: it is overdue"),
    "count-as-unanswered": N_("Count it as unanswered"),
    "send-again": N_("Send it again, or elsewhere: it was not taken in"),
    "close": N_("Close it, and say whether the point of diversion was established"),
}

URGENCY_LABELS: Final = {
    "routine": N_("Routine"),
    "priority": N_("Priority"),
    "urgent": N_("Urgent"),
    "flash": N_("Flash: lives are at risk"),
}

STAGE_LABELS: Final = {
    "listed": N_("announced"),
    "delivered": N_("collected, not accepted yet"),
    "accepted": N_("accepted"),
    "rejected": N_("rejected"),
    "purged": N_("deleted at the broker"),
    "logged": N_("sent"),
    "settled": N_("sent, and answered for by every recipient"),
    "open": N_("not collected yet"),
}

VERDICT_LABELS: Final = {
    "valid": (N_("The signature is valid"), "green"),
    "valid-revoked-later": (
        N_("The signature is valid; its key was revoked later, which undoes nothing"),
        "green",
    ),
    "signed-after-compromise": (
        N_("The signing key was compromised by then: who signed is in doubt"),
        "red",
    ),
    "not-valid": (N_("The signing key did not count: the log should have refused this"), "red"),
    "unknown": (N_("The signing key is not known here"), "orange"),
}

#: What broker and auditors see, by the names of `composing.Preview.visible`.
VISIBLE_LABELS: Final = {
    "from": N_("Sender"),
    "recipients": N_("Recipients"),
    "type": N_("Type of message"),
    "urgency": N_("Urgency"),
    "tlp": N_("Who may see it (TLP)"),
    "classification": N_("Classification"),
    "codes": N_("Handling codes"),
    "originator_control": N_("Passed on with our consent only"),
    "purpose": N_("May be used for"),
    "retention_until": N_("May be kept until"),
    "releasable_to": N_("May be released to"),
    "reply_by": N_("Answer wanted by"),
    "in_reply_to": N_("Answers the message"),
    "supersedes": N_("Takes the place of the message"),
    "exercise": N_("Exercise"),
    "attachments": N_("Number of attachments"),
}


def proof_lines(message: StoredMessage, texts: Texts) -> list[tuple[str, str, bool]]:
    """What is proven of a message: (word, sentence, whether it is there) for logged, witnessed and collected."""
    lines = [
        (
            texts(N_("Logged")),
            texts(
                N_(
                    "Entry %(index)s of the log, on %(time)s. The broker can neither deny nor change it, "
                    "nor say that it came later."
                ),
                index=message.log_index,
                time=texts.time(message.log_time),
            ),
            True,
        )
    ]
    if message.witnessed_at is not None:
        said = texts(
            N_("Independent witnesses confirm that it was in the log by %(time)s."),
            time=texts.time(message.witnessed_at),
        )
        lines.append((texts(N_("Witnessed")), said, True))
    else:
        lines.append(
            (texts(N_("Not witnessed yet")), texts(N_("Witnesses confirm an entry within minutes.")), False)
        )
    lines += _collected(message, texts)
    return lines


def folded_proofs(
    message: StoredMessage, texts: Texts
) -> tuple[list[tuple[str, str, bool]], list[tuple[str, str, bool]]]:
    """What is proven of a message, as a page shows it: (what is seen at once, each recipient of many).

    Of a message to many, one line counts; who did what is unfolded.
    """
    lines = proof_lines(message, texts)
    if message.direction == "in" or len(message.receipts) <= _SEEN_AT_ONCE:
        return lines, []
    shown, each = lines[: -len(message.receipts)], lines[-len(message.receipts) :]
    stages = Counter(one["stage"] for one in message.receipts)
    waiting = stages["open"]
    said = texts(
        N_(
            "%(collected)s of %(all)s recipients have signed for it; %(accepted)s accepted it, %(rejected)s rejected "
            "it; %(missed)s did not collect it in time."
        ),
        collected=len(message.receipts) - waiting,
        all=len(message.receipts),
        accepted=stages["accepted"],
        rejected=stages["rejected"],
        missed=sum(bool(one["undelivered"]) for one in message.receipts if one["stage"] == "open"),
    )
    return [*shown, (texts(N_("Collected")), said, not waiting)], each


def _collected(message: StoredMessage, texts: Texts) -> list[tuple[str, str, bool]]:
    if message.direction == "in":
        return [
            (
                texts(N_("Collected")),
                texts(N_("This agency has signed for it; the sender holds that receipt.")),
                True,
            )
        ]
    lines = []
    for one in message.receipts:
        values = {"recipient": one["recipient"]}
        if one["stage"] == "open":
            missed = bool(one["undelivered"])
            said = (
                N_("%(recipient)s did not collect it in time.")
                if missed
                else N_("%(recipient)s: not collected yet.")
            )
            lines.append((texts(N_("Not collected")), texts(said, **values), False))
            continue
        at = one["delivered_at"] or one["time"]
        if at is not None:
            values["time"] = texts.time(at)
        said = {
            "accepted": N_("%(recipient)s signed for it on %(time)s, and accepted it."),
            "rejected": N_("%(recipient)s signed for it on %(time)s, and rejected it."),
        }.get(one["stage"], N_("%(recipient)s signed for it on %(time)s."))
        lines.append((texts(N_("Collected")), texts(said, **values), True))
    return lines
