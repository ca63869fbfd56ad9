"""What one endpoint may send in a minute, counted by this node.

Charged only once a signature is verified *and* its key counts as an instance of the endpoint, so nobody spends
another's quota. What is logged already costs nothing. Receipts have a bucket of their own: else a flood of
messages to an endpoint would spend what that endpoint needs for its answers. So have urgent messages, that no bulk
may stand in their way, and exercises, that no drill may stand in the way of what is real. So have directory
statements, which go first at the lock: charged is the principal that writes the subject, and for a revocation the
revoked key alone, so that nothing else written stands in its way. So have pieces of attachments, which are uploaded
before the message that claims them.

Source: docs/spec/api.md §3.9; docs/operations/limits.md §4; design section 5, "Order of checks".
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final, NoReturn

from countermark_broker.config import Settings
from countermark_broker.errors import QuotaExceededError
from countermark_broker.store.writing import Enclosed
from countermark_protocol.boxes import Box
from countermark_protocol.decision import box_for
from countermark_protocol.encoding import JsonObject
from countermark_protocol.identifiers import Address, authority_of, owner_of_group
from countermark_protocol.manifest import Manifest
from countermark_protocol.statements import (
    DirectoryChange,
    MessageStatement,
    ReceiptStatement,
    Statement,
    UndeliveredStatement,
)

_MINUTE_S: Final = 60
_MIB: Final = 1024 * 1024
#: Payers whose buckets are kept before full ones are forgotten.
_SWEEP_AT: Final = 1024
#: Buckets looked at for each new payer beyond: more than one, so that they grow fewer again.
_SWEPT_AT_ONCE: Final = 4
#: Of what an endpoint may send in routine, this part is its due for urgent messages: what is urgent is never bulk.
_URGENT_PART: Final = 10

#: What messages are counted by, and in which lanes; the first is routine and real.
_BY_MESSAGE: Final = ("messages", "recipients", "bytes")
_LANES: Final = ("", "urgent-", "exercise-", "exercise-urgent-")
#: What is counted.
COUNTED: Final = (
    *(lane + name for lane in _LANES for name in _BY_MESSAGE),
    "receipts",
    "directory",
    "uploads",
)


#: What a statement takes from its author's quota, by what is counted.
Cost = Mapping[str, int]


def make_cost(
    *,
    messages: int = 0,
    recipients: int = 0,
    size: int = 0,
    receipts: int = 0,
    directory: int = 0,
    uploads: int = 0,
    lane: str = "",
) -> Cost:
    """A cost.

    Args:
        messages: one, or those of a batch.
        recipients: of the messages, together.
        size: bytes of submissions or receipts.
        receipts: items of receipts.
        directory: directory statements.
        uploads: bytes of pieces.
        lane: of the messages; empty for routine and real ones.
    """
    return {
        lane + "messages": messages,
        lane + "recipients": recipients,
        lane + "bytes": size,
        "receipts": receipts,
        "directory": directory,
        "uploads": uploads,
    }


def cost_of(statement: Statement, enclosed: Enclosed) -> Cost:
    """What a statement with what came with it takes from its author's quota."""
    size = len(statement.document.data)
    if isinstance(statement, MessageStatement):
        size += len(enclosed.content or b"") + sum(map(len, enclosed.stanzas))
        return make_cost(
            messages=1, recipients=len(enclosed.rows), size=size, lane=lane_of(statement.manifest)
        )
    if isinstance(statement, ReceiptStatement):
        return make_cost(receipts=len(statement.receipt.items), size=size)
    if isinstance(statement, DirectoryChange):
        return make_cost(directory=1)
    if isinstance(statement, UndeliveredStatement):
        return make_cost()
    # Look-ups, disclosures and purges: as a receipt of one.
    return make_cost(receipts=1, size=size)


def lane_of(manifest: Manifest) -> str:
    """The lane that a message is counted in: urgent apart from bulk, exercises apart from what is real."""
    urgent = "urgent-" if box_for(manifest.urgency) is Box.URGENT else ""
    return ("exercise-" if manifest.exercise else "") + urgent


def payer_of(subject: str) -> str:
    """Who is charged for a directory statement that was judged to fit.

    Returns:
        The endpoint for its own keys, the authority for its endpoints and groups, `log` for what the governors
        write; for a revocation its subject.
    """
    prefix, _, name = subject.partition("/")
    if prefix == "keys":
        return name
    if prefix == "endpoint":
        return f"authority/{authority_of(name)}"
    if prefix == "group":
        return f"authority/{owner_of_group(name)}"
    return subject if prefix == "revoked" else "log"


@dataclass(slots=True)
class _Bucket:
    """What is left of each quota at a moment, in fractions of what is counted."""

    left: dict[str, float]
    at: float


class Quotas:
    """Token buckets, one set for each endpoint or other payer: a minute's worth, refilled evenly.

    A statement that is larger than a whole bucket is taken from a full one, which then owes.

    Args:
        per_minute: how much of what is counted; what is missing or 0 is not limited.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: Mapping[str, int], now: Callable[[], float] = time.monotonic) -> None:
        self._most = MappingProxyType({name: per_minute[name] for name in COUNTED if per_minute.get(name)})
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    @property
    def kept(self) -> int:
        """Endpoints that have a bucket in memory."""
        return len(self._buckets)

    def charge(self, endpoint: str, cost: Cost) -> None:
        """Take from an endpoint's quota: all of it, or nothing.

        Only for an endpoint whose instance has signed what is charged for. What came to nothing afterwards is
        given back by `refund`.

        Args:
            endpoint: the author; or the payer of a directory statement.
            cost: of one statement, or of a batch of its statements.

        Raises:
            QuotaExceededError: with the seconds after which it fits.
        """
        if not self._most:
            return
        bucket = self._bucket(endpoint)
        wait, short = 0.0, ""
        for name, most in self._most.items():
            wanted = min(cost.get(name, 0), most)
            missing = wanted - bucket.left[name]
            if wanted and missing > 0 and missing * _MINUTE_S / most > wait:
                wait, short = missing * _MINUTE_S / most, name
        if short:
            self._refuse(endpoint, short, wait)
        for name in self._most:
            bucket.left[name] -= cost.get(name, 0)

    def refund(self, endpoint: str, cost: Cost) -> None:
        """Give back what was charged for something that was not logged by this call, through no fault of it."""
        if self._most:
            bucket = self._bucket(endpoint)
            for name, most in self._most.items():
                bucket.left[name] = min(most, bucket.left[name] + cost.get(name, 0))

    def state_of(self, endpoint: Address) -> JsonObject:
        """What an endpoint may still do: for each thing counted `per_minute` and `left`, whole numbers."""
        bucket = self._buckets.get(endpoint)
        if bucket is not None:
            self._refill(bucket)
        left = bucket.left if bucket is not None else self._most
        return {
            name: {"per_minute": most, "left": max(0, math.floor(left[name]))}
            for name, most in self._most.items()
        }

    def _refuse(self, endpoint: str, short: str, wait: float) -> NoReturn:
        seconds = max(1, math.ceil(wait))
        raise QuotaExceededError(
            "quota_exceeded",
            f"{endpoint} has used up its {short} of this minute on this node, expected at most "
            f"{self._most[short]} a minute: wait {seconds} s",
            quota=short,
            per_minute=self._most[short],
            retry_after=seconds,
        )

    def _bucket(self, endpoint: str) -> _Bucket:
        bucket = self._buckets.pop(endpoint, None)
        if bucket is None:
            if len(self._buckets) >= _SWEEP_AT:
                self._forget_some()
            bucket = _Bucket(dict(self._most), self._now())
        self._buckets[endpoint] = bucket  # at the end: those least lately used stand first
        self._refill(bucket)
        return bucket

    def _refill(self, bucket: _Bucket) -> None:
        now = self._now()
        passed, bucket.at = max(0.0, now - bucket.at), now
        for name, most in self._most.items():
            bucket.left[name] = min(most, bucket.left[name] + passed * most / _MINUTE_S)

    def _forget_some(self) -> None:
        # A full bucket is what a new one would be, and the one longest unused is the likeliest to be full. However
        # many payers there are, a new one costs a look at these few alone.
        for endpoint in list(islice(self._buckets, _SWEPT_AT_ONCE)):
            bucket = self._buckets.pop(endpoint)
            self._refill(bucket)
            if any(bucket.left[name] < most for name, most in self._most.items()):
                self._buckets[endpoint] = bucket  # looked at again once the others were


def quotas_of(settings: Settings) -> Quotas:
    """The quotas that the settings name."""
    routine = {
        "messages": settings.quota_messages,
        "recipients": settings.quota_recipients,
        "bytes": settings.quota_mib * _MIB,
    }
    lanes = {
        lane + name: math.ceil(most / _URGENT_PART) if lane.endswith("urgent-") else most
        for lane in _LANES
        for name, most in routine.items()
    }
    others = {
        "receipts": settings.quota_receipts,
        "directory": settings.quota_directory,
        "uploads": settings.quota_uploads_mib * _MIB,
    }
    return Quotas({**lanes, **others})
