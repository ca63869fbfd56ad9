"""Whether evidence convinces somebody who was not there and has nothing but the founding's fingerprint.

Small on purpose and independent of every client: bytes in, and either the misbehaviour that they prove or a refusal.
It believes no party. What the log's key and node keys signed is held against them; what anybody else might have made
up proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from countermark_protocol.accounts import (
    Verdict,
    check_account_against_tail,
    state_of,
)
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import DIRECTORY_KINDS, KIND_NAMES, Claims, Kind, read_header
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError, InconsistentLogError
from countermark_protocol.httpsig import request_digest
from countermark_protocol.leaf import parse_leaf, verify_succession
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.receipts import parse_receipt, parse_undelivered
from countermark_protocol.statements import kind_of
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE
from malicious_broker import rules
from malicious_broker.court import Court, NotConvincedError
from malicious_broker.evidence import read_file


def convince(evidence: bytes, trust_root: str) -> str:
    """Return what evidence proves.

    Args:
        evidence: the file.
        trust_root: the founding's fingerprint, as people compare it by voice.

    Raises:
        NotConvincedError: it proves nothing, whatever is wrong with it.
    """
    try:
        claim, pieces, directory = read_file(evidence)
        court = Court(directory, trust_root)
        return _CLAIMS[claim](court, *pieces)
    except NotConvincedError:
        raise
    except (CountermarkError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise NotConvincedError(f"not as it must be: {error}") from error


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotConvincedError(otherwise)


# --- one function a claim ---------------------------------------------------------------------------


def _against_the_rules(
    court: Court,
    leaf: bytes,
    document: bytes,
    proof: bytes,
    more: bytes | None = None,
    unread: bytes = b'{"statements":[]}',
) -> str:
    """An entry that should have been refused.

    `more`: a recipient's row, or the leaf before a directory statement; then also the directory statements between
    those shown and that one.
    """
    court.extend(unread)
    entry = court.entry(document, proof)
    _demand(leaf == entry.leaf.encode(), "another leaf")
    if entry.leaf.kind in {int(k) for k in DIRECTORY_KINDS}:
        before, under = court.leaf(more or b"")
        _demand(before.index == entry.index - 1 and under.raw == entry.checkpoint.raw, "not the leaf before")
        directory = court.committed(entry.index, parse_leaf(before.leaf))
        more = None
    else:
        directory = court.committed(entry.index, entry.leaf)
    row = rules.recipient_row(document, more) if more is not None else None
    rule = rules.broken(directory, court.origin, entry.index, entry.leaf, document, row)
    _demand(rule is not None, "no rule is broken by it")
    return f"entry {entry.index} should have been refused: {rule}"


def _account_contradicted(court: Court, account: bytes, document: bytes, proof: bytes) -> str:
    stated, entry = court.account(account), court.entry(document, proof)
    _demand(entry.row is not None and entry.tail is not None, "no position is opened")
    _demand(state_of(stated, entry.row.endpoint, entry.row.box) is not None, "it says nothing of that box")
    try:
        check_account_against_tail(
            stated,
            account,
            entry.row.endpoint,
            entry.row.box,
            entry.index,
            entry.leaf.statement,
            entry.tail,
        )
    except InconsistentLogError:
        return f"the account denies entry {entry.index} in box {entry.row.box} of {entry.row.endpoint}"
    raise NotConvincedError("the account fits the entry")


def _account_omits(court: Court, account: bytes, box: bytes, document: bytes, proof: bytes) -> str:
    """Recipient and sender together: the whole box as stated, and an entry put into it that is not there."""
    stated, entry = court.account(account), court.entry(document, proof)
    kept = parse_object(box, "box")
    state, indexes = BoxState(), set()
    for index, statement in kept["entries"]:
        state, indexes = state.after(index, bytes.fromhex(statement)), indexes | {index}
    name = Box(kept["box"])
    _demand(state == state_of(stated, stated.caller, name), "not the box that the account states")
    _demand(set(kept) == {"box", "entries"}, "a member is unknown")
    _demand(entry.index < stated.seen.size and entry.index not in indexes, "it is stated, or later")
    delivered = {(row.endpoint, row.box) for row in entry.rows}
    _demand((stated.caller, name) in delivered, "it was not put into that box")
    return f"the account omits entry {entry.index} of box {name} of {stated.caller}"


def _not_held(court: Court, account: bytes, base: bytes, document: bytes, proof: bytes) -> str:
    stated, entry = court.account(account), court.entry(document, proof)
    _demand(stated.verdict is Verdict.NOT_HELD, "it denies nothing")
    _demand(stated.request == request_digest(base), "the account answers another request")
    named = parse_document(document).payload_hash.hex()
    _demand(f"/v1/messages/{named}/" in base.decode(), "another message was asked for")
    _demand(entry.index < stated.seen.size, "the account is about a log that ends before it")
    _demand(entry.row is not None and entry.row.endpoint == stated.caller, "not in a box of the caller")
    return f"what belongs to entry {entry.index} is denied to {stated.caller}"


def _two_at_one_position(court: Court, *pieces: bytes) -> str:
    one, other = court.entry(*pieces[:2]), court.entry(*pieces[2:])
    _demand(one.row is not None and other.row is not None, "no position is opened")
    place = (one.row.endpoint, one.row.box, one.tail.position)
    _demand(place == (other.row.endpoint, other.row.box, other.tail.position), "two positions")
    _demand((one.index, one.leaf.statement) != (other.index, other.leaf.statement), "one entry")
    return (
        f"entries {one.index} and {other.index} both stand at position {place[2]} of {place[1]} of {place[0]}"
    )


def _checkpoint_fork(court: Court, one: bytes, other: bytes, proof: bytes | None = None) -> str:
    old, new = sorted((court.checkpoint(one), court.checkpoint(other)), key=lambda c: c.size)
    if old.size == new.size:
        _demand(old.root != new.root and proof is None, "one tree")
    else:
        _demand(proof is not None, "that one does not continue the other is not shown")
        _demand(court.root_below(proof, old.size, new) != old.root, "one continues the other")
    return f"two trees of size {old.size}"


def _seen_fork(court: Court, document: bytes, note: bytes, proof: bytes, path: bytes) -> str:
    entry = court.entry(document, proof)
    seen = read_header(Claims(_header(document), "payload")).seen
    checkpoint = court.checkpoint(note)
    _demand(entry.checkpoint.raw == note, "under another checkpoint")
    _demand(0 < seen.size <= entry.index, "not a tree to compare")
    _demand(court.root_below(path, seen.size, checkpoint) != seen.root, "its signer saw this log")
    return f"entry {entry.index} was logged, although its signer was shown another log"


def _header(document: bytes) -> dict:
    claims = parse_document(document).claims
    kind = claims.get("kind")
    reading: dict[str, Callable] = {
        KIND_NAMES[Kind.MESSAGE]: parse_manifest,
        KIND_NAMES[Kind.RECEIPT]: parse_receipt,
        KIND_NAMES[Kind.UNDELIVERED]: parse_undelivered,
    }
    return reading[kind](claims).header.to_json()


def _refused_but_logged(court: Court, account: bytes, document: bytes, leaf: bytes, proof: bytes) -> str:
    stated, entry = court.account(account), court.entry(document, proof)
    _demand(leaf == entry.leaf.encode(), "another leaf")
    _demand(stated.verdict is Verdict.REFUSED, "it refuses nothing")
    _demand(stated.request == parse_document(document).payload_hash, "it refuses another payload")
    # Logged beyond that size, by whoever had the bytes, it is no contradiction.
    _demand(entry.index < stated.seen.size, "it was logged after the account")
    return f"entry {entry.index} was refused as not being in the log"


def _refusal_against_rules(
    court: Court,
    account: bytes,
    document: bytes,
    leaf_data: bytes,
    proof: bytes,
    rows: bytes,
    *records: bytes,
) -> str:
    stated = court.account(account)
    inclusion, _ = court.leaf(proof)
    _demand(stated.refusal is not None, "it refuses nothing")
    _demand(inclusion.leaf == leaf_data, "another leaf")
    _demand({*records} <= {one for _, _, one in court.history}, "records that the directory does not hold")
    _demand(inclusion.index == stated.refusal.decided_size - 1, "not the leaf before the decision")
    directory = court.before(inclusion.index + 1)
    leaf = parse_leaf(inclusion.leaf)
    _demand((leaf.dir_head, leaf.dir_count) == (directory.head, directory.count), "another directory")
    return rules.refused_wrongly(directory, stated, document, rows)


def _succession(court: Court, before: bytes, after: bytes, *proofs: bytes) -> str:
    """Two neighbours in one tree that may not follow each other."""
    (one, under), (other, same) = court.leaf(proofs[0]), court.leaf(proofs[1])
    _demand(len(proofs) == 2 and under.raw == same.raw, "two proofs under one checkpoint are needed")
    _demand((one.leaf, other.leaf, one.index + 1) == (before, after, other.index), "no neighbours")
    try:
        verify_succession(parse_leaf(before), parse_leaf(after))
    except InconsistentLogError as error:
        return f"leaf {other.index}: {error.message}"
    raise NotConvincedError("they may follow each other")


def _false_undelivered(court: Court, document: bytes, notice: bytes, *proofs: bytes) -> str:
    """Before its time; or, with the leaf and a second proof, after a receipt or another notice."""
    later = court.entry(notice, proofs[-1] if len(proofs) == 1 else proofs[1])
    stated = parse_undelivered(parse_document(notice).claims)
    if len(proofs) == 1:
        unverified = parse_document(document)
        _demand(unverified.payload_hash == stated.message, "another message")
        due = parse_manifest(unverified.claims).expires_at
        due += court.committed(later.index, later.leaf).log().undelivered_grace
        _demand(later.leaf.time < due, "it was due")
        verify_document(unverified, court.directory.public_key)
        return f"entry {later.index} came {due - later.leaf.time} ms too early"
    leaf, _, proof = proofs
    earlier = court.entry(document, proof)
    _demand(leaf == later.leaf.encode() and earlier.index < later.index, "not in that order")
    claims = parse_document(document).claims
    if kind_of(claims) is Kind.RECEIPT:
        receipt = parse_receipt(claims)
        settled = {(item.message, receipt.author) for item in receipt.items}
    else:
        first = parse_undelivered(claims)
        settled = {(first.message, first.recipient)}
    _demand((stated.message, stated.recipient) in settled, "another message or recipient")
    return f"entry {later.index} came after entry {earlier.index}"


def _back_dated_leaf(court: Court, leaf: bytes, note: bytes, proof: bytes) -> str:
    inclusion, _ = court.leaf(proof)
    cosigned = court.checkpoint(note)
    quorum = court.witnessed(cosigned)
    _demand(inclusion.leaf == leaf and inclusion.index >= cosigned.size, "it is in that tree")
    late = parse_leaf(leaf).time >= quorum.current_at * 1000 - BACK_DATING_TOLERANCE
    _demand(not late, "it is not older than that")
    return f"entry {inclusion.index} is back-dated"


def _leaf_from_the_future(court: Court, leaf: bytes, proof: bytes) -> str:
    inclusion, cosigned = court.leaf(proof)
    quorum = court.witnessed(cosigned)
    _demand(inclusion.leaf == leaf, "another leaf")
    early = parse_leaf(leaf).time <= quorum.existed_by * 1000 + BACK_DATING_TOLERANCE
    _demand(not early, "it is not younger than that")
    return f"entry {inclusion.index} states a time at which witnesses had long seen it"


_CLAIMS: dict[str, Callable[..., str]] = {
    "decided_wrongly": _against_the_rules,
    "signer_did_not_count": _against_the_rules,
    "decision_against_rules": _against_the_rules,
    "back_dated": _against_the_rules,
    "account_contradicted": _account_contradicted,
    "account_omits": _account_omits,
    "not_held_contradicted": _not_held,
    "two_at_one_position": _two_at_one_position,
    "checkpoint_fork": _checkpoint_fork,
    "seen_fork": _seen_fork,
    "refused_but_logged": _refused_but_logged,
    "refusal_against_rules": _refusal_against_rules,
    "directory_head_moved": _succession,
    "directory_head_stood_still": _succession,
    "time_went_back": _succession,
    "false_undelivered": _false_undelivered,
    "back_dated_leaf": _back_dated_leaf,
    "leaf_from_the_future": _leaf_from_the_future,
}
