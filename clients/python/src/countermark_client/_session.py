"""What every flow needs: the profile, the clock, and calls to the broker with retries.

A request is signed anew at every try (its time and nonce are its own); the *body* of a statement is always
the same bytes. Answers that are negative by rule are believed only with a signed account.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from countermark_client._io import Flow, Request, Response, Sleep
from countermark_client._keystore import SIGNING_USES
from countermark_client._profile import Profile
from countermark_client._settings import Settings
from countermark_protocol.answers import Problem, parse_problem
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    TransportError,
    VerificationError,
)
from countermark_protocol.httpsig import (
    NONCE_BYTES,
    RequestFacts,
    SignatureParams,
    request_digest,
    sign_request,
    signature_base,
)
from countermark_protocol.keys import Signer

#: ms since 1970.
Clock = Callable[[], int]

_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
_CLASSES: Final[dict[int, type[CountermarkError]]] = {
    400: MalformedError,
    401: SignatureError,
    403: PolicyError,
    404: NotFoundError,
    409: ConflictError,
    413: MalformedError,
    422: VerificationError,
}
#: Answers that an account must come with, where the caller's signature counted (docs/spec/api.md §3.5).
ACCOUNTED: Final = frozenset({403, 404, 409})
#: A broker that asks for more patience than this is treated as away.
_MAX_RETRY_AFTER: Final = 120.0


def system_clock() -> int:
    """The machine's clock, ms since 1970."""
    return time.time_ns() // 1_000_000


class ProblemAnswer(Exception):  # noqa: N818  not an error yet: flows turn it into one
    """A problem document, not judged yet.

    Attributes:
        problem: as answered.
        request: digest of the signed request, 32 bytes; empty if it was not signed.
        base: what that is the digest of: says what was asked; empty if it was not signed.
    """

    def __init__(self, problem: Problem, request: bytes, base: bytes) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.request = request
        self.base = base


def problem_error(problem: Problem) -> CountermarkError:
    """The error that a problem document stands for."""
    kind = _CLASSES.get(problem.status, TransportError)
    facts = dict(problem.facts or {})
    facts.pop("code", None)
    facts.pop("message", None)
    return kind(problem.code, problem.detail, **facts)


class Session:
    """One profile talking to its broker."""

    def __init__(self, profile: Profile, settings: Settings, clock: Clock) -> None:
        self.profile = profile
        self.store = profile.store
        self.settings = settings
        self.clock = clock
        parts = urlsplit(profile.broker_url)
        self._authority = parts.netloc.rpartition("@")[2]

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        body: bytes | None = None,
        signer: Signer | None = None,
        wait: float = 0.0,
        retry_problems: bool = True,
    ) -> Flow[tuple[Response, bytes]]:
        """Perform a request until it is answered, with backoff.

        Args:
            method: upper case.
            path: absolute.
            query: without ``?``.
            body: exact bytes; the same at every try.
            signer: who signs the request, or None.
            wait: seconds that the broker may take on purpose (long-poll).
            retry_problems: whether overload and defects of the other side are tried again.

        Returns:
            The successful answer, and the digest of the signed request (empty if it was not signed).

        Raises:
            TransportError: no usable answer after all tries.
            ProblemAnswer: answered with a problem document.
        """
        settings = self.settings
        for attempt in range(settings.attempts):
            last = attempt == settings.attempts - 1
            headers: dict[str, str] = {}
            base = digest = b""
            if signer is not None:
                headers, base = self._sign(method, path, query, body, signer)
                digest = request_digest(base)
            if body is not None:
                headers["Content-Type"] = "application/octet-stream"
            request = Request(method, path, query, body, headers, settings.timeout_seconds + wait)
            try:
                response = yield request
            except TransportError:
                if last:
                    raise
                yield Sleep(self._backoff(attempt))
                continue
            assert response is not None
            if 200 <= response.status < 300:
                return response, digest
            if response.status in _RETRIED and retry_problems and not last:
                yield Sleep(self._patience(response, attempt))
                continue
            raise self._problem(response, digest, base)
        raise AssertionError  # the last attempt always returns or raises

    def _problem(self, response: Response, digest: bytes, base: bytes) -> Exception:
        try:
            problem = parse_problem(response.body)
        except MalformedError:
            return TransportError(
                "unusable_answer", f"status {response.status} without a problem document: is this a broker?"
            )
        if problem.status != response.status:
            return TransportError(
                "unusable_answer", "the problem document states another status than the answer"
            )
        if response.status in _RETRIED:
            return TransportError(
                "broker_unavailable", f"the broker answers {response.status} {problem.code}: {problem.detail}"
            )
        return ProblemAnswer(problem, digest, base)

    def _sign(
        self, method: str, path: str, query: str, body: bytes | None, signer: Signer
    ) -> tuple[dict[str, str], bytes]:
        facts = RequestFacts(method, self._authority, path, query, body)
        created, nonce = self.clock() // 1000, secrets.token_bytes(NONCE_BYTES)
        key_id = signer.public_key.key_id
        headers = sign_request(facts, key_id, signer.sign, created, nonce)
        return headers, signature_base(facts, SignatureParams(created, key_id, nonce))

    def _backoff(self, attempt: int) -> float:
        wait = min(self.settings.backoff_seconds * 2.0**attempt, self.settings.backoff_limit_seconds)
        return wait * (1.0 + random.random() / 2.0)  # noqa: S311  spreads clients out, hides nothing

    def _patience(self, response: Response, attempt: int) -> float:
        asked = response.headers.get("retry-after", "")
        if asked.isascii() and asked.isdecimal() and len(asked) < 6:
            return max(min(float(asked), _MAX_RETRY_AFTER), self._backoff(attempt))
        return self._backoff(attempt)

    def directory_signers(self) -> tuple[Signer, ...]:
        """Keys of this profile that may stand in the directory, the likeliest first."""
        return tuple(s for use in SIGNING_USES for s in self.profile.keystore.signers(use))
