"""The inbox: read, sign for, fetch, open, validate; then the application accepts or rejects (_flows_receipts.py).

Nothing is opened before it is proven to be in the log, and no stanza is released before `delivered` is
logged. A message that does not hold what its manifest promises is rejected with a signed reason; what the
broker spoilt is an error instead.

A message whose content is purged before it was opened is done, too: the purge is proven and kept, and nothing is
stated of the message.

Positions of ``urgent`` come before those of ``routine``. A position is done once it is accepted or rejected;
what was given out and is neither comes again at the next start: the store and the log remember, not memory.

Source: docs/spec/messages.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from countermark_client._accounts import Accounts
from countermark_client._amending import as_corrected, corrections_of
from countermark_client._boxes import Boxes
from countermark_client._drafting import signed_by
from countermark_client._flows_receipts import Receipts
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._kept_files import attachments_of
from countermark_client._models import MessageRef, OpenedMessage, Rejected, SignedBy, message_hash
from countermark_client._open import Opened, UnacceptableError, manifest_of, open_received
from countermark_client._purges import PURGED, Purges
from countermark_client._revocations import Revocations
from countermark_client._session import ProblemAnswer, Session
from countermark_client._store import OPEN_STAGES, Direction, MessageStage, StoredMessage
from countermark_client._succession import successor_of
from countermark_protocol.answers import Release
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import parse_base64url, parse_json, parse_object
from countermark_protocol.errors import MalformedError, NotFoundError, ProofError, SealError
from countermark_protocol.resets import reset_of
from countermark_protocol.sealing import ciphertext_digest

#: Seconds that one long-poll of ``routine`` may keep ``urgent`` from being looked at.
_POLL_SLICE: Final = 5.0
#: Messages looked through at a time where there is no line.
_MOST_HELD: Final = 10_000


class Inbox:
    """What one profile receives."""

    def __init__(
        self,
        session: Session,
        revocations: Revocations,
        accounts: Accounts,
        sender: Sender,
        boxes: Boxes,
        receipts: Receipts,
        purges: Purges,
        chores: Sequence[Callable[[], Flow[None]]],
    ) -> None:
        self._session = session
        self._store = session.store
        self._revocations = revocations
        self._accounts = accounts
        self._sender = sender
        self._boxes = boxes
        self._receipts = receipts
        self._purges = purges
        self._chores = chores

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
        if self._session.settings.cut_off:
            return (yield from self._held(done, boxes))
        left = wait
        yield from self._sender.flush_waiting()
        yield from self.do_chores()
        while True:
            pending, left = yield from self._wait_for_some(done, boxes, left)
            if not pending:
                return [], []
            opened, rejected = yield from self.take(pending)
            if opened or rejected:
                return opened, rejected
            # All were finished by another instance, or purged: none of them is open any more.

    def do_chores(self) -> Flow[None]:
        """What a client does now and then while it receives, each as it is due."""
        for run_if_due in self._chores:
            yield from run_if_due()

    def _wait_for_some(
        self, done: frozenset[bytes], boxes: Sequence[Box], left: float
    ) -> Flow[tuple[list[StoredMessage], float]]:
        """Open messages, none if there is none within `left` seconds; and how many of these are left."""
        while True:
            # Urgent to its end, routine page by page: a backlog never hides what is urgent.
            if Box.URGENT in boxes:
                yield from self._boxes.read_all(Box.URGENT)
            pending = self._pending(done, boxes)
            if pending:
                return pending, left
            last = boxes[-1]
            slice_ = min(left, _POLL_SLICE if len(boxes) > 1 else 60.0)
            count = yield from self._boxes.read(last, wait=slice_)
            if count == 0:
                left -= max(slice_, 1.0)
                yield from self.do_chores()
                if left <= 0:
                    return self._pending(done, boxes), left

    def _pending(self, done: frozenset[bytes], boxes: Sequence[Box]) -> list[StoredMessage]:
        limit = self._session.settings.page_size
        open_ = self._store.open_messages(*OPEN_STAGES)
        wanted = [payload for payload, box in open_ if payload not in done and box in boxes][:limit]
        found = (self._store.message(payload, Direction.IN) for payload in wanted)
        return [m for m in found if m is not None]

    def _held(
        self, done: frozenset[bytes], boxes: Sequence[Box]
    ) -> Flow[tuple[list[OpenedMessage], list[Rejected]]]:
        """What bundles brought whole and is not answered for yet, opened and validated."""
        answered = done | self._receipts.answered_waiting()
        opened: list[OpenedMessage] = []
        spoilt: list[tuple[StoredMessage, UnacceptableError]] = []
        for one in self._store.messages_by_stage(MessageStage.DELIVERED, limit=_MOST_HELD):
            if one.payload in answered or one.box not in boxes or one.stanza is None or one.content is None:
                continue
            try:
                opened.append(self._opened(one, open_received(self._session, one)))
            except UnacceptableError as error:
                spoilt.append((one, error))
        return opened, (yield from self._receipts.reject_spoilt(spoilt))

    def take(self, pending: list[StoredMessage]) -> Flow[tuple[list[OpenedMessage], list[Rejected]]]:
        """Sign for messages, fetch, open and validate them; those spoilt by their sender are rejected."""
        yield from self._receipts.sign_for(pending)
        opened: list[OpenedMessage] = []
        spoilt: list[tuple[StoredMessage, UnacceptableError]] = []
        for one in pending:
            stored = yield from self.fetch(one.payload)
            if stored is None:
                continue
            try:
                found = open_received(self._session, stored)
            except UnacceptableError as error:
                spoilt.append((stored, error))
                continue
            opened.append(self._opened(stored, found))
        rejected = yield from self._receipts.reject_spoilt(spoilt)
        return opened, rejected

    def _opened(self, stored: StoredMessage, opened: Opened) -> OpenedMessage:
        assert stored.index is not None
        assert stored.time is not None
        assert stored.box is not None
        assert stored.position is not None
        return OpenedMessage(
            message=stored.payload,
            manifest=manifest_of(stored),
            content=opened.content,
            attachments=attachments_of(self._session, stored, opened),
            index=stored.index,
            time=stored.time,
            box=stored.box,
            position=stored.position,
            recipients=tuple(parse_json(stored.recipients)) if stored.recipients is not None else None,
            document=stored.document,
            doubtful=self._revocations.doubts(stored),
            verdict=self._revocations.verdict(stored),
            reset=reset_of(self._revocations.directory, manifest_of(stored).sender, self._session.clock()),
            successor=successor_of(self._session, stored),
            signed_by=self._signed_by(stored),
            corrections=corrections_of(self._session, stored),
            as_corrected=as_corrected(self._session, stored, opened.content),
        )

    def _signed_by(self, stored: StoredMessage) -> tuple[SignedBy, ...]:
        directory = self._revocations.logged
        document = verify_document(parse_document(stored.document), directory.public_key)
        return signed_by(directory, document, manifest_of(stored), stored.time or 0, stored.index)

    def fetch(self, payload: bytes) -> Flow[StoredMessage | None]:
        """A message with stanza and content; None if it is done: another instance has finished it, or it is purged."""
        stored = self._store.message(payload, Direction.IN)
        if stored is None or stored.stage is not MessageStage.DELIVERED:
            return None
        try:
            yield from self._fetch(stored)
        except NotFoundError as error:
            if error.code != PURGED:
                raise
            yield from self._purges.learn(stored)
            return None
        return self._store.message(payload, Direction.IN)

    def _fetch(self, stored: StoredMessage) -> Flow[None]:
        """Ask for what is missing of a message."""
        payload = stored.payload
        if stored.stanza is None:
            body = yield from self._get(f"/v1/messages/{payload.hex()}/stanza", stored)
            releases = _parse_releases(body)
            if [r.message for r in releases] != [payload]:
                raise ProofError("releases_mismatch", "expected the stanza of the message asked for")
            self._sender.settler.check_stanza(payload, releases[0].stanza)
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

    def _get(self, path: str, held: StoredMessage) -> Flow[bytes]:
        try:
            response, _ = yield from self._session.call("GET", path, signer=self._session.signer())
        except ProblemAnswer as answer:
            raise (yield from self._accounts.denied(answer, held)) from None
        return response.body

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
