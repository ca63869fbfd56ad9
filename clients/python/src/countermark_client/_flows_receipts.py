"""Receipts: signing for messages, accepting and rejecting them.

A receipt covers up to 256 messages of one sender. Another instance of the endpoint may be first: its receipt stands
in ``sent``, is read there, and what it says is not said again.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from countermark_client._boxes import Boxes
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._models import MessageRef, Rejected, message_hash
from countermark_client._open import UnacceptableError, manifest_of, open_received
from countermark_client._revocations import Revocations
from countermark_client._session import Session
from countermark_client._settling import RECEIPT
from countermark_client._store import OPEN_STAGES, Direction, MessageStage, StoredMessage
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import JsonObject, encode_json
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError, TransportError
from countermark_protocol.handling import HandlingCode
from countermark_protocol.identifiers import Address
from countermark_protocol.padding import padded_size
from countermark_protocol.receipts import (
    MAX_DETAILS_BYTES,
    MAX_RECEIPT_ITEMS,
    ReceiptItem,
    ReceiptStage,
    RejectionReason,
    parse_receipt,
)
from countermark_protocol.sealing import rejection_info, seal_details

#: Room for the HPKE encapsulation and tag around the details of a rejection.
_MAX_PLAIN_DETAILS: Final = MAX_DETAILS_BYTES - 2048
#: How often a receipt is made anew because another instance was first.
_TRIES: Final = 3
#: Rejections in one receipt: sealed details are large, and it stays within the size of a payload.
_REJECTED_AT_ONCE: Final = 8


class Receipts:
    """What one profile states of messages that it received."""

    def __init__(self, session: Session, revocations: Revocations, sender: Sender, boxes: Boxes) -> None:
        self._session = session
        self._store = session.store
        self._revocations = revocations
        self._sender = sender
        self._boxes = boxes

    def answered_waiting(self) -> frozenset[bytes]:
        """Messages that a receipt in the outbox accepts or rejects."""
        numbers = [number for number, kind, _ in self._store.waiting_sizes(0, -1) if kind == RECEIPT]
        receipts = (
            parse_receipt(parse_document(item.body).claims) for item in self._store.outbox_numbered(numbers)
        )
        final = (r for r in receipts if r.stage is not ReceiptStage.DELIVERED)
        return frozenset(item.message for receipt in final for item in receipt.items)

    def sign_for(self, pending: list[StoredMessage]) -> Flow[None]:
        """Post ``delivered`` for what is not signed for yet, one receipt for up to 256 of a sender."""
        for _ in range(_TRIES):
            fresh = [self._store.message(m.payload, Direction.IN) for m in pending]
            listed = [m for m in fresh if m is not None and m.stage is MessageStage.LISTED]
            if not listed:
                return
            try:
                for sender, group in _by_sender(listed):
                    items = [ReceiptItem(m.payload) for m in group]
                    yield from self._sender.post_receipt(sender, ReceiptStage.DELIVERED, items)
            except ConflictError as error:
                if error.code != "receipt_stands":
                    raise
                # Another instance of this endpoint was first: its receipt stands in ``sent``.
                yield from self._boxes.read_all(Box.SENT)
        raise ConflictError("receipt_stands", "other instances keep signing for the same messages: try again")

    def accept(self, messages: Iterable[MessageRef]) -> Flow[int]:
        """Post ``accepted`` for opened messages; how many were not accepted already.

        Raises:
            ConflictError: ``receipt_stands``: one of them was rejected, perhaps by another instance.
        """
        refs = list(messages)
        for _ in range(_TRIES):
            try:
                return (yield from self._accept(refs))
            except ConflictError as error:
                if error.code != "receipt_stands":
                    raise
                # Another instance was first; its receipt stands in ``sent``, and if it says the same all is well.
                yield from self._boxes.read_all(Box.SENT)
                if any(self._require_opened(ref).stage is MessageStage.REJECTED for ref in refs):
                    raise
        raise ConflictError(
            "receipt_stands", "other instances keep answering for the same messages: try again"
        )

    def _accept(self, refs: list[MessageRef]) -> Flow[int]:
        stored = [self._require_opened(ref) for ref in refs]
        # An answer that waits in the outbox is sent, never made a second time.
        answered = self.answered_waiting()
        if answered.intersection(m.payload for m in stored):
            yield from self._flush()
            stored = [self._require_opened(ref) for ref in refs]
        todo = [m for m in stored if m.stage is not MessageStage.ACCEPTED and m.payload not in answered]
        for one in todo:
            if self._revocations.doubts(one):
                raise PolicyError(
                    "signer_revoked",
                    f"message {one.payload.hex()} was logged after its signer's revocation came to this profile: ask "
                    "its sender by another path, and reject it",
                )
            if HandlingCode.H3 in manifest_of(one).handling.codes and not self._store.handling_read(
                one.payload
            ):
                raise PolicyError(
                    "h3_not_read",
                    f"message {one.payload.hex()} bears handling code H3: read the restrictions that its content "
                    "states, and say that you have",
                )
        for sender, group in _by_sender(todo):
            items = [ReceiptItem(m.payload, commitment_checked=True) for m in group]
            yield from self._post(sender, ReceiptStage.ACCEPTED, items)
        return len(todo)

    def _post(self, sender: Address, stage: ReceiptStage, items: list[ReceiptItem]) -> Flow[None]:
        """Post a receipt; where there is no line, it is done once it waits for the next bundle."""
        try:
            yield from self._sender.post_receipt(sender, stage, items)
        except TransportError:
            if not self._session.settings.cut_off:
                raise

    def _flush(self) -> Flow[None]:
        if not self._session.settings.cut_off:
            yield from self._sender.flush_waiting()

    def reject(
        self, ref: MessageRef, reason: RejectionReason, details: str | JsonObject | None
    ) -> Flow[None]:
        """Post ``rejected`` for an opened message, with details sealed to its sender."""
        stored = self._require_opened(ref)
        if stored.stage is MessageStage.REJECTED:
            return
        if stored.payload in self.answered_waiting():
            yield from self._flush()
            return
        about: JsonObject = {"message": details} if isinstance(details, str) else details or {}
        item = self._rejection(stored, reason, about, commitment_checked=True)
        yield from self._post(manifest_of(stored).sender, ReceiptStage.REJECTED, [item])

    def _require_opened(self, ref: MessageRef) -> StoredMessage:
        stored = self._store.message(message_hash(ref), Direction.IN)
        if stored is None:
            raise NotFoundError("unknown_message", "this profile has received no message of that hash")
        if stored.stage is MessageStage.PURGED:
            raise NotFoundError(
                "purged_unopened",
                "its content was deleted before it was opened: nothing is stated of it any more",
            )
        if stored.stanza is None or stored.content is None:
            raise NotFoundError("not_opened", "read the message through the inbox before answering for it")
        if stored.stage in OPEN_STAGES:
            # What was not opened and checked cannot be accepted, even if asked for by hash alone.
            open_received(self._session, stored)
        return stored

    def reject_spoilt(self, spoilt: list[tuple[StoredMessage, UnacceptableError]]) -> Flow[list[Rejected]]:
        """Post ``rejected`` for messages that their senders spoilt, each with its reason."""
        out: list[Rejected] = []
        errors = {stored.payload: error for stored, error in spoilt}
        for sender, group in _by_sender([stored for stored, _ in spoilt]):
            items: list[ReceiptItem] = []
            for stored in group:
                error = errors[stored.payload]
                items.append(
                    self._rejection(
                        stored, error.reason, error.details, commitment_checked=error.commitment_checked
                    )
                )
            for start in range(0, len(items), _REJECTED_AT_ONCE):
                yield from self._post(sender, ReceiptStage.REJECTED, items[start : start + _REJECTED_AT_ONCE])
        for stored, error in spoilt:
            assert stored.index is not None
            out.append(
                Rejected(stored.payload, manifest_of(stored), error.reason, error.details, stored.index)
            )
        return out

    def _rejection(
        self, stored: StoredMessage, reason: RejectionReason, details: JsonObject, *, commitment_checked: bool
    ) -> ReceiptItem:
        sealed = self._seal_details(stored, details) if details else b""
        return ReceiptItem(
            stored.payload, commitment_checked=commitment_checked, reason=reason, details=sealed
        )

    def _seal_details(self, stored: StoredMessage, details: JsonObject) -> bytes:
        profile = self._session.profile
        sender = manifest_of(stored).sender
        key = self._revocations.directory.sealing_key(sender, self._session.clock())
        if key is None:
            return b""  # nobody could, or should, open them; the reason itself still stands
        info = rejection_info(profile.log, stored.payload, profile.endpoint, sender, key.key_id)
        return seal_details(key, info, encode_details(details))


def encode_details(details: JsonObject) -> bytes:
    """Details of a rejection as padded JSON: spaces after it, so that the size tells little.

    What does not fit is cut from the list of violations; the first ones say enough.
    """
    kept = dict(details)
    while len(data := encode_json(kept)) > _MAX_PLAIN_DETAILS:
        violations = kept.get("violations")
        if not violations:
            kept = {"message": str(kept.get("message", ""))[:1000]}
        else:
            kept["violations"] = violations[: len(violations) // 2]
    return data.ljust(min(padded_size(len(data)), _MAX_PLAIN_DETAILS), b" ")


def _by_sender(messages: list[StoredMessage]) -> list[tuple[Address, list[StoredMessage]]]:
    """Groups of at most 256 messages of one sender, for one receipt each."""
    keyed = sorted(messages, key=lambda m: (manifest_of(m).sender, m.index or 0))
    out: list[tuple[Address, list[StoredMessage]]] = []
    for sender, group in groupby(keyed, key=lambda m: manifest_of(m).sender):
        whole = list(group)
        out += [(sender, whole[i : i + MAX_RECEIPT_ITEMS]) for i in range(0, len(whole), MAX_RECEIPT_ITEMS)]
    return out
