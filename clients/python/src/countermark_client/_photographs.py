"""Photographs that a content names by their digests, and the files that go with it.

Source: docs/spec/messages.md (``photographs`` of a weapon); docs/howto/attachments.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from countermark_client.attaching import PreparedAttachment
from countermark_protocol.encoding import JsonObject, malformed

_PLACE: Final = re.compile(r"/?([A-Za-z]+/(?:0|[1-9][0-9]{0,4}))(/[A-Za-z]+/(?:0|[1-9][0-9]{0,4}))?\Z")
#: The members by which a photograph is known wherever a type has one.
_MEMBERS: Final = frozenset({"sha256", "mediaType", "size"})


def photographs_in(document: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """(JSON pointer, SHA-256 in hexadecimal) of every photograph that a content names.

    Args:
        document: JSON.
        pointer: to it.
    """
    if isinstance(document, dict):
        if document.keys() >= _MEMBERS:
            yield pointer, str(document["sha256"])
        for name, value in document.items():
            yield from photographs_in(value, f"{pointer}/{name}")
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from photographs_in(value, f"{pointer}/{number}")


def not_attached(document: JsonObject, attachments: Iterable[PreparedAttachment]) -> list[str]:
    """JSON pointers of photographs whose files do not go with the message."""
    attached = {one.sha256 for one in attachments}
    return [pointer for pointer, sha256 in photographs_in(document) if sha256 not in attached]


def add_photograph(document: JsonObject, place: str, attachment: PreparedAttachment) -> None:
    """Let a weapon of a content name an attachment as a photograph of it.

    Args:
        document: the content, changed in place.
        place: of the weapon, ``items/0``; or of the mark, part or ammunition that it shows, ``items/0/marks/2``.
        attachment: prepared.

    Raises:
        MalformedError: ``bad_place``: the content has no such member.
    """
    match = _PLACE.match(place)
    found = _at(document, match[1]) if match is not None else None
    shows = match[2] if match is not None else None
    if not isinstance(found, dict) or (shows is not None and _at(found, shows[1:]) is None):
        malformed(
            "bad_place",
            f"the content has no {place[:64]!r}: expected the weapon, e.g. items/0, or what of it is shown, e.g. "
            "items/0/marks/2, counted from 0",
        )
    photograph: JsonObject = {
        "sha256": attachment.sha256,
        "mediaType": attachment.media_type,
        "size": attachment.size,
    }
    if attachment.caption is not None:
        photograph["caption"] = attachment.caption
    if shows is not None:
        photograph["shows"] = shows
    found.setdefault("photographs", []).append(photograph)


def _at(document: Any, path: str) -> Any:
    """The element of a list that a member holds; None if there is none."""
    member, _, number = path.partition("/")
    elements = document.get(member) if isinstance(document, dict) else None
    return elements[int(number)] if isinstance(elements, list) and int(number) < len(elements) else None
