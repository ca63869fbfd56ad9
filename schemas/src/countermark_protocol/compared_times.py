"""Comparing the times of one party's entries with what witnesses told another.

Source: docs/spec/contradictions.md §5.9, docs/spec/witness.md §6.6, §6.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from countermark_protocol.errors import CountermarkError
from countermark_protocol.read_holdings import Claimed, ReadHoldings
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE


@dataclass(frozen=True, slots=True)
class _Bound:
    """A checkpoint that a quorum has cosigned; times in ms since 1970."""

    side: int
    raw: bytes
    size: int
    current_at: int
    existed_by: int


def contradicted_times(sides: Sequence[ReadHoldings]) -> Iterator[Claimed]:
    """Leaves older than a quorum's word that they were not there yet, or younger than its word that they were."""
    bounds = list(_bounds(sides))
    if not bounds:
        return
    for side in sides:
        for entry in side.entries:
            index, leaf = entry.shown.index, entry.shown.leaf
            floors = [b for b in bounds if b.size <= index]
            ceilings = [b for b in bounds if b.size > index]
            if floors:
                floor = max(floors, key=lambda b: b.current_at)
                if leaf.time < floor.current_at - BACK_DATING_TOLERANCE:
                    pieces = leaf.encode(), floor.raw, entry.held.proof()
                    yield Claimed("back_dated_leaf", pieces, (floor.side, side.number))
            if ceilings:
                ceiling = min(ceilings, key=lambda b: b.existed_by)
                if leaf.time > ceiling.existed_by + BACK_DATING_TOLERANCE:
                    pieces = leaf.encode(), ceiling.raw, entry.held.proof()
                    yield Claimed("leaf_from_the_future", pieces, (ceiling.side, side.number))


def _bounds(sides: Sequence[ReadHoldings]) -> Iterator[_Bound]:
    for side in sides:
        for checkpoint in side.checkpoints:
            if not checkpoint.cosignatures:
                continue
            try:
                quorum = side.shown.witnessed(checkpoint)
            except CountermarkError:
                continue  # by fewer than a quorum, it bounds no time
            if quorum.current_at is not None and quorum.existed_by is not None:
                yield _Bound(
                    side.number,
                    checkpoint.raw,
                    checkpoint.size,
                    quorum.current_at * 1000,
                    quorum.existed_by * 1000,
                )
