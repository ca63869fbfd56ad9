"""Large files between clients and a broker that are processes of their own: killed on the way, in bounded memory."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from countermark_client import AsyncClient, Attach, Draft, testing
from countermark_protocol.errors import NotFoundError
from support.attachment_process import idle_memory, most_memory
from support.demo import governed, run_broker, serving
from unit.client.test_images import SECRETS, _saved

SENDER, RECIPIENT = "ke.police.nairobi", "be.police.federal"
CAST = {"ke": ("Kenya", {SENDER: "Police"}), "be": ("Belgium", {RECIPIENT: "Police"})}
MIB = 2**20
#: What a client and a broker may take above what they have when idle, KiB (the requirement).
MOST_KIB = 64 * 1024
_SCRIPT = Path(__file__).parents[1] / "support" / "attachment_process.py"


class Story:
    """A broker that is killed and started again while a client moves a file."""

    def __init__(self, world, stack):
        self.world, self._stack = world, stack
        self.memory = []
        self.idle = 0
        self.start()

    def start(self):
        self.broker = self._stack.enter_context(serving(self.world))

    def kill(self):
        self.memory.append(most_memory(self.broker.pid))
        self.broker.send_signal(signal.SIGKILL)
        self.broker.wait(60)
        self.start()

    def play(self, *arguments, kill_at, end_at):
        """Run a client to its end; what it told.

        Args:
            arguments: of the client.
            kill_at: share of the file at which the broker is killed.
            end_at: share at which the client itself is, before, and begins again.
        """
        killed = self._run(arguments, end_at, lambda process: process.kill())
        assert killed.returncode == -signal.SIGKILL
        told = {}
        done = self._run(arguments, kill_at, lambda _: self.kill(), told)
        assert done.returncode == 0
        assert told["most"] - told["idle"] < MOST_KIB, told
        return told

    def _run(self, arguments, share, act, told=None):
        environment = os.environ | {"CLIENT_PASSPHRASE": self.world.passphrase}
        command = [sys.executable, _SCRIPT, *arguments]
        with subprocess.Popen(
            list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True
        ) as client:
            for line in client.stdout:
                said = json.loads(line)
                if told is not None:
                    told |= said
                if "idle" in said:
                    self.idle = min(self.idle or 2**40, idle_memory(self.broker.pid))
                if share is not None and said.get("moved", 0) >= share * said.get("of", 1):
                    share = None
                    act(client)
        assert share is None
        return client


def move(root, database, size, **settings):
    """Send a file of a size from one process to another, killing client and broker once each way; KiB that each took."""
    with governed(root / "world", database, CAST) as world, ExitStack() as stack:
        with (world.broker_home / "broker.toml").open("a", encoding="utf-8") as file:
            file.writelines(f'{name} = "{value}"\n' for name, value in settings.items())
        source, box, digest = root / "large.bin", root / "box", hashlib.sha256()
        box.mkdir()
        with source.open("wb") as file:
            for _ in range(size // MIB):
                block = os.urandom(MIB)
                digest.update(block)
                file.write(block)
        for address in (SENDER, RECIPIENT):
            world.clients[address].close()
            world.clients[address].profile.close()
        homes = {a: world.clients[a].profile.folder for a in (SENDER, RECIPIENT)}
        story = Story(world, stack)
        sent = story.play("send", homes[SENDER], RECIPIENT, source, end_at=0.2, kill_at=0.6)
        source.unlink()  # the profile holds all that disclosures and a second try need
        fetched = story.play("fetch", homes[RECIPIENT], box, end_at=0.2, kill_at=0.6)
        found = hashlib.sha256()
        with (box / "large.bin").open("rb") as file:
            while block := file.read(MIB):
                found.update(block)
        assert found.digest() == digest.digest()
        assert sorted(os.listdir(box)) == ["large.bin", "small.bin"]
        story.memory.append(most_memory(story.broker.pid))
        assert max(story.memory) - story.idle < MOST_KIB, (story.memory, story.idle)
        stack.close()
        assert "every view is what the log gives" in run_broker(
            "rebuild", "--home", str(world.broker_home), "--check"
        )
        took = {"sender": sent["most"] - sent["idle"], "recipient": fetched["most"] - fetched["idle"]}
        return took | {"broker": max(story.memory) - story.idle}


def test_a_file_of_24_mib_arrives_though_clients_and_broker_are_killed_on_both_ways(
    tmp_path, own_real_database
):
    move(tmp_path, own_real_database, 24 * MIB)


def test_small_files_their_purge_and_what_a_store_has_lost(tmp_path, own_real_database):
    with governed(tmp_path / "world", own_real_database, CAST) as world, serving(world):
        sender, recipient = world.clients[SENDER], world.clients[RECIPIENT]
        drafts = [
            Draft(
                type="lost-or-stolen-notice",
                content=testing.sample_notice(f"N-{i}"),
                to=[RECIPIENT],
                exercise=True,
                attachments=[Attach(_saved("image/jpeg"), name="left.jpg"), Attach(bytes([i]), name="b")],
            )
            for i in range(3)
        ]
        outcomes = list(sender.send_bulk(drafts))
        assert [one.error for one in outcomes] == [None] * 3
        first, second, third = sorted(recipient.inbox(), key=lambda m: m.index)
        [left, b] = recipient.fetch_attachments(first, tmp_path)
        assert (left.metadata, b.path.read_bytes()) == ((), bytes([0]))
        assert not any(secret in left.path.read_bytes() for secret in SECRETS)
        # Nothing is lacking, so nothing is uploaded twice.
        assert sender.give_back_attachments(first) == 0
        sender.withdraw(second)
        with pytest.raises(NotFoundError) as caught:
            recipient.fetch_attachments(second, tmp_path, overwrite=True)
        assert caught.value.code == "purged"
        with pytest.raises(NotFoundError) as caught:
            recipient.fetch_attachment(third, 2, tmp_path)
        assert caught.value.code == "no_such_attachment"

        async def meanwhile():
            async with AsyncClient(recipient.profile) as client:
                await client.fetch_attachments(third, tmp_path, overwrite=True)

        asyncio.run(meanwhile())
        assert (tmp_path / "b").read_bytes() == bytes([2])


@pytest.mark.long
def test_a_file_of_one_gib_takes_no_more_memory_than_a_small_one():
    # On the disk: what lies in memory as a file is not to be counted, and is short.
    with tempfile.TemporaryDirectory() as folder:
        move(Path(folder), "", 1024 * MIB, content_store="folder", content_folder="content")


@pytest.mark.long
def test_nor_does_it_in_the_database():
    with tempfile.TemporaryDirectory() as folder:
        move(Path(folder), "", 1024 * MIB)
