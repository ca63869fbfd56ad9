"""Refusals: each by a rule that held, and none about what had been acknowledged before it was asked for."""

from __future__ import annotations

from countermark_protocol.accounts import Account, Verdict
from countermark_protocol.answers import Problem, parse_problem
from countermark_protocol.judging import CLOCK_TOLERANCE
from fault.accounts import check_account
from fault.finallog import Log
from fault.findings import Findings, Wrong
from fault.history import Action, Call, History
from fault.moments import check_moment
from fault.submitted import Handed, Submitted

#: A request is refused for its time alone where a clock jumped.
_CLOCK_CODES = frozenset({"request_too_old", "request_from_future"})
#: Statuses of refusals by rule: they bear an account where the caller is known.
_BY_RULE = frozenset({403, 404, 409})


def check_problem(history: History, log: Log, handed: Handed, call: Call, found: Findings) -> None:
    """Check a refusal."""
    problem = parse_problem(call.answer)
    if history.clock_moved and problem.code in _CLOCK_CODES:
        return
    one = handed.of_call.get(call.began)
    account = None
    if problem.account is not None:
        request = call.digest
        if one is not None and problem.code != "not_author":
            request = one.document.payload_hash
        account = check_account(log, call, problem.account, request, found)
    elif problem.status in _BY_RULE and (call.by is not None or one is not None):
        found.add(Wrong.ACCOUNT, f"{call.name}: refused by '{problem.code}' without an account")
    if account is not None and account.refusal is not None:
        check_moment(history, call, account.refusal.decided_at, "the time of the refusal", found)
    if one is None:
        _check_request(log, handed, call, problem, account, found)
        return
    if account is not None:
        _check_denied(log, call, one.document.payload_hash, account, found)
        if account.refusal is None or account.refusal.rule != problem.code:
            found.add(Wrong.ACCOUNT, f"{call.name}: the account names another rule than '{problem.code}'")
    if one.acknowledged is not None and one.acknowledged < call.began:
        found.add(
            Wrong.WRONGLY_REFUSED,
            f"{one.name} was refused by '{problem.code}' after it had been acknowledged",
        )
    if one.intent.by_time and not _may_refuse(log, handed, one, problem, account):
        found.add(Wrong.WRONGLY_REFUSED, f"{one.name} was refused by '{problem.code}': {problem.detail}")


# --- requests ----------------------------------------------------------------------------------------


def _check_request(
    log: Log, handed: Handed, call: Call, problem: Problem, account: Account | None, found: Findings
) -> None:
    """What was asked for is denied."""
    if call.action is Action.PROOF and account is not None:
        one = handed.by_payload.get(call.payload)
        if one is None or one.author == call.by:
            _check_denied(log, call, call.payload, account, found)
        if one is not None and one.author == call.by and _known(one, call):
            found.add(Wrong.ACCOUNT, f"{call.name}: {one.name} was denied, and had been acknowledged before")
    elif call.action in {Action.STANZA, Action.CONTENT} and account is not None:
        _check_withheld(log, handed, call, problem, account, found)
    elif call.action is Action.BOX and account is not None and call.by != call.box[0]:
        if account.verdict is not Verdict.REFUSED:
            found.add(Wrong.ACCOUNT, f"{call.name}: another's box was refused by '{account.verdict}'")
    else:
        found.add(Wrong.WRONGLY_REFUSED, f"{call.name} was refused by '{problem.code}': {problem.detail}")


def _check_withheld(
    log: Log, handed: Handed, call: Call, problem: Problem, account: Account, found: Findings
) -> None:
    """A stanza or content is withheld from who has not signed for it; that it is there is told to its parties."""
    one = handed.by_payload.get(call.payload)
    if one is None or one.submission is None:
        return
    sender, receives = one.author == call.by, call.by in {row.endpoint for row in one.submission.rows}
    _, known = handed.signed_for(call.by, call.payload, log.index_of)
    if known < call.began:
        found.add(
            Wrong.WRONGLY_REFUSED,
            f"{call.name} was refused by '{problem.code}' to {call.by}, whose receipt had been acknowledged",
        )
    if sender and call.action is Action.CONTENT and _known(one, call):
        found.add(Wrong.WRONGLY_REFUSED, f"{call.name}: its own sender was refused by '{problem.code}'")
    if receives or (sender and call.action is Action.CONTENT):
        if account.verdict is Verdict.NOT_HELD:
            _check_denied(log, call, call.payload, account, found)
            if _known(one, call):
                found.add(Wrong.ACCOUNT, f"{call.name}: {one.name} was denied, and had been acknowledged")
    elif account.verdict is not Verdict.NOT_HELD:
        found.add(Wrong.ACCOUNT, f"{call.name}: {call.by}, no party to it, was told that there is {one.name}")


def _known(one: Submitted, call: Call) -> bool:
    return one.acknowledged is not None and one.acknowledged < call.began


# --- statements --------------------------------------------------------------------------------------


def _may_refuse(log: Log, handed: Handed, one: Submitted, problem: Problem, account: Account | None) -> bool:
    """Whether the rule that is named for refusing a good statement did hold when it was decided."""
    if account is None or account.refusal is None:
        return False
    at, size = account.refusal.decided_at, account.refusal.decided_size
    if one.submission is not None:
        manifest = one.submission.manifest
        if problem.code == "expired":
            return at >= manifest.expires_at
        if problem.code == "id_reused":
            # An expired or early one, that a clock let pass, may have taken its id.
            return any(
                index < size
                for name, index in log.index_of.items()
                if name != one.document.payload_hash
                if (other := handed.by_payload.get(name)) is not None and other.submission is not None
                if (other.author, other.submission.manifest.id) == (one.author, manifest.id)
            )
        return problem.code == "sent_in_future" and manifest.sent_at > at + CLOCK_TOLERANCE
    if one.receipt is None or problem.code != "receipt_stands":
        return False
    standing = (problem.facts or {}).get("standing")
    document = log.documents.get(standing) if isinstance(standing, int) else None
    if document is None or standing is None or standing >= size:
        return False
    claims, receipt = document.claims, one.receipt
    return (
        claims["kind"] == "receipt"
        and claims["from"] == receipt.author
        and any(item.message.hex() == told["message"] for item in receipt.items for told in claims["items"])
    )


def _check_denied(log: Log, call: Call, name: bytes, account: Account, found: Findings) -> None:
    index = log.index_of.get(name)
    if index is not None and index < account.seen.size:
        found.add(
            Wrong.ACCOUNT,
            f"{call.name}: entry {index} was denied as of size {account.seen.size}, which holds it",
        )
