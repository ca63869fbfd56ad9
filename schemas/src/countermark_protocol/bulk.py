"""Bulk submission: many submissions in one request, one verdict a line as each commit lands.

The request is (length u32 ‖ submission)*; its answer is JSON Lines: a checkpoint before the verdicts that
stand under it, and one verdict for each submission, in order. Submissions are numbered from 0, by their place
in the request. A verdict says what the answer to that submission alone would have said.

Source: docs/spec/api.md §3, §4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.answers import (
    Accepted,
    Problem,
    parse_accepted_members,
    parse_checkpoint_text,
    parse_problem_members,
)
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_json, malformed, parse_object
from countermark_protocol.submission import MAX_SUBMISSION_BYTES

#: Submissions in one request.
MAX_BULK_SUBMISSIONS: Final = 10_000
#: Bytes of one request.
MAX_BULK_BYTES: Final = 512 * 1024 * 1024
_LENGTH_BYTES: Final = 4


def encode_frames(submissions: Iterable[bytes]) -> bytes:
    """Encode the body of a bulk request."""
    out = bytearray()
    for submission in submissions:
        out += len(submission).to_bytes(_LENGTH_BYTES) + submission
    return bytes(out)


class FrameReader:
    """Takes a request's body apart as it arrives.

    What is wrong with the frames themselves ends the request, since nothing after it can be told apart; what
    is wrong within a submission concerns that one alone and is found by `parse_submission`.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._size = 0
        self._count = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take in the next bytes; the submissions that they complete.

        Raises:
            MalformedError: ``oversized_body``: a frame, their number, or the whole is larger than allowed.
        """
        self._size += len(chunk)
        if self._size > MAX_BULK_BYTES:
            malformed("oversized_body", f"expected at most {MAX_BULK_BYTES} bytes in one bulk request")
        self._held += chunk
        out: list[bytes] = []
        at = 0
        while (length := self._whole_frame(at, told=not out)) is not None:
            at += _LENGTH_BYTES
            out.append(bytes(self._held[at : at + length]))
            at += length
            self._count += 1
        del self._held[:at]
        return out

    def _whole_frame(self, at: int, *, told: bool) -> int | None:
        """Length of the submission that begins at `at`, once it is here in full.

        Args:
            at: offset into what is held.
            told: whether all before it was given out; else what is wrong is said at the next call.
        """
        if len(self._held) - at < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._held[at : at + _LENGTH_BYTES])
        if length > MAX_SUBMISSION_BYTES or self._count == MAX_BULK_SUBMISSIONS:
            if not told:
                return None
            malformed(
                "oversized_body",
                f"expected at most {MAX_BULK_SUBMISSIONS} submissions of at most {MAX_SUBMISSION_BYTES} bytes each",
            )
        return length if len(self._held) - at >= _LENGTH_BYTES + length else None

    def end(self) -> None:
        """Check that the body ended with a whole frame.

        Raises:
            MalformedError: ``truncated``; or as `feed`, of what it had not said yet.
        """
        self.feed(b"")
        if self._held:
            malformed("truncated", "the bulk request ends within a submission")


@dataclass(frozen=True, slots=True)
class BulkVerdict:
    """What became of one submission; exactly one of `accepted` and `problem` is there.

    Attributes:
        number: place of the submission in its request, from 0.
        status: HTTP status that the submission alone would have been answered with.
        accepted: its proof, under the checkpoint last shown.
        problem: its refusal or failure.
    """

    number: int
    status: int
    accepted: Accepted | None = None
    problem: Problem | None = None

    def encode(self) -> bytes:
        """Its line, without line feed; the checkpoint of a proof is left out, for it has a line of its own."""
        out: JsonObject = {"number": self.number, "status": self.status}
        if self.accepted is not None:
            out["accepted"] = {k: v for k, v in self.accepted.to_json().items() if k != "checkpoint"}
        if self.problem is not None:
            out["problem"] = self.problem.to_json()
        return encode_json(out)


def encode_bulk_checkpoint(checkpoint: bytes) -> bytes:
    """The line that says under which checkpoint the following verdicts stand, without line feed."""
    return encode_json({"checkpoint": checkpoint.decode("utf-8")})


class BulkReader:
    """Reads the lines of an answer, one by one.

    Args:
        count: submissions in the request.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = 0
        self._checkpoint: Any = None

    @property
    def complete(self) -> bool:
        """Whether every submission has its verdict."""
        return self._next == self._count

    def take(self, line: bytes) -> BulkVerdict | None:
        """Parse the next line; its verdict, or None for a checkpoint.

        Raises:
            MalformedError: not a line of this answer, or a verdict out of order.
        """
        claims = Claims(parse_object(line, "bulk answer"), "bulk answer")
        if claims.has("checkpoint"):
            self._checkpoint = claims.raw("checkpoint")
            parse_checkpoint_text(self._checkpoint, "checkpoint")
            claims.done()
            return None
        number = claims.integer("number")
        if self.complete or number != self._next:
            malformed("bad_member", f"expected the verdict on submission {self._next}, got {number}")
        status = claims.integer("status", 200, 599)
        if claims.has("accepted"):
            if status not in {200, 201} or self._checkpoint is None:
                claims.bad("status", "200 or 201 with a proof, after a checkpoint")
            members = claims.raw("accepted")
            if not isinstance(members, dict) or "checkpoint" in members:
                claims.bad("accepted", "a proof without its checkpoint")
            accepted = parse_accepted_members({**members, "checkpoint": self._checkpoint})
            verdict = BulkVerdict(number, status, accepted=accepted)
        else:
            problem = parse_problem_members(claims.raw("problem"))
            if problem.status != status or status < 400:
                claims.bad("status", "that of the problem document")
            verdict = BulkVerdict(number, status, problem=problem)
        claims.done()
        self._next += 1
        return verdict
