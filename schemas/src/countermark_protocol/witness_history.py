"""The kept series of checkpoints that quorums of witnesses cosigned, as the broker serves it.

Unverified data in a well-formed shape: who reads it verifies each checkpoint, its quorum and its place in the log.

Source: docs/spec/witness.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import parse_checkpoint_text
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, malformed, parse_object

#: Checkpoints in one page.
MAX_HISTORY: Final = 200
SECONDS_A_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One checkpoint of the series.

    Attributes:
        minute: minutes since 1970, in which the quorum's time lies (`Quorum.current_at`).
        checkpoint: text of the note, with the log's signature and the cosignatures.
    """

    minute: int
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class WitnessHistory:
    """A page of the series, in the order of time.

    Attributes:
        items: one a minute at most.
        complete: whether nothing newer was kept then.
    """

    items: tuple[HistoryItem, ...]
    complete: bool

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "witnessed": [
                {"minute": item.minute, "checkpoint": item.checkpoint.decode("utf-8")} for item in self.items
            ],
            "complete": self.complete,
        }


def _item(value: Any) -> HistoryItem:
    claims = Claims(value, "witnessed checkpoint")
    out = HistoryItem(claims.integer("minute"), claims.parsed("checkpoint", parse_checkpoint_text))
    claims.done()
    return out


def parse_witness_history(data: bytes) -> WitnessHistory:
    """Parse a page of the series.

    Raises:
        MalformedError: not the one form; minutes that do not rise; or an empty page that is not complete.

    Does not prove: anything. Whoever reads it verifies signatures, quorum and consistency of each checkpoint.
    """
    claims = Claims(parse_object(data, "witness history"), "witness history")
    page = WitnessHistory(
        tuple(_item(v) for v in claims.items("witnessed", 0, MAX_HISTORY)), claims.boolean("complete")
    )
    claims.done()
    for one, after in zip(page.items, page.items[1:], strict=False):
        if after.minute <= one.minute:
            malformed(
                "bad_member",
                f"a series has rising minutes: expected more than {one.minute}, got {after.minute}",
            )
    if not page.items and not page.complete:
        malformed("bad_member", "expected witnessed checkpoints, or the end of the series")
    return page
