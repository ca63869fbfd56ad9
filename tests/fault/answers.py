"""Every answer that was ever given, held against the final log: proofs, releases, checkpoints; the rest is called from here."""

from __future__ import annotations

from collections.abc import Sequence

from countermark_protocol.answers import Accepted, Release, parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.claims import DIRECTORY_KINDS, Claims
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import parse_base64url, parse_digest, parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.merkle import leaf_hash, verify_consistency, verify_inclusion
from countermark_protocol.proof import parse_inclusion, verify_all_deliveries, verify_leaf
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.recipients import stanza_hash
from fault.finallog import Log, kind_of
from fault.findings import Findings, Wrong
from fault.history import Action, Call, History
from fault.moments import check_moment
from fault.pages import check_page
from fault.refusals import check_problem
from fault.submitted import Handed, Submitted, deliveries_of

#: Plain answers that say nothing but "try again".
_LATER = frozenset({429, 503})


def check_answers(history: History, log: Log, handed: Handed, found: Findings) -> None:
    """Check every answer of a history."""
    fresh: dict[bytes, int] = {}
    for call in history.calls:
        if call.status is None or call.status in _LATER:
            continue
        try:
            if call.status >= 500:
                found.add(Wrong.DEFECT, f"{call.name} was answered {call.status}: {call.answer[:200]!r}")
            elif call.status >= 400:
                check_problem(history, log, handed, call, found)
            else:
                _check_success(history, log, handed, call, found)
        except CountermarkError as error:
            found.add(Wrong.PROOF, f"{call.name}: what was answered does not verify: {error}")
        if call.status == 201 and (one := handed.of_call.get(call.began)) is not None:
            name = one.document.payload_hash
            if fresh.setdefault(name, call.began) != call.began:
                found.add(Wrong.DOUBLED, f"{one.name} became an entry by two calls")


def _check_success(history: History, log: Log, handed: Handed, call: Call, found: Findings) -> None:
    if call.accepted:
        one = handed.of_call.get(call.began)
        if call.action is Action.PROOF:
            one = handed.by_payload.get(call.payload)
            if one is not None and one.author != call.by:
                found.add(Wrong.WRONGLY_ACCEPTED, f"{call.name}: {one.name} was proven to {call.by}")
        if one is None:
            found.add(Wrong.WRONGLY_ACCEPTED, f"{call.name}: what is no statement was accepted")
        else:
            _check_accepted(history, log, handed, call, one, found)
    elif call.action is Action.BOX:
        check_page(log, handed, call, found)
    elif call.action in {Action.CHECKPOINT, Action.STORE}:
        log.checkpoint(call.answer, found)
    elif call.action is Action.CONSISTENCY:
        _check_consistency(log, call, found)
    elif call.action is Action.INCLUSION:
        _check_inclusion(log, call, found)
    elif call.action is Action.STANZA:
        releases = [_release(v) for v in parse_object(call.answer)["releases"]]
        _check_releases(log, handed, call, releases, [call.payload], found)
    elif call.action is Action.CONTENT:
        one = handed.by_payload.get(call.payload)
        if one is None or one.submission is None or call.answer != one.submission.content:
            found.add(Wrong.LOST, f"{call.name}: another content was served than was handed in")
        if one is None or one.author != call.by:
            _check_signed_for(log, handed, call, call.payload, "a content", found)


def _release(value: object) -> Release:
    claims = Claims(value, "release")
    return Release(
        claims.digest("message"), claims.parsed("stanza", lambda v, w: parse_base64url(v, w, limit=10_000))
    )


# --- proofs ------------------------------------------------------------------------------------------


def _check_accepted(
    history: History, log: Log, handed: Handed, call: Call, one: Submitted, found: Findings
) -> None:
    accepted: Accepted = parse_accepted(call.answer)
    index, name = accepted.inclusion.index, one.document.payload_hash
    if not one.intent.by_time:
        found.add(Wrong.WRONGLY_ACCEPTED, f"{one.name} is {one.intent}, and was acknowledged")
    if index >= log.size or log.raw_leaves[index] != accepted.inclusion.leaf:
        found.add(
            Wrong.LOST, f"{one.name} was acknowledged as entry {index}, which the log has not or has other"
        )
        log.checkpoint(accepted.checkpoint, found)
        return
    if log.index_of.get(name) != index:
        kind = Wrong.DOUBLED if name in log.index_of else Wrong.LOST
        found.add(kind, f"{one.name} was acknowledged as entry {index}, it is {log.index_of.get(name)}")
        return
    checkpoint = log.checkpoint(accepted.checkpoint, found)
    if checkpoint is None:
        return
    # Whoever asks for a proof alone has handed in nothing.
    document = accepted.document or handed.data_of.get(call.began) or one.document.data
    leaf = verify_leaf(
        accepted.inclusion, checkpoint, kind_of(parse_document(document)), statement_hash(document)
    )
    if call.status == 201:
        check_moment(history, call, leaf.time, "its leaf's time", found)
    if leaf.kind in DIRECTORY_KINDS:
        return
    if accepted.deliveries is None:
        found.add(Wrong.PROOF, f"{one.name} was acknowledged without its deliveries")
        return
    verify_all_deliveries(
        accepted.deliveries, leaf, index, one.author, deliveries_of(one) - {(one.author, Box.SENT)}
    )
    tail = accepted.deliveries.tail
    sent = log.boxes.get((one.author, Box.SENT), [])
    state = log.state_below(one.author, Box.SENT, index)
    if tail.position != state.count or tail.previous != state.head:
        found.add(
            Wrong.ORDER,
            f"{one.name} was acknowledged at position {tail.position} of 'sent'; of {len(sent)} it is {state.count}",
        )
    if (
        one.receipt is not None
        and one.receipt.stage is ReceiptStage.DELIVERED
        and call.action is Action.RECEIPT
    ):
        items = [item.message for item in one.receipt.items]
        _check_releases(log, handed, call, accepted.releases, items, found)


def _check_releases(
    log: Log,
    handed: Handed,
    call: Call,
    releases: Sequence[Release],
    items: list[bytes],
    found: Findings,
) -> None:
    """Stanzas are released to who has signed for the message, each its own, and all that were asked for."""
    if sorted(r.message for r in releases) != sorted(items):
        found.add(Wrong.RECEIPT, f"{call.name}: stanzas of other messages were released than were asked for")
    for release in releases:
        message = handed.by_payload.get(release.message)
        rows = message.submission.rows if message is not None and message.submission is not None else ()
        own = next((row for row in rows if row.endpoint == call.by), None)
        if own is None or own.stanza != stanza_hash(release.stanza):
            found.add(Wrong.RECEIPT, f"{call.name}: a stanza was released that is not the caller's own")
        _check_signed_for(log, handed, call, release.message, "a stanza", found)


def _check_signed_for(
    log: Log, handed: Handed, call: Call, message: bytes, what: str, found: Findings
) -> None:
    """A receipt that is logged had been handed in before the answer came: not one that followed."""
    first, _ = handed.signed_for(call.by, message, log.index_of)
    if first > call.ended:
        found.add(Wrong.RECEIPT, f"{call.name}: {what} was released for which {call.by} had not signed")


def _check_consistency(log: Log, call: Call, found: Findings) -> None:
    answer = parse_object(call.answer)
    old, new = int(answer["from"]), int(answer["to"])
    if new > log.size or not 0 <= old <= new:
        found.add(
            Wrong.CHECKPOINT, f"{call.name}: a path to size {new} was served, the log ends at {log.size}"
        )
        return
    path = [parse_digest(h, "path") for h in answer["path"]]
    verify_consistency(old, log.roots[old], new, log.roots[new], path)


def _check_inclusion(log: Log, call: Call, found: Findings) -> None:
    answer = parse_object(call.answer)
    size = int(answer.pop("size"))
    inclusion = parse_inclusion(answer)
    if size > log.size or inclusion.leaf != log.raw_leaves[inclusion.index]:
        found.add(
            Wrong.LOST, f"{call.name}: entry {inclusion.index} of size {size} was proven, the log has other"
        )
        return
    verify_inclusion(leaf_hash(inclusion.leaf), inclusion.index, size, list(inclusion.path), log.roots[size])
