"""A broker in memory: the same decision function, the same answers, no network and no disk.

It differs from the real one in what a test wants to differ: it publishes a checkpoint with every entry, its
clock is given, and `intercept` lets a test play a broker that lies.

Source: docs/spec/api.md.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from countermark_client.testing._tree import Tree
from countermark_protocol.accounts import Account, Refusal, StatedBox, Verdict
from countermark_protocol.answers import (
    MAX_PAGE,
    Accepted,
    BoxEntry,
    BoxPage,
    DirectoryPage,
    LoggedStatement,
    OwnRecipient,
    Problem,
    Release,
)
from countermark_protocol.appending import Entry, Placed, append_statement
from countermark_protocol.boxes import Box, BoxState, row_path
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import UnverifiedDocument, parse_document, sign_document
from countermark_protocol.encoding import encode_hex, encode_json, malformed, parse_digest
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.httpsig import RequestFacts, parse_signature_headers, request_digest, verify_request
from countermark_protocol.identifiers import Address, KeyId, Origin, parse_address
from countermark_protocol.keys import Signer
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.manifest import Manifest
from countermark_protocol.merkle import Frontier, leaf_hash
from countermark_protocol.proof import AllDeliveries, Inclusion, OwnDelivery
from countermark_protocol.receipts import ReceiptStage, Undelivered, parse_receipt
from countermark_protocol.recipients import recipient_path
from countermark_protocol.state import DeliveryStage, LogState, Whole
from countermark_protocol.statements import (
    MessageStatement,
    ReceiptStatement,
    Statement,
    kind_of,
    read_statement,
    verify_statement,
)
from countermark_protocol.submission import Submission, parse_submission

_JSON: Final = {"content-type": "application/json"}
_PROBLEM: Final = {"content-type": "application/problem+json"}
_BYTES: Final = {"content-type": "application/octet-stream"}
_STATUS: Final = (
    (MalformedError, 400),
    (SignatureError, 401),
    (VerificationError, 422),
    (UncheckableError, 422),
    (PolicyError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
)
#: A request may be this old, and this far ahead, in seconds.
_MAX_AGE: Final = 60

#: (status, headers, body).
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it came.

    Attributes:
        method: as sent.
        authority: value of the header ``Host``.
        path: as sent.
        query: as sent, without ``?``.
        headers: (name in lower case, value).
        body: exact bytes.
    """

    method: str
    authority: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Refused(Exception):  # noqa: N818  becomes an answer, never leaves this file
    """A refusal by rule to a caller whose signature counted: answered with an account."""

    def __init__(self, error: CountermarkError, caller: Address, request: bytes, verdict: Verdict) -> None:
        super().__init__(error.code)
        self.error = error
        self.caller = caller
        self.request = request
        self.verdict = verdict


class TestBroker:
    """A whole log in memory.

    Args:
        founding: the founding's signed document.
        log_key: signs checkpoints.
        node_key: signs accounts and undelivered notices; it counts once the broker's ``keys`` are logged.
        clock: ms since 1970.
        authority: host (and port) that requests must be signed for.

    Attributes:
        requests: every request that came, in order.
        intercept: called with each request and its answer; what it returns is answered instead.
        offline: when True, every call is answered 503.
        pass_time: called with the seconds that a long-poll waited; moves the test's clock.
    """

    __test__ = False  # pytest: not a test class

    def __init__(
        self,
        *,
        founding: bytes,
        log_key: Signer,
        node_key: Signer,
        clock: Callable[[], int],
        authority: str,
        pass_time: Callable[[float], None] | None = None,
    ) -> None:
        self._log_key = log_key
        self._node_key = node_key
        self._clock = clock
        self._authority = authority
        self._pass_time = pass_time
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
        )
        self.entries: list[Entry] = []
        self.checkpoint = b""
        self.requests: list[Exchange] = []
        self.intercept: Callable[[Exchange, Answer], Answer] | None = None
        self.offline = False
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
        known = self.state.entries[unverified.payload_hash]
        if known is not None:
            return self.entries[known]
        return self._append(read_statement(verify_statement(self.state.directory, unverified)))

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

    # --- calls ---

    def handle(self, exchange: Exchange) -> Answer:
        """Answer one request."""
        with self._lock:
            self.requests.append(exchange)
            answer = self._answer(exchange)
        return self.intercept(exchange, answer) if self.intercept is not None else answer

    def _answer(self, exchange: Exchange) -> Answer:
        if self.offline:
            return self._problem(
                503, CountermarkError("unavailable", "the broker is away"), {"retry-after": "1"}
            )
        try:
            return self._route(exchange)
        except _Refused as refused:
            return self._refusal(refused)
        except CountermarkError as error:
            status = next((s for kind, s in _STATUS if isinstance(error, kind)), 500)
            return self._problem(status, error)

    def _route(self, exchange: Exchange) -> Answer:
        match exchange.method, exchange.path.split("/")[1:]:
            case "POST", ["v1", "messages"]:
                return self._post_message(exchange)
            case "POST", ["v1", "receipts"]:
                return self._post_receipt(exchange)
            case "POST", ["v1", "statements"]:
                return self._post_statement(exchange)
            case "GET", ["v1", "statements", payload]:
                return self._get_statement(exchange, parse_digest(payload, "payload hash"))
            case "GET", ["v1", "boxes", address, box]:
                return self._get_box(exchange, parse_address(address), box)
            case "GET", ["v1", "messages", payload, ("stanza" | "content") as what]:
                return self._get_sealed(exchange, parse_digest(payload, "payload hash"), what)
            case "GET", ["v1", "directory"]:
                return self._get_directory(exchange)
            case "GET", ["v1", "log", what]:
                return self._get_log(exchange, what)
            case "GET", ["v1", ("health" | "ready")]:
                return 200, _JSON, b'{"status":"ok"}'
        raise NotFoundError("no_such_path", "there is no such call")

    # --- statements ---

    def _post_message(self, exchange: Exchange) -> Answer:
        submission = parse_submission(exchange.body)
        unverified = submission.document
        known = self._known(unverified)
        if known is not None:
            return self._accepted(known, 200, unverified)
        document = verify_statement(self.state.directory, unverified)
        statement = read_statement(document, submission.rows)
        assert isinstance(statement, MessageStatement)
        entry = self._decide(statement, statement.manifest.sender)
        self._submissions[document.payload_hash] = submission
        return self._accepted(entry, 201, unverified)

    def _post_receipt(self, exchange: Exchange) -> Answer:
        unverified = parse_document(exchange.body)
        author = parse_receipt(unverified.claims).author
        self._caller(exchange, author)
        known = self._known(unverified)
        if known is None:
            document = verify_statement(self.state.directory, unverified)
            statement = read_statement(document)
            assert isinstance(statement, ReceiptStatement)
            return self._accepted(self._decide(statement, author), 201, unverified)
        return self._accepted(known, 200, unverified)

    def _post_statement(self, exchange: Exchange) -> Answer:
        unverified = parse_document(exchange.body)
        known = self._known(unverified)
        status = 200 if known is not None else 201
        return self._accepted(known or self.post_statement(exchange.body), status, unverified)

    def _get_statement(self, exchange: Exchange, payload: bytes) -> Answer:
        caller, request = self._any_instance(exchange)
        index = self.state.entries[payload]
        entry = self.entries[index] if index is not None else None
        if entry is None or not any((p.row.endpoint, p.row.box) == (caller, Box.SENT) for p in entry.placed):
            raise _Refused(
                NotFoundError("not_held", "no such statement by this endpoint"),
                caller,
                request,
                Verdict.NOT_HELD,
            )
        return self._accepted(entry, 200, parse_document(entry.document.data))

    def _known(self, unverified: UnverifiedDocument) -> Entry | None:
        index = self.state.entries[unverified.payload_hash]
        return self.entries[index] if index is not None else None

    def _decide(self, statement: MessageStatement | ReceiptStatement, author: Address) -> Entry:
        try:
            return self._append(statement)
        except (PolicyError, ConflictError, NotFoundError) as error:
            raise _Refused(error, author, statement.document.payload_hash, Verdict.REFUSED) from None

    def _accepted(self, entry: Entry, status: int, handed_in: UnverifiedDocument) -> Answer:
        own = next((p for p in entry.placed if p.row.box is Box.SENT), None)
        accepted = Accepted(
            checkpoint=self.checkpoint,
            inclusion=self._inclusion(entry.index),
            deliveries=AllDeliveries(tuple(p.row for p in entry.placed), own.tail) if own else None,
            document=entry.document.data if entry.document.data != handed_in.data else None,
            releases=self._releases(entry),
        )
        return status, _JSON, encode_json(accepted.to_json())

    def _releases(self, entry: Entry) -> tuple[Release, ...]:
        if kind_of(entry.document.claims) is not Kind.RECEIPT:
            return ()
        receipt = parse_receipt(entry.document.claims)
        if receipt.stage is not ReceiptStage.DELIVERED:
            return ()
        return tuple(Release(i.message, self._stanza(i.message, receipt.author)) for i in receipt.items)

    def _stanza(self, message: bytes, recipient: Address) -> bytes:
        submission = self._submissions[message]
        return next(
            s for r, s in zip(submission.rows, submission.stanzas, strict=True) if r.endpoint == recipient
        )

    def _inclusion(self, index: int) -> Inclusion:
        path = self._tree.inclusion(index, self.state.size)
        return Inclusion(index, self.entries[index].leaf.encode(), path)

    # --- boxes and content ---

    def _get_box(self, exchange: Exchange, address: Address, name: str) -> Answer:
        request = self._caller(exchange, address)
        if name not in set(Box):
            malformed("unknown_box", f"expected one of the boxes {', '.join(Box)}")
        box = Box(name)
        start = _number(exchange, "from", 0, 2**53 - 1, 0)
        limit = _number(exchange, "limit", 1, MAX_PAGE, 100)
        wait = _number(exchange, "wait", 0, 60, 0)
        held = self._boxes.setdefault((address, box), [])
        if wait and len(held) <= start and self._pass_time is not None:
            self._pass_time(wait)
        indexes = held[start : start + limit]
        if not indexes:
            account = self._account(address, request, Verdict.END_OF_BOX, None)
            page = BoxPage(self.checkpoint, (), account)
        else:
            page = BoxPage(self.checkpoint, tuple(self._entry(i, address, box) for i in indexes))
        return 200, _JSON, encode_json(page.to_json())

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

    def _get_sealed(self, exchange: Exchange, payload: bytes, what: str) -> Answer:
        caller, request = self._any_instance(exchange)
        message = self.state.messages[payload]
        delivery = message.deliveries.get(caller) if message is not None else None
        is_sender = message is not None and message.sender == caller and what == "content"
        if delivery is None and not is_sender:
            raise _Refused(
                NotFoundError("not_held", "no such message for this endpoint"),
                caller,
                request,
                Verdict.NOT_HELD,
            )
        if not is_sender and delivery is not None and delivery.stage is DeliveryStage.OPEN:
            raise _Refused(
                PolicyError("not_delivered", "post a 'delivered' receipt first"),
                caller,
                request,
                Verdict.REFUSED,
            )
        if what == "content":
            return 200, _BYTES, self._submissions[payload].content
        release = Release(payload, self._stanza(payload, caller))
        return 200, _JSON, encode_json({"releases": [release.to_json()]})

    # --- directory and log ---

    def _get_directory(self, exchange: Exchange) -> Answer:
        key_id, _ = self._verified(exchange)
        if not self.state.directory.key_stands(key_id):
            raise SignatureError("wrong_signer", "the directory is read with a key that stands in it")
        start = _number(exchange, "from", 0, 2**53 - 1, 0)
        limit = _number(exchange, "limit", 1, MAX_PAGE, 100)
        indexes = self._directory_entries[start : start + limit]
        page = DirectoryPage(
            checkpoint=self.checkpoint,
            statements=tuple(
                LoggedStatement(i, self.entries[i].leaf.encode(), self.entries[i].document.data)
                for i in indexes
            ),
            complete=start + len(indexes) >= len(self._directory_entries),
            last=self._inclusion(self.state.size - 1),
        )
        return 200, _JSON, encode_json(page.to_json())

    def _get_log(self, exchange: Exchange, what: str) -> Answer:
        size = self.state.size
        if what == "checkpoint":
            return 200, {"content-type": "text/plain; charset=utf-8"}, self.checkpoint
        if what == "leaves":
            start = _number(exchange, "from", 0, size, 0)
            limit = _number(exchange, "limit", 1, 10_000, 10_000)
            leaves = [e.leaf.encode() for e in self.entries[start : start + limit]]
            assert all(len(leaf) == LEAF_BYTES for leaf in leaves)
            return 200, _BYTES, b"".join(leaves)
        if what == "inclusion":
            of = _number(exchange, "size", 1, size, size)
            index = _number(exchange, "index", 0, of - 1, None)
            proof = Inclusion(index, self.entries[index].leaf.encode(), self._tree.inclusion(index, of))
            return 200, _JSON, encode_json({**proof.to_json(), "size": of})
        if what == "consistency":
            new = _number(exchange, "to", 0, size, size)
            old = _number(exchange, "from", 0, new, None)
            path = [encode_hex(h) for h in self._tree.consistency(old, new)]
            return 200, _JSON, encode_json({"from": old, "to": new, "path": path})
        raise NotFoundError("no_such_path", "there is no such call")

    # --- who calls ---

    def _verified(self, exchange: Exchange) -> tuple[KeyId, bytes]:
        if exchange.authority != self._authority:
            raise SignatureError("wrong_authority", f"this broker is {self._authority}")
        facts = RequestFacts(
            exchange.method, self._authority, exchange.path, exchange.query, exchange.body or None
        )
        unverified = parse_signature_headers(exchange.headers, facts)
        key = self.state.directory.public_key(unverified.key_id)
        if key is None:
            raise SignatureError("unknown_key", "the request is signed by a key that nobody certified")
        verified = verify_request(
            unverified,
            key,
            now_seconds=self._clock() // 1000,
            max_age_seconds=_MAX_AGE,
            max_skew_seconds=_MAX_AGE,
        )
        return verified.key_id, request_digest(unverified.base)

    def _caller(self, exchange: Exchange, address: Address) -> bytes:
        key_id, request = self._verified(exchange)
        if self.state.directory.instance(address, key_id) is None:
            raise SignatureError(
                "wrong_signer", f"the request is not signed by a current instance of {address}"
            )
        return request

    def _any_instance(self, exchange: Exchange) -> tuple[Address, bytes]:
        key_id, request = self._verified(exchange)
        address = self.state.directory.endpoint_of_key(key_id)
        if address is None:
            raise SignatureError("wrong_signer", "the request is not signed by a current instance key")
        return address, request

    # --- negative answers ---

    def _account(self, caller: Address, request: bytes, verdict: Verdict, refusal: Refusal | None) -> bytes:
        account = Account(
            log=self.origin,
            seen=self._seen(),
            author=self.state.directory.log().broker,
            caller=caller,
            request=request,
            made_at=self._clock(),
            verdict=verdict,
            boxes=tuple(StatedBox(caller, box, self.state.boxes[caller, box]) for box in Box),
            refusal=refusal,
        )
        return sign_document(encode_json(account.to_json()), [self._node_key])

    def _refusal(self, refused: _Refused) -> Answer:
        error = refused.error
        refusal = None
        if refused.verdict is Verdict.REFUSED:
            refusal = Refusal(error.code, error.message, self._clock(), self.state.size)
        account = self._account(refused.caller, refused.request, refused.verdict, refusal)
        status = next(s for kind, s in _STATUS if isinstance(error, kind))
        return self._problem(status, error, account=account)

    def _problem(
        self,
        status: int,
        error: CountermarkError,
        headers: Mapping[str, str] | None = None,
        account: bytes | None = None,
    ) -> Answer:
        facts: dict[str, Any] = {k: v for k, v in error.facts.items() if isinstance(v, str | int | list)}
        problem = Problem(status, error.code, error.message, error.hint, account, facts)
        return status, {**_PROBLEM, **(headers or {})}, encode_json(problem.to_json())

    # --- for tests ---

    def manifest(self, message: bytes) -> Manifest:
        """The manifest of a logged message."""
        return self._submissions[message].manifest


def _number(exchange: Exchange, name: str, least: int, most: int, default: int | None) -> int:
    values = parse_qs(exchange.query, keep_blank_values=True).get(name, [])
    if not values and default is not None:
        return default
    if len(values) != 1 or not values[0].isascii() or not values[0].isdecimal() or len(values[0]) > 16:
        malformed("bad_parameter", f"expected one number for '{name}'")
    number = int(values[0])
    if not least <= number <= most:
        malformed("bad_parameter", f"'{name}' must be from {least} to {most}")
    return number
