"""The directory as an auditor folds it: every statement judged, none left out where one is found wanting.

A statement that should have been refused was logged all the same, and everybody's directory has it: it is taken
down, and folded in, so that what comes after it is judged by what the broker stood to.

Source: docs/spec/directory.md §3; docs/spec/log.md §4, §9.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from countermark_client.audit._derived import Derived
from countermark_client.audit._findings import BY_RULE, Check, Findings
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._signatures import as_verified
from countermark_protocol.claims import DIRECTORY_KINDS, KIND_NAMES
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Origin
from countermark_protocol.judging import check_named, judge_statement
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.statements import kind_of, verify_statement
from countermark_protocol.succession import check_log


class StoppedError(Exception):
    """What is wrong is taken down, and nothing that follows from it can be judged."""


class Fold:
    """Directory statements, folded from entry 0 on.

    Args:
        founding: the trust file, which entry 0 must be.
        origin: of the log when it was founded.
        findings: where what is wrong is taken down.
    """

    def __init__(self, founding: bytes, origin: Origin, findings: Findings) -> None:
        self._founding = founding
        self._origin = origin
        self._findings = findings
        self.directory = Directory()
        self._indexes: list[int] = []
        self._heads: list[bytes] = [bytes(32)]
        self._shown: dict[int, tuple[bytes, bytes]] = {}

    @property
    def count(self) -> int:
        """Statements taken so far."""
        return len(self._indexes)

    @property
    def last(self) -> int:
        """Index of the newest statement; -1 before the founding."""
        return self._indexes[-1] if self._indexes else -1

    def head_at(self, index: int) -> tuple[int, bytes]:
        """(dir_count, dir_head) after a leaf, as these statements give them."""
        count = bisect_right(self._indexes, index)
        return count, self._heads[count]

    def take(self, index: int, leaf_data: bytes, data: bytes) -> None:
        """Judge the next statement and fold it in.

        Args:
            index: of its entry.
            leaf_data: its leaf as shown; what the log has is compared by who reads the leaves.
            data: the signed document.

        Raises:
            StoppedError: the statement is not known, so nothing after it can be judged.
        """
        evidence = {"leaf": leaf_data, "document": data}
        if index == 0 and data != self._founding:
            self._findings.entry(
                Check.FOUNDING,
                0,
                "the founding that the trust file is",
                "another document",
                **evidence,
                trust_file=self._founding,
            )
        try:
            leaf = parse_leaf(leaf_data)
            unverified = parse_document(data) if leaf.statement == statement_hash(data) else None
            statement = parse_directory_statement(unverified.claims) if unverified is not None else None
        except CountermarkError as error:
            self._findings.entry(
                Check.FORM, index, "a directory statement in its one form", str(error), **evidence
            )
            raise StoppedError from None
        if unverified is None or statement is None:
            self._findings.entry(
                Check.DOCUMENT,
                index,
                f"the document with statement hash {leaf.statement.hex()}",
                f"one with {statement_hash(data).hex()}",
                **evidence,
            )
            raise StoppedError
        if leaf.kind != int(statement.header.kind):
            self._findings.entry(
                Check.LEAF, index, f"kind {int(statement.header.kind)}", f"{leaf.kind}", **evidence
            )
        try:
            if self.count:
                check_named(self.directory, statement, index)
            else:
                check_log(statement.header.log, self._origin)
        except CountermarkError as error:
            name = self.directory.origin() if self.count else self._origin
            self._findings.entry(Check.LOG, index, f"a statement for log '{name}'", str(error), **evidence)
        try:
            document = verify_statement(self.directory, unverified)
            judge_statement(self.directory, document, leaf.time)
        except CountermarkError as error:
            document = as_verified(unverified)
            self._findings.entry(
                BY_RULE.get(error.code, Check.DECISION),
                index,
                "a directory statement that the rules accept",
                str(error),
                **evidence,
            )
        self.directory.apply(statement, document, index, leaf.time)
        self._indexes.append(index)
        self._heads.append(self.directory.head)
        self._shown[index] = (leaf_data, data)

    def write(self, mirror: Mirror, start: int, leaves: Sequence[bytes], *, keeps_bytes: bool = True) -> None:
        """Write the statements whose leaves these are into a mirror, in the caller's transaction.

        Args:
            mirror: into which.
            start: index of the first leaf.
            leaves: as the log has them; a statement that was shown with another leaf is a finding.
            keeps_bytes: see `Derived`.
        """
        derived = Derived(mirror, keeps_bytes=keeps_bytes)
        first = bisect_right(self._indexes, start - 1)
        for index in self._indexes[first : bisect_right(self._indexes, start + len(leaves) - 1)]:
            shown, document = self._shown[index]
            leaf = leaves[index - start]
            if shown != leaf:
                self._findings.entry(
                    Check.LEAF, index, f"the log's leaf {leaf.hex()}", shown.hex(), leaf=leaf, shown=shown
                )
            unverified = parse_document(document)
            derived.entry(
                index,
                KIND_NAMES[kind_of(unverified.claims)],
                parse_leaf(leaf).time,
                parse_directory_statement(unverified.claims).subject,
                unverified.payload_hash,
                document,
            )
        derived.write()


def fold_stored(mirror: Mirror, fold: Fold, until: int | None = None) -> None:
    """Fold the directory statements that a mirror holds below an index; all of them if None.

    Raises:
        StoppedError: as `Fold.take`.
    """
    for index, leaf, document in _stored(mirror, until):
        fold.take(index, leaf, document)


def _stored(mirror: Mirror, until: int | None) -> Iterable[tuple[int, bytes, bytes]]:
    kinds = [KIND_NAMES[kind] for kind in sorted(DIRECTORY_KINDS)]
    marks = ", ".join("?" * len(kinds))
    return mirror.database.execute(
        "SELECT e.idx, l.leaf, e.document FROM entries e JOIN leaves l USING (idx) "  # noqa: S608  marks only
        f"WHERE e.kind IN ({marks}) AND e.idx < ? ORDER BY e.idx",
        (*kinds, 2**62 if until is None else until),
    )
