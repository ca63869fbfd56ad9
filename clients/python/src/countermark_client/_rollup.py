"""One view, for the sender, of all recipients of a message: how many collected it, who did not, and since when.

Every recipient stands in exactly one place, so the counts add up to all of them; *late* is said beside it, of whoever
signed for the message after it had expired. What is told rests on receipts and notices that were proven to be in the
log; each is named by its entry.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_client._addressing import LeftOut
from countermark_client._models import MessageRef, message_hash
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import Direction, StoredDelivery
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import Address


class Standing(StrEnum):
    """How far one recipient of a sent message is."""

    ACCEPTED = "accepted"
    """Opened, checked and taken in."""
    REJECTED = "rejected"
    """Opened or tried to, and not taken in; a reason stands beside it."""
    COLLECTED = "collected"
    """Signed for, neither accepted nor rejected yet."""
    UNDELIVERED = "undelivered"
    """Not signed for; the broker has logged that it expired."""
    WAITING = "waiting"
    """Not signed for yet."""


#: Who has not collected a message.
MISSING: Final = frozenset({Standing.WAITING, Standing.UNDELIVERED})
_OF_STAGE: Final = {
    "accepted": Standing.ACCEPTED,
    "rejected": Standing.REJECTED,
    "delivered": Standing.COLLECTED,
}


@dataclass(frozen=True, slots=True)
class RecipientStanding:
    """How far one recipient is.

    Attributes:
        recipient: its address.
        standing: where it stands.
        late: it signed for the message after ``expires_at``.
        since: ms since 1970 of what put it there: the receipt's leaf, the notice's, or of who waits the message's own;
            None while the message is not logged.
        entry: index of that in the log.
        collected_at: when it signed for it, ms since 1970; None if it did not.
        reason: of a rejection.
    """

    recipient: Address
    standing: Standing
    late: bool
    since: int | None
    entry: int | None
    collected_at: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Rollup:
    """All recipients of one sent message.

    Attributes:
        message: payload hash, 32 bytes.
        type: message type.
        stage: of the message: ``waiting`` (in the outbox), ``logged``, ``refused`` or ``given_up``.
        index: of its log entry, once logged.
        time: of its leaf, ms since 1970.
        expires_at: until when it is to be collected, ms since 1970.
        visible: whether the recipients see each other.
        group: that it was sent to, or None.
        recipients: by address.
        unknown: how many more it has that this profile does not know: another instance of the endpoint sent it.
        left_out: whom its names led to and it did not go to.
    """

    message: bytes
    type: str
    stage: str
    index: int | None
    time: int | None
    expires_at: int
    visible: bool
    group: str | None
    recipients: tuple[RecipientStanding, ...]
    unknown: int
    left_out: tuple[LeftOut, ...]

    @property
    def counts(self) -> Mapping[Standing, int]:
        """How many stand where; they add up to all recipients that are known here."""
        found = Counter(one.standing for one in self.recipients)
        return {standing: found[standing] for standing in Standing}

    @property
    def collected(self) -> int:
        """How many have signed for it, whatever they did then."""
        return len(self.recipients) - len(self.missing)

    @property
    def late(self) -> int:
        """How many of those signed for it after it had expired."""
        return sum(one.late for one in self.recipients)

    @property
    def missing(self) -> tuple[RecipientStanding, ...]:
        """Who has not collected it."""
        return tuple(one for one in self.recipients if one.standing in MISSING)

    @property
    def summary(self) -> str:
        """One line for people."""
        counts = self.counts
        parts = [f"{counts[s]} {s.value}" for s in Standing if counts[s]]
        if self.late:
            parts.append(f"{self.late} of them late")
        if self.left_out:
            parts.append(f"{len(self.left_out)} left out")
        if self.unknown:
            parts.append(f"{self.unknown} more not known here, nothing has come from them yet")
        return f"{self.collected} of {len(self.recipients)} collected: {', '.join(parts) or 'nobody'}"


def is_late(delivery: StoredDelivery, expires_at: int) -> bool:
    """Whether a recipient signed for a message after it had expired (messages.md 6.7)."""
    return delivery.delivered is not None and delivery.delivered > expires_at


def roll_up(session: Session, ref: MessageRef) -> Rollup:
    """The view of one sent message, as far as notices were read; recipients are read by one query.

    Raises:
        NotFoundError: ``unknown_message``: this profile has sent no such message.
    """
    payload = message_hash(ref)
    stored = session.store.message(payload, Direction.OUT)
    if stored is None:
        raise NotFoundError("unknown_message", "this profile has sent no message of that hash")
    manifest = manifest_of(stored)
    recipients = tuple(
        _standing(delivery, noticed, manifest.expires_at, (stored.time, stored.index))
        for delivery, noticed in session.store.standings(payload)
    )
    return Rollup(
        message=payload,
        type=manifest.type,
        stage=stored.stage.value,
        index=stored.index,
        time=stored.time,
        expires_at=manifest.expires_at,
        visible=manifest.recipients_visible,
        group=manifest.group.name if manifest.group is not None else None,
        recipients=recipients,
        unknown=manifest.recipient_count - len(recipients),
        left_out=session.store.left_out(payload),
    )


def _standing(
    d: StoredDelivery, noticed: int | None, expires_at: int, logged: tuple[int | None, int | None]
) -> RecipientStanding:
    standing = _OF_STAGE.get(d.stage)
    since, entry = d.time, d.index
    if standing is None and d.undelivered is not None:
        standing, since, entry = Standing.UNDELIVERED, noticed, d.undelivered
    elif standing is None:
        standing, (since, entry) = Standing.WAITING, logged
    return RecipientStanding(
        Address(d.recipient), standing, is_late(d, expires_at), since, entry, d.delivered, d.reason
    )
