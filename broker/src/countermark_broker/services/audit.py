"""What auditors are shown: under a look-up that is logged, as far as it and their mandate reach, and while both last.

Nothing here decides what a mandate is: the look-up was judged when it was logged, and the same function judges the
mandate again, as of the newest published tree, each time something is shown.

Source: docs/spec/audit.md §2.3, §5.
"""

from __future__ import annotations

from contextlib import suppress

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.services.accounts import refused_request, sign_account
from countermark_broker.services.deliver import entries_of_box
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.reading import RECORD_DAMAGED, EntryRecord, read_entry, read_records
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import Scope
from countermark_protocol.answers import BoxPage
from countermark_protocol.audit_access import (
    check_covered,
    check_showing,
    check_stateable,
    covered_endpoints,
    logged_look_up,
)
from countermark_protocol.audit_answers import AuditedEntries, AuditedEntry
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.identifiers import Address


async def read_audited_entries(
    node: Node, caller: Caller, look_up: bytes, first: int, limit: int
) -> AuditedEntries:
    """A page of the log, to an oversight auditor.

    Args:
        node: this node.
        caller: who asks.
        look_up: payload hash of its look-up.
        first: index to begin at.
        limit: most entries.

    Raises:
        NegativeAnswer: see `_admit`.
        FatalError: an entry is missing or cannot be read.
    """
    checkpoint = await _admit(node, caller, look_up, Scope.OVERSIGHT)
    if first > checkpoint.size:
        # Another node may have published it a moment ago, and told the caller.
        checkpoint = await node.publisher.advance()
    records = await node.database.read(read_records, first, checkpoint.size, limit)
    for index, record in enumerate(records, first):
        if record.index != index:
            raise FatalError("entry_missing", f"entry {index} is missing", RECORD_DAMAGED)
    node.metrics.audited.labels(Scope.OVERSIGHT.value).inc(len(records))
    return AuditedEntries(checkpoint.raw, tuple(map(_audited, records)))


def _audited(record: EntryRecord) -> AuditedEntry:
    rows = record.rows if record.kind == Kind.MESSAGE else None
    return AuditedEntry(record.index, record.leaf, record.document, record.secret, rows)


async def read_audited_box(
    node: Node, caller: Caller, look_up: bytes, address: Address, box: Box, first: int, limit: int
) -> BoxPage:
    """A page of a box of an endpoint, to the national auditor of its authority, as its owner is shown it.

    Args:
        node: this node.
        caller: who asks.
        look_up: payload hash of its look-up.
        address: whose box.
        box: which.
        first: position to begin at.
        limit: most entries.

    Raises:
        NegativeAnswer: see `_admit`; or the endpoint is none of the auditor's authority, or these are too many.
    """
    checkpoint = await _admit(node, caller, look_up, Scope.NATIONAL)
    owners = covered_endpoints(await node.newest_directory(), caller.address, checkpoint.size - 1)
    try:
        check_covered(address, owners, caller.address)
    except PolicyError as refusal:
        raise await refused_request(node, checkpoint, caller, refusal) from None
    page, ahead = await entries_of_box(node, checkpoint, address, box, first, limit)
    if not page and ahead > checkpoint.size:
        with suppress(UnavailableError):
            checkpoint = await node.publisher.at_least(ahead)
            page, _ = await entries_of_box(node, checkpoint, address, box, first, limit)
    if page:
        node.metrics.audited.labels(Scope.NATIONAL.value).inc(len(page))
        return BoxPage(checkpoint.raw, page)
    owners = covered_endpoints(await node.newest_directory(), caller.address, checkpoint.size - 1)
    try:
        check_stateable(owners)
    except PolicyError as refusal:
        raise await refused_request(node, checkpoint, caller, refusal) from None
    account = await sign_account(
        node, checkpoint, caller.address, caller.request, Verdict.END_OF_BOX, owners=owners
    )
    return BoxPage(checkpoint.raw, (), account)


async def _admit(node: Node, caller: Caller, look_up: bytes, scope: Scope) -> Checkpoint:
    """Demand that the caller looks under a logged look-up, of this scope, that is not over; a published checkpoint.

    Raises:
        NegativeAnswer: ``no_such_look_up``, ``look_up_over`` or ``other_scope``.
        UnavailableError: the look-up cannot be published now.
    """
    # Before the database is read: an account must not deny what its own tree holds.
    checkpoint = node.publisher.published
    record = await node.database.read(read_entry, look_up)
    kind, document = (record.kind, record.document) if record is not None else (None, b"")
    try:
        stated = logged_look_up(look_up, kind, document, caller.address)
    except NotFoundError as refusal:
        raise await refused_request(node, checkpoint, caller, refusal) from None
    assert record is not None
    if record.index >= checkpoint.size:
        # Nothing is shown under a look-up that is not published.
        checkpoint = await node.publisher.at_least(record.index + 1)

    def look(connection: Connection) -> tuple[int, Directory]:
        return database_now(connection), node.directory_in(connection)

    # After the checkpoint: so this directory holds whatever the checkpoint's tree does.
    now, directory = await node.database.read(look)
    try:
        check_showing(directory, stated, scope, now, checkpoint.size - 1)
    except PolicyError as refusal:
        raise await refused_request(node, checkpoint, caller, refusal) from None
    return checkpoint
