"""Errors of the client alone; all others are those of `countermark_protocol.errors`."""

from __future__ import annotations

from typing import ClassVar

from countermark_protocol.errors import CountermarkError


class StorageError(CountermarkError):
    """The profile's own store cannot be read or written: the disk is full or broken, or the file is damaged."""

    hint: ClassVar[str] = (
        "make room on the disk or restore the profile from its backup, then call again; what was logged is not lost"
    )
