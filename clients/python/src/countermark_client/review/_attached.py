"""What a mirror tells of attachments, by type of message: how many, and how large as sealed. Nobody's files are opened.

Numbers and sizes stand in every manifest. Never for third parties: a size is known to whoever sent or received it.

Source: docs/howto/review-a-log.md; docs/spec/messages.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_client._database import Database
from countermark_client.review._statistics import Population, of_messages


@dataclass(frozen=True, slots=True)
class Attached:
    """Attachments of messages of one type.

    Attributes:
        type: message type.
        messages: how many with attachments were logged in the period.
        attachments: of these.
        size: of all their sealed bytes.
        largest: sealed bytes of the attachments of one message, at most.
    """

    type: str
    messages: int
    attachments: int
    size: int
    largest: int


def attached(database: Database, population: Population) -> list[Attached]:
    """By type, of a population of messages."""
    where, values = of_messages(population)
    found = database.execute(
        "SELECT m.type, count(*), sum(m.attachments), sum(m.attached), max(m.attached) FROM messages m "  # noqa: S608  our own
        f"WHERE m.attachments > 0 AND {where} GROUP BY 1 ORDER BY 1",
        values,
    )
    return [Attached(*row) for row in found]


def total_of(parts: list[Attached], name: str) -> Attached:
    """All of them as one row."""
    return Attached(
        name,
        sum(one.messages for one in parts),
        sum(one.attachments for one in parts),
        sum(one.size for one in parts),
        max(one.largest for one in parts),
    )
