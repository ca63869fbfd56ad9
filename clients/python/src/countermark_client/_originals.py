"""Who got a message that is to be superseded, where this profile did not send it itself.

Another instance of its endpoint did. Its recipients' rows are not in any box of this endpoint, but every row of an
entry is opened for the statement's author (docs/spec/log.md §8): the proof of the statement names all of them, and
the leaf commits to them.
"""

from __future__ import annotations

from countermark_client._accounts import Accounts
from countermark_client._io import Flow
from countermark_client._proving import Prover
from countermark_client._session import Session
from countermark_client._store import Direction
from countermark_protocol.answers import Accepted
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind
from countermark_protocol.decision import box_for
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ProofError, TransportError, UncheckableError
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import parse_manifest


class Originals:
    """Messages of one profile's endpoint that it means to supersede."""

    def __init__(self, session: Session, accounts: Accounts, prover: Prover) -> None:
        self._session = session
        self._store = session.store
        self._accounts = accounts
        self._prover = prover

    def learn(self, payload: bytes) -> Flow[None]:
        """See to it that the recipients of a message of this endpoint are known here.

        A message that the log does not hold as one of this endpoint is left to the broker, which refuses what
        supersedes it.

        Args:
            payload: payload hash of the message, 32 bytes.

        Raises:
            UncheckableError: ``superseded_not_known``: they are not known here, and the broker is away.
            VerificationError: the answer does not prove what it should.
        """
        known = self._store.message(payload, Direction.OUT)
        if known is not None and known.recipients is not None:
            return
        try:
            signer = self._session.signer()
            accepted = yield from self._accounts.look_up(payload, signer)
        except TransportError as error:
            raise UncheckableError(
                "superseded_not_known",
                "another instance sent the message that this supersedes, and who received it must be read from the "
                f"log first: {error.message}",
            ) from error
        if accepted is None:
            return
        recipients = yield from self._prove(payload, accepted)
        with self._store.transaction():
            self._store.set_recipients(payload, encode_json(recipients))
            self._store.add_deliveries(payload, recipients)

    def _prove(self, payload: bytes, accepted: Accepted) -> Flow[list[str]]:
        """The recipients of a message, proven by the rows of its leaf."""
        if accepted.document is None or accepted.deliveries is None:
            raise ProofError(
                "statement_not_shown", "the answer lacks the document, or who it was delivered to"
            )
        shown = parse_document(accepted.document)
        manifest = parse_manifest(shown.claims)
        if shown.payload_hash != payload or manifest.sender != self._session.profile.endpoint:
            raise ProofError("wrong_entry", "the broker shows another statement than the one asked for")
        _, leaf = yield from self._prover.verify_accepted(
            shown, accepted, Kind.MESSAGE, manifest.header.seen.size
        )
        rows = [(row.endpoint, row.box) for row in accepted.deliveries.rows]
        box = box_for(manifest.urgency)
        recipients: list[Address] = sorted(
            endpoint for endpoint, found in rows if found not in {Box.SENT, Box.NOTICES}
        )
        self._prover.own_row(accepted, leaf, manifest.sender, [(one, box) for one in recipients])
        if len(recipients) != manifest.recipient_count:
            raise ProofError(
                "deliveries_mismatch", f"{len(recipients)} rows for {manifest.recipient_count} recipients"
            )
        return [str(one) for one in recipients]
