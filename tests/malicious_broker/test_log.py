"""Acts on the log itself: two of it, less of it, another past, what is hidden, and the times in it."""

from __future__ import annotations

import contextlib

import pytest

from countermark_client import Settings
from countermark_client.statements import Drafts, finish_gathering, sign_gathering
from countermark_protocol.errors import TransportError
from countermark_protocol.records import Ground
from countermark_protocol.submission import parse_submission
from malicious_broker.evidence import pieced
from malicious_broker.kit import BELGIUM, KENYA, MOMBASA, TANZANIA, malicious_world, send, unposted
from malicious_broker.verdicts import Act, silent


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, MOMBASA, BELGIUM, TANZANIA)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def _received(client):
    return [r.message for r in client.inbox()]


def test_the_honest_twin(scene):
    world, broker, kenya, belgium = scene
    first = broker.checkpoint
    send(kenya)
    _received(belgium)
    world.revoke_instance(TANZANIA)
    for client in (kenya, belgium):
        client.sync()
        client.verify_log()
    silent(kenya, belgium)
    act = Act("rewriting an entry", world)
    size = int(first.split(b"\n")[1])
    for pieces in ((first, broker.checkpoint), (first, broker.checkpoint, broker.proof(size - 1))):
        act.refuses(pieced(kenya, "checkpoint_fork", pieces))
    act.refuses(pieced(kenya, "checkpoint_fork", (first, first)))
    document = broker.entries[-2].document.data
    seen = broker.entries[-2].document.claims["seen"]["size"]
    pieces = (document, broker.checkpoint, broker.proof(broker.state.size - 2), broker.proof(seen - 1))
    act.refuses(pieced(kenya, "seen_fork", pieces))


def test_two_logs_kept_apart(scene):
    world, broker, kenya, _ = scene
    act = Act("forking the log to two parties that are kept apart", world)
    other = broker.fork()
    mombasa, tanzania = other.serve(world, MOMBASA), other.serve(world, TANZANIA)
    world.enrol("tz.police.one")  # in the first only
    act.nobody_notices(lambda: send(kenya), lambda: send(mombasa, TANZANIA))
    assert other.state.size != broker.state.size
    for client in (kenya, world.client(BELGIUM), mombasa, tanzania):
        act.nobody_notices(
            client.sync, client.sync_sent, client.notices, client.verify_log, lambda c=client: _received(c)
        )
    silent(kenya, mombasa, tanzania)
    act.convinces_nobody(kenya, mombasa, tanzania)


def test_a_statement_that_crosses_over(scene):
    world, broker, kenya, _ = scene
    act = Act("forking the log to two parties, when a statement crosses over", world)
    other = broker.fork()
    belgium = other.serve(world, BELGIUM)
    send(kenya, TANZANIA)  # in the first only
    kenya.sync()
    sent = send(kenya)
    other.append_without_deciding(_other_statement(other, world))  # in the second only
    belgium.sync()
    submission = kenya.outbox()[-1].body
    document = broker.entries[sent.index].document.data
    other.append_without_deciding(document, submission=submission)
    act.raises(lambda: _received(belgium), "seen_fork")
    assert belgium.messages("in") == []
    act.kept_convinces(belgium)


def _other_statement(broker, world):
    """A directory statement that only one of two logs has."""
    keys = world.keystore(TANZANIA)
    drafts = Drafts(broker.origin, broker.state.directory, broker._seen())
    record = broker.state.directory.keys(TANZANIA)
    draft = drafts.keys(
        TANZANIA,
        signing=[(k.key, "other") for k in record.signing],
        sealing=record.sealing,
        reads=record.reads,
    )
    return finish_gathering(sign_gathering(draft, [keys.signer("administrator")]))


def test_rewriting_an_entry(scene):
    world, broker, kenya, belgium = scene
    act = Act("rewriting an entry", world)
    first, second = send(kenya), send(kenya)
    _received(belgium)
    belgium.sync()
    broker.rewrite_entry(first.index, broker.entries[second.index].document.data)
    act.raises(belgium.sync, "checkpoint_fork")
    assert belgium.halted is not None
    act.kept_convinces(belgium)


def test_rolling_back(scene):
    """A broker that serves its backup, and for what it once signed shows nothing."""
    world, broker, kenya, belgium = scene
    act = Act("rolling the log back", world)
    backup = broker.fork()
    sent = send(kenya)
    belgium.sync()
    world.transport.broker = backup
    act.raises(belgium.sync, "checkpoint_fork")
    assert belgium.halted is not None
    fresh = world.client(world.profile(BELGIUM))
    act.nobody_notices(fresh.sync, lambda: _received(fresh))  # who saw less sees nothing missing
    assert backup.state.size == sent.index
    act.convinces_nobody(belgium, fresh)


@pytest.mark.parametrize("grown", [1, 3])
def test_rolling_back_and_growing(scene, grown):
    world, broker, kenya, belgium = scene
    act = Act("rolling the log back and letting it grow again", world)
    backup = broker.fork()
    send(kenya)
    belgium.sync()
    world.transport.broker = world.broker = backup
    for number in range(grown):
        world.enrol(f"tz.police.n{number}")
    act.raises(belgium.sync, "checkpoint_fork")
    assert belgium.halted is not None
    act.kept_convinces(belgium)


def test_rolling_back_and_showing_no_leaves(scene):
    """Without the leaf that shows another past, two notes of two sizes are an alarm."""
    world, broker, kenya, belgium = scene
    act = Act("rolling the log back", world)
    backup = broker.fork()
    send(kenya)
    belgium.sync()
    world.transport.broker = world.broker = backup
    world.enrol("tz.police.more")
    backup.dropped = ("/inclusion",)
    act.raises(belgium.sync, "checkpoint_fork")
    act.convinces_nobody(belgium)


def test_moving_the_directory_head(scene):
    world, broker, kenya, belgium = scene
    act = Act("moving the directory's head without a statement", world)
    body = unposted(broker, kenya)
    broker.append_without_deciding(parse_submission(body).document.data, submission=body, head=b"\x07" * 32)
    act.raises(lambda: _received(belgium), "directory_head_mismatch")
    world.enrol("tz.police.more")  # whose leaf is as it must be again
    mombasa = world.client(MOMBASA)
    act.raises(mombasa.verify_log, "directory_head_moved")
    act.kept_convinces(mombasa)


def test_time_that_goes_back(scene):
    world, broker, kenya, belgium = scene
    act = Act("letting the log's time go back", world)
    body = unposted(broker, kenya)
    entry = broker.append_without_deciding(
        parse_submission(body).document.data, submission=body, time=broker.state.time - 1
    )
    act.raises(belgium.verify_log, "time_went_back")
    act.kept_convinces(belgium)
    before = broker.entries[entry.index - 1].leaf.encode()
    other = broker.entries[entry.index - 2].leaf.encode()
    proofs = (broker.proof(entry.index - 2), broker.proof(entry.index - 1))
    act.refuses(pieced(belgium, "time_went_back", (other, before, *proofs)))  # the honest twin


def test_hiding_a_logged_revocation(scene):
    world, broker, _, belgium = scene
    act = Act("hiding a logged revocation", world)
    world.revoke_instance(KENYA)

    def hide(value):
        value["statements"], value["complete"] = [], True

    broker.tamper("/v1/directory", hide)
    act.raises(belgium.sync, "directory_head_mismatch")
    act.raises_halted(lambda: send(belgium, KENYA))
    act.convinces_nobody(belgium)  # that the broker showed less is the reader's word


def test_never_logging_a_revocation(scene):
    world, broker, kenya, belgium = scene
    act = Act("never logging a revocation", world)
    keys = world.keystore(KENYA)
    draft = world.drafts.revocation(keys.signer("instance").public_key.key_id, ground=Ground.COMPROMISE)
    data = finish_gathering(sign_gathering(draft, [keys.signer("administrator")]))
    broker.dropped = ("/v1/statements",)
    act.nobody_notices(kenya.sync, belgium.sync)
    belgium.import_revocation(data)
    world.clock.advance(seconds=61)
    act.raises(belgium.sync, "revocation_not_logged")
    assert belgium.alarms
    act.nobody_notices(kenya.sync)
    assert kenya.alarms == ()
    act.convinces_nobody(belgium, kenya)


def test_a_stale_checkpoint(scene):
    """Who only reads is shown yesterday's log without end; its own next statement, proven, ends it."""
    world, broker, _, _ = scene
    act = Act("serving a stale checkpoint", world)
    frozen = broker.fork()
    mombasa = frozen.serve(world, MOMBASA)
    world.revoke_instance(KENYA)
    for _ in range(3):
        world.clock.advance(hours=8)
        act.nobody_notices(mombasa.sync, mombasa.notices, lambda: _received(mombasa))
    silent(mombasa)
    assert mombasa.checkpoint.size < broker.state.size
    assert mombasa.directory.endpoint_of_key(
        world.keystore(KENYA).signer("instance").public_key.key_id, time=world.clock()
    )
    # What it posts must be proven: the broker shows it the whole log, or answers nothing.
    again = world.client(mombasa.profile, settings=Settings(sync_interval=10**9))
    send(again)
    assert again.checkpoint.size == broker.state.size
    assert not again.directory.endpoint_of_key(
        world.keystore(KENYA).signer("instance").public_key.key_id, time=world.clock()
    )
    act.convinces_nobody(mombasa, again)


def test_back_dating_on_a_quiet_log(scene):
    world, broker, kenya, belgium = scene
    act = Act("back-dating on a quiet log", world)
    send(kenya)
    before = broker.state.time
    world.clock.advance(hours=10)
    belgium.sync()
    # A receipt, say, so that it seems to have been in time.
    body = _receipt(broker, belgium)
    entry = broker.append_without_deciding(body, time=before)
    broker.dropped = ()
    assert entry.leaf.time == before
    act.nobody_notices(
        belgium.flush, lambda: _received(belgium), kenya.sync_sent, kenya.notices, belgium.verify_log
    )
    silent(kenya, belgium)
    act.convinces_nobody(kenya, belgium)


def _receipt(broker, client):
    """A receipt that its author has signed and the broker has had, without an answer."""
    broker.dropped = ("/v1/receipts",)
    with contextlib.suppress(TransportError):
        _received(client)
    broker.dropped = ()
    return client.outbox()[-1].body


def test_a_clock_ahead(scene):
    world, broker, kenya, belgium = scene
    act = Act("running a node's clock ahead", world)
    broker._clock = lambda: world.clock() + 600_000
    sent = send(kenya)
    broker._clock = world.clock
    assert sent.time > world.clock() + 500_000
    act.nobody_notices(lambda: _received(belgium), kenya.sync_sent, kenya.notices, belgium.verify_log)
    # Who reads it within ten minutes: an alarm, with the proof kept. Its own clock may be the slow one: it goes on.
    for client in (kenya, belgium):
        assert any(f"entry {sent.index} states the time" in alarm for alarm in client.alarms)
        assert (client.halted, client.profile.evidence) == (None, ())
        assert client.profile.store.early_leaves()[0].proof is not None
    act.found({"leaf_from_the_future"})
    send(kenya, TANZANIA)
    late = world.client(MOMBASA)
    world.clock.advance(minutes=11)
    act.nobody_notices(late.verify_log)
    silent(late)
    act.convinces_nobody(kenya, belgium, late)


def test_a_clock_a_little_ahead(scene):
    """The honest twin: within the minute that clocks may differ by."""
    world, broker, kenya, belgium = scene
    broker._clock = lambda: world.clock() + 59_000
    send(kenya)
    _received(belgium)
    belgium.verify_log()
    silent(kenya, belgium)
