"""Key proofs: what this profile has folded, shown to somebody who has not, in one file.

Source: docs/spec/directory.md §12.
"""

from __future__ import annotations

from countermark_client._evidence import fetch_inclusion
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_protocol.documents import statement_hash
from countermark_protocol.identifiers import parse_address
from countermark_protocol.key_proof import encode_key_proof, plan_key_proof, verify_key_proof
from countermark_protocol.proof import Inclusion


def prove_keys(session: Session, log: LogView, address: str) -> Flow[bytes]:
    """Make the proof of an endpoint's keys, or that it has none; see `Client.prove_keys`."""
    parsed, trust = parse_address(address), session.profile.trust.document
    checkpoint = yield from log.sync()
    witnessed = log.witnesses.newest
    if witnessed is not None and witnessed.checkpoint.size == checkpoint.size:
        checkpoint = witnessed.checkpoint  # the same tree, with the word of witnesses on when it was seen
    history = session.store.directory()
    documents = {statement_hash(document): document for _, _, document in history}
    plan = plan_key_proof(log.directory, documents, parsed, checkpoint.size)
    leaves: dict[int, Inclusion] = {}
    for index in plan.leaves:
        leaves[index] = yield from fetch_inclusion(session, index, checkpoint)
    data = encode_key_proof(session.profile.log, trust.data, parsed, checkpoint.raw, plan, history, leaves)
    verify_key_proof(data, trust.payload_hash.hex())  # what a verifier would refuse is not given out
    return data
