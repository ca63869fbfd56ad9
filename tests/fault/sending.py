"""The sending clients of the load: good messages until they are answered, and around them what must be refused.

What must be refused goes first, and under the good message's id: a refusal that stored anything of it would show.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from countermark_protocol.claims import Seen
from countermark_protocol.handling import Classification
from countermark_protocol.judging import CLOCK_TOLERANCE
from countermark_protocol.records import Ground, RevocationRecord
from fault.bulk import call_bulk
from fault.client import PATIENCE_S, PAUSE_S, RETRY, Client
from fault.history import Action, Call, Intent
from fault.world import REVOKED, ROUTES, Route
from support.world import BRUSSELS, DAY, KAMPALA, LYON, NAIROBI, Sealed, handling, now_ms, signer

if TYPE_CHECKING:
    from fault.load import Load

#: After how long those that are not to be collected expire.
BRIEF_MS = 500
#: The route whose messages go in bulk submissions, and the one whose sender has a key to revoke.
_IN_BULK, _WITH_REVOCATION = 2, 0
#: Payloads that are handed in otherwise than once, of a hundred.
_AGAIN, _LOOKED_UP = 15, 10
#: What is tried beside a message, by its number: every route tries each.
_TRIED: dict[int, Intent] = {
    0: Intent.FORGED,
    2: Intent.EXPIRED,
    4: Intent.FORBIDDEN,
    6: Intent.FUTURE,
    8: Intent.FORGED,
    10: Intent.SEEN_AHEAD,
    12: Intent.CHANGED,
    14: Intent.SEEN_OTHER,
}
_CYCLE, _STRIDE = 16, 5

Make = Callable[[], Sealed]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message of a route, and what else is tried with it.

    Attributes:
        good: to be sent until it is answered.
        before: to be refused, under the same id, before it is sent: how to make it.
        after: another payload under its id, to be refused once it is logged.
    """

    good: Sealed
    before: tuple[tuple[Intent, Make], ...] = ()
    after: Make | None = None


class Sender:
    """What one sending client does.

    Args:
        load: of which it is a part.
        number: of its route.
        each: messages.
    """

    def __init__(self, load: Load, number: int, each: int) -> None:
        self.load, self.number, self.each = load, number, each
        self.route: Route = ROUTES[number]
        dice = random.Random(f"{load.seed} route {number}")
        # What expires soon is made only when it is sent: it must not expire before.
        self._prepared = [None if self._brief(i) else self.prepare(i, dice) for i in range(each)]

    def _brief(self, number: int) -> bool:
        return self.route.brief and number % 2 == 1

    def prepare(self, number: int, dice: random.Random) -> Prepared:
        """The message of a number, with what is tried beside it."""
        changes: dict[str, Any] = {}
        if self._brief(number):
            changes["expires_at"] = now_ms() + BRIEF_MS
        if self.number == _WITH_REVOCATION and number < self.each // 2 and number % 3 == 0:
            changes["signer"] = self.load.world.worker(NAIROBI, REVOKED)
        good = self._make(**changes)
        intent = _TRIED.get((number + _STRIDE * self.number) % _CYCLE)
        turn = dice.randrange(5) + number
        if intent is None:
            return Prepared(good)
        if intent is Intent.CHANGED:
            return Prepared(good, (), lambda: self._make(id=good.manifest.id))
        return Prepared(good, ((intent, lambda: self._bad(intent, good.manifest.id, turn)),))

    def _make(self, **changes: Any) -> Sealed:
        route = self.route
        visible = {"recipients_visible": True} if route.visible else {}
        return self.load.world.message(
            route.sender, route.recipients, type=route.type, urgency=route.urgency, **(visible | changes)
        )

    def _bad(self, intent: Intent, message_id: str, turn: int) -> Sealed:
        now = now_ms()
        changes: dict[str, Any] = {"id": message_id}
        if intent is Intent.FORBIDDEN:
            changes["handling"] = handling(classification=Classification.SECRET)
        elif intent is Intent.EXPIRED:
            changes |= {"sent_at": now - DAY, "expires_at": now - (1 if turn % 2 else 2_000)}
        elif intent is Intent.FUTURE:
            changes |= {"sent_at": now + CLOCK_TOLERANCE + 20_000, "expires_at": now + 30 * DAY}
        elif intent is Intent.SEEN_AHEAD:
            changes["seen"] = Seen(10**9, b"s" * 32)
        elif intent is Intent.SEEN_OTHER:
            changes["seen"] = Seen(1 + turn % 3, b"r" * 32)
        elif intent is Intent.FORGED:
            return self._forge(message_id, turn)
        return self._make(**changes)

    def _forge(self, message_id: str, turn: int) -> Sealed:
        """Signed by a key that may not: nobody's, another endpoint's, the administrator's, the broker's; or altered."""
        world, sender = self.load.world, self.route.sender
        other = next(a for a in (KAMPALA, LYON, BRUSSELS) if a != sender)
        keys = (
            signer("a stranger"),
            world.worker(other, turn % 2),
            world.agencies[sender].administrator,  # type: ignore[index]
            world.node_key,
        )
        if turn % 5 < len(keys):
            return self._make(id=message_id, signer=keys[turn % 5])
        return altered(self._make(id=message_id))

    # --- what it does ---

    def work(self, client: Client) -> None:
        """Send everything."""
        if self.number == _IN_BULK:
            self.send_in_bulk(client, [one for one in self._prepared if one is not None])
            return
        for i, prepared in enumerate(self._prepared):
            if self.number == _WITH_REVOCATION and i == self.each // 2:
                self._revoke(client)
            self.send(client, prepared or self.prepare(i, client.dice))

    def send(self, client: Client, prepared: Prepared) -> None:
        """Send a message until it is answered, and what is tried beside it."""
        good = prepared.good
        target = f"/v1/statements/{good.payload_hash.hex()}"
        for intent, make in prepared.before:
            self._try(client, make(), intent)

        def try_once() -> Call:
            call = client.call(Action.MESSAGE, "/v1/messages", body=good.data)
            if call.status is None and client.chance(30):
                client.call(Action.PROOF, target, by=self.route.sender)
            return call

        call = client.until_answered(try_once)
        self.load.note(good, call)
        if client.chance(_AGAIN):
            client.call(Action.MESSAGE, "/v1/messages", body=good.data)
        if client.chance(_LOOKED_UP):
            client.call(Action.PROOF, target, by=self.route.sender)
        # Refused, because it expired first: then its id is still free.
        if prepared.after is not None and call.accepted:
            self._try(client, prepared.after(), Intent.CHANGED)

    def _try(self, client: Client, bad: Sealed, intent: Intent) -> None:
        # Once: the clock of a round may jump so that it may be accepted, nothing else may.
        self.load.note(bad, client.call(Action.MESSAGE, "/v1/messages", body=bad.data, intent=intent))

    def send_in_bulk(self, client: Client, prepared: Sequence[Prepared]) -> None:
        """Send messages in requests of a few; what has no verdict goes first into the next one."""
        left = list(prepared)
        tried: set[bytes] = set()
        deadline = time.monotonic() + PATIENCE_S
        while left:
            batch = left[: client.dice.randint(2, 8)]
            submissions: list[tuple[Sealed, Intent]] = []
            for one in batch:
                if one.good.payload_hash not in tried:
                    submissions += [(make(), intent) for intent, make in one.before]
                    tried.add(one.good.payload_hash)
                submissions.append((one.good, Intent.GOOD))
            if client.chance(_AGAIN):
                submissions.append(submissions[-1])
            calls = call_bulk(client, [(sealed.data, intent) for sealed, intent in submissions])
            answered = set()
            for (sealed, _), call in zip(submissions, calls, strict=True):
                self.load.note(sealed, call)
                if call.status not in RETRY:
                    answered.add(sealed.payload_hash)
                    self._try_changed(client, batch, sealed, call)
            left = [one for one in left if one.good.payload_hash not in answered]
            if time.monotonic() > deadline or self.load.given_up:
                last = [(call.status, call.answer[:120]) for call in calls[-2:]]
                msg = f"{client.name} had no verdicts on {len(left)} messages for {PATIENCE_S:.0f} s: {last}"
                raise TimeoutError(msg)
            if not answered:
                time.sleep(PAUSE_S * client.dice.uniform(0.5, 2))

    def _try_changed(self, client: Client, batch: Sequence[Prepared], sealed: Sealed, call: Call) -> None:
        for one in batch:
            if one.good is sealed and one.after is not None and call.accepted:
                self._try(client, one.after(), Intent.CHANGED)

    def _revoke(self, client: Client) -> None:
        """Revoke a key; from then on no node takes what it signs, and knows what it signed before."""
        world = self.load.world
        key = world.worker(NAIROBI, REVOKED)
        record = RevocationRecord(key.public_key.key_id, Ground.REPLACED, None)
        data = world.revocation(key, record, [key])
        client.until_answered(lambda: client.call(Action.STATEMENT, "/v1/statements", body=data))
        for _ in range(2 * len(self.load.urls)):
            bad = self._make(signer=key)
            client.call(Action.MESSAGE, "/v1/messages", body=bad.data, intent=Intent.REVOKED)
            client.fail_over()
        before = self._prepared[0]
        if before is not None:
            client.until_answered(lambda: client.call(Action.MESSAGE, "/v1/messages", body=before.good.data))


def altered(sealed: Sealed) -> Sealed:
    """The same with one bit of its signature changed."""
    document = sealed.document[:-1] + bytes([sealed.document[-1] ^ 1])
    return Sealed(
        sealed.data.replace(sealed.document, document, 1), document, sealed.manifest, sealed.rows,
        sealed.stanzas, sealed.content, sealed.secrets,
    )  # fmt: skip
