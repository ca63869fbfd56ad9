"""Tiles and entry bundles of the published log: what they hold never changes, so anybody may keep them for ever.

Source: C2SP tlog-tiles; docs/spec/log.md §1.4.
"""

from __future__ import annotations

from countermark_broker.errors import FatalError
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection
from countermark_broker.store.reading import RECORD_DAMAGED, read_leaves
from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.errors import NotFoundError
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.tiles import TILE_WIDTH, Bundle, Tile, encode_bundle, tile_width


async def read_tile(node: Node, tile: Tile) -> bytes:
    """The hashes of a tile, 32 bytes each.

    A partial tile is served for good, also when it has grown: it is the beginning of the wider one.

    Raises:
        NotFoundError: ``tile_not_published``: the published tree has it not, or not as wide.
        FatalError: ``tile_missing``: the database has not what was published.
    """
    size = await _covering(node, tile)
    return await node.database.read(node.tree.tile, tile, size)


async def read_bundle(node: Node, bundle: Bundle) -> bytes:
    """The leaves of a level 0 tile, each behind its length in two bytes.

    Raises:
        NotFoundError: ``tile_not_published``: the published log has it not, or not as wide.
        FatalError: ``entry_differs``: the database has other leaves than were published. Whoever fetched them would
            hand them on for a year.
    """
    tile = Tile(0, bundle.index, bundle.width)
    size = await _covering(node, tile)
    first = bundle.index * TILE_WIDTH

    def look(connection: Connection) -> bytes:
        leaves = read_leaves(connection, first, bundle.width, first + bundle.width)
        hashes = node.tree.tile(connection, tile, size)
        for number in range(bundle.width):
            known = hashes[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            if number >= len(leaves) or leaf_hash(leaves[number]) != known:
                raise FatalError(
                    "entry_differs",
                    f"the leaf of entry {first + number} or of one beside it is not the one that was published",
                    RECORD_DAMAGED,
                )
        return encode_bundle(leaves)

    return await node.database.read(look)


async def _covering(node: Node, tile: Tile) -> int:
    """A published size whose tree has a tile, at least as wide."""
    size = node.publisher.published.size
    if tile_width(tile.level, tile.index, size) < tile.width:
        # Another node may have published it a moment ago, and served the checkpoint.
        size = (await node.publisher.advance()).size
    if tile_width(tile.level, tile.index, size) < tile.width:
        raise NotFoundError(
            "tile_not_published", f"the published tree of {size} leaves has no such tile, or not as wide"
        )
    return size
