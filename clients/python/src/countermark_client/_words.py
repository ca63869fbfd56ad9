"""Times in words, the same wherever something is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

#: ms since 1970 of the year 9999: beyond it there are no dates.
_NO_DATE: Final = 253_370_764_800_000
_MINUTE: Final = 60_000


def moment(milliseconds: int) -> str:
    """A time in words, UTC; what is stated may be no date at all."""
    if milliseconds >= _NO_DATE:
        return f"{milliseconds} ms since 1970"
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(milliseconds: int) -> str:
    """How long, in the unit that says it best."""
    if milliseconds < 2 * _MINUTE:
        return f"{milliseconds // 1000} s"
    if milliseconds < 120 * _MINUTE:
        return f"{milliseconds // _MINUTE} minutes"
    hours = milliseconds // (60 * _MINUTE)
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
