"""Acts where the governors have named witnesses: what they refuse to cosign, and the times they state."""

from __future__ import annotations

import pytest

from countermark_client.testing._witnesses import cosign, make_cosigner
from countermark_protocol.acts import Scope
from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.note import NoteKey
from countermark_protocol.submission import parse_submission
from countermark_protocol.tlog_witness import encode_add_checkpoint, parse_add_checkpoint
from countermark_protocol.witness_history import HistoryItem
from countermark_witness.judge import Cosign, Finding, Held, LogKey, LogState, State, judge
from malicious_broker.auditing import Auditor
from malicious_broker.evidence import kept_by, pieced
from malicious_broker.kit import BELGIUM, KENYA, MOMBASA, malicious_world, send, unposted
from malicious_broker.verdicts import Act, silent

NAMES = ("north", "south", "east")
_MINUTE = 60_000


class Witnesses:
    """All witnesses of a world, of one mind: each judges by the code of a real one."""

    def __init__(self, world, broker) -> None:
        self._world = world
        raw = broker._log_key.public_key.raw
        key = NoteKey(broker.origin, parse_public_key(Algorithm.ED25519, raw))
        self._keys, self._raw = (LogKey(0, key),), raw
        self._held: Held | None = None

    def asked_by(self, broker):
        """Let a broker ask for cosignatures; it serves them if it gets any. The verdict."""
        state = State(LogState(broker.origin, self._keys, self._held), self._held.time if self._held else 0)
        old, new = self._held.size if self._held else 0, broker.state.size
        proof = broker._tree.consistency(old, new) if old <= new else ()
        request = parse_add_checkpoint(encode_add_checkpoint(old, list(proof), broker.checkpoint))
        verdict = judge(state, request, self._world.clock() // 1000)
        if isinstance(verdict, Cosign):
            self._held = verdict.held
            cosigners = [make_cosigner(name) for name in NAMES[:2]]
            at = verdict.held.time * 1000
            broker.cosigned = cosign(broker.checkpoint, broker.origin, self._raw, cosigners, at)
        return verdict


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, MOMBASA, BELGIUM)
    world.appoint_witnesses(*NAMES, quorum=2)
    witnesses = Witnesses(world, broker)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, witnesses, kenya, belgium


def _received(client):
    return [r.message for r in client.inbox()]


def test_the_honest_twin(scene):
    world, broker, witnesses, kenya, belgium = scene
    auditor = Auditor(world, broker, Scope.OVERSIGHT)
    for _ in range(2):
        world.clock.advance(minutes=10)
        assert isinstance(witnesses.asked_by(broker), Cosign)
        auditor.cosigned.append(_item(world, broker))
        send(kenya)
        _received(belgium)
        kenya.notices()
    assert auditor.sync().found == ()
    silent(kenya, belgium)
    entry = broker.entries[-1]
    act = Act("back-dating, where witnesses are named", world)
    proof = broker.proof(entry.index)
    act.refuses(pieced(belgium, "back_dated_leaf", (entry.leaf.encode(), broker.cosigned, proof)))
    first = auditor.cosigned[-1].checkpoint
    act.refuses(
        auditor.evidence("leaf_from_the_future", broker.entries[3].leaf.encode(), auditor.proof(3, first))
    )


def _item(world, broker):
    return HistoryItem(world.clock() // _MINUTE, broker.cosigned)


def test_forking(scene):
    world, broker, witnesses, kenya, _ = scene
    act = Act("forking the log to two parties, where witnesses are named", world)
    other = broker.fork()
    mombasa = other.serve(world, MOMBASA)
    mombasa.sync()
    send(kenya)
    send(mombasa)
    assert broker.state.size == other.state.size
    assert isinstance(witnesses.asked_by(broker), Cosign)
    refused = witnesses.asked_by(other)
    assert refused.error.code == "log_forked"
    act.found([refused.error.code])
    act.convinces(pieced(kenya, "checkpoint_fork", (refused.evidence.held, refused.evidence.offered)))
    # Who is shown the log that no witness cosigns sends nothing there any more.
    world.clock.advance(minutes=16)
    act.raises(lambda: send(mombasa), "stale_checkpoint")
    witnesses.asked_by(broker)
    send(kenya)
    silent(kenya, mombasa)


def test_rolling_back(scene):
    world, broker, witnesses, kenya, belgium = scene
    act = Act("rolling the log back, where witnesses are named", world)
    backup = broker.fork()
    for _ in range(3):
        send(kenya)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    world.transport.broker = world.broker = backup
    for number in range(3):
        world.enrol(f"be.police.n{number}")  # another past, and larger by now
    fresh = world.client(MOMBASA)
    fresh.sync()  # saw nothing of the rest: to it, all is well
    refused = witnesses.asked_by(backup)
    assert refused.evidence.finding is Finding.UNPROVEN
    world.clock.advance(minutes=16)
    act.raises(lambda: send(fresh), "stale_checkpoint")
    pieces = (refused.evidence.held, refused.evidence.offered)
    act.convinces_nobody(fresh, belgium, other=[pieced(fresh, "checkpoint_fork", pieces)])


def test_a_stale_checkpoint(scene):
    world, broker, witnesses, _, _ = scene
    act = Act("serving a stale checkpoint, where witnesses are named", world)
    frozen = broker.fork()
    mombasa = frozen.serve(world, MOMBASA)
    mombasa.sync()
    world.revoke_instance(KENYA)
    world.clock.advance(minutes=16)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    act.nobody_notices(mombasa.sync)
    act.raises(lambda: send(mombasa), "stale_checkpoint")
    assert mombasa.outbox() == []
    act.convinces_nobody(mombasa)


def test_back_dating(scene):
    world, broker, witnesses, kenya, belgium = scene
    act = Act("back-dating, where witnesses are named", world)
    send(kenya)
    before = broker.state.time
    world.clock.advance(minutes=10)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    belgium.sync()
    kenya.sync()
    broker.dropped = ("/v1/receipts",)
    with pytest.raises(Exception, match="broker_unreachable"):
        _received(belgium)
    broker.dropped = ()
    broker.append_without_deciding(belgium.outbox()[-1].body, time=before)
    act.raises(belgium.flush, "back_dated_leaf")
    act.kept_convinces(belgium)
    act.raises(kenya.notices, "back_dated_leaf")
    act.kept_convinces(kenya)


def test_a_clock_ahead(scene):
    world, broker, witnesses, kenya, belgium = scene
    act = Act("running a node's clock ahead, where witnesses are named", world)
    auditor = Auditor(world, broker, Scope.OVERSIGHT)
    body = unposted(broker, kenya)
    ahead = world.clock() + 10 * _MINUTE
    entry = broker.append_without_deciding(parse_submission(body).document.data, submission=body, time=ahead)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    auditor.cosigned.append(_item(world, broker))
    act.nobody_notices(kenya.flush, lambda: _received(belgium))
    for client in (kenya, belgium):
        world.clock.advance(seconds=61)
        client.sync()  # asks what witnesses say of it
        assert client.halted is None
        [alarm] = client.alarms
        assert "witnesses had seen it" in alarm
        assert [one.code for one in client.profile.evidence] == ["leaf_from_the_future"]
        act.convinces(kept_by(client))
    send(kenya)
    auditor.sync()
    assert "leaf_from_the_future" in auditor.found
    act.found(["leaf_from_the_future"])
    found = auditor.found["leaf_from_the_future"]
    act.convinces(
        auditor.evidence(
            "leaf_from_the_future", found["leaf"], auditor.proof(entry.index, found["checkpoint"])
        )
    )


def test_a_slow_clock_of_ones_own(scene):
    """The honest twin: what was ahead of one's own clock was seen by witnesses about when it says."""
    world, broker, witnesses, kenya, belgium = scene
    true = world.clock
    # Two clocks that each may be wrong by so much, in two directions.
    broker._clock = lambda: true() + _MINUTE // 2
    slow = world.client(belgium.profile)
    slow._core.session.clock = lambda: true() - 3 * _MINUTE // 4
    sent = send(kenya)
    broker._clock = true
    _received(slow)
    [alarm] = slow.alarms
    assert f"entry {sent.index} states the time" in alarm
    world.clock.advance(seconds=61)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    slow.sync()
    silent(slow, kenya)


def test_what_witnesses_had_seen_before_it_was_read(scene):
    """Who reads it after they cosigned it has the proof at once."""
    world, broker, witnesses, kenya, belgium = scene
    act = Act("running a node's clock ahead, where witnesses are named", world)
    body = unposted(broker, kenya)
    ahead = world.clock() + 10 * _MINUTE
    broker.append_without_deciding(parse_submission(body).document.data, submission=body, time=ahead)
    assert isinstance(witnesses.asked_by(broker), Cosign)
    world.clock.advance(seconds=61)
    belgium.sync()
    assert belgium.alarms == ()
    _received(belgium)
    assert belgium.halted is None
    act.convinces(kept_by(belgium))
    assert len(belgium.profile.evidence) == 1
    belgium.verify_log()
    assert len(belgium.profile.evidence) == 1
