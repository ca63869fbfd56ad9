"""Recipient rows: to whom a message goes, bound into its manifest by one root.

Row = (salt, endpoint, sealing key id, hash of stanza); ordered by row hash; no endpoint twice. The broker
gets all rows with the submission; a recipient gets its own and the path, and the whole table only where the
manifest makes it visible.

Source: docs/spec/messages.md §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.boxes import RowPath
from countermark_protocol.encoding import labelled_hash, malformed
from countermark_protocol.errors import ProofError
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.merkle import leaf_hash, root_of, small_tree_path, verify_inclusion

#: Bounds the work one submission can ask for; a broadcast to every State and agency group fits.
MAX_RECIPIENTS: Final = 1000
#: ML-KEM-768+X25519 stanzas have 1,200 bytes, ML-KEM-1024+P-384 ones 1,745.
MAX_STANZA_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One recipient of a message.

    Attributes:
        salt: 32 bytes chosen by the sender, so that rows do not show who is in them.
        endpoint: the recipient.
        sealing_key: id of the key that the stanza is sealed to.
        stanza: hash of the stanza, 32 bytes.
    """

    salt: bytes
    endpoint: Address
    sealing_key: KeyId
    stanza: bytes

    def digest(self) -> bytes:
        """The row's hash, 32 bytes; rows are ordered by it."""
        return labelled_hash(
            "recipient-row", self.salt, self.endpoint.encode(), self.sealing_key, self.stanza
        )


def stanza_hash(stanza: bytes) -> bytes:
    """Hash of a stanza's bytes, 32 bytes."""
    return labelled_hash("stanza", stanza)


def order_rows(rows: Sequence[RecipientRow]) -> tuple[RecipientRow, ...]:
    """Rows in their one order."""
    return tuple(sorted(rows, key=RecipientRow.digest))


def recipients_root(rows: Sequence[RecipientRow]) -> bytes:
    """RFC 6962 root over the row hashes, in order.

    Raises:
        MalformedError: rows are not in order (``rows_order``), or name an endpoint twice
            (``recipient_twice``).
    """
    digests = [row.digest() for row in rows]
    if digests != sorted(set(digests)):
        malformed("rows_order", "recipient rows must be ordered by row hash")
    if len({row.endpoint for row in rows}) != len(rows):
        malformed("recipient_twice", "recipient rows name an endpoint twice")
    return root_of([leaf_hash(d) for d in digests])


def recipient_path(rows: Sequence[RecipientRow], endpoint: Address) -> RowPath:
    """Where the row of `endpoint` stands; it must be among `rows` (ordered)."""
    number = next(i for i, row in enumerate(rows) if row.endpoint == endpoint)
    return RowPath(number, len(rows), tuple(small_tree_path([leaf_hash(r.digest()) for r in rows], number)))


def verify_recipient(row: RecipientRow, at: RowPath, count: int, root: bytes) -> None:
    """Check that `row` is one of the recipients a manifest commits to.

    Args:
        row: the caller's own row.
        at: where it stands.
        count: the manifest's ``recipients.count``.
        root: the manifest's ``recipients.root``, 32 bytes.

    Raises:
        ProofError: it is not among them, or the number of rows is another.
    """
    if at.count != count or not 0 <= at.number < at.count:
        raise ProofError(
            "recipient_not_listed", f"the manifest lists {count} recipients, the path is for {at.count}"
        )
    try:
        verify_inclusion(leaf_hash(row.digest()), at.number, at.count, list(at.path), root)
    except ProofError:
        raise ProofError(
            "recipient_not_listed", "this recipient row is not among those the sender signed"
        ) from None
