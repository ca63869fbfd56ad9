"""The log's state as decisions see it, read from a mirror as it is asked for.

The tables that reports read hold all that a decision looks up, so a replay can stop anywhere and go on, and needs
no more memory than what it has looked at lately.

Source: docs/spec/log.md §6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import Address, MessageId, Origin
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.state import Delivery, DeliveryStage, LogState, MessageState

K = TypeVar("K")
V = TypeVar("V")

#: Things of one sort that are kept in memory; beyond it they are read again.
_KEPT: Final = 100_000


class Looked(dict[K, V], Generic[K, V]):
    """What was looked up or changed; what was not is read when it is asked for.

    Args:
        read: reads it.
        absent: what is not there.
        whole: whether nothing was written before this began: then nothing need be read until something is forgotten.
    """

    def __init__(self, read: Callable[[K], V], absent: V, *, whole: bool) -> None:
        super().__init__()
        self._read = read
        self._absent = absent
        self._whole = whole

    def __missing__(self, key: Any) -> V:
        """Read it."""
        if self._whole:
            return self._absent
        value = self[key] = self._read(key)
        return value

    def trim(self) -> None:
        """Forget all of it, if it has become too much."""
        if len(self) > _KEPT:
            self.clear()
            self._whole = False


class _Roots(Mapping[int, bytes]):
    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __getitem__(self, size: int) -> bytes:
        root = self._tree.root(size)
        if root is None:
            raise KeyError(size)
        return root

    def __iter__(self) -> Iterator[int]:
        return iter(())  # nobody lists them

    def __len__(self) -> int:
        return 0


class StoredState:
    """A `LogState` over a mirror.

    Args:
        mirror: its tables, written up to `size` before anything is asked for again.
        tree: over the log's leaves.
        origin: of the log when it was founded.
        directory: folded up to `size`.
        size: entries that are judged; the next one's index.
    """

    def __init__(self, mirror: Mirror, tree: Tree, origin: Origin, directory: Directory, size: int) -> None:
        self._db = mirror.database
        last = tree.leaf(size - 1)
        self._looked: tuple[Looked[Any, Any], ...] = (
            Looked(self._entry, None, whole=size == 0),
            Looked(self._message, None, whole=size == 0),
            Looked(self._id, None, whole=size == 0),
            Looked(self._parties, frozenset(), whole=size == 0),
            Looked(self._box, BoxState(), whole=size == 0),
            Looked(self._purge, None, whole=size == 0),
        )
        entries, messages, ids, parties, boxes, purges = self._looked
        self.log = LogState(
            origin=directory.origin() if directory.count else origin,
            directory=directory,
            frontier=tree.frontier_at(size),
            time=parse_leaf(last).time if last is not None else 0,
            entries=entries,
            messages=messages,
            ids=ids,
            parties=parties,
            boxes=boxes,
            roots=_Roots(tree),
            purges=purges,
        )

    def trim(self) -> None:
        """Forget what has become too much; to be called once all of it is written."""
        for looked in self._looked:
            looked.trim()

    def _entry(self, payload: bytes) -> int | None:
        # Directory statements stand in the mirror before they are judged here.
        row = self._db.execute(
            "SELECT min(idx) FROM entries WHERE payload = ? AND idx < ?", (payload, self.log.size)
        ).fetchone()
        return None if row is None else row[0]

    def _message(self, payload: bytes) -> MessageState | None:
        row = self._db.execute(
            "SELECT idx, sender, id, type, conversation, exercise, expires_at FROM messages WHERE payload = ?",
            (payload,),
        ).fetchone()
        if row is None:
            return None
        deliveries = self._db.execute(
            "SELECT recipient, stage, stage_idx, undelivered_idx FROM deliveries WHERE message = ?",
            (payload,),
        )
        return MessageState(
            payload_hash=payload,
            index=row[0],
            sender=Address(row[1]),
            id=MessageId(row[2]),
            type=row[3],
            conversation=row[4],
            exercise=bool(row[5]),
            expires_at=row[6],
            deliveries={Address(r[0]): Delivery(DeliveryStage(r[1]), r[2], r[3]) for r in deliveries},
        )

    def _id(self, key: tuple[Address, MessageId]) -> bytes | None:
        row = self._db.execute("SELECT payload FROM messages WHERE sender = ? AND id = ?", key).fetchone()
        return None if row is None else row[0]

    def _parties(self, conversation: bytes) -> frozenset[Address]:
        rows = self._db.execute(
            "SELECT sender FROM messages WHERE conversation = ?1 UNION SELECT d.recipient FROM messages m "
            "JOIN deliveries d ON d.message = m.payload WHERE m.conversation = ?1",
            (conversation,),
        )
        return frozenset(Address(r[0]) for r in rows)

    def _box(self, key: tuple[Address, Box]) -> BoxState:
        row = self._db.execute(
            "SELECT position, head FROM boxes WHERE endpoint = ? AND box = ? ORDER BY position DESC LIMIT 1",
            (key[0], key[1].value),
        ).fetchone()
        return BoxState() if row is None else BoxState(row[0] + 1, row[1])

    def _purge(self, payload: bytes) -> int | None:
        row = self._db.execute("SELECT purged_idx FROM messages WHERE payload = ?", (payload,)).fetchone()
        return None if row is None else row[0]
