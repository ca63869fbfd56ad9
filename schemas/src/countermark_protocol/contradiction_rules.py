"""The rules a third party can apply: to an entry that should have been refused, and to a refusal that should not be.

Only what bytes at hand decide: signatures, keys that counted, the log named, times, and for one recipient's row what
the directory says of it. What takes the whole log to decide convinces nobody by a few bytes.

Source: docs/spec/contradictions.md §3.
"""

from __future__ import annotations

from countermark_protocol.accounts import Account
from countermark_protocol.acts import parse_act
from countermark_protocol.answers import OwnRecipient
from countermark_protocol.authors import authenticate
from countermark_protocol.claims import DIRECTORY_KINDS, Claims, Header, Kind
from countermark_protocol.contradiction_shown import demand, not_shown
from countermark_protocol.decision import check_policy, check_recipient, check_times, check_type, facts_of
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose, parse_document
from countermark_protocol.encoding import JsonObject, parse_object
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.leaf import Leaf
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.proof import parse_path, parse_recipient, parse_recipients
from countermark_protocol.receipts import parse_receipt, parse_undelivered
from countermark_protocol.recipients import RecipientRow, recipients_root, verify_recipient
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.statements import kind_of, verify_statement

#: Rules that a refusal may name and that directory and manifest alone decide.
DECIDED_BY_DIRECTORY = frozenset(
    {
        "unknown_recipient",
        "sealing_key_not_accepted",
        "version_not_read",
        "not_releasable",
        "policy_denied",
        "embargoed",
        "release_required",
        "expired",
        "sent_in_future",
    }
)


def recipient_row(document: bytes, shown: bytes) -> RecipientRow:
    """A recipient's row, shown to be one that the manifest commits to.

    Raises:
        CountermarkError: it is not.
    """
    claims = Claims(parse_object(shown, "recipient"), "recipient")
    own = OwnRecipient(claims.parsed("row", parse_recipient), claims.parsed("at", parse_path))
    claims.done()
    manifest = parse_manifest(parse_document(document).claims)
    verify_recipient(own.row, own.at, manifest.recipient_count, manifest.recipient_root)
    return own.row


def broken(
    directory: Directory, origin: Origin, index: int, leaf: Leaf, document: bytes, row: RecipientRow | None
) -> str | None:
    """The code of the rule by which an entry should have been refused; None if these bytes show none.

    Raises:
        MalformedError: no statement at all.
    """
    unverified = parse_document(document)
    kind = kind_of(unverified.claims)
    try:
        verified = verify_statement(directory, unverified)
        if kind in DIRECTORY_KINDS:
            header = parse_directory_statement(verified.claims).header
            if header.log == origin:
                judge_statement(directory, verified, leaf.time)
        else:
            author, header = _author(kind, verified.claims)
            if header.log == origin:
                authenticate(directory, verified, author, leaf.time)
    except (SignatureError, PolicyError, ConflictError, NotFoundError) as error:
        return error.code
    if header.log != origin:
        return "wrong_log"
    if header.seen.size > index:
        return "seen_ahead"
    if kind is Kind.MESSAGE:
        try:
            released = bool(verified.keys_for(Purpose.RELEASE))
            _check_message(directory, parse_manifest(verified.claims), leaf.time, row, released=released)
        except (PolicyError, ConflictError, NotFoundError) as error:
            return error.code
    return None


def _author(kind: Kind, claims: JsonObject) -> tuple[Address, Header]:
    if kind is Kind.MESSAGE:
        manifest = parse_manifest(claims)
        return manifest.sender, manifest.header
    if kind is Kind.RECEIPT:
        receipt = parse_receipt(claims)
        return receipt.author, receipt.header
    if kind is Kind.UNDELIVERED:
        notice = parse_undelivered(claims)
        return notice.author, notice.header
    act = parse_act(claims)
    return act.author, act.header


def _check_message(
    directory: Directory, m: Manifest, time: int, row: RecipientRow | None, *, released: bool
) -> None:
    check_times(m, time)
    check_type(m)
    if row is None:
        return
    check_recipient(directory, m, row, time)
    if m.in_reply_to is None:
        check_policy(directory, facts_of(m, None, frozenset(), time), row.endpoint, released=released)


def refused_wrongly(directory: Directory, account: Account, data: bytes, shown: bytes) -> str:
    """What a refusal says that directory and manifest contradict.

    Args:
        directory: by which it was decided.
        account: verified, with a refusal.
        data: the signed message that it refuses.
        shown: all recipient rows of that message.

    Raises:
        ProofError: ``not_contradictory``: it may well be right.
        CountermarkError: the message was to be refused.
    """
    unverified, refusal = parse_document(data), account.refusal
    if refusal is None:
        not_shown("the account refuses nothing")
    claims = Claims(parse_object(shown, "rows"), "rows")
    rows = claims.parsed("rows", parse_recipients)
    claims.done()
    manifest = parse_manifest(unverified.claims)
    demand(
        (len(rows), recipients_root(rows)) == (manifest.recipient_count, manifest.recipient_root),
        "other recipients",
    )
    demand(
        account.request == unverified.payload_hash and refusal.rule in DECIDED_BY_DIRECTORY,
        "another statement, or a rule that these bytes do not decide",
    )
    document = verify_statement(directory, unverified)
    authenticate(directory, document, manifest.sender, refusal.decided_at)
    released = bool(document.keys_for(Purpose.RELEASE))
    for row in rows:
        try:
            _check_message(directory, manifest, refusal.decided_at, row, released=released)
        except CountermarkError as error:
            not_shown(f"it was to be refused: {error.code}")
    return f"refused by rule '{refusal.rule}', which it does not break"
