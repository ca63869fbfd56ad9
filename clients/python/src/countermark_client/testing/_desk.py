"""Who asks a broker in memory, and what it answers when it refuses.

Source: docs/spec/api.md §2, §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from countermark_client.testing._ledger import Ledger
from countermark_protocol.accounts import Account, Refusal, StatedBox, Verdict
from countermark_protocol.answers import Problem
from countermark_protocol.boxes import Box
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
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
from countermark_protocol.httpsig import (
    RequestFacts,
    VerifiedRequest,
    parse_signature_headers,
    verify_request_of,
)
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.keys import Signer

_PROBLEM: Final = {"content-type": "application/problem+json"}
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


class Refused(Exception):  # noqa: N818  becomes an answer, never leaves the broker
    """A refusal by rule to a caller whose signature counted: answered with an account."""

    def __init__(self, error: CountermarkError, caller: Address, request: bytes, verdict: Verdict) -> None:
        super().__init__(error.code)
        self.error = error
        self.caller = caller
        self.request = request
        self.verdict = verdict


class Desk(Ledger):
    """A log whose callers are known by their signatures, and which signs for what it refuses them."""

    def __init__(
        self,
        *,
        founding: bytes,
        log_key: Signer,
        node_key: Signer,
        clock: Callable[[], int],
        authority: str,
    ) -> None:
        self._authority = authority
        super().__init__(founding=founding, log_key=log_key, node_key=node_key, clock=clock)

    def _judged(self, call: Callable[[Exchange], Answer], exchange: Exchange) -> Answer:
        """The answer of a call; a problem document where it refuses."""
        try:
            return call(exchange)
        except Refused as refused:
            return self._refusal(refused)
        except CountermarkError as error:
            return self._problem(_status_of(error), error)

    # --- who calls ---

    def _verified(self, exchange: Exchange) -> VerifiedRequest:
        if exchange.authority != self._authority:
            raise SignatureError("wrong_authority", f"this broker is {self._authority}")
        facts = RequestFacts(
            exchange.method, self._authority, exchange.path, exchange.query, exchange.body or None
        )
        unverified = parse_signature_headers(exchange.headers, facts)
        key = self.state.directory.public_key(unverified.key_id)
        return verify_request_of(
            unverified,
            key,
            now_seconds=self._clock() // 1000,
            max_age_seconds=_MAX_AGE,
            max_skew_seconds=_MAX_AGE,
        )

    def _caller(self, exchange: Exchange, address: Address) -> bytes:
        verified = self._verified(exchange)
        if self.state.directory.instance(address, verified.key_id, time=self._clock()) is None:
            raise SignatureError(
                "wrong_signer", f"the request is not signed by a current instance of {address}"
            )
        return verified.digest

    def _any_instance(self, exchange: Exchange) -> tuple[Address, bytes]:
        verified = self._verified(exchange)
        return self._endpoint_of(verified.key_id), verified.digest

    def _endpoint_of(self, key_id: KeyId) -> Address:
        address = self.state.directory.endpoint_of_key(key_id, time=self._clock())
        if address is None:
            raise SignatureError("wrong_signer", "the request is not signed by a current instance key")
        return address

    # --- negative answers ---

    def _account(
        self,
        caller: Address,
        request: bytes,
        verdict: Verdict,
        refusal: Refusal | None,
        owners: Sequence[Address] | None = None,
    ) -> bytes:
        """Sign a negative answer; it states the caller's boxes, or those of `owners`."""
        account = Account(
            log=self.origin,
            seen=self._seen(),
            author=self.state.directory.log().broker,
            caller=caller,
            request=request,
            made_at=self._clock(),
            verdict=verdict,
            boxes=tuple(
                StatedBox(owner, box, self.state.boxes[owner, box])
                for owner in ([caller] if owners is None else owners)
                for box in Box
            ),
            refusal=refusal,
        )
        return sign_document(encode_json(account.to_json()), [self._node_key])

    def _refusal(self, refused: Refused) -> Answer:
        error = refused.error
        refusal = None
        if refused.verdict is Verdict.REFUSED:
            refusal = Refusal(error.code, error.message, self._clock(), self.state.size)
        account = self._account(refused.caller, refused.request, refused.verdict, refusal)
        return self._problem(_status_of(error), error, account=account)

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


def _status_of(error: CountermarkError) -> int:
    return next((s for kind, s in _STATUS if isinstance(error, kind)), 500)
