"""Time stamps on witnessed checkpoints, as a mirror keeps them, and what they say of the log's times.

A leaf whose time is later than an authority's stamp on a tree that has it is from the future, as it is by witnesses'
word (`_times`). A stamp bounds nothing from below: nobody says that he knew of nothing larger.

Source: docs/spec/witness.md §8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._fold import Fold
from countermark_client.audit._leaves import Tree, count_leaves
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._series import checkpoint_of_this_log
from countermark_client.audit._source import LiveSource
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, SignatureError, UncheckableError
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.timestamps import TsaRoots, VerifiedStamp, parse_stamp, verify_stamp
from countermark_protocol.tlog_policy import check_quorum
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE, quorum_policy

_PAGE: Final = 100
_MINUTE_MS: Final = 60_000
#: Minutes by which clocks may differ, and by which a stamp may come in behind another one.
_AHEAD: Final = 24 * 60
#: Single value of a mirror: the minute up to which its stamps have been judged.
_CURSOR: Final = "stamped"


def keep_stamps(mirror: Mirror, source: LiveSource, now: int) -> None:
    """Read the stamps on from a day before where a mirror's end, as far as the mirror's leaves go.

    Args:
        mirror: that keeps them.
        source: of the broker.
        now: ms since 1970; nothing of a day later is kept.

    Raises:
        MalformedError: what is served is no series of stamps.
        CountermarkError: the broker is away.
    """
    size = count_leaves(mirror)
    last = mirror.database.execute("SELECT coalesce(max(minute), 0) FROM stamps").fetchone()[0]
    start = max(0, last - _AHEAD)
    while True:
        page = source.stamps(start)
        if page.items and page.items[0].minute < start:
            malformed("bad_member", f"stamps from minute {start} on: got minute {page.items[0].minute}")
        if page.items and page.items[-1].minute > now // _MINUTE_MS + _AHEAD:
            malformed("bad_member", f"minute {page.items[-1].minute} of a stamp is in the future")
        rows = [
            (i.minute, i.authority, parse_checkpoint(i.checkpoint).size, i.checkpoint, i.response)
            for i in page.items
        ]
        with mirror.transaction():
            mirror.database.executemany(
                "INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?, ?)",
                [row for row in rows if row[2] <= size],
            )
        if page.complete:
            return
        start = rows[-1][0] + 1


def check_stamps(
    mirror: Mirror,
    tree: Tree,
    fold: Fold,
    findings: Findings,
    roots: TsaRoots,
    *,
    anew: bool,
) -> tuple[str, ...]:
    """Judge the stamps of a mirror, and hold leaves against those whose authorities are believed.

    Each is on a checkpoint that the log signed, of this tree, cosigned by a quorum; else, and where it is on other
    bytes or false, it is a finding (`Check.STAMP`). So is a leaf that is from the future by one (`Check.FUTURE`).

    Args:
        mirror: that keeps them; written to unless `anew`.
        tree: over the log's leaves.
        fold: the directory.
        findings: where what is wrong is taken down.
        roots: of authorities that are believed; none if none is.
        anew: judge all of them; else what is new since the last time.

    Returns:
        Remarks: what is no finding, and people should know.
    """
    after = 0 if anew else max(0, mirror.meta_number(_CURSOR) - _AHEAD)
    size = count_leaves(mirror)
    unbelieved: Counter[str] = Counter()
    newest = 0
    remarks: list[str] = []
    for minute, authority, stated, note, response in _rows(mirror, after):
        if stated > size:
            continue  # of a mirror whose synchronisation was interrupted
        place = f"time stamp of minute {minute} by '{authority}'"
        newest = max(newest, minute)
        checkpoint = checkpoint_of_this_log(place, stated, note, tree, fold, findings)
        if checkpoint is None:
            continue
        try:
            seen_by = _witnessed(fold, checkpoint)
            stamp = parse_stamp(response, note)
            verified = verify_stamp(stamp, roots) if roots else None
        except UncheckableError:
            verified = None
        except CountermarkError as error:
            findings.add(
                Check.STAMP,
                place,
                "a stamp of RFC 3161 on a witnessed checkpoint of this log",
                str(error),
                None,
                checkpoint=note,
                stamp=response,
            )
            continue
        if verified is None:
            unbelieved[authority] += 1
        elif verified.latest < seen_by - BACK_DATING_TOLERANCE:
            remarks.append(
                f"the {place} is older than what it is on: its clock was wrong, and it bounds no time"
            )
        else:
            _hold(verified, checkpoint, note, response, tree, findings)
    if newest and not anew:
        with mirror.transaction():
            mirror.set_meta(_CURSOR, str(newest).encode())
    remarks += _told(unbelieved, given=bool(roots))
    return tuple(remarks)


def _hold(
    stamp: VerifiedStamp, checkpoint: Checkpoint, note: bytes, response: bytes, tree: Tree, findings: Findings
) -> None:
    """Hold the newest leaf of a stamped tree against the stamp: those before it are no younger."""
    index = checkpoint.size - 1
    leaf = tree.leaf(index)
    if leaf is not None and parse_leaf(leaf).time > stamp.latest + BACK_DATING_TOLERANCE:
        findings.entry(
            Check.FUTURE,
            index,
            f"a time not after {stamp.latest + BACK_DATING_TOLERANCE} ms: {stamp.authority} had stamped a tree with "
            f"it by {stamp.latest} ms",
            f"{parse_leaf(leaf).time} ms",
            leaf=leaf,
            checkpoint=note,
            stamp=response,
        )


def _witnessed(fold: Fold, checkpoint: Checkpoint) -> int:
    """By when a quorum had seen a checkpoint, ms since 1970.

    Raises:
        SignatureError: ``quorum_not_met``.
    """
    policy, log_keys = quorum_policy(fold.directory, max(checkpoint.size - 1, 0))
    quorum = check_quorum(policy, checkpoint, log_keys)
    if quorum.existed_by is None:
        raise SignatureError("quorum_not_met", "the log named no witnesses then")
    return quorum.existed_by * 1000


def _told(unbelieved: Counter[str], *, given: bool) -> Iterator[str]:
    for authority, count in sorted(unbelieved.items()):
        why = (
            "their certificates lead to none of the roots given"
            if given
            else "no roots were given (--tsa-roots)"
        )
        yield f"{count} time stamps by '{authority}' bound no time: {why}"


def _rows(mirror: Mirror, after: int) -> Iterator[tuple[int, str, int, bytes, bytes]]:
    """The stamps from a minute on, a page at a time."""
    start = (after, "")
    while True:
        rows = mirror.database.execute(
            "SELECT minute, authority, size, note, response FROM stamps WHERE (minute, authority) > (?, ?) "
            "ORDER BY minute, authority LIMIT ?",
            (*start, _PAGE),
        ).fetchall()
        yield from rows
        if len(rows) < _PAGE:
            return
        start = rows[-1][:2]
