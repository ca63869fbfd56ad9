"""Tables as they are shown, exported and drawn: plain rows of texts and whole numbers.

Source: docs/howto/review-a-log.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from countermark_client.review._attached import Attached
from countermark_client.review._attached import total_of as all_attached
from countermark_client.review._multicasts import Multicasts, total_of
from countermark_client.review._statistics import Times
from countermark_client.review._suppression import Cross, protect, shown
from countermark_client.review._verdicts import RevokedKey
from countermark_protocol.tracing.calendars import DAY, HOUR, MINUTE
from countermark_protocol.tracing.clock import Clock

TOTAL: Final = "total"
Value = str | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: for files: lower case and underscores.
        title: for people.
        unit: of its numbers.
        keys: how many of the first columns hold texts; the rest hold whole numbers.
        columns: their names.
        rows: in order. None for a number that is not shown, or that there is none.
        suppressed: (row, column) of numbers that are not shown.
        note: what a reader must know, or nothing.
    """

    name: str
    title: str
    unit: str
    keys: int
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    suppressed: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "suppressed": [list(cell) for cell in sorted(self.suppressed)],
            "note": self.note,
        }


def of_cross(cross: Cross, threshold: int | None, suffix: str = "", more: str = "") -> Table:
    """A table of counts with totals.

    Args:
        cross: the counts.
        threshold: of small cells, where third parties see it; None to show everything.
        suffix: of the name.
        more: of the title.
    """
    name, title, note = cross.name + suffix, cross.title + more, ""
    grid: Sequence[Sequence[int | None]] = cross.with_totals()
    hidden: frozenset[tuple[int, int]] = frozenset()
    columns, rows = cross.columns, cross.rows
    if threshold is not None:
        protected = protect(cross, threshold)
        if protected is None:
            note = f"withheld: fewer than {threshold} {cross.unit} in all"
            return Table(name, title, cross.unit, 1, (cross.row, *columns, TOTAL), (), note=note)
        table, cells = protected
        columns = table.columns
        grid = shown(table.with_totals(), cells)
        hidden = frozenset((row, column + 1) for row, column in cells)
        note = (
            f"{len(hidden)} numbers are not shown: small ones, and others that would give them away"
            if hidden
            else ""
        )
    out = tuple((key, *counts) for key, counts in zip((*rows, TOTAL), grid, strict=True)) if rows else ()
    return Table(name, title, cross.unit, 1, (cross.row, *columns, TOTAL), out, hidden, note)


def of_times(
    name: str, title: str, times: Sequence[Times], *, without: frozenset[str] | None = None
) -> Table:
    """A table of times.

    Args:
        name: of the table.
        title: for people.
        times: by group.
        without: where third parties see it, groups left out; how many each has is then left out too.
    """
    if without is None:
        columns: tuple[str, ...] = ("country", "count", "p50", "p90", "p95")
        rows: tuple[tuple[Value, ...], ...] = tuple((t.group, t.count, t.p50, t.p90, t.p95) for t in times)
        note = ""
    else:
        columns = ("country", "p50", "p90", "p95")
        rows = tuple((t.group, t.p50, t.p90, t.p95) for t in times if t.group not in without)
        note = "countries with few, or with numbers that are not shown, are left out"
    return Table(name, title, "minutes", 1, columns, rows, note=note)


def of_multicasts(found: list[Multicasts], suffix: str = "", more: str = "") -> Table:
    """The table of messages to several recipients, by type; never for third parties."""
    columns = (
        "type",
        "messages",
        "recipients",
        "known",
        "collected",
        "late",
        "undelivered",
        "open",
        "collected_percent",
        "late_percent",
    )
    rows = tuple(
        (
            one.type,
            one.messages,
            one.recipients,
            one.known,
            one.collected,
            one.late,
            one.undelivered,
            one.open,
            one.collected_percent,
            one.late_percent,
        )
        for one in ([*found, total_of(found, TOTAL)] if found else [])
    )
    title = f"Messages to several recipients, by type{more}"
    return Table(f"multicasts{suffix}", title, "deliveries", 1, columns, rows)


def of_attached(found: list[Attached], suffix: str = "", more: str = "") -> Table:
    """The table of attachments, by type; never for third parties."""
    columns = ("type", "messages", "attachments", "bytes", "largest")
    rows = tuple(
        (one.type, one.messages, one.attachments, one.size, one.largest)
        for one in ([*found, all_attached(found, TOTAL)] if found else [])
    )
    return Table(f"attachments{suffix}", f"Attachments, by type{more}", "sealed bytes", 1, columns, rows)


def of_overdue(clocks: Sequence[Clock], suffix: str = "", more: str = "") -> Table:
    """The list of overdue traces: single cases, never for third parties."""
    columns = (
        "request",
        "requester",
        "requested",
        "urgency",
        "asked",
        "due",
        "minutes_over",
        "minutes_paused",
    )
    rows = tuple(
        (
            c.request.hex(),
            c.requester,
            c.requested,
            c.urgency,
            iso(c.asked_at),
            iso(c.due_at or 0),
            (c.at - (c.due_at or 0)) // MINUTE,
            c.paused // MINUTE,
        )
        for c in clocks
    )
    return Table(f"overdue{suffix}", f"Overdue traces{more}", "minutes", 6, columns, rows)


def of_revoked(keys: Sequence[RevokedKey], suffix: str = "", more: str = "") -> Table:
    """The list of revoked keys: single cases, never for third parties.

    A date of compromise before the revocation was logged is visible as such: both stand there, and the minutes between.
    """
    columns = (
        "key",
        "named_by",
        "ground",
        "logged",
        "compromised",
        "entry",
        "minutes_back",
        "signed",
        "in_doubt",
    )
    rows = tuple(
        (
            k.key_id.hex(),
            k.subject,
            k.revoked.ground.value,
            iso(k.revoked.time),
            iso(k.revoked.compromised_at) if k.revoked.compromised_at is not None else "",
            k.revoked.index,
            k.revoked.reaches_back // MINUTE,
            k.signed,
            k.in_doubt,
        )
        for k in keys
    )
    return Table(
        f"revoked_keys{suffix}", f"Revoked keys, and what they had signed{more}", "messages", 5, columns, rows
    )


def iso(moment: int) -> str:
    """A time as ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(moment // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(milliseconds: int) -> str:
    """How long, for people: the two largest units."""
    days, rest = divmod(milliseconds, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes = rest // MINUTE
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
