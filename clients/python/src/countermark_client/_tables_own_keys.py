"""Table of the keys that stand, or stood, under this profile's own name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_client._tables import Tables

OWN_KEYS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS own_keys (
  key_id BLOB PRIMARY KEY, subject TEXT NOT NULL, idx INTEGER NOT NULL, time INTEGER NOT NULL,
  found INTEGER NOT NULL, known TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key that a directory statement named for this endpoint.

    Attributes:
        key_id: 32 bytes.
        subject: whose record first named it: ``keys/…`` or ``endpoint/…`` of this endpoint.
        index: log index of that statement.
        time: of its leaf, ms since 1970.
        found: when this profile saw it, ms since 1970.
        known: how this profile comes to know it; None while it does not: an alarm.
    """

    key_id: bytes
    subject: str
    index: int
    time: int
    found: int
    known: str | None


class OwnKeyTables(Tables):
    """What was seen of one's own name in the directory."""

    def own_keys(self) -> list[OwnKey]:
        """All keys, in log order."""
        rows = self._db.execute(
            "SELECT key_id, subject, idx, time, found, known FROM own_keys ORDER BY idx, key_id"
        )
        return [OwnKey(*row) for row in rows]

    def add_own_key(self, key: OwnKey) -> bool:
        """Remember a key, unless it is there already; whether it was not."""
        before = self._db.execute("SELECT 1 FROM own_keys WHERE key_id = ?", (key.key_id,)).fetchone()
        self._db.execute(
            "INSERT OR IGNORE INTO own_keys VALUES (?, ?, ?, ?, ?, ?)",
            (key.key_id, key.subject, key.index, key.time, key.found, key.known),
        )
        return before is None

    def set_own_key_known(self, key_id: bytes, known: str) -> None:
        """A person, or a statement of one's own, vouches for a key."""
        self._db.execute("UPDATE own_keys SET known = ? WHERE key_id = ?", (known, key_id))
