"""Files to be sent with a message: what is given, and what is made of it before it is sealed.

A picture is encoded anew, without what it tells of whoever took it; anything else is sent as it is. What is prepared
is what is sealed: its digest is the one that the content may name (``photographs``), that the commitment binds, and
that a recipient checks.

Source: docs/howto/attachments.md; docs/spec/sealing.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from countermark_client._io import Flow, Sleep
from countermark_client._media import LOOKED_AT, media_type_of
from countermark_protocol.attachments import MAX_ATTACHMENTS, MAX_FILE_BYTES
from countermark_protocol.descriptors import (
    MAX_NAME_BYTES,
    MAX_NAME_CHARACTERS,
    AttachmentDescriptor,
    Thumbnail,
    check_file_name,
)
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError

#: Read at a time.
BLOCK_BYTES: Final = 1024 * 1024
_NO_NAME: Final = "attachment"
#: What no system has in a name, or some takes for something else (`descriptors.check_file_name`).
_UNSAFE: Final = re.compile(r'[/\\:*?"<>|]')

#: What a file is read from: a path, its bytes, an open file, or a call that gives its blocks.
Source = Path | bytes | BinaryIO | Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Attach:
    """A file to be sent with a message.

    Attributes:
        source: path of the file, its bytes, or a binary file that can be sought in, from where it stands; it is read
            twice and not closed.
        name: under which it is offered to the recipient: a file name, no path; the file's own if None.
        media_type: of what cannot be told by content, e.g. ``text/csv``; a picture's is told by its content.
        caption: a line on it, or None.
        as_is: a picture is sent as it is, with all that it tells of camera, place and owner.
    """

    source: Path | str | bytes | BinaryIO = field(repr=False)
    name: str | None = None
    media_type: str | None = None
    caption: str | None = None
    as_is: bool = False


@dataclass(frozen=True, slots=True)
class PreparedAttachment:
    """A file as it will be sealed.

    Attributes:
        name: under which it is offered.
        media_type: told by its content.
        size: in bytes.
        sha256: of the bytes that are sealed, in hexadecimal: what ``photographs`` of a weapon names.
        caption: a line on it, or None.
        thumbnail: of a picture, or None.
        original_sha256: of the file as given; the same where it is sent as it is.
        warnings: for the sender, in words.
        source: of the bytes that are sealed.
        start: where they begin in it.
    """

    name: str
    media_type: str
    size: int
    sha256: str
    caption: str | None
    thumbnail: Thumbnail | None = field(repr=False)
    original_sha256: str
    warnings: tuple[str, ...]
    source: Source = field(repr=False)
    start: int = field(default=0, repr=False)

    @property
    def descriptor(self) -> AttachmentDescriptor:
        """What the message says of it."""
        return AttachmentDescriptor(
            bytes.fromhex(self.sha256), self.size, self.name, self.media_type, self.caption, self.thumbnail
        )

    def blocks(self) -> Iterator[bytes]:
        """The bytes once more, in blocks.

        Raises:
            ConflictError: ``file_changed``: they are not those that were prepared.
        """
        digest, size = hashlib.sha256(), 0
        for block in _blocks(self.source, self.start):
            size += len(block)
            if size > self.size:
                break
            digest.update(block)
            yield block
        if size != self.size or digest.hexdigest() != self.sha256:
            raise ConflictError(
                "file_changed",
                f"'{self.name}' was changed while it was read: nothing was sent; send it again",
            )


def _blocks(source: Source, start: int) -> Iterator[bytes]:
    if callable(source):
        yield from source()
        return
    with _opened(source, start) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


@contextlib.contextmanager
def _opened(source: Path | bytes | BinaryIO, start: int) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        with _readable(source) as file:
            yield file
    else:
        source.seek(start)
        yield source


def _readable(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise NotFoundError(
            "file_not_readable", f"the file {path} cannot be read: {error.strerror or type(error).__name__}"
        ) from None


def _source_of(attach: Attach) -> tuple[Path | bytes | BinaryIO, int]:
    source = attach.source
    if isinstance(source, bytes):
        return source, 0
    if isinstance(source, str | Path):
        return Path(source), 0
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        msg = "expected a path, bytes, or a file opened in binary mode"
        raise TypeError(msg)
    if not source.seekable():
        malformed("not_seekable", "a file object is read twice: expected one that can be sought in")
    return source, source.tell()


def _name_of(attach: Attach) -> str:
    """As the sender says; else the file's own, made such that it names a file on every system.

    Its folders are left away: they tell of the sender's machine.

    Raises:
        MalformedError: ``bad_file_name``: the sender says another thing than a file name.
    """
    if attach.name is not None:
        return check_file_name(attach.name, "the name of the attachment")
    source = attach.source
    given = str(source) if isinstance(source, str | Path) else getattr(source, "name", None)
    if not isinstance(given, str):
        return _NO_NAME
    shown = unicodedata.normalize("NFC", given.rpartition("/")[2])
    shown = "".join(c for c in shown if unicodedata.category(c)[0] != "C")
    safe = Path(_UNSAFE.sub("_", shown).strip(" ."))
    stem, ending = safe.stem, safe.suffix
    for most in range(MAX_NAME_CHARACTERS, 0, -1):
        name = stem[:most].strip(" .") + ending
        if len(name) <= MAX_NAME_CHARACTERS and len(name.encode()) <= MAX_NAME_BYTES:
            with contextlib.suppress(MalformedError):
                return check_file_name(name)
            break
    return _NO_NAME


def prepare(attach: Attach | PreparedAttachment) -> Flow[PreparedAttachment]:
    """Read a file once: its kind, its digest, and, of a picture, the new file and its thumbnail.

    Raises:
        MalformedError: ``bad_file_name``, or a caption that is none; ``empty_attachment``, ``attachment_too_large``,
            ``not_seekable``, ``media_type_mismatch``; ``image_unreadable`` or ``image_too_large`` of a picture that is
            not to be sent as it is.
        NotFoundError: ``file_not_readable``.
        TypeError: `source` is none of what it can be.
    """
    if isinstance(attach, PreparedAttachment):
        return attach
    source, start = _source_of(attach)
    with _opened(source, start) as file:
        size = _size(file, start)
        found = media_type_of(file.read(LOOKED_AT))
        file.seek(start)
        original = yield from _digest(file)
        media_type = _agreed(found, attach.media_type)
        thumbnail, stripped, warnings = None, None, list[str]()
        if media_type.startswith("image/"):
            # Few messages carry pictures, and the decoders take long to load.
            from countermark_client import _images  # noqa: PLC0415

            if media_type in _images.DECODERS:
                file.seek(start)
                if attach.as_is:
                    thumbnail = _images.thumbnail_of(file, media_type)
                else:
                    stripped, thumbnail = _images.strip_image(file, media_type)
                yield Sleep(0)
    if stripped is None and not attach.as_is and not media_type.startswith("text/"):
        warnings.append(
            f"'{_name_of(attach)}' ({media_type}) is sent as it is: what it tells of its maker, device and place stays "
            "in it"
        )
    made = PreparedAttachment(
        name=_name_of(attach),
        media_type=media_type,
        size=size if stripped is None else len(stripped),
        sha256=original if stripped is None else hashlib.sha256(stripped).hexdigest(),
        caption=attach.caption,
        thumbnail=thumbnail,
        original_sha256=original,
        warnings=tuple(warnings),
        source=source if stripped is None else stripped,
        start=start if stripped is None else 0,
    )
    made.descriptor.encode()  # a caption that no reader would take is refused here, before anything is sealed
    return made


def prepare_all(
    attachments: Sequence[Attach | PreparedAttachment],
) -> Flow[tuple[PreparedAttachment, ...]]:
    """Prepare the files of one message.

    Raises:
        CountermarkError: as `prepare`; ``too_many_attachments``.
    """
    if len(attachments) > MAX_ATTACHMENTS:
        raise MalformedError(
            "too_many_attachments",
            f"a message carries at most {MAX_ATTACHMENTS} attachments, got {len(attachments)}: split the message",
        )
    done: tuple[PreparedAttachment, ...] = ()
    for attach in attachments:
        done += ((yield from prepare(attach)),)
    return done


def prepare_now(attach: Attach | PreparedAttachment) -> PreparedAttachment:
    """As `prepare`, at once.

    Raises:
        CountermarkError, TypeError: as `prepare`.
    """
    flow = prepare(attach)
    while True:
        try:
            next(flow)
        except StopIteration as stop:
            made: PreparedAttachment = stop.value
            return made


def _size(file: BinaryIO, start: int) -> int:
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if size < 1:
        malformed("empty_attachment", "a file of an attachment has at least one byte, got an empty one")
    if size > MAX_FILE_BYTES:
        malformed(
            "attachment_too_large",
            f"a file of an attachment has at most {MAX_FILE_BYTES} bytes (2 GiB), got {size}: split it",
        )
    return size


def _digest(file: BinaryIO) -> Flow[str]:
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        yield Sleep(0)  # an event loop's turn
    return digest.hexdigest()


def _agreed(found: str, said: str | None) -> str:
    """What the content tells; of what it does not tell, what the sender says."""
    if said is None or said == found:
        return found
    pictures = found.startswith("image/") or said.startswith("image/")
    if pictures or (found == "application/pdf"):
        malformed(
            "media_type_mismatch",
            f"the file is said to be {said}, but by its content it is {found}: leave the media type away",
        )
    return said
