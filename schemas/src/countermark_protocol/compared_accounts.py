"""Comparing accounts: with each other, with entries, and with where their authors put them.

Source: docs/spec/contradictions.md §5.5 to §5.7.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from countermark_protocol.accounts import check_account_against_tail
from countermark_protocol.boxes import EMPTY_HEAD, BoxState, Tail
from countermark_protocol.compared_boxes import Place, opened_positions
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.holdings import BoxEnd
from countermark_protocol.proof_pieces import Delivered
from countermark_protocol.read_holdings import Claimed, ReadAccount, ReadEntry, ReadHoldings

#: What accounts state of each box: the smallest size first.
Stated = dict[Place, list[tuple[ReadAccount, BoxState]]]


def contradicted_accounts(sides: Sequence[ReadHoldings]) -> Iterator[Claimed]:
    """Accounts that something else denies."""
    stated: Stated = defaultdict(list)
    for one in sorted((a for side in sides for a in side.accounts), key=lambda a: a.account.seen.size):
        for box in one.account.boxes:
            stated[box.endpoint, box.box].append((one, box.state))
    yield from _by_each_other(stated)
    yield from _by_positions(stated, opened_positions(sides))
    yield from _by_authors(stated, sides)


def _by_each_other(stated: Stated) -> Iterator[Claimed]:
    """Two accounts of one box that cannot both be true: boxes only grow, and one size has one state."""
    told: set[tuple[bytes, bytes]] = set()
    for accounts in stated.values():
        for number in range(1, len(accounts)):
            (one, before), (other, after) = accounts[number - 1], accounts[number]
            same_size = one.account.seen.size == other.account.seen.size
            differ = before != after if same_size else after.count < before.count
            differ = differ or (after.count == before.count and after.head != before.head)
            pieces = one.held.document, other.held.document
            if differ and pieces not in told:
                told.add(pieces)
                yield Claimed("accounts_differ", pieces, (one.side, other.side))


def _by_positions(stated: Stated, opened: dict[Place, list[tuple[Tail, ReadEntry]]]) -> Iterator[Claimed]:
    """An account, and an entry whose position it does not allow; of each account the first one."""
    told: set[bytes] = set()
    for place, held in opened.items():
        positions = [tail.position for tail, _ in held]
        by_index = sorted(held, key=lambda one: one[1].shown.index)
        indexes = [entry.shown.index for _, entry in by_index]
        for one, state in stated.get(place, []):
            if one.held.document in told:
                continue
            size = one.account.seen.size
            # Heads follow from each other: these entries decide about all others.
            place_in_log = bisect_left(indexes, size)
            near = by_index[max(0, place_in_log - 1) : place_in_log + 1]
            for position in (state.count - 1, state.count):
                first = bisect_left(positions, position)
                near += [h for h in held[first : first + 2] if h[0].position == position]
            for tail, entry in near:
                try:
                    check_account_against_tail(
                        one.account,
                        one.held.document,
                        *place,
                        entry.shown.index,
                        entry.shown.leaf.statement,
                        tail,
                    )
                except InconsistentLogError:
                    told.add(one.held.document)
                    yield Claimed(
                        "account_contradicted",
                        (one.held.document, entry.held.opened()),
                        (one.side, entry.side),
                    )
                    break


def _by_authors(stated: Stated, sides: Sequence[ReadHoldings]) -> Iterator[Claimed]:
    """An account and the box as it states it, and an entry that was put there and is not in it."""
    put: dict[Place, list[tuple[ReadEntry, Delivered]]] = defaultdict(list)
    chains: dict[Place, list[_Chain]] = defaultdict(list)
    for side in sides:
        for entry in side.entries:
            for delivered in entry.held.delivered:
                put[delivered.row.endpoint, delivered.row.box].append((entry, delivered))
        for held in side.boxes:
            chains[held.endpoint, held.end.box].append(_Chain(side.number, held.end))
    for place, entries in put.items():
        told: set[int] = set()
        known = [*chains.get(place, []), _Chain(None, BoxEnd(place[1], 0, EMPTY_HEAD, ()))]
        for one, state in reversed(stated.get(place, [])):  # the newest says the most
            chain = next((c for c in known if c.states.get(state.count) == state.head), None)
            if chain is None:
                continue
            end = chain.end
            held_indexes = [index for index, _ in end.entries[: state.count - end.start]]
            among = set(held_indexes)
            for entry, delivered in entries:
                index = entry.shown.index
                if index >= one.account.seen.size or index in among or index in told:
                    continue
                # From the entry before it on: nothing else of the box is shown to whoever judges.
                start = end.start + max(0, bisect_left(held_indexes, index) - 1)
                piece = encode_json(end.cut(start, state.count).to_json())
                told.add(index)
                yield Claimed(
                    "account_omits",
                    (one.held.document, piece, entry.held.put_into(delivered)),
                    tuple(n for n in (one.side, chain.side, entry.side) if n is not None),
                )


@dataclass(frozen=True)
class _Chain:
    """A box as one party states it.

    Attributes:
        side: number of the holdings; None for a box that holds nothing.
        end: its entries.
    """

    side: int | None
    end: BoxEnd

    @cached_property
    def states(self) -> dict[int, bytes]:
        """Count → head, from its start on."""
        state = BoxState(self.end.start, self.end.previous)
        out = {state.count: state.head}
        for index, statement in self.end.entries:
            state = state.after(index, statement)
            out[state.count] = state.head
        return out
