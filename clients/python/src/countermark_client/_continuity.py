"""Whether one tree of the log continues another: asked of the log, and verified here.

Source: docs/spec/log.md §9.4, docs/spec/api.md §2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_protocol.checkpoint import Checkpoint, UnverifiedCheckpoint
from countermark_protocol.claims import Claims, Seen
from countermark_protocol.encoding import parse_digest, parse_object
from countermark_protocol.errors import ProofError
from countermark_protocol.holdings import HeldEntry
from countermark_protocol.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from countermark_protocol.proof import Inclusion
from countermark_protocol.proof_pieces import parse_proof_piece

if TYPE_CHECKING:
    from countermark_client._log import LogView


def continues(session: Session, seen: Seen, checkpoint: Checkpoint | UnverifiedCheckpoint) -> Flow[bool]:
    """Whether the log can show that a checkpoint continues a smaller tree, which is not empty."""
    for _ in range(2):
        path = yield from consistency_path(session, seen.size, checkpoint.size)
        # A path spoilt on its way is no crime: the log gets a second chance to show its history.
        with contextlib.suppress(ProofError):
            verify_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, path)
            return True
    return False


def consistency_path(session: Session, old: int, new: int) -> Flow[list[bytes]]:
    """Ask the log to show that one of its trees continues another; the path is not verified here."""
    try:
        response, _ = yield from session.call("GET", "/v1/log/consistency", f"from={old}&to={new}")
    except ProblemAnswer as answer:
        raise problem_error(answer.problem) from None
    claims = Claims(parse_object(response.body, "consistency proof"), "consistency proof")
    if claims.integer("from") != old or claims.integer("to") != new:
        raise ProofError("wrong_sizes", "the consistency proof is for other sizes than those asked for")
    path = [parse_digest(h, "path") for h in claims.items("path", 0, 130)]
    claims.done()
    return path


def show_sizes(session: Session, view: LogView, sizes: Sequence[int]) -> Flow[list[HeldEntry]]:
    """Ask the log for what shows the roots that its tree had at sizes: the last leaf below each.

    Args:
        session: of the profile.
        view: its verified view.
        sizes: of trees that another party holds.

    Returns:
        Those leaves, verified under this profile's newest checkpoint; none beyond it, and none that the log hides.
    """
    known, out = view.checkpoint, []
    for size in sorted(set(sizes)):
        if known is not None and 0 < size < known.size:
            shown = yield from fetch_proof(session, size - 1, known)
            if shown:
                out.append(HeldEntry(known.raw, parse_proof_piece(shown[1]).inclusion))
    return out


def shows_growth(newest: Inclusion, old: Checkpoint, new: Checkpoint) -> bool:
    """Whether the path of the newest leaf shows that `new` is `old` and that leaf.

    The path of the last leaf of a tree of n+1 leaves consists of exactly the complete subtrees of the first n,
    so it gives the old root too. Saves a request for every statement where nobody else posts meanwhile. The
    path itself is verified with the proof.
    """
    if new.size != old.size + 1 or newest.index != old.size or len(newest.path) != old.size.bit_count():
        return False
    try:
        verify_inclusion(leaf_hash(newest.leaf), newest.index, new.size, list(newest.path), new.root)
    except ProofError:
        return False
    return Frontier(old.size, tuple(reversed(newest.path))).root() == old.root
