"""What a mirror tells of messages to several recipients, by type: how many, to how many, and who collected them.

An oversight auditor knows every recipient, a national one those that the boxes of its State show; how many there are
stands in every manifest. Never for third parties: beside the tables of all messages these would give away the few that
went to one recipient.

Source: docs/howto/review-a-log.md; docs/spec/messages.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_client._database import Database
from countermark_client.review._statistics import Population, of_messages


@dataclass(frozen=True, slots=True)
class Multicasts:
    """Messages of one type to more than one recipient.

    Attributes:
        type: message type.
        messages: how many were logged in the period.
        recipients: of them, by their manifests.
        known: of the recipients, those that the mirror knows.
        collected: of the known, those that had signed for it at the period's end.
        late: of the collected, those that signed for it after it had expired.
        undelivered: of the known, not collected and noticed as undelivered by then.
    """

    type: str
    messages: int
    recipients: int
    known: int
    collected: int
    late: int
    undelivered: int

    @property
    def open(self) -> int:
        """Of the known, neither collected nor noticed."""
        return self.known - self.collected - self.undelivered

    @property
    def collected_percent(self) -> int | None:
        """Share of the known that collected it, rounded down; None if none is known."""
        return 100 * self.collected // self.known if self.known else None

    @property
    def late_percent(self) -> int | None:
        """Share of the collected that did so late, rounded down; None if nobody collected it."""
        return 100 * self.late // self.collected if self.collected else None


def multicasts(database: Database, population: Population) -> list[Multicasts]:
    """By type, of a population of messages; deliveries stand as at the period's end."""
    where, values = of_messages(population)
    end = population.end
    found = database.execute(
        "WITH chosen AS (SELECT m.payload, m.type, m.recipients, m.expires_at FROM messages m "  # noqa: S608  our own
        f"WHERE m.recipients > 1 AND {where}), far AS (SELECT d.message, count(*) known, "
        "sum(coalesce(d.delivered_at < ?, 0)) collected, "
        "sum(coalesce(d.delivered_at < ? AND d.delivered_at > c.expires_at, 0)) late, "
        "sum(coalesce(d.delivered_at >= ?, 1) AND coalesce(d.undelivered_at < ?, 0)) undelivered "
        "FROM chosen c JOIN deliveries d ON d.message = c.payload GROUP BY 1) "
        "SELECT c.type, count(*), sum(c.recipients), coalesce(sum(far.known), 0), "
        "coalesce(sum(far.collected), 0), coalesce(sum(far.late), 0), coalesce(sum(far.undelivered), 0) "
        "FROM chosen c LEFT JOIN far ON far.message = c.payload GROUP BY 1 ORDER BY 1",
        [*values, end, end, end, end],
    )
    return [Multicasts(*row) for row in found]


def total_of(parts: list[Multicasts], name: str) -> Multicasts:
    """All of them as one row."""
    sums = (
        sum(getattr(one, member) for one in parts)
        for member in ("messages", "recipients", "known", "collected", "late", "undelivered")
    )
    return Multicasts(name, *sums)
