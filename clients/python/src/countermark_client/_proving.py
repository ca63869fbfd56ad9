"""Proving that one's own statements are in the log: document, leaf, all rows, and one's own place in ``sent``.

Source: docs/spec/log.md §8, §9.
"""

from __future__ import annotations

from countermark_client._io import Flow
from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_protocol.answers import Accepted
from countermark_protocol.authors import Signers, authenticate
from countermark_protocol.boxes import Box, Row, Tail, verify_tail
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, UnverifiedDocument, parse_document, verify_document
from countermark_protocol.errors import InconsistentLogError, PolicyError, ProofError, SignatureError
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.keys import PublicKey
from countermark_protocol.leaf import Leaf
from countermark_protocol.proof import verify_all_deliveries, verify_leaf
from countermark_protocol.proof_pieces import encode_proof


def logged_document(handed_in: UnverifiedDocument, accepted: Accepted) -> UnverifiedDocument:
    """The document that was logged: the one handed in, or the one shown, with other signatures over its payload.

    Raises:
        ProofError: ``leaf_mismatch``.
    """
    if accepted.document is None:
        return handed_in
    shown = parse_document(accepted.document)
    if shown.payload != handed_in.payload:
        raise ProofError("leaf_mismatch", "the logged document shown is not of the payload handed in")
    return shown


def check_signers(
    directory: Directory,
    document: Document,
    author: Address,
    time: int,
    index: int,
    evidence: tuple[bytes, ...],
) -> Signers:
    """Check that the keys that signed a logged statement counted as of its leaf.

    Raises:
        InconsistentLogError: ``signer_did_not_count``.
    """
    try:
        return authenticate(directory, document, author, time, index)
    except (SignatureError, PolicyError) as error:
        raise InconsistentLogError(
            "signer_did_not_count",
            f"entry {index} is signed by a key that did not count for {author} there: {error.message}",
            *evidence,
        ) from None


class Prover:
    """Verifies answers about statements of one profile."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log

    def verify_accepted(
        self, handed_in: UnverifiedDocument, accepted: Accepted, kind: Kind, seen_size: int
    ) -> Flow[tuple[Document, Leaf]]:
        """Verify that a statement is an entry of the log, in full.

        Returns:
            The logged document (perhaps with other signatures over the same payload), and its leaf.
        """
        inclusion = accepted.inclusion
        document = verify_document(logged_document(handed_in, accepted), self._resolve)
        checkpoint = yield from self._log.advance(accepted.checkpoint, inclusion)
        leaf = verify_leaf(inclusion, checkpoint, int(kind), document.statement_hash)
        yield from self._log.follow_leaf(leaf, inclusion.index)
        endpoint = self._session.profile.endpoint
        evidence = (leaf.encode(), document.data, encode_proof(checkpoint.raw, inclusion))
        check_signers(self._log.directory, document, endpoint, leaf.time, inclusion.index, evidence)
        if seen_size > inclusion.index:
            raise InconsistentLogError(
                "back_dated",
                f"entry {inclusion.index} states to have seen a log of size {seen_size}",
                *evidence,
            )
        return document, leaf

    def _resolve(self, key_id: KeyId) -> PublicKey | None:
        for signer in self._session.profile.keystore.signers(INSTANCE):
            if signer.public_key.key_id == key_id:
                return signer.public_key
        return self._log.directory.public_key(key_id)

    def own_row(
        self, accepted: Accepted, leaf: Leaf, author: Address, expected: list[tuple[Address, Box]]
    ) -> tuple[Row, Tail]:
        """Verify that an entry has exactly the rows it must have; one's own in ``sent``, with its tail opened.

        Raises:
            ProofError: ``deliveries_mismatch``, or as `verify_all_deliveries`.
        """
        if accepted.deliveries is None:
            raise ProofError("deliveries_mismatch", "the answer shows no deliveries")
        return verify_all_deliveries(accepted.deliveries, leaf, accepted.inclusion.index, author, expected)

    def fold_own_tail(self, row: Row, tail: Tail, index: int, leaf: Leaf, document: bytes) -> None:
        """Take an own entry into the box ``sent``, as far as it is known without gap.

        Raises:
            ProofError: the box has another past than the one already verified.
            InconsistentLogError: ``box_rewritten``: another entry was proven at that position.
        """
        state = self._store.box_state(Box.SENT)
        if tail.position > state.count:
            # Another instance of this endpoint sent meanwhile; `sync_sent` reads what lies between.
            self._store.add_sent_ahead(tail.position, index, leaf.statement, tail.previous)
            return
        if tail.position < state.count:
            known = self._store.box_entry(Box.SENT, tail.position)
            if known is None or known[:2] != (index, leaf.statement) or known[2] != tail.previous:
                raise InconsistentLogError(
                    "box_rewritten",
                    f"position {tail.position} of box 'sent' was proven to be another entry before",
                    leaf.encode(),
                    document,
                )
            return
        after = verify_tail(row, tail, index, leaf.statement, state)
        self._store.add_box_entry(Box.SENT, index, leaf.statement, after)
