"""Stores of blobs: sealed pieces of at most 4 MiB, under names that are never used a second time.

A name is the digest of what lies under it and a random part. Because no name is ever used again, deleting what no row
names can never take what somebody has written anew, whatever the order in which nodes, stores and a crash come.

Source: docs/adr/0031-content-store.md; docs/operations/content-store.md.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from countermark_broker.errors import UnavailableError

#: Bytes of the mark by which a store is known again.
MARK_BYTES: Final = 16
MARK_NAME: Final = "countermark-content-store"
#: ms after which something that no row names was left behind, and is not being written.
ORPHAN_AGE_MS: Final = 3_600_000
#: s within which what is written must be named by a row; well below `ORPHAN_AGE_MS`.
NAMED_WITHIN_S: Final = 1_200
_NAME: Final = re.compile(r"\.?[0-9a-f]{64}\.[0-9a-f]{16}(?:\.part)?\Z")


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What a store says of one blob that it holds.

    Attributes:
        name: of it.
        size: bytes.
        written_at: ms since 1970, by the store's clock.
    """

    name: str
    size: int
    written_at: int


class BlobStore(Protocol):
    """One store; its calls block and are safe from any thread.

    All raise ``UnavailableError`` ``content_store_away`` where the store does not answer or has no room, and
    ``OverloadedError`` ``content_store_busy`` where it says that it has too much to do.
    """

    @property
    def place(self) -> str:
        """``database``, ``folder`` or ``s3``: what the rows call it."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Store a blob; it outlives a power cut once this returns."""
        ...

    def get(self, name: str) -> bytes | None:
        """The blob, or None where there is none."""
        ...

    def delete(self, name: str) -> None:
        """Delete a blob; nothing happens where there is none."""
        ...

    def stored(self) -> Iterator[StoredBlob]:
        """All that lies there, what was not finished included, page by page."""
        ...

    def mark(self) -> bytes | None:
        """The mark by which the store is known again, `MARK_BYTES`; None: it has none yet."""
        ...

    def set_mark(self, mark: bytes) -> None:
        """Give the store its mark."""
        ...

    def check(self) -> None:
        """Look at what a start must know.

        Raises:
            ConfigurationError: it cannot be used as it is set up.
        """
        ...


def new_name(digest: bytes) -> str:
    """A name for what has this digest, that nobody has used or will use."""
    return f"{digest.hex()}.{secrets.token_hex(8)}"


def digest_of(name: str) -> bytes:
    """The digest in a name; nothing says yet that what lies there has it."""
    return bytes.fromhex(name.lstrip(".")[:64])


def is_name(text: str) -> bool:
    """Whether a text is a name of a blob, or of one that was not finished."""
    return _NAME.match(text) is not None


def away(why: str) -> UnavailableError:
    """What to raise where a store does not do what it must."""
    return UnavailableError(
        "content_store_away",
        f"the content store does not take or give pieces at the moment ({why}): nothing is lost; try again, and "
        "tell the broker's operator if it lasts",
    )
