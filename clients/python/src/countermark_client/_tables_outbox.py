"""The outbox: statements in the exact bytes that are sent, in the order of sending, and what became of them."""

from __future__ import annotations

from typing import Any, Final

from countermark_client._records import OutboxItem, OutboxState
from countermark_client._tables import Tables

_COLUMNS: Final = (
    "number, payload, kind, body, state, created, idx, time, proof, account, code, error, tries, tried, proven, "
    "rows, renewed_as"
)


#: Name of a single value of the store.
REFERENCE_SECRET: Final = "reference_secret"  # noqa: S105  the name


def _item(row: tuple[Any, ...]) -> OutboxItem:
    return OutboxItem(row[0], row[1], row[2], row[3], OutboxState(row[4]), *row[5:])


class OutboxTables(Tables):
    """The outbox, and the references under which its messages were handed in."""

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
            f"SELECT {_COLUMNS} FROM outbox WHERE state IN ({marks}) ORDER BY number",  # noqa: S608
            wanted,
        )
        return [_item(row) for row in rows]

    def waiting_sizes(
        self, after: int, limit: int, *, attached: bool | None = None
    ) -> list[tuple[int, str, int]]:
        """(number, kind, bytes) of the statements that wait beyond a number, in order; all if the limit is -1.

        Args:
            after: the number.
            limit: how many at most.
            attached: only messages with attachments, or only statements without any; all if None.
        """
        return self._db.execute(
            "SELECT number, kind, length(body) FROM outbox WHERE state = ?1 AND number > ?2 AND (?4 IS NULL OR ?4 = "
            "EXISTS (SELECT 1 FROM pieces p WHERE p.payload = outbox.payload AND p.direction = 'out')) "
            "ORDER BY number LIMIT ?3",
            (OutboxState.WAITING.value, after, limit, attached),
        ).fetchall()

    def outbox_numbered(self, numbers: list[int]) -> list[OutboxItem]:
        """Statements by their numbers, in order; to be called with as many as fit into memory."""
        rows = [
            self._db.execute(f"SELECT {_COLUMNS} FROM outbox WHERE number = ?", (n,)).fetchone()  # noqa: S608
            for n in numbers
        ]
        return [_item(row) for row in rows if row is not None]

    def outbox_counts(self) -> dict[OutboxState, int]:
        """How many statements are in each state."""
        rows: dict[str, int] = dict(self._db.execute("SELECT state, count(*) FROM outbox GROUP BY state"))
        return {state: rows.get(state.value, 0) for state in OutboxState}

    def outbox_item(self, payload: bytes) -> OutboxItem | None:
        """A statement by its payload hash."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM outbox WHERE payload = ?",  # noqa: S608
            (payload,),
        ).fetchone()
        return None if row is None else _item(row)

    def outbox_at(self, index: int) -> OutboxItem | None:
        """The logged statement of this profile that is a certain entry, or None."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM outbox WHERE idx = ?", (index,)).fetchone()  # noqa: S608
        return None if row is None else _item(row)

    def add_tries(self, payloads: list[bytes], at: int) -> None:
        """Count one more try of each statement; to be called before it."""
        self._db.executemany(
            "UPDATE outbox SET tries = tries + 1, tried = ? WHERE payload = ?", [(at, p) for p in payloads]
        )

    def set_outbox_body(self, payload: bytes, body: bytes) -> None:
        """Replace the bytes of a statement by the same payload with other signatures."""
        self._db.execute("UPDATE outbox SET body = ? WHERE payload = ?", (body, payload))

    def set_outbox_logged(self, payload: bytes, index: int, time: int, proof: bytes, at: int) -> None:
        """A statement was proven to be in the log, at a time of this machine's clock."""
        self._db.execute(
            "UPDATE outbox SET state = ?, idx = ?, time = ?, proof = ?, proven = ?, code = NULL, error = NULL "
            "WHERE payload = ?",
            (OutboxState.LOGGED.value, index, time, proof, at, payload),
        )

    def set_outbox_problem(
        self, payload: bytes, state: OutboxState, code: str, error: str, account: bytes | None = None
    ) -> None:
        """A statement was answered with a problem, held back, or given up."""
        self._db.execute(
            "UPDATE outbox SET state = ?, code = ?, error = ?, account = ? WHERE payload = ?",
            (state.value, code, error, account, payload),
        )

    def set_outbox_waiting(self, payload: bytes) -> None:
        """A statement that failed waits again."""
        self._db.execute(
            "UPDATE outbox SET state = ? WHERE payload = ? AND state = ?",
            (OutboxState.WAITING.value, payload, OutboxState.FAILED.value),
        )

    def set_renewed(self, payload: bytes, renewed_as: bytes) -> None:
        """A message was made anew from one that will never be sent; it takes over its reference."""
        self._db.execute("UPDATE outbox SET renewed_as = ? WHERE payload = ?", (renewed_as, payload))
        self._db.execute("UPDATE drafts SET payload = ? WHERE payload = ?", (renewed_as, payload))

    def prunable(self, before: int, limit: int) -> list[OutboxItem]:
        """Statements proven before a time, whose bytes are still kept."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM outbox WHERE state = 'logged' AND proven < ? AND length(body) > 0 "  # noqa: S608
            "ORDER BY number LIMIT ?",
            (before, limit),
        )
        return [_item(row) for row in rows]

    def prune(self, payload: bytes, rows: bytes | None) -> None:
        """Drop the bytes of a logged statement; what it was, its place and its proof stay."""
        self._db.execute("UPDATE outbox SET body = x'', rows = ? WHERE payload = ?", (rows, payload))

    # --- drafts that gather signatures ---

    def add_signed_draft(self, payload: bytes, body: bytes, at: int) -> None:
        """Remember what this profile has signed to be sent by itself or another; of several, the newest file."""
        self._db.execute("INSERT OR REPLACE INTO signed_drafts VALUES (?, ?, ?)", (payload, body, at))

    def signed_draft(self, payload: bytes) -> bytes | None:
        """The draft of a message that this profile has signed, or None."""
        row: tuple[bytes] | None = self._db.execute(
            "SELECT body FROM signed_drafts WHERE payload = ?", (payload,)
        ).fetchone()
        return row[0] if row is not None else None

    # --- references ---

    def add_reference(self, reference: str, digest: bytes, payload: bytes) -> None:
        """Remember which message was made under a reference; in the transaction that writes the message."""
        self._db.execute("INSERT INTO drafts VALUES (?, ?, ?)", (reference, digest, payload))

    def reference(self, reference: str) -> tuple[bytes, bytes] | None:
        """(digest of the draft, payload hash) of the message made under a reference, or None."""
        row: tuple[bytes, bytes] | None = self._db.execute(
            "SELECT digest, payload FROM drafts WHERE reference = ?", (reference,)
        ).fetchone()
        return row

    @property
    def reference_secret(self) -> bytes:
        """What the ids of messages are derived from their references with; made with the store, 32 bytes."""
        secret = self.meta(REFERENCE_SECRET)
        assert secret is not None
        return secret

    def add_adopted(self, tail: bytes, payload: bytes) -> None:
        """Keep the random part of the id of a message that was adopted after a restore."""
        self._db.execute("INSERT OR IGNORE INTO adopted VALUES (?, ?)", (tail, payload))

    def adopted(self, tail: bytes) -> bytes | None:
        """Payload hash of the adopted message whose id has this random part, or None."""
        row: tuple[bytes] | None = self._db.execute(
            "SELECT payload FROM adopted WHERE tail = ?", (tail,)
        ).fetchone()
        return row[0] if row is not None else None
