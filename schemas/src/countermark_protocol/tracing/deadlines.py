"""How long an authority has to acknowledge and to answer: by instrument, matter and urgency.

What a sender states as ``reply_by`` goes before these; its client states what stands here. Auditors count by the same
table.

Source: ITI 18 to 23; ECOWAS Convention 19; Directive (EU) 2023/977, 5; docs/spec/tracing.md §1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from countermark_protocol.manifest import Urgency
from countermark_protocol.tracing.calendars import (
    DAY,
    HOUR,
    MINUTE,
    NO_HOLIDAYS,
    Holidays,
    after_working_days,
    calendar_of,
    country_of,
)

#: The requester has as long to give what is missing; then the case is closed as incomplete (ITI 21).
INFORMATION: Final = 15 * DAY
#: How often a requested State may ask for more about one request (domain page 6.3).
MAX_INFORMATION_ROUNDS: Final = 3
#: The message that asks an authority to trace.
REQUEST: Final = "tracing-request"
#: What a requested State answers with.
ANSWERS: Final = frozenset({"tracing-acknowledgement", "tracing-response"})
CLARIFICATION: Final = "tracing-clarification"
#: By which a requester gives what was missing.
SUPPLIES: Final = frozenset({REQUEST, CLARIFICATION, "correction"})


class Instrument(StrEnum):
    """By which text a deadline is set."""

    ITI = "ITI"
    """International Tracing Instrument 18-19: "prompt", "a reasonable time"; the times are this system's."""
    ECOWAS = "ECOWAS"
    """ECOWAS Convention 19: within one month of receipt."""
    EU_2023_977 = "EU-2023-977"
    """Directive (EU) 2023/977, 5: seven days where a request is not urgent."""


#: Members as of 2025: without Burkina Faso, Mali and Niger, which have left.
_ECOWAS: Final = frozenset(("BJ", "CV", "CI", "GM", "GH", "GN", "GW", "LR", "NG", "SN", "SL", "TG"))
_EU: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of one kind of request; all but working days in ms, from its delivery on.

    Attributes:
        acknowledge: or None where `working_days` counts.
        working_days: until it is acknowledged, by the calendar of who is asked.
        reply: until the final answer, without the time that the clock stood.
        remind: until the requester's reminder is due.
        unanswered: until it counts as unanswered.
    """

    acknowledge: int | None
    working_days: int
    reply: int
    remind: int
    unanswered: int


def _limits(acknowledge: int | None, days: int, reply: int) -> Limits:
    return Limits(acknowledge, days, reply, reply // 2, 2 * reply)


_ROUTINE: Final = Limits(None, 3, 30 * DAY, 14 * DAY, 60 * DAY)
_BY_URGENCY: Final[Mapping[Urgency, Limits]] = MappingProxyType(
    {
        Urgency.ROUTINE: _ROUTINE,
        Urgency.PRIORITY: _limits(DAY, 0, 7 * DAY),
        Urgency.URGENT: _limits(4 * HOUR, 0, DAY),
        Urgency.FLASH: _limits(30 * MINUTE, 0, 4 * HOUR),
    }
)
#: Of a trace, by instrument and urgency.
TRACE_LIMITS: Final[Mapping[Instrument, Mapping[Urgency, Limits]]] = MappingProxyType(
    {
        Instrument.ITI: _BY_URGENCY,
        Instrument.ECOWAS: _BY_URGENCY,
        Instrument.EU_2023_977: MappingProxyType({**_BY_URGENCY, Urgency.ROUTINE: _limits(None, 3, 7 * DAY)}),
    }
)
#: Of other messages that ask for an answer, by type; of traces see `TRACE_LIMITS`.
OTHER_LIMITS: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "tracing-clarification": _limits(None, 5, 30 * DAY),
        "release-consent-request": _limits(2 * DAY, 0, 10 * DAY),
        "licence-verification-request": _limits(2 * HOUR, 0, DAY),
        "hit-notice": _limits(10 * MINUTE, 0, 12 * HOUR),
        "assistance-request": _limits(10 * DAY, 0, 90 * DAY),
        "mutual-legal-assistance-request": _limits(5 * DAY, 0, 90 * DAY),
    }
)


def instrument_of(requester: str, requested: str) -> Instrument:
    """The instrument that two authorities trace under: a regional one that binds both, else the ITI.

    Args:
        requester: address or authority code.
        requested: the same.
    """
    both = {country_of(requester), country_of(requested)}
    for instrument, members in ((Instrument.ECOWAS, _ECOWAS), (Instrument.EU_2023_977, _EU)):
        if both <= members:
            return instrument
    return Instrument.ITI


def trace_limits(requester: str, requested: str, urgency: str) -> Limits:
    """Deadlines of a tracing request.

    Args:
        requester: address or authority code.
        requested: the same.
        urgency: of the manifest.
    """
    return TRACE_LIMITS[instrument_of(requester, requested)][Urgency(urgency)]


def limits_of(type_: str, requester: str, requested: str, urgency: str) -> Limits | None:
    """Deadlines of a message; None where its type asks for no answer in a time."""
    if type_ == REQUEST:
        return trace_limits(requester, requested, urgency)
    return OTHER_LIMITS.get(type_)


def acknowledge_by(
    limits: Limits, requested: str, delivered_at: int, holidays: Holidays = NO_HOLIDAYS
) -> int:
    """Until when a request delivered then must be acknowledged, ms since 1970.

    Args:
        limits: of the request.
        requested: address or authority code of who is asked.
        delivered_at: ms since 1970.
        holidays: by country.
    """
    if limits.acknowledge is not None:
        return delivered_at + limits.acknowledge
    return after_working_days(delivered_at, limits.working_days, calendar_of(requested, holidays))
