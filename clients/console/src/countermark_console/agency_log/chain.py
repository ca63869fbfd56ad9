"""The hash chain of the agency's log, apart from where it is kept.

Entry n is hashed with the hash of entry n-1 (32 zero bytes before the first). Change, removal and insertion
of any entry show in `verify_chain`; removal of the last ones shows against a head that was kept elsewhere.

Source: docs/operations/console.md §6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countermark_console.errors import ChainError

START: Final = bytes(32)
_LABEL: Final = b"countermark console log v1\x00"


@dataclass(frozen=True, slots=True)
class Entry:
    """One action.

    Attributes:
        number: from 1.
        at: ms since 1970.
        who: name of the account; ``console`` for the program itself.
        what: the action, such as ``sign-in`` (`actions.py`).
        object: what it was done to, such as a message's id; may be empty.
        detail: in words or as JSON; may be empty. Never key material or a message's content.
        hash: 32 bytes.
    """

    number: int
    at: int
    who: str
    what: str
    object: str
    detail: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Up to where a chain goes: the number of its last entry (0: none) and its hash."""

    number: int = 0
    hash: bytes = START

    def __str__(self) -> str:
        """For people, to be written down: ``17:5f…``."""
        return f"{self.number}:{self.hash.hex()}"


def parse_head(text: str) -> Head:
    """The inverse of ``str(head)``.

    Raises:
        ChainError: ``not_a_head``.
    """
    number, _, digest = text.strip().partition(":")
    try:
        head = Head(int(number), bytes.fromhex(digest))
    except ValueError:
        head = Head(-1)
    if head.number < 0 or len(head.hash) != len(START):
        raise ChainError(
            "not_a_head", "expected a head such as 17:5f… (number, colon, 64 hexadecimal digits)"
        )
    return head


def chain(head: Head, at: int, who: str, what: str, object_: str, detail: str) -> Entry:
    """The entry that follows a head."""
    return Entry(
        head.number + 1, at, who, what, object_, detail, _hash(head, at, (who, what, object_, detail))
    )


def _hash(head: Head, at: int, texts: Iterable[str]) -> bytes:
    data = b"".join(
        len(encoded).to_bytes(4, "big") + encoded for encoded in (text.encode() for text in texts)
    )
    return hashlib.sha256(
        _LABEL + head.hash + (head.number + 1).to_bytes(8, "big") + at.to_bytes(8, "big") + data
    ).digest()


def verify_chain(entries: Iterable[Entry], expected: Head | None = None) -> Head:
    """Check a whole chain, from its first entry on.

    Args:
        entries: in the order of their numbers.
        expected: a head that was kept elsewhere: the chain must pass through it.

    Returns:
        Its head.

    Raises:
        ChainError: ``entry_missing``, ``entry_changed``, ``entries_removed``, ``other_history``.
    """
    head = Head()
    passed = expected is None or expected == head
    for entry in entries:
        if entry.number != head.number + 1:
            raise ChainError(
                "entry_missing", f"expected entry {head.number + 1} of the agency's log, got {entry.number}"
            )
        if entry.hash != _hash(head, entry.at, (entry.who, entry.what, entry.object, entry.detail)):
            raise ChainError(
                "entry_changed", f"entry {entry.number} of the agency's log is not what was written"
            )
        head = Head(entry.number, entry.hash)
        if expected is not None and head.number == expected.number:
            if head != expected:
                raise ChainError("other_history", f"entry {head.number} is not the one whose hash was kept")
            passed = True
    if not passed:
        assert expected is not None
        raise ChainError(
            "entries_removed",
            f"the agency's log ends at {head.number}, but entry {expected.number} was written",
        )
    return head
