"""A trace passed on to the next State: consent, handling, loops, the chain of custody, and weapons that come back."""

import datetime as dt

import pytest

from countermark_client import Draft, default_handling, testing
from countermark_protocol.errors import CountermarkError, NotFoundError, PolicyError
from countermark_protocol.handling import Tlp
from countermark_protocol.tracing.lifecycle import TraceState
from support.cli import cli_for

NAIROBI, VIENNA, BRUSSELS = "ke.contact.nairobi", "at.contact.vienna", "be.contact.brussels"
CONTACT = {"agency": "BMI", "email": "npc@example.invalid"}
MAKER = {"role": "MANUFACTURER", "organisation": "Maker A", "country": "AT"}
IMPORTER = {"role": "IMPORTER", "organisation": "Importer B", "country": "BE"}


class Story:
    """Nairobi has asked Vienna, which has told it that Belgium imported the weapon."""

    def __init__(self, world):
        self.world = world
        self.nairobi, self.vienna, self.brussels = map(world.client, (NAIROBI, VIENNA, BRUSSELS))
        self.second = world.client(world.profile(NAIROBI, keystore=world.add_instance(NAIROBI)))

    def asked(self, **more):
        self.sent = self.nairobi.send("tracing-request", request_of(), [VIENNA], **more)
        [self.request] = list(self.vienna.inbox())
        self.request.accept()
        return self

    def pointed(self, state="BE"):
        self.vienna.reply(self.request, "tracing-response", exported(self.request.manifest.id, state))
        return self

    def consent(self, *, to="be", days=10, decision="GRANTED", **more):
        day = dt.datetime.fromtimestamp(self.world.clock() / 1000, dt.UTC).date() + dt.timedelta(days=days)
        self.vienna.reply(
            self.request,
            "release-consent-request",
            {
                "requestRef": "C-1", "message": self.request.hash, "kinds": ["ONWARD_TRANSFER"],
                "releaseTo": [{"authority": "be"}], "reason": "The importer's records are in Belgium",
                "contact": CONTACT, "language": "en",
            },
        )  # fmt: skip
        asked = next(m for m in self.nairobi.inbox() if m.type == "release-consent-request")
        document = {
            "requestId": asked.manifest.id,
            "message": self.request.hash,
            "decision": decision,
            "language": "en",
        }
        if decision == "REFUSED":
            document["refusalText"] = "The investigation is secret"
        else:
            document |= {
                "kinds": ["ONWARD_TRANSFER"],
                "releaseTo": [{"authority": to}],
                "expiresOn": f"{day}",
                **more,
            }
        draft = Draft(type="release-consent-decision", content=document, to=[VIENNA], in_reply_to=asked)
        self.second.sync()
        self.nairobi.send_message_draft(self.second.sign_message_draft(self.nairobi.draft_message(draft)))
        list(self.vienna.inbox())
        return self

    def forward(self, **more):
        return self.vienna.forward_trace(self.sent, "BE", contact=CONTACT, own_ref="AT-7", **more)


def exported(request_id, state):
    document = testing.sample_response(request_id)
    ref = document["itemResults"][0]["itemRef"]
    return document | {
        "final": False,
        "itemResults": [
            {
                "itemRef": ref, "outcome": "TRACED_TO_EXPORT", "identityConfirmed": True,
                "chain": [
                    {"seq": 1, "event": "MANUFACTURED", "date": "2018-11", "from": MAKER},
                    {"seq": 2, "event": "EXPORTED", "date": "2019-02-07", "from": MAKER, "to": IMPORTER},
                ],
                "nextState": state, "nextStateReason": "import licence",
            }
        ],
    }  # fmt: skip


@pytest.fixture
def story():
    return Story(testing.world(NAIROBI, VIENNA, BRUSSELS))


def request_of(case="CASE-1"):
    """A request about a pistol whose serial can be read."""
    document = testing.sample_request(case)
    document["items"][0] |= {
        "category": "PISTOL", "make": {"text": "GLOCK"},
        "marks": [{"kind": "SERIAL", "component": "FRAME", "text": "ABC-1234", "status": "LEGIBLE"}],
    }  # fmt: skip
    document["items"][0].pop("noMarksReason", None)
    return document


def refused(code, call, *args, **kwargs):
    with pytest.raises(CountermarkError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code, caught.value
    return caught.value


def test_with_consent_a_request_goes_on_under_its_handling_and_without_persons(story):
    document = request_of()
    document["possessors"] = [{"role": "POSSESSOR", "personCategory": "SUSPECT", "name": "Somebody"}]
    story.sent = story.nairobi.send("tracing-request", document, [VIENNA])
    [story.request] = list(story.vienna.inbox())
    story.request.accept()
    story.pointed().consent()
    forwarded = story.forward()
    assert forwarded.recipients == (BRUSSELS,)
    assert forwarded.conversation == forwarded.message != story.sent.message
    [arrived] = list(story.brussels.inbox())
    content = arrived.content
    assert arrived.manifest.handling == story.request.manifest.handling
    assert content.possessors == ()
    assert content.items == story.request.content.items
    [trace] = content.previous_traces
    assert (trace.country, trace.ref) == ("AT", "AT-7")
    assert story.vienna.trace(story.sent).traced.traces[0].state is TraceState.FORWARDED
    # The path of Belgium's request is where the weapon was found, and who sent it on.
    story.vienna.read_boxes()
    assert len(story.vienna.traces()) == 2


@pytest.mark.parametrize(
    ("consent", "why"),
    [
        (None, "none"),
        ({"decision": "REFUSED"}, "refused"),
        ({"to": "fr"}, "none"),
        ({"days": -1}, "expired"),
        ({"purpose": "STATISTICS_ONLY"}, "other-purpose"),
        ({"parts": ["/items"]}, "in-part"),
    ],
)
def test_without_a_consent_that_covers_it_nothing_goes_on(story, consent, why):
    story.asked().pointed()
    if consent is not None:
        story.consent(**consent)
    before = len(story.vienna.outbox())
    error = refused("no_consent", story.forward)
    assert error.facts["why"] == why
    assert len(story.vienna.outbox()) == before


def test_a_consent_ends_and_a_later_refusal_takes_its_place(story):
    story.asked().pointed().consent(days=10)
    story.world.clock.advance(days=11)
    assert refused("no_consent", story.forward).facts["why"] == "expired"
    story.consent().consent(decision="REFUSED")
    assert refused("no_consent", story.forward).facts["why"] == "refused"
    story.consent()
    story.forward()


def test_handling_is_never_loosened_on_the_way(story):
    story.asked().pointed().consent()
    draft = story.vienna._core.forwarding.draft(
        story.sent, "BE", contact=CONTACT, own_ref="AT-7", to=(), items=()
    )
    laxer = default_handling(story.world.clock()).__class__(
        **{f: getattr(draft.handling, f) for f in draft.handling.__slots__} | {"tlp": Tlp.GREEN}
    )
    error = refused(
        "handling_loosened", story.vienna.send, draft.type, draft.content, draft.to, handling=laxer
    )
    assert error.facts["members"] == ["tlp"]


def test_a_state_is_not_asked_twice_about_one_weapon(story):
    story.asked().pointed("KE").consent()
    error = refused("forward_loop", story.vienna.forward_trace, story.sent, "KE", contact=CONTACT)
    assert error.facts["path"] == ["KE", "AT"]


def test_the_requester_is_told_first(story):
    story.asked().consent()
    assert isinstance(refused("no_pointer", story.forward), NotFoundError)


def test_a_copy_of_anothers_request_is_no_forwarding(story):
    story.asked().pointed().consent()
    error = refused(
        "review_refused", story.vienna.send, "tracing-request", testing.sample_request(), [BRUSSELS]
    )
    assert isinstance(error, PolicyError)


def test_the_requester_follows_a_pointer_itself(story):
    story.asked().pointed()
    list(story.nairobi.inbox())
    forwarded = story.nairobi.forward_trace(story.sent, "BE")
    assert story.nairobi.duplicate_traces() == ()  # the next step of a case is not the case once more
    [arrived] = list(story.brussels.inbox())
    assert arrived.content.previous_traces[-1].country == "AT"
    assert arrived.content.contact == story.request.content.contact
    document = testing.sample_response(arrived.manifest.id)
    result = document["itemResults"][0]
    result |= {
        "chain": [{"seq": 1, "event": "IMPORTED", "date": "2019-02-20", "from": MAKER, "to": IMPORTER}],
        "outcome": "TRACED_TO_POINT_OF_DIVERSION",
        "pointOfDiversion": {"type": "THEFT_DEALER", "date": "2020"},
    }
    for name in ("nextState", "nextStateReason", "inability", "refusal"):
        result.pop(name, None)
    story.brussels.reply(arrived, "tracing-response", document)
    list(story.nairobi.inbox())
    [chain] = story.nairobi.custody(forwarded).values()
    assert [(s.event, s.sources) for s in chain.steps] == [
        ("MANUFACTURED", (VIENNA,)),
        ("EXPORTED", (VIENNA,)),
        ("IMPORTED", (BRUSSELS,)),
    ]
    assert chain.whole
    assert story.nairobi.custody(story.sent) == story.nairobi.custody(forwarded)


def test_a_restricted_answer_is_not_followed_without_its_originators_consent(story):
    story.asked()
    handling = story.request.manifest.handling
    strict = handling.__class__(
        **{f: getattr(handling, f) for f in handling.__slots__} | {"originator_control": True}
    )
    story.vienna.reply(
        story.request, "tracing-response", exported(story.request.manifest.id, "BE"), handling=strict
    )
    list(story.nairobi.inbox())
    error = refused("handling_loosened", story.nairobi.forward_trace, story.sent, "BE")
    assert error.facts["members"] == ["originator_control"]


async def test_the_asynchronous_client_forwards_too(story):
    story.asked().pointed().consent()
    async with story.world.async_client(VIENNA) as vienna:
        sent = await vienna.forward_trace(story.sent, "BE", contact=CONTACT, own_ref="AT-7")
    assert sent.recipients == (BRUSSELS,)


# --- weapons ---


def test_a_case_made_twice_is_linked_and_not_refused(story):
    first = story.nairobi.send("tracing-request", request_of("KE-1"), [VIENNA])
    second = story.nairobi.send("tracing-request", request_of("KE-2"), [VIENNA])
    [pair] = story.nairobi.duplicate_traces()
    assert {pair.earlier.message, pair.later.message} == {first.message, second.message}
    assert len(list(story.vienna.inbox())) == 2
    assert len(story.vienna.duplicate_traces()) == 1


def destroyed(item, day):
    return {
        "noticeRef": "D-1", "origin": "SEIZED", "destroyedOn": day, "place": {"country": "BE"},
        "authorisation": {"authority": "Court", "reference": "1", "date": day}, "method": "SMELTING",
        "facility": "Furnace", "items": [item], "marksRecordedBefore": True, "endsRecord": True,
        "witnesses": [{"organisation": "A", "role": "PROSECUTOR"}, {"organisation": "B", "role": "OBSERVER"}],
        "verification": {"type": "ON_SITE", "certificateRef": "C-1"},
    }  # fmt: skip


def test_a_destroyed_weapon_that_appears_again_is_an_alarm_until_people_looked_into_it(story):
    request = request_of()
    day = dt.date.fromisoformat(request["recovery"]["date"]) - dt.timedelta(days=30)
    notice = destroyed(request["items"][0], f"{day}")
    story.brussels.send("destruction-notice", notice, [VIENNA, NAIROBI])
    [received] = list(story.vienna.inbox())
    received.accept()
    assert story.vienna.alarms == ()
    story.asked()
    [pair] = story.vienna.resurrections()
    assert pair.later.message == story.request.message
    [alarm] = story.vienna.alarms
    assert "appears again" in alarm
    assert story.request.content.items[0].marks[0].text not in alarm
    story.vienna.acknowledge_resurrection(story.request)
    assert story.vienna.alarms == ()
    assert refused("no_such_alarm", story.vienna.acknowledge_resurrection, story.request)


# --- the command ---


def test_the_command_forwards_draws_and_reminds(story, tmp_path):
    world = story.world
    world.enrol("de.contact.wiesbaden")
    world.profile("de.contact.wiesbaden", folder=tmp_path / "de").close()
    cli = cli_for(world, tmp_path)
    sent = story.nairobi.send("tracing-request", request_of(), ["de.contact.wiesbaden"])
    [read] = cli.json("inbox", home="de")["messages"]
    answer = cli.file("answer.json", exported(read["manifest"]["id"], "BE"))
    cli.run("answer", sent.hash, "tracing-response", "--file", answer, home="de")
    forward = ("trace", "forward", sent.hash, "--state", "be", "--agency", "BKA", "--ref", "DE-1")
    assert "has not consented" in cli.run(*forward, home="de", code=1).stderr
    drawn = tmp_path / "chain.svg"
    cli.run("trace", "chain", sent.hash, "--format", "svg", "--out", drawn, home="de")
    assert drawn.read_text("utf-8").startswith("<svg ")
    text = cli.run("trace", "chain", sent.hash, home="de").stdout
    assert "EXPORTED: Maker A, AT -> Importer B, BE" in text
    assert "flowchart TD" in cli.run("trace", "chain", sent.hash, "--format", "mermaid", home="de").stdout
    assert "no item" in cli.run("trace", "chain", sent.hash, "--item", "9", home="de", code=1).stderr

    cli.run("trace", "list", home="de")
    story.nairobi.read_boxes()
    world.clock.advance(days=31)
    world.profile("ug.contact.kampala", folder=tmp_path / "ug").close()
    request = request_of()
    request["recovery"]["place"] = {"country": "UG"}
    asked = cli.json(
        "send", "tracing-request", "--to", VIENNA, "--file", cli.file("r.json", request), home="ug"
    )
    list(story.vienna.inbox())
    assert cli.json("trace", "remind", home="ug")["reminded"] == []
    world.clock.advance(days=15)
    told = cli.json("trace", "remind", "--dry-run", home="ug")
    assert ([r["task"] for r in told["reminded"]], told["sent"]) == (["remind"], 0)
    for _ in range(2):  # once, however often it runs
        assert cli.json("trace", "remind", home="ug")["sent"] == 1
    assert [m.type for m in story.vienna.inbox()].count("free-text") == 1
    assert asked["logged"] == 1
