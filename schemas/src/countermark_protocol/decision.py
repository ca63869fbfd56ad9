"""The one decision: what happens to a statement.

(state, statement, time) → deliveries and effects, or a refusal. Broker, test broker and auditor's replay
share this function; none decides by itself. It reads no clock, no database and no network.

Refusals are exceptions of two sorts. `MalformedError`, `VerificationError` and `UncheckableError` mean the
caller is not known to be who it says; they are answered as plain problems. `PolicyError`, `ConflictError`
and `NotFoundError` are raised only after the caller's signature counted; the broker answers them with a
signed account.

Source: docs/spec/log.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countermark_protocol.authors import Signers, authenticate
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Header, Kind
from countermark_protocol.deciding_acts import check_disclosure, check_look_up, check_purge
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document
from countermark_protocol.errors import (
    ConflictError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.handling import Tlp
from countermark_protocol.identifiers import Address
from countermark_protocol.judging import CLOCK_TOLERANCE, judge_statement
from countermark_protocol.manifest import Manifest, Urgency
from countermark_protocol.policy import (
    PolicyFacts,
    allowing_rule,
    check_releasable,
    demand_release,
    release_demanded,
)
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.records import (
    DirectoryStatement,
    GroupRecord,
    LogRecord,
    State,
    parse_directory_statement,
)
from countermark_protocol.state import Delivery, DeliveryStage, LogState, MessageState
from countermark_protocol.statements import (
    Act,
    DirectoryChange,
    DisclosureStatement,
    LookUpStatement,
    MessageStatement,
    ReceiptStatement,
    Statement,
    UndeliveredStatement,
    act_of,
    header_of,
)
from countermark_protocol.succession import Predecessor, check_log, check_predecessor
from countermark_protocol.types import TYPES


@dataclass(frozen=True, slots=True)
class Decision:
    """What an accepted statement does.

    Attributes:
        deliveries: the boxes it is put into, no box twice.
        messages: states of messages it makes or changes.
        directory: the directory change, if it is one.
        purged: the message whose stanzas and content go, if it is a purge.
    """

    deliveries: tuple[tuple[Address, Box], ...]
    messages: tuple[MessageState, ...] = ()
    directory: DirectoryStatement | None = None
    purged: MessageState | None = None


_URGENT: Final = frozenset({Urgency.URGENT, Urgency.FLASH})


def box_for(urgency: Urgency) -> Box:
    """The box a message of this urgency goes to."""
    return Box.URGENT if urgency in _URGENT else Box.ROUTINE


def decide(state: LogState, statement: Statement, time: int) -> Decision:
    """Decide what happens to a statement, as the entry after the last one.

    Args:
        state: after the last leaf.
        statement: with all its signatures verified; not logged yet (`state.entries` says so).
        time: that its leaf would have, ms since 1970, not below `state.time`.

    Returns:
        The decision; nothing is changed.

    Raises:
        MalformedError, VerificationError, UncheckableError: nobody's fault but the caller's, who may be anyone.
        PolicyError, ConflictError, NotFoundError: refused by rule to a caller whose signature counted.
    """
    header = header_of(statement)
    predecessor = _predecessor(statement.document) if header.kind is Kind.GOVERNANCE else None
    check_log(header.log, state.origin, predecessor)
    if isinstance(statement, MessageStatement):
        signers = authenticate(state.directory, statement.document, statement.manifest.sender, time)
        _check_seen(state, header)
        return _decide_message(state, statement, signers, time)
    if isinstance(statement, ReceiptStatement):
        authenticate(state.directory, statement.document, statement.receipt.author, time)
        _check_seen(state, header)
        return _decide_receipt(state, statement)
    if isinstance(statement, UndeliveredStatement):
        broker = state.directory.log().broker
        if statement.notice.author != broker:
            raise SignatureError("wrong_signer", f"only the broker, {broker}, states what stayed undelivered")
        authenticate(state.directory, statement.document, broker, time)
        _check_seen(state, header)
        return _decide_undelivered(state, statement, time)
    if isinstance(statement, DirectoryChange):
        change = judge_statement(state.directory, statement.document, time)
        _check_seen(state, header)
        if predecessor is not None:
            check_predecessor(predecessor, state.size, state.frontier.root())
        return Decision(deliveries=(), directory=change)
    author = act_of(statement).author
    authenticate(state.directory, statement.document, author, time)
    _check_seen(state, header)
    return _decide_act(state, statement, author, time)


def _predecessor(governance: Document) -> Predecessor | None:
    record = parse_directory_statement(governance.claims).record
    return record.predecessor if isinstance(record, LogRecord) else None


def _check_seen(state: LogState, header: Header) -> None:
    seen = header.seen
    if seen.size > state.size:
        raise ConflictError(
            "seen_ahead",
            f"the signer states to have seen a log of size {seen.size}; this one has {state.size}",
        )
    if state.roots[seen.size] != seen.root:
        raise ConflictError(
            "seen_other_root",
            f"the signer states another root for size {seen.size} than this log has: keep that checkpoint as evidence",
        )


# --- messages ----------------------------------------------------------------------------------------


def _decide_message(state: LogState, statement: MessageStatement, signers: Signers, time: int) -> Decision:
    m, payload_hash = statement.manifest, statement.document.payload_hash
    if state.ids[m.sender, m.id] is not None:
        raise ConflictError(
            "id_reused", f"{m.sender} has already sent another message with id {m.id}: make a new id"
        )
    check_times(m, time)
    check_type(m)
    parties = _check_conversation(state, m)
    if m.supersedes is not None:
        check_superseded(m, state.messages[m.supersedes])
    check_group(state.directory, m, statement.rows)
    facts = facts_of(m, _replied_to(state, m), parties, time)
    for row in statement.rows:
        check_recipient(state.directory, m, row, time)
        check_policy(state.directory, facts, row.endpoint, released=signers.release is not None)
    message = MessageState(
        payload_hash=payload_hash,
        index=state.size,
        sender=m.sender,
        id=m.id,
        type=m.type,
        conversation=m.conversation or payload_hash,
        exercise=m.exercise,
        expires_at=m.expires_at,
        deliveries={row.endpoint: Delivery(DeliveryStage.OPEN, state.size) for row in statement.rows},
    )
    return Decision(
        deliveries=(*deliveries_of(m, [row.endpoint for row in statement.rows]), (m.sender, Box.SENT)),
        messages=(message,),
    )


def deliveries_of(m: Manifest, recipients: Iterable[Address]) -> tuple[tuple[Address, Box], ...]:
    """The boxes of others that a message is put into: of its recipients, and of whom it is sent on behalf of."""
    box = box_for(m.urgency)
    told = ((m.on_behalf_of, Box.NOTICES),) if m.on_behalf_of is not None else ()
    return (*((recipient, box) for recipient in recipients), *told)


def check_policy(
    directory: Directory, facts: PolicyFacts, recipient: Address, *, released: bool, at: int | None = None
) -> None:
    """Check one recipient of a message against the policy, and against what the sender's endpoint demands of itself.

    Args:
        directory: folded up to the leaf before, or further.
        facts: of the message.
        recipient: the one to check.
        released: whether a second person has signed.
        at: log index as of which to judge; None for the newest state.

    Raises:
        PolicyError: ``policy_denied``, ``embargoed`` or ``release_required``.
    """
    allowing_rule(directory.policy(at), facts, recipient)
    why = None if released else why_two_persons(directory, facts, recipient, at)
    demand_release(facts, recipient, why, released=released)


def why_two_persons(
    directory: Directory, facts: PolicyFacts, recipient: Address | None, at: int | None = None
) -> str | None:
    """Why a message to one recipient needs a second person's signature; None if it does not.

    Args:
        directory: folded up to the leaf before, or further.
        facts: of the message.
        recipient: the one to check; None where none is known.
        at: log index as of which to judge; None for the newest state.
    """
    for party in (facts.sender, facts.on_behalf_of):
        record = directory.endpoint(party, at) if party is not None else None
        if record is not None and record.two_persons:
            return f"{party}, of all that it sends"
    return release_demanded(directory.policy(at), facts, recipient)


def facts_of(m: Manifest, replied_to: Address | None, parties: frozenset[Address], time: int) -> PolicyFacts:
    """What the policy looks at of a message.

    Args:
        m: its manifest.
        replied_to: sender of the message that it replies to, if it does.
        parties: to its conversation.
        time: of its leaf, ms since 1970.
    """
    return PolicyFacts(
        sender=m.sender,
        type=m.type,
        recipients=m.recipient_count,
        classification=m.handling.classification,
        exercise=m.exercise,
        replied_to=replied_to,
        parties=parties,
        tlp=m.handling.tlp,
        to_group=m.group is not None,
        on_behalf_of=m.on_behalf_of,
        time=time,
    )


def check_superseded(m: Manifest, old: MessageState | None) -> None:
    """Check a message against the one that it supersedes.

    Raises:
        PolicyError: ``supersedes_not_own`` or ``exercise_mismatch``.
    """
    if old is None or old.sender != m.sender:
        raise PolicyError(
            "supersedes_not_own", "a message supersedes only a logged message of the same sender"
        )
    if old.exercise != m.exercise:
        # Else a drill could hide a real message from whoever reads only the newest version.
        raise PolicyError(
            "exercise_mismatch", "an exercise supersedes only exercises, a real message only real ones"
        )


def check_times(m: Manifest, time: int) -> None:
    """Check a message's own times against that of its leaf, ms since 1970.

    Raises:
        PolicyError: ``sent_in_future`` or ``expired``.
    """
    if m.sent_at > time + CLOCK_TOLERANCE:
        raise PolicyError(
            "sent_in_future",
            f"sent_at is {m.sent_at - time} ms ahead of this log's clock, expected at most {CLOCK_TOLERANCE}: "
            "set the sender's clock",
        )
    if m.expires_at <= time:
        raise PolicyError("expired", "the message's expires_at has passed: send it anew with a later one")


def check_type(m: Manifest) -> None:
    """Check that type and version are of this protocol, and that the manifest bears what the type demands.

    Raises:
        PolicyError: ``unknown_type``, ``unknown_version``, ``answer_incomplete``, ``not_an_answer``,
            ``amends_nothing`` or ``not_in_conversation``.
    """
    info = TYPES.get(m.type)
    if info is None:
        raise PolicyError("unknown_type", f"'{m.type}' is not a message type of this version")
    if m.version not in info.versions:
        raise PolicyError(
            "unknown_version", f"'{m.type}' has no version {m.version}; known: {sorted(info.versions)}"
        )
    if info.is_answer and m.stage is None:
        raise PolicyError(
            "answer_incomplete", f"a '{m.type}' is an answer: expected in_reply_to, stage and outcome"
        )
    if not info.is_answer and m.stage is not None:
        raise PolicyError("not_an_answer", f"a '{m.type}' is no answer: expected neither stage nor outcome")
    if info.amends and (m.supersedes is None or m.supersedes != m.in_reply_to):
        raise PolicyError(
            "amends_nothing",
            f"a '{m.type}' is about an earlier message: expected supersedes and in_reply_to, both naming that one",
        )
    if info.in_conversation and m.in_reply_to is None:
        raise PolicyError(
            "not_in_conversation",
            f"a '{m.type}' belongs to a conversation that began otherwise: expected in_reply_to",
        )


def _replied_to(state: LogState, m: Manifest) -> Address | None:
    target = state.messages[m.in_reply_to] if m.in_reply_to is not None else None
    return target.sender if target is not None else None


def _check_conversation(state: LogState, m: Manifest) -> frozenset[Address]:
    if m.in_reply_to is None or m.conversation is None:
        return frozenset()
    target = state.messages[m.in_reply_to]
    speakers = {m.sender, m.on_behalf_of} - {None}
    if target is None or not any(who == target.sender or who in target.deliveries for who in speakers):
        # One error for both: whether a message exists is not told to who is no party to it.
        raise NotFoundError(
            "unknown_reply_target", f"{m.sender} is no party to a logged message that this replies to"
        )
    if target.conversation != m.conversation:
        raise ConflictError("conversation_mismatch", "the message replied to belongs to another conversation")
    if target.exercise != m.exercise:
        raise PolicyError("exercise_mismatch", "a reply carries on whether its conversation is an exercise")
    return state.parties[m.conversation]


def check_group(
    directory: Directory, m: Manifest, rows: tuple[RecipientRow, ...], at: int | None = None
) -> None:
    """Check that recipients are members of the group that the manifest names, if it names one.

    Args:
        directory: folded up to the leaf before, or further.
        m: the manifest.
        rows: of the recipients to check, all or some.
        at: log index as of which to judge; None for the newest state.

    Raises:
        PolicyError: ``red_to_group``, ``group_suspended`` or ``not_in_group``.
        NotFoundError: ``unknown_group``.
    """
    if m.group is None:
        return
    if m.handling.tlp is Tlp.RED:
        raise PolicyError(
            "red_to_group", "TLP:RED names its recipients one by one: it cannot be sent to a group"
        )
    held = directory.held_by_statement(f"group/{m.group.name}", m.group.statement)
    later = held is not None and at is not None and held.index > at
    if held is None or later or not isinstance(held.record, GroupRecord):
        raise NotFoundError("unknown_group", f"group '{m.group.name}' never had that statement")
    if held.record.state is not State.ACTIVE:
        raise PolicyError("group_suspended", f"group '{m.group.name}' is suspended by the statement named")
    strangers = {row.endpoint for row in rows} - set(held.record.members)
    if strangers:
        raise PolicyError(
            "not_in_group", f"{min(strangers)} is not a member of group '{m.group.name}' as stated"
        )


def check_recipient(
    directory: Directory, m: Manifest, row: RecipientRow, time: int, at: int | None = None
) -> None:
    """Check that one recipient can take a message: its keys, the versions it reads, to whom it is releasable.

    Args:
        directory: folded up to the leaf before, or further.
        m: the manifest.
        row: of the recipient.
        time: of the message's leaf, ms since 1970.
        at: log index as of which to judge; None for the newest state.

    Raises:
        NotFoundError: ``unknown_recipient``.
        ConflictError: ``sealing_key_not_accepted``.
        PolicyError: ``version_not_read`` or ``not_releasable``.
    """
    keys = directory.keys(row.endpoint, at)
    if keys is None or keys.sealing is None:
        raise NotFoundError(
            "unknown_recipient", f"{row.endpoint} is not an active endpoint with keys", recipient=row.endpoint
        )
    if not directory.accepts_sealing_key(row.endpoint, row.sealing_key, time, at):
        raise ConflictError(
            "sealing_key_not_accepted",
            f"the stanza for {row.endpoint} is sealed to a key that is not current: read the directory and seal again",
            recipient=row.endpoint,
        )
    if m.version not in keys.reads.get(m.type, ()):
        raise PolicyError(
            "version_not_read",
            f"{row.endpoint} does not read '{m.type}' version {m.version}; it reads "
            f"{sorted(keys.reads.get(m.type, ())) or 'none'}",
            recipient=row.endpoint,
        )
    check_releasable(m.handling.releasable_to, row.endpoint)


def _decide_act(state: LogState, statement: Act, author: Address, time: int) -> Decision:
    if isinstance(statement, LookUpStatement):
        check_look_up(state, statement.look_up, time)
    elif isinstance(statement, DisclosureStatement):
        check_disclosure(state, statement.disclosure)
    else:
        message = check_purge(state, statement, time)
        told = ((message.sender, Box.NOTICES),) if author != message.sender else ()
        return Decision(deliveries=(*told, (author, Box.SENT)), purged=message)
    return Decision(deliveries=((author, Box.SENT),))


# --- receipts and notices ----------------------------------------------------------------------------

_NEXT = {
    ReceiptStage.DELIVERED: (DeliveryStage.OPEN, DeliveryStage.DELIVERED),
    ReceiptStage.ACCEPTED: (DeliveryStage.DELIVERED, DeliveryStage.ACCEPTED),
    ReceiptStage.REJECTED: (DeliveryStage.DELIVERED, DeliveryStage.REJECTED),
}


def _decide_receipt(state: LogState, statement: ReceiptStatement) -> Decision:
    receipt = statement.receipt
    before, after = _NEXT[receipt.stage]
    changed: list[MessageState] = []
    for item in receipt.items:
        message = state.messages[item.message]
        delivery = message.deliveries.get(receipt.author) if message is not None else None
        if message is None or delivery is None:
            raise NotFoundError(
                "unknown_message",
                f"{receipt.author} has received no message {item.message.hex()}",
                payload_hash=item.message.hex(),
            )
        if message.sender != receipt.sender:
            raise ConflictError(
                "wrong_sender", f"message {item.message.hex()} is from {message.sender}, not {receipt.sender}"
            )
        if delivery.stage is not before:
            raise ConflictError(
                "receipt_stands",
                f"message {item.message.hex()} is already '{delivery.stage}' by entry {delivery.stage_index}"
                if delivery.stage is not DeliveryStage.OPEN
                else f"message {item.message.hex()} is not delivered yet: post 'delivered' first",
                payload_hash=item.message.hex(),
                stage=delivery.stage.value,
                standing=delivery.stage_index,
            )
        moved = Delivery(after, state.size, delivery.undelivered_index)
        changed.append(message.with_delivery(receipt.author, moved))
    return Decision(
        deliveries=((receipt.sender, Box.NOTICES), (receipt.author, Box.SENT)), messages=tuple(changed)
    )


def _decide_undelivered(state: LogState, statement: UndeliveredStatement, time: int) -> Decision:
    notice = statement.notice
    message = state.messages[notice.message]
    delivery = message.deliveries.get(notice.recipient) if message is not None else None
    if message is None or delivery is None:
        raise NotFoundError(
            "unknown_message", f"{notice.recipient} is no recipient of {notice.message.hex()}"
        )
    if message.sender != notice.sender:
        raise ConflictError("wrong_sender", f"message {notice.message.hex()} is from {message.sender}")
    if delivery.stage is not DeliveryStage.OPEN or delivery.undelivered_index is not None:
        raise ConflictError("not_undelivered", "the message was collected, or its notice is logged already")
    if time < message.expires_at + state.directory.log().undelivered_grace:
        raise PolicyError("grace_running", "the message's expiry and grace have not passed yet")
    changed = message.with_delivery(
        notice.recipient, Delivery(delivery.stage, delivery.stage_index, state.size)
    )
    return Decision(
        deliveries=((message.sender, Box.NOTICES), (notice.author, Box.SENT)), messages=(changed,)
    )
