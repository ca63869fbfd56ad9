"""The history of a load: every call that any client made, and every answer, or that none came.

The recorder numbers beginnings and ends from one counter: where a call ended before another began, that is a
fact about the order in which things happened, whatever any clock said.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address


class Action(StrEnum):
    """What was asked for."""

    MESSAGE = "message"
    RECEIPT = "receipt"
    PROOF = "proof"
    BOX = "box"
    CHECKPOINT = "checkpoint"
    CONSISTENCY = "consistency"
    INCLUSION = "inclusion"
    STANZA = "stanza"
    CONTENT = "content"
    #: A directory statement.
    STATEMENT = "statement"
    #: Not asked of the broker: the checkpoint store's own file was read.
    STORE = "store"


class Intent(StrEnum):
    """What the client knows about what it hands in: how an honest broker must treat it."""

    GOOD = "good"
    #: Signed by a key that is not the sender's.
    FORGED = "forged"
    #: Another payload under an id that was used before.
    CHANGED = "changed"
    #: Authentic, but the policy forbids it.
    FORBIDDEN = "forbidden"
    #: Expired before it was sent. Whether it may be logged goes by its leaf's time, as with every message.
    EXPIRED = "expired"
    #: Its `sent_at` is further ahead than clocks may differ; judged as EXPIRED is.
    FUTURE = "future"
    #: It states to have seen a larger log than there is.
    SEEN_AHEAD = "seen_ahead"
    #: It states another root for a size than the log has.
    SEEN_OTHER = "seen_other"
    #: Signed, and first sent, after the revocation of its key had been acknowledged.
    REVOKED = "revoked"
    #: A receipt that is not its author's to give: about what it did not receive, too early, to another sender.
    UNDUE = "undue"

    @property
    def by_time(self) -> bool:
        """Whether this may be accepted is for the times to say, not for the intent."""
        return self in {Intent.GOOD, Intent.EXPIRED, Intent.FUTURE}


#: Calls that are answered with a proof.
_PROVEN = frozenset({Action.MESSAGE, Action.RECEIPT, Action.STATEMENT, Action.PROOF})


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what came of it.

    Attributes:
        client: who called.
        action: what for.
        intent: of what was handed in.
        began: number of its beginning.
        ended: number of its end.
        target: path and query.
        by: the endpoint that signed the request, if it was signed.
        digest: of the signed request, that accounts name; else empty.
        body: as sent.
        status: of the answer; None where no (whole) answer came: then nothing is known.
        answer: its body.
        node: that was called: each process of the broker has another address.
        began_at: the caller's clock when it began, ms since 1970; 0 if nothing is to be said of times.
        ended_at: the same when it ended.
    """

    client: str
    action: Action
    intent: Intent
    began: int
    ended: int
    target: str
    by: Address | None
    digest: bytes
    body: bytes
    status: int | None
    answer: bytes
    node: str = ""
    began_at: int = 0
    ended_at: int = 0

    @property
    def name(self) -> str:
        """For messages to people."""
        return f"call {self.began} of {self.client} ({self.action})"

    @property
    def payload(self) -> bytes:
        """The payload hash that the target names."""
        return bytes.fromhex(self.target.split("/")[3].partition("?")[0])

    @property
    def box(self) -> tuple[Address, Box, int]:
        """Of a page: whose box, which, and from which position on."""
        parts = urlsplit(self.target)
        _, _, _, address, name = parts.path.split("/")
        return Address(address), Box(name), int(parse_qs(parts.query)["from"][0])

    @property
    def accepted(self) -> bool:
        """It was answered with a proof."""
        return self.status in {200, 201} and self.action in _PROVEN


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which surely no node of the broker ran, ms since 1970 by the database's clock."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was asked and answered, and what the world outside did.

    Attributes:
        calls: in the order of their ends.
        before: documents of the log before the load, in order.
        absences: of the broker.
        heartbeat_gap_ms: absences longer than this give recipients their grace anew.
        clock_moved: a clock jumped: then requests may be refused for their time alone.
        signers: ids of each endpoint's instance keys, those too that were revoked meanwhile; the broker's node keys.
    """

    calls: tuple[Call, ...]
    before: tuple[bytes, ...]
    absences: tuple[Absence, ...] = ()
    heartbeat_gap_ms: int = 60_000
    clock_moved: bool = False
    signers: Mapping[Address, frozenset[bytes]] = field(default_factory=dict)

    def with_calls(self, calls: tuple[Call, ...]) -> History:
        """The same world with other calls."""
        return replace(self, calls=calls)


@dataclass
class Recorder:
    """Collects calls from many threads."""

    calls: list[Call] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        """The next number: after everything that has happened already."""
        with self._lock:
            return next(self._numbers)

    def add(self, call: Call) -> None:
        """Keep a call."""
        with self._lock:
            self.calls.append(call)
