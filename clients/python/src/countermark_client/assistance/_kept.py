"""Requests, offers and matches among the messages that a client holds, as they stand now.

A message that its sender has superseded or withdrawn stands no more; corrections are made.

Source: docs/spec/assistance.md §3 to 5.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from countermark_client._models import ConversationItem
from countermark_client.assistance._state import MatchMessage
from countermark_client.reports._standing import standing_messages
from countermark_protocol.messages.assistance_match import AssistanceMatch
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest

C = TypeVar("C", AssistanceRequest, AssistanceOffer)


@dataclass(frozen=True, slots=True)
class Known(Generic[C]):
    """A request or offer that stands.

    Attributes:
        message: payload hash, hexadecimal.
        speaker: the endpoint that it speaks for.
        message_id: its id, as its sender numbered it.
        exercise: whether it is drill traffic.
        content: as corrected.
    """

    message: str
    speaker: str
    message_id: str
    exercise: bool
    content: C = field(repr=False)


def _known(items: Iterable[ConversationItem], kind: type[C]) -> dict[str, Known[C]]:
    found: dict[str, Known[C]] = {}
    for each in standing_messages(items).standing:
        if isinstance(each.content, kind):
            manifest = each.item.manifest
            speaker = str(manifest.on_behalf_of or manifest.sender)
            found[each.item.message.hex()] = Known(
                each.item.message.hex(), speaker, manifest.id, manifest.exercise, each.content
            )
    return found


def known_requests(items: Iterable[ConversationItem]) -> Mapping[str, Known[AssistanceRequest]]:
    """Requests for assistance that stand, by payload hash in hexadecimal."""
    return _known(items, AssistanceRequest)


def known_offers(items: Iterable[ConversationItem]) -> Mapping[str, Known[AssistanceOffer]]:
    """Offers of assistance that stand, by payload hash in hexadecimal."""
    return _known(items, AssistanceOffer)


def known_matches(items: Iterable[ConversationItem]) -> Mapping[str, tuple[MatchMessage, ...]]:
    """Messages of matches, by the payload hash in hexadecimal of the conversation's first message."""
    found: dict[str, list[MatchMessage]] = {}
    for each in standing_messages(items).standing:
        if isinstance(each.content, AssistanceMatch):
            item, manifest = each.item, each.item.manifest
            assert item.index is not None
            assert item.time is not None
            said = MatchMessage(
                message=item.message.hex(),
                speaker=str(manifest.on_behalf_of or manifest.sender),
                in_reply_to=manifest.in_reply_to.hex() if manifest.in_reply_to is not None else None,
                index=item.index,
                day=dt.datetime.fromtimestamp(item.time / 1000, dt.UTC).date(),
                content=each.content,
            )
            found.setdefault((manifest.conversation or item.message).hex(), []).append(said)
    return {root: tuple(messages) for root, messages in found.items()}
