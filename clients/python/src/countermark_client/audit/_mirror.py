"""The auditor's mirror: one SQLite file that holds what a mandate covers, in the bytes that prove it.

Search, statistics and reports read these tables; only `_sync` writes into them, page by page, each in one
transaction with what it verified of it. Two sorts of tables:

- *kept bytes*, as the broker showed them and as they were verified: ``checkpoints``, ``cosigned``, ``stamps``,
  ``leaves``, ``entries``, ``boxes`` (``shown``), ``accounts``, ``look_ups``. ``countermark audit verify`` trusts
  nothing else, and of these nothing but the founding's fingerprint;
- *derived* from them, one row where a reader wants one: ``messages``, ``deliveries``, ``acts``, the other columns of
  ``entries`` and ``boxes``, ``frontiers``. Verifying makes them anew and compares.

``findings`` and ``evidence`` say what was not as it must be; ``meta`` whose mirror it is and how far it goes.

Times are ms since 1970, those of leaves unless a column says otherwise; hashes and heads are 32 bytes; ``idx`` is a
log index; addresses, kinds and codes are the texts of docs/spec. A mirror of a national mandate holds what the
endpoints of its authority are party to, so not every index has an entry, and of a message to others only those
recipients are in ``deliveries`` that the authority's own boxes show.

Source: docs/spec/audit.md, docs/spec/log.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from countermark_client._database import Database
from countermark_client._tables import Tables
from countermark_client.errors import StorageError
from countermark_protocol.errors import ConflictError, CountermarkError

VERSION: Final = 1
#: Columns of messages that mirrors of earlier versions lack.
_ADDED: Final = ("attachments", "attached")

SCHEMA: Final = """
-- Single values: log (origin), founding (the trust file), auditor, scope ('oversight' or 'national'), and how far
-- the mirror goes: verified (entries below it are judged; decimal).
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- Every checkpoint under which the mirror stood, as signed; with its cosignatures, if it has any.
CREATE TABLE IF NOT EXISTS checkpoints (
  size INTEGER PRIMARY KEY, root BLOB NOT NULL, note BLOB NOT NULL,
  received INTEGER NOT NULL  -- by this machine's clock
);
-- Checkpoints that a quorum of witnesses cosigned, as the broker showed them: the newest of each minute since 1970.
CREATE TABLE IF NOT EXISTS cosigned (minute INTEGER PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL);
-- Time stamps on such checkpoints, as the broker showed them: minute of the time stated, the operator's name for the
-- authority, the stamped note and its size, the authority's response.
CREATE TABLE IF NOT EXISTS stamps (
  minute INTEGER NOT NULL, authority TEXT NOT NULL, size INTEGER NOT NULL, note BLOB NOT NULL,
  response BLOB NOT NULL, PRIMARY KEY (minute, authority)) WITHOUT ROWID;
-- Every leaf below the newest checkpoint, whatever the mandate.
CREATE TABLE IF NOT EXISTS leaves (
  idx INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time INTEGER NOT NULL, leaf BLOB NOT NULL);
-- Hashes of the tree's complete subtrees at every 256th size, largest first: from here any root is near.
CREATE TABLE IF NOT EXISTS frontiers (size INTEGER PRIMARY KEY, hashes BLOB NOT NULL);

-- Every statement that the mandate covers; directory statements always.
CREATE TABLE IF NOT EXISTS entries (
  idx INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,          -- docs/spec/documents.md 5.4, as in its payload
  time INTEGER NOT NULL,
  author TEXT NOT NULL,        -- address; of a directory statement its subject
  payload BLOB NOT NULL,       -- payload hash: the name that statements call it by
  document BLOB NOT NULL,      -- as signed
  rows BLOB,                   -- oversight, messages: the recipient rows, a JSON array in order
  secret BLOB                  -- oversight: 32 bytes, from which all delivery rows come
);
CREATE INDEX IF NOT EXISTS entries_by_payload ON entries (payload);
CREATE INDEX IF NOT EXISTS entries_by_kind ON entries (kind, idx);
CREATE INDEX IF NOT EXISTS entries_by_author ON entries (author, idx);

-- One row a message: its manifest (docs/spec/messages.md §2).
CREATE TABLE IF NOT EXISTS messages (
  payload BLOB PRIMARY KEY, idx INTEGER NOT NULL, time INTEGER NOT NULL,
  id TEXT NOT NULL, sender TEXT NOT NULL, authority TEXT NOT NULL,  -- the sender's
  type TEXT NOT NULL, version INTEGER NOT NULL,
  conversation BLOB NOT NULL,  -- payload hash of its first message; its own, if it is that
  in_reply_to BLOB, supersedes BLOB, group_name TEXT,
  recipients INTEGER NOT NULL, -- how many it has, known or not
  sent_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, reply_by INTEGER,  -- as its sender states them
  urgency TEXT NOT NULL, tlp TEXT NOT NULL, classification TEXT NOT NULL,
  codes TEXT NOT NULL,         -- handling codes, parted by blanks
  originator_control INTEGER NOT NULL, purpose TEXT NOT NULL, retention_until INTEGER NOT NULL,
  releasable_to TEXT NOT NULL, -- authorities, parted by blanks; empty for no such limit
  exercise INTEGER NOT NULL, size INTEGER NOT NULL,  -- of the sealed content, bytes
  stage TEXT, success INTEGER, partial INTEGER, none INTEGER, refused INTEGER,  -- of an answer, else NULL
  purged_idx INTEGER, purged_at INTEGER, purge_ground TEXT,
  attachments INTEGER NOT NULL DEFAULT 0, attached INTEGER NOT NULL DEFAULT 0  -- how many, and their sealed bytes
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_index ON messages (idx);
CREATE INDEX IF NOT EXISTS messages_by_id ON messages (sender, id);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation, idx);
CREATE INDEX IF NOT EXISTS messages_by_reply ON messages (in_reply_to) WHERE in_reply_to IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_by_type ON messages (type, idx);

-- One row a message and recipient: how far it is by logged receipts and notices.
CREATE TABLE IF NOT EXISTS deliveries (
  message BLOB NOT NULL, recipient TEXT NOT NULL, authority TEXT NOT NULL,  -- the recipient's
  stage TEXT NOT NULL,         -- open, delivered, accepted, rejected
  stage_idx INTEGER NOT NULL,  -- of the receipt that set it; of the message while open
  delivered_at INTEGER, settled_at INTEGER,  -- of 'delivered'; of 'accepted' or 'rejected'
  reason TEXT,                 -- of a rejection
  undelivered_idx INTEGER, undelivered_at INTEGER,
  PRIMARY KEY (message, recipient)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_recipient ON deliveries (recipient, stage);

-- Look-ups, disclosures and purges (audit.md §2 to §4); members that a kind lacks are NULL.
CREATE TABLE IF NOT EXISTS acts (
  idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, time INTEGER NOT NULL, author TEXT NOT NULL,
  message BLOB, ground TEXT NOT NULL, scope TEXT, until INTEGER,
  shown_to TEXT, parts INTEGER, disclosed INTEGER, digest BLOB);
CREATE INDEX IF NOT EXISTS acts_by_message ON acts (message) WHERE message IS NOT NULL;
CREATE INDEX IF NOT EXISTS acts_by_author ON acts (author, idx);

-- Whole boxes, position by position, with the box's head after each. Oversight: by replay; national: as shown.
CREATE TABLE IF NOT EXISTS boxes (
  endpoint TEXT NOT NULL, box TEXT NOT NULL, position INTEGER NOT NULL, idx INTEGER NOT NULL,
  head BLOB NOT NULL,
  shown BLOB,                  -- national: row, tail and recipient rows as answered, JSON without the document
  PRIMARY KEY (endpoint, box, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS boxes_by_index ON boxes (idx);

-- National: what the broker signed at the ends of boxes, and whether it was compared with the boxes yet.
CREATE TABLE IF NOT EXISTS accounts (
  number INTEGER PRIMARY KEY, size INTEGER NOT NULL, made_at INTEGER NOT NULL, request BLOB NOT NULL,
  document BLOB NOT NULL, compared INTEGER NOT NULL DEFAULT 0);

-- One's own look-ups under which the mirror was read.
CREATE TABLE IF NOT EXISTS look_ups (
  payload BLOB PRIMARY KEY, idx INTEGER NOT NULL, time INTEGER NOT NULL, scope TEXT NOT NULL,
  ground TEXT NOT NULL, until INTEGER NOT NULL, document BLOB NOT NULL,
  proof BLOB NOT NULL          -- the broker's answer, JSON
) WITHOUT ROWID;

-- What was not as it must be. `code` is the check that failed: docs/howto/audit-a-log.md lists them.
CREATE TABLE IF NOT EXISTS findings (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  idx INTEGER,                 -- of the entry or leaf; NULL where it is about no single one
  place TEXT NOT NULL,         -- what it is about: 'entry 12', 'box urgent of …', 'checkpoint 40', 'table messages'
  code TEXT NOT NULL, expected TEXT NOT NULL, got TEXT NOT NULL,
  found_by TEXT NOT NULL,      -- 'sync' or 'verify'
  found_at INTEGER NOT NULL,   -- by this machine's clock
  settled TEXT,                -- what a person wrote when it was settled
  UNIQUE (place, code, found_by));
-- The bytes that show it, each with what it is.
CREATE TABLE IF NOT EXISTS evidence (
  finding INTEGER NOT NULL REFERENCES findings (number), name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (finding, name)) WITHOUT ROWID;
"""

#: Tables and columns that verifying makes anew from kept bytes, with what a row is named by.
DERIVED: Final = {
    "leaves": ("idx", "kind", "time"),
    "frontiers": ("size", "hashes"),
    "entries": ("idx", "kind", "time", "author", "payload"),
    "messages": ("payload", "*"),
    "deliveries": ("message", "*"),
    "acts": ("idx", "*"),
    "boxes": ("endpoint", "box", "position", "idx", "head"),
}


class Mirror(Tables):
    """One mirror, opened.

    Args:
        path: of the file; None for one in memory; made if it is not there.

    Raises:
        StorageError: ``storage_failed``: it cannot be read or written. Every method may raise it.
        CountermarkError: ``mirror_version``: written by a later version of this software.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__(Database(str(path) if path is not None else ":memory:", "the mirror"))
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # what a crash takes is read again
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise CountermarkError(
                "mirror_version",
                f"the mirror has version {version}, this software knows {VERSION}: update it",
            )
        self._db.executescript(SCHEMA)
        there = {row[1] for row in self._db.execute("PRAGMA table_info(messages)")}
        for column in _ADDED:
            if column not in there:  # no message that an earlier version took in has any
                self._db.execute(f"ALTER TABLE messages ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
        self._db.execute(f"PRAGMA user_version={VERSION}")

    @property
    def database(self) -> Database:
        """To read from; nothing but this package writes."""
        return self._db

    def belongs_to(self, log: str, founding: bytes, auditor: str, scope: str) -> None:
        """Take the mirror into use, or check that it is of this log, auditor and mandate.

        Args:
            log: origin.
            founding: the trust file.
            auditor: its address.
            scope: ``oversight`` or ``national``.

        Raises:
            ConflictError: ``other_mirror``.
        """
        wanted = {
            "log": log.encode("utf-8"),
            "founding": founding,
            "auditor": auditor.encode("utf-8"),
            "scope": scope.encode("utf-8"),
        }
        with self.transaction():
            for name, value in wanted.items():
                known = self.meta(name)
                if known is None:
                    self.set_meta(name, value)
                elif known != value:
                    raise ConflictError(
                        "other_mirror",
                        f"this mirror is of another {name}: choose another folder for this one",
                    )

    def text(self, name: str) -> str:
        """A single value as text.

        Raises:
            StorageError: ``not_a_mirror``: it was never taken into use.
        """
        value = self.meta(name)
        if value is None:
            raise StorageError(
                "not_a_mirror", f"the mirror does not say its {name}: was it ever synchronised?"
            )
        return value.decode("utf-8", "replace")
