"""Succession: a log that cannot go on, and the one that begins with its leaves under the next name.

The governors close a log by a `governance` statement that is made for the next name and says which log it
succeeds, from which size and root on. The successor's leaves below that size are the predecessor's, byte for
byte; so indexes, boxes, ids and the directory go on by themselves, and only the name is a question of the index.

Source: docs/spec/log.md §10; docs/adr/0017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_hex
from countermark_protocol.errors import ConflictError, PolicyError, VerificationError
from countermark_protocol.identifiers import Origin, parse_origin


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The log that another one succeeds.

    Attributes:
        origin: its name.
        size: how many of its leaves the successor begins with; the index of the succession itself.
        root: over these leaves, 32 bytes.
    """

    origin: Origin
    size: int
    root: bytes

    def to_json(self) -> JsonObject:
        """``{"origin": …, "size": …, "root": …}``."""
        return {"origin": self.origin, "size": self.size, "root": encode_hex(self.root)}


def parse_predecessor(value: Any, what: str) -> Predecessor:
    """Parse the member ``predecessor`` of a record of the log."""
    claims = Claims(value, what)
    out = Predecessor(claims.parsed("origin", parse_origin), claims.integer("size", 1), claims.digest("root"))
    claims.done()
    return out


def next_origin(origin: Origin) -> Origin:
    """The name of the log that succeeds another: its own with the next number.

    Raises:
        MalformedError: ``not_an_origin``: there is no room for it.
    """
    stem, slash, last = origin.rpartition("/")
    if slash and last.isascii() and last.isdigit():
        return parse_origin(f"{stem}/{int(last) + 1}", "the successor's name")
    return parse_origin(f"{origin}/2", "the successor's name")


def check_log(stated: Origin, current: Origin, predecessor: Predecessor | None = None) -> None:
    """Check that a statement is made for the log that it is put into.

    Args:
        stated: ``log`` of its payload.
        current: name of the log before its leaf.
        predecessor: what its record of the log says that it succeeds, if it does.

    Raises:
        VerificationError: ``wrong_log``.
        PolicyError: ``wrong_predecessor``: it succeeds another log than this.
    """
    expected = current
    if predecessor is not None:
        if predecessor.origin != current:
            raise PolicyError(
                "wrong_predecessor",
                f"this log is '{current}', the statement succeeds '{predecessor.origin}': draft it anew",
            )
        expected = next_origin(current)
    if stated != expected:
        raise VerificationError(
            "wrong_log", f"this statement was made for log '{stated}', expected '{expected}'"
        )


def check_predecessor(predecessor: Predecessor, size: int, root: bytes) -> None:
    """Check that a succession goes on exactly where it says.

    Args:
        predecessor: as stated.
        size: index of its leaf.
        root: over the leaves before it, 32 bytes.

    Raises:
        ConflictError: ``predecessor_size``, ``predecessor_root``.
    """
    if predecessor.size != size:
        raise ConflictError(
            "predecessor_size",
            f"the succession goes on from size {predecessor.size}, this log has {size} entries before it",
        )
    if predecessor.root != root:
        raise ConflictError(
            "predecessor_root",
            f"the succession states another root for size {size} than these leaves give: they are of another history",
        )
