"""Reading a log by tiles: what is given is under the signed root, from any start, and nothing else is given."""

import functools
import gzip
import hashlib
import json
from pathlib import Path

import httpx
import pytest

from countermark_client.audit._tiles import HttpTiles
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.errors import (
    InconsistentLogError,
    MalformedError,
    NotFoundError,
    ProofError,
    TransportError,
)
from countermark_protocol.merkle import Frontier, leaf_hash, root_of, verify_inclusion
from countermark_protocol.note import parse_vkey
from countermark_protocol.tile_reader import VerifiedTiles
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
    tile_width,
)
from support.world import ORIGIN, signer

TESSERA = Path(__file__).parents[2] / "vectors" / "tessera"
PREFIX = "https://log.example.org/v1/log"
KEY = signer("log")


def entry(index):
    """Entries of different lengths, none among them."""
    return hashlib.sha256(b"%d" % index).digest() * (index % 4) + b"x" * (index % 3)


@functools.cache
def levels():
    """The hashes of every level of tiles, made once for the largest log here."""
    out, hashes = [], [leaf_hash(entry(i)) for i in range(66_000)]
    while hashes:
        out.append(hashes)
        whole = len(hashes) // TILE_WIDTH
        hashes = [root_of(hashes[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)]
    return out


class Log:
    """A log in memory that serves what a tree of its size has."""

    def __init__(self, size):
        self.size = size
        self.asked = []
        self.changed = {}
        self.pruned = False

    @property
    def checkpoint(self):
        root = Frontier().extend(levels()[0][: self.size]).root()
        raw = sign_checkpoint(ORIGIN, self.size, root, KEY.sign, KEY.public_key.raw)
        return verify_checkpoint(parse_checkpoint(raw), ORIGIN, KEY.public_key.raw)

    def fetch(self, path):
        self.asked.append(path)
        if path in self.changed:
            return self.changed[path]
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            self._demand(Tile(0, bundle.index, bundle.width), path)
            first = bundle.index * TILE_WIDTH
            return encode_bundle([entry(i) for i in range(first, first + bundle.width)])
        tile = parse_tile_path(path)
        self._demand(tile, path)
        return encode_tile(levels()[tile.level][tile.index * TILE_WIDTH :][: tile.width])

    def _demand(self, tile, path):
        there = tile_width(tile.level, tile.index, self.size)
        if there < tile.width or (self.pruned and there == TILE_WIDTH and tile.width < TILE_WIDTH):
            raise NotFoundError("tile_not_served", path)


SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 65_793]


# --- what is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_all_leaves_from_any_start(size):
    log = Log(size)
    tiles = VerifiedTiles(log.fetch, log.checkpoint)
    starts = (
        {0, 1, 255, 256, size // 2, size - 257, size - 256, size - 1, size} if size < 2000 else {size - 600}
    )
    for start in {s for s in starts if 0 <= s <= size}:
        assert list(tiles.leaves(start)) == [(i, entry(i)) for i in range(start, size)]
    with pytest.raises(ValueError, match="start"):
        list(tiles.leaves(size + 1))
    with pytest.raises(ValueError, match="no entry bundle"):
        tiles.bundle(-(-size // TILE_WIDTH))


def test_a_whole_log_costs_its_bundles_and_hardly_a_tile():
    log = Log(65_537)
    for count, (index, data) in enumerate(VerifiedTiles(log.fetch, log.checkpoint).leaves()):
        assert (index, data) == (count, entry(count))
    assert count == 65_536
    hash_tiles = [p for p in log.asked if not p.startswith("tile/entries/")]
    assert sorted(hash_tiles) == ["tile/0/256.p/1", "tile/1/000", "tile/2/000.p/1"]
    assert len(log.asked) == 257 + 3 == len(set(log.asked))


def test_going_on_at_a_boundary_fetches_nothing_twice():
    log = Log(700)
    first = VerifiedTiles(log.fetch, log.checkpoint).leaves()
    assert [next(first)[0] for _ in range(512)] == list(range(512))
    before = {p for p in log.asked if p.startswith("tile/entries/")}
    log.asked.clear()
    assert [i for i, _ in VerifiedTiles(log.fetch, log.checkpoint).leaves(512)] == list(range(512, 700))
    assert not before & set(log.asked)


@pytest.mark.parametrize("size", SIZES)
def test_frontiers_and_paths(size):
    log = Log(size)
    tiles, hashes = VerifiedTiles(log.fetch, log.checkpoint), levels()[0][:size]
    for old in {0, 1, size // 3, size // 2, size - 1, size}:
        if 0 <= old <= size:
            assert tiles.frontier_at(old) == Frontier().extend(hashes[:old])
    for index in {0, size // 2, size - 1}:
        if 0 <= index < size:
            verify_inclusion(hashes[index], index, size, tiles.inclusion(index), tiles.checkpoint.root)
        else:
            with pytest.raises(ValueError):
                tiles.inclusion(index)


def test_a_log_that_has_grown_may_have_dropped_its_partial_tiles():
    old = Log(600).checkpoint
    log = Log(66_000)
    log.pruned = True
    assert [i for i, _ in VerifiedTiles(log.fetch, old).leaves(500)] == list(range(500, 600))
    assert {"tile/0/002", "tile/entries/002", "tile/1/000"} < set(log.asked)


# --- what is refused ---------------------------------------------------------------------------------


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600, 65_536, 65_793])
def test_one_changed_bit_anywhere_is_found(size):
    log = Log(size)
    list(VerifiedTiles(log.fetch, log.checkpoint).leaves(max(0, size - 300)))
    for path in list(log.asked):
        data = Log(size).fetch(path)
        for at in {0, len(data) // 2, len(data) - 1}:
            log.changed = {path: flipped(data, at)}
            tiles = VerifiedTiles(log.fetch, log.checkpoint)
            with pytest.raises((ProofError, MalformedError)) as caught:
                list(tiles.leaves(max(0, size - 300)))
            if isinstance(caught.value, ProofError):
                assert caught.value.code == "tile_mismatch"
            # Nothing of it was kept: the same object reads on once the log serves what it signed.
            log.changed = {}
            assert len(list(tiles.leaves(max(0, size - 300)))) == min(size, 300)


def test_nothing_of_a_bad_bundle_is_given():
    log = Log(600)
    for changed in (
        [*[entry(i) for i in range(256, 511)], b"other"],
        [entry(i) for i in reversed(range(256, 512))],
        [entry(i) for i in range(256)],
    ):
        log.changed = {"tile/entries/001": encode_bundle(changed)}
        reading = VerifiedTiles(log.fetch, log.checkpoint).leaves()
        assert [next(reading)[0] for _ in range(256)] == list(range(256))
        with pytest.raises(ProofError) as caught:
            next(reading)
        assert caught.value.code == "tile_mismatch"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("tile/entries/002.p/88", b""),
        ("tile/entries/000", b"\xff\xff"),
        ("tile/0/002.p/88", bytes(32 * 87)),
        ("tile/0/002.p/88", bytes(32 * 89)),
        ("tile/1/000.p/2", b"<html>"),
    ],
)
def test_what_is_no_tile_is_malformed(path, data):
    log = Log(600)
    log.changed = {path: data}
    with pytest.raises(MalformedError):
        list(VerifiedTiles(log.fetch, log.checkpoint).leaves())


def test_a_tile_that_is_nowhere_is_told():
    log = Log(600)
    checkpoint = log.checkpoint
    log.size = 500
    with pytest.raises(NotFoundError):
        list(VerifiedTiles(log.fetch, checkpoint).leaves())


# --- two checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 256, 257, 65_536, 65_793])
def test_an_older_checkpoint_is_continued(size):
    log = Log(65_793)
    tiles = VerifiedTiles(log.fetch, log.checkpoint)
    tiles.verify_continues(Log(size).checkpoint)
    assert not [p for p in log.asked if p.startswith("tile/entries/")]


def test_two_histories_are_told_with_both_checkpoints():
    log = Log(600)
    raw = sign_checkpoint(ORIGIN, 300, bytes(32), KEY.sign, KEY.public_key.raw)
    other = verify_checkpoint(parse_checkpoint(raw), ORIGIN, KEY.public_key.raw)
    with pytest.raises(InconsistentLogError) as caught:
        VerifiedTiles(log.fetch, log.checkpoint).verify_continues(other)
    assert (caught.value.code, caught.value.evidence) == ("checkpoint_fork", (raw, log.checkpoint.raw))
    with pytest.raises(ValueError, match="up to size"):
        VerifiedTiles(log.fetch, log.checkpoint).verify_continues(Log(601).checkpoint)


# --- over HTTP, and another's log ---------------------------------------------------------------------


def tessera_transport(compress=False):
    def answer(request):
        assert request.url.path.startswith("/v1/log/")
        file = TESSERA / request.url.path.removeprefix("/v1/log/")
        if not file.is_file():
            return httpx.Response(404)
        data = file.read_bytes()
        if not compress:
            return httpx.Response(200, content=data)
        assert "gzip" in request.headers["accept-encoding"]
        return httpx.Response(200, content=gzip.compress(data), headers={"content-encoding": "gzip"})

    return httpx.MockTransport(answer)


@pytest.mark.parametrize("compress", [False, True])
def test_the_published_log_of_tessera(compress):
    given = json.loads((TESSERA / "key.json").read_text())
    key, entries = parse_vkey(given["vkey"]), [text.encode() for text in given["entries"]]
    with HttpTiles(PREFIX + "/", transport=tessera_transport(compress)) as source:
        assert source.checkpoint() == (TESSERA / "checkpoint").read_bytes()
        checkpoints = [
            verify_checkpoint(parse_checkpoint(source.fetch(f"checkpoint.{n}")), key.name, key.public_key.raw)
            for n in range(16)
        ]
        for size, checkpoint in enumerate(checkpoints):
            tiles = VerifiedTiles(source.fetch, checkpoint)
            assert list(tiles.leaves()) == list(enumerate(entries[:size]))
            for older in checkpoints[: size + 1]:
                tiles.verify_continues(older)
            for index in range(size):
                verify_inclusion(
                    leaf_hash(entries[index]), index, size, tiles.inclusion(index), checkpoint.root
                )
        with pytest.raises(NotFoundError) as caught:
            source.fetch(Bundle(0).path())
        assert caught.value.code == "tile_not_served"


@pytest.mark.parametrize("status", [204, 301, 400, 403, 429, 500, 503])
def test_other_answers_are_failures_of_transport(status):
    source = HttpTiles(PREFIX, transport=httpx.MockTransport(lambda _: httpx.Response(status)))
    with pytest.raises(TransportError):
        source.checkpoint()
    source.close()


def test_a_log_that_is_away():
    def fail(_):
        raise httpx.ConnectError("no")

    with HttpTiles(PREFIX, transport=httpx.MockTransport(fail)) as source, pytest.raises(TransportError):
        source.fetch("tile/0/000")
