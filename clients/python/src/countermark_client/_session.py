"""What every flow needs: the profile, the clock, and calls to the broker with retries.

A request is signed anew at every try (its time and nonce are its own); the *body* of a statement is always
the same bytes. Answers that are negative by rule are believed only with a signed account.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from countermark_client._io import Flow, Request, Response, Sleep
from countermark_client._keystore import INSTANCE, SIGNING_USES
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
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import Signer
from countermark_protocol.resets import Reset

if TYPE_CHECKING:
    from countermark_client._renewal import Renewed

#: ms since 1970.
Clock = Callable[[], int]

#: Answers of a side that is overloaded or broken: the same bytes are sent again later.
RETRIED: Final = frozenset({429, 500, 502, 503, 504})
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
#: Until when the broker asked to be left alone, ms since 1970.
_REST_UNTIL: Final = "rest_until"


def system_clock() -> int:
    """The machine's clock, ms since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far the sealed pieces of a message are.

    Attributes:
        message: payload hash, 32 bytes.
        attachment: which is fetched; None while all of a message's are uploaded.
        direction: ``up`` or ``down``.
        done: bytes that are over, those of earlier tries too.
        total: bytes of all pieces.
    """

    message: bytes
    attachment: int | None
    direction: str
    done: int
    total: int


@dataclass
class Watch:
    """What a program hears while a call runs; to be set by it. Called in the middle of the call: be short.

    Attributes:
        waiting: told (seconds, why) before waiting for a broker that takes nothing at present.
        settled: told how many statements of the outbox were answered for good, as the answers come.
        alarmed: told of a key under this endpoint's own name that was not made here, in words, once.
        reset: told of a recipient whose administrator was reset and is not confirmed yet, at every message to it.
        renewed: told of keys that the client has renewed by itself.
        transferred: told how far attachments are, at the beginning and after every piece.
    """

    waiting: Callable[[float, str], None] = lambda _seconds, _why: None
    settled: Callable[[int], None] = lambda _count: None
    alarmed: Callable[[str], None] = lambda _text: None
    reset: Callable[[Reset], None] = lambda _reset: None
    renewed: Callable[[Renewed], None] = lambda _renewed: None
    transferred: Callable[[Transfer], None] = lambda _transfer: None


def _retry_after(response: Response) -> float:
    """Seconds that an answer asks to wait; 0 if it does not say."""
    asked = response.headers.get("retry-after", "")
    if asked.isascii() and asked.isdecimal() and len(asked) < 6:
        return min(float(asked), _MAX_RETRY_AFTER)
    return 0.0


def patience_of(problem: Problem) -> float:
    """Seconds that a problem asks to wait, which has no header of its own; 0 if it does not say."""
    asked = (problem.facts or {}).get("retry_after")
    return min(float(asked), _MAX_RETRY_AFTER) if isinstance(asked, int) and asked > 0 else 0.0


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
        self.watch = Watch()
        #: Whether an instance key counts now, as far as the directory was read; set by who reads it.
        self.counts: Callable[[KeyId], bool] = lambda _key_id: True
        #: Whether requests are answered out of a bundle, at once or never.
        self.carried = False
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
        attempts: int | None = None,
        stream: bool = False,
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
            attempts: how often it is tried; as in the settings if None.
            stream: whether the successful answer is read by `NextLine`.

        Returns:
            The successful answer, and the digest of the signed request (empty if it was not signed).

        Raises:
            TransportError: no usable answer after all tries.
            ProblemAnswer: answered with a problem document.
        """
        settings = self.settings
        if self.carried:
            attempts = 1
        elif settings.cut_off:
            raise TransportError("cut_off", "this post has no line: what it signs waits for the next bundle")
        else:
            yield from self._rest()
        most = settings.attempts if attempts is None else attempts
        for attempt in range(most):
            last = attempt == most - 1
            headers: dict[str, str] = {}
            base = digest = b""
            if signer is not None:
                headers, base = self._sign(method, path, query, body, signer)
                digest = request_digest(base)
            if body is not None:
                headers["Content-Type"] = "application/octet-stream"
            timeout = settings.timeout_seconds + wait
            request = Request(method, path, query, body, headers, timeout, stream)
            try:
                response = yield request
            except TransportError:
                if last:
                    raise
                yield Sleep(self.backoff(attempt))
                continue
            assert response is not None
            if 200 <= response.status < 300:
                return response, digest
            if response.status in RETRIED and retry_problems and not last:
                patience = max(_retry_after(response), self.backoff(attempt))
                self.watch.waiting(patience, f"the broker answers {response.status}")
                yield Sleep(patience)
                continue
            if response.status in RETRIED:
                self.rest_later(_retry_after(response))
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
        if response.status in RETRIED:
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

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the failed try of this number, from 0."""
        wait = min(self.settings.backoff_seconds * 2.0**attempt, self.settings.backoff_limit_seconds)
        return wait * (1.0 + random.random() / 2.0)  # noqa: S311  spreads clients out, hides nothing

    def rest_later(self, seconds: float) -> None:
        """Remember what patience the broker asked for, so that the next call has it, in whichever process."""
        if seconds:
            self.store.set_meta(_REST_UNTIL, str(self.clock() + round(seconds * 1000)).encode())

    def _rest(self) -> Flow[None]:
        """Wait as long as the broker last asked for."""
        left = (self.store.meta_number(_REST_UNTIL) - self.clock()) / 1000
        if left > 0:
            left = min(left, _MAX_RETRY_AFTER)
            self.watch.waiting(left, "the broker asked for it")
            yield Sleep(left)

    def signer(self) -> Signer:
        """The newest instance key of this profile that counts; the newest one if none is known to.

        A key that was made but is not certified yet, or has reached its end, waits or rests in the keystore.
        """
        signers = self.profile.keystore.signers(INSTANCE)
        return next(
            (s for s in signers if self.counts(s.public_key.key_id)), None
        ) or self.profile.keystore.signer(INSTANCE)

    def directory_signers(self) -> tuple[Signer, ...]:
        """Keys of this profile that may stand in the directory, the likeliest first."""
        return tuple(s for use in SIGNING_USES for s in self.profile.keystore.signers(use))
