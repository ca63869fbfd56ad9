"""Accounts: the broker's signed negative answers.

End of box, not held, refused by rule: each is one signed document that states, for a published checkpoint,
count and head of every box the caller may read. Whoever holds an entry that is not in them has proof.

Source: docs/spec/log.md §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState, Tail, box_head
from countermark_protocol.claims import KIND_NAMES, Claims, Seen, parse_seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.encoding import JsonObject, encode_hex, malformed
from countermark_protocol.errors import InconsistentLogError, SignatureError
from countermark_protocol.identifiers import Address, Origin, parse_address, parse_origin

KIND = "account"
assert KIND not in KIND_NAMES.values()  # an account is never an entry of the log


class Verdict(StrEnum):
    """What the broker denies."""

    END_OF_BOX = "end-of-box"
    NOT_HELD = "not-held"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StatedBox:
    """One box as the account states it, over exactly the entries below the account's size.

    Attributes:
        endpoint: whose box.
        box: which.
        state: count and head.
    """

    endpoint: Address
    box: Box
    state: BoxState


@dataclass(frozen=True, slots=True)
class Refusal:
    """By which rule a statement was refused.

    Attributes:
        rule: stable code.
        message: for people.
        decided_at: ms since 1970.
        decided_size: size of the log it was decided at; not beyond the published one.
    """

    rule: str
    message: str
    decided_at: int
    decided_size: int


@dataclass(frozen=True, slots=True)
class Account:
    """A signed negative answer.

    Attributes:
        log: origin.
        seen: size and root of the published checkpoint it is about.
        author: the broker's address.
        caller: whom it answers.
        request: digest of the request: its signature base, for a statement its payload hash; 32 bytes.
        made_at: ms since 1970.
        verdict: what is denied.
        boxes: every box the caller may read.
        refusal: by which rule, where the verdict is ``refused``.
    """

    log: Origin
    seen: Seen
    author: Address
    caller: Address
    request: bytes
    made_at: int
    verdict: Verdict
    boxes: tuple[StatedBox, ...]
    refusal: Refusal | None = None

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        out: JsonObject = {
            "kind": KIND,
            "log": self.log,
            "seen": self.seen.to_json(),
            "from": self.author,
            "to": self.caller,
            "request": encode_hex(self.request),
            "made_at": self.made_at,
            "verdict": self.verdict.value,
            "boxes": [
                {
                    "endpoint": b.endpoint,
                    "box": b.box.value,
                    "count": b.state.count,
                    "head": encode_hex(b.state.head),
                }
                for b in self.boxes
            ],
        }
        if self.refusal is not None:
            out["refusal"] = {
                "rule": self.refusal.rule,
                "message": self.refusal.message,
                "decided_at": self.refusal.decided_at,
                "decided_size": self.refusal.decided_size,
            }
        return out


def _box(value: Any, what: str) -> StatedBox:
    claims = Claims(value, what)
    stated = StatedBox(
        claims.parsed("endpoint", parse_address),
        claims.choice("box", Box),
        BoxState(claims.integer("count"), claims.digest("head")),
    )
    claims.done()
    if (stated.state.count == 0) != (stated.state.head == EMPTY_HEAD):
        malformed("bad_member", f"{what}: a head of zeros and a count of 0 go together")
    return stated


def _refusal(value: Any, what: str) -> Refusal:
    claims = Claims(value, what)
    out = Refusal(
        claims.text("rule", 64),
        claims.text("message", 2000),
        claims.time("decided_at"),
        claims.integer("decided_size"),
    )
    claims.done()
    return out


def parse_account(payload: JsonObject) -> Account:
    """Read an account from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "account")
    if claims.raw("kind") != KIND:
        claims.bad("kind", f"'{KIND}'")
    account = Account(
        log=claims.parsed("log", parse_origin),
        seen=claims.parsed("seen", parse_seen),
        author=claims.parsed("from", parse_address),
        caller=claims.parsed("to", parse_address),
        request=claims.digest("request"),
        made_at=claims.time("made_at"),
        verdict=claims.choice("verdict", Verdict),
        boxes=claims.list_of("boxes", _box, 0, 10_000),
        refusal=claims.optional("refusal", _refusal),
    )
    claims.done()
    if (account.verdict is Verdict.REFUSED) != (account.refusal is not None):
        claims.bad("refusal", "a refusal with the verdict 'refused' and with no other")
    if account.refusal is not None and account.refusal.decided_size > account.seen.size:
        claims.bad("refusal", "a decision not beyond the published size")
    if len({(b.endpoint, b.box) for b in account.boxes}) != len(account.boxes):
        claims.bad("boxes", "every box once")
    return account


def verify_account(document: Document, directory: Directory, request: bytes) -> Account:
    """Check that an account is the broker's answer to this very request.

    Args:
        document: all its signatures verified.
        directory: folded at least up to the account's size.
        request: digest of the request that was made, 32 bytes.

    Raises:
        MalformedError: not an account.
        SignatureError: not signed by exactly one node key that counts at that size (``wrong_signer``), for
            another log (``wrong_log``) or another request (``wrong_request``).
    """
    account = parse_account(document.claims)
    at = account.seen.size - 1
    signers = document.signers
    if (
        at < 0  # no node key counts before the founding
        or len(signers) != 1
        or signers[0][0] is not Purpose.SIGN
        or account.author != directory.log(at).broker
        or not directory.node_key(signers[0][1], at)
    ):
        raise SignatureError(
            "wrong_signer", "an account is signed by exactly one current node key of the broker"
        )
    log = directory.origin_for(account.seen.size)
    if account.log != log:
        raise SignatureError("wrong_log", f"expected an account of log '{log}', got one of '{account.log}'")
    if account.request != request:
        raise SignatureError(
            "wrong_request", "the account answers another request than the one that was made"
        )
    return account


def state_of(account: Account, endpoint: Address, box: Box) -> BoxState | None:
    """What an account states of one box, or None where it does not speak of it."""
    return next((b.state for b in account.boxes if (b.endpoint, b.box) == (endpoint, box)), None)


def check_account(
    account: Account, document: bytes, endpoint: Address, box: Box, entries: Sequence[tuple[int, bytes]]
) -> None:
    """Compare an account with a box as its owner holds it, proven and in order.

    Args:
        account: verified.
        document: the signed account, for the evidence.
        endpoint: whose box.
        box: which.
        entries: (index, statement hash) by position, as far as the owner has verified them.

    Raises:
        InconsistentLogError: ``account_contradicted``: an entry below its size is not in what it states, or it
            states one that cannot be, since a later entry of the box stands at its position.
    """
    stated = state_of(account, endpoint, box)
    if stated is None:
        return
    below = [(index, statement) for index, statement in entries if index < account.seen.size]
    head = EMPTY_HEAD
    for index, statement in below[: stated.count]:
        head = box_head(head, index, statement)
    # With an entry beyond the account's size, those below it are all there are: positions have no gaps.
    whole = len(below) >= stated.count
    all_known = len(entries) > len(below)
    if (
        len(below) > stated.count
        or (all_known and len(below) < stated.count)
        or (whole and head != stated.head)
    ):
        raise InconsistentLogError(
            "account_contradicted",
            f"the broker states {stated.count} entries in box '{box}' of {endpoint} below size "
            f"{account.seen.size}; {len(below)} are proven, or others",
            document,
        )


def check_account_against_tail(
    account: Account, document: bytes, endpoint: Address, box: Box, index: int, statement: bytes, tail: Tail
) -> None:
    """Compare an account with one entry whose opened tail is proven; no other entry is needed.

    Raises:
        InconsistentLogError: ``account_contradicted``: the entry lies below the account's size at a position
            that it does not count, or is the last one it counts and gives another head; or it lies beyond that
            size at a position that it counts, or is the first one after those and has another head before it.
    """
    stated = state_of(account, endpoint, box)
    if stated is None:
        return
    if index < account.seen.size:
        misplaced = tail.position >= stated.count
        touches = tail.position == stated.count - 1
        head = box_head(tail.previous, index, statement)
    else:
        misplaced = tail.position < stated.count
        touches = tail.position == stated.count
        head = tail.previous
    if misplaced or (touches and head != stated.head):
        raise InconsistentLogError(
            "account_contradicted",
            f"the broker states {stated.count} entries in box '{box}' of {endpoint} below size "
            f"{account.seen.size}; entry {index} is proven to stand at position {tail.position}",
            document,
        )
