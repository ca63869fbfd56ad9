"""The report on a period: all statistics of a mirror, as one audience may see them.

Three audiences. The *auditor* sees everything. The *public* sees tables without small cells, without single cases and
without countries side by side. A *State* sees all of what its own endpoints sent or received, which it knows, and of
the messages among others what the public may see; counted apart, so that it cannot subtract what it knows.

Source: docs/howto/review-a-log.md; domain page 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_client._database import Database
from countermark_client.audit._mirror import Mirror
from countermark_client.review import _statistics as statistics
from countermark_client.review._attached import attached
from countermark_client.review._clocks import read_clocks
from countermark_client.review._multicasts import multicasts
from countermark_client.review._scope import Period, Traffic, newest_time, one_state, stands_at
from countermark_client.review._statistics import Population, Share
from countermark_client.review._suppression import LEAST, OTHER, THRESHOLD, Cross
from countermark_client.review._tables import (
    TOTAL,
    Table,
    of_attached,
    of_cross,
    of_multicasts,
    of_overdue,
    of_revoked,
    of_times,
)
from countermark_client.review._verdicts import directory_before, signatures
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.identifiers import parse_authority_code
from countermark_protocol.tracing.clock import Clock

AUDITOR: Final = "auditor"
PUBLIC: Final = "public"


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        name: of its period, traffic and audience: for files, the same for the same question.
        head: what it is of; texts, numbers, booleans.
        tables: in the order they are told.
    """

    name: str
    head: dict[str, Any]
    tables: tuple[Table, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and files."""
        return {**self.head, "tables": [table.to_json() for table in self.tables]}


def make_report(
    mirror: Mirror,
    period: Period,
    traffic: Traffic,
    *,
    audience: str = AUDITOR,
    threshold: int = THRESHOLD,
    partial: bool = False,
) -> Report:
    """Make a report of one state of a mirror.

    Args:
        mirror: whose.
        period: of what is counted.
        traffic: real or drill.
        audience: `AUDITOR`, `PUBLIC`, or a State's or organisation's code.
        threshold: of small cells, for third parties; at least `LEAST`.
        partial: make it too if the mirror ends before the period does.

    Raises:
        StorageError: ``storage_failed``, ``not_a_mirror``.
        MalformedError: ``bad_audience``, ``small_threshold``.
        NotFoundError: ``period_not_covered``: the mirror ends before the period does.
    """
    if threshold < LEAST:
        malformed(
            "small_threshold", f"expected at least {LEAST}, got {threshold}: smaller counts tell of persons"
        )
    _check_audience(audience)
    with one_state(mirror) as database:
        newest = newest_time(database)
        covers = period.end is None or (newest is not None and newest >= period.end)
        if not covers and not partial:
            raise NotFoundError(
                "period_not_covered",
                "the mirror ends before the period does: nothing is known of what came later",
            )
        at = stands_at(database, period)
        clocks, directory = read_clocks(database, traffic, at), directory_before(database, at)
        parts: tuple[tuple[Share, int | None], ...] = ((Share.ALL, None),)
        if audience == PUBLIC:
            parts = ((Share.ALL, threshold),)
        elif audience != AUDITOR:
            parts = ((Share.OWN, None), (Share.OTHERS, threshold))
        tables = [
            table
            for share, small in parts
            for table in _part(
                database, clocks, directory, Population(traffic, period.begin, at, share, audience), small
            )
        ]
        head = _head(mirror, period, traffic, at, newest, covers=covers)
    suppression = None if audience == AUDITOR else threshold
    name = f"{period.name}-{traffic.value}-{audience}"
    return Report(name, {**head, "audience": audience, "threshold": suppression}, tuple(tables))


def _check_audience(audience: str) -> None:
    if audience in {AUDITOR, PUBLIC}:
        return
    try:
        parse_authority_code(audience)
    except MalformedError:
        malformed(
            "bad_audience",
            f"expected {AUDITOR}, {PUBLIC} or an authority's code such as ke, got {audience[:40]!r}",
        )


def _head(
    mirror: Mirror, period: Period, traffic: Traffic, at: int, newest: int | None, *, covers: bool
) -> dict[str, Any]:
    database = mirror.database
    [size] = database.execute("SELECT count(*) FROM leaves").fetchone()
    [findings] = database.execute("SELECT count(*) FROM findings WHERE settled IS NULL").fetchone()
    return {
        "log": mirror.text("log"),
        "auditor": mirror.text("auditor"),
        "scope": mirror.text("scope"),
        "period": period.name,
        "begin": period.begin,
        "end": at,
        "complete": covers,
        "traffic": traffic.value,
        "mirrored": size,
        "verified": mirror.meta_number("verified"),
        "newest": newest,
        "open_findings": findings,
    }


def _part(
    database: Database,
    clocks: list[Clock],
    directory: Directory,
    population: Population,
    threshold: int | None,
) -> list[Table]:
    """The tables on one share of the messages."""
    suffix, more = "", ""
    if population.share is Share.OWN:
        suffix, more = "_own", f": of and to {population.authority}"
    elif population.share is Share.OTHERS:
        suffix, more = "_others", f": among others than {population.authority}"

    def cross(counts: Cross) -> Table:
        return of_cross(counts, threshold, suffix, more)

    deliveries, rejections = statistics.deliveries(database, population)
    traces, acknowledgements = statistics.traces(clocks, population)
    shown_deliveries, shown_traces = cross(deliveries), cross(traces)
    tables = [*map(cross, statistics.volume(database, population)), shown_deliveries]
    if threshold is None or "rejected" in shown_deliveries.columns:
        # Else its total, taken from that of `other`, would give away what was put together with it.
        tables.append(cross(rejections))
    for name, title, times, table in (
        ("delivery_times", "Time until delivered, by country", "deliveries", shown_deliveries),
        ("response_times", "Time until answered, less pauses, by country", "traces", shown_traces),
    ):
        found = (
            statistics.delivery_times(database, population)
            if times == "deliveries"
            else statistics.response_times(clocks, population)
        )
        left_out = None
        if threshold is not None:
            left_out = frozenset(t.group for t in found if t.count < threshold) | _not_whole(table)
            if not table.rows:
                left_out |= frozenset(t.group for t in found) - {statistics.ALL}
        tables.append(of_times(name + suffix, title + more, found, without=left_out))
    verdicts, revoked = signatures(database, population, directory)
    tables.append(cross(verdicts))
    tables += [shown_traces, cross(acknowledgements), cross(statistics.outcomes(database, population))]
    if threshold is None:
        tables.append(cross(statistics.pairs(database, population)))
        tables.append(of_multicasts(multicasts(database, population), suffix, more))
        tables.append(of_attached(attached(database, population), suffix, more))
        tables.append(of_overdue(statistics.overdue(clocks, population), suffix, more))
        tables.append(of_revoked(revoked, suffix, more))
    return tables


def _not_whole(table: Table) -> frozenset[str]:
    """The rows of which a number is not shown."""
    return frozenset(str(table.rows[row][0]) for row, _ in table.suppressed) - {TOTAL, OTHER}
