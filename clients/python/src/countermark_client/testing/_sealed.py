"""What a broker in memory holds and cannot read: stanzas, contents, and the pieces of attachments.

Source: docs/spec/api.md; docs/spec/messages.md §9.
"""

from __future__ import annotations

from typing import Final

from countermark_client.testing._desk import Answer, Exchange, Refused
from countermark_client.testing._inspection import Inspection
from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import Release
from countermark_protocol.attachments import check_piece, encode_digests, parse_digests
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError, PolicyError
from countermark_protocol.identifiers import Address
from countermark_protocol.state import DeliveryStage
from countermark_protocol.submission import Submission

_JSON: Final = {"content-type": "application/json"}
_BYTES: Final = {"content-type": "application/octet-stream"}


class Sealed(Inspection):
    """Sealed halves of messages, given out to whom they are for."""

    #: By their digests.
    _pieces: dict[bytes, bytes]
    #: Who has uploaded which.
    _uploaded: set[tuple[Address, bytes]]

    # --- uploads ---

    def _put_piece(self, exchange: Exchange, digest: bytes) -> Answer:
        caller, _ = self._any_instance(exchange)
        check_piece(exchange.body, digest)
        new = (caller, digest) not in self._uploaded
        self._pieces[digest] = exchange.body
        self._uploaded.add((caller, digest))
        return (201 if new else 200), _JSON, encode_json({"status": "held"})

    def _post_missing(self, exchange: Exchange) -> Answer:
        caller, _ = self._any_instance(exchange)
        asked = parse_digests(exchange.body)
        missing = [digest for digest in asked if (caller, digest) not in self._uploaded]
        return 200, _BYTES, encode_digests(missing)

    def _check_uploaded(self, sender: Address, submission: Submission) -> None:
        """Refuse a submission, without deciding anything, that names pieces which its sender has not uploaded."""
        named = [digest for digests in submission.pieces for digest in digests]
        missing = [digest for digest in named if (sender, digest) not in self._uploaded]
        if missing:
            raise ConflictError(
                "pieces_missing",
                f"{len(missing)} of {len(named)} pieces of the attachments are not here: upload them, and send the "
                "same bytes again",
            )

    def drop_unclaimed(self) -> int:
        """Forget the uploads that no logged message names, as the real one does after a day; how many."""
        claimed = {d for s in self._submissions.values() for digests in s.pieces for d in digests}
        gone = {one for one in self._uploaded if one[1] not in claimed}
        self._uploaded -= gone
        return len(gone)

    # --- what is given out ---

    def _entitled(self, exchange: Exchange, payload: bytes, *, sender_too: bool) -> Address:
        """Who asks, if the sealed half is released to it."""
        caller, request = self._any_instance(exchange)
        message = self.state.messages[payload]
        delivery = message.deliveries.get(caller) if message is not None else None
        is_sender = message is not None and message.sender == caller and sender_too
        if delivery is None and not is_sender:
            error = NotFoundError("not_held", "no such message for this endpoint")
            raise Refused(error, caller, request, Verdict.NOT_HELD)
        purge = self.state.purges[payload]
        if purge is not None:
            error = NotFoundError("purged", f"entry {purge} says why it is deleted", standing=purge)
            raise Refused(error, caller, request, Verdict.REFUSED)
        if not is_sender and delivery is not None and delivery.stage is DeliveryStage.OPEN:
            refusal = PolicyError("not_delivered", "post a 'delivered' receipt first")
            raise Refused(refusal, caller, request, Verdict.REFUSED)
        return caller

    def _get_sealed(self, exchange: Exchange, payload: bytes, what: str) -> Answer:
        caller = self._entitled(exchange, payload, sender_too=what == "content")
        if what == "content":
            return 200, _BYTES, self._submissions[payload].content
        release = Release(payload, self._stanza(payload, caller))
        return 200, _JSON, encode_json({"releases": [release.to_json()]})

    def _get_attachment(self, exchange: Exchange, payload: bytes, number: str) -> Answer:
        self._entitled(exchange, payload, sender_too=True)
        return 200, _BYTES, encode_digests(self._listed(payload, number))

    def _get_piece(self, exchange: Exchange, payload: bytes, number: str, piece: str) -> Answer:
        self._entitled(exchange, payload, sender_too=True)
        listed = self._listed(payload, number)
        return 200, _BYTES, self._pieces[listed[_below(piece, len(listed))]]

    def _listed(self, payload: bytes, number: str) -> tuple[bytes, ...]:
        lists = self._submissions[payload].pieces
        return lists[_below(number, len(lists))]


def _below(text: str, count: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= count:
        raise MalformedError("bad_parameter", f"expected a number below {count} in the path")
    return int(text)
