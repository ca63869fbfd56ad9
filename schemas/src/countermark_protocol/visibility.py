"""Whether recipients of a message see each other unless its sender says otherwise, and on what ground, by type.

The choice is the sender's; this is what it finds set. Whom a message goes to is itself said: a list of who is warned
shows whom nobody trusted with it. So a list is shown only where the type is of use by everybody knowing who has it.

Source: docs/spec/messages.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from countermark_protocol.types import TYPES

_ASKED: Final = (
    "whom a State asks tells where it thinks the weapon came from; each one asked answers for itself"
)
_ONE: Final = "it goes to one recipient: there is no list"
_SUSPECTED: Final = "which States are told shows where the weapons are thought to come from or to go"
_AMENDED: Final = "who got what it is about has seen that list or was not to see it"
_PERSON: Final = "it is about persons: who knows of it is told to nobody who need not know"

#: Why the list is hidden or shown by default, by type.
GROUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tracing-request": _ASKED,
        "tracing-acknowledgement": _ONE,
        "tracing-response": _ONE,
        "tracing-clarification": _ONE,
        "confiscation-notice": _SUSPECTED,
        "found-or-surrendered-notice": _SUSPECTED,
        "destruction-notice": _SUSPECTED,
        "lost-or-stolen-notice": "who is told shows where the weapon is looked for",
        "hit-notice": "who is told of a hit owns the record: that may be part of an investigation",
        "hit-confirmation": _ONE,
        "trade-route-alert": (
            "who is warned shows the suspected route, and who is not shows whom its sender does not trust with it"
        ),
        "marking-system-description": (
            "it is published to all States, and that all have it is what makes a mark readable (ITI 31(b))"
        ),
        "assistance-request": "a need that is shown to one donor is not to press or embarrass before another",
        "assistance-offer": "an offer is the donor's to tell others of",
        "assistance-match": "the parties to a match agree with each other, and must know who they are",
        "national-report": "to whom a State reports, and when, is its own to say",
        "contact-point-notice": (
            "it is what States tell each other of themselves; who has it need not be told again (ITI 25, 31(a))"
        ),
        "licence-verification-request": "whose licences are doubted tells of a shipment under control",
        "licence-verification-response": _ONE,
        "transfer-refusal-notice": _PERSON,
        "mutual-legal-assistance-request": _PERSON,
        "mutual-legal-assistance-response": _ONE,
        "release-consent-request": _ONE,
        "release-consent-decision": _ONE,
        "correction": _AMENDED,
        "withdrawal": _AMENDED,
        "free-text": _ONE,
    }
)


def is_visible(message_type: str, chosen: bool | None) -> bool:
    """Whether recipients see each other.

    Args:
        message_type: one of the types.
        chosen: by the sender; None for the type's default.
    """
    return TYPES[message_type].visible_recipients if chosen is None else chosen
