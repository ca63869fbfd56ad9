"""The checker: (history, final log) → violations. A pure function; it asks nobody and reads no clock.

It shares no code with the broker. What it takes from the protocol package are hashes, signatures, parsers and
proofs; what a broker may do (order, boxes, receipts, notices, refusals) it works out anew from the history.
"""

from __future__ import annotations

from collections import defaultdict

from countermark_protocol.boxes import Box
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.documents import Purpose, verify_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.receipts import ReceiptStage, Undelivered, parse_undelivered
from fault.answers import check_answers
from fault.final import Final
from fault.finallog import Log, kind_of, read_log
from fault.findings import Findings, Violation, Wrong
from fault.history import History
from fault.moments import check_validity
from fault.pages import check_recipient_of
from fault.published import check_published
from fault.submitted import Handed, Submitted, deliveries_of, gather


def check(history: History, final: Final) -> list[Violation]:
    """Everything that the history and the final log contradict each other in, or that no log may hold."""
    found = Findings()
    log, handed = read_log(history, final, found), gather(history.calls)
    _check_entries(history, log, handed, found)
    _check_boxes(log, handed, found)
    for (address, box), shown in final.boxes.items():
        for one in shown:
            check_recipient_of(handed, one.entry, address, box, f"box '{box}' of {address}", found)
    _check_order(log, handed, found)
    _check_receipts_and_notices(history, final, log, handed, found)
    _check_contents(final, handed, found)
    check_answers(history, log, handed, found)
    check_published(history.calls, found)
    return found.found


# --- entries -----------------------------------------------------------------------------------------


def _check_entries(history: History, log: Log, handed: Handed, found: Findings) -> None:
    by_id: dict[tuple[Address, str], int] = {}
    revoked: set[bytes] = set()
    by_payload: dict[bytes, int] = {}
    for index in range(len(history.before), log.size):
        document = log.documents.get(index)
        if document is None:
            found.add(Wrong.PHANTOM, f"leaf {index} is of a statement that stands in nobody's boxes")
            continue
        kind = kind_of(document)
        if by_payload.setdefault(document.payload_hash, index) != index:
            found.add(
                Wrong.DOUBLED, f"one payload is entries {by_payload[document.payload_hash]} and {index}"
            )
        if kind is Kind.UNDELIVERED:
            _check_signer(history, log, index, log.directory.log().broker, revoked, found)
            continue
        one = handed.by_payload.get(document.payload_hash)
        if one is None or document.data not in one.documents:
            found.add(Wrong.PHANTOM, f"entry {index}, a {kind.name.lower()}, was handed in by nobody")
            continue
        if kind is Kind.REVOCATION:
            revoked.add(bytes.fromhex(str(document.claims["subject"]).removeprefix("revoked/")))
        if kind in DIRECTORY_KINDS:
            # Who must sign them is judged where the directory is folded.
            continue
        if not one.intent.by_time:
            found.add(Wrong.REFUSAL_STORED, f"entry {index} is {one.name}, which is {one.intent}")
        _check_signer(history, log, index, one.author, revoked, found)
        if one.submission is not None:
            check_validity(
                one.submission.manifest, log.leaves[index].time, f"entry {index}, {one.name},", found
            )
            key = one.author, one.submission.manifest.id
            if by_id.setdefault(key, index) != index:
                found.add(Wrong.DOUBLED, f"entries {by_id[key]} and {index} have the same sender and id")


def _check_signer(
    history: History, log: Log, index: int, author: Address, revoked: set[bytes], found: Findings
) -> None:
    """One signature, that verifies, by a key known to be the author's and not revoked before."""
    try:
        document = verify_document(log.documents[index], log.directory.public_key)
    except CountermarkError as error:
        found.add(Wrong.PHANTOM, f"entry {index} is not signed by {author}: {error}")
        return
    keys = history.signers.get(author, frozenset())
    if len(document.signers) != 1 or document.signers[0][0] is not Purpose.SIGN:
        found.add(Wrong.PHANTOM, f"entry {index} bears other signatures than one by {author}")
    elif document.signers[0][1] not in keys:
        found.add(Wrong.PHANTOM, f"entry {index} is signed by a key that is not one of {author}")
    elif document.signers[0][1] in revoked:
        found.add(Wrong.WRONGLY_ACCEPTED, f"entry {index} is signed by a key that was revoked before")


def _check_boxes(log: Log, handed: Handed, found: Findings) -> None:
    """Every entry stands in exactly the boxes that it belongs into."""
    shown: dict[int, set[tuple[Address, Box]]] = defaultdict(set)
    for place, rows in log.boxes.items():
        for index, _ in rows:
            shown[index].add(place)
    for index, document in log.documents.items():
        one = handed.by_payload.get(document.payload_hash)
        if one is not None:
            expected = deliveries_of(one)
        elif kind_of(document) is Kind.UNDELIVERED:
            notice = parse_undelivered(document.claims)
            expected = {(notice.sender, Box.NOTICES), (notice.author, Box.SENT)}
        else:
            expected = set()
        for address, box in expected - shown[index]:
            found.add(Wrong.LOST, f"entry {index} is missing in box '{box}' of {address}")
        for address, box in shown[index] - expected:
            found.add(
                Wrong.PHANTOM, f"entry {index} stands in box '{box}' of {address}, where it does not belong"
            )


def _check_order(log: Log, handed: Handed, found: Findings) -> None:
    """What was acknowledged before another thing was first handed in stands before it in the log."""
    logged = [(one, log.index_of[h]) for h, one in handed.by_payload.items() if h in log.index_of]
    events: list[tuple[int, int, Submitted, int]] = []
    for one, index in logged:
        events.append((one.first, 1, one, index))
        if one.acknowledged is not None:
            events.append((one.acknowledged, 0, one, index))
    newest, holder = -1, None
    for _, begins, one, index in sorted(events, key=lambda e: (e[0], e[1])):
        if begins and index < newest:
            assert holder is not None
            found.add(
                Wrong.ORDER,
                f"{one.name} (entry {index}) stands before {holder.name} (entry {newest}), which was "
                "acknowledged before the other was first sent",
            )
        if not begins and index > newest:
            newest, holder = index, one


# --- receipts, notices, contents ---------------------------------------------------------------------


def _check_receipts_and_notices(
    history: History, final: Final, log: Log, handed: Handed, found: Findings
) -> None:
    stages: dict[tuple[bytes, Address], ReceiptStage] = {}
    noticed: dict[tuple[bytes, Address], int] = {}
    grace = log.directory.log().undelivered_grace
    for index, document in sorted(log.documents.items()):
        one = handed.by_payload.get(document.payload_hash)
        if one is not None and one.receipt is not None:
            _check_receipt(log, handed, one, index, stages, found)
        elif kind_of(document) is Kind.UNDELIVERED:
            notice = parse_undelivered(document.claims)
            _check_notice(history, log, handed, notice, index, grace, stages, found)
            key = notice.message, notice.recipient
            if noticed.setdefault(key, index) != index:
                found.add(
                    Wrong.DOUBLED,
                    f"entries {noticed[key]} and {index} both say that {notice.recipient} did not collect "
                    f"{notice.message.hex()[:16]}",
                )
    _check_due(final, log, handed, grace, stages, noticed, found)


def _check_receipt(
    log: Log,
    handed: Handed,
    one: Submitted,
    index: int,
    stages: dict[tuple[bytes, Address], ReceiptStage],
    found: Findings,
) -> None:
    receipt = one.receipt
    assert receipt is not None
    for item in receipt.items:
        message = handed.by_payload.get(item.message)
        at = log.index_of.get(item.message)
        what = f"entry {index}, '{receipt.stage}' by {receipt.author}, about {item.message.hex()[:16]}"
        if message is None or message.submission is None or at is None or at >= index:
            found.add(Wrong.RECEIPT, f"{what}: no such message is logged before it")
            continue
        if message.author != receipt.sender:
            found.add(Wrong.RECEIPT, f"{what}: the message is from {message.author}, not {receipt.sender}")
        if receipt.author not in {row.endpoint for row in message.submission.rows}:
            found.add(Wrong.RECEIPT, f"{what}: its author is no recipient of the message")
        key = item.message, receipt.author
        demanded = None if receipt.stage is ReceiptStage.DELIVERED else ReceiptStage.DELIVERED
        if stages.get(key) is not demanded:
            found.add(Wrong.RECEIPT, f"{what}: it stands at '{stages.get(key, 'open')}' already or still")
        stages[key] = receipt.stage


def _check_notice(
    history: History,
    log: Log,
    handed: Handed,
    notice: Undelivered,
    index: int,
    grace: int,
    stages: dict[tuple[bytes, Address], ReceiptStage],
    found: Findings,
) -> None:
    message = handed.by_payload.get(notice.message)
    at = log.index_of.get(notice.message)
    what = f"entry {index} says that {notice.recipient} did not collect {notice.message.hex()[:16]}"
    if message is None or message.submission is None or at is None or at >= index:
        found.add(Wrong.PHANTOM, f"{what}, which is not logged before it")
        return
    if notice.sender != message.author or notice.recipient not in {
        row.endpoint for row in message.submission.rows
    }:
        found.add(Wrong.PHANTOM, f"{what}, which is not of that sender and recipient")
    time = log.leaves[index].time
    due = message.submission.manifest.expires_at + grace
    if time < due:
        found.add(Wrong.PREMATURE_NOTICE, f"{what}, {due - time} ms before expiry and grace had passed")
    if (notice.message, notice.recipient) in stages:
        found.add(Wrong.PREMATURE_NOTICE, f"{what}, which had signed for it before")
    for absence in history.absences:
        if (
            absence.end - absence.begin > history.heartbeat_gap_ms
            and absence.begin <= time < absence.end + grace
        ):
            found.add(
                Wrong.PREMATURE_NOTICE,
                f"{what}, {time - absence.end} ms after the broker itself came back: its grace is {grace} ms",
            )


def _check_due(
    final: Final,
    log: Log,
    handed: Handed,
    grace: int,
    stages: dict[tuple[bytes, Address], ReceiptStage],
    noticed: dict[tuple[bytes, Address], int],
    found: Findings,
) -> None:
    """At `final.now` every notice that was due has been logged."""
    for key, one in open_notices(handed, log, grace, final.now).items():
        if key not in stages and key not in noticed:
            found.add(
                Wrong.MISSING_NOTICE,
                f"{one.name} was not collected by {key[1]}, and its sender was never told",
            )


def open_notices(handed: Handed, log: Log, grace: int, now: int) -> dict[tuple[bytes, Address], Submitted]:
    """(message, recipient) whose expiry and grace had passed at a time, collected or not."""
    return {
        (name, row.endpoint): one
        for name, one in handed.by_payload.items()
        if one.submission is not None and name in log.index_of
        if one.submission.manifest.expires_at + grace <= now
        for row in one.submission.rows
    }


def _check_contents(final: Final, handed: Handed, found: Findings) -> None:
    """What was acknowledged can be fetched, byte for byte, by who asked to have it fetched."""
    for name, one in handed.by_payload.items():
        if one.submission is None or one.acknowledged is None or not final.contents:
            continue
        if final.contents.get(name) != one.submission.content:
            found.add(Wrong.LOST, f"the content of {one.name} is not to be had any more, or is another")
