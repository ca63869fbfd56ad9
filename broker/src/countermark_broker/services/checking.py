"""Findings; what an entry's record must be, and what must lie beside it, of the digests that were signed."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from countermark_broker.store.reading import RECORD_DAMAGED, EntryRecord
from countermark_broker.store.writing import Enclosed
from countermark_protocol.attachments import check_pieces
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import CountermarkError
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.recipients import recipients_root, stanza_hash
from countermark_protocol.statements import kind_of

_BESIDE = (
    "stop all nodes and run `countermark-broker backup restore` with a backup that has it, onto this database"
)
_VIEW = "stop all nodes and run `countermark-broker rebuild`"
_WRITTEN = "find out who wrote to the database past the broker; these rows are not read, and may be deleted"
_PIECE = (
    "let whoever has it upload it again (its sender keeps it for a while), or run `countermark-broker backup restore` "
    "with a backup that has it, onto this database; after `countermark-broker content mend`"
)
_MEND = "run `countermark-broker content mend`"
_PUBLISHED = "this database is not the one that was published (docs/operations/running-a-broker.md §7)"

#: What to do about each finding.
HINTS: Final = {
    "stanza_missing": _BESIDE,
    "stanza_differs": _BESIDE,
    "content_missing": _BESIDE,
    "content_differs": _BESIDE,
    "entry_missing": RECORD_DAMAGED,
    "entry_unreadable": RECORD_DAMAGED,
    "entry_index_differs": RECORD_DAMAGED,
    "attachment_missing": _BESIDE,
    "attachment_differs": _BESIDE,
    "surplus_claim": f"{_MEND}, which drops those of purged messages; else {_WRITTEN}",
    "piece_missing": _PIECE,
    "piece_differs": _PIECE,
    "piece_elsewhere": "name that store in this node's settings (docs/operations/content-store.md §4)",
    "orphan_blob": _MEND,
    "unnamed_blob": _MEND,
    "orphan_row": _WRITTEN,
    "surplus_stanza": _WRITTEN,
    "surplus_content": _WRITTEN,
    "tile_differs": _VIEW,
    "surplus_tile": _VIEW,
    "head_differs": _VIEW,
    "box_differs": _VIEW,
    "purges_differ": _VIEW,
    "behind_store": _PUBLISHED,
    "root_differs": _PUBLISHED,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
        code: stable; one of `HINTS`.
        message: what, for people.
    """

    code: str
    message: str

    @property
    def hint(self) -> str:
        """What to do about it."""
        return HINTS[self.code]


def check_record(record: EntryRecord) -> Iterator[Finding]:
    """The index columns against the record, and the leaf against the document."""
    try:
        leaf, document = record.parsed_leaf(), parse_document(record.document)
        directory = kind_of(document.claims) in DIRECTORY_KINDS
    except CountermarkError as error:
        yield Finding("entry_unreadable", f"entry {record.index}: {error.message}")
        return
    if leaf.statement != statement_hash(record.document):
        yield Finding("entry_unreadable", f"entry {record.index}: leaf and document do not belong together")
    number = leaf.dir_count - 1 if directory else None
    if (record.kind, record.payload_hash, record.dir_number) != (leaf.kind, document.payload_hash, number):
        yield Finding(
            "entry_index_differs", f"entry {record.index}: an index column is not what the record says"
        )


def check_enclosed(
    record: EntryRecord, enclosed: Enclosed, purge: int | None = None, lost: Container[bytes] = ()
) -> Iterator[Finding]:
    """Everything that is missing beside an entry, or is not what its manifest and rows name.

    Args:
        record: of the entry.
        enclosed: what lies beside it.
        purge: the entry that purges it: then what is there is wrong, and not what is missing.
        lost: digests of pieces that are not there.
    """
    name = f"entry {record.index}"
    if not record.rows and record.kind != Kind.MESSAGE:
        return
    if purge is not None:
        left = sum(map(bool, enclosed.stanzas))
        if left:
            yield Finding("surplus_stanza", f"{name}: {left} stanzas in spite of its purge, entry {purge}")
        if enclosed.content is not None:
            yield Finding("surplus_content", f"{name}: has content in spite of its purge, entry {purge}")
        if any(enclosed.claims()):
            yield Finding("surplus_claim", f"{name}: claims pieces in spite of its purge, entry {purge}")
        enclosed = Enclosed(record.rows)
    for row, stanza in zip(record.rows, enclosed.stanzas, strict=purge is None):
        if not stanza:
            yield Finding("stanza_missing", f"{name}: the stanza for {row.endpoint} is missing")
        elif stanza_hash(stanza) != row.stanza:
            yield Finding("stanza_differs", f"{name}: the stanza for {row.endpoint} is not the signed one")
    try:
        manifest = parse_manifest(parse_document(record.document).claims)
    except CountermarkError as error:
        yield Finding("entry_unreadable", f"{name}: its manifest cannot be read: {error.message}")
        return
    if _root(record) != manifest.recipient_root:
        yield Finding("entry_unreadable", f"{name}: its recipient rows are not those that were signed")
        return
    if purge is not None:
        return
    if enclosed.content is None:
        yield Finding("content_missing", f"{name}: its content is missing")
    elif len(enclosed.content) != manifest.content.size:
        yield Finding(
            "content_differs",
            f"{name}: its content has {len(enclosed.content)} bytes, expected {manifest.content.size}",
        )
    elif labelled_hash("ciphertext", enclosed.content) != manifest.content.digest:
        yield Finding("content_differs", f"{name}: its content is not the one that was signed")
    yield from _check_attachments(name, manifest, enclosed, lost)


def _check_attachments(
    name: str, manifest: Manifest, enclosed: Enclosed, lost: Container[bytes]
) -> Iterator[Finding]:
    for part, named in enumerate(manifest.attachments):
        pieces = enclosed.pieces[part] if part < len(enclosed.pieces) else ()
        if not pieces:
            yield Finding("attachment_missing", f"{name}: the list of pieces of attachment {part} is missing")
            continue
        try:
            check_pieces(named, pieces)
        except CountermarkError as error:
            yield Finding("attachment_differs", f"{name}: attachment {part}: {error.message}")
            continue
        gone = [number for number, digest in enumerate(pieces) if digest in lost]
        if gone:
            yield Finding(
                "piece_missing",
                f"{name}: attachment {part}: {len(gone)} of {len(pieces)} pieces are missing, first number {gone[0]}",
            )
    surplus = len(enclosed.pieces) - len(manifest.attachments)
    if surplus > 0:
        yield Finding(
            "surplus_claim", f"{name}: claims pieces of {surplus} attachments that its manifest lacks"
        )


def _root(record: EntryRecord) -> bytes | None:
    try:
        return recipients_root(record.rows)
    except CountermarkError:
        return None
