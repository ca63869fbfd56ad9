"""Messages whose retention has ended are purged: by nodes, by hand, once each; and a kill never parts purge and content."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
import pytest

from countermark_broker.config import load_settings
from countermark_broker.parts import build_parts
from countermark_broker.services import retention
from countermark_broker.services.accept import accept_act, accept_message
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.maintenance import rebuild_views
from countermark_broker.services.node import Caller
from countermark_broker.services.retention import list_due, list_once, purge_all, purge_once
from countermark_protocol.documents import parse_document
from support.broker_fixtures import keyring, running, with_node
from support.broker_process import BrokerProcess, run_cli
from support.database import sql
from support.world import BROKER, KAMPALA, NAIROBI, handling, hash_of, now_ms

PURGES = "SELECT entry, document FROM entries WHERE kind = 12 ORDER BY entry"


def kept_until(world, time, **more):
    return world.message(NAIROBI, [KAMPALA], handling=handling(retention_until=time), **more)


def setting(home, **values):
    path = home / "broker.toml"
    path.write_text(path.read_text() + "".join(f"{name} = {value}\n" for name, value in values.items()))


def contents(home):
    return {row[0] for row in sql(home, "SELECT m.id FROM contents c JOIN messages m ON m.entry = c.message")}


async def sound(world, home):
    assert (await with_node(world, home, check_everything)).findings == ()
    rebuilt = await with_node(world, home, lambda node: rebuild_views(node, check_only=True))
    assert rebuilt.findings == ()


async def until(condition):
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come to that")


async def test_nodes_purge_what_is_due_once_each(world, home):
    setting(home, retention_interval_ms=50, retention_batch=2)
    due = [kept_until(world, now_ms() - 1000 - i) for i in range(5)]
    later = kept_until(world, now_ms() + 3_600_000)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(running(world, home)) for _ in range(2)]
        for sealed in [later, *due]:
            await accept_message(nodes[0].node, sealed.data)
        await until(lambda: contents(home) == {later.manifest.id})
        await until(lambda: not sql(home, "SELECT 1 FROM retentions WHERE until < :now", now=now_ms()))
        counted = sum(
            n.node.metrics.registry.get_sample_value("countermark_retention_purges_total") for n in nodes
        )
    assert counted == 5
    purges = [parse_document(bytes(row[1])).claims for row in sql(home, PURGES)]
    assert sorted(p["message"] for p in purges) == sorted(s.payload_hash.hex() for s in due)
    assert {(p["from"], p["ground"]) for p in purges} == {(BROKER, "retention-ended")}
    notices = sql(
        home, "SELECT count(*) FROM box_rows WHERE endpoint = :who AND box = 'notices'", who=NAIROBI
    )
    assert notices == [(5,)]
    await sound(world, home)


async def test_a_message_is_purged_when_its_time_comes_and_not_before(world, home):
    setting(home, retention_interval_ms=50)
    async with running(world, home) as broker:
        sealed = kept_until(world, now_ms() + 1500)
        await accept_message(broker.node, sealed.data)
        await until(lambda: not contents(home))
    ((leaf_time,),) = sql(home, "SELECT time FROM head")
    assert leaf_time >= sealed.manifest.handling.retention_until


async def test_what_is_withdrawn_or_was_accepted_by_an_older_release(world, home):
    """The list is made by looking through the log: whoever accepted a message need not know of it."""
    setting(home, retention_purges="false")
    withdrawn, due = kept_until(world, now_ms() - 2000), kept_until(world, now_ms() - 1000)
    async with running(world, home) as broker:
        node = broker.node
        await accept_message(node, withdrawn.data)
        while await list_once(node):
            pass
        await accept_act(node, world.purge(NAIROBI, withdrawn), Caller(NAIROBI, bytes(32)))
        await accept_message(node, due.data)
        assert [k.payload_hash for k in await list_due(node)] == [due.payload_hash]
        # On the list is what was accepted before; it is struck off, and nothing is logged for it.
        assert await purge_once(node) == 1
        assert await purge_once(node) == 0
        assert contents(home) == {due.manifest.id}
        while await list_once(node):
            pass
        assert await purge_once(node) == 1
    assert not contents(home)
    assert len(sql(home, PURGES)) == 2
    # A list that begins anew finds what is there, and nothing is purged twice.
    sql(home, "UPDATE retention_scan SET scanned = 0")
    parts = build_parts(load_settings(home, {}), keyring(world))
    try:
        assert await purge_all(parts.node, parts.appender) == []
    finally:
        parts.node.verifier.close()
        await parts.node.database.close()
    await sound(world, home)


async def test_two_that_look_through_the_same_entries_list_them_once(world, home, monkeypatch):
    setting(home, retention_purges="false")
    async with running(world, home) as broker:
        await accept_message(broker.node, kept_until(world, now_ms() + 1000).data)
        first = sql(home, "SELECT scanned FROM retention_scan")
        written = []
        real = retention.write_looked
        monkeypatch.setattr(retention, "write_looked", lambda *a: written.append(real(*a)) or written[-1])
        await asyncio.gather(list_once(broker.node), list_once(broker.node))
    # The second either saw what the first had done, or came too late to write it.
    assert written in ([True], [True, False])
    assert sql(home, "SELECT scanned FROM retention_scan") > first
    assert sql(home, "SELECT count(*) FROM retentions") == [(1,)]


async def test_a_damaged_message_keeps_no_other_from_being_purged(world, home):
    setting(home, retention_purges="false")
    damaged, due = kept_until(world, now_ms() - 1000), kept_until(world, now_ms() - 1000)
    async with running(world, home) as broker:
        await accept_message(broker.node, damaged.data)
        await accept_message(broker.node, due.data)
        sql(home, f"UPDATE entries SET document = zeroblob(9) WHERE entry = {_first(home)}")
        while await list_once(broker.node):
            pass
        assert await purge_once(broker.node) == 1
        assert contents(home) == {damaged.manifest.id}


def _first(home):
    return sql(home, "SELECT min(entry) FROM messages")[0][0]


async def test_writing_the_views_anew_begins_the_list_anew(world, home):
    setting(home, retention_purges="false")
    async with running(world, home) as broker:
        await accept_message(broker.node, kept_until(world, now_ms() + 1000).data)
        while await list_once(broker.node):
            pass
    sql(home, "DELETE FROM purges", "UPDATE messages SET expires_at = 0")
    await with_node(world, home, lambda node: rebuild_views(node, check_only=False))
    assert sql(home, "SELECT scanned FROM retention_scan") == [(0,)]
    assert sql(home, "SELECT count(*) FROM retentions") == [(0,)]


def test_the_command_lists_and_purges(world, process_home):
    setting(process_home, retention_purges="false")
    due = kept_until(world, now_ms() - 1000)

    async def post():
        async with running(world, process_home) as broker:
            await accept_message(broker.node, due.data)
            await accept_message(broker.node, kept_until(world, now_ms() + 3_600_000).data)

    asyncio.run(post())
    assert run_cli("purge", "--home", process_home).returncode != 0
    before = sql(process_home, "SELECT count(*) FROM entries")
    dry = run_cli("purge", "--home", process_home, "--due", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert [m["message"] for m in json.loads(dry.stdout)["messages"]] == [due.payload_hash.hex()]
    assert sql(process_home, "SELECT count(*) FROM entries") == before
    assert sql(process_home, "SELECT scanned FROM retention_scan") == [(0,)]
    done = run_cli("purge", "--home", process_home, "--due")
    assert done.returncode == 0, done.stderr
    assert "1 messages purged" in done.stdout
    assert due.payload_hash.hex() in done.stdout
    assert len(contents(process_home)) == 1
    again = run_cli("purge", "--home", process_home, "--due", "--json")
    assert json.loads(again.stdout)["messages"] == []
    reading = run_cli("purge", "--home", process_home, "--due", read_only="true")
    assert reading.returncode == 1
    assert "read_only" in reading.stderr


@pytest.mark.parametrize(
    "point",
    ["after_append_before_commit", "after_commit", "before_sign", "after_store_advance", "before_answer"],
)
def test_a_kill_never_parts_a_purge_and_what_it_deletes(world, process_home, point):
    sealed = world.message(NAIROBI, [KAMPALA])
    data = world.purge(NAIROBI, sealed)
    hooks = {"test_hooks": "1", "test_kill_at": f"{point}:2", "retention_purges": "false"}
    process = BrokerProcess(world, process_home, **hooks).wait_until_listening()
    client = process.client()
    assert client.post_message(sealed).status_code == 201
    with pytest.raises(httpx.TransportError):
        client.request("POST", "/v1/acts", data, by=NAIROBI)
    assert process.end() == -9
    client.close()
    logged = bool(sql(process_home, PURGES))
    assert logged == (point != "after_append_before_commit")
    assert bool(contents(process_home)) == (not logged)
    assert bool(sql(process_home, "SELECT 1 FROM purges")) == logged

    process = BrokerProcess(world, process_home).wait_until_listening()
    client = process.client()
    client.refresh()
    answer = client.request("POST", "/v1/acts", data, by=NAIROBI)
    assert answer.status_code == (200 if logged else 201)
    client.verify_accepted(answer, data)
    path = f"/v1/messages/{sealed.payload_hash.hex()}"
    client.problem(client.request("GET", f"{path}/content", by=NAIROBI), "purged")
    shown = client.request("GET", f"{path}/purge", by=KAMPALA)
    assert hash_of(client.verify_accepted(shown, data)[0].document) == hash_of(data)
    client.close()
    assert process.stop() == 0
    assert len(sql(process_home, PURGES)) == 1
    asyncio.run(sound(world, process_home))
