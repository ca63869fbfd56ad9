"""Searching a mirror by every criterion, page by page, and the life of a conversation as a real log holds it."""

import pytest

from countermark_client.audit._mirror import Mirror
from countermark_client.review._scope import Traffic, parse_period
from countermark_client.review._search import Query, conversation_of, find_message, search
from countermark_client.review._timeline import timeline
from countermark_protocol.acts import PurgeGround
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.manifest import Outcome, Stage
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from support.audited import MemoryLog, audited_world
from support.mirrors import DAY, HOUR, HandMade, at
from support.world import BROKER, KAMPALA, LYON, NAIROBI, OVERSEER

POLICE, CUSTOMS, CONTACT = "ke.police.nairobi", "ke.customs.mombasa", "ug.contact.kampala"
MAY = at("2026-05-04")


@pytest.fixture
def made():
    mirror = HandMade()
    yield mirror
    mirror.mirror.close()


@pytest.fixture
def some(made):
    """Five messages, by name."""
    trace = made.message(POLICE, [CONTACT], MAY, urgency="urgent", tlp="RED")
    made.delivered(trace, CONTACT, MAY + HOUR)
    answer = made.answer(CONTACT, trace, MAY + DAY, "final", [POLICE], outcome=(1, 0, 0, 2))
    alert = made.message(
        CUSTOMS, [CONTACT, POLICE], MAY + 40 * DAY, "trade-route-alert", classification="SECRET"
    )
    made.settled(alert, POLICE, MAY + 41 * DAY, "rejected", "not_for_us")
    made.undelivered(alert, CONTACT, MAY + 80 * DAY)
    notice = made.message(CONTACT, [CUSTOMS], MAY + 41 * DAY, "confiscation-notice")
    drill = made.message(POLICE, [CONTACT], MAY + 42 * DAY, exercise=1)
    return {"trace": trace, "answer": answer, "alert": alert, "notice": notice, "drill": drill}


def names(made, some, traffic=Traffic.REAL, **query):
    page = search(made.database, Query(traffic, **query))
    by_payload = {payload: name for name, payload in some.items()}
    return [by_payload[f.message["payload"]] for f in page.messages]


REAL = ["trace", "answer", "alert", "notice"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, REAL),
        ({"traffic": Traffic.EXERCISE}, ["drill"]),
        ({"traffic": Traffic.BOTH}, [*REAL, "drill"]),
        ({"party": POLICE}, ["trace", "answer", "alert"]),
        ({"party": POLICE, "side": "sender"}, ["trace"]),
        ({"party": POLICE, "side": "recipient"}, ["answer", "alert"]),
        ({"country": "ug", "side": "sender"}, ["answer", "notice"]),
        ({"country": "ke", "role": "customs"}, ["alert", "notice"]),
        ({"country": "ug", "role": "police"}, []),  # one party must be both
        ({"role": "contact", "side": "recipient"}, ["trace", "alert"]),
        ({"type": "tracing-request"}, ["trace"]),
        ({"stage": "final"}, ["answer"]),
        ({"outcome": "refused"}, ["answer"]),
        ({"outcome": "partial"}, []),
        ({"tlp": "RED"}, ["trace"]),
        ({"classification": "SECRET"}, ["alert"]),
        ({"urgency": "urgent"}, ["trace"]),
        ({"delivery": "delivered"}, ["trace"]),
        ({"delivery": "rejected"}, ["alert"]),
        ({"delivery": "undelivered"}, ["alert"]),
        ({"delivery": "rejected", "party": CONTACT, "side": "recipient"}, []),
        ({"delivery": "open", "country": "ke", "side": "sender"}, ["alert"]),
        ({"period": parse_period("2026-05", None)}, ["trace", "answer"]),
        ({"period": parse_period("2026-Q2", None), "country": "ke", "side": "sender"}, ["trace", "alert"]),
    ],
)
def test_each_criterion(made, some, query, found):
    assert names(made, some, **query) == found


def test_a_conversation_and_how_it_is_named(made, some):
    whole = some["answer"].hex()
    for text in (whole, whole[:8], whole[:11]):
        assert find_message(made.database, text) == some["answer"]
    assert conversation_of(made.database, some["answer"]) == some["trace"]
    assert names(made, some, conversation=some["trace"]) == ["trace", "answer"]
    for text in ("abc", "ABCDEF0123", whole + "0"):
        with pytest.raises(MalformedError, match="not_hex"):
            find_message(made.database, text)
    with pytest.raises(NotFoundError, match="not_in_mirror"):
        find_message(made.database, "0123456789")


def test_two_that_begin_alike_are_told_apart(made):
    for last in (b"\x01", b"\x02"):
        made.message(POLICE, [], MAY, payload=b"\xff" * 31 + last)
    with pytest.raises(NotFoundError, match="ambiguous_in_mirror"):
        find_message(made.database, "ff" * 8)
    assert find_message(made.database, "ff" * 31 + "02")[-1] == 2


def test_pages_are_the_whole_and_stay_the_same(made):
    every = [made.message(POLICE, [CONTACT], MAY + i) for i in range(7)]
    seen, after = [], -1
    while after is not None:
        page = search(made.database, Query(Traffic.REAL), after=after, limit=3)
        seen += [f.message["payload"] for f in page.messages]
        after = page.after
    assert seen == every
    assert search(made.database, Query(Traffic.REAL), limit=7).after is None
    for limit in (0, 1001):
        with pytest.raises(MalformedError, match="bad_limit"):
            search(made.database, Query(Traffic.REAL), limit=limit)


def test_an_empty_mirror(made):
    page = search(made.database, Query(Traffic.BOTH))
    assert (page.messages, page.after) == ((), None)
    told = timeline(made.database, bytes(32))
    assert (told.at, told.events, told.clocks) == (0, (), ())


# --- timelines: of a log that was synchronised ---


@pytest.fixture(scope="module")
def told():
    """A trace that is paused, answered, disclosed and withdrawn, among other traffic."""
    world = audited_world()
    other = world.send(NAIROBI, [KAMPALA])
    request = world.send(NAIROBI, [KAMPALA, LYON], type="tracing-request", reply_by=world.now + 9 * DAY)
    world.now += HOUR
    world.put(world.receipt(KAMPALA, [other, request]))
    world.now += HOUR
    more = world.compose_reply(
        KAMPALA, request, type="tracing-acknowledgement", stage=Stage.PAUSED, outcome=Outcome()
    )
    world.put(more)
    world.accept(NAIROBI, more)
    world.now += DAY
    given = world.compose_reply(NAIROBI, more, type="tracing-request")
    world.put(given)
    world.put(world.receipt(KAMPALA, [given]))
    reason = RejectionReason.NOT_FOR_US
    item = ReceiptItem(other.payload_hash, commitment_checked=True, reason=reason)
    world.put(world.receipt(KAMPALA, [other], ReceiptStage.REJECTED, items=(item,)))
    answer = world.compose_reply(
        KAMPALA, request, type="tracing-response", stage=Stage.FINAL, outcome=Outcome(success=1, none=2)
    )
    world.now += DAY
    world.put(answer)
    world.put(world.disclosure(NAIROBI, request))
    world.now += 40 * DAY
    world.put(world.undelivered(request, LYON))
    world.put(world.purge(NAIROBI, request, PurgeGround.WITHDRAWN))
    log, mirror = MemoryLog(world, OVERSEER), Mirror(None)
    assert log.sync(mirror).open == ()
    messages = {
        "other": other.payload_hash,
        "request": request.payload_hash,
        "more": more.payload_hash,
        "given": given.payload_hash,
        "answer": answer.payload_hash,
    }
    yield world, mirror, messages
    mirror.close()


def test_everything_about_a_conversation_is_told_in_log_order(told):
    _world, mirror, messages = told
    line = timeline(mirror.database, messages["request"])
    names = {payload: name for name, payload in messages.items()}
    assert [(e.kind, e.author, [names[m] for m in e.messages]) for e in line.events] == [
        ("message", NAIROBI, ["request"]),
        ("receipt", KAMPALA, ["request"]),  # which is about another conversation too
        ("message", KAMPALA, ["more"]),
        ("receipt", NAIROBI, ["more"]),
        ("receipt", NAIROBI, ["more"]),
        ("message", NAIROBI, ["given"]),
        ("receipt", KAMPALA, ["given"]),
        ("message", KAMPALA, ["answer"]),
        ("disclosure", NAIROBI, ["request"]),
        ("undelivered", BROKER, ["request"]),
        ("purge", NAIROBI, ["request"]),
    ]
    assert line.exercise
    assert [e.index for e in line.events] == sorted(e.index for e in line.events)
    assert line.events[7].facts["outcome"] == {"success": 1, "partial": 0, "none": 2, "refused": 0}
    assert line.events[8].facts["to"] == "High Court of Kenya, Nairobi"
    assert line.events[10].facts == {"ground": "withdrawn"}


def test_its_clocks_stand_still_while_paused(told):
    world, mirror, messages = told
    line = timeline(mirror.database, messages["request"])
    assert line.at == world.now + 1
    kampala, lyon = sorted(line.clocks, key=lambda c: c.requested)
    assert (kampala.requested, lyon.requested) == (KAMPALA, LYON)
    [(begin, end)] = kampala.pauses
    assert end - begin == DAY
    assert kampala.response == DAY + HOUR
    assert kampala.state == "answered-in-time"
    assert lyon.state == "withdrawn"
    assert kampala.due_at == kampala.reply_by + DAY


def test_reasons_of_rejections_are_told(told):
    _world, mirror, messages = told
    rejected = timeline(mirror.database, messages["other"]).events[-1]
    assert rejected.facts == {"stage": "rejected", "reason": "not_for_us"}
    assert rejected.to_json()["messages"] == [messages["other"].hex()]
