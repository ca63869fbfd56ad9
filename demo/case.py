"""One case over four States: seizure, notice, trace, forwarding with consent, chain of custody, destruction, figures.

The weapon, the day on which it was recovered and its first retail sale are those of one Delaware row. Its way from
the maker to that sale no record holds: it is made up, as is that Kenya found it, since the file knows one State only.

Source: samples/README.md; ITI 16-23; docs/spec/tracing.md; docs/spec/reports.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from countermark_client import Client, Draft, Received, Sent
from countermark_client.attaching import Attach, PreparedAttachment
from countermark_client.reports import Figure, make_report
from countermark_protocol.encoding import JsonObject
from countermark_protocol.tracing.custody_drawing import custody_svg, custody_text
from demo import other_notices, records
from demo.exchange import agency_of, handling
from demo.inventions import Inventions
from demo.photographs import exif_of, photographs
from demo.world import World, second_person

#: A Taurus pistol, sold by a dealer in Georgia and recovered 659 days later.
RECORD = "6d0fc1e27184"
FINDER, FOCAL = "ke.border.malaba", "ke.contact.national"
MAKER_STATE, TRANSIT_STATE, SALE_STATE = "br.contact.national", "be.contact.national", "us.contact.national"
REGISTRY = "xo-interpol.organisation.firearms"
MAKER = {"role": "MANUFACTURER", "organisation": "Taurus", "country": "BR"}
TRADER = {"role": "IMPORTER", "organisation": "Importer (exercise)", "country": "BE"}
WHOLESALER = {"role": "IMPORTER", "organisation": "Wholesaler (exercise)", "country": "US"}


class Case:
    """Plays the case in a world.

    Args:
        world: founded, enrolled and served.
        inventions: where made-up things are noted.
        tell: says what happens, a line at a time.
    """

    def __init__(self, world: World, inventions: Inventions, tell: Callable[[str], None]) -> None:
        self._world = world
        self._make = inventions.make
        self._inventions = inventions
        self._tell = tell
        self._row = next(
            row for row in records.load_rows("delaware_trace_pairs") if row["event_ref"] == RECORD
        )
        self._ref = self._make("State of finding", RECORD, f"KE-{RECORD}")
        self.sent: list[Sent] = []

    # --- steps of every exchange ---

    def _client(self, address: str) -> Client:
        return self._world.clients[address]

    def _send(
        self,
        sender: str,
        kind: str,
        content: JsonObject,
        to: Sequence[str],
        attachments: Sequence[PreparedAttachment] = (),
    ) -> Sent:
        sent = self._client(sender).send(
            kind, content, to, handling=handling(), exercise=True, attachments=attachments
        )
        self.sent.append(sent)
        self._tell(f"{sender} sends a {kind} to {', '.join(to)}")
        return sent

    def _take(self, address: str, kind: str) -> Received:
        taken = [message for message in self._client(address).inbox() if message.type == kind]
        for message in taken:
            message.accept()
        return taken[-1]

    def _reply(self, sender: str, message: Received, kind: str, content: JsonObject, said: str) -> None:
        self.sent.append(self._client(sender).reply(message, kind, content, handling=handling()))
        self._tell(f"{sender} answers with a {kind}: {said}")

    def _acknowledge(self, address: str, request: Received) -> None:
        at = dt.datetime.fromtimestamp(request.time / 1000, dt.UTC).replace(microsecond=0)
        content: JsonObject = {
            "requestId": request.manifest.id,
            "receivedAt": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "status": "ACCEPTED",
            "localRef": self._local(address),
            "contact": agency_of(address).contact(),
            "estimatedReplyBy": (at.date() + dt.timedelta(days=30)).isoformat(),
            "language": "en",
        }
        self._reply(address, request, "tracing-acknowledgement", content, "accepted")

    def _local(self, address: str) -> str:
        return self._make("case of the requested State", RECORD, f"{address[:2].upper()}-{RECORD}")

    def _answer(
        self, address: str, request: Received, said: str, *, sequence: int = 1, final: bool, **result: object
    ) -> None:
        content: JsonObject = {
            "requestId": request.manifest.id,
            "localRef": self._local(address),
            "sequence": sequence,
            "final": final,
            "itemResults": [{"itemRef": "1", "identityConfirmed": True, **result}],
            "useRestrictions": {"tlp": "AMBER", "originatorControlled": False},
            "contact": agency_of(address).contact(),
            "language": "en",
        }
        self._reply(address, request, "tracing-response", content, said)

    # --- the case ---

    def play(self) -> None:
        """From the seizure to the figures of the national report."""
        item = records.delaware_item(self._row)
        item |= self._make("kind of weapon", RECORD, {"category": "PISTOL", "originForm": "FACTORY"})
        item["countryOfManufacture"] = self._make("country of manufacture", RECORD, "BR")
        mark = {"kind": "MANUFACTURER", "component": "SLIDE", "text": "Made in Brazil", "status": "LEGIBLE"}
        item["marks"] = [*item["marks"], self._make("maker's mark", RECORD, mark)]
        day = str(records.delaware_day(self._row))
        place = self._make("place of the finding", RECORD, {"country": "KE", "name": "Malaba"})
        self._seized(item, day, place)
        request = self._asked(item, day, place)
        end = self._traced(request)
        self._drawn(end)
        self._destroyed(item)

    def _seized(self, item: JsonObject, day: str, place: JsonObject) -> None:
        notice = {
            "noticeRef": self._ref,
            "action": "SEIZED",
            "event": {"date": day, "place": place},
            "authority": agency_of(FINDER).contact(),
            "items": [item],
            "offences": self._make("offence", RECORD, ["SMUGGLING"]),
            "disposition": "STORED_PENDING",
            "traceIntended": "YES",
            "language": "en",
        }
        self._send(
            FINDER, "confiscation-notice", records.checked("confiscation-notice", notice), [FOCAL, REGISTRY]
        )
        self._take(FOCAL, "confiscation-notice")

    def _asked(self, item: JsonObject, day: str, place: JsonObject) -> Sent:
        content = {
            "nationalCaseRef": self._ref,
            "illicitBasis": ["NATIONAL_LAW"],
            "legalJustification": "Carried across the border without a licence (exercise)",
            "recovery": {"date": day, "place": place, "context": "SEIZED"},
            "items": [item],
            "intendedUse": ["CRIMINAL_INVESTIGATION"],
            "confidentialityUndertaking": {"status": "ACCEPT"},
            "reasonForAddressee": "MANUFACTURE_MARK",
            "priorSteps": {"domesticChecked": True, "result": "NO_HIT"},
            "informationSought": ["MANUFACTURE", "EXPORT", "FIRST_SALE"],
            "contact": agency_of(FOCAL).contact(),
            "language": "en",
        }
        content = records.checked("tracing-request", content)
        attached = self._photographed(item)
        shown = [
            {
                "sha256": one.sha256,
                "mediaType": one.media_type,
                "size": one.size,
                "caption": one.caption,
                "shows": f"/marks/{number}",
            }
            for number, one in enumerate(attached)
        ]
        content["items"] = [{**item, "photographs": shown}]
        return self._send(FOCAL, "tracing-request", content, [MAKER_STATE], attached)

    def _photographed(self, item: JsonObject) -> list[PreparedAttachment]:
        """Two photographs, drawn here, as a telephone would give them; and as they are sent: what it tells is gone."""
        folder = self._world.root / "photographs"
        folder.mkdir()
        serial, mark = (each["text"] for each in item["marks"])
        attached = []
        for one in photographs(serial, MAKER["organisation"], mark):
            (folder / one.name).write_bytes(one.data)
            self._make("photograph", RECORD, f"{one.name}: {one.caption}")
            attached.append(
                self._client(FOCAL).prepare_attachment(Attach(folder / one.name, caption=one.caption))
            )
        told = exif_of((folder / one.name).read_bytes())
        self._tell(
            f"two photographs, drawn by the demo, lie in {folder.name}/; the camera wrote into them: "
            + ", ".join(f"{name} {text}" for name, text in told.items())
        )
        return attached

    def _received_photographs(self, asked: Received) -> None:
        folder = self._world.root / "photographs" / "received"
        folder.mkdir()
        [item] = asked.content.model_dump(mode="json", by_alias=True)["items"]
        for fetched, named in zip(
            self._client(MAKER_STATE).fetch_attachments(asked, folder), item["photographs"], strict=True
        ):
            assert fetched.path is not None
            data = fetched.path.read_bytes()
            if hashlib.sha256(data).hexdigest() != named["sha256"] or exif_of(data):
                msg = f"{fetched.path.name} is not the photograph that was described, or tells who took it"
                raise RuntimeError(msg)
            self._tell(
                f"{MAKER_STATE} fetches {fetched.path.name}, {len(data):,} bytes: the {named['caption']}, as the "
                "request describes it; of camera, owner and place nothing is left"
            )

    def _traced(self, request: Sent) -> Sent:
        asked = self._take(MAKER_STATE, "tracing-request")
        self._received_photographs(asked)
        self._acknowledge(MAKER_STATE, asked)
        made = self._make(
            "way from the maker", RECORD, {"made": "2021-06", "to BE": "2021-07-01", "to US": "2021-09-15"}
        )
        chain = [
            {"seq": 1, "event": "MANUFACTURED", "date": made["made"], "from": MAKER},
            {"seq": 2, "event": "EXPORTED", "date": made["to BE"], "from": MAKER, "to": TRADER},
        ]
        pointer: dict[str, Any] = {
            "outcome": "TRACED_TO_EXPORT",
            "nextState": "BE",
            "nextStateReason": "export licence",
        }
        self._answer(MAKER_STATE, asked, "interim, exported to Belgium", final=False, chain=chain, **pointer)
        self._take(FOCAL, "tracing-response")
        self._consented(asked)
        forwarded = self._client(MAKER_STATE).forward_trace(
            request, "BE", contact=agency_of(MAKER_STATE).contact(), own_ref=self._local(MAKER_STATE)
        )
        self.sent.append(forwarded)
        self._tell(
            f"{MAKER_STATE} forwards the request to {', '.join(forwarded.recipients)}, with that consent"
        )
        passed = self._take(TRANSIT_STATE, "tracing-request")
        self._acknowledge(TRANSIT_STATE, passed)
        onward = [
            {"seq": 1, "event": "IMPORTED", "date": made["to BE"], "from": MAKER, "to": TRADER},
            {"seq": 2, "event": "EXPORTED", "date": made["to US"], "from": TRADER, "to": WHOLESALER},
        ]
        pointer = {"outcome": "TRACED_TO_EXPORT", "nextState": "US", "nextStateReason": "export licence"}
        self._answer(
            TRANSIT_STATE, passed, "final, exported to the United States", final=True, chain=onward, **pointer
        )
        self._take(MAKER_STATE, "tracing-response")
        whole = [*chain, {**onward[1], "seq": 3}]
        self._answer(
            MAKER_STATE, asked, "final, with Belgium's part", sequence=2, final=True, chain=whole, **pointer
        )
        self._take(FOCAL, "tracing-response")
        last = self._client(FOCAL).forward_trace(request, "US")
        self.sent.append(last)
        self._tell(f"{FOCAL} follows the pointer itself: a tracing-request to {', '.join(last.recipients)}")
        self._sold(made["to US"])
        self._client(FOCAL).sync_sent()
        self._client(FOCAL).read_boxes()
        for traced in (request, last):
            self._client(FOCAL).close_trace(
                traced, diversion_established=True, note="sold to a person (exercise)"
            )
        self._tell(f"{FOCAL} closes both traces: the point of diversion is established")
        return last

    def _sold(self, imported: str) -> None:
        asked = self._take(SALE_STATE, "tracing-request")
        self._acknowledge(SALE_STATE, asked)
        row = self._row
        dealer = {
            "role": "DEALER",
            "organisation": "Dealer on record",
            "country": "US",
            "place": {
                "country": "US",
                "subdivision": f"US-{row['dealer_state']}",
                "name": row["dealer_city"],
            },
        }
        chain = [
            {"seq": 1, "event": "IMPORTED", "date": imported, "from": TRADER, "to": WHOLESALER},
            {"seq": 2, "event": "WHOLESALE", "from": WHOLESALER, "to": dealer},
            {"seq": 3, "event": "RETAIL", "date": row["first_sale_on"], "from": dealer},
        ]
        diversion = {"type": "STRAW_PURCHASE", "date": row["first_sale_on"], "place": dealer["place"]}
        self._answer(
            SALE_STATE,
            asked,
            f"final, the first sale on record: {row['first_sale_on']} in {row['dealer_city']}, {row['dealer_state']}",
            final=True,
            outcome="TRACED_TO_POINT_OF_DIVERSION",
            chain=chain,
            pointOfDiversion=self._make("kind of diversion", RECORD, diversion),
            timeToCrimeDays=int(row["time_to_crime_days"]),
        )
        self._take(FOCAL, "tracing-response")

    def _consented(self, asked: Received) -> None:
        """Kenya consents that Brazil passes its request on: a decision that policy has two persons sign."""
        question = {
            "requestRef": self._make("reference of the question", RECORD, "C-1"),
            "message": asked.hash,
            "kinds": ["ONWARD_TRANSFER"],
            "releaseTo": [{"authority": "be"}],
            "reason": "The importer's records are in Belgium",
            "contact": agency_of(MAKER_STATE).contact(),
            "language": "en",
        }
        self._reply(
            MAKER_STATE, asked, "release-consent-request", question, "may the request go on to Belgium?"
        )
        received = self._take(FOCAL, "release-consent-request")
        until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=90)
        decision = {
            "requestId": received.manifest.id,
            "message": asked.hash,
            "decision": "GRANTED",
            "kinds": ["ONWARD_TRANSFER"],
            "releaseTo": [{"authority": "be"}],
            "expiresOn": until.isoformat(),
            "language": "en",
        }
        draft = Draft(
            type="release-consent-decision",
            content=decision,
            to=[MAKER_STATE],
            in_reply_to=received,
            handling=handling(),
            exercise=True,
        )
        first = self._client(FOCAL)
        with second_person(self._world, FOCAL) as second:
            signed = second.sign_message_draft(first.draft_message(draft))
        self.sent.append(first.send_message_draft(signed))
        self._tell(f"{FOCAL} consents, by the signatures of two persons")
        self._take(MAKER_STATE, "release-consent-decision")

    def _drawn(self, end: Sent) -> None:
        [custody] = self._client(FOCAL).custody(end).values()
        drawing = self._world.root / "chain-of-custody.svg"
        drawing.write_text(custody_svg(custody), encoding="utf-8")
        self._tell(f"chain of custody, as {FOCAL} has it ({drawing.name} is the drawing):")
        for line in custody_text(custody):
            self._tell(f"  {line}")
        if not custody.whole:
            msg = "the chain of custody has a gap or a contradiction"
            raise RuntimeError(msg)

    def _destroyed(self, item: JsonObject) -> None:
        today = dt.datetime.now(dt.UTC).date()
        notice = other_notices.destruction_notice(
            [self._row], agency_of(FINDER), self._inventions, number=5, destroyed_on=today
        )
        notice |= {"confiscationRefs": [self._ref], "items": [item], "place": {"country": "KE"}}
        self._send(
            FINDER, "destruction-notice", records.checked("destruction-notice", notice), [FOCAL, REGISTRY]
        )
        self._take(FOCAL, "destruction-notice")

    def figures(self) -> list[str]:
        """The seized, traced and destroyed parts of Kenya's national report, each number with its messages."""
        messages = self._client(FOCAL).messages()
        seized = int(self._row["crime_on"][:4])
        years = range(seized, dt.datetime.now(dt.UTC).year + 1)
        made = make_report(messages, "ke", years, "poa", exercise=True)
        return [_in_words(figure) for figure in made.figures]


def _in_words(figure: Figure) -> str:
    messages = sorted({source.message[:8] for each in figure.counted for source in each.sources})
    more = f" and {len(messages) - 6} more" if len(messages) > 6 else ""
    cell = ", ".join(figure.cell)
    return (
        f"{figure.year}  {figure.table:16} {cell:34} {figure.count:>3}  from {' '.join(messages[:6])}{more}"
    )


def play_case(world: World, inventions: Inventions, tell: Callable[[str], None]) -> Case:
    """Play the case; what happened, told line by line."""
    case = Case(world, inventions, tell)
    case.play()
    return case
