"""Clients put the oldest witnessed checkpoint with a message into its evidence, if the broker shows one that holds."""

import pytest

from countermark_client import testing
from countermark_client._evidence_words import tell
from countermark_protocol.evidence import parse_evidence
from support.cli import cli_for

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


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


@pytest.fixture
def sent(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


def test_a_message_that_a_quorum_had_seen(world, client, sent):
    world.cosign("north", "east")
    size = world.broker.state.size
    world.client(BELGIUM).inbox()
    made = client.evidence(sent)
    first = made.proven.first_witnessed
    assert (first.size, first.named, first.quorum) == (size, 3, 2)
    assert first.witnesses == ("east", "north")
    assert parse_evidence(made.data).witnessed.checkpoint == world.broker.cosigned
    assert any(line.startswith("Witnessed by 2 of 3 by ") for line in tell(made.proven).proven)
    assert tell(made.proven).doubts == ()


def test_no_quorum_has_seen_it_yet(client, sent):
    made = client.evidence(sent)
    assert made.proven.first_witnessed is None
    assert any("that needs witnesses" in line for line in tell(made.proven).not_proven)


def test_what_is_no_quorum_is_left_out(world, client, sent):
    poor = world.cosign("north", "stranger")
    world.cosign("north", "west")

    def shown(exchange, answer):
        return (*answer[:2], poor) if exchange.path == "/v1/log/witnessed" and exchange.query else answer

    world.broker.intercept = shown
    assert client.evidence(sent).proven.first_witnessed is None
    world.broker.intercept = lambda _exchange, answer: answer
    assert client.evidence(sent).proven.first_witnessed is not None


def test_a_log_without_witnesses():
    world = testing.world(KENYA, BELGIUM)
    client = world.client(KENYA)
    sent = client.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert client.evidence(sent).proven.first_witnessed is None


def test_it_is_said_at_the_command_line(world, client, sent, tmp_path):
    world.cosign("north", "west")
    file = tmp_path / "evidence.json"
    file.write_bytes(client.evidence(sent).data)
    cli = cli_for(world, tmp_path)
    checked = cli.json("evidence", "verify", file, home="a court", passphrase="")
    assert checked["first_witnessed"]["cosigned"] == ["north", "west"]
    assert (
        "Witnessed by 2 of 3 by " in cli.run("evidence", "verify", file, home="a court", passphrase="").stdout
    )
