"""What a signed root, and a path to it, show of the tree below: enough to tell whether two trees are of one log.

A path shows every complete subtree beside its way, and those on it. Two trees of one append-only log agree in every
complete subtree that both have; so two paths, of whatever leaves, mostly show it where the trees differ. What neither
shows is not compared.

Source: docs/spec/log.md §1, docs/spec/contradictions.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from countermark_protocol.merkle import EMPTY_ROOT, node_hash, verify_inclusion


@dataclass(frozen=True, slots=True)
class TreeView:
    """What is known of one signed tree.

    Attributes:
        size: leaves.
        root: 32 bytes.
        nodes: complete subtrees: (level, number) → hash; a subtree of level *k* and number *n* is over the 2^k leaves
            from n·2^k on.
    """

    size: int
    root: bytes
    nodes: Mapping[tuple[int, int], bytes]

    def root_at(self, size: int) -> bytes | None:
        """The root that this tree had at a size, 32 bytes; None where that is not shown."""
        if size == self.size:
            return self.root
        if size == 0:
            return EMPTY_ROOT
        if size > self.size:
            return None
        hashes = [self.nodes.get(peak) for peak in _peaks(size)]
        root = hashes.pop()
        while hashes and root is not None:
            left = hashes.pop()
            root = node_hash(left, root) if left is not None else None
        return root


def view_of_root(size: int, root: bytes) -> TreeView:
    """What a signed root alone shows."""
    whole = {(size.bit_length() - 1, 0): root} if size and size.bit_count() == 1 else {}
    return TreeView(size, root, whole)


def view_of_path(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> TreeView:
    """What the path of a leaf shows of the tree.

    Args:
        leaf_hash: of the leaf, 32 bytes.
        index: of the leaf.
        size: of the tree, signed.
        path: sibling hashes, lowest first.
        root: of the tree, signed, 32 bytes.

    Raises:
        ProofError: the path does not lead to the root.

    Source: RFC 9162 §2.1.3.2, whose steps these are.
    """
    verify_inclusion(leaf_hash, index, size, path, root)
    nodes = dict(view_of_root(size, root).nodes)
    level, number, last, node = 0, index, size - 1, leaf_hash

    def take(at: int, place: int, value: bytes) -> None:
        if (place + 1) << at <= size:
            nodes[at, place] = value

    take(level, number, node)
    for sibling in path:
        if number & 1 or number == last:
            # At the right edge a node stands for itself until it has something on its left.
            while not number & 1:
                level, number, last = level + 1, number >> 1, last >> 1
            take(level, number - 1, sibling)
            node = node_hash(sibling, node)
        else:
            take(level, number + 1, sibling)
            node = node_hash(node, sibling)
        level, number, last = level + 1, number >> 1, last >> 1
        take(level, number, node)
    return TreeView(size, root, nodes)


def differ(one: TreeView, other: TreeView) -> bool:
    """Whether two trees are shown not to be of one append-only log."""
    small, large = sorted((one, other), key=lambda view: view.size)
    if large.root_at(small.size) not in {None, small.root}:
        return True
    return any(other.nodes.get(at, node) != node for at, node in one.nodes.items())


def agreed(one: TreeView, other: TreeView) -> int:
    """Up to which size two trees are shown to be the same; 0 if nothing is shown, or if they `differ`."""
    if differ(one, other):
        return 0
    sizes = {
        one.size,
        other.size,
        *(1 << level for view in (one, other) for level, n in view.nodes if n == 0),
    }
    shared = [s for s in sizes if one.root_at(s) is not None and one.root_at(s) == other.root_at(s)]
    return max(shared, default=0)


def _peaks(size: int) -> list[tuple[int, int]]:
    """The complete subtrees that make up a tree, from the left."""
    out, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            out.append((level, start >> level))
            start += 1 << level
    return out
