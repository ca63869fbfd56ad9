"""One view of all recipients of an alert to two hundred: who collected it, who did not, and since when."""

import pytest

from countermark_client import Standing, testing
from countermark_protocol.errors import NotFoundError
from message_examples import example
from support.cli import cli_for

SENDER = "ke.customs.mombasa"
MANY = tuple(f"xo-un.customs.n{number:03}" for number in range(200))
LATE, MISSING = MANY[4], (MANY[5], *MANY[6:])
ALERT = "trade-route-alert"


def expired(world):
    """Nobody comes in time any more, and the broker says so."""
    world.clock.advance(days=31)
    world.broker.tick()


@pytest.fixture(scope="module")
def world():
    return testing.world(SENDER, *MANY)


@pytest.fixture(scope="module")
def sent(world):
    """Accepted, collected, rejected, accepted late; one and all others have not collected it."""
    client = world.client(SENDER)
    sent = client.send(ALERT, example(ALERT), [*MANY], leave_out=[MANY[199]])
    first, second, third = (world.client(a) for a in MANY[:3])
    for message in first.inbox():
        message.accept()
    next(iter(second.inbox()))
    for message in third.inbox():
        message.reject("not_for_us", "ask the others")
    expired(world)
    for message in world.client(LATE).inbox():
        message.accept()
    client.notices()
    return client, sent


def test_all_recipients_at_a_glance(world, sent):
    client, message = sent
    found = client.rollup(message)
    assert found.counts == {
        Standing.ACCEPTED: 2,
        Standing.REJECTED: 1,
        Standing.COLLECTED: 1,
        Standing.UNDELIVERED: 195,
        Standing.WAITING: 0,
    }
    assert sum(found.counts.values()) == len(found.recipients) == 199
    assert (found.collected, found.late, len(found.missing)) == (4, 1, 195)
    assert found.summary == (
        "4 of 199 collected: 2 accepted, 1 rejected, 1 collected, 195 undelivered, 1 of them late, 1 left out"
    )
    assert [one.address for one in found.left_out] == [MANY[199]]
    by = {one.recipient: one for one in found.recipients}
    log = world.broker.entries
    for who, kind in (
        (MANY[0], "receipt"),
        (MANY[1], "receipt"),
        (MANY[2], "receipt"),
        (MANY[50], "undelivered"),
    ):
        entry = log[by[who].entry]
        assert (entry.leaf.time, entry.document.claims["kind"]) == (by[who].since, kind)
    assert log[by[MANY[50]].entry].document.claims["recipient"] == MANY[50]
    assert (by[MANY[2]].reason, by[MANY[0]].late, by[LATE].late) == ("not_for_us", False, True)
    # It was noticed as undelivered, and signed for after all: it stands where it came to.
    assert by[LATE].standing is Standing.ACCEPTED
    assert by[LATE].collected_at > found.expires_at
    assert MANY[199] not in by


def test_who_waits_has_waited_since_it_was_logged(world):
    client = world.client(SENDER)
    sent = client.send(ALERT, example(ALERT), MANY[:2])
    found = client.rollup(sent)
    assert {(one.standing, one.since, one.entry) for one in found.missing} == {
        (Standing.WAITING, sent.time, sent.index)
    }
    assert found.summary == "0 of 2 collected: 2 waiting"
    with pytest.raises(NotFoundError):
        client.rollup(b"\0" * 32)


def test_of_what_another_instance_sent_only_those_are_known_of_whom_something_came(world):
    first = world.client(SENDER)
    sent = first.send(ALERT, example(ALERT), MANY[:4])
    second = world.client(world.profile(SENDER, keystore=world.add_instance(SENDER, "second")))
    second.sync_sent()
    for message in world.client(MANY[0]).inbox():
        message.accept()
    second.notices()
    found = second.rollup(sent)
    assert ([one.recipient for one in found.recipients], found.unknown) == ([MANY[0]], 3)
    assert found.summary.endswith("1 accepted, 3 more not known here, nothing has come from them yet")


async def test_the_asynchronous_client_has_the_same_view(world, sent):
    client, message = sent
    async with world.async_client(client.profile) as other:
        assert other.rollup(message) == client.rollup(message)


def test_two_hundred_are_read_by_one_query(sent, monkeypatch):
    client, message = sent
    store, asked = client.profile.store, []
    real = store._db.execute
    monkeypatch.setattr(store._db, "execute", lambda sql, *values: asked.append(sql) or real(sql, *values))
    client.rollup(message)
    assert sum("deliveries" in sql or "notices" in sql for sql in asked) == 1
    plan = [row[-1] for row in real(f"EXPLAIN QUERY PLAN {asked[1]}", (message.message,))]
    assert not any(line.startswith("SCAN") for line in plan), plan


def test_the_command_line_tells_who_is_missing_and_since_when(world, tmp_path):
    world.profile(SENDER, folder=tmp_path / SENDER, keystore=world.add_instance(SENDER, "desk")).close()
    cli = cli_for(world, tmp_path)
    file = cli.file("alert.json", example(ALERT))
    to = [word for address in MANY[:3] for word in ("--to", address)]
    [row] = cli.json("send", ALERT, *to, "--leave-out", MANY[2], "--file", file, home=SENDER)["messages"]
    for message in world.client(MANY[0]).inbox():
        message.accept()
    told = cli.run("status", row["message"][:8], home=SENDER).stdout
    assert "1 of 2 collected: " in told
    assert "left out by its sender" in told
    rollup = cli.json("status", row["message"], home=SENDER)["rollup"]
    assert (rollup["collected"], rollup["counts"]["accepted"], rollup["late"]) == (1, 1, 0)
    [missing] = rollup["missing"]
    assert missing == {
        "recipient": MANY[1],
        "standing": "waiting",
        "since": row["time"],
        "entry": row["index"],
    }
    alone = cli.run("status", row["message"], "--missing", home=SENDER).stdout
    assert MANY[1] in alone
    assert MANY[0] not in alone
