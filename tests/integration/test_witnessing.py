"""A node gathers cosignatures of its checkpoints from the witnesses that the governors name."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.services.accept import accept_directory, accept_message
from countermark_broker.services.stamping import Stamping, read_covering_stamps
from countermark_broker.services.witnessing import Witnessing
from countermark_broker.store.cosigned import CosignedRow, read_cosigned, read_first_cosigned, write_cosigned
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.errors import SignatureError
from countermark_protocol.mandates import Witness
from countermark_protocol.merkle import verify_consistency
from countermark_protocol.timestamps import parse_stamp, parse_tsa_roots, verify_stamp
from countermark_protocol.tlog_policy import check_quorum
from countermark_protocol.tlog_witness import (
    SIZE_TYPE,
    add_cosignatures,
    encode_cosigned,
    encode_held_size,
    parse_add_checkpoint,
)
from countermark_protocol.witnesses import quorum_policy
from support.broker_fixtures import found, running, write_home
from support.protocol_world import found_world
from support.tsa import Tsa, serving
from support.world import KAMPALA, NAIROBI, World, now_ms, seed

ALARM = "no quorum of witnesses has cosigned for"


class Watcher:
    """A witness that does as docs/spec/witness.md §5 says, with a clock of its own."""

    def __init__(self, name, kind=CosignatureType.ML_DSA_44):
        self.name = name
        self.cosigner = Cosigner(f"{name}.example/w", kind, seed(name))
        self.size, self.root, self.asked, self.status = 0, b"", 0, None
        self.off = 0

    def witness(self):
        return Witness(
            self.name, (encode_cosigner_vkey(self.cosigner.key),), f"https://{self.name}.example/w/"
        )

    def answer(self, request):
        self.asked += 1
        if self.status is not None:
            return httpx.Response(self.status)
        assert request.url.path == "/w/add-checkpoint"
        asked = parse_add_checkpoint(request.content)
        new = asked.checkpoint
        if asked.old_size != self.size:
            body = encode_held_size(self.size)
            return httpx.Response(409, content=body, headers={"Content-Type": SIZE_TYPE})
        if self.size:
            verify_consistency(self.size, self.root, new.size, new.root, asked.proof)
        self.size, self.root = new.size, new.root
        checkpoint = verify_checkpoint(new, new.origin, self.log_key)
        line = self.cosigner.cosign(checkpoint, now_ms() // 1000 + self.off)
        return httpx.Response(200, content=encode_cosigned([line]))


@pytest.fixture
def watchers():
    return [Watcher("east"), Watcher("west", CosignatureType.ED25519), Watcher("north")]


@pytest.fixture
def world(watchers):
    return World(witnesses=tuple(w.witness() for w in watchers))


@pytest.fixture
async def node(world, tmp_path, empty_database, monkeypatch):
    # The node's own task would find nobody, since there are no such hosts, and say so at any moment.
    monkeypatch.setattr(Witnessing, "run", lambda _self: asyncio.Event().wait())
    home = write_home(world, tmp_path / "home", database_url=empty_database, witness_ms=3_600_000)
    await found(world, home)
    async with running(world, home) as broker:
        yield broker.node


@pytest.fixture
def witnessing(node, world, watchers):
    for watcher in watchers:
        watcher.log_key = world.log_key.public_key.raw
    by_host = {f"{w.name}.example": w for w in watchers}
    return Witnessing(node, httpx.MockTransport(lambda request: by_host[request.url.host].answer(request)))


async def rows(node):
    return await node.database.read(read_cosigned, 0, 100)


def verified(node, note):
    size = parse_checkpoint(note).size
    key = node.holder.current.log_key_for(size)
    return verify_checkpoint(parse_checkpoint(note), node.origin, key.raw)


async def send(node, world):
    return await accept_message(node, world.message(NAIROBI, [KAMPALA]).data)


async def test_the_head_is_cosigned_and_kept(node, world, witnessing, watchers):
    assert await witnessing.gather_once()
    (row,) = await rows(node)
    assert row.size == node.publisher.published.size
    policy, log_keys = quorum_policy(node.holder.current)
    quorum = check_quorum(policy, verified(node, row.note), log_keys)
    assert set(quorum.times) == {"0/6", "1/4", "2/6"}
    await send(node, world)
    assert await witnessing.gather_once()
    newest = (await rows(node))[-1]
    assert newest.size == row.size + 1
    assert [w.size for w in watchers] == [newest.size] * 3


async def test_what_a_quorum_cosigned_is_what_is_stamped(node, world, witnessing):
    """From the log's signature over the witnesses' to the authority's, as whoever reads it later checks it."""
    await send(node, world)
    assert await witnessing.gather_once()
    tsa = Tsa("Time")
    (node.settings.home / "roots.pem").write_bytes(tsa.roots)
    with serving(tsa) as url:
        values = {"timestamp_authorities": {"time": url}, "timestamp_roots": Path("roots.pem")}
        stamping = Stamping(replace(node, settings=node.settings.model_copy(update=values)))
        assert await stamping.stamp_once("time")
    size = node.publisher.published.size
    (item,) = (await read_covering_stamps(node, size)).items
    policy, log_keys = quorum_policy(node.holder.current)
    quorum = check_quorum(policy, verified(node, item.checkpoint), log_keys)
    stamp = verify_stamp(parse_stamp(item.response, item.checkpoint), parse_tsa_roots(tsa.roots))
    assert stamp.latest // 1000 >= quorum.existed_by
    assert (await read_covering_stamps(node, size + 1)).items == ()


async def test_a_quiet_head_is_asked_about_once_a_minute(node, witnessing, watchers):
    for watcher in watchers:
        watcher.off = -61
    assert await witnessing.gather_once()
    asked = [w.asked for w in watchers]
    for watcher in watchers:
        watcher.off = 0
    # The last quorum is a minute old: once more, though nothing has grown.
    for _ in range(3):
        assert await witnessing.gather_once()
    assert [w.asked for w in watchers] == [n + 1 for n in asked]
    assert [row.size for row in await rows(node)] == [node.publisher.published.size] * 2


async def test_a_quorum_is_enough_and_less_is_not(node, witnessing, watchers, caplog):
    watchers[0].status = 500
    assert await witnessing.gather_once()
    assert len(await rows(node)) == 1
    watchers[1].status = 404
    await witnessing._node.database.write(lambda c: c.exec_driver_sql("DELETE FROM cosigned"))
    with caplog.at_level(logging.WARNING):
        assert not await witnessing.gather_once()
    assert await rows(node) == []
    assert "witness_status" in caplog.text
    assert "witness_unknown_log" in caplog.text


async def test_a_false_cosignature_counts_for_nobody(node, witnessing, watchers, caplog):
    watchers[0].cosigner = Cosigner("east.example/w", CosignatureType.ML_DSA_44, seed("somebody else"))
    assert await witnessing.gather_once()
    assert "signature_missing" in caplog.text
    checkpoint = verified(node, (await rows(node))[0].note)
    assert {line.name for line in checkpoint.cosignatures} == {"west.example/w", "north.example/w"}


async def test_a_witness_that_knows_more_stops_the_node(node, witnessing, watchers):
    watchers[2].size = node.publisher.published.size + 5
    with pytest.raises(FatalError) as caught:
        await witnessing.gather_once()
    assert caught.value.code == "behind_witness"
    assert node.health.fatal is caught.value
    with pytest.raises(UnavailableError):
        node.health.check_appends()


async def test_the_alarm_without_a_quorum(node, witnessing, watchers, caplog):
    await witnessing.gather_once()
    await witnessing.look()
    assert ALARM not in caplog.text
    age = node.metrics.registry.get_sample_value("countermark_witness_age_seconds")
    assert 0 <= age < 60
    assert (
        node.metrics.registry.get_sample_value("countermark_witnessed_size") == node.publisher.published.size
    )
    await node.database.write(lambda c: c.exec_driver_sql("DELETE FROM cosigned"))
    await witnessing.look()
    assert ALARM in caplog.text
    await witnessing.gather_once()
    with caplog.at_level(logging.INFO):
        await witnessing.look()
    assert "cosigns again" in caplog.text


async def test_what_bounds_the_time_of_an_entry(node, world, witnessing):
    await witnessing.gather_once()
    size = node.publisher.published.size
    assert (await node.database.read(read_first_cosigned, size)).size == size
    assert await node.database.read(read_first_cosigned, size + 1) is None


async def test_a_smaller_tree_never_replaces_a_larger_one(node):
    for size in (7, 5, 9):
        await node.database.write(write_cosigned, CosignedRow(3, size, b"note %d" % size))
    assert await rows(node) == [CosignedRow(3, 9, b"note 9")]


async def test_a_quorum_is_that_of_the_checkpoints_own_size(node, world, witnessing, watchers):
    await witnessing.gather_once()
    (old,) = await rows(node)
    await accept_directory(node, world.governance(witnesses=(watchers[2].witness(),), witness_quorum=1))
    # Who was named then cosigned it, whoever is named now.
    await witnessing.look()
    assert node.metrics.registry.get_sample_value("countermark_witnessed_size") == old.size
    assert 0 <= node.metrics.registry.get_sample_value("countermark_witness_age_seconds") < 60
    watchers[0].status = watchers[1].status = 500
    assert await witnessing.gather_once()
    new = (await rows(node))[-1]
    assert new.size == old.size + 1
    assert {line.name for line in verified(node, new.note).cosignatures} == {"north.example/w"}


def test_a_log_key_is_no_witness(world):
    own = Cosigner(world.origin, CosignatureType.ED25519, seed("log"))
    made = found_world(witnesses=(Witness("own", (encode_cosigner_vkey(own.key),)),))
    checkpoint = made.checkpoint()
    line = own.cosign(checkpoint, 1_800_000_000)
    note = add_cosignatures(checkpoint.raw, [line])
    cosigned = verify_checkpoint(parse_checkpoint(note), made.origin, made.log_key.public_key.raw)
    policy, log_keys = quorum_policy(made.state.directory)
    with pytest.raises(SignatureError) as caught:
        check_quorum(policy, cosigned, log_keys)
    assert caught.value.code == "quorum_not_met"
