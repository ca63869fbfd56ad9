"""The desk of a console, on SQLite and PostgreSQL: what comes in is stored once, found, followed and never lost."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from countermark_client import testing
from countermark_console.desk.cases import CaseFilter, Cases, Status
from countermark_console.desk.receiving import Receiving
from countermark_console.desk.shelf import Filter, Shelf
from countermark_console.desk.steps import STEPS
from countermark_console.desk.tables import metadata
from countermark_console.store.database import Database
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


class Agency:
    """A client and its desk."""

    def __init__(self, world, address, url):
        self.client = world.client(address)
        self.database = Database(url)
        self.database.upgrade(STEPS)
        self.told = []
        self.world = world
        self.restart()

    def restart(self):
        self.shelf, self.cases = Shelf(self.database), Cases(self.database)
        self.receiving = Receiving(
            lambda: self.client, self.shelf, self.cases, self.world.clock, self.told.extend
        )

    def round(self):
        return self.receiving.round(self.client)


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def belgium(world, empty_database):
    agency = Agency(world, BELGIUM, empty_database)
    yield agency
    agency.database.close()


@pytest.fixture
def kenya(world, tmp_path):
    agency = Agency(world, KENYA, f"sqlite:///{tmp_path}/kenya.sqlite3")
    yield agency
    agency.database.close()


def test_a_trace_is_followed_from_the_question_to_the_end_on_both_desks(kenya, belgium):
    sent = kenya.client.send("tracing-request", testing.sample_request("Gewehr Überfall 17/A"), to=[BELGIUM])
    conversation = kenya.receiving.stored(kenya.client, sent.message)
    assert kenya.cases.get(conversation).status is Status.WAITING_FOR_THEM
    [came] = belgium.round()
    assert came.hash == sent.hash
    assert belgium.round() == ()  # it is not accepted yet, and does not come again
    case = belgium.cases.get(conversation)
    assert (case.status, case.state, case.task) == (Status.WAITING_FOR_US, "DELIVERED", "acknowledge")
    assert case.deadline is not None
    assert case.reference == "Gewehr Überfall 17/A"
    kenya.round()
    [told] = kenya.shelf.get(sent.hash).receipts
    assert told["stage"] == "delivered"

    received = belgium.client.open_message(sent.message)
    answer = belgium.client.reply(
        received, "tracing-acknowledgement", testing.sample_acknowledgement(received.manifest.id)
    )
    belgium.receiving.stored(belgium.client, answer.message)
    assert belgium.cases.get(conversation).state == "ACKNOWLEDGED"
    final = belgium.client.reply(received, "tracing-response", testing.sample_response(received.manifest.id))
    belgium.receiving.stored(belgium.client, final.message)
    assert belgium.cases.get(conversation).status is Status.ANSWERED
    kenya.round()
    case = kenya.cases.get(conversation)
    assert (case.status, case.task, case.messages) == (Status.ANSWERED, "close", 3)
    kenya.client.close_trace(sent, diversion_established=False, note="done")
    kenya.receiving.follow(kenya.client, [conversation])
    assert kenya.cases.get(conversation).status is Status.CLOSED


def test_what_was_signed_for_and_not_stored_comes_again(world, kenya, belgium):
    for case in ("A", "B", "C"):
        kenya.client.send("lost-or-stolen-notice", testing.sample_notice(case), to=[BELGIUM])
    whole, stored = belgium.shelf.add, []

    def dies(entries, **more):
        if stored:
            raise RuntimeError("the machine stopped")
        stored.append(entries)
        return whole(entries, **more)

    belgium.shelf.add = dies
    with pytest.raises(RuntimeError):
        belgium.round()
    belgium.restart()
    assert len(belgium.round()) == 2
    assert len(belgium.shelf.page().messages) == 3
    assert len(belgium.cases.page()[0]) == 3  # that of the first too, whose round never ended
    # Accepted by other means while the console was not running: it learns of it at its start.
    hashes = belgium.shelf.open_hashes()
    belgium.client.accept_many(hashes[:2])
    belgium.restart()
    belgium.round()
    assert belgium.shelf.open_hashes() == hashes[2:]
    belgium.told.clear()
    belgium.client.accept_many(hashes)
    belgium.shelf.set_stage(hashes, "accepted")
    belgium.round()
    kenya.round()  # what it sent by the command line stands at its desk too
    assert [m.stage for m in kenya.shelf.page().messages] == ["settled"] * 3


def test_everything_is_found_by_its_words_and_in_pages(kenya, belgium):
    request = testing.sample_request("NBI/2026-0417")
    request["items"][0] |= {"make": {"text": "FABRIQUE NATIONALE"}, "calibre": {"text": "7.62x51"}}
    request["recovery"]["circumstances"] = "Überprüfung am Mombasa-Highway; 'quoted' & \"odd\" <b>* (x) :!"
    del request["items"][0]["noMarksReason"]
    request["items"][0]["marks"] = [
        {"kind": "SERIAL", "component": "RECEIVER", "text": "FN-1052213", "status": "LEGIBLE"}
    ]
    sent = kenya.client.send("tracing-request", request, to=[BELGIUM])
    for n in range(7):
        kenya.client.send("lost-or-stolen-notice", testing.sample_notice(f"N-{n}"), to=[BELGIUM])
    belgium.round()

    def found(text, **more):
        return [m.hash for m in belgium.shelf.page(Filter(text=text, **more)).messages]

    for text in (
        "fn-1052213",
        "1052213",
        "10522",
        "uberprufung",
        "ÜBERPRÜFUNG mombasa",
        "NBI/2026",
        '"fabrique nationale"',
        "legible",
        "KE",
        sent.hash,
        sent.id,
    ):
        assert sent.hash in found(text), text
    for text in ("nationale fabrique zzz", '"nationale fabrique"', "fn-999"):
        assert found(text) == [], text
    for strange in ("'", '"', "*", "a OR", "& | ! :*", "()", "\\", "%", "NEAR(", "-", "a' OR 'b"):
        found(strange)
    assert found("", type="lost-or-stolen-notice", country="ke", direction="in", only="unread") != []
    assert found("", direction="out") == []
    one = belgium.shelf.page(limit=3)
    two = belgium.shelf.page(limit=3, after=one.next)
    three = belgium.shelf.page(limit=3, after=two.next)
    pages = [m.hash for page in (one, two, three) for m in page.messages]
    assert pages == [m.hash for m in belgium.shelf.page().messages]
    assert len(set(pages)) == 8
    assert three.next is None
    with pytest.raises(MalformedError):
        belgium.shelf.page(after="x")
    assert belgium.shelf.suggested("makes", "fab") == ["FABRIQUE NATIONALE"]
    assert belgium.shelf.unread() == 8
    assert belgium.shelf.mark_read(sent.hash, "desk-1", 5) is True
    assert belgium.shelf.mark_read(sent.hash, "desk-2", 6) is False
    assert belgium.shelf.get(sent.hash).read_by == "desk-1"
    assert belgium.shelf.unread() == 7


def test_what_people_say_of_a_case_is_kept(world, kenya, belgium):
    sent = kenya.client.send(
        "tracing-request",
        testing.sample_request() | {"urgencyJustification": "A life is at risk."},
        to=[BELGIUM],
        urgency="urgent",
    )
    belgium.round()
    [urgent] = belgium.shelf.urgent_unread()
    assert urgent.hash == sent.hash
    belgium.cases.assign(sent.hash, "a.peeters")
    belgium.cases.note(sent.hash, "a.peeters", " looked up in the register ", 7)
    [note] = belgium.cases.notes(sent.hash)
    assert (note.person, note.text) == ("a.peeters", "looked up in the register")
    assert belgium.cases.page(CaseFilter(owner="a.peeters", only="urgent"))[0][0].conversation == sent.hash
    assert belgium.cases.page(CaseFilter(only="unowned")) == ((), None)
    assert belgium.cases.waiting(0) == (1, 0)
    world.clock.sleep(10 * 86_400)
    belgium.receiving.follow(belgium.client, belgium.cases.running())
    assert belgium.cases.get(sent.hash).overdue(world.clock())
    assert belgium.cases.page(CaseFilter(only="overdue"), now=world.clock())[0]
    belgium.cases.close(sent.hash, "a.peeters", "by telephone", world.clock())
    with pytest.raises(ConflictError):
        belgium.cases.close(sent.hash, "b", "", world.clock())
    belgium.receiving.follow(belgium.client, [sent.hash])
    assert belgium.cases.get(sent.hash).status is Status.CLOSED
    belgium.cases.reopen(sent.hash)
    belgium.receiving.follow(belgium.client, [sent.hash])
    assert belgium.cases.get(sent.hash).status is Status.WAITING_FOR_US
    for call in (
        lambda: belgium.cases.get("0" * 64),
        lambda: belgium.cases.assign("0" * 64, None),
        lambda: belgium.shelf.get("0" * 64),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(MalformedError):
        belgium.cases.note(sent.hash, "x", "  ", 1)


def test_witnesses_and_a_broker_that_is_away_are_told_of(world, kenya, belgium):
    world.appoint_witnesses("w1", quorum=1)
    world.cosign("w1")
    sent = kenya.client.send("lost-or-stolen-notice", testing.sample_notice(), to=[BELGIUM])
    belgium.receiving.try_round()
    assert belgium.shelf.get(sent.hash).witnessed_at is None
    world.cosign("w1")
    for _ in range(6):
        belgium.receiving.try_round()
    assert belgium.shelf.get(sent.hash).witnessed_at is not None
    assert belgium.shelf.unwitnessed() is None
    assert belgium.receiving.state.problem is None
    assert belgium.receiving.state.last_at is not None
    locked = Receiving(lambda: None, belgium.shelf, belgium.cases, world.clock)
    locked.try_round()
    assert locked.state.code == "locked"


def test_the_steps_make_the_tables(empty_database):
    database = Database(empty_database)
    database.upgrade(STEPS)
    seen = inspect(database.engine)
    for name, table in metadata.tables.items():
        there = {column["name"] for column in seen.get_columns(name)}
        assert there == set(table.columns.keys())
        named = {index.name for index in table.indexes}
        assert named == {
            one["name"] for one in seen.get_indexes(name) if not one.get("duplicates_constraint")
        }
    database.close()
