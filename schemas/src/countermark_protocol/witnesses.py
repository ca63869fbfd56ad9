"""The witnesses that a log's governors name, as a policy.

Source: docs/spec/witness.md §3; docs/spec/directory.md §2.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.cosignature import CosignerKey, parse_cosigner_vkey
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError, InconsistentLogError
from countermark_protocol.leaf import Leaf
from countermark_protocol.mandates import Witness
from countermark_protocol.records import LogRecord
from countermark_protocol.tlog_policy import TlogPolicy, threshold_policy

#: ms by which a leaf may be older than a quorum's word that there was nothing yet.
BACK_DATING_TOLERANCE: Final = 60_000


def keys_of_witness(witness: Witness) -> tuple[CosignerKey, ...]:
    """The keys of a witness that can be checked: one of a kind that is not known never counts."""
    out = []
    for vkey in witness.vkeys:
        try:
            out.append(parse_cosigner_vkey(vkey))
        except CountermarkError:
            continue
    return tuple(out)


def quorum_policy(directory: Directory, at: int | None = None) -> tuple[TlogPolicy, frozenset[bytes]]:
    """What makes a checkpoint witnessed: the policy, and the raw keys of the log, which never count.

    Args:
        directory: folded.
        at: log index as of which; None for the newest state.

    Raises:
        NotFoundError: the founding has not been folded yet.
    """
    record = directory.log(at)
    policy = threshold_policy([keys_of_witness(w) for w in record.witnesses], record.witness_quorum)
    return policy, log_keys_of(directory)


def log_keys_of(directory: Directory) -> frozenset[bytes]:
    """Raw public keys that sign, or signed, this log's checkpoints."""
    history = directory.history("log")
    return frozenset(h.record.log_key.raw for h in history if isinstance(h.record, LogRecord))


def check_not_from_the_future(leaf: Leaf, index: int, cosigned: Checkpoint, existed_by: int) -> None:
    """Check a leaf's time against when a quorum of witnesses had seen it.

    Args:
        leaf: proven to stand in the log.
        index: of its entry.
        cosigned: by a quorum.
        existed_by: s since 1970 at which each of the quorum, or earlier, had seen that tree.

    Raises:
        InconsistentLogError: ``leaf_from_the_future``: the leaf is in that tree, and says that it is younger.

    Source: docs/spec/witness.md §6.9.
    """
    if index < cosigned.size and leaf.time > existed_by * 1000 + BACK_DATING_TOLERANCE:
        raise InconsistentLogError(
            "leaf_from_the_future",
            f"the leaf of entry {index} states a time {leaf.time - existed_by * 1000} ms after a quorum of "
            "witnesses had seen it",
            leaf.encode(),
            cosigned.raw,
            index=index,
        )


def check_not_back_dated(leaf: Leaf, index: int, cosigned: Checkpoint, current_at: int) -> None:
    """Check a leaf's time against what a quorum of witnesses had seen.

    Args:
        leaf: proven to stand in the log.
        index: of its entry.
        cosigned: by a quorum.
        current_at: s since 1970 at which each of the quorum, or later, knew of no larger tree.

    Raises:
        InconsistentLogError: ``back_dated_leaf``: the leaf is not in that tree, and says that it is older.

    Source: design section 4, "Time"; docs/spec/witness.md §6.6.
    """
    if index >= cosigned.size and leaf.time < current_at * 1000 - BACK_DATING_TOLERANCE:
        raise InconsistentLogError(
            "back_dated_leaf",
            f"the leaf of entry {index} states a time {current_at * 1000 - leaf.time} ms before a quorum of "
            f"witnesses knew of no more than {cosigned.size} entries",
            leaf.encode(),
            cosigned.raw,
            index=index,
        )
