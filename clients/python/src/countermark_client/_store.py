"""A profile's own store: one SQLite file beside its keys.

It holds what the profile has verified (directory, checkpoint, boxes), every message in its sealed original
with the stanza that opens it, and the outbox. No decrypted content is ever written: what is shown is opened
again with the sealing key each time. One's own messages are kept openable by a stanza to oneself that never
leaves this file.

Every method is one transaction; `transaction` groups several.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from countermark_client._database import Database
from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState
from countermark_protocol.errors import CountermarkError

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS directory (
  number INTEGER PRIMARY KEY, idx INTEGER NOT NULL, leaf BLOB NOT NULL, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS box_entries (
  box TEXT NOT NULL, position INTEGER NOT NULL, idx INTEGER NOT NULL, statement BLOB NOT NULL,
  head BLOB NOT NULL, PRIMARY KEY (box, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS box_entries_by_index ON box_entries (box, idx);
CREATE TABLE IF NOT EXISTS sent_ahead (
  position INTEGER PRIMARY KEY, idx INTEGER NOT NULL, statement BLOB NOT NULL, previous BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL UNIQUE, kind TEXT NOT NULL,
  body BLOB NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL, idx INTEGER, time INTEGER,
  proof BLOB, account BLOB, code TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS outbox_by_state ON outbox (state, number);
CREATE TABLE IF NOT EXISTS messages (
  payload BLOB NOT NULL, direction TEXT NOT NULL, conversation BLOB NOT NULL, document BLOB NOT NULL,
  idx INTEGER, time INTEGER, box TEXT, position INTEGER, recipient BLOB, recipients BLOB, stanza BLOB,
  content BLOB, stage TEXT NOT NULL, reason TEXT, proof BLOB, PRIMARY KEY (payload, direction))
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation, idx);
CREATE INDEX IF NOT EXISTS messages_by_stage ON messages (direction, stage, box, position);
CREATE TABLE IF NOT EXISTS deliveries (
  payload BLOB NOT NULL, recipient TEXT NOT NULL, stage TEXT NOT NULL, idx INTEGER, time INTEGER,
  reason TEXT, details BLOB, undelivered INTEGER, PRIMARY KEY (payload, recipient)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
  position INTEGER PRIMARY KEY, idx INTEGER NOT NULL, time INTEGER NOT NULL, document BLOB NOT NULL,
  proof BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS receipts_ahead (
  message BLOB PRIMARY KEY, stage TEXT NOT NULL, reason TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_roots (size INTEGER PRIMARY KEY, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS revocations (
  key_id BLOB PRIMARY KEY, document BLOB NOT NULL, imported INTEGER NOT NULL, size INTEGER NOT NULL,
  alarmed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
"""
_VERSION: Final = 1


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
    """Answered with a plain problem, which proves nothing; `flush` tries again."""


class MessageStage(StrEnum):
    """How far a message is, as this store knows."""

    LISTED = "listed"
    """Received: proven to be in the box, not signed for yet."""
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WAITING = "waiting"
    """Sent: in the outbox."""
    LOGGED = "logged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One statement of this profile, in the exact bytes that are sent.

    Attributes:
        number: order of sending.
        payload: its payload hash, 32 bytes.
        kind: ``message`` or ``receipt``.
        body: what is posted.
        state: how far it is.
        created: ms since 1970.
        index: of its entry, once logged.
        time: of its leaf, ms since 1970, once logged.
        proof: the broker's answer, once logged.
        account: the signed refusal, where it was refused.
        code: of the last problem.
        error: of the last problem, for people.
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
        content: ciphertext.
        stage: how far it is.
        reason: of a rejection.
        proof: of a received message: checkpoint, inclusion and delivery, JSON.
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
    """

    payload: bytes
    recipient: str
    stage: str
    index: int | None
    time: int | None
    reason: str | None
    details: bytes | None
    undelivered: int | None


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


_MESSAGE_COLUMNS: Final = (
    "payload, direction, conversation, document, idx, time, box, position, recipient, recipients, stanza, "
    "content, stage, reason, proof"
)
_OUTBOX_COLUMNS: Final = "number, payload, kind, body, state, created, idx, time, proof, account, code, error"


def _message(row: tuple[Any, ...]) -> StoredMessage:
    values: list[Any] = [row[0], Direction(row[1]), *row[2:12], MessageStage(row[12]), row[13], row[14]]
    return StoredMessage(*values)


def _item(row: tuple[Any, ...]) -> OutboxItem:
    return OutboxItem(row[0], row[1], row[2], row[3], OutboxState(row[4]), *row[5:])


class Store:
    """The store of one profile.

    Args:
        path: of the file, or None to keep everything in memory.

    Raises:
        CountermarkError: ``store_version``: written by a later version of this software.
        StorageError: ``storage_failed``: the file cannot be read or written. Every method may raise it.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = Database(str(path) if path is not None else ":memory:")
        self._depth = 0
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            self._db.close()
            raise CountermarkError(
                "store_version",
                f"the profile's store has version {version}, this software knows {_VERSION}: update it",
            )
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is written inside, or none of it."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.roll_back()
            raise
        finally:
            self._depth -= 1

    # --- single values ---

    def meta(self, name: str) -> bytes | None:
        """A single value, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_meta(self, name: str, value: bytes | None) -> None:
        """Set or remove a single value."""
        if value is None:
            self._db.execute("DELETE FROM meta WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def meta_number(self, name: str) -> int:
        """A single number; 0 if it was never set."""
        value = self.meta(name)
        return int(value) if value is not None else 0

    # --- what was seen of the log ---

    def known_root(self, size: int) -> bytes | None:
        """The root that was verified for a size of the log, or None."""
        row = self._db.execute("SELECT root FROM known_roots WHERE size = ?", (size,)).fetchone()
        return None if row is None else bytes(row[0])

    def add_known_root(self, size: int, root: bytes) -> None:
        """Remember the verified root of a size of the log."""
        self._db.execute("INSERT OR IGNORE INTO known_roots VALUES (?, ?)", (size, root))

    def revocations(self) -> list[StoredRevocation]:
        """Revocations that came by another path than the log, oldest first."""
        rows = self._db.execute(
            "SELECT key_id, document, imported, size, alarmed FROM revocations ORDER BY imported, key_id"
        )
        return [StoredRevocation(r[0], r[1], r[2], r[3], alarmed=bool(r[4])) for r in rows]

    def add_revocation(self, r: StoredRevocation) -> None:
        """Remember a revocation; of the same key, one from an earlier size of the log keeps its size."""
        self._db.execute(
            "INSERT INTO revocations VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id) DO UPDATE SET "
            "document = excluded.document, imported = excluded.imported, alarmed = excluded.alarmed",
            (r.key_id, r.document, r.imported, r.size, r.alarmed),
        )

    def set_revocation_alarmed(self, key_id: bytes) -> None:
        """An alarm was raised about a revocation."""
        self._db.execute("UPDATE revocations SET alarmed = 1 WHERE key_id = ?", (key_id,))

    # --- directory ---

    def directory(self) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, document) of all statements folded so far."""
        return self._db.execute("SELECT idx, leaf, document FROM directory ORDER BY number").fetchall()

    def add_directory(self, first: int, statements: list[tuple[int, bytes, bytes]]) -> None:
        """Add statements, the first of which is number `first`."""
        self._db.executemany(
            "INSERT INTO directory VALUES (?, ?, ?, ?)",
            [(first + i, *statement) for i, statement in enumerate(statements)],
        )

    # --- boxes ---

    def box_state(self, box: Box) -> BoxState:
        """How far a box has been verified."""
        row = self._db.execute(
            "SELECT position, head FROM box_entries WHERE box = ? ORDER BY position DESC LIMIT 1",
            (box.value,),
        ).fetchone()
        return BoxState() if row is None else BoxState(row[0] + 1, row[1])

    def add_box_entry(self, box: Box, index: int, statement: bytes, after: BoxState) -> None:
        """Add the entry that leads to the state `after`."""
        self._db.execute(
            "INSERT INTO box_entries VALUES (?, ?, ?, ?, ?)",
            (box.value, after.count - 1, index, statement, after.head),
        )

    def box_entry(self, box: Box, position: int) -> tuple[int, bytes, bytes] | None:
        """(index, statement hash, head before) of a verified position."""
        rows = self._db.execute(
            "SELECT position, idx, statement, head FROM box_entries WHERE box = ? AND position IN (?, ?)",
            (box.value, position, position - 1),
        ).fetchall()
        by_position = {row[0]: row for row in rows}
        if position not in by_position:
            return None
        before = by_position.get(position - 1)
        return by_position[position][1], by_position[position][2], before[3] if before else EMPTY_HEAD

    def last_below(self, box: Box, size: int) -> int | None:
        """The last verified position whose entry lies below a log size."""
        row = self._db.execute(
            "SELECT max(position) FROM box_entries WHERE box = ? AND idx < ?", (box.value, size)
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def known_statements(self) -> dict[int, bytes]:
        """Index → statement hash of every entry of one's own boxes."""
        return dict(self._db.execute("SELECT idx, statement FROM box_entries"))

    def add_sent_ahead(self, position: int, index: int, statement: bytes, previous: bytes) -> None:
        """Remember an entry of ``sent`` that lies beyond what has been read of the box."""
        self._db.execute(
            "INSERT OR REPLACE INTO sent_ahead VALUES (?, ?, ?, ?)", (position, index, statement, previous)
        )

    def take_sent_ahead(self, position: int) -> tuple[int, bytes, bytes] | None:
        """(index, statement hash, head before) remembered for a position, which is then forgotten."""
        row: tuple[int, bytes, bytes] | None = self._db.execute(
            "DELETE FROM sent_ahead WHERE position = ? RETURNING idx, statement, previous", (position,)
        ).fetchone()
        return row

    def add_receipt_ahead(self, message: bytes, stage: MessageStage, reason: str | None) -> None:
        """Remember a receipt by another instance for a message that has not been read here yet."""
        self._db.execute(
            "INSERT OR REPLACE INTO receipts_ahead VALUES (?, ?, ?)", (message, stage.value, reason)
        )

    def take_receipt_ahead(self, message: bytes) -> tuple[MessageStage, str | None] | None:
        """(stage, reason) of a remembered receipt, which is then forgotten."""
        row = self._db.execute(
            "DELETE FROM receipts_ahead WHERE message = ? RETURNING stage, reason", (message,)
        ).fetchone()
        return None if row is None else (MessageStage(row[0]), row[1])

    # --- outbox ---

    def add_outbox(self, payload: bytes, kind: str, body: bytes, created: int) -> None:
        """Write a statement before it is sent."""
        self._db.execute(
            "INSERT INTO outbox (payload, kind, body, state, created) VALUES (?, ?, ?, ?, ?)",
            (payload, kind, body, OutboxState.WAITING.value, created),
        )

    def outbox(self, *states: OutboxState) -> list[OutboxItem]:
        """Statements in the order of sending; of these states, or all."""
        wanted = [s.value for s in states or tuple(OutboxState)]
        marks = ",".join("?" * len(wanted))
        rows = self._db.execute(
            f"SELECT {_OUTBOX_COLUMNS} FROM outbox WHERE state IN ({marks}) ORDER BY number",  # noqa: S608
            wanted,
        )
        return [_item(row) for row in rows]

    def outbox_item(self, payload: bytes) -> OutboxItem | None:
        """A statement by its payload hash."""
        row = self._db.execute(
            f"SELECT {_OUTBOX_COLUMNS} FROM outbox WHERE payload = ?",  # noqa: S608
            (payload,),
        ).fetchone()
        return None if row is None else _item(row)

    def set_outbox_logged(self, payload: bytes, index: int, time: int, proof: bytes) -> None:
        """A statement was proven to be in the log."""
        self._db.execute(
            "UPDATE outbox SET state = ?, idx = ?, time = ?, proof = ?, code = NULL, error = NULL "
            "WHERE payload = ?",
            (OutboxState.LOGGED.value, index, time, proof, payload),
        )

    def set_outbox_problem(
        self, payload: bytes, state: OutboxState, code: str, error: str, account: bytes | None = None
    ) -> None:
        """A statement was answered with a problem."""
        self._db.execute(
            "UPDATE outbox SET state = ?, code = ?, error = ?, account = ? WHERE payload = ?",
            (state.value, code, error, account, payload),
        )

    # --- messages ---

    def add_message(self, m: StoredMessage) -> None:
        """Keep a message; a message already kept stays as it is."""
        self._db.execute(
            f"INSERT OR IGNORE INTO messages ({_MESSAGE_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            ),
        )

    def message(self, payload: bytes, direction: Direction | None = None) -> StoredMessage | None:
        """A message by its payload hash; received before sent, if it is both."""
        row = self._db.execute(
            f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE payload = ? AND direction IN (?, ?) "  # noqa: S608
            "ORDER BY direction LIMIT 1",
            (payload, *([direction.value] * 2 if direction else ["in", "out"])),
        ).fetchone()
        return None if row is None else _message(row)

    def messages_by_stage(self, *stages: MessageStage, limit: int) -> list[StoredMessage]:
        """Received messages of these stages: those of ``urgent`` first, then in the order of their boxes."""
        marks = ",".join("?" * len(stages))
        rows = self._db.execute(
            f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE direction = 'in' AND stage IN ({marks}) "  # noqa: S608
            "ORDER BY box = 'urgent' DESC, position LIMIT ?",
            (*[s.value for s in stages], limit),
        )
        return [_message(row) for row in rows]

    def messages(
        self, conversation: bytes | None = None, direction: Direction | None = None
    ) -> list[StoredMessage]:
        """Messages in log order, those in the outbox last."""
        rows = self._db.execute(
            f"SELECT {_MESSAGE_COLUMNS} FROM messages "  # noqa: S608
            "WHERE (?1 IS NULL OR conversation = ?1) AND (?2 IS NULL OR direction = ?2) "
            "ORDER BY idx IS NULL, idx, direction DESC",
            (conversation, direction.value if direction else None),
        )
        return [_message(row) for row in rows]

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

    # --- what became of sent messages ---

    def add_deliveries(self, payload: bytes, recipients: list[str]) -> None:
        """Begin to follow a sent message."""
        self._db.executemany(
            "INSERT OR IGNORE INTO deliveries (payload, recipient, stage) VALUES (?, ?, 'open')",
            [(payload, r) for r in recipients],
        )

    def deliveries(self, payload: bytes) -> list[StoredDelivery]:
        """What became of a sent message, by recipient."""
        rows = self._db.execute("SELECT * FROM deliveries WHERE payload = ? ORDER BY recipient", (payload,))
        return [StoredDelivery(*row) for row in rows]

    def delivery(self, payload: bytes, recipient: str) -> StoredDelivery | None:
        """What became of a sent message at one recipient."""
        return next((d for d in self.deliveries(payload) if d.recipient == recipient), None)

    def set_delivery(self, d: StoredDelivery) -> None:
        """Set what became of a sent message at one recipient."""
        self._db.execute(
            "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (d.payload, d.recipient, d.stage, d.index, d.time, d.reason, d.details, d.undelivered),
        )

    def add_notice(self, position: int, index: int, time: int, document: bytes, proof: bytes) -> None:
        """Keep a receipt or an undelivered notice, with its proof."""
        self._db.execute(
            "INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?)", (position, index, time, document, proof)
        )

    def notice(self, index: int) -> tuple[int, bytes] | None:
        """(time, document) of the receipt or notice that is a certain log entry, if it is kept."""
        row: tuple[int, bytes] | None = self._db.execute(
            "SELECT time, document FROM notices WHERE idx = ?", (index,)
        ).fetchone()
        return row

    def notices(self, start: int = 0) -> list[tuple[int, int, int, bytes]]:
        """(position, index, time, document) of receipts and notices from a position on."""
        return self._db.execute(
            "SELECT position, idx, time, document FROM notices WHERE position >= ? ORDER BY position",
            (start,),
        ).fetchall()
