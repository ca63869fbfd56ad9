"""Pieces of attachments: taken before the message that claims them, given to whom the message is released to.

What is uploaded is stored first, under a name of its own, and named by a row afterwards: a crash in between leaves
something that no row names (fsck), never a row without its piece.

Source: docs/spec/api.md §3.14; docs/adr/0031-content-store.md.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from countermark_broker.errors import QuotaExceededError, UnavailableError
from countermark_broker.log.appender import Submitted
from countermark_broker.log.faults import FaultPoints
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.quotas import make_cost
from countermark_broker.store.blobs import NAMED_WITHIN_S
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection, Database, database_now
from countermark_broker.store.loading import load_indexes
from countermark_broker.store.pieces import (
    Blob,
    add_blob,
    doom,
    lock_blob,
    note_upload,
    read_blob,
    read_held,
    read_uploaded,
)
from countermark_protocol.attachments import check_piece
from countermark_protocol.identifiers import Address
from countermark_protocol.statements import MessageStatement

_MIB: Final = 1024 * 1024
#: A piece may be dropped while it is being uploaded again; twice in a row is no accident.
_TRIES: Final = 3


async def put_piece(node: Node, caller: Caller, digest: bytes, data: bytes) -> bool:
    """Keep a piece for an endpoint until a message of its claims it.

    Args:
        node: this node.
        caller: who uploads.
        digest: by which it is named.
        data: the piece.

    Returns:
        Whether it was not held for this endpoint.

    Raises:
        MalformedError: ``piece_mismatch``, ``piece_size``.
        QuotaExceededError: it uploads too much, or has too much that no message claims.
        UnavailableError: the store or the database does not answer.
    """
    node.health.check_appends()
    cost = make_cost(uploads=len(data))
    node.quotas.charge(caller.address, cost)
    most = node.settings.content_unclaimed_mib * _MIB
    try:
        fresh = await node.content.run(_put, node.database, node.faults, caller.address, digest, data, most)
    except Exception:
        node.quotas.refund(caller.address, cost)
        raise
    what = "uploaded" if fresh else "repeated"
    node.metrics.pieces.labels(what).inc()
    node.metrics.piece_bytes.labels("uploaded").inc(len(data))
    return fresh


async def missing_pieces(node: Node, caller: Caller, digests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of some pieces that are not held for an endpoint, in their order, each once."""
    held = await node.database.read(read_held, caller.address, digests)
    return tuple(digest for digest in dict.fromkeys(digests) if digest not in held)


async def keep_content(node: Node, item: Submitted) -> Submitted:
    """Put the content of a message into the content store, if it is one for it; the item with its claim instead.

    It is kept like an upload of its sender: what is refused afterwards goes as an upload that nothing claims.

    Raises:
        UnavailableError: the store or the database does not answer.
    """
    statement, content = item.statement, item.enclosed.content
    if content is None or not isinstance(statement, MessageStatement):
        return item
    if not node.content.keeps_outside(len(content)):
        return item
    node.health.check_appends()
    payload_hash = statement.document.payload_hash
    if (await node.database.read(load_indexes, [payload_hash]))[payload_hash] is not None:
        # The same bytes again: answered with their proof, and nothing is left of them as an upload.
        return item
    sender, digest = statement.manifest.sender, statement.manifest.content.digest
    await node.content.run(_put, node.database, node.faults, sender, digest, content, None)
    return Submitted(statement, replace(item.enclosed, content=None, outside=digest))


def _put(
    content: ContentStore,
    database: Database,
    faults: FaultPoints,
    endpoint: Address,
    digest: bytes,
    data: bytes,
    most: int | None,
) -> bool:
    check_piece(data, digest)
    for _ in range(_TRIES):
        with database.reading() as connection:
            known = read_blob(connection, digest)
            if most is not None:
                _check_unclaimed(connection, endpoint, digest, len(data), most)
        if known is None:
            began = time.monotonic()
            new = content.put(digest, data)
            faults.reach("after_blob_before_commit")
            fresh = _name_it(database, endpoint, new, began)
        else:
            with database.writing() as connection:
                blob = lock_blob(connection, digest)
                # None: it was dropped since it was looked at.
                fresh = note_upload(connection, endpoint, blob, database_now(connection)) if blob else None
        if fresh is not None:
            return fresh
    raise UnavailableError("piece_moving", "the piece is being deleted at this moment: send it again")


def _name_it(database: Database, endpoint: Address, new: Blob, began: float) -> bool | None:
    """Let a row name what was stored; None if another piece of the digest was there and is gone again."""
    with database.writing() as connection:
        if time.monotonic() - began > NAMED_WITHIN_S:
            # Whoever looks for what was left behind may be deleting it.
            raise UnavailableError("piece_moving", "storing the piece took too long: send it again")
        # What is stored and not named is found and deleted by `content mend`; so is what loses here.
        blob = new if add_blob(connection, new) else lock_blob(connection, new.digest)
        fresh = note_upload(connection, endpoint, blob, database_now(connection)) if blob else None
        if blob is not new:
            doom(connection, [new])
    return fresh


def _check_unclaimed(connection: Connection, endpoint: Address, digest: bytes, size: int, most: int) -> None:
    held = read_uploaded(connection, endpoint)
    if held + size > most and digest not in read_held(connection, endpoint, [digest]):
        raise QuotaExceededError(
            "too_much_unclaimed",
            f"{endpoint} has uploaded {held // _MIB} MiB that no message claims, expected at most {most // _MIB} MiB: "
            "send the message that they belong to, or wait until they are deleted",
            most_mib=most // _MIB,
            retry_after=60,
        )
