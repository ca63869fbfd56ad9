"""The composition root: the only place that builds engines, keys and tasks, and puts them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from fastapi import FastAPI

from countermark_broker.api.routes import make_api
from countermark_broker.clock import Clock, SystemClock
from countermark_broker.config import Settings
from countermark_broker.errors import ConfigurationError, FatalError
from countermark_broker.log.appender import Appender
from countermark_broker.log.checkpoint_store import FileCheckpointStore
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints, NoFaults
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
from countermark_broker.log.sequencer import Sequencer
from countermark_broker.log.tree import Tree
from countermark_broker.log.verifier import Verifier
from countermark_broker.metrics import Metrics
from countermark_broker.services.deliver import wake_listeners
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Node
from countermark_broker.services.undelivered import beat_once, keep_watch
from countermark_broker.store.engine import Database, check_durability
from countermark_broker.store.migrate import check_migrated, find_migrations
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import parse_origin

_log = logging.getLogger(__name__)

#: Founding and the broker's keys: a log is served from here on.
_FOUNDED_SIZE = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """A node and what only the composition root needs of it."""

    node: Node
    appender: Appender


def build_parts(
    settings: Settings, keys: Keyring, clock: Clock | None = None, faults: FaultPoints | None = None
) -> Parts:
    """Put a node together; nothing is started, opened or read yet.

    Args:
        settings: of this node.
        keys: with at least a log key and a node key.
        clock: the machine's if None.
        faults: none if None.

    Raises:
        ConfigurationError: a key is missing, or the database is not supported.
    """
    if not keys.log or keys.node is None:
        raise ConfigurationError("bad_key_file", "the key file must hold a log key and a node key")
    origin = parse_origin(settings.origin, "setting 'origin'")
    clock, faults = clock or SystemClock(), faults or NoFaults()
    health, metrics, holder, tree = Health(), Metrics(), DirectoryHolder(), Tree(settings.tile_cache)
    database = Database(
        settings.database, readers=settings.reader_connections, busy_timeout_ms=settings.busy_timeout_ms
    )
    store = FileCheckpointStore(settings.store_directory)
    publisher = Publisher(
        origin=origin,
        database=database,
        store=store,
        holder=holder,
        tree=tree,
        keys={signer.public_key.key_id: signer for signer in keys.log},
        health=health,
        faults=faults,
    )
    appender = Appender(
        origin=origin,
        database=database,
        holder=holder,
        tree=tree,
        clock=clock,
        clock_difference_ms=settings.clock_difference_ms,
        faults=faults,
    )
    sequencer = Sequencer(
        appender=appender,
        publisher=publisher,
        health=health,
        observer=metrics,
        max_group=settings.max_group,
        max_group_recipients=settings.max_group_recipients,
        max_waiting=settings.max_waiting,
    )
    node = Node(
        settings=settings,
        origin=origin,
        clock=clock,
        faults=faults,
        health=health,
        metrics=metrics,
        database=database,
        store=store,
        holder=holder,
        tree=tree,
        verifier=Verifier(settings.threads, settings.max_verifying),
        publisher=publisher,
        sequencer=sequencer,
        node_key=keys.node,
    )
    return Parts(node, appender)


class Broker:
    """A node that can be started and stopped.

    Args:
        parts: from `build_parts`.
    """

    def __init__(self, parts: Parts) -> None:
        self.node = parts.node
        settings = parts.node.settings
        self.listeners = Listeners(settings.max_listeners, settings.max_listeners_each)
        self._tasks: list[asyncio.Task[None]] = []
        self._woken_to = 0
        self._moved = asyncio.Event()

    @property
    def api(self) -> FastAPI:
        """The HTTP application of this node."""
        return make_api(self.node, self.listeners)

    async def start(self) -> None:
        """Check everything, recover, and begin to work. Recovery is step 3 of the commit order, no more.

        Raises:
            ConfigurationError: not migrated, not durable, or not founded.
            FatalError: database and checkpoint store contradict each other: this node must not serve.
        """
        node = self.node
        await check_migrated(node.database, find_migrations(node.settings.migrations))
        await check_durability(node.database)
        checkpoint = await node.publisher.advance()
        if checkpoint.size < _FOUNDED_SIZE:
            raise ConfigurationError("not_founded", "this log is not founded: run `countermark-broker found`")
        self._woken_to = checkpoint.size
        node.publisher.on_advance(lambda _old, _new: self._moved.set())
        node.sequencer.start()
        await beat_once(node)
        for name, task in (("poll", self._poll()), ("wake", self._wake()), ("watch", keep_watch(node))):
            self._tasks.append(asyncio.create_task(task, name=name))

    def begin_stop(self) -> None:
        """Take nothing new and let nobody wait; what was accepted is finished. Safe in a signal handler."""
        self.node.health.stopping = True
        self.listeners.end()

    async def stop(self) -> None:
        """Finish what was accepted, then end."""
        self.begin_stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.node.sequencer.stop()
        self.node.verifier.close()
        await self.node.database.close()

    async def _poll(self) -> None:
        # Other nodes publish too, and a crash may have left a committed head unpublished.
        while True:
            await asyncio.sleep(self.node.settings.store_poll_ms / 1000)
            try:
                await self.node.publisher.advance()
            except FatalError:
                return
            except CountermarkError as error:
                _log.warning("publishing: %s", error)
            except Exception:  # noqa: BLE001  else one unforeseen failure would end the looking for good
                _log.exception("a defect while publishing")

    async def _wake(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            size = self.node.publisher.published.size
            with contextlib.suppress(CountermarkError):
                await wake_listeners(self.node, self.listeners, self._woken_to, size)
                self._woken_to = size
