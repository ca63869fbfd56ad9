"""What roots and paths show of a tree: every size and leaf of small trees, honest and forked."""

import pytest

from countermark_protocol.errors import ProofError
from countermark_protocol.merkle import EMPTY_ROOT, leaf_hash, root_of, small_tree_path
from countermark_protocol.tree_views import agreed, differ, view_of_path, view_of_root

MOST = 19
LEAVES = [leaf_hash(bytes([n])) for n in range(MOST)]


def path_view(leaves, index, size):
    part = leaves[:size]
    return view_of_path(part[index], index, size, small_tree_path(part, index), root_of(part))


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_what_a_path_shows_is_true(size):
    for index in range(size):
        view = path_view(LEAVES, index, size)
        for (level, number), node in view.nodes.items():
            assert node == root_of(LEAVES[number << level : (number + 1) << level])
        roots = {s: view.root_at(s) for s in range(size + 2)}
        assert all(root in {None, root_of(LEAVES[:s])} for s, root in roots.items())
        # The last leaf below a size shows the root at it, as evidence of a fork needs.
        assert roots[index + 1] == root_of(LEAVES[: index + 1])
        assert (roots[0], roots[size + 1]) == (EMPTY_ROOT, None)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_trees_of_one_log_never_differ(size):
    views = [path_view(LEAVES, index, size) for index in range(size)]
    for other_size in range(1, MOST + 1):
        root = view_of_root(other_size, root_of(LEAVES[:other_size]))
        others = [path_view(LEAVES, index, other_size) for index in range(other_size)]
        for view in views:
            assert not any(differ(view, other) for other in (*others, root))
            assert agreed(view, root) in {0, min(size, other_size), *(1 << n for n in range(5))}


@pytest.mark.parametrize("at", range(6))
def test_two_paths_show_a_fork_in_what_both_have_whole(at):
    """Whatever the leaves: a fork within complete subtrees of both is in a subtree that both show."""
    forked = list(LEAVES)
    forked[at] = leaf_hash(b"another")
    for index in range(8):
        for other in range(16):
            one, two = path_view(LEAVES, index, 8), path_view(forked, other, 16)
            assert differ(one, two)
            assert differ(two, one)
            assert agreed(one, two) == 0


@pytest.mark.parametrize("size", range(1, MOST))
def test_the_last_leaf_below_a_size_shows_a_fork_from_a_root_of_it(size):
    forked = [*LEAVES[: size - 1], leaf_hash(b"another"), *LEAVES[size:]]
    root = view_of_root(size, root_of(forked[:size]))
    assert differ(root, path_view(LEAVES, size - 1, MOST))
    assert not differ(root, path_view(forked, size - 1, MOST))
    assert agreed(root, path_view(forked, size - 1, MOST)) >= size


def test_a_path_that_does_not_lead_to_the_root_shows_nothing():
    path = small_tree_path(LEAVES[:5], 2)
    with pytest.raises(ProofError, match="inclusion_mismatch"):
        view_of_path(LEAVES[2], 2, 5, path, root_of(LEAVES[:6]))
