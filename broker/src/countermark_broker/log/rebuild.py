"""Rebuild: replays all entry records through the one decision, and compares or rewrites the views.

Nothing of the views is read for it: what comes out is what the log alone says.

Source: design section 1, "One log. Everything else is a view".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from countermark_broker.errors import FatalError
from countermark_broker.store.engine import Connection
from countermark_broker.store.head import Head
from countermark_broker.store.reading import EntryRecord, read_entries
from countermark_broker.store.tiles import Place, grow
from countermark_broker.store.writing import Changes
from countermark_protocol.appending import append_statement
from countermark_protocol.boxes import BoxState
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Origin
from countermark_protocol.merkle import EMPTY_ROOT, Frontier, leaf_hash
from countermark_protocol.state import LogState, Whole
from countermark_protocol.statements import read_statement, verify_statement

_PAGE = 200
_WAY_OUT = "restore this entry record from a backup or from its parties; the log itself is damaged"


@dataclass(slots=True)
class Replay:
    """What the entry records give.

    Attributes:
        state: of the log after the last of them.
        changes: all rows of the views.
        leaf_hashes: of every leaf, in order.
        roots: by size.
    """

    state: LogState
    changes: Changes = field(default_factory=Changes)
    leaf_hashes: list[bytes] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=lambda: {0: EMPTY_ROOT})

    @property
    def head(self) -> Head:
        """The head row."""
        state = self.state
        return Head(state.frontier, state.time, state.directory.count, state.directory.head)

    def tiles(self) -> dict[Place, bytes]:
        """All tiles."""
        return grow({}, 0, self.leaf_hashes)


async def replay_log(
    connection: Connection, origin: Origin, progress: Callable[[int], None] = lambda _done: None
) -> Replay:
    """Replay every entry record, verifying every signature and comparing leaf by leaf.

    Args:
        connection: a transaction.
        origin: of the log.
        progress: told how many entries are done.

    Raises:
        FatalError: ``entry_differs``: a record does not give its own leaf.
    """
    roots: dict[int, bytes] = {0: EMPTY_ROOT}
    state = LogState(
        origin=origin,
        directory=Directory(),
        frontier=Frontier(),
        time=0,
        entries=Whole(None),
        messages=Whole(None),
        ids=Whole(None),
        parties=Whole(frozenset()),
        boxes=Whole(BoxState()),
        roots=roots,
    )
    replay = Replay(state, roots=roots)
    while page := await read_entries(connection, state.size, _PAGE):
        for record in page:
            _replay_one(replay, record)
        progress(state.size)
    return replay


def _replay_one(replay: Replay, record: EntryRecord) -> None:
    state = replay.state
    if record.index != state.size:
        raise FatalError("entry_differs", f"entry {state.size} is missing", _WAY_OUT)
    try:
        leaf = record.parsed_leaf()
        document = verify_statement(state.directory, parse_document(record.document))
        entry = append_statement(state, read_statement(document, record.rows), leaf.time, record.secret)
    except (CountermarkError, ValueError) as error:
        raise FatalError(
            "entry_differs", f"entry {record.index} does not replay: {error}", _WAY_OUT
        ) from error
    number = entry.leaf.dir_count - 1 if entry.decision.directory is not None else None
    indexed = (record.kind, record.payload_hash, record.dir_number)
    if entry.leaf.encode() != record.leaf or indexed != (leaf.kind, document.payload_hash, number):
        raise FatalError("entry_differs", f"entry {record.index} replays to another leaf", _WAY_OUT)
    replay.changes.add_views(entry)
    replay.leaf_hashes.append(leaf_hash(record.leaf))
    replay.roots[state.size] = state.frontier.root()
