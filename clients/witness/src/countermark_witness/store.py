"""What a witness remembers, in an SQLite file of its own.

Every change is one transaction that takes the write lock first, so two requests, two processes or a command
beside the service are judged one after the other; and each commit is on disk before it returns (WAL with
``synchronous=FULL``). A witness without this file, or with an older copy of it, must not go on under its keys:
so nothing but `create` makes one.

Source: docs/spec/witness.md §5.3, §5.7.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_protocol.cosignature import MAX_NAME_BYTES
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ConflictError
from countermark_protocol.note import NoteKey, encode_vkey, parse_vkey
from countermark_protocol.tlog_witness import origin_hash
from countermark_witness.database import connect, failures, written
from countermark_witness.errors import WitnessError
from countermark_witness.judge import Evidence, Finding, Held, LogKey, LogState, State

_WHOSE: Final = "witness"
#: Pairs kept of one log and finding: more of them prove no more.
MAX_EVIDENCE: Final = 100
#: Written into the file, and read again: a file of another layout is not opened.
LAYOUT: Final = 1

_SCHEMA: Final = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE log (
  origin TEXT PRIMARY KEY,
  origin_hash TEXT NOT NULL UNIQUE,
  size INTEGER,
  root BLOB,
  checkpoint BLOB,
  cosigned BLOB,
  time INTEGER
) STRICT;
CREATE TABLE log_key (
  origin TEXT NOT NULL REFERENCES log,
  from_size INTEGER NOT NULL,
  vkey TEXT NOT NULL,
  PRIMARY KEY (origin, from_size)
) STRICT;
CREATE TABLE evidence (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  origin TEXT NOT NULL REFERENCES log,
  finding TEXT NOT NULL,
  held BLOB NOT NULL,
  offered BLOB NOT NULL,
  time INTEGER NOT NULL,
  UNIQUE (origin, finding, held, offered)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """A pair of checkpoints in the store.

    Attributes:
        number: from 1.
        origin: name of the log.
        evidence: the pair.
        time: when it came, s since 1970.
    """

    number: int
    origin: str
    evidence: Evidence
    time: int


class Transaction:
    """Reads and changes inside one transaction. Made by `Store.transaction` only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def state(self, origin: str) -> State:
        """What a request for this log is judged by."""
        latest = self._db.execute("SELECT max(time) FROM log").fetchone()[0]
        return State(self._log(origin), latest or 0)

    def _log(self, origin: str) -> LogState | None:
        row = self._db.execute(
            "SELECT size, root, checkpoint, time FROM log WHERE origin = ?", (origin,)
        ).fetchone()
        if row is None:
            return None
        keys = self._db.execute(
            "SELECT from_size, vkey FROM log_key WHERE origin = ? ORDER BY from_size", (origin,)
        )
        held = None if row[0] is None else Held(*row)
        return LogState(origin, tuple(LogKey(size, parse_vkey(vkey)) for size, vkey in keys), held)

    def cosigned(self, origin: str) -> bytes | None:
        """The newest cosigned checkpoint of a log, with the witness's lines; None if there is none."""
        row = self._db.execute("SELECT cosigned FROM log WHERE origin = ?", (origin,)).fetchone()
        return row[0] if row else None

    def hold(self, origin: str, held: Held, cosigned: bytes) -> None:
        """Remember what is about to be cosigned; what was unproven of this very checkpoint is settled."""
        self._db.execute(
            "UPDATE log SET size = ?, root = ?, checkpoint = ?, time = ?, cosigned = ? WHERE origin = ?",
            (held.size, held.root, held.checkpoint, held.time, cosigned, origin),
        )
        self._db.execute(
            "DELETE FROM evidence WHERE origin = ? AND finding = ? AND offered = ?",
            (origin, Finding.UNPROVEN, held.checkpoint),
        )

    def keep(self, origin: str, evidence: Evidence, time: int) -> bool:
        """Keep a pair of checkpoints, each pair once; whether it is new.

        Of forks the first `MAX_EVIDENCE` stay, since each proves as much as any. Of what is unproven the newest
        stay: anybody can bring it about, with old checkpoints too.
        """
        if evidence.finding is Finding.FORK:
            kept = "SELECT count(*) FROM evidence WHERE origin = ? AND finding = ?"
            if self._db.execute(kept, (origin, evidence.finding)).fetchone()[0] >= MAX_EVIDENCE:
                return False
        done = self._db.execute(
            "INSERT OR IGNORE INTO evidence (origin, finding, held, offered, time) VALUES (?, ?, ?, ?, ?)",
            (origin, evidence.finding, evidence.held, evidence.offered, time),
        )
        self._db.execute(
            "DELETE FROM evidence WHERE number IN (SELECT number FROM evidence WHERE origin = ? AND finding = ?"
            " ORDER BY number DESC LIMIT -1 OFFSET ?)",
            (origin, evidence.finding, MAX_EVIDENCE),
        )
        return done.rowcount == 1

    def add_log(self, key: NoteKey) -> None:
        """Know a new log, called as its key is.

        Raises:
            ConflictError: ``log_known``.
            MalformedError: ``cosigned_name_size``: its name has more than 255 bytes.
        """
        if len(key.name.encode()) > MAX_NAME_BYTES:
            malformed("cosigned_name_size", f"the log's name must have at most {MAX_NAME_BYTES} bytes")
        if self._log(key.name) is not None:
            raise ConflictError("log_known", f"the log {key.name[:64]!r} is known: --from-size adds a key")
        self._db.execute(
            "INSERT INTO log (origin, origin_hash) VALUES (?, ?)", (key.name, origin_hash(key.name))
        )
        self._add_key(key, 0)

    def add_key(self, key: NoteKey, from_size: int) -> None:
        """Let a new key of a known log sign sizes from `from_size` on, the old one none of these.

        Raises:
            ConflictError: ``log_not_known``; ``key_size_taken``: the size is not beyond the one cosigned last
                and that of the key before.
        """
        log = self._log(key.name)
        if log is None:
            raise ConflictError("log_not_known", f"no log {key.name[:64]!r} is known: add it without a size")
        least = max(log.keys[-1].from_size, log.held.size if log.held else 0) + 1
        if from_size < least:
            raise ConflictError("key_size_taken", f"expected a size of at least {least}, got {from_size}")
        self._add_key(key, from_size)

    def _add_key(self, key: NoteKey, from_size: int) -> None:
        self._db.execute(
            "INSERT INTO log_key (origin, from_size, vkey) VALUES (?, ?, ?)",
            (key.name, from_size, encode_vkey(key)),
        )

    def logs(self) -> list[LogState]:
        """All logs, by their names."""
        origins = self._db.execute("SELECT origin FROM log ORDER BY origin").fetchall()
        return [log for (origin,) in origins if (log := self._log(origin)) is not None]

    def evidence(self) -> list[KeptEvidence]:
        """All pairs kept, oldest first."""
        rows = self._db.execute(
            "SELECT number, origin, finding, held, offered, time FROM evidence ORDER BY number"
        )
        return [
            KeptEvidence(number, origin, Evidence(Finding(finding), held, offered), time)
            for number, origin, finding, held, offered, time in rows
        ]


class Store:
    """The file, opened. Threads may share it; so may processes.

    Args:
        path: made by `Store.create`.

    Raises:
        WitnessError: ``no_store``: there is no such file, or it is none of this release.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise WitnessError(
                "no_store", f"{path} is missing: a witness that lost it must not go on under its keys"
            )
        self._lock = threading.Lock()
        self._db = _connect(path)
        if self._db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
            self._db.close()
            raise WitnessError("no_store", f"{path} is no store of this release of the witness")

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty store.

        Raises:
            WitnessError: ``home_in_use``: the file exists.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise WitnessError("home_in_use", f"{path} exists: choose another home directory") from None
        db = _connect(path)
        try:
            db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        finally:
            db.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction under the write lock: durable once left, undone if left by an error.

        Raises:
            WitnessError: ``store_failed``: the file cannot be locked, read or written; nothing was changed, or
                what was is not known to be durable.
        """
        with written(self._db, self._lock, _WHOSE):
            yield Transaction(self._db)

    def log(self, origin: str) -> LogState | None:
        """A log that the witness knows, as it stands; None if it knows none of this name.

        Raises:
            WitnessError: ``store_failed``.
        """
        with self._lock, failures(_WHOSE):
            self._db.execute("BEGIN")
            try:
                return Transaction(self._db).state(origin).log
            finally:
                self._db.execute("ROLLBACK")

    def published(self, hashed: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose origin has this hash; None if there is none.

        Raises:
            WitnessError: ``store_failed``.
        """
        with self._lock, failures(_WHOSE):
            row = self._db.execute("SELECT cosigned FROM log WHERE origin_hash = ?", (hashed,)).fetchone()
        return row[0] if row else None


def _connect(path: Path) -> sqlite3.Connection:
    return connect(path, WitnessError("no_store", f"{path} is no store of a witness"))
