"""Crashes, outages and lies of the stores, in one process: each write crossed with what may happen to it."""

import asyncio

import pytest

from countermark_broker.app import Broker
from countermark_broker.config import load_settings
from countermark_broker.errors import FatalError, NotStorableError, UnavailableError
from countermark_broker.log import appender
from countermark_broker.log.faults import POINTS
from countermark_broker.parts import build_parts
from countermark_broker.services.accept import accept_directory, accept_message
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.maintenance import rebuild_views
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint
from countermark_protocol.errors import PolicyError
from support.broker_fixtures import found, keyring, running
from support.database import refuse_rows, restore, save, sql
from support.world import KAMPALA, NAIROBI, signer


class FailAt:
    """Raises once at a fault point, as a lost connection would; or at every time."""

    def __init__(self, point, error=None, *, always=False):
        self.always = always
        self.point, self.error = point, error or UnavailableError("database_unavailable", "injected")
        self.reached = []

    def reach(self, name):
        if name in POINTS:
            self.reached.append(name)
        if name == self.point:
            if not self.always:
                self.point = None
            raise self.error


async def post(broker, sealed):
    return await accept_message(broker.node, sealed.data)


async def check(node):
    """Every leaf and every view is what the entry records give."""
    rebuilt = await rebuild_views(node, check_only=True)
    assert rebuilt.findings == ()
    return rebuilt.entries


async def test_the_commit_order(world, home):
    faults = FailAt(None)
    async with running(world, home, faults) as broker:
        faults.reached.clear()
        await post(broker, world.message(NAIROBI, [KAMPALA]))
    assert faults.reached == [
        "after_verify",
        "before_lock",
        "under_lock",
        "after_append_before_commit",
        "after_commit",
        "before_sign",
        "after_store_advance",
        "before_answer",
    ]


@pytest.mark.parametrize(
    "point",
    [
        "before_lock",
        "under_lock",
        "after_append_before_commit",
        "after_commit",
        "before_sign",
        "after_store_advance",
    ],
)
async def test_a_failure_at_any_step_is_repaired_by_the_same_routine(world, home, point):
    """Also where the write persisted but was reported failed (after_commit, after_store_advance)."""
    async with running(world, home, FailAt(point)) as broker:
        sealed = world.message(NAIROBI, [KAMPALA])
        size = broker.node.publisher.published.size
        try:
            await post(broker, sealed)
        except UnavailableError:
            await post(broker, sealed)
        answer = await post(broker, sealed)
        assert not answer.fresh
        assert answer.accepted.inclusion.index == size
        assert broker.node.publisher.published.size == size + 1
        assert await check(broker.node) == size + 1


@pytest.mark.parametrize("point", ["after_append_before_commit", "after_commit"])
async def test_a_failed_directory_statement_leaves_no_trace_in_memory(world, home, point):
    async with running(world, home, FailAt(point)) as broker:
        before = broker.node.holder.current
        head = before.head
        await accept_directory(broker.node, world.endpoint_statement("ke.border.busia"))
        assert before.head == head
        assert broker.node.holder.current.count == before.count + 1
        await accept_directory(broker.node, world.keys_statement("ke.border.busia"))
        await post(broker, world.message(NAIROBI, ["ke.border.busia"]))
        await check(broker.node)


async def test_one_statement_that_the_database_refuses_stands_alone(world, home):
    """A trigger refuses one message; the others of its group are accepted, it alone is not."""
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(9)]
    culprit = messages[4]
    refuse_rows(home, "messages", f"NEW.id = '{culprit.manifest.id}'")
    async with running(world, home) as broker:
        results = await asyncio.gather(*(post(broker, m) for m in messages), return_exceptions=True)
        assert isinstance(results[4], NotStorableError)
        assert [r.fresh for i, r in enumerate(results) if i != 4] == [True] * 8
        await check(broker.node)
    assert len(sql(home, "SELECT entry FROM messages")) == 8


async def test_a_defect_met_by_one_statement_does_not_touch_the_others(world, home, monkeypatch):
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(5)]
    real = appender.append_statement

    def broken(state, statement, time, secret):
        if statement.document.payload_hash == messages[2].payload_hash:
            raise RuntimeError("a defect")
        return real(state, statement, time, secret)

    monkeypatch.setattr(appender, "append_statement", broken)
    async with running(world, home) as broker:
        results = await asyncio.gather(*(post(broker, m) for m in messages), return_exceptions=True)
        assert isinstance(results[2], RuntimeError)
        assert [r.fresh for i, r in enumerate(results) if i != 2] == [True] * 4
        await check(broker.node)


async def test_the_same_message_twice_in_one_group_is_one_entry(world, home):
    async with running(world, home) as broker:
        sealed = world.message(NAIROBI, [KAMPALA])
        answers = await asyncio.gather(*(post(broker, sealed) for _ in range(8)))
        assert sorted(a.fresh for a in answers) == [False] * 7 + [True]
        assert len({(a.accepted.inclusion.index, a.accepted.inclusion.leaf) for a in answers}) == 1
        await check(broker.node)


async def test_a_committed_head_without_checkpoint_is_published_at_start(world, home):
    broker = Broker(
        build_parts(load_settings(home, {}), keyring(world), None, FailAt("before_sign", OSError(5, "io")))
    )
    broker.node.publisher.on_advance(lambda *_: None)
    # Always: a heartbeat publishes too, and might meet it first.
    async with running(world, home, FailAt("before_sign", OSError(5, "io"), always=True)) as first:
        sealed = world.message(NAIROBI, [KAMPALA])
        size = first.node.publisher.published.size
        with pytest.raises(UnavailableError):
            await post(first, sealed)
    await broker.node.database.close()
    broker.node.verifier.close()
    async with running(world, home) as second:
        assert second.node.publisher.published.size == size + 1
        assert not (await post(second, sealed)).fresh


async def start_fails(world, home, code):
    broker = Broker(build_parts(load_settings(home, {}), keyring(world)))
    with pytest.raises(FatalError) as caught:
        await broker.start()
    assert caught.value.code == code
    assert caught.value.way_out
    await broker.stop()


async def test_a_restored_backup_is_refused(world, home, tmp_path):
    save(home, tmp_path / "backup")
    async with running(world, home) as broker:
        await post(broker, world.message(NAIROBI, [KAMPALA]))
    restore(home, tmp_path / "backup")
    await start_fails(world, home, "database_behind_store")


async def test_a_missing_store_is_fatal(world, home):
    (home / "checkpoint" / "checkpoint").unlink()
    await start_fails(world, home, "store_missing")
    # Nor does founding it again, as after a crash, make a new one.
    with pytest.raises(FatalError) as caught:
        await found(world, home)
    assert caught.value.code == "store_missing"
    await start_fails(world, home, "store_missing")


async def test_a_garbled_store_is_fatal(world, home):
    (home / "checkpoint" / "checkpoint").write_bytes(b"nonsense")
    await start_fails(world, home, "store_unreadable")


async def test_a_database_with_another_past_is_fatal(world, home):
    (leaf,) = sql(home, "SELECT data FROM tiles WHERE level = 0 AND number = 0")
    data = bytearray(leaf[0])
    data[5] ^= 1
    sql(home, "UPDATE tiles SET data = :data WHERE level = 0 AND number = 0", data=bytes(data))
    await start_fails(world, home, "published_root_differs")


async def test_a_store_that_the_log_key_did_not_sign_is_fatal(world, home):
    path = home / "checkpoint" / "checkpoint"
    stored, thief = parse_checkpoint(path.read_bytes()), signer("thief")
    path.write_bytes(
        sign_checkpoint(world.origin, stored.size, stored.root, thief.sign, thief.public_key.raw)
    )
    await start_fails(world, home, "store_not_signed")


async def test_a_changed_directory_is_fatal(world, home):
    sql(home, "UPDATE head SET dir_head = zeroblob(32)")
    await start_fails(world, home, "directory_differs")


async def test_a_fatal_finding_stops_appending_for_good(world, home):
    async with running(world, home) as broker:
        (home / "checkpoint" / "checkpoint").unlink()
        with pytest.raises(UnavailableError) as caught:
            await post(broker, world.message(NAIROBI, [KAMPALA]))
        assert caught.value.code == "fatal_state"
        with pytest.raises(UnavailableError) as caught:
            await post(broker, world.message(NAIROBI, [KAMPALA]))
        assert caught.value.code == "fatal_state"
        assert broker.node.health.fatal.code == "store_missing"


class WrongClock:
    def now_ms(self):
        return 10**12


async def test_a_node_with_a_wrong_clock_appends_nothing(world, home):
    async with running(world, home, clock=WrongClock()) as broker:
        with pytest.raises(UnavailableError) as caught:
            await post(broker, world.message(NAIROBI, [KAMPALA]))
        assert caught.value.code == "clock_differs"
        assert await check(broker.node) == broker.node.publisher.published.size


async def test_what_was_taken_is_finished_when_stopping(world, home):
    async with running(world, home) as broker:
        messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(5)]
        tasks = [asyncio.create_task(post(broker, m)) for m in messages]
        while not broker.node.sequencer.waiting:
            await asyncio.sleep(0)
        broker.begin_stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    taken = [r for r in results if not isinstance(r, UnavailableError)]
    assert taken
    assert all(r.fresh for r in taken)
    assert len(sql(home, "SELECT entry FROM messages")) == len(taken)


@pytest.mark.parametrize("steps", range(6))
async def test_a_node_stops_although_it_is_told_of_a_checkpoint_at_that_moment(world, home, steps):
    """A wait whose end meets its cancellation must not swallow it: the node would never end."""
    broker = Broker(build_parts(load_settings(home, {}), keyring(world)))
    await broker.start()
    await asyncio.sleep(0.1)
    broker._heard.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await broker.stop()


async def test_refusals_are_accounts_under_a_published_size(world, home):
    async with running(world, home) as broker:
        good, bad = (
            world.message(NAIROBI, [KAMPALA]),
            world.message("xo-interpol.organisation.iarms", [KAMPALA]),
        )
        _, refused = await asyncio.gather(post(broker, good), post(broker, bad), return_exceptions=True)
        assert isinstance(refused, NegativeAnswer)
        assert isinstance(refused.error, PolicyError)


@pytest.mark.parametrize("known", [True, False])
async def test_a_machine_without_certificate_authorities_is_warned_of(
    world, home, tmp_path, known, monkeypatch, caplog
):
    (tmp_path / "authorities").mkdir()
    if known:
        (tmp_path / "authorities" / "0a1b2c3d.0").touch()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "authorities"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    async with running(world, home):
        assert ("no certificate authorities" in caplog.text) is not known
