"""The life of a conversation: everything the log holds about it, in log order, and the clocks that run beside it.

Messages, receipts (each with the messages of this conversation that it moves), undelivered notices, purges and
disclosures. Receipts are found through the rows that they moved: a receipt that moves nothing is not logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark_client._database import Database
from countermark_client._verdict_words import verdict_json
from countermark_client.review._clocks import read_conversations
from countermark_client.review._scope import newest_time
from countermark_client.review._verdicts import directory_before, verdict_in
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.tracing.clock import Clock, clocks_of
from countermark_protocol.verdicts import SignatureVerdict


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the log holds.

    Attributes:
        index: in the log.
        time: of its leaf, ms.
        kind: of the statement.
        author: address.
        messages: of the conversation that it is, or is about: payload hashes.
        facts: what else is to be said, by names of the mirror's columns.
        verdict: of a message: on its signatures, as the mirror stands; None where it does not hold them.
    """

    index: int
    time: int
    kind: str
    author: str
    messages: tuple[bytes, ...]
    facts: dict[str, Any]
    verdict: SignatureVerdict | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "index": self.index,
            "time": self.time,
            "kind": self.kind,
            "author": self.author,
            "messages": [m.hex() for m in self.messages],
            **self.facts,
            **({"verdict": verdict_json(self.verdict)} if self.verdict is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """A conversation.

    Attributes:
        conversation: payload hash of its first message.
        exercise: drill traffic.
        at: as of when, ms: behind the mirror's newest leaf.
        events: by index.
        clocks: of its traces.
    """

    conversation: bytes
    exercise: bool
    at: int
    events: tuple[Event, ...]
    clocks: tuple[Clock, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "conversation": self.conversation.hex(),
            "exercise": self.exercise,
            "at": self.at,
            "events": [e.to_json() for e in self.events],
            "clocks": [c.to_json() for c in self.clocks],
        }


_MESSAGES = """
SELECT m.idx, m.time, m.sender, m.payload, m.type, m.version, m.stage, m.success, m.partial, m.none, m.refused,
  m.urgency, m.sent_at, m.expires_at, m.reply_by, m.in_reply_to, m.supersedes, m.recipients, m.tlp, m.classification,
  m.exercise, e.document
FROM messages m LEFT JOIN entries e USING (idx) WHERE m.conversation = ? ORDER BY m.idx"""
_RECIPIENTS = """
SELECT d.message, d.recipient FROM deliveries d JOIN messages m ON m.payload = d.message WHERE m.conversation = ?
ORDER BY m.idx, d.recipient"""
# The receipts of a recipient lie between its message and the one that set its stage, at the times that the row keeps.
_RECEIPTS = """
SELECT DISTINCT e.idx, e.time, e.author, e.document
FROM messages m JOIN deliveries d ON d.message = m.payload
  JOIN entries e ON e.author = d.recipient AND e.idx > m.idx AND e.idx <= d.stage_idx AND e.kind = 'receipt'
    AND e.time IN (d.delivered_at, d.settled_at)
WHERE m.conversation = ? ORDER BY e.idx"""
_UNDELIVERED = """
SELECT d.undelivered_idx, d.undelivered_at, e.author, d.message, d.recipient
FROM messages m JOIN deliveries d ON d.message = m.payload LEFT JOIN entries e ON e.idx = d.undelivered_idx
WHERE m.conversation = ? AND d.undelivered_idx IS NOT NULL"""
_ACTS = """
SELECT a.idx, a.time, a.kind, a.author, a.message, a.ground, a.shown_to, a.parts, a.disclosed
FROM messages m JOIN acts a ON a.message = m.payload WHERE m.conversation = ?"""


def timeline(database: Database, conversation: bytes) -> Timeline:
    """Everything about a conversation.

    Args:
        database: of the mirror.
        conversation: payload hash of its first message.

    Raises:
        StorageError: ``storage_failed``.
    """
    newest = newest_time(database)
    at = 0 if newest is None else newest + 1
    events, exercise = _messages(database, conversation, directory_before(database, at))
    known = {message for event in events for message in event.messages}
    for index, time, author, document in database.execute(_RECEIPTS, (conversation,)):
        claims = parse_document(document).claims
        items = {bytes.fromhex(item["message"]): item for item in claims["items"]}
        about = tuple(m for m in items if m in known)
        if about:  # at one moment a recipient may have settled messages of several conversations
            reasons = [items[m]["reason"] for m in about if "reason" in items[m]]
            facts = {"stage": claims["stage"], **({"reason": reasons[0]} if reasons else {})}
            events.append(Event(index, time, "receipt", author, about, facts))
    for index, time, author, message, recipient in database.execute(_UNDELIVERED, (conversation,)):
        events.append(Event(index, time, "undelivered", author or "", (message,), {"recipient": recipient}))
    for index, time, kind, author, message, ground, *shown in database.execute(_ACTS, (conversation,)):
        facts = {"ground": ground}
        if kind == "disclosure":
            facts |= dict(zip(("to", "parts", "disclosed"), shown, strict=True))
        events.append(Event(index, time, kind, author, (message,), facts))
    clocks = [
        clock
        for sent in read_conversations(database, "m.conversation = ?", (conversation,))
        for clock in clocks_of(sent, at)
    ]
    return Timeline(conversation, exercise, at, tuple(sorted(events, key=lambda e: e.index)), tuple(clocks))


def _messages(database: Database, conversation: bytes, directory: Directory) -> tuple[list[Event], bool]:
    to: dict[bytes, list[str]] = {}
    for message, recipient in database.execute(_RECIPIENTS, (conversation,)):
        to.setdefault(message, []).append(recipient)
    events, exercise = [], False
    for row in database.execute(_MESSAGES, (conversation,)):
        index, time, sender, payload, type_, version, stage, *rest = row
        success, partial, none, refused, urgency, sent_at, expires_at, reply_by, reply, supersedes, *last = (
            rest
        )
        recipients, tlp, classification, drill, document = last
        exercise = exercise or bool(drill)
        verdict = verdict_in(directory, document, index, time)
        facts: dict[str, Any] = {
            "type": type_,
            "version": version,
            "stage": stage,
            "outcome": None
            if stage is None
            else {"success": success, "partial": partial, "none": none, "refused": refused},
            "urgency": urgency,
            "sent_at": sent_at,
            "expires_at": expires_at,
            "reply_by": reply_by,
            "in_reply_to": reply.hex() if reply is not None else None,
            "supersedes": supersedes.hex() if supersedes is not None else None,
            "recipients": recipients,
            "to": to.get(payload, []),
            "tlp": tlp,
            "classification": classification,
        }
        events.append(Event(index, time, "message", sender, (payload,), facts, verdict))
    return events, exercise
