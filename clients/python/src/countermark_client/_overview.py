"""What a profile holds of messages sent and received, and what became of them; nothing is opened for the first time.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from countermark_client._amending import as_corrected, corrections_of
from countermark_client._boxes import Boxes
from countermark_client._io import Flow
from countermark_client._kept_files import attachments_of
from countermark_client._models import (
    ConversationItem,
    HeldMessage,
    Judged,
    MessageRef,
    MessageStatus,
    Notice,
    RecipientStatus,
    message_hash,
)
from countermark_client._open import manifest_of
from countermark_client._purge_rules import purged_of
from countermark_client._revocations import Revocations
from countermark_client._rollup import Rollup, is_late, roll_up
from countermark_client._session import Session
from countermark_client._store import Direction, StoredDelivery, StoredMessage
from countermark_client._succession import opened_kept, successor_of
from countermark_protocol.answers import OwnRecipient
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import parse_json
from countermark_protocol.errors import MalformedError, NotFoundError, SealError
from countermark_protocol.identifiers import Address
from countermark_protocol.sealing import rejection_info


class Overview:
    """The messages that one profile holds."""

    def __init__(self, session: Session, revocations: Revocations, boxes: Boxes) -> None:
        self._session = session
        self._revocations = revocations
        self._store = session.store
        self._boxes = boxes

    # --- what became of sent messages ---

    def read_notices(self) -> Flow[list[Notice]]:
        """Read the box ``notices`` to its end; what was new."""
        start = self._store.box_state(Box.NOTICES).count
        yield from self._boxes.read_all(Box.NOTICES)
        return self._boxes.notices_from(start)

    def status(self, ref: MessageRef) -> MessageStatus:
        """How far a sent message is, as this profile knows."""
        payload = message_hash(ref)
        stored = self._store.message(payload, Direction.OUT)
        if stored is None:
            raise NotFoundError("unknown_message", "this profile has sent no message of that hash")
        item = self._store.outbox_item(payload)
        expires_at = manifest_of(stored).expires_at
        return MessageStatus(
            message=payload,
            stage=stored.stage.value,
            index=stored.index,
            time=stored.time,
            recipients=tuple(self._recipient_status(d, expires_at) for d in self._store.deliveries(payload)),
            error=item.error if item is not None else None,
            successor=successor_of(self._session, stored),
            purged=purged_of(self._store.purge(payload)),
        )

    def roll_up(self, ref: MessageRef) -> Rollup:
        """All recipients of a sent message at a glance, as this profile knows."""
        return roll_up(self._session, ref)

    def _recipient_status(self, d: StoredDelivery, expires_at: int) -> RecipientStatus:
        return RecipientStatus(
            recipient=Address(d.recipient),
            stage=d.stage,
            time=d.time,
            reason=d.reason,
            details=self._open_details(d),
            undelivered=d.undelivered is not None,
            late=is_late(d, expires_at),
            delivered_at=d.delivered,
            undelivered_at=self._noticed_at(d),
        )

    def _noticed_at(self, d: StoredDelivery) -> int | None:
        notice = self._store.notice(d.undelivered) if d.undelivered is not None else None
        return notice[0] if notice is not None else None

    def _open_details(self, d: StoredDelivery) -> Any:
        if d.details is None:
            return None
        profile = self._session.profile
        for name, key in product(profile.log_names, profile.keystore.sealing_keys()):
            info = rejection_info(
                name, d.payload, Address(d.recipient), profile.endpoint, key.public_key.key_id
            )
            try:
                return parse_json(key.open(d.details, info), "details of a rejection")
            except SealError:
                continue
            except MalformedError:
                return None
        return None

    def proof(self, ref: MessageRef) -> bytes:
        """The proof kept of a logged message: the broker's answer if it was sent, its box entry if received."""
        payload = message_hash(ref)
        item = self._store.outbox_item(payload)
        stored = self._store.message(payload)
        proof = item.proof if item is not None else stored.proof if stored is not None else None
        if proof is None:
            raise NotFoundError("no_proof", "this profile holds no proof of that message")
        return proof

    def own_recipient(self, ref: MessageRef) -> Flow[OwnRecipient]:
        """One's own recipient row of a received message, with its path, read again from the box.

        Raises:
            NotFoundError: ``unknown_message``.
            ProofError: the broker shows another entry, or a row that the manifest does not commit to.
        """
        stored = self._store.message(message_hash(ref), Direction.IN)
        if stored is None or stored.box is None or stored.position is None:
            raise NotFoundError("unknown_message", "this profile has received no message of that hash")
        return (yield from self._boxes.own_recipient(Box(stored.box), stored.position, stored.document))

    # --- conversations ---

    def conversation(self, ref: MessageRef) -> list[ConversationItem]:
        """All messages of a conversation that this profile holds, in log order."""
        stored = self._store.message(message_hash(ref))
        root = stored.conversation if stored is not None else message_hash(ref)
        return [self._item(m) for m in self._store.messages(conversation=root)]

    def messages(self, direction: Direction | None) -> list[ConversationItem]:
        """All messages that this profile holds, in log order."""
        return [self._item(m) for m in self._store.messages(direction=direction)]

    def message(self, ref: MessageRef) -> ConversationItem:
        """One message; see `Client.message`."""
        stored = self._store.message(message_hash(ref))
        if stored is None:
            raise NotFoundError("unknown_message", "this profile holds no message of that hash")
        return self._item(stored)

    def names(self) -> list[HeldMessage]:
        """Every logged message by name; see `Client.names`."""
        return [HeldMessage(*name) for name in self._store.message_names()]

    def verdicts(self) -> list[Judged]:
        """The verdict on every logged message, by all that is known here of its keys; in log order."""
        return [
            Judged(
                message=stored.payload,
                direction=stored.direction.value,
                sender=manifest_of(stored).sender,
                index=stored.index,
                time=stored.time,
                verdict=self._revocations.verdict(stored),
            )
            for stored in self._store.messages()
            if stored.index is not None and stored.time is not None
        ]

    def _item(self, stored: StoredMessage) -> ConversationItem:
        manifest = manifest_of(stored)
        sent = stored.direction is Direction.OUT
        deliveries = self._store.deliveries(stored.payload) if sent else []
        opened = opened_kept(self._session, stored)
        content = opened.content if opened is not None else None
        return ConversationItem(
            message=stored.payload,
            direction=stored.direction.value,
            manifest=manifest,
            content=content,
            attachments=attachments_of(self._session, stored, opened),
            index=stored.index,
            time=stored.time,
            stage=stored.stage.value,
            reason=stored.reason,
            successor=successor_of(self._session, stored),
            undelivered=sum(1 for d in deliveries if d.undelivered is not None),
            late=sum(1 for d in deliveries if is_late(d, manifest.expires_at)),
            purged=purged_of(self._store.purge(stored.payload)),
            verdict=self._revocations.verdict(stored),
            corrections=corrections_of(self._session, stored),
            as_corrected=as_corrected(self._session, stored, content) if content is not None else None,
            recipients=tuple(map(Address, parse_json(stored.recipients)))
            if stored.recipients is not None
            else None,
        )
