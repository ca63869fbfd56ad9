"""Clients put the oldest time stamps that cover a message into its evidence; roots make them count."""

from datetime import UTC, datetime

import pytest

from countermark_client import testing
from countermark_protocol.evidence import parse_evidence
from countermark_protocol.stamp_history import StampItem
from countermark_protocol.timestamps import parse_tsa_roots
from support.cli import cli_for
from support.tsa import Tsa

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture(scope="module")
def tsas():
    return {"east": Tsa("East Time"), "west": Tsa("West Time")}


@pytest.fixture
def world():
    world = testing.world(KENYA, BELGIUM)
    world.appoint_witnesses("one", "two", quorum=2)
    return world


@pytest.fixture
def client(world):
    world.cosign("one", "two")
    client = world.client(KENYA)
    client.sync()
    return client


def stamp(world, tsas, minute, *names):
    note = world.cosign("one", "two")
    at = datetime.fromtimestamp(world.clock() // 1000 + 60, UTC)
    world.broker.stamps += [StampItem(minute, n, note, tsas[n].stamp(note, at)) for n in names]


@pytest.fixture
def sent(world, client, tsas):
    stamp(world, tsas, 1, "east", "west")  # of a tree without the message
    sent = client.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    stamp(world, tsas, 2, "east")
    stamp(world, tsas, 3, "east", "west")
    return sent


def test_the_oldest_of_each_that_covers_it(world, client, sent, tsas):
    made = client.evidence(sent, tsa_roots=parse_tsa_roots(tsas["east"].roots + tsas["west"].roots))
    shown = parse_evidence(made.data).stamps
    assert [one.response for one in shown] == [
        world.broker.stamps[2].response,
        world.broker.stamps[4].response,
    ]
    assert [s.verified.authority for s in made.proven.stamps] == ["East Time", "West Time"]
    assert [s.verified for s in client.evidence(sent).proven.stamps] == [None, None]


async def test_so_does_the_other_client(world, sent, tsas):
    async with world.async_client(KENYA) as other:
        made = await other.evidence(sent, tsa_roots=parse_tsa_roots(tsas["east"].roots))
    assert [s.verified is not None for s in made.proven.stamps] == [True, False]


def test_what_would_spoil_the_file_is_left_out(world, client, sent):
    old = world.broker.stamps
    world.broker.stamps = [
        StampItem(5, "east", old[2].checkpoint, b"junk"),
        StampItem(5, "west", old[2].checkpoint, old[0].response),
    ]
    made = client.evidence(sent)
    assert made.proven.stamps == ()
    world.broker.stamps = [
        StampItem(5, "east", world.broker.checkpoint, old[2].response)
    ]  # cosigned by nobody
    assert client.evidence(sent).proven.stamps == ()


def test_at_the_command_line(world, client, sent, tsas, tmp_path):
    file, roots = tmp_path / "evidence.json", tmp_path / "roots.pem"
    file.write_bytes(client.evidence(sent).data)
    roots.write_bytes(tsas["east"].roots)
    cli = cli_for(world, tmp_path)
    verify = ("evidence", "verify", file)
    said = cli.run(*verify, home="a court", passphrase="").stdout
    assert "no roots of their authorities were given" in said
    said = cli.run(*verify, "--tsa-roots", roots, home="a court", passphrase="").stdout
    assert "according to East Time" in said
    assert "the certificate of 'West Time' does not lead to the roots that were given" in said
    (tmp_path / "junk.pem").write_bytes(b"junk")
    failed = cli.run(*verify, "--tsa-roots", tmp_path / "junk.pem", home="a court", passphrase="", code=1)
    assert "bad_tsa_roots" in failed.stderr
