"""What a profile's store holds: messages as kept, the outbox, what became of sent messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Direction(StrEnum):
    """Whether this endpoint received or sent a message."""

    IN = "in"
    OUT = "out"


class OutboxState(StrEnum):
    """How far a statement of this profile is."""

    WAITING = "waiting"
    """Written, not answered yet; its bytes are sent again until they are."""
    LOGGED = "logged"
    """Proven to be in the log."""
    REFUSED = "refused"
    """Refused by an account; never sent again."""
    FAILED = "failed"
    """Answered with a plain problem, or held back here, which proves nothing; `flush` tries again."""
    GIVEN_UP = "given_up"
    """Given up by a person, with a reason, or lost with its log; never sent again."""


class MessageStage(StrEnum):
    """How far a message is, as this store knows."""

    LISTED = "listed"
    """Received: proven to be in the box, not signed for yet."""
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PURGED = "purged"
    """Received, and its content gone on a logged ground before it was opened: nothing is stated of it any more."""
    WAITING = "waiting"
    """Sent: in the outbox."""
    LOGGED = "logged"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    LOST = "lost"
    """Received: what was read of it stays, but the log that goes on does not hold it."""


#: Stages of a received message that is neither accepted nor rejected.
OPEN_STAGES: Final = (MessageStage.LISTED, MessageStage.DELIVERED)


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One statement of this profile, in the exact bytes that are sent.

    Attributes:
        number: order of sending.
        payload: its payload hash, 32 bytes.
        kind: ``message``, ``receipt`` or ``act``.
        body: what is posted; empty once it was pruned.
        state: how far it is.
        created: ms since 1970.
        index: of its entry, once logged.
        time: of its leaf, ms since 1970, once logged.
        proof: the broker's answer, once logged.
        account: the signed refusal, where it was refused.
        code: of the last problem; ``given_up`` where a person gave it up.
        error: of the last problem, for people; or why it was given up.
        tries: how often it was handed to the broker, counted before each try.
        tried: ms since 1970 of the last try.
        proven: ms since 1970, by this machine's clock, when a published checkpoint was first proven to cover it.
        rows: of a pruned message, its recipient rows, JSON.
        renewed_as: payload hash of the message that was made anew from it, 32 bytes.
    """

    number: int
    payload: bytes
    kind: str
    body: bytes
    state: OutboxState
    created: int
    index: int | None
    time: int | None
    proof: bytes | None
    account: bytes | None
    code: str | None
    error: str | None
    tries: int
    tried: int | None
    proven: int | None
    rows: bytes | None
    renewed_as: bytes | None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as kept: sealed.

    Attributes:
        payload: payload hash of its manifest, 32 bytes.
        direction: received or sent.
        conversation: payload hash of the first message of its conversation, 32 bytes.
        document: the signed manifest.
        index: of its entry; None while in the outbox.
        time: of its leaf, ms since 1970.
        box: it came by.
        position: in that box.
        recipient: one's own recipient row, JSON.
        recipients: the whole table where it is visible, JSON.
        stanza: that opens it: the broker's, or of one's own messages one to oneself.
        content: ciphertext; of a sent message only once its outbox item was pruned.
        stage: how far it is.
        reason: of a rejection.
        proof: of a received message: checkpoint, inclusion and delivery, JSON.
        supersedes: payload hash of the message that it takes the place of, 32 bytes, or None.
    """

    payload: bytes
    direction: Direction
    conversation: bytes
    document: bytes
    index: int | None
    time: int | None
    box: str | None
    position: int | None
    recipient: bytes | None
    recipients: bytes | None
    stanza: bytes | None
    content: bytes | None
    stage: MessageStage
    reason: str | None
    proof: bytes | None = None
    supersedes: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """What is known of one recipient of a sent message.

    Attributes:
        payload: of the message.
        recipient: its address.
        stage: ``open``, ``delivered``, ``accepted`` or ``rejected``.
        index: of the receipt's entry.
        time: of the receipt's leaf, ms since 1970.
        reason: of a rejection.
        details: of a rejection, sealed to this endpoint.
        undelivered: index of the undelivered notice, if there was one.
        delivered: ms since 1970 of the leaf of its ``delivered`` receipt.
    """

    payload: bytes
    recipient: str
    stage: str
    index: int | None
    time: int | None
    reason: str | None
    details: bytes | None
    undelivered: int | None
    delivered: int | None = None


@dataclass(frozen=True, slots=True)
class StoredRevocation:
    """A revocation that came by another path than the log.

    Attributes:
        key_id: the revoked key.
        document: signed.
        imported: ms since 1970, by this machine's clock.
        size: of the newest checkpoint verified at that moment.
        alarmed: whether its absence from the log was already reported.
    """

    key_id: bytes
    document: bytes
    imported: int
    size: int
    alarmed: bool


@dataclass(frozen=True, slots=True)
class StoredEarlyLeaf:
    """A proven leaf that states a time which had not come yet.

    Attributes:
        index: of its entry.
        leaf: its 115 bytes.
        proof: that it stands in the log, as a piece of evidence; None where the log did not show it.
        noticed: ms since 1970, by this machine's clock.
        proven: whether witnesses say that it is the log's clock that was wrong.
    """

    index: int
    leaf: bytes
    proof: bytes | None
    noticed: int
    proven: bool = False
