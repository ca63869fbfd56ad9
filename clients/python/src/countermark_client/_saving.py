"""Writing an opened file to where it is wanted: whole, or not at all.

Source: docs/howto/attachments.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from countermark_client._io import Flow, Sleep
from countermark_client.errors import StorageError
from countermark_protocol.errors import ConflictError

#: After so many bytes an event loop gets its turn.
_TURN_BYTES: Final = 4 * 1024 * 1024


def place_for(to: Path, name: str, *, overwrite: bool) -> Path:
    """Where a file is to be written: under its own name in a folder, or as the path that was said.

    Args:
        to: a folder that is there, or the path of the file.
        name: of the file, for a folder; checked to name a file and no path when the message was opened.
        overwrite: whether one that is there may be replaced.

    Raises:
        ConflictError: ``file_exists``.
    """
    target = to / name if to.is_dir() else to
    if not overwrite and os.path.lexists(target):
        raise _exists(target)
    return target


def name_unlike(name: str, taken: set[str]) -> str:
    """A name that no other attachment of the message has, on a system that does not tell capitals apart either."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    found, number = name, 1
    while found.casefold() in taken:
        number += 1
        found = f"{stem} ({number}){ending}"
    taken.add(found.casefold())
    return found


def _exists(target: Path) -> ConflictError:
    return ConflictError(
        "file_exists", f"{target} exists: choose another place, or say that it may be replaced"
    )


def save_to_path(blocks: Iterator[bytes], target: Path, *, overwrite: bool) -> Flow[None]:
    """Write a file under another name, sync it, and only then give it its own.

    What a crash leaves under the other name is replaced when the file is written again.

    Raises:
        ConflictError: ``file_exists``: it has come to be there meanwhile.
        StorageError: ``file_not_written``.
        CountermarkError: what `blocks` raises; nothing is left behind then.
    """
    new = target.with_name(f".{target.name}.part")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield from _copy(blocks, file)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                new.replace(target)
            else:
                _name_new(new, target)
        finally:
            new.unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise StorageError(
            "file_not_written", f"{target} cannot be written: {error.strerror or type(error).__name__}"
        ) from None


def _name_new(new: Path, target: Path) -> None:
    """Give a file a name that no other file has; a link is never made over one that is there, a rename is."""
    try:
        target.hardlink_to(new)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _exists(target) from None
        new.rename(target)


def save_to_file(open_blocks: Callable[[], Iterator[bytes]], file: BinaryIO) -> Flow[None]:
    """Write a file to an object that cannot take bytes back: opened to its end once before the first is written.

    Raises:
        CountermarkError: what the blocks raise; nothing is written then.
    """
    yield from read_through(open_blocks())
    yield from _copy(open_blocks(), file)


def read_through(blocks: Iterator[bytes]) -> Flow[None]:
    """Open a file to its end, and keep nothing of it.

    Raises:
        CountermarkError: what the blocks raise.
    """
    yield from _copy(blocks, None)


def _copy(blocks: Iterator[bytes], file: BinaryIO | None) -> Flow[None]:
    since = 0
    for block in blocks:
        if file is not None:
            file.write(block)
        since += len(block)
        if since >= _TURN_BYTES:
            since = 0
            yield Sleep(0)


def _sync(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # some systems do not open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
