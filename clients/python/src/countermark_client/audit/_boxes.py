"""National: whole boxes of an authority's endpoints, each position proven against the leaf and the one before it.

A box that does not follow cannot be read beyond that: it stands still there until the broker shows it whole.

Source: docs/spec/audit.md §5.3; docs/spec/log.md §5.7.
"""

from __future__ import annotations

from typing import Final

from countermark_client.audit._derived import Derived
from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._source import Source, shown_json
from countermark_protocol.acts import parse_act
from countermark_protocol.answers import BoxEntry, BoxPage
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.decision import box_for
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import CountermarkError, ProofError
from countermark_protocol.identifiers import Address, AuthorityCode, authority_of
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.proof import verify_own_delivery
from countermark_protocol.receipts import parse_receipt, parse_undelivered
from countermark_protocol.recipients import recipients_root, verify_recipient
from countermark_protocol.statements import kind_of

#: Which kinds a box may hold.
KINDS: Final = {
    Box.URGENT: frozenset({Kind.MESSAGE}),
    Box.ROUTINE: frozenset({Kind.MESSAGE}),
    Box.SENT: frozenset({Kind.MESSAGE, Kind.RECEIPT, Kind.LOOKUP, Kind.DISCLOSURE, Kind.PURGE}),
    Box.NOTICES: frozenset({Kind.RECEIPT, Kind.UNDELIVERED, Kind.PURGE, Kind.MESSAGE}),
}
_BOX_CODES: Final = frozenset({"box_gap", "box_head_mismatch", "tail_mismatch"})


def endpoints_of(directory: Directory, authority: AuthorityCode) -> list[Address]:
    """Every endpoint of an authority that the directory has ever named."""
    addresses = (Address(s.removeprefix("endpoint/")) for s in directory.subjects("endpoint/"))
    return sorted(a for a in addresses if authority_of(a) == authority)


class BoxReader:
    """Reads boxes into a mirror.

    Args:
        mirror: into which.
        tree: over the log's leaves.
        source: which shows them.
        findings: where what is wrong is taken down.
        keeps_bytes: see `Derived`.
    """

    def __init__(
        self, mirror: Mirror, tree: Tree, source: Source, findings: Findings, *, keeps_bytes: bool = True
    ) -> None:
        self._mirror = mirror
        self._tree = tree
        self._source = source
        self._findings = findings
        self._derived = Derived(mirror, keeps_bytes=keeps_bytes)

    def state(self, endpoint: Address, box: Box) -> tuple[BoxState, int]:
        """How far a box was read: its state, and the index of its last entry (-1 if it has none)."""
        row = self._mirror.database.execute(
            "SELECT position, head, idx FROM boxes WHERE endpoint = ? AND box = ? ORDER BY position DESC LIMIT 1",
            (endpoint, box.value),
        ).fetchone()
        return (BoxState(), -1) if row is None else (BoxState(row[0] + 1, row[1]), row[2])

    def read(self, endpoint: Address, box: Box, size: int) -> tuple[BoxPage, bytes] | None:
        """Read a box up to a size of the log, page by page, each in a transaction.

        Args:
            endpoint: whose.
            box: which.
            size: of the log; what lies beyond it is left for later.

        Returns:
            The last page and the digest of its request; None where the box does not follow, and a finding says so.
        """
        while True:
            state, _ = self.state(endpoint, box)
            page, request = self._source.box(endpoint, box, state.count)
            within = [entry for entry in page.entries if entry.inclusion.index < size]
            follows = True
            with self._mirror.transaction():
                for entry in within:
                    after = self._take(entry, endpoint, box, state)
                    if after is None:
                        follows = False
                        break
                    state = after
                self._derived.write()
            if not follows:
                return None
            if len(within) < len(page.entries) or not within:
                return page, request

    def _take(self, entry: BoxEntry, endpoint: Address, box: Box, state: BoxState) -> BoxState | None:
        index, place = entry.inclusion.index, f"box {box} of {endpoint} position {state.count}"
        data = self._tree.leaf(index) or b""
        evidence = {"leaf": data, "document": entry.document, "shown": shown_json(entry)}

        def found(check: Check, expected: str, got: str) -> None:
            self._findings.add(check, place, expected, got, index, **evidence)

        if data != entry.inclusion.leaf:
            found(Check.LEAF, f"the log's leaf {index}", entry.inclusion.leaf.hex())
            return None
        leaf = parse_leaf(data)
        if leaf.statement != statement_hash(entry.document):
            found(
                Check.DOCUMENT,
                f"the document with statement hash {leaf.statement.hex()}",
                f"one with {statement_hash(entry.document).hex()}",
            )
            return None
        try:
            after = verify_own_delivery(entry.delivery, leaf, index, endpoint, box, state)
        except ProofError as error:
            found(
                Check.BOX if error.code in _BOX_CODES else Check.ROW,
                f"entry {index} at position {state.count}, after head {state.head.hex()}",
                str(error),
            )
            return None
        try:
            unverified = parse_document(entry.document)
            kind, author = _author_of(unverified.claims)
            self._check_place(unverified.claims, entry, endpoint, box)
        except ProofError as error:
            found(Check.PLACE if error.code == "wrong_box" else Check.ROW, "an entry of this box", str(error))
        except CountermarkError as error:
            found(Check.FORM, "a statement in its one form", str(error))
            return None
        self._derived.entry(
            index, KIND_NAMES[kind], leaf.time, author, unverified.payload_hash, entry.document
        )
        self._derived.box(endpoint, box, state.count, index, after.head, evidence["shown"])
        return after

    def _check_place(self, claims: JsonObject, entry: BoxEntry, endpoint: Address, box: Box) -> None:
        kind, author = _author_of(claims)
        if kind not in KINDS[box] or (box is Box.SENT and author != endpoint):
            raise ProofError("wrong_box", f"a {KIND_NAMES[kind]} by {author}")
        if kind is Kind.MESSAGE and box is Box.NOTICES:
            if parse_manifest(claims).on_behalf_of != endpoint:
                raise ProofError("wrong_box", "a message that is not sent in this endpoint's name")
        elif kind is Kind.MESSAGE and box is not Box.SENT:
            manifest = parse_manifest(claims)
            if box_for(manifest.urgency) is not box:
                raise ProofError("wrong_box", f"a message of urgency '{manifest.urgency}'")
            own = entry.recipient
            if own is None or own.row.endpoint != endpoint:
                raise ProofError("recipient_not_listed", "the page lacks the endpoint's own recipient row")
            verify_recipient(own.row, own.at, manifest.recipient_count, manifest.recipient_root)
            rows = entry.recipients
            if (rows is not None) != manifest.recipients_visible or (
                rows is not None and recipients_root(rows) != manifest.recipient_root
            ):
                raise ProofError(
                    "recipients_mismatch", "the recipients shown are not those that the sender signed"
                )
        elif box is Box.NOTICES and kind in {Kind.RECEIPT, Kind.UNDELIVERED}:
            about = (parse_receipt if kind is Kind.RECEIPT else parse_undelivered)(claims).sender
            if about != endpoint:
                raise ProofError("wrong_box", f"an entry about messages of {about}")


def _author_of(claims: JsonObject) -> tuple[Kind, Address]:
    kind = kind_of(claims)
    if kind is Kind.MESSAGE:
        return kind, parse_manifest(claims).sender
    if kind is Kind.RECEIPT:
        return kind, parse_receipt(claims).author
    if kind is Kind.UNDELIVERED:
        return kind, parse_undelivered(claims).author
    return kind, parse_act(claims).author
