"""What auditors are shown: under a look-up that is logged, as far as it and their mandate reach, and while both last.

Nothing here decides what a mandate is: the look-up was judged when it was logged, and the same function judges the
mandate again, as of the newest published tree, each time something is shown.

Source: docs/spec/audit.md §2.3, §5.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.services.accounts import refused_request, sign_account
from countermark_broker.services.deliver import entries_of_box
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.reading import RECORD_DAMAGED, EntryRecord, read_entry, read_records
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import LookUp, Scope, parse_look_up
from countermark_protocol.answers import BoxPage
from countermark_protocol.audit_answers import AuditedEntries, AuditedEntry
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.deciding_acts import mandate_of
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, NotFoundError, PolicyError
from countermark_protocol.identifiers import Address, authority_of

#: Boxes in one account (docs/spec/log.md 7.1), by endpoints.
_MOST_ENDPOINTS: Final = 10_000 // len(Box)


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
    if address not in _covered(await node.newest_directory(), caller.address, checkpoint):
        raise await refused_request(
            node,
            checkpoint,
            caller,
            PolicyError(
                "outside_mandate",
                f"the directory names no endpoint {address} of authority '{authority_of(caller.address)}'",
            ),
        )
    page, ahead = await entries_of_box(node, checkpoint, address, box, first, limit)
    if not page and ahead > checkpoint.size:
        with suppress(UnavailableError):
            checkpoint = await node.publisher.at_least(ahead)
            page, _ = await entries_of_box(node, checkpoint, address, box, first, limit)
    if page:
        node.metrics.audited.labels(Scope.NATIONAL.value).inc(len(page))
        return BoxPage(checkpoint.raw, page)
    owners = _covered(await node.newest_directory(), caller.address, checkpoint)
    if len(owners) > _MOST_ENDPOINTS:
        raise await refused_request(
            node,
            checkpoint,
            caller,
            PolicyError(
                "mandate_too_large",
                f"the authority has {len(owners)} endpoints, and one account states the boxes of at most "
                f"{_MOST_ENDPOINTS}: read them at the last position that is there",
            ),
        )
    account = await sign_account(
        node, checkpoint, caller.address, caller.request, Verdict.END_OF_BOX, owners=owners
    )
    return BoxPage(checkpoint.raw, (), account)


def _covered(directory: Directory, auditor: Address, checkpoint: Checkpoint) -> list[Address]:
    """Every endpoint of an auditor's authority that the directory below a size has ever named, in order.

    Its own is among them. Those that are suspended are too: what was delivered to them was.
    """
    prefix, at = f"endpoint/{authority_of(auditor)}.", checkpoint.size - 1
    named = (s for s in directory.subjects(prefix) if directory.held(s, at) is not None)
    return sorted(Address(subject.removeprefix("endpoint/")) for subject in named)


async def _admit(node: Node, caller: Caller, look_up: bytes, scope: Scope) -> Checkpoint:
    """Demand that the caller looks under a logged look-up, of this scope, that is not over; a published checkpoint.

    Raises:
        NegativeAnswer: ``no_such_look_up``, ``look_up_over`` or ``other_scope``.
        UnavailableError: the look-up cannot be published now.
    """
    # Before the database is read: an account must not deny what its own tree holds.
    checkpoint = node.publisher.published
    record = await node.database.read(read_entry, look_up)
    stated = _stated_by(record, caller.address)
    if record is None or stated is None:
        error: CountermarkError = NotFoundError(
            "no_such_look_up",
            f"{caller.address} has logged no look-up {look_up.hex()}: state it first",
            payload_hash=look_up.hex(),
        )
        raise await refused_request(node, checkpoint, caller, error)
    if record.index >= checkpoint.size:
        # Nothing is shown under a look-up that is not published.
        checkpoint = await node.publisher.at_least(record.index + 1)

    def look(connection: Connection) -> tuple[int, Directory]:
        return database_now(connection), node.directory_in(connection)

    # After the checkpoint: so this directory holds whatever the checkpoint's tree does.
    now, directory = await node.database.read(look)
    try:
        _check_lasting(directory, stated, now, checkpoint.size - 1)
        _check_scope(stated, scope)
    except PolicyError as refusal:
        raise await refused_request(node, checkpoint, caller, refusal) from None
    return checkpoint


def _stated_by(record: EntryRecord | None, auditor: Address) -> LookUp | None:
    if record is None or record.kind != Kind.LOOKUP:
        return None
    look_up = parse_look_up(parse_document(record.document).claims)
    return look_up if look_up.author == auditor else None


def _check_lasting(directory: Directory, look_up: LookUp, now: int, at: int) -> None:
    if now >= look_up.until:
        raise PolicyError(
            "look_up_over", f"the look-up ended {now - look_up.until} ms ago: state another one"
        )
    try:
        mandate_of(directory, look_up.author, look_up.scope, now, at)
    except PolicyError as error:
        raise PolicyError("look_up_over", f"the mandate counts no more: {error.message}") from None


def _check_scope(look_up: LookUp, scope: Scope) -> None:
    if look_up.scope is not scope:
        raise PolicyError(
            "other_scope", f"this call needs a look-up of scope '{scope}', got '{look_up.scope}'"
        )
