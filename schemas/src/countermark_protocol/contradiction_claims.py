"""What each kind of contradiction takes: pieces of bytes, and what they prove together.

What the log's key and node keys signed is held against them; what anybody else might have made up proves nothing. A
function returns what is proven, in words, or raises.

Source: docs/spec/contradictions.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from countermark_protocol.accounts import Verdict, check_account_against_tail, state_of
from countermark_protocol.boxes import Box, box_head
from countermark_protocol.claims import DIRECTORY_KINDS, Claims, Kind, read_header
from countermark_protocol.contradiction_rules import broken, recipient_row, refused_wrongly
from countermark_protocol.contradiction_shown import Shown, demand, not_shown
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.holdings import parse_box_end
from countermark_protocol.httpsig import request_digest, requested_path
from countermark_protocol.leaf import parse_leaf, verify_succession
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.receipts import parse_receipt, parse_undelivered
from countermark_protocol.statements import kind_of
from countermark_protocol.tree_views import differ
from countermark_protocol.witnesses import BACK_DATING_TOLERANCE

_NO_STATEMENTS: Final = b'{"statements":[]}'


# --- entries that should not be, and refusals ------------------------------------------------------------


def _against_the_rules(
    shown: Shown,
    leaf: bytes,
    document: bytes,
    proof: bytes,
    more: bytes | None = None,
    unread: bytes = _NO_STATEMENTS,
) -> str:
    """`more`: a recipient's row; of a directory statement the leaf before it, and those between that are not shown."""
    shown.extend(unread)
    entry = shown.entry(proof, document)
    demand(leaf == entry.inclusion.leaf, "another leaf")
    if entry.leaf.kind in {int(k) for k in DIRECTORY_KINDS}:
        before = shown.entry(more or b"")
        demand(
            before.index == entry.index - 1 and before.checkpoint.raw == entry.checkpoint.raw,
            "not the leaf before",
        )
        directory = shown.committed(entry.index, before.leaf)
        more = None
    else:
        directory = shown.committed(entry.index, entry.leaf)
    row = recipient_row(document, more) if more is not None else None
    rule = broken(directory, shown.origin, entry.index, entry.leaf, document, row)
    if rule is None:
        not_shown("no rule is broken by it")
    return f"entry {entry.index} should have been refused: {rule}"


def _refused_but_logged(shown: Shown, account: bytes, document: bytes, leaf: bytes, proof: bytes) -> str:
    stated, entry = shown.account(account), shown.entry(proof, document)
    demand(leaf == entry.inclusion.leaf, "another leaf")
    demand(stated.verdict is Verdict.REFUSED, "it refuses nothing")
    demand(stated.request == parse_document(document).payload_hash, "it refuses another payload")
    # Logged beyond that size, by whoever had the bytes, it is no contradiction.
    demand(entry.index < stated.seen.size, "it was logged after the account")
    return f"entry {entry.index} was refused as not being in the log"


def _refusal_against_rules(
    shown: Shown,
    account: bytes,
    document: bytes,
    leaf: bytes,
    proof: bytes,
    rows: bytes,
    *records: bytes,
) -> str:
    stated, last = shown.account(account), shown.entry(proof)
    if stated.refusal is None:
        not_shown("it refuses nothing")
    demand(last.inclusion.leaf == leaf, "another leaf")
    held = {one.document for one in shown.statements}
    demand({*records} <= held, "records that the directory does not hold")
    demand(last.index == stated.refusal.decided_size - 1, "not the leaf before the decision")
    directory = shown.committed(last.index + 1, last.leaf)
    return refused_wrongly(directory, stated, document, rows)


def _false_undelivered(shown: Shown, document: bytes, notice: bytes, *proofs: bytes) -> str:
    """Before its time, with one proof; or, with the leaf and two proofs, after a receipt or another notice."""
    demand(len(proofs) in {1, 3}, "one proof, or a leaf and two")
    later = shown.entry(proofs[0] if len(proofs) == 1 else proofs[1], notice)
    stated = parse_undelivered(parse_document(notice).claims)
    if len(proofs) == 1:
        unverified = parse_document(document)
        demand(unverified.payload_hash == stated.message, "another message")
        due = parse_manifest(unverified.claims).expires_at
        due += shown.committed(later.index, later.leaf).log().undelivered_grace
        demand(later.leaf.time < due, "it was due")
        verify_document(unverified, shown.directory.public_key)
        return f"entry {later.index} came {due - later.leaf.time} ms too early"
    leaf, _, proof = proofs
    earlier = shown.entry(proof, document)
    demand(leaf == later.inclusion.leaf and earlier.index < later.index, "not in that order")
    claims = parse_document(document).claims
    if kind_of(claims) is Kind.RECEIPT:
        receipt = parse_receipt(claims)
        settled = {(item.message, receipt.author) for item in receipt.items}
    else:
        first = parse_undelivered(claims)
        settled = {(first.message, first.recipient)}
    demand((stated.message, stated.recipient) in settled, "another message or recipient")
    return f"entry {later.index} came after entry {earlier.index}"


# --- accounts ------------------------------------------------------------------------------------------


def _account_contradicted(shown: Shown, account: bytes, *pieces: bytes) -> str:
    """The proof alone, or the document before it: its leaf says as much."""
    stated, entry = shown.account(account), shown.entry(pieces[-1], *pieces[:-1])
    if entry.row is None or entry.tail is None:
        not_shown("no position is opened")
    demand(state_of(stated, entry.row.endpoint, entry.row.box) is not None, "it says nothing of that box")
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
    not_shown("the account fits the entry")


def _account_omits(shown: Shown, account: bytes, box: bytes, proof: bytes) -> str:
    """The end of a box as stated, and an entry put into that box which is not there.

    The entries shown give the stated head, so they are the last ones that it is made of; the first of them stands
    before the entry in the log, or is the first of the box, so the entry would have to be among them.
    """
    stated, entry = shown.account(account), shown.entry(proof)
    claims = Claims(parse_object(box, "box"), "box")
    end = parse_box_end(claims)
    claims.done()
    if entry.row is None:
        not_shown("no delivery is shown")
    demand(entry.row.box is end.box, "another box")
    demand(state_of(stated, entry.row.endpoint, end.box) == end.state, "not the box that is stated")
    indexes = [index for index, _ in end.entries]
    demand(entry.index < stated.seen.size and entry.index not in indexes, "it is stated, or later")
    demand(end.start == 0 or (bool(indexes) and indexes[0] < entry.index), "it may stand before these")
    return f"the account omits entry {entry.index} of box {end.box} of {entry.row.endpoint}"


def _accounts_differ(shown: Shown, one: bytes, other: bytes) -> str:
    first, second = sorted((shown.account(one), shown.account(other)), key=lambda a: a.seen.size)
    size, later = first.seen.size, second.seen.size
    for stated in first.boxes:
        state, then = stated.state, state_of(second, stated.endpoint, stated.box)
        if then is None:
            continue
        shrunk = then.count < state.count
        changed = then.count == state.count and then.head != state.head
        grown = size == later and then.count != state.count
        if shrunk or changed or grown:
            return (
                f"box {stated.box} of {stated.endpoint} has {state.count} entries below size {size} by one account, "
                f"and {then.count}{' others' if changed else ''} below size {later} by the other"
            )
    if size == later and first.seen.root != second.seen.root:
        return f"two accounts name two trees of size {size}"
    not_shown("they fit each other")


def _account_other_root(shown: Shown, tree: bytes, account: bytes) -> str:
    view, stated = shown.tree(tree), shown.account(account)
    root = view.root_at(stated.seen.size)
    if root is None:
        not_shown("the tree of that size is not shown")
    demand(root != stated.seen.root, "it names this tree")
    return f"an account names another tree of size {stated.seen.size} than the log signed"


def _not_held(shown: Shown, account: bytes, base: bytes, document: bytes, proof: bytes) -> str:
    stated, entry = shown.account(account), shown.entry(proof, document)
    demand(stated.verdict is Verdict.NOT_HELD, "it denies nothing")
    demand(stated.request == request_digest(base), "the account answers another request")
    if entry.row is None or entry.row.endpoint != stated.caller:
        not_shown("not in a box of the caller")
    named = parse_document(document).payload_hash.hex()
    # What each party may ask for; of everything else an honest broker holds nothing for it either.
    asked = {f"/v1/messages/{named}/content", f"/v1/messages/{named}/purge"}
    if entry.leaf.kind != Kind.MESSAGE:
        asked = set()
    if entry.row.box is Box.SENT:
        asked.add(f"/v1/statements/{named}")
    elif entry.leaf.kind == Kind.MESSAGE:
        asked.add(f"/v1/messages/{named}/stanza")
    demand(requested_path(base) in asked, "something else was asked for")
    demand(entry.index < stated.seen.size, "the account is about a log that ends before it")
    return f"what belongs to entry {entry.index} is denied to {stated.caller}"


# --- boxes and trees -------------------------------------------------------------------------------------


def _box_forked(shown: Shown, one: bytes, other: bytes) -> str:
    """Two opened positions that cannot be of one box."""
    first, second = shown.entry(one), shown.entry(other)
    if first.row is None or first.tail is None or second.row is None or second.tail is None:
        not_shown("no position is opened")
    place = first.row.endpoint, first.row.box
    demand(place == (second.row.endpoint, second.row.box), "two boxes")
    tail, then = first.tail, second.tail
    if tail.position > then.position:
        first, tail, second, then = second, then, first, tail
    same = (first.index, first.leaf.statement) == (second.index, second.leaf.statement)
    whose = f"box {place[1]} of {place[0]}"
    if tail.position == then.position:
        demand(not same or tail.previous != then.previous, "one entry")
        return (
            f"position {tail.position} of {whose} follows two pasts"
            if same
            else f"entries {first.index} and {second.index} both stand at position {tail.position} of {whose}"
        )
    if first.index >= second.index:
        return f"{whose} is not in the order of the log at positions {tail.position} and {then.position}"
    demand(then.position == tail.position + 1, "positions that do not touch")
    demand(
        box_head(tail.previous, first.index, first.leaf.statement) != then.previous, "one follows the other"
    )
    return f"position {then.position} of {whose} does not follow position {tail.position}"


def _checkpoint_fork(shown: Shown, one: bytes, other: bytes, path: bytes | None = None) -> str:
    """Two signed trees, each by its checkpoint or a proof under it; or two checkpoints and a proof under the larger."""
    pieces = [one, other]
    if path is not None:
        small, large = sorted((shown.checkpoint(one), shown.checkpoint(other)), key=lambda c: c.size)
        demand(shown.entry(path).checkpoint.raw == large.raw, "a path in another tree")
        pieces = [small.raw, path]
    first, second = (shown.tree(piece) for piece in pieces)
    demand(differ(first, second), "they are not shown to differ")
    size = min(first.size, second.size)
    return f"the log signed two histories: two trees that differ below size {size}"


def _seen_fork(shown: Shown, document: bytes, note: bytes, proof: bytes, path: bytes) -> str:
    entry, tree = shown.entry(proof, document), shown.entry(path)
    seen = read_header(Claims(parse_document(document).claims, "payload")).seen
    demand(entry.checkpoint.raw == note == tree.checkpoint.raw, "under another checkpoint")
    demand(0 < seen.size <= entry.index, "not a tree to compare")
    root = tree.view.root_at(seen.size)
    demand(root is not None and root != seen.root, "its signer saw this log")
    return f"entry {entry.index} was logged, although its signer was shown another log"


def _succession(shown: Shown, before: bytes, after: bytes, *proofs: bytes) -> str:
    """Two neighbours in one tree that may not follow each other."""
    demand(len(proofs) == 2, "two proofs are needed")
    one, other = shown.entry(proofs[0]), shown.entry(proofs[1])
    demand(one.checkpoint.raw == other.checkpoint.raw, "not under one checkpoint")
    demand(
        (one.inclusion.leaf, other.inclusion.leaf, one.index + 1) == (before, after, other.index),
        "no neighbours",
    )
    try:
        verify_succession(parse_leaf(before), parse_leaf(after))
    except InconsistentLogError as error:
        return f"leaf {other.index}: {error.message}"
    not_shown("they may follow each other")


# --- times ---------------------------------------------------------------------------------------------


def _back_dated_leaf(shown: Shown, leaf: bytes, note: bytes, proof: bytes) -> str:
    entry, cosigned = shown.entry(proof), shown.checkpoint(note)
    quorum = shown.witnessed(cosigned)
    demand(entry.inclusion.leaf == leaf and entry.index >= cosigned.size, "it is in that tree")
    least = (quorum.current_at or 0) * 1000 - BACK_DATING_TOLERANCE
    demand(entry.leaf.time < least, "it is not older than that")
    return f"entry {entry.index} is back-dated"


def _leaf_from_the_future(shown: Shown, leaf: bytes, *pieces: bytes) -> str:
    """A proof under the cosigned checkpoint; or that checkpoint, and a proof under any of a log that has the leaf."""
    demand(len(pieces) in {1, 2}, "one proof")
    entry = shown.entry(pieces[-1])
    cosigned = shown.checkpoint(pieces[0]) if len(pieces) == 2 else entry.checkpoint
    quorum = shown.witnessed(cosigned)
    demand(entry.inclusion.leaf == leaf and entry.index < cosigned.size, "another leaf")
    most = (quorum.existed_by or 0) * 1000 + BACK_DATING_TOLERANCE
    demand(entry.leaf.time > most, "it is not younger than that")
    return f"entry {entry.index} states a time at which witnesses had long seen it"


class Claim(NamedTuple):
    """A kind of contradiction.

    Attributes:
        prove: from what is shown, and pieces.
        least: pieces it takes.
        most: pieces it takes.
    """

    prove: Callable[..., str]
    least: int
    most: int


#: By code: that of the error which a client, a mirror or a witness raises, or of what a comparison finds.
CLAIMS: Final[Mapping[str, Claim]] = MappingProxyType(
    {
        "decided_wrongly": Claim(_against_the_rules, 3, 5),
        "signer_did_not_count": Claim(_against_the_rules, 3, 5),
        "decision_against_rules": Claim(_against_the_rules, 3, 5),
        "back_dated": Claim(_against_the_rules, 3, 5),
        "refused_but_logged": Claim(_refused_but_logged, 4, 4),
        "refusal_against_rules": Claim(_refusal_against_rules, 5, 10_000),
        "false_undelivered": Claim(_false_undelivered, 3, 5),
        "account_contradicted": Claim(_account_contradicted, 2, 3),
        "account_omits": Claim(_account_omits, 3, 3),
        "accounts_differ": Claim(_accounts_differ, 2, 2),
        "account_other_root": Claim(_account_other_root, 2, 2),
        "not_held_contradicted": Claim(_not_held, 4, 4),
        "box_forked": Claim(_box_forked, 2, 2),
        "checkpoint_fork": Claim(_checkpoint_fork, 2, 3),
        "seen_fork": Claim(_seen_fork, 4, 4),
        "directory_head_moved": Claim(_succession, 4, 4),
        "directory_head_stood_still": Claim(_succession, 4, 4),
        "time_went_back": Claim(_succession, 4, 4),
        "back_dated_leaf": Claim(_back_dated_leaf, 3, 3),
        "leaf_from_the_future": Claim(_leaf_from_the_future, 2, 3),
    }
)


def prove(shown: Shown, claim: str, pieces: Sequence[bytes]) -> str:
    """Work out what pieces prove, in words.

    Raises:
        ProofError: ``not_contradictory``: nothing, or not that.
        CountermarkError: a piece is not as it must be.
    """
    known = CLAIMS.get(claim)
    if known is None:
        not_shown(f"'{claim[:64]}' is no kind of contradiction that this software can judge")
    demand(known.least <= len(pieces) <= known.most, "pieces are missing, or one too many")
    return known.prove(shown, *pieces)
