"""A broker with one planted defect, run as ``python planted.py <defect> serve --home …``.

Each defect is planted from outside, into the running program: the product has no switch for any of them. They show
that the checker can fail (test_planted.py).
"""
# ruff: noqa: PLC0415  what a defect changes is imported where it is planted

from __future__ import annotations

import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from countermark_broker.config import PREFIX
from countermark_protocol.authors import Signers, signer_of
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document
from countermark_protocol.records import InstanceKey

#: How often the write-behind cache of `answered_before_durable` reaches the disk: later than a test kills it.
FLUSH_S = 60


def without_deduplication() -> None:
    """A payload, and a (sender, id), is never looked for: whatever is sent again is logged again.

    The database would still refuse it (a message that is sent again would be answered 422, which the checker finds
    too); so its constraints go as well.
    """
    _drop_constraints()
    from countermark_broker.log import appender
    from countermark_broker.services import accept
    from countermark_protocol import appending

    async def nothing(*_: Any) -> None:
        return None

    accept._find = nothing  # type: ignore[assignment]
    decided = appending.append_statement

    def forgetful(state: Any, statement: Any, leaf_time: int, secret: bytes) -> Any:
        state.entries[statement.document.payload_hash] = None
        manifest = getattr(statement, "manifest", None)
        if manifest is not None:
            state.ids[manifest.sender, manifest.id] = None
        return decided(state, statement, leaf_time, secret)

    def decide(state: Any, item: Any, leaf_time: int) -> Any:
        return appender.Appended(forgetful(state, item.statement, leaf_time, os.urandom(32)))

    original = appender.Appender._decide

    def choose(self: Any, state: Any, item: Any, leaf_time: int, held: Any) -> Any:
        is_message = hasattr(item.statement, "manifest")
        return decide(state, item, leaf_time) if is_message else original(self, state, item, leaf_time, held)

    appender.Appender._decide = choose  # type: ignore[method-assign]


def _drop_constraints() -> None:
    home = Path(sys.argv[sys.argv.index("--home") + 1])
    with sqlite3.connect(home / "broker.sqlite3", isolation_level=None) as connection:
        connection.execute("PRAGMA legacy_alter_table=ON")
        for table in ("entries", "messages"):
            [(made,)] = connection.execute(
                "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
            ).fetchall()
            free = re.sub(r",\s*CONSTRAINT uq_\w+ UNIQUE \([^)]*\)", "", made)
            if free != made:
                connection.execute(f"ALTER TABLE {table} RENAME TO old")
                connection.execute(free)
                connection.execute(f"INSERT INTO {table} SELECT * FROM old")
                connection.execute("DROP TABLE old")


def _every_third_position(change: int) -> None:
    from countermark_protocol import appending
    from countermark_protocol.boxes import BoxState

    extend, count = appending.extend_box, [0]

    def wrong(secret: bytes, owner: Any, box: Any, before: Any, index: int, statement: bytes) -> Any:
        count[0] += 1
        if count[0] % 3 == 0 and before.count > 1:
            before = BoxState(before.count + change, before.head)
        return extend(secret, owner, box, before, index, statement)

    appending.extend_box = wrong  # type: ignore[assignment]


def positions_with_gaps() -> None:
    """Now and then a position of a box is left out."""
    _every_third_position(1)


def positions_twice() -> None:
    """Now and then a position of a box is given twice, and what stood there is overwritten."""
    from countermark_broker.store import writing
    from countermark_broker.store.tables import box_rows

    _every_third_position(-1)
    write = writing.write_changes

    def overwrite(connection: Any, changes: Any) -> None:
        for row in changes.box_rows:
            same = zip(box_rows.primary_key.columns, row, strict=False)
            connection.execute(box_rows.delete().where(*(column == value for column, value in same)))
        write(connection, changes)

    _replace(write, overwrite)


def answered_before_durable() -> None:
    """Commits go into a cache that reaches the disk later: what is answered meanwhile is not durable."""
    home = Path(sys.argv[sys.argv.index("--home") + 1])
    real, cache = home / "broker.sqlite3", home / f"cache-{os.getpid()}.sqlite3"
    _copy(real, cache)
    os.environ[f"{PREFIX}DATABASE_URL"] = f"sqlite:///{cache}"

    def flush() -> None:
        while True:
            time.sleep(FLUSH_S)
            _copy(cache, real)

    threading.Thread(target=flush, daemon=True).start()


def _copy(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as reading, sqlite3.connect(target) as writing:
        reading.backup(writing)


def notices_too_early() -> None:
    """Expiry and grace are not waited for: a message not collected at once is told to be undelivered."""
    from countermark_broker.services import undelivered
    from countermark_protocol import decision

    due = undelivered.read_due
    undelivered.read_due = lambda connection, expired_by, limit, below: due(  # type: ignore[assignment]
        connection, expired_by + 10**12, limit, below
    )
    decided = decision._decide_undelivered

    def hasty(state: Any, statement: Any, leaf_time: int) -> Any:
        return decided(state, statement, leaf_time + 10**12)

    decision._decide_undelivered = hasty


def notices_twice() -> None:
    """The first notice about each message is forgotten: it is made again."""
    from dataclasses import replace

    from countermark_broker.store import writing
    from countermark_protocol import decision
    from countermark_protocol.state import DeliveryStage

    decided = decision._decide_undelivered
    forgotten: set[bytes] = set()

    def forgetful(state: Any, statement: Any, leaf_time: int) -> Any:
        notice = statement.notice
        message = state.messages[notice.message]
        held = message.deliveries.get(notice.recipient)
        if held is not None and held.stage is DeliveryStage.OPEN:
            state.messages[notice.message] = message.with_delivery(
                notice.recipient, replace(held, undelivered_index=None)
            )
        return decided(state, statement, leaf_time)

    decision._decide_undelivered = forgetful
    add = writing.Changes._add_deliveries

    def still_due(self: Any, message: Any, index: int) -> None:
        add(self, message, index)
        if message.payload_hash in forgotten:
            return
        for rows in (self.new_deliveries, self.moved_deliveries):
            for key, (number, recipient, stage, stage_entry, noticed, _) in list(rows.items()):
                if noticed is not None and stage == DeliveryStage.OPEN.value:
                    rows[key] = (number, recipient, stage, stage_entry, noticed, message.expires_at)
                    forgotten.add(message.payload_hash)

    writing.Changes._add_deliveries = still_due  # type: ignore[method-assign]


def expired_accepted() -> None:
    """Whether a message has expired is not looked at."""
    from countermark_protocol import decision

    decision.check_times = lambda *_: None


def answered_before_published() -> None:
    """The checkpoint store is said to have been advanced; most of the time it was not."""
    from countermark_broker.log import checkpoint_store

    store = checkpoint_store.FileCheckpointStore
    advance, count = store.advance, [0]

    def hasty(self: Any, size: int, root: bytes, note: bytes) -> bool:
        count[0] += 1
        return count[0] % 8 != 0 or advance(self, size, root, note)

    store.advance = hasty  # type: ignore[method-assign]


def released_unsigned() -> None:
    """Stanzas and contents go to every recipient, signed for or not."""
    from countermark_broker.services import release

    async def nothing(*_: Any) -> None:
        return None

    release._demand_delivered = nothing


def signed_by_anybody() -> None:
    """Any key that the directory knows may sign for any endpoint."""
    from countermark_protocol import decision

    _replace(decision.authenticate, anybody)


def anybody(directory: Directory, document: Document, *_: Any) -> Signers:
    """Stands for `authenticate`: whose key it is, and whether it counts, is not looked at."""
    key_id = signer_of(document)
    key = directory.public_key(key_id)
    assert key is not None
    return Signers(key_id, InstanceKey(key, "anybody"))


def refusals_take_ids() -> None:
    """What is refused keeps its id all the same."""
    from countermark_broker.log import appender
    from countermark_protocol.errors import ConflictError

    decide = appender.Appender._decide
    used: dict[tuple[str, str], bytes] = {}

    def remember(self: Any, state: Any, item: Any, leaf_time: int, held: Any) -> Any:
        manifest = getattr(item.statement, "manifest", None)
        if manifest is None:
            return decide(self, state, item, leaf_time, held)
        key, name = (manifest.sender, manifest.id), item.statement.document.payload_hash
        if used.get(key, name) != name:
            return appender.Refused(ConflictError("id_reused", "used"), leaf_time, state.size)
        outcome = decide(self, state, item, leaf_time, held)
        if isinstance(outcome, appender.Refused):
            used[key] = name
        return outcome

    appender.Appender._decide = remember  # type: ignore[method-assign]


def others_rows() -> None:
    """Of two recipients each is shown the other's row."""
    from dataclasses import replace

    from countermark_broker.services import deliver

    made = deliver._entry

    def swapped(record: Any, placed: Any, path: Any, owner: Any, box: Any) -> Any:
        entry = made(record, placed, path, owner, box)
        if entry.recipient is None or len(record.rows) < 2:
            return entry
        other = next(row for row in record.rows if row.endpoint != owner)
        at = deliver.recipient_path(record.rows, other.endpoint)
        return replace(entry, recipient=deliver.OwnRecipient(other, at))

    deliver._entry = swapped


def _replace(old: Any, new: Any) -> None:
    """Put a function in another's place, wherever a module has imported it by name."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("countermark"):
            for name, value in list(vars(module).items()):
                if value is old:
                    setattr(module, name, new)


DEFECTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        without_deduplication,
        positions_with_gaps,
        positions_twice,
        answered_before_durable,
        notices_too_early,
        notices_twice,
        expired_accepted,
        answered_before_published,
        released_unsigned,
        signed_by_anybody,
        refusals_take_ids,
        others_rows,
    )
}


def main() -> None:
    """Plant the defect that is named first, then be the broker's command line."""
    from countermark_broker.cli import main as command_line

    DEFECTS[sys.argv.pop(1)]()
    command_line()


if __name__ == "__main__":
    main()
