"""What crossed a bridge, with both identifiers: a file of its own beside the profile.

Source: docs/spec/bridge.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from countermark_client._database import Database


class Way(StrEnum):
    """Which way something crossed."""

    IN = "in"
    OUT = "out"


class CrossingState(StrEnum):
    """What became of it."""

    CROSSED = "crossed"
    REFUSED = "refused"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Crossed:
    """One thing that reached the bridge.

    Attributes:
        way: in: from the other system into the log; out: from the log to the other system.
        message: payload hash in hexadecimal; None if it was refused on its way in.
        ref: what the other system calls it; None if it was withheld.
        state: what became of it.
        reason: code and words, of what did not cross.
        at: ms since 1970.
    """

    way: Way
    message: str | None
    ref: str | None
    state: CrossingState
    reason: str | None
    at: int


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS crossings (
    way TEXT NOT NULL, message TEXT, ref TEXT, state TEXT NOT NULL, reason TEXT, at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS by_message ON crossings (way, message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS by_ref ON crossings (way, ref) WHERE ref IS NOT NULL;
"""


class Ledger:
    """The crossings of one bridge.

    Args:
        path: of its file, or ``:memory:``.
    """

    def __init__(self, path: Path | str) -> None:
        self._db = Database(str(path), "the bridge's ledger")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                self._db.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def record(self, crossed: Crossed) -> None:
        """Write down a crossing; what crossed stays written, what was refused may cross later."""
        if crossed.ref is not None:
            self._db.execute(
                "DELETE FROM crossings WHERE way = ? AND ref = ? AND state = 'refused'",
                (crossed.way.value, crossed.ref),
            )
        self._db.execute(
            "INSERT OR IGNORE INTO crossings VALUES (?, ?, ?, ?, ?, ?)",
            (
                crossed.way.value,
                crossed.message,
                crossed.ref,
                crossed.state.value,
                crossed.reason,
                crossed.at,
            ),
        )

    def crossings(self) -> list[Crossed]:
        """All, in the order in which they were written down."""
        rows = self._db.execute("SELECT way, message, ref, state, reason, at FROM crossings ORDER BY rowid")
        return [Crossed(Way(way), m, r, CrossingState(state), why, at) for way, m, r, state, why, at in rows]

    def of_message(self, way: Way, message: str) -> Crossed | None:
        """The crossing of a message, or None."""
        return self._one("message", way, message)

    def of_ref(self, way: Way, ref: str) -> Crossed | None:
        """The crossing of what the other system calls so, or None."""
        return self._one("ref", way, ref)

    def _one(self, column: str, way: Way, value: str) -> Crossed | None:
        row = self._db.execute(
            f"SELECT way, message, ref, state, reason, at FROM crossings WHERE way = ? AND {column} = ?",  # noqa: S608
            (way.value, value),
        ).fetchone()
        if row is None:
            return None
        return Crossed(Way(row[0]), row[1], row[2], CrossingState(row[3]), row[4], row[5])
