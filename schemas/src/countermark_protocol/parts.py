"""Content as a list of parts: its one encoding, and the commitment that lets any part be disclosed alone.

The plaintext *is* a list of parts. A top-level member whose value is a non-empty array gives one part an
element (``/items/17``), any other member one part (``/contact``; an empty array is ``[]``), attachment k
one part ``attachment:k``. The commitment is the Merkle root over salted part leaves, so a party can show
one weapon of 500 to a court, naming what it keeps closed, and anyone can check it against the log.

Source: docs/spec/sealing.md §4, §5 (RFC 9901 does the like for tokens).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.attachments import SealedAttachment
from countermark_protocol.descriptors import (
    AttachmentDescriptor,
    attachment_number,
    check_described,
    parse_descriptor,
    part_name,
)
from countermark_protocol.encoding import (
    JsonObject,
    Reader,
    Writer,
    encode_json,
    labelled_hash,
    labelled_hmac,
    malformed,
    parse_json,
)
from countermark_protocol.errors import SealError
from countermark_protocol.merkle import leaf_hash, root_of

LIST_VERSION: Final = 1
MAX_PARTS: Final = 10_000
MAX_PART_BYTES: Final = 1024 * 1024
MAX_NAME_BYTES: Final = 80

_MEMBER = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,59}\Z")
_NAME = re.compile(r"/([a-zA-Z][a-zA-Z0-9]{0,59})(?:/(0|[1-9][0-9]{0,4}))?\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a content.

    Attributes:
        name: ``/member``, ``/member/index`` or ``attachment:k``.
        data: its exact bytes, JSON.
    """

    name: str
    data: bytes


def split_content(document: JsonObject, attachments: Sequence[AttachmentDescriptor] = ()) -> tuple[Part, ...]:
    """Split a content document into its parts, in member order; what describes its attachments follows.

    Raises:
        MalformedError: a member's name is outside the language, or a descriptor is none.
    """
    parts: list[Part] = []
    for member, value in document.items():
        if not _MEMBER.match(member):
            malformed("bad_part_name", "members of a content are named in letters and digits, at most 60")
        if isinstance(value, list) and value:
            parts.extend(Part(f"/{member}/{i}", encode_json(element)) for i, element in enumerate(value))
        else:
            parts.append(Part(f"/{member}", encode_json(value)))
    parts.extend(Part(part_name(k), described.encode()) for k, described in enumerate(attachments))
    if not 1 <= len(parts) <= MAX_PARTS:
        malformed("part_count", f"a content has 1 to {MAX_PARTS} parts, got {len(parts)}")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class JoinedParts:
    """What a whole list of parts says.

    Attributes:
        document: the content.
        attachments: what it says of each attachment, in the manifest's order.
    """

    document: JsonObject
    attachments: tuple[AttachmentDescriptor, ...]


def join_all_parts(parts: Sequence[Part], named: Sequence[SealedAttachment]) -> JoinedParts:
    """Put a *whole* list of parts together: the content, then what describes each attachment.

    Args:
        parts: of the opened content, in order.
        named: the manifest's ``attachments``.

    Raises:
        MalformedError: as `join_parts`; ``part_order`` (attachments not last, or not in order), or a descriptor that is
            none (`parse_descriptor`).
        SealError: ``attachment_count`` (not one descriptor for each attachment of the manifest), ``attachment_size``.
    """
    first = next((i for i, p in enumerate(parts) if attachment_number(p.name) is not None), len(parts))
    described: list[AttachmentDescriptor] = []
    for k, part in enumerate(parts[first:]):
        if attachment_number(part.name) != k:
            malformed("part_order", f"part {part.name[:64]} does not follow the one before it")
        described.append(parse_descriptor(part.data, f"part {part.name}"))
    document = join_parts(parts[:first])
    if len(described) != len(named):
        raise SealError(
            "attachment_count",
            f"the message describes {len(described)} attachments, its manifest names {len(named)}",
        )
    for descriptor, one in zip(described, named, strict=True):
        check_described(descriptor, one)
    return JoinedParts(document, tuple(described))


def join_parts(parts: Sequence[Part]) -> JsonObject:
    """Put the parts of a content without attachments together into the content document.

    Raises:
        MalformedError: names repeat, skip an index or split what must be whole, or a part is not strict
            JSON: there is one list for each document.
    """
    document: JsonObject = {}
    last = ""
    for part in parts:
        match = _NAME.match(part.name)
        if not match:
            malformed("bad_part_name", f"part name {part.name[:64]!r} is outside the language")
        member, index = match[1], match[2]
        value = parse_json(part.data, f"part {part.name}")
        if index is None:
            if member in document:
                malformed("part_twice", f"part {part.name} stands twice")
            if isinstance(value, list) and value:
                malformed(
                    "part_not_split", f"part {part.name} is a non-empty array: expected one part an element"
                )
            document[member] = value
        elif int(index) == 0:
            if member in document:
                malformed("part_twice", f"part {part.name} stands twice")
            document[member] = [value]
        else:
            elements: Any = document.get(member)
            if last != member or len(elements) != int(index):
                malformed("part_order", f"part {part.name} does not follow the one before it")
            elements.append(value)
        last = member if index is not None else ""
    return document


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Encode a list: version u8 ‖ count u32 ‖ (name u16-sized ‖ data u32-sized)*."""
    out = Writer().uint(LIST_VERSION, 1).uint(len(parts), 4)
    for part in parts:
        out.sized(part.name.encode("ascii"), 2).sized(part.data, 4)
    return out.done()


def parse_parts(reader: Reader) -> tuple[Part, ...]:
    """Parse a list from the front of `reader`; what follows (padding) is the caller's to check.

    Raises:
        MalformedError: anything but the one encoding.
    """
    if reader.uint(1, "list version") != LIST_VERSION:
        malformed("unknown_version", f"list of parts has another version than {LIST_VERSION}")
    count = reader.uint(4, "part count")
    if not 1 <= count <= MAX_PARTS:
        malformed("part_count", f"a content has 1 to {MAX_PARTS} parts, got {count}")
    parts: list[Part] = []
    for _ in range(count):
        name = reader.sized(2, MAX_NAME_BYTES, "part name")
        if not name.isascii():
            malformed("bad_part_name", "part name is not ASCII")
        parts.append(Part(name.decode("ascii"), reader.sized(4, MAX_PART_BYTES, "part")))
    return tuple(parts)


# --- commitment --------------------------------------------------------------------------------------


def part_salt(opener: bytes, number: int) -> bytes:
    """The salt of part `number`, 32 bytes, derived from the opener."""
    return labelled_hmac("part-salt", opener, number.to_bytes(4, "big"))


def part_value_hash(salt: bytes, data: bytes) -> bytes:
    """Salted hash of a part's bytes: hides them while the salt is closed."""
    return labelled_hash("part-value", salt, data)


def part_leaf(number: int, count: int, name: str, value_hash: bytes) -> bytes:
    """What the commitment's tree holds for one part, 32 bytes."""
    return labelled_hash(
        "part", number.to_bytes(4, "big"), count.to_bytes(4, "big"), name.encode("utf-8"), value_hash
    )


def commitment_of(parts: Sequence[Part], opener: bytes) -> bytes:
    """The commitment to a whole list of parts, 32 bytes."""
    return _root([(p.name, part_value_hash(part_salt(opener, i), p.data)) for i, p in enumerate(parts)])


def _root(hashes: Sequence[tuple[str, bytes]]) -> bytes:
    count = len(hashes)
    return root_of([leaf_hash(part_leaf(i, count, name, value)) for i, (name, value) in enumerate(hashes)])


@dataclass(frozen=True, slots=True)
class DisclosedPart:
    """One part in a disclosure.

    Attributes:
        name: always shown.
        data: its bytes, or None where it is kept closed.
        salt: its salt, 32 bytes, or None where it is kept closed.
        value_hash: 32 bytes where it is kept closed, else None.
    """

    name: str
    data: bytes | None
    salt: bytes | None
    value_hash: bytes | None


def disclose_parts(parts: Sequence[Part], opener: bytes, names: frozenset[str]) -> tuple[DisclosedPart, ...]:
    """Disclose the parts called `names`, keep the others closed but named.

    Raises:
        ValueError: `names` holds a name that is no part of this content.
    """
    unknown = names - {p.name for p in parts}
    if unknown:
        msg = f"no such part: {min(unknown)}"
        raise ValueError(msg)
    out: list[DisclosedPart] = []
    for i, part in enumerate(parts):
        salt = part_salt(opener, i)
        if part.name in names:
            out.append(DisclosedPart(part.name, part.data, salt, None))
        else:
            out.append(DisclosedPart(part.name, None, None, part_value_hash(salt, part.data)))
    return tuple(out)


def verify_disclosure(disclosed: Sequence[DisclosedPart], commitment: bytes) -> dict[str, Any]:
    """Check a disclosure against the commitment of a signed and logged manifest.

    Args:
        disclosed: every part of the content, in order, open or closed.
        commitment: 32 bytes from the manifest.

    Returns:
        The values of the open parts by name.

    Raises:
        SealError: ``disclosure_mismatch``: a part was altered, renamed, moved, added or left out.
        MalformedError: an open part is not strict JSON, a part is neither open nor closed, or has a name that
            no content can hold.

    Does not prove: anything about the closed parts beyond their names and number.
    """
    hashes: list[tuple[str, bytes]] = []
    for part in disclosed:
        if not part.name.isascii() or len(part.name) > MAX_NAME_BYTES:
            malformed("bad_part_name", f"part names are ASCII, at most {MAX_NAME_BYTES} characters")
        if part.data is not None and part.salt is not None and part.value_hash is None:
            hashes.append((part.name, part_value_hash(part.salt, part.data)))
        elif part.value_hash is not None and part.data is None and part.salt is None:
            hashes.append((part.name, part.value_hash))
        else:
            malformed("bad_disclosure", f"part {part.name[:64]!r} must be either open (data, salt) or closed")
    if not hashes or _root(hashes) != commitment:
        raise SealError(
            "disclosure_mismatch", "the disclosed parts are not those that the message committed to"
        )
    return {p.name: parse_json(p.data, f"part {p.name}") for p in disclosed if p.data is not None}
