"""Workers of one endpoint as real processes over a real broker, killed at random: all is done, nothing twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import world as demo_world  # noqa: E402

from countermark_client import Client, Draft, Profile, make_key, testing  # noqa: E402
from countermark_client.statements import sign_gathering  # noqa: E402
from countermark_protocol.keyfile import StoredKey  # noqa: E402
from countermark_protocol.receipts import Receipt, ReceiptStage  # noqa: E402
from countermark_protocol.signers import load_signer  # noqa: E402

SENDER, WORKED = "ke.ncb.nairobi", "be.contact.national"
CAST = {"ke": ("Kenya", {SENDER: "Bureau"}), "be": ("Belgium", {WORKED: "Contact point"})}
LEASE = 6


class Worker:
    """One instance of the endpoint, over many lives of its process."""

    def __init__(self, world, number, keys):
        self.home = world.root / f"worker-{number}"
        self.diary = world.root / f"worker-{number}.diary"
        self.stop = world.root / "stop"
        self.environment = os.environ | {"WORKER_PASSPHRASE": world.passphrase}
        self.killed_at = []
        Profile.create(
            self.home,
            address=WORKED,
            broker_url=world.url,
            trust=world.trust,
            passphrase=world.passphrase,
            holder=f"worker-{number}",
            keys=keys,
        ).close()
        self.diary.touch()

    def start(self):
        script = Path(__file__).parents[1] / "support" / "worker_process.py"
        arguments = [sys.executable, script, self.home, self.diary, self.stop, LEASE]
        self.process = subprocess.Popen(list(map(str, arguments)), env=self.environment)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        self.killed_at.append(time.monotonic_ns())

    def events(self):
        """(what, monotonic ns, message, life) in order; a torn last line of a life is left out."""
        for line in self.diary.read_text("utf-8").splitlines():
            what, at, message = line.split(" ")
            yield what, int(at), message, sum(1 for k in self.killed_at if k <= int(at))


@pytest.fixture
def world(tmp_path):
    with mock.patch.object(demo_world, "CAST", CAST):
        world = demo_world.found(tmp_path / "world")
        with demo_world.serving(world):
            demo_world.govern(world)
            try:
                yield world
            finally:
                world.close()


def certify(world, count):
    """Keys of further instances, certified by the endpoint's administrator."""
    client = world.clients[WORKED]
    stored = client.profile.keystore.stored
    fresh = [make_key("instance") for _ in range(count)]
    signers = [load_signer(k.algorithm, k.private) for k in fresh]
    record = client.directory.keys(WORKED)
    draft = client.drafts.keys(
        WORKED,
        signing=[
            *((k.key, k.holder) for k in record.signing),
            *((s.public_key, f"worker-{i}") for i, s in enumerate(signers)),
        ],
        sealing=record.sealing,
        reads=record.reads,
    )
    client.publish_statement(
        sign_gathering(draft, [client.profile.keystore.signer("administrator")], signers)
    )
    sealing = next(k for k in stored if k.use == "sealing")
    return [(key, StoredKey("sealing", sealing.algorithm, sealing.private)) for key in fresh]


def send(sender, drafts):
    outcomes = list(sender.send_bulk(drafts))
    assert [o.error for o in outcomes if o.error is not None] == []
    return [o.sent.hash for o in outcomes]


def given_out(workers):
    return sum(1 for w in workers for e in w.events() if e[0] == "given")


def accepted_by_log(client):
    """How often each message was accepted, as the sender's box of receipts has it."""
    client.notices()
    found = client._core.boxes.notices_from(0)
    receipts = [n.statement for n in found if isinstance(n.statement, Receipt)]
    return Counter(
        item.message.hex() for r in receipts if r.stage is ReceiptStage.ACCEPTED for item in r.items
    )


def check_diaries(workers):
    """No message was given out while another living worker, whose lease held, had it."""
    by_message = defaultdict(list)
    for number, worker in enumerate(workers):
        for event in worker.events():
            by_message[event[2]].append((event[1], event[0], number, event[3]))
    twice = 0
    for message, events in by_message.items():
        events.sort()
        given = [e for e in events if e[1] == "given"]
        for earlier, later in pairwise(given):
            twice += 1
            assert not any(e[1] == "done" and e[0] < later[0] for e in events), (
                f"{message} was given out again after it was done"
            )
            lives = workers[earlier[2]].killed_at
            was_killed = earlier[3] < len(lives) and lives[earlier[3]] < later[0]
            # A lease is renewed when half of it has run: at least so long it held after the message was given out.
            lease_ended = later[0] - earlier[0] >= LEASE * 500_000_000
            assert was_killed or lease_ended, f"{message} was given to two living workers"
    return set(by_message), twice


def run_round(world, *, messages, workers, kills, seed):
    dice = random.Random(seed)
    sender = world.clients[SENDER]
    keys = certify(world, workers)
    team = [Worker(world, number, pair) for number, pair in enumerate(keys)]
    drafts = [
        Draft(type="lost-or-stolen-notice", content=testing.sample_notice(str(i)), to=[WORKED], exercise=True)
        for i in range(messages)
    ]
    half = messages // 2
    sent = send(sender, drafts[:half])
    for worker in team:
        worker.start()
    try:
        sent += send(sender, drafts[half:])
        deadline = time.monotonic() + 60 + messages + 10 * kills
        for number in range(kills):
            wanted = (number + 1) * messages // (kills + 1)
            while given_out(team) < wanted and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(dice.random() * 0.1)
            victim = dice.choice(team)
            victim.kill()
            victim.start()
        while set(accepted_by_log(sender)) < set(sent):
            assert time.monotonic() < deadline, (
                f"left behind: {len(set(sent) - set(accepted_by_log(sender)))}"
            )
            assert all(w.process.poll() is None for w in team), "a worker ended by itself"
            time.sleep(0.3)
        team[0].stop.touch()
        for worker in team:
            assert worker.process.wait(120) == 0
    finally:
        for worker in team:
            if worker.process.poll() is None:
                worker.kill()
    assert accepted_by_log(sender) == dict.fromkeys(sent, 1)
    seen, _ = check_diaries(team)
    assert seen >= set(sent)
    for worker in team:
        profile = Profile.open(worker.home, world.passphrase)
        with Client(profile) as client:
            client.sync_sent()
            assert client.backlog() == []
            assert client.halted is None
        profile.close()
    return team


def test_three_workers_one_killed_twice(world):
    run_round(world, messages=24, workers=3, kills=2, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_five_workers_killed_over_and_over(world, seed):
    run_round(world, messages=300, workers=5, kills=25, seed=seed)
