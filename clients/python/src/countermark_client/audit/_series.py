"""The series of checkpoints that quorums of witnesses cosigned, as a mirror keeps it, and what each of them bounds.

Source: docs/spec/witness.md §6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._fold import Fold
from countermark_client.audit._leaves import Tree, check_checkpoint, count_leaves
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._source import LiveSource
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, SignatureError
from countermark_protocol.tlog_policy import Quorum, TlogPolicy, check_quorum
from countermark_protocol.witness_history import SECONDS_A_MINUTE
from countermark_protocol.witnesses import quorum_policy

#: Checkpoints that are in memory at once.
_PAGE: Final = 200
_MINUTE_MS: Final = 60_000
#: Minutes by which clocks may differ.
_AHEAD: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Bound:
    """What the cosigned checkpoints of one size say of times: those of a quiet log are many.

    Attributes:
        size: leaves of the tree.
        current_at: ms since 1970: leaves beyond it are newer than this.
        current_minute: of the checkpoint that says so.
        existed_by: ms since 1970: leaves in it are older than this.
        existed_minute: of the checkpoint that says so.
    """

    size: int
    current_at: int
    current_minute: int
    existed_by: int
    existed_minute: int

    def joined(self, other: Bound) -> Bound:
        """What both say, who are of one size."""
        late = max(self, other, key=lambda bound: bound.current_at)
        early = min(self, other, key=lambda bound: bound.existed_by)
        return Bound(self.size, late.current_at, late.current_minute, early.existed_by, early.existed_minute)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a series says of times.

    Attributes:
        bounds: of its checkpoints that bound anything, one a size, in the order of sizes.
        newest: the last minute of those; None where there is none.
        own_lacking: how many are the log's quorum's, and do not meet the auditor's own policy.
    """

    bounds: Sequence[Bound]
    newest: int | None
    own_lacking: int


def keep_series(mirror: Mirror, source: LiveSource, now: int) -> None:
    """Read the series on from where a mirror's ends, as far as the mirror's leaves go.

    Args:
        mirror: that keeps it.
        source: of the broker.
        now: ms since 1970; nothing of a day later is kept, since all that follows would have to be later still.

    Raises:
        MalformedError: what is served is no series of checkpoints.
        CountermarkError: the broker is away.
    """
    size = count_leaves(mirror)
    # That minute may have got a newer one since.
    start = mirror.database.execute("SELECT coalesce(max(minute), 0) FROM cosigned").fetchone()[0]
    while True:
        page = source.witnessed(start)
        if page.items and page.items[0].minute < start:
            malformed("bad_member", f"a series from minute {start} on: got minute {page.items[0].minute}")
        if page.items and page.items[-1].minute > now // _MINUTE_MS + _AHEAD:
            malformed("bad_member", f"minute {page.items[-1].minute} of the series is in the future")
        rows = [(i.minute, parse_checkpoint(i.checkpoint).size, i.checkpoint) for i in page.items]
        held = [row for row in rows if row[1] <= size]
        with mirror.transaction():
            mirror.database.executemany("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", held)
        if page.complete or len(held) < len(rows):
            return
        start = rows[-1][0] + 1


def judge_series(
    mirror: Mirror,
    tree: Tree,
    fold: Fold,
    findings: Findings,
    own: TlogPolicy | None,
    after: int,
) -> Bounds:
    """Judge the checkpoints of a mirror's series: each signed by the log, of this tree, and by a quorum.

    Args:
        mirror: that keeps the series.
        tree: over the log's leaves.
        fold: the directory, which names the witnesses and their quorum at every size.
        findings: where what is wrong is taken down.
        own: the auditor's own policy, which must be met too for a checkpoint to bound anything.
        after: the first minute that is judged.
    """
    out: dict[int, Bound] = {}
    newest: int | None = None
    lacking = 0
    size = count_leaves(mirror)
    for minute, stated, note in _rows(mirror, after):
        if stated > size:
            continue  # of a mirror whose synchronisation was interrupted
        place = f"witnessed checkpoint of minute {minute}"
        checkpoint = checkpoint_of_this_log(place, stated, note, tree, fold, findings)
        if checkpoint is None:
            continue
        try:
            quorum = _quorum(fold, checkpoint, minute)
        except CountermarkError as error:
            findings.add(
                Check.UNWITNESSED,
                place,
                "cosignatures of a quorum of the witnesses named at its size, in its minute",
                str(error),
                None,
                checkpoint=note,
            )
            continue
        quorums = [quorum]
        if own is not None:
            try:
                quorums.append(check_quorum(own, checkpoint, quorum_policy(fold.directory)[1]))
            except CountermarkError:
                lacking += 1
                continue
        current = min(q.current_at for q in quorums if q.current_at is not None)
        existed = max(q.existed_by for q in quorums if q.existed_by is not None)
        bound = Bound(checkpoint.size, current * 1000, minute, existed * 1000, minute)
        known = out.get(bound.size)
        out[bound.size] = bound if known is None else known.joined(bound)
        newest = minute
    return Bounds([out[key] for key in sorted(out)], newest, lacking)


def note_of(mirror: Mirror, minute: int) -> bytes:
    """The kept checkpoint of a minute."""
    row = mirror.database.execute("SELECT note FROM cosigned WHERE minute = ?", (minute,)).fetchone()
    return bytes(row[0]) if row is not None else b""


def _rows(mirror: Mirror, after: int) -> Iterator[tuple[int, int, bytes]]:
    """The series from a minute on, a page at a time: a year of it has half a million checkpoints."""
    start = after
    while True:
        rows = mirror.database.execute(
            "SELECT minute, size, note FROM cosigned WHERE minute >= ? ORDER BY minute LIMIT ?",
            (start, _PAGE),
        ).fetchall()
        yield from rows
        if len(rows) < _PAGE:
            return
        start = rows[-1][0] + 1


def checkpoint_of_this_log(
    place: str, stated: int, note: bytes, tree: Tree, fold: Fold, findings: Findings
) -> Checkpoint | None:
    """A kept checkpoint that the log signed and whose root the mirror's leaves give; None, and a finding, else."""
    checkpoint = check_checkpoint(place, note, fold, findings)
    if checkpoint is None:
        return None
    if checkpoint.size != stated:
        findings.add(
            Check.MIRROR_CHANGED, place, f"size {checkpoint.size}", f"size {stated}", None, checkpoint=note
        )
        return None
    root = tree.root(checkpoint.size)
    if root != checkpoint.root:
        findings.add(
            Check.FORK,
            place,
            f"a tree of {checkpoint.size} leaves with root {(root or b'').hex()}",
            checkpoint.root.hex(),
            None,
            checkpoint=note,
        )
        return None
    return checkpoint


def _quorum(fold: Fold, checkpoint: Checkpoint, minute: int) -> Quorum:
    policy, log_keys = quorum_policy(fold.directory, max(checkpoint.size - 1, 0))
    quorum = check_quorum(policy, checkpoint, log_keys)
    if quorum.current_at is None:
        raise SignatureError("quorum_not_met", "the log named no witnesses then")
    if quorum.current_at // SECONDS_A_MINUTE != minute:
        raise SignatureError(
            "cosignature_time",
            f"its quorum's time {quorum.current_at} s is of minute {quorum.current_at // SECONDS_A_MINUTE}",
        )
    return quorum
