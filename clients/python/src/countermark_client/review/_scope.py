"""Which part of a mirror is looked at: real or drill traffic, a period, and one state of the file.

Everything counts by the times of leaves, in UTC; a period goes from its begin up to, and without, its end. No
function of this package asks a clock: the same mirror and the same question give the same answer.

Source: docs/howto/review-a-log.md; domain page 6.2 and 6.5.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from countermark_client._database import Database
from countermark_client.audit._mirror import Mirror
from countermark_protocol.encoding import malformed

#: Periods that have ended, as they are named on a day; the rest are names such as 2026, 2026-Q2 and 2026-05.
RELATIVE: Final = ("last-month", "last-quarter", "last-year")
_NAMED: Final = re.compile(r"([1-9][0-9]{3})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?")
_END: Final = 253_402_300_800_000
"""The year 10000, ms: no leaf is later."""


class Traffic(StrEnum):
    """Real or drill traffic: never both unasked."""

    REAL = "real"
    EXERCISE = "exercise"
    BOTH = "both"

    @property
    def condition(self) -> str:
        """In SQL, of a message `m`."""
        return {"real": "m.exercise = 0", "exercise": "m.exercise = 1", "both": "1"}[self.value]


@dataclass(frozen=True, slots=True)
class Period:
    """From when until when.

    Attributes:
        begin: ms since 1970, inclusive.
        end: ms since 1970, exclusive; None for what the mirror goes to.
        name: for people and file names.
    """

    begin: int
    end: int | None
    name: str


def everything() -> Period:
    """All that a mirror holds."""
    return Period(0, None, "all")


def period_between(begin: datetime | None, end: datetime | None) -> Period:
    """A period with any ends.

    Raises:
        MalformedError: ``bad_period``: it ends before it begins.
    """
    first, last = _ms(begin) if begin else 0, _ms(end) if end else None
    if last is not None and last <= first:
        malformed("bad_period", "expected a period that ends after it begins, got one that does not")
    name = f"{_day(begin) if begin else 'begin'}_{_day(end) if end else 'now'}"
    return everything() if begin is end is None else Period(first, last, name)


def parse_period(text: str, today: datetime) -> Period:
    """A period by its name: `RELATIVE`, or a year, quarter or month.

    Args:
        text: the name.
        today: for the relative ones; its name is then that of the year, quarter or month meant.

    Raises:
        MalformedError: ``bad_period``.
    """
    if text in RELATIVE:
        text = _before(text, today.astimezone(UTC))
    match = _NAMED.fullmatch(text)
    if match is None:
        malformed(
            "bad_period", f"expected {', '.join(RELATIVE)}, 2026, 2026-Q2 or 2026-05, got {text[:40]!r}"
        )
    year, quarter, month = int(match[1]), match[2], match[3]
    first = int(month) if month else 3 * int(quarter) - 2 if quarter else 1
    months = 1 if month else 3 if quarter else 12
    return Period(_ms(_month(year, first)), _ms(_month(year, first + months)), text)


def _before(text: str, today: datetime) -> str:
    if text == "last-year":
        return str(today.year - 1)
    if text == "last-quarter":
        number = 4 * today.year + (today.month - 1) // 3 - 1
        return f"{number // 4}-Q{number % 4 + 1}"
    number = 12 * today.year + today.month - 2
    return f"{number // 12}-{number % 12 + 1:02}"


def _month(year: int, month: int) -> datetime:
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def _day(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%d" if utc.hour == utc.minute == utc.second == 0 else "%Y-%m-%dT%H%M%SZ")


@contextlib.contextmanager
def one_state(mirror: Mirror) -> Iterator[Database]:
    """Read several things of one state of a mirror, while `sync` may write on.

    Raises:
        StorageError: ``storage_failed``.
    """
    database = mirror.database
    database.execute("BEGIN")
    try:
        yield database
    finally:
        database.roll_back()


def newest_time(database: Database) -> int | None:
    """Time of the newest leaf, ms; None in an empty mirror.

    Leaves are never younger than the look-up under which they were read, so this is when the mirror was last
    brought up to date, by the log's clock.
    """
    found = database.execute("SELECT time FROM leaves ORDER BY idx DESC LIMIT 1").fetchone()
    return None if found is None else int(found[0])


def stands_at(database: Database, period: Period) -> int:
    """Up to when things count, ms, exclusive: the period's end, or the newest leaf if that is earlier."""
    newest = newest_time(database)
    return min(period.end or _END, 0 if newest is None else newest + 1)
