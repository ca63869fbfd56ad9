"""A client that dies at any write while it sends or fetches files: each message and file whole, once, or not at all."""

import contextlib
import os

import pytest

from countermark_client import Attach, testing
from countermark_client._piece_files import PIECES_FOLDER
from countermark_protocol.errors import ConflictError
from support.crashing import CrashingProfile, PowerCutError

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
FILES = (b"the left side", b"the right side")


def _send(client):
    return client.send(
        "tracing-request",
        testing.sample_request(),
        [BELGIUM],
        attachments=[Attach(data, name=f"{i}.txt") for i, data in enumerate(FILES)],
        reference="case-7",
    )


def _pieces(post):
    """Names of the pieces on disk, and those that rows name."""
    folder = post.profile.pieces._folder
    there = set(os.listdir(folder)) if folder.exists() else set()
    return there, {digest.hex() for digest in post.profile.store.all_pieces()}


@pytest.mark.parametrize("how", ["lost", "kept"])
def test_sending(tmp_path, how):
    number, crashes, done = 0, 0, False
    while not done:
        number += 3
        world = testing.world(KENYA, BELGIUM)
        post = CrashingProfile(world, KENYA, tmp_path / f"{number}.db", tmp_path / f"{number}")
        (tmp_path / f"{number}").mkdir()
        client = post.open()
        client.sync()
        post.crash_at(number, how)
        try:
            _send(client)
            done = True
        except PowerCutError:
            crashes += 1
            client = post.open()
            # What is not in the outbox whole has left nothing behind.
            there, named = _pieces(post)
            assert there == named
            assert len(client.outbox()) == bool(there)
            _send(client)
        client = post.open()
        there, named = _pieces(post)
        assert there == named
        assert len(there) == len(FILES)
        assert [item.state for item in client.outbox()] == ["logged"]
        assert client.sync_sent() == 0
        belgium = world.client(BELGIUM)
        [received] = belgium.inbox()
        box = tmp_path / f"box-{number}"
        box.mkdir()
        fetched = belgium.fetch_attachments(received, box)
        assert tuple(one.path.read_bytes() for one in fetched) == FILES
        post.close()
    assert crashes > 5
    assert (tmp_path / "3" / PIECES_FOLDER).is_dir()


@pytest.mark.parametrize("how", ["lost", "kept"])
def test_fetching(tmp_path, how):
    number, crashes, done = 0, 0, False
    while not done:
        number += 1
        world = testing.world(KENYA, BELGIUM)
        sent = _send(world.client(KENYA))
        post = CrashingProfile(world, BELGIUM, tmp_path / f"{number}.db", tmp_path / f"{number}")
        box = tmp_path / f"box-{number}"
        for folder in (tmp_path / f"{number}", box):
            folder.mkdir()
        client = post.open()
        list(client.inbox())
        post.crash_at(number, how)
        try:
            client.fetch_attachments(sent, box)
            done = True
        except PowerCutError:
            crashes += 1
            client = post.open()
            assert all((box / name).read_bytes() in FILES for name in os.listdir(box))
            for index in range(len(FILES)):
                with contextlib.suppress(ConflictError):  # it was there already
                    client.fetch_attachment(sent, index, box)
        assert tuple((box / name).read_bytes() for name in sorted(os.listdir(box))) == FILES
        there, named = _pieces(post)
        assert there == named
        post.close()
    assert crashes > 4
