"""The kept series of time stamps on witnessed checkpoints, as the broker serves it.

Unverified data in a well-formed shape: who reads it verifies checkpoint, quorum and stamp.

Source: docs/spec/witness.md §8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import parse_checkpoint_text
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    malformed,
    parse_base64url,
    parse_object,
)

#: A stamp brings the certificates of its authority: a few kB each, ten or more with signatures of ML-DSA.
MAX_STAMP_BYTES: Final = 64 * 1024
#: Stamps in one page.
MAX_STAMPS: Final = 100
#: By which an operator calls an authority.
AUTHORITY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_LIMIT: Final = MAX_STAMP_BYTES * 4 // 3 + 4


@dataclass(frozen=True, slots=True)
class StampItem:
    """One stamp of the series.

    Attributes:
        minute: of the time that it states, minutes since 1970.
        authority: as the operator calls it: a name, no proof of whose stamp it is.
        checkpoint: text of the note that is stamped.
        response: DER of the TimeStampResp.
    """

    minute: int
    authority: str
    checkpoint: bytes
    response: bytes

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "minute": self.minute,
            "authority": self.authority,
            "checkpoint": self.checkpoint.decode("utf-8"),
            "response": encode_base64url(self.response),
        }


@dataclass(frozen=True, slots=True)
class StampHistory:
    """A page of the series, in the order of minute and name.

    Attributes:
        items: of one minute at most one by each authority.
        complete: whether nothing more was kept then.
    """

    items: tuple[StampItem, ...]
    complete: bool

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"stamps": [item.to_json() for item in self.items], "complete": self.complete}


def oldest_stamps(items: Iterable[StampItem], size: int) -> tuple[StampItem, ...]:
    """Of each authority the oldest stamp on a tree of at least `size` leaves, in the order of the series."""
    out: dict[str, StampItem] = {}
    for item in sorted(items, key=lambda one: (one.minute, one.authority)):
        if parse_checkpoint(item.checkpoint).size >= size:
            out.setdefault(item.authority, item)
    return tuple(out.values())


def parse_stamp_response(value: Any, what: str) -> bytes:
    """Parse a stamp's bytes from JSON."""
    return parse_base64url(value, what, limit=_LIMIT)


def _item(value: Any) -> StampItem:
    claims = Claims(value, "stamp")
    out = StampItem(
        claims.integer("minute"),
        claims.text("authority", 32),
        claims.parsed("checkpoint", parse_checkpoint_text),
        claims.parsed("response", parse_stamp_response),
    )
    claims.done()
    if AUTHORITY_NAME.match(out.authority) is None:
        claims.bad("authority", "lower-case letters, digits and hyphens")
    return out


def parse_stamp_history(data: bytes) -> StampHistory:
    """Parse a page of the series.

    Raises:
        MalformedError: not the one form; not in order; or an empty page that is not complete.

    Does not prove: anything. Whoever reads it verifies each checkpoint and stamp.
    """
    claims = Claims(parse_object(data, "stamps"), "stamps")
    page = StampHistory(
        tuple(_item(v) for v in claims.items("stamps", 0, MAX_STAMPS)), claims.boolean("complete")
    )
    claims.done()
    order = [(item.minute, item.authority) for item in page.items]
    if order != sorted(set(order)):
        malformed("bad_member", "stamps stand in the order of minute and authority, each once")
    if not page.items and not page.complete:
        malformed("bad_member", "expected stamps, or the end of the series")
    return page
