"""What a profile's store gives up where its log goes on under another name, from a smaller size on.

What was read and sent since then is kept and marked; what was proven of it proves nothing in the log that goes on.

Source: docs/spec/log.md §10.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from countermark_client._records import Direction, MessageStage, OutboxState
from countermark_client._tables import Tables
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import ReceiptStage, parse_receipt

#: Code of the outbox for statements that were lost with their log, or made for it and never logged.
LOST: Final = "lost_with_log"
_RECEIPT: Final = "receipt"


class SuccessionTables(Tables):
    """Taking a store back to an earlier size of its log."""

    def lost_proofs(self, size: int) -> list[bytes]:
        """Documents and proofs of what was proven at or beyond a size: they show what is lost."""
        rows = self._db.execute(
            "SELECT document, proof FROM notices WHERE idx >= ?1 UNION ALL "
            "SELECT document, proof FROM messages WHERE idx >= ?1 AND proof IS NOT NULL UNION ALL "
            "SELECT body, proof FROM outbox WHERE idx >= ?1 AND proof IS NOT NULL",
            (size,),
        )
        return [bytes(piece) for row in rows for piece in row]

    def take_back(self, size: int, why: str) -> None:
        """Make of this store what it was when the log had `size` entries; in a transaction of the caller's.

        Args:
            size: entries that the log goes on with.
            why: of statements that are never sent again, for people.
        """
        run = self._db.execute
        lost = (size,)
        run("DELETE FROM known_roots WHERE size > ?", lost)
        run("DELETE FROM directory")
        run("DELETE FROM box_entries WHERE idx >= ?", lost)
        run("DELETE FROM sent_ahead WHERE idx >= ?", lost)
        run("DELETE FROM receipts_ahead")
        run("DELETE FROM own_receipts WHERE idx >= ?", lost)
        run("UPDATE accounts SET settled = 1")
        self._received(size)
        self._unpurged(size)
        self._sent(size, why)
        self._deliveries(size)
        run("DELETE FROM notices WHERE idx >= ?", lost)

    def _received(self, size: int) -> None:
        self._db.execute(
            "UPDATE messages SET stage = ?, idx = NULL, box = NULL, position = NULL "
            "WHERE direction = 'in' AND idx >= ?",
            (MessageStage.LOST.value, size),
        )

    def _unpurged(self, size: int) -> None:
        """A purge that is lost took the content all the same; it is asked for again, and found gone or there."""
        self._db.execute(
            "UPDATE messages SET stage = ? WHERE direction = 'in' AND stage = ? AND payload IN "
            "(SELECT message FROM purges WHERE idx >= ?)",
            (MessageStage.LISTED.value, MessageStage.PURGED.value, size),
        )
        self._db.execute("DELETE FROM purges WHERE idx >= ?", (size,))

    def _sent(self, size: int, why: str) -> None:
        """Own statements that are lost, and those that wait: made for a log that takes none any more."""
        waiting = (OutboxState.WAITING.value, OutboxState.FAILED.value)
        rows = self._db.execute(
            "SELECT payload, kind, body FROM outbox WHERE idx >= ? OR state IN (?, ?)", (size, *waiting)
        ).fetchall()
        self._unreceipted(body for _, kind, body in rows if kind == _RECEIPT and body)
        for payload, _, _ in rows:
            self._db.execute(
                "UPDATE outbox SET state = ?, code = ?, error = ?, idx = NULL, time = NULL WHERE payload = ?",
                (OutboxState.GIVEN_UP.value, LOST, why, payload),
            )
            self._db.execute(
                "UPDATE messages SET stage = ?, reason = ?, idx = NULL, time = NULL "
                "WHERE direction = 'out' AND payload = ?",
                (MessageStage.GIVEN_UP.value, LOST, payload),
            )
            self._db.execute("DELETE FROM deliveries WHERE payload = ?", (payload,))
        # What other instances of this endpoint sent.
        self._db.execute(
            "UPDATE messages SET stage = ?, idx = NULL WHERE direction = 'out' AND idx >= ?",
            (MessageStage.LOST.value, size),
        )

    def _unreceipted(self, receipts: Iterable[bytes]) -> None:
        """Messages whose receipts are lost are as far as they were before these."""
        before: dict[bytes, MessageStage] = {}
        for body in receipts:
            receipt = parse_receipt(parse_document(body).claims)
            first = receipt.stage is ReceiptStage.DELIVERED
            for item in receipt.items:
                known = before.get(item.message, MessageStage.DELIVERED)
                before[item.message] = MessageStage.LISTED if first else known
        answered = (MessageStage.DELIVERED, MessageStage.ACCEPTED, MessageStage.REJECTED)
        self._db.executemany(
            "UPDATE messages SET stage = ?, reason = NULL WHERE payload = ? AND direction = ? "
            "AND stage IN (?, ?, ?)",
            [
                (stage.value, m, Direction.IN.value, *(s.value for s in answered))
                for m, stage in before.items()
            ],
        )

    def _deliveries(self, size: int) -> None:
        """What became of sent messages, as the receipts tell that are left."""
        self._db.execute("UPDATE deliveries SET undelivered = NULL WHERE undelivered >= ?", (size,))
        self._db.execute(
            "UPDATE deliveries SET stage = 'open', idx = NULL, time = NULL, reason = NULL, details = NULL, "
            "delivered = NULL WHERE idx >= ?",
            (size,),
        )
        left = self._db.execute(
            "SELECT idx, time, document FROM notices WHERE idx < ? ORDER BY position", (size,)
        ).fetchall()
        for index, time, data in left:
            claims = parse_document(data).claims
            if claims["kind"] != _RECEIPT:
                continue
            receipt = parse_receipt(claims)
            if receipt.stage is ReceiptStage.DELIVERED:
                self._db.executemany(
                    "UPDATE deliveries SET stage = 'delivered', idx = ?, time = ?, delivered = ? "
                    "WHERE payload = ? AND recipient = ? AND stage = 'open'",
                    [(index, time, time, item.message, receipt.author) for item in receipt.items],
                )
