"""A broker in memory: the same decision function, the same answers, no network and no disk.

It differs from the real one in what a test wants to differ: it publishes a checkpoint with every entry, its
clock is given, and `intercept` lets a test play a broker that lies.

Source: docs/spec/api.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from countermark_client.testing._desk import Answer, Exchange, Refused
from countermark_client.testing._inspection import box_in
from countermark_client.testing._open_log import number_in
from countermark_client.testing._sealed import Sealed
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import parse_act
from countermark_protocol.answers import (
    MAX_PAGE,
    BoxPage,
    DirectoryPage,
    LoggedStatement,
    parse_accepted,
    parse_problem,
)
from countermark_protocol.appending import Entry
from countermark_protocol.boxes import Box
from countermark_protocol.bulk import BulkVerdict, FrameReader, encode_bulk_checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.documents import UnverifiedDocument, parse_document
from countermark_protocol.encoding import JsonObject, encode_json, parse_digest
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.identifiers import Address, KeyId, parse_address
from countermark_protocol.key_proof_making import make_key_proof
from countermark_protocol.keys import Signer
from countermark_protocol.leases import Granted, Lease, leased_box, parse_lease_request
from countermark_protocol.receipts import parse_receipt
from countermark_protocol.statements import (
    Act,
    MessageStatement,
    ReceiptStatement,
    purged_by,
    read_statement,
    verify_statement,
)
from countermark_protocol.submission import parse_submission

_JSON: Final = {"content-type": "application/json"}
_LINES: Final = {"content-type": "application/jsonl"}
_BYTES: Final = {"content-type": "application/octet-stream"}


class TestBroker(Sealed):
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
        bulk_commit: how many submissions of a bulk request are committed together.
        quotas: what is answered about them, to everybody; none are charged.
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
        super().__init__(
            founding=founding, log_key=log_key, node_key=node_key, clock=clock, authority=authority
        )
        self.requests: list[Exchange] = []
        self.intercept: Callable[[Exchange, Answer], Answer] | None = None
        self.offline = False
        self.bulk_commit = 4
        self.quotas: JsonObject = {}
        self.witnessed, self.stamps = [], []
        self._pieces, self._uploaded = {}, set()
        self._pass_time = pass_time
        self._leases: dict[tuple[Address, Box, int], tuple[KeyId, int]] = {}
        self.invitations = {}
        self._nonces: set[tuple[KeyId, bytes]] = set()

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
        return self._judged(self._route, exchange)

    def _route(self, exchange: Exchange) -> Answer:
        match exchange.method, exchange.path.split("/")[1:]:
            case "POST", ["v1", "messages"]:
                return self._post_message(exchange)
            case "POST", ["v1", "messages", "bulk"]:
                return self._post_bulk(exchange)
            case "POST", ["v1", "receipts"]:
                return self._post_receipt(exchange)
            case "POST", ["v1", "acts"]:
                return self._post_act(exchange)
            case "POST", ["v1", "statements"]:
                return self._post_statement(exchange)
            case "GET", ["v1", "statements", payload]:
                return self._get_statement(exchange, parse_digest(payload, "payload hash"))
            case "GET", ["v1", "boxes", address, box]:
                return self._get_box(exchange, parse_address(address), box)
            case "GET", ["v1", "messages", payload, ("stanza" | "content") as what]:
                return self._get_sealed(exchange, parse_digest(payload, "payload hash"), what)
            case "GET", ["v1", "messages", payload, "attachments", number]:
                return self._get_attachment(exchange, parse_digest(payload, "payload hash"), number)
            case "GET", ["v1", "messages", payload, "attachments", number, "pieces", piece]:
                return self._get_piece(exchange, parse_digest(payload, "payload hash"), number, piece)
            case "PUT", ["v1", "pieces", digest]:
                return self._put_piece(exchange, parse_digest(digest, "piece"))
            case "POST", ["v1", "pieces", "missing"]:
                return self._post_missing(exchange)
            case "GET", ["v1", "messages", payload, "purge"]:
                return self._get_purge(exchange, parse_digest(payload, "payload hash"))
            case "POST", ["v1", "leases"]:
                return self._post_leases(exchange)
            case "GET", ["v1", "quotas"]:
                self._any_instance(exchange)
                return 200, _JSON, encode_json({"quotas": self.quotas})
            case "GET", ["v1", "leases"]:
                return self._get_leases(exchange)
            case "POST", ["v1", "invitations"]:
                return self._post_invitation(exchange)
            case "GET", ["v1", "invitations"]:
                return self._get_invitations(exchange)
            case "GET", ["v1", "invitations", code]:
                return self._get_invitation(code)
            case "POST", ["v1", "invitations", code]:
                return self._post_request(exchange, code)
            case "PUT", ["v1", "invitations", code, "approval"]:
                return self._put_approval(exchange, code)
            case "DELETE", ["v1", "invitations", code]:
                return self._delete_invitation(exchange, code)
            case "GET", ["v1", "directory"]:
                return self._get_directory(exchange)
            case "GET", ["v1", "directory", address, "proof"]:
                return self._get_key_proof(exchange, parse_address(address))
            case "GET", ["v1", "log", *what]:
                return self._get_log(exchange, "/".join(what))
            case "GET", ["v1", "audit", look_up, "entries"]:
                return self._get_audited_entries(exchange, parse_digest(look_up, "look-up in the path"))
            case "GET", ["v1", "audit", look_up, "boxes", address, box]:
                named = parse_digest(look_up, "look-up in the path")
                return self._get_audited_box(exchange, named, parse_address(address), box)
            case "GET", ["v1", ("health" | "ready")]:
                return 200, _JSON, b'{"status":"ok"}'
        raise NotFoundError("no_such_path", "there is no such call")

    # --- statements ---

    def _post_message(self, exchange: Exchange) -> Answer:
        submission = parse_submission(exchange.body)
        unverified = submission.document
        known = self._entry_of(unverified.payload_hash)
        if known is not None:
            return self._accepted(known, 200, unverified)
        document = verify_statement(self.state.directory, unverified)
        statement = read_statement(document, submission.rows)
        assert isinstance(statement, MessageStatement)
        self._check_uploaded(statement.manifest.sender, submission)
        entry = self._decide(statement, statement.manifest.sender)
        self._submissions[document.payload_hash] = submission
        return self._accepted(entry, 201, unverified)

    def _post_bulk(self, exchange: Exchange) -> Answer:
        """As the real one, all at once: verdicts of `bulk_commit` submissions stand under one checkpoint."""
        reader, ended = FrameReader(), None
        frames = reader.feed(exchange.body)
        try:
            reader.end()
        except MalformedError as error:
            ended = error
        lines: list[bytes] = []
        for start in range(0, len(frames), self.bulk_commit):
            group = frames[start : start + self.bulk_commit]
            # First all are decided, then all are answered under the checkpoint that covers them.
            decided = [self._judged(self._post_message, replace(exchange, body=frame)) for frame in group]
            if any(status < 300 for status, _, _ in decided):
                lines.append(encode_bulk_checkpoint(self.checkpoint))
            for number, (frame, (status, _, body)) in enumerate(zip(group, decided, strict=True), start):
                if status < 300:
                    _, _, proof = self._judged(self._post_message, replace(exchange, body=frame))
                    lines.append(BulkVerdict(number, status, accepted=parse_accepted(proof)).encode())
                else:
                    lines.append(BulkVerdict(number, status, problem=parse_problem(body)).encode())
        if ended is not None:
            _, _, body = self._problem(400, ended)
            lines.append(BulkVerdict(len(frames), 400, problem=parse_problem(body)).encode())
        return 200, _LINES, b"".join(line + b"\n" for line in lines)

    def _post_receipt(self, exchange: Exchange) -> Answer:
        unverified = parse_document(exchange.body)
        author = parse_receipt(unverified.claims).author
        self._caller(exchange, author)
        known = self._entry_of(unverified.payload_hash)
        if known is None:
            document = verify_statement(self.state.directory, unverified)
            statement = read_statement(document)
            assert isinstance(statement, ReceiptStatement)
            return self._accepted(self._decide(statement, author), 201, unverified)
        return self._accepted(known, 200, unverified)

    def _post_act(self, exchange: Exchange) -> Answer:
        unverified = parse_document(exchange.body)
        author = parse_act(unverified.claims).author
        self._caller(exchange, author)
        known = self._entry_of(unverified.payload_hash)
        if known is not None:
            return self._accepted(known, 200, unverified)
        named = purged_by(unverified)
        message = self._entry_of(named) if named is not None else None
        subject = parse_document(message.document.data) if message is not None else None
        document = verify_statement(self.state.directory, unverified)
        statement = read_statement(document, subject=subject)
        assert isinstance(statement, Act)
        return self._accepted(self._decide(statement, author), 201, unverified)

    def _post_statement(self, exchange: Exchange) -> Answer:
        unverified = parse_document(exchange.body)
        known = self._entry_of(unverified.payload_hash)
        status = 200 if known is not None else 201
        return self._accepted(known or self.post_statement(exchange.body), status, unverified)

    def _get_statement(self, exchange: Exchange, payload: bytes) -> Answer:
        caller, request = self._any_instance(exchange)
        entry = self._entry_of(payload)
        if entry is None or not any((p.row.endpoint, p.row.box) == (caller, Box.SENT) for p in entry.placed):
            raise Refused(
                NotFoundError("not_held", "no such statement by this endpoint"),
                caller,
                request,
                Verdict.NOT_HELD,
            )
        return self._accepted(entry, 200, None)

    def _decide(self, statement: MessageStatement | ReceiptStatement | Act, author: Address) -> Entry:
        try:
            return self._append(statement)
        except (PolicyError, ConflictError, NotFoundError) as error:
            raise Refused(error, author, statement.document.payload_hash, Verdict.REFUSED) from None

    def _accepted(self, entry: Entry, status: int, handed_in: UnverifiedDocument | None) -> Answer:
        return status, _JSON, encode_json(self._proof_of(entry, handed_in).to_json())

    # --- boxes and content ---

    def _get_box(self, exchange: Exchange, address: Address, name: str) -> Answer:
        request = self._caller(exchange, address)
        box = box_in(name)
        start = number_in(exchange, "from", 0, 2**53 - 1, 0)
        limit = number_in(exchange, "limit", 1, MAX_PAGE, 100)
        wait = number_in(exchange, "wait", 0, 60, 0)
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

    def _get_purge(self, exchange: Exchange, payload: bytes) -> Answer:
        caller, request = self._any_instance(exchange)
        message, purge = self.state.messages[payload], self.state.purges[payload]
        if message is None or (caller != message.sender and caller not in message.deliveries):
            error, verdict = NotFoundError("not_held", "no such message for this endpoint"), Verdict.NOT_HELD
            raise Refused(error, caller, request, verdict)
        if purge is None:
            error = NotFoundError("not_purged", "stanzas and content of that message are kept")
            raise Refused(error, caller, request, Verdict.REFUSED)
        entry = self.entries[purge]
        proof = self._proof_of(entry, None)
        if entry.document.claims["from"] != caller:
            proof = replace(proof, deliveries=None)
        return 200, _JSON, encode_json(proof.to_json())

    # --- leases ---

    def _post_leases(self, exchange: Exchange) -> Answer:
        verified = self._verified(exchange)
        address = self._endpoint_of(verified.key_id)
        if (verified.key_id, verified.nonce) in self._nonces:
            raise SignatureError("replayed_request", "the request was received before: sign it anew")
        self._nonces.add((verified.key_id, verified.nonce))
        asked = parse_lease_request(exchange.body)
        now = self._clock()
        granted: list[int] = []
        for position in asked.positions:
            place = (address, asked.box, position)
            key, until = self._leases.get(place, (verified.key_id, 0))
            if key != verified.key_id and until > now:
                continue
            if not asked.seconds:
                self._leases.pop(place, None)
            elif self._is_open(*place):
                granted.append(position)
                self._leases[place] = (verified.key_id, now + asked.seconds * 1000)
        answer = Granted(tuple(granted), now + asked.seconds * 1000)
        return 200, _JSON, encode_json(answer.to_json())

    def _get_leases(self, exchange: Exchange) -> Answer:
        address = self._endpoint_of(self._verified(exchange).key_id)
        name = parse_qs(exchange.query).get("box", [""])[-1]
        box = leased_box(Claims({"box": name}, "query"))
        found = [
            Lease(position, key, until).to_json()
            for (owner, of, position), (key, until) in sorted(self._leases.items())
            if owner == address and of is box and until > self._clock()
        ]
        return 200, _JSON, encode_json({"leases": found})

    # --- directory and log ---

    def _get_key_proof(self, exchange: Exchange, address: Address) -> Answer:
        if not self.state.directory.key_stands(self._verified(exchange).key_id):
            raise SignatureError("wrong_signer", "the directory is read with a key that stands in it")
        note = self.cosigned if self.state.directory.log().witnesses and self.cosigned else self.checkpoint
        history = [
            (i, self.entries[i].leaf.encode(), self.entries[i].document.data) for i in self._directory_entries
        ]
        data = make_key_proof(self.state.directory, history, address, note, self._inclusion)
        return 200, _JSON, data

    def _get_directory(self, exchange: Exchange) -> Answer:
        if not self.state.directory.key_stands(self._verified(exchange).key_id):
            raise SignatureError("wrong_signer", "the directory is read with a key that stands in it")
        start = number_in(exchange, "from", 0, 2**53 - 1, 0)
        limit = number_in(exchange, "limit", 1, MAX_PAGE, 100)
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
