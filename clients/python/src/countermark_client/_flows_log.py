"""Checking the whole log from outside: every leaf, their succession, and the root over them.

Anyone can do this; a participant also finds its own entries at their places, and the directory head of every
leaf in its own fold.

Source: docs/spec/log.md §3.4, §9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import LogReport
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import InconsistentLogError, ProofError
from countermark_protocol.leaf import LEAF_BYTES, Leaf, parse_leaf, verify_succession
from countermark_protocol.merkle import Frontier, leaf_hash

#: (leaves read, leaves in all).
Progress = Callable[[int, int], None]
_PAGE: Final = 10_000


def verify_log(session: Session, log: LogView, progress: Progress | None) -> Flow[LogReport]:
    """Read every leaf below a fresh checkpoint and recompute its root.

    Raises:
        InconsistentLogError: leaves that do not follow each other, a root that is not theirs, or an own entry
            that is not at its place.
        UncheckableError: a leaf of a kind that this software does not know.
    """
    checkpoint = yield from log.sync()
    own = session.store.known_statements()
    frontier, before, found = Frontier(), None, 0
    kinds: Counter[int] = Counter()
    first: Leaf | None = None
    while frontier.size < checkpoint.size:
        start = frontier.size
        leaves = yield from _leaves(session, start, min(_PAGE, checkpoint.size - start))
        hashes: list[bytes] = []
        for offset, data in enumerate(leaves):
            index = start + offset
            leaf = parse_leaf(data)
            try:
                verify_succession(before, leaf)
            except InconsistentLogError as error:
                error.evidence += yield from _proofs(session, checkpoint, index)
                raise
            log.check_leaf(leaf, index)
            yield from log.early.look(leaf, index)
            if index in own:
                if own[index] != leaf.statement:
                    raise InconsistentLogError(
                        "leaf_changed",
                        f"entry {index} was proven to be another statement before",
                        data,
                        checkpoint.raw,
                    )
                found += 1
            first = first or leaf
            before = leaf
            kinds[leaf.kind] += 1
            hashes.append(leaf_hash(data))
        frontier = frontier.extend(hashes)
        if progress is not None:
            progress(frontier.size, checkpoint.size)
    if frontier.root() != checkpoint.root:
        raise InconsistentLogError(
            "root_mismatch",
            f"the {checkpoint.size} leaves that the log shows do not give the root that it signed",
            checkpoint.raw,
        )
    return LogReport(
        size=checkpoint.size,
        root=checkpoint.root,
        first_time=first.time if first is not None else 0,
        last_time=before.time if before is not None else 0,
        directory_statements=log.directory.count,
        kinds=dict(kinds),
        own_entries=found,
    )


def _proofs(session: Session, checkpoint: Checkpoint, index: int) -> Flow[tuple[bytes, ...]]:
    """Proofs of the leaf before one and of that leaf; none if the log does not show both."""
    before = (yield from fetch_proof(session, index - 1, checkpoint)) if index else ()
    after = yield from fetch_proof(session, index, checkpoint)
    return (before[1], after[1]) if before and after else ()


def _leaves(session: Session, start: int, count: int) -> Flow[list[bytes]]:
    try:
        response, _ = yield from session.call("GET", "/v1/log/leaves", f"from={start}&limit={count}")
    except ProblemAnswer as answer:
        raise problem_error(answer.problem) from None
    data = response.body
    if len(data) % LEAF_BYTES:
        malformed("truncated", f"leaves must come as whole records of {LEAF_BYTES} bytes")
    if not 1 <= len(data) // LEAF_BYTES <= count:
        raise ProofError(
            "leaves_missing", f"expected 1 to {count} leaves from {start} on, got {len(data) // LEAF_BYTES}"
        )
    return [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
