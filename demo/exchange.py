"""The main job: notices, traces and their answers, an alert to a group, and every inbox read and receipted."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from countermark_client import Client, ConversationItem, Draft, Received, Sent
from countermark_protocol.codes.tracing import RefusalReason
from countermark_protocol.encoding import JsonObject
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.messages.tracing_request import TracingAcknowledgement
from countermark_protocol.messages.tracing_response import TracingResponse
from demo import other_notices, records, traces
from demo.inventions import Agency, Inventions
from demo.world import CAST, GROUP, World

Track = Callable[[Iterable[Draft], str, int], Iterable[Draft]]

POLICE = "us.police.delaware"
PROPERTY = "us.police.bloomington"
REGISTRY = "xo-interpol.organisation.firearms"
NATIONAL = "us.contact.national"
#: Who answers which traces is made up: the records name no State of manufacture.
ANSWERING = ("br.contact.national", "be.contact.national", "ke.contact.national")
TRACES = 60
DESTROYED = 40


@dataclass(slots=True)
class Tally:
    """What happened, by message type.

    Attributes:
        sent: messages logged.
        delivered: deliveries signed for (one for each recipient).
        accepted: deliveries accepted.
        rejected: deliveries rejected.
        send_seconds: spent sending what is not an answer.
        read_seconds: spent reading, receipting and answering.
    """

    sent: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    send_seconds: float = 0.0
    read_seconds: float = 0.0


def agency_of(address: str) -> Agency:
    """The agency that plays an endpoint."""
    name, endpoints = CAST[address.split(".", maxsplit=1)[0]]
    return Agency(name, endpoints[address])


def handling(*codes: HandlingCode, originator_control: bool = False) -> Handling:
    """How the demo's messages may be used."""
    keep = dt.datetime.now(dt.UTC) + dt.timedelta(days=5 * 365)
    return Handling(
        tlp=Tlp.AMBER,
        classification=Classification.OFFICIAL,
        codes=codes,
        originator_control=originator_control,
        purpose=UsePurpose.CRIMINAL_INVESTIGATION,
        retention_until=int(keep.timestamp() * 1000),
    )


class Exchange:
    """Plays the exchange in a world.

    Args:
        world: founded, enrolled and served.
        inventions: where made-up things are noted.
        track: shows progress over drafts.
        most: notices of each kind, the first of the register; all if None.
    """

    def __init__(
        self, world: World, inventions: Inventions, track: Track, *, most: int | None = None
    ) -> None:
        self._most = most
        self._world = world
        self._inventions = inventions
        self._track = track
        self.tally = Tally()
        self._today = dt.datetime.now(dt.UTC).date()
        #: The register of those who answer: case reference → row.
        self._register: dict[str, records.Row] = {}
        self._asked_for_more = False
        self._refused = False
        self.sent: dict[str, list[bytes]] = {address: [] for address in world.clients}
        self.requests: list[bytes] = []

    # --- sending ---

    def send_all(self, sender: str, drafts: Sequence[Draft], label: str) -> None:
        """Send drafts in order; whatever is refused ends the demo, for nothing here may be."""
        client = self._world.clients[sender]
        began = time.monotonic()
        for outcome in client.send_bulk(self._track(drafts, label, len(drafts))):
            if outcome.sent is None:
                raise outcome.error or RuntimeError("neither sent nor refused")
            self._note(sender, outcome.sent)
            if outcome.sent.type == "tracing-request":
                self.requests.append(outcome.sent.message)
        self.tally.send_seconds += time.monotonic() - began

    def _note(self, sender: str, sent: Sent) -> None:
        self.tally.sent[sent.type] += 1
        self.sent[sender].append(sent.message)

    def _draft(self, kind: str, content: JsonObject, to: Sequence[str]) -> Draft:
        return Draft(type=kind, content=content, to=to, handling=handling(), exercise=True)

    def notices(self) -> None:
        """All recovered weapons as confiscation notices, all stolen ones as lost-or-stolen notices."""
        delaware = records.load_rows("delaware_trace_pairs")[: self._most]
        police = agency_of(POLICE)
        self.send_all(
            POLICE,
            [
                self._draft(
                    "confiscation-notice",
                    records.confiscation_notice(row, police, self._inventions),
                    [NATIONAL, REGISTRY],
                )
                for row in delaware
            ],
            "confiscation notices",
        )
        owner = agency_of(PROPERTY)
        self.send_all(
            PROPERTY,
            [
                self._draft(
                    "lost-or-stolen-notice",
                    records.lost_or_stolen_notice(row, number, owner, self._inventions, today=self._today),
                    [NATIONAL, REGISTRY],
                )
                for number, row in enumerate(records.load_rows("bloomington_stolen_guns")[: self._most], 1)
            ],
            "lost-or-stolen notices",
        )

    def trace_requests(self) -> None:
        """Requests about weapons whose first sale is recorded, one of them lacking what ITI 17 asks for."""
        rows = records.load_rows("delaware_trace_pairs")
        police = agency_of(POLICE)
        sold = [row for row in rows if row["first_sale_on"] and row["serial_pseudonym"]]
        complete = [row for row in sold if row["manufacturer_src"] and row["calibre_src"] and row["crime_on"]]
        lacking = [row for row in sold if not row["manufacturer_src"] or not row["calibre_src"]]
        drafts: list[Draft] = []
        for number, row in enumerate([lacking[0], *complete[: TRACES - 1]]):
            content = traces.tracing_request(row, police, self._inventions)
            self._register[content["nationalCaseRef"]] = row
            to = self._inventions.make("State that answers", row["event_ref"], ANSWERING[number % 3])
            drafts.append(self._draft("tracing-request", content, [to]))
        self.send_all(POLICE, drafts, "tracing requests")

    def alert_and_others(self) -> None:
        """An alert to a whole group, a marking description to everybody, destruction notices."""
        rows = records.load_rows("delaware_trace_pairs")
        customs = "us.customs.newark"
        alert = other_notices.trade_route_alert(
            rows, agency_of(customs), self._inventions, from_state="GA", today=self._today
        )
        self.send_all(
            customs, [self._draft("trade-route-alert", alert, [f"group:{GROUP}"])], "alert to a group"
        )
        contact = "br.contact.national"
        marking = other_notices.marking_system_description(agency_of(contact), self._inventions)
        everybody = [address for address in self._world.clients if address != contact]
        self.send_all(
            contact, [self._draft("marking-system-description", marking, everybody)], "marking description"
        )
        police = agency_of(POLICE)
        size = DESTROYED // 4
        notices = [
            other_notices.destruction_notice(
                rows[n * size : (n + 1) * size],
                police,
                self._inventions,
                number=n + 1,
                destroyed_on=self._today,
            )
            for n in range(4)
        ]
        to = [NATIONAL, REGISTRY]
        self.send_all(
            POLICE,
            [self._draft("destruction-notice", notice, to) for notice in notices],
            "destruction notices",
        )

    # --- reading ---

    def read_everything(self, track: Callable[[str, int], None]) -> None:
        """Every endpoint opens, validates and accepts what came; who was asked answers; until nothing is new."""
        began = time.monotonic()
        while True:
            new = sum(
                self._read_one(address, client, track) for address, client in self._world.clients.items()
            )
            if not new:
                break
        for client in self._world.clients.values():
            client.notices()
        self.tally.read_seconds += time.monotonic() - began

    def _read_one(self, address: str, client: Client, track: Callable[[str, int], None]) -> int:
        taken: list[Received] = []
        for message in client.inbox():
            taken.append(message)
            self.tally.delivered[message.type] += 1
            track(address, len(taken))
        if taken:
            client.accept_many(taken)
            self.tally.accepted.update(m.type for m in taken)
        for rejected in client.rejected:
            self.tally.rejected[rejected.manifest.type] += 1
        for message in taken:
            if message.type == "tracing-request":
                self._answer(address, client, message)
        return len(taken)

    def _answer(self, address: str, client: Client, message: Received) -> None:
        request = message.content.model_dump(mode="json", by_alias=True, exclude_none=True)
        row = self._register[request["nationalCaseRef"]]
        agency = agency_of(address)
        received = dt.datetime.fromtimestamp(message.time / 1000, dt.UTC).replace(microsecond=0)
        ask_for_more = not self._asked_for_more and bool(traces.missing_elements(request))
        acknowledgement = traces.tracing_acknowledgement(
            row,
            request,
            agency,
            self._inventions,
            request_id=message.manifest.id,
            received_at=received,
            ask_for_more=ask_for_more,
        )
        self._note(
            address, client.reply(message, "tracing-acknowledgement", acknowledgement, handling=handling())
        )
        if ask_for_more:
            self._asked_for_more = True
            return
        refusal = None if self._refused else RefusalReason.ONGOING_INVESTIGATION
        self._refused = True
        response = traces.tracing_response(
            row, request, agency, self._inventions, request_id=message.manifest.id, refusal=refusal
        )
        restricted = handling(HandlingCode.H1, originator_control=True)
        self._note(address, client.reply(message, "tracing-response", response, handling=restricted))

    # --- looking back ---

    def confirmed(self) -> Counter[str]:
        """Deliveries by stage as their *senders* see them, from the receipts in their boxes."""
        stages: Counter[str] = Counter()
        for address, messages in self.sent.items():
            for message in messages:
                stages.update(r.stage for r in self._world.clients[address].status(message).recipients)
        return stages

    def traces(self) -> Iterator[tuple[str, ConversationItem, ConversationItem]]:
        """Each trace as its requester sees it: what became of it, the request, and the last answer."""
        requester = self._world.clients[POLICE]
        for request in self.requests:
            first, *_, last = requester.conversation(request)
            answer = last.content
            if isinstance(answer, TracingResponse):
                yield answer.item_results[0].outcome.value, first, last
            elif isinstance(answer, TracingAcknowledgement):
                yield answer.status.value, first, last
