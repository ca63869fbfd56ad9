"""Disclosures as handed over: one message's signed manifest, the parts that are shown, and the names of the rest.

Layout: magic 8 ‖ manifest u32-sized ‖ count u32 ‖ (name u16-sized ‖ state u8 ‖ 1: salt 32 ‖ data
u32-sized | 0: value hash 32)*. The digest of these bytes stands in the act that the discloser has logged before it
hands them over; the parts lead to the commitment of the manifest that the sender signed.

Source: docs/spec/disclosure.md §1 to §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.acts import Disclosure
from countermark_protocol.descriptors import (
    AttachmentDescriptor,
    attachment_number,
    check_described,
    descriptor_of,
    part_name,
    verify_file,
)
from countermark_protocol.documents import UnverifiedDocument, parse_document
from countermark_protocol.encoding import Reader, Writer, labelled_hash, malformed
from countermark_protocol.errors import MalformedError, ProofError, SealError, UncheckableError
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.parts import (
    MAX_NAME_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    DisclosedPart,
    verify_disclosure,
)
from countermark_protocol.submission import MAX_DOCUMENT_BYTES

_FAMILY: Final = b"cmdiscl"
MAGIC: Final = _FAMILY + b"1"
#: The largest content with a name and a salt for each part, and its manifest.
MAX_DISCLOSURE_BYTES: Final = 8 * 1024 * 1024
_OPEN: Final = 1
_CLOSED: Final = 0


@dataclass(frozen=True, slots=True)
class UnverifiedDisclosure:
    """A disclosure as parsed: that its parts are those of the message is not checked by being here.

    Attributes:
        data: all of it, exact bytes.
        document: the manifest's signed document.
        manifest: read from it.
        parts: every part of the content, in order, open or closed.
    """

    data: bytes
    document: UnverifiedDocument
    manifest: Manifest
    parts: tuple[DisclosedPart, ...]


@dataclass(frozen=True, slots=True)
class ShownContent:
    """What a disclosure shows. Made by `verify_shown` only.

    Attributes:
        message: payload hash of the manifest, 32 bytes.
        manifest: that commits to the parts; who signed it is not checked by being here.
        opened: values of the open parts by name, in order.
        closed: names of the parts that were kept closed, in order.
        digest: of the disclosure, 32 bytes: what the logged act names.
    """

    message: bytes
    manifest: Manifest
    opened: Mapping[str, Any]
    closed: tuple[str, ...]
    digest: bytes

    @property
    def parts(self) -> int:
        """How many parts the content has."""
        return len(self.opened) + len(self.closed)


def disclosure_digest(data: bytes) -> bytes:
    """What an act names a disclosure by, 32 bytes."""
    return labelled_hash("disclosure", data)


def encode_disclosure(document: bytes, parts: Sequence[DisclosedPart]) -> bytes:
    """A disclosure as handed over.

    Args:
        document: the signed manifest as logged.
        parts: from `parts.disclose_parts`.

    Raises:
        MalformedError: it would not be one; see `parse_disclosed`.
    """
    out = Writer().fixed(MAGIC, len(MAGIC)).sized(document, 4).uint(len(parts), 4)
    for part in parts:
        out.sized(part.name.encode("ascii"), 2)
        if part.data is not None and part.salt is not None:
            out.uint(_OPEN, 1).fixed(part.salt, 32).sized(part.data, 4)
        else:
            out.uint(_CLOSED, 1).fixed(part.value_hash or b"", 32)
    data = out.done()
    parse_disclosed(data)
    return data


def parse_disclosed(data: bytes) -> UnverifiedDisclosure:
    """Parse a disclosure; there is one encoding of each.

    Raises:
        MalformedError: ``oversized_disclosure``, ``not_a_disclosure``, ``part_count``, ``bad_part_name``,
            ``bad_disclosure`` (a part neither open nor closed), ``nothing_disclosed``, or not in its one form.
        UncheckableError: ``unknown_version``.

    Does not prove: anything (`verify_shown`).
    """
    if len(data) > MAX_DISCLOSURE_BYTES:
        malformed(
            "oversized_disclosure",
            f"expected a disclosure of at most {MAX_DISCLOSURE_BYTES} bytes, got {len(data)}",
        )
    if not data.startswith(MAGIC):
        if data.startswith(_FAMILY):
            raise UncheckableError(
                "unknown_version", "the disclosure is of another version than this software reads"
            )
        malformed("not_a_disclosure", "these bytes are no Countermark disclosure")
    reader = Reader(data, "disclosure")
    reader.fixed(len(MAGIC), "magic")
    document = parse_document(reader.sized(4, MAX_DOCUMENT_BYTES, "manifest"))
    manifest = parse_manifest(document.claims)
    count = reader.uint(4, "part count")
    if not 1 <= count <= MAX_PARTS:
        malformed("part_count", f"a content has 1 to {MAX_PARTS} parts, got {count}")
    parts = tuple(_part(reader) for _ in range(count))
    reader.end()
    if all(part.data is None for part in parts):
        malformed("nothing_disclosed", "a disclosure shows at least one part")
    return UnverifiedDisclosure(data, document, manifest, parts)


def _part(reader: Reader) -> DisclosedPart:
    name = reader.sized(2, MAX_NAME_BYTES, "part name")
    if not name.isascii():
        malformed("bad_part_name", "part name is not ASCII")
    state = reader.uint(1, "state of a part")
    if state == _OPEN:
        salt = reader.fixed(32, "salt")
        return DisclosedPart(name.decode("ascii"), reader.sized(4, MAX_PART_BYTES, "part"), salt, None)
    if state != _CLOSED:
        malformed("bad_disclosure", f"a part is closed (0) or open (1), got {state}")
    return DisclosedPart(name.decode("ascii"), None, None, reader.fixed(32, "value hash"))


def verify_shown(unverified: UnverifiedDisclosure) -> ShownContent:
    """Check that the parts are those that the manifest commits to, and that none is hidden.

    Raises:
        SealError: ``disclosure_mismatch``: a part was altered, renamed, moved, added or left out, or they are of
            another message.
        MalformedError: an open part is not strict JSON.

    Does not prove: who signed the manifest, that it is in the log, or that the disclosure is
        (`check_disclosure_logged`).
    """
    opened = verify_disclosure(unverified.parts, unverified.manifest.content.commitment)
    return ShownContent(
        message=unverified.document.payload_hash,
        manifest=unverified.manifest,
        opened=opened,
        closed=tuple(p.name for p in unverified.parts if p.data is None),
        digest=disclosure_digest(unverified.data),
    )


def shown_attachments(shown: ShownContent) -> tuple[int, ...]:
    """Numbers of the attachments whose descriptors a disclosure shows, in order.

    A name that a sender made up names none, and is passed over: what else is shown stands.
    """
    numbers: list[int] = []
    for name in shown.opened:
        with suppress(MalformedError):
            number = attachment_number(name)
            if number is not None:
                numbers.append(number)
    return tuple(numbers)


def shown_attachment(shown: ShownContent, number: int) -> AttachmentDescriptor:
    """What a disclosure says of one attachment.

    Args:
        shown: from `verify_shown`.
        number: of the attachment, from 0.

    Raises:
        ProofError: ``attachment_not_shown``: its part is closed, or there is none.
        MalformedError: the sender committed to something that is no descriptor.
        SealError: ``attachment_count`` (the manifest has no such attachment), ``attachment_size`` (it is of another
            size than described).
    """
    name = part_name(number)
    if name not in shown.opened:
        raise ProofError("attachment_not_shown", f"the disclosure does not show the part {name}")
    descriptor = descriptor_of(shown.opened[name], f"part {name}")
    attachments = shown.manifest.attachments
    if number >= len(attachments):
        raise SealError(
            "attachment_count",
            f"the message describes attachment {number}, its manifest names {len(attachments)} attachments",
        )
    check_described(descriptor, attachments[number])
    return descriptor


def verify_shown_file(
    shown: ShownContent, number: int, blocks: Iterable[bytes | memoryview]
) -> AttachmentDescriptor:
    """Check that a file handed over is the one that a disclosure describes.

    Args:
        shown: from `verify_shown`.
        number: of the attachment, from 0.
        blocks: the file, in blocks of any size.

    Returns:
        What the message says of the file.

    Raises:
        ProofError, MalformedError, SealError: as `shown_attachment`; ``file_mismatch``.

    Does not prove: that the sealed pieces held this file. Where that is disputed, the attachment's key and the pieces
        show it (docs/spec/sealing.md 9.8).
    """
    descriptor = shown_attachment(shown, number)
    verify_file(descriptor, blocks)
    return descriptor


def check_disclosure_logged(act: Disclosure, shown: ShownContent) -> None:
    """Check that a logged act is about exactly this disclosure.

    Args:
        act: read from a statement that is proven to be in the log.
        shown: what was handed over.

    Raises:
        ProofError: ``disclosure_other_message``, ``disclosure_not_logged`` (another digest), or
            ``disclosure_counts``.
    """
    if act.message != shown.message:
        raise ProofError("disclosure_other_message", "the logged act discloses another message")
    if act.digest != shown.digest:
        raise ProofError(
            "disclosure_not_logged", "the logged act is about another disclosure than the one handed over"
        )
    if (act.parts, act.disclosed) != (shown.parts, len(shown.opened)):
        raise ProofError(
            "disclosure_counts",
            f"the logged act states {act.disclosed} of {act.parts} parts, the disclosure shows "
            f"{len(shown.opened)} of {shown.parts}",
        )
