"""Tables of what a profile has verified of the log: its roots, its directory, its own boxes."""

from __future__ import annotations

from typing import Final

from countermark_client._records import MessageStage, StoredEarlyLeaf, StoredRevocation
from countermark_client._tables import Tables
from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState
from countermark_protocol.claims import Seen

#: Name of a single value of the store: that of the log, where it is not the founding's any more.
LOG_NAME: Final = "log_name"


class LogTables(Tables):
    """What was seen of the log."""

    def known_root(self, size: int) -> bytes | None:
        """The root that was verified for a size of the log, or None."""
        row = self._db.execute("SELECT root FROM known_roots WHERE size = ?", (size,)).fetchone()
        return None if row is None else bytes(row[0])

    def newest_root(self, most: int) -> Seen | None:
        """The largest size up to `most` whose root was verified, with the root."""
        row = self._db.execute(
            "SELECT size, root FROM known_roots WHERE size <= ? ORDER BY size DESC LIMIT 1", (most,)
        ).fetchone()
        return None if row is None else Seen(row[0], bytes(row[1]))

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

    # --- leaves from the future ---

    def early_leaves(self) -> list[StoredEarlyLeaf]:
        """Leaves that state a time which had not come, in log order."""
        rows = self._db.execute("SELECT idx, leaf, proof, noticed, proven FROM early_leaves ORDER BY idx")
        return [StoredEarlyLeaf(r[0], r[1], r[2], r[3], bool(r[4])) for r in rows]

    def add_early_leaf(self, one: StoredEarlyLeaf) -> None:
        """Keep such a leaf."""
        self._db.execute(
            "INSERT OR IGNORE INTO early_leaves VALUES (?, ?, ?, ?, ?)",
            (one.index, one.leaf, one.proof, one.noticed, one.proven),
        )

    def set_early_leaf_proven(self, index: int) -> None:
        """Witnesses say that the log's clock was wrong."""
        self._db.execute("UPDATE early_leaves SET proven = 1 WHERE idx = ?", (index,))

    def drop_early_leaf(self, index: int) -> None:
        """Witnesses say that this machine's clock was wrong."""
        self._db.execute("DELETE FROM early_leaves WHERE idx = ?", (index,))

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
