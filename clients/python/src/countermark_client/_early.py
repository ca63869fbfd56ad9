"""Leaves from the future: proven entries that state a time which has not come yet.

A leaf that a quorum of witnesses had seen more than a minute before the time that it states convicts the log. One that
is only ahead of this machine's clock may do so because that clock is slow: it is an alarm, kept with its proof, until
witnesses say which of the two was wrong. Neither stops a client from sending: what such a time is used for is checked
by itself, and a wrong clock must not take an agency off the line.

Source: docs/spec/witness.md §6.9, §6.11.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._records import StoredEarlyLeaf
from countermark_client._session import Session
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE, check_not_from_the_future

if TYPE_CHECKING:
    from countermark_client._log import LogView
    from countermark_client._witnessing import Witnessed

#: Leaves that are kept: while one is ahead of a slow clock, all that follow are.
_MOST: Final = 20


class EarlyLeaves:
    """Looks at the times of proven leaves, for one profile."""

    def __init__(self, session: Session, view: LogView) -> None:
        self._session = session
        self._store = session.store
        self._view = view

    def look(self, leaf: Leaf, index: int) -> Flow[None]:
        """Look at the time of a proven leaf; what is ahead is kept with its proof, and nothing is raised."""
        newest = self._view.witnesses.newest
        if newest is not None and index < newest.checkpoint.size:
            latest = newest.existed_by
        else:
            newest, latest = None, self._session.clock()
        if leaf.time <= latest + BACK_DATING_TOLERANCE:
            return
        known = self._store.early_leaves()
        # Times never go back: what follows at the time of one that is kept says nothing new.
        told = any(leaf.time <= parse_leaf(one.leaf).time for one in known)
        if told or len(known) >= _MOST or self._view.checkpoint is None:
            return
        shown = yield from fetch_proof(self._session, index, self._view.checkpoint)
        one = StoredEarlyLeaf(index, leaf.encode(), shown[1] if shown else None, self._session.clock())
        self._store.add_early_leaf(one)
        if newest is not None:
            self._judge(one, newest)

    def settle(self) -> Flow[None]:
        """Ask what witnesses say of leaves that were ahead of this machine's clock.

        Raises:
            InconsistentLogError: ``checkpoint_fork``: witnesses saw another history than this client.
        """
        newest = self._view.witnesses.newest
        for one in self._store.early_leaves():
            if one.proven or newest is None or one.index >= newest.checkpoint.size:
                continue
            # The oldest checkpoint with the leaf says the most; the newest one will do.
            first = yield from self._view.witnesses.first(one.index)
            self._judge(one, first or newest)

    def _judge(self, one: StoredEarlyLeaf, witnessed: Witnessed) -> None:
        leaf = parse_leaf(one.leaf)
        try:
            check_not_from_the_future(leaf, one.index, witnessed.checkpoint, witnessed.existed_by // 1000)
        except InconsistentLogError as error:
            if one.proof is not None:
                error.evidence += (one.proof,)
            self._session.profile.keep_evidence(error, self._session.clock())
            self._store.set_early_leaf_proven(one.index)
        else:
            self._store.drop_early_leaf(one.index)  # witnesses saw it about when it says: this clock is slow

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is kept, in words."""
        return tuple(
            f"entry {one.index} states the time {_moment(parse_leaf(one.leaf).time)}, and "
            + (
                "witnesses had seen it more than a minute before: the broker's clock runs ahead, or it lies about time"
                if one.proven
                else f"was read on {_moment(one.noticed)} by this machine's clock: that one is slow, or the broker's "
                "runs ahead"
            )
            for one in self._store.early_leaves()
        )


def _moment(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(" ", "seconds").replace("+00:00", "Z")
