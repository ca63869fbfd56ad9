"""Hand-backs as the broker reads them: where each entry lies in which file, read one by one when needed.

Nothing here judges what a file says (services/recovery.py does), only that it is the file that was written.

Source: docs/spec/export.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from countermark_broker.errors import ConfigurationError
from countermark_broker.store.reading import EntryRecord
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.documents import parse_document
from countermark_protocol.hand_back import (
    HandBackFrame,
    HandBackHeader,
    HeldStatement,
    KeptEntry,
    TailRecord,
    parse_hand_back_header,
    parse_held_statement,
    parse_kept_entry,
    parse_tail_record,
    read_hand_back,
)
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.statements import kind_of


@dataclass(slots=True)
class Tail:
    """One file, opened; its digest is right.

    Attributes:
        name: of the file, for people.
        header: what it says of itself.
        checkpoints: in it, not verified.
        records: index → where the frame lies.
        held: index → where the frame lies.
        kept: index → where the frames lie: one holder may have sent and received an entry.
    """

    name: str
    header: HandBackHeader
    checkpoints: list[UnverifiedCheckpoint] = field(default_factory=list)
    records: dict[int, tuple[int, int]] = field(default_factory=dict)
    held: dict[int, tuple[int, int]] = field(default_factory=dict)
    kept: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    file: BinaryIO | None = None

    def record(self, index: int) -> TailRecord | None:
        """The record of an entry, if the file has it."""
        place = self.records.get(index)
        return parse_tail_record(self._read(*place)) if place is not None else None

    def statement(self, index: int) -> HeldStatement | None:
        """The statement kept by its author, if the file has it."""
        place = self.held.get(index)
        return parse_held_statement(self._read(*place)) if place is not None else None

    def statements(self) -> Iterator[HeldStatement]:
        """All statements kept by their author, in the order of the log."""
        for index in sorted(self.held):
            found = self.statement(index)
            assert found is not None
            yield found

    def copies(self, index: int) -> Iterator[KeptEntry]:
        """An entry as a party has kept it, if the file has it."""
        for place in self.kept.get(index, ()):
            yield parse_kept_entry(self._read(*place))

    def all_copies(self) -> Iterator[KeptEntry]:
        """All entries as a party has kept them, in the order of the log."""
        for index in sorted(self.kept):
            yield from self.copies(index)

    def _read(self, offset: int, length: int) -> bytes:
        assert self.file is not None
        self.file.seek(offset)
        return self.file.read(length)


@contextmanager
def open_tails(paths: Iterable[Path], log: str) -> Iterator[tuple[Tail, ...]]:
    """Open hand-backs of one log.

    Args:
        paths: of the files.
        log: origin.

    Raises:
        MalformedError: ``bad_hand_back``, or what a frame is refused with.
        ConfigurationError: ``tail_of_other_log``.
    """
    with ExitStack() as stack:
        yield tuple(_open(stack.enter_context(path.open("rb")), path.name, log) for path in paths)


def _open(file: BinaryIO, name: str, log: str) -> Tail:
    tail: Tail | None = None
    for kind, payload in read_hand_back(file.read):
        place = file.tell() - len(payload), len(payload)
        if tail is None:
            # The first frame is the header.
            tail = Tail(name, parse_hand_back_header(payload), file=file)
        elif kind is HandBackFrame.RECORD:
            tail.records[parse_tail_record(payload).index] = place
        elif kind is HandBackFrame.HELD:
            tail.held[parse_held_statement(payload).index] = place
        elif kind is HandBackFrame.KEPT:
            tail.kept.setdefault(parse_kept_entry(payload).index, []).append(place)
        else:
            tail.checkpoints.append(parse_checkpoint(payload))
    if tail is None or tail.header.log != log:
        theirs = tail.header.log if tail is not None else ""
        raise ConfigurationError("tail_of_other_log", f"{name} is of log '{theirs}', not '{log}'")
    return tail


def entry_record(record: TailRecord) -> EntryRecord:
    """A record as the database keeps it; what is indexed beside it is worked out, never taken from the file.

    Raises:
        MalformedError: its leaf or document cannot be read.
    """
    leaf, document = parse_leaf(record.leaf), parse_document(record.document)
    number = leaf.dir_count - 1 if kind_of(document.claims) in DIRECTORY_KINDS else None
    return EntryRecord(
        record.index,
        record.leaf,
        record.document,
        record.secret,
        record.rows,
        leaf.kind,
        document.payload_hash,
        number,
    )
