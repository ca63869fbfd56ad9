"""Reading one's own boxes: every page is proven, position by position, before anything of it is used.

A page's entries must follow the box as last verified, each row proven in its leaf, each leaf under the
checkpoint, each document signed by a key that counted at that leaf. No entries means a signed account.

Source: docs/spec/api.md §3.3, §4.2; docs/spec/log.md §5, §8.
"""

from __future__ import annotations

from collections.abc import Callable

from countermark_client._accounts import Accounts
from countermark_client._flows_send import Sender
from countermark_client._gossip import Gossip, Heard
from countermark_client._io import Flow
from countermark_client._keeping import BoxStatement, Keeper, ProvenEntry
from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._models import Notice
from countermark_client._proving import check_signers
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_protocol.accounts import Verdict, state_of
from countermark_protocol.acts import ACT_KINDS, Purge, parse_act, parse_purge
from countermark_protocol.answers import BoxEntry, BoxPage, OwnRecipient, parse_box_page
from countermark_protocol.authors import signer_of
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Kind, Seen
from countermark_protocol.decision import box_for
from countermark_protocol.documents import Document, parse_document, statement_hash, verify_document
from countermark_protocol.errors import InconsistentLogError, ProofError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.proof import verify_leaf, verify_own_delivery
from countermark_protocol.proof_pieces import encode_proof
from countermark_protocol.receipts import (
    Receipt,
    Undelivered,
    parse_receipt,
    parse_undelivered,
)
from countermark_protocol.recipients import recipients_root, verify_recipient
from countermark_protocol.statements import kind_of

#: Which kinds a box may hold.
_KINDS = {
    Box.URGENT: frozenset({Kind.MESSAGE}),
    Box.ROUTINE: frozenset({Kind.MESSAGE}),
    Box.SENT: frozenset({Kind.MESSAGE, Kind.RECEIPT, *ACT_KINDS}),
    Box.NOTICES: frozenset({Kind.RECEIPT, Kind.UNDELIVERED, Kind.PURGE, Kind.MESSAGE}),
}


class Boxes:
    """The boxes of one profile's endpoint."""

    def __init__(self, session: Session, log: LogView, accounts: Accounts, sender: Sender) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._accounts = accounts
        self._gossip = Gossip(session, log)
        self.keeper = Keeper(session, log, sender)

    def read(self, box: Box, wait: float = 0.0) -> Flow[int]:
        """Read and keep the next page of a box.

        Args:
            box: which.
            wait: seconds, 0 to 60, that the broker waits for an entry.

        Returns:
            Entries read; 0 at the end of the box, which the broker has signed.

        Raises:
            VerificationError: something in the answer is not proven; nothing of it is kept.
            InconsistentLogError: two signed facts contradict each other.
        """
        if box is Box.SENT and self.keeper.adopting is None:
            self._log.check_compared()  # what a backup does not know would look like a stranger's entries
        body, digest = yield from self._ask(box, wait)
        return (yield from self.take(box, body, digest))

    def take(self, box: Box, body: bytes, request: bytes | None) -> Flow[int]:
        """Verify and keep the next page of a box, however it came.

        Args:
            box: which.
            body: the page as the broker answered it.
            request: digest of the request it answers, 32 bytes; None for the request of another instance, which
                a bundle brings: an end of the box is then believed as of the time that the broker states.

        Returns:
            As `read`, with its errors.
        """
        entries = yield from self._page(box, body, request)
        roots: list[Seen] = []
        if entries:
            roots = yield from self._gossip.compare(
                [
                    Heard(signer_of(e.document), e.statement.header.seen, e.document.data, e.proof)
                    for e in entries
                ]
            )
        with self._store.transaction():
            for seen in roots:
                self._store.add_known_root(seen.size, seen.root)
            for entry in entries:
                self._store.add_box_entry(box, entry.index, entry.leaf.statement, entry.after)
                self.keeper.keep(box, entry)
        return len(entries)

    def read_all(self, box: Box, each: Callable[[int], None] | None = None) -> Flow[int]:
        """Read a box to its end; how many entries were new."""
        total = 0
        while True:
            count = yield from self.read(box)
            total += count
            if each is not None and count:
                each(total)
            if count == 0:
                return total

    def _ask(self, box: Box, wait: float) -> Flow[tuple[bytes, bytes]]:
        seconds = max(0, min(60, int(wait)))
        path, query = page_target(
            self._session.profile.endpoint,
            box,
            self._store.box_state(box).count,
            self._session.settings.page_size,
            seconds,
        )
        try:
            response, digest = yield from self._session.call(
                "GET",
                path,
                query,
                signer=self._session.signer(),
                wait=seconds,
            )
        except ProblemAnswer as answer:
            raise (yield from self._accounts.error_of(answer)) from None
        return response.body, digest

    def _page(self, box: Box, body: bytes, request: bytes | None) -> Flow[list[ProvenEntry]]:
        state = self._store.box_state(box)
        page = parse_box_page(body)
        newest = page.entries[-1].inclusion if page.entries else None
        checkpoint = yield from self._log.advance(page.checkpoint, newest)
        if page.account is not None:
            yield from self._end_of_box(page, box, state, request)
            return []
        if len(page.entries) > self._session.settings.page_size:
            raise ProofError("page_too_long", "the page holds more entries than were asked for")
        entries: list[ProvenEntry] = []
        for entry in page.entries:
            proven = yield from self._prove(entry, checkpoint, box, state)
            entries.append(proven)
            state = proven.after
        return entries

    def _end_of_box(self, page: BoxPage, box: Box, state: BoxState, request: bytes | None) -> Flow[None]:
        assert page.account is not None
        account, document = yield from self._accounts.check(page.account, request)
        if account.verdict is not Verdict.END_OF_BOX:
            raise ProofError("wrong_verdict", f"expected an account 'end-of-box', got '{account.verdict}'")
        stated = state_of(account, self._session.profile.endpoint, box)
        if stated is None:
            raise ProofError("account_incomplete", f"the account does not state box '{box}'")
        if stated.count > state.count:
            raise InconsistentLogError(
                "account_contradicted",
                f"the broker signs that box '{box}' ends at position {state.count}, and in the same account "
                f"that it has {stated.count} entries",
                document.data,
            )

    def _prove(self, entry: BoxEntry, checkpoint: Checkpoint, box: Box, state: BoxState) -> Flow[ProvenEntry]:
        unverified = parse_document(entry.document)
        kind = kind_of(unverified.claims)
        index = entry.inclusion.index
        if kind not in _KINDS[box]:
            raise ProofError("wrong_box", f"box '{box}' holds a statement of another kind")
        leaf = verify_leaf(entry.inclusion, checkpoint, int(kind), statement_hash(entry.document))
        yield from self._log.follow_leaf(leaf, index)
        proof = encode_proof(checkpoint.raw, entry.inclusion, entry.delivery)
        after = self._follow(entry, leaf, box, state, proof)
        document = verify_document(unverified, self._log.directory.public_key)
        statement = _read(kind, document)
        header = statement.header
        author = statement.sender if isinstance(statement, Manifest) else statement.author
        evidence = (leaf.encode(), document.data, proof)
        if header.log != self._log.directory.origin(index) or header.seen.size > index:
            raise InconsistentLogError(
                "decided_wrongly", f"entry {index} is of another log, or back-dated", *evidence
            )
        by_broker = kind is Kind.UNDELIVERED or (kind is Kind.PURGE and box is Box.NOTICES)
        if by_broker and author != self._log.directory.log(index).broker:
            raise InconsistentLogError("decided_wrongly", f"entry {index} is not by the broker", *evidence)
        check_signers(self._log.directory, document, author, leaf.time, index, evidence)
        self._check_place(box, statement, entry, evidence)
        return ProvenEntry(index, leaf, document, statement, entry, state.count, after, proof)

    def _follow(self, entry: BoxEntry, leaf: Leaf, box: Box, state: BoxState, proof: bytes) -> BoxState:
        """Take an entry into the box, unless an account has denied it.

        Raises:
            InconsistentLogError: ``account_contradicted``.
            ProofError: as `verify_own_delivery`.
        """
        index, owner = entry.inclusion.index, self._session.profile.endpoint
        try:
            after = verify_own_delivery(entry.delivery, leaf, index, owner, box, state)
        except ProofError as error:
            if error.code == "box_gap":  # its row and tail are proven all the same
                self._accounts.check_entry(box, index, entry.document, entry.delivery.tail, proof)
            raise
        self._accounts.check_entry(box, index, entry.document, entry.delivery.tail, proof)
        return after

    def _check_place(
        self,
        box: Box,
        statement: BoxStatement,
        entry: BoxEntry,
        evidence: tuple[bytes, ...],
    ) -> None:
        """Check that the statement belongs into this box of this endpoint."""
        owner = self._session.profile.endpoint
        if box is Box.SENT:
            author = statement.sender if isinstance(statement, Manifest) else statement.author
            if author != owner:
                raise InconsistentLogError("wrong_box", f"box 'sent' holds an entry of {author}", *evidence)
            return
        if isinstance(statement, Manifest) and box is Box.NOTICES:
            if statement.on_behalf_of != owner:
                raise InconsistentLogError(
                    "wrong_box",
                    "box 'notices' holds a message that is not sent in this endpoint's name",
                    *evidence,
                )
        elif isinstance(statement, Manifest):
            if box_for(statement.urgency) is not box:
                raise InconsistentLogError(
                    "wrong_box",
                    f"a message of urgency '{statement.urgency}' stands in box '{box}'",
                    *evidence,
                )
            self._check_recipient(statement, entry)
        elif (
            isinstance(statement, Purge)
            and statement.author != self._log.directory.log(entry.inclusion.index).broker
        ):
            raise InconsistentLogError(
                "wrong_box", f"box 'notices' holds a purge by {statement.author}", *evidence
            )
        elif isinstance(statement, Receipt | Undelivered) and statement.sender != owner:
            raise InconsistentLogError(
                "wrong_box", f"box 'notices' holds an entry about messages of {statement.sender}", *evidence
            )

    def _check_recipient(self, manifest: Manifest, entry: BoxEntry) -> None:
        owner = self._session.profile.endpoint
        if entry.recipient is None or entry.recipient.row.endpoint != owner:
            raise ProofError("recipient_not_listed", "the answer lacks this endpoint's own recipient row")
        verify_recipient(
            entry.recipient.row, entry.recipient.at, manifest.recipient_count, manifest.recipient_root
        )
        if manifest.recipients_visible != (entry.recipients is not None):
            raise ProofError(
                "recipients_mismatch",
                "the table of recipients must be shown exactly where the sender says so",
            )
        if entry.recipients is not None and recipients_root(entry.recipients) != manifest.recipient_root:
            raise ProofError(
                "recipients_mismatch", "the recipients shown are not those that the sender signed"
            )

    def own_recipient(self, box: Box, position: int, document: bytes) -> Flow[OwnRecipient]:
        """One's own recipient row of the message at a position, read again from the box.

        Args:
            box: ``urgent`` or ``routine``.
            position: of the message, verified before.
            document: the signed manifest that stands there.

        Raises:
            ProofError: the broker shows another entry, or a row that the manifest does not commit to.
        """
        endpoint = self._session.profile.endpoint
        path, query = page_target(endpoint, box, position, 1)
        try:
            response, _ = yield from self._session.call("GET", path, query, signer=self._session.signer())
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
        entries = parse_box_page(response.body).entries
        if len(entries) != 1 or entries[0].document != document or entries[0].recipient is None:
            raise ProofError("wrong_entry", "the broker shows another entry at the message's position")
        self._check_recipient(parse_manifest(parse_document(document).claims), entries[0])
        return entries[0].recipient

    # --- reading what is kept ---

    def notices_from(self, start: int) -> list[Notice]:
        """Receipts and notices kept, from a position of the box on."""
        out: list[Notice] = []
        for _, index, time, data in self._store.notices(start):
            unverified = parse_document(data)
            claims = unverified.claims
            kind = kind_of(claims)
            if kind is Kind.MESSAGE:
                payload = unverified.payload_hash
                own = {s.public_key.key_id for s in self._session.profile.keystore.signers(INSTANCE)}
                mine = any(s.key_id in own for s in unverified.signatures)
                unknown = mine and self._store.signed_draft(payload) is None
                out.append(Notice(index, time, parse_manifest(claims), payload, unknown))
            elif kind is Kind.PURGE:
                out.append(Notice(index, time, parse_purge(claims)))
            elif kind is Kind.RECEIPT:
                out.append(Notice(index, time, parse_receipt(claims)))
            else:
                out.append(Notice(index, time, parse_undelivered(claims)))
        return out


def _read(kind: Kind, document: Document) -> BoxStatement:
    if kind is Kind.MESSAGE:
        return parse_manifest(document.claims)
    if kind is Kind.RECEIPT:
        return parse_receipt(document.claims)
    if kind is Kind.UNDELIVERED:
        return parse_undelivered(document.claims)
    return parse_act(document.claims)


def page_target(address: Address, box: Box, start: int, limit: int, wait: int = 0) -> tuple[str, str]:
    """(path, query) of the call for a page of a box."""
    return f"/v1/boxes/{address}/{box.value}", f"from={start}&limit={limit}&wait={wait}"
