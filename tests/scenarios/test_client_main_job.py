"""The main job over a broker in memory: send, sign for, open, answer, and know what became of it."""

import json
from datetime import timedelta

import pytest

from countermark_client import Draft, testing
from countermark_protocol.errors import MalformedError, NotFoundError, PolicyError
from countermark_protocol.manifest import Stage, Urgency

KENYA, BELGIUM, UGANDA = "ke.police.nairobi", "be.contact.federal", "ug.customs.kampala"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, UGANDA)


def test_a_trace_from_request_to_answer(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = kenya.send("tracing-request", testing.sample_request("KE-2026-7"), to=[BELGIUM])

    [request] = belgium.inbox()
    assert request.message == sent.message
    assert request.content.national_case_ref == "KE-2026-7"
    assert (request.index, request.time) == (sent.index, sent.time)
    request.accept()
    belgium.reply(request, "tracing-acknowledgement", testing.sample_acknowledgement(request.manifest.id))
    belgium.reply(request, "tracing-response", testing.sample_response(request.manifest.id))

    acknowledgement, response = kenya.inbox()
    assert acknowledgement.manifest.stage is Stage.ACKNOWLEDGED
    assert response.manifest.stage is Stage.FINAL
    assert response.manifest.outcome.none == 1
    assert kenya.accept_many([acknowledgement, response]) == 2
    assert kenya.accept_many([acknowledgement, response]) == 0

    kenya.notices()
    [status] = kenya.status(sent).recipients
    assert status.stage == "accepted"
    assert not status.undelivered
    for client in (kenya, belgium):
        items = client.conversation(sent)
        assert [i.manifest.type for i in items] == [
            "tracing-request",
            "tracing-acknowledgement",
            "tracing-response",
        ]
        assert all(i.content is not None for i in items)
    assert kenya.verify_log().size == belgium.verify_log().size == world.broker.state.size
    assert kenya.sync_sent() == 0


async def test_a_trace_on_an_event_loop(world):
    async with world.async_client(KENYA) as kenya, world.async_client(BELGIUM) as belgium:
        sent = await kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
        async for request in belgium.inbox():
            await request.accept()
            await belgium.reply(
                request, "tracing-acknowledgement", testing.sample_acknowledgement(request.manifest.id)
            )
        answers = [one async for one in kenya.inbox()]
        assert [a.type for a in answers] == ["tracing-acknowledgement"]
        await answers[0].reject("handling_unacceptable", "not for this desk")
        await kenya.notices()
        assert kenya.status(sent).recipients[0].stage == "accepted"
        await belgium.notices()
        answer = belgium.conversation(sent)[1]
        [status] = belgium.status(answer.message).recipients
        assert (status.stage, status.reason) == ("rejected", "handling_unacceptable")
        assert status.details == {"message": "not for this desk"}
        outcomes = [
            o
            async for o in kenya.send_bulk(
                [Draft(type="tracing-request", content=testing.sample_request(), to=[BELGIUM])]
            )
        ]
        assert outcomes[0].sent is not None
        assert (await kenya.verify_log()).size == world.broker.state.size
        assert await kenya.sync_sent() == 0
        assert (await kenya.flush()).logged == ()


def test_urgent_comes_first_and_the_inbox_resumes_where_it_stopped(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    request = {**testing.sample_request(), "urgencyJustification": "A threat to life."}
    routine = [kenya.send("tracing-request", request, to=[BELGIUM]) for _ in range(3)]
    flash = kenya.send("tracing-request", request, to=[BELGIUM], urgency=Urgency.FLASH)

    given = []
    for received in belgium.inbox():
        given.append(received.message)
        if len(given) == 2:
            break  # neither is answered: a worker that stops here loses nothing
        received.accept()
    assert given == [flash.message, routine[0].message]

    again = [r.message for r in belgium.inbox()]
    assert again == [r.message for r in routine]
    assert [r.message for r in belgium.inbox("urgent")] == []
    belgium.accept_many(list(belgium.inbox()))
    assert list(belgium.inbox()) == []


def test_a_message_that_comes_while_waiting_is_given_out(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    passed = []

    def pass_time(seconds):
        world.clock.advance(seconds=seconds)
        passed.append(seconds)
        if len(passed) == 2:
            kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])

    world.broker._pass_time = pass_time
    assert len(list(belgium.inbox(wait=30))) == 1
    assert sum(passed) >= 30


def test_a_group_is_resolved_to_explicit_recipients(world):
    world.group("xo-eac/customs", [KENYA, UGANDA, BELGIUM])
    kenya = world.client(KENYA)
    sent = kenya.send("lost-or-stolen-notice", testing.sample_notice(), to=["group:xo-eac/customs"])
    assert sent.recipients == (BELGIUM, UGANDA)
    for address in (BELGIUM, UGANDA):
        [received] = world.client(address).inbox()
        assert received.manifest.group.name == "xo-eac/customs"
        assert received.recipients is None
    visible = kenya.send("lost-or-stolen-notice", testing.sample_notice(), to=[BELGIUM, UGANDA], visible=True)
    received = next(r for r in world.client(UGANDA).inbox() if r.message == visible.message)
    assert received.recipients == (BELGIUM, UGANDA)


def test_every_problem_is_named_by_recipient_before_anything_is_sealed(world):
    world.enrol("tz.contact.dodoma", reads={"tracing-response": (1,)})
    kenya = world.client(KENYA)
    with pytest.raises(PolicyError) as caught:
        kenya.send(
            "tracing-request",
            testing.sample_request(),
            to=[BELGIUM, "zz.contact.none", "tz.contact.dodoma", UGANDA],
        )
    problems = {(p["recipient"], p["code"]) for p in caught.value.facts["problems"]}
    assert problems == {
        ("zz.contact.none", "unknown_recipient"),
        ("tz.contact.dodoma", "version_not_read"),
        (UGANDA, "policy_denied"),
    }
    assert kenya.outbox() == []
    assert not any(r.path == "/v1/messages" for r in world.broker.requests)


def test_what_is_not_valid_is_not_sent(world):
    kenya = world.client(KENYA)
    for content, to, error, code in (
        ({**testing.sample_request(), "items": []}, [BELGIUM], MalformedError, "invalid_content"),
        (testing.sample_request(), [], MalformedError, "too_many_recipients"),
        (testing.sample_request(), ["Belgium"], MalformedError, "not_an_address"),
        (testing.sample_request(), ["group:xo-eac/none"], NotFoundError, "unknown_group"),
        (testing.sample_request(), ["group:xo-eac/none", BELGIUM], MalformedError, "mixed_recipients"),
    ):
        with pytest.raises(error) as caught:
            kenya.send("tracing-request", content, to=to)
        assert caught.value.code == code
    with pytest.raises(PolicyError) as refused:
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], urgency="flash")
    assert refused.value.facts["findings"][0]["rule"] == "urgency_not_justified"
    with pytest.raises(NotFoundError):
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], in_reply_to="00" * 32)
    assert kenya.outbox() == []


def test_send_bulk_goes_on_after_a_refusal(world):
    kenya = world.client(KENYA)
    drafts = [
        Draft(type="tracing-request", content=testing.sample_request(f"C-{i}"), to=[to])
        for i, to in enumerate((BELGIUM, UGANDA, BELGIUM))
    ]
    outcomes = list(kenya.send_bulk(drafts))
    assert [o.sent is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].error.code == "recipients_refused"
    assert [r.content.national_case_ref for r in world.client(BELGIUM).inbox()] == ["C-0", "C-2"]


def test_a_refusal_by_the_broker_is_proven_kept_and_final(world):
    kenya = world.client(KENYA)
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    world.suspend(BELGIUM)  # within the minute in which this client has not looked again
    size = world.broker.state.size
    with pytest.raises(NotFoundError) as caught:
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert caught.value.code == "unknown_recipient"
    assert world.broker.state.size == size
    refused = kenya.outbox()[-1]
    assert refused.state == "refused"
    assert refused.account is not None
    before = len(world.broker.requests)
    kenya.flush()
    assert not any(r.path == "/v1/messages" for r in world.broker.requests[before:])
    assert kenya.status(refused.payload).stage == "refused"


def test_two_instances_of_one_endpoint_share_their_boxes(world):
    kenya, one = world.client(KENYA), world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    sent = [kenya.send("tracing-request", testing.sample_request(str(i)), to=[BELGIUM]) for i in range(3)]
    iterator = one.inbox()
    next(iterator).accept()
    # The second sees by the log what the first has done, and takes over what it has not finished.
    left = list(two.inbox())
    assert [r.message for r in left] == [s.message for s in sent[1:]]
    two.accept_many(left)
    next(iterator).accept()  # accepted by the other already: seen, and nothing is logged a second time
    assert sum(e.document.claims.get("stage") == "accepted" for e in world.broker.entries) == 2
    one.sync_sent()
    two.sync_sent()
    assert list(world.client(one.profile).inbox()) == []
    kenya.notices()
    assert {kenya.status(s).recipients[0].stage for s in sent} == {"accepted"}


def test_what_is_not_collected_is_stated_and_late_is_told(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = kenya.send(
        "tracing-request", testing.sample_request(), to=[BELGIUM], expires_in=timedelta(hours=1)
    )
    world.clock.advance(hours=2)
    assert world.broker.tick() == 1
    assert world.broker.tick() == 0
    kenya.notices()
    [status] = kenya.status(sent).recipients
    assert (status.stage, status.undelivered) == ("open", True)
    [received] = belgium.inbox()
    received.accept()
    kenya.notices()
    [status] = kenya.status(sent).recipients
    assert (status.stage, status.undelivered) == ("accepted", True)


def test_exercise_traffic_carries_on_in_replies(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], exercise=True)
    [request] = belgium.inbox()
    belgium.reply(request, "tracing-acknowledgement", testing.sample_acknowledgement(request.manifest.id))
    [answer] = kenya.inbox()
    assert answer.manifest.exercise
    assert answer.manifest.handling == request.manifest.handling


def test_a_message_sealed_to_the_former_key_still_opens(world):
    kenya = world.client(KENYA)
    sent = kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    keystore = world.rotate_sealing_key(BELGIUM, overlap_ms=3_600_000)
    belgium = world.client(world.profile(BELGIUM, keystore=keystore))
    assert [r.message for r in belgium.inbox()] == [sent.message]
    world.clock.advance(minutes=2)
    again = kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert [r.message for r in belgium.inbox()] == [sent.message, again.message]


def test_who_was_enrolled_a_moment_ago_can_be_written_to(world):
    kenya = world.client(KENYA)
    kenya.sync()
    world.enrol("tz.contact.dodoma")
    sent = kenya.send("tracing-request", testing.sample_request(), to=["tz.contact.dodoma"])
    assert sent.recipients == ("tz.contact.dodoma",)


def test_a_proof_is_kept_on_both_sides(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    [received] = belgium.inbox()
    for client, ref in ((kenya, sent), (belgium, received)):
        proof = json.loads(client.proof(ref))
        assert proof["inclusion"]["index"] == sent.index
        assert proof["checkpoint"].startswith(world.broker.origin)
    with pytest.raises(NotFoundError):
        kenya.proof("00" * 32)


def test_who_was_enrolled_a_moment_ago_is_written_to_at_once(world):
    kenya = world.client(KENYA)
    kenya.sync()
    newcomer = world.client("tz.contact.dodoma")  # enrolled after Kenya read the directory
    sent = kenya.send("tracing-request", testing.sample_request(), to=["tz.contact.dodoma"])
    assert [m.message for m in newcomer.inbox()] == [sent.message]
    with pytest.raises(PolicyError) as refused:
        kenya.send("tracing-request", testing.sample_request(), to=["tz.contact.nowhere"])
    assert refused.value.code == "recipients_refused"


@pytest.mark.parametrize("accepted", [False, True])
def test_receipts_of_another_instance_that_are_read_before_their_message(world, accepted):
    kenya, one = world.client(KENYA), world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    sent = kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    [received] = one.inbox()
    if accepted:
        received.accept()
    assert two.sync_sent() == 1 + accepted
    assert [r.message for r in two.inbox()] == ([] if accepted else [sent.message])
