"""fsck: reads everything there is, once, and names what is missing, altered, surplus or in contradiction.

`rebuild --check` replays the decisions and compares the views, row by row. This looks at the rest, without verifying
a signature: what lies beside entries, their index columns, the tree against the leaves, rows that nothing explains,
the head against the last leaf and the checkpoint store, and whether boxes are whole and end at their heads. One
snapshot, page by page; nodes may be running.

Source: docs/operations/checking.md §2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from countermark_broker.services.checking import Finding, check_enclosed, check_record
from countermark_broker.services.content_check import check_blobs
from countermark_broker.services.maintenance import MOST_FINDINGS
from countermark_broker.services.node import Node
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.head import Head, read_head
from countermark_broker.store.pieces import read_claims, read_without_blob
from countermark_broker.store.purges import count_purges, read_purges
from countermark_broker.store.reading import (
    EntryRecord,
    UnreadableRecord,
    read_any_records,
    read_content,
    read_enclosed,
    read_orphans,
    read_stanza_counts,
)
from countermark_broker.store.tiles import Place, count_tiles, edge_places, grow, read_tiles
from countermark_broker.store.views import read_box_faults
from countermark_protocol.checkpoint import UnverifiedCheckpoint
from countermark_protocol.errors import CountermarkError
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.merkle import Frontier, leaf_hash

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What fsck found.

    Attributes:
        entries: that it has read.
        findings: the first thousand.
    """

    entries: int
    findings: tuple[Finding, ...]


async def check_everything(node: Node, progress: Progress = lambda _done: None) -> Checked:
    """Look at everything; changes nothing.

    Raises:
        FatalError: the checkpoint store is missing or unreadable.
    """

    def run() -> Checked:
        # The store first: what it names was committed before.
        stored = node.store.load()
        with node.database.reading() as connection:
            backend_of(connection).patient(connection)
            checked = _Look(connection, node.content, stored, progress).run()
        # Outside of the snapshot: stores have none, and nodes may move and delete pieces meanwhile.
        rest = islice(check_blobs(node), MOST_FINDINGS - len(checked.findings))
        return Checked(checked.entries, (*checked.findings, *rest))

    return await asyncio.to_thread(run)


class _Look:
    def __init__(
        self,
        connection: Connection,
        content: ContentStore,
        stored: UnverifiedCheckpoint,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._content = content
        self._stored = stored
        self._progress = progress
        self._head: Head | None = None
        with suppress(CountermarkError):
            self._head = read_head(connection)
        self._next = 0
        self._read = 0
        self._last: bytes | None = None
        self._frontier = Frontier()
        self._edge: dict[Place, bytes] = {}
        self._tiles = 0

    def run(self) -> Checked:
        findings = tuple(islice(self._findings(), MOST_FINDINGS))
        return Checked(self._read, findings)

    def _findings(self) -> Iterator[Finding]:
        size = self._head.size if self._head is not None else self._stored.size
        if self._stored.size > size:
            yield Finding(
                "behind_store", f"the published log has {self._stored.size} entries, this database {size}"
            )
        while page := read_any_records(self._connection, self._next):
            yield from self._page(page)
            self._progress(self._next)
        yield from self._end()
        for words in read_box_faults(self._connection, MOST_FINDINGS):
            yield Finding("box_differs", words)
        logged, viewed = count_purges(self._connection)
        if logged != viewed:
            yield Finding(
                "purges_differ", f"the log holds {logged} purges, the table of purged messages {viewed}"
            )
        for name, index in read_orphans(self._connection, MOST_FINDINGS):
            yield Finding("orphan_row", f"{name} names entry {index}, which is not there")

    def _page(self, page: list[EntryRecord | UnreadableRecord]) -> Iterator[Finding]:
        counts = read_stanza_counts(self._connection, page[0].index, page[-1].index)
        purges = read_purges(self._connection, (r for r in page if isinstance(r, EntryRecord)))
        old, leaves = self._frontier.size, list[bytes]()
        for record in page:
            self._read += 1
            if record.index != self._next:
                yield Finding("entry_missing", f"entries {self._next} to {record.index - 1} are missing")
            self._next = record.index + 1
            if isinstance(record, UnreadableRecord):
                yield Finding("entry_unreadable", f"entry {record.index}: {record.reason}")
            else:
                yield from self._record(record, counts.get(record.index, 0), purges.get(record.index))
            self._last = record.leaf
            hashed = leaf_hash(record.leaf)
            leaves.append(hashed)
            self._frontier = self._frontier.append(hashed)
            if self._frontier.size == self._stored.size and self._frontier.root() != self._stored.root:
                yield Finding(
                    "root_differs",
                    f"the leaves give another root for size {self._stored.size} than was published",
                )
        grown = grow(self._edge, old, leaves)
        edge = set(edge_places(self._frontier.size))
        self._edge = {place: data for place, data in grown.items() if place in edge} | {
            place: data for place, data in self._edge.items() if place in edge and place not in grown
        }
        yield from self._compare_tiles({p: data for p, data in grown.items() if p not in edge})

    def _record(self, record: EntryRecord, stanzas: int, purge: int | None) -> Iterator[Finding]:
        yield from check_record(record)
        enclosed = read_enclosed(self._connection, record, self._content)
        lost = read_without_blob(self._connection, [digest for _part, _number, digest in enclosed.claims()])
        yield from check_enclosed(record, enclosed, purge, lost)
        surplus = stanzas - sum(map(bool, enclosed.stanzas))
        if surplus > 0:
            yield Finding("surplus_stanza", f"entry {record.index}: {surplus} stanzas for nobody named in it")
        if not record.rows and read_claims(self._connection, record.index):
            yield Finding("surplus_claim", f"entry {record.index}: claims pieces, but is no message")
        if not record.rows and read_content(self._connection, record.index) is not None:
            yield Finding("surplus_content", f"entry {record.index}: has content, but is no message")

    def _compare_tiles(self, expected: dict[Place, bytes]) -> Iterator[Finding]:
        found = read_tiles(self._connection, expected)
        self._tiles += len(found)
        for place, data in expected.items():
            if found.get(place) != data:
                what = "is missing" if place not in found else "is not what the leaves give"
                yield Finding("tile_differs", f"tile {place[1]} of level {place[0]} {what}")

    def _end(self) -> Iterator[Finding]:
        yield from self._compare_tiles(self._edge)
        surplus = count_tiles(self._connection) - self._tiles
        if surplus > 0:
            yield Finding("surplus_tile", f"{surplus} tiles beyond those of {self._next} leaves")
        if self._head is None:
            yield Finding("head_differs", "the head row's size and frontier do not belong together")
        elif self._head.frontier != self._frontier:
            yield Finding(
                "head_differs",
                f"the head row tells of {self._head.size} entries and another root than the {self._next} "
                "leaves give",
            )
        elif self._last is not None:
            yield from _check_head(self._head, self._last)


def _check_head(head: Head, data: bytes) -> Iterator[Finding]:
    """What the head row repeats of the last leaf: the next one gets its time and directory from there."""
    with suppress(CountermarkError):
        leaf = parse_leaf(data)
        if (head.time, head.dir_count, head.dir_head) != (leaf.time, leaf.dir_count, leaf.dir_head):
            yield Finding("head_differs", "the head row's time or directory is not that of the last leaf")
