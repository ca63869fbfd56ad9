"""What a reader can check of the broker's decisions: were the rules followed for what it put into my boxes?

A recipient knows its own row, the visible half, the directory as of the leaf, and those messages of the
conversation that it holds. What it does not know is not held against the broker. The rules themselves are
those of the one decision (`countermark_protocol.decision`).

Source: docs/spec/log.md §6, §9.8.
"""

from __future__ import annotations

from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import StoredMessage
from countermark_protocol.decision import (
    check_group,
    check_policy,
    check_recipient,
    check_times,
    check_type,
    facts_of,
)
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import parse_json
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Manifest
from countermark_protocol.recipients import RecipientRow

#: Not against the rules: the endpoint may have declared a type that another of its instances reads.
_NOT_KNOWN_HERE = frozenset({"unknown_type", "unknown_version"})


def check_received(
    session: Session,
    directory: Directory,
    manifest: Manifest,
    row: RecipientRow,
    index: int,
    time: int,
    *,
    released: bool,
) -> None:
    """Check a received message by the rules that were in force at its leaf.

    Args:
        session: of the recipient; its store holds all that came before in the same box.
        directory: folded at least up to the leaf.
        manifest: of the message.
        row: the recipient's own, proven.
        index: of the message's entry.
        time: of its leaf, ms since 1970.
        released: whether a second person signed it.

    Raises:
        PolicyError, ConflictError, NotFoundError: the rule that it breaks, with the code of the refusal that the
            broker owed its sender.
    """
    check_times(manifest, time)
    try:
        check_type(manifest)
    except PolicyError as error:
        if error.code not in _NOT_KNOWN_HERE:
            raise
    target = _held(session, manifest.in_reply_to)
    if target is not None:
        _check_reply(manifest, target, index)
    superseded = _held(session, manifest.supersedes)
    if superseded is not None and manifest_of(superseded).sender != manifest.sender:
        raise PolicyError(
            "supersedes_not_own", "a message supersedes only a logged message of the same sender"
        )
    check_group(directory, manifest, (row,), index)
    check_recipient(directory, manifest, row, time, index)
    replies = manifest.in_reply_to is not None
    # Of what is not held here, the best is assumed.
    replied_to = (manifest_of(target).sender if target is not None else row.endpoint) if replies else None
    facts = facts_of(manifest, replied_to, frozenset({row.endpoint}) if replies else frozenset(), time)
    check_policy(directory, facts, row.endpoint, released=released, at=index)


def _held(session: Session, message: bytes | None) -> StoredMessage | None:
    return session.store.message(message) if message is not None else None


def _check_reply(manifest: Manifest, target: StoredMessage, index: int) -> None:
    replied_to = manifest_of(target)
    if (target.index is not None and target.index >= index) or not (
        _may_know(manifest.sender, target)
        or (manifest.on_behalf_of is not None and _may_know(manifest.on_behalf_of, target))
    ):
        raise NotFoundError(
            "unknown_reply_target", f"{manifest.sender} was no party to the message that this replies to"
        )
    if target.conversation != manifest.conversation:
        raise ConflictError("conversation_mismatch", "the message replied to belongs to another conversation")
    if replied_to.exercise != manifest.exercise:
        raise PolicyError("exercise_mismatch", "a reply carries on whether its conversation is an exercise")


def _may_know(who: Address, target: StoredMessage) -> bool:
    """Whether an endpoint may be party to a message, as far as its recipients are known here."""
    if manifest_of(target).sender == who or target.recipients is None:
        return True
    return who in set(parse_json(target.recipients))
