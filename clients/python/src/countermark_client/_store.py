"""A profile's own store: one SQLite file beside its keys.

It holds what the profile has verified (directory, checkpoint, boxes), every message in its sealed original
with the stanza that opens it, and the outbox. No decrypted content is ever written: what is shown is opened
again with the sealing key each time. One's own messages are kept openable by a stanza to oneself that never
leaves this file.

Every method is one transaction; `transaction` groups several. The tables themselves are in `_tables_log`,
`_tables_outbox`, `_tables_messages`, `_tables_purges`, `_tables_own_keys`, `_tables_traces`, `_tables_accounts` and
`_tables_succession`, `_tables_pieces`.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from countermark_client._database import Database
from countermark_client._records import (
    OPEN_STAGES,
    Direction,
    MessageStage,
    OutboxItem,
    OutboxState,
    StoredDelivery,
    StoredMessage,
    StoredRevocation,
)
from countermark_client._tables_accounts import ACCOUNTS_SCHEMA, AccountTables, StoredAccount
from countermark_client._tables_log import LogTables
from countermark_client._tables_messages import MessageTables
from countermark_client._tables_outbox import REFERENCE_SECRET, OutboxTables
from countermark_client._tables_own_keys import OWN_KEYS_SCHEMA, OwnKeyTables
from countermark_client._tables_pieces import PIECES_SCHEMA, PieceTables
from countermark_client._tables_purges import PURGES_SCHEMA, PurgeTables, StoredPurge
from countermark_client._tables_succession import SuccessionTables
from countermark_client._tables_traces import TRACES_SCHEMA, TraceTables
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.manifest import parse_manifest

__all__ = [
    "OPEN_STAGES",
    "Direction",
    "MessageStage",
    "OutboxItem",
    "OutboxState",
    "Store",
    "StoredAccount",
    "StoredDelivery",
    "StoredMessage",
    "StoredPurge",
    "StoredRevocation",
]

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
CREATE TABLE IF NOT EXISTS left_out (
  payload BLOB NOT NULL, recipient TEXT NOT NULL, by TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY (payload, recipient)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts_ahead (
  message BLOB PRIMARY KEY, stage TEXT NOT NULL, reason TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_roots (size INTEGER PRIMARY KEY, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS revocations (
  key_id BLOB PRIMARY KEY, document BLOB NOT NULL, imported INTEGER NOT NULL, size INTEGER NOT NULL,
  alarmed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS early_leaves (
  idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, proof BLOB, noticed INTEGER NOT NULL,
  proven INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS drafts (
  reference TEXT PRIMARY KEY, digest BLOB NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS drafts_by_payload ON drafts (payload);
CREATE TABLE IF NOT EXISTS signed_drafts (
  payload BLOB PRIMARY KEY, body BLOB NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS adopted (tail BLOB PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
"""
#: Columns added since version 1: (table, column, type). Added where they lack, so that older stores open.
_ADDED: Final = (
    ("outbox", "tries", "INTEGER NOT NULL DEFAULT 0"),
    ("outbox", "tried", "INTEGER"),
    ("outbox", "proven", "INTEGER"),
    ("outbox", "rows", "BLOB"),
    ("outbox", "renewed_as", "BLOB"),
    ("messages", "supersedes", "BLOB"),
    ("deliveries", "delivered", "INTEGER"),
    ("accounts", "request", "BLOB"),
)
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS outbox_by_proven ON outbox (proven);
CREATE INDEX IF NOT EXISTS notices_by_index ON notices (idx);
CREATE INDEX IF NOT EXISTS messages_by_supersedes ON messages (supersedes) WHERE supersedes IS NOT NULL;
"""
_VERSION: Final = 2


class Store(
    OutboxTables,
    MessageTables,
    PurgeTables,
    PieceTables,
    AccountTables,
    OwnKeyTables,
    TraceTables,
    LogTables,
    SuccessionTables,
):
    """The store of one profile.

    Args:
        path: of the file, or None to keep everything in memory.

    Raises:
        CountermarkError: ``store_version``: written by a later version of this software.
        StorageError: ``storage_failed``: the file cannot be read or written. Every method may raise it.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__(Database(str(path) if path is not None else ":memory:"))
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
        self._db.executescript(
            _SCHEMA + PURGES_SCHEMA + ACCOUNTS_SCHEMA + OWN_KEYS_SCHEMA + TRACES_SCHEMA + PIECES_SCHEMA
        )
        with self.transaction():
            self._upgrade()
            if self.meta(REFERENCE_SECRET) is None:
                self.set_meta(REFERENCE_SECRET, secrets.token_bytes(32))
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.executescript(_INDEXES)

    def _upgrade(self) -> None:
        """Bring the tables of an older store up to date; all of it or nothing."""
        for table, column, kind in _ADDED:
            there = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            if column in there:
                continue
            self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
            if (table, column) == ("messages", "supersedes"):
                self._learn_supersedes()
            if (table, column) == ("outbox", "proven"):
                # Since when they are proven was not kept: their 30 days begin with their leaf.
                self._db.execute("UPDATE outbox SET proven = time WHERE state = 'logged'")
            if (table, column) == ("outbox", "tries"):
                self._db.execute("UPDATE outbox SET tries = 1")  # for all that is known, each was handed in
            if (table, column) == ("deliveries", "delivered"):
                self._db.execute("UPDATE deliveries SET delivered = time WHERE stage = 'delivered'")

    def _learn_supersedes(self) -> None:
        for payload, document in self._db.execute("SELECT payload, document FROM messages"):
            supersedes = parse_manifest(parse_document(document).claims).supersedes
            if supersedes is not None:
                self._db.execute(
                    "UPDATE messages SET supersedes = ? WHERE payload = ?", (supersedes, payload)
                )
