"""Replay: appends entry records to a database, through the one decision, with their own times and secrets.

`rebuild` replays the log into a scratch database and compares the views with it; a restored backup and a log
taken over from another operator are replayed into the database that will be served. Either way nothing is
believed: every signature is verified, every statement decided again, every leaf compared.

Source: design section 1, "One log. Everything else is a view".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.tree import Tree
from countermark_broker.store.engine import Connection
from countermark_broker.store.head import Head, read_head, write_head
from countermark_broker.store.loading import load_state
from countermark_broker.store.reading import RECORD_DAMAGED, EntryRecord, read_document, read_records
from countermark_broker.store.tiles import grow, write_tiles
from countermark_broker.store.writing import NOTHING, Changes, Enclosed, write_changes
from countermark_protocol.appending import Entry, append_statement
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import UnverifiedDocument, parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.state import Needs, needs_of
from countermark_protocol.statements import (
    DirectoryChange,
    Statement,
    header_of,
    purged_by,
    read_statement,
    verify_statement,
)

_TILES: Final = 64


class Replayer:
    """Appends entry records, in order, to a database that holds what came before them.

    Args:
        connection: to it; a writing transaction of the caller's.
        whole: write the entries with all that belongs to them; else only what the views and decisions need.

    Raises:
        FatalError: what the database holds already is not the beginning of a log.
    """

    def __init__(self, connection: Connection, *, whole: bool) -> None:
        self._connection = connection
        self._whole = whole
        self._tree = Tree(_TILES)
        #: Entries whose secret was guessed, and wrongly: the caller must undo everything.
        self.unproven: list[EntryRecord] = []
        self.head: Head = read_head(connection)
        self.directory: Directory = DirectoryHolder().at(connection, self.head, locked=True)

    def add(self, items: Iterable[tuple[EntryRecord, Enclosed]], guessed: Container[int] = ()) -> None:
        """Append records.

        Args:
            items: records, and what lies beside them.
            guessed: indexes of those whose secret is a guess. One that is wrong is taken down in `unproven`, and what
                follows is replayed as if it were right: positions and heads of boxes do not depend on it.

        Raises:
            FatalError: ``entry_differs``: one is missing, is refused, or does not give its own leaf.
        """
        rest = deque(items)
        while rest:
            group: list[tuple[EntryRecord, Enclosed, Statement]] = []
            while rest:
                if group and rest[0][0].kind == Kind.PURGE:
                    # The message that it names may be in this very group.
                    break
                record, enclosed = rest.popleft()
                statement = self._read(record, self.head.size + len(group))
                group.append((record, enclosed, statement))
                if isinstance(statement, DirectoryChange):
                    # What follows may be signed by keys that stand from here on.
                    break
            self._append(group, guessed)

    def go_on(self, connection: Connection) -> None:
        """Use another transaction from here on; the one before was committed."""
        self._connection = connection

    def root(self, size: int) -> bytes:
        """Root of the first `size` leaves."""
        return self._tree.recompute_root(self._connection, size)

    def _read(self, record: EntryRecord, index: int) -> Statement:
        if record.index != index:
            raise FatalError("entry_differs", f"entry {index} is missing", RECORD_DAMAGED)
        try:
            document = verify_statement(self.directory, parse_document(record.document))
            return read_statement(document, record.rows, self._subject(record))
        except (CountermarkError, ValueError) as error:
            raise _does_not_replay(index, error) from error

    def _subject(self, record: EntryRecord) -> UnverifiedDocument | None:
        """The message that a purge names."""
        named = purged_by(parse_document(record.document)) if record.kind == Kind.PURGE else None
        found = read_document(self._connection, named) if named is not None else None
        return parse_document(found) if found else None

    def _append(self, group: list[tuple[EntryRecord, Enclosed, Statement]], guessed: Container[int]) -> None:
        connection, head = self._connection, self.head
        needs = Needs()
        for _record, _enclosed, statement in group:
            needs_of(statement, needs)
        roots = {size: self._tree.root(connection, size) for size in needs.sizes if size <= head.size}
        directory = self.directory
        if isinstance(group[-1][2], DirectoryChange):
            directory = directory.copy()
        # The founding says which log it begins; who replays compares the end with what was signed.
        origin = directory.origin() if directory.count else header_of(group[0][2]).log
        state = load_state(connection, origin, head, directory, needs, roots)
        changes, leaves = Changes(), list[bytes]()
        for record, enclosed, statement in group:
            if state.entries[statement.document.payload_hash] is not None:
                raise FatalError(
                    "entry_differs", f"entry {record.index} logs a payload a second time", RECORD_DAMAGED
                )
            before = state.frontier
            try:
                leaf = record.parsed_leaf()
                entry = append_statement(state, statement, leaf.time, record.secret)
            except (CountermarkError, ValueError) as error:
                raise _does_not_replay(record.index, error) from error
            if record.index in guessed and entry.leaf != leaf:
                entry = replace(entry, leaf=replace(entry.leaf, delivery=leaf.delivery))
                state.frontier = before.append(leaf_hash(record.leaf))
                self.unproven.append(record)
            _check_record(record, entry)
            self._change(changes, entry, enclosed)
            leaves.append(leaf_hash(record.leaf))
            if state.size in needs.sizes:
                roots[state.size] = state.frontier.root()
        grown = grow(self._tree.edge(connection, head.size), head.size, leaves)
        write_changes(connection, changes)
        write_tiles(connection, head.size, grown)
        self.head = Head(state.frontier, state.time, state.directory.count, state.directory.head)
        self.directory = state.directory
        write_head(connection, self.head)
        self._tree.absorb(grown)

    def _change(self, changes: Changes, entry: Entry, enclosed: Enclosed) -> None:
        if self._whole:
            changes.add(entry, enclosed)
            # An empty stanza stands for one that is not there any more.
            changes.stanzas[:] = [row for row in changes.stanzas if row[2]]
            return
        changes.add_views(entry)
        number = entry.leaf.dir_count - 1 if entry.decision.directory is not None else None
        # A purge is decided by the manifest of the message it names.
        document = entry.document.data if entry.leaf.kind == Kind.MESSAGE else b""
        changes.entries.append(
            (entry.index, b"", int(entry.leaf.kind), entry.document.payload_hash, document, b"", b"", number)
        )


def _does_not_replay(index: int, error: Exception) -> FatalError:
    return FatalError("entry_differs", f"entry {index} does not replay: {error}", RECORD_DAMAGED)


def _check_record(record: EntryRecord, entry: Entry) -> None:
    number = entry.leaf.dir_count - 1 if entry.decision.directory is not None else None
    indexed = (record.kind, record.payload_hash, record.dir_number)
    if entry.leaf.encode() != record.leaf or indexed != (
        int(entry.leaf.kind),
        entry.document.payload_hash,
        number,
    ):
        raise FatalError("entry_differs", f"entry {record.index} replays to another leaf", RECORD_DAMAGED)


def replay_log(
    connection: Connection,
    scratch: Connection,
    progress: Callable[[int], None] = lambda _done: None,
) -> Replayer:
    """Replay every entry record of a database into an empty one, page by page.

    Args:
        connection: to the database; a transaction.
        scratch: to the empty one.
        progress: told how many entries are done.

    Raises:
        FatalError: ``entry_differs``: a record does not give its own leaf.
    """
    replayer = Replayer(scratch, whole=False)
    while page := read_records(connection, replayer.head.size):
        replayer.add((record, NOTHING) for record in page)
        progress(replayer.head.size)
    return replayer
