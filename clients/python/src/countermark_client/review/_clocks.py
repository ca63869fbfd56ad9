"""The clocks of traces, read from a mirror: what the log and its manifests say, content is never needed.

Source: docs/spec/tracing.md §2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from countermark_client._database import Database
from countermark_client.review._scope import Traffic
from countermark_protocol.documents import parse_document
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays
from countermark_protocol.tracing.clock import Clock, Delivery, LoggedMessage, clocks_of
from countermark_protocol.tracing.deadlines import REQUEST

_MESSAGES = """
SELECT m.conversation, m.payload, m.idx, m.time, m.sender, m.type, m.stage, m.in_reply_to, m.supersedes, m.reply_by,
  m.urgency, CASE WHEN m.purge_ground = 'withdrawn' THEN m.purged_at END,
  CASE WHEN m.stage IS NOT NULL AND NOT EXISTS (SELECT 1 FROM messages r JOIN deliveries d ON d.message = r.payload
    WHERE r.conversation = m.conversation AND d.recipient = m.sender)
  THEN (SELECT document FROM entries e WHERE e.idx = m.idx) END
FROM messages m WHERE {where} ORDER BY m.conversation, m.idx"""
_SUPERSEDED = (
    # What is corrected still stands.
    "SELECT supersedes, min(time) FROM messages WHERE supersedes IS NOT NULL AND type <> 'correction' "
    "GROUP BY supersedes"
)
_DELIVERIES = """
SELECT d.message, d.recipient, d.stage, d.delivered_at, d.settled_at, d.undelivered_at
FROM deliveries d JOIN messages m ON m.payload = d.message WHERE {where} ORDER BY d.message, d.recipient"""
_TRACES = "m.time < ? AND {traffic} AND m.conversation IN (SELECT conversation FROM messages WHERE type = ?)"


def read_conversations(
    database: Database, where: str, values: Sequence[Any]
) -> Iterator[list[LoggedMessage]]:
    """The messages of conversations, one conversation after the other.

    Args:
        database: of the mirror.
        where: condition in SQL on messages `m`; it must take whole conversations.
        values: for it.
    """
    recipients: dict[bytes, list[Delivery]] = {}
    for message, *rest in database.execute(_DELIVERIES.format(where=where), values):
        recipients.setdefault(message, []).append(Delivery(*rest))
    superseded: dict[bytes, int] = dict(database.execute(_SUPERSEDED))
    rows = database.execute(_MESSAGES.format(where=where), values)
    for _, group in groupby(rows, key=lambda row: row[0]):
        sent = [
            LoggedMessage(*(*row[:-1], tuple(recipients.get(row[1], ())), _on_behalf_of(row[-1])))
            for row in group
        ]
        yield [
            replace(
                one, withdrawn_at=min(superseded[one.payload], one.withdrawn_at or superseded[one.payload])
            )
            if one.payload in superseded
            else one
            for one in sent
        ]


def _on_behalf_of(document: bytes | None) -> str | None:
    """In whose name an answer by somebody who was not asked was sent; the mirror has no column for it."""
    return parse_manifest(parse_document(document).claims).on_behalf_of if document is not None else None


def read_clocks(
    database: Database, traffic: Traffic, at: int, holidays: Holidays = NO_HOLIDAYS
) -> list[Clock]:
    """Every clock of a mirror as it stood at a time, by the log's order of requests."""
    where = _TRACES.format(traffic=traffic.condition)
    found = [
        c
        for sent in read_conversations(database, where, (at, REQUEST))
        for c in clocks_of(sent, at, holidays)
    ]
    return sorted(found, key=lambda c: (c.index, c.requested))
