"""What a quorum of witnesses says of the log: how fresh the view is, and that no entry is back-dated behind it.

The witnesses and how many of them it takes stand in the directory. A profile may hold a policy of its own
(``witnesses.policy``, C2SP tlog-policy), which must be met too: whoever does not trust the governors' choice.

Source: docs/spec/witness.md §6; design section 5, "Freshness".
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow, Sleep
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.leaf import Leaf
from countermark_protocol.proof import Inclusion
from countermark_protocol.proof_pieces import parse_proof_piece
from countermark_protocol.tlog_policy import TlogPolicy, check_quorum, parse_policy
from countermark_protocol.witnesses import check_not_back_dated, quorum_policy

if TYPE_CHECKING:
    from countermark_client._log import LogView

#: The newest checkpoint known with a quorum's cosignatures, in the store.
_WITNESSED: Final = "witnessed"
POLICY_FILE: Final = "witnesses.policy"
#: No policy file is larger.
_MOST: Final = 1_000_000
#: s between questions whether a quorum has cosigned.
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that a quorum has cosigned.

    Attributes:
        checkpoint: verified, with its cosignatures.
        at: ms since 1970: each of a quorum stated then, or later, to know of no larger tree.
        existed_by: ms since 1970: each of a quorum stated then, or earlier, to have seen this tree.
        witnesses: names of those that counted.
    """

    checkpoint: Checkpoint
    at: int
    existed_by: int
    witnesses: tuple[str, ...]


def read_own_policy(folder: Path | None) -> TlogPolicy | None:
    """The profile's own policy, if it has one.

    Raises:
        MalformedError: it is not one.
    """
    path = folder / POLICY_FILE if folder is not None else None
    if path is None or not path.exists():
        return None
    with path.open("rb") as file:
        return parse_policy(file.read(_MOST))


def judge_witnessed(directory: Directory, own: TlogPolicy | None, checkpoint: Checkpoint) -> Witnessed:
    """Demand that a checkpoint is cosigned by a quorum.

    Args:
        directory: as read.
        own: the profile's own policy, if it has one.
        checkpoint: verified to be the log's.

    Raises:
        SignatureError: ``quorum_not_met``, or a cosignature does not verify.
    """
    policy, log_keys = quorum_policy(directory)
    quorums = [check_quorum(one, checkpoint, log_keys) for one in (policy, own) if one is not None]
    times = [(q.current_at, q.existed_by) for q in quorums if q.current_at and q.existed_by]
    if not times:
        raise SignatureError("quorum_not_met", "neither this log nor this profile names witnesses")
    names = [directory.log().witnesses[int(n.partition("/")[0])].name for n in quorums[0].times]
    further = [name for quorum in quorums[1:] for name in quorum.times]
    return Witnessed(
        checkpoint,
        at=min(at for at, _ in times) * 1000,
        existed_by=max(by for _, by in times) * 1000,
        witnesses=tuple(dict.fromkeys([*names, *further])),
    )


class WitnessedView:
    """What a quorum of witnesses says, as one profile has verified it.

    Attributes:
        newest: the newest checkpoint known with a quorum's cosignatures; None if there is none.
    """

    def __init__(self, session: Session, view: LogView) -> None:
        self._session = session
        self._store = session.store
        self._view = view
        self.newest: Witnessed | None = None

    def load(self) -> None:
        """Read it back from the store."""
        self.newest = None
        cosigned = self._store.meta(_WITNESSED)
        if cosigned is not None:
            # Governors may have named others since: then it has to be asked for again.
            with contextlib.suppress(SignatureError):
                self.newest = self.judge(self._view.verify_checkpoint(cosigned))

    def forget(self) -> None:
        """Believe none any more, in a transaction of the caller's."""
        self._store.set_meta(_WITNESSED, None)
        self.newest = None

    @property
    def named(self) -> bool:
        """Whether the log's record, as read, names witnesses."""
        directory = self._view.directory
        return directory.count > 0 and bool(directory.log().witnesses)

    def judge(self, checkpoint: Checkpoint) -> Witnessed:
        """Demand that a verified checkpoint is cosigned by a quorum.

        Raises:
            SignatureError: as `judge_witnessed`.
        """
        own = read_own_policy(self._session.profile.folder)
        return judge_witnessed(self._view.directory, own, checkpoint)

    def check_leaf(self, leaf: Leaf, index: int) -> None:
        """Check the time of a proven leaf against what the quorum had seen.

        Raises:
            InconsistentLogError: ``back_dated_leaf``.
        """
        if self.newest is not None:
            check_not_back_dated(leaf, index, self.newest.checkpoint, self.newest.at // 1000)

    def read(self) -> Flow[Witnessed | None]:
        """Ask for the newest checkpoint that a quorum has cosigned, and keep it.

        Returns:
            The newest known; None if no quorum has ever cosigned.

        Raises:
            InconsistentLogError: ``checkpoint_fork``: witnesses saw another history than this client.
            SignatureError: what is served is not cosigned by a quorum.
        """
        try:
            response, _ = yield from self._session.call("GET", "/v1/log/witnessed")
        except ProblemAnswer as answer:
            if answer.problem.code != "not_witnessed":
                raise problem_error(answer.problem) from None
            return self.newest
        checkpoint = yield from self._view.advance(response.body)
        witnessed = self.judge(checkpoint)
        if self.newest is None or witnessed.at > self.newest.at:
            self._store.set_meta(_WITNESSED, checkpoint.raw)
            self.newest = witnessed
        return self.newest

    def first(self, index: int) -> Flow[Witnessed | None]:
        """Ask for the oldest checkpoint kept with an entry that a quorum has cosigned; None if there is none.

        Raises:
            InconsistentLogError: ``checkpoint_fork``: witnesses saw another history than this client.
        """
        try:
            response, _ = yield from self._session.call("GET", "/v1/log/witnessed", f"size={index + 1}")
        except ProblemAnswer as answer:
            if answer.problem.code != "not_witnessed":
                raise problem_error(answer.problem) from None
            return None
        with contextlib.suppress(SignatureError):  # by witnesses that were replaced since
            checkpoint = yield from self._view.advance(response.body)
            if checkpoint.size > index:
                return self.judge(checkpoint)
        return None

    def proof(self, index: int) -> Flow[tuple[Witnessed, Inclusion] | None]:
        """That a quorum of witnesses has seen an entry: the oldest such checkpoint, and the leaf in its tree.

        Raises:
            InconsistentLogError: as `first`.
        """
        witnessed = (yield from self.first(index)) if self.named else None
        if witnessed is None:
            return None
        shown = yield from fetch_proof(self._session, index, witnessed.checkpoint)
        return (witnessed, parse_proof_piece(shown[1]).inclusion) if shown else None

    def wait(self, index: int, seconds: float) -> Flow[Witnessed]:
        """Wait until a quorum of witnesses has cosigned a tree that holds an entry.

        Raises:
            UncheckableError: ``no_witnesses``: this log has none; ``not_witnessed_yet``: not within that time.
            VerificationError: as `read`.
        """
        if not self.named:
            raise UncheckableError(
                "no_witnesses", "this log names no witnesses: nothing will ever be witnessed"
            )
        deadline = self._session.clock() + int(seconds * 1000)
        while True:
            witnessed = yield from self.read()
            if witnessed is not None and witnessed.checkpoint.size > index:
                return witnessed
            if self._session.clock() >= deadline:
                raise UncheckableError(
                    "not_witnessed_yet",
                    f"entry {index} is logged, but no quorum of witnesses has cosigned a tree with it within "
                    f"{seconds:.0f} s: it stays logged; ask again later",
                )
            yield Sleep(_PAUSE_S)
