"""Several workers on one endpoint: leases of positions, and the sweep of what has expired.

Source: docs/spec/api.md §3.8.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from countermark_broker.services.changes import Change, begin_change
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.invitations import has_expired_invitations, sweep_invitations
from countermark_broker.store.leases import (
    give_back,
    has_expired_leases,
    read_leases,
    read_open,
    sweep_leases,
    take,
)
from countermark_broker.store.nonces import has_old_nonces, sweep_nonces
from countermark_broker.store.reading import read_box_state
from countermark_protocol.boxes import Box
from countermark_protocol.errors import CountermarkError
from countermark_protocol.leases import Granted, Lease, LeaseRequest

_log = logging.getLogger(__name__)

_SWEEP_S: Final = 30.0


async def change_leases(node: Node, change: Change, asked: LeaseRequest) -> Granted:
    """Lease positions of one's own box, extend one's own leases, or give them back.

    Args:
        node: this node.
        change: the signed request; the lease is its key's.
        asked: positions of the caller's box, and how long; 0 seconds gives back.

    Raises:
        SignatureError: ``replayed_request`` or ``request_too_old``.
    """
    box, wanted, address = asked.box, sorted(asked.positions), change.caller.address
    if asked.seconds:
        published = node.publisher.published
        known = await node.database.read(read_box_state, address, box, published.size)
        if wanted[-1] >= known.count:
            # Another node may have published it a moment ago, and served it.
            await node.publisher.advance()
    below = node.publisher.published.size

    def work(connection: Connection) -> Granted:
        now = begin_change(node, connection, change)
        if not asked.seconds:
            give_back(connection, address, box, wanted, change.key)
            return Granted((), now)
        until = now + asked.seconds * 1000
        open_ = read_open(connection, address, box, wanted, below)
        return Granted(tuple(take(connection, address, box, open_, change.key, now, until)), until)

    return await node.database.write(work)


async def list_leases(node: Node, caller: Caller, box: Box, first: int, limit: int) -> list[Lease]:
    """Leases of the caller's box that run, by position from `first` on."""

    def look(connection: Connection) -> list[Lease]:
        return read_leases(connection, caller.address, box, first, limit, database_now(connection))

    return await node.database.read(look)


async def sweep_once(node: Node) -> bool:
    """Delete expired leases, nonces and invitations; whether there were any. Any node sweeps for all."""

    def look(connection: Connection) -> bool:
        now = database_now(connection)
        return (
            has_expired_leases(connection, now)
            or has_old_nonces(connection, now)
            or has_expired_invitations(connection, now)
        )

    def sweep(connection: Connection) -> None:
        now = database_now(connection)
        sweep_leases(connection, now)
        sweep_nonces(connection, now)
        sweep_invitations(connection, now)

    # Looked first: a node with nothing to sweep should not take the write lock.
    found = await node.database.read(look)
    if found:
        await node.database.write(sweep)
    return found


async def keep_swept(node: Node) -> None:
    """Sweep until cancelled; a failure is logged and tried again."""
    while True:
        await asyncio.sleep(_SWEEP_S)
        try:
            await sweep_once(node)
        except CountermarkError as error:
            _log.warning("sweeping leases and nonces: %s", error)
        except Exception:  # noqa: BLE001  one unforeseen failure must not end the sweeping for good
            _log.exception("a defect while sweeping leases and nonces")
