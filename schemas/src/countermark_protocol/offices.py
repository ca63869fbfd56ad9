"""When an office is open, and who stands in for it: what an endpoint's record may say for senders.

Nothing here decides anything at the broker. A sender's client shows it, and writes to a stand-in only when told to.

Source: docs/spec/directory.md §2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.identifiers import Address, parse_address
from countermark_protocol.mandates import Term, read_term

MAX_ALTERNATES: Final = 64
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Alternate:
    """An endpoint of the same authority that stands in for another.

    Attributes:
        address: of the one that stands in.
        term: from when to when it is on duty; None for always. A duty roster is a list of these.
    """

    address: Address
    term: Term | None = None

    def to_json(self) -> JsonObject:
        """Its form in the record."""
        return {"address": self.address, **(self.term.to_json() if self.term is not None else {})}


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """When somebody is there.

    Attributes:
        zone: name in the IANA time zone database, e.g. ``Africa/Nairobi``; what it means is the reader's affair.
        days: of the week, ascending, 1 is Monday.
        opens: ``HH:MM`` of local time.
        closes: after `opens`, at most ``24:00``.
    """

    zone: str
    days: tuple[int, ...]
    opens: str
    closes: str

    def to_json(self) -> JsonObject:
        """Its form in the record."""
        return {"zone": self.zone, "days": list(self.days), "opens": self.opens, "closes": self.closes}

    def is_open(self, weekday: int, clock: str) -> bool:
        """Whether somebody is there.

        Args:
            weekday: of local time, 1 is Monday.
            clock: ``HH:MM`` of local time.
        """
        return weekday in self.days and self.opens <= clock < self.closes


def parse_alternate(value: Any, what: str) -> Alternate:
    """Parse one of an endpoint record's ``alternates``.

    Raises:
        MalformedError: anything but its one form.
    """
    claims = Claims(value, what)
    address = claims.parsed("address", parse_address)
    term = read_term(claims) if claims.has("since") or claims.has("until") else None
    claims.done()
    return Alternate(address, term)


def _day(value: Any, what: str) -> int:
    if type(value) is not int or not 1 <= value <= _WEEK:
        malformed("bad_member", f"{what}: expected days of the week, 1 (Monday) to 7")
    return value


def parse_office_hours(value: Any, what: str) -> OfficeHours:
    """Parse an endpoint record's ``office_hours``.

    Raises:
        MalformedError: anything but its one form.
    """
    claims = Claims(value, what)
    hours = OfficeHours(
        zone=claims.text("zone", 100),
        days=claims.list_of("days", _day, 1, _WEEK),
        opens=claims.text("opens", 5),
        closes=claims.text("closes", 5),
    )
    claims.done()
    if not _ZONE.fullmatch(hours.zone):
        claims.bad("zone", "a name of the IANA time zone database, such as Africa/Nairobi")
    if list(hours.days) != sorted(hours.days):
        claims.bad("days", "days in ascending order")
    for name, clock in (("opens", hours.opens), ("closes", hours.closes)):
        if not _CLOCK.fullmatch(clock):
            claims.bad(name, "a time of day as HH:MM")
    if hours.closes <= hours.opens:
        claims.bad("closes", "a time after 'opens'; who works through midnight states two days")
    return hours


def on_duty(alternates: tuple[Alternate, ...], time: int) -> tuple[Address, ...]:
    """Who stands in at a time (ms since 1970), in the order of the record."""
    found = [a.address for a in alternates if a.term is None or a.term.holds(time)]
    return tuple(dict.fromkeys(found))
