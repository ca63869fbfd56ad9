"""The inbox: read, sign for, fetch, open, validate; then accept or reject.

Nothing is opened before it is proven to be in the log, and no stanza is released before `delivered` is
logged. A message that does not hold what its manifest promises is rejected with a signed reason; what the
broker spoilt is an error instead.

Positions of ``urgent`` come before those of ``routine``. A position is done once it is accepted or rejected;
what was given out and is neither comes again at the next start: the store and the log remember, not memory.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

from countermark_client._accounts import Accounts
from countermark_client._boxes import Boxes
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._keystore import INSTANCE
from countermark_client._models import (
    ConversationItem,
    MessageRef,
    MessageStatus,
    Notice,
    OpenedMessage,
    RecipientStatus,
    Rejected,
    message_hash,
)
from countermark_client._open import UnacceptableError, manifest_of, open_own, open_received
from countermark_client._revocations import Revocations
from countermark_client._session import ACCOUNTED, ProblemAnswer, Session, problem_error
from countermark_client._store import Direction, MessageStage, StoredDelivery, StoredMessage
from countermark_protocol.answers import Release
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_json, parse_base64url, parse_json, parse_object
from countermark_protocol.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProofError,
    SealError,
    UncheckableError,
)
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.messages.base import Message
from countermark_protocol.padding import padded_size
from countermark_protocol.receipts import (
    MAX_DETAILS_BYTES,
    MAX_RECEIPT_ITEMS,
    ReceiptItem,
    ReceiptStage,
    RejectionReason,
)
from countermark_protocol.sealing import ciphertext_digest, rejection_info, seal_details
from countermark_protocol.submission import parse_submission

#: Room for the HPKE encapsulation and tag around the details of a rejection.
_MAX_PLAIN_DETAILS: Final = MAX_DETAILS_BYTES - 2048
_OPEN_STAGES: Final = (MessageStage.LISTED, MessageStage.DELIVERED)
#: Seconds that one long-poll of ``routine`` may keep ``urgent`` from being looked at.
_POLL_SLICE: Final = 5.0


class Inbox:
    """What one profile receives."""

    def __init__(
        self,
        session: Session,
        revocations: Revocations,
        accounts: Accounts,
        sender: Sender,
        boxes: Boxes,
    ) -> None:
        self._session = session
        self._store = session.store
        self._revocations = revocations
        self._accounts = accounts
        self._sender = sender
        self._boxes = boxes

    # --- reading ---

    def next_batch(
        self, done: frozenset[bytes], wait: float, only: Box | None = None
    ) -> Flow[tuple[list[OpenedMessage], list[Rejected]]]:
        """The next messages, signed for, opened and validated; two empty lists at the end.

        Args:
            done: messages already given out by this iteration.
            wait: seconds to wait for one.
            only: read this box alone.
        """
        boxes = (only,) if only is not None else (Box.URGENT, Box.ROUTINE)
        left = wait
        yield from self._sender.flush_waiting()
        while True:
            # Urgent to its end, routine page by page: a backlog never hides what is urgent.
            if Box.URGENT in boxes:
                yield from self._boxes.read_all(Box.URGENT)
            pending = self._pending(done, boxes)
            if pending:
                break
            last = boxes[-1]
            slice_ = min(left, _POLL_SLICE if len(boxes) > 1 else 60.0)
            count = yield from self._boxes.read(last, wait=slice_)
            if count == 0:
                left -= max(slice_, 1.0)
                if left <= 0:
                    pending = self._pending(done, boxes)
                    if not pending:
                        return [], []
                    break
        return (yield from self._take(pending))

    def _pending(self, done: frozenset[bytes], boxes: Sequence[Box]) -> list[StoredMessage]:
        limit = self._session.settings.page_size
        found = self._store.messages_by_stage(*_OPEN_STAGES, limit=limit + len(done))
        return [m for m in found if m.payload not in done and m.box in boxes][:limit]

    def _take(self, pending: list[StoredMessage]) -> Flow[tuple[list[OpenedMessage], list[Rejected]]]:
        yield from self._sign_for(pending)
        opened: list[OpenedMessage] = []
        spoilt: list[tuple[StoredMessage, UnacceptableError]] = []
        for one in pending:
            stored = yield from self._fetch(one.payload)
            if stored is None:
                continue
            try:
                content = open_received(self._session, stored)
            except UnacceptableError as error:
                spoilt.append((stored, error))
                continue
            opened.append(self._opened(stored, content))
        rejected = yield from self._reject_spoilt(spoilt)
        return opened, rejected

    def _opened(self, stored: StoredMessage, content: Message) -> OpenedMessage:
        assert stored.index is not None
        assert stored.time is not None
        assert stored.box is not None
        assert stored.position is not None
        return OpenedMessage(
            message=stored.payload,
            manifest=manifest_of(stored),
            content=content,
            index=stored.index,
            time=stored.time,
            box=stored.box,
            position=stored.position,
            recipients=tuple(parse_json(stored.recipients)) if stored.recipients is not None else None,
            document=stored.document,
            doubtful=self._revocations.doubts(stored),
        )

    def _sign_for(self, pending: list[StoredMessage]) -> Flow[None]:
        """Post ``delivered`` for what is not signed for yet, one receipt for up to 256 of a sender."""
        for _ in range(3):
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

    def _fetch(self, payload: bytes) -> Flow[StoredMessage | None]:
        """A message with stanza and content; None if another instance has finished it meanwhile."""
        stored = self._store.message(payload, Direction.IN)
        if stored is None or stored.stage is not MessageStage.DELIVERED:
            return None
        if stored.stanza is None:
            body = yield from self._get(f"/v1/messages/{payload.hex()}/stanza", stored)
            releases = _parse_releases(body)
            if [r.message for r in releases] != [payload]:
                raise ProofError("releases_mismatch", "expected the stanza of the message asked for")
            self._sender.check_stanza(payload, releases[0].stanza)
            self._store.set_sealed(payload, stanza=releases[0].stanza)
        if stored.content is None:
            content = yield from self._get(f"/v1/messages/{payload.hex()}/content", stored)
            expected = manifest_of(stored).content
            if len(content) != expected.size or ciphertext_digest(content) != expected.digest:
                raise SealError(
                    "content_swapped",
                    "the broker served another ciphertext than the one that the sender signed",
                )
            self._store.set_sealed(payload, content=content)
        return self._store.message(payload, Direction.IN)

    def _get(self, path: str, held: StoredMessage) -> Flow[bytes]:
        try:
            response, _ = yield from self._session.call(
                "GET", path, signer=self._session.profile.keystore.signer(INSTANCE)
            )
        except ProblemAnswer as answer:
            if answer.problem.status in ACCOUNTED:
                raise (yield from self._accounts.denied(answer, held)) from None
            raise problem_error(answer.problem) from None
        return response.body

    # --- answering ---

    def accept(self, messages: Iterable[MessageRef]) -> Flow[int]:
        """Post ``accepted`` for opened messages; how many were not accepted already."""
        stored = [self._require_opened(ref) for ref in messages]
        todo = [m for m in stored if m.stage is not MessageStage.ACCEPTED]
        for one in todo:
            if self._revocations.doubts(one):
                raise PolicyError(
                    "signer_revoked",
                    f"message {one.payload.hex()} was logged after its signer's revocation came to this profile: ask "
                    "its sender by another path, and reject it",
                )
        for sender, group in _by_sender(todo):
            items = [ReceiptItem(m.payload, commitment_checked=True) for m in group]
            yield from self._sender.post_receipt(sender, ReceiptStage.ACCEPTED, items)
        return len(todo)

    def reject(
        self, ref: MessageRef, reason: RejectionReason, details: str | JsonObject | None
    ) -> Flow[None]:
        """Post ``rejected`` for an opened message, with details sealed to its sender."""
        stored = self._require_opened(ref)
        if stored.stage is MessageStage.REJECTED:
            return
        about: JsonObject = {"message": details} if isinstance(details, str) else details or {}
        item = self._rejection(stored, reason, about, commitment_checked=True)
        yield from self._sender.post_receipt(manifest_of(stored).sender, ReceiptStage.REJECTED, [item])

    def _require_opened(self, ref: MessageRef) -> StoredMessage:
        stored = self._store.message(message_hash(ref), Direction.IN)
        if stored is None:
            raise NotFoundError("unknown_message", "this profile has received no message of that hash")
        if stored.stanza is None or stored.content is None:
            raise NotFoundError("not_opened", "read the message through the inbox before answering for it")
        if stored.stage in _OPEN_STAGES:
            # What was not opened and checked cannot be accepted, even if asked for by hash alone.
            open_received(self._session, stored)
        return stored

    def _reject_spoilt(self, spoilt: list[tuple[StoredMessage, UnacceptableError]]) -> Flow[list[Rejected]]:
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
            # Sealed details are large: a receipt stays within the size of a payload.
            for start in range(0, len(items), 8):
                yield from self._sender.post_receipt(sender, ReceiptStage.REJECTED, items[start : start + 8])
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
        keys = self._revocations.directory.keys(sender)
        if keys is None or keys.sealing is None or not self._usable(sender, keys.sealing.key_id):
            return b""  # nobody could, or should, open them; the reason itself still stands
        info = rejection_info(profile.log, stored.payload, profile.endpoint, sender, keys.sealing.key_id)
        return seal_details(keys.sealing, info, encode_details(details))

    def _usable(self, address: Address, key_id: KeyId) -> bool:
        return self._revocations.directory.accepts_sealing_key(address, key_id, self._session.clock())

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
        )

    def _recipient_status(self, d: StoredDelivery, expires_at: int) -> RecipientStatus:
        return RecipientStatus(
            recipient=Address(d.recipient),
            stage=d.stage,
            time=d.time,
            reason=d.reason,
            details=self._open_details(d),
            undelivered=d.undelivered is not None,
            late=d.time is not None and d.stage == "delivered" and d.time > expires_at,
        )

    def _open_details(self, d: StoredDelivery) -> Any:
        if d.details is None:
            return None
        profile = self._session.profile
        for key in profile.keystore.sealing_keys():
            info = rejection_info(
                profile.log, d.payload, Address(d.recipient), profile.endpoint, key.public_key.key_id
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

    # --- conversations ---

    def conversation(self, ref: MessageRef) -> list[ConversationItem]:
        """All messages of a conversation that this profile holds, in log order."""
        stored = self._store.message(message_hash(ref))
        root = stored.conversation if stored is not None else message_hash(ref)
        return [self._item(m) for m in self._store.messages(conversation=root)]

    def messages(self, direction: Direction | None) -> list[ConversationItem]:
        """All messages that this profile holds, in log order."""
        return [self._item(m) for m in self._store.messages(direction=direction)]

    def _item(self, stored: StoredMessage) -> ConversationItem:
        return ConversationItem(
            message=stored.payload,
            direction=stored.direction.value,
            manifest=manifest_of(stored),
            content=self._content(stored),
            index=stored.index,
            time=stored.time,
            stage=stored.stage.value,
            reason=stored.reason,
        )

    def _content(self, stored: StoredMessage) -> Message | None:
        if stored.direction is Direction.OUT:
            item = self._store.outbox_item(stored.payload)
            return open_own(self._session, stored, parse_submission(item.body).content) if item else None
        if stored.stanza is None or stored.content is None:
            return None
        try:
            return open_received(self._session, stored)
        except (UnacceptableError, UncheckableError):
            return None

    def open_again(self, ref: MessageRef) -> OpenedMessage:
        """A received message, opened again from its sealed original."""
        stored = self._store.message(message_hash(ref), Direction.IN)
        if stored is None or stored.stanza is None or stored.content is None:
            raise NotFoundError("not_opened", "this profile holds no opened message of that hash")
        try:
            return self._opened(stored, open_received(self._session, stored))
        except UnacceptableError as error:
            raise MalformedError(
                "invalid_content", f"the message was rejected: {error.reason.value}", **error.details
            ) from None


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


def _parse_releases(data: bytes) -> list[Release]:
    """Parse the answer of the stanza call: ``{"releases": […]}`` (docs/spec/api.md §3)."""
    claims = Claims(parse_object(data, "releases"), "releases")
    out: list[Release] = []
    for value in claims.items("releases", 1, 1):
        one = Claims(value, "release")
        out.append(Release(one.digest("message"), parse_base64url(one.raw("stanza"), "stanza")))
        one.done()
    claims.done()
    return out


def _by_sender(messages: list[StoredMessage]) -> list[tuple[Address, list[StoredMessage]]]:
    """Groups of at most 256 messages of one sender, for one receipt each."""
    keyed = sorted(messages, key=lambda m: (manifest_of(m).sender, m.index or 0))
    out: list[tuple[Address, list[StoredMessage]]] = []
    for sender, group in groupby(keyed, key=lambda m: manifest_of(m).sender):
        whole = list(group)
        out += [(sender, whole[i : i + MAX_RECEIPT_ITEMS]) for i in range(0, len(whole), MAX_RECEIPT_ITEMS)]
    return out
