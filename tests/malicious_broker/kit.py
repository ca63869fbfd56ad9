"""A broker whose operator has turned: the log's own keys, and no rule that holds it.

It is the testing broker with all that it holds, so that whatever it signs is really signed. What it can do beyond
its task are the primitives below; an act is made of them.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
import threading
from dataclasses import replace

import httpx

from countermark_client import Client, testing
from countermark_client.testing import TestBroker, TestTransport, World
from countermark_client.testing._desk import Refused
from countermark_client.testing._tree import Tree
from countermark_protocol.accounts import Account, StatedBox, Verdict
from countermark_protocol.appending import Entry, Placed
from countermark_protocol.boxes import Box, BoxState, delivery_root, extend_box
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.decision import Decision, box_for
from countermark_protocol.documents import (
    Document,
    UnverifiedDocument,
    parse_document,
    sign_document,
    statement_hash,
)
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf
from countermark_protocol.merkle import Frontier, leaf_hash
from countermark_protocol.receipts import Receipt, parse_receipt, parse_undelivered
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.state import Delivery, DeliveryStage, MessageState
from countermark_protocol.statements import kind_of
from countermark_protocol.submission import Submission, encode_submission, parse_submission

KENYA, MOMBASA, BELGIUM, TANZANIA = (
    Address(a) for a in ("ke.police.nairobi", "ke.police.mombasa", "be.contact.federal", "tz.contact.dar")
)


class MaliciousBroker(TestBroker):
    """See above.

    Attributes:
        claimed: what accounts state of a box, where it is not the truth.
        denied: messages of which it signs that it does not hold them.
        refusing: what it refuses every message with, if not None.
        dropped: calls whose path ends so are never answered, nor looked at.
    """

    claimed: dict[tuple[Address, Box], BoxState]
    denied: frozenset[bytes]
    refusing: CountermarkError | None
    dropped: tuple[str, ...]

    @classmethod
    def take_over(cls, world: World) -> MaliciousBroker:
        """Put a malicious broker in the place of an honest one: same keys, same log."""
        broker = cls.__new__(cls)
        broker.__dict__.update(world.broker.__dict__)
        broker.claimed, broker.denied, broker.dropped = {}, frozenset(), ()
        broker.refusing = None
        world.broker = world.transport.broker = broker
        return broker

    # --- more than one log ---

    def fork(self) -> MaliciousBroker:
        """The same log once more: what is appended to one is not in the other. Also a backup."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._lock = threading.RLock()
        other._tree, other._roots = copy.deepcopy(self._tree), dict(self._roots)
        other.entries, other._directory_entries = list(self.entries), list(self._directory_entries)
        other._boxes = {key: list(held) for key, held in self._boxes.items()}
        other._submissions, other._leases = dict(self._submissions), dict(self._leases)
        other.claimed, other.requests = dict(self.claimed), []
        other.witnessed, other.stamps = list(self.witnessed), list(self.stamps)
        s = self.state
        other.state = replace(
            s,
            directory=s.directory.copy(),
            entries=copy.copy(s.entries),
            messages=copy.copy(s.messages),
            ids=copy.copy(s.ids),
            parties=copy.copy(s.parties),
            boxes=copy.copy(s.boxes),
            roots=other._roots,
            purges=copy.copy(s.purges),
        )
        return other

    def serve(self, client_of: World, address: str) -> Client:
        """A client of an endpoint that is shown this log, whatever others are shown."""
        return client_of.client(address, transport=TestTransport(self))

    # --- entries ---

    def append_without_deciding(
        self,
        data: bytes,
        *,
        submission: bytes | None = None,
        deliveries: tuple[tuple[Address, Box], ...] | None = None,
        time: int | None = None,
        head: bytes | None = None,
    ) -> Entry:
        """Log a signed document whatever the rules say.

        Args:
            data: the document.
            submission: of a message; rows and content come from it.
            deliveries: the boxes it is put into; as its kind demands if None.
            time: of the leaf; the clock's if None.
            head: of the directory, in the leaf; the true one if None.
        """
        unverified = parse_document(data)
        document = Document(
            data,
            unverified.payload,
            unverified.claims,
            tuple((s.purpose, s.key_id) for s in unverified.counted),
            unverified.payload_hash,
            statement_hash(data),
        )
        kind, index, state = kind_of(unverified.claims), self.state.size, self.state
        parsed = parse_submission(submission) if submission is not None else None
        decision = Decision(self._deliveries(document, parsed) if deliveries is None else deliveries)
        time = max(self._clock(), state.time) if time is None else time
        secret, placed = secrets.token_bytes(32), []
        for owner, box in decision.deliveries:
            row, tail, after = extend_box(
                secret, owner, box, state.boxes[owner, box], index, document.statement_hash
            )
            placed.append(Placed(row, tail, after.head))
            state.boxes[owner, box] = after
        if kind in DIRECTORY_KINDS:
            statement = parse_directory_statement(document.claims)
            decision = replace(decision, directory=statement)
            state.directory.apply(statement, document, index, time)
        if parsed is not None:
            self._submissions[document.payload_hash] = parsed
            state.messages[document.payload_hash] = _message_state(document, parsed, index)
        elif kind is Kind.RECEIPT:
            self._move(parse_receipt(document.claims), index)
        leaf = Leaf(
            int(kind),
            time,
            state.directory.count,
            state.directory.head if head is None else head,
            document.statement_hash,
            delivery_root([p.row for p in placed]),
        )
        state.entries[document.payload_hash] = index
        entry = Entry(index, leaf, document, secret, tuple(placed), decision)
        self._record(entry)
        return entry

    def _move(self, receipt: Receipt, index: int) -> None:
        for item in receipt.items:
            message = self.state.messages[item.message]
            if message is not None and receipt.author in message.deliveries:
                moved = Delivery(DeliveryStage(receipt.stage.value), index)
                self.state.messages[item.message] = message.with_delivery(receipt.author, moved)

    def _deliveries(
        self, document: Document, submission: Submission | None
    ) -> tuple[tuple[Address, Box], ...]:
        if submission is not None:
            box = box_for(submission.manifest.urgency)
            return (
                *((row.endpoint, box) for row in submission.rows),
                (submission.manifest.sender, Box.SENT),
            )
        if kind_of(document.claims) in DIRECTORY_KINDS:
            return ()
        if kind_of(document.claims) is Kind.UNDELIVERED:
            notice = parse_undelivered(document.claims)
            return ((notice.sender, Box.NOTICES), (notice.author, Box.SENT))
        receipt = parse_receipt(document.claims)
        return ((receipt.sender, Box.NOTICES), (receipt.author, Box.SENT))

    def _record(self, entry: Entry) -> None:
        self.entries.append(entry)
        data = entry.leaf.encode()
        self._tree.append(leaf_hash(data))
        for placed in entry.placed:
            self._boxes.setdefault((placed.row.endpoint, placed.row.box), []).append(entry.index)
        if entry.decision.directory is not None:
            self._directory_entries.append(entry.index)
        self.state.frontier = self.state.frontier.append(leaf_hash(data))
        self.state.time = max(self.state.time, entry.leaf.time)
        self._roots[self.state.size] = self.state.frontier.root()
        self.checkpoint = self.sign_checkpoint(self.state.size, self._roots[self.state.size])

    def rewrite_entry(self, index: int, document: bytes) -> None:
        """Put another document in the place of an entry, and sign the tree over it."""
        entry = self.entries[index]
        changed = replace(entry.document, data=document, statement_hash=statement_hash(document))
        leaf = replace(entry.leaf, statement=changed.statement_hash)
        self.entries[index] = replace(entry, leaf=leaf, document=changed)
        self._tree, frontier = Tree(), Frontier()
        for one in self.entries:
            hashed = leaf_hash(one.leaf.encode())
            self._tree.append(hashed)
            frontier = frontier.append(hashed)
            self._roots[frontier.size] = frontier.root()
        self.state.frontier = frontier
        self.checkpoint = self.sign_checkpoint(frontier.size, frontier.root())

    # --- what it signs ---

    def sign_checkpoint(self, size: int, root: bytes) -> bytes:
        """Sign any tree."""
        return sign_checkpoint(self.origin, size, root, self._log_key.sign, self._log_key.public_key.raw)

    def proof(self, index: int) -> bytes:
        """A leaf with its path under the newest checkpoint, as anybody may ask for it."""
        return encode_json(
            {"checkpoint": self.checkpoint.decode(), "inclusion": self._inclusion(index).to_json()}
        )

    def sign_as_node(self, payload: dict) -> bytes:
        """Sign any payload with the node key, the only one of an endpoint's sort that the broker has."""
        return sign_document(encode_json(payload), [self._node_key])

    def _account(self, caller, request, verdict, refusal, owners=None):
        account = Account(
            log=self.origin,
            seen=self._seen(),
            author=self.state.directory.log().broker,
            caller=caller,
            request=request,
            made_at=self._clock(),
            verdict=verdict,
            boxes=tuple(
                StatedBox(owner, box, self.claimed.get((owner, box), self.state.boxes[owner, box]))
                for owner in ([caller] if owners is None else owners)
                for box in Box
            ),
            refusal=refusal,
        )
        return self.sign_as_node(account.to_json())

    # --- what it answers ---

    def refused(self, error: CountermarkError, document: Document | UnverifiedDocument, author: Address):
        """A refusal with an account, for whatever reason."""
        return Refused(error, author, document.payload_hash, Verdict.REFUSED)

    def _post_message(self, exchange):
        if self.refusing is not None:
            parsed = parse_submission(exchange.body)
            raise self.refused(self.refusing, parsed.document, parsed.manifest.sender)
        return super()._post_message(exchange)

    def handle(self, exchange):
        """Answer, unless it is to be dropped."""
        if exchange.path.endswith(self.dropped):
            raise httpx.ReadError("connection reset")
        return super().handle(exchange)

    def _get_sealed(self, exchange, payload, what):
        self._deny(exchange, payload)
        return super()._get_sealed(exchange, payload, what)

    def _get_statement(self, exchange, payload):
        self._deny(exchange, payload)
        return super()._get_statement(exchange, payload)

    def _deny(self, exchange, payload):
        if payload in self.denied:
            caller, request = self._any_instance(exchange)
            raise Refused(NotFoundError("not_held", "no such message"), caller, request, Verdict.NOT_HELD)

    def tamper(self, path: str, change) -> None:
        """Change its JSON answers to calls whose path ends so, in place."""

        def intercept(request, answer):
            status, headers, body = answer
            if not request.path.endswith(path) or status >= 300:
                return answer
            value = parse_object(body, "answer")
            change(value)
            return status, headers, encode_json(value)

        self.intercept = intercept

    def withhold(self, address: Address, box: Box, position: int) -> int:
        """Leave a position out of what is shown of a box; the index of its entry."""
        return self._boxes[address, box].pop(position)

    def understate(self, address: Address, box: Box, count: int) -> None:
        """State in accounts no more than the first entries of a box."""
        state = BoxState()
        for index in self._boxes.get((address, box), [])[:count]:
            state = state.after(index, self.entries[index].leaf.statement)
        self.claimed[address, box] = state


def _message_state(document: Document, submission: Submission, index: int) -> MessageState:
    m = submission.manifest
    return MessageState(
        payload_hash=document.payload_hash,
        index=index,
        sender=m.sender,
        id=m.id,
        type=m.type,
        conversation=m.conversation or document.payload_hash,
        exercise=m.exercise,
        expires_at=m.expires_at,
        deliveries={row.endpoint: Delivery(DeliveryStage.OPEN, index) for row in submission.rows},
    )


def malicious_world(*addresses: str) -> tuple[World, MaliciousBroker]:
    """A world whose broker has turned."""
    world = testing.world(*(addresses or (KENYA, BELGIUM)))
    return world, MaliciousBroker.take_over(world)


def send(client: Client, *to: str):
    """Send a tracing request, the same in every act."""
    return client.send("tracing-request", testing.sample_request(), to=list(to or (BELGIUM,)))


def unposted(broker: MaliciousBroker, client: Client, *to: str) -> bytes:
    """A submission that a client has signed and the broker has had, without an answer."""
    before, broker.dropped = broker.dropped, ("/v1/messages",)
    with contextlib.suppress(TransportError):
        send(client, *to)
    broker.dropped = before
    return client.outbox()[-1].body


def resigned(world: World, body: bytes, **changes) -> tuple[bytes, bytes]:
    """A submission with other members in its manifest, signed by its author: document and submission."""
    parsed = parse_submission(body)
    manifest = replace(parsed.manifest, **changes)
    document = sign_document(
        encode_json(manifest.to_json()), [world.keystore(manifest.sender).signer("instance")]
    )
    return document, encode_submission(document, parsed.rows, parsed.stanzas, parsed.content)
