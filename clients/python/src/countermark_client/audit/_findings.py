"""Findings: what was not as it must be, with the bytes that show it.

One finding a place and check: what is wrong with an entry is told once, however often it is looked at, and what
merely follows from it is not told again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from countermark_client.audit._mirror import Mirror
from countermark_client.errors import StorageError
from countermark_protocol.errors import NotFoundError


class Check(StrEnum):
    """The checks of an audit: stable codes, each named by what it finds."""

    FOUNDING = "other_founding"
    """Entry 0 is not the trust file."""
    CHECKPOINT = "checkpoint_invalid"
    """A checkpoint is not signed by the log's key of its size."""
    FORK = "checkpoint_fork"
    """Two signed trees, one of which does not continue the other."""
    ROOT = "root_mismatch"
    """The leaves do not give the root that the log signed."""
    TILE = "tile_mismatch"
    """What is served as tile or leaves does not lead to the signed root."""
    LEAF_FORM = "leaf_invalid"
    """A leaf is not in the one form."""
    NO_FOUNDING = "no_founding"
    TIME = "time_went_back"
    HEAD_STILL = "directory_head_stood_still"
    HEAD_MOVED = "directory_head_moved"
    """These four: docs/spec/log.md 3.4."""
    HEAD = "directory_head_mismatch"
    """A leaf's directory head is not that of the statements shown: one is hidden, added or changed."""
    WITNESSED = "back_dated_leaf"
    """A leaf is older than a quorum's cosignature on a size that it is not in."""
    FUTURE = "leaf_from_the_future"
    """A leaf is younger than a quorum's cosignature, or a believed time stamp, on a tree that has it."""
    UNWITNESSED = "witnessed_invalid"
    """A checkpoint shown as witnessed is not cosigned by a quorum."""
    STAMP = "stamp_invalid"
    """A time stamp shown is not one on a witnessed checkpoint of this log."""
    MISSING = "entry_missing"
    """An entry that the mandate covers is not shown."""
    LEAF = "leaf_mismatch"
    """An entry is shown with another leaf, kind or index than the log has."""
    DOCUMENT = "document_mismatch"
    """The document shown is not the one that the leaf commits to."""
    FORM = "statement_invalid"
    """A logged document is not a statement in its one form, or its recipient rows are not those it commits to."""
    SIGNATURE = "signature_invalid"
    """A signature of a logged statement does not verify."""
    SIGNER = "signer_did_not_count"
    """A logged statement is signed by a key that did not count for its author then, or by too many."""
    LOG = "wrong_log"
    """A logged statement was made for another log."""
    BACK_DATED = "back_dated"
    """A statement states to have seen a larger log than there was before it."""
    SEEN = "seen_fork"
    """A statement names another root for a size than this log has."""
    DECISION = "decision_against_rules"
    """A statement was logged that the rules refuse."""
    TWICE = "logged_twice"
    """One payload is two entries."""
    DELIVERIES = "deliveries_mismatch"
    """The leaf does not deliver to exactly the boxes and positions that follow from all before it."""
    BOX = "box_broken"
    """A position of a box is missing, or stands for another entry or past than the one before leads to."""
    ROW = "row_invalid"
    """A delivery or recipient row shown is not in the leaf or manifest that it should be in."""
    PLACE = "wrong_box"
    """An entry stands in a box into which it does not belong."""
    ACCOUNT = "account_invalid"
    """An account is not the broker's, about another request, or does not state every box of the mandate."""
    ACCOUNT_ROOT = "account_other_root"
    """An account names a tree that is not this log's."""
    CONTRADICTED = "account_contradicted"
    """An account states another count or head of a box than the entries below its size give."""
    ANSWER = "answer_invalid"
    """An answer of the broker is not in the language."""
    MIRROR_DAMAGED = "mirror_damaged"
    """The mirror's file cannot be read, or lacks what it says to hold."""
    MIRROR_CHANGED = "mirror_changed"
    """A row of the mirror is not the one that follows from the bytes kept."""


#: What the one decision raises, as an audit names it; all else is `Check.DECISION`.
BY_RULE: Final[Mapping[str, Check]] = {
    "wrong_log": Check.LOG,
    "logged_twice": Check.TWICE,
    "seen_ahead": Check.BACK_DATED,
    "seen_other_root": Check.SEEN,
    "bad_signature": Check.SIGNATURE,
    "signature_size": Check.SIGNATURE,
    "high_s": Check.SIGNATURE,
    "wrong_algorithm": Check.SIGNATURE,
    "unknown_key": Check.SIGNER,
    "wrong_signer": Check.SIGNER,
    "revoked_key": Check.SIGNER,
    "too_many_signatures": Check.SIGNER,
    "too_few_signatures": Check.SIGNER,
    "missing_possession": Check.SIGNER,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        number: in the mirror, from 1; 0 where it could not be written there.
        index: of the entry or leaf; None where it is about no single one.
        place: what it is about.
        check: what found it.
        expected: what should have been there.
        got: what was.
        found_by: ``sync`` or ``verify``.
        found_at: by this machine's clock, ms since 1970.
        settled: what a person wrote when it was settled, or None.
    """

    number: int
    index: int | None
    place: str
    check: Check
    expected: str
    got: str
    found_by: str
    found_at: int
    settled: str | None = None

    def to_json(self) -> dict[str, object]:
        """Its JSON form, without the evidence."""
        return {
            "number": self.number,
            "index": self.index,
            "place": self.place,
            "check": self.check.value,
            "expected": self.expected,
            "got": self.got,
            "found_by": self.found_by,
            "found_at": self.found_at,
            "settled": self.settled,
        }


class Findings:
    """Takes down what one run finds.

    Args:
        mirror: where findings are kept; written within the caller's transaction, if there is one.
        found_by: ``sync`` or ``verify``.
        clock: ms since 1970.
    """

    def __init__(self, mirror: Mirror, found_by: str, clock: Callable[[], int]) -> None:
        self._mirror = mirror
        self._found_by = found_by
        self._clock = clock
        self._seen: dict[tuple[str, Check], Finding] = {}
        # What earlier runs found: it is looked at for every entry.
        self._indexes: set[int] = {
            row[0]
            for row in mirror.database.execute(
                "SELECT idx FROM findings WHERE found_by = ? AND place = 'entry ' || idx", (found_by,)
            )
        }

    @property
    def found(self) -> tuple[Finding, ...]:
        """What this run has found, in the order it was found."""
        return tuple(self._seen.values())

    def has(self, index: int) -> bool:
        """Whether anything was found about an entry, by this run or one before it."""
        return index in self._indexes

    def add(
        self, check: Check, place: str, expected: str, got: str, index: int | None = None, **evidence: bytes
    ) -> None:
        """Take down a finding, unless the same was found before.

        Args:
            check: what found it.
            place: what it is about.
            expected: what should have been there.
            got: what was.
            index: of the entry or leaf.
            evidence: the bytes that show it, by what they are.
        """
        if (place, check) in self._seen:
            return
        finding = Finding(0, index, place, check, expected, got, self._found_by, self._clock())
        with contextlib.suppress(StorageError):  # a mirror that is damaged is found all the same
            finding = replace(finding, number=add_finding(self._mirror, finding, evidence))
        self._seen[place, check] = finding

    def entry(self, check: Check, index: int, expected: str, got: str, **evidence: bytes) -> None:
        """As `add`, about one entry; of each only the first thing that is wrong with it."""
        if not self.has(index):
            self._indexes.add(index)
            self.add(check, f"entry {index}", expected, got, index, **evidence)


def add_finding(mirror: Mirror, finding: Finding, evidence: Mapping[str, bytes]) -> int:
    """Write a finding into a mirror, unless it holds the same; its number there."""
    values = (finding.place, finding.check.value, finding.found_by)
    with mirror.transaction():
        known = mirror.database.execute(
            "SELECT number FROM findings WHERE place = ? AND code = ? AND found_by = ?", values
        ).fetchone()
        if known is not None:
            return int(known[0])
        [number] = mirror.database.execute(
            "INSERT INTO findings (idx, place, code, expected, got, found_by, found_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number",
            (finding.index, *values[:2], finding.expected, finding.got, finding.found_by, finding.found_at),
        ).fetchone()
        mirror.database.executemany(
            "INSERT INTO evidence VALUES (?, ?, ?)", [(number, name, data) for name, data in evidence.items()]
        )
        return int(number)


def list_findings(mirror: Mirror, *, settled: bool = False) -> list[Finding]:
    """What a mirror holds, oldest first.

    Args:
        mirror: whose.
        settled: those too that a person has settled.
    """
    rows = mirror.database.execute(
        "SELECT number, idx, place, code, expected, got, found_by, found_at, settled FROM findings "
        "WHERE settled IS NULL OR ? ORDER BY number",
        (settled,),
    )
    return [Finding(r[0], r[1], r[2], Check(r[3]), *r[4:]) for r in rows]


def evidence_of(mirror: Mirror, number: int) -> dict[str, bytes]:
    """The bytes that show a finding, by what they are."""
    return dict(
        mirror.database.execute("SELECT name, data FROM evidence WHERE finding = ? ORDER BY name", (number,))
    )


def settle(mirror: Mirror, number: int, remark: str) -> None:
    """Say that people have dealt with a finding; it is kept, with their remark.

    Raises:
        NotFoundError: ``unknown_finding``.
    """
    with mirror.transaction():
        done = mirror.database.execute(
            "UPDATE findings SET settled = ? WHERE number = ? RETURNING number", (remark, number)
        ).fetchone()
    if done is None:
        raise NotFoundError("unknown_finding", f"this mirror has no finding {number}")


def forget(mirror: Mirror, found_by: str) -> None:
    """Drop what runs of one sort found and nobody has settled: they look at everything anew."""
    with mirror.transaction():
        for table, column in (("evidence", "finding"), ("findings", "number")):
            mirror.database.execute(
                f"DELETE FROM {table} WHERE {column} IN "  # noqa: S608  names of our own
                "(SELECT number FROM findings WHERE found_by = ? AND settled IS NULL)",
                (found_by,),
            )
