"""Appending one group: step 2 of the commit order, everything under the lock.

Source: docs/spec/log.md §6; design section 4, "Commit order".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_broker.clock import Clock, check_clock
from countermark_broker.errors import NotStorableError
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints
from countermark_broker.log.publisher import log_key_missing
from countermark_broker.log.tree import Tree
from countermark_broker.store.engine import Connection, Database, database_now
from countermark_broker.store.head import Head, lock_head, write_head
from countermark_broker.store.loading import load_state
from countermark_broker.store.pieces import read_held
from countermark_broker.store.tiles import Place, grow, write_tiles
from countermark_broker.store.writing import Changes, Enclosed, write_changes
from countermark_protocol.appending import Entry, append_statement, entry_secret
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.decision import decide
from countermark_protocol.directory import Directory
from countermark_protocol.errors import ConflictError, CountermarkError
from countermark_protocol.identifiers import Address, KeyId, Origin
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.state import LogState, Needs, needs_of
from countermark_protocol.statements import DirectoryChange, MessageStatement, Statement

#: Digests that a refusal names.
_NAMED: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Submitted:
    """A verified statement that wants to become an entry.

    Attributes:
        statement: all its signatures verified.
        enclosed: what came with it.
    """

    statement: Statement
    enclosed: Enclosed


@dataclass(frozen=True, slots=True)
class Appended:
    """It became an entry by this call.

    Attributes:
        entry: committed.
        checkpoint: a published one that holds it, once there is one.
        path: of its leaf under that checkpoint.
    """

    entry: Entry
    checkpoint: Checkpoint | None = None
    path: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """It was an entry already."""

    index: int


@dataclass(frozen=True, slots=True)
class Refused:
    """It was refused.

    Attributes:
        error: why.
        time: that its leaf would have had, ms since 1970.
        size: of the log it was decided at.
    """

    error: CountermarkError
    time: int
    size: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was decided: the database, the clock or this software failed."""

    error: Exception


Outcome = Appended | Repeated | Refused | Failed


def secret_maker(origin: Origin, key: bytes | None) -> Callable[[int, bytes], bytes]:
    """What makes an entry's secret: from the entry key, or at random where this node has none."""
    if key is None:
        return lambda _index, _statement: os.urandom(32)
    return lambda index, statement: entry_secret(key, origin, index, statement)


class Appender:
    """Decides and commits groups of statements.

    Args:
        origin: of the log.
        database: where entries are committed.
        holder: the node's directory.
        tree: reads the tiles.
        clock: of this node.
        clock_difference_ms: how far it may be from the database's.
        holds: whether this node holds a log key.
        faults: fault points.
        way: cleared while the lock is held, so that this process's other threads let the commit go first.
        secret: makes an entry's secret, 32 bytes, from its index and statement hash.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        database: Database,
        holder: DirectoryHolder,
        tree: Tree,
        clock: Clock,
        clock_difference_ms: int,
        holds: Callable[[KeyId], bool],
        faults: FaultPoints,
        way: threading.Event,
        secret: Callable[[int, bytes], bytes],
    ) -> None:
        self._secret = secret
        self._way = way
        self._origin = origin
        self._database = database
        self._holder = holder
        self._tree = tree
        self._clock = clock
        self._clock_difference_ms = clock_difference_ms
        self._holds = holds
        self._faults = faults

    def commit(self, group: Sequence[Submitted]) -> list[Outcome]:
        """Decide a group, one by one, and commit what is accepted, all or nothing.

        Returns:
            One outcome each, in order.

        Raises:
            FatalError: the directory in memory is not the database's, or it names a log key that this node does not
                hold; nothing is stored.
            NotStorableError: the database refuses something in the group, or something in it names such a key;
                nothing is stored.
            UnavailableError: the lock, the clock or the commit failed. After a failed commit its outcome is
                unknown: call again with the same group, and what was stored comes back as `Repeated`.
        """
        self._faults.reach("before_lock")
        try:
            state, grown, outcomes = self._append(group)
        finally:
            self._way.set()
        self._faults.reach("after_commit")
        # Only what is known to be committed may enter this node's memory.
        self._tree.absorb(grown)
        self._holder.adopt(state.directory)
        return outcomes

    def _append(self, group: Sequence[Submitted]) -> tuple[LogState, dict[Place, bytes], list[Outcome]]:
        with self._database.writing() as connection:
            head = lock_head(connection)
            # All nodes wait now: threads of this process that want the interpreter too would only make it longer.
            self._way.clear()
            self._faults.reach("under_lock")
            time = self._leaf_time(connection, head)
            state, roots, sizes = self._load(connection, head, group)
            held = _held_pieces(connection, group)
            changes, outcomes = Changes(), list[Outcome]()
            leaves: list[bytes] = []
            for item in group:
                outcome = self._decide(state, item, time, held)
                outcomes.append(outcome)
                if isinstance(outcome, Appended):
                    changes.add(outcome.entry, item.enclosed)
                    leaves.append(leaf_hash(outcome.entry.leaf.encode()))
                    if state.size in sizes:
                        roots[state.size] = state.frontier.root()
            grown: dict[Place, bytes] = {}
            if leaves:
                self._check_signable(state, self._holder.current)
                grown = grow(self._tree.edge(connection, head.size), head.size, leaves)
                write_changes(connection, changes)
                write_tiles(connection, head.size, grown)
                new = Head(state.frontier, state.time, state.directory.count, state.directory.head)
                write_head(connection, new)
            self._faults.reach("after_append_before_commit")
        return state, grown, outcomes

    def _check_signable(self, state: LogState, before: Directory) -> None:
        """Demand that this node can sign what it is about to commit: else no node could go on from there."""
        key = state.directory.log_key_for(state.size)
        if self._holds(key.key_id):
            return
        if before.count and before.log().log_key != key:
            raise NotStorableError(
                "log_key_not_held",
                "the statement names a log key that this node does not hold: nothing could be published after it",
            )
        raise log_key_missing(state.size)

    def _leaf_time(self, connection: Connection, head: Head) -> int:
        now = database_now(connection)
        check_clock(self._clock, now, self._clock_difference_ms)
        return max(now, head.time)

    def _load(
        self, connection: Connection, head: Head, group: Sequence[Submitted]
    ) -> tuple[LogState, dict[int, bytes], set[int]]:
        needs = Needs()
        for item in group:
            needs_of(item.statement, needs)
        roots = {size: self._tree.root(connection, size) for size in needs.sizes if size <= head.size}
        directory = self._holder.at(connection, head, locked=True)
        if any(isinstance(item.statement, DirectoryChange) for item in group):
            directory = directory.copy()
        origin = directory.origin() if directory.count else self._origin
        state = load_state(connection, origin, head, directory, needs, roots)
        return state, roots, needs.sizes

    def _decide(
        self, state: LogState, item: Submitted, time: int, held: Mapping[Address, set[bytes]]
    ) -> Outcome:
        logged = state.entries[item.statement.document.payload_hash]
        if logged is not None:
            return Repeated(logged)
        try:
            if missing := _missing_pieces(item, held):
                # What a rule forbids is said first: nobody need upload for it.
                decide(state, item.statement, time)
                return Failed(_pieces_missing(missing))
            secret = self._secret(state.size, item.statement.document.statement_hash)
            return Appended(append_statement(state, item.statement, time, secret))
        except CountermarkError as error:
            return Refused(error, time, state.size)


def _held_pieces(connection: Connection, group: Sequence[Submitted]) -> dict[Address, set[bytes]]:
    """Sender → those of the pieces that its messages in a group consist of which are held for it.

    Under the lock, which a sweep and a purge take too: what is found here is there until the claims are written.
    """
    wanted: dict[Address, set[bytes]] = {}
    for item in group:
        if isinstance(item.statement, MessageStatement):
            for _part, _number, digest in item.enclosed.claims():
                wanted.setdefault(item.statement.manifest.sender, set()).add(digest)
    return {sender: read_held(connection, sender, digests) for sender, digests in wanted.items()}


def _missing_pieces(item: Submitted, held: Mapping[Address, set[bytes]]) -> list[bytes]:
    if not isinstance(item.statement, MessageStatement):
        return []
    there = held.get(item.statement.manifest.sender, set())
    digests = dict.fromkeys(digest for _part, _number, digest in item.enclosed.claims())
    return [digest for digest in digests if digest not in there]


def _pieces_missing(missing: Sequence[bytes]) -> ConflictError:
    return ConflictError(
        "pieces_missing",
        f"{len(missing)} pieces of this message's attachments are not held for its sender: upload them, then send the "
        "same bytes again",
        missing=len(missing),
        pieces=[digest.hex() for digest in missing[:_NAMED]],
    )
