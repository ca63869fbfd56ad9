"""Moving pieces and large contents between stores, while nodes run.

One by one: copy, read the copy back and check its digest, let the row name the copy, then delete what it named before.
Killed at any moment, nothing is lost: what is not named is an orphan, and what was not moved is moved by the next run.

Source: docs/operations/content-store.md §4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from countermark_broker.errors import FatalError
from countermark_broker.services.content_sweep import delete_doomed
from countermark_broker.services.node import Node
from countermark_broker.store.blobs import new_name
from countermark_broker.store.content import DATABASE, piece_lost
from countermark_broker.store.head import take_lock
from countermark_broker.store.pieces import (
    Blob,
    doom,
    move_blob,
    read_blob,
    read_blobs,
    read_large_contents,
    take_content_out,
)
from countermark_broker.store.reading import read_content
from countermark_protocol.attachments import piece_digest

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Attributes:
        pieces: moved now.
        contents: of messages, moved out of their table now.
        size: bytes of both.
        lost: pieces that were not there, or damaged: they stay as they are.
    """

    pieces: int
    contents: int
    size: int
    lost: int


def move_content(node: Node, to: str, progress: Progress = lambda _done: None) -> Moved:
    """Move everything that lies elsewhere to a place, but small pieces, which stay in or go to the database.

    Args:
        node: opened; others may run, and must know both places.
        to: ``database``, ``folder`` or ``s3``.
        progress: told how many are moved.

    Raises:
        ConfigurationError: ``content_place_unknown``.
        UnavailableError: a store does not answer; what was moved stays moved.
        FatalError: ``copy_differs``: the store gives back something else than it took.
    """
    node.content.store(to)
    done = _Move(node, to, progress)
    done.pieces()
    if to != DATABASE:
        done.contents()
    while delete_doomed(node.content, node):
        pass
    return Moved(done.moved, done.taken_out, done.size, done.lost)


class _Move:
    def __init__(self, node: Node, to: str, progress: Progress) -> None:
        self._node, self._to, self._progress = node, to, progress
        self.moved = self.taken_out = self.size = self.lost = 0

    def pieces(self) -> None:
        for place in (DATABASE, "folder", "s3"):
            after = b""
            while True:
                with self._node.database.reading() as connection:
                    page = read_blobs(connection, after, place)
                if not page:
                    break
                for blob in page:
                    self._piece(blob)
                after = page[-1].digest

    def _piece(self, blob: Blob) -> None:
        node = self._node
        place = node.content.place_for(blob.size, self._to)
        if place == blob.place:
            return
        data = node.content.store(blob.place).get(blob.name)
        if data is None or piece_digest(data) != blob.digest:
            with node.database.reading() as connection:
                if read_blob(connection, blob.digest) == blob:
                    piece_lost(blob.digest)
                    self.lost += 1
            return
        copy = self._copy(blob.digest, data, place)
        with node.database.writing() as connection:
            moved = move_blob(connection, blob, place, copy.name)
            if not moved:
                # Purged or moved by somebody else meanwhile.
                doom(connection, [copy])
        if moved:
            self.moved += 1
            self._count(blob.size)

    def contents(self) -> None:
        above = node_threshold(self._node)
        after = -1
        while True:
            with self._node.database.reading() as connection:
                page = read_large_contents(connection, after, above)
            if not page:
                return
            for message in page:
                self._content(message)
            after = page[-1]

    def _content(self, message: int) -> None:
        node = self._node
        with node.database.reading() as connection:
            data = read_content(connection, message)
        if data is None:
            return
        copy = self._copy(piece_digest(data), data, self._to)
        with node.database.writing() as connection:
            take_lock(connection)
            taken = take_content_out(connection, message, copy)
            if not taken:
                doom(connection, [copy])
        if taken:
            self.taken_out += 1
            self._count(len(data))

    def _copy(self, digest: bytes, data: bytes, place: str) -> Blob:
        store, name = self._node.content.store(place), new_name(digest)
        store.put(name, data)
        if store.get(name) != data:
            raise FatalError(
                "copy_differs",
                f"place '{place}' gives back something else than was stored there",
                "look at that store; nothing was moved that cannot be read where it lay",
            )
        self._node.faults.reach("after_copy_before_commit")
        return Blob(digest, len(data), place, name)

    def _count(self, size: int) -> None:
        self.size += size
        self._progress(self.moved + self.taken_out)


def node_threshold(node: Node) -> int:
    """Bytes above which a content is moved out of its table."""
    return node.settings.content_inline_max
