"""The one table from classes of errors to status codes, and problem documents (RFC 9457).

Source: docs/spec/api.md §1.3, §5.
"""

from __future__ import annotations

from typing import Final

from fastapi import Response

from countermark_broker.errors import (
    BrokerError,
    ConfigurationError,
    NotStorableError,
    OverloadedError,
    UnavailableError,
)
from countermark_broker.services.accounts import NegativeAnswer
from countermark_protocol.answers import Problem
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    TransportError,
    UncheckableError,
    VerificationError,
)

PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

#: Looked up along the class's bases, the nearest first.
STATUS: Final[dict[type[CountermarkError], int]] = {
    MalformedError: 400,
    SignatureError: 401,
    PolicyError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    VerificationError: 422,
    UncheckableError: 422,
    NotStorableError: 422,
    OverloadedError: 429,
    UnavailableError: 503,
    TransportError: 503,
    ConfigurationError: 500,
    BrokerError: 500,
    CountermarkError: 500,
}
#: Codes whose status is another than that of their class.
STATUS_BY_CODE: Final = {"oversized_body": 413, "unknown_path": 404, "unknown_method": 405}


def status_of(error: CountermarkError) -> int:
    """The HTTP status of an error."""
    special = STATUS_BY_CODE.get(error.code)
    if special is not None:
        return special
    return next(STATUS[base] for base in type(error).__mro__ if base in STATUS)


def problem_of(error: CountermarkError | NegativeAnswer) -> Problem:
    """The problem document of an error."""
    if isinstance(error, NegativeAnswer):
        return _problem(error.error, error.account)
    return _problem(error, None)


def _problem(error: CountermarkError, account: bytes | None) -> Problem:
    return Problem(status_of(error), error.code, error.message, error.hint, account, error.facts)


def internal_problem() -> Problem:
    """A defect of ours: nothing else is told."""
    return Problem(500, "internal", "the broker failed", "try again; if it stays, tell the broker's operator")


def problem_response(problem: Problem) -> Response:
    """A problem as an answer."""
    wait = (problem.facts or {}).get("retry_after", RETRY_AFTER_S)
    # Else a cache might keep a 404 for what is published a moment later.
    headers = {"Cache-Control": "no-store"}
    if problem.status in {429, 503}:
        headers["Retry-After"] = str(wait)
    return Response(
        encode_json(problem.to_json()), status_code=problem.status, media_type=PROBLEM_TYPE, headers=headers
    )
