"""The load: senders, workers and a watcher, each a client of its own, over real HTTP; every call is recorded.

Clients behave as docs/spec/messages.md asks: what is not answered is sent again, the same bytes, in order. Among
what they send are repeats, changed payloads under a used id, forged, forbidden, expired and early messages, receipts
that are not due, and requests for what is not the caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fault.client import PATIENCE_S, Client
from fault.history import Call, Recorder
from fault.sending import BRIEF_MS, Sender
from fault.watching import fetch_again, read_store, watch, watch_store
from fault.working import Worker
from fault.world import IGNORED, ROUTES, FaultWorld
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI, Sealed

#: Messages of each route.
EACH = 20
_WORKERS = ((KAMPALA, 0), (KAMPALA, 1), (LYON, 0), (BRUSSELS, 1), (NAIROBI, 0))


class Load:
    """All clients of a round.

    Args:
        world: whose endpoints they are.
        seed: of the round.
        each: messages of each route.
        store: the checkpoint store's file; None if it is not to be read.
    """

    def __init__(self, world: FaultWorld, seed: str, each: int = EACH, store: Path | None = None) -> None:
        self.world, self.seed, self.store = world, seed, store
        self.recorder = Recorder()
        self.urls: Sequence[str] = ()
        self.given_up = False
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self.sent: list[Sealed] = []
        self.receipts: dict[str, list[bytes]] = {}
        self._known: set[bytes] = set()
        self._moved = threading.Condition()
        self.total = each * len(ROUTES)
        self._sending = [self.sender(number, each) for number in range(len(ROUTES))]

    def sender(self, number: int, each: int) -> Sender:
        """Makes the sending client of a route."""
        return Sender(self, number, each)

    # --- from outside ---

    def start(self, urls: Sequence[str]) -> None:
        """Let all clients begin."""
        self.urls = urls
        self._senders = self._threads((f"sender {i}", one.work) for i, one in enumerate(self._sending))
        others: list[tuple[str, Callable[[Client], None]]] = [
            (f"worker {n} of {address}", Worker(self, address, n).work) for address, n in _WORKERS
        ]
        self._others = self._threads([*others, ("watcher", watch), ("store", watch_store)])
        for thread in (*self._senders, *self._others):
            thread.start()

    def _threads(self, works: Iterable[tuple[str, Callable[[Client], None]]]) -> list[threading.Thread]:
        return [threading.Thread(target=self._run, args=work) for work in works]

    @property
    def acknowledged(self) -> int:
        """Messages acknowledged so far."""
        return len(self.sent)

    @property
    def briefly(self) -> int:
        """Those of them that expire soon and are left to expire."""
        return sum(
            one.manifest.sender == IGNORED[1]
            and one.manifest.expires_at - one.manifest.sent_at <= BRIEF_MS + 1_000
            for one in self.sent[:]
        )

    def wait_for(self, count: int) -> None:
        """Wait until so many messages are acknowledged, or nothing more will be."""
        self.wait_until(lambda: self.acknowledged >= count)

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until something holds of what is acknowledged, or nothing more will be."""
        with self._moved:
            self._moved.wait_for(lambda: reached() or not self.sending(), PATIENCE_S)

    def sending(self) -> bool:
        """Whether a sender still has something to send."""
        return any(thread.is_alive() for thread in self._senders)

    def finish(self) -> None:
        """Wait until all is sent and answered, then end the others.

        Raises:
            TimeoutError: a client was not answered, although it should have been.
        """
        for thread in self._senders:
            thread.join()
        self.ended.set()
        for thread in self._others:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def look_again(self) -> None:
        """After everything: read the store, and fetch what receivers signed for once more; recorded like the rest."""
        if self.store is not None:
            read_store(self, "end")
        client = Client(self, "end")
        try:
            fetch_again(client)
        finally:
            client.close()

    def _run(self, name: str, work: Callable[[Client], None]) -> None:
        client = Client(self, name)
        try:
            work(client)
        except BaseException as error:
            self.errors.append(error)
            self.given_up = True
        finally:
            client.close()
            with self._moved:
                self._moved.notify_all()

    # --- from its clients ---

    def note(self, sealed: Sealed, call: Call) -> None:
        """Keep a message if it is acknowledged now."""
        if call.accepted:
            with self._moved:
                if sealed.payload_hash not in self._known:
                    self._known.add(sealed.payload_hash)
                    self.sent.append(sealed)
                self._moved.notify_all()
