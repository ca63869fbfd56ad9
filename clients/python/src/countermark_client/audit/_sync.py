"""Synchronising a mirror: reads from the broker what the mandate covers, and verifies it as it comes.

Checkpoint and directory first, then every leaf, then what the mandate covers. Whatever ends it, the next call goes
on behind the last page that was written.

Source: docs/spec/audit.md §5; docs/spec/log.md §1.4, §9.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from countermark_client.audit._accounts import AccountKeeper
from countermark_client.audit._engine import Engine, Mandate
from countermark_client.audit._findings import Check, Finding, Findings, list_findings
from countermark_client.audit._fold import Fold, StoppedError, fold_stored
from countermark_client.audit._leaf_mirror import LeafMirror
from countermark_client.audit._leaves import (
    LeafKeeper,
    check_checkpoint,
    count_leaves,
    keep_checkpoint,
)
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._series import keep_series
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._source import LiveSource, Progress
from countermark_client.audit._stamps import keep_stamps
from countermark_protocol.acts import Scope
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint
from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    ProofError,
    TransportError,
)
from countermark_protocol.tile_reader import Fetch, VerifiedTiles
from countermark_protocol.timestamps import TsaRoots
from countermark_protocol.tlog_policy import TlogPolicy

_PAGE: Final = 4_096
#: A broker whose log grows while it is read is followed so often; the rest is for the next call.
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Synchronised:
    """How far a mirror goes, and what is wrong.

    Attributes:
        size: leaves in the mirror.
        verified: below it everything that the mandate covers is judged.
        new: entries judged by this call.
        found: what this call found that was not known.
        open: everything found so far that nobody has settled.
        remarks: what is no finding, and people should know: where times were not vouched for.
        from_mirror: bundles of leaves that a mirror of the log served.
    """

    size: int
    verified: int
    new: int
    found: tuple[Finding, ...]
    open: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    from_mirror: int = 0


def synchronise(
    mirror: Mirror,
    source: LiveSource,
    mandate: Mandate,
    *,
    clock: Callable[[], int],
    signatures: Signatures,
    progress: Progress = lambda _what, _done, _total: None,
    own: TlogPolicy | None = None,
    leaves: Fetch | None = None,
    roots: TsaRoots = (),
) -> Synchronised:
    """Bring a mirror up to date.

    Args:
        mirror: one's own; empty at first.
        source: of the broker.
        mandate: whose mirror it is.
        clock: ms since 1970.
        signatures: verifies them.
        progress: told how far it is.
        own: the auditor's own policy: which witnesses it believes, beside those that the log names.
        leaves: what a mirror of the log serves by tiles (`HttpTiles.fetch`), to be read before the broker itself.
        roots: of authorities of time stamps that it believes; none if none.

    Raises:
        TransportError: the broker is away; what was read is kept.
        PolicyError, NotFoundError: the broker refuses: the look-up is over, or not one's own.
        ConflictError: ``other_mirror``.
        StorageError: the mirror cannot be written.
    """
    signatures.warm()
    mirror.belongs_to(mandate.origin, mandate.founding, mandate.auditor, mandate.scope.value)
    known = {f.number for f in list_findings(mirror, settled=True)}
    before = mirror.meta_number("verified")
    findings = Findings(mirror, "sync", clock)
    leaf_mirror = LeafMirror(leaves) if leaves is not None else None
    sync = _Sync(mirror, source, mandate, clock, findings, signatures, progress, own, leaf_mirror, roots)
    with contextlib.suppress(StoppedError):
        try:
            sync.run()
        except MalformedError as error:
            findings.add(Check.ANSWER, "answer", "an answer in the language of docs/spec", str(error))
    verified = mirror.meta_number("verified")
    return Synchronised(
        size=count_leaves(mirror),
        verified=verified,
        new=verified - before,
        found=tuple(f for f in findings.found if f.number not in known),
        open=tuple(list_findings(mirror)),
        remarks=(*sync.remarks, *(leaf_mirror.remarks if leaf_mirror is not None else ())),
        from_mirror=leaf_mirror.bundles if leaf_mirror is not None else 0,
    )


class _Sync:
    def __init__(
        self,
        mirror: Mirror,
        source: LiveSource,
        mandate: Mandate,
        clock: Callable[[], int],
        findings: Findings,
        signatures: Signatures,
        progress: Progress,
        own: TlogPolicy | None,
        leaves: LeafMirror | None,
        roots: TsaRoots,
    ) -> None:
        self._mirror = mirror
        self._leaves = leaves
        self._source = source
        self._mandate = mandate
        self._clock = clock
        self._findings = findings
        self._progress = progress
        self._own = own
        self._roots = roots
        self.remarks: tuple[str, ...] = ()
        self._fold = Fold(mandate.founding, mandate.origin, findings)
        self._engine = Engine(mirror, mirror, mandate, self._fold, findings, signatures, progress)

    def run(self) -> None:
        """Follow the log to what is published now."""
        fold_stored(self._mirror, self._fold)
        self._follow()
        if self._mandate.scope is Scope.OVERSIGHT:
            self._engine.replay(self._source, count_leaves(self._mirror))
        else:
            self._boxes()
        keep_series(self._mirror, self._source, self._clock())
        keep_stamps(self._mirror, self._source, self._clock())
        self.remarks = self._engine.judge_times(self._own, self._roots, anew=False)

    # --- the log ---

    def _follow(self) -> None:
        note = self._source.checkpoint()
        self._read_directory(parse_checkpoint(note).size)
        checkpoint = check_checkpoint("checkpoint", note, self._fold, self._findings)
        if checkpoint is None:
            raise StoppedError
        tiles = VerifiedTiles(self._source.fetch, checkpoint)
        try:
            self._check_continues(checkpoint, tiles)
            if self._leaves is not None:
                self._read_from_mirror(checkpoint, self._leaves)
            self._read_leaves(checkpoint, tiles)
        except (ProofError, MalformedError) as error:
            self._stop(Check.TILE, "tiles", "tiles that lead to the signed root", str(error), checkpoint)
        if self._leaves is not None:
            self._compare(checkpoint, self._leaves)

    def _read_from_mirror(self, checkpoint: Checkpoint, leaves: LeafMirror) -> None:
        """Read leaves from the mirror as far as they are under the root; the rest comes from the log."""
        try:
            self._read_leaves(checkpoint, VerifiedTiles(leaves.before(self._source.fetch), checkpoint))
        except (ProofError, MalformedError) as error:
            leaves.spoilt(error)

    def _compare(self, checkpoint: Checkpoint, leaves: LeafMirror) -> None:
        fork = leaves.fork(checkpoint, self._fold.directory, self._engine.tree.root)
        if fork is None:
            return
        theirs, expected = fork
        self._stop(
            Check.FORK,
            f"checkpoint {theirs.size}",
            f"a tree whose first {min(theirs.size, checkpoint.size)} leaves have root {expected.hex()}",
            theirs.root.hex() if theirs.size <= checkpoint.size else "another root",
            checkpoint,
            of_the_mirror=theirs.raw,
        )

    def _read_directory(self, size: int) -> None:
        while True:
            page = self._source.directory(self._fold.count)
            for one in page.statements:
                if one.index <= self._fold.last:
                    self._stop(
                        Check.ANSWER, "directory", "statements in the order of the log", f"entry {one.index}"
                    )
                self._fold.take(one.index, one.leaf, one.document)
            if page.complete or not page.statements:
                break
        if parse_checkpoint(page.checkpoint).size < size:
            # Else the log would be found to know more statements than there are.
            raise TransportError(
                "directory_behind", "a node shows an older directory than another one's checkpoint: try again"
            )

    def _check_continues(self, checkpoint: Checkpoint, tiles: VerifiedTiles) -> None:
        """Check that what is published continues every checkpoint that the mirror holds."""
        size = count_leaves(self._mirror)
        common = min(size, checkpoint.size)
        known = self._engine.tree.root(common)
        root = checkpoint.root if common == checkpoint.size else tiles.frontier_at(common).root()
        if known == root:
            return
        rows = self._mirror.database.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
        older = next((row[0] for row in rows), b"")
        self._stop(
            Check.FORK,
            f"checkpoint {checkpoint.size}",
            f"a tree whose first {common} leaves have root {(known or b'').hex()}",
            root.hex(),
            checkpoint,
            mirrored=older,
        )

    def _read_leaves(self, checkpoint: Checkpoint, tiles: VerifiedTiles) -> None:
        with self._mirror.transaction():
            keep_checkpoint(self._mirror, checkpoint, self._clock())
        keeper = LeafKeeper(self._mirror, self._fold, self._findings)
        page: list[bytes] = []
        for index, leaf in tiles.leaves(min(keeper.frontier.size, checkpoint.size)):
            page.append(leaf)
            if len(page) == _PAGE or index + 1 == checkpoint.size:
                keeper.write(page)
                page = []
                self._progress("reading leaves", keeper.frontier.size, checkpoint.size)

    # --- boxes ---

    def _boxes(self) -> None:
        keeper = AccountKeeper(self._mirror, self._engine.tree, self._mandate.auditor, self._findings)
        for _ in range(_ROUNDS):
            size = count_leaves(self._mirror)
            ends = self._engine.read_boxes(self._source, size, keeper.ended(self._fold.directory, size))
            stated = 0
            if ends.last is not None and ends.last[0].account is not None:
                stated = keeper.keep(ends.last[0].account, ends.last[1])
            self._engine.judge(ends.horizon)
            keeper.compare(self._fold.directory, self._engine.endpoints, size, ends.broken)
            if stated <= size:
                return
            self._follow()  # the account is about a larger log: read that, to compare it

    def _stop(
        self,
        check: Check,
        place: str,
        expected: str,
        got: str,
        checkpoint: Checkpoint | None = None,
        **evidence: bytes,
    ) -> None:
        if checkpoint is not None:
            evidence["checkpoint"] = checkpoint.raw
        self._findings.add(check, place, expected, got, None, **evidence)
        raise StoppedError


def refused(error: CountermarkError) -> bool:
    """Whether an error says that a new look-up is needed."""
    return error.code in {"look_up_over", "no_such_look_up", "other_scope"}
