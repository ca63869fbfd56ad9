"""Every error Countermark raises, in one tree.

::

    CountermarkError            code, message, facts
    ├─ MalformedError           the bytes are not in the language
    ├─ VerificationError        well-formed, but not authentic
    │  ├─ SignatureError        a signature is wrong, missing or one too many
    │  ├─ SealError             sealed content does not open, or opens to something else
    │  ├─ ProofError            a proof does not prove what it should
    │  └─ InconsistentLogError  two signed facts contradict each other; carries both as evidence
    ├─ UncheckableError         could not be decided: a key or an algorithm is unavailable
    ├─ PolicyError              authentic, but not allowed
    ├─ ConflictError            contradicts something already standing
    ├─ NotFoundError            there is no such thing for this caller
    └─ TransportError           the other side could not be reached or did not answer usably

``code`` is stable and catalogued in ``docs/errors.md``; ``message`` is for people: what was expected,
what came, what to do. Neither ever holds key material or plaintext. Misuse of the library by its caller
is ``ValueError``. Nothing here knows HTTP; one table in the broker maps classes to status codes.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CountermarkError(Exception):
    """Base of all errors of this product.

    Args:
        code: stable machine-readable code, ``lower_snake_case``.
        message: one sentence for people, lower case.
        facts: JSON-able details (field names, expected and given sizes), never secrets.
    """

    #: What a caller can do about errors of this class; shown as ``hint:``.
    hint: ClassVar[str] = "see docs/errors.md for this code"

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class MalformedError(CountermarkError):
    """The bytes are not in the language of the specification."""

    hint = "compare the input with docs/spec; nothing was stored"


class VerificationError(CountermarkError):
    """Well-formed, but not authentic."""

    hint = "do not act on this input; keep it and tell its sender"


class SignatureError(VerificationError):
    """A signature is wrong, missing, by the wrong key, or one too many."""

    hint = "sign with exactly the keys that docs/spec/documents.md demands for this kind"


class SealError(VerificationError):
    """Sealed content does not open, or opens to something other than was committed to."""

    hint = "reject the message with a reason; its sender must seal and send it again"


class ProofError(VerificationError):
    """A proof does not prove what it should."""

    hint = "keep the answer as evidence and compare with another participant or a witness"


class InconsistentLogError(VerificationError):
    """Two authentic facts contradict each other: evidence of misbehaviour.

    Args:
        code: stable code.
        message: what contradicts what.
        evidence: the raw signed bytes of both sides, in the order the message names them.
    """

    hint = "stop sending, keep the evidence, and show it to the governors and auditors"

    def __init__(self, code: str, message: str, *evidence: bytes, **facts: Any) -> None:
        super().__init__(code, message, **facts)
        self.evidence = evidence


class UncheckableError(CountermarkError):
    """Could not be decided, because a key, an algorithm or a version is unavailable here."""

    hint = "update this software or fetch the missing document, then try again"


class PolicyError(CountermarkError):
    """Authentic, but not allowed."""

    hint = "ask the governors for a rule that allows it, or send something else"


class ConflictError(CountermarkError):
    """Contradicts something that already stands."""

    hint = "read the current state and build the statement anew from it"


class NotFoundError(CountermarkError):
    """There is no such thing for this caller."""

    hint = "check the identifier, and whether this endpoint is a party to it"


class TransportError(CountermarkError):
    """The other side could not be reached, or did not answer usably. What was sent is kept."""

    hint = "check the broker's address and state; the same bytes are sent again by the next try"
