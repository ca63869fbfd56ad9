"""What took the place of a message: a later one of the same sender that names it in `supersedes`.

That it was superseded stands in the visible half, so it is known before anything is opened. Whether it was
*withdrawn* stands there as well if the later message is a `withdrawal`; that a record was cancelled
(`lost-or-stolen-notice`, action CANCEL) is content, and known once the later message was opened here. A
`correction` takes no message's place.

Source: docs/spec/messages.md §2 and §7.13.
"""

from __future__ import annotations

import contextlib
from typing import Final

from countermark_client import _contents
from countermark_client._models import Successor
from countermark_client._open import Opened, UnacceptableError, manifest_of, open_own, open_received
from countermark_client._session import Session
from countermark_client._store import Direction, Store, StoredMessage
from countermark_protocol.codes.events import RecordAction
from countermark_protocol.errors import SealError, UncheckableError
from countermark_protocol.submission import parse_submission
from countermark_protocol.types import CORRECTION, WITHDRAWAL

#: Looking must end, however many messages somebody chains.
_MAX_FOLLOWED: Final = 1000


def sent_ciphertext(store: Store, payload: bytes) -> bytes | None:
    """The ciphertext of a message that this profile sent, from the outbox or, once pruned, from beside it."""
    item = store.outbox_item(payload)
    if item is not None and item.body:
        return parse_submission(item.body).content
    stored = store.message(payload, Direction.OUT)
    return stored.content if stored is not None else None


def opened_kept(session: Session, stored: StoredMessage) -> Opened | None:
    """A message as kept, opened; None while it is not signed for, or where it does not open here."""
    if stored.direction is Direction.OUT:
        ciphertext = sent_ciphertext(session.store, stored.payload)
        return open_own(session, stored, ciphertext) if ciphertext is not None else None
    if stored.stanza is None or stored.content is None:
        return None
    with contextlib.suppress(UnacceptableError, UncheckableError, SealError):
        return open_received(session, stored)
    return None


def open_kept(session: Session, stored: StoredMessage) -> _contents.Message | None:
    """The content of a message as kept; None as of `opened_kept`."""
    opened = opened_kept(session, stored)
    return opened.content if opened is not None else None


def successor_of(session: Session, stored: StoredMessage) -> Successor | None:
    """The newest logged message that this profile knows to take the place of one, at first or further hand, or None.

    What took its place may itself have been superseded, and by a message that withdraws all of it.
    """
    later = _newest_after(session.store, stored)
    if later is None:
        return None
    assert later.index is not None
    assert later.time is not None
    content = open_kept(session, later)
    return Successor(
        message=later.payload,
        index=later.index,
        time=later.time,
        withdraws=_withdraws(later, content),
    )


def _newest_after(store: Store, stored: StoredMessage) -> StoredMessage | None:
    """The newest by the log of all that follow a message; of a sender's thousand corrections, the first so many.

    A message of another sender takes nobody's place: the broker refuses it, and it is not believed here.
    """
    sender = manifest_of(stored).sender
    found: dict[bytes, StoredMessage] = {}
    open_ = [stored.payload]
    while open_ and len(found) < _MAX_FOLLOWED:
        for later in store.successors(open_.pop()):
            manifest = manifest_of(later)
            # What is corrected stands; what became of the correction is no successor of it.
            if later.payload not in found and manifest.sender == sender and manifest.type != CORRECTION:
                found[later.payload] = later
                open_.append(later.payload)
    return max(found.values(), key=lambda m: m.index or 0, default=None)


def _withdraws(stored: StoredMessage, content: _contents.Message | None) -> bool | None:
    if manifest_of(stored).type == WITHDRAWAL:
        return True
    if content is None:
        return None
    return isinstance(content, _contents.LostOrStolenNotice) and content.action is RecordAction.CANCEL
