"""Corrections and withdrawals: what may be sent, and how a message reads once it is corrected.

That a message was withdrawn, or that there is a correction of it, stands in the visible half. What a correction says is
known once it was opened here.

Source: docs/spec/messages.md §7.13.
"""

from __future__ import annotations

from typing import Final

from countermark_client import _contents
from countermark_client._models import Correction, Draft, message_hash
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import Direction, StoredMessage
from countermark_client._succession import open_kept, successor_of
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import MalformedError
from countermark_protocol.types import CORRECTION

#: Corrections of corrections of corrections end somewhere.
_MAX_DEPTH: Final = 8


def corrections_of(
    session: Session, stored: StoredMessage, depth: int = _MAX_DEPTH
) -> tuple[Correction, ...]:
    """The corrections of a message that stand, in log order: by its own sender, and not withdrawn or replaced."""
    sender = manifest_of(stored).sender
    found: dict[bytes, Correction] = {}
    # The store gives the newest first.
    for later in reversed(session.store.successors(stored.payload)):
        manifest = manifest_of(later)
        if (
            manifest.type != CORRECTION
            or manifest.sender != sender
            or successor_of(session, later) is not None
        ):
            continue
        assert later.index is not None
        assert later.time is not None
        content = open_kept(session, later)
        if content is not None and depth:
            content = as_corrected(session, later, content, depth - 1) or content
        found[later.payload] = Correction(
            later.payload,
            later.index,
            later.time,
            content if isinstance(content, _contents.MessageCorrection) else None,
        )
    return tuple(found.values())


def as_corrected(
    session: Session, stored: StoredMessage, content: _contents.Message, depth: int = _MAX_DEPTH
) -> _contents.Message | None:
    """A content as it reads after all its corrections.

    None: there are none, one of them was not opened here, or they do not fit, which its sender's client refuses to
    send: then the message is to be read with its corrections beside it.
    """
    corrections = corrections_of(session, stored, depth)
    opened = [each.content for each in corrections if each.content is not None]
    if not corrections or len(opened) < len(corrections):
        return None
    document = _contents.content_document(content)
    try:
        for each in opened:
            document = _contents.apply_correction(document, each)
        return _contents.validate_content(content.TYPE, content.VERSION, document)
    except MalformedError:
        return None


def amendment_findings(session: Session, draft: Draft, message: _contents.Message) -> list[JsonObject]:
    """What stands against sending a correction or withdrawal, by rule, field and words; empty for every other type."""
    amended = _contents.amended_by(message)
    if amended is None:
        return []
    if draft.supersedes is None or amended != message_hash(draft.supersedes):
        text = "this is another message than the one that the draft supersedes"
        return [{"rule": "amends_another", "field": "/message", "text": text}]
    stored = session.store.message(amended, Direction.OUT)
    if stored is None or not isinstance(message, _contents.MessageCorrection):
        return []
    original = open_kept(session, stored)
    if original is None:
        return []
    original = as_corrected(session, stored, original) or original
    try:
        document = _contents.apply_correction(_contents.content_document(original), message)
        corrected = _contents.validate_content(original.TYPE, original.VERSION, document)
    except MalformedError as error:
        text = f"with these changes the message would not be valid: {error.message}"
        return [{"rule": "correction_not_valid", "field": error.facts.get("field", "/changes"), "text": text}]
    if _contents.manifest_facts(corrected) != _contents.manifest_facts(original):
        text = (
            "stage or outcome would be others than its manifest states: send the answer anew, with supersedes"
        )
        return [{"rule": "correction_changes_outcome", "field": "/changes", "text": text}]
    return []
