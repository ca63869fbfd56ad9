"""The agency's log as it is kept: a table, and its head in a file of its own beside the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select, text

from countermark_client._keystore import write_private
from countermark_console.agency_log.chain import Entry, Head, chain, parse_head, verify_chain
from countermark_console.clock import Clock
from countermark_console.store.database import POSTGRESQL, Database
from countermark_console.store.tables import agency_log

HEAD_FILE: Final = "agency-log.head"
#: The account name of what the program does by itself.
CONSOLE: Final = "console"
_OBJECT: Final = 300
_Append = Callable[[Connection, str, str, str, str], Entry]
#: Serialises appends of several processes (PostgreSQL).
_LOCK: Final = 0x434D_4C4F


class Recording:
    """A transaction whose actions are logged.

    Attributes:
        connection: for what is done.
        head: after the last entry written; None before.
    """

    def __init__(self, connection: Connection, append: _Append) -> None:
        self.connection = connection
        self.head: Head | None = None
        self._append = append

    def write(self, who: str, what: str, object_: str = "", detail: str = "") -> Entry:
        """As `AgencyLog.write`, within this transaction."""
        entry = self._append(self.connection, who, what, object_, detail)
        self.head = Head(entry.number, entry.hash)
        return entry


class AgencyLog:
    """Appends to the log, reads it and verifies it.

    Args:
        database: with the table.
        folder: where the head's file lies.
        clock: ms since 1970.
    """

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        self._database = database
        self._head_file = folder / HEAD_FILE
        self._clock = clock
        self._lock = threading.Lock()

    def write(self, who: str, what: str, object_: str = "", detail: str = "") -> Entry:
        """Append one action, in a transaction of its own.

        Args:
            who: name of the account.
            what: the action.
            object_: what it was done to; cut at 300 characters.
            detail: in words. Never key material or content.
        """
        with self.transaction() as recording:
            return recording.write(who, what, object_, detail)

    @contextmanager
    def transaction(self) -> Iterator[Recording]:
        """A write transaction for what is done and logged at once: both stand, or neither."""
        with self._lock:
            with self._database.write() as connection:
                recording = Recording(connection, self._append)
                yield recording
            if recording.head is not None:
                self._keep_head(recording.head)

    def _append(self, connection: Connection, who: str, what: str, object_: str, detail: str) -> Entry:
        if self._database.dialect == POSTGRESQL:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        last = connection.execute(
            select(agency_log.c.number, agency_log.c.hash).order_by(agency_log.c.number.desc()).limit(1)
        ).first()
        head = Head(last.number, bytes(last.hash)) if last is not None else Head()
        entry = chain(head, self._clock(), who, what, object_[:_OBJECT], detail)
        connection.execute(
            agency_log.insert().values(
                number=entry.number,
                at=entry.at,
                who=entry.who,
                what=entry.what,
                object=entry.object,
                detail=entry.detail,
                hash=entry.hash,
            )
        )
        return entry

    def _keep_head(self, head: Head) -> None:
        kept = self.kept_head()
        if kept is None or kept.number < head.number:
            write_private(self._head_file, f"{head}\n".encode())

    def kept_head(self) -> Head | None:
        """The head in the file beside the database; None if there is none yet.

        Raises:
            ChainError: ``not_a_head``.
        """
        with suppress(FileNotFoundError):
            return parse_head(self._head_file.read_text())
        return None

    def entries(self, *, before: int | None = None, limit: int = 50, who: str = "") -> list[Entry]:
        """Entries, the newest first.

        Args:
            before: only those with a lower number.
            limit: at most so many.
            who: only of this account.
        """
        query = select(agency_log).order_by(agency_log.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(agency_log.c.number < before)
        if who:
            query = query.where(agency_log.c.who == who)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self, expected: Head | None = None) -> Head:
        """Check the whole log, against the kept head and one that somebody wrote down.

        Raises:
            ChainError: it is not what was written.
        """
        kept = self.kept_head()
        with self._database.read() as connection:
            head = verify_chain(self._all(connection), kept)
            if expected is not None:
                verify_chain(self._all(connection), expected)
        return head

    @staticmethod
    def _all(connection: Connection) -> Iterator[Entry]:
        rows = connection.execution_options(yield_per=1000).execute(
            select(agency_log).order_by(agency_log.c.number)
        )
        for row in rows:
            yield _entry(row)


def _entry(row: object) -> Entry:
    number, at, who, what, object_, detail, hash_ = tuple(row)  # type: ignore[var-annotated,arg-type]
    return Entry(number, at, who, what, object_, detail, bytes(hash_))
