"""What there is to review in requests and offers of assistance, matches and reports.

Source: docs/spec/messages.md §7.11.
"""

import datetime as dt
from collections.abc import Iterator

from countermark_protocol.codes.regions import currencies
from countermark_protocol.messages.assistance_match import AssistanceMatch
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest
from countermark_protocol.messages.base import Block, Message
from countermark_protocol.messages.national_report import NationalReport


def own_state(message: Message) -> tuple[str | None, str]:
    """The State for which alone its own offices can speak, and where it stands; None if the type has none."""
    if isinstance(message, AssistanceRequest):
        return message.requesting_state, "/requestingState"
    if isinstance(message, NationalReport):
        return message.reporting_state, "/reportingState"
    return None, ""


def last_day(message: Message) -> tuple[dt.date | None, str]:
    """Last day on which what a message says can be taken up, and where it stands."""
    if isinstance(message, AssistanceRequest):
        return message.valid_until, "/validUntil"
    if isinstance(message, AssistanceOffer):
        return message.available_until, "/availableUntil"
    if isinstance(message, AssistanceMatch) and message.proposal is not None:
        return message.proposal.answer_until, "/proposal/answerUntil"
    return None, ""


def unlisted_currencies(message: Message) -> Iterator[str]:
    """JSON pointers to currencies that the country list does not name."""
    todo: list[tuple[str, object]] = [("", message)]
    while todo:
        at, node = todo.pop()
        if isinstance(node, Block):
            for name, info in type(node).model_fields.items():
                value = getattr(node, name)
                todo.append((f"{at}/{info.alias}", value))
                if name == "currency" and value not in currencies():
                    yield f"{at}/{info.alias}"
        elif isinstance(node, tuple):
            todo.extend((f"{at}/{i}", each) for i, each in enumerate(node))
