"""Tiles: names, widths, which of them grow, their bytes, and the cache over them."""

import pytest

from countermark_protocol.errors import MalformedError
from countermark_protocol.merkle import EMPTY_ROOT, MAX_TREE_SIZE, leaf_hash, node_hash, root_of
from countermark_protocol.tiles import (
    MAX_ENTRY_BYTES,
    MAX_TILE_INDEX,
    Bundle,
    Tile,
    TileHashes,
    bundles_for_growth,
    encode_bundle,
    encode_tile,
    parse_bundle,
    parse_bundle_path,
    parse_tile,
    parse_tile_path,
    tile_width,
    tiles_for_growth,
)

L = [leaf_hash(i.to_bytes(4, "big")) for i in range(600)]


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(0, 999, 255), "tile/0/999.p/255"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(63, MAX_TILE_INDEX), "tile/63/x009/x223/x372/x036/x854/x775/807"),
    ],
)
def test_tile_paths(tile, path):
    assert tile.path() == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    ("bundle", "path"),
    [(Bundle(0), "tile/entries/000"), (Bundle(1234, 56), "tile/entries/x001/234.p/56")],
)
def test_bundle_paths(bundle, path):
    assert bundle.path() == path
    assert parse_bundle_path(path) == bundle


BAD_RESTS = [
    "",
    "0",
    "00",
    "0000",
    "000/",
    "/000",
    "x000",
    "x000/001",  # leading group of zeros
    "x000/x001/001",
    "001/001",
    "x001/01",
    "x01/001",
    "X001/001",
    "x1000/001",
    "000.p",
    "000.p/",
    "000.p/0",
    "000.p/256",
    "000.p/999",
    "000.p/01",
    "000.p/1000",
    "000.p/-1",
    "000.p/1/",
    "000.p/1\n",
    "000\n",
    " 000",
    "\u0660\u0660\u0660",
    "x001.p/1/001",
    "x009/x223/x372/x036/x854/x775/808",  # 2**63
    "x001/x001/x001/x001/x001/x001/x001/001",
]


@pytest.mark.parametrize("rest", BAD_RESTS)
def test_other_spellings_are_refused(rest):
    for parse, prefix in ((parse_tile_path, "tile/0/"), (parse_bundle_path, "tile/entries/")):
        with pytest.raises(MalformedError) as caught:
            parse(prefix + rest)
        assert caught.value.code == "bad_tile_path"


@pytest.mark.parametrize(
    "path",
    [
        "tile/64/000",
        "tile/00/000",
        "tile/01/000",
        "tile/100/000",
        "tile/-1/000",
        "tile//000",
        "/tile/0/000",
        "tile/0",
        "tile/entries/000",
        "tiles/0/000",
        "tile/0x0/000",
        "tile/\u0660/000",
    ],
)
def test_other_levels_are_refused(path):
    with pytest.raises(MalformedError):
        parse_tile_path(path)


def test_a_tile_is_not_a_bundle():
    with pytest.raises(MalformedError):
        parse_bundle_path("tile/0/000")


@pytest.mark.parametrize(
    "args", [(-1, 0), (64, 0), (0, -1), (0, MAX_TILE_INDEX + 1), (0, 0, 0), (0, 0, 257), (0, 0, -1)]
)
def test_tiles_outside_the_ranges_are_the_callers_mistake(args):
    with pytest.raises(ValueError, match="of a tile must be from"):
        Tile(*args)


@pytest.mark.parametrize("args", [(-1,), (MAX_TILE_INDEX + 1,), (0, 0), (0, 257)])
def test_bundles_outside_the_ranges_are_the_callers_mistake(args):
    with pytest.raises(ValueError, match="of a bundle must be from"):
        Bundle(*args)


# --- growth ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "index", "size", "width"),
    [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (0, 0, 255, 255),
        (0, 0, 256, 256),
        (0, 0, 257, 256),
        (0, 1, 256, 0),
        (0, 1, 257, 1),
        (1, 0, 255, 0),
        (1, 0, 256, 1),
        (1, 0, 511, 1),
        (1, 0, 65_535, 255),
        (1, 0, 65_536, 256),
        (2, 0, 65_535, 0),
        (2, 0, 65_536, 1),
        (7, 0, MAX_TREE_SIZE, 127),
        (63, 0, MAX_TREE_SIZE, 0),
    ],
)
def test_widths(level, index, size, width):
    assert tile_width(level, index, size) == width


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        (0, 0, []),
        (7, 7, []),
        (0, 1, ["tile/0/000.p/1"]),
        (3, 5, ["tile/0/000.p/5"]),
        (254, 255, ["tile/0/000.p/255"]),
        (255, 256, ["tile/0/000", "tile/1/000.p/1"]),
        (256, 257, ["tile/0/001.p/1"]),
        (255, 258, ["tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1"]),
        (100, 600, ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]),
        (65_535, 65_536, ["tile/0/255", "tile/1/000", "tile/2/000.p/1"]),
        (65_536, 65_537, ["tile/0/256.p/1"]),
        (2**62, 2**62 + 1, ["tile/0/x018/x014/x398/x509/x481/984.p/1"]),
    ],
)
def test_tiles_that_change_as_the_tree_grows(old, new, paths):
    assert [t.path() for t in tiles_for_growth(old, new)] == paths
    bundles = [p.replace("tile/0/", "tile/entries/") for p in paths if p.startswith("tile/0/")]
    assert [b.path() for b in bundles_for_growth(old, new)] == bundles


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 1), (0, -1), (0, MAX_TREE_SIZE + 1)])
def test_trees_do_not_shrink(old, new):
    with pytest.raises(ValueError, match="tree size must be from"):
        tiles_for_growth(old, new)
    with pytest.raises(ValueError, match="tree size must be from"):
        bundles_for_growth(old, new)


# --- bytes -------------------------------------------------------------------------------------------


def test_a_tile_is_its_hashes_joined():
    assert encode_tile(L[:3]) == L[0] + L[1] + L[2]
    assert parse_tile(encode_tile(L[:256]), 256) == tuple(L[:256])


@pytest.mark.parametrize("size", [0, 31, 32, 63, 65, 96])
def test_a_tile_of_another_width_is_refused(size):
    with pytest.raises(MalformedError) as caught:
        parse_tile(bytes(size), 2)
    assert caught.value.code == "bad_tile_size"


@pytest.mark.parametrize("hashes", [[], L[:257], [b"short"]])
def test_what_is_no_tile_is_not_encoded(hashes):
    with pytest.raises(ValueError, match=r"must be from 1 to 256|expected 32 bytes"):
        encode_tile(hashes)


def test_a_bundle_is_length_prefixed_entries():
    assert encode_bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    largest = bytes(MAX_ENTRY_BYTES)
    assert parse_bundle(encode_bundle([largest]), 1) == (largest,)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(MAX_ENTRY_BYTES + 1)]])
def test_what_is_no_bundle_is_not_encoded(entries):
    with pytest.raises(ValueError, match="must be from"):
        encode_bundle(entries)


@pytest.mark.parametrize(
    ("data", "width", "code"),
    [
        (b"", 1, "truncated"),
        (b"\x00", 1, "truncated"),
        (b"\x00\x02a", 1, "truncated"),
        (b"\x00\x00", 2, "truncated"),
        (b"\x00\x00\x00\x00", 1, "trailing_bytes"),
        (b"\x00\x01ab", 1, "trailing_bytes"),
    ],
)
def test_bundles_that_end_early_or_late_are_refused(data, width, code):
    with pytest.raises(MalformedError) as caught:
        parse_bundle(data, width)
    assert caught.value.code == code


# --- hashes out of tiles -----------------------------------------------------------------------------


class Tiles:
    """The tiles of a tree over `L`; counts what is fetched."""

    def __init__(self, size):
        self.size = size
        self.fetched = []

    def __call__(self, level, index, width):
        self.fetched.append((level, index, width))
        assert width == tile_width(level, index, self.size), "asked for a tile that this tree does not have"
        span = 256**level
        first = index * 256
        return encode_tile([root_of(L[i * span : (i + 1) * span]) for i in range(first, first + width)])


def test_hashes_inside_tiles_are_those_of_complete_subtrees():
    tiles = TileHashes(Tiles(600), 600)
    assert tiles.size == 600
    for level in range(10):
        for index in range(600 >> level):
            assert tiles.get(level, index) == root_of(L[index << level : (index + 1) << level])
    assert tiles.get(1, 299) == node_hash(L[598], L[599])


@pytest.mark.parametrize(
    ("level", "index"), [(0, 600), (1, 300), (3, 75), (8, 2), (9, 1), (10, 0), (-1, 0), (0, -1)]
)
def test_incomplete_subtrees_have_no_hash(level, index):
    fetch = Tiles(600)
    with pytest.raises(ValueError, match="no complete subtree"):
        TileHashes(fetch, 600).get(level, index)
    assert fetch.fetched == []


def test_the_empty_tree_needs_no_tile():
    fetch = Tiles(0)
    assert TileHashes(fetch, 0).root_at(0) == EMPTY_ROOT
    assert fetch.fetched == []


@pytest.mark.parametrize("size", [-1, 601])
def test_no_root_of_a_tree_beyond_this_one(size):
    with pytest.raises(ValueError, match="part of the tree"):
        TileHashes(Tiles(600), 600).root_at(size)


def test_wrong_settings_are_the_callers_mistake():
    with pytest.raises(ValueError, match="tree size"):
        TileHashes(Tiles(0), -1)
    with pytest.raises(ValueError, match="room for at least 1 tile"):
        TileHashes(Tiles(0), 0, cache_tiles=0)


def test_a_tile_is_fetched_once_while_it_is_kept():
    fetch = Tiles(600)
    tiles = TileHashes(fetch, 600, cache_tiles=2)
    for _ in range(3):
        assert tiles.get(0, 1) == L[1]
        assert tiles.get(0, 599) == L[599]
    assert fetch.fetched == [(0, 0, 256), (0, 2, 88)]
    # A third tile takes the place of the one used longest ago.
    assert tiles.get(0, 2) == L[2]
    assert tiles.get(0, 256) == L[256]
    assert tiles.get(0, 0) == L[0]
    assert fetch.fetched == [(0, 0, 256), (0, 2, 88), (0, 1, 256)]
    assert tiles.get(0, 598) == L[598]
    assert fetch.fetched[3:] == [(0, 2, 88)]


def test_a_grown_tree_reads_its_full_tiles_from_the_same_cache():
    fetch = Tiles(500)
    small = TileHashes(fetch, 500)
    assert small.root_at(500) == root_of(L[:500])
    assert small.get(0, 7) == L[7]
    fetch.size, fetch.fetched = 600, []
    large = small.at(600)
    assert large.root_at(600) == root_of(L[:600])
    assert large.root_at(500) == root_of(L[:500])
    assert large.get(0, 7) == L[7]
    # Tile 0 was full already; tile 1 and the one of level 1 are wider now, so they are other tiles.
    assert sorted(fetch.fetched) == [(0, 1, 256), (0, 2, 88), (1, 0, 2)]
    assert small.size == 500


def test_a_tile_of_the_wrong_size_is_refused_and_not_kept():
    answers = [b"", bytes(32 * 600), encode_tile(L[:5])]
    tiles = TileHashes(lambda _level, _index, _width: answers.pop(0), 5)
    for _ in range(2):
        with pytest.raises(MalformedError) as caught:
            tiles.root_at(5)
        assert caught.value.code == "bad_tile_size"
    assert tiles.root_at(5) == root_of(L[:5])


def test_a_tampered_tile_gives_another_root():
    for byte in (0, 31, 32, 100, 5 * 32 - 1):
        tile = bytearray(encode_tile(L[:5]))
        tile[byte] ^= 1
        assert TileHashes(lambda _l, _i, _w, t=tile: bytes(t), 5).root_at(5) != root_of(L[:5])
