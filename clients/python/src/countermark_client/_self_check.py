"""The daily self-check: all that the broker ever denied, compared with all that was proven since.

Every account is compared when it comes with the last entry of each box. This goes over the rest: entries that were read
since, and refusals. It runs by itself once a day, wherever a client reads
its boxes or the directory, and asks the broker for nothing but the directory.

Source: docs/spec/log.md §7.4, §7.5, §9.8.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from countermark_client._convicting import fetch_proof
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._refusals import judge_refusal, recipients_of, signed_document, subjects_of
from countermark_client._session import Session
from countermark_client._store import Direction, OutboxItem, OutboxState
from countermark_protocol.accounts import (
    Account,
    Verdict,
    check_account_against_tail,
    parse_account,
    state_of,
)
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box, Tail
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.proof_pieces import encode_proof

_LAST: Final = "self_check"
_LAST_AT: Final = "self_check_at"
#: ms between two checks that run by themselves.
_EVERY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What a self-check looked at.

    Attributes:
        at: ms since 1970, by this machine's clock.
        accounts: how many were compared.
        refusals: how many of these refuse something by rule.
        replayed: how many of those were decided again here.
        finding: what contradicts an account, or None.
    """

    at: int
    accounts: int
    refusals: int
    replayed: int
    finding: str | None = None


class SelfChecker:
    """Compares what the broker denied to one profile with what that holds."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log

    @property
    def last(self) -> SelfCheck | None:
        """The last check, or None."""
        kept = self._store.meta(_LAST)
        return SelfCheck(**parse_object(kept, "self-check")) if kept is not None else None

    def run_if_due(self) -> Flow[None]:
        """Check once a day.

        Raises:
            InconsistentLogError, TransportError: as `run`.
        """
        if self._session.settings.cut_off or self._session.carried or self._log.checkpoint is None:
            return
        if self._session.clock() - self._store.meta_number(_LAST_AT) >= _EVERY:
            yield from self.run()

    def run(self) -> Flow[SelfCheck]:
        """Compare every account that can still be contradicted, and decide again what can be.

        Raises:
            InconsistentLogError: ``account_contradicted``, ``refused_but_logged`` or ``refusal_against_rules``, with
                both documents; each is raised once.
            TransportError: the broker is away, and there are refusals to be decided again.
        """
        kept = self._store.accounts(unsettled=True)
        if any(one.refusal for one in kept):
            yield from self._log.sync()  # refusals are judged by the directory as of then
        refusals = replayed = 0
        for number, one in enumerate(kept, 1):
            account = parse_account(parse_document(one.document).claims)
            try:
                settled = self._compare(account, one.document)
                if account.refusal is not None:
                    refusals += 1
                    replayed += yield from self._replay(account, one.document)
            except InconsistentLogError as error:
                with self._store.transaction():
                    self._store.settle_account(one.state)
                    self._write(SelfCheck(self._session.clock(), number, refusals, replayed, str(error)))
                raise
            if settled:
                self._store.settle_account(one.state)
        done = SelfCheck(self._session.clock(), len(kept), refusals, replayed)
        with self._store.transaction():
            self._write(done)
        return done

    def _write(self, check: SelfCheck) -> None:
        self._store.set_meta(_LAST, encode_json(asdict(check)))
        self._store.set_meta(_LAST_AT, str(check.at).encode())

    def _compare(self, account: Account, document: bytes) -> bool:
        """Compare an account with the boxes as verified; whether they were read beyond all that it speaks of."""
        endpoint = self._session.profile.endpoint
        settled = account.refusal is None
        for box in Box:
            stated = state_of(account, endpoint, box)
            if stated is None:
                continue
            # Heads follow from each other: these positions decide about all others.
            for position in {self._store.last_below(box, account.seen.size), stated.count - 1, stated.count}:
                entry = (
                    self._store.box_entry(box, position) if position is not None and position >= 0 else None
                )
                if entry is None or position is None:
                    continue
                index, statement, previous = entry
                try:
                    check_account_against_tail(
                        account, document, endpoint, box, index, statement, Tail(b"", position, previous)
                    )
                except InconsistentLogError as error:
                    shown = self._store.shown_at(box, position)
                    raise InconsistentLogError(
                        "account_contradicted", error.message, document, *shown
                    ) from None
            settled = settled and self._store.box_state(box).count > stated.count
        return settled

    def _replay(self, account: Account, document: bytes) -> Flow[int]:
        """Look whether what was refused is in the log all the same, and decide again; 1 if that could be done."""
        item = self._store.outbox_item(account.request)
        if item is None or account.refusal is None or account.verdict is not Verdict.REFUSED:
            return 0
        if item.state is OutboxState.LOGGED and item.index is not None and item.index < account.seen.size:
            raise InconsistentLogError(
                "refused_but_logged",
                f"the broker signed that it refuses a statement, and logged it as entry {item.index} before that",
                document,
                *self._logged(item),
                index=item.index,
            )
        if not item.body:
            return 0
        told = judge_refusal(self._session, self._log.directory, item, account.refusal)
        if told is None:
            return 0
        if told:
            at = account.refusal.decided_size - 1
            held = [self._log.directory.held(s, at) for s in subjects_of(item)]
            records = self._store.directory()
            documents = [
                d for index, _, d in records if any(h is not None and h.index == index for h in held)
            ]
            checkpoint = self._log.checkpoint
            leaf = (yield from fetch_proof(self._session, at, checkpoint)) if checkpoint is not None else ()
            shown = (document, signed_document(item), *leaf, recipients_of(item), *documents)
            raise InconsistentLogError("refusal_against_rules", told, *shown)
        return 1

    def _logged(self, item: OutboxItem) -> tuple[bytes, ...]:
        """Document, leaf and proof of a statement of this profile that is an entry."""
        if item.proof is None:
            return ()
        accepted = parse_accepted(item.proof)
        message = self._store.message(item.payload, Direction.OUT)
        document = accepted.document or (message.document if message is not None else item.body)
        return document, accepted.inclusion.leaf, encode_proof(accepted.checkpoint, accepted.inclusion)
