"""The broker's signed negative answers: verified, and compared with all that this profile holds.

Source: docs/spec/log.md §7.
"""

from __future__ import annotations

from typing import Final, NoReturn

from countermark_client._continuity import consistency_path
from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import ACCOUNTED, ProblemAnswer, Session, problem_error
from countermark_client._store import Direction, StoredMessage
from countermark_protocol.accounts import (
    Account,
    Verdict,
    check_account_against_tail,
    parse_account,
    state_of,
    verify_account,
)
from countermark_protocol.answers import Accepted, Problem, parse_accepted
from countermark_protocol.boxes import Box, Tail, row_path
from countermark_protocol.claims import Seen
from countermark_protocol.documents import Document, parse_document, statement_hash, verify_document
from countermark_protocol.errors import CountermarkError, InconsistentLogError, ProofError, SignatureError
from countermark_protocol.keys import Signer
from countermark_protocol.merkle import verify_consistency
from countermark_protocol.proof import OwnDelivery
from countermark_protocol.proof_pieces import encode_proof

#: The newest account that states no more entries of a box than are verified here.
_DENIED: Final = "account_{}"


class Accounts:
    """Checks accounts for one profile."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log

    def check(
        self, data: bytes, request: bytes | None, base: bytes | None = None
    ) -> Flow[tuple[Account, Document]]:
        """Verify a signed negative answer, and compare it with all that this profile holds.

        Args:
            data: the signed account.
            request: digest of the request it must answer, 32 bytes; None for the request of another instance of
                this endpoint, which a bundle brings.
            base: what that is the digest of, where it is known.

        Raises:
            SignatureError: not signed by a node key that counts, or about another request.
            InconsistentLogError: ``account_contradicted``, or it names a tree that this log does not have.
        """
        unverified = parse_document(data)
        stated = parse_account(unverified.claims)
        size = stated.seen.size
        known = self._log.checkpoint
        if (
            known is None
            or size > known.size
            or any(self._log.directory.public_key(s.key_id) is None for s in unverified.signatures)
        ):
            yield from self._log.sync()  # node keys are judged by the directory at the account's size
            known = self._log.checkpoint
        document = verify_document(unverified, self._log.directory.public_key)
        answered = stated.request if request is None else request
        account = verify_account(document, self._log.directory, answered)
        assert known is not None
        if account.caller != self._session.profile.address:
            raise SignatureError("wrong_caller", "the account answers another endpoint")
        yield from self._check_seen(account.seen, document)
        for box in Box:
            self._compare(account, document, box)
        self._keep(account, document)
        # A bundle's checkpoint is newer than its accounts: it holds all that the broker stood to then.
        if account.seen.size == known.size or request is None:
            self._log.stood_to(account.made_at)
        self._store.add_account(account, document.data, base)
        return account, document

    def _check_seen(self, seen: Seen, document: Document) -> Flow[None]:
        known = self._log.checkpoint
        assert known is not None
        if seen.size > known.size:
            raise ProofError("beyond_checkpoint", "the account is about a size that was never published")
        if seen.size == known.size:
            if seen.root != known.root:
                self._other_root(known.raw, document)
            return
        path = yield from consistency_path(self._session, seen.size, known.size)
        try:
            verify_consistency(seen.size, seen.root, known.size, known.root, path)
        except ProofError:
            shown = yield from fetch_proof(self._session, seen.size - 1, known)
            self._other_root(shown[1] if shown else known.raw, document)

    def _other_root(self, tree: bytes, document: Document) -> NoReturn:
        raise InconsistentLogError(
            "account_other_root",
            "an account signed by the broker names a tree that its checkpoint does not continue",
            tree,
            document.data,
        )

    def _compare(self, account: Account, document: Document, box: Box) -> None:
        """Compare what an account states of a box with the last verified entry below its size."""
        endpoint = self._session.profile.endpoint
        position = self._store.last_below(box, account.seen.size)
        if position is None:
            return
        entry = self._store.box_entry(box, position)
        assert entry is not None
        if state_of(account, endpoint, box) is None:
            raise ProofError(
                "account_incomplete", f"the account does not state the box '{box}' of its caller"
            )
        index, statement, previous = entry
        tail = Tail(b"", position, previous)
        try:
            check_account_against_tail(account, document.data, endpoint, box, index, statement, tail)
        except InconsistentLogError as error:
            shown = self._proven(box, position, index)
            raise InconsistentLogError("account_contradicted", error.message, document.data, *shown) from None

    def _proven(self, box: Box, position: int, index: int) -> tuple[bytes, ...]:
        """Document and proof of a verified position; nothing where its proof is gone, as it is after a while."""
        kept = self._store.proven_entry(box, position)
        if kept is not None or box is not Box.SENT:
            return kept or ()
        item = self._store.outbox_at(index)
        if item is None or not item.body or item.proof is None:
            return ()
        accepted = parse_accepted(item.proof)
        message = self._store.message(item.payload, Direction.OUT)
        document = accepted.document or (message.document if message is not None else item.body)
        assert accepted.deliveries is not None
        rows = accepted.deliveries.rows
        own = next(r for r in rows if (r.endpoint, r.box) == (self._session.profile.endpoint, Box.SENT))
        delivery = OwnDelivery(own, accepted.deliveries.tail, row_path(rows, own))
        return document, encode_proof(accepted.checkpoint, accepted.inclusion, delivery)

    def _keep(self, account: Account, document: Document) -> None:
        """Keep what denies the next entry of each box: it may be shown later."""
        with self._store.transaction():
            for box in Box:
                stated = state_of(account, self._session.profile.endpoint, box)
                if stated is not None and stated.count == self._store.box_state(box).count:
                    self._store.set_meta(_DENIED.format(box), document.data)

    def check_entry(self, box: Box, index: int, document: bytes, tail: Tail, proof: bytes) -> None:
        """Compare an entry of a box with the account that last said where that box ends.

        Args:
            box: which.
            index: of the entry.
            document: its signed document.
            tail: opened, and proven.
            proof: of both, as kept.

        Raises:
            InconsistentLogError: ``account_contradicted``: with account, document and proof.
        """
        kept = self._store.meta(_DENIED.format(box))
        if kept is None:
            return
        account, endpoint = parse_account(parse_document(kept).claims), self._session.profile.endpoint
        try:
            check_account_against_tail(account, kept, endpoint, box, index, statement_hash(document), tail)
        except InconsistentLogError as error:
            raise InconsistentLogError("account_contradicted", error.message, kept, document, proof) from None

    def error_of(self, answer: ProblemAnswer) -> Flow[CountermarkError]:
        """The error that a negative answer stands for: believed by its account, where its status calls for one.

        Raises:
            ProofError: as `refusal`.
        """
        if answer.problem.status not in ACCOUNTED:
            return problem_error(answer.problem)
        return (yield from self.refusal(answer.problem, answer.request, base=answer.base))

    def refusal(
        self, problem: Problem, request: bytes, verdict: Verdict | None = None, base: bytes | None = None
    ) -> Flow[CountermarkError]:
        """Verify the account of a negative answer.

        Args:
            problem: as answered.
            request: digest of what was asked, 32 bytes.
            verdict: the only one that will do; any but ``end-of-box`` if None.
            base: what the digest is of, where it is known.

        Returns:
            The error to raise: believed, because the broker signed it.

        Raises:
            ProofError: ``refusal_unproven``: without an account, or with one that says something else.
            VerificationError: as `check`.
        """
        _, error = yield from self._believed(problem, request, verdict, base)
        return error

    def look_up(self, payload: bytes, signer: Signer) -> Flow[Accepted | None]:
        """Ask for the proof of a statement of this endpoint.

        Args:
            payload: its payload hash, 32 bytes.
            signer: who asks.

        Returns:
            The answer, not verified yet; None where the broker denies it by an account.

        Raises:
            TransportError: the broker is away.
            VerificationError: the denial is not signed, or contradicts what this profile holds.
        """
        try:
            response, _ = yield from self._session.call(
                "GET", f"/v1/statements/{payload.hex()}", signer=signer
            )
        except ProblemAnswer as answer:
            if answer.problem.status not in ACCOUNTED:
                raise problem_error(answer.problem) from None
            yield from self.refusal(answer.problem, answer.request, Verdict.NOT_HELD, answer.base)
            return None
        return parse_accepted(response.body)

    def denied(self, answer: ProblemAnswer, held: StoredMessage) -> Flow[CountermarkError]:
        """As `error_of`, of a request for what belongs to a received message.

        Args:
            answer: the negative answer.
            held: the message, with its proof of being in the log and in a box of this endpoint.

        Raises:
            InconsistentLogError: ``not_held_contradicted``: with account, signed request, manifest and proof.
                Content may be gone after a logged purge only, which this version does not have.
        """
        if answer.problem.status not in ACCOUNTED:
            return problem_error(answer.problem)
        account, error = yield from self._believed(answer.problem, answer.request, None, answer.base)
        if account.verdict is not Verdict.NOT_HELD:
            return error
        assert held.index is not None
        if account.seen.size <= held.index:
            raise ProofError(
                "refusal_unproven", "the account is about a log that ends before the message it denies"
            )
        raise InconsistentLogError(
            "not_held_contradicted",
            f"the broker signs that it does not hold what belongs to entry {held.index}, which it has proven to be "
            "in the log and in this endpoint's box",
            answer.problem.account or b"",
            answer.base,
            held.document,
            held.proof or b"",
            index=held.index,
        )

    def _believed(
        self, problem: Problem, request: bytes, verdict: Verdict | None, base: bytes | None
    ) -> Flow[tuple[Account, CountermarkError]]:
        if problem.account is None:
            raise ProofError(
                "refusal_unproven",
                f"the broker refuses ({problem.code}) without a signed account: nothing follows from that",
                rule=problem.code,
            )
        account, _ = yield from self.check(problem.account, request, base)
        fits = account.verdict is not Verdict.END_OF_BOX if verdict is None else account.verdict is verdict
        if not fits or (account.refusal is not None and account.refusal.rule != problem.code):
            raise ProofError(
                "refusal_unproven", "the account states something else than the problem document"
            )
        return account, problem_error(problem)
