"""How long an authority has: the default deadlines of a trace, from its delivery on.

Working days are Monday to Friday in UTC: the log knows no State's holidays, so a deadline in working days may be a
little stricter here than at home. What the sender states as ``reply_by`` goes before the default.

Source: ITI 18; domain page 6.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
#: The requester has as long to give what is missing; then the case is closed as incomplete (ITI 21).
INFORMATION: Final = 15 * DAY
#: Messages that ask an authority for an answer in the time below.
REQUEST: Final = "tracing-request"
#: Of 1 January 1970, a Thursday, counted from Monday.
_FIRST_WEEKDAY: Final = 3
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of a request.

    Attributes:
        acknowledge: ms, or None where `working_days` counts.
        working_days: until it is acknowledged.
        reply: ms until the final answer, without the time that the clock stood.
    """

    acknowledge: int | None
    working_days: int
    reply: int


#: By the urgency of the request.
LIMITS: Final[Mapping[str, Limits]] = {
    "routine": Limits(None, 3, 30 * DAY),
    "priority": Limits(DAY, 0, 7 * DAY),
    "urgent": Limits(4 * HOUR, 0, DAY),
    "flash": Limits(30 * MINUTE, 0, 4 * HOUR),
}


def acknowledge_by(urgency: str, delivered_at: int) -> int:
    """Until when a request delivered then must be acknowledged, ms."""
    limits = LIMITS[urgency]
    if limits.acknowledge is not None:
        return delivered_at + limits.acknowledge
    return after_working_days(delivered_at, limits.working_days)


def after_working_days(moment: int, days: int) -> int:
    """The same time of day so many working days later; from a weekend they count from Monday, 00:00 UTC."""
    if _weekday(moment) >= _SATURDAY:
        moment = moment // DAY * DAY
        while _weekday(moment) >= _SATURDAY:
            moment += DAY
    while days:
        moment += DAY
        if _weekday(moment) < _SATURDAY:
            days -= 1
    return moment


def _weekday(moment: int) -> int:
    return (moment // DAY + _FIRST_WEEKDAY) % 7
