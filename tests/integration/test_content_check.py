"""The content store against its rows: what fsck finds, what `content mend` puts right, what a crash leaves behind."""

import asyncio
import time

import httpx
import pytest

from countermark_broker.errors import FatalError
from countermark_broker.services import content_check
from countermark_broker.services.accept import accept_act, accept_message
from countermark_broker.services.content_check import mend_content
from countermark_broker.services.content_sweep import sweep_once
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.node import Caller
from countermark_broker.services.pieces import put_piece
from support.broker_fixtures import running, with_node
from support.broker_process import BrokerProcess, run_cli
from support.content import FINDINGS_OF_CONTENT, photographs, set_place, setting, upload
from support.database import sql
from support.world import KAMPALA, NAIROBI, now_ms

CALLER = Caller(NAIROBI, bytes(32))
MESSAGE = "(SELECT min(entry) FROM messages)"


class Stop(BaseException):
    """The process is gone at this point."""


class StopAt:
    def __init__(self, point):
        self.point = point

    def reach(self, name):
        if name == self.point:
            raise Stop


@pytest.fixture(autouse=True)
def _left_behind_at_once(monkeypatch):
    monkeypatch.setattr(content_check, "ORPHAN_AGE_MS", -60_000)


async def accepted(world, node, *sizes):
    sealed = photographs(world, NAIROBI, [KAMPALA], *sizes)
    for digest, data in sealed.pieces.items():
        await put_piece(node, CALLER, digest, data)
    await accept_message(node, sealed.data)
    return sealed


async def codes(world, home):
    findings = (await with_node(world, home, check_everything)).findings
    assert all(f.hint for f in findings)
    return {f.code for f in findings}


async def mended(world, home):
    async def mend(node):
        node.content.open()
        return mend_content(node)

    done = await with_node(world, home, mend)
    return {name: getattr(done, name) for name in done.__slots__ if getattr(done, name)}


async def test_every_finding_and_its_way_out(world, home, place):
    async with running(world, home) as broker:
        sealed = await accepted(world, broker.node, 3000, 2000)
    assert await codes(world, home) == set()
    first, second = (one.pieces[0] for one in sealed.attached)
    name = {digest.hex(): n for digest in sealed.pieces for n in place.names() if n.startswith(digest.hex())}
    found = set()

    # Lost and damaged: dropped, and there again once somebody who has them uploads them.
    place.remove(name[first.digest.hex()])
    place.write(name[second.digest.hex()], second.data[:-1] + b"?")
    found |= await codes(world, home)
    assert found == {"piece_missing", "piece_differs"}
    assert await mended(world, home) == {"lost": 2} | ({"deleted": 2} if place.kind != "database" else {})
    assert await codes(world, home) == {"piece_missing"}
    async with running(world, home) as broker:
        # Whoever it is: a piece is known by its digest.
        for piece in (first, second):
            await put_piece(broker.node, Caller(KAMPALA, bytes(32)), piece.digest, piece.data)
    assert await codes(world, home) == set()

    # What no row names goes; but what a message misses is taken up again.
    (there,) = [n for n in place.names() if n.startswith(first.digest.hex())]
    place.write(f"{'ab' * 32}.{'cd' * 8}", b"left behind")
    sql(home, "DELETE FROM uploads", "DELETE FROM blobs WHERE name = :name", name=there)
    found |= (now := await codes(world, home))
    assert now == {"orphan_blob", "piece_missing"}
    assert await mended(world, home) == {"orphans": 1, "adopted": 1}
    assert there in place.names()
    # What belongs to no upload and no message goes.
    sql(
        home,
        "INSERT INTO blobs VALUES (:digest, 1, 'database', 'x')",
        "INSERT INTO blob_data VALUES ('x', 0, 0, :digest)",
        digest=bytes(32),
    )
    found |= (now := await codes(world, home))
    assert now >= {"unnamed_blob"}
    assert (await mended(world, home))["unnamed"] == 1
    assert await codes(world, home) == set()

    # The lists of pieces themselves, and a store that the settings do not name.
    for damage in (
        f"UPDATE claims SET part = 5 WHERE message = {MESSAGE} AND part = 1",
        f"UPDATE claims SET digest = zeroblob(32) WHERE message = {MESSAGE} AND part >= 0",
        "INSERT INTO claims SELECT 0, 0, 0, digest FROM blobs WHERE digest = (SELECT min(digest) FROM claims)",
        "UPDATE blobs SET place = 'elsewhere' WHERE digest NOT IN (SELECT digest FROM claims WHERE part < 0)",
    ):
        sql(home, damage)
        found |= await codes(world, home)
    assert found == FINDINGS_OF_CONTENT


async def test_a_purge_by_a_node_that_knows_no_attachments(world, home):
    async with running(world, home) as broker:
        sealed = await accepted(world, broker.node, 2000)
        kept = sql(home, f"SELECT * FROM claims WHERE message = {MESSAGE}")
        await accept_act(broker.node, world.purge(NAIROBI, sealed), CALLER)
        await put_piece(broker.node, CALLER, *next(iter(sealed.pieces.items())))
    # Such a node leaves the claims as they were; and the upload is none any more.
    for message, part, number, digest in kept:
        sql(home, "INSERT INTO claims VALUES (:m, :p, :n, :d)", m=message, p=part, n=number, d=bytes(digest))
    sql(home, "DELETE FROM uploads")
    assert await codes(world, home) == {"surplus_claim"}
    await mended(world, home)
    assert (
        await codes(world, home),
        sql(home, "SELECT * FROM blobs"),
        sql(home, "SELECT * FROM claims"),
    ) == (
        set(),
        [],
        [],
    )


async def test_mending_waits_until_the_database_is_whole(world, home):
    async def mend(node):
        return mend_content(node)

    sql(home, "UPDATE head SET size = size - 1")
    with pytest.raises(FatalError) as caught:
        await with_node(world, home, mend)
    assert caught.value.code == "database_behind_store"


@pytest.mark.parametrize("place", ["folder", "s3"], indirect=True)
async def test_killed_between_a_write_and_its_row(world, home, place):
    sealed = photographs(world, NAIROBI, [KAMPALA], 3000)
    ((digest, data),) = sealed.pieces.items()
    async with running(world, home, StopAt("after_blob_before_commit")) as broker:
        with pytest.raises(Stop):
            await put_piece(broker.node, CALLER, digest, data)
    assert len(place.names()) == 1
    assert await codes(world, home) == {"orphan_blob"}
    async with running(world, home) as broker:
        # The same again is not held up by what was left.
        assert await put_piece(broker.node, CALLER, digest, data)
        await accept_message(broker.node, sealed.data)
    assert await mended(world, home) == {"orphans": 1}
    assert await codes(world, home) == set()

    # A purge is committed, and the process is gone before what it named is deleted: any node does the rest.
    setting(home, content_sweep_ms=3_600_000)
    async with running(world, home, StopAt("after_doom_before_delete")) as broker:
        await accept_act(broker.node, world.purge(NAIROBI, sealed), CALLER)
        with pytest.raises(Stop):
            await sweep_once(broker.node)
    assert len(place.names()) == 2
    assert await codes(world, home) == set()
    await with_node(world, home, sweep_once)
    assert place.names() == []
    assert await codes(world, home) == set()


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_uploads_that_no_message_claims_go_after_a_day(world, home, place):
    setting(home, content_sweep_ms=3_600_000)
    async with running(world, home) as one, running(world, home) as other:
        kept = await accepted(world, one.node, 1000)
        uploaded = photographs(world, NAIROBI, [KAMPALA], 2000, 3000)
        (old, old_data), (new, new_data) = uploaded.pieces.items()
        for digest, data in uploaded.pieces.items():
            await put_piece(one.node, CALLER, digest, data)
            await put_piece(one.node, Caller(KAMPALA, bytes(32)), digest, data)
        day = 24 * 3600 * 1000
        sql(
            home,
            "UPDATE uploads SET uploaded_at = :at WHERE digest = :old",
            at=now_ms() - day - 5000,
            old=old,
        )
        sql(
            home,
            "UPDATE uploads SET uploaded_at = :at WHERE digest = :new",
            at=now_ms() - day + 60_000,
            new=new,
        )
        # Of two who uploaded it the last one counts.
        await put_piece(one.node, Caller(KAMPALA, bytes(32)), old, old_data)
        assert await sweep_once(one.node) == 0
        assert len(place.names()) == 4
        sql(home, "UPDATE uploads SET uploaded_at = 0 WHERE digest = :old", old=old)
        # One drops it from the rows and from the store; the other finds nothing left to do.
        assert [await sweep_once(n.node) for n in (one, other)] == [2, 0]
        left = {n[:64] for n in place.names()}
        assert left == {new.hex(), kept.manifest.content.digest.hex(), *(d.hex() for d in kept.pieces)}
        # One who has it already says that it is still needed.
        await put_piece(one.node, CALLER, new, new_data)
        assert sql(home, "SELECT count(*) FROM uploads WHERE uploaded_at > :at", at=now_ms() - day // 2) == [
            (1,)
        ]


def test_commands(world, process_home):
    shown = run_cli("content", "show", "--home", process_home)
    assert (shown.returncode, "new ones go to: database" in shown.stdout) == (0, True)
    mended = run_cli("content", "mend", "--home", process_home)
    assert (mended.returncode, "0 pieces that were missing" in mended.stdout) == (0, True)
    moved = run_cli("content", "move", "--to", "folder", "--home", process_home)
    assert moved.returncode == 1
    assert "content_place_unknown" in moved.stderr
    setting(process_home, content_folder="pieces")
    moved = run_cli("content", "move", "--to", "folder", "--home", process_home)
    assert (moved.returncode, "moved 0 pieces" in moved.stdout) == (0, True)


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("after_blob_before_commit", 2),
        ("after_append_before_commit", 1),
        ("after_commit", 1),
        ("after_doom_before_delete", 1),
    ],
)
def test_sigkill(world, process_home, request, point, times):
    """A node that is killed at each moment: what is not answered is sent again, and in the end nothing is left over."""
    place = set_place(process_home, "folder", request)
    setting(process_home, content_sweep_ms=50)
    sealed = photographs(world, NAIROBI, [KAMPALA], 3000, 2000)

    def use(**hooks):
        process = BrokerProcess(world, process_home, **hooks).wait_until_listening()
        client = process.client()
        try:
            assert set(upload(client, sealed, NAIROBI)) <= {200, 201}
            assert client.post_message(sealed).status_code in {200, 201}
            for part, one in enumerate(sealed.attached):
                path = f"/v1/messages/{sealed.payload_hash.hex()}/attachments/{part}/pieces/0"
                answer = client.request("GET", path, by=NAIROBI)
                if answer.status_code != 404:
                    assert answer.content == one.pieces[0].data
            purge = client.request("POST", "/v1/acts", purged, NAIROBI)
            assert purge.status_code in {200, 201}
            for _ in range(400):
                if not sql(process_home, "SELECT 1 FROM doomed_blobs"):
                    return
                time.sleep(0.02)
            pytest.fail("what was purged is not deleted")
        finally:
            client.close()
            if not hooks:
                assert process.stop() == 0
            else:
                assert process.end() == -9

    purged = world.purge(NAIROBI, sealed)
    with pytest.raises((httpx.TransportError, pytest.fail.Exception)):
        use(test_hooks="1", test_kill_at=f"{point}:{times}")
    use()
    # Uploaded again after the purge, or never claimed: these are uploads, and go after a day.
    sql(process_home, "UPDATE uploads SET uploaded_at = 0")
    asyncio.run(with_node(world, process_home, sweep_once))
    left = place.names()
    assert len(left) == (point == "after_blob_before_commit")
    assert asyncio.run(mended(world, process_home)) == ({"orphans": 1} if left else {})
    assert (place.names(), asyncio.run(codes(world, process_home))) == ([], set())
