"""Whether a witness cosigns: one pure function of what it holds, what it is asked, and the time.

It reads no clock and no database. Whoever calls it does so inside the transaction that stores what follows, and
lets nothing out before that is durable (service.py).

Source: C2SP tlog-witness, "add-checkpoint"; docs/spec/witness.md §5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.checkpoint import Checkpoint, verify_checkpoint
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    InconsistentLogError,
    NotFoundError,
    ProofError,
    SignatureError,
)
from countermark_protocol.merkle import EMPTY_ROOT, verify_consistency
from countermark_protocol.note import NoteKey, UnverifiedNote, encode_note, parse_note
from countermark_protocol.tlog_witness import AddCheckpoint
from countermark_witness.errors import WitnessError

#: s that the clock may stand behind the latest time ever stated: that time is then stated again. A clock further
#: back is wrong, or was, and a cosignature by it would be false.
CLOCK_TOLERANCE_S: Final = 5


# --- what a witness holds ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key of a log.

    Attributes:
        from_size: it signs checkpoints of this size and beyond, until the next key's.
        key: its name is the log's origin.
    """

    from_size: int
    key: NoteKey


@dataclass(frozen=True, slots=True)
class Held:
    """What was cosigned last for a log.

    Attributes:
        size: leaves in the tree.
        root: 32 bytes.
        checkpoint: as the log signed it: the note with the log's own lines and no others.
        time: that was stated, s since 1970.
    """

    size: int
    root: bytes
    checkpoint: bytes
    time: int


@dataclass(frozen=True, slots=True)
class LogState:
    """A log that the witness knows.

    Attributes:
        origin: name of the log.
        keys: at least one, ascending by `LogKey.from_size`; the first from size 0.
        held: None until something was cosigned.
    """

    origin: str
    keys: tuple[LogKey, ...]
    held: Held | None


@dataclass(frozen=True, slots=True)
class State:
    """What a request is judged by.

    Attributes:
        log: that the request's checkpoint names; None if the witness does not know it.
        latest_time: that was ever stated, for any log, s since 1970; 0 at first.
    """

    log: LogState | None
    latest_time: int


# --- what is decided ---------------------------------------------------------------------------------


class Finding(StrEnum):
    """What two checkpoints of one log, both signed by it, show together."""

    #: One size, two roots: proof to anybody that the log shows two histories.
    FORK = "fork"
    #: The path from one to the other fails: the log may be to blame, or whoever sent the request.
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two checkpoints to be kept.

    Attributes:
        finding: what they show.
        held: the one cosigned, as `Held.checkpoint`.
        offered: the one that was not, likewise.
    """

    finding: Finding
    held: bytes
    offered: bytes


@dataclass(frozen=True, slots=True)
class Cosign:
    """Cosign, once `held` is durable.

    Attributes:
        checkpoint: to be cosigned.
        held: what the witness holds from now on; `Held.time` is the time to state.
    """

    checkpoint: Checkpoint
    held: Held


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not cosign.

    Attributes:
        status: of the HTTP answer.
        error: why.
        held_size: body of the answer 409; None with any other.
        evidence: to be kept; None if there is none.
    """

    status: int
    error: CountermarkError
    held_size: int | None = None
    evidence: Evidence | None = None


def judge(state: State, request: AddCheckpoint, now: int) -> Cosign | Refuse:
    """Decide a request.

    Args:
        state: as it stands in the transaction that will store the outcome.
        request: parsed, so its form is right.
        now: s since 1970.

    Returns:
        What to answer, and what to store before.

    Source: docs/spec/witness.md §5.2; the steps are numbered as there.
    """
    offered = request.checkpoint
    # Step 2.
    if state.log is None:
        return Refuse(404, NotFoundError("unknown_log", f"no log {offered.origin[:64]!r} is known here"))
    # Step 3.
    try:
        key = key_for(state.log.keys, offered.size)
        checkpoint = verify_checkpoint(offered, state.log.origin, key.public_key.raw)
    except SignatureError as error:
        return Refuse(403, error)
    # Step 4.
    held = state.log.held
    size, root = (held.size, held.root) if held else (0, EMPTY_ROOT)
    evidence = _fork(held, checkpoint)
    if request.old_size != size:
        stale = ConflictError("old_size", f"expected the old size {size}, got {request.old_size}")
        return Refuse(409, stale, held_size=size, evidence=evidence)
    # Step 5.
    try:
        verify_consistency(size, root, checkpoint.size, checkpoint.root, request.proof)
    except ProofError as error:
        return Refuse(422, _told(error, evidence), evidence=evidence or _unproven(held, checkpoint))
    # Step 6.
    if state.latest_time - now > CLOCK_TOLERANCE_S:
        behind = state.latest_time - now
        return Refuse(503, WitnessError("clock_went_back", f"the clock is {behind} s behind what was stated"))
    time = max(now, state.latest_time)
    return Cosign(checkpoint, Held(checkpoint.size, checkpoint.root, as_signed(checkpoint), time))


def key_for(keys: Sequence[LogKey], size: int) -> NoteKey:
    """The key that signs checkpoints of a size."""
    return next(k.key for k in reversed(keys) if k.from_size <= size)


def as_signed(checkpoint: Checkpoint) -> bytes:
    """The checkpoint with the log's own lines and no others, each once.

    Anybody may add lines to a note. Kept with them, one checkpoint could come as many, and fill what is bounded.
    """
    others = set(checkpoint.cosignatures)
    own = dict.fromkeys(s for s in parse_note(checkpoint.raw).signatures if s not in others)
    return encode_note(UnverifiedNote(checkpoint.text, tuple(own)))


def _fork(held: Held | None, checkpoint: Checkpoint) -> Evidence | None:
    if held is None or held.size != checkpoint.size or held.root == checkpoint.root:
        return None
    return Evidence(Finding.FORK, held.checkpoint, as_signed(checkpoint))


def _unproven(held: Held | None, checkpoint: Checkpoint) -> Evidence | None:
    # Of one size and root, or after nothing, only the path itself can be wrong.
    if held is None or held.size in {0, checkpoint.size}:
        return None
    return Evidence(Finding.UNPROVEN, held.checkpoint, as_signed(checkpoint))


def _told(error: ProofError, fork: Evidence | None) -> CountermarkError:
    if fork is None:
        return error
    return InconsistentLogError("log_forked", "the log signed two trees of one size", fork.held, fork.offered)
