"""National: what an authority's endpoints are party to, judged by the rules as of each leaf.

In the order of the log, over all boxes. A national auditor does not know every recipient, nor what others wrote to
each other; what it does not know is not held against the broker. All it knows is judged by the one decision.

Source: docs/spec/audit.md §1, §5.3; docs/spec/log.md §6, §9.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from countermark_client.audit._adopting import effects_of
from countermark_client.audit._decider import Basis, Decider
from countermark_client.audit._findings import BY_RULE, Check
from countermark_client.audit._signatures import Verdict, as_verified
from countermark_protocol.authors import authenticate
from countermark_protocol.boxes import Box
from countermark_protocol.claims import KIND_NAMES, Header, Kind
from countermark_protocol.decision import (
    Decision,
    check_group,
    check_policy,
    check_recipient,
    check_superseded,
    check_times,
    check_type,
    decide,
    deliveries_of,
    facts_of,
    why_two_persons,
)
from countermark_protocol.documents import Document, UnverifiedDocument, parse_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import ConflictError, CountermarkError, PolicyError
from countermark_protocol.identifiers import Address, AuthorityCode, authority_of
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.merkle import Frontier
from countermark_protocol.policy import demand_release
from countermark_protocol.proof import parse_recipient, parse_recipients
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.records import DirectoryStatement, LogRecord
from countermark_protocol.state import Delivery, DeliveryStage, LogState, MessageState
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
    kind_of,
    purged_by,
    read_statement,
)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """An entry as it was read.

    Attributes:
        index: of the entry.
        document: the signed document.
        leaf: of the log.
    """

    index: int
    document: bytes
    leaf: bytes


class Judge(Decider):
    """Judges the entries that boxes held.

    Args:
        basis: what they are judged on.
        authority: whose endpoints these are.
    """

    def __init__(self, basis: Basis, authority: AuthorityCode) -> None:
        super().__init__(basis)
        self._authority = authority
        self.verified = basis.verified

    def judge(self, size: int, progress: Callable[[int, int], None]) -> None:
        """Judge all entries below a size, page by page, each in a transaction."""
        while self.verified < size:
            page = self._page(size)
            with self._mirror.transaction():
                self._take(page)
                self.verified = page[-1].index + 1 if len(page) == _PAGE else size
                self._derived.write()
                self._mirror.set_meta("verified", str(self.verified).encode())
            self._stored.trim()
            progress(self.verified, size)

    def _page(self, size: int) -> list[Known]:
        rows = self._documents.database.execute(
            "SELECT e.idx, e.document, l.leaf FROM entries e JOIN leaves l USING (idx) "
            "WHERE e.idx >= ? AND e.idx < ? ORDER BY e.idx LIMIT ?",
            (self.verified, size, _PAGE),
        )
        return [Known(*row) for row in rows]

    def _take(self, page: Sequence[Known]) -> None:
        parsed = [parse_document(known.document) for known in page]
        pending = self._signatures.start(parsed, self._keys)
        for known, unverified, verdict in zip(page, parsed, pending(), strict=True):
            self._judge(known, unverified, verdict)

    def _judge(self, known: Known, unverified: UnverifiedDocument, verdict: Verdict) -> None:
        index, leaf, document = known.index, parse_leaf(known.leaf), as_verified(unverified)
        state, evidence = self._state, {"leaf": known.leaf, "document": known.document}
        # Of the tree so far, deciding asks for its size alone.
        state.frontier = Frontier(index, (bytes(32),) * index.bit_count())
        if int(kind_of(document.claims)) != leaf.kind:
            self._findings.entry(
                Check.LEAF, index, f"kind {int(kind_of(document.claims))}", f"{leaf.kind}", **evidence
            )
        if verdict is not None:
            self._findings.entry(
                BY_RULE.get(verdict[0], Check.SIGNATURE),
                index,
                "signatures that verify",
                verdict[1],
                **evidence,
            )
        try:
            statement, rows = self._read(document, unverified, index)
            self._learn_recipients(statement)
            if not self._findings.has(index):
                self._decide(statement, document, leaf, rows)
        except CountermarkError as error:
            self._findings.entry(
                BY_RULE.get(error.code, Check.DECISION),
                index,
                f"a refusal: {error.code}",
                f"an entry, although {error.message}",
                **evidence,
            )
            if error.code in {"bad_member", "missing_member", "unknown_member"}:
                return  # no statement: it does nothing
            statement, rows = self._read(document, unverified, index)
        self._apply(statement, document, index, leaf)
        self._check_boxes(statement, rows, index, evidence)

    # --- judging ---

    def _decide(
        self, statement: Statement, document: Document, leaf: Leaf, rows: tuple[RecipientRow, ...]
    ) -> None:
        state = self._state
        if state.entries[document.payload_hash] is not None:
            raise ConflictError("logged_twice", "its payload was logged before")
        if isinstance(statement, MessageStatement):
            _check_header(state, statement.manifest.header)
            signers = authenticate(state.directory, document, statement.manifest.sender, leaf.time)
            self._check_message(statement.manifest, rows, leaf.time, released=signers.release is not None)
        else:
            decide(state, statement, max(leaf.time, state.time))

    def _check_message(
        self, m: Manifest, rows: tuple[RecipientRow, ...], time: int, *, released: bool
    ) -> None:
        state = self._state
        if state.ids[m.sender, m.id] is not None:
            raise ConflictError("id_reused", f"{m.sender} had sent another message with id {m.id}")
        check_times(m, time)
        check_type(m)
        target = state.messages[m.in_reply_to] if m.in_reply_to is not None else None
        if target is not None:
            _check_reply(m, target)
        old = state.messages[m.supersedes] if m.supersedes is not None else None
        if old is not None:
            check_superseded(m, old)
        check_group(state.directory, m, rows)
        # Of what its own endpoints sent, it may know no recipient: what is demanded whoever they are, it knows.
        anybody = facts_of(m, None, frozenset(), time)
        why = why_two_persons(state.directory, anybody, None)
        demand_release(anybody, None, why, released=released)
        for row in rows:
            check_recipient(state.directory, m, row, time)
            # Of what is not known here, the best is assumed.
            replied = None if m.in_reply_to is None else target.sender if target is not None else row.endpoint
            parties = frozenset({row.endpoint}) if m.in_reply_to is not None else frozenset[Address]()
            facts = facts_of(m, replied, parties, time)
            check_policy(state.directory, facts, row.endpoint, released=released)

    def _learn_recipients(self, statement: Statement) -> None:
        """Believe a receipt or notice that its recipient is one, where the message's table is not known whole."""
        if isinstance(statement, ReceiptStatement):
            pairs = [(item.message, statement.receipt.author) for item in statement.receipt.items]
        elif isinstance(statement, UndeliveredStatement):
            pairs = [(statement.notice.message, statement.notice.recipient)]
        else:
            return
        for payload, recipient in pairs:
            message = self._state.messages[payload]
            if (
                message is None
                or recipient in message.deliveries
                or authority_of(recipient) == self._authority
            ):
                continue  # of one's own endpoints the boxes say who received it
            if len(message.deliveries) >= self._recipients(payload):
                continue
            self._derived.delivery(payload, recipient, message.index)
            fresh = Delivery(DeliveryStage.OPEN, message.index)
            self._state.messages[payload] = message.with_delivery(recipient, fresh)

    def _recipients(self, payload: bytes) -> int:
        self._derived.write()
        row = self._mirror.database.execute(
            "SELECT recipients FROM messages WHERE payload = ?", (payload,)
        ).fetchone()
        return int(row[0]) if row is not None else 0

    # --- reading ---

    def _read(
        self, document: Document, unverified: UnverifiedDocument, index: int
    ) -> tuple[Statement, tuple[RecipientRow, ...]]:
        if unverified.claims.get("kind") == KIND_NAMES[Kind.MESSAGE]:
            rows = self._rows(index)
            return MessageStatement(document, parse_manifest(document.claims), rows), rows
        named = purged_by(unverified)
        message = self._state.messages[named] if named is not None else None
        subject = parse_document(self._document(message.index)) if message is not None else None
        return read_statement(document, (), subject), ()

    def _document(self, index: int) -> bytes:
        row = self._documents.database.execute(
            "SELECT document FROM entries WHERE idx = ?", (index,)
        ).fetchone()
        return row[0] if row is not None else b""

    def _rows(self, index: int) -> tuple[RecipientRow, ...]:
        """The recipient rows of a message that this authority's boxes show, each once."""
        found: dict[Address, RecipientRow] = {}
        for (shown,) in self._documents.database.execute(
            "SELECT shown FROM boxes WHERE idx = ? AND shown IS NOT NULL", (index,)
        ):
            members = parse_object(shown, "kept box entry")
            rows = list(parse_recipients(members["recipients"])) if "recipients" in members else []
            if "recipient" in members:
                rows.append(parse_recipient(members["recipient"]["row"]))
            found |= {row.endpoint: row for row in rows}
        return tuple(found.values())

    # --- what follows ---

    def _apply(self, statement: Statement, document: Document, index: int, leaf: Leaf) -> None:
        state, derived, time = self._state, self._derived, leaf.time
        decision = effects_of(state, statement)
        for message in decision.messages:
            if message.index == index:
                state.ids[message.sender, message.id] = message.payload_hash
            state.messages[message.payload_hash] = message
        if decision.purged is not None:
            state.purges[decision.purged.payload_hash] = index
        state.entries[document.payload_hash] = index
        state.time = max(state.time, time)
        if isinstance(statement, MessageStatement):
            derived.message(index, time, document, statement.manifest, [r.endpoint for r in statement.rows])
        elif isinstance(statement, ReceiptStatement):
            derived.receipt(index, time, statement.receipt, [m.payload_hash for m in decision.messages])
        elif isinstance(statement, UndeliveredStatement):
            derived.undelivered(index, time, statement.notice)
        elif isinstance(statement, DirectoryChange):
            assert decision.directory is not None
            self._check_predecessor(decision.directory, index, document.data)
            state.directory.apply(decision.directory, document, index, time)
            state.origin = state.directory.origin()
        else:
            derived.act(index, time, act_of(statement))
            if isinstance(statement, PurgeStatement):
                derived.purged(index, time, statement.purge)

    def _check_predecessor(self, statement: DirectoryStatement, index: int, document: bytes) -> None:
        """Check that a succession begins with the very leaves that this log had before it."""
        record = statement.record
        predecessor = record.predecessor if isinstance(record, LogRecord) else None
        if predecessor is None or self._state.roots[index] == predecessor.root:
            return
        self._findings.entry(
            Check.DECISION,
            index,
            f"a succession of leaves with root {self._state.roots[index].hex()}",
            predecessor.root.hex(),
            document=document,
        )

    def _check_boxes(
        self,
        statement: Statement,
        rows: tuple[RecipientRow, ...],
        index: int,
        evidence: dict[str, bytes],
    ) -> None:
        """Check that an entry stands in every box of this authority's endpoints into which it belongs."""
        if isinstance(statement, DirectoryChange):
            return
        wanted = {
            (endpoint, box.value)
            for endpoint, box in _deliveries(self._state, statement, rows)
            if authority_of(endpoint) == self._authority
        }
        found = self._mirror.database.execute("SELECT endpoint, box FROM boxes WHERE idx = ?", (index,))
        got = {(Address(row[0]), row[1]) for row in found}
        if got != wanted:
            self._findings.entry(
                Check.DELIVERIES,
                index,
                ", ".join(f"{box} of {endpoint}" for endpoint, box in sorted(wanted)) or "no box",
                ", ".join(f"{box} of {endpoint}" for endpoint, box in sorted(got)) or "no box",
                **evidence,
            )


def _deliveries(
    state: LogState, statement: Statement, rows: tuple[RecipientRow, ...]
) -> set[tuple[Address, Box]]:
    if isinstance(statement, MessageStatement):
        m = statement.manifest
        return {(m.sender, Box.SENT), *deliveries_of(m, [row.endpoint for row in rows])}
    assert isinstance(
        statement,
        ReceiptStatement | UndeliveredStatement | LookUpStatement | DisclosureStatement | PurgeStatement,
    )
    decision: Decision = effects_of(state, statement)
    return set(decision.deliveries)


def _check_header(state: LogState, header: Header) -> None:
    """The checks of every statement that `decide` makes for those it sees whole."""
    if header.log != state.origin:
        raise PolicyError("wrong_log", f"it was made for log '{header.log}'")
    if header.seen.size > state.size:
        raise ConflictError("seen_ahead", f"it states to have seen a log of size {header.seen.size}")
    if state.roots[header.seen.size] != header.seen.root:
        raise ConflictError("seen_other_root", f"it states another root for size {header.seen.size}")


def _check_reply(m: Manifest, target: MessageState) -> None:
    if target.conversation != m.conversation:
        raise ConflictError("conversation_mismatch", "the message replied to belongs to another conversation")
    if target.exercise != m.exercise:
        raise PolicyError("exercise_mismatch", "a reply carries on whether its conversation is an exercise")
