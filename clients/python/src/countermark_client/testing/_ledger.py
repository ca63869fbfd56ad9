"""The log of a broker in memory: what was decided, in which order, and what proves it.

Source: docs/spec/log.md.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from countermark_client.testing._tree import Tree
from countermark_protocol.acts import Purge, PurgeGround
from countermark_protocol.answers import Accepted, BoxEntry, OwnRecipient, Release
from countermark_protocol.appending import Entry, Placed, append_statement
from countermark_protocol.boxes import Box, BoxState, row_path
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import UnverifiedDocument, parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.keys import Signer
from countermark_protocol.manifest import Manifest
from countermark_protocol.merkle import Frontier, leaf_hash
from countermark_protocol.proof import AllDeliveries, Inclusion, OwnDelivery
from countermark_protocol.receipts import ReceiptStage, Undelivered, parse_receipt
from countermark_protocol.recipients import recipient_path
from countermark_protocol.state import DeliveryStage, LogState, Whole
from countermark_protocol.statements import Statement, kind_of, read_statement, verify_statement
from countermark_protocol.submission import Submission


class Ledger:
    """Entries, boxes and submissions of one log, with a checkpoint over every entry."""

    def __init__(
        self,
        *,
        founding: bytes,
        log_key: Signer,
        node_key: Signer,
        clock: Callable[[], int],
    ) -> None:
        self._log_key = log_key
        self._node_key = node_key
        self._clock = clock
        self._lock = threading.RLock()
        self._tree = Tree()
        self._roots: dict[int, bytes] = {0: Frontier().root()}
        origin = Origin(str(parse_document(founding).claims["log"]))
        self.state = LogState(
            origin=origin,
            directory=Directory(),
            frontier=Frontier(),
            time=0,
            entries=Whole[bytes, int | None](None),
            messages=Whole(None),
            ids=Whole(None),
            parties=Whole(frozenset()),
            boxes=Whole(BoxState()),
            roots=self._roots,
            purges=Whole[bytes, int | None](None),
        )
        self.entries: list[Entry] = []
        self.checkpoint = b""
        self._boxes: dict[tuple[Address, Box], list[int]] = {}
        self._submissions: dict[bytes, Submission] = {}
        self._directory_entries: list[int] = []
        self.post_statement(founding)

    @property
    def origin(self) -> Origin:
        """Name of the log."""
        return self.state.origin

    # --- entries ---

    def _append(self, statement: Statement) -> Entry:
        time = max(self._clock(), self.state.time)
        entry = append_statement(self.state, statement, time, secrets.token_bytes(32))
        self.entries.append(entry)
        self._tree.append(leaf_hash(entry.leaf.encode()))
        for placed in entry.placed:
            self._boxes.setdefault((placed.row.endpoint, placed.row.box), []).append(entry.index)
        if entry.decision.directory is not None:
            self._directory_entries.append(entry.index)
        root = self.state.frontier.root()
        self._roots[self.state.size] = root
        self.checkpoint = sign_checkpoint(
            self.origin, self.state.size, root, self._log_key.sign, self._log_key.public_key.raw
        )
        return entry

    def post_statement(self, data: bytes) -> Entry:
        """Log a directory statement, as ``POST /v1/statements`` does."""
        unverified = parse_document(data)
        known = self._entry_of(unverified.payload_hash)
        if known is not None:
            return known
        return self._append(read_statement(verify_statement(self.state.directory, unverified)))

    def purge_ended(self) -> int:
        """Log the broker's purges of what has been kept as long as its originator asked for; how many."""
        with self._lock:
            now, broker, count = self._clock(), self.state.directory.log().broker, 0
            for payload, submission in list(self._submissions.items()):
                if self.state.purges[payload] is None and submission.manifest.handling.retention_until <= now:
                    purge = Purge(
                        Header(Kind.PURGE, self.origin, self._seen()),
                        broker,
                        payload,
                        PurgeGround.RETENTION_ENDED,
                    )
                    document = parse_document(sign_document(encode_json(purge.to_json()), [self._node_key]))
                    verified = verify_statement(self.state.directory, document)
                    self._append(read_statement(verified, subject=submission.document))
                    count += 1
            return count

    def tick(self) -> int:
        """Log the undelivered notices that are due; how many."""
        with self._lock:
            log, now, count = self.state.directory.log(), self._clock(), 0
            for message in [m for m in self.state.messages.values() if m is not None]:
                if now < message.expires_at + log.undelivered_grace:
                    continue
                for recipient, delivery in sorted(message.deliveries.items()):
                    if delivery.stage is not DeliveryStage.OPEN or delivery.undelivered_index is not None:
                        continue
                    notice = Undelivered(
                        header=Header(Kind.UNDELIVERED, self.origin, self._seen()),
                        author=log.broker,
                        sender=message.sender,
                        message=message.payload_hash,
                        recipient=recipient,
                    )
                    data = sign_document(encode_json(notice.to_json()), [self._node_key])
                    self._append(read_statement(verify_statement(self.state.directory, parse_document(data))))
                    count += 1
            return count

    def _seen(self) -> Seen:
        return Seen(self.state.size, self._roots[self.state.size])

    # --- what is held ---

    def _entry_of(self, payload: bytes) -> Entry | None:
        index = self.state.entries[payload]
        return self.entries[index] if index is not None else None

    def _is_open(self, address: Address, box: Box, position: int) -> bool:
        """Whether a position is logged and no receipt has accepted or rejected its message."""
        held = self._boxes.get((address, box), [])
        if position >= len(held):
            return False
        message = self.state.messages[self.entries[held[position]].document.payload_hash]
        stage = message.deliveries[address].stage if message is not None else None
        return stage in {DeliveryStage.OPEN, DeliveryStage.DELIVERED}

    def manifest(self, message: bytes) -> Manifest:
        """The manifest of a logged message."""
        return self._submissions[message].manifest

    # --- what proves it ---

    def _proof_of(self, entry: Entry, handed_in: UnverifiedDocument | None) -> Accepted:
        own = next((p for p in entry.placed if p.row.box is Box.SENT), None)
        as_handed_in = handed_in is not None and entry.document.data == handed_in.data
        return Accepted(
            checkpoint=self.checkpoint,
            inclusion=self._inclusion(entry.index),
            deliveries=AllDeliveries(tuple(p.row for p in entry.placed), own.tail) if own else None,
            document=None if as_handed_in else entry.document.data,
            releases=self._releases(entry),
        )

    def _releases(self, entry: Entry) -> tuple[Release, ...]:
        if kind_of(entry.document.claims) is not Kind.RECEIPT:
            return ()
        receipt = parse_receipt(entry.document.claims)
        if receipt.stage is not ReceiptStage.DELIVERED:
            return ()
        kept = [i.message for i in receipt.items if self.state.purges[i.message] is None]
        return tuple(Release(message, self._stanza(message, receipt.author)) for message in kept)

    def _stanza(self, message: bytes, recipient: Address) -> bytes:
        submission = self._submissions[message]
        return next(
            s for r, s in zip(submission.rows, submission.stanzas, strict=True) if r.endpoint == recipient
        )

    def _inclusion(self, index: int, size: int | None = None) -> Inclusion:
        path = self._tree.inclusion(index, size or self.state.size)
        return Inclusion(index, self.entries[index].leaf.encode(), path)

    def _entry(self, index: int, address: Address, box: Box) -> BoxEntry:
        entry = self.entries[index]
        rows = [p.row for p in entry.placed]
        own: Placed = next(p for p in entry.placed if (p.row.endpoint, p.row.box) == (address, box))
        recipient, recipients = None, None
        if box in {Box.URGENT, Box.ROUTINE}:
            submission = self._submissions[entry.document.payload_hash]
            row = next(r for r in submission.rows if r.endpoint == address)
            recipient = OwnRecipient(row, recipient_path(submission.rows, address))
            recipients = submission.rows if submission.manifest.recipients_visible else None
        return BoxEntry(
            inclusion=self._inclusion(index),
            delivery=OwnDelivery(own.row, own.tail, row_path(rows, own.row)),
            document=entry.document.data,
            recipient=recipient,
            recipients=recipients,
        )
