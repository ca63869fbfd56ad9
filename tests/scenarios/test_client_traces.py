"""Traces through the client: states, deadlines, what is refused before it is sent, closing, and what is due."""

import datetime as dt
import json

import pytest

from countermark_client import testing
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError
from countermark_protocol.tracing.calendars import DAY, parse_holidays
from countermark_protocol.tracing.due import Task
from countermark_protocol.tracing.lifecycle import TraceState
from support.cli import cli_for

POLICE, BELGIUM, VIENNA = "ke.police.nairobi", "be.contact.federal", "at.contact.vienna"


@pytest.fixture
def world():
    return testing.world(POLICE, BELGIUM, VIENNA)


def ask(client, *to, **more):
    return client.send("tracing-request", testing.sample_request(), to=list(to or (BELGIUM,)), **more)


def take(client):
    [received] = list(client.inbox())
    received.accept()
    return received


def state(client, ref, requested=BELGIUM):
    client.read_boxes()
    [one] = [t for t in client.trace(ref).traced.traces if t.clock.requested == requested][-1:]
    return one.state


def acknowledgement(received, **more):
    return testing.sample_acknowledgement(received.manifest.id) | more


def more_needed(received):
    document = acknowledgement(received, status="MORE_INFORMATION_NEEDED")
    document.pop("estimatedReplyBy", None)
    return document | {"missing": [{"path": "/items/0/marks", "why": "a photograph of the serial is needed"}]}


def response(received, **more):
    return testing.sample_response(received.manifest.id) | more


def test_a_trace_from_the_request_to_its_closing_on_both_sides(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium:
        sent = ask(police)
        assert state(police, sent) is TraceState.SENT
        assert sent_deadline(police, sent) == 30 * DAY
        request = take(belgium)
        assert state(police, sent) is state(belgium, sent) is TraceState.DELIVERED
        belgium.reply(request, "tracing-acknowledgement", more_needed(request))
        assert state(police, sent) is state(belgium, sent) is TraceState.INFO_NEEDED
        asked = take(police)
        police.send("tracing-request", testing.sample_request(), to=[BELGIUM], in_reply_to=asked)
        take(belgium)
        assert state(police, sent) is state(belgium, sent) is TraceState.RESUMED
        belgium.reply(request, "tracing-acknowledgement", acknowledgement(request))
        assert state(police, sent) is TraceState.IN_PROGRESS
        with pytest.raises(PolicyError) as caught:
            police.close_trace(sent, diversion_established=True)
        assert (caught.value.code, caught.value.facts["reason"]) == ("trace_refused", "not-answered")
        belgium.reply(request, "tracing-response", response(request))
        assert state(police, sent) is state(belgium, sent) is TraceState.ANSWERED
        with pytest.raises(PolicyError) as caught:
            belgium.close_trace(sent, diversion_established=True)
        assert caught.value.code == "not_the_requester"
        closed = police.close_trace(sent, diversion_established=True, note="importer found")
        [one] = closed.traced.traces
        assert (one.state, one.closing.diversion_established, one.closing.note) == (
            TraceState.CLOSED,
            True,
            "importer found",
        )
        with pytest.raises(ConflictError) as caught:
            police.close_trace(sent, diversion_established=False)
        assert caught.value.code == "trace_not_named"
        # Both count the same times; who asked what when is the same story.
        ours, theirs = police.trace(sent).traced.traces[0].clock, belgium.trace(sent).traced.traces[0].clock
        assert [
            getattr(ours, f) for f in ("delivered_at", "pauses", "acknowledged_at", "answered_at", "due_at")
        ] == [
            getattr(theirs, f) for f in ("delivered_at", "pauses", "acknowledged_at", "answered_at", "due_at")
        ]


def sent_deadline(client, sent):
    [item] = client.conversation(sent)
    return item.manifest.reply_by - item.manifest.sent_at


def test_deadlines_follow_instrument_and_urgency(world):
    with world.client(VIENNA) as vienna, world.client(POLICE) as police:
        document = testing.sample_request()
        document["recovery"]["place"] = {"country": "AT"}
        sent = vienna.send("tracing-request", document, to=[BELGIUM])
        assert sent_deadline(vienna, sent) == 7 * DAY
        urgent = police.send(
            "tracing-request",
            testing.sample_request() | {"urgencyJustification": "life at risk"},
            to=[BELGIUM],
            urgency="urgent",
        )
        assert sent_deadline(police, urgent) == DAY


def test_what_the_table_does_not_allow_is_not_sent(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium:
        ask(police)
        request = take(belgium)
        belgium.reply(request, "tracing-response", response(request))
        before = len(belgium.outbox())
        for kind, document in (
            ("tracing-acknowledgement", acknowledgement(request)),
            ("tracing-response", response(request)),
        ):
            with pytest.raises(PolicyError) as caught:
                belgium.reply(request, kind, document)
            assert (caught.value.code, caught.value.facts["reason"]) == ("trace_refused", "already-final")
            assert "the trace is ANSWERED" in caught.value.message
        assert len(belgium.outbox()) == before


def test_more_is_asked_for_three_times_at_most(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium:
        ask(police)
        request = take(belgium)
        for _ in range(3):
            belgium.reply(request, "tracing-acknowledgement", more_needed(request))
            asked = take(police)
            police.send("tracing-request", testing.sample_request(), to=[BELGIUM], in_reply_to=asked)
            take(belgium)
        with pytest.raises(PolicyError) as caught:
            belgium.reply(request, "tracing-acknowledgement", more_needed(request))
        assert caught.value.facts["reason"] == "too-many-rounds"


def test_each_that_is_asked_has_a_state_of_its_own(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium, world.client(VIENNA) as vienna:
        sent = ask(police, BELGIUM, VIENNA)
        request = take(belgium)
        take(vienna)
        belgium.reply(request, "tracing-response", response(request))
        assert state(police, sent) is TraceState.ANSWERED
        assert state(police, sent, VIENNA) is TraceState.DELIVERED


def test_time_makes_tasks_on_both_sides_and_closes_what_is_not_given(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium:
        sent = ask(police)
        request = take(belgium)
        police.read_boxes()
        assert tasks(belgium) == [Task.ACKNOWLEDGE]
        world.clock.advance(days=15)
        assert tasks(police) == [Task.REMIND]
        assert tasks(belgium) == [Task.ACKNOWLEDGE, Task.REPLY_SOON]
        world.clock.advance(days=16)
        assert tasks(police) == [Task.REMIND, Task.ESCALATE]
        belgium.reply(request, "tracing-acknowledgement", more_needed(request))
        police.read_boxes()
        assert (tasks(police), tasks(belgium)) == ([Task.GIVE_INFORMATION], [])
        world.clock.advance(days=15, seconds=1)
        assert state(police, sent) is state(belgium, sent) is TraceState.CLOSED_INCOMPLETE
        assert (tasks(police), tasks(belgium)) == ([], [])


def tasks(client):
    own = client.profile.endpoint
    return [d.task for case in client.traces() for d in case.due if d.who == own]


def test_holidays_move_the_acknowledgement(world):
    with world.client(POLICE) as police, world.client(BELGIUM) as belgium:
        sent = ask(police)
        take(belgium)
        police.read_boxes()
        [plain] = police.trace(sent).traced.traces
        days = {plain.clock.delivered_at // DAY + n for n in range(1, 8)}
        lines = [f"BE,{dt.date(1970, 1, 1) + dt.timedelta(days=d)}" for d in sorted(days)]
        holidays = parse_holidays("country,date\n" + "\n".join(lines) + "\n")
        [moved] = police.trace(sent, holidays).traced.traces
        assert moved.clock.acknowledge_by > plain.clock.acknowledge_by


def test_what_is_no_trace_says_so(world):
    with world.client(POLICE) as police:
        sent = police.send("lost-or-stolen-notice", testing.sample_notice(), to=[BELGIUM])
        with pytest.raises(NotFoundError) as caught:
            police.trace(sent)
    assert caught.value.code == "not_a_trace"


async def test_the_asynchronous_client_tells_the_same(world):
    with world.client(BELGIUM) as belgium:
        async with world.async_client(POLICE) as police:
            sent = await police.send("tracing-request", testing.sample_request(), to=[BELGIUM])
            take(belgium)
            await police.read_boxes()
            assert [t.state for t in police.trace(sent).traced.traces] == [TraceState.DELIVERED]
            assert len(police.traces()) == 1


# --- the command ---


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, BELGIUM):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def test_the_command_lists_shows_tells_what_is_due_and_closes(cli, world):
    request = cli.file("request.json", testing.sample_request("KE-7"))
    sent = cli.json("send", "tracing-request", "--to", BELGIUM, "--file", request, home=POLICE)
    message = sent["messages"][0]["message"]
    [received] = cli.json("inbox", home=BELGIUM)["messages"]
    identity = received["manifest"]["id"]
    listed = cli.run("trace", "list", home=POLICE).stdout
    assert BELGIUM in listed
    assert "DELIVERED" in listed
    assert "KE-7" in listed
    assert "acknowledge the request" in cli.run("trace", "due", home=BELGIUM).stdout
    assert cli.run("trace", "due", home=POLICE).stdout.strip() == ""
    answer = cli.file("answer.json", testing.sample_response(identity))
    cli.run("answer", message, "tracing-response", "--file", answer, home=BELGIUM)
    shown = cli.run("trace", "show", message[:10], home=POLICE).stdout
    assert f"{BELGIUM}: answer -> ANSWERED" in shown
    again = cli.run("answer", message, "tracing-response", "--file", answer, home=BELGIUM, code=1)
    assert "the final answer was given" in again.stderr
    closed = cli.json("trace", "close", message, "--diversion", home=POLICE)
    assert closed["traces"][0]["state"] == "CLOSED"
    assert json.loads(json.dumps(closed))["traces"][0]["diversion_established"] is True
    holidays = cli.file("holidays.csv", "country,date\nBE,2026-05-05\n")
    assert cli.json("trace", "list", "--open", "--holidays", holidays, home=POLICE)["cases"] == []
    wrong = cli.file("wrong.csv", "day\n2026-05-05\n")
    assert "country" in cli.run("trace", "due", "--holidays", wrong, home=POLICE, code=1).stderr
