"""`countermark send --attach`, `show` and `fetch`, against a broker in memory."""

import hashlib
import io
import json
import sys
from dataclasses import replace

import pytest

from countermark_client import Attach, Draft, Settings, Transfer, testing
from countermark_client._photographs import photographs_in
from countermark_client.attaching import prepare_now
from countermark_client.cli.attaching import parse_attach, size_text, transfers
from countermark_protocol.errors import TransportError
from message_examples import example
from support.cli import cli_for
from unit.client.test_images import SECRETS, _saved

POLICE, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(POLICE, BELGIUM)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, BELGIUM):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def _send(cli, *args, content=None, **kwargs):
    file = cli.file("r.json", content or testing.sample_request())
    return cli.json("send", "tracing-request", "--to", BELGIUM, "--file", file, *args, home=POLICE, **kwargs)


def test_files_go_with_a_message_and_are_fetched(cli, tmp_path):
    (tmp_path / "left.jpg").write_bytes(_saved("image/jpeg"))
    (tmp_path / "a, b.bin").write_bytes(b"\x00" * 3000)
    report = f"{tmp_path}/a, b.bin,caption=what, and where,name=report.bin"
    sent = _send(cli, "--attach", tmp_path / "left.jpg", "--attach", report)
    [message] = [m["message"] for m in sent["messages"]]
    [received] = cli.json("inbox", home=BELGIUM)["messages"]
    left, bin_ = received["attachments"]
    assert (left["name"], left["media_type"], left["held"]) == ("left.jpg", "image/jpeg", False)
    assert left["thumbnail"] == {"media_type": "image/jpeg", "width": 64, "height": 32}
    assert (bin_["name"], bin_["caption"], bin_["size"]) == ("report.bin", "what, and where", 3000)
    shown = cli.run("show", message[:10], home=BELGIUM).stdout
    assert (
        "attachment   1  report.bin (application/octet-stream, 2.9 KiB, not fetched): what, and where"
        in shown
    )
    assert f"`countermark fetch {message[:12]}`" in shown or "countermark fetch" in shown
    box = tmp_path / "box"
    box.mkdir()
    [one] = cli.json("fetch", message, "--attachment", 1, "--to", box, home=BELGIUM)["fetched"]
    assert (one["index"], one["file"], one["held"]) == (1, str(box / "report.bin"), True)
    refused = cli.run("fetch", message, "--to", box, "--json", home=BELGIUM, code=1)
    assert json.loads(refused.stdout or refused.stderr)["error"]["code"] == "file_exists"
    fetched = cli.json("fetch", message, "--to", box, "--overwrite", home=BELGIUM)["fetched"]
    assert [f["sha256"] for f in fetched] == [
        hashlib.sha256((box / f["name"]).read_bytes()).hexdigest() for f in fetched
    ]
    assert not any(secret in (box / "left.jpg").read_bytes() for secret in SECRETS)
    assert "not fetched" not in cli.run("show", message, home=BELGIUM).stdout
    assert cli.json("show", message, home=POLICE)["attachments"][0]["held"]


def test_a_photograph_of_a_mark_is_named_in_the_content(cli, tmp_path):
    (tmp_path / "left.jpg").write_bytes(_saved("image/jpeg"))
    content = example("tracing-request", 2)
    marks = len(content["items"][0]["marks"])
    content["items"][0].pop("photographs", None)
    place = f"items/0/marks/{marks - 1}={tmp_path}/left.jpg,caption=the serial"
    sent = _send(cli, "--exercise", "--photograph", place, content=content)
    assert "photograph_not_attached" not in [w["rule"] for w in sent.get("warnings", [])]
    [received] = cli.json("inbox", home=BELGIUM)["messages"]
    [attached] = received["attachments"]
    [photograph] = received["content"]["items"][0]["photographs"]
    assert photograph == {
        "sha256": attached["sha256"],
        "mediaType": "image/jpeg",
        "size": attached["size"],
        "caption": "the serial",
        "shows": f"/marks/{marks - 1}",
    }
    refused = _send(cli, "--photograph", f"items/0/marks/40={tmp_path}/left.jpg", content=content, code=1)
    assert refused["error"]["code"] == "bad_place"
    # A picture of a kind that a photograph cannot be.
    (tmp_path / "left.gif").write_bytes(_saved("image/gif"))
    refused = _send(cli, "--photograph", f"items/0={tmp_path}/left.gif", content=content, code=1)
    assert refused["error"]["code"] == "invalid_content"


def test_a_photograph_whose_file_is_not_there_is_told(cli, world):
    content = example("tracing-request", 2)
    content["items"][0]["photographs"] = [{"sha256": "0" * 64, "mediaType": "image/jpeg", "size": 9}]
    client = world.client(POLICE)
    draft = Draft(type="tracing-request", content=content, to=[BELGIUM], attachments=[Attach(b"x")])
    assert ("photograph_not_attached", "/items/0/photographs/0") in [
        (f.rule, f.field) for f in client.review(draft)
    ]
    named = prepare_now(Attach(b"x"))
    content["items"][0]["photographs"][0]["sha256"] = named.sha256
    assert "photograph_not_attached" not in [f.rule for f in client.review(draft)]
    assert list(photographs_in(content)) == [("/items/0/photographs/0", named.sha256)]


def test_what_cannot_go(cli, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 by GRACE-KAMAU")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff and no more")
    told = cli.run(
        "send", "tracing-request", "--to", BELGIUM, "--file", cli.file("r.json", testing.sample_request()),
        "--attach", tmp_path / "a.pdf", home=POLICE,
    )  # fmt: skip
    assert "warning: 'a.pdf' (application/pdf) is sent as it is" in told.stderr
    assert _send(cli, "--attach", tmp_path / "bad.jpg", code=1)["error"]["code"] == "image_unreadable"
    _send(cli, "--attach", f"{tmp_path}/bad.jpg,as-is")
    assert _send(cli, "--attach", tmp_path / "none", code=1)["error"]["code"] == "file_not_readable"
    lines = cli.file("r.jsonl", "\n".join(json.dumps(testing.sample_request(c)) for c in ("A", "B")))
    cli.run(
        "send", "tracing-request", "--to", BELGIUM, "--file", lines, "--attach", tmp_path / "a.pdf",
        home=POLICE, code=2,
    )  # fmt: skip


def test_what_follows_the_file():
    given = parse_attach("a,b.jpg,caption=left, then right,as-is")
    assert (given.source, given.caption, given.as_is) == ("a,b.jpg", "left, then right", True)
    assert parse_attach("x,as-is-not").source == "x,as-is-not"
    assert [size_text(n) for n in (5, 2048, 3 * 2**20, 2**31)] == ["5 bytes", "2.0 KiB", "3.0 MiB", "2.0 GiB"]


def test_a_bundle_carries_files(cli, world):
    client = world.client(world.profile(POLICE), settings=Settings(attempts=1))
    client.sync()
    world.broker.offline = True
    for attachments in ([Attach(b"x")], []):
        with pytest.raises(TransportError):
            client.send("tracing-request", testing.sample_request(), [BELGIUM], attachments=attachments)
    made = client.export_bundle()
    assert (made.messages, made.by_line, made.left) == (2, 0, 0)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_shown_at_a_terminal_and_nowhere_else(world, monkeypatch):
    client, moved = world.client(POLICE), Transfer(bytes(32), 0, "down", 5, 10)
    for terminal in (_Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", terminal)
        with transfers(client):
            client.watch.transferred(moved)
            client.watch.transferred(replace(moved, done=10))
        assert ("attachment 0 down" in terminal.getvalue()) == terminal.isatty()
