"""Small mirrors made by hand, row by row: exact numbers can be told beforehand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from countermark_client.audit._mirror import Mirror
from countermark_protocol.identifiers import authority_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def at(text):
    """A time, ms: `2026-05-04` (a Monday) or `2026-05-04T12:00`, UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


class HandMade:
    """A mirror that is written to, in the order of the log.

    Args:
        path: of its file, or None for one in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.mirror = Mirror(path)
        self.size = 0
        self.mirror.belongs_to("log.example/1", b"founding", "xo-un.auditor.panel", "oversight")

    @property
    def database(self):
        return self.mirror.database

    def leaf(self, time):
        """Any entry; its index."""
        self.database.execute("INSERT INTO leaves VALUES (?, 1, ?, x'')", (self.size, time))
        self.size += 1
        self.mirror.set_meta("verified", str(self.size).encode())
        return self.size - 1

    def message(self, sender, to, time, kind="tracing-request", **more):
        """A message; its payload hash. `outcome` is four counts; anything else is a column."""
        idx = self.leaf(time)
        payload = hashlib.sha256(b"message %d" % idx).digest()
        outcome = more.pop("outcome", (0, 0, 0, 0) if "stage" in more else (None,) * 4)
        row = {
            "payload": payload,
            "idx": idx,
            "time": time,
            "id": f"id-{idx}",
            "sender": sender,
            "authority": authority_of(sender),
            "type": kind,
            "version": 1,
            "conversation": payload,
            "recipients": len(to),
            "sent_at": time,
            "expires_at": time + 30 * DAY,
            "urgency": "routine",
            "tlp": "AMBER",
            "classification": "OFFICIAL",
            "codes": "",
            "originator_control": 0,
            "purpose": "CRIMINAL_INVESTIGATION",
            "retention_until": time + 400 * DAY,
            "releasable_to": "",
            "exercise": 0,
            "size": 1000,
            **dict(zip(("success", "partial", "none", "refused"), outcome, strict=True)),
            **more,
        }
        self.database.execute(
            f"INSERT INTO messages ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )
        for recipient in to:
            self.database.execute(
                "INSERT INTO deliveries (message, recipient, authority, stage, stage_idx) VALUES (?, ?, ?, 'open', ?)",
                (payload, recipient, authority_of(recipient), idx),
            )
        return payload

    def answer(self, sender, request, time, stage, to=(), **more):
        """An answer to a message, in its conversation."""
        kind = "tracing-response" if stage in {"interim", "final"} else "tracing-acknowledgement"
        return self.message(
            sender,
            to,
            time,
            kind,
            stage=stage,
            in_reply_to=request,
            conversation=self.conversation(request),
            **more,
        )

    def conversation(self, message):
        return self.database.execute(
            "SELECT conversation FROM messages WHERE payload = ?", (message,)
        ).fetchone()[0]

    def delivered(self, message, recipient, time):
        self._move(message, recipient, time, "delivered", "delivered_at")

    def settled(self, message, recipient, time, stage="accepted", reason=None):
        self._move(message, recipient, time, stage, "settled_at")
        self.database.execute(
            "UPDATE deliveries SET reason = ? WHERE message = ? AND recipient = ?",
            (reason, message, recipient),
        )

    def _move(self, message, recipient, time, stage, column):
        self.database.execute(
            f"UPDATE deliveries SET stage = ?, stage_idx = ?, {column} = ? WHERE message = ? AND recipient = ?",
            (stage, self.leaf(time), time, message, recipient),
        )

    def undelivered(self, message, recipient, time):
        self.database.execute(
            "UPDATE deliveries SET undelivered_idx = ?, undelivered_at = ? WHERE message = ? AND recipient = ?",
            (self.leaf(time), time, message, recipient),
        )

    def withdrawn(self, message, time):
        self.database.execute(
            "UPDATE messages SET purged_idx = ?, purged_at = ?, purge_ground = 'withdrawn' WHERE payload = ?",
            (self.leaf(time), time, message),
        )
