"""A node that runs: its tasks, and how it starts and stops. What it is made of is put together in `parts`."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fastapi import FastAPI

from countermark_broker.api.routes import make_api
from countermark_broker.errors import ConfigurationError, FatalError, UnavailableError
from countermark_broker.parts import Parts
from countermark_broker.services.content_sweep import keep_content_swept
from countermark_broker.services.deliver import wake_listeners
from countermark_broker.services.leases import keep_swept
from countermark_broker.services.listeners import Listeners, measure
from countermark_broker.services.maintenance import check_keys
from countermark_broker.services.retention import keep_purging
from countermark_broker.services.stamping import Stamping
from countermark_broker.services.undelivered import beat_once, keep_watch
from countermark_broker.services.webhooks import WebhookSender
from countermark_broker.services.witnessing import Witnessing
from countermark_broker.store.migrate import check_migrated, find_migrations
from countermark_protocol.errors import CountermarkError

_log = logging.getLogger(__name__)

#: Founding and the broker's keys: a log is served from here on.
_FOUNDED_SIZE = 2
#: Before listening again to a database that went away.
_LISTEN_AGAIN_S = 1.0
#: Before waking again who waits, where it failed.
_WAKE_AGAIN_S = 0.5


class Broker:
    """A node that can be started and stopped.

    Args:
        parts: of the node.
    """

    def __init__(self, parts: Parts) -> None:
        self.node = parts.node
        settings = parts.node.settings
        self.listeners = Listeners(settings.max_listeners, settings.max_listeners_each)
        self._tasks: list[asyncio.Task[None]] = []
        self._woken_to = 0
        self._moved = asyncio.Event()
        self._heard = asyncio.Event()

    @property
    def api(self) -> FastAPI:
        """The HTTP application of this node."""
        return make_api(self.node, self.listeners)

    async def start(self) -> None:
        """Check everything, recover, and begin to work. Recovery is step 3 of the commit order, no more.

        Raises:
            ConfigurationError: not migrated, not durable, or not founded.
            FatalError: database and checkpoint store contradict each other, or this node holds other keys than the
                directory's: it must not serve.
        """
        node = self.node
        check_migrated(node.database, find_migrations(node.settings.migrations))
        node.database.check_durability()
        await asyncio.to_thread(node.store.check, node.database)
        await asyncio.to_thread(node.content.open)
        checkpoint = await node.publisher.advance()
        if checkpoint.size < _FOUNDED_SIZE:
            raise ConfigurationError("not_founded", "this log is not founded: run `countermark-broker found`")
        # Before anything is taken: what is committed and cannot be signed would stop every node.
        await check_keys(node)
        calls = node.settings.webhooks and not node.settings.read_only
        sender = WebhookSender(node) if calls else None
        stamps = node.settings.timestamp_authorities and not node.settings.read_only
        stamping = Stamping(node) if stamps else None
        self._woken_to = checkpoint.size
        node.publisher.on_advance(lambda _old, _new: self._moved.set())
        node.sequencer.start()
        tasks = {"poll": self._poll(), "listen": self._listen(), "wake": self._wake()}
        if not node.settings.read_only:
            # Whose clock is wrong still serves what is published; the watch says again and again why it does not beat.
            with contextlib.suppress(UnavailableError):
                await beat_once(node)
            tasks |= {"watch": keep_watch(node), "sweep": keep_swept(node), "witness": Witnessing(node).run()}
            tasks["content"] = keep_content_swept(node)
            if stamping is not None:
                tasks["stamp"] = stamping.run()
            if node.settings.retention_purges:
                tasks["retention"] = keep_purging(node)
        if sender is not None:
            node.publisher.on_advance(lambda _old, _new: sender.wake())
            tasks["webhooks"] = sender.run()
        for name, task in tasks.items():
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
        await asyncio.to_thread(self.node.content.close)
        await self.node.database.close()
        await asyncio.to_thread(self.node.store.close)

    async def _poll(self) -> None:
        # Other nodes publish too, and a crash may have left a committed head unpublished.
        while True:
            # Another worker may be the one who is asked for the figures of all.
            measure(self.node, self.listeners)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.node.settings.store_poll_ms / 1000):
                    await self._heard.wait()
            self._heard.clear()
            try:
                await self.node.publisher.advance()
            except FatalError:
                measure(self.node, self.listeners)
                return
            except CountermarkError as error:
                _log.warning("publishing: %s", error)
            except Exception:  # noqa: BLE001  else one unforeseen failure would end the looking for good
                _log.exception("a defect while publishing")

    async def _listen(self) -> None:
        # A wake-up only: what it misses is found by polling. It ends where the database is away, so again.
        loop = asyncio.get_running_loop()

        def heard() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._heard.set)

        while self.node.database.kind == "postgresql":
            await asyncio.to_thread(self.node.database.listen, heard, lambda: self.node.health.stopping)
            await asyncio.sleep(_LISTEN_AGAIN_S)

    async def _wake(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            size = self.node.publisher.published.size
            try:
                await wake_listeners(self.node, self.listeners, self._woken_to, size)
                self._woken_to = size
                continue
            except CountermarkError as error:
                _log.warning("waking: %s", error)
            except Exception:  # noqa: BLE001  else long-polls here would never be woken again
                _log.exception("a defect while waking")
            # Who waits must not depend on whether something else is published.
            self._moved.set()
            await asyncio.sleep(_WAKE_AGAIN_S)
