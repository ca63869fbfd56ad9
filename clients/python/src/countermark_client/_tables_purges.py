"""The table of purges: on what ground the content of a message is gone, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_client._tables import Tables

PURGES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS purges (
  message BLOB PRIMARY KEY, idx INTEGER NOT NULL, time INTEGER NOT NULL, author TEXT NOT NULL, ground TEXT NOT NULL,
  document BLOB NOT NULL, proof BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StoredPurge:
    """A logged purge of a message of this profile.

    Attributes:
        message: payload hash, 32 bytes.
        index: of the purge's entry.
        time: of its leaf, ms since 1970.
        author: the broker, or the message's sender.
        ground: as stated.
        document: signed.
        proof: as kept, JSON.
    """

    message: bytes
    index: int
    time: int
    author: str
    ground: str
    document: bytes
    proof: bytes


class PurgeTables(Tables):
    """Purges."""

    def add_purge(self, p: StoredPurge) -> None:
        """Keep a purge; a message has one, the first."""
        self._db.execute(
            "INSERT OR IGNORE INTO purges VALUES (?, ?, ?, ?, ?, ?, ?)",
            (p.message, p.index, p.time, p.author, p.ground, p.document, p.proof),
        )

    def purge(self, message: bytes) -> StoredPurge | None:
        """The purge of a message, if one is known."""
        row = self._db.execute(
            "SELECT message, idx, time, author, ground, document, proof FROM purges WHERE message = ?",
            (message,),
        ).fetchone()
        return StoredPurge(*row) if row is not None else None
