"""Comparing what two parties, or more, hold of one log: every contradiction between signed facts, as a file each.

Each file is read by its own directory statements: who is shown another log may be shown another directory too. Nothing
is reported that the judge of contradictions does not accept, so a mistake here could only miss something.

Source: docs/spec/contradictions.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from countermark_protocol.answers import LoggedStatement
from countermark_protocol.compared_accounts import contradicted_accounts
from countermark_protocol.compared_boxes import forked_boxes
from countermark_protocol.compared_statements import contradicted_statements
from countermark_protocol.compared_times import contradicted_times
from countermark_protocol.compared_trees import Trees
from countermark_protocol.contradiction_claims import prove
from countermark_protocol.contradiction_shown import Shown
from countermark_protocol.contradictions import Contradiction
from countermark_protocol.errors import CountermarkError, VerificationError
from countermark_protocol.holdings import Holdings
from countermark_protocol.identifiers import Address
from countermark_protocol.keys import check_fingerprint, fingerprint
from countermark_protocol.read_holdings import Claimed, ReadHoldings, read_holdings

#: Contradictions of one kind that are told; a log that lies without end is convicted by fewer.
MOST_OF_A_KIND: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A contradiction.

    Attributes:
        contradiction: with the bytes that prove it.
        says: what it proves, in words.
        holdings: numbers of those whose pieces it takes, in order.
    """

    contradiction: Contradiction
    says: str
    holdings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What was compared of one party.

    Attributes:
        holder: who; None for no endpoint.
        size: of the largest tree that it holds a signature for.
        checkpoints: how many distinct ones.
        entries: how many.
        accounts: how many.
        boxes: whose chain it states: (endpoint, box, entries).
        narrowed: what it left out, in its own words.
    """

    holder: Address | None
    size: int
    checkpoints: int
    entries: int
    accounts: int
    boxes: tuple[tuple[Address, str, int], ...]
    narrowed: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison looked at, and what it found.

    Attributes:
        founding: payload hash, 32 bytes.
        sides: in the order given.
        agreed: (one, other, size): up to which size two of them are shown to hold the same log; size 0 where no tree
            of the one could be compared with one of the other.
        found: contradictions.
    """

    founding: bytes
    sides: tuple[Side, ...]
    agreed: tuple[tuple[int, int, int], ...]
    found: tuple[Found, ...]

    @property
    def fingerprint(self) -> str:
        """Of the founding, for comparison by voice."""
        return fingerprint(self.founding)


def compare(given: Sequence[Holdings], expected: str | None = None) -> Comparison:
    """Compare holdings with each other, and each with itself.

    Args:
        given: one or more, of one log.
        expected: the founding's fingerprint, as compared over another channel; None where it is still to be compared.

    Raises:
        VerificationError: ``other_fingerprint``; ``other_founding``: they are of two logs; or something in a file is
            not signed as it must be.
        CountermarkError: as `read_holdings`.
    """
    sides = [read_holdings(holdings, number) for number, holdings in enumerate(given)]
    founding = sides[0].shown.founding
    if any(side.shown.founding != founding for side in sides):
        raise VerificationError("other_founding", "these files are of logs with different foundings")
    if expected is not None:
        check_fingerprint(founding, expected)
    trees = Trees(sides)
    found: list[Found] = []
    counts: dict[str, int] = {}
    judges: dict[tuple[LoggedStatement, ...], Shown] = {side.shown.statements: side.shown for side in sides}
    for claimed in _claimed(sides, trees):
        if counts.get(claimed.claim, 0) < MOST_OF_A_KIND:
            one = _prove(claimed, sides, judges)
            if one is not None:
                counts[claimed.claim] = counts.get(claimed.claim, 0) + 1
                found.append(one)
    agreed = tuple((a.number, b.number, trees.agreed(a.number, b.number)) for a, b in combinations(sides, 2))
    return Comparison(founding, tuple(map(_side, sides)), agreed, tuple(found))


def _claimed(sides: Sequence[ReadHoldings], trees: Trees) -> Iterator[Claimed]:
    yield from trees.forks()
    yield from contradicted_accounts(sides)
    yield from forked_boxes(sides)
    yield from contradicted_statements(sides)
    yield from contradicted_times(sides)


def _prove(
    claimed: Claimed, sides: Sequence[ReadHoldings], judges: dict[tuple[LoggedStatement, ...], Shown]
) -> Found | None:
    """Have the judge decide, by the directory of either side, or by what both have of it."""
    numbers = tuple(dict.fromkeys(claimed.holdings))
    own = [sides[n].shown.statements for n in numbers]
    for statements in dict.fromkeys([*sorted(own, key=len, reverse=True), _shared(own)]):
        try:
            judge = judges.setdefault(statements, judges.get(statements) or Shown(statements))
            says = prove(judge, claimed.claim, claimed.pieces)
        except CountermarkError:
            continue
        return Found(Contradiction(claimed.claim, claimed.pieces, statements), says, numbers)
    return None


def _shared(own: Sequence[tuple[LoggedStatement, ...]]) -> tuple[LoggedStatement, ...]:
    out = []
    for together in zip(*own, strict=False):
        if any(one != together[0] for one in together):
            break
        out.append(together[0])
    return tuple(out)


def _side(side: ReadHoldings) -> Side:
    return Side(
        side.holder,
        side.size,
        len(side.checkpoints),
        len(side.entries),
        len(side.accounts),
        tuple((b.endpoint, b.end.box.value, b.end.state.count) for b in side.boxes),
        side.narrowed,
    )
