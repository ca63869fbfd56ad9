"""The table of pieces: which sealed pieces make up each attachment that this profile sends or has received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from countermark_client._records import Direction
from countermark_client._tables import Tables

PIECES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pieces (
  payload BLOB NOT NULL, direction TEXT NOT NULL, attachment INTEGER NOT NULL, number INTEGER NOT NULL,
  digest BLOB NOT NULL, PRIMARY KEY (payload, direction, attachment, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pieces_by_digest ON pieces (digest);
"""


class PieceTables(Tables):
    """Pieces."""

    def add_pieces(
        self, payload: bytes, direction: Direction, attachment: int, digests: Sequence[bytes]
    ) -> None:
        """Keep which pieces make up an attachment."""
        self._db.executemany(
            "INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?)",
            [(payload, direction.value, attachment, i, digest) for i, digest in enumerate(digests)],
        )

    def pieces(self, payload: bytes, direction: Direction, attachment: int) -> tuple[bytes, ...]:
        """Digests of the pieces of an attachment in order; none if they are not known here."""
        rows = self._db.execute(
            "SELECT digest FROM pieces WHERE payload = ? AND direction = ? AND attachment = ? ORDER BY number",
            (payload, direction.value, attachment),
        )
        return tuple(row[0] for row in rows)

    def has_pieces(self, payload: bytes) -> bool:
        """Whether a sent message has attachments."""
        row = self._db.execute(
            "SELECT 1 FROM pieces WHERE payload = ? AND direction = 'out' LIMIT 1", (payload,)
        )
        return row.fetchone() is not None

    def forget_pieces(
        self, payload: bytes, direction: Direction, attachment: int | None = None
    ) -> tuple[bytes, ...]:
        """Forget the pieces of a message, or of one attachment of it; those that nothing else names."""
        where = "payload = ? AND direction = ? AND coalesce(?, attachment) = attachment"
        values = (payload, direction.value, attachment)
        gone = {row[0] for row in self._db.execute(f"SELECT digest FROM pieces WHERE {where}", values)}  # noqa: S608
        self._db.execute(f"DELETE FROM pieces WHERE {where}", values)  # noqa: S608
        return tuple(
            digest
            for digest in gone
            if not self._db.execute("SELECT 1 FROM pieces WHERE digest = ?", (digest,)).fetchone()
        )

    def all_pieces(self) -> frozenset[bytes]:
        """Digests of all pieces that are named."""
        return frozenset(row[0] for row in self._db.execute("SELECT DISTINCT digest FROM pieces"))
