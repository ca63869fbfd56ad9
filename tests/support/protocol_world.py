"""The small world of `support.world`, run in memory through the decision function: no broker, no clock.

`ProtocolWorld` keeps the whole state, every entry and the tree, and can be forked before a test spoils it.
Times are fixed: `world.now` is ms since 1970 and moves only where a test moves it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import pytest

from countermark_protocol.appending import Entry, append_statement
from countermark_protocol.boxes import Box, BoxState, row_path
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address, make_message_id
from countermark_protocol.keys import Signer
from countermark_protocol.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of, small_tree_path
from countermark_protocol.proof import AllDeliveries, Inclusion, OwnDelivery
from countermark_protocol.receipts import ReceiptStage, Undelivered
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.state import LogState, Whole
from countermark_protocol.statements import Statement, purged_by, read_statement, verify_statement
from countermark_protocol.submission import parse_submission
from support.world import BROKER, DAY, KAMPALA, NAIROBI, ORIGIN, Sealed, World, handling, seed

NOW = 1_780_000_000_000


def fresh_state(origin: Any = ORIGIN) -> LogState:
    """The state of a log before entry 0."""
    return LogState(
        origin,
        Directory(),
        Frontier(),
        0,
        Whole(None),
        Whole(None),
        Whole(None),
        Whole(frozenset()),
        Whole(BoxState()),
        {0: EMPTY_ROOT},
        Whole(None),
    )


def copy_state(state: LogState) -> LogState:
    """A state of its own: appending to one leaves the other as it was."""
    return LogState(
        state.origin,
        state.directory.copy(),
        state.frontier,
        state.time,
        *(copy.copy(m) for m in (state.entries, state.messages, state.ids, state.parties, state.boxes)),
        dict(state.roots),
        copy.copy(state.purges),
    )


def snapshot(state: LogState) -> Any:
    """All of a state by value, to compare."""
    d = state.directory
    return copy.deepcopy(
        (
            state.origin,
            state.frontier,
            state.time,
            *(
                dict(m)
                for m in (
                    state.entries,
                    state.messages,
                    state.ids,
                    state.parties,
                    state.boxes,
                    state.roots,
                    state.purges,
                )
            ),
            d.head,
            d.count,
            d._history,
            d._subjects_of_key,
            d._keys,
        )
    )


class ProtocolWorld(World):
    """A log in memory, and everybody's keys. Use `make_world`."""

    state: LogState
    entries: list[Entry]
    now: int

    # `prev` always comes from the state, so that a refused statement leaves no trace here either.
    @property
    def newest(self) -> dict[str, bytes]:  # type: ignore[override]
        if not hasattr(self, "state"):
            return {}
        directory = self.state.directory
        return {s: held.statement for s in directory.subjects("") if (held := directory.held(s)) is not None}

    @newest.setter
    def newest(self, _value: Any) -> None:
        """Nothing is kept."""

    def fork(self) -> ProtocolWorld:
        """The same world, to go on differently."""
        other = copy.copy(self)
        other.agencies = dict(self.agencies)
        other.state = copy_state(self.state)
        other.entries = list(self.entries)
        return other

    # --- statements ---

    def verify(self, data: bytes) -> Document:
        """Parse a document and check its signatures."""
        return verify_statement(self.state.directory, parse_document(data))

    def statement(self, data: bytes, rows: tuple[RecipientRow, ...] = ()) -> Statement:
        """Bytes as the statement they are."""
        document = self.verify(data)
        named = purged_by(parse_document(data))
        index = self.state.entries[named] if named is not None else None
        subject = parse_document(self.entries[index].document.data) if index is not None else None
        return read_statement(document, rows, subject)

    def put(self, what: bytes | Sealed, *, time: int | None = None, secret: bytes | None = None) -> Entry:
        """Append a statement; a message as a whole submission."""
        if isinstance(what, Sealed):
            submission = parse_submission(what.data)
            document, rows = submission.document.data, submission.rows
        else:
            document, rows = what, ()
        at = max(self.now if time is None else time, self.state.time)
        chosen = secret or hashlib.sha256(b"entry secret" + self.state.size.to_bytes(8, "big")).digest()
        entry = append_statement(self.state, self.statement(document, rows), at, chosen)
        assert isinstance(self.state.roots, dict)
        self.state.roots[self.state.size] = self.state.frontier.root()
        self.entries.append(entry)
        return entry

    def refuse(
        self, what: bytes | Sealed, error: type[CountermarkError], code: str, *, time: int | None = None
    ) -> CountermarkError:
        """Demand that a statement is refused with exactly this error, and that nothing whatever changed."""
        before = snapshot(self.state)
        with pytest.raises(CountermarkError) as caught:
            self.put(what, time=time)
        assert (type(caught.value), caught.value.code) == (error, code), caught.value
        assert snapshot(self.state) == before
        return caught.value

    def directory_statement(
        self, kind: Kind, name: str, record: Any, by: Iterable[Signer], **more: Any
    ) -> bytes:
        """A signed directory statement of any record; `possession` and changed payload members in `more`."""
        return self.record_statement(kind, name, record, by, more.pop("possession", ()), **more)

    def held(self, subject: str) -> Any:
        """The newest record of a subject."""
        held = self.state.directory.held(subject)
        assert held is not None
        return held.record

    # --- messages ---

    def compose(
        self, sender: str = NAIROBI, recipients: Sequence[str] = (KAMPALA,), **changes: Any
    ) -> Sealed:
        """A message as `World.message`, by this world's clock."""
        sent_at = changes.pop("sent_at", self.now)
        changes.setdefault("handling", handling(retention_until=NOW + 1000 * DAY))
        changes.setdefault("expires_at", sent_at + 30 * DAY)
        return self.message(sender, recipients, sent_at=sent_at, **changes)

    def compose_reply(self, sender: str, to: Sealed, **changes: Any) -> Sealed:
        """A message that replies to another, by this world's clock."""
        changes.setdefault("conversation", to.manifest.conversation or to.payload_hash)
        changes.setdefault("in_reply_to", to.payload_hash)
        recipients = changes.pop("recipients", [to.manifest.sender])
        return self.compose(sender, recipients, **changes)

    def send(self, sender: str = NAIROBI, recipients: Sequence[str] = (KAMPALA,), **changes: Any) -> Sealed:
        """Compose a message and append it."""
        sealed = self.compose(sender, recipients, **changes)
        self.put(sealed)
        return sealed

    def resigned(
        self, sealed: Sealed, *signers: Any, possession: Iterable[Any] = (), payload: Any = None
    ) -> Sealed:
        """The same submission under other signatures (and, where given, another payload)."""
        old = parse_document(sealed.document)
        body = old.payload if payload is None else encode_json(payload)
        document = sign_document(body, signers, possession)
        at = sealed.data.index(sealed.document)
        data = (
            sealed.data[: at - 4]
            + len(document).to_bytes(4, "big")
            + document
            + sealed.data[at + len(sealed.document) :]
        )
        return Sealed(
            data, document, sealed.manifest, sealed.rows, sealed.stanzas, sealed.content, sealed.secrets
        )

    def undelivered(self, message: Sealed | bytes, recipient: str, **changes: Any) -> bytes:
        """The broker's signed notice."""
        to = changes.pop("sender", message.manifest.sender if isinstance(message, Sealed) else NAIROBI)
        by = changes.pop("by", self.node_key)
        notice = Undelivered(
            Header(
                Kind.UNDELIVERED, changes.pop("origin", self.origin), changes.pop("seen", Seen(0, EMPTY_ROOT))
            ),
            changes.pop("author", BROKER),
            Address(to),
            message.payload_hash if isinstance(message, Sealed) else message,
            Address(recipient),
        )
        return sign_document(encode_json(notice.to_json() | changes), [by])

    def accept(self, author: str, *messages: Sealed) -> None:
        """Post `delivered` and `accepted` for messages of one sender."""
        self.put(self.receipt(author, messages))
        self.put(self.receipt(author, messages, ReceiptStage.ACCEPTED))

    # --- proofs ---

    def seen(self, size: int | None = None) -> Seen:
        """The tree of this size (now: all of it) as a signer states it."""
        at = self.state.size if size is None else size
        return Seen(at, self.root(at))

    def root(self, size: int) -> bytes:
        """Root of the first `size` leaves."""
        return root_of([leaf_hash(e.leaf.encode()) for e in self.entries[:size]])

    def checkpoint_bytes(self, size: int | None = None) -> bytes:
        """The signed checkpoint of this size."""
        at = self.state.size if size is None else size
        return sign_checkpoint(self.origin, at, self.root(at), self.log_key.sign, self.log_key.public_key.raw)

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The verified checkpoint of this size."""
        return verify_checkpoint(
            parse_checkpoint(self.checkpoint_bytes(size)), self.origin, self.log_key.public_key.raw
        )

    def inclusion(self, index: int, size: int | None = None) -> Inclusion:
        """The path of an entry."""
        leaves = [e.leaf.encode() for e in self.entries[: self.state.size if size is None else size]]
        return Inclusion(
            index, leaves[index], tuple(small_tree_path([leaf_hash(leaf) for leaf in leaves], index))
        )

    def own_delivery(self, entry: Entry, owner: str, box: Box) -> OwnDelivery:
        """What the owner of a box is shown of an entry."""
        placed = next(p for p in entry.placed if (p.row.endpoint, p.row.box) == (owner, box))
        return OwnDelivery(placed.row, placed.tail, row_path([p.row for p in entry.placed], placed.row))

    def all_deliveries(self, entry: Entry, author: str) -> AllDeliveries:
        """What the author of an entry is shown of it."""
        own = next(p for p in entry.placed if (p.row.endpoint, p.row.box) == (author, Box.SENT))
        return AllDeliveries(tuple(p.row for p in entry.placed), own.tail)


def found_world(**settings: Any) -> ProtocolWorld:
    """A log with its founding and the broker's keys, and nobody else."""
    world = ProtocolWorld(**settings)
    world.now = NOW
    world.entries = []
    world.state = fresh_state(world.origin)
    world.put(world.founding())
    world.put(world.broker_keys())
    return world


@lru_cache(maxsize=1)
def _usual() -> ProtocolWorld:
    world = found_world()
    # Each statement names the one before it, so each is made only when it is due.
    world.put(world.policy_statement())
    for code in sorted({address.split(".")[0] for address in world.endpoints}):
        world.put(world.authority_statement(code))
    for address in world.endpoints:
        world.put(world.endpoint_statement(address))
        world.put(world.keys_statement(address))
    return world


def make_world() -> ProtocolWorld:
    """The usual world: three governors (quorum 2), four authorities, five endpoints, the policy `TABLE`."""
    return _usual().fork()


def message_id(number: int, time: int = NOW) -> Any:
    """A message id that belongs to a number."""
    return make_message_id(time, seed(f"message {number}")[:10])
