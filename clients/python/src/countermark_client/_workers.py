"""Several workers on one endpoint: each an instance with a key and a profile of its own.

What is *done* is a view of the log: a position of ``urgent`` or ``routine`` is done by a logged `accepted` or
`rejected`, whichever instance made it, and every worker reads that in ``sent``. What is being worked on is a
lease, which the broker keeps for a while and which decides nothing: a worker that dies gives its positions back
when its leases end.

A worker asks for leases first and reads ``sent`` after: whoever held the position before has logged its receipt
before its lease ended, so what another has finished is never handed out again.

Source: docs/spec/api.md §3; docs/spec/messages.md §6.
"""

from __future__ import annotations

import time
from typing import Final

from countermark_client._accounts import Accounts
from countermark_client._boxes import Boxes
from countermark_client._flows_inbox import Inbox
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import OpenedMessage, OpenPosition, Rejected
from countermark_client._open import manifest_of
from countermark_client._session import Clock, ProblemAnswer, Session, problem_error, system_clock
from countermark_client._store import OPEN_STAGES, Direction, MessageStage, StoredMessage
from countermark_client.errors import StorageError
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.leases import (
    MAX_LEASE_SECONDS,
    MAX_LEASED,
    Granted,
    Lease,
    LeaseRequest,
    parse_granted,
    parse_leases,
)

_BOXES: Final = (Box.URGENT, Box.ROUTINE)
#: Seconds between two looks at what others have finished or given back.
_POLL_SLICE: Final = 5.0
#: How often one look asks again after other workers were quicker.
_TRIES: Final = 5


def steady_clock() -> int:
    """Milliseconds since some moment, of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


class Workers:
    """One worker's share of the open positions of its endpoint."""

    def __init__(
        self, session: Session, log: LogView, accounts: Accounts, sender: Sender, boxes: Boxes, inbox: Inbox
    ) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._accounts = accounts
        self._sender = sender
        self._boxes = boxes
        self._inbox = inbox
        # A test's clock is never set: it passes for both.
        self._steady: Clock = steady_clock if session.clock is system_clock else session.clock
        #: Positions leased here, and until when by this machine's clock and by its steady one.
        self._held: dict[tuple[Box, int], tuple[int, int]] = {}

    # --- working ---

    def next_batch(
        self, done: frozenset[bytes], wait: float, only: Box | None, seconds: int, at_once: int
    ) -> Flow[tuple[list[OpenedMessage], list[Rejected]]]:
        """The next messages leased to this worker, signed for, opened and validated; two empty lists at the end.

        Args:
            done: messages already given out by this iteration.
            wait: seconds to wait for one, or for one that others give back.
            only: of this box alone.
            seconds: of the leases.
            at_once: most messages.

        Raises:
            ValueError: seconds or number out of bounds.
        """
        _check_bounds(seconds, at_once)
        boxes = (only,) if only is not None else _BOXES
        left = wait
        yield from self._sender.flush_waiting()
        yield from self._boxes.read_all(Box.SENT)
        yield from self._inbox.do_chores()
        while True:
            if Box.URGENT in boxes:
                yield from self._boxes.read_all(Box.URGENT)
            if Box.ROUTINE in boxes:
                yield from self._read_until(Box.ROUTINE, done, at_once)
            taken = yield from self._lease_some(boxes, done, seconds, at_once)
            if taken:
                try:
                    opened, rejected = yield from self._inbox.take(taken)
                except ConflictError as error:
                    if error.code != "receipt_stands":
                        raise
                    yield from self._boxes.read_all(Box.SENT)
                    continue
                yield from self._give_back_purged(taken)
                if opened or rejected:
                    return opened, rejected
                continue
            if left <= 0:
                return [], []
            # Long-polling ends with a new message; what others finish or lose is looked at after each slice.
            slice_ = max(1.0, min(left, _POLL_SLICE))
            if (yield from self._boxes.read(boxes[-1], wait=slice_)) == 0:
                left -= slice_
            yield from self._boxes.read_all(Box.SENT)

    def _read_until(self, box: Box, done: frozenset[bytes], count: int) -> Flow[None]:
        """Read a box until enough of it is open here, or to its end."""
        while len(self._open(box, done, count)) < count:
            if (yield from self._boxes.read(box)) == 0:
                return

    def _open(self, box: Box, done: frozenset[bytes], count: int) -> list[StoredMessage]:
        found = self._store.messages_by_stage(*OPEN_STAGES, box=box.value, limit=count + len(done))
        return [m for m in found if m.payload not in done]

    def _lease_some(
        self, boxes: tuple[Box, ...], done: frozenset[bytes], seconds: int, at_once: int
    ) -> Flow[list[StoredMessage]]:
        for box in boxes:
            for _ in range(_TRIES):
                leased = yield from self.leases(box)
                own = self._key
                others = {one.position for one in leased if one.key != own}
                # As many of others lie before the first free one, at most.
                candidates = self._open(box, done, at_once + len(others))
                free = [m for m in candidates if m.position not in others][:at_once]
                if not free:
                    break
                granted = yield from self._ask(box, [m.position or 0 for m in free], seconds)
                yield from self._boxes.read_all(Box.SENT)
                still = self.undone({m.payload for m in free if m.position in granted.positions})
                if still:
                    return [m for m in free if m.payload in still]
        return []

    def hold(self, one: OpenedMessage, seconds: int) -> Flow[bool]:
        """Whether a message given out by `next_batch` is still this worker's to do.

        A lease that has run for half its time is asked for again, and what another worker did meanwhile is read
        before it is believed: whether it had ended is the broker's to know, not this machine's clock's.
        """
        box = Box(one.box)
        if self._left(box, one.position) <= seconds * 500:
            granted = yield from self._ask(box, [one.position], seconds)
            if one.position not in granted.positions:
                return False
            yield from self._boxes.read_all(Box.SENT)
        stored = self._store.message(one.message, Direction.IN)
        return stored is not None and stored.stage in OPEN_STAGES

    def undone(self, given: set[bytes]) -> set[bytes]:
        """Those of the messages given out that are neither accepted nor rejected yet."""
        stages = {payload: self._store.message(payload, Direction.IN) for payload in given}
        return {payload for payload, m in stages.items() if m is not None and m.stage in OPEN_STAGES}

    def _give_back_purged(self, taken: list[StoredMessage]) -> Flow[None]:
        """Give back what turned out to be purged: other workers are done with it as soon as they look."""
        for box in _BOXES:
            gone = []
            for one in taken:
                now = self._store.message(one.payload, Direction.IN)
                if (
                    one.box == box
                    and one.position is not None
                    and now is not None
                    and now.stage is MessageStage.PURGED
                ):
                    gone.append(one.position)
            if gone:
                yield from self._ask(box, gone, 0)

    def give_back(self, given: set[bytes]) -> Flow[None]:
        """Give back what is leased and was not given out; a broker that is away lets the leases end by themselves.

        What was given out may still be in the hands of its application, whatever became of the iteration.
        """
        for box in _BOXES:
            open_ = {m.position for m in self._open(box, frozenset(given), MAX_LEASED)}
            held = [p for b, p in self._held if b is box and p in open_ and self._left(b, p) > 0]
            for start in range(0, len(held), MAX_LEASED):
                yield from self._ask(box, held[start : start + MAX_LEASED], 0, attempts=1)
        self._held.clear()

    # --- leases ---

    @property
    def _key(self) -> KeyId:
        return self._session.signer().public_key.key_id

    def _ask(
        self, box: Box, positions: list[int], seconds: int, attempts: int | None = None
    ) -> Flow[Granted]:
        asked = LeaseRequest(box, tuple(positions), seconds)
        # Counted from before the call, and never beyond the broker's word: a clock that is wrong either way
        # makes a lease end early here, not late.
        start, steady = self._session.clock(), self._steady()
        body = yield from self._call("POST", "", encode_json(asked.to_json()), attempts)
        granted = parse_granted(body, asked)
        for position in positions:
            self._held.pop((box, position), None)
        if seconds:
            lasts = min(seconds * 1000, granted.until - start)
            self._held |= {(box, position): (start + lasts, steady + lasts) for position in granted.positions}
        return granted

    def _left(self, box: Box, position: int) -> int:
        """How many ms a lease still runs, at most; 0 or less if it may have ended.

        The machine's clock may be set back, and the steady one may stand still while the machine sleeps: the one
        that has gone further counts.
        """
        until = self._held.get((box, position))
        return min(until[0] - self._session.clock(), until[1] - self._steady()) if until is not None else 0

    def leases(self, box: Box) -> Flow[tuple[Lease, ...]]:
        """The leases that stand on a box of this endpoint, those of all its workers."""
        return parse_leases((yield from self._call("GET", f"box={box.value}", None, None)))

    def _call(self, method: str, query: str, body: bytes | None, attempts: int | None) -> Flow[bytes]:
        signer = self._session.signer()
        try:
            response, _ = yield from self._session.call(
                method, "/v1/leases", query, body=body, signer=signer, attempts=attempts
            )
        except ProblemAnswer as answer:
            if answer.problem.account is None:
                raise problem_error(answer.problem) from None
            raise (yield from self._accounts.error_of(answer)) from None
        return response.body

    # --- what is left ---

    def backlog(self) -> Flow[list[OpenPosition]]:
        """Positions of the boxes that no instance of this endpoint has answered for; see `Client.backlog`."""
        for box in (*_BOXES, Box.SENT):
            yield from self._boxes.read_all(box)
        out: list[OpenPosition] = []
        for box in _BOXES:
            open_ = self._store.open_positions(box.value)
            leased = {one.position: one for one in (yield from self.leases(box))} if open_ else {}
            for position, payload in open_:
                stored = self._store.message(payload, Direction.IN) if payload is not None else None
                if stored is not None and stored.stage is MessageStage.PURGED:
                    continue
                if stored is None or stored.index is None or stored.time is None:
                    raise StorageError(
                        "box_not_kept",
                        f"position {position} of box '{box}' was verified, and this profile does not hold its message",
                    )
                lease = leased.get(position)
                out.append(
                    OpenPosition(
                        box=box.value,
                        position=position,
                        message=stored.payload,
                        manifest=manifest_of(stored),
                        index=stored.index,
                        time=stored.time,
                        stage=stored.stage.value,
                        holder=self._holder(lease.key) if lease is not None else None,
                        until=lease.until if lease is not None else None,
                    )
                )
        return out

    def _holder(self, key: KeyId) -> str:
        instance = self._log.directory.listed_instance(self._session.profile.endpoint, key)
        return instance.holder if instance is not None else key.hex()


def _check_bounds(seconds: int, at_once: int) -> None:
    if not 1 <= seconds <= MAX_LEASE_SECONDS or not 1 <= at_once <= MAX_LEASED:
        msg = f"expected leases of 1 to {MAX_LEASE_SECONDS} seconds on 1 to {MAX_LEASED} messages at once"
        raise ValueError(msg)
