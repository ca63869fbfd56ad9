"""Appending: turns a decision into a leaf, rows and a new state.

The broker's commit routine, the test broker, `rebuild` and the auditor's replay all run this function.

Source: docs/spec/log.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from countermark_protocol.boxes import Box, BoxState, Row, Tail, delivery_root, extend_box
from countermark_protocol.decision import Decision, decide
from countermark_protocol.documents import Document
from countermark_protocol.encoding import labelled_hash, labelled_hmac
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.leaf import Leaf
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.state import LogState
from countermark_protocol.statements import Statement, header_of


@dataclass(frozen=True, slots=True)
class Placed:
    """One delivery of an entry, with its opened tail.

    Attributes:
        row: as the leaf's delivery root covers it.
        tail: what its owner may see.
        head: of the box after this entry, 32 bytes.
    """

    row: Row
    tail: Tail
    head: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement that has become an entry of the log.

    Attributes:
        index: of the entry.
        leaf: its leaf.
        document: the signed document.
        secret: 32 random bytes from which its salts come.
        placed: its deliveries.
        decision: what was decided.
    """

    index: int
    leaf: Leaf
    document: Document
    secret: bytes
    placed: tuple[Placed, ...]
    decision: Decision


def entry_secret(key: bytes, origin: Origin, index: int, statement: bytes) -> bytes:
    """The secret of an entry, from a key that is kept apart from the database.

    Whoever holds the key makes it again for a statement that was lost with the database; to everybody else it is as
    random as a drawn one.

    Args:
        key: 32 uniformly random bytes, for this alone.
        origin: of the log.
        index: of the entry.
        statement: hash of its signed document, 32 bytes.

    Source: docs/spec/log.md 5.9.
    """
    return labelled_hmac("entry-secret", key, origin.encode(), index.to_bytes(8, "big"), statement)


def entry_key_id(key: bytes) -> str:
    """A name of an entry key, 16 hex digits, to see whether two nodes hold the same; tells nothing of it."""
    return labelled_hash("entry-key-id", key).hex()[:16]


def append_statement(state: LogState, statement: Statement, time: int, secret: bytes) -> Entry:
    """Decide upon a statement and, if it is accepted, append it.

    Args:
        state: changed only when the statement is accepted.
        statement: not logged yet.
        time: of the leaf, ms since 1970.
        secret: 32 bytes that nobody else can tell, for this entry alone (from the entry record, when replaying).

    Raises:
        CountermarkError: as `decide`; the state is as it was.
        ValueError: time is below that of the last leaf.
    """
    if time < state.time:
        msg = "a leaf's time never decreases"
        raise ValueError(msg)
    decision = decide(state, statement, time)
    index, document = state.size, statement.document
    head, count = state.directory.head, state.directory.count
    if decision.directory is not None:
        head = state.directory.head_with(decision.directory, document, index, time)
        count += 1
    placed, boxes = place(state, decision.deliveries, secret, document.statement_hash)
    leaf = Leaf(
        kind=int(header_of(statement).kind),
        time=time,
        dir_count=count,
        dir_head=head,
        statement=document.statement_hash,
        delivery=delivery_root([p.row for p in placed]),
    )
    # Nothing below can fail: from here on the statement is part of the state.
    apply_decision(state, document, decision, boxes, time)
    state.frontier = state.frontier.append(leaf_hash(leaf.encode()))
    state.time = time
    return Entry(index, leaf, document, secret, placed, decision)


def place(
    state: LogState, deliveries: Iterable[tuple[Address, Box]], secret: bytes, statement: bytes
) -> tuple[tuple[Placed, ...], dict[tuple[Address, Box], BoxState]]:
    """The rows of the next entry, and the boxes as they are with it; changes nothing.

    Args:
        state: before it.
        deliveries: the boxes it is put into, no box twice.
        secret: of the entry, 32 bytes.
        statement: hash of the signed document, 32 bytes.
    """
    placed: list[Placed] = []
    boxes: dict[tuple[Address, Box], BoxState] = {}
    for owner, box in deliveries:
        row, tail, after = extend_box(secret, owner, box, state.boxes[owner, box], state.size, statement)
        placed.append(Placed(row, tail, after.head))
        boxes[owner, box] = after
    return tuple(placed), boxes


def apply_decision(
    state: LogState,
    document: Document,
    decision: Decision,
    boxes: Mapping[tuple[Address, Box], BoxState],
    time: int,
) -> None:
    """Make of the state what the next entry makes of it, but for the tree and its time.

    Args:
        state: changed.
        document: of the entry.
        decision: what it does.
        boxes: from `place`.
        time: of its leaf, ms since 1970.
    """
    index = state.size
    if decision.directory is not None:
        state.directory.apply(decision.directory, document, index, time)
        state.origin = decision.directory.header.log
    state.boxes.update(boxes)
    for message in decision.messages:
        if message.index == index:
            state.ids[message.sender, message.id] = message.payload_hash
            state.parties[message.conversation] = state.parties[message.conversation].union(
                (message.sender,), message.deliveries
            )
        state.messages[message.payload_hash] = message
    if decision.purged is not None:
        state.purges[decision.purged.payload_hash] = index
    state.entries[document.payload_hash] = index
