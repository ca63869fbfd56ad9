"""Pieces move between stores while they are served, and with the log: by backup and restore, and to another operator."""

import asyncio
import os
import shutil
from dataclasses import replace

import pytest

from countermark_broker.app import Broker
from countermark_broker.config import load_settings
from countermark_broker.errors import ConfigurationError, FatalError, OverloadedError, UnavailableError
from countermark_broker.parts import build_parts
from countermark_broker.services import content_check
from countermark_broker.services.accept import accept_act, accept_message
from countermark_broker.services.backup import create_backup, restore_backup, verify_backup
from countermark_broker.services.content_check import mend_content
from countermark_broker.services.content_move import move_content
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.node import Caller
from countermark_broker.services.pieces import put_piece
from countermark_broker.services.recovery import recover_tail
from countermark_broker.services.release import read_ciphertext, read_piece
from countermark_broker.store.blob_s3 import S3Blobs, S3Place
from countermark_broker.store.content import ContentStore
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_protocol.hand_back import HandBackHeader, HandBackWriter, HeldStatement
from support.broker_fixtures import keyring, running, with_node
from support.content import Place, photographs, set_place, setting
from support.database import restore, save, sql
from support.world import KAMPALA, NAIROBI, now_ms, seed

CALLER = Caller(NAIROBI, bytes(32))


class Killed(BaseException):
    pass


class KilledAfter:
    """Gone after so many copies."""

    def __init__(self, copies):
        self.left = copies

    def reach(self, name):
        if name == "after_copy_before_commit":
            self.left -= 1
            if self.left < 0:
                raise Killed


async def send(world, node, *sizes):
    sealed = photographs(world, NAIROBI, [KAMPALA], *sizes)
    for digest, data in sealed.pieces.items():
        await put_piece(node, CALLER, digest, data)
    await accept_message(node, sealed.data)
    return sealed


async def served_whole(node, sealed):
    assert await read_ciphertext(node, CALLER, sealed.payload_hash) == sealed.content
    for part, one in enumerate(sealed.attached):
        for number, piece in enumerate(one.pieces):
            assert await read_piece(node, CALLER, sealed.payload_hash, part, number) == piece.data


async def findings(world, home):
    return [f.code for f in (await with_node(world, home, check_everything)).findings]


async def move(world, home, to, faults=None):
    async def run(node):
        node.content.open()
        object.__setattr__(node, "faults", faults or node.faults)
        return await asyncio.to_thread(move_content, node, to)

    return await with_node(world, home, run)


async def test_around_all_stores_while_a_node_serves(world, home, request):
    place = set_place(home, "s3", request)
    setting(home, content_store="database", content_folder="pieces", content_inline_max=64)
    folder, database = Place("folder", home), Place("database", home)
    async with running(world, home) as broker:
        sealed = await send(world, broker.node, 5_000_000, 3000)
        assert (len(database.names()), sql(home, "SELECT count(*) FROM contents")) == (3, [(1,)])

        # Killed on its way: what was moved lies there, the rest where it lay, and what was copied is an orphan.
        with pytest.raises(Killed):
            await move(world, home, "folder", KilledAfter(2))
        await served_whole(broker.node, sealed)
        moved = await move(world, home, "folder")
        assert (moved.pieces, moved.contents, moved.lost) == (1, 1, 0)
        assert (len(database.names()), sql(home, "SELECT count(*) FROM contents")) == (0, [(0,)])
        # One of them was copied and never named.
        assert len(folder.names()) == 5
        await served_whole(broker.node, sealed)

        assert (await move(world, home, "s3")).pieces == 4
        assert (len(place.names()), len(folder.names())) == (4, 1)
        await served_whole(broker.node, sealed)
        # Two at once get into nobody's way.
        back = await asyncio.gather(move(world, home, "database"), move(world, home, "database"))
        assert sum(one.pieces for one in back) == 4
        assert (len(place.names()), len(database.names())) == (0, 4)
        await served_whole(broker.node, sealed)
        assert (await move(world, home, "database")).pieces == 0
    assert await findings(world, home) == []


async def test_backup_and_restore_take_them_along(world, home, grown, place, tmp_path):
    file = tmp_path / "log.countermark"
    async with running(world, home) as broker:
        sealed, purged = await send(world, broker.node, 5_000_000, 3000), await send(world, broker.node, 2000)
        await accept_act(broker.node, world.purge(NAIROBI, purged), CALLER)
        made = await create_backup(broker.node, file)
    assert made.findings == ()
    assert (await verify_backup(file, tmp_path)).findings == ()

    # Lost and damaged ones come back; what is purged does not.
    names = [n for n in place.names() if not n.startswith(sealed.manifest.content.digest.hex())]
    place.remove(names[0])
    place.write(names[1], b"damaged")
    restored = await with_node(world, home, lambda node: restore_backup(node, file))
    assert restored.findings == ()
    async with running(world, home) as broker:
        await served_whole(broker.node, sealed)
        assert not [n for n in place.names() if n.startswith(tuple(d.hex() for d in purged.pieces))]

    # Into an empty database, with the content store that is set there.
    other = await restore_elsewhere(world, home, file, tmp_path)
    async with running(world, other) as broker:
        await served_whole(broker.node, sealed)
    assert await findings(world, other) == []

    # What is missing is named, and the rest is kept.
    for name in place.names():
        if name.startswith(sealed.attached[0].pieces[1].digest.hex()):
            place.remove(name)
    second = tmp_path / "second.countermark"
    made = await with_node(world, home, lambda node: create_backup(node, second))
    assert [f.code for f in made.findings] == ["piece_missing"]
    assert "1 of 2 pieces are missing, first number 1" in made.findings[0].message
    assert [f.code for f in (await verify_backup(second, tmp_path)).findings] == ["piece_missing"]


async def restore_elsewhere(world, home, file, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    lines = [line for line in (home / "broker.toml").read_text().splitlines() if "_url" not in line]
    (other / "broker.toml").write_text("\n".join(lines) + "\n")
    setting(other, content_store="folder", content_folder="elsewhere")
    shutil.copytree(home / "checkpoint", other / "checkpoint")

    async def restore(node):
        migrate(node.database, find_migrations(None))
        return await restore_backup(node, file)

    assert (await with_node(world, other, restore)).findings == ()
    return other


async def test_a_folder_is_the_one_of_all_nodes(world, home, request):
    place = set_place(home, "folder", request)
    async with running(world, home) as broker:
        sealed = await send(world, broker.node, 1000)
    assert (place.folder.stat().st_mode & 0o777, len(place.names())) == (0o700, 2)
    assert {p.stat().st_mode & 0o777 for p in place.folder.glob("??/*")} == {0o600}

    async def refused(code, words):
        with pytest.raises(ConfigurationError) as caught:
            async with running(world, home):
                pass
        assert (caught.value.code, words in caught.value.message) == (code, True), caught.value.message

    # A node on another machine that does not share it, or one where it is not mounted.
    place.folder.rename(home / "mounted")
    await refused("content_store_other", "shared and mounted")
    shutil.rmtree(place.folder)
    (home / "mounted").rename(place.folder)
    place.folder.chmod(0o750)
    await refused("content_folder", "chmod go-rwx")
    place.folder.chmod(0o700)
    setting(home, content_store="database")
    settings = (home / "broker.toml").read_text()
    async with running(world, home) as broker:
        # Unmounted while it serves: nothing is taken for lost.
        place.folder.rename(home / "mounted")
        with pytest.raises(UnavailableError) as caught:
            await read_piece(broker.node, CALLER, sealed.payload_hash, 0, 0)
        assert caught.value.code == "content_store_away"
        assert str(home) not in caught.value.message
        (home / "mounted").rename(place.folder)
        await served_whole(broker.node, sealed)
    # Pieces still lie there: a node that does not know where cannot serve them, and says what to set.
    (home / "broker.toml").write_text(settings.replace('content_folder = "pieces"\n', ""))
    async with running(world, home) as broker:
        with pytest.raises(ConfigurationError) as caught:
            await broker.node.content.run(ContentStore.read, next(iter(sealed.pieces)))
        assert (caught.value.code, "content_folder" in caught.value.message) == (
            "content_place_unknown",
            True,
        )


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_an_object_store_that_cannot_be_used(world, home, request, object_store, monkeypatch):
    set_place(home, "s3", request)
    async with running(world, home) as broker:
        sealed = await send(world, broker.node, 1000)
        store = broker.node.content.store("s3")

        class Slow(Exception):
            def __init__(self):
                self.response = {"Error": {"Code": "SlowDown"}}

        def too_much(**_):
            raise Slow

        with monkeypatch.context() as patched:
            patched.setattr(store, "_errors", (Slow,))
            patched.setattr(store._client, "get_object", too_much)
            with pytest.raises(OverloadedError) as caught:
                await read_piece(broker.node, CALLER, sealed.payload_hash, 0, 0)
            assert caught.value.code == "content_store_busy"
        await served_whole(broker.node, sealed)

    def of(**changes):
        where = {"bucket": "b", "endpoint": object_store.url, "region": "us-east-1"} | changes
        return S3Blobs(S3Place(**where))

    with pytest.raises(ConfigurationError) as caught:
        of(bucket="there-is-none").check()
    assert caught.value.code == "content_bucket"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_an_object_store_that_is_away(world, home, request, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret that nobody may read in a log")
    store = S3Blobs(S3Place("bucket", "", "http://127.0.0.1:9", "us-east-1"))
    for call in (lambda: store.put("n", b"x"), lambda: store.get("n"), lambda: list(store.stored())):
        with pytest.raises(UnavailableError) as caught:
            call()
        assert caught.value.code == "content_store_away"
        assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    with pytest.raises(ConfigurationError) as caught:
        store.check()
    assert caught.value.code == "content_bucket"
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


def test_versions_would_keep_what_is_purged(monkeypatch):
    class Client:
        def head_bucket(self, **_):
            pass

        def get_bucket_versioning(self, **_):
            return {"Status": "Suspended"}

    store = S3Blobs(S3Place("bucket"))
    store.__dict__["_client"] = Client()
    with pytest.raises(ConfigurationError) as caught:
        store.check()
    assert "versions" in caught.value.message


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_lost_tail_finds_its_pieces_again(world, home, place, tmp_path, monkeypatch):
    """The database is yesterday's; a sender hands its message back, and what still lies in the store is taken up."""
    keys = replace(keyring(world), entries=seed("entries"))
    save(home, tmp_path / "yesterday")
    broker = Broker(build_parts(load_settings(home, {}), keys))
    await broker.start()
    sealed = photographs(world, NAIROBI, [KAMPALA], 5_000_000, 3000)
    for digest, data in sealed.pieces.items():
        await put_piece(broker.node, CALLER, digest, data)
    answer = await accept_message(broker.node, sealed.data)
    await broker.stop()
    restore(home, tmp_path / "yesterday")

    async def mend(node):
        monkeypatch.setattr(content_check, "ORPHAN_AGE_MS", -60_000)
        node.content.open()
        return mend_content(node)

    # Not before the database is whole: these are no orphans.
    with pytest.raises(FatalError) as caught:
        await with_node(world, home, mend)
    assert (caught.value.code, len(place.names())) == ("database_behind_store", 4)

    file = tmp_path / "tail.countermark"
    index = answer.accepted.inclusion.index
    with file.open("wb") as out:
        writer = HandBackWriter(out.write, HandBackHeader(world.origin, NAIROBI, index, now_ms()))
        held = HeldStatement(index, sealed.data, True, answer.accepted)
        writer.held(held)
        writer.end()
    node = build_parts(load_settings(home, {}), keys).node
    try:
        recovered = await recover_tail(node, [file])
        assert (recovered.written, recovered.added, recovered.missing) == (True, 1, ())
    finally:
        node.verifier.close()
        await node.database.close()
    assert await findings(world, home) == ["piece_missing"] * 2 + ["orphan_blob"] * 4
    assert (await with_node(world, home, mend)).adopted == 3
    # The content came back with the submission, into its table.
    assert (await findings(world, home), len(place.names())) == ([], 3)
    async with running(world, home) as broker:
        await served_whole(broker.node, sealed)
