"""A real broker and real witnesses, each a process of its own."""

import shutil
import time
from contextlib import ExitStack, closing

import pytest

from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.mandates import Witness
from countermark_protocol.note import NoteKey, encode_vkey
from countermark_protocol.tlog_policy import check_quorum
from countermark_protocol.witnesses import quorum_policy
from support.broker_fixtures import found, write_home
from support.broker_process import BrokerProcess
from support.witness_process import WitnessProcess, run_cli
from support.world import KAMPALA, NAIROBI, ORIGIN, World, signer

NAMES = ("east", "west", "north")


def made(home, name):
    for words in (
        ("init", "--home", home, "--name", f"{name}.example/w"),
        ("add-log", "--home", home, ORIGIN, encode_vkey(NoteKey(ORIGIN, signer("log").public_key))),
    ):
        done = run_cli(*words)
        assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def witnesses(tmp_path):
    with ExitStack() as stack:
        yield {name: stack.enter_context(WitnessProcess(made(tmp_path / name, name))) for name in NAMES}


@pytest.fixture
def world(witnesses, tmp_path):
    named = [
        Witness(name, tuple((tmp_path / name / "witness.vkeys").read_text().split()), one.url)
        for name, one in witnesses.items()
    ]
    return World(witnesses=tuple(named))


def witnessed(client, directory, least):
    """Wait until a quorum has cosigned a tree of a size; the quorum."""
    policy, log_keys = quorum_policy(directory)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        response = client.request("GET", "/v1/log/witnessed")
        if response.status_code == 200:
            checkpoint = parse_checkpoint(response.content)
            if checkpoint.size >= least:
                verified = verify_checkpoint(checkpoint, ORIGIN, signer("log").public_key.raw)
                return check_quorum(policy, verified, log_keys)
        time.sleep(0.1)
    pytest.fail(f"no quorum cosigned a tree of {least} entries")


async def test_a_log_that_others_watch(world, witnesses, tmp_path):
    home = write_home(world, tmp_path / "broker", key_files=True, witness_ms=100)
    await found(world, home)
    shutil.copytree(home, tmp_path / "yesterday")
    node = BrokerProcess(world, home).wait_until_listening()
    try:
        with closing(node.client()) as client:
            directory = client.refresh()
            size = client.post_message(world.message(NAIROBI, [KAMPALA])).json()["inclusion"]["index"] + 1
            assert len({name.partition("/")[0] for name in witnessed(client, directory, size).times}) >= 2
            # One of three may be away for good.
            witnesses["north"].kill()
            size = client.post_message(world.message(NAIROBI, [KAMPALA])).json()["inclusion"]["index"] + 1
            witnessed(client, directory, size)
    finally:
        assert node.stop() == 0
    # Database *and* checkpoint store come back from a backup: only the witnesses know.
    old = BrokerProcess(world, tmp_path / "yesterday").wait_until_listening()
    try:
        with closing(old.client()) as client:
            deadline = time.monotonic() + 30
            while client.request("GET", "/v1/ready").status_code == 200 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert client.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 503
    finally:
        old.stop()
    assert "behind_witness" in (tmp_path / "yesterday" / "serve.log").read_text()
