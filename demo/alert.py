"""One alert to two hundred: customs desks of eight more States are enrolled, warned at once, and counted.

Every desk is enrolled by the three steps of docs/howto/enrol-an-agency.md, the steps of one authority's desks together.
Their profiles are in memory, for a folder of each costs a passphrase's derivation and is of no use to the demo; all
else is as in life, and so the broker's limits for one address are off: two hundred desks sit at one machine here.

Source: docs/howto/alerts.md.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from countermark_client import Client, Profile, Rollup, Sent, Settings, fetch_invitation
from countermark_client.statements import sign_gathering
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import PolicyError
from countermark_protocol.invitations import show_code
from demo.exchange import agency_of, handling
from demo.inventions import Inventions
from demo.records import checked
from demo.world import World, fresh_client, fresh_key, fresh_keystore

#: Kenya's neighbours, and theirs; that they take part is made up.
STATES: Final = {
    "bi": "Burundi (exercise)",
    "cd": "DR Congo (exercise)",
    "et": "Ethiopia (exercise)",
    "rw": "Rwanda (exercise)",
    "so": "Somalia (exercise)",
    "ss": "South Sudan (exercise)",
    "tz": "United Republic of Tanzania (exercise)",
    "ug": "Uganda (exercise)",
}
DESKS_EACH: Final = 25
SENDER: Final = "ke.border.malaba"
WHOM: Final = "*.customs.*"
#: Who reads the alert while the demo runs; each folds the whole directory first.
READERS: Final = 10


@dataclass(slots=True)
class Desks:
    """The desks, and what enrolling them took.

    Attributes:
        clients: by address.
        seconds: from the first invitation to the last entry in the log.
    """

    clients: dict[str, Client] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def enrolled_desks(world: World) -> Iterator[Desks]:
    """Admit the States, and enrol their desks."""
    desks, began = Desks(), time.monotonic()
    with httpx.HTTPTransport() as wire:  # one for all: each of their own would be made anew for every desk
        try:
            for code, name in STATES.items():
                key, signer = fresh_key("authority")
                draft = _any(world).drafts.authority(
                    code, name=name, keys=[signer.public_key], roles=["customs"]
                )
                authority = fresh_client(world, f"authorities/{code}", None, [key])
                authority.publish_statement(sign_gathering(draft, world.governors[:2], [signer]))
                _enrol(world, authority, wire, desks, code)
                authority.close()
                authority.profile.close()
            desks.seconds = time.monotonic() - began
            yield desks
        finally:
            for client in desks.clients.values():
                client.profile.close()


def _any(world: World) -> Client:
    return world.clients[SENDER]


def _enrol(world: World, authority: Client, wire: httpx.HTTPTransport, desks: Desks, code: str) -> None:
    """Enrol the desks of one State, step by step, each step for all of them."""
    addresses = [f"{code}.customs.desk-{number:02}" for number in range(1, DESKS_EACH + 1)]
    codes = {address: show_code(authority.invite(address, days=1).code) for address in addresses}
    told: dict[str, str] = {}
    for number, (address, shown) in enumerate(codes.items(), 1):
        invitation, trust = fetch_invitation(shown, world.url, transport=_Shared(wire))
        profile = Profile.in_memory(
            address=invitation.address,
            broker_url=world.url,
            trust=trust.document.data,
            keystore=fresh_keystore(),
            holder="worker-1",
        )
        client = Client(profile, settings=Settings(page_size=500), transport=_Shared(wire))
        desks.clients[address] = client
        told[address] = client.request_enrolment(shown, f"Customs desk {number}")
    for waiting in authority.invitations().waiting:
        authority.approve_enrolment(waiting, told[waiting.pending.address])


class _Shared(httpx.BaseTransport):
    """A transport that outlives the clients that use it."""

    def __init__(self, wire: httpx.HTTPTransport) -> None:
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it over the shared connections."""
        return self._wire.handle_request(request)


class Alert:
    """Sends the alert and follows it.

    Args:
        world: founded, enrolled and served.
        desks: enrolled too.
        inventions: where made-up things are noted.
        tell: says what happens, a line at a time.
    """

    def __init__(
        self, world: World, desks: Desks, inventions: Inventions, tell: Callable[[str], None]
    ) -> None:
        self._world, self._desks, self._tell = world, desks, tell
        self._inventions = inventions
        self._sender = world.clients[SENDER]

    def play(self) -> Rollup:
        """One desk cannot be reached, which is said before; the others are alerted; some read it."""
        unreachable = self._lose_a_key()
        sent = self._send(unreachable)
        self._read(sent)
        self._sender.notices()
        rollup = self._sender.rollup(sent)
        self._tell(f"as {SENDER} has it from receipts: {rollup.summary}")
        first = ", ".join(one.recipient for one in rollup.missing[:3])
        self._tell(f"not collected yet, since entry {sent.index}: {first} and {len(rollup.missing) - 3} more")
        for one in rollup.recipients:
            if one.reason is not None:
                self._tell(f"rejected by {one.recipient} at entry {one.entry}: {one.reason}")
        return rollup

    def _lose_a_key(self) -> str:
        address, client = next(reversed(self._desks.clients.items()))
        keystore = client.profile.keystore
        self._sender.sync()
        draft = self._sender.drafts.revocation(
            keystore.sealing_key().public_key.key_id, ground=self._inventions.make("ground", address, "loss")
        )
        self._sender.publish_statement(sign_gathering(draft, [keystore.signer("administrator")]))
        return address

    def _send(self, unreachable: str) -> Sent:
        content, sender = alert_content(SENDER, self._inventions), self._sender
        sender.sync()

        def send(leave_out: tuple[str, ...]) -> Sent:
            return sender.send(
                "trade-route-alert",
                content,
                [WHOM],
                urgency="urgent",
                handling=handling(),
                exercise=True,
                leave_out=leave_out,
            )

        try:
            send(())
        except PolicyError as refused:
            [problem] = refused.facts["problems"]
            self._tell(
                f"nothing is sent at first: {problem['recipient']}: {problem['message']}; {problem['remedy']}"
            )
        else:
            msg = f"{unreachable} has no key, and was sent to"
            raise RuntimeError(msg)
        began = time.monotonic()
        sent = send((unreachable,))
        seconds = time.monotonic() - began
        item = sender.profile.store.outbox_item(sent.message)
        assert item is not None
        left_out = [one.address for one in sent.left_out]
        self._tell(
            f"then it is sealed once and sent to the other {len(sent.recipients)} in {seconds:.1f} s: entry "
            f"{sent.index}, {len(item.body):,} bytes; left out by name, as recorded: {', '.join(left_out)}"
        )
        return sent

    def _read(self, sent: Sent) -> None:
        """Some desks read it: one takes it in without a word on it yet, one rejects it, the others accept it."""
        reached = [a for a in sent.recipients if a in self._desks.clients]
        readers = [self._desks.clients[a] for a in reached[:: len(STATES) * 3][:READERS]]
        for number, client in enumerate(readers):
            [message] = [m for m in client.inbox() if m.message == sent.message]
            if message.recipients is not None:
                msg = "a recipient was shown the others, which was not chosen"
                raise RuntimeError(msg)
            if number == 1:
                message.reject("not_for_us", "this desk clears parcels alone")
            elif number:
                message.accept()


def alert_content(sender: str, inventions: Inventions) -> JsonObject:
    """A route by which pistols come to the border; all of it is made up."""
    today = dt.datetime.now(dt.UTC).date()
    ref = inventions.make("alert reference", "route to Malaba", "ROUTE-KE-1")
    steps = ({"country": "US"}, {"country": "BE"}, {"country": "KE", "name": "Malaba"})
    segments = [
        {"seq": n, "from": steps[n - 1], "to": steps[n], "mode": "1", "status": "SUSPECTED"}
        for n in range(1, len(steps))
    ]
    return checked(
        "trade-route-alert",
        {
            "alertRef": ref,
            "title": "Pistols in used vehicles, by way of Malaba",
            "validFrom": today.isoformat(),
            "validUntil": (today + dt.timedelta(days=90)).isoformat(),
            "evaluation": inventions.make("evaluation", ref, {"source": "B", "information": "3"}),
            "basis": "TRACE_RESULTS",
            "route": {"segments": inventions.make("route", ref, segments)},
            "acquisition": inventions.make("technique of acquisition", ref, ["STRAW_PURCHASE"]),
            "concealment": inventions.make("concealment", ref, ["VEHICLE_CARGO"]),
            "detectionAdvice": inventions.make("detection advice", ref, "Look behind door panels (exercise)"),
            "commodities": [{"category": "PISTOL", "calibre": {"text": "9mm"}}],
            "recommendedAction": inventions.make("recommended action", ref, ["CHECK", "REPORT"]),
            "contact": agency_of(sender).contact(),
            "language": "en",
        },
    )


def play_alert(world: World, inventions: Inventions, tell: Callable[[str], None]) -> Rollup:
    """Enrol the desks, alert them, follow it; what happened, told line by line."""
    with enrolled_desks(world) as desks:
        tell(
            f"{len(desks.clients)} customs desks of {len(STATES)} more States are enrolled, each invited, with keys of "
            f"its own, compared and approved: {desks.seconds:.0f} s"
        )
        return Alert(world, desks, inventions, tell).play()
