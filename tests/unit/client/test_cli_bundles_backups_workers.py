"""The commands `work`, `backlog`, `bundle` and `backup`, as a person uses them."""

import json
import sys

import pytest

from countermark_client import testing
from support.cli import PASSPHRASE, cli_for

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def cli(world, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERMARK_BACKUP_PASSPHRASE", "of the backup")
    world.profile(KENYA, folder=tmp_path / "home").close()
    world.profile(KENYA, folder=tmp_path / "second", keystore=world.add_instance(KENYA, "second")).close()
    return cli_for(world, tmp_path)


def send(world, count=1):
    belgium = world.client(BELGIUM)
    return [
        belgium.send("lost-or-stolen-notice", testing.sample_notice(str(i)), to=[KENYA]).hash
        for i in range(count)
    ]


def test_workers_take_turns_and_the_backlog_runs_dry(world, cli):
    sent = send(world, 3)
    left = cli.json("backlog")["positions"]
    assert [p["message"] for p in left] == sent
    one = cli.json("work", "--limit", "1", "--at-once", "1")
    assert ([m["message"] for m in one["messages"]], one["accepted"]) == (sent[:1], 1)
    two = cli.json("work", home="second")
    assert ([m["message"] for m in two["messages"]], two["accepted"]) == (sent[1:], 2)
    assert "nothing is left" in cli.run("backlog").stdout


def test_a_message_is_accepted_once_the_program_has_taken_it_in(world, cli):
    [first, second] = send(world, 2)
    target = cli.folder / "taken.jsonl"
    script = cli.file(
        "take.py",
        f"import sys\ndata = sys.stdin.read()\nopen({str(target)!r}, 'a').write(data + '\\n')\n"
        f"sys.exit({second!r} in data)\n",
    )
    out = cli.json("work", "--run", f"{sys.executable} {script}", code=1)
    assert (out["accepted"], out["left"]) == (1, 1)
    taken = [json.loads(line)["message"] for line in target.read_text().splitlines()]
    assert taken == [first, second]
    [left] = cli.json("backlog")["positions"]
    assert (left["message"], left["stage"], left["holder"]) == (second, "delivered", "one")


def test_an_old_backlog_is_told_by_the_exit_code(world, cli):
    send(world)
    assert cli.json("backlog", "--older-than", "5")["positions"] == []
    world.clock.advance(minutes=6)
    assert "ke.police" not in cli.run("backlog", "--older-than", "5", code=1).stderr


def test_a_post_without_a_line_exchanges_by_files(world, cli, monkeypatch):
    [received] = send(world)

    def hill(*args, **kwargs):
        monkeypatch.setenv("COUNTERMARK_CUT_OFF", "24")
        try:
            return cli.run(*args, home="second", **kwargs)
        finally:
            monkeypatch.delenv("COUNTERMARK_CUT_OFF")

    def path(name):
        return cli.folder / name

    hill("bundle", "export", path("out1"))
    cli.run("bundle", "carry", path("out1"), path("back1"))
    took = hill("bundle", "import", path("back1"), "--json")
    assert json.loads(took.stdout)["opened"] == 1
    listed = json.loads(hill("inbox", "--accept", "--json").stdout)
    assert [m["message"] for m in listed["messages"]] == [received]
    request = cli.file("request.json", testing.sample_request())
    refused = hill("send", "tracing-request", "--to", BELGIUM, "--file", request, code=3)
    assert "countermark bundle export" in refused.stderr or "bundle" in refused.stderr
    out = json.loads(hill("bundle", "export", path("out2"), "--json").stdout)
    assert (out["messages"], out["receipts"]) == (1, 1)
    assert "from a post without a line" in cli.run("bundle", "show", path("out2")).stdout
    carried = cli.json("bundle", "carry", path("out2"), path("back2"))
    assert (carried["logged"], carried["refused"]) == (2, 0)
    world.clock.advance(hours=3)
    shown = cli.run("bundle", "show", path("back2")).stdout
    assert "the broker stood to it 3 h ago" in shown
    took = hill("bundle", "import", path("back2")).stdout
    assert "2 logged" in took
    assert "as of 3 h ago" in took
    again = hill("bundle", "import", path("back2"), code=1)
    assert "[bundle_replayed]" in again.stderr
    assert "[bundle_replayed]" in cli.run("bundle", "carry", path("out2"), path("back3"), code=1).stderr
    assert not path("back3").exists()
    cli.run("bundle", "carry", path("out2"), path("back3"), "--again")
    cli.run("bundle", "carry", path("out2"), path("back3"), "--again", code=2)


@pytest.mark.parametrize("hours", ["0", "25", "x", "-1"])
def test_a_post_is_cut_off_for_a_day_at_most(cli, monkeypatch, hours):
    monkeypatch.setenv("COUNTERMARK_CUT_OFF", hours)
    assert "from 1 to 24" in cli.run("inbox", code=2).stderr


def test_a_backup_is_made_checked_restored_and_compared(world, cli):
    request = cli.file("request.json", testing.sample_request())
    cli.run("send", "tracing-request", "--to", BELGIUM, "--file", request)
    made = cli.json("backup", "create", cli.folder / "kenya.backup")
    assert (made["address"], made["waiting"]) == (KENYA, 0)
    assert "whole" in cli.run("backup", "verify", cli.folder / "kenya.backup").stdout
    later = cli.json("send", "tracing-request", "--to", BELGIUM, "--file", request)["messages"][0]
    cli.run("backup", "restore", cli.folder / "kenya.backup", home="new")
    refused = cli.run("send", "tracing-request", "--to", BELGIUM, "--file", request, home="new", code=1)
    assert "countermark backup compare" in refused.stderr
    refused = cli.run("backup", "compare", home="new", code=1)
    assert later["message"][:16] in refused.stderr
    assert "--adopt" in refused.stderr
    found = cli.json("backup", "compare", "--adopt", home="new")
    assert [a["statement"] for a in found["adopted"]] == [later["message"]]
    cli.run("send", "tracing-request", "--to", BELGIUM, "--file", request, home="new")


def test_a_backup_does_not_open_with_another_passphrase(cli, monkeypatch):
    cli.run("backup", "create", cli.folder / "kenya.backup")
    monkeypatch.setenv("COUNTERMARK_BACKUP_PASSPHRASE", PASSPHRASE)
    for command in ("verify", "restore"):
        refused = cli.run("backup", command, cli.folder / "kenya.backup", home="new", code=1)
        assert "[wrong_passphrase]" in refused.stderr
    assert not (cli.folder / "new").exists()
