"""One endpoint's keys in one file: proven by paths in the trie, for who does not fold the whole directory.

The file shows the newest record of ``keys/<address>`` and of everything that it stands by, under the directory head in
the last leaf of one checkpoint; or that there is none. It is checked without a network and without an account.

Source: docs/spec/directory.md §12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_protocol.answers import parse_checkpoint_text
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Claims, Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import (
    malformed,
    parse_object,
)
from countermark_protocol.errors import ProofError, UncheckableError
from countermark_protocol.evidence_checks import check_records, proven_leaf
from countermark_protocol.evidence_directory import ShownDirectory
from countermark_protocol.evidence_witnesses import Witnessing, judge_newest
from countermark_protocol.identifiers import Address, Origin, parse_address, parse_origin
from countermark_protocol.key_proof_making import FORMAT, ask_about
from countermark_protocol.keys import check_fingerprint, fingerprint
from countermark_protocol.proof import Inclusion, parse_inclusion
from countermark_protocol.records import KeysRecord, keys_in
from countermark_protocol.shown_facts import Fact, parse_fact, parse_shown_document
from countermark_protocol.statements import kind_of

_FAMILY: Final = "countermark-key-proof-"
MAX_KEY_PROOF_BYTES: Final = 4 * 1024 * 1024
_MAX_ITEMS: Final = 2000


@dataclass(frozen=True, slots=True)
class VerifiedKeys:
    """What a key proof proves. Made by `verify_key_proof` only.

    Attributes:
        log: origin.
        founding: payload hash of the founding, 32 bytes.
        compared: whether a fingerprint was given, and is this founding's.
        address: of the endpoint.
        keys: its record, if it stands under this checkpoint; None where it is proven that none does.
        index: log index of the statement that set it; None without a record.
        time: of that leaf, ms since 1970; None without a record.
        revoked: ids of keys of the record that are revoked.
        checkpoint: under which.
        newest_time: of its last leaf, ms since 1970.
        witnessing: what witnesses say of the checkpoint.
        directory: as far as it is shown, for `Directory.sealing_key` and the like of this endpoint.
    """

    log: Origin
    founding: bytes
    compared: bool
    address: Address
    keys: KeysRecord | None
    index: int | None
    time: int | None
    revoked: frozenset[bytes]
    checkpoint: Checkpoint
    newest_time: int
    witnessing: Witnessing
    directory: Directory

    @property
    def fingerprint(self) -> str:
        """Of the founding, for comparison by voice."""
        return fingerprint(self.founding)

    def age(self, now: int) -> int:
        """How old the checkpoint is at most, ms: since its quorum of witnesses, or by the log's word its last leaf.

        Args:
            now: ms since 1970.
        """
        witnessed = (self.witnessing.existed_by or 0) * 1000
        return max(0, now - max(witnessed, self.newest_time))

    def check_age(self, now: int, most: int) -> None:
        """Refuse a proof under a checkpoint older than a bound.

        Args:
            now: ms since 1970.
            most: ms.

        Raises:
            UncheckableError: ``stale_checkpoint``.
        """
        if self.age(now) > most:
            raise UncheckableError(
                "stale_checkpoint",
                f"expected a checkpoint at most {most // 60_000} minutes old, got one that may be "
                f"{self.age(now) // 60_000} minutes old: ask for a newer proof",
            )


@dataclass(frozen=True, slots=True)
class UnverifiedKeyProof:
    """A key proof as parsed: nothing in it is checked."""

    log: Origin
    founding: bytes
    address: Address
    checkpoint: bytes
    leaves: tuple[Inclusion, ...]
    statements: tuple[bytes, ...]
    facts: tuple[Fact, ...]


def parse_key_proof(data: bytes) -> UnverifiedKeyProof:
    """Parse a key proof.

    Raises:
        MalformedError: ``not_a_key_proof``, or not in its form.
        UncheckableError: ``unknown_version``.
    """
    if len(data) > MAX_KEY_PROOF_BYTES:
        malformed("not_a_key_proof", f"expected at most {MAX_KEY_PROOF_BYTES} bytes, got {len(data)}")
    claims = Claims(parse_object(data, "key proof"), "key proof")
    stated = claims.raw("format") if claims.has("format") else None
    if stated != FORMAT:
        if isinstance(stated, str) and stated.startswith(_FAMILY):
            raise UncheckableError("unknown_version", "the key proof is of a version that is not known here")
        malformed("not_a_key_proof", "this file is no key proof")
    out = UnverifiedKeyProof(
        log=claims.parsed("log", parse_origin),
        founding=claims.parsed("founding", parse_shown_document),
        address=claims.parsed("address", parse_address),
        checkpoint=claims.parsed("checkpoint", parse_checkpoint_text),
        leaves=tuple(parse_inclusion(v, "a leaf") for v in claims.items("leaves", 1, _MAX_ITEMS)),
        statements=tuple(
            parse_shown_document(v, "a directory statement")
            for v in claims.items("statements", 1, _MAX_ITEMS)
        ),
        facts=tuple(parse_fact(v, "a fact") for v in claims.items("facts", 1, _MAX_ITEMS)),
    )
    claims.done()
    return out


def verify_key_proof(data: bytes, expected: str | None = None) -> VerifiedKeys:
    """Check a key proof.

    Args:
        data: the file.
        expected: the founding's fingerprint, as compared over another channel, or its whole payload hash; None
            where it is still to be compared.

    Raises:
        MalformedError: not a key proof, or something in it is not of its form.
        VerificationError: something in it is not authentic, or is not shown; ``other_fingerprint``.
        UncheckableError: a version or algorithm that this software does not know.

    Does not prove: that the checkpoint is fresh (`VerifiedKeys.check_age`), nor that the log shows everybody the same.
    """
    proof = parse_key_proof(data)
    founding = parse_document(proof.founding)
    if kind_of(founding.claims) is not Kind.FOUNDING:
        malformed("not_a_trust_file", "the key proof does not begin with the founding of a log")
    if expected is not None:
        check_fingerprint(founding.payload_hash, expected)
    unverified = parse_checkpoint(proof.checkpoint)
    leaves = {one.index: proven_leaf(one, unverified.size, unverified.root) for one in proof.leaves}
    newest = unverified.size - 1
    if newest not in leaves:
        raise ProofError("evidence_incomplete", "the last leaf below the checkpoint is not shown")
    directory = ShownDirectory(proof.statements, proof.facts, leaves, newest, frozenset({newest}))
    check_records(directory, proof.log, proof.founding)
    key = directory.log_key_for(unverified.size)
    checkpoint = verify_checkpoint(unverified, proof.log, key.raw)
    record = ask_about(directory, proof.address, unverified.size)
    held = directory.held(f"keys/{proof.address}") if record is not None else None
    revoked = frozenset(
        k.key_id for k in (keys_in(record) if record is not None else ()) if directory.revocation(k.key_id)
    )
    return VerifiedKeys(
        log=proof.log,
        founding=founding.payload_hash,
        compared=expected is not None,
        address=proof.address,
        keys=record,
        index=held.index if held is not None else None,
        time=held.time if held is not None else None,
        revoked=revoked,
        checkpoint=checkpoint,
        newest_time=leaves[newest].time,
        witnessing=judge_newest(directory, checkpoint),
        directory=directory,
    )
