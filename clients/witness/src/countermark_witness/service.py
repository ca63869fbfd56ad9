"""A witness at work: judges a request and stores the outcome in one transaction, then answers.

The cosignatures are made inside the transaction and leave it only once it is durable. So whatever ends the
process, and whenever: what anybody has seen cosigned is on disk.

Source: docs/spec/witness.md §5.3.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.cosignature import Cosigner
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.note import NoteSignature, parse_note
from countermark_protocol.tlog_witness import (
    SIZE_TYPE,
    AddCheckpoint,
    add_cosignatures,
    encode_cosigned,
    encode_held_size,
    parse_add_checkpoint,
)
from countermark_witness.errors import WitnessError
from countermark_witness.judge import Cosign, Finding, Refuse, State, judge
from countermark_witness.store import Store, Transaction

_log = logging.getLogger("countermark_witness")

TEXT_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: of it.
        body: whole.
        media_type: of the body.
    """

    status: int
    body: bytes
    media_type: str = TEXT_TYPE


def refusal(status: int, error: CountermarkError) -> Answer:
    """An answer that says why, for people."""
    return Answer(status, f"{error}\n".encode())


def now_s() -> int:
    """The system's clock, s since 1970."""
    return int(time.time())


class Witness:
    """Judges, remembers, cosigns.

    Args:
        store: of this witness alone.
        cosigners: its keys; each cosigns.
        clock: s since 1970.
        durable: called after an outcome was stored and before it is answered; for tests that stop there.
    """

    def __init__(
        self,
        store: Store,
        cosigners: Sequence[Cosigner],
        clock: Callable[[], int] = now_s,
        durable: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._cosigners = tuple(cosigners)
        self._clock = clock
        self._durable = durable

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer an `add-checkpoint` request. Blocks until the outcome is durable."""
        try:
            request = parse_add_checkpoint(body)
        except MalformedError as error:
            return refusal(422 if error.code == "empty_root" else 400, error)
        try:
            with self._store.transaction() as transaction:
                answer = self._decide(transaction, request)
        except WitnessError as error:
            _log.error("%s", error)
            return Answer(503, b"the witness cannot store anything now [store_failed]\n")
        self._durable()
        return answer

    def _decide(self, transaction: Transaction, request: AddCheckpoint) -> Answer:
        origin = request.checkpoint.origin
        # The clock is read under the lock, so that times follow each other as the transactions do.
        now = self._clock()
        state = transaction.state(origin)
        verdict = judge(state, request, now)
        if isinstance(verdict, Refuse):
            if verdict.evidence is not None and transaction.keep(origin, verdict.evidence, now):
                level = logging.CRITICAL if verdict.evidence.finding is Finding.FORK else logging.WARNING
                _log.log(level, "evidence kept: %s of the log %r", verdict.evidence.finding, origin[:64])
            if verdict.held_size is not None:
                return Answer(verdict.status, encode_held_size(verdict.held_size), SIZE_TYPE)
            return refusal(verdict.status, verdict.error)
        kept = transaction.cosigned(origin) if _is_again(state, verdict) else None
        if kept is not None:
            return Answer(200, encode_cosigned(self._own(parse_note(kept).signatures)))
        lines = tuple(c.cosign(verdict.checkpoint, verdict.held.time) for c in self._cosigners)
        transaction.hold(origin, verdict.held, add_cosignatures(verdict.held.checkpoint, lines))
        _log.info("cosigned size %d of the log %r", verdict.held.size, origin[:64])
        return Answer(200, encode_cosigned(lines))

    def _own(self, lines: Iterable[NoteSignature]) -> tuple[NoteSignature, ...]:
        return tuple(line for line in lines if any(c.key.matches(line) for c in self._cosigners))

    def newest(self, hashed: str) -> Answer:
        """Answer a monitor that asks for a log by the hash of its origin."""
        try:
            note = self._store.published(hashed)
        except WitnessError as error:
            _log.error("%s", error)
            return Answer(503, b"the witness cannot read anything now [store_failed]\n")
        if note is None:
            return Answer(404, b"nothing was cosigned for such a log\n")
        return Answer(200, note)


def _is_again(state: State, verdict: Cosign) -> bool:
    # The very state that is stored, its time included: whoever repeats a request within one second makes the
    # witness write nothing.
    return state.log is not None and state.log.held == verdict.held
