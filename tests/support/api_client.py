"""The least client that speaks the API: requests, signatures, verified answers. For tests alone."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from countermark_protocol.accounts import Account, verify_account
from countermark_protocol.answers import (
    Accepted,
    BoxPage,
    Problem,
    parse_accepted,
    parse_box_page,
    parse_directory_page,
    parse_problem,
)
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.httpsig import (
    RequestFacts,
    SignatureParams,
    request_digest,
    sign_request,
    signature_base,
)
from countermark_protocol.identifiers import Address
from countermark_protocol.judging import judge_statement
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.proof import verify_all_deliveries, verify_leaf, verify_own_delivery
from countermark_protocol.statements import verify_statement
from support.world import NAIROBI, Sealed, World

#: One for all clients, none of which uses it: making it takes longer than most requests.
_TLS = ssl.create_default_context()


@dataclass
class Signed:
    """A request as signed: its headers and the digest that accounts name."""

    headers: dict[str, str]
    digest: bytes


@dataclass
class ApiClient:
    """Talks to one broker as any endpoint of a world."""

    world: World
    url: str
    authority: str
    transport: Any = None
    directory: Directory = field(default_factory=Directory)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.url, timeout=90, transport=self.transport, trust_env=False, verify=_TLS
        )

    def close(self) -> None:
        self.http.close()

    # --- requests ---

    def sign(
        self,
        method: str,
        target: str,
        body: bytes | None,
        key: Any,
        created: int | None = None,
        authority: str | None = None,
    ) -> Signed:
        path, _, query = target.partition("?")
        facts = RequestFacts(method, authority or self.authority, path, query, body)
        created, nonce = int(time.time()) if created is None else created, os.urandom(16)
        headers = sign_request(facts, key.public_key.key_id, key.sign, created, nonce)
        base = signature_base(facts, SignatureParams(created, key.public_key.key_id, nonce))
        return Signed(headers, request_digest(base))

    def request(self, method: str, target: str, body: bytes | None = None, by: Any = None) -> httpx.Response:
        """A request, signed by an endpoint's instance or a key where `by` is given."""
        headers = {"Host": self.authority}
        if by is not None:
            key = self.world.agencies[by].instance if isinstance(by, str) else by
            signed = self.sign(method, target, body, key)
            headers |= signed.headers
            self.last_digest = signed.digest
        return self.http.request(method, target, content=body, headers=headers)

    def post_message(self, sealed: Sealed | bytes) -> httpx.Response:
        return self.request("POST", "/v1/messages", sealed if isinstance(sealed, bytes) else sealed.data)

    def post_receipt(self, data: bytes, by: str) -> httpx.Response:
        return self.request("POST", "/v1/receipts", data, by)

    def post_statement(self, data: bytes) -> httpx.Response:
        return self.request("POST", "/v1/statements", data)

    def box(self, address: str, box: Box, first: int = 0, wait: int = 0, limit: int = 100) -> BoxPage:
        target = f"/v1/boxes/{address}/{box.value}?from={first}&limit={limit}&wait={wait}"
        answer = self.request("GET", target, by=address)
        assert answer.status_code == 200, answer.text
        return parse_box_page(answer.content)

    # --- verified ---

    def refresh(self) -> Directory:
        """Fold the whole directory and compare it with the last leaf."""
        directory = Directory()
        while True:
            answer = self.request("GET", f"/v1/directory?from={directory.count}&limit=100", by=NAIROBI)
            assert answer.status_code == 200, answer.text
            page = parse_directory_page(answer.content)
            for logged in page.statements:
                leaf = parse_leaf(logged.leaf)
                document = verify_statement(directory, parse_document(logged.document))
                statement = judge_statement(directory, document, leaf.time)
                directory.apply(statement, document, logged.index, leaf.time)
            if page.complete:
                break
        checkpoint = self.checkpoint_of(page.checkpoint, directory)
        last = parse_leaf(page.last.leaf)
        verify_leaf(page.last, checkpoint, last.kind, last.statement)
        assert (last.dir_head, last.dir_count) == (directory.head, directory.count)
        self.directory = directory
        return directory

    def checkpoint_of(self, raw: bytes, directory: Directory | None = None) -> Checkpoint:
        unverified = parse_checkpoint(raw)
        key = (directory or self.directory).log_key_for(unverified.size)
        return verify_checkpoint(unverified, self.world.origin, key.raw)

    def verify_accepted(
        self, answer: httpx.Response, document: bytes, expected: set[tuple[Address, Box]] | None = None
    ) -> tuple[Accepted, Leaf]:
        """Check a proof as the author of a statement would."""
        assert answer.status_code in {200, 201}, answer.text
        accepted = parse_accepted(answer.content)
        checkpoint = self.checkpoint_of(accepted.checkpoint)
        logged = accepted.document or document
        claims = parse_document(logged).claims
        kind = next(k for k in Kind if k.name.lower() == claims["kind"])
        leaf = verify_leaf(accepted.inclusion, checkpoint, kind, statement_hash(logged))
        if expected is not None:
            assert accepted.deliveries is not None
            verify_all_deliveries(
                accepted.deliveries, leaf, accepted.inclusion.index, Address(claims["from"]), expected
            )
        return accepted, leaf

    def problem(self, answer: httpx.Response, code: str | None = None) -> Problem:
        assert answer.status_code >= 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = parse_problem(answer.content)
        assert problem.status == answer.status_code
        if code is not None:
            assert problem.code == code, problem
        return problem

    def verify_account_of(self, data: bytes, request: bytes) -> Account:
        """Check an account as its caller would."""
        document = verify_document(parse_document(data), self.directory.public_key)
        return verify_account(document, self.directory, request)

    def verified_box(self, address: str, box: Box) -> tuple[list[Any], BoxState, bytes]:
        """Read a box to its end, verifying everything; entries, state, and the account at its end."""
        state, entries = BoxState(), []
        while True:
            page = self.box(address, box, state.count)
            checkpoint = self.checkpoint_of(page.checkpoint)
            if not page.entries:
                assert page.account is not None
                return entries, state, page.account
            for entry in page.entries:
                claims = parse_document(entry.document).claims
                kind = next(k for k in Kind if k.name.lower() == claims["kind"])
                leaf = verify_leaf(entry.inclusion, checkpoint, kind, statement_hash(entry.document))
                state = verify_own_delivery(
                    entry.delivery, leaf, entry.inclusion.index, Address(address), box, state
                )
                entries.append(entry)
