"""Deleting pieces: uploads that no message has claimed in time, and what a purge or a move has left to be deleted.

Any node does it, and several may at once: rows go under the lock, and deleting a blob twice is deleting it once.

Source: docs/spec/api.md §3.14; docs/operations/content-store.md §5.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.services.node import Node
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.head import take_lock
from countermark_broker.store.pieces import end_uploads, has_ended, read_doomed, strike_doomed
from countermark_protocol.errors import CountermarkError

_log = logging.getLogger(__name__)

_HOUR_MS: Final = 3_600_000
#: A page at a time under the lock, and others have their turn.
_PAUSE_S: Final = 0.02


async def sweep_once(node: Node) -> int:
    """Delete what is due, all of it; how many pieces were dropped or deleted from stores."""
    age = node.settings.content_unclaimed_h * _HOUR_MS

    def end(connection: Connection) -> tuple[int, int]:
        take_lock(connection)
        return end_uploads(connection, database_now(connection) - age)

    done, ended = 0, 1
    while ended and await node.database.read(_anything_ended, age):
        ended, dropped = await node.database.write(end)
        node.metrics.pieces.labels("unclaimed").inc(dropped)
        done += dropped
        await asyncio.sleep(_PAUSE_S)
    while deleted := await node.content.run(delete_doomed, node):
        node.metrics.pieces.labels("deleted").inc(deleted)
        done += deleted
    return done


def _anything_ended(connection: Connection, age: int) -> bool:
    # So that nobody takes the lock for nothing.
    return has_ended(connection, database_now(connection) - age)


def delete_doomed(content: ContentStore, node: Node) -> int:
    """Delete a page of what no row names from the stores outside the database; how many.

    Raises:
        UnavailableError, OverloadedError: a store; what was not deleted stays on the list.
    """
    with node.database.reading() as connection:
        page = read_doomed(connection, content.places)
    done: list[str] = []
    try:
        for place, name in page:
            node.faults.reach("after_doom_before_delete")
            content.store(place).delete(name)
            done.append(name)
    finally:
        if done:
            with node.database.writing() as connection:
                strike_doomed(connection, done)
    return len(done)


async def keep_content_swept(node: Node) -> None:
    """Sweep until this node stops for good; a failure is logged, and tried again the next time."""
    while node.health.fatal is None and not node.health.stopping:
        outcome = "failed"
        try:
            await sweep_once(node)
            outcome = "done"
        except (CountermarkError, FatalError) as error:
            _log.warning("deleting pieces: %s", error)
        except Exception:  # noqa: BLE001  one unforeseen failure must not end the sweeping for good
            _log.exception("a defect while deleting pieces")
        node.metrics.content_sweeps.labels(outcome).inc()
        await asyncio.sleep(node.settings.content_sweep_ms / 1000)
