"""Uploading sealed pieces before the message that names them: only what the broker lacks, each by itself.

Source: docs/spec/api.md; docs/spec/messages.md §9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from countermark_client._io import Flow
from countermark_client._session import ProblemAnswer, Session, Transfer, problem_error
from countermark_client._store import OutboxItem
from countermark_protocol.answers import Problem
from countermark_protocol.attachments import PIECE_BYTES, encode_digests, parse_digests
from countermark_protocol.errors import MalformedError, TransportError
from countermark_protocol.submission import parse_submission

_MISSING: Final = "/v1/pieces/missing"
#: A plain problem of a submission whose pieces are not all there: nothing was decided.
PIECES_MISSING: Final = "pieces_missing"


def lacks_pieces(problem: Problem) -> bool:
    """Whether an answer to a submission says that pieces must be uploaded first, and nothing more."""
    return problem.code == PIECES_MISSING and problem.account is None


class Uploads:
    """Uploads of one profile."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def bring(self, item: OutboxItem) -> Flow[None]:
        """See to it that the broker holds all pieces of a message.

        Raises:
            TransportError: the broker is away; what it has, it keeps.
            StorageError: ``piece_not_held``, ``piece_damaged``: it cannot be sent any more.
            CountermarkError: the broker refuses to take them.
        """
        pieces = parse_submission(item.body).pieces
        yield from self.bring_pieces(item.payload, [digest for digests in pieces for digest in digests])

    def bring_pieces(self, message: bytes, digests: Sequence[bytes]) -> Flow[int]:
        """Upload those of some pieces that the broker lacks; how many these were.

        Args:
            message: payload hash of the message that they belong to, 32 bytes.
            digests: of pieces that are in this profile.

        Raises:
            CountermarkError: as `bring`.
        """
        if not digests:
            return 0
        missing = yield from self._missing(digests)
        total = len(digests) * PIECE_BYTES
        done = total - len(missing) * PIECE_BYTES
        watch = self._session.watch
        watch.transferred(Transfer(message, None, "up", done, total))
        for digest in missing:
            yield from self._put(digest)
            done += PIECE_BYTES
            watch.transferred(Transfer(message, None, "up", done, total))
        return len(missing)

    def _missing(self, digests: Sequence[bytes]) -> Flow[tuple[bytes, ...]]:
        try:
            response, _ = yield from self._session.call(
                "POST", _MISSING, body=encode_digests(digests), signer=self._session.signer()
            )
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
        try:
            named = frozenset(parse_digests(response.body))
        except MalformedError as error:
            raise TransportError("unusable_answer", error.message) from None
        # Whatever else is asked for is no piece of this message.
        return tuple(digest for digest in dict.fromkeys(digests) if digest in named)

    def _put(self, digest: bytes) -> Flow[None]:
        piece = self._session.profile.pieces.read(digest)
        try:
            yield from self._session.call(
                "PUT", f"/v1/pieces/{digest.hex()}", body=piece, signer=self._session.signer()
            )
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
