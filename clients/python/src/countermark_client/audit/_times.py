"""Times that others than the broker vouch for: every leaf against the series of cosigned checkpoints.

No leaf is older than a quorum's word that it was not there yet, and none younger than a quorum's word that it was.

Source: docs/spec/witness.md §6.6, §6.9, §6.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, pairwise
from typing import Final

from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._fold import Fold
from countermark_client.audit._leaves import Tree, count_leaves
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._series import Bound, judge_series, note_of
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.records import LogRecord
from countermark_protocol.tlog_policy import TlogPolicy
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE

_PAGE: Final = 4_096
_MINUTE_MS: Final = 60_000
#: ms without a cosigned checkpoint that are remarked on.
_GAP: Final = 60 * _MINUTE_MS
_MOST_GAPS: Final = 20
#: ms since 1970 of the year 9999: beyond it there are no dates.
_NO_DATE: Final = 253_370_764_800_000
#: Single value of a mirror: the minute up to which its series has been held against its leaves.
_CURSOR: Final = "timed"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Leaves between two cosigned sizes, and what bounds their times."""

    start: int
    end: int
    floor: Bound | None
    ceiling: Bound | None


def check_times(
    mirror: Mirror,
    tree: Tree,
    fold: Fold,
    findings: Findings,
    own: TlogPolicy | None,
    *,
    anew: bool,
) -> tuple[str, ...]:
    """Hold leaves against the series of witnessed checkpoints.

    `Check.WITNESSED` where a leaf is back-dated, `Check.FUTURE` where it is from the future; of leaves between two
    checkpoints the first one that is wrong is told, and how many follow it.

    Args:
        mirror: that keeps the series; written to unless `anew`.
        tree: over the log's leaves.
        fold: the directory.
        findings: where what is wrong is taken down.
        own: the auditor's own policy, or None.
        anew: judge all of it; else what is new since the last time.

    Returns:
        Remarks: what is no finding, and people should know.
    """
    after = 0 if anew else mirror.meta_number(_CURSOR)
    size = count_leaves(mirror)
    judged = judge_series(mirror, tree, fold, findings, own, after)
    for stretch in _stretches(judged.bounds, size, whole=not after):
        _judge_stretch(stretch, mirror, tree, findings)
    if judged.newest is not None and not anew:
        with mirror.transaction():
            mirror.set_meta(_CURSOR, str(judged.newest).encode())
    remarks = list(_gaps(mirror, tree, fold, size))
    if judged.own_lacking:
        remarks.append(
            f"{judged.own_lacking} witnessed checkpoints do not meet the policy of this mirror: they bound no time"
        )
    return tuple(remarks)


def _stretches(bounds: Sequence[Bound], size: int, *, whole: bool) -> Iterator[_Stretch]:
    """The leaves between two sizes each; those below the first one only if nothing was judged before."""
    ceilings: list[Bound] = []
    for bound in reversed(bounds):
        lower = not ceilings or bound.existed_by <= ceilings[-1].existed_by
        ceilings.append(bound if lower else ceilings[-1])
    ceilings.reverse()
    floor: Bound | None = None
    start = 0
    for bound, ceiling in zip(bounds, ceilings, strict=True):
        if start < bound.size and (whole or floor is not None):
            yield _Stretch(start, bound.size, floor, ceiling)
        if floor is None or bound.current_at >= floor.current_at:
            floor = bound
        start = bound.size
    if floor is not None and start < size:
        yield _Stretch(start, size, floor, None)


def _judge_stretch(stretch: _Stretch, mirror: Mirror, tree: Tree, findings: Findings) -> None:
    least = stretch.floor.current_at - BACK_DATING_TOLERANCE if stretch.floor is not None else 0
    most = stretch.ceiling.existed_by + BACK_DATING_TOLERANCE if stretch.ceiling is not None else None
    old: list[tuple[int, bytes]] = []
    ahead: list[tuple[int, bytes]] = []
    too_old = too_new = 0
    for first in range(stretch.start, stretch.end, _PAGE):
        for index, data in enumerate(tree.leaves(first, min(first + _PAGE, stretch.end)), first):
            time = parse_leaf(data).time
            if time < least:
                too_old += 1
                old = old or [(index, data)]
            elif most is not None and time > most:
                too_new += 1
                ahead = ahead or [(index, data)]
    for index, data in old:
        assert stretch.floor is not None
        findings.entry(
            Check.WITNESSED,
            index,
            f"a time not before {_moment(least)}: witnesses had seen no more than {stretch.floor.size} entries "
            f"on {_moment(stretch.floor.current_at)}",
            _got(data, too_old),
            leaf=data,
            checkpoint=note_of(mirror, stretch.floor.current_minute),
        )
    for index, data in ahead:
        assert stretch.ceiling is not None
        assert most is not None
        findings.entry(
            Check.FUTURE,
            index,
            f"a time not after {_moment(most)}: witnesses had seen a tree with it by "
            f"{_moment(stretch.ceiling.existed_by)}",
            _got(data, too_new),
            leaf=data,
            checkpoint=note_of(mirror, stretch.ceiling.existed_minute),
        )


def _got(data: bytes, count: int) -> str:
    more = f", and {count - 1} more up to the next witnessed checkpoint" if count > 1 else ""
    return f"{_moment(parse_leaf(data).time)}{more}"


# --- remarks -------------------------------------------------------------------------------------------


def _gaps(mirror: Mirror, tree: Tree, fold: Fold, size: int) -> Iterator[str]:
    """More than an hour without a cosigned checkpoint, since witnesses were first named."""
    held = fold.directory.history("log")
    named = [h for h in held if isinstance(h.record, LogRecord) and h.record.witness_quorum]
    if not named or not size:
        return
    if mirror.database.execute("SELECT 1 FROM cosigned LIMIT 1").fetchone() is None:
        yield (
            "no time is vouched for by witnesses: the log names some, and shows no checkpoint that they cosigned"
        )
        return
    minutes = mirror.database.execute("SELECT minute FROM cosigned ORDER BY minute").fetchall()
    newest = tree.leaf(size - 1)
    last = [parse_leaf(newest).time] if newest is not None and fold.directory.log().witness_quorum else []
    gaps = 0
    for one, other in pairwise(chain([named[0].time], (row[0] * _MINUTE_MS for row in minutes), last)):
        if other - one > _GAP:
            gaps += 1
            if gaps <= _MOST_GAPS:
                yield f"no quorum of witnesses cosigned between {_moment(one)} and {_moment(other)}"
    if gaps > _MOST_GAPS:
        yield f"and {gaps - _MOST_GAPS} more times for longer than an hour"


def _moment(milliseconds: int) -> str:
    """A time in words; what a leaf or a witness states may be no date at all."""
    if milliseconds >= _NO_DATE:
        return f"{milliseconds} ms since 1970"
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(" ", "milliseconds").replace("+00:00", "Z")
