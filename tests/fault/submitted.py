"""What was handed in, by payload: put together from the history's calls."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from countermark_protocol.boxes import Box
from countermark_protocol.documents import UnverifiedDocument, parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Urgency
from countermark_protocol.receipts import Receipt, parse_receipt
from countermark_protocol.submission import Submission, parse_submission
from fault.history import Action, Call, Intent

#: A number after all others.
NEVER = 1 << 62
#: The author of what needs none: directory statements say themselves who must sign them.
NOBODY = Address("xx.nobody.nobody")


@dataclass
class Submitted:
    """One payload that somebody handed in, once or more.

    Attributes:
        document: signed, as handed in.
        intent: the least honest of its calls.
        submission: of a message.
        receipt: of a receipt; a directory statement has neither.
        first: number at which the first call about it began.
        acknowledged: number at which the first proof of it had arrived; None while none has.
        calls: all about it.
        documents: all signed documents of that payload: two workers may sign the same words at once.
    """

    document: UnverifiedDocument
    intent: Intent
    submission: Submission | None
    receipt: Receipt | None
    first: int
    acknowledged: int | None = None
    calls: list[Call] = field(default_factory=list)
    documents: set[bytes] = field(default_factory=set)

    @property
    def author(self) -> Address:
        """Who says so."""
        if self.submission is not None:
            return self.submission.manifest.sender
        if self.receipt is not None:
            return self.receipt.author
        return NOBODY

    @property
    def name(self) -> str:
        """For messages to people."""
        what = str(self.document.claims["kind"])
        return f"{what} {self.document.payload_hash.hex()[:16]} of {self.author}"


@dataclass
class Handed:
    """All that was handed in.

    Attributes:
        by_payload: payload hash → what it is.
        of_call: number of a call's beginning → what it handed in; calls whose body is no statement are not here.
        data_of: … → the very document.
    """

    by_payload: dict[bytes, Submitted] = field(default_factory=dict)
    of_call: dict[int, Submitted] = field(default_factory=dict)
    data_of: dict[int, bytes] = field(default_factory=dict)
    _signed: dict[tuple[Address, bytes], tuple[int, int]] = field(default_factory=dict)

    def signed_for(self, author: Address | None, message: bytes, logged: Container[bytes]) -> tuple[int, int]:
        """When an endpoint signed for a message.

        Returns:
            Number at which the first of its logged receipts about it was first handed in, and number at which the
            first of them had been acknowledged; NEVER where there is none.
        """
        if not self._signed:
            for name, one in self.by_payload.items():
                if one.receipt is not None and name in logged:
                    acknowledged = NEVER if one.acknowledged is None else one.acknowledged
                    for item in one.receipt.items:
                        key = one.author, item.message
                        first, known = self._signed.get(key, (NEVER, NEVER))
                        self._signed[key] = min(first, one.first), min(known, acknowledged)
        if author is None:
            return NEVER, NEVER
        return self._signed.get((author, message), (NEVER, NEVER))


def gather(calls: Iterable[Call]) -> Handed:
    """Read every call that handed something in."""
    handed = Handed()
    parsed: dict[bytes, Submitted | None] = {}
    for call in calls:
        if call.action not in {Action.MESSAGE, Action.RECEIPT, Action.STATEMENT}:
            continue
        if call.body not in parsed:
            parsed[call.body] = _read(call)
        fresh = parsed[call.body]
        if fresh is None:
            continue
        one = handed.by_payload.setdefault(fresh.document.payload_hash, fresh)
        handed.of_call[call.began] = one
        handed.data_of[call.began] = fresh.document.data
        one.documents.add(fresh.document.data)
        one.calls.append(call)
        one.first = min(one.first, call.began)
        if call.intent is not Intent.GOOD:
            one.intent = call.intent
        if call.accepted:
            before = one.acknowledged
            one.acknowledged = call.ended if before is None else min(before, call.ended)
    return handed


def _read(call: Call) -> Submitted | None:
    try:
        if call.action is Action.MESSAGE:
            submission = parse_submission(call.body)
            return Submitted(submission.document, call.intent, submission, None, call.began)
        document = parse_document(call.body)
        receipt = parse_receipt(document.claims) if call.action is Action.RECEIPT else None
        return Submitted(document, call.intent, None, receipt, call.began)
    except CountermarkError:
        return None


def deliveries_of(one: Submitted) -> set[tuple[Address, Box]]:
    """The boxes that a statement belongs into."""
    if one.submission is not None:
        manifest = one.submission.manifest
        box = Box.URGENT if manifest.urgency in {Urgency.URGENT, Urgency.FLASH} else Box.ROUTINE
        return {(row.endpoint, box) for row in one.submission.rows} | {(manifest.sender, Box.SENT)}
    if one.receipt is None:
        return set()
    return {(one.receipt.sender, Box.NOTICES), (one.receipt.author, Box.SENT)}
