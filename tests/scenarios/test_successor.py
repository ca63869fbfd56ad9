"""The tail is lost and nobody has it: the governors close the log, and the next one goes on from what is left.

Real processes on both databases, by the commands that people run.
"""

import json
import re

import pytest

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.documents import Purpose
from countermark_protocol.gathering import add_signature
from scenarios.test_lost_tail import Story, begin
from support.broker_process import run_cli
from support.world import BRUSSELS, KAMPALA, NAIROBI, OVERSEER


@pytest.fixture(scope="module")
def story(real_database, tmp_path_factory):
    told = Story(tmp_path_factory.mktemp("succeeded"), real_database)
    try:
        begin(told)
        yield told
    finally:
        if told.process is not None:
            told.process.kill()
        told.transport.end()


def draft(story, name="succession.draft"):
    out = story.folder / name
    done = run_cli(
        "succession", "draft", "--home", story.home, "--out", out, "--ground", "disk lost", "--json"
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def signed(story, path, governors):
    data = path.read_bytes()
    for governor in governors:
        data = add_signature(data, governor, Purpose.SIGN)
    out = path.with_suffix(".signed")
    out.write_bytes(data)
    return out


def adopt(story, path, store="checkpoint-2"):
    return run_cli(
        *("succession", "adopt", "--home", story.home, "--governance", path, "--checkpoint-store", store)
    )


def test_the_governors_close_the_log_and_the_next_one_goes_on(story):
    lost = story.published - story.yesterday
    old_store = (story.home / "checkpoint" / "checkpoint").read_bytes()
    origin = story.world.origin
    following = f"{origin}/2" if not origin.rpartition("/")[2].isdigit() else None
    path, told = draft(story)
    assert (told["size"], told["lost"]) == (story.yesterday, lost)
    name = told["origin"]
    assert following in {None, name}

    # Without a quorum nothing happens, nor into the old store.
    alone = adopt(story, signed(story, path, story.world.governors[:1]))
    assert (alone.returncode, "[too_few_signatures]" in alone.stderr) == (1, True), alone.stderr
    whole = signed(story, path, story.world.governors[: story.world.quorum])
    assert adopt(story, whole, "checkpoint").returncode == 1
    done = adopt(story, whole)
    assert done.returncode == 0, done.stdout + done.stderr
    assert adopt(story, whole).returncode == 0  # again changes nothing
    assert (story.home / "checkpoint" / "checkpoint").read_bytes() == old_store
    for command in (("fsck",), ("rebuild", "--check"), ("doctor",)):
        checked = run_cli(*command, "--home", story.home)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    kept = story.folder / "successor.countermark"
    story.start()
    try:
        newest = parse_checkpoint((story.home / "checkpoint-2" / "checkpoint").read_bytes())
        assert (newest.origin, newest.size) == (name, story.yesterday + 1)
        participants(story, name, lost)
        assert run_cli("backup", "create", "--home", story.home, "--to", kept).returncode == 0
    finally:
        story.stop()
    assert run_cli("backup", "verify", kept).returncode == 0


def participants(story, name, lost):
    # Everybody had seen more. They go on, keep what proves the loss, and know what was lost.
    for address in (NAIROBI, KAMPALA, BRUSSELS):
        with story.client(address) as client:
            client.sync()
            assert client.profile.log == name
            assert client.halted is None
            [evidence] = client.profile.evidence
            assert evidence.code == "log_succeeded"
            seen = int(re.search(r"(\d+) or more are lost", evidence.message)[1])
            assert 0 < seen <= lost
            client.sync_sent()
            client.notices()
            client.verify_log()
            client.profile.close()
    with story.client(NAIROBI) as client:
        given_up = [i for i in client.outbox() if i.code == "lost_with_log" and i.kind == "message"]
        assert len(given_up) == 2
        # A person decides; the message is made anew, for the new log, under a new id.
        renewed = [client.renew(item.payload) for item in given_up]
        assert all(sent.index > story.yesterday for sent in renewed)
        # What was sent before is where it was, and is not sent again.
        [before] = [m for m in client.messages("out") if m.index is not None and m.index < story.yesterday][
            :1
        ]
        client.profile.close()
    assert before.index < story.yesterday
    contents = story.take(BRUSSELS)
    # What was accepted in the lost tail but sent before it is read again; what was lost came anew.
    assert len(contents) >= 2
    assert story.take(BRUSSELS) == []
    assert len(story.take(KAMPALA)) >= 1
    with story.client(NAIROBI) as client:
        client.notices()
        assert {r.stage for sent in renewed for r in client.status(sent).recipients} == {"accepted"}
        out = story.folder / "evidence.json"
        client.profile.close()
    exported = story.cli.run("evidence", "export", renewed[0].message.hex(), "-o", out, home=NAIROBI)
    verified = story.cli.json("evidence", "verify", out, home=NAIROBI)
    assert verified["log"] == name
    assert exported is not None

    # An overseer's new mirror follows the log over its succession; the old one saw more, and says so.
    mirror = "mirror of the successor"
    size = story.audit(mirror)
    assert size > story.yesterday
    story.cli.run("audit", "verify", "--mirror", story.folder / mirror, home=OVERSEER)
