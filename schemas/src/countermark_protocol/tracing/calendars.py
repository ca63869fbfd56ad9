"""Working days: by the weekend of the country that is asked, and by holidays that an agency gives in a file.

Days are those of UTC. The log knows no State's holidays, so an auditor counts by weekends alone unless it is given
the same file; a deadline is then at most a little stricter there than at home.

Source: Unicode CLDR, supplemental week data (weekendStart, weekendEnd; as in Babel 2.19); docs/spec/tracing.md §1.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.encoding import malformed

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
#: Larger files of holidays are no files of holidays.
MAX_HOLIDAYS: Final = 100_000

#: Of 1 January 1970, a Thursday, counted from Monday.
_FIRST_WEEKDAY: Final = 3
_THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 3, 4, 5, 6
_USUAL: Final = frozenset({_SATURDAY, _SUNDAY})
#: Countries whose weekend is not Saturday and Sunday.
_WEEKENDS: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "AF": frozenset({_THURSDAY, _FRIDAY}),
        "IR": frozenset({_FRIDAY}),
        "IN": frozenset({_SUNDAY}),
        "UG": frozenset({_SUNDAY}),
        **dict.fromkeys(
            ("BH", "DZ", "EG", "IL", "IQ", "JO", "KW", "LY", "OM", "QA", "SA", "SD", "SY", "YE"),
            frozenset({_FRIDAY, _SATURDAY}),
        ),
    }
)

#: Days off beside the weekend, by country (ISO 3166-1 alpha-2 in capitals).
Holidays = Mapping[str, frozenset[dt.date]]
NO_HOLIDAYS: Final[Holidays] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Calendar:
    """When an authority works.

    Attributes:
        weekend: days of the week off, 0 for Monday.
        holidays: further days off.
    """

    weekend: frozenset[int] = _USUAL
    holidays: frozenset[dt.date] = frozenset()

    def works(self, day: int) -> bool:
        """Whether a day is a working day; counted from 1 January 1970."""
        if (day + _FIRST_WEEKDAY) % 7 in self.weekend:
            return False
        return not self.holidays or dt.date(1970, 1, 1) + dt.timedelta(days=day) not in self.holidays


def country_of(authority: str) -> str | None:
    """The country of an address or authority code, ISO 3166-1 alpha-2 in capitals; None for organisations."""
    code = authority.partition(".")[0]
    return code.upper() if len(code) == 2 else None


def calendar_of(authority: str, holidays: Holidays = NO_HOLIDAYS) -> Calendar:
    """The calendar that a deadline in working days counts by.

    Args:
        authority: address or code of who must act; organisations rest on Saturday and Sunday.
        holidays: by country.
    """
    country = country_of(authority) or ""
    return Calendar(_WEEKENDS.get(country, _USUAL), holidays.get(country, frozenset()))


def after_working_days(moment: int, days: int, calendar: Calendar) -> int:
    """The same time of day so many working days later; from a day off they count from the next working day, 00:00.

    Args:
        moment: ms since 1970.
        days: zero or more.
        calendar: of who must act.
    """
    day, rest = divmod(moment, DAY)
    while not calendar.works(day):
        day, rest = day + 1, 0
    while days:
        day += 1
        days -= calendar.works(day)
    return day * DAY + rest


def parse_holidays(text: str) -> Holidays:
    """Read a file of holidays: CSV with the columns ``country`` and ``date``; other columns are for people.

    Args:
        text: e.g. ``country,date,name`` and then ``KE,2026-12-12,Jamhuri Day``.

    Raises:
        MalformedError: ``bad_holidays``, with the line.
    """
    rows = csv.DictReader(text.removeprefix("\ufeff").splitlines(), strict=True)
    found: dict[str, set[dt.date]] = {}
    countries = load_code_list(CodeListName.COUNTRY)
    try:
        if not {"country", "date"} <= set(rows.fieldnames or ()):
            malformed("bad_holidays", "expected CSV with the columns 'country' and 'date' in its first line")
        for row in rows:
            country, day = (row["country"] or "").strip(), (row["date"] or "").strip()
            if country not in countries:
                malformed(
                    "bad_holidays",
                    f"line {rows.line_num}: expected a country as ISO 3166-1 alpha-2 in capitals, e.g. KE",
                )
            found.setdefault(country, set()).add(_day(day, rows.line_num))
            if rows.line_num > MAX_HOLIDAYS:
                malformed("bad_holidays", f"expected at most {MAX_HOLIDAYS} lines")
    except csv.Error as error:
        malformed("bad_holidays", f"line {rows.line_num}: not CSV: {error}")
    return MappingProxyType({country: frozenset(days) for country, days in found.items()})


def _day(text: str, line: int) -> dt.date:
    try:
        if len(text) == 10:
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    malformed("bad_holidays", f"line {line}: expected a day as YYYY-MM-DD")
