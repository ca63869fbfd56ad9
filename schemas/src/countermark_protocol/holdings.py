"""Holdings: what one party has been shown of a log, in a file that another party can be compared with.

Checkpoints, proofs with the rows that were opened to it, accounts, and how its boxes chain; the directory statements
that say whose keys are whose. No content, and no signed statement unless the party puts it in. It is the party's own
word that this is all: a file can only be short of something, for what is in it leads to signatures of the log.

Source: docs/spec/contradictions.md §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import LoggedStatement, parse_checkpoint_text, parse_logged_statement
from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState, box_head
from countermark_protocol.claims import Claims
from countermark_protocol.contradiction_shown import MAX_STATEMENTS
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    encode_json,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import UncheckableError
from countermark_protocol.identifiers import Address, Origin, parse_address, parse_origin
from countermark_protocol.proof import Inclusion, OwnDelivery, parse_inclusion, parse_own_delivery
from countermark_protocol.proof_pieces import Delivered, ProofPiece, parse_delivered
from countermark_protocol.recipients import MAX_RECIPIENTS
from countermark_protocol.submission import MAX_DOCUMENT_BYTES

FORMAT: Final = "countermark-holdings-1"
_FAMILY: Final = "countermark-holdings-"
MAX_BYTES: Final = 256 * 1024 * 1024
#: Of entries, of accounts, of checkpoints, and of entries of one box.
MAX_ITEMS: Final = 1_000_000
_MAX_ACCOUNT: Final = 4 * 1024 * 1024
_MAX_BASE: Final = 8_192


@dataclass(frozen=True, slots=True)
class BoxEnd:
    """The end of a box: its entries from a position on, and the box head before them.

    Attributes:
        box: which.
        start: position of the first entry.
        previous: box head before it, 32 bytes.
        entries: (index, statement hash) in order.
    """

    box: Box
    start: int
    previous: bytes
    entries: tuple[tuple[int, bytes], ...]

    @property
    def state(self) -> BoxState:
        """Count and head after them."""
        head = self.previous
        for index, statement in self.entries:
            head = box_head(head, index, statement)
        return BoxState(self.start + len(self.entries), head)

    def cut(self, start: int, count: int) -> BoxEnd:
        """The entries from one position, this one's start or later, up to another."""
        head = self.previous
        for index, statement in self.entries[: start - self.start]:
            head = box_head(head, index, statement)
        return BoxEnd(self.box, start, head, self.entries[start - self.start : count - self.start])

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "box": self.box.value,
            "start": self.start,
            "previous": encode_hex(self.previous),
            "entries": [{"index": i, "statement": encode_hex(s)} for i, s in self.entries],
        }


def parse_box_end(claims: Claims) -> BoxEnd:
    """Read the four members of a `BoxEnd`.

    Raises:
        MalformedError: one is not as it must be, or the entries are not in the order of the log.
    """
    start, previous = claims.integer("start"), claims.digest("previous")
    entries, last = [], -1
    for one in claims.items("entries", 0, MAX_ITEMS):
        entry = Claims(one, "entry of a box")
        index = entry.integer("index", last + 1)
        entries.append((index, entry.digest("statement")))
        entry.done()
        last = index
    if (start == 0) != (previous == EMPTY_HEAD):
        claims.bad("previous", "a head of zeros at position 0, and only there")
    return BoxEnd(claims.choice("box", Box), start, previous, tuple(entries))


@dataclass(frozen=True, slots=True)
class HeldBox:
    """How a box chains, as its holder has verified it.

    Attributes:
        endpoint: whose box.
        end: its entries.
    """

    endpoint: Address
    end: BoxEnd


@dataclass(frozen=True, slots=True)
class HeldEntry:
    """An entry of the log, with what was opened of its deliveries.

    Attributes:
        checkpoint: the signed note under which it was proven.
        inclusion: of its leaf.
        own: the holder's own delivery, opened; or None.
        delivered: further deliveries, closed.
        document: the signed document, if the holder shows it.
    """

    checkpoint: bytes
    inclusion: Inclusion
    own: OwnDelivery | None = None
    delivered: tuple[Delivered, ...] = ()
    document: bytes | None = None

    def proof(self) -> bytes:
        """Its leaf alone, as a piece."""
        return ProofPiece(self.checkpoint, self.inclusion).encode()

    def opened(self) -> bytes:
        """With the own delivery, as a piece."""
        return ProofPiece(self.checkpoint, self.inclusion, self.own).encode()

    def put_into(self, delivered: Delivered) -> bytes:
        """With another delivery, as a piece."""
        return ProofPiece(self.checkpoint, self.inclusion, delivered=delivered).encode()


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """A signed negative answer.

    Attributes:
        document: signed by a node of the broker.
        request: the signature base that it answers, where the holder has kept it.
    """

    document: bytes
    request: bytes | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one party holds.

    Attributes:
        log: origin.
        holder: who; None for one that is no endpoint.
        made_at: ms since 1970, by the holder's clock.
        narrowed: what the holder left out, in words; empty if nothing.
        statements: of the directory, from the founding on.
        checkpoints: signed notes, with their cosignatures.
        entries: in log order.
        accounts: signed negative answers.
        boxes: of the holder, or under its mandate.
    """

    log: Origin
    holder: Address | None
    made_at: int
    narrowed: str
    statements: tuple[LoggedStatement, ...]
    checkpoints: tuple[bytes, ...] = ()
    entries: tuple[HeldEntry, ...] = ()
    accounts: tuple[HeldAccount, ...] = ()
    boxes: tuple[HeldBox, ...] = ()


def encode_holdings(h: Holdings) -> bytes:
    """Write the file; every checkpoint once, and entries name theirs by its number."""
    notes = list(dict.fromkeys([*h.checkpoints, *(e.checkpoint for e in h.entries)]))
    numbers = {note: number for number, note in enumerate(notes)}

    def entry(e: HeldEntry) -> JsonObject:
        out: JsonObject = {"checkpoint": numbers[e.checkpoint], "inclusion": e.inclusion.to_json()}
        if e.own is not None:
            out["delivery"] = e.own.to_json()
        if e.delivered:
            out["delivered"] = [d.to_json() for d in e.delivered]
        if e.document is not None:
            out["document"] = encode_base64url(e.document)
        return out

    def account(a: HeldAccount) -> JsonObject:
        out: JsonObject = {"document": encode_base64url(a.document)}
        if a.request is not None:
            out["request"] = encode_base64url(a.request)
        return out

    out: JsonObject = {"format": FORMAT, "log": h.log}
    if h.holder is not None:
        out["holder"] = h.holder
    out["made_at"] = h.made_at
    if h.narrowed:
        out["narrowed"] = h.narrowed
    return encode_json(
        out
        | {
            "statements": [s.to_json() for s in h.statements],
            "checkpoints": [note.decode("utf-8") for note in notes],
            "entries": [entry(e) for e in h.entries],
            "accounts": [account(a) for a in h.accounts],
            "boxes": [{"endpoint": b.endpoint, **b.end.to_json()} for b in h.boxes],
        }
    )


def parse_holdings(data: bytes) -> Holdings:
    """Read the file; nothing of it is verified.

    Raises:
        MalformedError: ``oversized_evidence``, ``not_evidence``, or not in its form.
        UncheckableError: ``unknown_version``.
    """
    if len(data) > MAX_BYTES:
        malformed("oversized_evidence", f"expected holdings of at most {MAX_BYTES} bytes, got {len(data)}")
    claims = Claims(parse_object(data, "holdings"), "holdings")
    check_format(claims.raw("format"), FORMAT, _FAMILY)
    notes = [parse_checkpoint_text(n, "a checkpoint") for n in claims.items("checkpoints", 0, MAX_ITEMS)]
    out = Holdings(
        log=claims.parsed("log", parse_origin),
        holder=claims.optional("holder", parse_address),
        made_at=claims.time("made_at"),
        narrowed=claims.text("narrowed", 2_000) if claims.has("narrowed") else "",
        statements=tuple(parse_logged_statement(s) for s in claims.items("statements", 1, MAX_STATEMENTS)),
        checkpoints=tuple(notes),
        entries=tuple(_entry(e, notes) for e in claims.items("entries", 0, MAX_ITEMS)),
        accounts=tuple(map(_account, claims.items("accounts", 0, MAX_ITEMS))),
        boxes=tuple(map(_box, claims.items("boxes", 0, MAX_ITEMS))),
    )
    claims.done()
    return out


def check_format(value: object, expected: str, family: str) -> None:
    """Check the member that says what a file is.

    Raises:
        MalformedError: ``not_evidence``.
        UncheckableError: ``unknown_version``.
    """
    if value == expected:
        return
    if isinstance(value, str) and value.startswith(family):
        raise UncheckableError(
            "unknown_version", f"expected a file of format '{expected}', got another version"
        )
    malformed("not_evidence", f"expected a file of format '{expected}'")


def _entry(value: Any, notes: list[bytes]) -> HeldEntry:
    claims = Claims(value, "an entry")
    out = HeldEntry(
        checkpoint=notes[claims.integer("checkpoint", 0, len(notes) - 1)],
        inclusion=claims.parsed("inclusion", parse_inclusion),
        own=claims.optional("delivery", parse_own_delivery),
        delivered=tuple(map(parse_delivered, claims.items("delivered", 1, MAX_RECIPIENTS + 2)))
        if claims.has("delivered")
        else (),
        document=claims.optional("document", _bytes(MAX_DOCUMENT_BYTES)),
    )
    claims.done()
    return out


def _account(value: Any) -> HeldAccount:
    claims = Claims(value, "an account")
    out = HeldAccount(
        claims.parsed("document", _bytes(_MAX_ACCOUNT)), claims.optional("request", _bytes(_MAX_BASE))
    )
    claims.done()
    return out


def _bytes(most: int) -> Any:
    return lambda value, what: parse_base64url(value, what, limit=most * 4 // 3 + 4)


def _box(value: Any) -> HeldBox:
    claims = Claims(value, "a box")
    out = HeldBox(claims.parsed("endpoint", parse_address), parse_box_end(claims))
    claims.done()
    return out
