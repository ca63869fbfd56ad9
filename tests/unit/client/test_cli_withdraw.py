"""`countermark withdraw`, and how what is purged is shown to sender and recipient."""

import pytest

from countermark_client import testing
from support.cli import cli_for

POLICE, KAMPALA, MOMBASA = "ke.police.nairobi", "ug.police.kampala", "ke.customs.mombasa"


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def send(cli, *args):
    file = cli.file("n.json", testing.sample_notice("KE-1"))
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", file, *args, home=POLICE)
    return sent["messages"][0]["message"]


def test_a_message_is_withdrawn_and_shown_so_on_both_sides(cli):
    message = send(cli)
    assert "this needs your consent" in cli.run("withdraw", message, home=POLICE, code=2).stderr
    [done] = cli.json("withdraw", message[:12], "--yes", home=POLICE)["messages"]
    assert done["purged"]["ground"] == "withdrawn"
    told = cli.run("withdraw", message, "--yes", home=POLICE).stdout
    assert "withdrawn by its sender, entry" in told
    assert "PURGED       withdrawn by its sender" in cli.run("show", message, home=POLICE).stdout
    assert "PURGED       withdrawn by its sender" in cli.run("status", message, home=POLICE).stdout
    read = cli.run("inbox", "--accept", home=KAMPALA)
    assert f"purged {message[:16]} of {POLICE}: withdrawn by its sender" in read.stdout
    assert "PURGED: withdrawn by its sender" in cli.run("list", home=KAMPALA).stdout
    shown = cli.json("show", message, home=KAMPALA)
    assert (shown["stage"], shown["content"], shown["purged"]) == ("purged", None, done["purged"])
    assert cli.json("inbox", home=KAMPALA)["purged"] == []
    assert cli.run("accept", message, home=KAMPALA, code=1).stderr.count("purged_unopened") == 1


def test_notices_tell_of_what_the_broker_purged(world, cli):
    message = send(cli)
    for submission in world.broker._submissions.values():
        until = submission.manifest.handling.retention_until
    world.clock.sleep((until - world.clock()) // 1000 + 60)
    assert world.broker.purge_ended() == 1
    told = cli.run("notices", home=POLICE).stdout
    assert "PURGED" in told
    assert "kept as long as its sender asked for" in told
    assert cli.json("status", message, "--offline", home=POLICE)["purged"]["ground"] == "retention-ended"


def test_what_is_not_in_the_log_is_not_withdrawn(cli):
    send(cli)
    assert "unknown_message" in cli.run("withdraw", "00" * 32, "--yes", home=POLICE, code=1).stderr


def test_a_recall_names_who_has_collected_it_already(world, cli):
    world.enrol(MOMBASA)
    world.profile(MOMBASA, folder=cli.folder / MOMBASA).close()
    file = cli.file("n.json", testing.sample_notice("KE-1"))
    to = ("--to", KAMPALA, "--to", MOMBASA)
    [sent] = cli.json("send", "lost-or-stolen-notice", *to, "--file", file, home=POLICE)["messages"]
    message = sent["message"]
    cli.run("inbox", home=KAMPALA)
    assert "this needs your consent" in cli.run("recall", message, home=POLICE, code=2).stderr
    done = cli.json("recall", message[:12], "--yes", home=POLICE)
    assert [(r["recipient"], r["stage"]) for r in done["collected"]] == [(KAMPALA, "delivered")]
    assert done["prevented"] == [MOMBASA]
    assert done["purged"]["ground"] == "withdrawn"
    # What the others do later changes nothing of who had it by then.
    assert cli.json("inbox", "--accept", home=MOMBASA)["messages"] == []
    cli.run("accept", message, home=KAMPALA)
    again = cli.json("recall", message, "--yes", home=POLICE)
    assert ([r["recipient"] for r in again["collected"]], again["prevented"]) == ([KAMPALA], [MOMBASA])
    told = cli.run("recall", message, "--yes", home=POLICE).stdout
    assert f"HAS IT       {KAMPALA}" in told
    assert f"never got it {MOMBASA}" in told


async def test_a_recall_awaited(world):
    police, kampala = world.async_client(POLICE), world.client(KAMPALA)
    async with police:
        sent = await police.send("lost-or-stolen-notice", testing.sample_notice("KE-2"), [KAMPALA])
        done = await police.recall(sent)
    assert (done.message, done.collected) == (sent.message, ())
    assert [r.recipient for r in done.prevented] == [KAMPALA]
    assert list(kampala.inbox()) == []


def test_what_was_never_logged_is_not_recalled(cli):
    error = cli.json("recall", "0" * 64, "--yes", home=POLICE, code=1)["error"]
    assert error["code"] == "unknown_message"
