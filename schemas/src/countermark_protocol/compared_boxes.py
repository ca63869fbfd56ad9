"""Comparing opened positions of a box: one box has one past, whoever it is shown to.

Source: docs/spec/contradictions.md §5.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from countermark_protocol.boxes import Box, Tail, box_head
from countermark_protocol.identifiers import Address
from countermark_protocol.read_holdings import Claimed, ReadEntry, ReadHoldings

Place = tuple[Address, Box]


def opened_positions(sides: Sequence[ReadHoldings]) -> dict[Place, list[tuple[Tail, ReadEntry]]]:
    """Every opened position by box, in the order of positions; one that several show alike stands there once."""
    out: dict[Place, dict[tuple[int, int, bytes, bytes], tuple[Tail, ReadEntry]]] = defaultdict(dict)
    for side in sides:
        for entry in side.entries:
            row, tail = entry.shown.row, entry.shown.tail
            if row is not None and tail is not None:
                what = tail.position, entry.shown.index, entry.shown.leaf.statement, tail.previous
                out[row.endpoint, row.box].setdefault(what, (tail, entry))
    return {place: [held[key] for key in sorted(held)] for place, held in out.items()}


def forked_boxes(sides: Sequence[ReadHoldings]) -> Iterator[Claimed]:
    """Neighbours in each box that cannot both be of it."""
    for held in opened_positions(sides).values():
        for (one, first), (other, second) in pairwise(held):
            after = box_head(one.previous, first.shown.index, first.shown.leaf.statement)
            same_place = other.position == one.position  # and something else, or it would stand there once
            apart = other.position == one.position + 1 and other.previous != after
            if same_place or apart or first.shown.index >= second.shown.index:
                yield Claimed(
                    "box_forked", (first.held.opened(), second.held.opened()), (first.side, second.side)
                )
