"""What messages say now: corrections made, what was superseded or withdrawn put aside, nothing passed over in silence.

Source: docs/spec/reports.md §2; docs/spec/messages.md §7.13.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from countermark_client._models import ConversationItem
from countermark_protocol.codes.events import RecordAction
from countermark_protocol.errors import CountermarkError
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.correction import MessageCorrection, MessageWithdrawal, apply_correction
from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
from countermark_protocol.registry import content_document, validate_content
from countermark_protocol.verdicts import VerdictClass

#: Why a message does not stand, in words.
NOT_STANDING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_logged": "not in the log yet, or refused",
        "not_opened": "not signed for yet, or it does not open here",
        "deleted": "its content was deleted before it was opened here",
        "rejected_here": "rejected here",
        "signature_in_doubt": "the key that signed it did not count, or is declared compromised from before it",
        "superseded": "its sender sent another in its place",
        "withdrawn": "its sender withdrew it",
    }
)
#: What a reader must know of a message that stands.
WARNINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "correction_not_read": "a correction of it is not opened here: it is taken as it was sent",
        "correction_does_not_fit": "a correction of it does not fit: it is taken as it was sent",
    }
)
_DOUBTFUL: Final = frozenset({VerdictClass.NOT_VALID, VerdictClass.AFTER_COMPROMISE})


@dataclass(frozen=True, slots=True)
class StandingMessage:
    """A message that stands.

    Attributes:
        item: as the client holds it.
        content: as corrected.
        corrected_by: corrections that were made, payload hashes in hexadecimal, in log order.
    """

    item: ConversationItem
    content: Message = field(repr=False)
    corrected_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandingMessages:
    """Messages as they stand.

    Attributes:
        standing: in log order; corrections and withdrawals themselves are not among them.
        left_out: (message, key of `NOT_STANDING`), in log order, those not logged last.
        warnings: (message, key of `WARNINGS`), in log order.
    """

    standing: tuple[StandingMessage, ...]
    left_out: tuple[tuple[ConversationItem, str], ...]
    warnings: tuple[tuple[ConversationItem, str], ...]


def standing_messages(items: Iterable[ConversationItem]) -> StandingMessages:
    """Work out which of a client's messages stand, and what they say; the order of `items` makes no difference.

    A later message changes an earlier one only if the same endpoint sent both.
    """
    unique = {item.message: item for item in items}
    ordered = sorted(unique.values(), key=_log_order)
    later: dict[bytes, list[ConversationItem]] = {}
    for item in ordered:
        target = unique.get(item.manifest.supersedes or b"")
        if target is not None and item.index is not None and target.manifest.sender == item.manifest.sender:
            later.setdefault(target.message, []).append(item)
    judged: dict[bytes, StandingMessage | str] = {}
    warnings: dict[bytes, str] = {}
    # From the newest back: what names a message in `supersedes` is newer than it, so it is judged already.
    for item in reversed(ordered):
        judged[item.message], warning = _judge(item, later.get(item.message, ()), judged)
        if warning is not None:
            warnings[item.message] = warning
    found = [(item, judged[item.message]) for item in ordered]
    return StandingMessages(
        tuple(
            each
            for _, each in found
            if isinstance(each, StandingMessage)
            and not isinstance(each.content, MessageCorrection | MessageWithdrawal)
        ),
        tuple((item, each) for item, each in found if isinstance(each, str)),
        tuple((item, warnings[item.message]) for item in ordered if item.message in warnings),
    )


def _log_order(item: ConversationItem) -> tuple[bool, int, bytes]:
    return item.index is None, item.index or 0, item.message


def _judge(
    item: ConversationItem,
    later: Iterable[ConversationItem],
    judged: Mapping[bytes, StandingMessage | str],
) -> tuple[StandingMessage | str, str | None]:
    """What becomes of one message, and what a reader must know of it."""
    if item.index is None:
        return "not_logged", None
    if item.verdict.kind in _DOUBTFUL:
        return "signature_in_doubt", None
    document = content_document(item.content) if item.content is not None else None
    corrected, warning = [], None
    for each in later:
        outcome = judged[each.message]
        kind = each.manifest.type
        if kind == MessageCorrection.TYPE:
            if outcome in {"withdrawn", "superseded", "signature_in_doubt"}:
                continue
            if isinstance(outcome, str) or not isinstance(outcome.content, MessageCorrection):
                warning = "correction_not_read"
                continue
            if document is None:
                continue
            try:
                tried = apply_correction(document, outcome.content)
                validate_content(item.manifest.type, item.manifest.version, tried)
            except CountermarkError:
                warning = "correction_does_not_fit"
            else:
                document = tried
                corrected.append(each.message.hex())
        elif outcome == "signature_in_doubt":
            continue
        elif kind == MessageWithdrawal.TYPE:
            if outcome not in {"withdrawn", "superseded"}:
                return "withdrawn", None
        else:
            return ("withdrawn" if _cancels(outcome) else "superseded"), None
    if document is None:
        return ("deleted" if item.purged is not None else "not_opened"), None
    if item.stage == "rejected":
        return "rejected_here", None
    content = validate_content(item.manifest.type, item.manifest.version, document)
    return StandingMessage(item, content, tuple(corrected)), warning


def _cancels(outcome: StandingMessage | str) -> bool:
    return (
        isinstance(outcome, StandingMessage)
        and isinstance(outcome.content, LostOrStolenNotice)
        and outcome.content.action is RecordAction.CANCEL
    )
