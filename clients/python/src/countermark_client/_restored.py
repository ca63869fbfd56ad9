"""A profile restored from a backup: compared with the box ``sent`` before it sends anything.

A backup is old by the time it is needed. What it knows to wait may have been logged since; what was made after
it is not in it at all. The log holds both: the first is recognised by its payload hash and not sent again, the
second bears this profile's own key and is adopted only by this procedure, and told. What was handed in under a
reference is known by it again (_references.py).

What the key signed *before* the backup was made stands in it, since a statement is written before it is sent: an
entry of that age that is not known is an alarm here as everywhere.

A post without a line is compared by the bundle that answers its first one (_bundle_post.py).

Source: docs/spec/backup.md §3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from countermark_client._boxes import Boxes
from countermark_client._halting import RESTORED
from countermark_client._io import Flow
from countermark_client._keeping import BoxStatement
from countermark_client._log import LogView
from countermark_client._references import References
from countermark_client._session import Session
from countermark_client._settling import Settler
from countermark_client._store import OutboxItem, OutboxState
from countermark_protocol.boxes import Box
from countermark_protocol.claims import KIND_NAMES, Claims
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import ConflictError
from countermark_protocol.manifest import Manifest
from countermark_protocol.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Adopted:
    """An entry that this profile's key signed after the backup was made.

    Attributes:
        index: of the log entry.
        time: of its leaf, ms since 1970.
        message: payload hash, 32 bytes.
        statement: what it says. The content of a message is not known here: only its recipients can open it.
    """

    index: int
    time: int
    message: bytes
    statement: BoxStatement


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison of a restored profile with ``sent`` found.

    Attributes:
        made_at: when the backup was made, ms since 1970.
        recognised: statements of the outbox that were logged meanwhile; they are not sent again.
        adopted: entries made after the backup, now known.
        waiting: statements of the outbox that are not in the log: the next `flush` sends them.
    """

    made_at: int
    recognised: tuple[OutboxItem, ...]
    adopted: tuple[Adopted, ...]
    waiting: tuple[OutboxItem, ...]


def mark_of(made_at: int, size: int) -> bytes:
    """What a restored profile keeps until it was compared.

    Args:
        made_at: when the backup was made, ms since 1970.
        size: of the newest checkpoint that it had verified.
    """
    return encode_json({"made_at": made_at, "size": size})


class Restored:
    """The comparison of one restored profile."""

    def __init__(self, session: Session, log: LogView, settler: Settler, boxes: Boxes) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._settler = settler
        self._boxes = boxes

    def compare(self, *, adopt: bool) -> Flow[Compared]:
        """See `Client.compare_restored`; all of it or nothing."""
        with self.adopting() as made_at:
            if made_at is None:
                raise ConflictError(
                    "not_restored", "this profile was not restored from a backup, or compared since"
                )
            with self._log.all_or_nothing():
                return (yield from self._compare(made_at, adopt=adopt))

    @contextlib.contextmanager
    def adopting(self) -> Iterator[int | None]:
        """While ``sent`` is read here, what is younger than the backup is no alarm; `take_over` has it then.

        Yields:
            When the backup was made, ms since 1970; None where there is nothing to compare.
        """
        mark = self._log.restored
        if mark is None:
            yield None
            return
        claims = Claims(parse_object(mark, "mark of a restored profile"), "mark of a restored profile")
        made_at, size = claims.time("made_at"), claims.integer("size")
        claims.done()
        keeper = self._boxes.keeper
        keeper.adopting, keeper.adopted = size, []
        try:
            yield made_at
        finally:
            keeper.adopting, keeper.adopted = None, []

    def take_over(self, *, adopt: bool) -> tuple[Adopted, ...]:
        """Adopt what was read of this profile's own and is not known to it; in the transaction that read it.

        Raises:
            ConflictError: ``entries_to_adopt``: there is some, and it is not to be adopted.
        """
        adopted = tuple(
            Adopted(e.index, e.leaf.time, e.document.payload_hash, e.statement)
            for e in self._boxes.keeper.adopted
        )
        if adopted and not adopt:
            raise ConflictError(
                "entries_to_adopt",
                f"the log holds {len(adopted)} entries that this profile's key signed after the backup was made: look "
                "at them, then adopt them; if any is not yours, revoke the key",
                entries=[_facts(one) for one in adopted],
            )
        references = References(self._store)
        for one in adopted:
            if isinstance(one.statement, Manifest):
                references.adopt(one.statement.id, one.message)
        return adopted

    def compared(self) -> None:
        """From now on the profile sends again: ``sent`` was read to its end."""
        self._store.set_meta(RESTORED, None)

    def _compare(self, made_at: int, *, adopt: bool) -> Flow[Compared]:
        yield from self._log.sync()
        yield from self._boxes.read_all(Box.SENT)
        adopted = self.take_over(adopt=adopt)
        recognised: list[OutboxItem] = []
        signer = self._session.signer()
        for item in self._store.outbox(OutboxState.WAITING, OutboxState.FAILED):
            if (yield from self._settler.find(item, signer)):
                after = self._store.outbox_item(item.payload)
                assert after is not None
                recognised.append(after)
        self.compared()
        return Compared(
            made_at,
            tuple(recognised),
            adopted,
            tuple(self._store.outbox(OutboxState.WAITING, OutboxState.FAILED)),
        )


def _facts(one: Adopted) -> dict[str, object]:
    statement = one.statement
    if isinstance(statement, Manifest):
        what = f"message {statement.type}"
    elif isinstance(statement, Receipt):
        what = f"receipt {statement.stage.value}"
    else:
        what = KIND_NAMES[statement.header.kind]
    return {"index": one.index, "time": one.time, "statement": one.message.hex(), "what": what}
