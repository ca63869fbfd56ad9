"""What a mirror counts: messages, deliveries, traces and outcomes, as tables of counts.

Every table is by two things of which each counted thing has exactly one, so that rows and columns add up. What is
counted, and when it belongs to a period:

=============  ====================================================================================
messages       logged in it
deliveries     a message and a recipient that is known; the message was logged in it
traces         a request and an endpoint asked; the request was logged in it, states as at its end
outcomes       items of final answers logged in it, but for those that a later one superseded
=============  ====================================================================================

Source: domain page 6.5; docs/howto/review-a-log.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_client._database import Database
from countermark_client.review._scope import Traffic
from countermark_client.review._suppression import Cross
from countermark_protocol.identifiers import authority_of
from countermark_protocol.tracing.calendars import MINUTE
from countermark_protocol.tracing.clock import Acknowledged, Clock, State


class Share(StrEnum):
    """Which messages are counted, seen from one State."""

    ALL = "all"
    OWN = "own"
    """Those that its authority's endpoints sent or received."""
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Population:
    """What is counted.

    Attributes:
        traffic: real or drill.
        begin: ms, inclusive.
        end: ms, exclusive: nothing logged from then on counts.
        share: whose.
        authority: of `share`; unused for all.
    """

    traffic: Traffic
    begin: int
    end: int
    share: Share = Share.ALL
    authority: str = ""

    def includes(self, sender: str, recipient: str) -> bool:
        """Whether a delivery from one authority to another is counted."""
        own = self.authority in {sender, recipient}
        return self.share is Share.ALL or own is (self.share is Share.OWN)


@dataclass(frozen=True, slots=True)
class Times:
    """Times of one group, in minutes, rounded down; by nearest rank.

    Attributes:
        group: its name.
        count: of what was timed.
        p50, p90, p95: at most so long took that share of it, per cent.
    """

    group: str
    count: int
    p50: int
    p90: int
    p95: int


#: The group of all; no country's code has three letters.
ALL: Final = "all"
_STATUS: Final = ("accepted", "rejected", "delivered", "undelivered", "open")
_OUTCOMES: Final = ("success", "partial", "none", "refused")
_PARTY: Final = "(m.authority = ? OR m.payload IN (SELECT message FROM deliveries WHERE authority = ?))"
_MONTH: Final = "strftime('%Y-%m', m.time / 1000, 'unixepoch')"
# As it stood at a time: what a receipt or notice did later is left out.
_STANDS: Final = """CASE WHEN d.settled_at < ? THEN d.stage WHEN d.delivered_at < ? THEN 'delivered'
  WHEN d.undelivered_at < ? THEN 'undelivered' ELSE 'open' END"""


def of_messages(population: Population) -> tuple[str, list[Any]]:
    """The condition on messages `m`."""
    part = {Share.ALL: "1", Share.OWN: _PARTY, Share.OTHERS: f"NOT {_PARTY}"}[population.share]
    condition = f"m.time >= ? AND m.time < ? AND {population.traffic.condition} AND {part}"
    values: list[Any] = [population.begin, population.end]
    return condition, values + [population.authority] * part.count("?")


def _deliveries(population: Population) -> tuple[str, list[Any]]:
    """The condition on deliveries `d` of messages `m`."""
    own = "(m.authority = ? OR d.authority = ?)"
    part = {Share.ALL: "1", Share.OWN: own, Share.OTHERS: f"NOT {own}"}[population.share]
    condition = f"m.time >= ? AND m.time < ? AND {population.traffic.condition} AND {part}"
    values: list[Any] = [population.begin, population.end]
    return condition, values + [population.authority] * part.count("?")


def cross_of(
    name: str,
    title: str,
    row: str,
    unit: str,
    counts: Mapping[tuple[str, str], int],
    columns: Iterable[str] = (),
) -> Cross:
    """A table from counts by (row, column); columns in the order given, or by name."""
    rows = tuple(sorted({r for r, _ in counts}))
    names = tuple(columns) or tuple(sorted({c for _, c in counts}))
    cells = tuple(tuple(counts.get((r, c), 0) for c in names) for r in rows)
    return Cross(name, title, row, unit, names, rows, cells)


def volume(database: Database, population: Population) -> list[Cross]:
    """Messages by type, by month and by country of the sender."""
    where, values = of_messages(population)
    out = []
    for name, row, column, title in (
        ("messages_by_month", "month", _MONTH, "Messages by month and type"),
        ("messages_by_sender", "country", "m.authority", "Messages by country of the sender and type"),
    ):
        found = database.execute(
            f"SELECT {column}, m.type, count(*) FROM messages m WHERE {where} GROUP BY 1, 2",  # noqa: S608  our own
            values,
        )
        out.append(cross_of(name, title, row, "messages", {(r, c): n for r, c, n in found}))
    return out


def deliveries(database: Database, population: Population) -> list[Cross]:
    """How far messages came, by country of the recipient; and why they were rejected."""
    where, values = _deliveries(population)
    end = population.end
    stands = list(
        database.execute(
            f"SELECT d.authority, {_STANDS}, coalesce(d.reason, ''), count(*) FROM deliveries d "  # noqa: S608  our own
            f"JOIN messages m ON m.payload = d.message WHERE {where} GROUP BY 1, 2, 3",
            [end, end, end, *values],
        )
    )
    status: Counter[tuple[str, str]] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for authority, state, reason, count in stands:
        status[authority, state] += count
        if state == "rejected":
            reasons[reason, "rejected"] += count
    return [
        cross_of(
            "deliveries", "Deliveries by country of the recipient", "country", "deliveries", status, _STATUS
        ),
        cross_of("rejections", "Rejections by reason", "reason", "rejections", reasons, ("rejected",)),
    ]


def delivery_times(database: Database, population: Population) -> list[Times]:
    """From a message's leaf to its recipient's receipt `delivered`, by country of the recipient."""
    where, values = _deliveries(population)
    found = database.execute(
        "SELECT d.authority, d.delivered_at - m.time FROM deliveries d JOIN messages m ON m.payload = d.message "  # noqa: S608  our own
        f"WHERE d.delivered_at < ? AND {where}",
        [population.end, *values],
    )
    return _times(found)


def pairs(database: Database, population: Population) -> Cross:
    """Deliveries from country to country: for those two and the secretariat alone (domain page 6.5)."""
    where, values = _deliveries(population)
    found = database.execute(
        "SELECT m.authority, d.authority, count(*) FROM deliveries d JOIN messages m ON m.payload = d.message "  # noqa: S608  our own
        f"WHERE {where} GROUP BY 1, 2",
        values,
    )
    counts = {(sender, recipient): count for sender, recipient, count in found}
    return cross_of("pairs", "Deliveries from country to country", "sender", "deliveries", counts)


def traces(clocks: Iterable[Clock], population: Population) -> list[Cross]:
    """Where the traces of a period stand at its end, by country asked; and whether they were acknowledged."""
    states: Counter[tuple[str, str]] = Counter()
    acknowledged: Counter[tuple[str, str]] = Counter()
    for clock in counted(clocks, population):
        if clock.asked_at >= population.begin:
            states[authority_of(clock.requested), clock.state.value] += 1
            acknowledged[clock.urgency, clock.acknowledged.value] += 1
    return [
        cross_of("traces", "Traces by country asked", "country", "traces", states, (s.value for s in State)),
        cross_of(
            "acknowledgements",
            "Acknowledgements of traces by urgency",
            "urgency",
            "traces",
            acknowledged,
            (a.value for a in Acknowledged),
        ),
    ]


def response_times(clocks: Iterable[Clock], population: Population) -> list[Times]:
    """Of final answers given in the period, without the time that the clock stood, by country that answered."""
    return _times(
        (authority_of(clock.requested), clock.response)
        for clock in counted(clocks, population)
        if clock.answered_at is not None
        and clock.answered_at >= population.begin
        and clock.response is not None
    )


def overdue(clocks: Iterable[Clock], population: Population) -> list[Clock]:
    """Traces of whatever age that are overdue at the end of the period, longest first."""
    found = [c for c in counted(clocks, population) if c.state is State.OVERDUE]
    return sorted(found, key=lambda c: (c.due_at or 0, c.index, c.requested))


def counted(clocks: Iterable[Clock], population: Population) -> list[Clock]:
    """The clocks of a population, of whatever age."""
    return [c for c in clocks if population.includes(authority_of(c.requester), authority_of(c.requested))]


def outcomes(database: Database, population: Population) -> Cross:
    """Items of final answers by class, by country that answered."""
    where, values = of_messages(population)
    sums = ", ".join(f"sum(m.{name})" for name in _OUTCOMES)
    found = database.execute(
        f"SELECT m.authority, {sums} FROM messages m WHERE m.stage = 'final' AND {where} "  # noqa: S608  our own
        "AND m.type = 'tracing-response' "
        "AND m.payload NOT IN (SELECT supersedes FROM messages WHERE supersedes IS NOT NULL "
        "AND type <> 'correction' AND time < ?) GROUP BY 1",
        [*values, population.end],
    )
    counts = {
        (authority, name): count
        for authority, *numbers in found
        for name, count in zip(_OUTCOMES, numbers, strict=True)
    }
    return cross_of("outcomes", "Outcomes by country that answered", "country", "items", counts, _OUTCOMES)


def _times(durations: Iterable[tuple[Any, ...]]) -> list[Times]:
    """By group, and of all of them first, of (group, ms)."""
    groups: dict[str, list[int]] = {}
    for group, duration in durations:
        groups.setdefault(ALL, []).append(duration)
        groups.setdefault(group, []).append(duration)
    out = []
    for group, values in sorted(groups.items(), key=lambda item: (item[0] != ALL, item[0])):
        values.sort()
        ranks = (values[-(-len(values) * share // 100) - 1] // MINUTE for share in (50, 90, 95))
        out.append(Times(group, len(values), *ranks))
    return out
