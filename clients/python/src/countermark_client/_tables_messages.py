"""Tables of messages, received and sent, in their sealed form, and of what became of the sent ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from countermark_client._addressing import LeftOut
from countermark_client._records import Direction, MessageStage, StoredDelivery, StoredMessage
from countermark_client._tables import Tables
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address

_COLUMNS: Final = (
    "payload, direction, conversation, document, idx, time, box, position, recipient, recipients, stanza, "
    "content, stage, reason, proof, supersedes"
)
_DELIVERY_COLUMNS: Final = "payload, recipient, stage, idx, time, reason, details, undelivered, delivered"


def _message(row: tuple[Any, ...]) -> StoredMessage:
    values: list[Any] = [row[0], Direction(row[1]), *row[2:12], MessageStage(row[12]), *row[13:]]
    return StoredMessage(*values)


class MessageTables(Tables):
    """Messages and deliveries."""

    def add_message(self, m: StoredMessage) -> None:
        """Keep a message; a message already kept stays as it is."""
        self._db.execute(
            f"INSERT OR IGNORE INTO messages ({_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                m.payload,
                m.direction.value,
                m.conversation,
                m.document,
                m.index,
                m.time,
                m.box,
                m.position,
                m.recipient,
                m.recipients,
                m.stanza,
                m.content,
                m.stage.value,
                m.reason,
                m.proof,
                m.supersedes,
            ),
        )

    def message(self, payload: bytes, direction: Direction | None = None) -> StoredMessage | None:
        """A message by its payload hash; received before sent, if it is both."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE payload = ? AND direction IN (?, ?) "  # noqa: S608
            "ORDER BY direction LIMIT 1",
            (payload, *([direction.value] * 2 if direction else ["in", "out"])),
        ).fetchone()
        return None if row is None else _message(row)

    def messages_by_stage(
        self, *stages: MessageStage, limit: int, box: str | None = None
    ) -> list[StoredMessage]:
        """Received messages of these stages: those of ``urgent`` first, then in the order of their boxes."""
        marks = ",".join("?" * len(stages))
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE direction = 'in' AND stage IN ({marks}) "  # noqa: S608
            "AND box = coalesce(?, box) ORDER BY box = 'urgent' DESC, position LIMIT ?",
            (*[s.value for s in stages], box, limit),
        )
        return [_message(row) for row in rows]

    def open_messages(self, *stages: MessageStage) -> list[tuple[bytes, str]]:
        """(payload hash, box) of received messages of these stages, in the order of `messages_by_stage`."""
        marks = ",".join("?" * len(stages))
        return self._db.execute(
            f"SELECT payload, box FROM messages WHERE direction = 'in' AND stage IN ({marks}) "  # noqa: S608
            "ORDER BY box = 'urgent' DESC, position",
            [s.value for s in stages],
        ).fetchall()

    def message_names(self) -> list[tuple[bytes, str, str]]:
        """(payload hash, direction, stage) of all messages that are in the log, in log order."""
        return self._db.execute(
            "SELECT payload, direction, stage FROM messages WHERE idx IS NOT NULL ORDER BY idx, direction DESC"
        ).fetchall()

    def open_positions(self, box: str) -> list[tuple[int, bytes | None]]:
        """(position, payload hash) of every verified position that no receipt has answered; None if not kept."""
        return self._db.execute(
            "SELECT e.position, m.payload FROM box_entries e LEFT JOIN messages m "
            "ON m.direction = 'in' AND m.box = e.box AND m.position = e.position "
            "WHERE e.box = ? AND coalesce(m.stage, '') NOT IN ('accepted', 'rejected') ORDER BY e.position",
            (box,),
        ).fetchall()

    def messages(
        self, conversation: bytes | None = None, direction: Direction | None = None
    ) -> list[StoredMessage]:
        """Messages in log order, those in the outbox last."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages "  # noqa: S608
            "WHERE (?1 IS NULL OR conversation = ?1) AND (?2 IS NULL OR direction = ?2) "
            "ORDER BY idx IS NULL, idx, direction DESC",
            (conversation, direction.value if direction else None),
        )
        return [_message(row) for row in rows]

    def messages_with(self, member: bytes) -> list[StoredMessage]:
        """Messages whose manifest holds some bytes, e.g. ``"type":"tracing-request"``, in log order."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE instr(document, ?) > 0 "  # noqa: S608
            "ORDER BY idx IS NULL, idx, direction DESC",
            (member,),
        )
        return [_message(row) for row in rows]

    def message_places(self, direction: Direction, first: int) -> list[tuple[bytes, int]]:
        """(payload hash, index) of messages that are an entry of the log from an index on, in log order."""
        return self._db.execute(
            "SELECT payload, idx FROM messages WHERE direction = ? AND idx >= ? ORDER BY idx",
            (direction.value, first),
        ).fetchall()

    def set_message_stage(
        self, payload: bytes, direction: Direction, stage: MessageStage, reason: str | None = None
    ) -> None:
        """Set how far a message is."""
        self._db.execute(
            "UPDATE messages SET stage = ?, reason = ? WHERE payload = ? AND direction = ?",
            (stage.value, reason, payload, direction.value),
        )

    def set_message_logged(self, payload: bytes, document: bytes, index: int, time: int) -> None:
        """A sent message was proven to be in the log, as this document."""
        self._db.execute(
            "UPDATE messages SET stage = ?, document = ?, idx = ?, time = ? "
            "WHERE payload = ? AND direction = 'out'",
            (MessageStage.LOGGED.value, document, index, time, payload),
        )

    def set_sealed(
        self, payload: bytes, *, stanza: bytes | None = None, content: bytes | None = None
    ) -> None:
        """Keep the stanza or the ciphertext of a received message."""
        self._db.execute(
            "UPDATE messages SET stanza = coalesce(?, stanza), content = coalesce(?, content) "
            "WHERE payload = ? AND direction = 'in'",
            (stanza, content, payload),
        )

    def set_recipients(self, payload: bytes, recipients: bytes) -> None:
        """Keep to whom another instance of this endpoint sent a message, JSON."""
        self._db.execute(
            "UPDATE messages SET recipients = ? WHERE payload = ? AND direction = 'out'",
            (recipients, payload),
        )

    def forget_contents(self, payloads: list[bytes]) -> None:
        """Delete ciphertext and stanza of received messages, and overwrite where they stood."""
        self._db.execute("PRAGMA secure_delete=ON")
        self._db.executemany(
            "UPDATE messages SET stanza = NULL, content = NULL WHERE payload = ? AND direction = 'in'",
            [(payload,) for payload in payloads],
        )

    def keep_sent_content(self, payload: bytes, content: bytes) -> None:
        """Keep the ciphertext of a sent message, whose outbox item is pruned."""
        self._db.execute(
            "UPDATE messages SET content = ? WHERE payload = ? AND direction = 'out'", (content, payload)
        )

    def successors(self, payload: bytes) -> list[StoredMessage]:
        """Logged messages that state to take the place of a message, the newest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE supersedes = ? AND idx IS NOT NULL "  # noqa: S608
            "ORDER BY idx DESC, direction",
            (payload,),
        )
        return [_message(row) for row in rows]

    # --- what became of sent messages ---

    def add_deliveries(self, payload: bytes, recipients: list[str]) -> None:
        """Begin to follow a sent message."""
        self._db.executemany(
            "INSERT OR IGNORE INTO deliveries (payload, recipient, stage) VALUES (?, ?, 'open')",
            [(payload, r) for r in recipients],
        )

    def deliveries(self, payload: bytes) -> list[StoredDelivery]:
        """What became of a sent message, by recipient."""
        rows = self._db.execute(
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE payload = ? ORDER BY recipient",  # noqa: S608
            (payload,),
        )
        return [StoredDelivery(*row) for row in rows]

    def add_left_out(self, payload: bytes, left_out: Iterable[LeftOut]) -> None:
        """Keep whom the names of a message led to and it does not go to."""
        self._db.executemany(
            "INSERT OR IGNORE INTO left_out VALUES (?, ?, ?, ?, ?)",
            [(payload, one.address, one.by, one.code, one.message) for one in left_out],
        )

    def left_out(self, payload: bytes) -> tuple[LeftOut, ...]:
        """Whom the names of a message led to and it did not go to, by address."""
        rows = self._db.execute(
            "SELECT recipient, by, code, message FROM left_out WHERE payload = ? ORDER BY recipient",
            (payload,),
        )
        return tuple(LeftOut(Address(address), *rest) for address, *rest in rows)

    def delivery(self, payload: bytes, recipient: str) -> StoredDelivery | None:
        """What became of a sent message at one recipient."""
        row = self._db.execute(
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE payload = ? AND recipient = ?",  # noqa: S608
            (payload, recipient),
        ).fetchone()
        return None if row is None else StoredDelivery(*row)

    def standings(self, payload: bytes) -> list[tuple[StoredDelivery, int | None]]:
        """What became of a sent message, by recipient, each with the time of its undelivered notice; one query."""
        columns = ", ".join(f"d.{name}" for name in _DELIVERY_COLUMNS.split(", "))
        rows = self._db.execute(
            f"SELECT {columns}, min(n.time) FROM deliveries d LEFT JOIN notices n ON n.idx = d.undelivered "  # noqa: S608
            "WHERE d.payload = ? GROUP BY d.recipient ORDER BY d.recipient",
            (payload,),
        )
        return [(StoredDelivery(*row[:-1]), row[-1]) for row in rows]

    def set_delivery(self, d: StoredDelivery) -> None:
        """Set what became of a sent message at one recipient."""
        self._db.execute(
            f"INSERT OR REPLACE INTO deliveries ({_DELIVERY_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                d.payload,
                d.recipient,
                d.stage,
                d.index,
                d.time,
                d.reason,
                d.details,
                d.undelivered,
                d.delivered,
            ),
        )

    def add_notice(self, position: int, index: int, time: int, document: bytes, proof: bytes) -> None:
        """Keep a receipt or an undelivered notice, with its proof."""
        self._db.execute(
            "INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?)", (position, index, time, document, proof)
        )

    def notice(self, index: int) -> tuple[int, bytes, bytes] | None:
        """(time, document, proof) of the receipt or notice that is a certain log entry, if it is kept."""
        row: tuple[int, bytes, bytes] | None = self._db.execute(
            "SELECT time, document, proof FROM notices WHERE idx = ?", (index,)
        ).fetchone()
        return row

    def notices(self, start: int = 0) -> list[tuple[int, int, int, bytes]]:
        """(position, index, time, document) of receipts and notices from a position on."""
        return self._db.execute(
            "SELECT position, idx, time, document FROM notices WHERE position >= ? ORDER BY position",
            (start,),
        ).fetchall()

    # --- entries of one's own boxes ---

    def proven_entry(self, box: Box, position: int) -> tuple[bytes, bytes] | None:
        """(document, proof) of a verified position, as kept; None where its proof is of another form or gone."""
        row: tuple[bytes, bytes] | None = self._db.execute(
            "SELECT document, proof FROM notices WHERE ?1 = 'notices' AND position = ?2 UNION ALL "
            "SELECT document, proof FROM messages "
            "WHERE direction = 'in' AND box = ?1 AND position = ?2 AND proof IS NOT NULL",
            (box.value, position),
        ).fetchone()
        return row
