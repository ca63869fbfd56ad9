"""What authorities of time stamps say in evidence: by when the log had held the message, whatever became of it later.

Source: docs/spec/evidence.md §3.8; docs/spec/witness.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import TransportError, UncheckableError
from countermark_protocol.evidence import Evidence, Stamped
from countermark_protocol.evidence_witnesses import verify_witnessed
from countermark_protocol.leaf import Leaf
from countermark_protocol.timestamps import (
    TsaRoots,
    UnverifiedStamp,
    VerifiedStamp,
    parse_stamp,
    verify_stamp,
)
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE


@dataclass(frozen=True, slots=True)
class StampShown:
    """A time stamp on a witnessed checkpoint with the message.

    Attributes:
        size: leaves of that checkpoint's tree.
        witnessed_by: ms since 1970 by which a quorum of witnesses had seen it.
        stated: what the stamp says, whoever signed it.
        verified: that an authority said it; None where no root that was given vouches for it.
        reason: why none does; empty where `verified`, or where no roots were given.
        ahead: whether the message's leaf states a time that is later by more than a minute.
        early: whether the stamp states a time before the witnesses' by more than a minute: nobody can stamp what is
            not there yet.
    """

    size: int
    witnessed_by: int
    stated: UnverifiedStamp
    verified: VerifiedStamp | None
    reason: str
    ahead: bool
    early: bool


def check_stamps(
    directory: Directory, evidence: Evidence, leaf: Leaf, newest: Checkpoint, roots: TsaRoots
) -> tuple[StampShown, ...]:
    """Check every stamp in a file: of a checkpoint of this log with the message, on exactly that, by an authority.

    Args:
        directory: as far as it is shown.
        evidence: the file.
        leaf: the message's, proven.
        newest: verified.
        roots: of authorities that are believed; none if none is.

    Raises:
        VerificationError: a checkpoint is not one that `verify_witnessed` takes; a stamp is on other bytes
            (``stamp_imprint``), or false though its certificate leads to the roots (``stamp_invalid``).
        MalformedError: something is no stamp.
    """
    return tuple(_check(directory, evidence, one, leaf, newest, roots) for one in evidence.stamps)


def _check(
    directory: Directory, evidence: Evidence, one: Stamped, leaf: Leaf, newest: Checkpoint, roots: TsaRoots
) -> StampShown:
    witnessed = verify_witnessed(directory, evidence, one.at, leaf, newest)
    try:
        stated = parse_stamp(one.response, one.at.checkpoint)
    except TransportError as error:
        malformed("bad_stamp", f"expected a stamp, got a refusal: {error.message}")
    verified, reason = None, ""
    if roots:
        try:
            verified = verify_stamp(stated, roots)
        except UncheckableError as error:
            reason = error.message
    by = witnessed.existed_by * 1000
    return StampShown(
        size=witnessed.size,
        witnessed_by=by,
        stated=stated,
        verified=verified,
        reason=reason,
        ahead=verified is not None and leaf.time > verified.latest + BACK_DATING_TOLERANCE,
        early=verified is not None and verified.latest < by - BACK_DATING_TOLERANCE,
    )
