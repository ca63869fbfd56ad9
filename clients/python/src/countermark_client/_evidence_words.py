"""What evidence proves and what it does not, in plain words: the same for the screen, for programs and on paper.

Source: docs/spec/evidence.md §4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from countermark_client._verdict_words import revoked_json, revoked_text, verdict_text
from countermark_client._words import moment
from countermark_protocol.evidence_checks import VerifiedEvidence
from countermark_protocol.evidence_entries import (
    DisclosureShown,
    EntryShown,
    PurgeShown,
    ReceiptShown,
    Signed,
    UndeliveredShown,
)
from countermark_protocol.receipts import ReceiptStage

#: Names of recipients or parts in one sentence.
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What to say of evidence.

    Attributes:
        proven: one sentence each.
        signatures: on each, who signed which entry, and the verdict: its class, and what became of the key.
        doubts: reasons why a signature or time is not to be relied on; whoever verifies must not report success then.
        not_proven: what nobody can prove by such a file, and what this one lacks.
    """

    proven: tuple[str, ...]
    signatures: tuple[str, ...]
    doubts: tuple[str, ...]
    not_proven: tuple[str, ...]


def tell(evidence: VerifiedEvidence) -> Told:
    """Put into words what a check of evidence found."""
    signed = (
        *evidence.message.signatures,
        *(e.signed for e in evidence.entries),
        *(d.signed for d in evidence.disclosures),
    )
    doubts = list(dict.fromkeys(_doubt(one) for one in signed if one.in_doubt))
    first = evidence.first_witnessed
    if first is not None and first.ahead:
        doubts.append(
            f"The log says that it logged the message on {moment(evidence.message.signed.time)}, and witnesses had "
            f"seen it there by {moment(first.existed_by * 1000)}: the log's clock was wrong."
        )
    doubts += _stamp_doubts(evidence)
    return Told(
        tuple(_proven(evidence, signed)),
        tuple(_signature(one) for one in signed),
        tuple(doubts),
        tuple(_not_proven(evidence)),
    )


def named(names: list[str]) -> str:
    """Names in one sentence; of many, the first ones and how many more."""
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"


# --- proven --------------------------------------------------------------------------------------------


def _proven(evidence: VerifiedEvidence, signed: tuple[Signed, ...]) -> Iterator[str]:
    message, manifest = evidence.message, evidence.message.manifest
    yield (
        f"The message {message.payload.hex()} (type {manifest.type}, version {manifest.version}) was signed for "
        f"{manifest.sender} by {_key(message.signed)}."
    )
    if message.released is not None:
        yield f"A second person of {manifest.sender} released it, by {_key(message.released)}."
    if message.behalf is not None:
        yield f"It was sent on behalf of {message.behalf.author}, which signed too, by {_key(message.behalf)}."
    yield (
        f"It is entry {message.signed.index} of the log {evidence.log}, which logged it on "
        f"{moment(message.signed.time)}. The log signed a tree of {evidence.checkpoint.size} entries that holds it and "
        f"all that follows; the newest entry is of {moment(evidence.newest_time)}."
    )
    if evidence.earlier is not None:
        yield (
            f"The log had signed a tree of {evidence.earlier} entries with it before, and the newest continues that "
            "one unchanged."
        )
    count = manifest.recipient_count
    shown = named(sorted(row.endpoint for row in message.rows))
    if message.all_shown:
        yield f"The sender addressed it to exactly {_number(count, 'recipient')}: {shown}."
    elif shown:
        yield f"The sender addressed it to {_number(count, 'recipient')}, among them {shown}."
    if message.rows:
        yield "For each of these it was sealed to a key that the directory then named for that recipient."
    boxes = [f"'{box}' of {who}" for who, box in message.boxes if who != manifest.sender]
    if boxes:
        yield f"The log put it into the box {named(boxes)}."
    for entry in evidence.entries:
        yield _became(entry)
    for disclosure in evidence.disclosures:
        yield from _disclosed(disclosure)
    yield (
        "Each of these keys counted for its endpoint when the entry was logged, by records that its administrator, "
        "authority and governors signed, back to the founding of the log, whose fingerprint is "
        f"{evidence.fingerprint}."
    )
    yield from _revocations(evidence, signed)
    first, witnessing = evidence.first_witnessed, evidence.witnessing
    if first is not None:
        yield (
            f"Witnessed by {len(first.witnesses)} of {first.named} by {moment(first.existed_by * 1000)}: "
            f"{named(list(first.witnesses))}, all apart from the log, cosigned a tree of {first.size} entries with "
            f"the message, which the newest continues unchanged; a quorum of {first.quorum} had seen it by then, "
            "whatever the log's own clock said."
        )
    yield from _stamped(evidence)
    if witnessing.existed_by is not None:
        yield (
            f"Witnesses apart from the log ({named(sorted(witnessing.times))}) cosigned its newest tree: a quorum of "
            f"{witnessing.quorum} had seen it by {moment(witnessing.existed_by * 1000)}."
        )


def _stamped(evidence: VerifiedEvidence) -> Iterator[str]:
    for stamp in evidence.stamps:
        if stamp.verified is not None and not stamp.early:
            yield (
                f"It existed at the latest by {moment(stamp.verified.latest)} according to "
                f"{stamp.verified.authority}, an authority of time stamps that is neither the log nor a witness and "
                f"whose certificate leads to the roots given: it stamped a tree of {stamp.size} entries with the "
                "message, which witnesses had cosigned and the newest continues unchanged."
            )


def _key(signed: Signed) -> str:
    return f"key {signed.key_id.hex()} (holder '{signed.holder}')"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _became(entry: EntryShown) -> str:
    at = f"entry {entry.signed.index}, {moment(entry.signed.time)}"
    if isinstance(entry, ReceiptShown):
        who = f"{entry.receipt.author} signed"
        by = f"({at}, by {_key(entry.signed)})"
        if entry.receipt.stage is ReceiptStage.DELIVERED:
            return f"{who} that it was delivered {by}; only then is what opens it given out."
        if entry.receipt.stage is ReceiptStage.ACCEPTED:
            return f"{who} that it took the message in, having opened exactly the committed content {by}."
        reason = f"reason '{entry.item.reason}'" if entry.item.reason is not None else "without a reason"
        return f"{who} that it rejected the message, {reason} {by}."
    if isinstance(entry, UndeliveredShown):
        return f"The broker signed that {entry.notice.recipient} had not collected it in time ({at})."
    assert isinstance(entry, PurgeShown)
    return f"{entry.purge.author} stated that its content was deleted, ground '{entry.purge.ground}' ({at})."


def _disclosed(disclosure: DisclosureShown) -> Iterator[str]:
    shown, act = disclosure.shown, disclosure.act
    yield (
        f"Of the {_number(shown.parts, 'part')} of its content {len(shown.opened)} are shown, exactly as the sender "
        f"committed to when it signed: {named(list(shown.opened))}."
    )
    if shown.closed:
        yield f"Kept closed, and seen by name: {named(list(shown.closed))}."
    yield (
        f"{act.author} stated in the log, before, that it shows them to {act.to} on the ground '{act.ground}' "
        f"(entry {disclosure.signed.index}, {moment(disclosure.signed.time)})."
    )


def _revocations(evidence: VerifiedEvidence, signed: tuple[Signed, ...]) -> Iterator[str]:
    keys = {one.key_id: one for one in signed}
    live = [one for one in keys.values() if one.revoked is None]
    if live:
        yield (
            f"Not revoked up to entry {evidence.checkpoint.size - 1}: "
            f"{named([f'{one.key_id.hex()[:16]} of {one.author}' for one in live])}."
        )
    for one in keys.values():
        if one.revoked is not None:
            yield f"Key {one.key_id.hex()[:16]} of {one.author} was revoked later: {revoked_text(one.revoked)}."


def _signature(signed: Signed) -> str:
    words = "; ".join(verdict_text(signed.verdict))
    return (
        f"Entry {signed.index}, {moment(signed.time)}, {signed.author} by key {signed.key_id.hex()[:16]} "
        f"(holder '{signed.holder}'): {words}."
    )


# --- in doubt, and not proven --------------------------------------------------------------------------


def _doubt(signed: Signed) -> str:
    at = signed.revoked.compromised_at if signed.revoked is not None else None
    if at is not None and at <= signed.time:
        return (
            f"Entry {signed.index} was logged on {moment(signed.time)}, not before {moment(at)}, from which on the key "
            f"of {signed.author} that signed it is declared compromised: somebody else may have signed it."
        )
    return (
        f"Entry {signed.index} was signed by a key of {signed.author} that was vouched for by keys since declared "
        "compromised from before that: it may never have been that endpoint's."
    )


def _stamp_doubts(evidence: VerifiedEvidence) -> Iterator[str]:
    logged = moment(evidence.message.signed.time)
    for stamp in evidence.stamps:
        if stamp.verified is None:
            continue
        at = moment(stamp.verified.latest)
        if stamp.early:
            yield (
                f"{stamp.verified.authority} stamped a tree with the message on {at}, and witnesses cosigned it only "
                f"by {moment(stamp.witnessed_by)}: one of their clocks was wrong, so this stamp counts for nothing."
            )
        elif stamp.ahead:
            yield (
                f"The log says that it logged the message on {logged}, and {stamp.verified.authority} stamped it by "
                f"{at}: the log's clock was wrong."
            )


def _stamps_lacking(evidence: VerifiedEvidence) -> Iterator[str]:
    """What stamps do not say, and why."""
    if not evidence.stamps:
        yield "By when an authority of time stamps had seen it: there is no time stamp (RFC 3161) in this file."
    elif not evidence.roots_given:
        says = [f"'{s.stated.authority}' on {moment(s.stated.time)}" for s in evidence.stamps]
        yield (
            f"That {_number(len(says), 'time stamp')} in this file, said to be by {named(says)}, are what they say: "
            "no roots of their authorities were given. Give those that you believe with --tsa-roots."
        )
    else:
        for stamp in evidence.stamps:
            if stamp.verified is None:
                yield f"That a time stamp of {moment(stamp.stated.time)} is what it says: {stamp.reason}."
        if any(stamp.verified is not None for stamp in evidence.stamps):
            yield (
                "That the certificates of authorities of time stamps were not revoked: nobody is asked, and they are "
                "judged as of the times that the stamps state."
            )


def _not_proven(evidence: VerifiedEvidence) -> Iterator[str]:
    if not evidence.compared:
        yield (
            f"That this is the log you mean: compare the fingerprint {evidence.fingerprint} over another channel, or "
            "give it with --fingerprint. Until then all of this holds only within the log that this file brings."
        )
    first, witnessing = evidence.first_witnessed, evidence.witnessing
    if witnessing.existed_by is None and first is not None:
        yield (
            f"That the log showed everybody the same history after its first {first.size} entries, and that later "
            "times are right: no quorum of witnesses cosigned the newest tree in this file."
        )
    elif witnessing.existed_by is None:
        why = (
            "the log names none"
            if not witnessing.named
            else f"{len(witnessing.times)} of the {witnessing.quorum} that are needed cosigned this tree"
        )
        yield (
            "That the log showed everybody the same history, and that its times are right: that needs witnesses, "
            f"and {why}."
        )
    yield from _stamps_lacking(evidence)
    yield "That a person, rather than a program of the endpoint, read the message or understood it."
    yield "Who held a key: the directory gives a pseudonym, and the endpoint's administrator knows the name."
    yield "That what the message states is true, or that nobody else was shown its content."
    if not evidence.disclosures:
        yield "What the message says: no part of its content is in this file."
    elif any(d.shown.closed for d in evidence.disclosures):
        yield "What the parts that are kept closed say."
    if evidence.message.manifest.attachments:
        yield "That every recipient got the files described: each compared what it opened, if it did, by itself."
    yield (
        f"Anything after entry {evidence.checkpoint.size - 1}: a key may be revoked later, and declared compromised "
        "from an earlier date."
    )
    yield "That what is not in this file did not happen: it shows the entries that its maker put in."


# --- for programs --------------------------------------------------------------------------------------


def _signed_json(signed: Signed) -> dict[str, Any]:
    return {
        "author": signed.author,
        "key": signed.key_id.hex(),
        "holder": signed.holder,
        "index": signed.index,
        "time": signed.time,
        "in_doubt": signed.in_doubt,
        "verdict": signed.verdict.kind.value,
        "fallen": signed.verdict.fallen,
        "revoked": revoked_json(signed.revoked),
    }


def _entry_json(entry: EntryShown) -> dict[str, Any]:
    out = _signed_json(entry.signed)
    if isinstance(entry, ReceiptShown):
        reason = entry.item.reason.value if entry.item.reason is not None else None
        return {"kind": "receipt", "stage": entry.receipt.stage.value, "reason": reason, **out}
    if isinstance(entry, UndeliveredShown):
        return {"kind": "undelivered", "recipient": entry.notice.recipient, **out}
    return {"kind": "purge", "ground": entry.purge.ground.value, **out}


def evidence_json(evidence: VerifiedEvidence, told: Told) -> dict[str, Any]:
    """What a check of evidence found, for programs."""
    message, witnessing, first = evidence.message, evidence.witnessing, evidence.first_witnessed
    return {
        "log": evidence.log,
        "fingerprint": evidence.fingerprint,
        "fingerprint_compared": evidence.compared,
        "size": evidence.checkpoint.size,
        "newest_time": evidence.newest_time,
        "earlier_size": evidence.earlier,
        "message": message.payload.hex(),
        "manifest": message.manifest.to_json(),
        "signed": _signed_json(message.signed),
        "released": _signed_json(message.released) if message.released is not None else None,
        "on_behalf_of": _signed_json(message.behalf) if message.behalf is not None else None,
        "recipients": sorted(row.endpoint for row in message.rows),
        "all_recipients_shown": message.all_shown,
        "entries": [_entry_json(entry) for entry in evidence.entries],
        "disclosures": [
            {
                **_signed_json(d.signed),
                "to": d.act.to,
                "ground": d.act.ground,
                "opened": dict(d.shown.opened),
                "closed": list(d.shown.closed),
            }
            for d in evidence.disclosures
        ],
        "witnesses": {
            "named": witnessing.named,
            "quorum": witnessing.quorum,
            "cosigned": dict(witnessing.times),
            "existed_by": witnessing.existed_by,
        },
        "first_witnessed": None
        if first is None
        else {
            "size": first.size,
            "named": first.named,
            "quorum": first.quorum,
            "cosigned": list(first.witnesses),
            "existed_by": first.existed_by,
            "in_doubt": first.ahead,
        },
        "stamps": [
            {
                "size": stamp.size,
                "authority": stamp.stated.authority,
                "time": stamp.stated.time,
                "existed_by": stamp.verified.latest if stamp.verified is not None else None,
                "verified": stamp.verified is not None,
                "certificate": stamp.verified.certificate.hex() if stamp.verified is not None else None,
                "reason": stamp.reason or None,
                "in_doubt": stamp.early or stamp.ahead,
            }
            for stamp in evidence.stamps
        ],
        "stamp_roots_given": evidence.roots_given,
        "proven": list(told.proven),
        "signatures": list(told.signatures),
        "doubts": list(told.doubts),
        "not_proven": list(told.not_proven),
    }
