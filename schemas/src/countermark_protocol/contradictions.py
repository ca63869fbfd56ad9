"""Contradictions: a file that proves misbehaviour of a log to somebody who has nothing but its founding's fingerprint.

What is claimed, the bytes that show it, and the directory statements that say whose keys are whose. Clients, mirrors
and witnesses keep the bytes when they find one; a comparison of what two parties hold finds those that neither sees
alone. Nothing in a file is believed by being there.

Source: docs/spec/contradictions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.answers import LoggedStatement, parse_logged_statement
from countermark_protocol.claims import Claims
from countermark_protocol.contradiction_claims import CLAIMS, prove
from countermark_protocol.contradiction_shown import MAX_STATEMENTS, Shown
from countermark_protocol.encoding import (
    encode_base64url,
    encode_json,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.holdings import check_format
from countermark_protocol.identifiers import Origin, parse_origin
from countermark_protocol.keys import check_fingerprint, fingerprint

__all__ = [
    "CLAIMS",
    "Contradiction",
    "Proven",
    "encode_contradiction",
    "parse_contradiction",
    "verify_contradiction",
]

FORMAT: Final = "countermark-contradiction-1"
_FAMILY: Final = "countermark-contradiction-"
MAX_BYTES: Final = 256 * 1024 * 1024
_MAX_PIECES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is claimed, and what is to prove it.

    Attributes:
        claim: code, one of `CLAIMS`.
        pieces: the bytes, in the order that the claim takes them.
        statements: of the directory, from the founding on.
    """

    claim: str
    pieces: tuple[bytes, ...]
    statements: tuple[LoggedStatement, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """What a file proves. Made by `verify_contradiction` only.

    Attributes:
        claim: its code.
        says: what is proven, in words.
        log: origin.
        founding: payload hash of the founding, 32 bytes.
        compared: whether a fingerprint was given, and is this founding's.
    """

    claim: str
    says: str
    log: Origin
    founding: bytes
    compared: bool

    @property
    def fingerprint(self) -> str:
        """Of the founding, for comparison by voice."""
        return fingerprint(self.founding)


def encode_contradiction(one: Contradiction, log: Origin) -> bytes:
    """Write the file."""
    return encode_json(
        {
            "format": FORMAT,
            "log": log,
            "claim": one.claim,
            "pieces": [encode_base64url(piece) for piece in one.pieces],
            "statements": [s.to_json() for s in one.statements],
        }
    )


def is_contradiction(data: bytes) -> bool:
    """Whether bytes set out to be such a file; what begins otherwise is written by somebody else."""
    return data.startswith(b'{"format":"' + _FAMILY.encode())


def parse_contradiction(data: bytes) -> tuple[Contradiction, Origin]:
    """Read the file: what is claimed, unverified, and of which log.

    Raises:
        MalformedError: ``oversized_evidence``, ``not_evidence``, or not in its form.
        UncheckableError: ``unknown_version``.
    """
    if len(data) > MAX_BYTES:
        malformed("oversized_evidence", f"expected evidence of at most {MAX_BYTES} bytes, got {len(data)}")
    claims = Claims(parse_object(data, "contradiction"), "contradiction")
    check_format(claims.raw("format"), FORMAT, _FAMILY)
    log = claims.parsed("log", parse_origin)
    out = Contradiction(
        claims.text("claim", 64),
        tuple(
            parse_base64url(piece, "a piece", limit=MAX_BYTES)
            for piece in claims.items("pieces", 1, _MAX_PIECES)
        ),
        tuple(parse_logged_statement(s) for s in claims.items("statements", 1, MAX_STATEMENTS)),
    )
    claims.done()
    return out, log


def prove_contradiction(one: Contradiction) -> str:
    """Work out what a contradiction proves, in words, by its own founding.

    Raises:
        CountermarkError: it proves nothing.
    """
    return prove(Shown(one.statements), one.claim, one.pieces)


def verify_contradiction(data: bytes, expected: str | None = None) -> Proven:
    """Check a file, and say what it proves.

    Args:
        data: the file.
        expected: the founding's fingerprint, as compared over another channel, or its whole payload hash; None
            where it is still to be compared.

    Raises:
        MalformedError: not such a file, or something in it is not of its form.
        VerificationError: something in it is not authentic; ``not_contradictory``: it proves nothing;
            ``other_fingerprint``.
        CountermarkError: as `Shown` and the claim's function.
    """
    one, log = parse_contradiction(data)
    shown = Shown(one.statements)
    if expected is not None:
        check_fingerprint(shown.founding, expected)
    if log != shown.origin:
        malformed("not_evidence", f"expected a contradiction of log '{shown.origin}', got one of '{log}'")
    says = prove(shown, one.claim, one.pieces)
    return Proven(one.claim, says, log, shown.founding, expected is not None)


def of_logged(statements: Sequence[tuple[int, bytes, bytes]]) -> tuple[LoggedStatement, ...]:
    """Directory statements as stores keep them: (index, leaf, document)."""
    return tuple(LoggedStatement(*one) for one in statements)
