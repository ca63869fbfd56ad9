"""How recipient rows and a frontier are kept in one column each.

Recipient rows: (salt 32 ‖ endpoint u8-sized ‖ sealing key id 32 ‖ stanza hash 32)*, in order.
Frontier: its hashes one after the other; how many follows from the size.
"""

from __future__ import annotations

from collections.abc import Sequence

from countermark_protocol.encoding import DIGEST_BYTES, Reader, Writer
from countermark_protocol.identifiers import KeyId, parse_address
from countermark_protocol.merkle import Frontier
from countermark_protocol.recipients import RecipientRow


def encode_rows(rows: Sequence[RecipientRow]) -> bytes:
    """Encode recipient rows for the entry record."""
    out = Writer().uint(len(rows), 2)
    for row in rows:
        out.fixed(row.salt, 32).sized(row.endpoint.encode(), 1).fixed(row.sealing_key, 32)
        out.fixed(row.stanza, 32)
    return out.done()


def parse_rows(data: bytes) -> tuple[RecipientRow, ...]:
    """Parse recipient rows of an entry record, the inverse of `encode_rows`.

    Raises:
        MalformedError: not that encoding.
    """
    reader = Reader(data, "recipient rows")
    rows = []
    for _ in range(reader.uint(2, "count")):
        salt = reader.fixed(32, "salt")
        endpoint = parse_address(reader.sized(1, 255, "endpoint").decode("ascii", "replace"))
        key_id, stanza = KeyId(reader.fixed(32, "key id")), reader.fixed(32, "stanza hash")
        rows.append(RecipientRow(salt, endpoint, key_id, stanza))
    reader.end()
    return tuple(rows)


def encode_frontier(frontier: Frontier) -> bytes:
    """Join a frontier's hashes."""
    return b"".join(frontier.hashes)


def parse_frontier(size: int, data: bytes) -> Frontier:
    """Cut a frontier's hashes, the inverse of `encode_frontier`.

    Raises:
        ProofError: the number of hashes does not fit the size.
    """
    hashes = tuple(data[i : i + DIGEST_BYTES] for i in range(0, len(data), DIGEST_BYTES))
    return Frontier(size, hashes)
