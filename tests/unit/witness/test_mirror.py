"""A mirror keeps what is under the root that the log signed, all of it, and cosigns and serves no more than that."""

import gzip
import hashlib
import sqlite3
import threading
import time
import zlib

import httpx
import pytest

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.cosignature import verify_cosignature
from countermark_protocol.errors import ConflictError, NotFoundError, TransportError
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.note import parse_note
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    bundles_for_growth,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
    tiles_for_growth,
)
from countermark_protocol.tlog_witness import origin_hash
from countermark_witness import mirror_store, mirroring
from countermark_witness.errors import WitnessError
from countermark_witness.log_reader import LogReader
from countermark_witness.mirror_app import read_checkpoint, read_tile
from countermark_witness.mirror_store import MAX_EVIDENCE, MirrorStore
from countermark_witness.mirroring import Mirror, Mirroring, Step
from countermark_witness.service import Witness
from countermark_witness.store import Store
from support.witnesses import KINDS, ORIGIN, TIME, checkpoint, cosigner, leaves, note_key, request

MIRRORS = tuple(cosigner("mirror.example/m1", kind) for kind in KINDS)
WITNESSES = tuple(cosigner("witness.example/w1", kind) for kind in KINDS)
HASHED = origin_hash(ORIGIN)


def entry(index):
    """Of which `support.witnesses.leaves` are the hashes."""
    return b"%d" % index


class Log:
    """Serves by tiles what a tree of its size has."""

    def __init__(self, size):
        self.size = size
        self.asked = []
        self.changed = {}

    def fetch(self, path):
        self.asked.append(path)
        if path in self.changed:
            return self.changed[path]
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            first = bundle.index * TILE_WIDTH
            if first + bundle.width > self.size:
                raise NotFoundError("tile_not_served", path)
            return encode_bundle([entry(i) for i in range(first, first + bundle.width)])
        tile = parse_tile_path(path)
        span = TILE_WIDTH**tile.level
        first = tile.index * TILE_WIDTH * span
        hashes = leaves(self.size)[first : first + tile.width * span]
        if len(hashes) < tile.width * span:
            raise NotFoundError("tile_not_served", path)
        return encode_tile([root_of(hashes[i : i + span]) for i in range(0, len(hashes), span)])


class World:
    def __init__(self, folder):
        self.now = TIME
        self.path = folder / "mirror.db"
        Store.create(folder / "witness.db")
        self.witness_store = Store(folder / "witness.db")
        with self.witness_store.transaction() as transaction:
            transaction.add_log(note_key())
        self.witness = Witness(self.witness_store, WITNESSES, lambda: self.now)
        self.cosigned = 0
        MirrorStore.create(self.path)
        self.open()
        self.store.add_log(ORIGIN, "https://log.example", None)
        self.log = Log(0)

    def open(self, **options):
        self.store = MirrorStore(self.path, **options)
        self.mirror = Mirror(self.witness_store, self.store, MIRRORS, lambda: self.now)

    def grow(self, size):
        """The log grows, and the witness cosigns it."""
        answer = self.witness.add_checkpoint(request(self.cosigned, size))
        assert answer.status == 200, answer.body
        self.cosigned = self.log.size = size

    def step(self, fetch=None):
        return self.mirror.step(ORIGIN, fetch or self.log.fetch)

    def follow(self):
        while (step := self.step()) is Step.GOES_ON:
            pass
        return step

    @property
    def kept(self):
        return self.store.log(ORIGIN)

    def serves(self, path, accept=""):
        return read_tile(self.store, HASHED, path, accept)

    def close(self):
        self.store.close()
        self.witness_store.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def flipped(data, at=-1):
    spoilt = bytearray(data)
    spoilt[at] ^= 1
    return bytes(spoilt)


# --- keeping and serving -----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(1, 2, 255, 256, 257), (600, 1000), (70_000,)])
def test_all_that_a_tree_has_is_served_and_cosigned_as_mirror(world, sizes):
    for size in sizes:
        world.grow(size)
        assert world.follow() is Step.DONE
        served = read_checkpoint(world.store, HASHED)
        assert served.headers["Cache-Control"] == "no-cache"
        found = parse_checkpoint(served.body)
        assert (found.size, found.root) == (size, root_of(leaves(size)))
        # The log's line and the mirror's own, at the time at which the witness knew of nothing larger; not the witness's.
        signed = parse_note(served.body).signatures
        assert [line.name for line in signed] == [ORIGIN, *["mirror.example/m1"] * 2]
        lines = {line.key_id: line for line in signed}
        for one in MIRRORS:
            assert verify_cosignature(checkpoint(size), one.key, lines[one.key.key_id]) == TIME
        if size < 2000:
            assert world.store.check(ORIGIN, size) == root_of(leaves(size))
        for place in (*tiles_for_growth(0, size), *bundles_for_growth(0, size)):
            answer = world.serves(place.path())
            assert (answer.status, answer.body) == (200, world.log.fetch(place.path())), place
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert {t.level for t in tiles_for_growth(0, 70_000)} == {0, 1, 2}


def test_older_trees_stay_readable(world):
    world.grow(600)
    world.follow()
    for old in (1, 255, 256, 257, 511, 599):
        for place in (*tiles_for_growth(0, old), *bundles_for_growth(0, old)):
            assert world.serves(place.path()).body == Log(old).fetch(place.path())


def test_nothing_beyond_the_mirror_checkpoint_is_served(world):
    world.grow(300)
    world.follow()
    for path in (
        "tile/0/001.p/45",
        "tile/0/001",
        "tile/entries/001.p/45",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
    ):
        assert world.serves(path).status == 404
        assert world.serves(path).headers["Cache-Control"] == "no-store"
    for path in ("tile/0/1", "tile/0/001.p/0", "tile/entries/001\n", "tile/x"):
        assert world.serves(path).status == 400
    assert read_tile(world.store, "0" * 64, "tile/0/000", "").status == 404
    assert read_checkpoint(world.store, "0" * 64).status == 404


def test_before_everything_is_held_nothing_is_cosigned_or_served(world, monkeypatch):
    world.grow(300)
    world.follow()
    monkeypatch.setattr(mirroring, "AT_ONCE", 1)
    world.now += 10
    world.grow(1200)
    for held in (512, 768, 1024):
        assert world.step() is Step.GOES_ON
        assert (world.kept.held, world.kept.size) == (held, 300)
        assert parse_checkpoint(read_checkpoint(world.store, HASHED).body).size == 300
        assert world.serves("tile/entries/001").status == 404
    assert world.step() is Step.DONE
    assert world.kept.size == 1200


def test_it_goes_on_where_it_was_ended(world, monkeypatch):
    """The store is opened anew, as after SIGKILL: what is in it is a whole tree."""
    monkeypatch.setattr(mirroring, "AT_ONCE", 1)
    world.grow(1000)
    assert world.step() is Step.GOES_ON
    world.store.close()
    world.open()
    assert world.store.check(ORIGIN, 256) == root_of(leaves(256))
    world.log.asked.clear()
    assert world.follow() is Step.DONE
    assert "tile/entries/000" not in world.log.asked
    assert world.kept.size == 1000


def test_a_log_that_grows_meanwhile_is_followed_under_its_newest_checkpoint(world, monkeypatch):
    monkeypatch.setattr(mirroring, "AT_ONCE", 1)
    world.grow(700)
    assert world.step() is Step.GOES_ON
    world.grow(900)
    assert world.follow() is Step.DONE
    assert world.kept.size == 900


def test_an_unchanged_log_is_cosigned_again_as_the_witness_does(world):
    world.grow(300)
    world.follow()
    world.log.asked.clear()
    before = world.kept.note
    assert world.follow() is Step.DONE
    assert world.kept.note == before
    world.now += 60
    world.grow(300)
    assert world.follow() is Step.DONE
    times = {int.from_bytes(line.signature[:8], "big") for line in parse_note(world.kept.note).signatures[1:]}
    assert times == {TIME + 60}
    assert world.log.asked == []


def test_what_no_witness_cosigned_is_not_fetched(world):
    world.log.size = 300
    assert world.follow() is Step.DONE
    assert world.log.asked == []
    assert world.mirror.step("another log", world.log.fetch) is Step.DONE


# --- lies, failures, damage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["tile/entries/001", "tile/entries/002.p/88", "tile/0/002.p/88", "tile/1/000.p/2"]
)
@pytest.mark.parametrize("change", [flipped, lambda data: data[:-1]])
def test_what_is_not_under_the_root_is_kept_as_evidence_and_never_served(world, path, change):
    world.grow(100)
    world.follow()
    note = world.kept.note
    world.grow(600)
    world.log.changed = {path: change(world.log.fetch(path))}
    assert world.follow() is Step.WAITS
    assert world.kept.note == note
    assert world.serves("tile/entries/000").status == 404
    [lie] = world.store.evidence()
    assert lie.checkpoint.startswith(b"log.example/1\n600\n")
    assert lie.served[path] == world.log.changed[path]
    # Once it serves what it signed, the mirror goes on; the evidence stays.
    world.log.changed = {}
    assert world.follow() is Step.DONE
    assert world.kept.size == 600
    assert len(world.store.evidence()) == 1


def test_evidence_is_bounded(world):
    world.grow(600)
    world.log.changed = {"tile/entries/000": flipped(world.log.fetch("tile/entries/000"))}
    for _ in range(MAX_EVIDENCE + 3):
        assert world.follow() is Step.WAITS
    assert [lie.number for lie in world.store.evidence()] == list(range(1, MAX_EVIDENCE + 1))


@pytest.mark.parametrize(
    "error", [NotFoundError("tile_not_served", "x"), TransportError("log_unreachable", "x")]
)
def test_a_log_that_is_away_is_waited_for_and_not_blamed(world, error):
    world.grow(600)

    def fetch(_path):
        raise error

    assert world.step(fetch) is Step.WAITS
    assert world.store.evidence() == []
    assert world.follow() is Step.DONE


def test_a_full_disk_stops_the_mirror_and_harms_nothing(world, monkeypatch):
    world.grow(300)
    world.follow()
    world.grow(600)
    world.store.close()
    world.open(keep_free=2**62)
    assert world.step() is Step.WAITS
    assert (world.kept.held, world.kept.size) == (300, 300)
    world.store.close()
    world.open()
    # SQLite's own "disk is full": the file may not grow by a page.
    with sqlite3.connect(world.path) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    world.store._db.execute(f"PRAGMA max_page_count = {pages}")
    assert world.step() is Step.WAITS
    with pytest.raises(WitnessError, match="disk is full"):
        world.store.add(ORIGIN, 300, [entry(i) for i in range(256, 512)])
    assert (world.kept.held, world.kept.size) == (300, 300)
    # The witness, beside it, goes on.
    world.grow(700)
    world.store._db.execute("PRAGMA max_page_count = 1073741823")
    assert world.follow() is Step.DONE
    assert world.kept.size == 700


def test_a_disk_that_changed_a_leaf_is_found_before_it_is_served_or_cosigned(world):
    world.grow(600)
    world.follow()
    with sqlite3.connect(world.path) as db:
        data = db.execute("SELECT data FROM bundle WHERE number = 1").fetchone()[0]
        db.execute("UPDATE bundle SET data = ? WHERE number = 1", (flipped(data),))
    answer = world.serves("tile/entries/001")
    assert (answer.status, answer.headers["Cache-Control"]) == (503, "no-store")
    with pytest.raises(WitnessError, match="bundle 1"):
        world.store.check(ORIGIN, 600)
    # A changed hash.
    with sqlite3.connect(world.path) as db:
        db.execute("UPDATE bundle SET data = ? WHERE number = 1", (data,))
        tile = db.execute("SELECT hashes FROM tile WHERE level = 1").fetchone()[0]
        db.execute("UPDATE tile SET hashes = ? WHERE level = 1", (flipped(tile),))
    with pytest.raises(WitnessError, match="level 1"):
        world.store.check(ORIGIN, 600)
    note = world.kept.note
    world.now += 60
    world.grow(610)
    assert world.follow() is Step.WAITS
    assert world.kept.note == note
    # A bundle of which the beginning was changed is not added to.
    with pytest.raises(ConflictError, match="bundle 2"):
        world.store.add(ORIGIN, 610, [b"another", *(entry(i) for i in range(513, 620))])


def test_a_store_is_made_once_and_only_by_its_command(tmp_path, world):
    with pytest.raises(WitnessError, match="exists"):
        MirrorStore.create(world.path)
    with pytest.raises(WitnessError, match="missing"):
        MirrorStore(tmp_path / "none.db")
    (tmp_path / "other.db").write_bytes(b"no database at all, " * 100)
    with pytest.raises(WitnessError, match="no store"):
        MirrorStore(tmp_path / "other.db")
    with sqlite3.connect(tmp_path / "new.db") as db:
        db.execute("CREATE TABLE x (y)")
    with pytest.raises(WitnessError, match="no store of this release"):
        MirrorStore(tmp_path / "new.db")


# --- following many logs -----------------------------------------------------------------------------


class Reader:
    def __init__(self, log):
        self.fetch, self.closed = log.fetch, False

    def close(self):
        self.closed = True


def test_a_log_is_followed_from_another_place_once_it_is_moved(world, monkeypatch):
    """First its certificates are not there, then it is; woken by the witness, and by nobody after it was stopped."""
    monkeypatch.setattr(mirroring, "REST_S", 0.01)
    made, tried = [], threading.Event()

    def connect(kept):
        tried.set()
        if kept.url == "https://log.example":
            raise FileNotFoundError(2, "No such file", "ca.pem")
        made.append(Reader(world.log))
        return made[-1]

    following = Mirroring(world.mirror, world.store, connect)
    following.start()
    try:
        world.grow(300)
        assert tried.wait(30)
        world.store.add_log(ORIGIN, "https://moved.example", None)
        until(lambda: world.kept.size == 300)
        world.grow(700)
        following.wake()
        until(lambda: world.kept.size == 700)
        world.store.add_log(ORIGIN, "https://again.example", None)
        following.wake()
        until(lambda: len(made) == 2)
        assert made[0].closed
    finally:
        following.stop()
    assert made[1].closed
    assert [t.name for t in threading.enumerate() if t.name.startswith("mirror")] == []


def until(look):
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- compression -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "coded"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, identity", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("identity, *;q=0", False),
        ("gzip;q=0, *", False),
        ("deflate", False),
    ],
)
def test_bundles_are_compressed_for_who_takes_that(world, accept, coded):
    world.grow(300)
    world.follow()
    plain = world.log.fetch("tile/entries/000")
    answer = world.serves("tile/entries/000", accept)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers.get("Content-Encoding") == ("gzip" if coded else None)
    assert (gzip.decompress(answer.body) if coded else answer.body) == plain
    assert world.serves("tile/entries/000", accept) == answer
    # Hashes do not get smaller.
    assert "Content-Encoding" not in world.serves("tile/0/000", accept).headers


# --- fetching ----------------------------------------------------------------------------------------


def reader(answer, **options):
    return LogReader("https://log.example/v1/log/", transport=httpx.MockTransport(answer), **options)


def test_what_a_log_serves_is_fetched_plain_or_compressed():
    data = encode_bundle([entry(i) for i in range(256)])
    asked = []

    def answer(request):
        asked.append((str(request.url), request.headers["accept-encoding"]))
        if request.url.path.endswith("001"):
            return coded(gzip.compress(data))
        return httpx.Response(200, stream=httpx.ByteStream(data))

    log = reader(answer)
    assert log.fetch(Bundle(0).path()) == data
    assert log.fetch(Bundle(1).path()) == data
    assert asked[0] == ("https://log.example/v1/log/tile/entries/000", "gzip, identity")
    log.close()


def coded(data, coding="gzip"):
    """An answer that httpx does not unpack before it is asked to."""
    return httpx.Response(200, stream=httpx.ByteStream(data), headers={"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(404), "tile_not_served"),
        (httpx.Response(410), "tile_not_served"),
        (httpx.Response(500), "log_status"),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), "log_status"),
        (httpx.Response(200, stream=httpx.ByteStream(b"x" * (32 * 256 + 1))), "log_answer"),
        (coded(b"x", "br"), "log_answer"),
        (coded(b"no gzip"), "log_answer"),
        (coded(gzip.compress(b"x" * 100)[:-9]), "log_answer"),
        # A small answer that would become a large one.
        (coded(zlib.compress(bytes(2**26), 9, 31)), "log_answer"),
    ],
)
def test_what_cannot_be_a_tile_is_not_read_further(answer, code):
    with pytest.raises((NotFoundError, TransportError)) as caught:
        reader(lambda _request: answer).fetch(Tile(0, 0).path())
    assert caught.value.code == code


def test_a_log_that_cannot_be_reached_or_drips(tmp_path):
    def away(request):
        raise httpx.ConnectError("no", request=request)

    with pytest.raises(TransportError) as caught:
        reader(away).fetch("tile/0/000")
    assert caught.value.code == "log_unreachable"
    clock = iter([0.0, 61.0])
    with pytest.raises(TransportError, match="60 s"):
        reader(
            lambda _request: httpx.Response(200, stream=httpx.ByteStream(b"x" * 32)),
            clock=lambda: next(clock),
        ).fetch("tile/0/000.p/1")
    with pytest.raises(OSError, match="No such file"):
        LogReader("https://log.example", str(tmp_path / "none.pem"))


def test_the_hashes_of_the_tests_log_are_those_of_its_entries():
    """Else this file would show nothing."""
    assert leaves(300)[299] == leaf_hash(entry(299)) == hashlib.sha256(b"\x00" + b"299").digest()
    assert mirror_store.LAYOUT == 1
