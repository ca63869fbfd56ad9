"""What becomes of each act of a malicious broker: the table that docs/threat-model.md must agree with.

Each act has one test, marked with its name; what the test asserts is read from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Class(StrEnum):
    """What becomes of an act."""

    #: Nothing comes of it: every honest client refuses to act on it.
    PREVENTED = "prevented"
    #: As prevented; and the bytes kept convince a third party.
    CONVICTED = "prevented, proven"
    #: It has its effect, and the bytes kept convince a third party.
    PROVEN = "proven"
    #: Somebody notices, and cannot convince a third party by it.
    ALARM = "alarm"
    #: Nobody need notice.
    UNDETECTABLE = "not detectable"


@dataclass(frozen=True)
class Expected:
    """What becomes of one act.

    Attributes:
        kind: what becomes of it.
        codes: of the checks that find it, any order; none where no check does.
    """

    kind: Class
    codes: tuple[str, ...] = ()


_P, _C, _V, _A, _U = Class.PREVENTED, Class.CONVICTED, Class.PROVEN, Class.ALARM, Class.UNDETECTABLE

ACTS: Final[dict[str, Expected]] = {
    # deliveries
    "withholding a delivery and serving what follows": Expected(_A, ("box_gap",)),
    "denying a delivery by an account and serving it later": Expected(_V, ("account_contradicted",)),
    'saying "nothing there" of the newest delivery': Expected(_V, ("account_omits",)),
    "ending a box and counting more of it in the same account": Expected(_A, ("account_contradicted",)),
    "understating an account": Expected(_V, ("account_contradicted",)),
    'saying "not held" of something logged': Expected(_V, ("not_held_contradicted",)),
    'saying "not held" of what another party has the proof of': Expected(_V, ("not_held_contradicted",)),
    "deleting an entry's data without a word": Expected(_A, ("refusal_unproven",)),
    "reordering a box": Expected(_P, ("box_gap", "box_head_mismatch")),
    "showing two workers different entries at one position": Expected(
        _V, ("box_forked", "accounts_differ", "account_contradicted")
    ),
    # content, keys, receipts
    "altering a manifest": Expected(_P, ("bad_signature", "leaf_mismatch")),
    "stripping or swapping half of a pair": Expected(_P, ("leaf_mismatch", "half_a_pair", "second_unasked")),
    "altering content": Expected(_P, ("content_swapped",)),
    "swapping pieces of an attachment": Expected(_P, ("piece_swapped", "attachment_swapped")),
    "withholding a piece of an attachment": Expected(_A, ("broker_unreachable",)),
    "lacking for ever the pieces that a sender has uploaded": Expected(_A, ("broker_unavailable",)),
    "substituting a recipient's key": Expected(_C, ("decision_against_rules",)),
    "swapping the keys of who enrols": Expected(_P, ("other_fingerprint",)),
    "giving who enrols another log": Expected(_P, ("other_fingerprint",)),
    "adding a recipient": Expected(_P, ("deliveries_mismatch", "recipient_not_listed")),
    "forging a receipt": Expected(_C, ("signer_did_not_count",)),
    "releasing the stanza of another message": Expected(_P, ("stanza_mismatch",)),
    "releasing a stanza without a logged receipt": Expected(_U),
    "replaying an old submission to learn its recipients": Expected(
        _P, ("not_held", "recipients_root_mismatch")
    ),
    "suppressing a receipt": Expected(_A, ("broker_unreachable",)),
    # decisions
    "logging a statement meant for another log": Expected(_C, ("decided_wrongly", "decision_against_rules")),
    "slipping in a stale directory statement": Expected(_C, ("decision_against_rules",)),
    "logging what a revoked key signed": Expected(_C, ("signer_did_not_count",)),
    "delivering against the rules": Expected(_C, ("decision_against_rules",)),
    "back-dating below what the author had seen or stated": Expected(
        _C, ("decided_wrongly", "decision_against_rules")
    ),
    "a refusal against the rules": Expected(_V, ("refusal_against_rules",)),
    "logging a submission it had refused": Expected(_A, ("refused_but_logged",)),
    "logging a submission while signing that it is not in the log": Expected(_V, ("refused_but_logged",)),
    "a false `undelivered`": Expected(_V, ("false_undelivered",)),
    "dropping a submission without an answer": Expected(_A, ("broker_unreachable",)),
    # the log
    "forking the log to two parties that are kept apart": Expected(_U),
    "forking the log to two parties that compare what they hold": Expected(
        _V, ("checkpoint_fork", "account_other_root")
    ),
    "forking the log to two parties, when a statement crosses over": Expected(_V, ("seen_fork",)),
    "rewriting an entry": Expected(_C, ("checkpoint_fork",)),
    "rolling the log back": Expected(_A, ("checkpoint_fork",)),
    "rolling the log back and letting it grow again": Expected(_C, ("checkpoint_fork",)),
    "moving the directory's head without a statement": Expected(
        _C, ("directory_head_mismatch", "directory_head_moved")
    ),
    "letting the log's time go back": Expected(_C, ("time_went_back",)),
    "hiding a logged revocation": Expected(_P, ("directory_head_mismatch",)),
    "never logging a revocation": Expected(_A, ("revocation_not_logged",)),
    "serving a stale checkpoint": Expected(_U),
    "back-dating on a quiet log": Expected(_U),
    "running a node's clock ahead": Expected(_A, ("leaf_from_the_future",)),
    # auditors
    "omitting an entry from a national auditor's mandate and showing what follows": Expected(
        _A, ("box_broken",)
    ),
    "omitting the newest entry from a national auditor's mandate": Expected(
        _V, ("account_contradicted", "accounts_differ")
    ),
    "omitting an entry from an oversight auditor's mandate": Expected(_A, ("entry_missing",)),
    "understating an account to an auditor": Expected(_V, ("account_contradicted",)),
    "showing an owner and its auditor different entries at one position": Expected(
        _V, ("box_forked", "accounts_differ", "account_contradicted")
    ),
    # witnesses
    "forking the log to two parties, where witnesses are named": Expected(
        _C, ("log_forked", "stale_checkpoint")
    ),
    "rolling the log back, where witnesses are named": Expected(_P, ("stale_checkpoint",)),
    "serving a stale checkpoint, where witnesses are named": Expected(_P, ("stale_checkpoint",)),
    "back-dating, where witnesses are named": Expected(_C, ("back_dated_leaf",)),
    "running a node's clock ahead, where witnesses are named": Expected(_V, ("leaf_from_the_future",)),
    # one endpoint's keys by a path
    "proving the keys of another address": Expected(_P, ("other_address", "evidence_incomplete")),
    "proving that an endpoint has no keys, which has": Expected(_P, ("bad_trie_path", "evidence_incomplete")),
    "proving a key without its revocation": Expected(_P, ("bad_trie_path", "evidence_incomplete")),
    "proving keys under a stale head": Expected(_A, ("stale_checkpoint",)),
    "proving keys under a stale head, where witnesses are named": Expected(_P, ("stale_checkpoint",)),
}
