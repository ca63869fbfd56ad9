"""Webhooks: registering, and the task that tells receivers that a box of theirs moved.

At least once, coalesced, and only a hint: whoever never hears a look still reads its boxes by polling. Any node
tells for all; which one does is settled by a claim in the database, and what a dying node had claimed is told by
another once the claim lapses.

Source: docs/spec/api.md §6; Standard Webhooks 1.0.0.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from countermark_broker.errors import OverloadedError
from countermark_broker.services.accounts import refused_request
from countermark_broker.services.changes import Change, begin_change
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.outbound import (
    AddressRule,
    Answered,
    Poster,
    Target,
    make_tls,
    parse_target,
)
from countermark_broker.services.resolving import SystemResolver
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.webhooks import (
    Errand,
    Failure,
    Owed,
    Patience,
    claim_due,
    count_webhooks,
    delete_webhooks,
    has_due,
    postpone,
    put_webhook,
    read_webhooks,
    release,
    settle,
)
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import labelled_hmac
from countermark_protocol.errors import ConflictError, CountermarkError, PolicyError, TransportError
from countermark_protocol.keys import Algorithm
from countermark_protocol.webhooks import Look, Webhook, sign_look

_log = logging.getLogger(__name__)

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
#: ms to wait after the first failure, the second, and so on: the schedule of Standard Webhooks.
SCHEDULE: Final = (
    5_000,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
_SPREAD: Final = 0.2
#: A receiver may ask for patience, but not for ever.
_MAX_RETRY_AFTER: Final = 24 * _HOUR
_BUSY: Final = frozenset({429, 503})
_GONE: Final = 410
#: ms beyond the time that an errand can take, before its claim lapses.
_CLAIM_MARGIN: Final = 30_000
#: ms after which a look that had no turn is due again.
_POSTPONED: Final = 5_000
_COUNT_S: Final = 30.0
#: Looking for what is due may take this part of the time, however many webhooks there are: 1 in 10.
_REST: Final = 9.0
_MAX_REST_S: Final = 10.0


# --- registering ---------------------------------------------------------------------------------------


async def set_webhook(node: Node, change: Change, url: str, boxes: Sequence[Box]) -> list[Webhook]:
    """Register a URL of the caller, or set it anew; all its webhooks.

    Args:
        node: this node.
        change: the signed request.
        url: to call.
        boxes: whose moves are told.

    Raises:
        MalformedError: ``webhook_url``.
        NegativeAnswer: refused by rule: ``webhooks_off``, ``webhooks_unsupported``, ``webhook_not_https``,
            ``webhook_address_refused`` or ``too_many_webhooks``.
        SignatureError: ``replayed_request`` or ``request_too_old``.
    """
    checkpoint = node.publisher.published

    def work(connection: Connection) -> list[Webhook]:
        now = begin_change(node, connection, change)
        put_webhook(connection, change.caller.address, url, boxes, now, os.urandom(16))
        return read_webhooks(connection, change.caller.address)

    try:
        _check_possible(node)
        target = parse_target(url, allow_http=node.settings.webhook_allow_http)
        AddressRule(node.settings.webhook_allowed_networks).check_literal(target)
        return await node.database.write(work)
    except (PolicyError, ConflictError) as error:
        raise await refused_request(node, checkpoint, change.caller, error) from None


def _check_possible(node: Node) -> None:
    if not node.settings.webhooks:
        raise PolicyError("webhooks_off", "this broker calls nobody: read boxes by long-poll")
    directory = node.holder.current
    keys = directory.keys(directory.log().broker)
    # A look is signed by whichever node sends it; the specification knows Ed25519 only.
    if keys is None or all(k.key.algorithm is not Algorithm.ED25519 for k in keys.signing):
        raise PolicyError(
            "webhooks_unsupported",
            "no node of this broker has an Ed25519 key, by which webhooks are signed: read boxes by long-poll",
        )


async def remove_webhooks(node: Node, change: Change, url: str | None) -> list[Webhook]:
    """Remove one webhook of the caller, or all; those that are left. One that is not there is no failure.

    Raises:
        SignatureError: ``replayed_request`` or ``request_too_old``.
    """

    def work(connection: Connection) -> list[Webhook]:
        begin_change(node, connection, change)
        delete_webhooks(connection, change.caller.address, url)
        return read_webhooks(connection, change.caller.address)

    return await node.database.write(work)


async def list_webhooks(node: Node, caller: Caller) -> list[Webhook]:
    """The caller's webhooks and how they fare."""
    return await node.database.read(read_webhooks, caller.address)


# --- telling -------------------------------------------------------------------------------------------


class Posts(Protocol):
    """Posts to URLs that others chose (`outbound.Poster`)."""

    async def post(self, target: Target, headers: dict[str, str], body: bytes, whose: str) -> Answered:
        """Post once; see `outbound.Poster.post`."""
        ...


def look_id(errand: Errand, owed: Owed) -> str:
    """The id of a look: the same for every try by any node, another once the box has moved on."""
    mac = labelled_hmac("look", errand.salt, owed.box.value.encode(), owed.length.to_bytes(8, "big"))
    return f"look_{mac[:16].hex()}"


@dataclass(frozen=True, slots=True)
class _Outcome:
    told: dict[Box, int]
    failure: Failure | None
    #: Whether it got as far as the receiver, which is to blame for nothing else.
    tried: bool = True


class WebhookSender:
    """Tells receivers of moved boxes, for this node's part.

    Args:
        node: this node.
        posts: makes the calls; from the settings if None.
        schedule: ms to wait after the first failure, the second, and so on.
        now: the clock that all nodes share, ms since 1970.
        chance: a number from 0 to 1, for the spread of waits.
    """

    def __init__(
        self,
        node: Node,
        posts: Posts | None = None,
        *,
        schedule: tuple[int, ...] = SCHEDULE,
        now: Callable[[Connection], int] = database_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._node = node
        self._resolver: SystemResolver | None = None
        if posts is None:
            settings = node.settings
            self._resolver = SystemResolver()
            ca = settings.webhook_ca_file
            posts = Poster(
                AddressRule(settings.webhook_allowed_networks),
                self._resolver,
                make_tls(settings.home / ca if ca is not None else None),
                settings.webhook_timeout_s,
            )
        self._posts = posts
        self._schedule = schedule
        self._now = now
        self._chance = chance
        self._woken = asyncio.Event()
        self._running: dict[asyncio.Task[None], bytes] = {}

    @property
    def possible(self) -> bool:
        """Whether this node can sign looks that receivers believe."""
        node = self._node
        key = node.node_key.public_key
        if not node.settings.webhooks or key.algorithm is not Algorithm.ED25519:
            return False
        directory = node.holder.current
        return directory.node_key(key.key_id)

    def wake(self) -> None:
        """Boxes have moved: look at once, not only at the next turn."""
        self._woken.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        node = self._node
        if node.settings.webhooks and node.node_key.public_key.algorithm is not Algorithm.ED25519:
            _log.warning("this node's key is not Ed25519: it sends no webhooks")
        counted = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                try:
                    await self.begin_due()
                    if loop.time() - counted > _COUNT_S:
                        counted = loop.time()
                        on, off = await node.database.read(count_webhooks)
                        node.metrics.webhooks.labels("on").set(on)
                        node.metrics.webhooks.labels("off").set(off)
                except CountermarkError as error:
                    _log.warning("webhooks: %s", error)
                except Exception:  # noqa: BLE001  one unforeseen failure must not end the telling for good
                    _log.exception("a defect in the webhooks")
                await self._wait(loop.time() - began)
        finally:
            await self._stop()

    async def _wait(self, spent: float) -> None:
        # Bursts become one look; a poll finds what no wake-up told of: times that came, claims that lapsed.
        settings = self._node.settings
        pause = min(settings.webhook_pause_ms, settings.store_poll_ms) / 4000
        await asyncio.sleep(min(max(pause, spent * _REST), _MAX_REST_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.store_poll_ms / 1000):
                await self._woken.wait()
        self._woken.clear()

    async def _stop(self) -> None:
        claims = list(self._running.values())
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._resolver is not None:
            self._resolver.close()
        if claims:
            # Else others would wait for the claims to lapse.
            with contextlib.suppress(CountermarkError):
                await self._node.database.write(release, claims)

    async def begin_due(self) -> int:
        """Begin to tell what is owed, as far as there is room; how many errands were begun."""
        free = self._node.settings.webhook_concurrency - len(self._running)
        if free <= 0 or not self.possible:
            return 0
        errands = await self._claim(free)
        for errand in errands:
            task = asyncio.create_task(self._run_errand(errand))
            self._running[task] = errand.claim
            task.add_done_callback(self._ended)
        return len(errands)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()

    async def finish(self) -> None:
        """Wait for the errands under way."""
        while self._running:
            await asyncio.gather(*self._running)
            await asyncio.sleep(0)

    async def _claim(self, most: int) -> list[Errand]:
        node = self._node

        def look(connection: Connection) -> bool:
            return has_due(connection, self._now(connection))

        def claim(connection: Connection) -> list[Errand]:
            now = self._now(connection)
            until = now + int(len(Box) * node.settings.webhook_timeout_s * 1000) + _CLAIM_MARGIN
            claims = [os.urandom(16) for _ in range(most)]
            return claim_due(connection, now, until, claims, node.publisher.published.size)

        # Looked first: a node with nothing to tell should not take the write lock.
        return await node.database.write(claim) if await node.database.read(look) else []

    async def _run_errand(self, errand: Errand) -> None:
        try:
            outcome = await self._tell(errand)
            await self._settle(errand, outcome)
        except CountermarkError as error:
            # The claim lapses, and the errand is run again.
            _log.warning("webhook of %s: %s", errand.endpoint, error)
        except Exception:  # noqa: BLE001  a defect with one receiver must not reach the others
            _log.exception("a defect while telling a webhook of %s", errand.endpoint)

    async def _tell(self, errand: Errand) -> _Outcome:
        told: dict[Box, int] = {}
        node = self._node
        if node.holder.current.keys(errand.endpoint) is None:
            return _Outcome(told, Failure("endpoint_not_standing"))
        for owed in errand.owed:
            look = Look(look_id(errand, owed), errand.endpoint, owed.box, owed.moved_at)
            try:
                # Parsed anew: what was allowed when it was registered may not be any more.
                target = parse_target(errand.url, allow_http=node.settings.webhook_allow_http)
                # In a thread: the key may be in a token.
                headers, body = await asyncio.to_thread(
                    sign_look, look, node.node_key, node.clock.now_ms() // 1000
                )
                answered = await self._posts.post(target, headers, body, errand.endpoint)
            except OverloadedError:
                return _Outcome(told, None, tried=False)
            except (PolicyError, TransportError) as error:
                return _Outcome(told, Failure(error.code))
            failure = _judge(answered)
            if failure is not None:
                return _Outcome(told, failure)
            told[owed.box] = owed.length
        return _Outcome(told, None)

    async def _settle(self, errand: Errand, outcome: _Outcome) -> None:
        node, failure = self._node, outcome.failure
        patience = Patience(
            self._schedule,
            node.settings.webhook_give_up_h * _HOUR,
            node.settings.webhook_pause_ms,
            1 + self._chance() * _SPREAD,
        )

        def record(connection: Connection) -> bool:
            now = self._now(connection)
            if not outcome.tried:
                postpone(connection, errand, outcome.told, now + _POSTPONED)
                return False
            return settle(connection, errand, outcome.told, failure, now, patience)

        off = await node.database.write(record)
        node.metrics.webhook_looks.labels("told").inc(len(outcome.told))
        if failure is not None:
            node.metrics.webhook_looks.labels("failed").inc()
            # Never the URL: its path may be a secret of the receiver.
            _log.info("webhook of %s: %s", errand.endpoint, failure.error)
        if off:
            node.metrics.webhooks_off.inc()
            _log.warning(
                "a webhook of %s is switched off after failing with %s: its endpoint must set it again",
                errand.endpoint,
                failure.error if failure is not None else "",
            )


def _judge(answered: Answered) -> Failure | None:
    status = answered.status
    if 200 <= status < 300:
        return None
    wait = answered.retry_after if status in _BUSY else None
    return Failure(
        f"status_{status}",
        gone=status == _GONE,
        retry_after=min(wait * 1000, _MAX_RETRY_AFTER) if wait is not None else None,
    )
