"""The leaf: the small blinded record that the log's tree hashes, 115 bytes.

version 1 ‖ kind 2 ‖ time 8 ‖ dir_count 8 ‖ dir_head 32 ‖ statement 32 ‖ delivery 32, big-endian.

Source: docs/spec/log.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_protocol.claims import DIRECTORY_KINDS, MAX_TIME, Kind
from countermark_protocol.encoding import Reader, malformed
from countermark_protocol.errors import InconsistentLogError, UncheckableError

LEAF_VERSION: Final = 1
LEAF_BYTES: Final = 115
_VERSION: Final = LEAF_VERSION.to_bytes(1, "big")
#: Kinds with this bit may be ignored by who does not know them.
IGNORABLE_KIND: Final = 0x8000
NO_DELIVERY: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One record of the log.

    Attributes:
        kind: number of the statement's kind; known ones are in `Kind`.
        time: ms since 1970, never below that of the leaf before.
        dir_count: directory statements logged up to and including this leaf.
        dir_head: root of the directory trie after this leaf, 32 bytes.
        statement: hash of the signed document, 32 bytes.
        delivery: root over the delivery rows, 32 bytes; zero if there are none.
    """

    kind: int
    time: int
    dir_count: int
    dir_head: bytes
    statement: bytes
    delivery: bytes

    def encode(self) -> bytes:
        """The 115 bytes."""
        for value in (self.dir_head, self.statement, self.delivery):
            if len(value) != 32:
                msg = f"expected 32 bytes, got {len(value)}"
                raise ValueError(msg)
        return b"".join(
            (
                _VERSION,
                self.kind.to_bytes(2, "big"),
                self.time.to_bytes(8, "big"),
                self.dir_count.to_bytes(8, "big"),
                self.dir_head,
                self.statement,
                self.delivery,
            )
        )


def parse_leaf(data: bytes) -> Leaf:
    """Parse a leaf.

    Raises:
        MalformedError: not 115 bytes, or a time out of range.
        UncheckableError: another version, or an unknown kind that may not be ignored: the caller must
            stop sending until this software is updated.
    """
    reader = Reader(data, "leaf")
    version = reader.uint(1, "version")
    if version != LEAF_VERSION:
        raise UncheckableError("unknown_version", f"leaf has version {version}, expected {LEAF_VERSION}")
    leaf = Leaf(
        kind=reader.uint(2, "kind"),
        time=reader.uint(8, "time"),
        dir_count=reader.uint(8, "dir_count"),
        dir_head=reader.fixed(32, "dir_head"),
        statement=reader.fixed(32, "statement"),
        delivery=reader.fixed(32, "delivery"),
    )
    reader.end()
    if leaf.time > MAX_TIME:
        malformed("time_out_of_range", "leaf's time is beyond the year 9999")
    if leaf.kind not in _KNOWN_KINDS and not leaf.kind & IGNORABLE_KIND:
        raise UncheckableError("unknown_kind", f"leaf has kind {leaf.kind}, which this version does not know")
    return leaf


_KNOWN_KINDS: Final = frozenset(int(k) for k in Kind)


def verify_succession(before: Leaf | None, after: Leaf) -> None:
    """Check that `after` may directly follow `before` (None: `after` is entry 0).

    Raises:
        InconsistentLogError: time goes back, or the directory head moves on a leaf of another kind, or
            stands still on one of its own. Both leaves are the evidence; together with their proofs they
            convince anyone.

    Source: docs/spec/log.md §3.4.
    """
    evidence = ((before.encode(),) if before else ()) + (after.encode(),)
    moves = after.kind in DIRECTORY_KINDS
    count, head = (before.dir_count, before.dir_head) if before else (0, bytes(32))
    if before is None and after.kind != Kind.FOUNDING:
        raise InconsistentLogError("no_founding", "entry 0 is not a founding", *evidence)
    if before is not None and after.time < before.time:
        raise InconsistentLogError(
            "time_went_back", "a leaf's time is below that of the leaf before", *evidence
        )
    if after.dir_count != count + moves or (after.dir_head != head) != moves:
        raise InconsistentLogError(
            "directory_head_moved" if not moves else "directory_head_stood_still",
            "the directory head must move on directory statements and on nothing else",
            *evidence,
        )
