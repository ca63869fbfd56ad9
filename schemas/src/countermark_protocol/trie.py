"""The directory's binary trie over SHA-256(subject): one short path shows presence or absence.

A node over no record is zero, over one record H(subject, index, time, statement), else H(left, right) by the
next bit. Nodes never change: inserting gives a new root that shares the rest with the old one.

Source: docs/spec/log.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import ProofError
from countermark_protocol.keys import sha256

EMPTY: Final = bytes(32)
DEPTH: Final = 256
_LIMIT: Final = 2**64


@dataclass(frozen=True, slots=True)
class TrieRecord:
    """What the directory holds for one subject.

    Attributes:
        subject: e.g. ``endpoint/ke.police.nairobi``.
        index: of the log entry that set it.
        time: of that entry's leaf, ms since 1970.
        statement: hash of the signed document, 32 bytes.
    """

    subject: str
    index: int
    time: int
    statement: bytes

    def digest(self) -> bytes:
        """The node over this record alone, 32 bytes."""
        return labelled_hash(
            "dir-record",
            self.subject.encode("utf-8"),
            self.index.to_bytes(8, "big"),
            self.time.to_bytes(8, "big"),
            self.statement,
        )


@dataclass(frozen=True, slots=True)
class _Leaf:
    record: TrieRecord
    key: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Branch:
    left: Node
    right: Node
    digest: bytes


Node = _Leaf | _Branch | None


@dataclass(frozen=True, slots=True)
class TrieProof:
    """A path from the root to where a subject is, or would be.

    Attributes:
        siblings: the nodes beside the path, from the root down, 32 bytes each.
        record: the record at its end: the subject's own, another one's, or None where there is none.
    """

    siblings: tuple[bytes, ...]
    record: TrieRecord | None


def _key(subject: str) -> int:
    return int.from_bytes(sha256(subject.encode("utf-8")), "big")


def _bit(key: int, depth: int) -> int:
    return key >> (DEPTH - 1 - depth) & 1


def _digest(node: Node) -> bytes:
    return EMPTY if node is None else node.digest


def _parent(left: bytes, right: bytes) -> bytes:
    return labelled_hash("dir-node", left, right)


def _branch(left: Node, right: Node) -> _Branch:
    return _Branch(left, right, _parent(_digest(left), _digest(right)))


def _insert(node: Node, leaf: _Leaf, depth: int) -> Node:
    if node is None or (isinstance(node, _Leaf) and node.key == leaf.key):
        return leaf
    if isinstance(node, _Branch):
        if _bit(leaf.key, depth):
            return _branch(node.left, _insert(node.right, leaf, depth + 1))
        return _branch(_insert(node.left, leaf, depth + 1), node.right)
    # Two records under one node: push the old one down and go on.
    pushed = _branch(None, node) if _bit(node.key, depth) else _branch(node, None)
    return _insert(pushed, leaf, depth)


class Trie:
    """A trie at one moment; immutable."""

    __slots__ = ("_root",)

    def __init__(self, root: Node = None) -> None:
        self._root = root

    @property
    def head(self) -> bytes:
        """The root, 32 bytes; zero while empty."""
        return _digest(self._root)

    def with_record(self, record: TrieRecord) -> Trie:
        """The trie in which `record` is its subject's."""
        return Trie(_insert(self._root, _Leaf(record, _key(record.subject), record.digest()), 0))

    def prove(self, subject: str) -> TrieProof:
        """The path that shows the subject's record, or that there is none."""
        key, node = _key(subject), self._root
        siblings: list[bytes] = []
        while isinstance(node, _Branch):
            right = _bit(key, len(siblings))
            siblings.append(_digest(node.left if right else node.right))
            node = node.right if right else node.left
        return TrieProof(tuple(siblings), node.record if node else None)


def verify_subject(head: bytes, subject: str, proof: TrieProof) -> TrieRecord | None:
    """Check a path against a directory head.

    Args:
        head: ``dir_head`` of a proven leaf, 32 bytes.
        subject: what was asked for.
        proof: the path.

    Returns:
        The subject's record as of that leaf, or None: proven to have none.

    Raises:
        ProofError: the path does not lead from this head to where the subject would be.
    """
    depth = len(proof.siblings)
    if depth > DEPTH or any(len(s) != 32 for s in proof.siblings):
        raise ProofError("bad_trie_path", "a directory path has at most 256 nodes of 32 bytes")
    key = _key(subject)
    node = EMPTY
    if proof.record is not None:
        if not (0 <= proof.record.index < _LIMIT and 0 <= proof.record.time < _LIMIT):
            raise ProofError("bad_trie_path", "the record shown has an index or time that no leaf can have")
        node = proof.record.digest()
        other = _key(proof.record.subject)
        if other >> (DEPTH - depth) != key >> (DEPTH - depth):
            raise ProofError("bad_trie_path", "the record shown does not stand on the subject's path")
    for i in reversed(range(depth)):
        sibling = proof.siblings[i]
        node = _parent(sibling, node) if _bit(key, i) else _parent(node, sibling)
    if node != head:
        raise ProofError("bad_trie_path", "the directory path does not lead from this directory head")
    if proof.record is None or proof.record.subject != subject:
        return None
    return proof.record


def trie_of(records: Sequence[TrieRecord]) -> Trie:
    """A trie over `records`, applied in order."""
    trie = Trie()
    for record in records:
        trie = trie.with_record(record)
    return trie
