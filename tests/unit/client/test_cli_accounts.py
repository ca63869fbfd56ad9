"""`countermark accounts`: what the broker denied, and whether it holds."""

import pytest

from countermark_client import testing
from countermark_protocol.errors import PolicyError
from support.cli import cli_for

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    world.profile(POLICE, folder=tmp_path / POLICE).close()
    return cli_for(world, tmp_path)


def test_the_check_is_shown_and_run(cli):
    assert "last check   never" in cli.run("accounts", "show", home=POLICE).stdout
    cli.run("inbox", home=POLICE)
    done = cli.json("accounts", "check", home=POLICE)["check"]
    assert (done["accounts"], done["finding"]) == (1, None)
    shown = cli.run("accounts", "show", home=POLICE).stdout
    assert "1 accounts compared, 0 of 0 refusals decided again" in shown
    assert "found        no contradiction" in shown


def test_a_refusal_against_the_rules_is_told_and_stops_sending(world, cli):
    real = world.broker._append

    def append(_statement):
        world.broker._append = real
        raise PolicyError("not_releasable", "because I say so")

    world.broker._append = append
    file = cli.file("n.json", testing.sample_notice("KE-1"))
    options = ("lost-or-stolen-notice", "--to", KAMPALA, "--file", file)
    cli.run("send", *options, home=POLICE, code=1)
    assert "not_releasable" in cli.run("accounts", "show", home=POLICE).stdout
    assert "refusal_against_rules" in cli.run("accounts", "check", home=POLICE, code=4).stderr
    shown = cli.json("accounts", "show", home=POLICE)
    assert "refusal_against_rules" in shown["check"]["finding"]
    assert [r["refusal"]["rule"] for r in shown["refusals"]] == ["not_releasable"]
    assert "halted" in cli.run("send", *options, home=POLICE, code=4).stderr
