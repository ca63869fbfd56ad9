"""SIGKILL at every step of the commit order, and at any moment: nothing acknowledged is lost or doubled.

A round: post from several clients, let the broker die, start it again on the same files, send everything that
was not acknowledged once more, and check against the log from outside.
"""

import random
import threading

import httpx
import pytest

from countermark_broker.log.faults import POINTS
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import parse_digest, parse_object
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.merkle import leaf_hash, root_of, verify_consistency
from support.broker_process import BrokerProcess, run_cli
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI

SENDERS = (
    (NAIROBI, [KAMPALA], "confiscation-notice"),
    (BRUSSELS, [KAMPALA, LYON], "lost-or-stolen-notice"),
    (NAIROBI, [KAMPALA, BRUSSELS], "trade-route-alert"),
)


class Load:
    """Messages on their way, and every answer ever given about them."""

    def __init__(self, world):
        self.world = world
        self.sent = []
        self.answers = []
        self._lock = threading.Lock()

    def messages(self, number, count):
        sender, recipients, kind = SENDERS[number]
        return [self.world.message(sender, recipients, type=kind) for _ in range(count)]

    def post(self, client, sealed):
        """One try; False where no answer came."""
        try:
            answer = client.post_message(sealed)
        except httpx.HTTPError:
            return False
        if answer.status_code not in {200, 201}:
            assert answer.status_code == 503, answer.text
            return False
        with self._lock:
            self.answers.append((sealed, parse_accepted(answer.content)))
        return True

    def run(self, broker, count, ended):
        """Post from all senders until all is sent or the broker is gone."""

        def work(number):
            client = broker.client()
            for sealed in self.messages(number, count):
                with self._lock:
                    self.sent.append(sealed)
                if not self.post(client, sealed):
                    break
            client.close()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(SENDERS))]
        for thread in threads:
            thread.start()
        ended()
        for thread in threads:
            thread.join()


def check(load, client):
    """No acknowledged message lost, none twice, every proof ever returned holds under the newest checkpoint."""
    client.refresh()
    newest = client.checkpoint_of(client.request("GET", "/v1/log/checkpoint").content)
    data = client.request("GET", "/v1/log/leaves?limit=10000").content
    leaves = [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    assert root_of([leaf_hash(leaf) for leaf in leaves]) == newest.root
    index_of = {}
    checked = set()
    for sealed, accepted in load.answers:
        assert leaves[accepted.inclusion.index] == accepted.inclusion.leaf
        assert index_of.setdefault(sealed.payload_hash, accepted.inclusion.index) == accepted.inclusion.index
        old = client.checkpoint_of(accepted.checkpoint)
        if old.size not in checked:
            checked.add(old.size)
            found = parse_object(client.request("GET", f"/v1/log/consistency?from={old.size}").content)
            path = [parse_digest(h, "path") for h in found["path"]]
            verify_consistency(old.size, old.root, found["to"], newest.root, path)
    assert set(index_of) == {s.payload_hash for s in load.sent}
    for address in (KAMPALA, BRUSSELS, NAIROBI):
        for box in (Box.ROUTINE, Box.SENT):
            entries, _, _ = client.verified_box(address, box)
            documents = [e.document for e in entries]
            assert len(documents) == len(set(documents))
    routine, _, _ = client.verified_box(KAMPALA, Box.ROUTINE)
    to_kampala = {s.document for s in load.sent if any(r.endpoint == KAMPALA for r in s.rows)}
    assert {e.document for e in routine} == to_kampala


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_step_of_the_commit_order(world, process_home, point):
    load = Load(world)
    dying = BrokerProcess(
        world, process_home, test_hooks="1", test_kill_at=f"{point}:5"
    ).wait_until_listening()
    load.run(dying, 12, lambda: None)
    assert dying.end() == -9, "it must have died by itself"
    assert load.answers
    assert len(load.answers) < len(load.sent)
    recover_and_check(load, world, process_home)


def recover_and_check(load, world, home):
    """Start again, send everything again, those acknowledged too: the answer must prove the same leaf."""
    again = BrokerProcess(world, home).wait_until_listening()
    client = again.client()
    for sealed in load.sent:
        assert load.post(client, sealed)
    check(load, client)
    client.close()
    assert again.stop() == 0
    rebuilt = run_cli("rebuild", "--check", "--home", home)
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr


def killed_after(seconds):
    def kill(broker):
        threading.Event().wait(seconds)
        broker.kill()

    return kill


@pytest.mark.parametrize("number", range(2))
def test_killed_at_any_moment(world, process_home, number):
    rounds(world, process_home, 1, number)


@pytest.mark.long
@pytest.mark.parametrize("number", range(60))
def test_killed_at_any_moment_many_times(world, process_home, number):
    rounds(world, process_home, 3, 1000 + number)


def rounds(world, home, count, number):
    """Several deaths on one and the same log."""
    dice = random.Random(number)
    sent, answers = [], []
    for _ in range(count):
        load = Load(world)
        load.sent, load.answers = sent, answers
        dying = BrokerProcess(world, home).wait_until_listening()
        load.run(dying, 40, lambda dying=dying: killed_after(dice.uniform(0.02, 0.5))(dying))
        assert dying.kill() == -9
    recover_and_check(load, world, home)
