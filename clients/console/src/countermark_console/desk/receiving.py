"""What comes in, brought to the desk: one thread a console, or one round when asked.

A round may end anywhere, by an error or because the machine stops: what the client has signed for and the desk has not
stored is given out again by the next one, what the desk holds is stored once, and a first round compares all that the
profile holds with all that the desk does. So nothing is lost and nothing stands twice.

Source: docs/spec/messages.md §6; docs/behaviour.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from countermark_client import Client
from countermark_console.desk.cases import Cases
from countermark_console.desk.entries import Entry, kept_entry, received_entry
from countermark_console.desk.shelf import Shelf
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError
from countermark_protocol.receipts import Receipt, Undelivered
from countermark_protocol.tracing.deadlines import REQUEST

_LOG: Final = logging.getLogger(__name__)
#: ms after which cases that run are looked at again: time alone moves deadlines.
_FOLLOW_EVERY: Final = 60_000
#: Rounds after which witnesses are asked about again, where nothing new came.
_WITNESS_EVERY: Final = 5
_SETTLED: Final = frozenset({"accepted", "rejected"})

#: What is told of new messages: entries that were not at the desk before.
Told = Callable[[tuple[Entry, ...]], None]


@dataclass(frozen=True, slots=True)
class ReceivingState:
    """How receiving fares.

    Attributes:
        last_at: ms since 1970 when the broker was last read to its end; None: not yet.
        problem: why it is not read, in words; None if all is well.
        code: of that problem.
        halted: why the client sends and reads nothing any more, until people have looked; or None.
    """

    last_at: int | None = None
    problem: str | None = None
    code: str | None = None
    halted: str | None = None


class Receiving:
    """Brings messages and what becomes of them to the desk.

    Args:
        client: the agency's client; None while its keys are locked.
        shelf: of the desk.
        cases: of the desk.
        clock: ms since 1970.
        told: told of messages that came in, in the thread that receives.
    """

    def __init__(
        self,
        client: Callable[[], Client | None],
        shelf: Shelf,
        cases: Cases,
        clock: Callable[[], int],
        told: Told = lambda _entries: None,
    ) -> None:
        self._client = client
        self._shelf = shelf
        self._cases = cases
        self._clock = clock
        self._told = told
        self._compared_for: Client | None = None
        self._followed_at = 0
        self._rounds = 0
        self._rejected = 0
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.state = ReceivingState()

    # --- the thread ---

    def start(self, every: float = 3.0) -> None:
        """Receive from now on, in a thread of its own.

        Args:
            every: seconds between two looks at the boxes. The client is free for officials in between.
        """
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(every,), name="receiving", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the round that runs."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self) -> None:
        """Look at the boxes now."""
        self._wake.set()

    def _run(self, every: float) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.try_round()
            self._wake.wait(every)

    def try_round(self) -> None:
        """One round; what hinders it is kept in `state`, and the next one begins again."""
        client = self._client()
        if client is None:
            self.state = ReceivingState(self.state.last_at, "the keys are locked", "locked")
            return
        try:
            self.round(client)
        except TransportError as error:
            self.state = ReceivingState(self.state.last_at, error.message, error.code)
        except CountermarkError as error:
            _LOG.warning("receiving stopped at an error", extra={"code": error.code})
            self.state = ReceivingState(self.state.last_at, error.message, error.code, client.halted)
        except Exception:  # noqa: BLE001  see the comment
            # The desk's own database may be away: the thread must outlive it, and the next round begins again.
            _LOG.exception("a round of receiving failed")
            self.state = ReceivingState(self.state.last_at, "the console's own store failed", "store_failed")
        else:
            self.state = ReceivingState(self._clock(), halted=client.halted)

    # --- a round ---

    def round(self, client: Client) -> tuple[Entry, ...]:
        """Read all boxes once; the messages that were new.

        Raises:
            CountermarkError: as the client; what was read so far is stored.
        """
        with self._one_at_a_time:
            moved: set[str] = set()
            if self._compared_for is not client:
                moved |= self._compare(client)
                self._compared_for = client
            new = self._receive(client, moved)
            moved |= self._notices(client)
            self._witnessed(client, anew=bool(new or moved))
            now = self._clock()
            if now - self._followed_at >= _FOLLOW_EVERY:
                moved |= set(self._cases.running())
                self._followed_at = now
            self.follow(client, moved)
            return new

    def _compare(self, client: Client) -> set[str]:
        """Bring the desk up to what the profile holds, after a start or a stop in the middle of something."""
        held = self._shelf.stages()
        moved: set[str] = set()
        for name in client.names():
            key = (name.message.hex(), name.direction)
            known = held.get(key)
            if name.stage in {"listed", "delivered"} and name.direction == "in":
                continue  # the inbox gives it out
            if known is None:
                moved.add(self._add_kept(client, name.message))
            elif name.direction == "in" and known != name.stage:
                self._shelf.set_stage([key[0]], name.stage)
        for waiting in self._shelf.unsettled():
            self._note_receipts(client, waiting)
        return moved | set(self._cases.behind())

    def _add_kept(self, client: Client, message: bytes) -> str:
        item = client.message(message)
        recipients: tuple[str, ...] = ()
        if item.direction == "out":
            recipients = tuple(r.recipient for r in client.status(message).recipients)
        entry = kept_entry(item, recipients)
        self._shelf.add([entry], read_by=client.profile.holder, at=self._clock())
        return entry.conversation

    def _receive(self, client: Client, moved: set[str]) -> tuple[Entry, ...]:
        new: list[Entry] = []
        known = [bytes.fromhex(name) for name in self._shelf.open_hashes()]
        try:
            for received in client.inbox(known=known):
                entry = received_entry(received)
                new += self._shelf.add([entry])
                moved.add(entry.conversation)
        finally:
            if new:
                self._told(tuple(new))
        rejected = client.rejected[self._rejected :]
        self._rejected = len(client.rejected)
        moved |= {self._add_kept(client, one.message) for one in rejected}
        return tuple(new)

    def _notices(self, client: Client) -> set[str]:
        moved = set()
        for notice in client.notices():
            statement = notice.statement
            if isinstance(statement, Receipt):
                messages = [item.message for item in statement.items]
            elif isinstance(statement, Undelivered):
                messages = [statement.message]
            else:
                continue
            for message in messages:
                conversation = self._note_receipts(client, message.hex())
                if conversation is not None:
                    moved.add(conversation)
        return moved

    def _note_receipts(self, client: Client, name: str) -> str | None:
        """Keep what became of a sent message; its conversation, or None if the desk does not hold it."""
        try:
            status = client.status(name)
            stored = self._shelf.get(name)
        except NotFoundError:
            return None
        told: list[JsonObject] = [
            {
                "recipient": one.recipient,
                "stage": one.stage,
                "delivered_at": one.delivered_at,
                "time": one.time,
                "reason": one.reason,
                "undelivered": one.undelivered,
                "late": one.late,
            }
            for one in status.recipients
        ]
        self._shelf.set_receipts(name, told)
        if told and all(one["stage"] in _SETTLED or one["undelivered"] for one in told):
            self._shelf.set_stage([name], "settled", "out")
        return stored.conversation

    def _witnessed(self, client: Client, *, anew: bool) -> None:
        """Note which messages a quorum of witnesses has seen by now."""
        self._rounds += 1
        unseen = self._shelf.unwitnessed()
        if unseen is None or not (anew or self._rounds % _WITNESS_EVERY == 0):
            return
        for index in dict.fromkeys((unseen[1], unseen[0])):
            found = client.witnessed_proof(index)
            if found is not None:
                witnessed, _ = found
                self._shelf.set_witnessed(witnessed.checkpoint.size, witnessed.existed_by)
                return

    # --- after an official's act ---

    def stored(self, client: Client, message: bytes) -> str:
        """Bring a message that was just sent to the desk; its conversation."""
        conversation = self._add_kept(client, message)
        self._note_receipts(client, message.hex())
        self.follow(client, [conversation])
        self.wake()
        return conversation

    def follow(self, client: Client, conversations: Iterable[str]) -> None:
        """Bring cases up to what the desk holds of them."""
        own = client.profile.endpoint
        for conversation in conversations:
            messages = self._shelf.conversation(conversation)
            traced = None
            if any(one.type == REQUEST for one in messages):
                traced = client.trace(bytes.fromhex(messages[0].hash))
            self._cases.follow(conversation, own, traced)
