"""Pages of boxes: each position is what the box holds there, an end is the end, and recipients' rows are their own."""

from __future__ import annotations

from countermark_protocol.accounts import Verdict, state_of
from countermark_protocol.answers import BoxEntry, parse_box_page
from countermark_protocol.boxes import Box, verify_row
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.proof import verify_leaf
from countermark_protocol.recipients import verify_recipient
from fault.accounts import check_account
from fault.finallog import Log, kind_of
from fault.findings import Findings, Wrong
from fault.history import Call
from fault.submitted import Handed


def check_page(log: Log, handed: Handed, call: Call, found: Findings) -> None:
    """Check a page that was served."""
    page = parse_box_page(call.answer)
    checkpoint = log.checkpoint(page.checkpoint, found)
    address, box, first = call.box
    if call.by != address:
        found.add(Wrong.WRONGLY_ACCEPTED, f"{call.name}: box '{box}' of {address} was served to {call.by}")
    if page.account is not None:
        _check_end(log, handed, call, page.account, found)
        return
    rows = log.boxes.get((address, box), [])
    for position, entry in enumerate(page.entries, start=first):
        index, statement = entry.inclusion.index, statement_hash(entry.document)
        if position >= len(rows):
            found.add(Wrong.LOST, f"{call.name}: position {position} was served, the box ends at {len(rows)}")
            return
        if rows[position] != (index, statement):
            found.add(
                Wrong.ORDER,
                f"{call.name}: position {position} was entry {index}, it is {rows[position][0]}",
            )
        if checkpoint is not None:
            kind = kind_of(parse_document(entry.document))
            leaf = verify_leaf(entry.inclusion, checkpoint, kind, statement)
            verify_row(entry.delivery.row, entry.delivery.at, leaf.delivery)
        check_recipient_of(handed, entry, address, box, call.name, found)


def _check_end(log: Log, handed: Handed, call: Call, data: bytes, found: Findings) -> None:
    """Nothing was served: then nothing was there, and nothing that was known to be there."""
    account = check_account(log, call, data, call.digest, found)
    if account is None:
        return
    address, box, first = call.box
    stated = state_of(account, address, box)
    if account.verdict is not Verdict.END_OF_BOX:
        found.add(Wrong.ACCOUNT, f"{call.name}: an empty page bears the verdict '{account.verdict}'")
    if stated is not None and stated.count > first:
        found.add(
            Wrong.ACCOUNT, f"{call.name}: nothing was served from {first} on, {stated.count} are stated"
        )
    for index, _ in log.boxes.get((address, box), [])[first:]:
        document = log.documents.get(index)
        one = handed.by_payload.get(document.payload_hash) if document is not None else None
        if one is not None and one.acknowledged is not None and one.acknowledged < call.began:
            found.add(
                Wrong.ACCOUNT,
                f"{call.name}: nothing was served from {first} on, but {one.name} was acknowledged before",
            )
            return


def check_recipient_of(
    handed: Handed, entry: BoxEntry, address: Address, box: Box, where: str, found: Findings
) -> None:
    """A message's receiver gets its own row, as it was handed in; others' rows only where they are to be seen."""
    one = handed.by_payload.get(parse_document(entry.document).payload_hash)
    submission = one.submission if one is not None else None
    what = f"{where}: entry {entry.inclusion.index}"
    if submission is None or box not in {Box.URGENT, Box.ROUTINE}:
        if entry.recipient is not None or entry.recipients is not None:
            found.add(Wrong.PROOF, f"{what} bears recipients, which it has not for {address}")
        return
    manifest = submission.manifest
    own = next((row for row in submission.rows if row.endpoint == address), None)
    if entry.recipient is None or own is None or entry.recipient.row != own:
        found.add(Wrong.PROOF, f"{what} does not bear the row that was handed in for {address}")
    else:
        try:
            verify_recipient(
                entry.recipient.row, entry.recipient.at, manifest.recipient_count, manifest.recipient_root
            )
        except CountermarkError as error:
            found.add(Wrong.PROOF, f"{what}: {error}")
    if entry.recipients != (submission.rows if manifest.recipients_visible else None):
        found.add(Wrong.PROOF, f"{what} shows other recipients than its sender lets be seen")
