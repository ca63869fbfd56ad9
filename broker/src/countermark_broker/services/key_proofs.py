"""Key proofs: one endpoint's keys by paths in the trie, for who does not read the whole directory.

Source: docs/spec/directory.md §12.
"""

from __future__ import annotations

from typing import Final

from countermark_broker.services.node import Node
from countermark_broker.services.witnessing import read_witnessed
from countermark_broker.store.engine import Connection
from countermark_broker.store.reading import read_directory, read_leaves
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.identifiers import Address
from countermark_protocol.key_proof_making import make_key_proof
from countermark_protocol.proof import Inclusion

_PAGE: Final = 500


async def prove_keys(node: Node, address: Address) -> bytes:
    """The proof of one endpoint's keys, or that it has none.

    Under the newest checkpoint that a quorum of witnesses has cosigned, where the log names witnesses and there is one;
    else the published one. It costs time linear in the number of directory statements.

    Raises:
        CountermarkError: the database does not answer.
    """
    note = node.publisher.published.raw
    if node.holder.current.log().witnesses:
        note = await read_witnessed(node) or note

    def look(connection: Connection) -> bytes:
        size = parse_checkpoint(note).size
        history: list[tuple[int, bytes, bytes]] = []
        while page := read_directory(connection, len(history), _PAGE, size):
            history += page

        def prove(index: int, below: int) -> Inclusion:
            leaf = read_leaves(connection, index, 1, below)[0]
            return Inclusion(index, leaf, node.tree.inclusion(connection, [index], below)[index])

        return make_key_proof(node.directory_in(connection), history, address, note, prove)

    return await node.database.read(look)
