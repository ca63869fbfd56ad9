"""Deciding a refusal again: whether a rule that the broker named was broken, as far as that can be known here.

A refusal names rule, time and size. The directory as of that size and one's own statement decide by the same rules as
the broker's (`countermark_protocol.decision`); what depends on other statements of the log is not judged.

Source: docs/spec/log.md §6, §7; docs/spec/messages.md §5.1; docs/spec/audit.md §2.2, §3.2, §4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._settling import ACT, MESSAGE
from countermark_client._store import OutboxItem
from countermark_protocol.accounts import Refusal
from countermark_protocol.acts import Disclosure, LookUp, Purge, parse_act
from countermark_protocol.deciding_acts import LONGEST_LOOK_UP, mandate_of
from countermark_protocol.decision import (
    check_group,
    check_policy,
    check_recipient,
    check_times,
    check_type,
    facts_of,
)
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose, parse_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError
from countermark_protocol.proof import recipient_to_json
from countermark_protocol.submission import parse_submission

Act = LookUp | Disclosure | Purge

#: Rules on messages that follow from manifest, rows and directory alone. Types are not among them: another release of
#: the broker may know others.
_OF_MESSAGES: Final = frozenset(
    {
        "sent_in_future",
        "expired",
        "answer_incomplete",
        "not_an_answer",
        "red_to_group",
        "unknown_group",
        "group_suspended",
        "not_in_group",
        "unknown_recipient",
        "sealing_key_not_accepted",
        "version_not_read",
        "not_releasable",
        "policy_denied",
        "embargoed",
        "release_required",
    }
)


_OF_TABLE: Final = frozenset({"policy_denied", "release_required"})


def judge_refusal(session: Session, directory: Directory, item: OutboxItem, refusal: Refusal) -> str | None:
    """Decide a refused statement of one's own again.

    Args:
        session: of its author.
        directory: folded at least up to `decided_size`.
        item: the statement.
        refusal: as signed.

    Returns:
        What shows that no such rule was broken; empty if one was; None if that cannot be known here.
    """
    if refusal.decided_size < 1:
        return None
    allowed = _message(directory, item, refusal) if item.kind == MESSAGE else None
    if item.kind == ACT:
        allowed = _act(session, directory, parse_act(parse_document(item.body).claims), refusal)
    if allowed is None:
        return None
    if not allowed:
        return ""
    return (
        f"the broker signed that it refuses a statement by the rule '{refusal.rule}'; by the directory as of size "
        f"{refusal.decided_size} that rule was not broken"
    )


def signed_document(item: OutboxItem) -> bytes:
    """The signed document of a statement, without rows and content."""
    return parse_submission(item.body).document.data if item.kind == MESSAGE else item.body


def recipients_of(item: OutboxItem) -> bytes:
    """The recipient rows of a statement, to which its signed document commits, as JSON; none of an act."""
    rows = parse_submission(item.body).rows if item.kind == MESSAGE else ()
    return encode_json({"rows": [recipient_to_json(row) for row in rows]})


def subjects_of(item: OutboxItem) -> Iterator[str]:
    """Subjects of the directory that such a decision looks at."""
    yield "policy"
    yield "log"
    if item.kind == MESSAGE:
        submission = parse_submission(item.body)
        if submission.manifest.group is not None:
            yield f"group/{submission.manifest.group.name}"
        for party in (submission.manifest.sender, submission.manifest.on_behalf_of):
            if party is not None:
                yield f"endpoint/{party}"
        for row in submission.rows:
            yield from (f"endpoint/{row.endpoint}", f"keys/{row.endpoint}")
    else:
        yield f"endpoint/{parse_act(parse_document(item.body).claims).author}"


def _message(directory: Directory, item: OutboxItem, refusal: Refusal) -> bool | None:
    """Whether none of these rules is broken: one that was broken without being named accuses nobody."""
    submission = parse_submission(item.body)
    m, at = submission.manifest, refusal.decided_size - 1
    # Who is party to a conversation, other statements say: which rules fit hangs on it.
    if refusal.rule not in _OF_MESSAGES or (refusal.rule in _OF_TABLE and m.in_reply_to is not None):
        return None
    facts = facts_of(m, None, frozenset(), refusal.decided_at)
    released = any(s.purpose is Purpose.RELEASE for s in submission.document.signatures)
    try:
        check_times(m, refusal.decided_at)
        check_type(m)
        check_group(directory, m, submission.rows, at)
        for row in submission.rows:
            check_recipient(directory, m, row, refusal.decided_at, at)
            if m.in_reply_to is None:
                check_policy(directory, facts, row.endpoint, released=released, at=at)
    except (PolicyError, ConflictError, NotFoundError):
        return False
    return True


def _act(session: Session, directory: Directory, act: Act, refusal: Refusal) -> bool | None:
    at, time = refusal.decided_size - 1, refusal.decided_at
    if isinstance(act, LookUp):
        if refusal.rule not in {"no_mandate", "look_up_too_long"}:
            return None
        try:
            mandate_of(directory, act.author, act.scope, time, at)
        except PolicyError:
            return False
        return time < act.until <= time + LONGEST_LOOK_UP
    known = session.store.message(act.message)
    if known is None or known.index is None or known.index >= refusal.decided_size:
        return None
    if refusal.rule == "unknown_message":
        return True
    return manifest_of(known).sender == act.author if refusal.rule == "not_originator" else None
