"""The Merkle tree: hand-made trees, size 0, wrong input, and the ways a path can be wrong."""

import hashlib

import pytest

from countermark_protocol.errors import ProofError
from countermark_protocol.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
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

L = [leaf_hash(b"leaf %d" % i) for i in range(16)]
H01, H23, H45 = node_hash(L[0], L[1]), node_hash(L[2], L[3]), node_hash(L[4], L[5])
H0123 = node_hash(H01, H23)
# The trees of RFC 6962 §2.1.3, written out by hand.
ROOT_3 = node_hash(H01, L[2])
ROOT_4 = H0123
ROOT_6 = node_hash(H0123, H45)
ROOT_7 = node_hash(H0123, node_hash(H45, L[6]))


def subtree(level, index):
    """Complete subtrees over `L`."""
    if level == 0:
        return L[index]
    return node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))


def refuses(code, verify, *args):
    with pytest.raises(ProofError) as caught:
        verify(*args)
    assert caught.value.code == code


# --- hashes and roots --------------------------------------------------------------------------------


def test_leaves_and_nodes_are_told_apart_by_their_first_byte():
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()
    assert node_hash(L[0], L[1]) == hashlib.sha256(b"\x01" + L[0] + L[1]).digest()
    assert node_hash(L[0], L[1]) != leaf_hash(L[0] + L[1])


def test_empty_root_is_the_hash_of_nothing():
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == root_of([]) == Frontier().root()


@pytest.mark.parametrize(
    ("size", "root"), [(1, L[0]), (2, H01), (3, ROOT_3), (4, ROOT_4), (6, ROOT_6), (7, ROOT_7)]
)
def test_root_of_is_the_tree_written_by_hand(size, root):
    assert root_of(L[:size]) == root
    assert Frontier().extend(L[:size]).root() == root


def test_root_of_does_not_change_what_it_is_given():
    given = L[:5]
    root_of(given)
    assert given == L[:5]


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33)])
def test_hashes_of_another_length_are_refused_everywhere(bad):
    refuses("hash_size", root_of, [L[0], bad])
    refuses("hash_size", small_tree_path, [L[0], bad], 0)
    refuses("hash_size", Frontier().append, bad)
    refuses("hash_size", Frontier, 1, (bad,))
    refuses("hash_size", verify_inclusion, bad, 0, 1, [], L[0])
    refuses("hash_size", verify_inclusion, L[0], 0, 1, [], bad)
    refuses("hash_size", verify_inclusion, L[0], 0, 2, [bad], H01)
    refuses("hash_size", verify_consistency, 1, bad, 2, H01, [L[1]])
    refuses("hash_size", verify_consistency, 1, L[0], 2, bad, [L[1]])
    refuses("hash_size", verify_consistency, 1, L[0], 2, H01, [bad])
    refuses("hash_size", verify_consistency, 0, bad, 0, bad, [])


# --- frontier ----------------------------------------------------------------------------------------


def test_a_frontier_holds_the_complete_subtrees_from_left_to_right():
    assert Frontier().extend(L[:7]) == Frontier(7, (H0123, H45, L[6]))


def test_appending_leaves_the_old_frontier_as_it_was():
    three = Frontier().extend(L[:3])
    four = three.append(L[3])
    assert (three.size, three.hashes) == (3, (H01, L[2]))
    assert (four.size, four.hashes) == (4, (H0123,))
    assert three.append(L[9]).root() == node_hash(H01, node_hash(L[2], L[9]))


def test_a_kept_frontier_goes_on_where_it_ended():
    kept = Frontier().extend(L[:5])
    assert Frontier(kept.size, kept.hashes).extend(L[5:16]).root() == root_of(L)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (1, 2), (3, 1), (4, 2), (7, 2)])
def test_a_frontier_whose_hashes_do_not_fit_its_size_is_refused(size, count):
    refuses("frontier_shape", Frontier, size, tuple(L[:count]))


@pytest.mark.parametrize("size", [-1, MAX_TREE_SIZE + 1])
def test_a_frontier_outside_the_range_of_sizes_is_the_callers_mistake(size):
    with pytest.raises(ValueError, match="size of a frontier"):
        Frontier(size)


def test_the_largest_tree_takes_no_further_leaf():
    full = Frontier(MAX_TREE_SIZE, tuple(L[i % 16] for i in range(63)))
    with pytest.raises(ValueError, match="size of a frontier"):
        full.append(L[0])


# --- making paths ------------------------------------------------------------------------------------


# The four paths of RFC 6962 §2.1.3.
@pytest.mark.parametrize(
    ("index", "path"),
    [
        (0, [L[1], H23, node_hash(H45, L[6])]),
        (3, [L[2], H01, node_hash(H45, L[6])]),
        (4, [L[5], L[6], H0123]),
        (6, [H45, H0123]),
    ],
)
def test_inclusion_paths_of_the_rfc(index, path):
    assert inclusion_path(subtree, index, 7) == path
    assert small_tree_path(L[:7], index) == path
    verify_inclusion(L[index], index, 7, path, ROOT_7)


# The three proofs of RFC 6962 §2.1.3.
@pytest.mark.parametrize(
    ("old", "old_root", "path"),
    [
        (3, ROOT_3, [L[2], L[3], H01, node_hash(H45, L[6])]),
        (4, ROOT_4, [node_hash(H45, L[6])]),
        (6, ROOT_6, [H45, L[6], H0123]),
    ],
)
def test_consistency_paths_of_the_rfc(old, old_root, path):
    assert consistency_path(subtree, old, 7) == path
    verify_consistency(old, old_root, 7, ROOT_7, path)


def test_only_complete_subtrees_are_asked_for():
    asked = []

    def get(level, index):
        asked.append((level, index))
        return subtree(level, index)

    for size in range(1, 14):
        for index in range(size):
            inclusion_path(get, index, size)
            consistency_path(get, index, size)
        assert all((index + 1) << level <= size for level, index in asked)
    assert asked


def test_a_path_in_a_tree_of_one_leaf_is_empty():
    assert inclusion_path(subtree, 0, 1) == small_tree_path(L[:1], 0) == []
    verify_inclusion(L[0], 0, 1, [], L[0])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (6, 5)])
def test_no_path_is_made_outside_the_tree(index, size):
    with pytest.raises(ValueError, match="expected an index below"):
        inclusion_path(subtree, index, size)
    with pytest.raises(ValueError, match="expected an index below"):
        small_tree_path(L[:size], index)


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5)])
def test_no_path_is_made_to_a_smaller_tree(old, new):
    with pytest.raises(ValueError, match="old tree size"):
        consistency_path(subtree, old, new)


@pytest.mark.parametrize("size", [-1, MAX_TREE_SIZE + 1])
def test_sizes_no_parser_lets_through_are_the_callers_mistake(size):
    for call in (
        lambda: inclusion_path(subtree, 0, size),
        lambda: consistency_path(subtree, 0, size),
        lambda: verify_inclusion(L[0], 0, size, [], L[0]),
        lambda: verify_inclusion(L[0], size, 1, [], L[0]),
        lambda: verify_consistency(size, L[0], 1, L[0], []),
        lambda: verify_consistency(1, L[0], size, L[0], []),
    ):
        with pytest.raises(ValueError, match="must be from 0 to 2"):
            call()


# --- checking inclusion ------------------------------------------------------------------------------


def test_an_index_beyond_the_tree_is_a_failed_proof():
    refuses("index_beyond_size", verify_inclusion, L[0], 1, 1, [], L[0])
    refuses("index_beyond_size", verify_inclusion, L[0], 0, 0, [], EMPTY_ROOT)
    # The largest index must not be shifted into something that fits.
    refuses("index_beyond_size", verify_inclusion, L[0], MAX_TREE_SIZE, MAX_TREE_SIZE, [], L[0])


def test_inclusion_paths_of_another_length_are_refused():
    path = inclusion_path(subtree, 4, 7)
    refuses("inclusion_path_length", verify_inclusion, L[4], 4, 7, path[:-1], ROOT_7)
    refuses("inclusion_path_length", verify_inclusion, L[4], 4, 7, [], ROOT_7)
    refuses("inclusion_path_length", verify_inclusion, L[4], 4, 7, [*path, L[0]], ROOT_7)
    refuses("inclusion_path_length", verify_inclusion, L[4], 4, 7, path * 100, ROOT_7)


def test_an_inner_node_does_not_pass_for_a_leaf():
    # H01 stands at level 1; with the rest of the path it leads to the root, but a path of two is too short.
    refuses("inclusion_path_length", verify_inclusion, H01, 0, 8, [H23, node_hash(H45, H45)], ROOT_7)
    refuses("inclusion_mismatch", verify_inclusion, leaf_hash(L[0] + L[1]), 0, 2, [H23], ROOT_4)


def test_another_leaf_index_or_root_is_a_mismatch():
    path = inclusion_path(subtree, 4, 7)
    refuses("inclusion_mismatch", verify_inclusion, L[5], 4, 7, path, ROOT_7)
    refuses("inclusion_mismatch", verify_inclusion, L[4], 5, 7, path, ROOT_7)
    refuses("inclusion_mismatch", verify_inclusion, L[4], 4, 7, path, ROOT_6)
    refuses("inclusion_mismatch", verify_inclusion, L[4], 4, 7, [path[1], path[0], path[2]], ROOT_7)


# --- checking consistency ----------------------------------------------------------------------------


def test_every_tree_begins_with_the_empty_one():
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 7, ROOT_7, [])
    assert consistency_path(subtree, 0, 7) == consistency_path(subtree, 0, 0) == []


def test_the_empty_tree_has_one_root():
    refuses("empty_root", verify_consistency, 0, L[0], 7, ROOT_7, [])
    refuses("empty_root", verify_consistency, 0, L[0], 0, L[0], [])
    refuses("empty_root", verify_consistency, 0, EMPTY_ROOT, 0, L[0], [])


def test_no_path_leads_from_the_empty_tree_or_to_the_same_size():
    refuses("consistency_path_length", verify_consistency, 0, EMPTY_ROOT, 1, L[0], [L[0]])
    refuses("consistency_path_length", verify_consistency, 0, EMPTY_ROOT, 0, EMPTY_ROOT, [L[0]])
    refuses("consistency_path_length", verify_consistency, 7, ROOT_7, 7, ROOT_7, [L[0]])
    verify_consistency(7, ROOT_7, 7, ROOT_7, [])
    refuses("roots_differ", verify_consistency, 7, ROOT_7, 7, ROOT_6, [])


def test_a_smaller_new_tree_is_a_failed_proof():
    refuses("tree_shrunk", verify_consistency, 7, ROOT_7, 6, ROOT_6, [])
    refuses("tree_shrunk", verify_consistency, 1, L[0], 0, EMPTY_ROOT, [])


@pytest.mark.parametrize("old", range(1, 7))
def test_consistency_paths_of_another_length_are_refused(old):
    path, old_root = consistency_path(subtree, old, 7), root_of(L[:old])
    refuses("consistency_path_length", verify_consistency, old, old_root, 7, ROOT_7, path[:-1])
    refuses("consistency_path_length", verify_consistency, old, old_root, 7, ROOT_7, [])
    refuses("consistency_path_length", verify_consistency, old, old_root, 7, ROOT_7, [*path, L[0]])
    refuses("consistency_path_length", verify_consistency, old, old_root, 7, ROOT_7, path * 100)


@pytest.mark.parametrize(
    ("old", "code"),
    # Where the old tree is one complete subtree its root starts the path, so it is the new root that differs.
    [
        (1, "consistency_new_root"),
        (2, "consistency_new_root"),
        (3, "consistency_old_root"),
        (4, "consistency_new_root"),
        (5, "consistency_old_root"),
        (6, "consistency_old_root"),
    ],
)
def test_a_rewritten_past_is_refused_though_its_path_leads_to_the_new_root(old, code):
    """The log replaces its first leaf and serves the honest path of the forged tree."""
    forged = [leaf_hash(b"forged"), *L[1:]]

    def get(level, index):
        return root_of(forged[index << level : (index + 1) << level])

    path = consistency_path(get, old, 7)
    verify_consistency(old, root_of(forged[:old]), 7, root_of(forged[:7]), path)
    refuses(code, verify_consistency, old, root_of(L[:old]), 7, root_of(forged[:7]), path)


def test_an_honest_past_under_another_new_root_is_refused():
    path = consistency_path(subtree, 3, 7)
    refuses("consistency_new_root", verify_consistency, 3, ROOT_3, 7, root_of([*L[:6], L[9]]), path)


def test_a_path_that_only_rebuilds_the_old_root_is_refused():
    """A verifier that forgets step 6's first line, or that sn must end at 0, takes the old tree for the new."""
    refuses("consistency_path_length", verify_consistency, 3, ROOT_3, 7, ROOT_3, [L[2], H01])
    refuses("consistency_path_length", verify_consistency, 3, ROOT_3, 4, ROOT_3, [L[2], H01])
