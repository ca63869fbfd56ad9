"""What witnesses say in evidence: of the newest checkpoint, and of the oldest with the message that a quorum cosigned.

Source: docs/spec/evidence.md §3.6, §3.7; docs/spec/witness.md §3, §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import ProofError, SignatureError
from countermark_protocol.evidence import Earlier, Evidence
from countermark_protocol.evidence_directory import name_at
from countermark_protocol.leaf import Leaf
from countermark_protocol.merkle import verify_consistency
from countermark_protocol.records import LogRecord
from countermark_protocol.tlog_policy import Quorum, check_quorum, threshold_policy
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE, keys_of_witness


@dataclass(frozen=True, slots=True)
class Witnessing:
    """What witnesses say of the newest checkpoint.

    Attributes:
        named: how many witnesses the log's record names.
        quorum: how many of them make a checkpoint witnessed; 0 while none is named.
        times: name of each witness that cosigned → the time it states, s since 1970.
        existed_by: s since 1970 by which a quorum had seen this tree; None if there is no quorum.
    """

    named: int
    quorum: int
    times: Mapping[str, int]
    existed_by: int | None


@dataclass(frozen=True, slots=True)
class FirstWitnessed:
    """The oldest checkpoint with the message that a quorum cosigned, as far as the file shows.

    Attributes:
        size: leaves of its tree.
        named: how many witnesses the log's record named then.
        quorum: how many of them made a checkpoint witnessed.
        witnesses: names of those that cosigned.
        existed_by: s since 1970 by which a quorum had seen the message in the log.
        ahead: whether the message's leaf states a time that is later by more than a minute.
    """

    size: int
    named: int
    quorum: int
    witnesses: tuple[str, ...]
    existed_by: int
    ahead: bool


def judge_newest(directory: Directory, checkpoint: Checkpoint) -> Witnessing:
    """Who of the witnesses that the log's newest record names cosigned the newest checkpoint.

    Raises:
        SignatureError: a line by one of them does not verify.
    """
    record: LogRecord = directory.log()
    everyone = _quorum(directory, record, checkpoint, 0)
    existed_by = None
    if record.witness_quorum:
        try:
            existed_by = _quorum(directory, record, checkpoint, record.witness_quorum).existed_by
        except SignatureError as error:
            if error.code != "quorum_not_met":
                raise
    return Witnessing(
        len(record.witnesses), record.witness_quorum, _by_name(record, everyone.times), existed_by
    )


def verify_first_witnessed(
    directory: Directory, evidence: Evidence, leaf: Leaf, newest: Checkpoint
) -> FirstWitnessed | None:
    """Check the oldest witnessed checkpoint with the message; None where the file has none.

    Args:
        directory: as far as it is shown.
        evidence: the file.
        leaf: the message's, proven.
        newest: verified.

    Raises:
        SignatureError: it is not signed by the log's key, or ``quorum_not_met``: by fewer of the witnesses that the
            log's record named as of its size; or a cosignature does not verify.
        ProofError: ``beyond_checkpoint``: the message is not in its tree; or the newest does not continue it.
    """
    if evidence.witnessed is None:
        return None
    return verify_witnessed(directory, evidence, evidence.witnessed, leaf, newest)


def verify_witnessed(
    directory: Directory, evidence: Evidence, older: Earlier, leaf: Leaf, newest: Checkpoint
) -> FirstWitnessed:
    """As `verify_first_witnessed`, of one witnessed checkpoint in the file."""
    unverified = parse_checkpoint(older.checkpoint)
    if not evidence.message.inclusion.index < unverified.size <= newest.size:
        raise ProofError(
            "beyond_checkpoint", "the witnessed checkpoint is not between the message and the newest"
        )
    name = name_at(directory, evidence.log, evidence.founding, max(unverified.size - 1, 0))
    checkpoint = verify_checkpoint(unverified, name, directory.log_key_for(unverified.size).raw)
    verify_consistency(checkpoint.size, checkpoint.root, newest.size, newest.root, list(older.consistency))
    record = directory.log(checkpoint.size - 1)
    quorum = _quorum(directory, record, checkpoint, record.witness_quorum)
    if quorum.existed_by is None:
        raise SignatureError("quorum_not_met", "the log named no witnesses when this checkpoint was signed")
    return FirstWitnessed(
        size=checkpoint.size,
        named=len(record.witnesses),
        quorum=record.witness_quorum,
        witnesses=tuple(sorted(_by_name(record, quorum.times))),
        existed_by=quorum.existed_by,
        ahead=leaf.time > quorum.existed_by * 1000 + BACK_DATING_TOLERANCE,
    )


def _quorum(directory: Directory, record: LogRecord, checkpoint: Checkpoint, threshold: int) -> Quorum:
    policy = threshold_policy([keys_of_witness(witness) for witness in record.witnesses], threshold)
    return check_quorum(policy, checkpoint, (record.log_key.raw, directory.log().log_key.raw))


def _by_name(record: LogRecord, times: Mapping[str, int]) -> dict[str, int]:
    """Latest time by witness, of times by the names of `threshold_policy`."""
    out: dict[str, int] = {}
    for name, time in times.items():
        witness = record.witnesses[int(name.partition("/")[0])].name
        out[witness] = max(time, out.get(witness, time))
    return out
