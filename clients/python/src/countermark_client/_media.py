"""What kind of file something is, told by its content: its name is its sender's word and proves nothing.

Source: docs/howto/attachments.md; the formats' own specifications.
"""

from __future__ import annotations

import codecs
from typing import Final

#: Bytes that are looked at.
LOOKED_AT: Final = 4096
UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"

_BEGINNINGS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
)
#: Brands of the ISO base media file format that hold pictures; the others hold films.
_PICTURES: Final = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "image/heic"),
    b"avif": "image/avif",
    b"avis": "image/avif",
}


def media_type_of(beginning: bytes) -> str:
    """The media type of a file.

    Args:
        beginning: its first `LOOKED_AT` bytes, or all of them.

    Returns:
        `UNKNOWN` where nothing tells; `TEXT` for what is UTF-8 without control characters so far.

    Does not prove: that the rest of the file is of that type.
    """
    if beginning[4:8] == b"ftyp":
        return _PICTURES.get(beginning[8:12], "video/mp4")
    if beginning[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(
            beginning[8:12], UNKNOWN
        )
    for mark, media_type in _BEGINNINGS:
        if beginning.startswith(mark):
            return media_type
    return TEXT if _is_text(beginning) else UNKNOWN


def _is_text(beginning: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return not any(ord(c) < 32 and c not in "\t\r\n\f\x1b" for c in text)
