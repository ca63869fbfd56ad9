"""Who calls: HTTP Message Signatures in the one form of `countermark_protocol.httpsig`.

Source: docs/spec/api.md §2; RFC 9421.
"""

from __future__ import annotations

from fastapi import Request

from countermark_broker.api.limits import source_of
from countermark_broker.services.changes import Change, Signed
from countermark_broker.services.node import Caller, Node
from countermark_protocol.directory import Directory
from countermark_protocol.errors import SignatureError
from countermark_protocol.httpsig import (
    RequestFacts,
    VerifiedRequest,
    parse_signature_headers,
    verify_request_of,
)
from countermark_protocol.identifiers import Address, KeyId


def facts_of(node: Node, request: Request, body: bytes | None) -> RequestFacts:
    """What of a request is signed, with the authority from the configuration."""
    raw_path = request.scope.get("raw_path") or request.url.path.encode()
    return RequestFacts(
        method=request.method,
        authority=_authority(node, request),
        path=raw_path.decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        body=body,
    )


def _authority(node: Node, request: Request) -> str:
    # A Host header chooses among the names that are ours; it can never bring in another. With one name it
    # need not even be right, since balancers rewrite it.
    known = node.settings.authorities
    host = request.headers.get("host", "").lower()
    return next((name for name in known if name.lower() == host), known[0])


async def authenticate_endpoint(node: Node, request: Request, body: bytes | None = None) -> Caller:
    """The endpoint that signed a request by one of its current instance keys.

    Raises:
        MalformedError: not the one form.
        SignatureError: unknown key, not authentic, too old, or a key of no current endpoint.
    """
    return _caller(node, await _verify(node, request, body))


async def authenticate_waiting(node: Node, request: Request) -> tuple[Caller, KeyId]:
    """As `authenticate_endpoint`, for a call that waits: with the key, for `check_still_counts` in the end."""
    verified = await _verify(node, request, None)
    return _caller(node, verified), verified.key_id


async def authenticate_change(node: Node, request: Request, body: bytes | None = None) -> Change:
    """As `authenticate_endpoint`, for a call that changes something beyond a statement: to be taken once.

    The nonce is spent where the change is made (`services.changes.begin_change`), in the same transaction.
    """
    verified = await _verify(node, request, body)
    return Change(verified.key_id, verified.nonce, verified.created, _caller(node, verified))


async def authenticate_signer(node: Node, request: Request, body: bytes | None = None) -> Signed:
    """As `authenticate_change`, for whoever signed: the call itself says whose key that must be."""
    verified = await _verify(node, request, body)
    return Signed(verified.key_id, verified.nonce, verified.created)


def check_still_counts(node: Node, key_id: KeyId) -> None:
    """Demand that the key of an authenticated request is still an instance's, after a long wait.

    Raises:
        SignatureError: its endpoint was suspended, or the key revoked or replaced, meanwhile.
    """
    # A key is never another endpoint's later, so the caller is who it was.
    _endpoint_of(node, key_id)


def _caller(node: Node, verified: VerifiedRequest) -> Caller:
    return Caller(_endpoint_of(node, verified.key_id), verified.digest)


def _endpoint_of(node: Node, key_id: KeyId) -> Address:
    address = node.holder.current.endpoint_of_key(key_id, time=node.clock.now_ms())
    if address is None:
        raise SignatureError(
            "not_an_instance", f"key {key_id.hex()} is not a current instance key of any endpoint"
        )
    return address


async def authenticate_reader(node: Node, request: Request) -> None:
    """Demand any signing key that stands in the directory.

    Raises:
        MalformedError: not the one form.
        SignatureError: unknown key, not authentic, too old, or a key that does not stand.
    """
    verified = await _verify(node, request, None)
    if not node.holder.current.key_stands(verified.key_id):
        raise SignatureError(
            "key_not_standing", f"key {verified.key_id.hex()} does not stand in the directory"
        )


async def _verify(node: Node, request: Request, body: bytes | None) -> VerifiedRequest:
    unverified = parse_signature_headers(request.headers.items(), facts_of(node, request, body))
    now = node.clock.now_ms() // 1000
    settings = node.settings

    async def verify(directory: Directory) -> VerifiedRequest:
        key = directory.public_key(unverified.key_id)
        return await node.verifier.run(
            lambda: verify_request_of(
                unverified,
                key if key is not None and key.is_signing else None,
                now_seconds=now,
                max_age_seconds=settings.request_age_s,
                max_skew_seconds=settings.request_skew_s,
            ),
            source=source_of(request),
        )

    known = node.holder.current
    try:
        return await verify(known)
    except SignatureError as error:
        if error.code != "unknown_key":
            raise
        # Another node may have logged the key a moment ago. Asked for keys that are known too: how long an answer takes
        # must not say which those are.
        newest = await node.newest_directory()
        if newest.count == known.count:
            raise
    return await verify(newest)
