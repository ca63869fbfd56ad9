"""Handing back a log's tail from an oversight mirror: the entries with their secrets, of which the log can be made.

A national mirror has no secrets: of it only its owner's own statements could be shown, and those the parties have.

Source: docs/spec/export.md §6.3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from countermark_client._hand_back import HandedBack, write_hand_back
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._replay import rows_of
from countermark_protocol.acts import Scope
from countermark_protocol.errors import NotFoundError
from countermark_protocol.hand_back import HandBackHeader, HandBackWriter, TailRecord

#: Entries in memory at once.
_PAGE: Final = 200
_RECORDS: Final = (
    "SELECT e.idx, l.leaf, e.document, e.secret, e.rows FROM entries e JOIN leaves l ON l.idx = e.idx "
    "WHERE e.idx >= ? AND e.secret IS NOT NULL ORDER BY e.idx LIMIT ?"
)
_NOTE: Final = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"


def hand_back_tail(mirror: Mirror, first: int, path: Path, now: int) -> HandedBack:
    """Write every entry that a mirror holds from an index on, and its newest checkpoint.

    Args:
        mirror: of an oversight mandate.
        first: index of the first entry that the operator lacks.
        path: of the file; must not exist.
        now: ms since 1970.

    Raises:
        NotFoundError: ``no_secrets``: the mirror is of a national mandate.
        ConflictError: ``file_exists``.
        StorageError: the mirror cannot be read.
        OSError: the file cannot be written.
    """
    if mirror.text("scope") != Scope.OVERSIGHT.value:
        raise NotFoundError(
            "no_secrets",
            "a national mirror holds no secrets of entries, and without them no entry can be restored: ask an "
            "oversight auditor",
        )
    count = 0

    def fill(writer: HandBackWriter) -> None:
        nonlocal count
        start = first
        while page := list(mirror.database.execute(_RECORDS, (start, _PAGE))):
            for index, leaf, document, secret, rows in page:
                writer.record(TailRecord(index, leaf, document, secret, rows_of(rows)))
            count += len(page)
            start = page[-1][0] + 1
        for (note,) in mirror.database.execute(_NOTE):
            writer.checkpoint(note)

    header = HandBackHeader(mirror.text("log"), mirror.text("auditor"), first, now)
    digest = write_hand_back(path, header, fill)
    return HandedBack(count, 0, digest)
