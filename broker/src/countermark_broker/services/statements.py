"""Reading what is open to many: directory pages, one's own statements, leaves and proofs.

Source: docs/spec/api.md §3, §4.3.
"""

from __future__ import annotations

from countermark_broker.services.accounts import not_held
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.proofs import prove_record, release_stanzas
from countermark_broker.store.engine import Connection
from countermark_broker.store.reading import (
    read_directory,
    read_entry,
    read_leaves,
)
from countermark_protocol.answers import Accepted, DirectoryPage, LoggedStatement
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import malformed
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.proof import Inclusion
from countermark_protocol.receipts import parse_receipt


async def read_statement_of(node: Node, caller: Caller, payload_hash: bytes) -> Accepted:
    """The proof of a statement that the caller made.

    Raises:
        NegativeAnswer: there is none, or it is another's.
    """
    # Before the database is read: an account must not deny what its own tree holds.
    checkpoint = node.publisher.published
    record = await node.database.read(read_entry, payload_hash)
    claims = parse_document(record.document).claims if record is not None else {}
    if record is None or claims.get("from") != caller.address:
        raise await not_held(node, checkpoint, caller)
    # Another node may have published it a moment ago; nothing is released before it is published.
    await node.publisher.at_least(record.index + 1)
    receipt = parse_receipt(claims) if parse_leaf(record.leaf).kind == Kind.RECEIPT else None
    releases = await release_stanzas(node, receipt) if receipt is not None else ()
    return await prove_record(node, record, caller.address, None, releases)


async def read_directory_page(node: Node, first: int, limit: int) -> DirectoryPage:
    """Directory statements from a number on, with the leaf that commits to the fold of all."""
    checkpoint = node.publisher.published
    index = checkpoint.size - 1

    def look(connection: Connection) -> DirectoryPage:
        rows = read_directory(connection, first, limit, checkpoint.size)
        last = read_leaves(connection, index, 1, checkpoint.size)[0]
        path = node.tree.inclusion(connection, [index], checkpoint.size)[index]
        return DirectoryPage(
            checkpoint=checkpoint.raw,
            statements=tuple(LoggedStatement(*row) for row in rows),
            # The leaf counts the directory statements up to and including itself.
            complete=first + len(rows) >= parse_leaf(last).dir_count,
            last=Inclusion(index, last, path),
        )

    return await node.database.read(look)


async def read_leaf_range(node: Node, first: int, limit: int) -> bytes:
    """Leaves, 115 bytes each, one after the other."""
    return b"".join(await node.database.read(read_leaves, first, limit, node.publisher.published.size))


async def prove_inclusion(node: Node, index: int, size: int | None) -> tuple[int, Inclusion]:
    """A leaf and its path in the tree of `size` leaves; the published size if None.

    Raises:
        MalformedError: ``beyond_published``.
    """
    size = await _published(node, size, index + 1)
    if index >= size:
        malformed("beyond_published", f"expected an index below size {size}, got {index}")

    def look(connection: Connection) -> Inclusion:
        leaf = read_leaves(connection, index, 1, size)[0]
        return Inclusion(index, leaf, node.tree.inclusion(connection, [index], size)[index])

    return size, await node.database.read(look)


async def prove_consistency(node: Node, old: int, new: int | None) -> tuple[int, tuple[bytes, ...]]:
    """The path from the tree of `old` leaves to that of `new`; the published size if None.

    Raises:
        MalformedError: ``beyond_published``.
    """
    new = await _published(node, new, old)
    if old > new:
        malformed("beyond_published", f"expected an old size of at most {new}, got {old}")
    return new, await node.database.read(node.tree.consistency, old, new)


async def _published(node: Node, size: int | None, known: int) -> int:
    """A published size: `size`, or the newest if None, when the caller knows of `known` leaves."""
    published = node.publisher.published.size
    if (known if size is None else size) > published:
        # Another node may have published it a moment ago, and told the caller.
        published = (await node.publisher.advance()).size
    if size is not None and size > published:
        malformed("beyond_published", f"expected a size of at most the published {published}, got {size}")
    return published if size is None else size
