"""Verifying a mirror from its own bytes: everything again, without a broker, trusting a fingerprint alone.

A second mirror is made from the kept bytes of the first, by the same checks that made that one; then every derived
row of the two is compared.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_client._trust import read_trust_file
from countermark_client.audit._accounts import AccountKeeper
from countermark_client.audit._engine import Engine, Mandate
from countermark_client.audit._findings import Check, Finding, Findings, forget
from countermark_client.audit._fold import Fold, StoppedError, fold_stored
from countermark_client.audit._leaves import LeafKeeper, check_checkpoint, count_leaves
from countermark_client.audit._mirror import DERIVED, Mirror
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._source import Progress, StoredSource
from countermark_client.errors import StorageError
from countermark_protocol.acts import Scope
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.merkle import Frontier, leaf_hash
from countermark_protocol.timestamps import TsaRoots
from countermark_protocol.tlog_policy import TlogPolicy

_PAGE: Final = 4_096
#: Rows of one table that are told of.
_MOST_ROWS: Final = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying a mirror found.

    Attributes:
        size: leaves in the mirror.
        proven: of them under a signed root; fewer where a synchronisation was interrupted.
        entries: judged again.
        found: what is wrong.
        remarks: what is no finding, and people should know: where times were not vouched for.
    """

    size: int
    proven: int
    entries: int
    found: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()


def verify_file(
    path: Path,
    fingerprint: str,
    *,
    clock: Callable[[], int],
    signatures: Signatures,
    progress: Progress = lambda _what, _done, _total: None,
    own: TlogPolicy | None = None,
    roots: TsaRoots = (),
) -> Verified:
    """As `verify_mirror`, of a file: one that cannot be opened is a finding, kept nowhere."""
    try:
        mirror = Mirror(path)
    except StorageError as error:
        damaged = Finding(
            0, None, "mirror", Check.MIRROR_DAMAGED, "a file that can be read", str(error), "verify", clock()
        )
        return Verified(0, 0, 0, (damaged,))
    try:
        return verify_mirror(
            mirror, fingerprint, clock=clock, signatures=signatures, progress=progress, own=own, roots=roots
        )
    finally:
        mirror.close()


def verify_mirror(
    mirror: Mirror,
    fingerprint: str,
    *,
    clock: Callable[[], int],
    signatures: Signatures,
    progress: Progress = lambda _what, _done, _total: None,
    scratch: Path | None = None,
    own: TlogPolicy | None = None,
    roots: TsaRoots = (),
) -> Verified:
    """Verify a mirror; findings are kept in it, in the place of those of the last time.

    Args:
        mirror: which.
        fingerprint: of the trust file, as compared by voice: the only thing that is trusted.
        clock: ms since 1970.
        signatures: verifies them.
        progress: told how far it is.
        scratch: a folder for the second mirror, which is about half as large; the system's if None.
        own: the auditor's own policy: which witnesses it believes, beside those that the log names.
        roots: of authorities of time stamps that it believes; none if none.

    Raises:
        StorageError: ``not_a_mirror``.
    """
    signatures.warm()
    with contextlib.suppress(StorageError):
        forget(mirror, "verify")
    findings = Findings(mirror, "verify", clock)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "again.db"
        again = Mirror(path)
        run: _Verification | None = None
        try:
            _check_file(mirror, findings)
            run = _Verification(mirror, again, _mandate(mirror), findings, signatures, progress, own, roots)
            run.run(fingerprint, path)
        except StoppedError:
            pass
        except CountermarkError as error:
            findings.add(Check.MIRROR_DAMAGED, "mirror", "a mirror that can be read", str(error))
        finally:
            entries = again.meta_number("verified")
            again.close()
    if run is None:
        return Verified(0, 0, entries, findings.found)
    return Verified(run.size, run.proven, entries, findings.found, run.remarks)


def _check_file(mirror: Mirror, findings: Findings) -> None:
    """Check that the file is whole, and that every value is of its column's type."""
    rows = mirror.database.execute("PRAGMA integrity_check(1)").fetchall()
    if rows != [("ok",)]:
        findings.add(Check.MIRROR_DAMAGED, "mirror", "a whole file", str(rows[0][0]))
        raise StoppedError
    for (table,) in mirror.database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for _, name, kind, *_ in mirror.database.execute(f"PRAGMA table_info({table})").fetchall():
            wrong = mirror.database.execute(
                f'SELECT count(*) FROM "{table}" WHERE typeof("{name}") NOT IN (?, ?)',  # noqa: S608
                (kind.lower(), "null"),
            ).fetchone()[0]
            if kind and wrong:
                findings.add(
                    Check.MIRROR_DAMAGED,
                    f"table {table} column {name}",
                    f"values of type {kind}",
                    f"{wrong} others",
                )
                raise StoppedError


def _mandate(mirror: Mirror) -> Mandate:
    try:
        return Mandate(
            Origin(mirror.text("log")),
            mirror.meta("founding") or b"",
            Address(mirror.text("auditor")),
            Scope(mirror.text("scope")),
        )
    except ValueError:
        raise StorageError("not_a_mirror", "the mirror does not say what its mandate covers") from None


class _Verification:
    def __init__(
        self,
        mirror: Mirror,
        again: Mirror,
        mandate: Mandate,
        findings: Findings,
        signatures: Signatures,
        progress: Progress,
        own: TlogPolicy | None,
        roots: TsaRoots,
    ) -> None:
        self._mirror = mirror
        self._again = again
        self._mandate = mandate
        self._findings = findings
        self._progress = progress
        self._own = own
        self._roots = roots
        self.remarks: tuple[str, ...] = ()
        self._fold = Fold(mandate.founding, mandate.origin, findings)
        self._engine = Engine(again, mirror, mandate, self._fold, findings, signatures, progress)
        self.size = self.proven = 0

    def run(self, fingerprint: str, path: Path) -> None:
        """Everything, in order."""
        self._check_founding(fingerprint)
        self.size = count_leaves(self._mirror)
        self._check_roots()
        fold_stored(self._mirror, self._fold)
        self._checkpoints()
        self._leaves()
        source = StoredSource(self._mirror, self._engine.tree)
        verified = self._verified()
        if self._mandate.scope is Scope.OVERSIGHT:
            self._engine.replay(source, verified)
        else:
            self._boxes(source, verified)
        self.remarks = self._engine.judge_times(self._own, self._roots, anew=True)
        if self._engine.verified == verified:
            self._compare(path)

    def _verified(self) -> int:
        value = self._mirror.meta("verified") or b"0"
        verified = int(value) if value.isdigit() and len(value) < 20 else -1
        if not 0 <= verified <= self.size:
            self._stop(Check.MIRROR_DAMAGED, "mirror", f"a size up to {self.size}", str(value))
        return verified

    def _check_founding(self, fingerprint: str) -> None:
        try:
            got = read_trust_file(self._mandate.founding).fingerprint
        except CountermarkError as error:
            got = str(error)
        if got != fingerprint:
            self._stop(
                Check.FOUNDING,
                "founding",
                f"fingerprint {fingerprint}",
                got,
                founding=self._mandate.founding,
            )

    # --- the log ---

    def _check_roots(self) -> None:
        """Check that the leaves give the root of every note, whoever signed it: else nothing is to be made of them."""
        frontier = Frontier()
        for size, note in self._mirror.database.execute(
            "SELECT size, note FROM checkpoints WHERE size <= ? ORDER BY size", (self.size,)
        ):
            while frontier.size < size:
                frontier = frontier.extend(map(leaf_hash, self._stored_leaves(frontier.size, size)))
            try:
                root = parse_checkpoint(note).root
            except CountermarkError:
                continue  # told when its signature is verified
            if frontier.root() != root:
                self._stop(
                    Check.ROOT,
                    f"checkpoint {size}",
                    f"leaves with root {root.hex()}",
                    frontier.root().hex(),
                    checkpoint=note,
                )
            self.proven = size

    def _stored_leaves(self, start: int, size: int) -> list[bytes]:
        end = min(size, start + _PAGE)
        leaves = self._engine.tree.leaves(start, end)
        if len(leaves) != end - start:
            self._stop(Check.MIRROR_DAMAGED, f"leaf {start + len(leaves)}", "a leaf at every index", "none")
        return leaves

    def _checkpoints(self) -> None:
        for size, root, note in self._mirror.database.execute(
            # One whose leaves are not all there yet may be signed by a key that the mirror has not read of yet.
            "SELECT size, root, note FROM checkpoints WHERE size <= ? ORDER BY size",
            (self.size,),
        ):
            place = f"checkpoint {size}"
            checkpoint = check_checkpoint(place, note, self._fold, self._findings)
            if checkpoint is None:
                raise StoppedError
            if (checkpoint.size, checkpoint.root) != (size, root):
                self._findings.add(
                    Check.MIRROR_CHANGED,
                    place,
                    f"size {checkpoint.size}, root {checkpoint.root.hex()}",
                    f"size {size}, root {root.hex()}",
                    None,
                    checkpoint=note,
                )

    def _leaves(self) -> None:
        keeper = LeafKeeper(self._again, self._fold, self._findings, keeps_bytes=False)
        while (start := keeper.frontier.size) < self.size:
            keeper.write(self._stored_leaves(start, self.size))
            self._progress("reading leaves", keeper.frontier.size, self.size)

    # --- boxes ---

    def _boxes(self, source: StoredSource, verified: int) -> None:
        ends = self._engine.read_boxes(source, self.size)
        self._engine.judge(min(ends.horizon, verified))
        rows = self._mirror.database.execute(
            "SELECT number, size, made_at, request, document FROM accounts WHERE compared"
        )
        with self._again.transaction():
            self._again.database.executemany(
                "INSERT INTO accounts (number, size, made_at, request, document) VALUES (?, ?, ?, ?, ?)",
                list(rows),
            )
        accounts = AccountKeeper(
            self._again,
            self._engine.tree,
            self._mandate.auditor,
            self._findings,
        )
        accounts.compare(self._fold.directory, self._engine.endpoints, self.size, ends.broken)

    # --- rows ---

    def _compare(self, path: Path) -> None:
        """Compare every derived row of the two mirrors."""
        database = self._mirror.database
        database.execute("ATTACH DATABASE ? AS again", (str(path),))
        try:
            for table, columns in DERIVED.items():
                self._compare_table(table, columns)
        finally:
            database.execute("DETACH DATABASE again")

    def _compare_table(self, table: str, columns: tuple[str, ...]) -> None:
        chosen = "*" if "*" in columns else ", ".join(columns)
        sides = {
            "kept": f"SELECT {chosen} FROM main.{table} EXCEPT SELECT {chosen} FROM again.{table}",  # noqa: S608
            "made": f"SELECT {chosen} FROM again.{table} EXCEPT SELECT {chosen} FROM main.{table}",  # noqa: S608
        }
        rows: dict[str, dict[str, str]] = {}
        for side, sql in sides.items():
            for row in self._mirror.database.execute(f"{sql} LIMIT {_MOST_ROWS}"):
                rows.setdefault(_name(table, row), {})[side] = _row_text(row)
        for name, found in rows.items():
            self._findings.add(
                Check.MIRROR_CHANGED,
                f"table {table} row {name}",
                found.get("made", "no such row"),
                found.get("kept", "no such row"),
            )

    def _stop(self, check: Check, place: str, expected: str, got: str, **evidence: bytes) -> None:
        self._findings.add(check, place, expected, got, None, **evidence)
        raise StoppedError


def _name(table: str, row: tuple[object, ...]) -> str:
    length = {"deliveries": 2, "boxes": 3}.get(table, 1)
    return _row_text(row[:length])


def _row_text(row: tuple[object, ...]) -> str:
    return " | ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row)
