"""Key proofs: what this profile has folded, shown to somebody who has not; and one that the broker serves, accepted.

Accepting one key by a path costs a few kilobytes whatever the directory's size, and needs nothing but the trust file:
the log's key, and who vouched for the endpoint, are shown in the proof itself.

Source: docs/spec/directory.md §12.
"""

from __future__ import annotations

from typing import Final

from countermark_client._continuity import continues
from countermark_client._evidence import fetch_inclusion
from countermark_client._io import Flow
from countermark_client._log import LogView, Signed
from countermark_client._session import Session
from countermark_protocol.checkpoint import UnverifiedCheckpoint, parse_checkpoint
from countermark_protocol.claims import Seen
from countermark_protocol.documents import statement_hash
from countermark_protocol.errors import (
    MalformedError,
    NotFoundError,
    ProofError,
    UncheckableError,
)
from countermark_protocol.identifiers import parse_address
from countermark_protocol.key_proof import VerifiedKeys, verify_key_proof
from countermark_protocol.key_proof_making import encode_key_proof, plan_key_proof
from countermark_protocol.proof import Inclusion

#: The newest checkpoint under which a key proof was accepted, as its note.
_PROVEN_UNDER: Final = "keys_proven_under"


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


def accept_keys(session: Session, log: LogView, address: str) -> Flow[tuple[VerifiedKeys, bytes]]:
    """Ask the broker for the proof of an endpoint's keys, and accept what it proves; see `Client.accept_keys`."""
    parsed = parse_address(address)
    data = yield from log.read_directory(f"/v1/directory/{parsed}/proof")
    proven = verify_key_proof(data, session.profile.trust.document.payload_hash.hex())
    if proven.address != parsed:
        raise ProofError(
            "other_address", f"expected a proof of the keys of {parsed}, got one of those of {proven.address}"
        )
    _check_fresh(session, proven)
    remembered = session.store.meta(_PROVEN_UNDER)
    known = [parse_checkpoint(remembered)] if remembered is not None else []
    if log.checkpoint is not None:
        known.append(parse_checkpoint(log.checkpoint.raw))
    for one in known:
        yield from _check_continues(session, log, one, proven)
    if all(proven.checkpoint.size > one.size for one in known):
        session.store.set_meta(_PROVEN_UNDER, proven.checkpoint.raw)
    return proven, data


def _check_fresh(session: Session, proven: VerifiedKeys) -> None:
    """Where the log names witnesses, their quorum says how old the head is; else nobody but the broker does.

    Raises:
        UncheckableError: ``stale_checkpoint``.
    """
    if not proven.witnessing.quorum:
        return
    most, at = session.settings.max_checkpoint_age, proven.witnessing.existed_by
    age = None if at is None else max(0, session.clock() - at * 1000)
    if age is None or age > most:
        got = "none" if age is None else f"one {age // 60_000} minutes old"
        raise UncheckableError(
            "stale_checkpoint",
            f"expected a checkpoint that a quorum of witnesses has cosigned at most {most // 60_000} minutes ago, got "
            f"{got}: no key is accepted under an old directory",
        )


def _check_continues(
    session: Session, log: LogView, known: UnverifiedCheckpoint, proven: VerifiedKeys
) -> Flow[None]:
    """Check that the proof is of the history already believed, and, without witnesses, not of an earlier state.

    Args:
        session: of the profile.
        log: what it has verified.
        known: believed before: it was verified when it was kept.
        proven: the proof.

    Raises:
        UncheckableError: ``stale_checkpoint``.
        InconsistentLogError: ``checkpoint_fork``.
    """
    new = proven.checkpoint
    if new.size < known.size and not proven.witnessing.quorum:
        raise UncheckableError(
            "stale_checkpoint",
            f"expected a checkpoint of at least {known.size} entries, which this profile has seen, got one of "
            f"{new.size}: no key is accepted under an old directory",
        )
    if new.size == known.size:
        same = new.root == known.root
    else:
        pair: tuple[Signed, Signed] = (known, new) if known.size < new.size else (new, known)
        try:
            same = yield from continues(session, Seen(pair[0].size, pair[0].root), pair[1])
        except (MalformedError, NotFoundError):
            same = False  # it does not know any more what it signed
    if not same:
        yield from log.fork(known, new)
