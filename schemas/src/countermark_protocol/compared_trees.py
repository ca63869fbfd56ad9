"""Comparing signed trees: whether two parties are shown one log.

What is known of a party's tree is the roots that the log's key signed, and every complete subtree that a path shows.

Source: docs/spec/contradictions.md §5.2, §5.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from countermark_protocol.read_holdings import Claimed, ReadHoldings
from countermark_protocol.tree_views import TreeView, view_of_root


@dataclass(frozen=True, slots=True)
class _Piece:
    """A signed tree as a piece shows it."""

    side: int
    piece: bytes
    view: TreeView


class Trees:
    """The signed trees of several holdings."""

    def __init__(self, sides: Sequence[ReadHoldings]) -> None:
        self._sides = sides
        self._pieces: list[_Piece] = []
        #: Complete subtrees by party, each with the piece that shows it first; where pieces differ, it is a fork.
        self._nodes: list[dict[tuple[int, int], tuple[bytes, _Piece]]] = []
        for side in sides:
            pieces = [
                *(_Piece(side.number, c.raw, view_of_root(c.size, c.root)) for c in side.checkpoints),
                *(_Piece(side.number, e.held.proof(), e.shown.view) for e in side.entries),
            ]
            nodes: dict[tuple[int, int], tuple[bytes, _Piece]] = {}
            for piece in pieces:
                for at, node in piece.view.nodes.items():
                    nodes.setdefault(at, (node, piece))
            self._pieces += pieces
            self._nodes.append(nodes)
        self._roots = [self._merged(side.number) for side in sides]

    def forks(self) -> Iterator[Claimed]:
        """Two trees that are not of one log; of each two parties the first one, and of accounts all."""
        told: set[tuple[int, int]] = set()

        def tell(one: _Piece, other: _Piece) -> Iterator[Claimed]:
            if (one.side, other.side) not in told:
                told.add((one.side, other.side))
                yield Claimed("checkpoint_fork", (one.piece, other.piece), (one.side, other.side))

        for piece in self._pieces:
            for side in range(piece.side + 1):
                for at, node in piece.view.nodes.items():
                    known = self._nodes[side].get(at)
                    if known is not None and known[0] != node:
                        yield from tell(known[1], piece)
        for size, root, noted in self._noted():
            for piece in self._against(size, root):
                first, second = sorted((noted, piece), key=lambda p: p.side)
                yield from tell(first, second)
        yield from self._accounts()

    def _noted(self) -> Iterator[tuple[int, bytes, _Piece]]:
        """Each signed root once."""
        seen: set[tuple[int, bytes]] = set()
        for piece in self._pieces:
            key = piece.view.size, piece.view.root
            if key not in seen:
                seen.add(key)
                yield (*key, piece)

    def _against(self, size: int, root: bytes) -> Iterator[_Piece]:
        """Pieces that show another root of a size."""
        for side, roots in enumerate(self._roots):
            if roots(size) not in {None, root}:  # else none of its pieces does
                for piece in self._pieces:
                    if piece.side == side and piece.view.root_at(size) not in {None, root}:
                        yield piece

    def _accounts(self) -> Iterator[Claimed]:
        """Accounts that name another tree than the log signed, to whomever."""
        roots: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        for side in self._sides:
            for one in side.accounts:
                seen = one.account.seen
                roots.setdefault((seen.size, seen.root), (side.number, one.held.document))
        for (size, root), (number, document) in roots.items():
            for piece in self._against(size, root):
                yield Claimed("account_other_root", (piece.piece, document), (piece.side, number))
                break

    def agreed(self, one: int, other: int) -> int:
        """Up to which size two parties are shown to hold the same log; 0 if nothing of the two can be compared."""
        if one == other:
            return self._sides[one].size
        sizes = {p.view.size for p in self._pieces if p.side in {one, other}}
        sizes |= {1 << level for side in (one, other) for level, number in self._nodes[side] if number == 0}
        first, second = self._roots[one], self._roots[other]
        return max((s for s in sizes if first(s) is not None and first(s) == second(s)), default=0)

    def _merged(self, side: int) -> _Roots:
        signed = {p.view.size: p.view.root for p in self._pieces if p.side == side}
        size = max(signed, default=0)
        nodes = {at: node for at, (node, _) in self._nodes[side].items()}
        return _Roots(signed, TreeView(size, signed.get(size, b""), nodes))


@dataclass(frozen=True, slots=True)
class _Roots:
    """The roots that one party's tree had."""

    signed: dict[int, bytes]
    view: TreeView

    def __call__(self, size: int) -> bytes | None:
        return self.signed.get(size) or self.view.root_at(size)
