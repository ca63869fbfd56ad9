"""A Merkle tree in memory that answers for its complete subtrees."""

from __future__ import annotations

from countermark_protocol.merkle import consistency_path, inclusion_path, node_hash


class Tree:
    """Every complete subtree of a growing tree."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[]]

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        level, node = 0, leaf
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(node)
            if len(row) % 2:
                return
            node = node_hash(row[-2], row[-1])
            level += 1

    def _get(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Path of a leaf in the tree of the first `size` leaves."""
        return tuple(inclusion_path(self._get, index, size))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Path from the tree of `old` leaves to that of `new`."""
        return tuple(consistency_path(self._get, old, new))
