"""Sweeps, claims, uploads, purges and moves at the same moment, on several nodes: what is named is there, always."""

import asyncio
import threading

import pytest

from countermark_broker.errors import UnavailableError
from countermark_broker.services import pieces
from countermark_broker.services.accept import accept_act, accept_message
from countermark_broker.services.content_move import move_content
from countermark_broker.services.content_sweep import delete_doomed, sweep_once
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.node import Caller
from countermark_broker.services.pieces import missing_pieces, put_piece
from countermark_broker.store.content import ContentStore
from countermark_broker.store.head import take_lock
from countermark_broker.store.pieces import end_uploads
from countermark_protocol.errors import ConflictError
from support.broker_fixtures import running, with_node
from support.content import photographs, setting
from support.world import KAMPALA, NAIROBI, now_ms

pytestmark = pytest.mark.parametrize("place", ["folder"], indirect=True)
CALLER, OTHER = Caller(NAIROBI, bytes(32)), Caller(KAMPALA, bytes(32))


class At:
    """Lets something happen when a point is reached, the first time, in another thread; and waits for it."""

    def __init__(self):
        self.actions = {}

    def reach(self, name):
        action = self.actions.pop(name, None)
        if action is not None:
            meanwhile(action)


def meanwhile(action):
    failed = []

    def run():
        try:
            action()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for what waits for it"
    assert not failed, failed


@pytest.fixture
async def raced(world, home, place):
    setting(home, content_sweep_ms=3_600_000)
    at = At()
    async with running(world, home, at) as broker:
        yield broker.node, at
    checked = await with_node(world, home, check_everything)
    assert checked.findings == ()


def sweep_everything(node, doomed=True):
    """What any node's sweep does once a day has passed."""
    with node.database.writing() as connection:
        take_lock(connection)
        end_uploads(connection, now_ms() + 60_000)
    while doomed and delete_doomed(node.content, node):
        pass


async def uploaded(world, node, by=CALLER):
    sealed = photographs(world, NAIROBI, [KAMPALA], 1000)
    ((digest, data),) = sealed.pieces.items()
    await put_piece(node, by, digest, data)
    return sealed, digest, data


async def readable(node, digest, data):
    assert await node.content.run(ContentStore.read, digest) == data


async def test_a_sweep_before_the_lock_and_a_claim_before_the_sweep(world, place, raced):
    node, at = raced
    sealed, digest, data = await uploaded(world, node)
    # The sweep comes first: the claim finds nothing, and decides nothing.
    at.actions["before_lock"] = lambda: sweep_everything(node)
    with pytest.raises(ConflictError) as caught:
        await accept_message(node, sealed.data)
    assert caught.value.code == "pieces_missing"
    assert await missing_pieces(node, CALLER, (digest,)) == (digest,)
    await put_piece(node, CALLER, digest, data)
    # The claim comes first: a sweep that waited for its lock keeps what it names.
    waiting = []

    def begin():
        thread = threading.Thread(target=sweep_everything, args=(node,))
        thread.start()
        waiting.append(thread)

    at.actions["after_append_before_commit"] = begin
    await accept_message(node, sealed.data)
    waiting[0].join(30)
    sweep_everything(node)
    await readable(node, digest, data)


async def test_an_upload_of_what_is_being_dropped(world, place, raced, monkeypatch):
    node, _at = raced
    _, digest, data = await uploaded(world, node, OTHER)
    real, times = pieces.read_blob, []

    def read_then_lose(connection, wanted):
        found = real(connection, wanted)
        if not times:
            times.append(found)
            meanwhile(lambda: sweep_everything(node))
        return found

    monkeypatch.setattr(pieces, "read_blob", read_then_lose)
    # It was there when it was looked at, and is dropped before the upload is noted: then it is stored anew.
    assert await put_piece(node, CALLER, digest, data)
    assert times[0] is not None
    await readable(node, digest, data)


async def test_an_upload_of_what_is_dropped_again_and_again_is_told_to_come_back(
    world, place, raced, monkeypatch
):
    node, _at = raced
    _, digest, data = await uploaded(world, node, OTHER)
    monkeypatch.setattr(pieces, "lock_blob", lambda *_: None)
    with pytest.raises(UnavailableError) as caught:
        await put_piece(node, CALLER, digest, data)
    assert caught.value.code == "piece_moving"


async def test_two_uploads_of_one_piece(world, place, raced):
    node, at = raced
    sealed = photographs(world, NAIROBI, [KAMPALA], 1000)
    ((digest, data),) = sealed.pieces.items()
    at.actions["after_blob_before_commit"] = lambda: pieces._put(
        node.content, node.database, node.faults, KAMPALA, digest, data, None
    )
    assert await put_piece(node, CALLER, digest, data)
    # Both have it, it lies there once, and the copy that came too late is deleted.
    for caller in (CALLER, OTHER):
        assert await missing_pieces(node, caller, (digest,)) == ()
    assert len(place.names()) in {1, 2}  # the node's own first sweep may have come by already
    await sweep_once(node)
    assert len(place.names()) == 1
    await readable(node, digest, data)


async def test_uploaded_again_between_dropping_and_deleting(world, place, raced):
    """Names are never used twice: what is deleted late is not what was written anew."""
    node, at = raced
    _, digest, data = await uploaded(world, node)
    sweep_everything(node, doomed=False)
    at.actions["after_doom_before_delete"] = lambda: pieces._put(
        node.content, node.database, node.faults, NAIROBI, digest, data, None
    )
    assert await sweep_once(node) == 1
    assert len(place.names()) == 1
    await readable(node, digest, data)


async def test_purged_while_it_is_moved_and_while_it_is_uploaded_again(world, place, raced):
    node, at = raced
    sealed, digest, data = await uploaded(world, node)
    await accept_message(node, sealed.data)
    other, other_digest, other_data = await uploaded(world, node)
    await accept_message(node, other.data)
    purge = world.purge(NAIROBI, sealed)
    loop, done = asyncio.get_running_loop(), []

    # The purge is committed between copy and switch: neither the copy nor what was copied is left.
    def purge_now():
        done.append(asyncio.run_coroutine_threadsafe(accept_act(node, purge, CALLER), loop).result(30))

    at.actions["after_copy_before_commit"] = purge_now
    moved = await asyncio.to_thread(move_content, node, "database")
    assert done
    # The other message's piece and content are moved, and of the purged one's two at least one was not.
    assert moved.lost == 0
    await sweep_once(node)
    assert place.names() == []
    await readable(node, other_digest, other_data)
    assert await node.content.run(ContentStore.read, digest) is None
    # And uploaded again it is an upload like any other.
    assert await put_piece(node, CALLER, digest, data)
    await readable(node, digest, data)
