"""The verified view of the log: directory, checkpoint, and what may follow from an answer.

Everything begins with the trust file. Directory statements are authentic by their signers alone and are
folded from entry 0 on; the log key comes from the fold; a checkpoint is believed once that key signed it and
the tree continues the last one believed; and the last leaf below it must carry the fold's own head.

Two signed facts that contradict each other are kept as evidence, and nothing is sent any more.

Source: docs/spec/log.md §9, docs/spec/api.md §4.3.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NoReturn

from countermark_client._continuity import continues, shows_growth
from countermark_client._convicting import fetch_proof
from countermark_client._early import EarlyLeaves
from countermark_client._halting import Halting
from countermark_client._io import Flow
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._successor import succeed
from countermark_client._tables_log import LOG_NAME
from countermark_client._witnessing import WitnessedView
from countermark_protocol.answers import DirectoryPage, LoggedStatement, parse_directory_page
from countermark_protocol.checkpoint import (
    Checkpoint,
    UnverifiedCheckpoint,
    parse_checkpoint,
    verify_checkpoint,
)
from countermark_protocol.claims import DIRECTORY_KINDS, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    InconsistentLogError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProofError,
    SignatureError,
    TransportError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.judging import check_named, judge_statement
from countermark_protocol.keys import Signer
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.merkle import EMPTY_ROOT, leaf_hash, verify_inclusion
from countermark_protocol.proof import Inclusion
from countermark_protocol.statements import verify_statement

#: A checkpoint that the log's key signed; one parsed again was verified when it was kept.
Signed = Checkpoint | UnverifiedCheckpoint
_CHECKPOINT: Final = "checkpoint"
#: When the broker last stood to the checkpoint: a directory read, or an account that names it.
_CHECKED_AT: Final = "checked_at"
#: When the directory was last read.
_SYNCED_AT: Final = "synced_at"


class LogView(Halting):
    """What one profile has verified of its log."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.witnesses = WitnessedView(session, self)
        self.early = EarlyLeaves(session, self)
        self.load()

    # --- state ---

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """One transaction of the store; if it fails, what was half done in memory is dropped with it."""
        try:
            with self._store.transaction():
                yield
        except BaseException:
            self.load()
            raise

    def load(self) -> None:
        """Read the state back; what was half done in memory is dropped."""
        self._begin()
        for index, leaf, document in self._store.directory():
            self._fold_logged(index, leaf, document)
        raw = self._store.meta(_CHECKPOINT)
        self.checkpoint: Checkpoint | None = self.verify_checkpoint(raw) if raw is not None else None
        self.witnesses.load()

    def _begin(self) -> None:
        self.directory = Directory()
        # After each directory statement: its index, and the trie's head.
        self._indexes: list[int] = []
        self._heads: list[bytes] = []

    @property
    def seen(self) -> Seen:
        """What this profile states to have seen in what it signs."""
        if self.checkpoint is None:
            return Seen(0, EMPTY_ROOT)
        return Seen(self.checkpoint.size, self.checkpoint.root)

    @property
    def age(self) -> int | None:
        """Age of the checkpoint in ms: since a quorum of witnesses last cosigned; None if there is none.

        NOTE: while a log has no witnesses it is since the broker last stood to it: the broker's word alone.
        """
        if self.checkpoint is None:
            return None
        if self.witnesses.named:
            newest = self.witnesses.newest
            return max(0, self._session.clock() - newest.at) if newest is not None else None
        return max(0, self._session.clock() - self._store.meta_number(_CHECKED_AT))

    # --- directory ---

    def _fold_logged(self, index: int, leaf_data: bytes, data: bytes) -> None:
        leaf = parse_leaf(leaf_data)
        if leaf.kind not in DIRECTORY_KINDS:
            raise ProofError("leaf_mismatch", "a leaf of another kind is shown for a directory statement")
        trust = self._session.profile.trust.document
        if self.directory.count == 0 and (index != 0 or data != trust.data):
            raise InconsistentLogError(
                "other_founding", "the log begins with another founding than the trust file", trust.data, data
            )
        if self.directory.count and index <= self._indexes[-1]:
            raise ProofError("directory_order", "directory statements must come in the order of the log")
        document = verify_statement(self.directory, parse_document(data))
        if leaf.statement != document.statement_hash:
            raise ProofError("leaf_mismatch", "the leaf is not that of this directory statement")
        statement = judge_statement(self.directory, document, leaf.time)
        check_named(self.directory, statement, index)
        if int(statement.header.kind) != leaf.kind:
            raise VerificationError("wrong_log", "a directory statement was made for another kind")
        self.directory.apply(statement, document, index, leaf.time)
        self._indexes.append(index)
        self._heads.append(self.directory.head)
        if leaf.dir_head != self.directory.head or leaf.dir_count != self.directory.count:
            self._contradicts_fold(leaf, index)

    def _contradicts_fold(self, leaf: Leaf, index: int) -> NoReturn:
        raise InconsistentLogError(
            "directory_head_mismatch",
            f"the directory head in leaf {index} is not that of the statements which the broker shows: one is "
            "hidden, added or changed",
            leaf.encode(),
            *(document for _, _, document in self._store.directory()[-1:]),
            index=index,
        )

    def check_leaf(self, leaf: Leaf, index: int) -> None:
        """Check that a proven leaf carries the directory head that the fold had at its index.

        Raises:
            InconsistentLogError: ``directory_head_mismatch``; ``back_dated_leaf``.
            UncheckableError: ``directory_behind``: the leaf knows more statements than this fold.
        """
        if leaf.dir_count > self.directory.count:
            raise UncheckableError("directory_behind", "the leaf is newer than the directory read here")
        count = bisect_right(self._indexes, index)
        if leaf.dir_count != count or leaf.dir_head != self._heads[count - 1]:
            self._contradicts_fold(leaf, index)
        self.witnesses.check_leaf(leaf, index)

    def follow_leaf(self, leaf: Leaf, index: int) -> Flow[None]:
        """As `check_leaf`, after reading what the directory is behind by."""
        if leaf.dir_count > self.directory.count:
            yield from self.sync()
        try:
            self.check_leaf(leaf, index)
        except InconsistentLogError as error:
            if error.code == "back_dated_leaf" and self.checkpoint is not None:
                shown = yield from fetch_proof(self._session, index, self.checkpoint)
                error.evidence += shown[1:]
            raise
        yield from self.early.look(leaf, index)

    def sync(self) -> Flow[Checkpoint]:
        """Read all new directory statements and a fresh checkpoint, and verify both.

        Returns:
            The checkpoint.

        Raises:
            VerificationError: a statement, proof or checkpoint is not as it must be; nothing of it is kept.
            SignatureError: no key of this profile stands in the directory.
            TransportError: the broker could not be reached.
        """
        try:
            checkpoint = yield from self._sync()
        except BaseException:
            self.load()
            raise
        return checkpoint

    def _sync(self) -> Flow[Checkpoint]:
        first = self.directory.count
        page = yield from self._directory_page(first)
        name = parse_checkpoint(page.checkpoint).origin
        if first and name != self.directory.origin():
            checkpoint = yield from succeed(self, name)
        else:
            new, page = yield from self.fold_pages(page)
            checkpoint = self.verify_checkpoint(page.checkpoint)
            yield from self._check_continues(checkpoint, None)
            self.check_last(page.last, checkpoint)
            with self._store.transaction():
                self.keep_read(first, new, checkpoint)
        if self.witnesses.named and not self._session.carried:
            yield from self.witnesses.read()
            yield from self.early.settle()
        return checkpoint

    def fold_pages(self, page: DirectoryPage) -> Flow[tuple[list[tuple[int, bytes, bytes]], DirectoryPage]]:
        """Fold a page and all that follow; (index, leaf, document) of each statement, and the last page."""
        new: list[tuple[int, bytes, bytes]] = []
        while True:
            for s in page.statements:
                try:
                    self._fold_logged(s.index, s.leaf, s.document)
                except InconsistentLogError:
                    raise
                except (VerificationError, PolicyError, ConflictError, NotFoundError) as error:
                    yield from self._convict(error, s, page.checkpoint, new)
                    raise
                new.append((s.index, s.leaf, s.document))
            if page.complete:
                return new, page
            if not page.statements:
                raise ProofError(
                    "directory_order", "a directory page is neither complete nor holds statements"
                )
            page = yield from self._directory_page(self.directory.count)

    def read_anew(self) -> Flow[tuple[list[tuple[int, bytes, bytes]], DirectoryPage]]:
        """Forget what was folded in memory, and fold all that the broker shows; nothing is written."""
        self._begin()
        return (yield from self.fold_pages((yield from self._directory_page(0))))

    def keep_read(self, first: int, new: list[tuple[int, bytes, bytes]], checkpoint: Checkpoint) -> None:
        """Keep what was read and verified, in a transaction of the caller's."""
        self._store.add_directory(first, new)
        self._store.set_meta(LOG_NAME, self.directory.origin().encode())
        self._keep(checkpoint)
        now = str(self._session.clock()).encode()
        if not self._session.carried:  # how old a bundle's answers are, its accounts tell
            self._store.set_meta(_CHECKED_AT, now)
            self._store.set_meta(_SYNCED_AT, now)

    def forget_checkpoint(self) -> None:
        """Believe no checkpoint any more, in a transaction of the caller's: the log goes on from a smaller size."""
        self._store.set_meta(_CHECKPOINT, None)
        self.checkpoint = None
        self.witnesses.forget()

    def _convict(
        self, error: CountermarkError, s: LoggedStatement, raw: bytes, new: list[tuple[int, bytes, bytes]]
    ) -> Flow[None]:
        """Show that a directory statement that should have been refused is in the log, if it is.

        Raises:
            InconsistentLogError: ``decision_against_rules``: with leaf, document, its proof, that of the leaf before,
                whose directory head says by which records it had to be judged, and those of them not kept yet.
        """
        if not s.index or parse_leaf(s.leaf).statement != statement_hash(s.document):
            return  # not the log's doing: the document was changed on its way
        with contextlib.suppress(SignatureError):
            checkpoint = self.verify_checkpoint(raw)
            shown = yield from fetch_proof(self._session, s.index, checkpoint)
            before = yield from fetch_proof(self._session, s.index - 1, checkpoint)
            if before and shown[:1] == (s.leaf,):
                raise InconsistentLogError(
                    "decision_against_rules",
                    f"directory statement {s.index} should have been refused ({error.code}): {error.message}",
                    s.leaf,
                    s.document,
                    shown[1],
                    before[1],
                    encode_json({"statements": [LoggedStatement(*one).to_json() for one in new]}),
                    rule=error.code,
                ) from None

    def _directory_page(self, start: int) -> Flow[DirectoryPage]:
        return parse_directory_page(
            (yield from self.read_directory("/v1/directory", f"from={start}&limit=500"))
        )

    def read_directory(self, path: str, query: str = "") -> Flow[bytes]:
        """Ask for something of the directory, signed by whichever key of this profile stands in it.

        Args:
            path: of the call.
            query: without ``?``.

        Raises:
            CountermarkError: the broker refuses all of them; ``no_such_key``: there is none.
        """
        signers = self._session.directory_signers()
        standing = [s for s in signers if self.directory.key_stands(s.public_key.key_id)]
        candidates: list[Signer] = [*standing, *(s for s in signers if s not in standing)]
        refused: CountermarkError | None = None
        for signer in candidates:
            try:
                response, _ = yield from self._session.call("GET", path, query, signer=signer)
            except ProblemAnswer as answer:
                refused = problem_error(answer.problem)
                if answer.problem.status in {401, 403}:
                    continue
                raise refused from None
            return response.body
        if refused is not None:
            raise refused
        raise NotFoundError("no_such_key", "this profile has no signing key to read the directory with")

    def check_last(self, last: Inclusion, checkpoint: Checkpoint) -> None:
        """Check that the last leaf below a checkpoint carries the directory head of the statements read."""
        if self._indexes and self._indexes[-1] >= checkpoint.size:
            raise ProofError(
                "beyond_checkpoint", "a directory statement lies beyond the checkpoint shown with it"
            )
        leaf = parse_leaf(last.leaf)
        if last.index != checkpoint.size - 1:
            raise ProofError("beyond_checkpoint", "the leaf shown is not the last one below the checkpoint")
        verify_inclusion(leaf_hash(last.leaf), last.index, checkpoint.size, list(last.path), checkpoint.root)
        if leaf.dir_count != self.directory.count or leaf.dir_head != self.directory.head:
            self._contradicts_fold(leaf, last.index)

    # --- checkpoint ---

    def verify_checkpoint(self, raw: bytes) -> Checkpoint:
        """Verify that the log's key, as the directory read so far names it, signed a checkpoint.

        Raises:
            SignatureError: it did not.
        """
        unverified = parse_checkpoint(raw)
        if not self.directory.count:
            trust = self._session.profile.trust
            return verify_checkpoint(unverified, trust.origin, trust.record.log_key.raw)
        origin = self.directory.origin_for(unverified.size)
        return verify_checkpoint(unverified, origin, self.directory.log_key_for(unverified.size).raw)

    def advance(self, raw: bytes, newest: Inclusion | None = None) -> Flow[Checkpoint]:
        """Verify the checkpoint of an answer; keep it if it is newer than the one believed so far.

        Args:
            raw: as answered.
            newest: the proof of an entry under it, which may itself show that one tree continues the other.

        Raises:
            SignatureError: the log's key has not signed it.
            InconsistentLogError: ``checkpoint_fork``.
        """
        if self.checkpoint is not None and raw == self.checkpoint.raw:
            return self.checkpoint  # many verdicts of a bulk answer stand under one
        try:
            checkpoint = self.verify_checkpoint(raw)
        except SignatureError:
            # Perhaps the log has a new key that this profile has not read of yet.
            yield from self.sync()
            checkpoint = self.verify_checkpoint(raw)
        yield from self._check_continues(checkpoint, newest)
        self._keep(checkpoint)
        return checkpoint

    def _keep(self, checkpoint: Checkpoint) -> None:
        if self.checkpoint is None or checkpoint.size > self.checkpoint.size:
            with self._store.transaction():
                self._store.set_meta(_CHECKPOINT, checkpoint.raw)
                self._store.add_known_root(checkpoint.size, checkpoint.root)
            self.checkpoint = checkpoint

    def _check_continues(self, checkpoint: Checkpoint, newest: Inclusion | None) -> Flow[None]:
        """Check that this checkpoint and the one believed so far are of one history."""
        known = self.checkpoint
        if known is None:
            return
        if checkpoint.size == known.size:
            if checkpoint.root != known.root:
                yield from self.fork(known, checkpoint)
            return
        old, new = sorted((known, checkpoint), key=lambda c: c.size)
        if newest is not None and shows_growth(newest, old, new):
            return
        try:
            shown = yield from continues(self._session, Seen(old.size, old.root), new)
        except (MalformedError, NotFoundError):
            if new is not known:
                raise
            shown = False  # it does not know the larger tree any more that it signed before
        if not shown:
            yield from self.fork(known, checkpoint)

    def fork(self, known: Signed, other: Signed) -> Flow[NoReturn]:
        """Keep that the log signed two trees of which neither continues the other.

        Raises:
            InconsistentLogError: ``checkpoint_fork``.
        """
        old, new = sorted((known, other), key=lambda c: c.size)
        # Two notes of different sizes convince nobody. The last leaf below the smaller size, in the larger tree,
        # does: its path gives the root that the larger tree had at that size.
        shown = (yield from fetch_proof(self._session, old.size - 1, new)) if old.size < new.size else ()
        raise InconsistentLogError(
            "checkpoint_fork",
            f"the log signed size {known.size} and size {other.size}, and cannot show that one continues the other",
            known.raw,
            other.raw,
            *shown[1:],
        )

    @property
    def synced_at(self) -> int:
        """When the directory was last read, ms since 1970; 0 if never."""
        return self._store.meta_number(_SYNCED_AT)

    def refresh(self) -> Flow[None]:
        """Make sure that the checkpoint is fresh enough to send on.

        Raises:
            UncheckableError: ``halted``, or ``stale_checkpoint``: it is too old and the broker is away.
            VerificationError: as `sync`.
        """
        self.check_not_halted()
        since_sync = self._session.clock() - self.synced_at
        if since_sync <= self._session.settings.sync_interval and self._is_fresh():
            return
        try:
            yield from self.sync()
        except TransportError as error:
            if not self._is_fresh():
                raise self._stale() from error
        # The broker answers, and witnesses may have stopped believing it.
        if not self._is_fresh():
            raise self._stale()

    def keep_up(self) -> Flow[None]:
        """Read the directory again if that was long ago, for who only receives."""
        settings = self._session.settings
        if settings.cut_off or self._session.carried or self.halted is not None:
            return
        if self._session.clock() - self.synced_at > settings.sync_interval:
            yield from self.sync()

    def _is_fresh(self) -> bool:
        age = self.age
        return age is not None and age <= self._session.settings.max_checkpoint_age

    def _stale(self) -> UncheckableError:
        age, most = self.age, self._session.settings.max_checkpoint_age // 60_000
        known = "none" if age is None else f"one {age // 60_000} minutes old"
        whose = " that a quorum of witnesses has cosigned" if self.witnesses.named else ""
        return UncheckableError(
            "stale_checkpoint",
            f"expected a checkpoint{whose} at most {most} minutes old, got {known}: nothing is sent on an old "
            "directory",
        )

    def stood_to(self, at: int) -> None:
        """Take note that the broker stood to the checkpoint at a time, ms since 1970; never in the future."""
        stated = min(at, self._session.clock())
        if stated > self._store.meta_number(_CHECKED_AT):
            self._store.set_meta(_CHECKED_AT, str(stated).encode())
