"""Merkle paths against RFC 6962's own recursive definitions, over all small trees and many damaged paths.

The reference functions below are the definitions of RFC 6962 §2.1 word for word, and a verifier read off
its PROOF by recursion. They share no code and no method with the module under test.
"""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.errors import MalformedError, ProofError
from countermark_protocol.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    small_tree_path,
    verify_consistency,
    verify_inclusion,
)
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    TileHashes,
    bundles_for_growth,
    encode_bundle,
    encode_tile,
    parse_bundle,
    parse_bundle_path,
    parse_tile_path,
    tile_width,
    tiles_for_growth,
)

MOST = 300
LEAVES = [leaf_hash(i.to_bytes(4, "big")) for i in range(MOST)]


# --- the definitions ---------------------------------------------------------------------------------


def k_of(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


@cache
def mth(begin, end):
    """MTH(D[begin:end]) of RFC 6962 §2.1."""
    n = end - begin
    if n == 0:
        return EMPTY_ROOT
    if n == 1:
        return LEAVES[begin]
    return node_hash(mth(begin, begin + k_of(n)), mth(begin + k_of(n), end))


def path_of(m, begin, end):
    """PATH(m, D[begin:end]) of RFC 6962 §2.1.1."""
    n = end - begin
    if n == 1:
        return []
    k = k_of(n)
    if m < k:
        return [*path_of(m, begin, begin + k), mth(begin + k, end)]
    return [*path_of(m - k, begin + k, end), mth(begin, begin + k)]


def subproof(m, begin, end, b):
    """SUBPROOF(m, D[begin:end], b) of RFC 6962 §2.1.2."""
    n = end - begin
    if m == n:
        return [] if b else [mth(begin, end)]
    k = k_of(n)
    if m <= k:
        return [*subproof(m, begin, begin + k, b), mth(begin + k, end)]
    return [*subproof(m - k, begin + k, end, False), mth(begin, begin + k)]


class Wrong(Exception):
    pass


def rebuild_root(leaf, m, n, path):
    """The root that PATH(m, D[n]) leads to; takes what it uses from `path`."""
    if n == 1:
        return leaf
    k = k_of(n)
    below = rebuild_root(leaf, m, k, path) if m < k else rebuild_root(leaf, m - k, n - k, path)
    if not path:
        raise Wrong
    return node_hash(below, path.pop(0)) if m < k else node_hash(path.pop(0), below)


def rebuild_roots(old_root, m, n, path, b=True):
    """The (old, new) roots that SUBPROOF(m, D[n], b) leads to; takes what it uses from `path`."""
    if m == n and b:
        return old_root, old_root
    if m == n:
        if not path:
            raise Wrong
        whole = path.pop(0)
        return whole, whole
    k = k_of(n)
    old, new = (
        rebuild_roots(old_root, m, k, path, b)
        if m <= k
        else rebuild_roots(old_root, m - k, n - k, path, False)
    )
    if not path:
        raise Wrong
    sibling = path.pop(0)
    return (old, node_hash(new, sibling)) if m <= k else (node_hash(sibling, old), node_hash(sibling, new))


def inclusion_holds(leaf, index, size, path, root):
    left = list(path)
    try:
        return index < size and rebuild_root(leaf, index, size, left) == root and not left
    except Wrong:
        return False


def consistency_holds(old, old_root, new, new_root, path):
    left = list(path)
    if old > new:
        return False
    if old == 0:
        return not path and old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    try:
        return rebuild_roots(old_root, old, new, left) == (old_root, new_root) and not left
    except Wrong:
        return False


def accepts(verify, *args):
    try:
        verify(*args)
    except ProofError:
        return False
    return True


def get(level, index):
    return mth(index << level, (index + 1) << level)


# --- all small trees ---------------------------------------------------------------------------------


def test_roots_and_frontiers_of_all_sizes():
    frontier = Frontier()
    for size in range(MOST + 1):
        assert frontier.size == size
        assert frontier.root() == root_of(LEAVES[:size]) == mth(0, size)
        assert Frontier(frontier.size, frontier.hashes) == frontier == Frontier().extend(LEAVES[:size])
        if size < MOST:
            frontier = frontier.append(LEAVES[size])


@pytest.mark.parametrize("first", range(0, MOST, 50))
def test_every_inclusion_path_of_every_size_verifies(first):
    for size in range(first + 1, first + 51):
        root = mth(0, size)
        for index in range(size):
            path = inclusion_path(get, index, size)
            assert path == path_of(index, 0, size)
            verify_inclusion(LEAVES[index], index, size, path, root)


@pytest.mark.parametrize("first", range(0, MOST, 50))
def test_every_consistency_path_of_every_size_verifies(first):
    for new in range(first, first + 51):
        new_root = mth(0, new)
        for old in range(new + 1):
            path = consistency_path(get, old, new)
            assert path == (subproof(old, 0, new, True) if old else [])
            verify_consistency(old, mth(0, old), new, new_root, path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 100, 255, 256, 257])
def test_small_tree_paths_are_inclusion_paths(size):
    for index in range(size):
        assert small_tree_path(LEAVES[:size], index) == path_of(index, 0, size)


# --- damage ------------------------------------------------------------------------------------------


def every_damaged_hash(value):
    for byte in range(32):
        for bit in (0, 7):
            damaged = bytearray(value)
            damaged[byte] ^= 1 << bit
            yield bytes(damaged)
    yield value[:-1]
    yield value + b"\x00"
    yield b""
    yield bytes(32)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 1), (0, 2), (2, 3), (4, 7), (5, 8), (63, 65), (255, 257), (256, 257)]
)
def test_no_byte_of_an_inclusion_proof_can_change(index, size):
    leaf, root, path = LEAVES[index], mth(0, size), path_of(index, 0, size)
    for damaged in every_damaged_hash(leaf):
        assert not accepts(verify_inclusion, damaged, index, size, path, root)
    for damaged in every_damaged_hash(root):
        assert not accepts(verify_inclusion, leaf, index, size, path, damaged)
    for i, element in enumerate(path):
        assert not accepts(verify_inclusion, leaf, index, size, path[:i] + path[i + 1 :], root)
        assert not accepts(verify_inclusion, leaf, index, size, [*path[:i], element, *path[i:]], root)
        for damaged in every_damaged_hash(element):
            assert not accepts(
                verify_inclusion, leaf, index, size, [*path[:i], damaged, *path[i + 1 :]], root
            )
    for other in set(range(size + 3)) - {index}:
        assert not accepts(verify_inclusion, leaf, other, size, path, root)


@pytest.mark.parametrize(
    ("old", "new"), [(1, 2), (3, 7), (4, 7), (6, 8), (8, 9), (64, 65), (100, 257), (255, 256)]
)
def test_no_byte_of_a_consistency_proof_can_change(old, new):
    old_root, new_root, path = mth(0, old), mth(0, new), subproof(old, 0, new, True)
    for damaged in every_damaged_hash(old_root):
        assert not accepts(verify_consistency, old, damaged, new, new_root, path)
    for damaged in every_damaged_hash(new_root):
        assert not accepts(verify_consistency, old, old_root, new, damaged, path)
    for i, element in enumerate(path):
        assert not accepts(verify_consistency, old, old_root, new, new_root, path[:i] + path[i + 1 :])
        assert not accepts(verify_consistency, old, old_root, new, new_root, [*path[:i], element, *path[i:]])
        for damaged in every_damaged_hash(element):
            assert not accepts(
                verify_consistency, old, old_root, new, new_root, [*path[:i], damaged, *path[i + 1 :]]
            )
    assert not accepts(verify_consistency, old, new_root, new, old_root, path)


def test_wrong_sizes_pass_only_where_the_definition_cannot_tell():
    """A path binds a size no more than the shape of its way up does; that is why checkpoints sign the size.

    So a wrong size must be refused exactly where the recursive definition refuses it.
    """
    refused = passed = 0
    for size in range(1, 20):
        for index in range(size):
            path = path_of(index, 0, size)
            for other in range(24):
                args = (LEAVES[index], index, other, path, mth(0, size))
                assert accepts(verify_inclusion, *args) == inclusion_holds(*args)
                refused += not inclusion_holds(*args)
        for old in range(size + 1):
            path = subproof(old, 0, size, True) if old else []
            for other_old in range(20):
                for other_new in (size - 1, size, size + 1, 2 * size):
                    args = (other_old, mth(0, old), other_new, mth(0, size), path)
                    assert accepts(verify_consistency, *args) == consistency_holds(*args)
                    passed += consistency_holds(*args)
    assert refused > 1000
    assert passed > 200


@st.composite
def damaged_paths(draw, hashes):
    """A path with hashes dropped, doubled, swapped, replaced by others that occur in these trees."""
    path = list(hashes)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(path)))
        what = draw(st.sampled_from(["drop", "insert", "replace", "swap", "cut"]))
        begin = draw(st.integers(0, 40))
        other = mth(begin, begin + draw(st.integers(1, 8)))
        if what == "insert":
            path.insert(at, other)
        elif what == "cut":
            del path[at:]
        elif at < len(path) and what == "drop":
            del path[at]
        elif at < len(path) and what == "replace":
            path[at] = other
        elif at < len(path):
            path[at], path[0] = path[0], path[at]
    return path


@given(st.data(), st.integers(1, 48))
def test_inclusion_is_judged_as_by_the_definition(data, size):
    index = data.draw(st.integers(0, size - 1))
    path = data.draw(damaged_paths(path_of(index, 0, size)))
    index += data.draw(st.sampled_from([0, 0, 0, 1, 2, 8]))
    size += data.draw(st.sampled_from([0, 0, 0, 1, 2, 8]))
    leaf = data.draw(st.sampled_from([LEAVES[index], LEAVES[0], mth(0, 2)]))
    args = (leaf, index, size, path, mth(0, data.draw(st.sampled_from([size, size - 1, 1]))))
    assert accepts(verify_inclusion, *args) == inclusion_holds(*args)


@given(st.data(), st.integers(0, 48))
def test_consistency_is_judged_as_by_the_definition(data, new):
    old = data.draw(st.integers(0, new))
    path = data.draw(damaged_paths(subproof(old, 0, new, True) if old else []))
    roots = [
        mth(0, data.draw(st.sampled_from([old, old, old, new, 1]))),
        mth(0, data.draw(st.sampled_from([new, new, new, old]))),
    ]
    old += data.draw(st.sampled_from([0, 0, 0, 1, 2, 8]))
    new += data.draw(st.sampled_from([0, 0, 0, 1, 2, 8]))
    args = (old, roots[0], new, roots[1], path)
    assert accepts(verify_consistency, *args) == consistency_holds(*args)


# --- tiles -------------------------------------------------------------------------------------------


class Store:
    """Keeps tiles as a log would, and is asked for them as a log is."""

    def __init__(self, leaves):
        self.levels = [leaves]
        while len(self.levels[-1]) >= TILE_WIDTH:
            below = self.levels[-1]
            full = len(below) // TILE_WIDTH
            self.levels.append([root_of(below[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(full)])
        self.kept = {}
        self.asked = []

    def grow(self, old, new):
        for tile in tiles_for_growth(old, new):
            begin = tile.index * TILE_WIDTH
            self.kept[tile.path()] = encode_tile(self.levels[tile.level][begin : begin + tile.width])

    def fetch(self, level, index, width):
        path = Tile(level, index, width).path()
        self.asked.append(path)
        return self.kept[path]


@pytest.fixture(scope="module")
def large():
    leaves = [leaf_hash(i.to_bytes(4, "big")) for i in range(65_537)]
    return leaves, Store(leaves)


@pytest.mark.parametrize(
    "sizes", [(1, 255, 256, 257), (255, 511, 512, 513), (65_535, 65_536, 65_537), (65_537,)]
)
def test_tiles_give_the_roots_and_paths_of_the_tree(large, sizes):
    leaves, store = large
    store.kept.clear()
    before = 0
    for size in sizes:
        store.grow(before, size)
        tiles = TileHashes(store.fetch, size)
        root = root_of(leaves[:size])
        assert tiles.root_at(size) == root
        assert tiles.frontier_at(size) == Frontier().extend(leaves[:size])
        for index in {0, 1, size // 2, size - 2, size - 1, 255, 256, 65_535} & set(range(size)):
            verify_inclusion(leaves[index], index, size, inclusion_path(tiles.get, index, size), root)
        for old in {0, 1, 255, 256, 257, size // 2, size - 1, size, before, 65_535, 65_536} & set(
            range(size + 1)
        ):
            old_root = root_of(leaves[:old])
            assert tiles.root_at(old) == old_root
            verify_consistency(old, old_root, size, root, consistency_path(tiles.get, old, size))
        before = size


def test_tiles_give_the_roots_of_all_small_trees():
    store = Store(LEAVES)
    for size in range(MOST + 1):
        store.grow(size - 1 if size else 0, size)
        assert TileHashes(store.fetch, size).root_at(size) == mth(0, size)


@given(st.integers(0, 2**40), st.integers(0, 70_000))
def test_growth_names_each_tile_that_changed_and_no_other(old, more):
    new = old + more
    grown = tiles_for_growth(old, new)
    assert len(set(grown)) == len(grown)
    for tile in grown:
        assert tile.width == tile_width(tile.level, tile.index, new) > tile_width(tile.level, tile.index, old)
    for level in range(6):
        counts = new >> 8 * level, old >> 8 * level
        added = sum(t.width - tile_width(level, t.index, old) for t in grown if t.level == level)
        assert added == counts[0] - counts[1]
    assert [(t.index, t.width) for t in grown if t.level == 0] == [
        (b.index, b.width) for b in bundles_for_growth(old, new)
    ]


@given(st.integers(0, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_tile_paths_round_trip(level, index, width):
    assert parse_tile_path(Tile(level, index, width).path()) == Tile(level, index, width)
    assert parse_bundle_path(Bundle(index, width).path()) == Bundle(index, width)


@given(st.text(alphabet="tile/nrsx.p0123456789", max_size=40) | st.text(max_size=20))
def test_each_tile_has_one_path(tail):
    for prefix, parse in (
        ("tile/0/", parse_tile_path),
        ("tile/entries/", parse_bundle_path),
        ("", parse_tile_path),
    ):
        try:
            parsed = parse(prefix + tail)
        except MalformedError:
            continue
        assert parsed.path() == prefix + tail


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_bundles_round_trip_and_nothing_can_be_cut_or_added(entries):
    data = encode_bundle(entries)
    assert parse_bundle(data, len(entries)) == tuple(entries)
    for damaged in (data[:-1], data + b"\x00", data[1:] if len(entries) > 1 else b""):
        try:
            parsed = parse_bundle(damaged, len(entries))
        except MalformedError:
            continue
        assert damaged not in {data[:-1], data + b"\x00"}
        assert encode_bundle(parsed) == damaged
