"""Purging what has been kept as long as its originator asked for.

A purge is a statement like any other: the decision checks that the time has passed and that nothing is purged twice, so
there is exactly one a message on any number of nodes. What is looked at here only says when it is worth trying.

Source: docs/spec/audit.md §4; docs/operations/running-a-broker.md §9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from countermark_broker.errors import FatalError
from countermark_broker.log.appender import Appended, Appender, Failed, Outcome, Refused, Submitted
from countermark_broker.services.content_sweep import delete_doomed
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.retention import (
    Kept,
    look_through,
    read_ended,
    strike_off,
    write_looked,
)
from countermark_broker.store.writing import NOTHING
from countermark_protocol.acts import Purge, PurgeGround
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.statements import read_statement, verify_statement

_log = logging.getLogger(__name__)

#: Between two pages of a log that is looked through for the first time, so that a node goes on serving meanwhile.
_PAUSE_S: Final = 0.02


async def list_once(node: Node) -> bool:
    """Look through the next published entries for messages to be listed; whether there were any entries."""
    looked = await node.database.read(look_through, node.publisher.published.size)
    if looked.next == looked.first:
        return False
    await node.database.write(write_looked, looked)
    return True


async def purge_once(node: Node) -> int:
    """Log the purges that are due, up to one batch, on a node that runs; how many messages were looked at."""
    ended, purged = await _ended(node)
    if ended:
        submitted = [_statement(node, one) for one in ended]
        outcomes = await asyncio.gather(*(node.sequencer.submit(one) for one in submitted))
        purged += _settle(node, ended, outcomes)
    if purged:
        await node.database.write(strike_off, purged)
    return len(purged)


async def purge_all(node: Node, appender: Appender) -> list[Kept]:
    """Log all purges that are due, on a node that is not running; others may be.

    Args:
        node: not running.
        appender: its own.

    Returns:
        What was purged by this call.

    Raises:
        CountermarkError: the node cannot append or publish.
    """
    await node.publisher.advance()
    while await list_once(node):
        pass
    done: list[Kept] = []
    while True:
        ended, purged = await _ended(node)
        if ended:
            group = [_statement(node, one) for one in ended]
            outcomes = await asyncio.to_thread(appender.commit, group)
            await node.publisher.advance()
            done += [one for one, o in zip(ended, outcomes, strict=True) if isinstance(o, Appended)]
            purged += _settle(node, ended, outcomes)
        if not purged:
            with suppress(CountermarkError):
                # Else nodes that run do it, or the next one that starts.
                while await node.content.run(delete_doomed, node):
                    pass
            return done
        await node.database.write(strike_off, purged)


async def list_due(node: Node) -> list[Kept]:
    """What `purge_all` would purge now; writes nothing."""
    size = (await asyncio.to_thread(node.store.load)).size

    def look(connection: Connection) -> list[Kept]:
        now = database_now(connection)
        due, _ = read_ended(connection, now, size)
        looked = look_through(connection, size)
        while looked.next > looked.first:
            due += [one for one in looked.kept if one.until <= now]
            looked = look_through(connection, size, looked.next)
        return due

    return await node.database.read(look)


async def _ended(node: Node) -> tuple[list[Kept], list[int]]:
    def look(connection: Connection) -> tuple[list[Kept], list[int]]:
        return read_ended(connection, database_now(connection), node.settings.retention_batch)

    return await node.database.read(look)


def _statement(node: Node, kept: Kept) -> Submitted:
    published, directory = node.publisher.published, node.holder.current
    purge = Purge(
        header=Header(Kind.PURGE, node.origin, Seen(published.size, published.root)),
        author=directory.log().broker,
        message=kept.payload_hash,
        ground=PurgeGround.RETENTION_ENDED,
    )
    document = parse_document(sign_document(encode_json(purge.to_json()), [node.node_key]))
    verified = verify_statement(directory, document)
    return Submitted(read_statement(verified, subject=parse_document(kept.document)), NOTHING)


def _settle(node: Node, ended: Sequence[Kept], outcomes: Sequence[Outcome]) -> list[int]:
    """Indexes of the messages that need not be looked at again.

    Raises:
        Exception: nothing was decided about one.
    """
    purged: list[int] = []
    for one, outcome in zip(ended, outcomes, strict=True):
        if isinstance(outcome, Failed):
            raise outcome.error
        if isinstance(outcome, Appended):
            node.metrics.retention_purges.inc()
        elif isinstance(outcome, Refused) and outcome.error.code != "already_purged":
            # The database's clock was set back, or this node's key counts no more: another time.
            _log.warning("purging entry %d: %s", one.index, outcome.error)
            continue
        purged.append(one.index)
    return purged


async def keep_purging(node: Node) -> None:
    """List and purge until this node stops for good; a failure is logged and tried again the next time."""
    while node.health.fatal is None and not node.health.stopping:
        try:
            more = True
            while more:
                more = await list_once(node)
                await asyncio.sleep(_PAUSE_S)
            while await purge_once(node):
                pass
        except (CountermarkError, FatalError) as error:
            _log.warning("purging what has been kept long enough: %s", error)
        except Exception:  # noqa: BLE001  one unforeseen failure must not end the purging for good
            _log.exception("a defect while purging")
        await asyncio.sleep(node.settings.retention_interval_ms / 1000)
