"""Whether a picture that came tells where, when or by what it was made; seen from its outline, without decoding it.

A sender's client writes pictures anew unless it is told otherwise, and other software may not. What is found is told,
so that nobody passes on unawares where an informant stood. A picture is recognised by its first bytes, never by what
its sender calls it. What this finds is no proof, and what it does not find neither.

Source: docs/spec/messages.md §7.18, rule 13; ITU-T T.81 Annex B (JPEG), W3C PNG §11, RFC 9649 (WebP), TIFF 6.0,
ISO/IEC 14496-12 (HEIF).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final, Literal

#: Where a generator asks for more than that in one read, the file is none of these forms.
_MOST_READ: Final = 64 * 1024
#: Asked for: so many bytes; negative: so many are passed over, and nothing is given.
_Parser = Generator[int, bytes, None]

_PNG_TEXT: Final = {b"tEXt", b"zTXt", b"iTXt"}
_TIFF_TAGS: Final = {
    700: "XMP",
    33723: "IPTC",
    34665: "EXIF",
    34853: "GPS",
    271: "maker",
    272: "model",
    306: "time",
}
_HEIF_BRANDS: Final = {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"hevc"}


class MetadataScan:
    """Looks at a file that passes by.

    Attributes:
        found: kinds of metadata, in the order in which they stand; empty where there is none, or no picture.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._waiting = bytearray()
        self._parser: _Parser | None = _outline(self.found)
        self._wanted = next(self._parser)

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, looked at."""
        for block in blocks:
            self._take(block)
            yield block

    def _take(self, block: bytes) -> None:
        if self._parser is None:
            return
        self._waiting += block
        try:
            while self._parser is not None:
                if self._wanted < 0:
                    passed = min(-self._wanted, len(self._waiting))
                    del self._waiting[:passed]
                    self._wanted += passed
                    if self._wanted:
                        return
                    self._wanted = self._parser.send(b"")
                elif len(self._waiting) >= self._wanted:
                    given = bytes(self._waiting[: self._wanted])
                    del self._waiting[: self._wanted]
                    self._wanted = self._parser.send(given)
                else:
                    return
                if self._wanted > _MOST_READ:
                    break
        except StopIteration:
            pass
        self._parser = None
        self._waiting.clear()


def _outline(found: list[str]) -> _Parser:
    start = yield 2
    if start == b"\xff\xd8":
        yield from _jpeg(found)
    elif start == b"\x89P":
        if (yield 6) == b"NG\r\n\x1a\n":
            yield from _png(found)
    elif start == b"RI":
        if (yield 10)[6:] == b"WEBP":
            yield from _webp(found)
    elif start in {b"II", b"MM"}:
        yield from _tiff(found, "little" if start == b"II" else "big")
    else:
        size = int.from_bytes(start + (yield 2), "big")
        if (yield 4) == b"ftyp" and (yield 4) in _HEIF_BRANDS:
            yield from _heif(found, size - 12)


def _add(found: list[str], name: str | None) -> None:
    if name is not None and name not in found:
        found.append(name)


def _passed_over(size: int) -> _Parser:
    if size > 0:
        yield -size


def _jpeg(found: list[str]) -> _Parser:
    while True:
        first, marker = yield 2
        if first != 0xFF or marker in {0xDA, 0xD9}:  # the picture itself begins
            return
        size = int.from_bytes((yield 2), "big") - 2
        if size < 0:
            return
        start = (yield min(size, 32)) if size else b""
        if marker == 0xE1:
            _add(
                found, "EXIF" if start.startswith(b"Exif\0") else "XMP" if b"ns.adobe.com" in start else None
            )
        elif marker == 0xED:
            _add(found, "IPTC")
        elif marker == 0xE2 and start.startswith(b"MPF\0"):
            _add(found, "another picture")
        elif marker == 0xFE:
            _add(found, "comment")
        yield from _passed_over(size - len(start))


def _png(found: list[str]) -> _Parser:
    while True:
        head = yield 8
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            return
        if kind == b"eXIf":
            _add(found, "EXIF")
        elif kind == b"tIME":
            _add(found, "time")
        elif kind in _PNG_TEXT:
            start = (yield min(size, 32)) if size else b""
            size -= len(start)
            _add(found, "XMP" if start.startswith(b"XML:com.adobe.xmp") else "text")
        yield from _passed_over(size + 4)


def _webp(found: list[str]) -> _Parser:
    while True:
        head = yield 8
        size = int.from_bytes(head[4:], "little")
        _add(found, {b"EXIF": "EXIF", b"XMP ": "XMP"}.get(head[:4]))
        yield from _passed_over(size + size % 2)


def _tiff(found: list[str], order: Literal["little", "big"]) -> _Parser:
    head = yield 6
    if int.from_bytes(head[:2], order) != 42:
        return
    yield from _passed_over(int.from_bytes(head[2:], order) - 8)
    for _ in range(int.from_bytes((yield 2), order)):
        _add(found, _TIFF_TAGS.get(int.from_bytes((yield 12)[:2], order)))


def _heif(found: list[str], left: int) -> _Parser:
    yield from _passed_over(left)
    while True:
        head = yield 8
        size = int.from_bytes(head[:4], "big") - 8
        if size < 0:
            return
        if head[4:] == b"meta":
            listed = (yield min(size, _MOST_READ)) if size else b""
            _add(found, "EXIF" if b"Exif" in listed else None)
            _add(found, "XMP" if b"application/rdf+xml" in listed else None)
            return
        yield from _passed_over(size)
