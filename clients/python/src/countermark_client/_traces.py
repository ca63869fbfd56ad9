"""Traces as one profile knows them: its own messages and receipts, folded by the table of states.

Nothing is kept of a state: it is what the messages, the receipts and the time make of it, each time anew. Only what no
message says is kept, that a requester closed a trace.

Source: docs/spec/tracing.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from countermark_client import _contents
from countermark_client._models import MessageRef, message_hash
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import Direction, MessageStage, StoredMessage
from countermark_client._succession import open_kept
from countermark_protocol.encoding import parse_json
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays
from countermark_protocol.tracing.clock import Delivery, LoggedMessage
from countermark_protocol.tracing.deadlines import ANSWERS, CLARIFICATION, REQUEST
from countermark_protocol.tracing.due import Due, due_of
from countermark_protocol.tracing.lifecycle import REASONS, Reason, TraceState
from countermark_protocol.tracing.trace import Closing, TracedConversation, trace_conversation

#: Types that move a trace, so that they are looked at before they are sent.
_MOVES = ANSWERS | {REQUEST, CLARIFICATION}
#: Payload hash of what is not sealed yet.
_NOT_YET = b"\xff" * 32


@dataclass(frozen=True, slots=True)
class TracedCase:
    """A conversation about a trace.

    Attributes:
        conversation: payload hash of its first message, 32 bytes.
        exercise: drill traffic.
        case_ref: the requester's reference, where the request opens here.
        items: references of the weapons, where it does.
        waiting: of a request that is signed and not logged yet, its state: `APPROVED`.
        traced: its traces, as of now.
        due: what waits for somebody, as of now.
    """

    conversation: bytes
    exercise: bool
    case_ref: str | None
    items: tuple[str, ...]
    waiting: TraceState | None
    traced: TracedConversation
    due: tuple[Due, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "conversation": self.conversation.hex(),
            "exercise": self.exercise,
            "case_ref": self.case_ref,
            "items": list(self.items),
            "waiting": self.waiting.value if self.waiting is not None else None,
            "traces": [trace.to_json() for trace in self.traced.traces],
            "ignored": [step.to_json() for step in self.traced.ignored],
            "held": [message.hex() for message in self.traced.held],
            "due": [due.to_json() for due in self.due],
        }


class Traces:
    """The traces of one profile."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store

    def all(self, holidays: Holidays = NO_HOLIDAYS) -> list[TracedCase]:
        """Every traced conversation, the newest first."""
        return [self._case(c, self._store.messages(c), holidays) for c in self._store.traced_conversations()]

    def case(self, ref: MessageRef, holidays: Holidays = NO_HOLIDAYS) -> TracedCase:
        """The traced conversation of a message.

        Raises:
            NotFoundError: ``unknown_message``, ``not_a_trace``.
        """
        stored = self._store.message(message_hash(ref))
        if stored is None:
            raise NotFoundError("unknown_message", "this profile holds no message of that hash")
        messages = self._store.messages(stored.conversation)
        if not any(manifest_of(m).type == REQUEST for m in messages):
            raise NotFoundError("not_a_trace", "the conversation of that message holds no tracing request")
        return self._case(stored.conversation, messages, holidays)

    def close(
        self, ref: MessageRef, requested: str | None, *, diversion_established: bool, note: str
    ) -> TracedCase:
        """Close a trace; see `Client.close_trace`."""
        case = self.case(ref)
        now = self._session.clock()
        open_ = [
            t for t in case.traced.traces if requested in {None, t.clock.requested} and t.closing is None
        ]
        if len(open_) != 1:
            named = ", ".join(t.clock.requested for t in open_) or "none"
            raise ConflictError(
                "trace_not_named", f"expected one trace that is not closed; name who was asked: {named}"
            )
        clock = open_[0].clock
        if clock.requester != self._session.profile.endpoint:
            raise PolicyError("not_the_requester", f"only the requester, {clock.requester}, closes a trace")
        closing = Closing(clock.request, clock.requested, now, diversion_established, note)
        # The log's time may be ahead of this machine's clock by a little.
        at = max(now, *(step.at for step in open_[0].steps)) + 1
        closing = replace(closing, at=at)
        messages = [self._logged(m) for m in self._store.messages(case.conversation) if m.index is not None]
        closings = [*self._store.closings(), closing]
        after = trace_conversation(messages, at + 1, closings=closings)
        [step] = [
            t.steps[-1]
            for t in after.traces
            if (t.clock.request, t.clock.requested) == (clock.request, clock.requested)
        ]
        if step.refused is not None:
            raise refused(step.refused, open_[0].state)
        self._store.add_closing(closing)
        return self.case(ref)

    def check(
        self,
        manifest: Proposed,
        content: _contents.Message,
        recipients: Sequence[str],
        conversation: bytes | None,
    ) -> None:
        """Refuse what the table of states does not allow, before it is sealed.

        Raises:
            PolicyError: ``trace_refused``, with ``reason``.
        """
        if conversation is None or content.TYPE not in _MOVES:
            return
        stored = [m for m in self._store.messages(conversation) if m.index is not None]
        messages = [self._logged(m) for m in stored]
        if not messages:
            return
        now = max(self._session.clock(), *(m.time + 1 for m in messages), *map(_latest, messages))
        proposed = LoggedMessage(
            conversation,
            _NOT_YET,
            max(m.index for m in messages) + 1,
            now,
            self._session.profile.endpoint,
            content.TYPE,
            manifest.stage,
            manifest.in_reply_to,
            manifest.supersedes,
            None,
            manifest.urgency,
            None,
            tuple(Delivery(r, "delivered", now, None, None) for r in recipients),
            manifest.on_behalf_of,
            _contents.told_by(content),
        )
        traced = trace_conversation([*messages, proposed], now + 1, closings=self._store.closings())
        for state, step in (
            *((trace.state, step) for trace in traced.traces for step in trace.steps),
            *((None, step) for step in traced.ignored),
        ):
            if step.message == _NOT_YET and step.refused is not None:
                raise refused(step.refused, state)

    # --- reading ---

    def _case(self, conversation: bytes, stored: Sequence[StoredMessage], holidays: Holidays) -> TracedCase:
        at = self._session.clock() + 1
        logged = [self._logged(m) for m in stored if m.index is not None]
        payloads = {m.payload for m in logged}
        closings = [c for c in self._store.closings() if c.request in payloads]
        # The log's time may be ahead of this machine's clock by a little.
        at = max([at, *(m.time + 1 for m in logged), *(c.at + 1 for c in closings)])
        traced = trace_conversation(logged, at, closings=closings, holidays=holidays)
        first = next(m for m in stored if manifest_of(m).type == REQUEST)
        content = open_kept(self._session, first)
        request = content if isinstance(content, _contents.TracingRequest) else None
        waits = first.index is None and first.stage is MessageStage.WAITING
        return TracedCase(
            conversation,
            manifest_of(first).exercise,
            request.national_case_ref if request is not None else None,
            tuple(item.item_ref for item in request.items) if request is not None else (),
            TraceState.APPROVED if waits else None,
            traced,
            tuple(due for trace in traced.traces for due in due_of(trace, at)),
        )

    def _logged(self, stored: StoredMessage) -> LoggedMessage:
        manifest = manifest_of(stored)
        content = open_kept(self._session, stored)
        assert stored.index is not None
        assert stored.time is not None
        return LoggedMessage(
            stored.conversation,
            stored.payload,
            stored.index,
            stored.time,
            manifest.sender,
            manifest.type,
            manifest.stage.value if manifest.stage is not None else None,
            manifest.in_reply_to,
            manifest.supersedes,
            manifest.reply_by,
            manifest.urgency.value,
            self._withdrawn_at(stored),
            tuple(self._deliveries(stored)),
            manifest.on_behalf_of,
            _contents.told_by(content) if content is not None else None,
        )

    def _deliveries(self, stored: StoredMessage) -> Iterable[Delivery]:
        if stored.direction is Direction.OUT:
            for d in self._store.deliveries(stored.payload):
                notice = self._store.notice(d.undelivered) if d.undelivered is not None else None
                settled = d.time if d.stage in {"accepted", "rejected"} else None
                yield Delivery(d.recipient, d.stage, d.delivered, settled, notice[0] if notice else None)
            return
        own = self._session.profile.endpoint
        others = parse_json(stored.recipients) if stored.recipients is not None else []
        for other in others:
            if other != own:
                # What became of it elsewhere is between the sender and them.
                yield Delivery(other, "open", None, None, None)
        times = self._store.own_receipts(stored.payload)
        settled = times.get("accepted") or times.get("rejected")
        delivered = times.get("delivered")
        if delivered is None and stored.stage in _SIGNED_FOR:
            delivered = stored.time  # signed for before such times were kept
        yield Delivery(own, stored.stage.value, delivered, settled, None)

    def _withdrawn_at(self, stored: StoredMessage) -> int | None:
        purge = self._store.purge(stored.payload)
        moments = [purge.time] if purge is not None and purge.ground == "withdrawn" else []
        for later in self._store.successors(stored.payload):
            same = manifest_of(later).sender == manifest_of(stored).sender
            if same and manifest_of(later).type != "correction" and later.time is not None:
                moments.append(later.time)
        return min(moments, default=None)


_SIGNED_FOR = frozenset({MessageStage.DELIVERED, MessageStage.ACCEPTED, MessageStage.REJECTED})


@dataclass(frozen=True, slots=True)
class Proposed:
    """What the manifest of a message will say that is about to be sealed.

    Attributes:
        stage: of an answer.
        in_reply_to: payload hash.
        supersedes: payload hash.
        urgency: of the manifest.
        on_behalf_of: in whose name it is sent.
    """

    stage: str | None
    in_reply_to: bytes | None
    supersedes: bytes | None
    urgency: str
    on_behalf_of: str | None


def refused(reason: Reason, state: TraceState | None) -> PolicyError:
    """The error that a step would do nothing."""
    stands = f" (the trace is {state})" if state is not None else ""
    return PolicyError("trace_refused", f"{REASONS[reason]}{stands}", reason=reason.value)


def _latest(message: LoggedMessage) -> int:
    """A moment after all that is known of a message."""
    moments = [d.delivered_at or 0 for d in message.deliveries] + [
        d.settled_at or 0 for d in message.deliveries
    ]
    return max([message.time, *moments]) + 1
