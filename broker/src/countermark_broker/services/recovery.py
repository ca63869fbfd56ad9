"""Recovery: a lost tail put together of what mirrors and parties have kept, byte for byte or not at all.

The database is a restored backup, the checkpoint store knows more. Records come from an oversight auditor's mirror,
stanzas and contents from the senders. All of it is judged before anything is written (tail_checks.py), written in one
transaction through the replay that every restore goes through, and held against every checkpoint known once more.
What nobody handed back is named, entry by entry, with who could have it.

Source: docs/spec/export.md §6; docs/operations/backup-and-restore.md §5; design section 4, "Lost tail".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from countermark_broker.log.rebuild import Replayer
from countermark_broker.log.tails import Tail, open_tails
from countermark_broker.services.checking import check_enclosed
from countermark_broker.services.maintenance import MOST_FINDINGS
from countermark_broker.services.node import Node
from countermark_broker.services.tail_checks import (
    Chain,
    check_proof,
    differs,
    known_checkpoints,
)
from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.head import lock_head
from countermark_broker.store.purges import read_purges
from countermark_broker.store.reading import EntryRecord, read_enclosed, read_records
from countermark_broker.store.writing import Enclosed, write_enclosed
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.hand_back import HeldStatement
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.statements import purged_by
from countermark_protocol.submission import parse_submission

#: Entries in memory at once.
_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Missing:
    """What nobody handed back.

    Attributes:
        index: of the entry.
        message: what it is, and who could have it; for people.
    """

    index: int
    message: str


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
    """

    size: int
    added: int
    brought: int
    published: int
    missing: tuple[Missing, ...]
    written: bool

    @property
    def whole(self) -> bool:
        """Whether the entries reach all that is known to have been published."""
        return self.size >= self.published


class _UndoneError(Exception):
    """Rolls the transaction back."""


async def recover_tail(
    node: Node, paths: Sequence[Path], *, check: bool = False, without: bool = False
) -> Recovered:
    """Put the entries that a database lacks together from hand-backs, and write them.

    Args:
        node: not running; its database migrated, holding the beginning of the log.
        paths: of the hand-backs.
        check: write nothing.
        without: people have given up the stanzas and contents that are missing: write the entries without them.

    Raises:
        MalformedError: ``bad_hand_back``.
        ConfigurationError: ``tail_of_other_log``.
        FatalError: a file is not of this history, or what it holds does not replay: nothing was written.
    """
    return await asyncio.to_thread(_recover, node, paths, check, without)


def _recover(node: Node, paths: Sequence[Path], check: bool, without: bool) -> Recovered:
    stored = node.store.load()
    node.publisher.check_origin(stored)
    with open_tails(paths, node.origin) as tails:
        with suppress(_UndoneError), node.database.writing() as connection:
            lock_head(connection)
            backend_of(connection).patient(connection)
            done = _Recovery(node, connection, tails).run(without=without)
            if check or not done.written:
                raise _UndoneError
        return replace(done, written=done.written and not check)


class _Recovery:
    """One run, within one transaction."""

    def __init__(self, node: Node, connection: Connection, tails: Sequence[Tail]) -> None:
        self._connection = connection
        self._tails = tails
        self._replayer = Replayer(connection, node.origin, whole=True)
        self._known = known_checkpoints(node.store.load(), tails)
        self._chain = Chain(
            node.origin,
            self._replayer.head.frontier,
            self._replayer.directory.copy(),
            tails,
            {one.checkpoint.size for one in self._known},
        )

    def run(self, *, without: bool) -> Recovered:
        chain, first = self._chain, self._chain.first
        chain.extend()
        published = chain.check(self._known, self._replayer.root)
        if chain.size < published:
            missing = tuple(islice(self._missing_records(published), MOST_FINDINGS))
            return Recovered(first, 0, 0, published, missing, written=False)
        self._check_proofs()
        missing = tuple(self._replay())
        for one in self._known:
            if self._replayer.root(one.checkpoint.size) != one.checkpoint.root:
                raise differs(one.source, f"the replay gives another root for size {one.checkpoint.size}")
        brought = self._bring_back(first)
        return Recovered(
            chain.size,
            chain.size - first,
            brought,
            published,
            missing[:MOST_FINDINGS],
            written=without or not missing,
        )

    # --- one history ---

    def _check_proofs(self) -> None:
        for tail in self._tails:
            for held in tail.statements():
                if (record := self._record(held.index)) is not None:
                    check_proof(tail, held, record)

    def _record(self, index: int) -> EntryRecord | None:
        if index >= self._chain.size:
            return None
        if index >= self._chain.first:
            return self._chain.record(index)
        return read_records(self._connection, index, index + 1)[0]

    def _missing_records(self, below: int) -> Iterator[Missing]:
        for index in range(self._chain.size, below):
            if any(index in tail.records for tail in self._tails):
                continue
            who = f"an oversight auditor's mirror of at least {index + 1} entries has it, or a newer backup"
            held = self._held(index)
            if held is None:
                yield Missing(index, f"entry {index} is missing: {who}")
                continue
            tail, statement = held
            yield Missing(
                index,
                f"entry {index}, a {'message' if statement.is_message else 'statement'} of {tail.header.holder}, was "
                f"handed back in {tail.name}, but not the entry's secret: {who}",
            )

    def _held(self, index: int) -> tuple[Tail, HeldStatement] | None:
        for tail in self._tails:
            if (statement := tail.statement(index)) is not None:
                return tail, statement
        return None

    # --- writing ---

    def _replay(self) -> Iterator[Missing]:
        """Append all records with what lies beside them; what does not."""
        chain = self._chain
        purged = self._purged()
        for start in range(chain.first, chain.size, _BATCH):
            items: list[tuple[EntryRecord, Enclosed]] = []
            for index in range(start, min(start + _BATCH, chain.size)):
                record = chain.record(index)
                enclosed = Enclosed(record.rows, (b"",) * len(record.rows))
                if record.rows and record.payload_hash not in purged:
                    enclosed = self._enclosed(record) or enclosed
                    if enclosed.content is None:
                        yield _beside(record, chain.first)
                items.append((record, enclosed))
            self._replayer.add(items)

    def _purged(self) -> set[bytes]:
        """Payload hashes of the messages that an entry of the tail purges."""
        out: set[bytes] = set()
        for index in range(self._chain.first, self._chain.size):
            record = self._chain.record(index)
            if record.kind == Kind.PURGE and (named := purged_by(parse_document(record.document))):
                out.add(named)
        return out

    def _enclosed(self, record: EntryRecord) -> Enclosed | None:
        """What a party kept of a message, if it is exactly what was signed."""
        for tail in self._tails:
            held = tail.statement(record.index)
            if held is None or not held.is_message:
                continue
            try:
                submission = parse_submission(held.body)
            except CountermarkError as error:
                raise differs(tail.name, f"entry {record.index}: {error.message}") from error
            enclosed = Enclosed(record.rows, submission.stanzas, submission.content)
            if submission.rows != record.rows or any(check_enclosed(record, enclosed)):
                raise differs(
                    tail.name, f"entry {record.index}: it holds another message than was logged there"
                )
            return enclosed
        return None

    def _bring_back(self, first: int) -> int:
        """Bring stanzas and contents back that are missing beside entries which the database held already."""
        count = 0
        for index in sorted({i for tail in self._tails for i in tail.held if i < first}):
            record = read_records(self._connection, index, index + 1)[0]
            if not record.rows or read_purges(self._connection, [record]):
                continue
            if not any(check_enclosed(record, read_enclosed(self._connection, record))):
                continue
            if (enclosed := self._enclosed(record)) is not None:
                write_enclosed(self._connection, index, enclosed)
                count += 1
        return count


def _beside(record: EntryRecord, first: int) -> Missing:
    sender = parse_manifest(parse_document(record.document).claims).sender
    return Missing(
        record.index,
        f"entry {record.index}: the stanzas and the content of this message of {sender} are missing: {sender} keeps "
        f"them until 30 days after it was proven, and hands them back with `countermark hand-back --since {first}`",
    )
