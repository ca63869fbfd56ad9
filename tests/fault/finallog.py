"""The final log, verified from the leaves up: what everything that was ever answered is held against."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from countermark_protocol.answers import LoggedStatement
from countermark_protocol.boxes import Box, BoxState, box_head, verify_row, verify_tail
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import UnverifiedDocument, parse_document, statement_hash
from countermark_protocol.errors import CountermarkError, InconsistentLogError, ProofError
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.leaf import Leaf, parse_leaf, verify_succession
from countermark_protocol.merkle import EMPTY_ROOT, Frontier, leaf_hash
from countermark_protocol.proof import verify_leaf
from countermark_protocol.statements import verify_statement
from fault.final import Final, Shown
from fault.findings import Findings, Wrong
from fault.history import History


@dataclass
class Log:
    """The final log.

    Attributes:
        origin: its name.
        leaves: parsed.
        raw_leaves: 115 bytes each.
        roots: by size.
        directory: folded.
        documents: by index; a leaf that nobody can show a document for is not here.
        boxes: (index, statement hash) by position.
        index_of: payload hash → index of its first entry.
        checkpoints: those verified already, by their bytes.
    """

    origin: Origin
    leaves: list[Leaf] = field(default_factory=list)
    raw_leaves: tuple[bytes, ...] = ()
    roots: list[bytes] = field(default_factory=lambda: [EMPTY_ROOT])
    directory: Directory = field(default_factory=Directory)
    documents: dict[int, UnverifiedDocument] = field(default_factory=dict)
    boxes: dict[tuple[Address, Box], list[tuple[int, bytes]]] = field(default_factory=dict)
    index_of: dict[bytes, int] = field(default_factory=dict)
    checkpoints: dict[bytes, Checkpoint | None] = field(default_factory=dict)
    _states: dict[tuple[Address, Box], list[BoxState]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Leaves in it."""
        return len(self.raw_leaves)

    def state_below(self, address: Address, box: Box, size: int) -> BoxState:
        """Count and head of a box over exactly the entries below a size."""
        rows = self.boxes.get((address, box), [])
        states = self._states.setdefault((address, box), [BoxState()])
        for index, statement in rows[len(states) - 1 :]:
            states.append(states[-1].after(index, statement))
        return states[bisect_left(rows, size, key=lambda row: row[0])]

    def checkpoint(self, raw: bytes, found: Findings) -> Checkpoint | None:
        """A checkpoint that was returned some time: signed, and one of this very log; None if it is not."""
        if raw not in self.checkpoints:
            self.checkpoints[raw] = self._judge(raw, found)
        return self.checkpoints[raw]

    def _judge(self, raw: bytes, found: Findings) -> Checkpoint | None:
        try:
            unverified = parse_checkpoint(raw)
            key = self.directory.log_key_for(unverified.size)
            checkpoint = verify_checkpoint(unverified, self.origin, key.raw)
        except CountermarkError as error:
            found.add(Wrong.PROOF, f"a checkpoint that was returned does not verify: {error}")
            return None
        if checkpoint.size > self.size:
            found.add(Wrong.CHECKPOINT, f"size {checkpoint.size} was signed, but the log ends at {self.size}")
            return None
        if self.roots[checkpoint.size] != checkpoint.root:
            found.add(
                Wrong.CHECKPOINT, f"another root was signed for size {checkpoint.size} than the log has"
            )
            return None
        return checkpoint


def read_log(history: History, final: Final, found: Findings) -> Log:
    """Verify the final log; what does not hold is found, and reading goes on as far as it can."""
    log = Log(_origin(final), raw_leaves=final.leaves)
    _read_leaves(log, found)
    _fold(log, final.directory, found)
    newest = log.checkpoint(final.checkpoint, found)
    if newest is not None and newest.size != log.size:
        found.add(Wrong.CHECKPOINT, f"{log.size} leaves were shown under a checkpoint of size {newest.size}")
    for index, document in enumerate(history.before):
        if index >= log.size or log.leaves[index].statement != statement_hash(document):
            found.add(Wrong.LOST, f"entry {index}, logged before the load, is not what it was")
    for (address, box), shown in final.boxes.items():
        _read_box(log, address, box, shown, found)
    for index, document in sorted(log.documents.items()):
        log.index_of.setdefault(document.payload_hash, index)
    return log


def _origin(final: Final) -> Origin:
    return Origin(parse_checkpoint(final.checkpoint).origin)


def _read_leaves(log: Log, found: Findings) -> None:
    frontier, before = Frontier(), None
    seen: dict[bytes, int] = {}
    for index, raw in enumerate(log.raw_leaves):
        leaf = parse_leaf(raw)
        log.leaves.append(leaf)
        frontier = frontier.append(leaf_hash(raw))
        log.roots.append(frontier.root())
        try:
            verify_succession(before, leaf)
        except InconsistentLogError as error:
            kind = Wrong.TIME if error.code == "time_went_back" else Wrong.DIRECTORY
            found.add(kind, f"leaf {index}: {error}")
        if seen.setdefault(leaf.statement, index) != index:
            found.add(Wrong.DOUBLED, f"leaves {seen[leaf.statement]} and {index} are of one statement")
        before = leaf


def _fold(log: Log, statements: tuple[LoggedStatement, ...], found: Findings) -> None:
    for logged in statements:
        try:
            leaf = parse_leaf(logged.leaf)
            unverified = parse_document(logged.document)
            document = verify_statement(log.directory, unverified)
            statement = judge_statement(log.directory, document, leaf.time)
            log.directory.apply(statement, document, logged.index, leaf.time)
        except CountermarkError as error:
            found.add(Wrong.DIRECTORY, f"entry {logged.index} does not fold: {error}")
            continue
        _place(log, logged.index, logged.leaf, unverified, found)
    if log.leaves and log.leaves[-1].dir_head != log.directory.head:
        found.add(Wrong.DIRECTORY, "the last leaf names another directory than the one shown")


def _place(log: Log, index: int, leaf: bytes, document: UnverifiedDocument, found: Findings) -> bool:
    if not 0 <= index < log.size or log.raw_leaves[index] != leaf:
        found.add(Wrong.PROOF, f"a statement was shown with a leaf {index} that is not the log's")
        return False
    log.documents.setdefault(index, document)
    return True


def _read_box(log: Log, address: Address, box: Box, shown: tuple[Shown, ...], found: Findings) -> None:
    state, last = BoxState(), -1
    held: dict[bytes, int] = {}
    where = f"box '{box}' of {address}"
    rows = log.boxes.setdefault((address, box), [])
    for one in shown:
        entry, index = one.entry, one.entry.inclusion.index
        document = parse_document(entry.document)
        statement = statement_hash(entry.document)
        checkpoint = log.checkpoint(one.checkpoint, found)
        if checkpoint is not None:
            try:
                leaf = verify_leaf(entry.inclusion, checkpoint, kind_of(document), statement)
                verify_row(entry.delivery.row, entry.delivery.at, leaf.delivery)
            except CountermarkError as error:
                found.add(Wrong.PROOF, f"{where}, entry {index}: {error}")
        row, tail = entry.delivery.row, entry.delivery.tail
        if (row.endpoint, row.box) != (address, box):
            found.add(Wrong.PROOF, f"{where}: the row shown is of box '{row.box}' of {row.endpoint}")
        _place(log, index, entry.inclusion.leaf, document, found)
        try:
            state = verify_tail(row, tail, index, statement, state)
        except ProofError as error:
            kind = Wrong.PROOF if error.code == "tail_mismatch" else Wrong.ORDER
            found.add(kind, f"{where}: {error}")
            state = BoxState(tail.position + 1, box_head(tail.previous, index, statement))
        if index <= last:
            found.add(Wrong.ORDER, f"{where}: entry {index} stands after entry {last}")
        if document.payload_hash in held:
            found.add(
                Wrong.DOUBLED,
                f"{where} holds one payload as entries {held[document.payload_hash]} and {index}",
            )
        held.setdefault(document.payload_hash, index)
        last = index
        rows.append((index, statement))


def kind_of(document: UnverifiedDocument) -> Kind:
    """The kind that a document states."""
    return next(k for k in Kind if k.name.lower() == document.claims["kind"])
