"""What a message says of an attached file, in the part ``attachment:k`` of its content.

The descriptor is committed to and disclosed like any other part, and names the file by its SHA-256: so to disclose an
attachment is to disclose this part, and to hand over the file. Names and captions come from whoever sent them and end
in other people's folders and on their screens; what could leave the folder, or show as something else, is refused.

Source: docs/spec/sealing.md §9.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.attachments import MAX_ATTACHMENTS, MAX_FILE_BYTES, SealedAttachment
from countermark_protocol.chunks import sealed_size
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    encode_json,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import SealError
from countermark_protocol.padding import padded_size

MAX_NAME_CHARACTERS: Final = 120
#: As many as every file system in use takes.
MAX_NAME_BYTES: Final = 240
MAX_CAPTION_CHARACTERS: Final = 500
MAX_THUMBNAIL_BYTES: Final = 16 * 1024
MAX_THUMBNAIL_PIXELS: Final = 512
_PREFIX: Final = "attachment:"

_PART = re.compile(r"attachment:(0|[1-9][0-9]{0,2})\Z")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\Z")
#: Controls, what shows as nothing or turns the direction of what stands beside it, private and non-characters. In
#: numbers, because categories change from one edition of Unicode to the next. Joiners and variation selectors, which
#: Persian, Indian and other scripts are not written without, are not among them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\uf8ff\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff]"
)
#: What some system takes for a separator, a drive, a stream or a pattern.
_UNSAFE = re.compile(r'[/\\:*?"<>|]')
#: Names of devices, with any ending (Windows).
_DEVICE = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9¹²³])(?:\.|\Z)", re.IGNORECASE)


class ThumbnailType(StrEnum):
    """Of what form a thumbnail may be: those that every reader shows and that hold no program."""

    JPEG = "image/jpeg"
    PNG = "image/png"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of an attached one, to look at before fetching it; unverified by being here.

    Attributes:
        media_type: of `data`.
        width: in pixels, 1 to 512.
        height: in pixels, 1 to 512.
        data: the picture, at most 16 KiB; that it is one is for whoever shows it to check.
    """

    media_type: ThumbnailType
    width: int
    height: int
    data: bytes

    def to_json(self) -> JsonObject:
        """Its four members."""
        return {
            "mediaType": self.media_type.value,
            "width": self.width,
            "height": self.height,
            "data": encode_base64url(self.data),
        }


@dataclass(frozen=True, slots=True)
class AttachmentDescriptor:
    """What the sender states of a file as it was before sealing.

    Attributes:
        sha256: of the file, without a label, so that any tool checks it: 32 bytes.
        size: of the file in bytes, 1 to 2^31.
        name: for people and folders; no path.
        media_type: ``type/subtype`` in lower case, as stated by the sender.
        caption: what it shows, in words, or None.
        thumbnail: or None.
    """

    sha256: bytes
    size: int
    name: str
    media_type: str
    caption: str | None = None
    thumbnail: Thumbnail | None = None

    def to_json(self) -> JsonObject:
        """Its members in the order of the spec."""
        out: JsonObject = {
            "sha256": encode_hex(self.sha256),
            "size": self.size,
            "name": self.name,
            "mediaType": self.media_type,
        }
        if self.caption is not None:
            out["caption"] = self.caption
        if self.thumbnail is not None:
            out["thumbnail"] = self.thumbnail.to_json()
        return out

    def encode(self) -> bytes:
        """The bytes of its part.

        Raises:
            MalformedError: it is none; see `parse_descriptor`.
        """
        data = encode_json(self.to_json())
        parse_descriptor(data)
        return data


# --- sizes -------------------------------------------------------------------------------------------


def attachment_size(file_size: int) -> int:
    """Bytes that a file takes once padded and sealed."""
    return sealed_size(padded_size(file_size))


def check_described(descriptor: AttachmentDescriptor, named: SealedAttachment) -> None:
    """Check that a sealed size is that of a file of the described size.

    Raises:
        SealError: ``attachment_size``.
    """
    expected = attachment_size(descriptor.size)
    if named.size != expected:
        raise SealError(
            "attachment_size",
            f"a file of {descriptor.size} bytes has {expected} bytes sealed, the manifest names {named.size}",
        )


# --- names -------------------------------------------------------------------------------------------


def part_name(number: int) -> str:
    """The name of the part that describes an attachment, from 0."""
    return f"{_PREFIX}{number}"


def attachment_number(name: str) -> int | None:
    """Which attachment a part describes; None for a part of the content itself.

    Raises:
        MalformedError: ``bad_part_name``: it says that it is one and is not.
    """
    if not name.startswith(_PREFIX):
        return None
    match = _PART.match(name)
    if match is None or int(match[1]) >= MAX_ATTACHMENTS:
        malformed(
            "bad_part_name",
            f"part name {name[:64]!r}: attachments are numbered from 0 to {MAX_ATTACHMENTS - 1}",
        )
    return int(match[1])


def check_file_name(name: Any, what: str = "file name") -> str:
    """Check that a name names a file in a folder, on every system, and shows as what it is.

    Raises:
        MalformedError: ``bad_file_name``.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        malformed("bad_file_name", f"{what}: expected 1 to {MAX_NAME_CHARACTERS} characters")
    if _HIDDEN.search(name):
        malformed("bad_file_name", f"{what}: expected no control, direction, invisible or private characters")
    if _UNSAFE.search(name):
        malformed("bad_file_name", f'{what}: expected none of / \\ : * ? " < > |')
    if name[0] in " ." or name[-1] in " .":
        malformed("bad_file_name", f"{what}: expected neither a space nor a full stop at its ends")
    if _DEVICE.match(name):
        malformed("bad_file_name", f"{what}: expected no name that some systems keep for a device")
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        malformed("bad_file_name", f"{what}: expected at most {MAX_NAME_BYTES} bytes of UTF-8")
    return name


# --- reading -----------------------------------------------------------------------------------------


def parse_descriptor(data: bytes, what: str = "attachment") -> AttachmentDescriptor:
    """Read a descriptor from the bytes of its part.

    Raises:
        MalformedError: ``bad_file_name``, or not in its one language.
    """
    return descriptor_of(parse_object(data, what), what)


def descriptor_of(value: Any, what: str = "attachment") -> AttachmentDescriptor:
    """Read a descriptor from parsed JSON, as a disclosure shows it; otherwise as `parse_descriptor`."""
    claims = Claims(value, what)
    descriptor = AttachmentDescriptor(
        sha256=claims.digest("sha256"),
        size=claims.integer("size", 1, MAX_FILE_BYTES),
        name=claims.parsed("name", check_file_name),
        media_type=claims.parsed("mediaType", _media_type),
        caption=claims.optional("caption", _caption),
        thumbnail=claims.optional("thumbnail", _thumbnail),
    )
    claims.done()
    return descriptor


def _media_type(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _MEDIA_TYPE.match(value):
        malformed(
            "bad_member", f"{what}: expected a media type in lower case without parameters, e.g. 'image/jpeg'"
        )
    return value


def _caption(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_CAPTION_CHARACTERS or _HIDDEN.search(value):
        malformed(
            "bad_member",
            f"{what}: expected 1 to {MAX_CAPTION_CHARACTERS} characters, none of them a control, direction, "
            "invisible or private one",
        )
    return value


def _thumbnail(value: Any, what: str) -> Thumbnail:
    claims = Claims(value, what)
    thumbnail = Thumbnail(
        claims.choice("mediaType", ThumbnailType),
        claims.integer("width", 1, MAX_THUMBNAIL_PIXELS),
        claims.integer("height", 1, MAX_THUMBNAIL_PIXELS),
        claims.parsed("data", _picture),
    )
    claims.done()
    return thumbnail


def _picture(value: Any, what: str) -> bytes:
    data = parse_base64url(value, what, -(-MAX_THUMBNAIL_BYTES * 4 // 3))
    if not data:
        malformed("bad_member", f"{what}: expected 1 to {MAX_THUMBNAIL_BYTES} bytes, got none")
    return data


# --- the file itself ---------------------------------------------------------------------------------


def verify_file(descriptor: AttachmentDescriptor, blocks: Iterable[bytes | memoryview]) -> None:
    """Check that a file is the one described: after a disclosure, or long after it was saved.

    Args:
        descriptor: from a part that was checked against the commitment of a logged manifest.
        blocks: the file, in blocks of any size.

    Raises:
        SealError: ``file_mismatch``; not beyond the first block that is too much is read.

    Does not prove: what the sealed pieces hold; that is for `sealed_attachments.open_attachment`.
    """
    check = FileCheck(descriptor)
    for block in blocks:
        check.update(block)
    check.finish()


class FileCheck:
    """Compares a file that passes by with its descriptor."""

    __slots__ = ("_descriptor", "_digest", "_size")

    def __init__(self, descriptor: AttachmentDescriptor) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._size = 0

    def update(self, block: bytes | memoryview) -> None:
        """Take the next block.

        Raises:
            SealError: ``file_mismatch``: the file is larger than described.
        """
        self._size += len(block)
        if self._size > self._descriptor.size:
            raise self._error(f"more than {self._descriptor.size} bytes")
        self._digest.update(block)

    def finish(self) -> None:
        """Say that the file has ended.

        Raises:
            SealError: ``file_mismatch``: it is smaller, or another one.
        """
        if self._size != self._descriptor.size:
            raise self._error(f"{self._size} bytes")
        if self._digest.digest() != self._descriptor.sha256:
            raise self._error("another SHA-256")

    def _error(self, got: str) -> SealError:
        return SealError(
            "file_mismatch",
            f"the file is not the one that the message describes: expected {self._descriptor.size} bytes of "
            f"SHA-256 {self._descriptor.sha256.hex()}, got {got}",
        )
