"""Every class of errors has a status, and no problem tells more than it should."""

import pytest

import countermark_broker.errors  # noqa: F401  so that its classes are walked too
from countermark_broker.api.errors import STATUS, internal_problem, problem_of, problem_response, status_of
from countermark_broker.services.accounts import NegativeAnswer
from countermark_protocol.answers import parse_problem
from countermark_protocol.errors import CountermarkError, InconsistentLogError, MalformedError, NotFoundError


def every_class(base=CountermarkError):
    yield base
    for below in base.__subclasses__():
        if below.__module__.startswith(("countermark_protocol", "countermark_broker")):
            yield from every_class(below)


EXPECTED = {
    "MalformedError": 400, "SignatureError": 401, "PolicyError": 403, "NotFoundError": 404, "ConflictError": 409,
    "VerificationError": 422, "SealError": 422, "ProofError": 422, "InconsistentLogError": 422,
    "UncheckableError": 422, "NotStorableError": 422, "OverloadedError": 429, "QuotaExceededError": 429,
    "UnavailableError": 503,
    "TransportError": 503, "ConfigurationError": 500, "BrokerError": 500, "CountermarkError": 500,
}  # fmt: skip


@pytest.mark.parametrize("error_class", list(every_class()))
def test_every_class_is_answered(error_class):
    error = error_class("some_code", "expected this, got that", field="x")
    problem = problem_of(error)
    assert problem.status == EXPECTED[error_class.__name__]
    answer = problem_response(problem)
    assert answer.status_code == problem.status
    parsed = parse_problem(answer.body)
    assert (parsed.code, parsed.detail, parsed.facts) == (
        "some_code",
        "expected this, got that",
        {"field": "x"},
    )
    assert parsed.hint
    assert ("retry-after" in answer.headers) == (problem.status in {429, 503})


def test_the_table_names_no_class_twice_and_covers_the_expected():
    assert {c.__name__ for c in STATUS} <= set(EXPECTED)


def test_an_oversized_body_has_a_status_of_its_own():
    assert status_of(MalformedError("oversized_body", "too large")) == 413


def test_evidence_is_not_in_the_problem():
    error = InconsistentLogError("x", "a and b differ", b"raw evidence")
    assert b"raw evidence" not in problem_response(problem_of(error)).body


def test_an_account_travels_with_the_problem():
    parsed = parse_problem(
        problem_response(problem_of(NegativeAnswer(NotFoundError("x", "y"), b"signed"))).body
    )
    assert parsed.account == b"signed"


def test_a_defect_says_nothing():
    assert internal_problem().detail == "the broker failed"
