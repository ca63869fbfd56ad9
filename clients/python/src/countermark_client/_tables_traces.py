"""Tables of tracing: when this endpoint's own receipts were logged, and which traces its people closed."""

from __future__ import annotations

from typing import Final

from countermark_client._tables import Tables
from countermark_protocol.tracing.trace import Closing

TRACES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS own_receipts (
  message BLOB NOT NULL, stage TEXT NOT NULL, idx INTEGER NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY (message, stage)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS closings (
  request BLOB NOT NULL, requested TEXT NOT NULL, at INTEGER NOT NULL, diversion INTEGER NOT NULL,
  note TEXT NOT NULL, PRIMARY KEY (request, requested)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS handling_read (message BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looked_into (
  destroyed BLOB NOT NULL, appeared BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (destroyed, appeared))
  WITHOUT ROWID;
"""


class TraceTables(Tables):
    """What a clock of a trace needs beside the messages."""

    def add_own_receipt(self, message: bytes, stage: str, index: int, time: int) -> None:
        """Keep when a receipt by this endpoint was logged; of one stage a message has one."""
        self._db.execute(
            "INSERT OR IGNORE INTO own_receipts VALUES (?, ?, ?, ?)", (message, stage, index, time)
        )

    def own_receipts(self, message: bytes) -> dict[str, int]:
        """Times of the receipts by this endpoint about a message, by stage; ms since 1970."""
        return dict(
            self._db.execute("SELECT stage, time FROM own_receipts WHERE message = ?", (message,)).fetchall()
        )

    def add_closing(self, closing: Closing) -> None:
        """Keep that a trace was closed; closed again, the later word stands."""
        self._db.execute(
            "INSERT OR REPLACE INTO closings VALUES (?, ?, ?, ?, ?)",
            (closing.request, closing.requested, closing.at, closing.diversion_established, closing.note),
        )

    def closings(self) -> list[Closing]:
        """All closings."""
        rows = self._db.execute("SELECT request, requested, at, diversion, note FROM closings").fetchall()
        return [
            Closing(request, requested, at, bool(div), note) for request, requested, at, div, note in rows
        ]

    def set_looked_into(self, destroyed: bytes, appeared: bytes, at: int) -> None:
        """Keep that people have looked into a weapon's appearance after its destruction."""
        self._db.execute("INSERT OR IGNORE INTO looked_into VALUES (?, ?, ?)", (destroyed, appeared, at))

    def looked_into(self) -> set[tuple[bytes, bytes]]:
        """(notice of destruction, message of the appearance) that people have looked into."""
        return set(self._db.execute("SELECT destroyed, appeared FROM looked_into").fetchall())

    def set_handling_read(self, message: bytes, at: int) -> None:
        """Keep that a person has read the restrictions that H3 of a message stands for."""
        self._db.execute("INSERT OR IGNORE INTO handling_read VALUES (?, ?)", (message, at))

    def handling_read(self, message: bytes) -> bool:
        """Whether a person has."""
        row = self._db.execute("SELECT 1 FROM handling_read WHERE message = ?", (message,)).fetchone()
        return row is not None

    def traced_conversations(self) -> list[bytes]:
        """Conversations that hold a tracing request, the newest first; by their manifests' text."""
        rows = self._db.execute(
            "SELECT conversation FROM messages WHERE instr(document, ?) > 0 GROUP BY conversation "
            "ORDER BY max(idx IS NULL) DESC, max(idx) DESC",
            (_MARK,),
        ).fetchall()
        return [row[0] for row in rows]


#: Stands in the payload of every tracing request.
_MARK: Final = b'"type":"tracing-request"'
