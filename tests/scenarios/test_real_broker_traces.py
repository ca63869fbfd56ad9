"""A trace over four States at a real broker: more information, consent, forwarding, refusal, clarification, closing.

The requester's clocks, those of everybody asked and the auditor's are the same.
"""

import dataclasses
import datetime as dt
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.auditing import AUDITOR, mirror_log  # noqa: E402
from demo.world import ORIGIN, found, govern, serving  # noqa: E402

from countermark_client import Client, Draft, Profile, make_key, testing  # noqa: E402
from countermark_client._database import Database  # noqa: E402
from countermark_client.cli.mirrors import FILE_NAME  # noqa: E402
from countermark_client.review._clocks import read_clocks  # noqa: E402
from countermark_client.review._scope import Traffic  # noqa: E402
from countermark_client.statements import Drafts, sign_gathering  # noqa: E402
from countermark_protocol.errors import PolicyError  # noqa: E402
from countermark_protocol.keyfile import StoredKey  # noqa: E402
from countermark_protocol.mandates import Oversight, Term  # noqa: E402
from countermark_protocol.signers import load_signer  # noqa: E402
from countermark_protocol.tracing.lifecycle import TraceState  # noqa: E402

POLICE, BRAZIL, BELGIUM, KENYA = (
    "us.police.delaware",
    "br.contact.national",
    "be.contact.national",
    "ke.contact.national",
)
MAKER = {"role": "MANUFACTURER", "organisation": "Maker A", "country": "BR"}
IMPORTER = {"role": "IMPORTER", "organisation": "Importer B", "country": "BE"}
DEALER = {"role": "DEALER", "organisation": "Dealer C", "country": "KE"}
MADE = {"event": "MANUFACTURED", "date": "2015-03", "from": MAKER}
TO_BELGIUM = {"event": "EXPORTED", "date": "2015-09-01", "from": MAKER, "to": IMPORTER}
TO_KENYA = {"event": "EXPORTED", "date": "2016-02", "from": IMPORTER, "to": DEALER}
STOLEN = {"event": "STOLEN", "date": "2019-11-30", "from": DEALER}
DIVERSION = {"type": "THEFT_DEALER", "date": "2019-11-30", "place": {"country": "KE"}}
CLOCKS = [
    "request",
    "requester",
    "requested",
    "urgency",
    "reply_by",
    "delivered_at",
    "acknowledged_at",
    "answered_at",
    "pauses",
    "due_at",
    "acknowledge_by",
    "state",
    "acknowledged",
    "response",
    "rejected_at",
    "withdrawn_at",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = found(tmp_path_factory.mktemp("traces") / "world")
    with serving(world):
        govern(world)
        try:
            yield world
        finally:
            world.close()


def colleague(world, address):
    """A second person of an endpoint, with a key of its own."""
    client = world.clients[address]
    keys = client.profile.keystore
    fresh = make_key("instance")
    record = client.directory.keys(address)
    new = load_signer(fresh.algorithm, fresh.private)
    draft = Drafts(ORIGIN, client.directory).keys(
        address,
        signing=[*((k.key, k.holder) for k in record.signing), (new.public_key, "two")],
        sealing=record.sealing,
        reads=record.reads,
    )
    client.publish_statement(sign_gathering(draft, [keys.signer("administrator")], [new]))
    sealing = next(k for k in keys.stored if k.use == "sealing")
    profile = Profile.create(
        world.root / f"second-{address}", address=address, broker_url=world.url, trust=world.trust,
        passphrase=world.passphrase, holder="two", keys=[fresh, StoredKey(*dataclasses.astuple(sealing))],
    )  # fmt: skip
    return Client(profile)


def take(client, kind):
    """Read and accept everything; what is of a type."""
    found = list(client.inbox())
    client.accept_many(found)
    [wanted] = [m for m in found if m.type == kind]
    return wanted


def request():
    document = testing.sample_request("US-2026-1")
    document["recovery"]["place"] = {"country": "US"}
    document["items"][0] |= {
        "category": "PISTOL", "make": {"text": "TAURUS"},
        "marks": [{"kind": "SERIAL", "component": "FRAME", "text": "TQX-41877", "status": "LEGIBLE"}],
    }  # fmt: skip
    document["items"][0].pop("noMarksReason", None)
    return document


def answer(to, steps, *, final, sequence, **result):
    document = testing.sample_response(to.manifest.id)
    chain = [{"seq": number, **step} for number, step in enumerate(steps, 1)]
    item = {"itemRef": to.content.items[0].item_ref, "identityConfirmed": True, **result}
    if chain:
        item["chain"] = chain
    return document | {"final": final, "sequence": sequence, "itemResults": [item]}


def leads_to(state):
    return {"outcome": "TRACED_TO_EXPORT", "nextState": state, "nextStateReason": "export licence"}


def consent(asker, request, originator, second, authority):
    """Ask the originator of a request whether it may go on, and have two persons there say yes."""
    asker.reply(
        request, "release-consent-request",
        {"requestRef": "C-1", "message": request.hash, "kinds": ["ONWARD_TRANSFER"],
         "releaseTo": [{"authority": authority}], "reason": "Records are there", "contact": {"agency": "NPC"},
         "language": "en"},
    )  # fmt: skip
    asked = take(originator, "release-consent-request")
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=5)
    decision = {
        "requestId": asked.manifest.id, "message": request.hash, "decision": "GRANTED", "language": "en",
        "kinds": ["ONWARD_TRANSFER"], "releaseTo": [{"authority": authority}], "expiresOn": f"{until}",
    }  # fmt: skip
    draft = Draft(type="release-consent-decision", content=decision, to=[asked.sender], in_reply_to=asked)
    second.sync()
    originator.send_message_draft(second.sign_message_draft(originator.draft_message(draft)))
    take(asker, "release-consent-decision")


def clarification(about, request_id, **more):
    return {"requestId": request_id, "about": about.hash, "language": "en", **more}


def state(client, ref):
    client.read_boxes()
    return client.trace(ref).traced.traces[-1].state


@pytest.mark.long
def test_a_trace_over_four_states(world):
    police, brazil, belgium, kenya = (world.clients[a] for a in (POLICE, BRAZIL, BELGIUM, KENYA))
    police_two, brazil_two = colleague(world, POLICE), colleague(world, BRAZIL)
    for client in (police, brazil, belgium, kenya):
        client.sync()

    # The State of recovery asks the State of manufacture, which lacks something.
    sent = police.send("tracing-request", request(), [BRAZIL])
    asked = take(brazil, "tracing-request")
    need = testing.sample_acknowledgement(asked.manifest.id) | {
        "status": "MORE_INFORMATION_NEEDED",
        "missing": [{"path": "/items/0/marks", "why": "a photograph of the serial"}],
    }
    need.pop("estimatedReplyBy", None)
    brazil.reply(asked, "tracing-acknowledgement", need)
    lacking = take(police, "tracing-acknowledgement")
    assert state(police, sent) is state(brazil, sent) is TraceState.INFO_NEEDED
    given = clarification(
        lacking, asked.manifest.id, kind="GIVES", supplied=[{"path": "/items/0/marks", "text": "Read twice: TQX-41877"}]
    )  # fmt: skip
    police.reply(lacking, "tracing-clarification", given)
    take(brazil, "tracing-clarification")
    assert state(police, sent) is state(brazil, sent) is TraceState.RESUMED
    brazil.reply(asked, "tracing-acknowledgement", testing.sample_acknowledgement(asked.manifest.id))

    # It knows to whom it exported, and passes the request on with its requester's consent.
    brazil.reply(asked, "tracing-response", answer(asked, [MADE, TO_BELGIUM], final=False, sequence=1, **leads_to("BE")))  # fmt: skip
    with pytest.raises(PolicyError) as refused:
        brazil.forward_trace(sent, "BE", contact={"agency": "DFPC"}, own_ref="BR-1")
    assert refused.value.code == "no_consent"
    list(police.inbox())
    consent(brazil, asked, police, police_two, "be")
    onward = brazil.forward_trace(sent, "BE", contact={"agency": "DFPC"}, own_ref="BR-1")
    assert onward.recipients == (BELGIUM,)
    assert state(brazil, sent) is TraceState.FORWARDED

    # The importer's State refuses; asked for its ground again, it answers after all, and passes on in its turn.
    passed = take(belgium, "tracing-request")
    ground = {"reasons": ["ONGOING_INVESTIGATION"], "text": "A trial is under way"}
    belgium.reply(passed, "tracing-response", answer(passed, [], final=True, sequence=1, outcome="REFUSED", refusal=ground))  # fmt: skip
    no = take(brazil, "tracing-response")
    assert state(brazil, onward) is state(belgium, onward) is TraceState.REFUSED
    question = [{"questionRef": "1", "topic": "REFUSAL_GROUND", "text": "Does it concern the importer?"}]
    brazil.reply(
        no, "tracing-clarification", clarification(no, passed.manifest.id, kind="SEEKS", questions=question)
    )
    why = take(belgium, "tracing-clarification")
    assert state(brazil, onward) is state(belgium, onward) is TraceState.CLARIFICATION
    reply = clarification(why, passed.manifest.id, kind="GIVES", replies=[{"questionRef": "1", "text": "No"}])
    belgium.reply(why, "tracing-clarification", reply)
    take(brazil, "tracing-clarification")
    assert state(brazil, onward) is TraceState.REFUSED
    # A further request in the conversation opens it again.
    again = brazil._core.forwarding.draft(
        sent, "BE", contact={"agency": "DFPC"}, own_ref="BR-1", to=(), items=()
    )
    brazil.send("tracing-request", again.content, [BELGIUM], in_reply_to=no, handling=again.handling)
    passed = take(belgium, "tracing-request")
    assert state(brazil, onward) is state(belgium, onward) is TraceState.DELIVERED
    belgium.reply(passed, "tracing-response", answer(passed, [TO_BELGIUM, TO_KENYA], final=False, sequence=1, **leads_to("KE")))  # fmt: skip
    list(brazil.inbox())
    consent(belgium, passed, brazil, brazil_two, "ke")
    last = belgium.forward_trace(onward.conversation, "KE", contact={"agency": "Federal"}, own_ref="BE-1")

    # The last State knows the point of diversion; the answers go back as they came.
    final = take(kenya, "tracing-request")
    assert [t.country for t in final.content.previous_traces] == ["BR", "BE"]
    end = {"outcome": "TRACED_TO_POINT_OF_DIVERSION", "pointOfDiversion": DIVERSION}
    kenya.reply(final, "tracing-response", answer(final, [TO_KENYA, STOLEN], final=True, sequence=1, **end))
    assert state(belgium, last) is TraceState.ANSWERED
    take(belgium, "tracing-response")
    belgium.reply(passed, "tracing-response", answer(passed, [TO_BELGIUM, TO_KENYA, STOLEN], final=True, sequence=2, **end))  # fmt: skip
    take(brazil, "tracing-response")
    brazil.reply(asked, "tracing-response", answer(asked, [MADE, TO_BELGIUM, TO_KENYA, STOLEN], final=True, sequence=2, **end))  # fmt: skip
    take(police, "tracing-response")
    assert state(police, sent) is state(brazil, sent) is TraceState.ANSWERED
    closed = police.close_trace(sent, diversion_established=True)
    assert closed.traced.traces[-1].state is TraceState.CLOSED

    # Both ends of the path draw a whole chain of custody; who stood between has it from two sources.
    [chain] = police.custody(sent).values()
    assert [s.event for s in chain.steps] == ["MANUFACTURED", "EXPORTED", "EXPORTED", "STOLEN"]
    assert chain.whole
    [merged] = brazil.custody(sent).values()
    assert merged.whole
    assert merged.steps[1].sources == (BELGIUM, BRAZIL)

    # What an auditor counts, who sees no content, is what each party tells of its traces.
    police_two.close()
    brazil_two.close()
    parties = {
        (c.request, c.requested): c
        for client in (police, brazil, belgium, kenya)
        if client.read_boxes()
        for case in client.traces()
        for c in (t.clock for t in case.traced.traces)
    }
    auditor, now = world.clients[AUDITOR], time.time_ns() // 1_000_000
    mandate = Oversight(auditor.profile.endpoint, Term(now, now + 86_400_000))
    record = dataclasses.replace(auditor.directory.log(), auditors=(mandate,))
    auditor.publish_statement(sign_gathering(auditor.drafts.governance(record), world.governors[:2]))
    mirror_log(world)
    database = Database(str(world.root / "agencies" / AUDITOR / "mirror" / FILE_NAME))
    counted = read_clocks(database, Traffic.REAL, 1 << 60)
    database.close()
    assert len(counted) == len(parties) == 4
    for clock in counted:
        told = parties[clock.request, clock.requested]
        assert [getattr(clock, f) for f in CLOCKS] == [getattr(told, f) for f in CLOCKS]
