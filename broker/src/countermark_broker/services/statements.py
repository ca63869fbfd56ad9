"""Reading what is open to many: directory pages, one's own statements, leaves and proofs.

Source: docs/spec/api.md §3, §4.3.
"""

from __future__ import annotations

from countermark_broker.services.accounts import not_held
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.proofs import prove_record, release_stanzas
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
    async with node.database.read() as connection:
        record = await read_entry(connection, payload_hash)
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
    async with node.database.read() as connection:
        rows = await read_directory(connection, first, limit, checkpoint.size)
        last = (await read_leaves(connection, checkpoint.size - 1, 1, checkpoint.size))[0]
        paths = await node.tree.inclusion(connection, [checkpoint.size - 1], checkpoint.size)
    return DirectoryPage(
        checkpoint=checkpoint.raw,
        statements=tuple(LoggedStatement(*row) for row in rows),
        # The leaf counts the directory statements up to and including itself.
        complete=first + len(rows) >= parse_leaf(last).dir_count,
        last=Inclusion(checkpoint.size - 1, last, paths[checkpoint.size - 1]),
    )


async def read_leaf_range(node: Node, first: int, limit: int) -> bytes:
    """Leaves, 115 bytes each, one after the other."""
    async with node.database.read() as connection:
        return b"".join(await read_leaves(connection, first, limit, node.publisher.published.size))


async def prove_inclusion(node: Node, index: int, size: int | None) -> tuple[int, Inclusion]:
    """A leaf and its path in the tree of `size` leaves; the published size if None.

    Raises:
        MalformedError: ``beyond_published``.
    """
    size = _published(node, size)
    if index >= size:
        malformed("beyond_published", f"expected an index below size {size}, got {index}")
    async with node.database.read() as connection:
        leaf = (await read_leaves(connection, index, 1, size))[0]
        path = (await node.tree.inclusion(connection, [index], size))[index]
    return size, Inclusion(index, leaf, path)


async def prove_consistency(node: Node, old: int, new: int | None) -> tuple[int, tuple[bytes, ...]]:
    """The path from the tree of `old` leaves to that of `new`; the published size if None.

    Raises:
        MalformedError: ``beyond_published``.
    """
    new = _published(node, new)
    if old > new:
        malformed("beyond_published", f"expected an old size of at most {new}, got {old}")
    async with node.database.read() as connection:
        return new, await node.tree.consistency(connection, old, new)


def _published(node: Node, size: int | None) -> int:
    published = node.publisher.published.size
    if size is not None and size > published:
        malformed("beyond_published", f"expected a size of at most the published {published}, got {size}")
    return published if size is None else size
