"""Times: what the broker says that time was, held against the clocks of those who called; and a message's own times."""

from __future__ import annotations

from countermark_protocol.judging import CLOCK_TOLERANCE
from countermark_protocol.manifest import Manifest
from fault.findings import Findings, Wrong
from fault.history import Call, History

#: The database's clock is that of the callers' machine; so much may lie between two readings of it.
SLACK_MS = 1_000


def check_moment(history: History, call: Call, at: int, what: str, found: Findings) -> None:
    """A time that an answer states lies between the call's beginning and its end, unless a clock jumped."""
    if history.clock_moved or not call.began_at:
        return
    if not call.began_at - SLACK_MS <= at <= call.ended_at + SLACK_MS:
        off = at - call.began_at
        found.add(
            Wrong.TIME,
            f"{call.name}: {what} is {off} ms after the call began, which took {call.ended_at - call.began_at} ms",
        )


def check_validity(manifest: Manifest, leaf_time: int, what: str, found: Findings) -> None:
    """A message is logged before it expires, and not much before it was written."""
    if leaf_time >= manifest.expires_at:
        found.add(
            Wrong.WRONGLY_ACCEPTED,
            f"{what} was logged {leaf_time - manifest.expires_at} ms after it had expired",
        )
    if manifest.sent_at > leaf_time + CLOCK_TOLERANCE:
        found.add(
            Wrong.WRONGLY_ACCEPTED,
            f"{what} was logged {manifest.sent_at - leaf_time} ms before it was written, by its own word",
        )
