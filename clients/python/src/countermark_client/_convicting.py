"""What makes evidence of a contradiction: proof that it is the log's, for somebody who was not there.

A leaf and a document say what was logged only together with a path to a root that the log signed. Where that path
did not come with the answer, the log is asked for it, as anybody may; one that does not show it any more leaves an
alarm and no evidence.

Source: docs/spec/log.md §8, §9.6.
"""

from __future__ import annotations

import contextlib

from countermark_client._io import Flow
from countermark_client._session import ProblemAnswer, Session
from countermark_protocol.checkpoint import Checkpoint, UnverifiedCheckpoint
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.merkle import leaf_hash, verify_inclusion
from countermark_protocol.proof import parse_inclusion
from countermark_protocol.proof_pieces import encode_proof


def fetch_proof(
    session: Session, index: int, checkpoint: Checkpoint | UnverifiedCheckpoint
) -> Flow[tuple[bytes, ...]]:
    """Ask the log for the leaf at an index and its path under a checkpoint.

    Returns:
        Leaf and proof (`encode_proof`), both verified; nothing if the log does not show them.
    """
    with contextlib.suppress(CountermarkError, ProblemAnswer):
        response, _ = yield from session.call(
            "GET", "/v1/log/inclusion", f"index={index}&size={checkpoint.size}", attempts=1
        )
        members = parse_object(response.body, "inclusion")
        members.pop("size", None)
        inclusion = Claims({"inclusion": members}, "answer").parsed("inclusion", parse_inclusion)
        hashed = leaf_hash(inclusion.leaf)
        verify_inclusion(hashed, index, checkpoint.size, list(inclusion.path), checkpoint.root)
        if inclusion.index == index:
            return inclusion.leaf, encode_proof(checkpoint.raw, inclusion)
    return ()
