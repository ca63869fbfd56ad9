"""What a mirror's rows say, made from verified statements: gathered for a page, written at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from countermark_client.audit._mirror import Mirror
from countermark_protocol.acts import Disclosure, LookUp, Purge
from countermark_protocol.boxes import Box
from countermark_protocol.claims import KIND_NAMES
from countermark_protocol.documents import Document
from countermark_protocol.identifiers import Address, authority_of
from countermark_protocol.manifest import Manifest, Outcome
from countermark_protocol.receipts import Receipt, ReceiptStage, Undelivered

_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_MESSAGE = f"INSERT OR IGNORE INTO messages VALUES ({', '.join('?' * 36)})"  # noqa: S608  marks only
_OPEN = "INSERT OR IGNORE INTO deliveries (message, recipient, authority, stage, stage_idx) VALUES (?, ?, ?, 'open', ?)"
_MOVE = (
    "UPDATE deliveries SET stage = ?, stage_idx = ?, delivered_at = coalesce(?, delivered_at), settled_at = ?, "
    "reason = ? WHERE message = ? AND recipient = ?"
)
_UNDELIVERED = (
    "UPDATE deliveries SET undelivered_idx = ?, undelivered_at = ? WHERE message = ? AND recipient = ?"
)
_PURGE = "UPDATE messages SET purged_idx = ?, purged_at = ?, purge_ground = ? WHERE payload = ?"
_ACT = f"INSERT INTO acts VALUES ({', '.join('?' * 12)})"  # noqa: S608  marks only
_BOX = "INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?)"


class Derived:
    """Rows of one page.

    Args:
        mirror: into which.
        keeps_bytes: whether documents, rows and secrets are written too; not where a mirror is verified.
    """

    def __init__(self, mirror: Mirror, *, keeps_bytes: bool = True) -> None:
        self._mirror = mirror
        self._keeps = keeps_bytes
        self._entries: list[tuple[Any, ...]] = []
        self._messages: list[tuple[Any, ...]] = []
        self._open: list[tuple[Any, ...]] = []
        # In the order of the log, after what they move; each sort has columns of its own.
        self._moves: list[tuple[Any, ...]] = []
        self._undelivered: list[tuple[Any, ...]] = []
        self._purges: list[tuple[Any, ...]] = []
        self._acts: list[tuple[Any, ...]] = []
        self._boxes: list[tuple[Any, ...]] = []

    def entry(
        self,
        index: int,
        kind: str,
        time: int,
        author: str,
        payload: bytes,
        document: bytes,
        rows: bytes | None = None,
        secret: bytes | None = None,
    ) -> None:
        """A statement; `rows` and `secret` as an oversight auditor is shown them."""
        if not self._keeps:
            document, rows, secret = b"", None, None
        self._entries.append((index, kind, time, author, payload, document, rows, secret))

    def message(
        self, index: int, time: int, document: Document, m: Manifest, recipients: Iterable[Address]
    ) -> None:
        """A message, with those of its recipients that are known."""
        payload, h = document.payload_hash, m.handling
        self._messages.append(
            (
                payload,
                index,
                time,
                m.id,
                m.sender,
                authority_of(m.sender),
                m.type,
                m.version,
                m.conversation or payload,
                m.in_reply_to,
                m.supersedes,
                m.group.name if m.group is not None else None,
                m.recipient_count,
                m.sent_at,
                m.expires_at,
                m.reply_by,
                m.urgency.value,
                h.tlp.value,
                h.classification.value,
                " ".join(c.value for c in h.codes),
                h.originator_control,
                h.purpose.value,
                h.retention_until,
                " ".join(h.releasable_to),
                m.exercise,
                m.content.size,
                m.stage.value if m.stage is not None else None,
                *_counts(m.outcome),
                None,
                None,
                None,
                len(m.attachments),
                sum(one.size for one in m.attachments),
            )
        )
        for recipient in recipients:
            self.delivery(payload, recipient, index)

    def delivery(self, message: bytes, recipient: Address, index: int) -> None:
        """A recipient of a message, open until a receipt says otherwise; `index` is that of the message."""
        self._open.append((message, recipient, authority_of(recipient), index))

    def receipt(self, index: int, time: int, receipt: Receipt, messages: Iterable[bytes]) -> None:
        """A receipt that moves these messages for its author."""
        reasons = {i.message: i.reason.value for i in receipt.items if i.reason is not None}
        delivered = receipt.stage is ReceiptStage.DELIVERED
        for message in messages:
            self._moves.append(
                (
                    receipt.stage.value,
                    index,
                    time if delivered else None,
                    None if delivered else time,
                    reasons.get(message),
                    message,
                    receipt.author,
                )
            )

    def undelivered(self, index: int, time: int, notice: Undelivered) -> None:
        """The broker's notice."""
        self._undelivered.append((index, time, notice.message, notice.recipient))

    def act(self, index: int, time: int, act: LookUp | Disclosure | Purge) -> None:
        """A look-up, disclosure or purge."""
        head = (index, KIND_NAMES[act.header.kind], time, act.author)
        if isinstance(act, LookUp):
            self._acts.append((*head, None, act.ground, act.scope.value, act.until, None, None, None, None))
        elif isinstance(act, Disclosure):
            shown = (act.to, act.parts, act.disclosed, act.digest)
            self._acts.append((*head, act.message, act.ground, None, None, *shown))
        else:
            self._acts.append((*head, act.message, act.ground.value, None, None, None, None, None, None))

    def purged(self, index: int, time: int, purge: Purge) -> None:
        """That a purge deletes the message it names."""
        self._purges.append((index, time, purge.ground.value, purge.message))

    def box(
        self, endpoint: Address, box: Box, position: int, index: int, head: bytes, shown: bytes | None = None
    ) -> None:
        """A position of a box, with the head after it."""
        self._boxes.append((endpoint, box.value, position, index, head, shown if self._keeps else None))

    def write(self) -> None:
        """Write all of it, in the caller's transaction."""
        for sql, rows in (
            (_ENTRY, self._entries),
            (_MESSAGE, self._messages),
            (_OPEN, self._open),
            (_MOVE, self._moves),
            (_UNDELIVERED, self._undelivered),
            (_PURGE, self._purges),
            (_ACT, self._acts),
            (_BOX, self._boxes),
        ):
            if rows:
                self._mirror.database.executemany(sql, rows)
                rows.clear()


def _counts(outcome: Outcome | None) -> tuple[int | None, ...]:
    if outcome is None:
        return (None, None, None, None)
    return (outcome.success, outcome.partial, outcome.none, outcome.refused)
