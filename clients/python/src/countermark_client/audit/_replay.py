"""Oversight: every decision made again, by the function that made it, and every leaf compared.

Entry by entry in the order of the log: the document is the one that the leaf commits to, its signatures verify, the
rules of then accept it, and it leads to the very leaf. What fails is taken down, and the entry taken for what it is
(`_adopting`). Where the entry itself is not known, nothing after it can be judged: the replay stands still there
until it is shown.

Source: docs/spec/audit.md §5.2; docs/spec/log.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from countermark_client.audit._adopting import adopt, effects_of, skip
from countermark_client.audit._decider import Basis, Decider
from countermark_client.audit._findings import BY_RULE, Check
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._signatures import Pending, Verdict, as_verified
from countermark_protocol.appending import Placed, append_statement
from countermark_protocol.boxes import Box
from countermark_protocol.claims import DIRECTORY_KINDS, KIND_NAMES, Kind
from countermark_protocol.decision import Decision
from countermark_protocol.documents import Document, UnverifiedDocument, parse_document, statement_hash
from countermark_protocol.encoding import encode_json, parse_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.keys import PublicKey
from countermark_protocol.leaf import IGNORABLE_KIND, Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.proof import parse_recipients, recipient_to_json
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.records import keys_in, parse_directory_statement
from countermark_protocol.statements import (
    DirectoryChange,
    DisclosureStatement,
    LookUpStatement,
    MessageStatement,
    PurgeStatement,
    ReceiptStatement,
    Statement,
    UndeliveredStatement,
    act_of,
    header_of,
    purged_by,
    read_statement,
)

#: `entries.kind` of a logged document that is no statement.
NO_STATEMENT = "malformed"
_DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as the broker shows it, or as it was kept.

    Attributes:
        index: of the entry.
        document: the signed document.
        secret: 32 bytes.
        rows: of a message, in order.
    """

    index: int
    document: bytes
    secret: bytes
    rows: tuple[RecipientRow, ...] = ()

    def rows_json(self) -> bytes | None:
        """The rows as they are kept; None where there are none."""
        return encode_json([recipient_to_json(row) for row in self.rows]) if self.rows else None


def rows_of(kept: bytes | None) -> tuple[RecipientRow, ...]:
    """Rows that were kept by `Shown.rows_json`."""
    return parse_recipients(parse_json(kept)) if kept else ()


@dataclass(frozen=True, slots=True)
class Page:
    """Entries whose signatures are being verified.

    Attributes:
        entries: in order, from the first that is not judged yet on.
        parsed: each as a document; None where it is not one.
        pending: waits for the verdicts on those that are.
    """

    entries: tuple[Shown, ...]
    parsed: tuple[UnverifiedDocument | None, ...]
    pending: Pending


class Replay(Decider):
    """Judges the entries of one log.

    Args:
        basis: what they are judged on; verified are the entries that are judged.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        #: Boxes of which another past is known than the log has, until their heads agree again.
        self._diverged = _read_diverged(basis.mirror)
        #: Documents of this page, which are not written yet.
        self._fresh: dict[int, bytes] = {}

    @property
    def verified(self) -> int:
        """Entries that are judged; the index of the next one."""
        return self._state.size

    def prepare(self, entries: Sequence[Shown]) -> Page:
        """Parse a page, and begin to verify its signatures."""
        parsed = tuple(_parse(entry.document) for entry in entries)
        pending = self._signatures.start([p for p in parsed if p is not None], self._resolver(parsed))
        return Page(tuple(entries), parsed, pending)

    def _resolver(self, parsed: Sequence[UnverifiedDocument | None]) -> Callable[[KeyId], PublicKey | None]:
        """Keys of the directory and, since a statement may name the keys that sign it, of this page."""
        fresh: dict[KeyId, PublicKey] = {}
        for document in parsed:
            if document is not None and _is_directory(document):
                fresh |= _keys_named(document)
        return lambda key_id: self._keys(key_id) or fresh.get(key_id)

    def take(self, page: Page) -> bool:
        """Judge a page and write what follows from it, in the caller's transaction.

        Returns:
            False where it stands still: an entry is not known.
        """
        first = page.entries[0].index if page.entries else self.verified
        leaves = self._tree.leaves(first, first + len(page.entries))
        verdicts = iter(page.pending())
        known = True
        for entry, document, leaf in zip(page.entries, page.parsed, leaves, strict=False):
            verdict = next(verdicts) if document is not None else None
            known = self._judge(entry, document, verdict, leaf)
            if not known:
                break
        self._derived.write()
        self._mirror.set_meta("verified", str(self.verified).encode())
        self._mirror.set_meta(_DIVERGED, encode_json(sorted([list(key) for key in self._diverged])))
        self._fresh.clear()
        self._stored.trim()
        return known

    def missing(self, got: str) -> None:
        """Take down that the next entry is not shown."""
        leaf = self._tree.leaf(self.verified)
        self._findings.entry(
            Check.MISSING, self.verified, "the entry whose leaf the log has", got, leaf=leaf or b""
        )

    # --- one entry ---

    def _judge(
        self, entry: Shown, unverified: UnverifiedDocument | None, verdict: Verdict, leaf_data: bytes
    ) -> bool:
        leaf = parse_leaf(leaf_data)
        evidence = {"leaf": leaf_data, "document": entry.document}
        document = as_verified(unverified) if unverified is not None else None
        shown = document.statement_hash if document is not None else statement_hash(entry.document)
        if leaf.statement != shown:
            self._findings.entry(
                Check.DOCUMENT,
                entry.index,
                f"the document with statement hash {leaf.statement.hex()}",
                f"one with {shown.hex()}",
                **evidence,
            )
            return False
        if unverified is None or document is None:
            return self._not_a_statement(entry, leaf, "a document that does not parse", evidence)
        try:
            statement = self._read(document, unverified, entry.rows)
        except CountermarkError as error:
            if error.code == "recipients_root_mismatch":
                self._findings.entry(
                    Check.ROW, entry.index, "the rows that the manifest commits to", str(error), **evidence
                )
                return False
            return self._not_a_statement(entry, leaf, str(error), evidence)
        kind = int(header_of(statement).kind)
        if kind != leaf.kind:
            self._findings.entry(Check.LEAF, entry.index, f"kind {kind}", f"{leaf.kind}", **evidence)
        elif verdict is not None:
            code, message = verdict
            self._findings.entry(
                BY_RULE.get(code, Check.SIGNATURE), entry.index, "signatures that verify", message, **evidence
            )
        elif self._state.entries[document.payload_hash] is not None:
            self._findings.entry(
                Check.TWICE,
                entry.index,
                "a payload that is not logged yet",
                f"that of entry {self._state.entries[document.payload_hash]}",
                **evidence,
            )
        decision, placed, delivery = self._append(entry, statement, leaf, leaf_data)
        self._compare(entry.index, leaf, placed, delivery, evidence)
        self._write(entry, leaf, statement, decision, placed)
        return True

    def _append(
        self, entry: Shown, statement: Statement, leaf: Leaf, leaf_data: bytes
    ) -> tuple[Decision, tuple[Placed, ...], bytes]:
        state, before = self._state, self._state.frontier
        if not self._findings.has(entry.index):
            try:
                made = append_statement(state, statement, max(leaf.time, state.time), entry.secret)
            except CountermarkError as error:
                self._findings.entry(
                    BY_RULE.get(error.code, Check.DECISION),
                    entry.index,
                    f"a refusal: {error.code}",
                    f"an entry, although {error.message}",
                    leaf=leaf_data,
                    document=entry.document,
                )
            else:
                if made.leaf != leaf:
                    state.frontier = before.append(leaf_hash(leaf_data))
                return made.decision, made.placed, made.leaf.delivery
        decision = effects_of(state, statement)
        placed, delivery = adopt(state, statement, decision, leaf, entry.secret)
        return decision, placed, delivery

    def _compare(
        self, index: int, leaf: Leaf, placed: tuple[Placed, ...], delivery: bytes, evidence: dict[str, bytes]
    ) -> None:
        touched = {(p.row.endpoint, p.row.box) for p in placed}
        if delivery == leaf.delivery:
            self._diverged -= touched
        elif not touched & self._diverged:
            self._diverged |= touched
            boxes = ", ".join(f"{p.row.box} of {p.row.endpoint} at {p.tail.position}" for p in placed)
            self._findings.entry(
                Check.DELIVERIES,
                index,
                f"delivery {delivery.hex()}: {boxes or 'to nobody'}",
                leaf.delivery.hex(),
                **evidence,
            )

    def _not_a_statement(self, entry: Shown, leaf: Leaf, got: str, evidence: dict[str, bytes]) -> bool:
        if not leaf.kind & IGNORABLE_KIND:
            self._findings.entry(Check.FORM, entry.index, "a statement in its one form", got, **evidence)
        skip(self._state, leaf)
        self._fresh[entry.index] = entry.document
        self._derived.entry(
            entry.index,
            NO_STATEMENT,
            leaf.time,
            "",
            bytes(32),
            entry.document,
            entry.rows_json(),
            entry.secret,
        )
        return True

    def _read(
        self, document: Document, unverified: UnverifiedDocument, rows: tuple[RecipientRow, ...]
    ) -> Statement:
        named = purged_by(unverified) if unverified.claims.get("kind") == KIND_NAMES[Kind.PURGE] else None
        index = self._state.entries[named] if named is not None else None
        subject = parse_document(self._document(index)) if index is not None else None
        return read_statement(document, rows, subject)

    def _document(self, index: int) -> bytes:
        fresh = self._fresh.get(index)
        if fresh is not None:
            return fresh
        row = self._documents.database.execute(
            "SELECT document FROM entries WHERE idx = ?", (index,)
        ).fetchone()
        return row[0] if row is not None else b""

    # --- what is written ---

    def _write(
        self, entry: Shown, leaf: Leaf, statement: Statement, decision: Decision, placed: tuple[Placed, ...]
    ) -> None:
        derived, index, time, document = self._derived, entry.index, leaf.time, statement.document
        self._fresh[index] = entry.document
        if isinstance(statement, MessageStatement):
            author: str = statement.manifest.sender
            recipients = [row.endpoint for row in statement.rows]
            derived.message(index, time, document, statement.manifest, recipients)
        elif isinstance(statement, ReceiptStatement):
            author = statement.receipt.author
            derived.receipt(index, time, statement.receipt, [m.payload_hash for m in decision.messages])
        elif isinstance(statement, UndeliveredStatement):
            author = statement.notice.author
            derived.undelivered(index, time, statement.notice)
        elif isinstance(statement, DirectoryChange):
            author = parse_directory_statement(document.claims).subject
        else:
            assert isinstance(statement, LookUpStatement | DisclosureStatement | PurgeStatement)
            author = act_of(statement).author
            derived.act(index, time, act_of(statement))
            if isinstance(statement, PurgeStatement):
                derived.purged(index, time, statement.purge)
        kind = KIND_NAMES[header_of(statement).kind]
        derived.entry(
            index, kind, time, author, document.payload_hash, entry.document, entry.rows_json(), entry.secret
        )
        for p in placed:
            derived.box(p.row.endpoint, p.row.box, p.tail.position, index, p.head)


def _parse(data: bytes) -> UnverifiedDocument | None:
    try:
        return parse_document(data)
    except CountermarkError:
        return None


def _is_directory(document: UnverifiedDocument) -> bool:
    return document.claims.get("kind") in {KIND_NAMES[kind] for kind in DIRECTORY_KINDS}


def _keys_named(document: UnverifiedDocument) -> dict[KeyId, PublicKey]:
    try:
        return {key.key_id: key for key in keys_in(parse_directory_statement(document.claims).record)}
    except CountermarkError:
        return {}


def _read_diverged(mirror: Mirror) -> set[tuple[Address, Box]]:
    kept = mirror.meta(_DIVERGED)
    return {(Address(owner), Box(box)) for owner, box in parse_json(kept)} if kept is not None else set()
