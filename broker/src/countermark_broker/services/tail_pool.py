"""What all hand-backs and mirrors together hold of one entry: its leaf, its record, what lies beside it.

A record comes whole from an oversight mirror. From parties it is put together: the leaf from a mirror of the leaves, or
from the proof that the party was given; the document and rows from its author, or the document from whoever received it
and the rows from all its recipients; the secret from this broker's entry key. Such a record is a *guess* until replay
gives the very leaf. What belongs to another entry than the leaf says is left out here, or told by the name of its file.

Source: docs/spec/export.md §6.6 to §6.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.log.tails import Tail, entry_record
from countermark_broker.services.checking import check_enclosed, check_record
from countermark_broker.services.elsewhere import MirroredLeaves
from countermark_broker.store.reading import EntryRecord
from countermark_broker.store.writing import Enclosed
from countermark_protocol.appending import entry_secret
from countermark_protocol.audit_answers import ENTRY_SECRET_BYTES
from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.documents import UnverifiedDocument, parse_document, statement_hash
from countermark_protocol.errors import CountermarkError
from countermark_protocol.hand_back import TailRecord
from countermark_protocol.identifiers import Origin
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.recipients import RecipientRow, order_rows, recipients_root
from countermark_protocol.submission import Submission, parse_submission

_NO_DELIVERY: Final = bytes(32)
_LEAVE_OUT: Final = (
    "leave that file out, and ask its holder for another one; nothing was written "
    "(docs/operations/backup-and-restore.md §5)"
)
#: Who can have an entry of a kind, beside oversight auditors.
_WHO: Final = {
    Kind.MESSAGE: "its sender; or all its recipients together",
    Kind.RECEIPT: "the recipient that stated it, or the sender of the messages that it is about",
    Kind.UNDELIVERED: "the sender of the message that it is about",
    Kind.LOOKUP: "the auditor that looked",
    Kind.DISCLOSURE: "the endpoint that disclosed",
    Kind.PURGE: "the sender of the message that it deletes",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """What nobody handed back.

    Attributes:
        index: of the entry.
        message: what it is, and who could have it; for people.
        kind: of the entry; None where its leaf is not known.
        time: of its leaf, ms since 1970; None where it is not known.
    """

    index: int
    message: str
    kind: str | None = None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that can be written.

    Attributes:
        record: of it.
        source: name of the file that it comes from, for people.
        guessed: its secret is made by the entry key: only replay tells whether it is the right one.
    """

    record: EntryRecord
    source: str
    guessed: bool = False


def differs(name: str, what: str) -> FatalError:
    """A file holds something that was not logged here."""
    return FatalError("tail_differs", f"{name}: {what}", _LEAVE_OUT)


class Pool:
    """Everything that was handed back, entry by entry.

    Args:
        origin: of the log.
        tails: the files.
        leaves: of mirrors.
        entry_key: from which this broker makes secrets; None: it has none.
    """

    def __init__(
        self, origin: Origin, tails: Sequence[Tail], leaves: Sequence[MirroredLeaves], entry_key: bytes | None
    ) -> None:
        self._origin = origin
        self._tails = tails
        self._leaves = leaves
        self._entry_key = entry_key

    @property
    def tails(self) -> Sequence[Tail]:
        """The files."""
        return self._tails

    # --- leaves ---

    def mirrored(self, index: int) -> tuple[bytes, str] | None:
        """The leaf of an entry from a mirror, and whose it is."""
        for one in self._leaves:
            if (leaf := one.leaf(index)) is not None:
                return leaf, one.source
        return None

    def leaf(self, index: int) -> tuple[bytes, str] | None:
        """The leaf of an entry, and who holds it: from a mirror proven, else as a file says."""
        if (found := self.mirrored(index)) is not None:
            return found
        for tail in self._tails:
            if (record := tail.record(index)) is not None:
                return record.leaf, tail.name
        for tail in self._tails:
            if (statement := tail.statement(index)) is not None:
                return statement.proof.inclusion.leaf, tail.name
            for copy in tail.copies(index):
                return copy.leaf, tail.name
        return None

    # --- records ---

    def find(self, index: int) -> Found | None:
        """The record of an entry, if the files together have it.

        Raises:
            FatalError: ``tails_differ``, ``tail_differs``: what they hold is not of one history, or was altered.
        """
        holders = [tail for tail in self._tails if index in tail.records]
        if not holders:
            return self._put_together(index)
        record = self._record(holders[0], index)
        for other in holders[1:]:
            if self._record(other, index).leaf != record.leaf:
                raise FatalError(
                    "tails_differ",
                    f"entry {index}: {holders[0].name} and {other.name} hold different leaves: one of them is "
                    "of another history, or was altered",
                    "give one of them at a time, to see which one leads to the published root",
                )
        mirrored = self.mirrored(index)
        if mirrored is not None and mirrored[0] != record.leaf:
            raise differs(
                holders[0].name,
                f"entry {index} has another leaf than {mirrored[1]} holds under a checkpoint that the log signed",
            )
        return Found(record, holders[0].name)

    def _record(self, tail: Tail, index: int) -> EntryRecord:
        found = tail.record(index)
        assert found is not None
        return _checked(tail.name, found)

    def _put_together(self, index: int) -> Found | None:
        known, document = self.leaf(index), self._document(index)
        if known is None or document is None:
            return None
        data, source = document
        leaf = _parsed(*known, index)
        rows: tuple[RecipientRow, ...] | None = ()
        if leaf.kind == Kind.MESSAGE:
            rows = self.rows(index, parse_document(data))
        if rows is None:
            return None
        needed = leaf.delivery != _NO_DELIVERY
        if self._entry_key is not None:
            secret = entry_secret(self._entry_key, self._origin, index, leaf.statement)
        elif needed:
            return None
        else:
            # No row comes of it.
            secret = bytes(ENTRY_SECRET_BYTES)
        record = _checked(source, TailRecord(index, known[0], data, secret, rows))
        return Found(record, source, guessed=needed)

    def _document(self, index: int) -> tuple[bytes, str] | None:
        """The signed document that the leaf of an entry names, and the file that it comes from."""
        known = self.leaf(index)
        if known is None:
            return None
        statement = _parsed(*known, index).statement
        for document, tail in self._documents(index):
            if statement_hash(document.data) == statement:
                return document.data, tail.name
        return None

    def _documents(self, index: int) -> Iterator[tuple[UnverifiedDocument, Tail]]:
        for tail in self._tails:
            if (held := tail.statement(index)) is not None:
                if held.is_message:
                    yield _submission(tail, index, held.body).document, tail
                else:
                    yield _readable(tail, index, held.body), tail
            for copy in tail.copies(index):
                yield parse_document(copy.document), tail

    def rows(self, index: int, document: UnverifiedDocument) -> tuple[RecipientRow, ...] | None:
        """All recipient rows of a message, if its sender or all its recipients gave them."""
        manifest = parse_manifest(document.claims)
        pooled: dict[bytes, RecipientRow] = {}
        for tail in self._tails:
            held = tail.statement(index)
            if held is not None and held.is_message:
                rows = _submission(tail, index, held.body).rows
                if _root_of(rows) == manifest.recipient_root:
                    return rows
            for copy in tail.copies(index):
                pooled |= {row.digest(): row for row in copy.rows}
        rows = order_rows(tuple(pooled.values()))
        return rows if _root_of(rows) == manifest.recipient_root else None

    # --- what lies beside ---

    def enclosed(self, record: EntryRecord) -> Enclosed | None:
        """What parties kept of a message: all from its sender, or from its recipients what each has.

        Raises:
            FatalError: ``tail_differs``: a file holds another stanza or content than was signed.
        """
        for tail in self._tails:
            held = tail.statement(record.index)
            if held is None or not held.is_message:
                continue
            submission = _submission(tail, record.index, held.body)
            enclosed = Enclosed(record.rows, submission.stanzas, submission.content, submission.pieces)
            if submission.rows != record.rows or any(check_enclosed(record, enclosed)):
                raise differs(
                    tail.name, f"entry {record.index}: it holds another message than was logged there"
                )
            return enclosed
        return self._from_recipients(record)

    def _from_recipients(self, record: EntryRecord) -> Enclosed | None:
        content: bytes | None = None
        stanzas: dict[bytes, bytes] = {}
        lists: tuple[tuple[bytes, ...], ...] = ()
        for tail in self._tails:
            for copy in tail.copies(record.index):
                own = dict(zip((row.digest() for row in copy.rows), copy.stanzas, strict=True))
                mine = tuple(own.get(row.digest(), b"") for row in record.rows)
                wrong = [
                    found.message
                    for found in check_enclosed(
                        record, Enclosed(record.rows, mine, copy.content, copy.pieces)
                    )
                    if found.code not in {"stanza_missing", "content_missing", "attachment_missing"}
                ]
                if wrong:
                    raise differs(tail.name, wrong[0])
                stanzas |= {digest: stanza for digest, stanza in own.items() if stanza}
                content = copy.content if copy.content is not None else content
                # Each has those that it has fetched: what one lacks another may have.
                both = zip_longest(lists, copy.pieces, fillvalue=())
                lists = tuple(known or more for known, more in both)
        if content is None and not stanzas:
            return None
        known = tuple(stanzas.get(r.digest(), b"") for r in record.rows)
        return Enclosed(record.rows, known, content, lists)

    # --- what is missing ---

    def missing(self, index: int) -> Missing:
        """What to say of an entry that `find` does not find."""
        known = self.leaf(index)
        more = f"an oversight auditor's mirror of at least {index + 1} entries has it, or a newer backup"
        if known is None:
            return Missing(index, f"entry {index} is missing: {more}")
        leaf = _parsed(*known, index)
        kind = _kind_name(leaf.kind)
        who = _who(leaf.kind)
        what = f"entry {index}, {kind} of {in_utc(leaf.time)}"
        document = self._document(index)
        if document is None:
            message = f"{what}, is missing: {who} may have it; {more}"
        else:
            name = f"{what}, was handed back in {document[1]} ({self._holder(document[1])})"
            if leaf.kind == Kind.MESSAGE and self.rows(index, parse_document(document[0])) is None:
                message = f"{name}, but not the rows of all its recipients: {who}; {more}"
            else:
                message = f"{name}, but not the entry's secret, and this broker has no entry key: {more}"
        return Missing(index, message, kind, leaf.time)

    def other_secret(self, record: EntryRecord) -> Missing:
        """What to say of an entry whose secret did not come from this broker's entry key."""
        leaf = record.parsed_leaf()
        kind = _kind_name(leaf.kind)
        message = (
            f"entry {record.index}, {kind} of {in_utc(leaf.time)}, was handed back, but its secret was not made with "
            "this broker's entry key (by another node, or before there was one): an oversight auditor's mirror of at "
            f"least {record.index + 1} entries has it, or a newer backup"
        )
        return Missing(record.index, message, kind, leaf.time)

    def _holder(self, name: str) -> str:
        return next(tail.header.holder for tail in self._tails if tail.name == name)


def in_utc(milliseconds: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _checked(name: str, found: TailRecord) -> EntryRecord:
    try:
        record = entry_record(found)
    except CountermarkError as error:
        raise differs(name, f"entry {found.index}: {error.message}") from error
    for finding in check_record(record):
        raise differs(name, finding.message)
    return record


def _kind_name(kind: int) -> str:
    return KIND_NAMES[Kind(kind)] if kind in KIND_NAMES else f"kind {kind}"


def _who(kind: int) -> str:
    return _WHO[Kind(kind)] if kind in _WHO else "every participant, since it is of the directory,"


def _parsed(data: bytes, source: str, index: int) -> Leaf:
    try:
        return parse_leaf(data)
    except CountermarkError as error:
        raise differs(source, f"entry {index}: {error.message}") from error


def _readable(tail: Tail, index: int, body: bytes) -> UnverifiedDocument:
    try:
        return parse_document(body)
    except CountermarkError as error:
        raise differs(tail.name, f"entry {index}: {error.message}") from error


def _submission(tail: Tail, index: int, body: bytes) -> Submission:
    try:
        return parse_submission(body)
    except CountermarkError as error:
        raise differs(tail.name, f"entry {index}: {error.message}") from error


def _root_of(rows: Sequence[RecipientRow]) -> bytes | None:
    try:
        return recipients_root(rows) if rows else None
    except CountermarkError:
        return None
