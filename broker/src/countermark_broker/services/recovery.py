"""Recovery: a lost tail put together of what mirrors and parties have kept, byte for byte or not at all.

The database is a restored backup; the checkpoint store, a witness or a mirror knows more (elsewhere.py). Records come
from an oversight auditor's mirror, or are put together of what parties kept (tail_pool.py), stanzas and contents from
senders and recipients. All of it is judged before anything is written (tail_checks.py), written in one transaction
through the replay that every restore goes through, and held against every checkpoint known once more. What nobody
handed back is named, entry by entry, with its kind and time where its leaf is known, and who could have it.

Source: docs/spec/export.md §6; docs/operations/backup-and-restore.md §5; design section 4, "Lost tail".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from countermark_broker.log.rebuild import Replayer
from countermark_broker.log.tails import Tail, open_tails
from countermark_broker.services.checking import check_enclosed
from countermark_broker.services.elsewhere import Asked, Heard, ask_elsewhere
from countermark_broker.services.maintenance import MOST_FINDINGS
from countermark_broker.services.node import Node
from countermark_broker.services.tail_checks import (
    Chain,
    check_proof,
    known_checkpoints,
    proofs_of,
)
from countermark_broker.services.tail_pool import Missing, Pool, differs
from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.head import lock_head, read_head
from countermark_broker.store.purges import read_purges
from countermark_broker.store.reading import EntryRecord, read_enclosed, read_records
from countermark_broker.store.writing import Enclosed, write_enclosed
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.statements import purged_by

#: Entries in memory at once.
_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did, or would do.

    Attributes:
        size: entries that the database holds, or would hold.
        added: of these, from the files.
        brought: messages that the database held, to which stanzas or content came back.
        published: the largest size that is known to have been published.
        missing: what nobody handed back.
        written: whether it was done: not if it was only to be checked, nor where something is missing that nobody
            gave up.
        lacking: indexes of the entries that are not written because they, or their secrets, are missing.
        heard: what witnesses and mirrors said.
        proven: leaves beyond the database that are proven under every checkpoint known, whether their entries are
            there or not.
    """

    size: int
    added: int
    brought: int
    published: int
    missing: tuple[Missing, ...]
    written: bool
    lacking: tuple[int, ...] = ()
    heard: tuple[Heard, ...] = ()
    proven: int = 0

    @property
    def whole(self) -> bool:
        """Whether the entries reach all that is known to have been published."""
        return self.size >= self.published


class _UndoneError(Exception):
    """Rolls the transaction back."""


async def recover_tail(
    node: Node,
    paths: Sequence[Path],
    *,
    mirrors: Sequence[str] = (),
    check: bool = False,
    without: bool = False,
) -> Recovered:
    """Put the entries that a database lacks together from hand-backs, and write them.

    Args:
        node: not running; its database migrated, holding the beginning of the log.
        paths: of the hand-backs.
        mirrors: prefixes of mirrors of this log, to take leaves from beside those of the settings.
        check: write nothing.
        without: people have given up the stanzas and contents that are missing: write the entries without them.

    Raises:
        MalformedError: ``bad_hand_back``.
        ConfigurationError: ``tail_of_other_log``.
        FatalError: a file is not of this history, or what it holds does not replay: nothing was written.
    """
    head = await node.database.read(read_head)
    asked = Asked()
    if head.size:
        directory = await node.newest_directory()
        urls = (*node.settings.mirrors, *mirrors)

        def root(size: int) -> bytes:
            with node.database.reading() as connection:
                return node.tree.recompute_root(connection, size)

        asked = await asyncio.to_thread(ask_elsewhere, node, directory, urls, head.size, root)
    return await asyncio.to_thread(_recover, node, paths, asked, check, without)


def _recover(node: Node, paths: Sequence[Path], asked: Asked, check: bool, without: bool) -> Recovered:
    stored = node.store.load()
    node.publisher.check_origin(stored)
    node.content.open()
    with open_tails(paths, node.origin) as tails:
        with suppress(_UndoneError), node.database.writing() as connection:
            lock_head(connection)
            backend_of(connection).patient(connection)
            done = _Recovery(node, connection, tails, asked).run(without=without)
            if check or not done.written:
                raise _UndoneError
        return replace(done, written=done.written and not check)


class _Recovery:
    """One run, within one transaction."""

    def __init__(self, node: Node, connection: Connection, tails: Sequence[Tail], asked: Asked) -> None:
        self._connection = connection
        self._content = node.content
        self._tails = tails
        self._asked = asked
        self._pool = Pool(node.origin, tails, asked.leaves, node.entry_key)
        self._replayer = Replayer(connection, whole=True)
        self._known = known_checkpoints(node.store.load(), tails, asked.heard)
        self._chain = Chain(
            self._replayer.head.frontier,
            self._replayer.directory.copy(),
            self._pool,
            {one.checkpoint.size for one in self._known},
        )

    def run(self, *, without: bool) -> Recovered:
        chain, first = self._chain, self._chain.first
        chain.extend()
        published = chain.check(self._known, self._replayer.root)
        self._check_proofs()
        # Before a gap, replay tells which secrets are the wrong ones; behind it, nothing can be decided.
        beside = tuple(self._replay())
        lacking = [self._pool.other_secret(record) for record in self._replayer.unproven]
        lacking += [self._pool.missing(i) for i in range(chain.size, published) if self._pool.find(i) is None]
        reached = [one.checkpoint.size for one in self._known if one.checkpoint.size <= chain.reach]
        done = Recovered(
            size=first,
            added=0,
            brought=0,
            published=published,
            missing=(*lacking, *beside)[:MOST_FINDINGS],
            written=False,
            lacking=tuple(one.index for one in lacking),
            heard=self._asked.heard,
            proven=max([first, *reached]) - first,
        )
        if lacking or chain.size < published:
            return done
        for one in self._known:
            if self._replayer.root(one.checkpoint.size) != one.checkpoint.root:
                raise differs(one.source, f"the replay gives another root for size {one.checkpoint.size}")
        brought = self._bring_back(first)
        return replace(
            done,
            size=chain.size,
            added=chain.size - first,
            brought=brought,
            written=without or not beside,
        )

    # --- one history ---

    def _check_proofs(self) -> None:
        for tail in self._tails:
            for index, proof in proofs_of(tail):
                if (leaf := self._leaf(index)) is not None:
                    check_proof(tail, index, proof, leaf)

    def _leaf(self, index: int) -> bytes | None:
        if index >= self._chain.reach:
            return None
        if index >= self._chain.first:
            return self._chain.leaf(index)
        return read_records(self._connection, index, index + 1)[0].leaf

    # --- writing ---

    def _replay(self) -> Iterator[Missing]:
        """Append all records with what lies beside them; what does not."""
        chain = self._chain
        purged = self._purged()
        for start in range(chain.first, chain.size, _BATCH):
            items: list[tuple[EntryRecord, Enclosed]] = []
            guessed: set[int] = set()
            for index in range(start, min(start + _BATCH, chain.size)):
                found = chain.found(index)
                record = found.record
                if found.guessed:
                    guessed.add(index)
                enclosed = Enclosed(record.rows, (b"",) * len(record.rows))
                if record.rows and record.payload_hash not in purged:
                    enclosed = self._pool.enclosed(record) or enclosed
                    if any(check_enclosed(record, enclosed)):
                        yield _beside(record, enclosed, chain.first)
                items.append((record, enclosed))
            self._replayer.add(items, guessed)

    def _purged(self) -> set[bytes]:
        """Payload hashes of the messages that an entry of the tail purges."""
        out: set[bytes] = set()
        for index in range(self._chain.first, self._chain.size):
            if parse_leaf(self._chain.leaf(index)).kind != Kind.PURGE:
                continue
            if named := purged_by(parse_document(self._chain.found(index).record.document)):
                out.add(named)
        return out

    def _bring_back(self, first: int) -> int:
        """Bring stanzas and contents back that are missing beside entries which the database held already."""
        count = 0
        for index in sorted({i for tail in self._tails for i in (*tail.held, *tail.kept) if i < first}):
            record = read_records(self._connection, index, index + 1)[0]
            if not record.rows or read_purges(self._connection, [record]):
                continue
            if not any(check_enclosed(record, read_enclosed(self._connection, record, self._content))):
                continue
            if (enclosed := self._pool.enclosed(record)) is not None:
                write_enclosed(self._connection, index, enclosed)
                count += 1
        return count


def _beside(record: EntryRecord, enclosed: Enclosed, first: int) -> Missing:
    sender = parse_manifest(parse_document(record.document).claims).sender
    lost = [
        str(row.endpoint) for row, stanza in zip(record.rows, enclosed.stanzas, strict=True) if not stanza
    ]
    if enclosed.content is None and len(lost) == len(record.rows):
        what = "the stanzas and the content"
    else:
        stanzas = [f"the stanzas for {', '.join(lost)}"] if lost else []
        content = ["the content"] if enclosed.content is None else []
        what = " and ".join([*stanzas, *content]) or "the lists of pieces of the attachments"
    leaf = record.parsed_leaf()
    return Missing(
        record.index,
        f"entry {record.index}: {what} of this message of {sender} are missing: {sender} keeps them until 30 days "
        "after it was proven, its recipients each their own, and all hand them back with "
        f"`countermark hand-back --since {first}`",
        "message",
        leaf.time,
    )
