"""The Merkle tree of the log and of every small list: hashes, paths, and how they are checked.

Hashing is that of RFC 6962 §2.1: a leaf is SHA-256(0x00 ‖ data), a node SHA-256(0x01 ‖ left ‖ right), so
that no node can pass for a leaf. The two verifiers are RFC 9162 §2.1.3.2 and §2.1.4.2 step by step; the
steps are marked in the code. Do not shorten them: a simplified consistency verifier was exploitable.

Paths are made from *complete subtrees*: ``get(level, index)`` returns the hash over the leaves
``index * 2**level`` up to, not including, ``(index + 1) * 2**level``. It is asked for nothing else.

Source: RFC 6962 §2.1, RFC 9162 §2.1; docs/spec/log.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.errors import ProofError

#: Root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
#: Sizes fit a signed 64-bit integer in every language and database.
MAX_TREE_SIZE: Final = 2**63 - 1

#: ``get(level, index)``: 32 bytes, the hash of a complete subtree.
SubtreeSource = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf, 32 bytes: SHA-256(0x00 ‖ data). Source: RFC 6962 §2.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node, 32 bytes: SHA-256(0x01 ‖ left ‖ right). Source: RFC 6962 §2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _check_hash(value: bytes, what: str) -> None:
    if len(value) != DIGEST_BYTES:
        # A hash of another length would shift the bytes that node_hash joins, and so could make one
        # path prove two things.
        raise ProofError("hash_size", f"{what} must have {DIGEST_BYTES} bytes, got {len(value)}")


def _check_path(path: Sequence[bytes]) -> None:
    for element in path:
        _check_hash(element, "each hash of a path")


def _check_size(size: int, what: str) -> None:
    if not 0 <= size <= MAX_TREE_SIZE:
        msg = f"{what} must be from 0 to 2^63 - 1, got {size}"
        raise ValueError(msg)


# --- small trees, held whole -------------------------------------------------------------------------


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """The next level up; a node without a sibling moves up unchanged."""
    above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        above.append(level[-1])
    return above


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root of a whole tree, 32 bytes.

    Args:
        leaf_hashes: in order, each already hashed by `leaf_hash`; may be empty.

    Raises:
        ProofError: ``hash_size``: one is not 32 bytes long.

    Source: RFC 6962 §2.1.
    """
    for element in leaf_hashes:
        if len(element) != DIGEST_BYTES:
            _check_hash(element, "each leaf hash")
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0] if level else EMPTY_ROOT


def small_tree_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Inclusion path of one leaf in a tree held whole (recipient rows, delivery rows, parts).

    Args:
        leaf_hashes: all of them, each already hashed by `leaf_hash`.
        index: of the leaf, 0 <= index < len(leaf_hashes).

    Returns:
        Sibling hashes, lowest first: what `verify_inclusion` takes.

    Raises:
        ProofError: ``hash_size``: a leaf hash is not 32 bytes long.
        ValueError: index is outside the range above.
    """
    if not 0 <= index < len(leaf_hashes):
        msg = f"expected an index below {len(leaf_hashes)}, got {index}"
        raise ValueError(msg)
    for element in leaf_hashes:
        _check_hash(element, "each leaf hash")
    level: Sequence[bytes] = leaf_hashes
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return path


# --- the growing tree --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed to go on appending: the roots of the complete subtrees a tree consists of.

    Immutable: `append` and `extend` return the grown frontier, so that a batch which the database refuses
    leaves nothing to undo.

    Attributes:
        size: leaves in the tree, 0 <= size < 2**63.
        hashes: one for each bit set in `size`, the largest (leftmost) subtree first, 32 bytes each.

    Raises:
        ProofError: ``frontier_shape``: the number of hashes does not fit the size; ``hash_size``.
        ValueError: size is outside the range above.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_size(self.size, "size of a frontier")
        if len(self.hashes) != self.size.bit_count():
            raise ProofError(
                "frontier_shape",
                f"a frontier of size {self.size} has {self.size.bit_count()} hashes, got {len(self.hashes)}",
            )
        for element in self.hashes:
            if len(element) != DIGEST_BYTES:
                _check_hash(element, "each hash of a frontier")

    def append(self, leaf_hash: bytes) -> Frontier:
        """The frontier with one more leaf, already hashed by `leaf_hash` (see `extend`)."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The frontier with more leaves, each already hashed by `leaf_hash`.

        Raises:
            ProofError: ``hash_size``: one is not 32 bytes long.
            ValueError: the tree would exceed 2**63 - 1 leaves.
        """
        size, hashes = self.size, list(self.hashes)
        for element in leaf_hashes:
            _check_hash(element, "each leaf hash")
            node, carry = element, size
            # As in adding one to a binary number: every trailing one-bit is a subtree to join.
            while carry & 1:
                node = node_hash(hashes.pop(), node)
                carry >>= 1
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        """Root of the tree, 32 bytes; `EMPTY_ROOT` while it has no leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


# --- making paths ------------------------------------------------------------------------------------


def _range_root(get: SubtreeSource, begin: int, end: int) -> bytes:
    # MTH(D[begin:end]) for the ranges that occur in paths: `begin` is a multiple of the power of two that is
    # at least end - begin, so the complete subtrees follow from the bits of the length, small ones last.
    root = b""
    while begin < end:
        length = end - begin
        level = (length & -length).bit_length() - 1
        end -= 1 << level
        subtree = get(level, end >> level)
        root = node_hash(subtree, root) if root else subtree
    return root


def _split(length: int) -> int:
    """The largest power of two below `length` (at least 2): RFC 6962's k."""
    return 1 << (length - 1).bit_length() - 1


def inclusion_path(get: SubtreeSource, index: int, size: int) -> list[bytes]:
    """Make the path that shows leaf `index` to be in the tree of the first `size` leaves.

    Args:
        get: the tree's complete subtrees (module docstring).
        index: of the leaf, 0 <= index < size.
        size: of the tree, 1 <= size < 2**63.

    Returns:
        Sibling hashes, lowest first, 32 bytes each.

    Raises:
        ValueError: a range above is broken.

    Source: RFC 6962 §2.1.1 (PATH), as a loop.
    """
    return _inclusion_path(lambda begin, end: _range_root(get, begin, end), index, size)


def _inclusion_path(range_root: Callable[[int, int], bytes], index: int, size: int) -> list[bytes]:
    _check_size(size, "tree size")
    if not 0 <= index < size:
        msg = f"expected an index below the tree size {size}, got {index}"
        raise ValueError(msg)
    begin, end = 0, size
    path: list[bytes] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_root(middle, end))
            end = middle
        else:
            path.append(range_root(begin, middle))
            begin = middle
    path.reverse()
    return path


def inclusion_paths(get: SubtreeSource, indexes: Iterable[int], size: int) -> dict[int, tuple[bytes, ...]]:
    """As `inclusion_path` for several leaves of one tree, by index; what their paths share is hashed once.

    Raises:
        ValueError: as `inclusion_path`.
    """
    known: dict[tuple[int, int], bytes] = {}

    def range_root(begin: int, end: int) -> bytes:
        root = known.get((begin, end))
        if root is None:
            root = known[begin, end] = _range_root(get, begin, end)
        return root

    out: dict[int, tuple[bytes, ...]] = {}
    for index in indexes:
        out[index] = tuple(_inclusion_path(range_root, index, size))
    return out


def consistency_path(get: SubtreeSource, old: int, new: int) -> list[bytes]:
    """Make the path that shows the tree of `old` leaves to be the beginning of that of `new` leaves.

    Args:
        get: the tree's complete subtrees (module docstring).
        old: size of the older tree, 0 <= old <= new.
        new: size of the newer tree, below 2**63.

    Returns:
        Hashes, lowest first, 32 bytes each; none where `old` is 0 or equals `new`.

    Raises:
        ValueError: a range above is broken.

    Source: RFC 6962 §2.1.2 (PROOF, SUBPROOF), as a loop.
    """
    _check_size(new, "new tree size")
    if not 0 <= old <= new:
        msg = f"expected an old tree size from 0 to the new one, {new}, got {old}"
        raise ValueError(msg)
    if old in {0, new}:
        return []
    begin, end = 0, new
    path: list[bytes] = []
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_range_root(get, middle, end))
            end = middle
        else:
            path.append(_range_root(get, begin, middle))
            begin = middle
    # The verifier knows the old root; it needs the last subtree only where that is not all of the old tree.
    if begin:
        path.append(_range_root(get, begin, end))
    path.reverse()
    return path


# --- checking paths ----------------------------------------------------------------------------------


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf at `index` is committed to by `root`.

    Args:
        leaf_hash: 32 bytes, of `leaf_hash`.
        index: the leaf's position, 0 <= index.
        size: leaves in the tree, from an already verified checkpoint, 0 <= size < 2**63.
        path: sibling hashes, lowest first, 32 bytes each.
        root: 32 bytes, from the same checkpoint.

    Raises:
        ProofError: ``hash_size``; ``index_beyond_size``: there is no such leaf in this tree;
            ``inclusion_path_length``: the path has too many or too few hashes; ``inclusion_mismatch``: it
            leads to another root.
        ValueError: index or size is negative or size is too large, which no parser lets through.

    Does not prove: that the log is append-only (see `verify_consistency`).
    Source: RFC 9162 §2.1.3.2; docs/spec/log.md.
    """
    _check_size(size, "tree size")
    _check_size(index, "index")
    _check_hash(leaf_hash, "leaf hash")
    _check_hash(root, "root")
    _check_path(path)
    # Step 1. The index may have come from the other side: a failed proof, not a caller's mistake.
    if index >= size:
        raise ProofError("index_beyond_size", f"expected an index below the tree size {size}, got {index}")
    what = f"inclusion path for leaf {index} of {size}"
    # Steps 2 and 3.
    fn, sn = index, size - 1
    r = leaf_hash
    # Step 4, with a, b and c.
    for p in path:
        if sn == 0:
            raise _wrong_length("inclusion_path_length", what, "long", path)
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not (fn & 1 or fn == 0):
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    # Step 5.
    if sn != 0:
        raise _wrong_length("inclusion_path_length", what, "short", path)
    if r != root:
        raise ProofError("inclusion_mismatch", f"the {what} does not lead to its root")


def _wrong_length(code: str, what: str, how: str, path: Sequence[bytes]) -> ProofError:
    return ProofError(code, f"the {what} is too {how}: {len(path)} hashes")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `old_size` leaves is the beginning of the tree of `new_size` leaves.

    RFC 9162 defines this for 0 < old < new only. Beyond it:

    - every tree begins with the empty one: for old size 0 the path must be empty and the old root
      `EMPTY_ROOT`, and any new root passes (of a new size 0 too, only `EMPTY_ROOT`). This is what C2SP
      tlog-witness asks for; some libraries refuse size 0 instead;
    - for equal sizes the path must be empty and the roots equal.

    Args:
        old_size: 0 <= old_size, from a checkpoint already verified.
        old_root: its root, 32 bytes.
        new_size: below 2**63, from another verified checkpoint of the same log.
        new_root: its root, 32 bytes.
        path: hashes, lowest first, 32 bytes each.

    Raises:
        ProofError: ``hash_size``; ``tree_shrunk``: the new tree is smaller than the old one;
            ``empty_root``: a tree of size 0 with another root than that of nothing;
            ``consistency_path_length``: the path has too many or too few hashes;
            ``consistency_old_root``, ``consistency_new_root``: it leads to another root than the one given;
            ``roots_differ``: the sizes are equal, the roots are not.
        ValueError: a size is negative or too large, which no parser lets through.

    Does not prove: that the two trees contradict each other, when it fails; only a proof that verifies
    proves something. Two signed roots of one size that differ do.
    Source: RFC 9162 §2.1.4.2; docs/spec/log.md.
    """
    _check_size(old_size, "old tree size")
    _check_size(new_size, "new tree size")
    _check_hash(old_root, "old root")
    _check_hash(new_root, "new root")
    _check_path(path)
    if old_size > new_size:
        raise ProofError("tree_shrunk", f"expected a new tree of at least {old_size} leaves, got {new_size}")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofError("empty_root", "the root of a tree of size 0 must be the hash of nothing")
    what = f"consistency path from size {old_size} to {new_size}"
    if old_size in {0, new_size}:
        if path:
            raise _wrong_length("consistency_path_length", what, "long", path)
        if old_size == new_size and old_root != new_root:
            raise ProofError("roots_differ", f"two trees of the same size {new_size} have different roots")
        return
    # Step 1.
    if not path:
        raise _wrong_length("consistency_path_length", what, "short", path)
    # Step 2. A tree whose size is a power of two is one complete subtree: its root starts the path.
    whole = list(path)
    if old_size & (old_size - 1) == 0:
        whole.insert(0, old_root)
    # Steps 3 and 4.
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    # Step 5.
    fr = sr = whole[0]
    # Step 6, with a, b and c.
    for c in whole[1:]:
        if sn == 0:
            raise _wrong_length("consistency_path_length", what, "long", path)
        if fn & 1 or fn == sn:
            fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            while not (fn & 1 or fn == 0):
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    # Step 7.
    if sn != 0:
        raise _wrong_length("consistency_path_length", what, "short", path)
    if fr != old_root:
        raise ProofError("consistency_old_root", f"the {what} does not lead to the old root")
    if sr != new_root:
        raise ProofError("consistency_new_root", f"the {what} does not lead to the new root")
