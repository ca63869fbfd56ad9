"""Verdicts on old signatures: did the key count when the entry was logged, and what became of it since?

A verdict has two times. Whether a key *counted* is judged as of the entry's own leaf, and nothing that is logged
later changes it. What became *known* of the key is judged by the newest state: a later revocation is told, and one
that names a date of compromise at or before the leaf puts the signature in doubt. Since a revocation's own leaf
says when it was made, one that reaches back is seen to.

Source: docs/spec/directory.md §9.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose, UnverifiedDocument
from countermark_protocol.identifiers import Address, KeyId, authority_of, parse_address
from countermark_protocol.records import Ground, RevocationRecord


class VerdictClass(StrEnum):
    """What is to be thought of a signature in the log."""

    #: The key counted at the leaf, and is not revoked.
    VALID = "valid"
    #: It counted at the leaf, and was revoked later: that undoes nothing.
    REVOKED_LATER = "valid-revoked-later"
    #: It counted at the leaf, but is since declared compromised from that time or an earlier one on, or somebody is
    #: whose word it counted by: who signed is in doubt.
    AFTER_COMPROMISE = "signed-after-compromise"
    #: It did not count at the leaf: the log should have refused it.
    NOT_VALID = "not-valid"
    #: Not in the log (yet), or by a key that this directory knows nothing of.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Revoked:
    """That a key is revoked by now.

    Attributes:
        index: of the entry of its newest revocation.
        time: of that leaf, ms since 1970.
        ground: why.
        compromised_at: ms since 1970 from which its signatures are not to be trusted; None if never.
    """

    index: int
    time: int
    ground: Ground
    compromised_at: int | None

    @property
    def reaches_back(self) -> int:
        """By how many ms the date of compromise lies before the revocation was logged; 0 if it does not."""
        return max(0, self.time - self.compromised_at) if self.compromised_at is not None else 0


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """A verdict on one signature.

    Attributes:
        kind: which.
        key_id: the key that signed.
        holder: pseudonym of who held it, by the record as of the leaf; None unless it counted there.
        revoked: its newest revocation, or None.
        fallen: subject of a record that vouched for the key and does not keep its threshold in hindsight, since keys
            that signed it were compromised before it was logged; None if all do.
    """

    kind: VerdictClass
    key_id: KeyId
    holder: str | None = None
    revoked: Revoked | None = None
    fallen: str | None = None


def verdict_of(
    directory: Directory,
    author: Address,
    key_id: KeyId,
    index: int | None,
    time: int | None,
    hindsight: Directory | None = None,
) -> SignatureVerdict:
    """The verdict on an instance key's signature on a logged statement.

    Args:
        directory: folded at least up to the entry.
        author: the endpoint that its payload names.
        key_id: of the key that signed it.
        index: of its log entry; None while it is not known to be in the log.
        time: of its leaf, ms since 1970.
        hindsight: by which directory what became of the key is judged, such as one with revocations that came by
            another path; `directory` if None.

    Does not prove: that the signature itself verifies, nor that the entry is in the log.
    """
    if index is None or time is None or directory.public_key(key_id) is None:
        return SignatureVerdict(VerdictClass.UNKNOWN, key_id)
    later = hindsight or directory
    instance = directory.instance(author, key_id, index, time=time)
    revoked = revoked_of(later, key_id)
    if instance is None:
        return SignatureVerdict(VerdictClass.NOT_VALID, key_id, None, revoked)
    fallen = _fallen(directory, later, author, index)
    compromised = revoked.compromised_at if revoked is not None else None
    if fallen is not None or (compromised is not None and compromised <= time):
        kind = VerdictClass.AFTER_COMPROMISE
    else:
        kind = VerdictClass.VALID if revoked is None else VerdictClass.REVOKED_LATER
    return SignatureVerdict(kind, key_id, instance.holder, revoked, fallen)


#: Of several signatures the one that weighs most is told first.
_GRAVEST = (
    VerdictClass.NOT_VALID,
    VerdictClass.AFTER_COMPROMISE,
    VerdictClass.UNKNOWN,
    VerdictClass.REVOKED_LATER,
    VerdictClass.VALID,
)


def verdict_on_message(
    directory: Directory,
    document: UnverifiedDocument,
    index: int | None,
    time: int | None,
    hindsight: Directory | None = None,
) -> SignatureVerdict:
    """The verdict on a message: the gravest of those on its signatures, its author's own before one as grave.

    Args:
        directory: folded at least up to the entry.
        document: the signed manifest; whoever signed ``behalf`` is judged as the endpoint that it names.
        index: of its log entry; None while it is not known to be in the log.
        time: of its leaf, ms since 1970.
        hindsight: see `verdict_of`.

    Raises:
        MalformedError: its payload names no sender.

    Does not prove: what `verdict_of` does not, nor that all signatures are there that the rules demand.
    """
    author = parse_address(document.claims.get("from"), "from")
    represented = parse_address(document.claims.get("on_behalf_of", author), "on_behalf_of")
    found = [
        verdict_of(
            directory,
            represented if one.purpose is Purpose.BEHALF else author,
            one.key_id,
            index,
            time,
            hindsight,
        )
        for one in sorted(document.counted, key=lambda s: s.purpose)
    ]
    return min(found, key=lambda verdict: _GRAVEST.index(verdict.kind))


def revoked_of(directory: Directory, key_id: KeyId) -> Revoked | None:
    """A key's newest revocation, or None."""
    held = directory.held(f"revoked/{key_id.hex()}")
    if held is None or not isinstance(held.record, RevocationRecord):
        return None
    return Revoked(held.index, held.time, held.record.ground, held.record.compromised_at)


def _fallen(directory: Directory, later: Directory, author: Address, index: int) -> str | None:
    """The first record that vouched for an author's keys as of a leaf and does not keep its threshold in hindsight."""
    subjects = [f"keys/{author}"]
    if author != directory.log(index).broker:
        subjects += [f"endpoint/{author}", f"authority/{authority_of(author)}"]
    for subject in subjects:
        held = directory.held(subject, index)
        if held is None:
            return subject
        sound = 0
        for key_id in sorted(held.signers):
            revocation = later.revocation(key_id)
            at = revocation.compromised_at if revocation is not None else None
            sound += at is None or at > held.time
        if sound < held.threshold:
            return subject
    return None
