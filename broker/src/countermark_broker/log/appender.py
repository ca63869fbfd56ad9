"""Appending one group: step 2 of the commit order, everything under the lock.

Source: docs/spec/log.md §6; design section 4, "Commit order".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from countermark_broker.clock import Clock
from countermark_broker.errors import UnavailableError
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints
from countermark_broker.log.tree import Tree
from countermark_broker.store.engine import Connection, Database, database_now
from countermark_broker.store.head import Head, lock_head, write_head
from countermark_broker.store.loading import load_state
from countermark_broker.store.tiles import Place, grow, write_tiles
from countermark_broker.store.writing import Changes, Enclosed, write_changes
from countermark_protocol.appending import Entry, append_statement
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Origin
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.state import LogState, Needs, needs_of
from countermark_protocol.statements import DirectoryChange, Statement


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
    """It became an entry by this call."""

    entry: Entry


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


class Appender:
    """Decides and commits groups of statements.

    Args:
        origin: of the log.
        database: where entries are committed.
        holder: the node's directory.
        tree: reads the tiles.
        clock: of this node.
        clock_difference_ms: how far it may be from the database's.
        faults: fault points.
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
        faults: FaultPoints,
    ) -> None:
        self._origin = origin
        self._database = database
        self._holder = holder
        self._tree = tree
        self._clock = clock
        self._clock_difference_ms = clock_difference_ms
        self._faults = faults

    async def commit(self, group: Sequence[Submitted]) -> list[Outcome]:
        """Decide a group, one by one, and commit what is accepted, all or nothing.

        Returns:
            One outcome each, in order.

        Raises:
            FatalError: the directory in memory is not the database's.
            NotStorableError: the database refuses something in the group; nothing is stored.
            UnavailableError: the lock, the clock or the commit failed. After a failed commit its outcome is
                unknown: call again with the same group, and what was stored comes back as `Repeated`.
        """
        await self._faults.reach("before_lock")
        async with self._database.write() as connection:
            head = await lock_head(connection)
            await self._faults.reach("under_lock")
            time = await self._leaf_time(connection, head)
            state, roots, sizes = await self._load(connection, head, group)
            changes, outcomes = Changes(), list[Outcome]()
            leaves: list[bytes] = []
            for item in group:
                outcome = self._decide(state, item, time)
                outcomes.append(outcome)
                if isinstance(outcome, Appended):
                    changes.add(outcome.entry, item.enclosed)
                    leaves.append(leaf_hash(outcome.entry.leaf.encode()))
                    if state.size in sizes:
                        roots[state.size] = state.frontier.root()
            grown: dict[Place, bytes] = {}
            if leaves:
                grown = grow(await self._tree.edge(connection, head.size), head.size, leaves)
                await write_changes(connection, changes)
                await write_tiles(connection, head.size, grown)
                new = Head(state.frontier, state.time, state.directory.count, state.directory.head)
                await write_head(connection, new)
            await self._faults.reach("after_append_before_commit")
        # Only what is committed may enter this node's memory.
        self._tree.absorb(grown)
        self._holder.adopt(state.directory)
        await self._faults.reach("after_commit")
        return outcomes

    async def _leaf_time(self, connection: Connection, head: Head) -> int:
        now = await database_now(connection)
        difference = self._clock.now_ms() - now
        if abs(difference) > self._clock_difference_ms:
            raise UnavailableError(
                "clock_differs",
                f"this node's clock is {difference} ms from the database's, expected at most "
                f"{self._clock_difference_ms}: it appends nothing until its clock is set",
            )
        return max(now, head.time)

    async def _load(
        self, connection: Connection, head: Head, group: Sequence[Submitted]
    ) -> tuple[LogState, dict[int, bytes], set[int]]:
        needs = Needs()
        for item in group:
            needs_of(item.statement, needs)
        roots = {size: await self._tree.root(connection, size) for size in needs.sizes if size <= head.size}
        directory = await self._holder.at(connection, head, locked=True)
        if any(isinstance(item.statement, DirectoryChange) for item in group):
            directory = directory.copy()
        state = await load_state(connection, self._origin, head, directory, needs, roots)
        return state, roots, needs.sizes

    @staticmethod
    def _decide(state: LogState, item: Submitted, time: int) -> Outcome:
        logged = state.entries[item.statement.document.payload_hash]
        if logged is not None:
            return Repeated(logged)
        try:
            return Appended(append_statement(state, item.statement, time, os.urandom(32)))
        except CountermarkError as error:
            return Refused(error, time, state.size)
