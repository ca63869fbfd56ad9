"""Keeping what a box held, once it is proven: messages, one's own statements, and what became of them.

What an entry says is compared with what is kept already. What contradicts it is the broker's doing, since its
decision had both before it; both sides are the evidence.

Source: docs/spec/log.md §6, §9.8.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_client._flows_send import Sender
from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._open import manifest_of
from countermark_client._purge_rules import check_purge_rules
from countermark_client._rules import check_received
from countermark_client._session import Session
from countermark_client._settling import MESSAGE
from countermark_client._store import (
    Direction,
    MessageStage,
    OutboxItem,
    OutboxState,
    StoredDelivery,
    StoredMessage,
    StoredPurge,
)
from countermark_protocol.acts import Disclosure, LookUp, Purge
from countermark_protocol.answers import BoxEntry
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError, InconsistentLogError, NotFoundError, PolicyError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf
from countermark_protocol.manifest import Manifest
from countermark_protocol.message_draft import parse_message_draft
from countermark_protocol.proof import recipient_to_json
from countermark_protocol.receipts import Receipt, ReceiptStage, Undelivered
from countermark_protocol.recipients import RecipientRow

#: What the boxes of an endpoint may hold.
BoxStatement = Manifest | Receipt | Undelivered | LookUp | Disclosure | Purge

_STAGE_OF = {
    ReceiptStage.DELIVERED: "delivered",
    ReceiptStage.ACCEPTED: "accepted",
    ReceiptStage.REJECTED: "rejected",
}


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """One position of a box, proven.

    Attributes:
        index: of its log entry.
        leaf: its leaf.
        document: all its signatures verified.
        statement: what it says.
        entry: as answered.
        position: in the box.
        after: state of the box with it.
        proof: checkpoint, inclusion and delivery as JSON, to be kept.
    """

    index: int
    leaf: Leaf
    document: Document
    statement: BoxStatement
    entry: BoxEntry
    position: int
    after: BoxState
    proof: bytes


class Keeper:
    """Writes proven entries into the store of one profile; within a transaction of its caller."""

    def __init__(self, session: Session, log: LogView, sender: Sender) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._sender = sender
        #: While a restored profile is compared with ``sent``: the size of the log that its backup had seen.
        self.adopting: int | None = None
        #: Entries by its own key that were made after the backup.
        self.adopted: list[ProvenEntry] = []

    def keep(self, box: Box, entry: ProvenEntry) -> None:
        """Keep the next entry of a box.

        Raises:
            InconsistentLogError: it contradicts what is kept, or the rules that the broker decides by.
        """
        if box is Box.SENT:
            self._keep_sent(entry)
        elif box is Box.NOTICES:
            self._keep_notice(entry)
        else:
            assert isinstance(entry.statement, Manifest)
            self._keep_received(box, entry, entry.statement)

    def _keep_received(self, box: Box, entry: ProvenEntry, manifest: Manifest) -> None:
        own = entry.entry.recipient
        assert own is not None
        payload = entry.document.payload_hash
        visible = entry.entry.recipients
        try:
            check_received(
                self._session,
                self._log.directory,
                manifest,
                own.row,
                entry.index,
                entry.leaf.time,
                released=bool(entry.document.keys_for(Purpose.RELEASE)),
            )
        except (PolicyError, ConflictError, NotFoundError) as error:
            raise InconsistentLogError(
                "decision_against_rules",
                f"entry {entry.index} should have been refused ({error.code}): {error.message}",
                entry.leaf.encode(),
                entry.document.data,
                entry.proof,
                encode_json(own.to_json()),
                rule=error.code,
            ) from None
        stage, reason = self._store.take_receipt_ahead(payload) or (MessageStage.LISTED, None)
        self._store.add_message(
            StoredMessage(
                payload=payload,
                direction=Direction.IN,
                conversation=manifest.conversation or payload,
                document=entry.document.data,
                index=entry.index,
                time=entry.leaf.time,
                box=box.value,
                position=entry.position,
                recipient=encode_json(recipient_to_json(own.row)),
                recipients=_addresses(visible) if visible is not None else None,
                stanza=None,
                content=None,
                stage=stage,
                proof=entry.proof,
                reason=reason,
                supersedes=manifest.supersedes,
            )
        )

    def _keep_sent(self, entry: ProvenEntry) -> None:
        """Check an entry of ``sent`` against what this profile knows to have sent."""
        payload = entry.document.payload_hash
        keys = {key_id for _, key_id in entry.document.signers}
        own = keys & {s.public_key.key_id for s in self._session.profile.keystore.signers(INSTANCE)}
        drafted = self._store.signed_draft(payload)
        item = self._store.outbox_item(payload)
        ahead = self._store.take_sent_ahead(entry.position)
        if ahead is not None and ahead[:2] != (entry.index, entry.leaf.statement):
            raise InconsistentLogError(
                "box_rewritten",
                f"position {entry.position} of box 'sent' was proven to be another entry before",
                entry.leaf.encode(),
                entry.document.data,
                entry.proof,
            )
        if item is not None and item.state is OutboxState.REFUSED:
            raise InconsistentLogError(
                "refused_but_logged",
                f"the broker signed that it refuses a statement, and logged it as entry {entry.index}",
                item.account or b"",
                entry.document.data,
                entry.leaf.encode(),
                entry.proof,
            )
        given_up = item is not None and item.state is OutboxState.GIVEN_UP
        # What was given up and never handed in is no more known to have been sent than what was never made.
        unknown = item is None or (given_up and not item.tries)
        if item is not None and given_up and item.tries:
            # It was handed in before it was given up, and its answer was lost: it is logged after all.
            self._logged_after_all(item)
        elif item is None and drafted is not None:
            pass  # signed here, and sent by another instance
        elif item is None and own and self.adopting is not None and entry.index >= self.adopting:
            self.adopted.append(entry)
        elif unknown and own:
            raise InconsistentLogError(
                "unknown_sent_entry",
                f"entry {entry.index} is signed by this instance's own key, and this profile did not make it: "
                "the key is in other hands, or this profile was restored from an old copy",
                entry.document.data,
                entry.leaf.encode(),
            )
        if isinstance(entry.statement, Receipt):
            self._sender.settler.apply_receipt(entry.statement, entry.index, entry.leaf.time)
        elif isinstance(entry.statement, Purge):
            self._purge(entry.statement, entry)
        elif isinstance(entry.statement, Manifest) and (item is None or item.kind != MESSAGE):
            manifest = entry.statement
            draft = parse_message_draft(drafted) if drafted is not None else None
            recipients = sorted(row.endpoint for row in draft.submission.rows) if draft is not None else []
            self._store.add_deliveries(payload, list(recipients))
            self._store.add_message(
                StoredMessage(
                    payload=payload,
                    direction=Direction.OUT,
                    conversation=manifest.conversation or payload,
                    document=entry.document.data,
                    index=entry.index,
                    time=entry.leaf.time,
                    box=None,
                    position=None,
                    recipient=None,
                    recipients=encode_json(recipients) if recipients else None,
                    stanza=draft.stanzas.get(self._session.profile.endpoint) if draft is not None else None,
                    content=draft.submission.content if draft is not None else None,
                    stage=MessageStage.LOGGED,
                    proof=entry.proof,
                    reason=None,
                    supersedes=manifest.supersedes,
                )
            )
            for known in self._store.deliveries(payload):
                notice = self._store.notice(known.undelivered) if known.undelivered is not None else None
                if notice is not None and known.undelivered is not None:
                    self._check_due(known.undelivered, *notice, manifest, entry.document.data)

    def _logged_after_all(self, item: OutboxItem) -> None:
        """What was given up is in the log: it is sent once more, which changes nothing, for the proof of it."""
        self._store.set_outbox_problem(
            item.payload, OutboxState.WAITING, "logged_after_all", "it was logged before it was given up"
        )
        if item.kind == MESSAGE:
            self._store.set_message_stage(item.payload, Direction.OUT, MessageStage.WAITING)

    def _keep_notice(self, entry: ProvenEntry) -> None:
        self._store.add_notice(entry.position, entry.index, entry.leaf.time, entry.document.data, entry.proof)
        if isinstance(entry.statement, Undelivered):
            self._undelivered(entry.statement, entry)
        elif isinstance(entry.statement, Receipt):
            self._receipt(entry.statement, entry)
        elif isinstance(entry.statement, Purge):
            self._purge(entry.statement, entry)

    def _purge(self, purge: Purge, entry: ProvenEntry) -> None:
        """Keep that the content of an own message is gone, once that was right."""
        sent = self._store.message(purge.message, Direction.OUT)
        manifest, documents = (manifest_of(sent), [sent.document]) if sent is not None else (None, [])
        evidence = (entry.document.data, entry.proof, *documents)
        check_purge_rules(self._log.directory, purge, manifest, entry.index, entry.leaf, *evidence)
        self._store.add_purge(
            StoredPurge(
                purge.message,
                entry.index,
                entry.leaf.time,
                purge.author,
                purge.ground.value,
                entry.document.data,
                entry.proof,
            )
        )

    def _undelivered(self, notice: Undelivered, entry: ProvenEntry) -> None:
        known = self._delivery(notice.message, notice.recipient, entry)
        sent = self._store.message(notice.message, Direction.OUT)
        if sent is not None:
            self._check_due(
                entry.index,
                entry.leaf.time,
                entry.document.data,
                entry.proof,
                manifest_of(sent),
                sent.document,
            )
        # The box is read in the order of the log: what is known here was decided before this notice.
        earlier = known.index if known.index is not None else known.undelivered
        if earlier is not None:
            kept = self._store.notice(earlier)
            raise InconsistentLogError(
                "false_undelivered",
                f"entry {earlier} settled that message for {notice.recipient}, and entry {entry.index} states after "
                "it that it was not collected",
                kept[1] if kept is not None else b"",
                entry.document.data,
                entry.leaf.encode(),
                entry.proof,
                kept[2] if kept is not None else b"",
            )
        self._store.set_delivery(
            StoredDelivery(
                notice.message,
                notice.recipient,
                known.stage,
                known.index,
                known.time,
                known.reason,
                known.details,
                entry.index,
                known.delivered,
            )
        )

    def _check_due(
        self, index: int, time: int, notice: bytes, proof: bytes, manifest: Manifest, document: bytes
    ) -> None:
        """Check that an undelivered notice did not come before expiry and grace had passed."""
        due = manifest.expires_at + self._log.directory.log(index).undelivered_grace
        if time < due:
            raise InconsistentLogError(
                "false_undelivered",
                f"entry {index} states {due - time} ms too early that a message was not collected",
                document,
                notice,
                proof,
            )

    def _receipt(self, receipt: Receipt, entry: ProvenEntry) -> None:
        for item in receipt.items:
            known = self._delivery(item.message, receipt.author, entry)
            before = "open" if receipt.stage is ReceiptStage.DELIVERED else "delivered"
            if known.stage != before:
                raise InconsistentLogError(
                    "decided_wrongly",
                    f"entry {entry.index} states '{receipt.stage}' of a message that is '{known.stage}': only a "
                    "receipt that moves all its messages may be logged",
                    entry.leaf.encode(),
                    entry.document.data,
                    entry.proof,
                )
            self._store.set_delivery(
                StoredDelivery(
                    item.message,
                    receipt.author,
                    _STAGE_OF[receipt.stage],
                    entry.index,
                    entry.leaf.time,
                    item.reason.value if item.reason is not None else None,
                    item.details or None,
                    known.undelivered,
                    entry.leaf.time if receipt.stage is ReceiptStage.DELIVERED else known.delivered,
                )
            )

    def _delivery(self, message: bytes, recipient: Address, entry: ProvenEntry) -> StoredDelivery:
        known = self._store.delivery(message, recipient)
        if known is not None:
            return known
        if self._store.outbox_item(message) is not None:
            raise InconsistentLogError(
                "decided_wrongly",
                f"entry {entry.index} is by {recipient}, to whom this message was never sent",
                entry.leaf.encode(),
                entry.document.data,
                entry.proof,
            )
        # Sent by another instance of this endpoint: followed from its first receipt on.
        return StoredDelivery(message, recipient, "open", None, None, None, None, None)


def _addresses(rows: tuple[RecipientRow, ...]) -> bytes:
    return encode_json(sorted(row.endpoint for row in rows))
