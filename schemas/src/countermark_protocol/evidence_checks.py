"""Checking evidence: from the founding, whose fingerprint people compare, to every statement in the file.

Everything is worked out from the bytes alone: there is no network, no clock and no account. What is returned
is proven; what nobody can prove by such a file is said in docs/spec/evidence.md §4.

Source: docs/spec/evidence.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import (
    ProofError,
    VerificationError,
)
from countermark_protocol.evidence import Evidence, LoggedDocument, parse_evidence
from countermark_protocol.evidence_directory import (
    ShownDirectory,
    check_founding,
    check_written,
    name_at,
)
from countermark_protocol.evidence_entries import (
    DisclosureShown,
    EntryShown,
    MessageShown,
    check_disclosed,
    check_entry,
    check_message,
)
from countermark_protocol.evidence_stamps import StampShown, check_stamps
from countermark_protocol.evidence_witnesses import (
    FirstWitnessed,
    Witnessing,
    judge_newest,
    verify_first_witnessed,
)
from countermark_protocol.identifiers import Origin
from countermark_protocol.keys import check_fingerprint, fingerprint
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash, verify_consistency, verify_inclusion
from countermark_protocol.proof import Inclusion
from countermark_protocol.statements import kind_of
from countermark_protocol.timestamps import TsaRoots


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """What a file of evidence proves. Made by `verify_evidence` only.

    Attributes:
        log: origin.
        founding: payload hash of the founding, 32 bytes.
        compared: whether a fingerprint was given, and is this founding's.
        checkpoint: the newest.
        newest_time: of its last leaf, ms since 1970.
        earlier: size of the checkpoint that the message was first proven under here; None where it is the newest.
        witnessing: what witnesses say of the newest checkpoint.
        first_witnessed: the oldest checkpoint with the message that a quorum cosigned; None where none is shown.
        message: the message.
        entries: what became of it, in log order.
        disclosures: what was disclosed of it.
        stamps: time stamps on witnessed checkpoints with the message.
        roots_given: whether roots of authorities of time stamps were given; without any no stamp counts.
    """

    log: Origin
    founding: bytes
    compared: bool
    checkpoint: Checkpoint
    newest_time: int
    earlier: int | None
    witnessing: Witnessing
    first_witnessed: FirstWitnessed | None
    message: MessageShown
    entries: tuple[EntryShown, ...]
    disclosures: tuple[DisclosureShown, ...]
    stamps: tuple[StampShown, ...]
    roots_given: bool

    @property
    def fingerprint(self) -> str:
        """Of the founding, for comparison by voice."""
        return fingerprint(self.founding)


def verify_evidence(data: bytes, expected: str | None = None, tsa_roots: TsaRoots = ()) -> VerifiedEvidence:
    """Check a file of evidence; see the errors of the functions that this calls.

    Args:
        data: the file.
        expected: the founding's fingerprint, as compared over another channel, or its whole payload hash; None
            where it is still to be compared.
        tsa_roots: of authorities of time stamps that are believed; none if none is.

    Raises:
        MalformedError: not evidence, or something in it is not of its form.
        VerificationError: something in it is not authentic, or is not shown; ``other_fingerprint``.
        UncheckableError: a version or algorithm that this software does not know.
    """
    evidence = parse_evidence(data)
    founding = parse_document(evidence.founding)
    if kind_of(founding.claims) is not Kind.FOUNDING:
        malformed("not_a_trust_file", "the evidence does not begin with the founding of a log")
    if expected is not None:
        check_fingerprint(founding.payload_hash, expected)
    checkpoint_bytes = parse_checkpoint(evidence.checkpoint)
    leaves = _leaves(evidence, checkpoint_bytes.size, checkpoint_bytes.root)
    newest = checkpoint_bytes.size - 1
    if newest not in leaves:
        raise ProofError("evidence_incomplete", "the last leaf below the newest checkpoint is not shown")
    directory = ShownDirectory(
        evidence.statements, evidence.facts, leaves, newest, exact_leaves(evidence, newest)
    )
    check_records(directory, evidence.log, evidence.founding)
    log_key = directory.log_key_for(checkpoint_bytes.size)
    name = name_at(directory, evidence.log, evidence.founding, max(checkpoint_bytes.size - 1, 0))
    if name != evidence.log:
        raise VerificationError(
            "wrong_log", f"the evidence is of log '{evidence.log}', which is named '{name}'"
        )
    checkpoint = verify_checkpoint(checkpoint_bytes, name, log_key.raw)
    earlier = _earlier(evidence, directory, checkpoint)
    leaf = leaves[evidence.message.inclusion.index]
    first = verify_first_witnessed(directory, evidence, leaf, checkpoint)
    message, entries, disclosures = check_statements(directory, evidence)
    return VerifiedEvidence(
        log=evidence.log,
        founding=founding.payload_hash,
        compared=expected is not None,
        checkpoint=checkpoint,
        newest_time=leaves[newest].time,
        earlier=earlier,
        witnessing=judge_newest(directory, checkpoint),
        first_witnessed=first,
        message=message,
        entries=entries,
        disclosures=disclosures,
        stamps=check_stamps(directory, evidence, leaf, checkpoint, tsa_roots),
        roots_given=bool(tsa_roots),
    )


def exact_leaves(evidence: Evidence, newest: int) -> frozenset[int]:
    """Indexes of the leaves whose own directory heads are shown: those of the statements, and the newest."""
    logged = (evidence.message, *evidence.entries, *(d.act for d in evidence.disclosures))
    return frozenset({newest, *(one.inclusion.index for one in logged)})


def check_statements(
    directory: Directory, evidence: Evidence
) -> tuple[MessageShown, tuple[EntryShown, ...], tuple[DisclosureShown, ...]]:
    """Check the message, what became of it and what was disclosed, by a directory shown or whole.

    Raises:
        CountermarkError: see evidence_entries.
    """
    message = check_message(directory, evidence)
    entries = tuple(check_entry(directory, evidence, message, e) for e in evidence.entries)
    disclosures = tuple(check_disclosed(directory, evidence, message, d) for d in evidence.disclosures)
    return message, entries, disclosures


# --- the tree ------------------------------------------------------------------------------------------


def check_records(directory: ShownDirectory, log: Origin, founding: bytes) -> None:
    """Check that every record shown was written, for this log, by whom it must be.

    Raises:
        VerificationError: ``wrong_log``; or as `check_founding` and `check_written`.
    """
    for held, document in directory.records():
        if document.claims.get("log") != name_at(directory, log, founding, held.index):
            raise VerificationError(
                "wrong_log", f"the statement of '{held.subject}' was made for another log"
            )
        if held.index == 0:
            check_founding(founding, document)
        else:
            check_written(directory, held, document)


def _leaves(evidence: Evidence, size: int, root: bytes) -> dict[int, Leaf]:
    """Every leaf shown, by index, each proven to be in the tree.

    Raises:
        ProofError: one is not, is of another statement, or the entries are not in log order, each once.
    """
    leaves = {inclusion.index: proven_leaf(inclusion, size, root) for inclusion in evidence.leaves}

    def take(logged: LoggedDocument) -> None:
        leaf = proven_leaf(logged.inclusion, size, root)
        kind = kind_of(parse_document(logged.document).claims)
        if leaf.statement != statement_hash(logged.document) or leaf.kind != int(kind):
            raise ProofError("leaf_mismatch", "the leaf is not that of this statement")
        leaves[logged.inclusion.index] = leaf

    take(evidence.message)
    before = evidence.message.inclusion.index
    for entry in evidence.entries:
        if entry.inclusion.index <= before:
            raise ProofError("evidence_order", "what became of a message follows it, in the order of the log")
        take(entry)
        before = entry.inclusion.index
    for disclosed in evidence.disclosures:
        take(disclosed.act)
    return leaves


def proven_leaf(inclusion: Inclusion, size: int, root: bytes) -> Leaf:
    """A leaf shown, proven to be in a tree.

    Raises:
        ProofError: it is not.
    """
    leaf = parse_leaf(inclusion.leaf)
    if inclusion.index >= size:
        raise ProofError(
            "beyond_checkpoint", f"entry {inclusion.index} is not below the checkpoint's size {size}"
        )
    verify_inclusion(leaf_hash(inclusion.leaf), inclusion.index, size, list(inclusion.path), root)
    return leaf


def _earlier(evidence: Evidence, directory: Directory, newest: Checkpoint) -> int | None:
    if evidence.earlier is None:
        return None
    unverified = parse_checkpoint(evidence.earlier.checkpoint)
    if not evidence.message.inclusion.index < unverified.size <= newest.size:
        raise ProofError(
            "beyond_checkpoint", "the earlier checkpoint is not between the message and the newest"
        )
    name = name_at(directory, evidence.log, evidence.founding, max(unverified.size - 1, 0))
    earlier = verify_checkpoint(unverified, name, directory.log_key_for(unverified.size).raw)
    verify_consistency(
        earlier.size, earlier.root, newest.size, newest.root, list(evidence.earlier.consistency)
    )
    return earlier.size
