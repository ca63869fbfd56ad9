"""What a client makes of witnesses: freshness by their word, quorums, and entries dated behind their backs."""

from datetime import timedelta

import pytest

from countermark_client import AsyncClient, Settings, testing
from countermark_client._witnessing import POLICY_FILE
from countermark_client.testing._witnesses import describe, make_cosigner
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint
from countermark_protocol.errors import InconsistentLogError, SignatureError, UncheckableError
from support.cli import cli_for

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
MINUTE = 60_000


@pytest.fixture
def world():
    world = testing.world(KENYA, BELGIUM)
    world.appoint_witnesses("east", "west", "north", quorum=2)
    return world


@pytest.fixture
def client(world):
    world.cosign("east", "west")
    client = world.client(KENYA)
    client.sync()
    return client


def send(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


def test_a_quorum_makes_a_checkpoint_witnessed(world, client):
    sent = send(client)
    with pytest.raises(UncheckableError) as caught:
        client.wait_witnessed(sent.index, timedelta(seconds=3))
    assert caught.value.code == "not_witnessed_yet"
    world.cosign("north", "east")
    witnessed = client.wait_witnessed(sent.index)
    assert witnessed.checkpoint.size == sent.index + 1
    assert set(witnessed.witnesses) == {"north", "east"}
    assert witnessed.at == witnessed.existed_by <= world.clock()


async def test_the_asynchronous_client_waits_too(world):
    world.cosign("east", "west")
    async with world.async_client(KENYA) as client:
        await client.sync()
        assert isinstance(client, AsyncClient)
        witnessed = await client.wait_witnessed(0)
        assert witnessed.checkpoint.size == world.broker.state.size


@pytest.mark.parametrize("names", [(), ("east",), ("east", "stranger")])
def test_fewer_are_no_quorum(world, names):
    client = world.client(KENYA)
    if names:
        world.cosign(*names)
        with pytest.raises(SignatureError) as caught:
            client.sync()
        assert caught.value.code == "quorum_not_met"
        return
    client.sync()
    with pytest.raises(UncheckableError) as caught:
        send(client)
    # The broker's own word about its age is worth nothing here.
    assert caught.value.code == "stale_checkpoint"
    assert "quorum of witnesses" in caught.value.message


def test_nothing_is_sent_once_witnesses_are_silent(world, client):
    send(client)
    world.clock.advance(minutes=14)
    send(client)
    world.clock.advance(minutes=2)
    with pytest.raises(UncheckableError) as caught:
        send(client)
    assert caught.value.code == "stale_checkpoint"
    world.cosign("east", "west")
    send(client)


def test_a_log_without_witnesses_says_so():
    client = testing.world(KENYA, BELGIUM).client(KENYA)
    client.sync()
    with pytest.raises(UncheckableError) as caught:
        client.wait_witnessed(0)
    assert caught.value.code == "no_witnesses"


def test_an_entry_dated_behind_a_quorum(world, client):
    world.cosign("east", "west")
    client.sync()
    # The log's clock is set back by five minutes; no leaf of its own is that young yet.
    world.broker.state.time -= 10 * MINUTE
    world.clock.advance(minutes=-5)
    with pytest.raises(InconsistentLogError) as caught:
        send(client)
    assert caught.value.code == "back_dated_leaf"
    leaf, cosigned, _ = caught.value.evidence
    assert parse_checkpoint(cosigned).size == caught.value.facts["index"]
    assert len(leaf) == 115
    assert client.halted


def test_a_minute_is_tolerated(world, client):
    world.cosign("east", "west")
    client.sync()
    world.broker.state.time -= 10 * MINUTE
    world.clock.advance(seconds=-59)
    send(client)


def test_witnesses_of_another_history(world, client):
    size = world.broker.state.size
    key = world._log_key
    world.broker.checkpoint = sign_checkpoint(
        world.broker.state.origin, size, bytes(32), key.sign, key.public_key.raw
    )
    world.cosign("east", "west")
    with pytest.raises(InconsistentLogError) as caught:
        client.wait_witnessed(0)
    assert caught.value.code == "checkpoint_fork"


def test_governors_name_others(world, client):
    world.appoint_witnesses("south", quorum=1)
    with pytest.raises(SignatureError):
        client.sync()
    world.cosign("south")
    client.sync()
    assert client.wait_witnessed(0).witnesses == ("south",)


def test_a_policy_of_ones_own(world, tmp_path):
    keys = [describe(name, make_cosigner(name)).vkeys[0] for name in ("east", "own")]
    profile = world.profile(KENYA, folder=tmp_path / "profile")
    lines = [
        f"witness east {keys[0]}",
        f"witness own {keys[1]}",
        "group both all east own",
        "quorum both",
        "",
    ]
    (tmp_path / "profile" / POLICY_FILE).write_text("\n".join(lines))
    client = world.client(profile)
    world.cosign("east", "west")
    with pytest.raises(SignatureError):
        client.sync()
    world.cosign("east", "west", "own")
    client.sync()
    assert set(client.wait_witnessed(0).witnesses) == {"east", "west", "own"}
    client.close()


def test_what_was_witnessed_is_known_at_the_next_start(world, tmp_path):
    world.cosign("east", "west")
    profile = world.profile(KENYA, folder=tmp_path / "profile")
    with world.client(profile) as client:
        client.sync()
    profile.close()
    profile = type(profile).open(tmp_path / "profile", testing.PASSPHRASE)
    world.broker.cosigned = b""
    with world.client(profile, settings=Settings(sync_interval=3_600_000)) as client:
        send(client)


def test_send_waits_on_the_command_line(world, tmp_path):
    world.cosign("east", "west")
    world.profile(KENYA, folder=tmp_path / KENYA).close()
    cli = cli_for(world, tmp_path)
    request = cli.file("request.json", testing.sample_request())
    words = ["send", "tracing-request", "--to", BELGIUM, "--file", request, "--wait", "witnessed"]
    told = cli.json(*words, "--within", "2", home=KENYA, code=1)
    # It is logged; that nobody has cosigned it yet does not undo that.
    assert told["logged"] == 1
    assert told["witnessed"] is None
    assert told["error"]["code"] == "not_witnessed_yet"
    world.broker.intercept = lambda _exchange, answer: (world.cosign("east", "north"), answer)[1]
    told = cli.json(*words, home=KENYA)
    assert told["witnessed"]["size"] == world.broker.state.size
    assert set(told["witnessed"]["witnesses"]) == {"east", "north"}
