"""The outbox: one queue for messages, receipts and acts, sent in order, one copy in flight, until it is answered.

A statement is written before it is sent, and what is sent are those bytes, every time. It leaves the queue
when the broker has proven it to be in the log, or has signed that it refuses it; nothing less counts. One
message and ten thousand take the same way: what waits is sent in groups, a group of one by itself and a
larger one in bulk, and each answer is settled by the same code.

The bytes change in one case only: a signature by a key that no longer counts is replaced by one of this
profile's current key, over the same payload.

Source: docs/spec/messages.md §5; docs/spec/api.md §3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from countermark_client._carried import PATHS
from countermark_client._io import Flow, NextLine, Sleep
from countermark_client._log import LogView
from countermark_client._revocations import Revocations
from countermark_client._session import RETRIED, ProblemAnswer, Session, patience_of
from countermark_client._settling import MESSAGE, Settlement, Settler, problem_of
from countermark_client._store import Direction, OutboxItem, OutboxState
from countermark_client._uploads import Uploads, lacks_pieces
from countermark_protocol.answers import Accepted, Problem, parse_accepted
from countermark_protocol.bulk import BulkReader, encode_frames
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    NotFoundError,
    SignatureError,
    TransportError,
    UncheckableError,
)
from countermark_protocol.identifiers import KeyId
from countermark_protocol.proof import recipient_to_json
from countermark_protocol.submission import parse_submission

_BULK: Final = "/v1/messages/bulk"
#: Verdicts of a bulk answer that are written together: one sync of the disk for all of them.
_WRITTEN_AT_ONCE: Final = 64
#: A broker of the release before has no bulk call.
_NO_SUCH_CALL: Final = frozenset({404, 405})
#: Problems that a current signature over the same payload may mend.
_SIGN_AGAIN: Final = frozenset({"revoked_key", "wrong_signer", "unknown_key"})
_PRUNED_AT_ONCE: Final = 100
#: Messages whose attachments are uploaded before the first of them is handed in: what is unclaimed goes after a day.
_UPLOADED_AT_ONCE: Final = 16

#: Handed each answer as it arrives: (statement, proof or problem).
_Take = Callable[[OutboxItem, Accepted | Problem], Flow[None]]


class Outbox:
    """The outbox of one profile."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations, settler: Settler) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._revocations = revocations
        self._settler = settler
        self._uploads = Uploads(session)
        self._bulk_known = True

    # --- the queue ---

    def send_waiting(
        self, until: bytes | None = None, *, fresh: bool = False, attached: bool | None = None
    ) -> Flow[dict[bytes, CountermarkError]]:
        """Send what waits, in order, up to one statement or to the end; messages with attachments last.

        Args:
            until: payload hash of the last statement to send; all if None. Before one without attachments, messages
                that have some are passed over: they wait for a call that sends all, or one of them.
            fresh: whether the caller has just made sure of a fresh checkpoint.
            attached: whether messages with attachments are sent; if None, as `until` tells.

        Returns:
            Why statements were refused or failed, by payload hash; the others are in the log.

        Raises:
            TransportError: the broker is away; what waits stays.
            UncheckableError: the client is halted, or its checkpoint is too old to send on.
            VerificationError: an answer does not prove what it should; its statement waits on.
        """
        last = None
        if until is not None:
            item = self._store.outbox_item(until)
            assert item is not None
            last = item.number
        self._log.check_not_halted()
        errors: dict[bytes, CountermarkError] = {}
        # What has nothing to upload goes first: no receipt and no urgent message waits behind somebody's film.
        if attached is None:
            attached = until is None or self._store.has_pieces(until)
        for large in (False, True) if attached else (False,):
            after = 0
            while group := self._next_group(after, last, attached=large):
                if not fresh:
                    yield from self._refresh()
                    fresh = True
                yield from self._send_group(group, errors)
                after = group[-1].number
        if any(error.code == "wrong_log" for error in errors.values()):
            yield from self._log.sync()  # the log has its next name: what was made for this one is given up
        self.prune()
        return errors

    def send_one(self, item: OutboxItem) -> Flow[dict[bytes, CountermarkError]]:
        """As `send_waiting`, of one statement, wherever it stands in the queue."""
        self._log.check_not_halted()
        errors: dict[bytes, CountermarkError] = {}
        yield from self._send_group([item], errors)
        return errors

    def _refresh(self) -> Flow[None]:
        try:
            yield from self._log.refresh()
        except UncheckableError as error:
            # Nothing is sent on an old checkpoint; for what waits that is the broker's absence.
            if error.code == "stale_checkpoint" and isinstance(error.__cause__, TransportError):
                raise error.__cause__ from None
            raise

    def _next_group(self, after: int, last: int | None, *, attached: bool) -> list[OutboxItem]:
        """The next messages that fit into one request, or the next receipt."""
        settings = self._session.settings
        numbers: list[int] = []
        size = 0
        limit = min(settings.bulk_count, _UPLOADED_AT_ONCE) if attached else settings.bulk_count
        for number, kind, length in self._store.waiting_sizes(after, limit, attached=attached):
            if last is not None and number > last:
                break
            if numbers and (kind != MESSAGE or size + length > settings.bulk_bytes):
                break
            numbers.append(number)
            size += length
            if kind != MESSAGE:
                break
        return self._store.outbox_numbered(numbers)

    def _send_group(self, group: list[OutboxItem], errors: dict[bytes, CountermarkError]) -> Flow[None]:
        """Send statements until each is answered, with backoff; one that must be signed again has a second turn."""
        left = [item for item in map(self._ready, group) if item is not None]
        pending: list[Settlement] = []
        signed_again: set[bytes] = set()
        failures = 0
        busy: list[Problem] = []

        def take(item: OutboxItem, answer: Accepted | Problem) -> Flow[None]:
            if isinstance(answer, Accepted):
                settled = yield from self._settler.accepted(item, answer)
            elif answer.status in RETRIED or lacks_pieces(answer):
                busy.append(answer)  # not now: it is sent again, what it lacks before it
                return
            else:
                if answer.code in _SIGN_AGAIN and item.payload not in signed_again:
                    signed_again.add(item.payload)
                    with contextlib.suppress(TransportError, SignatureError):
                        yield from self._log.sync()
                    if self._sign_again(item):
                        return
                settled = yield from self._settler.refused(item, answer)
            pending.append(settled)
            if len(pending) >= _WRITTEN_AT_ONCE:
                self._write(pending, errors)

        while left:
            stopped: TransportError | None = None
            busy.clear()
            try:
                left = yield from self._uploaded(left, errors)
                self._store.add_tries([item.payload for item in left], self._session.clock())
                yield from self._exchange(left, take)
            except TransportError as error:
                stopped = error
            finally:
                # What was verified before the connection broke is kept, whatever broke it.
                self._write(pending, errors)
            again = [self._store.outbox_item(item.payload) for item in left]
            before, left = left, [i for i in again if i is not None and i.state is OutboxState.WAITING]
            if not left:
                return
            progress = len(left) < len(before) or any(
                a.body != b.body for a, b in zip(left, before, strict=False)
            )
            failures = 0 if progress else failures + 1
            # One request has had all its tries within the call; a stream is tried again from where it broke.
            if stopped is not None and (len(before) == 1 or failures >= self._session.settings.attempts):
                raise stopped
            # A verdict has no header: what patience it asks for stands in its facts.
            asked = max(map(patience_of, busy), default=0.0)
            self._session.rest_later(asked)
            if failures >= self._session.settings.attempts:
                why = f": {busy[-1].code}: {busy[-1].detail}" if busy else ""
                raise TransportError(
                    "broker_unavailable", f"the broker answers, but takes nothing at present{why}"
                )
            if failures or busy:
                wait = max(asked, self._session.backoff(max(0, failures - 1)))
                self._session.watch.waiting(wait, busy[-1].detail if busy else "the line broke off")
                yield Sleep(wait)

    def _uploaded(
        self, items: list[OutboxItem], errors: dict[bytes, CountermarkError]
    ) -> Flow[list[OutboxItem]]:
        """Upload what the broker lacks of attachments; the statements that can be sent then.

        Raises:
            TransportError: the broker is away.
        """
        ready: list[OutboxItem] = []
        for item in items:
            if item.kind == MESSAGE and self._store.has_pieces(item.payload):
                try:
                    yield from self._uploads.bring(item)
                except TransportError:
                    raise
                except CountermarkError as error:
                    errors[item.payload] = error
                    self._store.set_outbox_problem(
                        item.payload, OutboxState.FAILED, error.code, error.message
                    )
                    continue
            ready.append(item)
        return ready

    def _write(self, pending: list[Settlement], errors: dict[bytes, CountermarkError]) -> None:
        """Write what was found, in order, all in one transaction."""
        done, pending[:] = list(pending), []
        if not done:
            return
        with self._store.transaction():
            for settled in done:
                settled.write()
        errors |= {s.item.payload: s.error for s in done if s.error is not None}
        self._session.watch.settled(len(done))

    # --- one exchange ---

    def _exchange(self, items: list[OutboxItem], take: _Take) -> Flow[None]:
        """Send each statement once; hand every answer to `take` as it arrives.

        Raises:
            TransportError: there is no answer, or not to all of them.
        """
        if len(items) == 1 or not self._bulk_known:
            for item in items:
                yield from self._single(item, take)
            return
        try:
            yield from self._session.call(
                "POST", _BULK, body=encode_frames(item.body for item in items), stream=True
            )
        except ProblemAnswer as refusal:
            # A problem of the request as a whole says nothing of any statement in it: each is asked about alone.
            self._bulk_known = refusal.problem.status not in _NO_SUCH_CALL
            for item in items:
                yield from self._single(item, take)
            return
        reader = BulkReader(len(items))
        while not reader.complete:
            line = yield NextLine()
            if line is None:
                raise TransportError("unusable_answer", "the answer ended before the last verdict")
            verdict = reader.take(line.body)
            if verdict is not None:
                answer = verdict.accepted or verdict.problem
                assert answer is not None
                yield from take(items[verdict.number], answer)

    def _single(self, item: OutboxItem, take: _Take) -> Flow[None]:
        signer = self._session.signer() if item.kind != MESSAGE else None
        try:
            response, _ = yield from self._session.call(
                "POST", PATHS[item.kind], body=item.body, signer=signer
            )
        except ProblemAnswer as answer:
            yield from take(item, answer.problem)
            return
        yield from take(item, parse_accepted(response.body))

    # --- before a statement is sent ---

    def _ready(self, item: OutboxItem) -> OutboxItem | None:
        """A statement as it can be sent now; None if it is held back, which is then noted.

        Only what the directory has changed since the statement was made can have changed that.
        """
        if self._log.synced_at <= item.created:
            return item
        if item.kind == MESSAGE and not item.tries and self._held_back(item):
            return None
        self._sign_again(item)
        return self._store.outbox_item(item.payload)

    def _held_back(self, item: OutboxItem) -> bool:
        """Hold back a message that was never handed in and that is sealed to keys which no longer count."""
        directory, now = self._revocations.directory, self._session.clock()
        rows = parse_submission(item.body).rows
        changed = [
            r.endpoint for r in rows if not directory.accepts_sealing_key(r.endpoint, r.sealing_key, now)
        ]
        if changed:
            error = ConflictError(
                "sealing_key_changed",
                f"while this waited, the key that it is sealed to ceased to count for {', '.join(changed[:5])}"
                f"{f' and {len(changed) - 5} more' if len(changed) > 5 else ''}. It was not handed in. What is sealed "
                "cannot be sealed again under its id: make it anew with `renew`, or give it up",
            )
            self._store.set_outbox_problem(item.payload, OutboxState.FAILED, error.code, error.message)
        return bool(changed)

    def _sign_again(self, item: OutboxItem) -> bool:
        """Replace a signature by a key that no longer counts; whether that was done. The payload stays."""
        submission = parse_submission(item.body) if item.kind == MESSAGE else None
        document = submission.document if submission is not None else parse_document(item.body)
        directory, endpoint = self._revocations.directory, self._session.profile.endpoint

        def counts(key_id: KeyId) -> bool:
            return directory.instance(endpoint, key_id, time=self._session.clock()) is not None

        signer = self._session.signer()
        if len(document.counted) > 1:
            return False  # what another has signed too is drafted anew
        if all(counts(s.key_id) for s in document.counted) or not counts(signer.public_key.key_id):
            return False
        signed = sign_document(document.payload, [signer])
        body = signed
        if submission is not None:
            body = submission.signed_anew(signed)
        self._store.set_outbox_body(item.payload, body)
        return True

    # --- what people decide ---

    def retry(self, payload: bytes) -> Flow[CountermarkError | None]:
        """Send one statement that waits or failed, and all that waits before it; why it did not succeed, or None.

        Raises:
            ConflictError: ``never_sent_again``, ``already_logged``.
        """
        item = self._item(payload)
        if item.state in {OutboxState.REFUSED, OutboxState.GIVEN_UP}:
            raise ConflictError(
                "never_sent_again",
                f"this statement was {item.state.value.replace('_', ' ')} ({item.error}): it is never sent again. Make "
                "a message anew with `renew`, under a new id",
            )
        if item.state is OutboxState.LOGGED:
            raise ConflictError("already_logged", f"this statement is entry {item.index} of the log")
        yield from self._log.refresh()
        self._store.set_outbox_waiting(payload)
        errors = yield from self.send_waiting(payload, fresh=True)
        after = self._item(payload)
        return errors.get(payload) or problem_of(after)

    def give_up(self, payload: bytes, reason: str) -> Flow[bool]:
        """Never send a statement again, for a reason that is kept.

        One that was handed in before may be in the log though its answer was lost: the broker is asked.

        Returns:
            Whether it is certain that it is not in the log. If not, ``sent`` will tell, and it counts as logged then.

        Raises:
            ConflictError: ``already_logged``: it is in the log, or was found there now.
            ValueError: no reason is given.
        """
        if not reason.strip():
            msg = "expected a reason"
            raise ValueError(msg)
        item = self._item(payload)
        certain = item.tries == 0
        if item.state in {OutboxState.WAITING, OutboxState.FAILED} and not certain:
            with contextlib.suppress(TransportError):
                certain = not (yield from self._settler.find(item, self._session.signer()))
        item = self._item(payload)
        if item.state is OutboxState.LOGGED:
            raise ConflictError(
                "already_logged",
                f"this statement is entry {item.index} of the log: it cannot be given up. A message can be superseded",
            )
        if item.state is not OutboxState.REFUSED:
            self._settler.gave_up(item, reason.strip())
        return certain or item.state is OutboxState.REFUSED

    def _item(self, payload: bytes) -> OutboxItem:
        item = self._store.outbox_item(payload)
        if item is None:
            raise NotFoundError("not_in_outbox", "this profile has made no statement of that hash")
        return item

    def flush(self) -> Flow[tuple[OutboxItem, ...]]:
        """Send all that waits, what failed before too; what became of each."""
        yield from self._log.refresh()
        with self._store.transaction():
            for item in self._store.outbox(OutboxState.FAILED):
                self._store.set_outbox_waiting(item.payload)
        tried = [number for number, _, _ in self._store.waiting_sizes(0, -1)]
        yield from self.send_waiting(fresh=True)
        return tuple(self._store.outbox_numbered(tried))

    # --- the end of keeping ---

    def prune(self) -> None:
        """Drop the bytes of statements that a published checkpoint has covered for long enough.

        Of a message stay the signed manifest, what opens it here, its ciphertext, its recipient rows and its proof;
        the stanzas of its recipients go.
        """
        before = self._session.clock() - self._session.settings.outbox_kept_for
        for item in self._store.prunable(before, _PRUNED_AT_ONCE):
            with self._store.transaction():
                rows = None
                if item.kind == MESSAGE:
                    submission = parse_submission(item.body)
                    rows = encode_json([recipient_to_json(row) for row in submission.rows])
                    self._store.keep_sent_content(item.payload, submission.content)
                self._store.prune(item.payload, rows)
                gone = self._forget_pieces(item.payload)
            self._session.profile.pieces.remove(gone)

    def _forget_pieces(self, payload: bytes) -> tuple[bytes, ...]:
        """Pieces of a sent message that go with its stanzas, where the settings say so."""
        if self._session.settings.keep_attachments:
            return ()
        return self._store.forget_pieces(payload, Direction.OUT)
